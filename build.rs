//! Embeds the committed PTX, or compiles the kernels that changed.
//!
//! Unchanged kernels (sha256 in `ptx/MANIFEST.toml`) need no CUDA toolkit. A published package embeds what it carries
//! and looks for no compiler.

#[path = "build/abi.rs"]
mod abi;
#[path = "build/canonical.rs"]
mod canonical;
#[path = "build/generate.rs"]
mod generate;
#[path = "build/manifest.rs"]
mod manifest;
#[path = "build/nvcc.rs"]
mod nvcc;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use generate::Module;
use manifest::{Manifest, kernel_name, kernel_sources, source_sha256, text_sha256};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Cargo prints each `cargo::error` line by itself, without the build script's other output.
            for line in why.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    for path in ["build.rs", "build", "kernels", "ptx"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let manifest = read_manifest(&root)?;
    let published = root.join(".cargo_vcs_info.json").exists();

    let mut modules = Vec::new();
    for name in names(&root, &manifest, published)? {
        let ptx =
            if published { committed(&root, &name, &manifest)? } else { current_ptx(&root, &out, &name, &manifest)? };
        let entries = abi::parse_entries(&ptx).map_err(|why| format!("{name}: {why}"))?;
        write(&out.join(&name).with_extension("ptx"), &ptx)?;
        modules.push(Module { name, entries });
    }
    write(&out.join("kernels.rs"), &generate::rust(&modules)?)
}

fn read_manifest(root: &Path) -> Result<Manifest, String> {
    let path = root.join("ptx/MANIFEST.toml");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// The kernel files' names: those of the sources, or as a published package, of the manifest.
fn names(root: &Path, manifest: &Manifest, published: bool) -> Result<Vec<String>, String> {
    if published {
        return Ok(manifest.kernels.keys().cloned().collect());
    }
    Ok(kernel_sources(root)?.iter().map(|source| kernel_name(source)).collect())
}

/// The committed PTX where it belongs to the source as it is now, else a fresh one.
fn current_ptx(root: &Path, out: &Path, name: &str, manifest: &Manifest) -> Result<String, String> {
    let source = root.join("kernels").join(name).with_extension("cu");
    let recorded = manifest.kernels.get(name);
    if manifest.flags == nvcc::FLAGS
        && recorded.is_some_and(|k| Ok(&k.source_sha256) == source_sha256(&source).as_ref())
    {
        return committed(root, name, manifest);
    }
    for variable in nvcc::VARIABLES {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let Some(compiler) = nvcc::candidates().into_iter().next() else {
        return Err(format!(
            "kernels/{name}.cu changed since ptx/{name}.ptx was generated, and no nvcc was found to compile it.\n\
             Get one without root: `cargo xtask ptx --install`, which also regenerates ptx/; or set NVCC or CUDA_HOME,\n\
             or activate a virtual environment with the pip package nvidia-cuda-nvcc. CONTRIBUTING.md has the versions."
        ));
    };
    nvcc::compile(&compiler, &source, out)
}

/// The committed PTX, which must be the one that the manifest was written for.
fn committed(root: &Path, name: &str, manifest: &Manifest) -> Result<String, String> {
    let path = root.join("ptx").join(name).with_extension("ptx");
    let ptx = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}: run `cargo xtask ptx`", path.display()))?;
    match manifest.kernels.get(name) {
        Some(kernel) if kernel.ptx_sha256 == text_sha256(&ptx) => Ok(ptx),
        _ => Err(format!("ptx/{name}.ptx is not the one that ptx/MANIFEST.toml records: run `cargo xtask ptx`")),
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
