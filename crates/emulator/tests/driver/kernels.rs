//! Results of kernels against plain Rust.

use cudarc::driver::{LaunchConfig, PushKernelArg, sys};

use crate::common::{Gpu, emulated};
use crate::launch;

const PTX: &str = include_str!("../data/basic.ptx");
const CUB: &str = include_str!("../data/cub.ptx");

fn config(blocks: u32, threads: u32, shared: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: shared }
}

/// Numbers without a pattern, the same on each run.
fn noise(n: usize) -> Vec<u32> {
    (0..n as u32).map(|i| i.wrapping_mul(2654435761).rotate_left(i % 31) ^ 0x5bd1e995).collect()
}

#[test]
fn elementwise() {
    emulated("driver::kernels::elementwise", || {
        let gpu = Gpu::new(PTX);
        for n in [0usize, 1, 31, 256, 257, 10_000] {
            let a: Vec<f32> = (0..n).map(|i| i as f32 * 0.3).collect();
            let b: Vec<f32> = (0..n).map(|i| 1e4 / (i as f32 + 0.7)).collect();
            let (da, db) = if n == 0 {
                continue;
            } else {
                (gpu.stream.clone_htod(&a).unwrap(), gpu.stream.clone_htod(&b).unwrap())
            };
            let mut out = gpu.stream.alloc_zeros::<f32>(n).unwrap();
            let f = gpu.kernel("add_f32");
            let len = n as u64;
            launch!(gpu.stream, &f, config((n as u32).div_ceil(256), 256, 0), &da, &db, &mut out, &len).unwrap();
            let got = gpu.stream.clone_dtoh(&out).unwrap();
            let want: Vec<f32> = a.iter().zip(&b).map(|(x, y)| x + y).collect();
            assert_eq!(got, want);
        }
    });
}

#[test]
fn half_and_bf16_stores() {
    emulated("driver::kernels::half_and_bf16_stores", || {
        let gpu = Gpu::new(PTX);
        let input: Vec<u8> = noise(1000).iter().map(|v| *v as u8).collect();
        let din = gpu.stream.clone_htod(&input).unwrap();
        let mut h = gpu.stream.alloc_zeros::<u16>(1000).unwrap();
        let mut b = gpu.stream.alloc_zeros::<u16>(1000).unwrap();
        let f = gpu.kernel("convert");
        let n = 1000u32;
        launch!(gpu.stream, &f, config(4, 256, 0), &din, &mut h, &mut b, &n).unwrap();
        let (h, b) = (gpu.stream.clone_dtoh(&h).unwrap(), gpu.stream.clone_dtoh(&b).unwrap());
        for i in 0..1000 {
            let x = input[i] as f32 * [1f32, 2., 3., 4.][i & 3];
            assert_eq!(h[i], half::f16::from_f32(x).to_bits());
            assert_eq!(b[i], half::bf16::from_f32(x * 1.1).to_bits());
        }
    });
}

#[test]
fn shared_memory_and_barriers() {
    emulated("driver::kernels::shared_memory_and_barriers", || {
        let gpu = Gpu::new(PTX);
        let input: Vec<i32> = noise(1024).iter().map(|v| *v as i32).collect();
        let din = gpu.stream.clone_htod(&input).unwrap();
        let mut out = gpu.stream.alloc_zeros::<i32>(1024).unwrap();
        let f = gpu.kernel("reverse");
        launch!(gpu.stream, &f, config(4, 256, 0), &din, &mut out).unwrap();
        let want: Vec<i32> = input.chunks(256).flat_map(|c| c.iter().rev().copied()).collect();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), want);
    });
}

