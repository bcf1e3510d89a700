//! `warpline-emulate COMMAND...`: runs a command with the emulator in place of the CUDA driver.
//!
//! `cargo install` keeps programs and no libraries, so the first run builds the shared library out of the package's
//! source, which cargo keeps, into a cache folder; later runs find it there.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

const USAGE: &str = "\
Runs a command with the Warpline emulator in place of the CUDA driver.

usage: warpline-emulate [--] COMMAND [ARGUMENT...]
       warpline-emulate --folder      prints the folder with libcuda.so, for LD_LIBRARY_PATH
       warpline-emulate --version

The first run builds the library with cargo. WARPLINE_EMULATOR_LIBRARY names a library that is built already,
WARPLINE_EMULATOR_CACHE a folder other than ~/.cache/warpline-emulator. The README lists the settings of the emulator.";

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|a| a.to_str()) {
        None if args.is_empty() => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
        Some("--help" | "-h") => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some("--version" | "-V") => {
            println!("warpline-emulate {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Some("--folder") => return finish(folder().map(|f| println!("{}", f.display()))),
        Some("--") => drop(args.remove(0)),
        _ => {}
    }
    finish(run(&args))
}

fn finish(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("warpline-emulate: {why}");
            // What shells return for a command that cannot be run.
            ExitCode::from(126)
        }
    }
}

/// Becomes the command, so that its status and signals are its own; returns only with an error.
fn run(args: &[OsString]) -> Result<(), String> {
    let (name, rest) = args.split_first().ok_or("no command")?;
    let ours = folder()?;
    let others = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let others = std::env::split_paths(&others).filter(|p| !p.as_os_str().is_empty());
    let path = std::env::join_paths(std::iter::once(ours).chain(others)).map_err(|e| e.to_string())?;
    let error = Command::new(name).args(rest).env("LD_LIBRARY_PATH", path).exec();
    Err(format!("cannot run {}: {error}", name.to_string_lossy()))
}

/// A folder with the library under the driver's names, and nothing else.
fn folder() -> Result<PathBuf, String> {
    let cache = cache()?;
    let folder = cache.join("lib");
    let linked = folder.join("libcuda.so.1");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    if let Some(library) = std::env::var_os("WARPLINE_EMULATOR_LIBRARY").filter(|l| !l.is_empty()) {
        // Beside the one that is built, for either may be wanted next.
        let folder = cache.join("given");
        put(Path::new(&library), &folder)?;
        return Ok(folder);
    }
    // A published source never changes; a checkout does, and cargo knows whether there is something to build.
    let published = source.components().any(|c| c.as_os_str() == OsStr::new("registry"));
    if linked.exists() && (published || !source.exists()) {
        return Ok(folder);
    }
    put(&build(source, &cache.join("target"))?, &folder)?;
    Ok(folder)
}

/// `~/.cache/warpline-emulator/<version>`, or where the environment says.
fn cache() -> Result<PathBuf, String> {
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = var("WARPLINE_EMULATOR_CACHE")
        .or_else(|| var("XDG_CACHE_HOME").map(|c| c.join("warpline-emulator")))
        .or_else(|| var("HOME").map(|h| h.join(".cache/warpline-emulator")));
    let base = base.ok_or("none of WARPLINE_EMULATOR_CACHE, XDG_CACHE_HOME and HOME is set")?;
    Ok(base.join(env!("CARGO_PKG_VERSION")))
}

/// Builds the shared library and gives its path.
fn build(source: &Path, target: &Path) -> Result<PathBuf, String> {
    let manifest = source.join("Cargo.toml");
    if !manifest.exists() {
        let again = "`cargo install --force warpline-emulator` brings it back";
        return Err(format!("the emulator's source, {}, has gone: {again}", source.display()));
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--lib", "--locked", "--message-format", "json-render-diagnostics"]);
    cargo.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(target);
    // From elsewhere than the caller's project, whose toolchain and configuration are not meant for this.
    cargo.current_dir(source).env_remove("CARGO_BUILD_TARGET").stderr(Stdio::inherit());
    let output = cargo.output().map_err(|e| format!("cannot run cargo, which builds the emulator once: {e}"))?;
    if !output.status.success() {
        return Err("cargo could not build the emulator".into());
    }
    // The lines name each file that cargo made or found fresh.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let files = text.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok()).flat_map(|m| {
        let of_ours = m["target"]["name"] == "warpline_emulator";
        m["filenames"].as_array().filter(|_| of_ours).cloned().unwrap_or_default()
    });
    let library = files.filter_map(|f| f.as_str().map(PathBuf::from)).find(|f| f.extension() == Some(OsStr::new("so")));
    library.ok_or_else(|| "cargo built no shared library".into())
}

/// Puts a library into a folder under the driver's names, in one step, so that processes which use an older one keep it.
/// As in the driver's packages, one name is a link to the other: a process that opens both must not hold two emulators.
fn put(library: &Path, folder: &Path) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("cannot put {} into {}: {e}", library.display(), folder.display());
    fs::create_dir_all(folder).map_err(fail)?;
    let stamp = |p: &Path| fs::metadata(p).and_then(|m| Ok((m.len(), m.modified()?))).ok();
    let to = folder.join("libcuda.so.1");
    let fresh = folder.join(format!("new.{}", std::process::id()));
    let newer = stamp(library).zip(stamp(&to)).is_none_or(|(from, to)| from.0 != to.0 || from.1 > to.1);
    if newer {
        fs::copy(library, &fresh).and_then(|_| fs::rename(&fresh, &to)).map_err(fail)?;
    }
    symlink("libcuda.so.1", &fresh).and_then(|()| fs::rename(&fresh, folder.join("libcuda.so"))).map_err(fail)
}
