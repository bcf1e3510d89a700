//! The element types of candle's kernels, where its sources are, and what the comparisons share.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use cudarc::driver::{CudaSlice, DeviceRepr, LaunchConfig, ValidAsZeroBits};
use half::{bf16, f16};

use crate::common::Gpu;

/// The version whose kernels are compiled; cargo fetches it from its registry into its own cache.
const VERSION: &str = "=0.11.1";

/// A file of the `candle-kernels` crate.
pub fn candle(file: &str) -> Result<PathBuf, String> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOLDER.get_or_init(fetch).clone().map(|folder| folder.join("src").join(file))
}

/// Asks cargo for the crate through a manifest of our own: as a dependency its build script would want CUDA.
fn fetch() -> Result<PathBuf, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let manifest = folder.path().join("Cargo.toml");
    let text = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[lib]\npath = \"lib.rs\"\n\
         [dependencies]\ncandle-kernels = \"{VERSION}\"\n[workspace]\n"
    );
    std::fs::write(&manifest, text).map_err(|e| e.to_string())?;
    std::fs::write(folder.path().join("lib.rs"), "").map_err(|e| e.to_string())?;
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu", "--manifest-path"])
        .arg(&manifest)
        .output()
        .map_err(|e| format!("cannot run cargo: {e}"))?;
    if !output.status.success() {
        return Err(format!("cargo cannot fetch candle-kernels: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let found = packages.iter().find(|p| p["name"] == "candle-kernels").and_then(|p| p["manifest_path"].as_str());
    let manifest = PathBuf::from(found.ok_or("cargo metadata does not know candle-kernels")?);
    Ok(manifest.parent().ok_or("a manifest lies in a folder")?.to_path_buf())
}

/// An element type.
pub trait Elem: DeviceRepr + ValidAsZeroBits + Copy + Default + PartialEq + PartialOrd + std::fmt::Debug {
    /// As in the names of kernels.
    const NAME: &'static str;
    /// How far a result may be from the exact one, relative to it or to 1; 0 for integers.
    const CLOSE: f64;
    /// The nearest value, or for integers the low bits.
    fn of(v: f64) -> Self;
    /// Exactly.
    fn value(self) -> f64;
}
macro_rules! elems {
    ($($t:ty, $name:literal, $close:expr, |$v:ident| $of:expr, |$x:ident| $value:expr;)*) => { $(impl Elem for $t {
        const NAME: &'static str = $name;
        const CLOSE: f64 = $close;
        fn of($v: f64) -> Self {
            $of
        }
        fn value(self) -> f64 {
            let $x = self;
            $value
        }
    })* };
}
elems! {
    f32, "f32", 4e-6, |v| v as f32, |x| x as f64;
    f64, "f64", 1e-13, |v| v, |x| x;
    f16, "f16", 4e-3, |v| f16::from_f64(v), |x| x.to_f64();
    bf16, "bf16", 3e-2, |v| bf16::from_f64(v), |x| x.to_f64();
    u8, "u8", 0.0, |v| v as i64 as u8, |x| x as f64;
    u32, "u32", 0.0, |v| v as i64 as u32, |x| x as f64;
    i64, "i64", 0.0, |v| v as i64, |x| x as f64;
}

/// Numbers without a pattern, the same on each run.
pub fn noise(n: usize) -> impl Iterator<Item = u32> {
    (0..n as u32).map(|i| i.wrapping_mul(2654435761).rotate_left(i % 31) ^ 0x5bd1e995)
}

/// Numbers of either sign below 2.9, as the type holds them.
pub fn reals<E: Elem>(n: usize) -> Vec<E> {
    noise(n).map(|v| E::of(((v >> 4) as f64 / (1u64 << 28) as f64 - 0.5) * 5.8)).collect()
}

/// Small whole numbers, from 1.
pub fn wholes<E: Elem>(n: usize, most: u32) -> Vec<E> {
    noise(n).map(|v| E::of((1 + (v >> 7) % most) as f64)).collect()
}

/// Whether each result is as near to its exact value as its type allows.
pub fn assert_close<E: Elem>(what: &str, got: &[E], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let (near, rounded) = (E::CLOSE * w.abs().max(1.0), E::of(*w));
        assert!(*g == rounded || (g.value() - w).abs() <= near, "{what} [{i}]: {g:?} is not near {w:?} ({rounded:?})");
    }
}

/// Whether all results are equal.
pub fn assert_same<E: Elem>(what: &str, got: &[E], want: &[E]) {
    assert_eq!(got.len(), want.len(), "{what}");
    if let Some(i) = (0..got.len()).find(|i| got[*i] != want[*i]) {
        panic!("{what} [{i}]: {:?} instead of {:?}", got[i], want[i]);
    }
}

/// A grid of blocks of 128 threads, fewer than one for each element.
pub fn grid() -> LaunchConfig {
    LaunchConfig { grid_dim: (3, 1, 1), block_dim: (128, 1, 1), shared_mem_bytes: 0 }
}

/// Copies to the device.
pub fn up<V: DeviceRepr>(gpu: &Gpu, values: &[V]) -> CudaSlice<V> {
    gpu.stream.clone_htod(values).expect("a copy")
}

/// Copies from the device, when everything has run.
pub fn down<V: DeviceRepr + Clone + Default>(gpu: &Gpu, values: &CudaSlice<V>) -> Vec<V> {
    gpu.stream.clone_dtoh(values).expect("the kernels have run")
}

/// Zeroed memory.
pub fn zeros<V: DeviceRepr + ValidAsZeroBits>(gpu: &Gpu, n: usize) -> CudaSlice<V> {
    gpu.stream.alloc_zeros(n).expect("memory")
}
