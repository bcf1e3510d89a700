//! The command as users run it: one binary, a module per command.

mod bad_input;
mod cat;
mod corpora;
mod demo;
mod device;
mod join;
mod memory;
#[cfg(feature = "ort")]
mod onnx_runtime;
mod oracle;
mod partition;
mod run;
mod tensor;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The `warpline` that cargo built for these tests, or, where they run on another machine, the one that the environment
/// names.
fn warpline(args: &[&str]) -> Command {
    let built = env!("CARGO_BIN_EXE_warpline");
    let mut command = Command::new(std::env::var_os("WARPLINE_BIN").unwrap_or_else(|| built.into()));
    command.args(args);
    command
}

/// Runs to the end; fails with what it wrote unless it succeeds.
fn succeed(args: &[&str]) -> Output {
    let output = warpline(args).output().expect("warpline starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "warpline {args:?}: {}\n{out}\n{err}", output.status);
    output
}

/// Runs to an error: this exit code, one line on the standard error that has all of `parts`.
fn refuse(args: &[&str], code: i32, parts: &[&str]) {
    let output = warpline(args).output().expect("warpline starts");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "warpline {args:?}: {message}");
    assert_eq!(message.trim_end().lines().count(), 1, "more than one line: {message}");
    assert!(message.starts_with("error: "), "{message}");
    for part in parts {
        assert!(message.contains(part), "'{part}' is not in: {message}");
    }
}

/// A new folder that is removed at the end of the test.
fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// Names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a readable folder");
    let mut names: Vec<String> =
        entries.map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// A small data set made by `warpline demo --data-only`, once for all tests: (folder, images, labels).
fn data() -> &'static (TempDir, PathBuf, PathBuf) {
    static DATA: std::sync::OnceLock<(TempDir, PathBuf, PathBuf)> = std::sync::OnceLock::new();
    DATA.get_or_init(|| {
        let root = folder();
        let path = root.path().join("data");
        succeed(&["demo", "--data-only", "--rows", "60", "--seed", "3", "--output", text(&path)]);
        (root, path.join("images.parquet"), path.join("labels.parquet"))
    })
}
