//! The pinned CUDA compiler, which comes from PyPI and needs no root.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{nvcc, workspace};

/// The only nvcc whose output `ptx/` may hold.
pub const NVCC_VERSION: &str = "13.0.88";

/// nvcc's parts; nvcc alone would pull a newer nvvm, whose PTX its own ptxas rejects.
pub const PACKAGES: [&str; 5] = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-cuda-cccl==13.0.85",
];

/// nvcc and the ptxas beside it.
pub struct Toolchain {
    /// The compiler.
    pub nvcc: PathBuf,
    /// The assembler.
    pub ptxas: PathBuf,
}

/// The pinned toolchain: one that the environment names, else the one in our cache, which `install` puts there.
pub fn find(install: bool) -> Result<Toolchain> {
    let venv = workspace::cache_dir()?.join("venv");
    let pinned = |nvcc: &PathBuf| version(nvcc).is_ok_and(|version| version == NVCC_VERSION);
    let mut nvcc = nvcc::candidates().into_iter().chain(nvcc::in_virtual_env(&venv)).find(pinned);
    if nvcc.is_none() && install {
        install_into(&venv)?;
        nvcc = nvcc::in_virtual_env(&venv).filter(pinned);
    }
    let Some(nvcc) = nvcc else {
        bail!(
            "no nvcc {NVCC_VERSION} found (looked at {} and {}): `cargo xtask ptx --install` gets it from PyPI",
            nvcc::VARIABLES.join(", "),
            venv.display()
        );
    };
    let ptxas = nvcc.with_file_name("ptxas");
    Ok(Toolchain { nvcc, ptxas })
}

/// nvcc's version, such as `13.0.88`.
fn version(nvcc: &Path) -> Result<String> {
    let output =
        Command::new(nvcc).arg("--version").output().with_context(|| format!("cannot run {}", nvcc.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix('V'))
        .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()));
    version.map(str::to_string).with_context(|| format!("{}: no version in its answer: {text}", nvcc.display()))
}

fn install_into(venv: &Path) -> Result<()> {
    if !venv.join("bin/python").exists() {
        workspace::run(Command::new("python3").args(["-m", "venv"]).arg(venv))
            .context("a Python with the venv module is needed (Debian: python3-venv)")?;
    }
    workspace::run(Command::new(venv.join("bin/python")).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))
}
