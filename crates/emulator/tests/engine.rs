//! What kernels do besides arithmetic: calls of every kind, output, assertions, clocks, branch tables, asynchronous
//! copies, and kernels that never end.

// Other tests use the rest of it.
#[allow(dead_code)]
mod common;

use common::{Gpu, emulated, emulated_output, emulated_with};
use cudarc::driver::{LaunchConfig, PushKernelArg};
use half::f16;

const ENGINE: &str = include_str!("data/engine.ptx");
const AMPERE: &str = include_str!("data/ampere.ptx");
const MBARRIER: &str = include_str!("data/mbarrier.ptx");

fn config(threads: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (1, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 }
}

fn numbers(n: i32) -> Vec<i32> {
    (0..n).map(|i| i * 37 % 101 - 20).collect()
}

#[test]
fn functions_in_variables_and_virtual_calls() {
    emulated("functions_in_variables_and_virtual_calls", || {
        let gpu = Gpu::new(ENGINE);
        let input = numbers(64);
        let din = gpu.stream.clone_htod(&input).unwrap();
        let mut out = gpu.stream.alloc_zeros::<i32>(64).unwrap();
        launch!(gpu.stream, &gpu.kernel("table_of_functions"), config(64), &din, &mut out).unwrap();
        let functions: [fn(i32) -> i32; 3] = [|x| 2 * x, |x| x * x, |x| -x];
        let want: Vec<i32> = (0..64)
            .map(|t| functions[t % 3](input[t]) + if t & 1 == 0 { -(t as i32) } else { (t * t) as i32 })
            .collect();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), want);

        launch!(gpu.stream, &gpu.kernel("virtual_calls"), config(64), &din, &mut out).unwrap();
        let want: Vec<i32> = input.iter().map(|v| if v & 1 != 0 { v * 3 } else { 3 * v * v }).collect();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), want);
    });
}

fn ackermann(m: i32, n: i32) -> i32 {
    match (m, n) {
        (0, n) => n + 1,
        (m, 0) => ackermann(m - 1, 1),
        (m, n) => ackermann(m - 1, ackermann(m, n - 1)),
    }
}

fn depth(n: i32, trace: &mut [i32; 4]) -> i32 {
    let mut local = [n, n + 1, n + 2, n + 3];
    trace[n as usize & 3] = local[n as usize & 3];
    if n <= 0 {
        return 0;
    }
    let first = local[trace[0] as usize & 3];
    let below = depth(n - 1, &mut local);
    first + below + local[n as usize & 3]
}

#[test]
fn recursion() {
    emulated("recursion", || {
        let gpu = Gpu::new(ENGINE);
        let mut out = gpu.stream.alloc_zeros::<i32>(64).unwrap();
        launch!(gpu.stream, &gpu.kernel("recursion"), config(64), &mut out).unwrap();
        let want: Vec<i32> = (0..64).map(|t| ackermann(t % 3, t % 5)).collect();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), want);

        launch!(gpu.stream, &gpu.kernel("recursion_with_arrays"), config(64), &mut out).unwrap();
        let want: Vec<i32> = (0..64)
            .map(|t| {
                let mut trace = [0; 4];
                depth(t % 7, &mut trace) + trace[0]
            })
            .collect();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), want);
    });
}

#[test]
fn endless_recursion_is_an_overflow() {
    // A call per level, and nothing that ends it.
    const TEXT: &str = "
        .version 8.0
        .target sm_75
        .address_size 64
        .func down(.param .u32 n) {
            .reg .b32 %r<3>;
            ld.param.u32 %r1, [n];
            add.s32 %r1, %r1, 1;
            { .param .b32 a; st.param.b32 [a], %r1; call.uni down, (a); }
            ret;
        }
        .visible .entry endless() {
            .reg .b32 %r<2>;
            mov.u32 %r1, 0;
            { .param .b32 a; st.param.b32 [a], %r1; call.uni down, (a); }
            ret;
        }";
    let err = emulated_with("endless_recursion_is_an_overflow", &[], || {
        let gpu = Gpu::new(TEXT);
        launch!(gpu.stream, &gpu.kernel("endless"), config(32)).unwrap();
        assert!(gpu.stream.synchronize().is_err());
    });
    assert!(common::in_child() || err.contains("calls nested too deeply"), "{err}");
}

