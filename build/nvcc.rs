//! Finding and running nvcc.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::canonical::canonicalize;

/// nvcc's flags, all but input and output. No native architecture, no fused multiply-add that the source does not
/// write, and line numbers for profilers and for the emulator's findings.
pub const FLAGS: [&str; 6] =
    ["-std=c++17", "-O3", "-lineinfo", "--fmad=false", "--gpu-architecture=compute_75", "--ptx"];

/// Added for a file without a kernel, whose functions other modules call: nvcc would drop them.
pub const LIBRARY_FLAG: &str = "-rdc=true";

/// Environment variables that decide which nvcc is used.
pub const VARIABLES: [&str; 5] = ["NVCC", "CUDA_HOME", "CUDA_PATH", "PATH", "VIRTUAL_ENV"];

/// Every nvcc there is, best first: `NVCC`, then `CUDA_HOME`, `CUDA_PATH`, `PATH`, then the pip package
/// `nvidia-cuda-nvcc` in the active virtual environment.
pub fn candidates() -> Vec<PathBuf> {
    let folder = |variable: &str| env::var_os(variable).map(PathBuf::from);
    let mut paths: Vec<PathBuf> = folder("NVCC").into_iter().collect();
    paths.extend(["CUDA_HOME", "CUDA_PATH"].iter().filter_map(|v| folder(v)).map(|p| p.join("bin/nvcc")));
    paths.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()).map(|p| p.join("nvcc")));
    paths.extend(folder("VIRTUAL_ENV").into_iter().filter_map(|venv| in_virtual_env(&venv)));
    paths.retain(|path| path.is_file());
    paths
}

/// The nvcc of the pip package `nvidia-cuda-nvcc` in this virtual environment.
pub fn in_virtual_env(venv: &Path) -> Option<PathBuf> {
    wheels(venv)
        .into_iter()
        .flat_map(|nvidia| ["cu13/bin/nvcc", "cuda_nvcc/bin/nvcc"].map(|nvcc| nvidia.join(nvcc)))
        .find(|nvcc| nvcc.is_file())
}

/// Where NVIDIA's pip packages lie in this virtual environment: a folder for each version of Python in it.
pub fn wheels(venv: &Path) -> Vec<PathBuf> {
    let versions = std::fs::read_dir(venv.join("lib")).into_iter().flatten().flatten();
    versions.map(|version| version.path().join("site-packages/nvidia")).collect()
}

/// Compiles a kernel file to canonical PTX; `scratch` holds the raw output.
pub fn compile(nvcc: &Path, source: &Path, scratch: &Path) -> Result<String, String> {
    let raw = scratch.join(source.file_name().unwrap_or_default()).with_extension("raw.ptx");
    let text = std::fs::read_to_string(source).map_err(|e| format!("{}: {e}", source.display()))?;
    let library = !text.contains("__global__");
    let output = Command::new(nvcc)
        .args(FLAGS)
        .args(library.then_some(LIBRARY_FLAG))
        .arg("-o")
        .arg(&raw)
        .arg(source)
        .output()
        .map_err(|e| format!("cannot run {}: {e}", nvcc.display()))?;
    if !output.status.success() {
        return Err(format!("nvcc failed on {}:\n{}", source.display(), String::from_utf8_lossy(&output.stderr)));
    }
    let kernels = source.parent().unwrap_or(Path::new(""));
    let text = std::fs::read_to_string(&raw).map_err(|e| format!("{}: {e}", raw.display()))?;
    canonicalize(&text, &kernels.to_string_lossy()).map_err(|why| format!("{}: {why}", source.display()))
}