#[test]
fn ballots_shuffles_and_dynamic_shared_memory() {
    emulated("driver::kernels::ballots_shuffles_and_dynamic_shared_memory", || {
        let gpu = Gpu::new(PTX);
        let input: Vec<i32> = noise(1024).iter().map(|v| (*v % 2001) as i32 - 1000).collect();
        let din = gpu.stream.clone_htod(&input).unwrap();
        let f = gpu.kernel("compact");
        for limit in [-2000, -500, 0, 777, 2000] {
            let mut out = gpu.stream.alloc_zeros::<i32>(1024).unwrap();
            let mut count = gpu.stream.alloc_zeros::<i32>(1).unwrap();
            launch!(gpu.stream, &f, config(1, 1024, 128), &din, &limit, &mut out, &mut count).unwrap();
            let want: Vec<i32> = input.iter().copied().filter(|v| *v > limit).collect();
            let n = gpu.stream.clone_dtoh(&count).unwrap()[0] as usize;
            assert_eq!(&gpu.stream.clone_dtoh(&out).unwrap()[..n], want);
        }
    });
}

#[test]
fn atomics_and_device_variables() {
    emulated("driver::kernels::atomics_and_device_variables", || {
        let gpu = Gpu::new(PTX);
        let input: Vec<u8> = noise(50_000).iter().map(|v| (*v >> 7) as u8).collect();
        let din = gpu.stream.clone_htod(&input).unwrap();
        let mut bins = gpu.stream.alloc_zeros::<u32>(256).unwrap();
        let f = gpu.kernel("histogram");
        let n = input.len() as u32;
        launch!(gpu.stream, &f, config(13, 256, 0), &din, &n, &mut bins).unwrap();
        let mut want = [0u32; 256];
        input.iter().for_each(|v| want[*v as usize] += 1);
        assert_eq!(gpu.stream.clone_dtoh(&bins).unwrap(), want);
        let text = std::ffi::CString::new(PTX).unwrap();
        let (mut module, mut at, mut size, mut value) = (std::ptr::null_mut(), 0, 0, [0u8; 4]);
        // SAFETY: all pointers are to live values of the right sizes.
        unsafe {
            sys::cuModuleLoadData(&mut module, text.as_ptr().cast()).result().unwrap();
            sys::cuModuleGetGlobal_v2(&mut at, &mut size, module, c"counter".as_ptr()).result().unwrap();
            sys::cuMemcpyDtoH_v2(value.as_mut_ptr().cast(), at, size).result().unwrap();
        }
        assert_eq!(u32::from_le_bytes(value), 5);
    });
}

#[test]
fn decoupled_look_back() {
    emulated("driver::kernels::decoupled_look_back", || {
        let gpu = Gpu::new(PTX);
        let blocks = 200usize;
        let input: Vec<u32> = noise(blocks * 128).iter().map(|v| v % 1000).collect();
        let din = gpu.stream.clone_htod(&input).unwrap();
        let mut out = gpu.stream.alloc_zeros::<u32>(input.len()).unwrap();
        let mut state = gpu.stream.alloc_zeros::<u64>(blocks).unwrap();
        let mut ticket = gpu.stream.alloc_zeros::<u32>(1).unwrap();
        let f = gpu.kernel("lookback");
        launch!(gpu.stream, &f, config(blocks as u32, 128, 0), &din, &mut out, &mut state, &mut ticket).unwrap();
        let want: Vec<u32> = input
            .iter()
            .scan(0u32, |s, v| {
                *s += v;
                Some(*s)
            })
            .collect();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), want);
    });
}

#[test]
fn divergence() {
    emulated("driver::kernels::divergence", || {
        let gpu = Gpu::new(PTX);
        let input: Vec<i32> = (0..32).map(|i| if i % 5 == 0 { -7 } else { i * 3 - 40 }).collect();
        let din = gpu.stream.clone_htod(&input).unwrap();
        let mut out = gpu.stream.alloc_zeros::<i32>(32).unwrap();
        let f = gpu.kernel("diverge");
        launch!(gpu.stream, &f, config(1, 32, 0), &din, &mut out).unwrap();
        let want: Vec<i32> =
            input.iter().map(|v| if *v == -7 { -1 } else { (0..(v & 15)).map(|i| i * v).sum() }).collect();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), want);
    });
}