#[test]
fn kernels_print() {
    let (out, _) = emulated_output("kernels_print", &[], || {
        let gpu = Gpu::new(ENGINE);
        let input: Vec<f32> = (0..32).map(|i| i as f32 * 1.25 - 0.5).collect();
        let din = gpu.stream.clone_htod(&input).unwrap();
        let text = gpu.stream.clone_htod(&[0i8; 4]).unwrap();
        launch!(gpu.stream, &gpu.kernel("prints"), config(32), &din, &text).unwrap();
        gpu.stream.synchronize().unwrap();
    });
    if !common::in_child() {
        for line in [
            "thread 0 of 32: -0.50|-7    |+3|0xff|1234567890123|text|z|%|1.234568e+04\n",
            "thread 1 of 32:  0.75|-7    |+3|0xff|1234567890123|text|z|%|1.234568e+04\n",
            "no arguments\n",
        ] {
            assert!(out.contains(line), "{line} is missing in:\n{out}");
        }
    }
}

#[test]
fn assertions_fail_the_launch() {
    let err = emulated_with("assertions_fail_the_launch", &[], || {
        let gpu = Gpu::new(ENGINE);
        let good = gpu.stream.clone_htod(&[1i32; 32]).unwrap();
        launch!(gpu.stream, &gpu.kernel("asserts"), config(32), &good).unwrap();
        gpu.stream.synchronize().unwrap();
        let bad = gpu.stream.clone_htod(&(0..32).collect::<Vec<i32>>()).unwrap();
        launch!(gpu.stream, &gpu.kernel("asserts"), config(32), &bad).unwrap();
        let error = gpu.stream.synchronize().unwrap_err();
        assert_eq!(error.0, cudarc::driver::sys::CUresult::CUDA_ERROR_ASSERT);
    });
    if !common::in_child() {
        assert!(err.contains("assertion `in[threadIdx.x] != 7` failed"), "{err}");
        assert!(err.contains("thread (7, 0, 0)"), "{err}");
    }
}

#[test]
fn votes_of_a_block() {
    emulated("votes_of_a_block", || {
        let gpu = Gpu::new(ENGINE);
        for shift in [0, -90, 60] {
            let input: Vec<i32> = numbers(128).iter().map(|v| v + shift).collect();
            let din = gpu.stream.clone_htod(&input).unwrap();
            let mut out = gpu.stream.alloc_zeros::<i32>(128).unwrap();
            launch!(gpu.stream, &gpu.kernel("votes_of_block"), config(128), &din, &mut out).unwrap();
            let count = input.iter().filter(|v| **v > 0).count() as i32;
            let (all, any) = (input.iter().all(|v| *v > -100), input.iter().any(|v| *v > 90));
            let want = count * 4 + all as i32 * 2 + any as i32;
            assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), vec![want; 128]);
        }
    });
}

#[test]
fn clocks_do_not_run_backwards() {
    emulated("clocks_do_not_run_backwards", || {
        let gpu = Gpu::new(ENGINE);
        let mut out = gpu.stream.alloc_zeros::<u64>(64).unwrap();
        launch!(gpu.stream, &gpu.kernel("clocks"), config(64), &mut out).unwrap();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), vec![7u64; 64]);
    });
}

fn switch(mut v: i32) -> i32 {
    let mut r = 0i32;
    for _ in 0..3 {
        match v % 23 {
            0 => r += v * 3,
            1 => r ^= 0x55,
            2 => r = r * 7 + 1,
            3 => r -= v,
            5 => r += 11,
            6 => r <<= 1,
            7 => r |= v,
            8 => r &= !v,
            9 => r += v.count_ones() as i32,
            10 => r += v.leading_zeros() as i32,
            13 => r = -r,
            17 => r += 1000,
            19 => r += r / 3,
            21 => r %= 77,
            22 => r += v % 5,
            _ => r += 1,
        }
        v = v / 2 + 1;
    }
    r
}

