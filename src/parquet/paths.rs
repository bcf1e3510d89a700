//! Files, folders and patterns as lists of files.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

const OP: &str = "input";

/// The files that `paths` name, in the order given: a file as it is; a folder as all files in it and below whose
/// extension is one of `extensions` (any case), sorted; a pattern with `*`, `?`, `[..]` or `**` as its matches, sorted.
///
/// Files and folders whose name starts with `.` or `_` are left out of folders, as are unfinished outputs
/// (`*.partial-*`).
///
/// # Errors
/// `Io` for a path that does not exist or cannot be read; `InvalidInput` for a folder or pattern without a file, or a
/// bad pattern. Each names the path.
pub fn expand_paths(paths: &[impl AsRef<Path>], extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let before = files.len();
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => walk(path, extensions, &mut files)?,
            Ok(_) => files.push(path.to_path_buf()),
            Err(_) if is_pattern(path) => matches(path, extensions, &mut files)?,
            Err(e) => return Err(Error::io(path, e)),
        }
        if files.len() == before {
            let why = match is_pattern(path) {
                true => format!("no file matches {}", path.display()),
                false => format!("no .{} file in {}", extensions.join(" or ."), path.display()),
            };
            return Err(Error::invalid(OP, why));
        }
    }
    if files.is_empty() {
        return Err(Error::invalid(OP, "no input given"));
    }
    Ok(files)
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

fn matches(pattern: &Path, extensions: &[&str], files: &mut Vec<PathBuf>) -> Result<()> {
    let text = pattern.to_string_lossy();
    let found = glob::glob(&text).map_err(|e| Error::invalid(OP, format!("bad pattern {text}: {e}")))?;
    for path in found {
        let path = path.map_err(|e| Error::io(e.path(), std::io::Error::other(e.error().to_string())))?;
        if path.is_dir() {
            walk(&path, extensions, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn walk(folder: &Path, extensions: &[&str], files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |e| Error::io(folder, e);
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .map_err(failed)?;
    entries.sort();
    for path in entries {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(['.', '_']) || name.contains(".partial-") {
            continue;
        }
        // A link to a folder is not followed: it could lead back up.
        let kind = std::fs::symlink_metadata(&path).map_err(|e| Error::io(&path, e))?;
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        if kind.is_dir() {
            walk(&path, extensions, files)?;
        } else if extension.is_some_and(|e| extensions.contains(&e.as_str())) {
            files.push(path);
        }
    }
    Ok(())
}
