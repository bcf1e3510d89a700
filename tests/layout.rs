//! The rules of the house, checked by walking the tree: four files per operator, no orphans, short files, nothing
//! left unfinished.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::root;

/// Areas that hold operators; a folder under `src/`, `tests/` and `benches/` each.
const AREAS: [&str; 4] = ["ops", "image", "parquet", "infer"];

/// Modules in those areas that are no operators, or operators that lack one of the four files, with the reason.
///
/// `(area/name, what it may lack, why)`; what it may lack is any of `kernel`, `test`, `bench`.
const EXCEPTIONS: &[(&str, &[Part], &str)] = &[
    ("image/image_decode", &[Part::Kernel], "JPEG has its own operator; PNG and WebP are decoded on the host"),
    ("image/interpolation", &[Part::Kernel, Part::Test, Part::Bench], "an enum; its weights are tested by resize"),
    ("image/rgb", &[Part::Kernel, Part::Test, Part::Bench], "the image column's layout; every image test reads it"),
    ("image/memory", &[Part::Kernel, Part::Test, Part::Bench], "memory for pixels on the host; every decode takes it"),
    ("image/tensor", &[Part::Kernel, Part::Test, Part::Bench], "the tensor column's layout; tested by normalize"),
    ("infer/model", &[Part::Kernel, Part::Bench], "runs backends on the host; models on the device are work to come"),
    ("infer/shape", &[Part::Kernel, Part::Test, Part::Bench], "descriptions of tensors; every model test reads them"),
    ("ops/keys", &[Part::Kernel, Part::Test, Part::Bench], "the table of key columns; every test of hash reads it"),
    ("ops/cast", &[Part::Kernel], "a select list of casts: expr writes the kernel"),
    ("ops/concat", &[Part::Kernel], "whole columns as pieces: pieces has the kernel"),
    ("ops/pieces", &[Part::Test, Part::Bench], "ranges of buffers; every test of slice and concat moves them"),
    ("ops/spans", &[Part::Test, Part::Bench], "text by address; every test of computed text makes columns of it"),
    ("ops/slice", &[Part::Kernel], "one piece of each column: pieces has the kernel"),
    ("parquet/paths", &[Part::Kernel, Part::Bench], "lists files"),
    ("parquet/reader", &[Part::Kernel], "on the host for now: decoding on the device is work to come"),
    ("parquet/writer", &[Part::Kernel], "on the host for now: encoding on the device is work to come"),
];

/// Folders whose source the limits hold for.
const SOURCES: [&str; 7] = ["src", "tests", "benches", "kernels", "build", "examples", "crates"];

/// Longest allowed source file.
const MAX_LINES: usize = 800;

/// The files of an operator beside `src/<area>/<name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Kernel,
    Test,
    Bench,
}

/// `area/name` of every module in the areas under this folder: a file or a folder, `mod.rs` aside.
fn modules(folder: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for area in AREAS {
        let Ok(listing) = fs::read_dir(root().join(folder).join(area)) else { continue };
        for path in listing.map(|entry| entry.expect("a readable entry").path()) {
            let module = path.is_dir() && path.join("mod.rs").exists();
            if module || path.extension().is_some_and(|e| e == "rs") && !path.ends_with("mod.rs") {
                found.insert(format!("{area}/{}", path.file_stem().expect("a name").to_string_lossy()));
            }
        }
    }
    found
}

/// Names of the files with this extension in a folder of the root, without it.
fn stems(folder: &str, extension: &str) -> BTreeSet<String> {
    let listing = fs::read_dir(root().join(folder)).expect("a readable folder");
    let paths = listing.map(|entry| entry.expect("a readable entry").path());
    let paths = paths.filter(|path| path.extension().is_some_and(|e| e == extension));
    paths.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
}

fn may_lack(operator: &str, part: Part) -> bool {
    EXCEPTIONS.iter().any(|(name, parts, _)| *name == operator && parts.contains(&part))
}

#[test]
fn every_operator_has_its_four_files() {
    let (operators, tests, benches) = (modules("src"), modules("tests"), modules("benches"));
    let kernels = stems("kernels", "cu");
    let mut wrong = Vec::new();
    for operator in &operators {
        let (area, name) = operator.split_once('/').expect("area/name");
        for (part, there, path) in [
            (Part::Kernel, kernels.contains(name), format!("kernels/{name}.cu")),
            (Part::Test, tests.contains(operator), format!("tests/{area}/{name}.rs")),
            (Part::Bench, benches.contains(operator), format!("benches/{area}/{name}.rs")),
        ] {
            if !there && !may_lack(operator, part) {
                wrong.push(format!("src/{operator} has no {path}"));
            }
        }
    }
    assert!(wrong.is_empty(), "write the file, or add a reason to EXCEPTIONS:\n{}", wrong.join("\n"));
}

