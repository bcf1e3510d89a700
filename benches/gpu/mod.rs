//! What the bench binary does beside benches, for `cargo xtask gpu-bundle`: a machine with a GPU has this binary and no
//! Rust.
//!
//! `--calibrate FILE` measures the machine; `--data FOLDER` writes the benches' inputs and expected results for the
//! peers' scripts; `--collect FOLDER FILE` makes one JSON of everything that a run of the bundle wrote.

mod calibrate;
mod collect;
mod data;
mod driver;

use std::path::Path;

/// Runs the mode that the arguments ask for; `false` when they ask for benches.
pub fn mode() -> bool {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["--calibrate", file] => calibrate::run(Path::new(file)),
        ["--data", folder] => data::run(Path::new(folder)),
        ["--collect", folder, file] => collect::run(Path::new(folder), Path::new(file)),
        _ => return false,
    }
    true
}