#[test]
fn switches_and_wide_moves() {
    emulated("switches_and_wide_moves", || {
        let gpu = Gpu::new(ENGINE);
        let input = numbers(64);
        let din = gpu.stream.clone_htod(&input).unwrap();
        let mut out = gpu.stream.alloc_zeros::<i32>(64).unwrap();
        launch!(gpu.stream, &gpu.kernel("big_switch"), config(64), &din, &mut out).unwrap();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), input.iter().map(|v| switch(*v)).collect::<Vec<_>>());

        let doubles: Vec<f64> = (0..128).map(|i| i as f64 * 0.5).collect();
        let words = numbers(256);
        let (a, c) = (gpu.stream.clone_htod(&doubles).unwrap(), gpu.stream.clone_htod(&words).unwrap());
        let mut b = gpu.stream.alloc_zeros::<f64>(128).unwrap();
        let mut d = gpu.stream.alloc_zeros::<i32>(256).unwrap();
        launch!(gpu.stream, &gpu.kernel("wide_moves"), config(64), &a, &mut b, &c, &mut d).unwrap();
        let want: Vec<f64> = doubles.chunks(2).rev().flatten().copied().collect();
        assert_eq!(gpu.stream.clone_dtoh(&b).unwrap(), want);
        let want: Vec<i32> = words.iter().rev().copied().collect();
        assert_eq!(gpu.stream.clone_dtoh(&d).unwrap(), want);
    });
}

#[test]
fn branch_tables() {
    // nvcc makes none of these for switches, so the text is by hand: out = 10 * (in + 1) for 0 to 3.
    const TEXT: &str = "
        .version 8.0
        .target sm_75
        .address_size 64
        .visible .entry table(.param .u64 in, .param .u64 out) {
            .reg .b32 %r<4>;
            .reg .b64 %d<5>;
            ld.param.u64 %d1, [in];
            ld.param.u64 %d2, [out];
            mov.u32 %r1, %tid.x;
            mul.wide.u32 %d3, %r1, 4;
            add.s64 %d1, %d1, %d3;
            add.s64 %d2, %d2, %d3;
            ld.global.u32 %r2, [%d1];
            list: .branchtargets A, B, C, D;
            brx.idx %r2, list;
            A: mov.u32 %r3, 10; bra E;
            B: mov.u32 %r3, 20; bra E;
            C: mov.u32 %r3, 30; bra E;
            D: mov.u32 %r3, 40;
            E: st.global.u32 [%d2], %r3;
            ret;
        }";
    emulated("branch_tables", || {
        let gpu = Gpu::new(TEXT);
        let input: Vec<u32> = (0..32).map(|i| i * 7 % 4).collect();
        let din = gpu.stream.clone_htod(&input).unwrap();
        let mut out = gpu.stream.alloc_zeros::<u32>(32).unwrap();
        launch!(gpu.stream, &gpu.kernel("table"), config(32), &din, &mut out).unwrap();
        let want: Vec<u32> = input.iter().map(|v| 10 * (v + 1)).collect();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), want);
    });
}

#[test]
fn the_watchdog_says_where_warps_wait() {
    let err = emulated_with("the_watchdog_says_where_warps_wait", &[("WARPLINE_EMULATOR_TIMEOUT", "0.3")], || {
        let gpu = Gpu::new(ENGINE);
        let flag = gpu.stream.alloc_zeros::<i32>(1).unwrap();
        let mut out = gpu.stream.alloc_zeros::<i32>(64).unwrap();
        launch!(gpu.stream, &gpu.kernel("spins"), config(64), &flag, &mut out).unwrap();
        let error = gpu.stream.synchronize().unwrap_err();
        assert_eq!(error.0, cudarc::driver::sys::CUresult::CUDA_ERROR_LAUNCH_TIMEOUT);
    });
    if !common::in_child() {
        assert!(err.contains("ran for too long"), "{err}");
        assert!(err.contains("warp 0 lanes 0x00000008 can run at engine.cu:"), "{err}");
        assert!(err.contains("warp 1 lanes 0xffffffff waits at barrier 0 at engine.cu:"), "{err}");
    }
}

const ON_80: (&str, &str) = ("WARPLINE_EMULATOR_CC", "8.0");