#[test]
fn no_file_without_its_operator() {
    let operators = modules("src");
    let mut wrong = Vec::new();
    for folder in ["tests", "benches"] {
        let orphans = modules(folder).into_iter().filter(|module| !operators.contains(module));
        // A judge that several tests of an area share is no operator's.
        wrong.extend(orphans.filter(|module| !module.ends_with("/oracle")).map(|m| format!("{folder}/{m}")));
    }
    let named = |name: &str| operators.iter().any(|operator| operator.split_once('/').is_some_and(|(_, n)| n == name));
    wrong.extend(stems("kernels", "cu").into_iter().filter(|k| !named(k)).map(|k| format!("kernels/{k}.cu")));
    let kernels = stems("kernels", "cu");
    wrong.extend(stems("ptx", "ptx").into_iter().filter(|p| !kernels.contains(p)).map(|p| format!("ptx/{p}.ptx")));
    assert!(wrong.is_empty(), "no operator of this name in src/:\n{}", wrong.join("\n"));
}

#[test]
fn exceptions_are_needed() {
    let (operators, tests, benches) = (modules("src"), modules("tests"), modules("benches"));
    let kernels = stems("kernels", "cu");
    let mut stale = Vec::new();
    for (operator, parts, _) in EXCEPTIONS {
        let name = operator.rsplit('/').next().unwrap_or_default();
        let there = |part: &Part| match part {
            Part::Kernel => kernels.contains(name),
            Part::Test => tests.contains(*operator),
            Part::Bench => benches.contains(*operator),
        };
        if !operators.contains(*operator) {
            stale.push(format!("{operator} is gone"));
        }
        stale.extend(parts.iter().filter(|part| there(part)).map(|part| format!("{operator} has its {part:?}")));
    }
    assert!(stale.is_empty(), "remove from EXCEPTIONS:\n{}", stale.join("\n"));
}

#[test]
fn every_kernel_header_is_included() {
    let text_of_kernels: String = sources().iter().filter(|p| p.starts_with("kernels")).map(|p| text(p)).collect();
    let unused: Vec<String> = stems("kernels/include", "cuh")
        .into_iter()
        .filter(|name| {
            !text_of_kernels.contains(&format!("/{name}.cuh\""))
                && !text_of_kernels.contains(&format!("\"{name}.cuh\""))
        })
        .collect();
    assert!(unused.is_empty(), "no kernel includes kernels/include/{unused:?}");
}

#[test]
fn every_module_is_declared() {
    let mut wrong = Vec::new();
    for path in sources().iter().filter(|path| path.extension().is_some_and(|e| e == "rs")) {
        let name = path.file_stem().expect("a name").to_string_lossy();
        let folder = path.parent().expect("a folder");
        let is_root = ["main", "lib"].contains(&name.as_ref());
        if is_root || !["src", "tests", "benches"].iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let (name, folder) = match name.as_ref() {
            "mod" => (folder.file_name().expect("a name").to_string_lossy(), folder.parent().expect("a parent")),
            _ => (name, folder),
        };
        let parents = ["mod.rs", "lib.rs", "main.rs"].map(|file| folder.join(file));
        let beside = folder.with_extension("rs");
        let declared = parents
            .iter()
            .chain([&beside])
            .filter_map(|p| fs::read_to_string(root().join(p)).ok())
            .any(|text| text.lines().any(|line| line.trim().ends_with(&format!("mod {name};"))));
        if !declared {
            wrong.push(path.display().to_string());
        }
    }
    assert!(wrong.is_empty(), "no `mod` line names these files:\n{}", wrong.join("\n"));
}

#[test]
fn source_files_stay_short() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter_map(|path| {
            let lines = text(&path).lines().count();
            (lines > MAX_LINES).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "files over {MAX_LINES} lines, split them:\n{}", long.join("\n"));
}

#[test]
fn nothing_is_left_unfinished() {
    let words = ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "#[ignore]"];
    let mut wrong = Vec::new();
    for path in sources().iter().filter(|path| !path.ends_with("tests/layout.rs")) {
        for (number, line) in text(path).lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(*word)) {
                wrong.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "finish these:\n{}", wrong.join("\n"));
}

/// The kernel!-declared launches are checked against the PTX when the library is compiled; that each entry has one
/// is checked here.
#[test]
fn every_entry_is_launched_by_the_library() {
    let library = sources().into_iter().filter(|path| path.starts_with("src")).map(|path| text(&path));
    let source: String = library.filter(|text| text.contains("kernel! {")).collect();
    let words: BTreeSet<&str> = source.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let mut wrong = Vec::new();
    for module in stems("ptx", "ptx") {
        let ptx = text(&Path::new("ptx").join(&module).with_extension("ptx"));
        for entry in ptx.lines().filter_map(|line| line.strip_prefix(".visible .entry ")) {
            let name = entry.trim_end_matches('(');
            // `kernel!` names an entry by its generated constant.
            let constant = name.trim_start_matches(&module).trim_start_matches('_').to_uppercase();
            if !words.contains(constant.as_str()) {
                wrong.push(format!("kernels/{module}.cu: {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "no kernel! declares these entries:\n{}", wrong.join("\n"));
}

fn text(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every `.rs`, `.cu` and `.cuh` file under the source folders, relative to the root and sorted.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = SOURCES.iter().map(|folder| root().join(folder)).filter(|p| p.is_dir()).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a readable source folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() && !path.ends_with("target") {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs" || e == "cu" || e == "cuh") {
                found.push(path.strip_prefix(root()).expect("a path under the root").to_path_buf());
            }
        }
    }
    found.sort();
    found
}
