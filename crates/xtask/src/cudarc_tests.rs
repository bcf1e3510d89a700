//! `cargo xtask cudarc-tests`: cudarc's own tests of its `driver` module, with the emulator in place of the driver.
//!
//! The source is the registry's copy of the version that the workspace uses; it is built in a folder under target. The
//! tests compile their kernels with NVRTC, which `.ci/requirements.txt` pins.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{emulate, nvcc, workspace};

/// Options of `cargo xtask cudarc-tests`.
#[derive(clap::Args)]
pub struct Args {
    /// Runs the excluded tests too; their failures are told, and count.
    #[arg(long)]
    all: bool,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// Tests that cannot pass without a GPU, each with the reason.
const EXCLUDED: [(&str, &str); 3] = [
    (
        "driver::safe::core::tests::test_default_pinned_host_reads_are_faster_than_write_combined",
        "measures how slowly a CPU reads write-combined memory, which needs the page attributes of a real driver",
    ),
    (
        "driver::safe::core::tests::test_pinned_copy_is_faster",
        "measures PCIe transfers of page-locked against pageable memory",
    ),
    (
        "driver::safe::launch::tests::test_par_launch",
        "measures that two kernels at once take half the time of one after the other, within a tenth: the emulator \
         shares the host's cores between them",
    ),
];

/// Features of cudarc that have to do with the driver.
const FEATURES: &str = "std,driver,nvrtc,f16,fallback-dynamic-loading,cuda-12080";

/// Builds and runs the tests.
pub fn run(args: &Args) -> Result<()> {
    let emulator = emulate::build()?;
    let nvrtc = nvrtc()?;
    let folder = workspace::target_dir()?.join("cudarc-tests");
    let source = copy_source(&folder)?;
    exports_all(&emulator.join("libcuda.so"), &source.join("src/driver/sys/mod.rs"))?;
    let exe = build(&source, &folder.join("target"))?;

    let tests = list(&exe, &[])?;
    let ignored = list(&exe, &["--ignored"])?;
    for (name, _) in EXCLUDED {
        ensure!(tests.contains(name), "{name} is excluded here, but cudarc has no such test any more");
    }
    let excluded = |name: &str| !args.all && EXCLUDED.iter().any(|(n, _)| *n == name);
    let wanted = |name: &&String| args.filter.as_ref().is_none_or(|f| name.contains(f.as_str())) && !excluded(name);

    let command = |names: &[&String]| -> Result<Command> {
        let mut command = Command::new(&exe);
        command.args(["--exact", "--include-ignored"]).args(names);
        command.env("LD_LIBRARY_PATH", std::env::join_paths([emulator.as_path(), nvrtc.as_path()])?);
        // Some tests ask for two devices, and one compiles for 5.3; both are fine with any other test.
        command.env("WARPLINE_EMULATOR_DEVICES", "2");
        Ok(command)
    };
    let together: Vec<&String> = tests.difference(&ignored).filter(wanted).collect();
    if !together.is_empty() {
        passes(&mut command(&together)?)?;
    }
    // What cudarc marks `ignore` must run by itself, or needs two devices.
    let alone: Vec<&String> = ignored.iter().filter(wanted).collect();
    for name in &alone {
        passes(&mut command(&[name])?)?;
    }
    println!("\n{} of cudarc's driver tests pass on the emulator", together.len() + alone.len());
    if !args.all {
        for (name, why) in EXCLUDED {
            println!("excluded: {name}\n          {why}");
        }
    }
    Ok(())
}

/// Every function that cudarc may look up must be there, if only to say that it is not supported: cudarc panics where a
/// symbol is missing.
fn exports_all(library: &Path, bindings: &Path) -> Result<()> {
    let bindings = fs::read_to_string(bindings).with_context(|| format!("cannot read {}", bindings.display()))?;
    let wanted: BTreeSet<&str> = bindings
        .split("load::<_F>(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|name| name.starts_with("cu"))
        .collect();
    ensure!(wanted.len() > 400, "only {} functions found in cudarc's bindings", wanted.len());
    let bytes = fs::read(library)?;
    // Names of exported symbols stand in the string table, each between two NULs.
    let names: BTreeSet<&[u8]> = bytes.split(|b| *b == 0).filter(|s| s.starts_with(b"cu")).collect();
    let missing: Vec<&str> = wanted.into_iter().filter(|name| !names.contains(name.as_bytes())).collect();
    ensure!(missing.is_empty(), "the emulator does not export {}", missing.join(", "));
    Ok(())
}

/// Runs a test binary; its own output tells which tests failed, so the error need not repeat the command line.
fn passes(command: &mut Command) -> Result<()> {
    let status = command.status().context("cannot run cudarc's tests")?;
    ensure!(status.success(), "cudarc's tests failed on the emulator: {status}");
    Ok(())
}

/// The driver module's tests; with `--ignored` only those marked so.
fn list(exe: &Path, options: &[&str]) -> Result<BTreeSet<String>> {
    let output = Command::new(exe).args(["--list", "--format", "terse"]).args(options).output()?;
    ensure!(output.status.success(), "{} lists no tests", exe.display());
    let text = String::from_utf8(output.stdout)?;
    let names = text.lines().filter_map(|l| l.strip_suffix(": test"));
    Ok(names.filter(|n| n.starts_with("driver::")).map(str::to_string).collect())
}

/// Copies cudarc's package out of the registry; files that have not changed keep their time, so that cargo need not
/// build them again.
fn copy_source(folder: &Path) -> Result<PathBuf> {
    let output = workspace::cargo().args(["metadata", "--format-version", "1", "--locked"]).output()?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let cudarc = packages.iter().find(|p| p["name"] == "cudarc").context("the workspace has no cudarc")?;
    let manifest = cudarc["manifest_path"].as_str().context("cudarc has no manifest")?;
    let from = Path::new(manifest).parent().context("a manifest lies in a folder")?;
    let to = folder.join(from.file_name().context("the package's folder has a name")?);
    let headers = headers()?;
    copy_folder(from, &to, &|path, text| match path.file_name().and_then(OsStr::to_str) {
        // A workspace of its own, not part of the one around the target folder.
        Some("Cargo.toml") => text + "\n[workspace]\n",
        // The one change: where this machine has CUDA's headers.
        Some("launch.rs") => text.replace("\"/usr/include\".into()", &headers),
        _ => text,
    })?;
    Ok(to)
}

fn copy_folder(from: &Path, to: &Path, edit: &dyn Fn(&Path, String) -> String) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_folder(&path, &target, edit)?;
        } else if let Ok(text) = fs::read_to_string(&path) {
            let text = edit(&path, text);
            if fs::read_to_string(&target).ok().as_ref() != Some(&text) {
                fs::write(&target, text)?;
            }
        }
    }
    Ok(())
}

