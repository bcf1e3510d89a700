//! Planted defects that must be found, and clean twins that must not be flagged.

use cudarc::driver::{DevicePtr, DriverError, LaunchConfig, PushKernelArg, sys};

use crate::common::{Gpu, emulated_with};
use crate::launch;

const PTX: &str = include_str!("../data/defects.ptx");

fn config(threads: u32, shared: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (1, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: shared }
}

/// Launches a kernel that takes one output of 64 words; gives what the synchronisation says.
fn one_output(name: &str, threads: u32, shared: u32) -> Result<(), DriverError> {
    let gpu = Gpu::new(PTX);
    let mut out = gpu.stream.alloc_zeros::<u32>(64).unwrap();
    let f = gpu.kernel(name);
    launch!(gpu.stream, &f, config(threads, shared), &mut out).expect("a launch itself succeeds");
    let result = gpu.stream.synchronize();
    if result.is_err() {
        // The error sticks: whatever comes next fails as well.
        assert_eq!(gpu.stream.alloc_zeros::<u8>(4).err(), result.err());
    }
    result
}

fn expect(code: sys::CUresult, result: Result<(), DriverError>) {
    assert_eq!(result.map_err(|e| e.0), Err(code));
}

use sys::CUresult::*;

macro_rules! defects {
    ($($test:ident: $kernel:literal, $threads:literal, $shared:literal, $code:expr, [$($text:literal),+];)*) => { $(
        #[test]
        fn $test() {
            let name = concat!("driver::checks::", stringify!($test));
            let report = emulated_with(name, &[], || expect($code, one_output($kernel, $threads, $shared)));
            if std::env::var_os("WARPLINE_EMULATOR_TEST_CHILD").is_none() {
                for text in [$($text),+, concat!("kernel ", $kernel), "defects.cu:"] {
                    assert!(report.contains(text), "{text:?} is missing in:\n{report}");
                }
            }
        }
    )* };
}

defects! {
    finds_misaligned_store: "misaligned", 32, 0, CUDA_ERROR_MISALIGNED_ADDRESS, ["thread (5, 0, 0)", "no multiple of 4"];
    finds_unwritten_shared: "shared_unwritten", 64, 0, CUDA_ERROR_LAUNCH_FAILED, ["thread (54, 0, 0)", "nothing wrote"];
    finds_shared_past_end: "shared_past_end", 64, 256, CUDA_ERROR_ILLEGAL_ADDRESS, ["thread (63, 0, 0)", "past shared"];
    finds_missing_syncthreads: "missing_syncthreads", 64, 0, CUDA_ERROR_LAUNCH_FAILED, ["shared memory"];
    finds_missing_syncwarp: "missing_syncwarp", 32, 0, CUDA_ERROR_LAUNCH_FAILED, ["race with thread"];
    finds_reuse_without_barrier: "reuse_without_barrier", 64, 0, CUDA_ERROR_LAUNCH_FAILED, ["race with thread"];
    finds_different_values: "different_values", 64, 0, CUDA_ERROR_LAUNCH_FAILED, ["race with thread"];
    finds_divergent_barrier: "divergent_barrier", 64, 0, CUDA_ERROR_LAUNCH_FAILED, ["different places"];
    finds_lost_lane: "lost_lane", 64, 0, CUDA_ERROR_LAUNCH_FAILED, ["wait for each other", "waits for lanes 0xffffffff"];
    finds_trap: "traps", 64, 0, CUDA_ERROR_LAUNCH_FAILED, ["trapped", "thread (40, 0, 0)"];
}

#[test]
fn clean_twins_pass() {
    let report = emulated_with("driver::checks::clean_twins_pass", &[], || {
        for (kernel, threads) in
            [("with_syncwarp", 32), ("reuse_with_barrier", 64), ("bytes_of_words", 64), ("same_value", 64)]
        {
            one_output(kernel, threads, 0).unwrap_or_else(|e| panic!("{kernel}: {e}"));
        }
    });
    assert!(!report.contains("warpline-emulator:"), "{report}");
}

#[test]
fn finds_store_past_end() {
    let report = emulated_with("driver::checks::finds_store_past_end", &[], || {
        let gpu = Gpu::new(PTX);
        let mut out = gpu.stream.alloc_zeros::<u32>(100).unwrap();
        let f = gpu.kernel("past_end");
        let n = 100u32;
        launch!(gpu.stream, &f, LaunchConfig { grid_dim: (2, 1, 1), ..config(64, 0) }, &mut out, &n).unwrap();
        expect(CUDA_ERROR_ILLEGAL_ADDRESS, gpu.stream.synchronize());
    });
    if !report.is_empty() {
        for text in [
            "invalid store of 4 bytes",
            "0 bytes behind allocation",
            "of 400 bytes",
            "block (1, 0, 0), thread (36, 0, 0)",
        ] {
            assert!(report.contains(text), "{text:?} is missing in:\n{report}");
        }
    }
}

