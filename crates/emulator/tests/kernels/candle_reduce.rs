//! candle's reductions, softmax, norms and rotary embeddings.

use cudarc::driver::{LaunchConfig, PushKernelArg};
use half::{bf16, f16};

use super::elem::*;
use super::nvcc::compiled;
use crate::common::Gpu;
use crate::launch;

/// Results, and elements that each is made of.
const ROWS: usize = 11;
const EACH: usize = 100;

fn source() -> Result<std::path::PathBuf, String> {
    candle("reduce.cu")
}

fn block(blocks: usize, threads: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (blocks as u32, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 }
}

fn fast_of<E: Elem>(gpu: &Gpu, wrap: impl Fn(f64) -> E) {
    // Distinct within a row for the places of extremes, and small so that every sum is exact in every type.
    let keys: Vec<E> = (0..ROWS * EACH).map(|i| E::of((i % EACH * 37 % EACH + 1) as f64)).collect();
    let small: Vec<E> = noise(ROWS * EACH).map(|v| E::of((v >> 9 & 3) as f64)).collect();
    let (dkeys, dsmall) = (up(gpu, &keys), up(gpu, &small));
    let (n, each, dims) = (keys.len() as u64, EACH as u64, 2u64);
    for strided in [false, true] {
        let strides = if strided { [1, ROWS as u64] } else { [EACH as u64, 1] };
        let info = up(gpu, &[ROWS as u64, EACH as u64, strides[0], strides[1]]);
        let at = |r: usize, k: usize| r * strides[0] as usize + k * strides[1] as usize;
        let row = |v: &[E], r: usize| (0..EACH).map(|k| v[at(r, k)]).collect::<Vec<E>>();
        let greatest = |v: &[E]| (0..EACH).reduce(|a, b| if v[b] > v[a] { b } else { a }).expect("not empty");
        let least = |v: &[E]| (0..EACH).reduce(|a, b| if v[b] < v[a] { b } else { a }).expect("not empty");
        let f = |op: &str| gpu.kernel(&format!("fast_{op}_{}", E::NAME));
        let config = block(ROWS, 128);
        let mut out = zeros::<E>(gpu, ROWS);
        launch!(gpu.stream, &f("sum"), config, &n, &each, &dims, &info, &dsmall, &mut out).unwrap();
        let sum = |r: usize| wrap(row(&small, r).iter().map(|v| v.value()).sum());
        assert_same(&format!("fast_sum_{}", E::NAME), &down(gpu, &out), &(0..ROWS).map(sum).collect::<Vec<_>>());
        let results = ROWS as u64;
        let threads = block(1, 32);
        launch!(gpu.stream, &f("sum_small"), threads, &results, &each, &dims, &info, &dsmall, &mut out).unwrap();
        assert_same(&format!("fast_sum_small_{}", E::NAME), &down(gpu, &out), &(0..ROWS).map(sum).collect::<Vec<_>>());
        // Strided rows of the keys repeat a value, so the places of extremes are asked for only where they are clear.
        for (op, best) in [("max", &greatest as &dyn Fn(&[E]) -> usize), ("min", &least)] {
            let kernel = f(op);
            launch!(gpu.stream, &kernel, config, &n, &each, &dims, &info, &dkeys, &mut out).unwrap();
            let want: Vec<E> = (0..ROWS).map(|r| row(&keys, r)[best(&row(&keys, r))]).collect();
            assert_same(&format!("fast_{op}_{}", E::NAME), &down(gpu, &out), &want);
            if !strided {
                let mut places = zeros::<u32>(gpu, ROWS);
                let kernel = f(&format!("arg{op}"));
                launch!(gpu.stream, &kernel, config, &n, &each, &dims, &info, &dkeys, &mut places).unwrap();
                let want: Vec<u32> = (0..ROWS).map(|r| best(&row(&keys, r)) as u32).collect();
                assert_same(&format!("fast_arg{op}_{}", E::NAME), &down(gpu, &places), &want);
            }
        }
    }
}

#[test]
fn fast_reductions() {
    compiled("kernels::candle_reduce::fast_reductions", source, |gpu, arch| {
        fast_of::<f32>(gpu, f32::of);
        fast_of::<f64>(gpu, f64::of);
        fast_of::<f16>(gpu, f16::of);
        fast_of::<u8>(gpu, u8::of);
        fast_of::<u32>(gpu, u32::of);
        fast_of::<i64>(gpu, i64::of);
        if arch >= 80 {
            fast_of::<bf16>(gpu, bf16::of);
        }
    });
}

/// Sums by atomics, over the last or the first dimension.
fn sum_of<E: Elem>(gpu: &Gpu) {
    let input: Vec<E> = noise(ROWS * 20).map(|v| E::of((v >> 9 & 3) as f64)).collect();
    let (din, n, dims, summed) = (up(gpu, &input), input.len() as u64, 2u64, 1u64);
    for last in [true, false] {
        let (length, stride, results) = if last { (20u64, 1u64, ROWS) } else { (ROWS as u64, 20, 20) };
        let info = up(gpu, &[ROWS as u64, 20, 20, 1, length, stride]);
        let mut out = zeros::<E>(gpu, results);
        let f = gpu.kernel(&format!("sum_{}", E::NAME));
        launch!(gpu.stream, &f, grid(), &n, &dims, &summed, &info, &din, &mut out).unwrap();
        let mut want = vec![0.0; results];
        input.iter().enumerate().for_each(|(i, v)| want[if last { i / 20 } else { i % 20 }] += v.value());
        let want: Vec<E> = want.into_iter().map(E::of).collect();
        assert_same(&format!("sum_{}", E::NAME), &down(gpu, &out), &want);
    }
}