#[test]
fn asynchronous_copies() {
    emulated_with("asynchronous_copies", &[ON_80], || {
        let gpu = Gpu::new(AMPERE);
        let input: Vec<i32> = (0..256).collect();
        let din = gpu.stream.clone_htod(&input).unwrap();
        let small = gpu.stream.clone_htod(&numbers(64)).unwrap();
        let mut out = gpu.stream.alloc_zeros::<i32>(256).unwrap();
        let mut small_out = gpu.stream.alloc_zeros::<i32>(64).unwrap();
        launch!(gpu.stream, &gpu.kernel("copies"), config(64), &din, &mut out, &small, &mut small_out).unwrap();
        let want: Vec<i32> = input.chunks(4).rev().flatten().copied().collect();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), want);
        let want: Vec<i32> = numbers(64).into_iter().rev().collect();
        assert_eq!(gpu.stream.clone_dtoh(&small_out).unwrap(), want);

        // Bytes behind the length are zero, and are not read.
        let bytes: Vec<u8> = (0..1024).map(|i| (i * 7 + 1) as u8).collect();
        let din = gpu.stream.clone_htod(&bytes).unwrap();
        let mut out = gpu.stream.alloc_zeros::<u8>(2048).unwrap();
        launch!(gpu.stream, &gpu.kernel("zfill"), config(64), &din, &mut out).unwrap();
        let got = gpu.stream.clone_dtoh(&out).unwrap();
        for t in 0..64 {
            let from = |n: usize, i: usize| if i < n { bytes[t * 16 + i] } else { 0 };
            for i in 0..16 {
                assert_eq!(got[t * 16 + i], from(t % 17, i), "thread {t}, byte {i}");
                // The second copy writes eight bytes, three of them from the source.
                let want = if i < 8 { from(3, i) } else { from(t % 17, i) };
                assert_eq!(got[1024 + t * 16 + i], want, "thread {t}, byte {i} of the second copy");
            }
        }

        let din = gpu.stream.clone_htod(&numbers(256)).unwrap();
        let mut out = gpu.stream.alloc_zeros::<i32>(258).unwrap();
        launch!(gpu.stream, &gpu.kernel("group_copy"), config(64), &din, &mut out).unwrap();
        let n = numbers(256);
        let mut want: Vec<i32> = n.iter().rev().copied().collect();
        want.extend([n[..32].iter().sum::<i32>(), n[32..64].iter().sum()]);
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), want);
    });
}

#[test]
fn reductions_of_a_warp() {
    emulated_with("reductions_of_a_warp", &[ON_80], || {
        let gpu = Gpu::new(AMPERE);
        let input: Vec<u32> = (0..64u32).map(|i| i.wrapping_mul(0x9e37_79b9) ^ 0x55).collect();
        let din = gpu.stream.clone_htod(&input).unwrap();
        let mut out = gpu.stream.alloc_zeros::<u32>(64).unwrap();
        launch!(gpu.stream, &gpu.kernel("redux"), config(64), &din, &mut out).unwrap();
        let got = gpu.stream.clone_dtoh(&out).unwrap();
        for (warp, got) in input.chunks(32).zip(got.chunks(32)) {
            let of = |f: fn(u32, u32) -> u32| warp.iter().copied().reduce(f).unwrap();
            let want = of(|a, b| a.wrapping_add(b))
                ^ of(u32::min)
                ^ of(u32::max)
                ^ of(|a, b| a & b)
                ^ of(|a, b| a | b)
                ^ of(|a, b| a ^ b)
                ^ of(|a, b| (a as i32).min(b as i32) as u32)
                ^ of(|a, b| (a as i32).max(b as i32) as u32);
            assert_eq!(got, [want; 32]);
        }
    });
}

#[test]
fn halves_saturate_and_clamp() {
    emulated_with("halves_saturate_and_clamp", &[ON_80], || {
        let gpu = Gpu::new(AMPERE);
        let value = |i: usize, k: usize| f16::from_f32(((i * k) % 37) as f32 / 8.0 - 2.0);
        let (a, b): (Vec<f16>, Vec<f16>) = (0..128).map(|i| (value(i, 5), value(i, 11))).unzip();
        let bits = |v: &[f16]| gpu.stream.clone_htod(&v.iter().map(|h| h.to_bits()).collect::<Vec<u16>>()).unwrap();
        let (da, db) = (bits(&a), bits(&b));
        let mut out: Vec<_> = (0..3).map(|_| gpu.stream.alloc_zeros::<u16>(128).unwrap()).collect();
        let [sat, relu, less] = &mut out[..] else { unreachable!("three of them") };
        launch!(gpu.stream, &gpu.kernel("halves"), config(64), &da, &db, sat, relu, less).unwrap();
        // These values are multiples of 1/8 below 4, so f32 holds products and sums exactly.
        let clamp = |v: f32| f16::from_f32(v.clamp(0.0, 1.0));
        for (k, out) in out.iter().enumerate() {
            let got = gpu.stream.clone_dtoh(out).unwrap();
            for i in 0..128 {
                let (x, y) = (a[i].to_f32(), b[i].to_f32());
                let want = match k {
                    0 => clamp(x * y + clamp(x + y).to_f32()),
                    1 => f16::from_f32((x * y + x).max(0.0)),
                    _ => f16::from_f32((x < y) as u32 as f32),
                };
                assert_eq!(f16::from_bits(got[i]), want, "result {k} of {x} and {y}");
            }
        }
    });
}