#[test]
fn finds_unwritten_memory() {
    let report = emulated_with("driver::checks::finds_unwritten_memory", &[], || {
        let gpu = Gpu::new(PTX);
        let input = gpu.undefined(64);
        let mut out = gpu.stream.alloc_zeros::<u32>(64).unwrap();
        let f = gpu.kernel("reads_unwritten");
        launch!(gpu.stream, &f, config(64, 0), &input, &mut out).unwrap();
        expect(CUDA_ERROR_LAUNCH_FAILED, gpu.stream.synchronize());
    });
    assert!(report.is_empty() || report.contains("which nothing wrote: 0 bytes inside allocation"), "{report}");
}

#[test]
fn finds_download_of_unwritten_memory() {
    let report = emulated_with("driver::checks::finds_download_of_unwritten_memory", &[], || {
        let gpu = Gpu::new(PTX);
        let data = gpu.undefined(64);
        assert_eq!(gpu.stream.clone_dtoh(&data).unwrap_err().0, CUDA_ERROR_LAUNCH_FAILED);
    });
    assert!(report.is_empty() || report.contains("dtoh copy of 256 bytes"), "{report}");
}

#[test]
fn finds_use_after_free() {
    let report = emulated_with("driver::checks::finds_use_after_free", &[], || {
        let gpu = Gpu::new(PTX);
        let input = gpu.stream.alloc_zeros::<u32>(64).unwrap();
        let address = {
            let (p, _guard) = input.device_ptr(&gpu.stream);
            p
        };
        drop(input);
        let mut out = gpu.stream.alloc_zeros::<u32>(64).unwrap();
        let f = gpu.kernel("spins_past_free");
        launch!(gpu.stream, &f, config(64, 0), &address, &mut out).unwrap();
        expect(CUDA_ERROR_ILLEGAL_ADDRESS, gpu.stream.synchronize());
    });
    assert!(report.is_empty() || report.contains("which was freed"), "{report}");
}

#[test]
fn finds_double_free() {
    let report = emulated_with("driver::checks::finds_double_free", &[], || {
        let gpu = Gpu::new(PTX);
        let at = gpu.stream.alloc_zeros::<u32>(64).unwrap().leak();
        let stream = gpu.stream.cu_stream();
        // SAFETY: wrong frees are refused with a code.
        unsafe {
            assert_eq!(sys::cuMemFreeAsync(at, stream), CUDA_SUCCESS);
            assert_eq!(sys::cuMemFreeAsync(at, stream), CUDA_ERROR_INVALID_VALUE);
            gpu.stream.synchronize().unwrap();
            assert_eq!(sys::cuMemFree_v2(at), CUDA_ERROR_INVALID_VALUE);
            assert_eq!(sys::cuMemFree_v2(at + 16), CUDA_ERROR_INVALID_VALUE);
        }
    });
    assert!(report.is_empty() || report.contains("invalid free"), "{report}");
}

#[test]
fn finds_leaks() {
    let report = emulated_with("driver::checks::finds_leaks", &[], || {
        let gpu = Gpu::new(PTX);
        let _ = gpu.stream.alloc_zeros::<u32>(1234).unwrap().leak();
        gpu.stream.synchronize().unwrap();
    });
    assert!(report.is_empty() || report.contains("of 4936 bytes"), "{report}");
}

#[test]
fn reports_all_unsupported_instructions() {
    let report = emulated_with("driver::checks::reports_all_unsupported_instructions", &[], || {
        let context = cudarc::driver::CudaContext::new(0).unwrap();
        let ptx = ".version 8.0\n.target sm_75\n.address_size 64\n.visible .entry k()\n{\n.reg .b32 %r<4>;\n\
                   frobnicate.b32 %r1, %r2;\nadd.ftz.f64 %r1, %r2, %r3;\nret;\n}\n";
        let error = context.load_module(cudarc::nvrtc::Ptx::from_src(ptx)).unwrap_err();
        assert_eq!(error.0, CUDA_ERROR_INVALID_PTX);
    });
    if !report.is_empty() {
        assert!(report.contains("line 7: frobnicate.b32") && report.contains("line 8: add.ftz.f64"), "{report}");
    }
}
