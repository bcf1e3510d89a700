//! Contexts and devices: what is current, what ends with a context, what a device tells.

use cudarc::driver::sys::CUdevice_attribute::{self, *};
use cudarc::driver::sys::CUlimit::*;
use cudarc::driver::sys::CUresult::*;
use cudarc::driver::sys::{self, CUcontext};

use super::raw::*;

const PTX: &str = include_str!("../data/basic.ptx");

fn current() -> CUcontext {
    // SAFETY: a place for a handle.
    handle(|p| unsafe { sys::cuCtxGetCurrent(p) })
}

fn another() -> CUcontext {
    // SAFETY: valid arguments.
    handle(|p| unsafe { sys::cuCtxCreate_v4(p, std::ptr::null_mut(), 0, 0) })
}

fn attribute(which: CUdevice_attribute) -> i32 {
    // SAFETY: valid arguments.
    get(|p| unsafe { sys::cuDeviceGetAttribute(p, which, 0) })
}

in_child! {
    fn contexts_stack([]) {
        let primary = start();
        assert_eq!(current(), primary);
        let a = another();
        assert_eq!(current(), a, "a new context is current");
        ok(sys::cuCtxPushCurrent_v2(primary));
        assert_eq!(handle(|p| sys::cuCtxPopCurrent_v2(p)), primary);
        assert_eq!(current(), a);
        ok(sys::cuCtxDestroy_v2(a));
        assert_eq!(current(), primary, "the end of a current context takes it off");
        assert_eq!(sys::cuCtxDestroy_v2(a), CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(sys::cuCtxDestroy_v2(primary), CUDA_ERROR_INVALID_CONTEXT, "it is released");
        ok(sys::cuCtxSetCurrent(std::ptr::null_mut()));
        assert!(current().is_null());
        assert_eq!(sys::cuCtxPopCurrent_v2(&mut std::ptr::null_mut()), CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(sys::cuCtxGetDevice(&mut 0), CUDA_ERROR_INVALID_CONTEXT);
    }

    fn a_context_that_ended_stays_current_elsewhere([]) {
        start();
        let a = another() as usize;
        let s = stream();
        let (send, receive) = std::sync::mpsc::channel::<()>();
        let (ready, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            ok(sys::cuCtxSetCurrent(a as _));
            ready.send(()).unwrap();
            receive.recv().unwrap();
            assert_eq!(sys::cuMemAlloc_v2(&mut 0, 4), CUDA_ERROR_CONTEXT_IS_DESTROYED);
            assert_eq!(sys::cuCtxSynchronize(), CUDA_ERROR_CONTEXT_IS_DESTROYED);
            assert_eq!(sys::cuCtxGetDevice(&mut 0), CUDA_ERROR_CONTEXT_IS_DESTROYED);
        });
        wait.recv().unwrap();
        ok(sys::cuCtxDestroy_v2(a as _));
        send.send(()).unwrap();
        thread.join().expect("no panic");
        // What it held has gone.
        assert_eq!(sys::cuStreamSynchronize(s), CUDA_ERROR_INVALID_HANDLE);
    }

    fn things_of_one_context_do_not_fit_another([]) {
        let primary = start();
        let text = std::ffi::CString::new(PTX).unwrap();
        let module = handle(|p| sys::cuModuleLoadData(p, text.as_ptr().cast()));
        let f = handle(|p| sys::cuModuleGetFunction(p, module, c"reverse".as_ptr()));
        let (e, timed) = (event(), event());
        let (mut x, mut y) = (words(&[1; 256]), words(&[0; 256]));
        let mut params: [*mut std::ffi::c_void; 2] = [(&raw mut x).cast(), (&raw mut y).cast()];
        let a = another();
        let s = stream();
        let list = params.as_mut_ptr();
        let none = std::ptr::null_mut();
        let got = sys::cuLaunchKernel(f, 1, 1, 1, 256, 1, 1, 0, s, list, none);
        assert_eq!(got, CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuEventRecord(e, s), CUDA_ERROR_INVALID_HANDLE);
        // Waits go between contexts, and memory is one address space.
        ok(sys::cuStreamWaitEvent(s, timed, 0));
        ok(sys::cuMemsetD32Async(x, 2, 256, s));
        ok(sys::cuStreamSynchronize(s));
        ok(sys::cuMemcpyPeer(y, primary, x, a, 1024));
        assert_eq!(sys::cuMemcpyPeer(y, primary, x, s.cast(), 1024), CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(read(y, 256), [2; 256]);
        ok(sys::cuCtxDestroy_v2(a));
    }

    fn memory_ends_with_its_context([("WARPLINE_EMULATOR_CHECKS", "none")]) {
        start();
        let kept = words(&[1; 4]);
        let free = || {
            let (mut free, mut total) = (0, 0);
            ok(sys::cuMemGetInfo_v2(&mut free, &mut total));
            free
        };
        let before = free();
        let a = another();
        let lost = words(&[2; 1 << 20]);
        assert!(free() < before);
        ok(sys::cuCtxDestroy_v2(a));
        assert_eq!(free(), before);
        assert_eq!(sys::cuMemsetD32_v2(lost, 0, 1), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(read(kept, 4), [1; 4]);
    }

    fn primary_contexts_are_counted([]) {
        let a = start();
        assert_eq!(handle(|p| sys::cuDevicePrimaryCtxRetain(p, 0)), a);
        let state = || {
            let (mut flags, mut active) = (0, 0);
            ok(sys::cuDevicePrimaryCtxGetState(0, &mut flags, &mut active));
            (flags, active)
        };
        assert_eq!(state(), (0, 1));
        ok(sys::cuDevicePrimaryCtxRelease_v2(0));
        ok(sys::cuDevicePrimaryCtxRelease_v2(0));
        assert_eq!(state(), (0, 0));
        assert_eq!(sys::cuDevicePrimaryCtxRelease_v2(0), CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(sys::cuMemAlloc_v2(&mut 0, 4), CUDA_ERROR_CONTEXT_IS_DESTROYED);
        // Flags wait for the next one.
        ok(sys::cuDevicePrimaryCtxSetFlags_v2(0, 4));
        start();
        assert_eq!(state(), (4, 1));
        assert_eq!(get(|p| sys::cuCtxGetFlags(p)), 4);
        assert_eq!(sys::cuDevicePrimaryCtxSetFlags_v2(0, 3), CUDA_ERROR_INVALID_VALUE);
    }

    fn limits_and_preferences([]) {
        start();
        for limit in [CU_LIMIT_STACK_SIZE, CU_LIMIT_PRINTF_FIFO_SIZE, CU_LIMIT_MALLOC_HEAP_SIZE] {
            assert!(get(|p| sys::cuCtxGetLimit(p, limit)) > 0);
            ok(sys::cuCtxSetLimit(limit, 4096));
            assert_eq!(get(|p| sys::cuCtxGetLimit(p, limit)), 4096);
        }
        // Comes with compute capability 8.0.
        assert_eq!(sys::cuCtxSetLimit(CU_LIMIT_PERSISTING_L2_CACHE_SIZE, 0), CUDA_ERROR_UNSUPPORTED_LIMIT);
        let mut config = sys::CUfunc_cache::CU_FUNC_CACHE_PREFER_NONE;
        ok(sys::cuCtxSetCacheConfig(sys::CUfunc_cache::CU_FUNC_CACHE_PREFER_L1));
        ok(sys::cuCtxGetCacheConfig(&mut config));
        assert_eq!(config, sys::CUfunc_cache::CU_FUNC_CACHE_PREFER_L1);
    }

    fn peers([("WARPLINE_EMULATOR_DEVICES", "2")]) {
        let first = start();
        let second = handle(|p| sys::cuDevicePrimaryCtxRetain(p, 1));
        assert_eq!(get(|p| sys::cuDeviceCanAccessPeer(p, 0, 1)), 1);
        assert_eq!(get(|p| sys::cuDeviceCanAccessPeer(p, 0, 0)), 0);
        ok(sys::cuCtxEnablePeerAccess(second, 0));
        assert_eq!(sys::cuCtxEnablePeerAccess(second, 0), CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
        assert_eq!(sys::cuCtxEnablePeerAccess(second, 1), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuCtxEnablePeerAccess(first, 0), CUDA_ERROR_INVALID_CONTEXT);
        ok(sys::cuCtxDisablePeerAccess(second));
        assert_eq!(sys::cuCtxDisablePeerAccess(second), CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
        let x = words(&[6; 4]);
        ok(sys::cuCtxSetCurrent(second));
        let y = words(&[0; 4]);
        ok(sys::cuMemcpyPeer(y, second, x, first, 16));
        assert_eq!(read(y, 4), [6; 4]);
    }

    fn a_turing_device([]) {
        start();
        for (which, want) in [
            (CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024),
            (CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32),
            (CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 7),
            (CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 5),
            (CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 1024),
            (CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 49152),
            (CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 65536),
            (CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, 65536),
            (CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR, 16),
            (CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 65536),
            (CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535),
            (CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1),
            (CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 1),
            (CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 1),
            (CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH, 0),
            (CU_DEVICE_ATTRIBUTE_VIRTUAL_ADDRESS_MANAGEMENT_SUPPORTED, 0),
            (CU_DEVICE_ATTRIBUTE_INTEGRATED, 0),
        ] {
            assert_eq!(attribute(which), want, "{which:?}");
        }
        assert!(attribute(CU_DEVICE_ATTRIBUTE_CLOCK_RATE) > 0 && attribute(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE) > 0);
    }

    fn a_hopper_device([("WARPLINE_EMULATOR_CC", "9.0")]) {
        start();
        for (which, want) in [
            (CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 2048),
            (CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 227 << 10),
            (CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, 228 << 10),
            (CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK, 1024),
            (CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR, 32),
        ] {
            assert_eq!(attribute(which), want, "{which:?}");
        }
    }

    fn occupancy_of_a_multiprocessor([("WARPLINE_EMULATOR_CC", "8.0"), ("WARPLINE_EMULATOR_THREADS", "3")]) {
        start();
        let text = std::ffi::CString::new(PTX).unwrap();
        let module = handle(|p| sys::cuModuleLoadData(p, text.as_ptr().cast()));
        // 1,024 bytes of static shared memory, bound to 256 threads.
        let f = handle(|p| sys::cuModuleGetFunction(p, module, c"reverse".as_ptr()));
        let of = |which| get(|p| sys::cuFuncGetAttribute(p, which, f));
        use sys::CUfunction_attribute::*;
        assert_eq!(of(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES), 1024);
        assert_eq!(of(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK), 256);
        assert_eq!((of(CU_FUNC_ATTRIBUTE_BINARY_VERSION), of(CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES)), (80, 0));
        // 2,048 threads, 32 blocks, 164 KiB of which each block takes 1 KiB more than it asks for.
        for (threads, dynamic, want) in [(256, 0, 8), (32, 0, 32), (33, 0, 32), (256, 40 << 10, 3), (256, 162 << 10, 1)] {
            let got = get(|p| sys::cuOccupancyMaxActiveBlocksPerMultiprocessor(p, f, threads, dynamic));
            assert_eq!(got, want, "{threads} threads, {dynamic} bytes");
        }
        let zero = sys::cuOccupancyMaxActiveBlocksPerMultiprocessor(&mut 0, f, 0, 0);
        assert_eq!(zero, CUDA_ERROR_INVALID_VALUE);
        let free = get(|p| sys::cuOccupancyAvailableDynamicSMemPerBlock(p, f, 4, 256));
        assert_eq!(free, (164 << 10) / 4 - 1024 - 1024);
        let (mut grid, mut block) = (0, 0);
        ok(sys::cuOccupancyMaxPotentialBlockSize(&mut grid, &mut block, f, None, 0, 0));
        assert_eq!((grid, block), (24, 256), "eight blocks on each of three multiprocessors");
        ok(sys::cuOccupancyMaxPotentialBlockSize(&mut grid, &mut block, f, None, 0, 64));
        assert_eq!((grid, block), (96, 64));
    }
}
