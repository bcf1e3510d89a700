//! What threads owe each other: each planted defect must be found, each clean twin must pass, in plain order and under
//! seeds.

use cudarc::driver::sys::CUresult::{self, *};
use cudarc::driver::{LaunchConfig, PushKernelArg};

use crate::common::{Gpu, emulated_with, in_child};
use crate::launch;

const RACES: &str = include_str!("../data/races.ptx");
const MEMORY: &str = include_str!("../data/memory.ptx");

/// What is expected of a kernel.
enum Want {
    /// It runs to its end, and nothing is reported.
    Clean,
    /// The next synchronisation gives this error, and the report holds these words.
    Found(CUresult, &'static [&'static str]),
    /// It runs to its end, and a line with these words is printed.
    Told(&'static [&'static str]),
}
use Want::*;

/// Launches a kernel over 64 zeroed words, and over as many that nothing wrote if it takes two arguments.
fn run(ptx: &str, kernel: &str, blocks: u32, threads: u32, scratch: bool) -> Result<(), CUresult> {
    let gpu = Gpu::new(ptx);
    let mut out = gpu.stream.alloc_zeros::<u32>(64).unwrap();
    let mut rest = gpu.undefined(64);
    let f = gpu.kernel(kernel);
    let config = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 };
    if scratch {
        launch!(gpu.stream, &f, config, &mut out, &mut rest).expect("a launch itself succeeds");
    } else {
        launch!(gpu.stream, &f, config, &mut out).expect("a launch itself succeeds");
    }
    gpu.stream.synchronize().map_err(|e| e.0)
}

fn judge(
    name: &str,
    file: &str,
    kernel: &str,
    want: &Want,
    checks: &str,
    seed: &str,
    body: impl Fn() -> Result<(), CUresult>,
) {
    // A process takes one seed's launch: after a failed one it gets no context.
    if in_child() && std::env::var("WARPLINE_EMULATOR_SEED").as_deref() != Ok(seed) {
        return;
    }
    let env = [("WARPLINE_EMULATOR_CHECKS", checks), ("WARPLINE_EMULATOR_SEED", seed)];
    let report = emulated_with(name, &env, || match want {
        Found(code, _) => assert_eq!(body(), Err(*code), "{kernel}"),
        Clean | Told(_) => assert_eq!(body(), Ok(()), "{kernel}"),
    });
    if in_child() {
        return;
    }
    let (file, kernel) = (format!("{file}.cu:"), format!("kernel {kernel}"));
    match want {
        Clean => assert!(!report.contains("warpline-emulator:"), "{report}"),
        Found(_, words) => {
            for word in words.iter().copied().chain([&*file, &*kernel, "block (", "thread ("]) {
                assert!(report.contains(word), "{word:?} is missing in:\n{report}");
            }
        }
        Told(words) => {
            for word in words.iter().copied().chain([&*file, &*kernel]) {
                assert!(report.contains(word), "{word:?} is missing in:\n{report}");
            }
        }
    }
}

macro_rules! cases {
    ($ptx:ident, $file:literal, $scratch:literal, $checks:literal: $($kernel:ident: $blocks:literal, $threads:literal, $want:expr;)*) => { $(
        #[test]
        fn $kernel() {
            let name = concat!("driver::races::", stringify!($kernel));
            let kernel = stringify!($kernel);
            for seed in ["0", "5", "77"] {
                judge(name, $file, kernel, &$want, $checks, seed, || run($ptx, kernel, $blocks, $threads, $scratch));
            }
        }
    )* };
}

// Shared memory and operations between lanes, under the checks that are on by default.
cases! { RACES, "races", false, "all":
    halves_apart: 1, 32, Found(CUDA_ERROR_LAUNCH_FAILED, &["race with", "shared memory at offset"]);
    halves_alone: 1, 32, Clean;
    meetings_in_a_chain: 1, 32, Clean;
    chain_the_wrong_way: 1, 32, Found(CUDA_ERROR_LAUNCH_FAILED, &["race with thread"]);
    tree_without_syncwarp: 1, 32, Found(CUDA_ERROR_LAUNCH_FAILED, &["race with"]);
    tree_with_syncwarp: 1, 32, Clean;
    counts_too_early: 1, 64, Found(CUDA_ERROR_LAUNCH_FAILED, &["race with"]);
    counts: 1, 64, Clean;
    producer_and_consumer: 1, 64, Clean;
    lane_not_in_mask: 1, 32, Found(CUDA_ERROR_LAUNCH_FAILED, &["not in its own member mask"]);
    masks_disagree: 1, 32, Found(CUDA_ERROR_LAUNCH_FAILED, &["wait for each other", "waits for lanes 0x00000003"]);
    shuffle_from_idle_lane: 1, 32, Found(CUDA_ERROR_LAUNCH_FAILED, &["shuffle from lane 16", "thread (15, 0, 0)"]);
    shuffle_among_active: 1, 32, Clean;
    shuffle_after_exit: 1, 32, Clean;
    barrier_of_forty: 1, 64, Found(CUDA_ERROR_LAUNCH_FAILED, &["barrier 1 with 40 threads is not valid"]);
    half_at_the_barrier: 1, 64, Found(CUDA_ERROR_LAUNCH_FAILED, &["waits at barrier 1", "waits at barrier 2"]);
    barrier_after_exit: 1, 64, Clean;
}

