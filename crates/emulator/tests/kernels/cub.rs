//! CUB's block-level primitives.

use std::path::PathBuf;

use cudarc::driver::{CudaSlice, DeviceRepr, LaunchConfig, PushKernelArg};

use crate::common::Gpu;
use crate::kernels::nvcc::{compiled, compiled_with};
use crate::launch;

const T: usize = 96;
const I: usize = 5;
const N: usize = T * I;

fn source() -> Result<PathBuf, String> {
    Ok(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/cub_block.cu")))
}

fn block(threads: usize) -> LaunchConfig {
    LaunchConfig { grid_dim: (1, 1, 1), block_dim: (threads as u32, 1, 1), shared_mem_bytes: 0 }
}

/// Numbers without a pattern, the same on each run.
fn noise(n: usize) -> Vec<u32> {
    (0..n as u32).map(|i| i.wrapping_mul(2654435761).rotate_left(i % 31) ^ 0x5bd1e995).collect()
}

fn up<V: DeviceRepr>(gpu: &Gpu, values: &[V]) -> CudaSlice<V> {
    gpu.stream.clone_htod(values).expect("a copy")
}

fn down<V: DeviceRepr + Clone + Default>(gpu: &Gpu, values: &CudaSlice<V>) -> Vec<V> {
    gpu.stream.clone_dtoh(values).expect("the kernel has run")
}

fn zeros<V: DeviceRepr + cudarc::driver::ValidAsZeroBits>(gpu: &Gpu, n: usize) -> CudaSlice<V> {
    gpu.stream.alloc_zeros(n).expect("memory")
}

#[test]
fn scan() {
    compiled("kernels::cub::scan", source, |gpu, _| {
        let input = noise(N);
        let din = up(gpu, &input);
        for name in ["scan_raking", "scan_raking_memoize", "scan_warp_scans"] {
            let (mut sums, mut maxima) = (zeros::<u32>(gpu, N), zeros::<u32>(gpu, N));
            launch!(gpu.stream, &gpu.kernel(name), block(T), &din, &mut sums, &mut maxima).unwrap();
            let want: Vec<u32> = (0..N).map(|i| input[..i].iter().fold(0, |a: u32, b| a.wrapping_add(*b))).collect();
            assert_eq!(down(gpu, &sums), want, "{name}");
            let want: Vec<u32> = (0..N).map(|i| *input[..=i].iter().max().unwrap()).collect();
            assert_eq!(down(gpu, &maxima), want, "{name}");
        }
    });
}

#[test]
fn scan_of_many_tiles() {
    compiled("kernels::cub::scan_of_many_tiles", source, |gpu, _| {
        let tiles = 7i32;
        let input: Vec<i64> = noise(T * 7).iter().map(|v| *v as i32 as i64 * 1_000_003).collect();
        let (din, mut out) = (up(gpu, &input), zeros::<i64>(gpu, input.len()));
        launch!(gpu.stream, &gpu.kernel("scan_tiles"), block(T), &din, &mut out, &tiles).unwrap();
        let want = input.iter().scan(0i64, |s, v| {
            *s = s.wrapping_add(*v);
            Some(*s)
        });
        assert_eq!(down(gpu, &out), want.collect::<Vec<_>>());
    });
}

#[test]
fn reduce() {
    compiled("kernels::cub::reduce", source, |gpu, _| {
        let input: Vec<i32> = noise(N).iter().map(|v| *v as i32 >> 3).collect();
        let din = up(gpu, &input);
        for name in ["reduce_raking", "reduce_raking_commutative", "reduce_warps"] {
            for valid in [1i32, 31, 33, 95, 96] {
                let mut out = zeros::<i32>(gpu, 3);
                launch!(gpu.stream, &gpu.kernel(name), block(T), &din, &valid, &mut out).unwrap();
                let sum = |v: &mut dyn Iterator<Item = &i32>| v.fold(0i32, |a, b| a.wrapping_add(*b));
                let part = sum(&mut input.iter().step_by(I).take(valid as usize));
                let want = [sum(&mut input.iter()), *input.iter().max().unwrap(), part];
                assert_eq!(down(gpu, &out), want, "{name} of {valid}");
            }
        }
    });
}

/// Sorts `keys` on the device with their places, and by Rust's stable sort.
fn sort_case<K: DeviceRepr + Copy + Default + PartialEq + std::fmt::Debug + cudarc::driver::ValidAsZeroBits>(
    gpu: &Gpu,
    name: &str,
    keys: &[K],
    order: impl Fn(&K, &K) -> std::cmp::Ordering,
) {
    let (mut places, mut sorted) = (zeros::<u32>(gpu, N), zeros::<K>(gpu, N));
    let dkeys = up(gpu, keys);
    launch!(gpu.stream, &gpu.kernel(name), block(T), &dkeys, &mut places, &mut sorted).unwrap();
    let mut want: Vec<u32> = (0..N as u32).collect();
    want.sort_by(|a, b| order(&keys[*a as usize], &keys[*b as usize]));
    assert_eq!(down(gpu, &places), want, "{name}");
    assert_eq!(down(gpu, &sorted), want.iter().map(|p| keys[*p as usize]).collect::<Vec<_>>(), "{name}");
}

#[test]
fn radix_sort() {
    compiled("kernels::cub::radix_sort", source, |gpu, _| {
        let input = noise(N);
        sort_case(gpu, "sort_u8", &input.iter().map(|v| *v as u8 & 31).collect::<Vec<_>>(), u8::cmp);
        sort_case(gpu, "sort_u32", &input, u32::cmp);
        let wide: Vec<i64> = input.iter().map(|v| (*v as i32 as i64 % 100) << 33).collect();
        sort_case(gpu, "sort_i64_descending", &wide, |a, b| b.cmp(a));
        let float: Vec<f32> = input.iter().map(|v| (*v as i32 % 1000) as f32 / 7.0).collect();
        sort_case(gpu, "sort_f32", &float, |a, b| a.partial_cmp(b).unwrap());
        let float: Vec<f64> = input.iter().map(|v| *v as i32 as f64 * 1e-300).collect();
        sort_case(gpu, "sort_f64_descending", &float, |a, b| b.partial_cmp(a).unwrap());
    });
}

#[test]
fn radix_sort_of_some_bits() {
    compiled("kernels::cub::radix_sort_of_some_bits", source, |gpu, _| {
        let input = noise(N);
        let (din, mut out) = (up(gpu, &input), zeros::<u32>(gpu, N));
        launch!(gpu.stream, &gpu.kernel("sort_bits_striped"), block(T), &din, &mut out).unwrap();
        let mut want = input.clone();
        want.sort_by_key(|v| v >> 4 & 0xff);
        assert_eq!(down(gpu, &out), want);
    });
}

#[test]
fn merge_sort() {
    // CUB's merge reads one key behind what it was given, and throws it away: initcheck is right to tell, so it is off.
    compiled_with("kernels::cub::merge_sort", "race,sync,leak", source, |gpu, _| {
        const M: usize = 64 * I;
        let keys: Vec<i32> = noise(M).iter().map(|v| *v as i32 % 50).collect();
        for valid in [1i32, 100, 319, 320] {
            let (mut sorted, mut part) = (zeros::<i32>(gpu, M), zeros::<i32>(gpu, M));
            let mut places = zeros::<u32>(gpu, M);
            let f = gpu.kernel("merge_sort");
            let din = up(gpu, &keys);
            launch!(gpu.stream, &f, block(64), &din, &valid, &mut sorted, &mut places, &mut part).unwrap();
            let mut want: Vec<u32> = (0..M as u32).collect();
            want.sort_by_key(|p| std::cmp::Reverse(keys[*p as usize]));
            assert_eq!(down(gpu, &places), want);
            assert_eq!(down(gpu, &sorted), want.iter().map(|p| keys[*p as usize]).collect::<Vec<_>>());
            let mut want = keys[..valid as usize].to_vec();
            want.sort_by_key(|k| std::cmp::Reverse(*k));
            assert_eq!(down(gpu, &part)[..valid as usize], want);
        }
    });
}

#[test]
fn exchange() {
    compiled("kernels::cub::exchange", source, |gpu, _| {
        let input = noise(N);
        // A permutation: 7 has no factor in common with 480.
        let ranks: Vec<i32> = (0..N).map(|i| (i * 7 % N) as i32).collect();
        let (din, dranks) = (up(gpu, &input), up(gpu, &ranks));
        // Thread and item that hold the element of a rank, in each arrangement.
        let blocked = |r: usize| (r / I, r % I);
        let striped = |r: usize| (r % T, r / T);
        let warp_striped = |r: usize| (r / (32 * I) * 32 + r % 32, r % (32 * I) / 32);
        let place = |(t, i): (usize, usize)| t * I + i;
        for name in ["exchange_whole", "exchange_sliced"] {
            for mode in 0..6i32 {
                let mut out = zeros::<u32>(gpu, N);
                launch!(gpu.stream, &gpu.kernel(name), block(T), &din, &dranks, &mut out, &mode).unwrap();
                let mut want = vec![0u32; N];
                for (k, rank) in ranks.iter().enumerate() {
                    let rank = *rank as usize;
                    let (from, to) = match mode {
                        0 => (place(blocked(k)), place(striped(k))),
                        1 => (place(striped(k)), place(blocked(k))),
                        2 => (place(blocked(k)), place(warp_striped(k))),
                        3 => (place(warp_striped(k)), place(blocked(k))),
                        4 => (k, place(blocked(rank))),
                        _ => (k, place(striped(rank))),
                    };
                    want[to] = input[from];
                }
                assert_eq!(down(gpu, &out), want, "{name}, mode {mode}");
            }
        }
    });
}

#[test]
fn histogram() {
    compiled("kernels::cub::histogram", source, |gpu, _| {
        let input: Vec<u8> = noise(2 * N).iter().map(|v| (*v >> 11) as u8 & (*v >> 3) as u8).collect();
        let mut want = [0u32; 256];
        input.iter().for_each(|v| want[*v as usize] += 1);
        for name in ["histogram_atomic", "histogram_sort"] {
            let (din, mut bins) = (up(gpu, &input), zeros::<u32>(gpu, 256));
            launch!(gpu.stream, &gpu.kernel(name), block(T), &din, &mut bins).unwrap();
            assert_eq!(down(gpu, &bins), want, "{name}");
        }
    });
}

#[test]
fn discontinuity() {
    compiled("kernels::cub::discontinuity", source, |gpu, _| {
        let input: Vec<u32> = noise(N + 2).iter().map(|v| v % 3).collect();
        let [mut heads, mut tails, mut both] = [(); 3].map(|()| zeros::<i32>(gpu, N));
        let (f, din) = (gpu.kernel("discontinuity"), up(gpu, &input));
        launch!(gpu.stream, &f, block(T), &din, &mut heads, &mut tails, &mut both).unwrap();
        let head = |i: usize| (input[i] != input[i + 1]) as i32;
        let tail = |i: usize| (input[i + 1] != input[i + 2]) as i32;
        assert_eq!(down(gpu, &heads), (0..N).map(head).collect::<Vec<_>>());
        assert_eq!(down(gpu, &tails), (0..N).map(tail).collect::<Vec<_>>());
        // Without neighbours the ends of the tile count as edges.
        let edge = |i: usize| (i == 0 || head(i) == 1) as i32 * 2 + (i == N - 1 || tail(i) == 1) as i32;
        assert_eq!(down(gpu, &both), (0..N).map(edge).collect::<Vec<_>>());
    });
}

/// Loads tiles of four items a thread, adds one, and stores them; the last tile is cut short.
fn move_case<V: DeviceRepr + Copy + Default + PartialEq + std::fmt::Debug + cudarc::driver::ValidAsZeroBits>(
    gpu: &Gpu,
    name: &str,
    of: impl Fn(u32) -> V,
) {
    let n = 2 * T * 4 + 77;
    let input = noise(n).iter().map(|v| v >> 1).collect::<Vec<_>>();
    let mut out = zeros::<V>(gpu, n);
    let din = up(gpu, &input.iter().map(|v| of(*v)).collect::<Vec<_>>());
    let grid = LaunchConfig { grid_dim: (3, 1, 1), ..block(T) };
    let valid = n as i32;
    launch!(gpu.stream, &gpu.kernel(name), grid, &din, &mut out, &valid).unwrap();
    assert_eq!(down(gpu, &out), input.iter().map(|v| of(*v + 1)).collect::<Vec<_>>(), "{name}");
}

#[test]
fn load_and_store() {
    compiled("kernels::cub::load_and_store", source, |gpu, _| {
        move_case(gpu, "move_direct", |v| v as u16);
        move_case(gpu, "move_striped", |v| v);
        move_case(gpu, "move_vectorize", |v| v);
        move_case(gpu, "move_transpose", |v| v);
        move_case(gpu, "move_warp_transpose", |v| v as u64);
        move_case(gpu, "move_warp_transpose_timesliced", |v| v);
    });
}
