//! `ptx/MANIFEST.toml`: which sources, compiler and flags the committed PTX came from, and what each entry uses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The whole manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// nvcc's version, such as `13.0.88`.
    pub nvcc: String,
    /// nvcc's flags, all but input and output.
    pub flags: Vec<String>,
    /// The architecture that ptxas reported registers and spills for.
    pub figures_for: String,
    /// By kernel file name without its extension.
    pub kernels: BTreeMap<String, Kernel>,
}

/// One kernel file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// Of the source and of our headers that it includes.
    pub source_sha256: String,
    /// Of the committed PTX.
    pub ptx_sha256: String,
    /// By entry name.
    pub entries: BTreeMap<String, Figures>,
}

/// What ptxas reports of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Registers of a thread.
    pub registers: u32,
    /// Statically allocated shared bytes of a block.
    pub shared: u32,
    /// Bytes that a thread spills to local memory, stores and loads together.
    pub spills: u32,
}

/// The `.cu` files of a package, sorted by name.
pub fn kernel_sources(root: &Path) -> Result<Vec<PathBuf>, String> {
    let folder = root.join("kernels");
    let listing = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut found: Vec<PathBuf> = listing
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "cu"))
        .collect();
    found.sort();
    Ok(found)
}

/// The kernel's name: its file name without the extension.
pub fn kernel_name(source: &Path) -> String {
    source.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The sha256 of a kernel file and of our headers that it includes, directly or not.
pub fn source_sha256(source: &Path) -> Result<String, String> {
    let mut hash = Sha256::new();
    let mut done = Vec::new();
    let mut open = vec![source.to_path_buf()];
    while let Some(path) = open.pop() {
        let path = path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))?;
        if done.contains(&path) {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?.replace('\r', "");
        hash.update(text.len().to_le_bytes());
        hash.update(&text);
        let folder = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        open.extend(own_includes(&text).map(|name| folder.join(name)));
        done.push(path);
    }
    Ok(hex(&hash.finalize()))
}

/// The sha256 of a text.
pub fn text_sha256(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Files named in `#include "..."`: ours; the toolkit's are in angle brackets.
fn own_includes(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("#include"))
        .filter_map(|rest| rest.trim().strip_prefix('"')?.split('"').next())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
