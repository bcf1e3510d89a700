//! Kernels that are compiled while the tests run: nvcc's output is not committed, and where there is no nvcc the test says
//! that it was skipped, and why. With `REQUIRE_ORACLE=1` that is a failure.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use crate::common::{Gpu, emulated_with, in_child};

/// The architectures that the emulator claims.
const ARCHITECTURES: [(u32, &str); 2] = [(75, "7.5"), (80, "8.0")];

/// nvcc by `NVCC`, `PATH`, or the pip package in the active virtual environment.
pub fn nvcc() -> Option<PathBuf> {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let on_path = std::env::split_paths(&var("PATH").unwrap_or_default()).map(|p| p.join("nvcc")).collect::<Vec<_>>();
    let pip = var("VIRTUAL_ENV").and_then(|venv| {
        let versions = std::fs::read_dir(venv.join("lib")).ok()?;
        versions.flatten().map(|v| v.path().join("site-packages/nvidia/cu13/bin/nvcc")).find(|nvcc| nvcc.is_file())
    });
    var("NVCC").into_iter().chain(on_path).chain(pip).find(|p| p.is_file())
}

/// Compiles a file for an architecture, once a process; gives the PTX's path.
fn compile(source: &Path, arch: u32) -> Result<PathBuf, String> {
    type Done = HashMap<(PathBuf, u32), Result<PathBuf, String>>;
    static DONE: OnceLock<(tempfile::TempDir, Mutex<Done>)> = OnceLock::new();
    let (folder, done) = DONE.get_or_init(|| (tempfile::tempdir().expect("a temporary folder"), Mutex::default()));
    let mut done = done.lock().expect("no test panics while it compiles");
    let compiled = done.entry((source.to_path_buf(), arch)).or_insert_with(|| {
        let nvcc = nvcc().ok_or("no nvcc in NVCC, PATH or VIRTUAL_ENV")?;
        let stem = source.file_stem().unwrap_or_default().to_string_lossy();
        let out = folder.path().join(format!("{stem}.{arch}.ptx"));
        // A file may ask for options in its first line.
        let text = std::fs::read_to_string(source).map_err(|e| e.to_string())?;
        let options = text.lines().next().and_then(|line| line.strip_prefix("// nvcc: ")).unwrap_or_default();
        let output = Command::new(nvcc)
            .args(["-std=c++17", "-O3", "-lineinfo", "--ptx", "-o"])
            .arg(&out)
            .arg(format!("--gpu-architecture=compute_{arch}"))
            .args(options.split_whitespace())
            .arg(source)
            .output()
            .map_err(|e| format!("cannot run nvcc: {e}"))?;
        assert!(output.status.success(), "nvcc: {}", String::from_utf8_lossy(&output.stderr));
        Ok(out)
    });
    compiled.clone()
}

/// Says that a test was skipped; a failure where its judge is required.
pub fn skipped(why: &str) {
    let required = std::env::var_os("REQUIRE_ORACLE").is_some_and(|v| v != "0");
    assert!(!required, "REQUIRE_ORACLE is set, and {why}");
    eprintln!("skipped: {why}");
}

/// Compiles a file for each architecture and runs `body` with its kernels, in plain order and under a seed.
///
/// `name` is the full name of the test that calls this.
pub fn compiled(name: &str, source: impl FnOnce() -> Result<PathBuf, String>, body: impl Fn(&Gpu, u32)) {
    compiled_with(name, "all", source, body);
}

/// As [`compiled`], with the given checks.
pub fn compiled_with(
    name: &str,
    checks: &str,
    source: impl FnOnce() -> Result<PathBuf, String>,
    body: impl Fn(&Gpu, u32),
) {
    let quiet = |report: &str| assert!(!report.contains("warpline-emulator:"), "{report}");
    each_schedule(name, checks, source, body, quiet);
}

/// As [`compiled`], for a body that meets a finding whose report has the given text.
pub fn compiled_expecting(
    name: &str,
    text: &str,
    source: impl FnOnce() -> Result<PathBuf, String>,
    body: impl Fn(&Gpu, u32),
) {
    each_schedule(name, "all", source, body, |report| assert!(report.contains(text), "{report}"));
}

fn each_schedule(
    name: &str,
    checks: &str,
    source: impl FnOnce() -> Result<PathBuf, String>,
    body: impl Fn(&Gpu, u32),
    judge: impl Fn(&str),
) {
    const PTX: &str = "WARPLINE_EMULATOR_TEST_PTX";
    const ARCH: &str = "WARPLINE_EMULATOR_TEST_ARCH";
    if in_child() {
        let var = |name: &str| std::env::var(name).expect("the parent has set it");
        let text = std::fs::read_to_string(var(PTX)).expect("the PTX is there");
        return body(&Gpu::new(&text), var(ARCH).parse().expect("a number"));
    }
    let source = match source() {
        Ok(source) => source,
        Err(why) => return skipped(&why),
    };
    for (arch, cc) in ARCHITECTURES {
        let ptx = match compile(&source, arch) {
            Ok(ptx) => ptx,
            Err(why) => return skipped(&why),
        };
        let (ptx, arch) = (ptx.to_string_lossy().into_owned(), arch.to_string());
        for seed in ["0", "7"] {
            let settings = [("CC", cc), ("SEED", seed), ("CHECKS", checks)];
            let settings = settings.map(|(k, v)| (format!("WARPLINE_EMULATOR_{k}"), v));
            let mut env: Vec<_> = settings.iter().map(|(k, v)| (k.as_str(), *v)).collect();
            env.extend([(PTX, &*ptx), (ARCH, &*arch)]);
            judge(&emulated_with(name, &env, || ()));
        }
    }
}