/// Builds the test binary and gives its path.
fn build(source: &Path, target: &Path) -> Result<PathBuf> {
    let mut command = workspace::cargo();
    command.current_dir(source).env("CARGO_TARGET_DIR", target);
    command.args(["test", "--lib", "--no-run", "--no-default-features", "--features", FEATURES]);
    let built = workspace::executables(&mut command)?;
    let exe = built.first().and_then(|message| message["executable"].as_str());
    exe.map(PathBuf::from).context("cargo built no test binary")
}

/// Where NVIDIA's pip packages may lie: in the active Python environment, or in the one that CI makes.
fn wheels() -> Result<Vec<PathBuf>> {
    let venvs = [std::env::var_os("VIRTUAL_ENV").map(PathBuf::from), Some(workspace::cache_dir()?.join("venv"))];
    Ok(venvs.iter().flatten().flat_map(|venv| nvcc::wheels(venv)).collect())
}

/// The folder of the PyPI package's `libnvrtc.so.12`.
fn nvrtc() -> Result<PathBuf> {
    let folders = wheels()?.into_iter().map(|f| f.join("cuda_nvrtc/lib"));
    let found = folders.into_iter().find(|f| f.join("libnvrtc.so.12").exists());
    let Some(found) = found else {
        bail!("no NVRTC in the active Python environment: `pip install -r .ci/requirements.txt` gets it");
    };
    Ok(found)
}

/// Rust expressions of the folders with `cuda_fp16.h` and what it includes.
fn headers() -> Result<String> {
    let folders = wheels()?.into_iter().flat_map(|f| [f.join("cu13/include"), f.join("cu13/include/cccl")]);
    let list: Vec<String> =
        folders.filter(|f| f.is_dir()).map(|f| format!("{:?}.into()", f.display().to_string())).collect();
    ensure!(
        !list.is_empty(),
        "no CUDA headers in the active Python environment: `pip install -r .ci/requirements.txt`"
    );
    Ok(list.join(", "))
}
