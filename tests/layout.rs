//! The four-files rule and the limits on source files, checked by walking the tree.

use std::path::{Path, PathBuf};

/// Folders of source that the rules hold for.
const SOURCES: [&str; 7] = ["src", "tests", "benches", "kernels", "build", "examples", "crates"];

/// Longest allowed source file.
const MAX_LINES: usize = 800;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs`, `.cu` and `.cuh` file under the source folders, relative to the root and sorted.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = SOURCES.iter().map(|folder| root().join(folder)).filter(|p| p.is_dir()).collect();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable source folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs" || e == "cu" || e == "cuh") {
                found.push(path.strip_prefix(root()).expect("a path under the root").to_path_buf());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn source_files_stay_short() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter_map(|path| {
            let lines = std::fs::read_to_string(root().join(&path)).expect("UTF-8 source").lines().count();
            (lines > MAX_LINES).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "files over {MAX_LINES} lines, split them:\n{}", long.join("\n"));
}
