//! `cargo xtask emulate`: a command with the emulator in place of the CUDA driver.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace;

/// Options of `cargo xtask emulate`.
#[derive(clap::Args)]
pub struct Args {
    /// The command and its arguments, after `--`.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Builds the emulator and runs the command with it.
pub fn run(args: &Args) -> Result<()> {
    let folder = build()?;
    let mut command = Command::new(&args.command[0]);
    command.args(&args.command[1..]);
    use_emulator(&mut command, &folder)?;
    // cargo says where xtask is, which a test binary would take for its own package.
    command.env_remove("CARGO_MANIFEST_DIR");
    let status = command.status().with_context(|| format!("cannot run {}", args.command[0].to_string_lossy()))?;
    // The command's own status, so that `emulate` can stand in scripts; 128 + n for a signal would need more care.
    std::process::exit(status.code().unwrap_or(1));
}

/// Builds the emulator and puts it into `<target>/emulator/` under the driver's names; returns that folder.
///
/// Never into `<target>/ci/`: cargo puts that folder into `LD_LIBRARY_PATH`, so every `cargo run` would load the
/// emulator in place of the real driver.
pub fn build() -> Result<PathBuf> {
    let target = workspace::target_dir()?;
    // In a folder of its own: the library's file name carries no hash, so builds with the features of other packages
    // would write it again each time, and cargo would build it again each time.
    let apart = target.join("emulator-build");
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--quiet", "--profile", "ci", "--package", "warpline-emulator", "--lib", "--target-dir"]);
    workspace::run(cargo.arg(&apart))?;
    let library = apart.join("ci/libwarpline_emulator.so");
    let folder = target.join("emulator");
    fs::create_dir_all(&folder)?;
    install(&folder.join("libcuda.so.1"), |to| fs::copy(&library, to).map(|_| ()))?;
    // A link, as the driver's own packages have it: one file, so that a process never holds two emulators.
    install(&folder.join("libcuda.so"), |to| symlink("libcuda.so.1", to))?;
    Ok(folder)
}

/// Replaces `to` in one step, so that a process that has it mapped keeps its own copy.
fn install(to: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    let fresh = to.with_extension(format!("new-{}", std::process::id()));
    make(&fresh).and_then(|()| fs::rename(&fresh, to)).with_context(|| format!("cannot write {}", to.display()))
}

/// Lets a command find this folder's libcuda before any other.
pub fn use_emulator(command: &mut Command, folder: &Path) -> Result<()> {
    let others = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let paths = std::iter::once(folder.to_path_buf())
        .chain(std::env::split_paths(&others).filter(|p| !p.as_os_str().is_empty()));
    command.env("LD_LIBRARY_PATH", std::env::join_paths(paths)?);
    Ok(())
}
