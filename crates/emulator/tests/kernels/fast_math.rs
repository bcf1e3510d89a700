//! What nvcc makes of float arithmetic with `-use_fast_math`.

use std::path::PathBuf;

use cudarc::driver::{LaunchConfig, PushKernelArg};

use crate::common::Gpu;
use crate::kernels::nvcc::compiled;
use crate::launch;

fn source() -> Result<PathBuf, String> {
    Ok(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fast_math.cu")))
}

/// A subnormal becomes zero of its sign.
fn flush(v: f32) -> f32 {
    if v.is_subnormal() { 0f32.copysign(v) } else { v }
}

/// All pairs of a few values: zeros, subnormals, the smallest normal numbers, everyday ones, large ones.
fn pairs() -> (Vec<f32>, Vec<f32>) {
    let least = f32::MIN_POSITIVE;
    let values = [0.0, 1e-40, f32::from_bits(1), least, 1.5 * least, 0.3, 0.5, 1.0, 1.25, 2.5, 100.0, 3e38];
    let all: Vec<f32> = values.iter().flat_map(|v| [*v, -*v]).collect();
    all.iter().flat_map(|a| all.iter().map(|b| (*a, *b))).unzip()
}

fn run(gpu: &Gpu, kernel: &str, results: usize) -> Vec<Vec<f32>> {
    let (a, b) = pairs();
    let (n, count) = (a.len(), a.len() as i32);
    let (da, db) = (gpu.stream.clone_htod(&a).expect("a copy"), gpu.stream.clone_htod(&b).expect("a copy"));
    let mut out = gpu.stream.alloc_zeros::<f32>(n * results).expect("memory");
    let config = LaunchConfig { grid_dim: (n.div_ceil(64) as u32, 1, 1), block_dim: (64, 1, 1), shared_mem_bytes: 0 };
    launch!(gpu.stream, &gpu.kernel(kernel), config, &da, &db, &mut out, &count).unwrap();
    gpu.stream.clone_dtoh(&out).expect("the kernel has run").chunks(n).map(<[f32]>::to_vec).collect()
}

#[test]
fn flushed_arithmetic() {
    compiled("kernels::fast_math::flushed_arithmetic", source, |gpu, _| {
        let results: [fn(f32, f32) -> f32; 13] = [
            |x, y| x + y,
            |x, y| x - y,
            |x, y| x * y,
            |x, y| x.mul_add(y, x),
            |x, y| if x < y || x == y && x.is_sign_negative() { x } else { y },
            |x, y| if x > y || x == y && x.is_sign_positive() { x } else { y },
            |x, y| if x < y { 1.0 } else { 2.0 },
            |x, y| if x == y { 1.0 } else { 2.0 },
            |x, _| if x > 0.0 { x.min(1.0) } else { 0.0 },
            |x, _| x.floor(),
            |x, _| x.round_ties_even(),
            |x, _| x.ceil() as i32 as f32,
            |x, _| (x as f64 * 0.5) as f32,
        ];
        let (a, b) = pairs();
        for (k, (got, want)) in run(gpu, "exact", results.len()).iter().zip(results).enumerate() {
            for i in 0..a.len() {
                let want = flush(want(flush(a[i]), flush(b[i])));
                assert_eq!(got[i].to_bits(), want.to_bits(), "result {k} of {:e} and {:e}: {:e}", a[i], b[i], got[i]);
            }
        }
    });
}

/// Approximations: as near to the exact result as the PTX reference asks, for values whose result is no extreme.
#[test]
fn approximate_arithmetic() {
    compiled("kernels::fast_math::approximate_arithmetic", source, |gpu, _| {
        let results: [fn(f64, f64) -> f64; 8] = [
            |x, y| x / y,
            |x, _| x.sqrt(),
            |x, _| 1.0 / x.sqrt(),
            |x, _| x.sin(),
            |x, _| x.cos(),
            |x, _| x.log2(),
            |x, _| x.exp2(),
            |x, _| x.exp(),
        ];
        let (a, b) = pairs();
        let mut compared = 0;
        for (k, (got, want)) in run(gpu, "close", results.len()).iter().zip(results).enumerate() {
            for i in 0..a.len() {
                let (x, y) = (flush(a[i]), flush(b[i]));
                // Sines of large numbers are not to be had from an approximation, nor are quotients by large ones.
                if x.abs() > 3.0 || !(1e-3..1e30).contains(&y.abs()) {
                    continue;
                }
                let want = want(x as f64, y as f64);
                if !want.is_finite() {
                    assert!(!got[i].is_finite(), "result {k} of {x:e} and {y:e}: {:e}", got[i]);
                    continue;
                }
                let error = (flush(want as f32) as f64 - got[i] as f64).abs();
                assert!(error <= 4e-7 * want.abs().max(1.0), "result {k} of {x:e} and {y:e}: {:e}", got[i]);
                compared += 1;
            }
        }
        assert!(compared > 1000, "{compared}");
    });
}