#[test]
fn sums_by_atomics() {
    compiled("kernels::candle_reduce::sums_by_atomics", source, |gpu, arch| {
        sum_of::<f32>(gpu);
        sum_of::<f64>(gpu);
        sum_of::<f16>(gpu);
        sum_of::<u32>(gpu);
        if arch >= 80 {
            sum_of::<bf16>(gpu);
        }
    });
}

fn softmax_of<E: Elem>(gpu: &Gpu) {
    let input = reals::<E>(ROWS * EACH);
    let (din, mut out, n) = (up(gpu, &input), zeros::<E>(gpu, input.len()), EACH as i32);
    let config = LaunchConfig { grid_dim: (ROWS as u32, 1, 1), block_dim: (1, 32, 1), shared_mem_bytes: 0 };
    launch!(gpu.stream, &gpu.kernel(&format!("softmax_{}", E::NAME)), config, &din, &mut out, &n).unwrap();
    let mut want = Vec::new();
    for row in input.chunks(EACH) {
        let most = row.iter().map(|v| v.value()).fold(f64::MIN, f64::max);
        let powers: Vec<f64> = row.iter().map(|v| (v.value() - most).exp()).collect();
        want.extend(powers.iter().map(|p| p / powers.iter().sum::<f64>()));
    }
    assert_close(&format!("softmax_{}", E::NAME), &down(gpu, &out), &want);
}

/// `rmsnorm` and `layernorm`, by one warp and by a whole block. Both compute in f32, whatever the type.
fn norms_of<E: Elem>(gpu: &Gpu) {
    let eps = 1e-5f32;
    for (columns, threads) in [(50usize, 32u32), (1500, 1024)] {
        let rows = 3;
        let input = reals::<E>(rows * columns);
        let (alpha, beta) = (wholes::<E>(columns, 4), reals::<E>(columns));
        let (din, da, db) = (up(gpu, &input), up(gpu, &alpha), up(gpu, &beta));
        let (n, size) = (columns as i32, threads as i32);
        let near = E::CLOSE.max(2e-5);
        let compare = |what: &str, got: Vec<E>, model: &dyn Fn(&[f64], usize) -> f64| {
            for (r, row) in input.chunks(columns).enumerate() {
                let row: Vec<f64> = row.iter().map(|v| v.value()).collect();
                for k in 0..columns {
                    let (g, w) = (got[r * columns + k].value(), model(&row, k));
                    assert!((g - w).abs() <= near * w.abs().max(1.0), "{what}_{} [{r}, {k}]: {g} is not {w}", E::NAME);
                }
            }
        };
        let mut out = zeros::<E>(gpu, input.len());
        let f = gpu.kernel(&format!("rmsnorm_{}", E::NAME));
        launch!(gpu.stream, &f, block(rows, threads), &din, &mut out, &da, &n, &size, &eps).unwrap();
        compare("rmsnorm", down(gpu, &out), &|row, k| {
            let mean = row.iter().map(|v| v * v).sum::<f64>() / columns as f64;
            row[k] / (mean + eps as f64).sqrt() * alpha[k].value()
        });
        let f = gpu.kernel(&format!("layernorm_{}", E::NAME));
        launch!(gpu.stream, &f, block(rows, threads), &din, &mut out, &da, &db, &n, &size, &eps).unwrap();
        compare("layernorm", down(gpu, &out), &|row, k| {
            let mean = row.iter().sum::<f64>() / columns as f64;
            let variance = row.iter().map(|v| v * v).sum::<f64>() / columns as f64 - mean * mean;
            (row[k] - mean) / (variance + eps as f64).sqrt() * alpha[k].value() + beta[k].value()
        });
    }
}

/// Rotary embeddings, with the halves of a head apart.
fn rope_of<E: Elem>(gpu: &Gpu) {
    let (heads, steps, width) = (3usize, 5usize, 8usize);
    let input = reals::<E>(heads * steps * width);
    let (cos, sin) = (reals::<E>(steps * width / 2), reals::<E>(steps * width));
    let (din, dcos, dsin) = (up(gpu, &input), up(gpu, &cos), up(gpu, &sin));
    let mut out = zeros::<E>(gpu, input.len());
    let (bh, td, d, stride) = (heads as u32, (steps * width) as u32, width as u32, 0u32);
    let f = gpu.kernel(&format!("rope_{}", E::NAME));
    launch!(gpu.stream, &f, block(1, 64), &din, &dcos, &dsin, &mut out, &bh, &td, &d, &stride).unwrap();
    let mut want = vec![0.0; input.len()];
    for t in 0..heads * steps {
        for k in 0..width / 2 {
            let (a, b) = (t * width + k, t * width + k + width / 2);
            let at = t % steps * (width / 2) + k;
            let (x, y, c, s) = (input[a].value(), input[b].value(), cos[at].value(), sin[at].value());
            (want[a], want[b]) = (x * c - y * s, x * s + y * c);
        }
    }
    assert_close(&format!("rope_{}", E::NAME), &down(gpu, &out), &want);
}

#[test]
fn softmax_norms_and_rope() {
    compiled("kernels::candle_reduce::softmax_norms_and_rope", source, |gpu, arch| {
        macro_rules! all {
            ($($t:ty)*) => { $(softmax_of::<$t>(gpu); norms_of::<$t>(gpu); rope_of::<$t>(gpu);)* };
        }
        all!(f32 f64 f16);
        if arch >= 80 {
            all!(bf16);
        }
    });
}