// Device memory between blocks, which must be asked for.
cases! { RACES, "races", false, "all,global":
    neighbours: 8, 32, Found(CUDA_ERROR_LAUNCH_FAILED, &["race with block (", "bytes inside allocation #", "of 256 bytes"]);
    own_words: 8, 32, Clean;
    own_bytes: 30, 32, Clean;
    last_block_without_fence: 8, 32, Found(CUDA_ERROR_LAUNCH_FAILED, &["race with block (", "bytes inside allocation #"]);
    last_block_with_fence: 8, 32, Clean;
    grid_barrier: 2, 32, Clean;
}

cases! { RACES, "races", false, "all,lint":
    reads_its_counter: 4, 32, Told(&["lint:", "(inlined at races.cu:161)", "plain access at races.cu:162"]);
}

// Bounds, alignment and initialisation.
cases! { MEMORY, "memory", false, "all":
    before_start: 1, 64, Found(CUDA_ERROR_ILLEGAL_ADDRESS, &["invalid store of 4 bytes", "4 bytes before allocation #", "of 256 bytes", "thread (0, 0, 0)"]);
    inside: 1, 64, Clean;
    atomic_past_end: 1, 64, Found(CUDA_ERROR_ILLEGAL_ADDRESS, &["invalid atomic of 4 bytes", "bytes behind allocation #"]);
    vector_misaligned: 1, 64, Found(CUDA_ERROR_MISALIGNED_ADDRESS, &["no multiple of 16", "4 bytes inside allocation #"]);
    vector_aligned: 1, 64, Clean;
}
cases! { MEMORY, "memory", true, "all":
    adds_to_unwritten: 1, 64, Found(CUDA_ERROR_LAUNCH_FAILED, &["which nothing wrote", "bytes inside allocation #", "of 256 bytes"]);
    exchanges_unwritten: 1, 64, Clean;
    reads_a_byte_too_many: 1, 64, Found(CUDA_ERROR_LAUNCH_FAILED, &["which nothing wrote", "inside allocation #2 of 256 bytes"]);
    reads_what_it_wrote: 1, 64, Clean;
}

/// Without the option nothing is said about blocks, and the results come all the same.
#[test]
fn blocks_are_checked_only_on_request() {
    let name = "driver::races::blocks_are_checked_only_on_request";
    judge(name, "races", "neighbours", &Clean, "all", "0", || run(RACES, "neighbours", 8, 32, false));
}

/// The look-back of the basic kernels publishes values inside of its state words: sound.
#[test]
fn look_back_is_no_race() {
    let name = "driver::races::look_back_is_no_race";
    judge(name, "basic", "lookback", &Clean, "all,global", "3", || {
        let gpu = Gpu::new(include_str!("../data/basic.ptx"));
        let input = gpu.stream.clone_htod(&vec![1u32; 64 * 128]).unwrap();
        let mut out = gpu.stream.alloc_zeros::<u32>(64 * 128).unwrap();
        let (mut state, mut ticket) =
            (gpu.stream.alloc_zeros::<u64>(64).unwrap(), gpu.stream.alloc_zeros::<u32>(1).unwrap());
        let config = LaunchConfig { grid_dim: (64, 1, 1), block_dim: (128, 1, 1), shared_mem_bytes: 0 };
        launch!(gpu.stream, &gpu.kernel("lookback"), config, &input, &mut out, &mut state, &mut ticket).unwrap();
        assert_eq!(gpu.stream.clone_dtoh(&out).unwrap(), (1..=64 * 128).collect::<Vec<u32>>());
        Ok(())
    });
}

/// What is left when a context ends is an error of the call that ends it.
#[test]
fn leaks_are_errors() {
    use cudarc::driver::{result, sys};
    let leave = |leak: bool| {
        result::init().unwrap();
        // SAFETY: the primary context of device 0 is current on this thread until it is released.
        unsafe {
            let context = result::primary_ctx::retain(0).unwrap();
            result::ctx::set_current(context).unwrap();
            let at = result::malloc_sync(1234).unwrap();
            if !leak {
                result::free_sync(at).unwrap();
            }
            sys::cuDevicePrimaryCtxRelease_v2(0)
        }
    };
    let report = emulated_with("driver::races::leaks_are_errors", &[], || {
        assert_eq!(leave(false), CUDA_SUCCESS);
        assert_eq!(leave(true), CUDA_ERROR_LAUNCH_FAILED);
        // What leaked is gone, so the next context starts clean.
        assert_eq!(leave(false), CUDA_SUCCESS);
    });
    assert!(in_child() || report.contains("leak: allocation #2 of 1234 bytes"), "{report}");
}

/// A finding can be made to end the process, for programs that swallow errors.
#[test]
fn findings_can_abort() {
    let name = "driver::races::findings_can_abort";
    if in_child() {
        let _ = run(RACES, "halves_apart", 1, 32, false);
        return;
    }
    let child = std::panic::catch_unwind(|| emulated_with(name, &[("WARPLINE_EMULATOR_ABORT", "1")], || ()));
    let why = *child.expect_err("the child must not succeed").downcast::<String>().expect("a message");
    assert!(why.contains("race with") && why.contains("WARPLINE_EMULATOR_ABORT is set"), "{why}");
}