#[test]
fn locks_within_a_warp() {
    emulated("driver::kernels::locks_within_a_warp", || {
        let gpu = Gpu::new(PTX);
        let mut lock = gpu.stream.alloc_zeros::<i32>(1).unwrap();
        let mut value = gpu.stream.alloc_zeros::<i32>(1).unwrap();
        let f = gpu.kernel("locked");
        launch!(gpu.stream, &f, config(3, 64, 0), &mut lock, &mut value).unwrap();
        assert_eq!(gpu.stream.clone_dtoh(&value).unwrap(), [192]);
    });
}

#[test]
fn calls_under_divergence() {
    emulated("driver::kernels::calls_under_divergence", || {
        let gpu = Gpu::new(PTX);
        let input: Vec<f32> = (0..64).map(|i| i as f32 * 0.25).collect();
        let din = gpu.stream.clone_htod(&input).unwrap();
        let mut out = gpu.stream.alloc_zeros::<f32>(64).unwrap();
        let f = gpu.kernel("calls");
        launch!(gpu.stream, &f, config(1, 64, 0), &din, &mut out).unwrap();
        let want: Vec<f32> = (0..64)
            .map(|t| {
                let s = (t * t + 1) as f32;
                if t % 3 == 0 { input[t] * s } else { s }
            })
            .collect();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), want);
    });
}

#[test]
fn local_arrays() {
    emulated("driver::kernels::local_arrays", || {
        let gpu = Gpu::new(PTX);
        let input = noise(65);
        let din = gpu.stream.clone_htod(&input).unwrap();
        let mut out = gpu.stream.alloc_zeros::<u32>(64).unwrap();
        let f = gpu.kernel("local_array");
        launch!(gpu.stream, &f, config(1, 64, 0), &din, &mut out).unwrap();
        let want: Vec<u32> = (0..64u32)
            .map(|t| {
                let i = input[t as usize + 1].wrapping_sub(input[t as usize]) & 15;
                i * 3 + t
            })
            .collect();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), want);
    });
}

#[test]
fn cub_block_primitives() {
    emulated("driver::kernels::cub_block_primitives", || {
        let gpu = Gpu::new(CUB);
        let input = noise(512);
        let din = gpu.stream.clone_htod(&input).unwrap();
        let mut out = gpu.stream.alloc_zeros::<u32>(512).unwrap();
        let mut total = gpu.stream.alloc_zeros::<u32>(1).unwrap();
        launch!(gpu.stream, &gpu.kernel("block_scan"), config(1, 128, 0), &din, &mut out, &mut total).unwrap();
        let sums = input.iter().scan(0u32, |s, v| {
            let before = *s;
            *s = s.wrapping_add(*v);
            Some(before)
        });
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), sums.collect::<Vec<_>>());
        let all = input.iter().fold(0u32, |s, v| s.wrapping_add(*v));
        assert_eq!(gpu.stream.clone_dtoh(&total).unwrap(), [all]);

        launch!(gpu.stream, &gpu.kernel("block_sort"), config(1, 128, 0), &din, &mut out).unwrap();
        let mut sorted = input.clone();
        sorted.sort_unstable();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), sorted);

        let long: Vec<i64> = input[..128].iter().map(|v| *v as i64 * -77_777_777).collect();
        let din = gpu.stream.clone_htod(&long).unwrap();
        let mut sum = gpu.stream.alloc_zeros::<i64>(1).unwrap();
        launch!(gpu.stream, &gpu.kernel("block_reduce"), config(1, 128, 0), &din, &mut sum).unwrap();
        assert_eq!(gpu.stream.clone_dtoh(&sum).unwrap(), [long.iter().sum::<i64>()]);
    });
}
