//! Where things are, and running programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The root of the repository: of the clone that `cargo xtask` was called in, for clones may share a target folder
/// and with it this binary.
pub fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).ancestors().nth(2).expect("crates/xtask is two folders below the root").to_path_buf()
}

/// Cargo's target folder, wherever `CARGO_TARGET_DIR` or a configuration file puts it.
pub fn target_dir() -> Result<PathBuf> {
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target folder")?;
    Ok(PathBuf::from(target))
}

/// Where downloaded tools are kept between runs and clones: `WARPLINE_CACHE`, else `~/.cache/warpline`.
pub fn cache_dir() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("WARPLINE_CACHE") {
        return Ok(PathBuf::from(folder));
    }
    let home = std::env::var_os("HOME").context("neither WARPLINE_CACHE nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/warpline"))
}

/// The cargo that runs us, in the root of the repository.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command to its end with our own output; a failure is an error that names it.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("cannot run {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// Runs a cargo command that builds; gives cargo's messages about the executables that came out (each has the path as
/// `executable`). What the compiler says goes to standard error.
pub fn executables(command: &mut Command) -> Result<Vec<Value>> {
    command.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    let shown = shown(command);
    let output = command.output().with_context(|| format!("cannot run {shown}"))?;
    ensure!(output.status.success(), "{shown}: {}", output.status);
    let lines = String::from_utf8(output.stdout)?;
    let messages = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    Ok(messages.into_iter().filter(|message| message["executable"].is_string()).collect())
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