#[test]
fn barriers_in_shared_memory() {
    for seed in ["0", "5", "77"] {
        let name = "barriers_in_shared_memory";
        let report = emulated_with(name, &[ON_80, ("WARPLINE_EMULATOR_SEED", seed)], || {
            let gpu = Gpu::new(MBARRIER);
            let run = |kernel, threads| {
                let mut out = gpu.stream.alloc_zeros::<u32>(64).unwrap();
                launch!(gpu.stream, &gpu.kernel(kernel), config(threads), &mut out).unwrap();
                gpu.stream.clone_dtoh(&out).unwrap()
            };
            let mut want: Vec<u32> = (0..64).collect();
            for round in 0..3 {
                want = (0..64).map(|t| 3 * want[63 - t] + round).collect();
            }
            assert_eq!(run("rounds", 64), want);
            let want: Vec<u32> = (0..64).map(|t| if t < 32 { 7 * (63 - t) } else { t }).collect();
            assert_eq!(run("producer", 64), want);
            assert_eq!(run("by_hand", 32)[..15], [5, 0, 0, 1, 2, 1, 1, 1, 0, 4, 0, 1, 1, 0, 1]);
        });
        assert!(!report.contains("warpline-emulator:"), "{report}");
    }
}

#[test]
fn wrong_use_of_barriers_in_shared_memory() {
    const KERNEL: &str = "WARPLINE_EMULATOR_TEST_KERNEL";
    let cases = [
        ("nobody_waits", "64", "race with thread"),
        ("too_many", "32", "no mbarrier at shared offset"),
        ("after_inval", "32", "no mbarrier at shared offset"),
    ];
    for (kernel, threads, text) in cases {
        for seed in ["0", "5", "77"] {
            let env = [ON_80, ("WARPLINE_EMULATOR_SEED", seed), (KERNEL, kernel), ("THREADS", threads)];
            let report = emulated_with("wrong_use_of_barriers_in_shared_memory", &env, || {
                let var = |name| std::env::var(name).expect("the parent has set it");
                let gpu = Gpu::new(MBARRIER);
                let mut out = gpu.stream.alloc_zeros::<u32>(64).unwrap();
                let config = config(var("THREADS").parse().unwrap());
                launch!(gpu.stream, &gpu.kernel(&var(KERNEL)), config, &mut out).unwrap();
                gpu.stream.synchronize().unwrap_err();
            });
            if crate::common::in_child() {
                return;
            }
            assert!(report.contains(text) && report.contains(&format!("kernel {kernel} at mbarrier.cu:")), "{report}");
        }
    }
}

/// Whether addresses lie in constant or in global memory: those of a constant, of its last byte, of the byte behind it
/// and of a variable, and one of shared memory.
#[test]
fn spaces_of_addresses() {
    let mut text = String::from(
        ".version 8.0\n.target sm_75\n.address_size 64\n.const .align 4 .b8 other[4];\n.const .align 4 .b8 table[16];\n\
         .global .align 4 .b8 word[4];\n.visible .entry k(.param .u64 out)\n{\n.reg .pred %p<2>;\n.reg .b32 %r<2>;\n\
         .reg .b64 %o, %a<5>;\n.shared .align 4 .b8 s[4];\nld.param.u64 %o, [out];\n\
         mov.u64 %a0, table;\ncvta.const.u64 %a0, %a0;\nadd.u64 %a1, %a0, 15;\nadd.u64 %a2, %a0, 16;\n\
         mov.u64 %a3, word;\ncvta.global.u64 %a3, %a3;\nmov.u64 %a4, s;\ncvta.shared.u64 %a4, %a4;\n",
    );
    for k in 0..5 {
        text += &format!(
            "isspacep.const %p0, %a{k};\nisspacep.global %p1, %a{k};\nselp.u32 %r0, 1, 0, %p0;\nselp.u32 %r1, 1, 0, %p1;\n\
             st.global.v2.u32 [%o+{}], {{%r0, %r1}};\n",
            8 * k
        );
    }
    text += "ret;\n}\n";
    emulated("spaces_of_addresses", || {
        let gpu = Gpu::new(&text);
        let mut out = gpu.stream.alloc_zeros::<u32>(10).unwrap();
        launch!(gpu.stream, &gpu.kernel("k"), config(1), &mut out).unwrap();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), [1, 0, 1, 0, 0, 1, 0, 1, 0, 0]);
    });
}
