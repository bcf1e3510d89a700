//! `cargo xtask gpu-bundle`: one folder with everything that a machine with a GPU and no Rust needs to test, measure and
//! compare.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{emulate, workspace};

/// The largest bundle.
const MOST_BYTES: u64 = 60 << 20;

/// Options of `cargo xtask gpu-bundle`.
#[derive(clap::Args)]
pub struct Args {
    /// Where it is made; what is there already is replaced if it is a bundle.
    #[arg(long, default_value = "target/gpu-bundle")]
    output: PathBuf,
}

/// Builds the bundle.
pub fn run(args: &Args) -> Result<()> {
    let folder = workspace::root().join(&args.output);
    clear(&folder)?;
    let bin = folder.join("bin");
    fs::create_dir_all(&bin)?;
    for (from, name) in executables()? {
        strip(&from, &bin.join(name))?;
    }
    let emulator = emulate::build()?;
    fs::create_dir_all(folder.join("emulator"))?;
    strip(&emulator.join("libcuda.so.1"), &folder.join("emulator/libcuda.so.1"))?;
    std::os::unix::fs::symlink("libcuda.so.1", folder.join("emulator/libcuda.so"))?;
    pack(&folder)?;
    // What tests and calibration read: the tree that the tests walk is the repository's own, without what git ignores.
    for part in ["tests", "ptx", "kernels", "src", "benches", "build", "examples", "crates", "docs"] {
        copy_tracked(part, &folder.join("root"))?;
    }
    for file in ["README.md", "CONTRIBUTING.md", "Cargo.toml", "build.rs"] {
        copy_tracked(file, &folder.join("root"))?;
    }
    let ours = workspace::root().join("crates/xtask/bundle");
    fs::copy(ours.join("run.sh"), folder.join("run.sh"))?;
    fs::set_permissions(folder.join("run.sh"), fs::Permissions::from_mode(0o755))?;
    fs::create_dir_all(folder.join("peers"))?;
    for entry in fs::read_dir(ours.join("peers"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "py") {
            fs::copy(&path, folder.join("peers").join(path.file_name().context("a file name")?))?;
        }
    }
    fs::write(folder.join("bundle.json"), serde_json::to_string_pretty(&about()?)?)?;
    let bytes = size(&folder)?;
    ensure!(bytes <= MOST_BYTES, "the bundle has {} MB, at most {} MB fit", bytes >> 20, MOST_BYTES >> 20);
    println!("{} ({} MB): copy it to a machine with a GPU and call run.sh", folder.display(), bytes >> 20);
    Ok(())
}

/// Removes an earlier bundle; refuses to remove anything else.
fn clear(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let empty = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    ensure!(empty || folder.join("bundle.json").exists(), "{} exists and is no bundle", folder.display());
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// Builds tests and benches, in one choice of packages so that all share their dependencies; gives each with
/// its name in the bundle.
fn executables() -> Result<Vec<(PathBuf, &'static str)>> {
    let mut found = Vec::new();
    for what in [&["test", "--no-run"][..], &["bench", "--no-run", "--bench", "main"]] {
        let mut command = workspace::cargo();
        command.args(what).args(["--profile", "ci", "--workspace"]);
        for message in workspace::executables(&mut command)? {
            let Some(path) = message["executable"].as_str() else { continue };
            // The package's name follows the path of its folder in the id.
            let package = message["package_id"].as_str().unwrap_or_default();
            let root = package.contains("#warpline@");
            let name = match (message["target"]["kind"][0].as_str(), message["target"]["name"].as_str()) {
                (Some("lib"), _) if root => "unit",
                (Some("test"), Some("main")) if root => "integration",
                (Some("bench"), Some("main")) if root => "benches",
                _ => continue,
            };
            found.push((PathBuf::from(path), name));
        }
    }
    for name in ["unit", "integration", "benches"] {
        ensure!(found.iter().any(|(_, found)| *found == name), "cargo built no '{name}'");
    }
    Ok(found)
}

/// Packs the binaries, which take a third of the space so; run.sh unpacks them.
fn pack(folder: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    workspace::run(tar.current_dir(folder).args(["-czf", "bin.tar.gz", "bin", "emulator"]))?;
    fs::remove_dir_all(folder.join("bin"))?;
    fs::remove_dir_all(folder.join("emulator"))?;
    Ok(())
}

/// Copies an executable or library without its symbols and debug information.
fn strip(from: &Path, to: &Path) -> Result<()> {
    let done = Command::new("strip").arg("-o").arg(to).arg(from).status();
    match done {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("strip {}: {status}", from.display()),
        Err(e) => bail!("strip (of binutils): {e}"),
    }
}

/// Copies what git tracks, or would, under a path of the repository.
fn copy_tracked(part: &str, to: &Path) -> Result<()> {
    let mut git = Command::new("git");
    git.current_dir(workspace::root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", part]);
    let output = git.output().context("cannot run git")?;
    ensure!(output.status.success(), "git ls-files {part} failed");
    for file in String::from_utf8(output.stdout)?.split_terminator('\0') {
        let from = workspace::root().join(file);
        if from.is_file() {
            let to = to.join(file);
            fs::create_dir_all(to.parent().context("a folder")?)?;
            fs::copy(&from, &to).with_context(|| format!("cannot copy {file}"))?;
        }
    }
    Ok(())
}

/// What the bundle was made of.
fn about() -> Result<Value> {
    let root = workspace::root();
    let git = |args: &[&str]| -> Result<String> {
        let output = Command::new("git").current_dir(&root).args(args).output().context("cannot run git")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let mut hash = Sha256::new();
    let mut files: Vec<_> = fs::read_dir(root.join("ptx"))?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|e| e == "ptx"));
    files.sort();
    for file in files {
        hash.update(fs::read(file)?);
    }
    let ptx: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(json!({
        "commit": git(&["rev-parse", "HEAD"])?,
        "changed": !git(&["status", "--porcelain"])?.is_empty(),
        "ptx_sha256": ptx,
    }))
}

fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
