//! Wrong calls give the code that the driver's reference names, and never a crash.

use std::ffi::{CString, c_void};

use cudarc::driver::sys::CUfunction_attribute::*;
use cudarc::driver::sys::CUresult::*;
use cudarc::driver::sys::{self, CUfunction, CUmodule, CUresult, CUstream};

use super::raw::*;

const PTX: &str = include_str!("../data/basic.ptx");
const DEFECTS: &str = include_str!("../data/defects.ptx");

fn load(text: &str) -> Result<CUmodule, CUresult> {
    let text = CString::new(text).expect("no NUL");
    let mut module = std::ptr::null_mut();
    // SAFETY: the text ends in NUL.
    match unsafe { sys::cuModuleLoadData(&mut module, text.as_ptr().cast()) } {
        CUDA_SUCCESS => Ok(module),
        e => Err(e),
    }
}

fn kernel(module: CUmodule, name: &str) -> CUfunction {
    let name = CString::new(name).expect("no NUL");
    // SAFETY: valid arguments.
    handle(|p| unsafe { sys::cuModuleGetFunction(p, module, name.as_ptr()) })
}

/// Launches with the default stream; parameters are pointers to the values.
unsafe fn launch(f: CUfunction, grid: [u32; 3], block: [u32; 3], shared: u32, params: &mut [*mut c_void]) -> CUresult {
    let ([x, y, z], [a, b, c]) = (grid, block);
    let (list, none) = (params.as_mut_ptr(), std::ptr::null_mut());
    // SAFETY: passed on.
    unsafe { sys::cuLaunchKernel(f, x, y, z, a, b, c, shared, std::ptr::null_mut(), list, none) }
}

/// A handle that was never given out.
fn made_up<T>() -> *mut T {
    0x7f7f_7f70 as *mut T
}

in_child! {
    fn nothing_works_before_the_start([]) {
        let mut at = 0;
        assert_eq!(sys::cuMemAlloc_v2(&mut at, 16), CUDA_ERROR_NOT_INITIALIZED);
        assert_eq!(sys::cuDeviceGet(&mut 0, 0), CUDA_ERROR_NOT_INITIALIZED);
        assert_eq!(sys::cuInit(1), CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuInit(0));
        ok(sys::cuInit(0));
        // No context is current yet.
        assert_eq!(sys::cuMemAlloc_v2(&mut at, 16), CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(sys::cuCtxSynchronize(), CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(load(PTX).err(), Some(CUDA_ERROR_INVALID_CONTEXT));
        assert_eq!(sys::cuStreamCreate(&mut std::ptr::null_mut(), 0), CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(sys::cuMemcpyHtoD_v2(64, [0u8; 4].as_ptr().cast(), 4), CUDA_ERROR_INVALID_CONTEXT);
    }

    fn no_device([("WARPLINE_EMULATOR_DEVICES", "0")]) {
        assert_eq!(sys::cuInit(0), CUDA_ERROR_NO_DEVICE);
        assert_eq!(sys::cuDeviceGetCount(&mut 0), CUDA_ERROR_NO_DEVICE);
    }

    fn bad_settings_are_told([("WARPLINE_EMULATOR_MEMORY", "lots")]) {
        assert_eq!(sys::cuInit(0), CUDA_ERROR_INVALID_VALUE);
    }

    fn no_such_device([]) {
        start();
        for device in [-1, 1, i32::MAX] {
            assert_eq!(sys::cuDeviceGet(&mut 0, device), CUDA_ERROR_INVALID_DEVICE);
            assert_eq!(sys::cuDeviceTotalMem_v2(&mut 0, device), CUDA_ERROR_INVALID_DEVICE);
            assert_eq!(sys::cuDevicePrimaryCtxRetain(&mut std::ptr::null_mut(), device), CUDA_ERROR_INVALID_DEVICE);
            assert_eq!(sys::cuDeviceGetName([0; 9].as_mut_ptr(), 9, device), CUDA_ERROR_INVALID_DEVICE);
        }
        let mut name = [1; 9];
        ok(sys::cuDeviceGetName(name.as_mut_ptr(), 9, 0));
        assert_eq!(name.map(|c| c as u8), *b"Warpline\0", "cut to the room there is");
        assert_eq!(sys::cuDeviceGetName(std::ptr::null_mut(), 9, 0), CUDA_ERROR_INVALID_VALUE);
    }

    fn malformed_modules([]) {
        start();
        let head = ".version 8.0\n.target sm_75\n.address_size 64\n";
        for (text, want) in [
            ("", CUDA_ERROR_INVALID_PTX),
            ("not PTX at all", CUDA_ERROR_INVALID_PTX),
            (".version 8.0\n.target sm_75\n.address_size 64\n.visible .entry k( {", CUDA_ERROR_INVALID_PTX),
            (&format!("{head}.visible .entry k() {{ mov.u32 %r1, 1; ret; }}"), CUDA_ERROR_INVALID_PTX),
            (&format!("{head}.visible .entry k() {{ bra nowhere; }}"), CUDA_ERROR_INVALID_PTX),
            (&format!("{head}.visible .entry k() {{ .reg .b32 %r; frob.u32 %r, 1; }}"), CUDA_ERROR_INVALID_PTX),
            (&format!("{head}.visible .entry k() {{ \u{1F980} }}"), CUDA_ERROR_INVALID_PTX),
            (&head.replace("8.0", "99.0"), CUDA_ERROR_UNSUPPORTED_PTX_VERSION),
            (&head.replace("sm_75", "sm_90"), CUDA_ERROR_NO_BINARY_FOR_GPU),
            (&head.replace("sm_75", "sm_90a"), CUDA_ERROR_NO_BINARY_FOR_GPU),
        ] {
            assert_eq!(load(text).err(), Some(want), "{text}");
        }
        // Cut anywhere, text is refused or loads; it never crashes.
        for n in (0..PTX.len()).step_by(97).filter(|n| PTX.is_char_boundary(*n)) {
            let _ = load(&PTX[..n]);
        }
        let elf = [0x7fu8, b'E', b'L', b'F', 2, 1, 1, 0];
        let fat = [0x50u8, 0xed, 0x55, 0xba, 1, 0, 16, 0];
        for image in [elf, fat] {
            let got = sys::cuModuleLoadData(&mut std::ptr::null_mut(), image.as_ptr().cast());
            assert_eq!(got, CUDA_ERROR_NO_BINARY_FOR_GPU);
        }
        assert_eq!(sys::cuModuleLoadData(&mut std::ptr::null_mut(), std::ptr::null()), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuModuleLoadData(std::ptr::null_mut(), elf.as_ptr().cast()), CUDA_ERROR_INVALID_VALUE);
        let text = CString::new(PTX).unwrap();
        assert_eq!(sys::cuModuleLoadData(std::ptr::null_mut(), text.as_ptr().cast()), CUDA_ERROR_INVALID_VALUE);
        let got = sys::cuModuleLoad(&mut std::ptr::null_mut(), c"/no/such/file.ptx".as_ptr());
        assert_eq!(got, CUDA_ERROR_FILE_NOT_FOUND);
    }

    fn newer_versions_load([("WARPLINE_EMULATOR_CC", "9.0")]) {
        start();
        for version in ["6.0", "8.0", "8.7", "9.0", "9.9"] {
            for target in ["sm_50", "sm_75", "sm_80", "sm_90", "sm_90a", "sm_75, debug"] {
                let text = format!(".version {version}\n.target {target}\n.address_size 64\n.visible .entry k() {{ ret; }}");
                let module = load(&text).unwrap_or_else(|e| panic!("{version} {target}: {e:?}"));
                ok(sys::cuModuleUnload(module));
            }
        }
    }

    fn the_log_tells_why([]) {
        start();
        let text = CString::new(".version 8.0\n.target sm_75\n.address_size 64\n.visible .entry k() {\nfrob.b32 1;\n}").unwrap();
        let mut log = [1u8; 200];
        let mut options = [
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
        ];
        let mut values: [*mut c_void; 2] = [log.as_mut_ptr().cast(), 200 as *mut c_void];
        let got = sys::cuModuleLoadDataEx(
            &mut std::ptr::null_mut(),
            text.as_ptr().cast(),
            2,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        );
        assert_eq!(got, CUDA_ERROR_INVALID_PTX);
        let said = std::ffi::CStr::from_bytes_until_nul(&log).expect("NUL").to_string_lossy();
        assert!(said.contains("frob") && said.contains("line 5"), "{said}");
    }

    fn names_that_are_not_there([]) {
        start();
        let module = load(PTX).expect("loads");
        let mut f = std::ptr::null_mut();
        assert_eq!(sys::cuModuleGetFunction(&mut f, module, c"nothing".as_ptr()), CUDA_ERROR_NOT_FOUND);
        assert_eq!(sys::cuModuleGetFunction(&mut f, module, std::ptr::null()), CUDA_ERROR_INVALID_VALUE);
        let (mut at, mut size) = (0, 0);
        assert_eq!(
            sys::cuModuleGetGlobal_v2(&mut at, &mut size, module, c"nothing".as_ptr()),
            CUDA_ERROR_NOT_FOUND
        );
        ok(sys::cuModuleGetGlobal_v2(&mut at, &mut size, module, c"counter".as_ptr()));
        assert_eq!((size, read(at, 1)[0]), (4, 5));
        let f = kernel(module, "add_f32");
        ok(sys::cuModuleUnload(module));
        // The module has gone with all that it held.
        assert_eq!(sys::cuModuleUnload(module), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuModuleGetFunction(&mut { f }, module, c"add_f32".as_ptr()), CUDA_ERROR_INVALID_HANDLE);
        let attribute = sys::cuFuncGetAttribute(&mut 0, CU_FUNC_ATTRIBUTE_NUM_REGS, f);
        assert_eq!(attribute, CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(launch(f, [1; 3], [1; 3], 0, &mut []), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuMemsetD32_v2(at, 0, 1), CUDA_ERROR_INVALID_VALUE);
    }

    fn launches_over_limits([]) {
        start();
        let module = load(PTX).expect("loads");
        // Bound to 256 threads.
        let f = kernel(module, "reverse");
        let (mut a, mut b) = (words(&[0; 256]), words(&[0; 256]));
        let mut params: [*mut c_void; 2] = [(&raw mut a).cast(), (&raw mut b).cast()];
        for (grid, block, shared) in [
            ([0, 1, 1], [256, 1, 1], 0),
            ([1, 1, 1], [0, 1, 1], 0),
            ([1, 65536, 1], [256, 1, 1], 0),
            ([1, 1, 65536], [256, 1, 1], 0),
            ([u32::MAX, 1, 1], [256, 1, 1], 0),
            ([1, 1, 1], [257, 1, 1], 0),
            ([1, 1, 1], [1025, 1, 1], 0),
            ([1, 1, 1], [2, 2, 65], 0),
            ([1, 1, 1], [u32::MAX, u32::MAX, 2], 0),
            // As many threads as wrap to 0 in 64 bits.
            ([1, 1, 1], [1 << 31, 1 << 31, 4], 0),
            ([1, 1, 1], [256, 1, 1], 48 << 10),
            ([1, 1, 1], [256, 1, 1], u32::MAX),
        ] {
            let got = launch(f, grid, block, shared, &mut params);
            assert_eq!(got, CUDA_ERROR_INVALID_VALUE, "{grid:?} {block:?} {shared}");
        }
        ok(launch(f, [1; 3], [256, 1, 1], 47 << 10, &mut params));
        // More than 48 KiB is for kernels that opt in, up to what the device has.
        let f = kernel(module, "compact");
        let set = |bytes| sys::cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes);
        assert_eq!(set((64 << 10) + 1), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(set(-1), CUDA_ERROR_INVALID_VALUE);
        let (mut input, mut limit, mut out, mut n) = (words(&[5; 1024]), 3i32, words(&[0; 1024]), words(&[0]));
        let mut params: [*mut c_void; 4] =
            [(&raw mut input).cast(), (&raw mut limit).cast(), (&raw mut out).cast(), (&raw mut n).cast()];
        assert_eq!(launch(f, [1; 3], [1024, 1, 1], 64 << 10, &mut params), CUDA_ERROR_INVALID_VALUE);
        ok(set(64 << 10));
        let max = CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        assert_eq!(get(|p| sys::cuFuncGetAttribute(p, max, f)), 64 << 10);
        ok(launch(f, [1; 3], [1024, 1, 1], 64 << 10, &mut params));
        assert_eq!(read(n, 1), [1024]);
        // Attributes that only tell cannot be set.
        assert_eq!(sys::cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_NUM_REGS, 5), CUDA_ERROR_INVALID_VALUE);
    }

    fn cooperative_launches_must_fit([("WARPLINE_EMULATOR_THREADS", "2")]) {
        start();
        let f = kernel(load(PTX).expect("loads"), "reverse");
        let (mut a, mut b) = (words(&[0; 256 * 64]), words(&[0; 256 * 64]));
        let mut params: [*mut c_void; 2] = [(&raw mut a).cast(), (&raw mut b).cast()];
        let per_sm = get(|p| sys::cuOccupancyMaxActiveBlocksPerMultiprocessor(p, f, 256, 0)) as u32;
        let sms = get(|p| {
            sys::cuDeviceGetAttribute(p, sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0)
        });
        assert_eq!((per_sm, sms), (4, 2), "1,024 threads of a 7.5 multiprocessor");
        let mut cooperative = |blocks| {
            let s: CUstream = std::ptr::null_mut();
            sys::cuLaunchCooperativeKernel(f, blocks, 1, 1, 256, 1, 1, 0, s, params.as_mut_ptr())
        };
        ok(cooperative(8));
        assert_eq!(cooperative(9), CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
        ok(sys::cuCtxSynchronize());
        // The same by cuLaunchKernelEx.
        let mut attribute: sys::CUlaunchAttribute = std::mem::zeroed();
        attribute.id = sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
        attribute.value.cooperative = 1;
        let mut config: sys::CUlaunchConfig = std::mem::zeroed();
        (config.gridDimX, config.gridDimY, config.gridDimZ) = (8, 1, 1);
        (config.blockDimX, config.blockDimY, config.blockDimZ) = (256, 1, 1);
        (config.attrs, config.numAttrs) = (&mut attribute, 1);
        let none = std::ptr::null_mut();
        ok(sys::cuLaunchKernelEx(&config, f, params.as_mut_ptr(), none));
        config.gridDimX = 9;
        let got = sys::cuLaunchKernelEx(&config, f, params.as_mut_ptr(), none);
        assert_eq!(got, CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
        config.numAttrs = 0;
        ok(sys::cuLaunchKernelEx(&config, f, params.as_mut_ptr(), none));
        let mut clusters: sys::CUlaunchAttribute = std::mem::zeroed();
        clusters.id = sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
        clusters.value.clusterDim.x = 2;
        (config.attrs, config.numAttrs) = (&mut clusters, 1);
        let got = sys::cuLaunchKernelEx(&config, f, params.as_mut_ptr(), none);
        assert_eq!(got, CUDA_ERROR_NOT_SUPPORTED);
        assert_eq!(sys::cuLaunchKernelEx(std::ptr::null(), f, none, none), CUDA_ERROR_INVALID_VALUE);
    }

    fn wrong_parameters([]) {
        start();
        let f = kernel(load(PTX).expect("loads"), "reverse");
        let (mut a, mut b) = (words(&[1; 256]), words(&[0; 256]));
        // None, too few with nothing behind, and a value that points nowhere.
        let none: *mut c_void = std::ptr::null_mut();
        let s: CUstream = none.cast();
        let raw = |list, extra| sys::cuLaunchKernel(f, 1, 1, 1, 256, 1, 1, 0, s, list, extra);
        assert_eq!(raw(none.cast(), none.cast()), CUDA_ERROR_INVALID_VALUE);
        let mut short: [*mut c_void; 2] = [(&raw mut a).cast(), none];
        assert_eq!(raw(short.as_mut_ptr(), none.cast()), CUDA_ERROR_INVALID_VALUE);
        let mut wild: [*mut c_void; 2] = [(&raw mut a).cast(), 0x10 as *mut c_void];
        assert_eq!(raw(wild.as_mut_ptr(), none.cast()), CUDA_ERROR_INVALID_VALUE);
        // One packed buffer, whose size must be that of the parameters.
        let mut packed = [a, b, 0, 0];
        for (mut size, want) in [
            (16usize, CUDA_SUCCESS),
            (8, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES),
            (0, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES),
            (32, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES),
        ] {
            let mut extra: [*mut c_void; 5] =
                [1 as _, packed.as_mut_ptr().cast(), 2 as _, (&raw mut size).cast(), none];
            assert_eq!(raw(none.cast(), extra.as_mut_ptr()), want, "{size}");
            // Not both ways at once.
            let mut both: [*mut c_void; 2] = [(&raw mut a).cast(), (&raw mut b).cast()];
            assert_eq!(raw(both.as_mut_ptr(), extra.as_mut_ptr()), CUDA_ERROR_INVALID_VALUE);
        }
        let mut unknown: [*mut c_void; 3] = [7 as _, none, none];
        assert_eq!(raw(none.cast(), unknown.as_mut_ptr()), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(read(b, 256), [1; 256]);
    }

    fn invalid_handles([]) {
        start();
        let (s, e) = (stream(), event());
        assert_eq!(sys::cuStreamSynchronize(made_up()), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuStreamDestroy_v2(made_up()), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuStreamWaitEvent(made_up(), e, 0), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuStreamWaitEvent(s, made_up(), 0), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuEventRecord(made_up(), s), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuEventRecord(e, made_up()), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuEventSynchronize(made_up()), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuMemAllocAsync(&mut 0, 4, made_up()), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuModuleUnload(made_up()), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuCtxSetCurrent(made_up()), CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(sys::cuCtxPushCurrent_v2(made_up()), CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(sys::cuCtxDestroy_v2(made_up()), CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(sys::cuMemPoolTrimTo(made_up(), 0), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(launch(made_up(), [1; 3], [1; 3], 0, &mut []), CUDA_ERROR_INVALID_HANDLE);
        ok(sys::cuStreamDestroy_v2(s));
        assert_eq!(sys::cuStreamDestroy_v2(s), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuStreamQuery(s), CUDA_ERROR_INVALID_HANDLE);
        ok(sys::cuEventDestroy_v2(e));
        assert_eq!(sys::cuEventDestroy_v2(e), CUDA_ERROR_INVALID_HANDLE);
        // Flags that there are not, and events for other processes with time.
        assert_eq!(sys::cuStreamCreate(&mut std::ptr::null_mut(), 2), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuEventCreate(&mut std::ptr::null_mut(), 8), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuEventCreate(&mut std::ptr::null_mut(), 4), CUDA_ERROR_INVALID_VALUE);
    }

    fn null_results([]) {
        start();
        use std::ptr::null_mut as none;
        assert_eq!(sys::cuMemAlloc_v2(none(), 16), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemAllocAsync(none(), 16, none()), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemHostAlloc(none(), 16, 0), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemAllocManaged(none(), 16, 1), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuStreamCreate(none(), 0), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuEventCreate(none(), 0), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuDevicePrimaryCtxRetain(none(), 0), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuCtxCreate_v4(none(), none(), 0, 0), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuDeviceGet(none(), 0), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemPoolCreate(none(), none()), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuGetErrorName(CUDA_SUCCESS, none()), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuDriverGetVersion(none()), CUDA_ERROR_INVALID_VALUE);
    }

    fn no_function_crashes_on_nulls([("WARPLINE_EMULATOR_CHECKS", "none")]) {
        let context = start();
        let library = libc::dlopen(c"libcuda.so".as_ptr(), libc::RTLD_NOW);
        assert!(!library.is_null());
        let path = std::env::var("LD_LIBRARY_PATH").expect("set by the parent");
        let bytes = std::fs::read(std::path::Path::new(&path).join("libcuda.so")).expect("the library");
        // Names of exported functions stand in the string table, each between two NULs. Those that end the primary
        // context come last.
        let is_name = |s: &&[u8]| s.starts_with(b"cu") && s.len() > 5 && s.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'_');
        let mut names: Vec<&[u8]> = bytes.split(|b| *b == 0).filter(is_name).collect();
        names.sort_by_key(|n| n.starts_with(b"cuDevicePrimaryCtxRe"));
        let mut called = 0;
        for name in names {
            let name = CString::new(name).expect("no NUL");
            let found = libc::dlsym(library, name.as_ptr());
            if found.is_null() {
                continue;
            }
            sys::cuCtxSetCurrent(context);
            // As many zeros as the longest function has arguments; on this ABI the caller removes them.
            type Any = unsafe extern "C" fn(u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64) -> i32;
            let code = std::mem::transmute::<*mut c_void, Any>(found)(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            assert_ne!(code, CUDA_ERROR_UNKNOWN as i32, "{name:?} panicked");
            called += 1;
        }
        assert!(called > 450, "only {called} functions");
    }

    fn sizes_and_places_of_copies([]) {
        start();
        let s = stream();
        let at = words(&[1, 2, 3, 4]);
        let mut host = [0u32; 8];
        let p: *mut c_void = host.as_mut_ptr().cast();
        for n in [17, 32, usize::MAX] {
            assert_eq!(sys::cuMemcpyHtoD_v2(at, p, n), CUDA_ERROR_INVALID_VALUE, "{n}");
            assert_eq!(sys::cuMemcpyDtoH_v2(p, at, n), CUDA_ERROR_INVALID_VALUE, "{n}");
            assert_eq!(sys::cuMemcpyHtoDAsync_v2(at, p, n, s), CUDA_ERROR_INVALID_VALUE, "{n}");
            assert_eq!(sys::cuMemcpyDtoHAsync_v2(p, at, n, s), CUDA_ERROR_INVALID_VALUE, "{n}");
            assert_eq!(sys::cuMemcpyDtoDAsync_v2(at, at, n, s), CUDA_ERROR_INVALID_VALUE, "{n}");
            assert_eq!(sys::cuMemsetD8Async(at, 0, n, s), CUDA_ERROR_INVALID_VALUE, "{n}");
            assert_eq!(sys::cuMemsetD32_v2(at, 0, n), CUDA_ERROR_INVALID_VALUE, "{n}");
        }
        assert_eq!(sys::cuMemcpyHtoD_v2(at + 13, p, 4), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemcpyHtoD_v2(0, p, 4), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemcpyDtoH_v2(std::ptr::null_mut(), at, 4), CUDA_ERROR_INVALID_VALUE);
        // The host's memory is no device's.
        assert_eq!(sys::cuMemcpyHtoD_v2(p as u64, p, 4), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemcpyDtoD_v2(at, p as u64, 4), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemsetD8_v2(p as u64, 0, 4), CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuMemcpyHtoD_v2(at, p, 0));
        assert_eq!(read(at, 4), [1, 2, 3, 4]);
    }

    fn sizes_and_frees_of_memory([("WARPLINE_EMULATOR_MEMORY", "64M")]) {
        start();
        let mut at = 0;
        assert_eq!(sys::cuMemAlloc_v2(&mut at, 0), CUDA_ERROR_INVALID_VALUE);
        for n in [65 << 20, 1 << 60, usize::MAX] {
            assert_eq!(sys::cuMemAlloc_v2(&mut at, n), CUDA_ERROR_OUT_OF_MEMORY, "{n}");
            assert_eq!(sys::cuMemAllocAsync(&mut at, n, std::ptr::null_mut()), CUDA_ERROR_OUT_OF_MEMORY, "{n}");
        }
        let mut host = std::ptr::null_mut();
        assert_eq!(sys::cuMemHostAlloc(&mut host, usize::MAX, 0), CUDA_ERROR_OUT_OF_MEMORY);
        let at = get(|p| sys::cuMemAlloc_v2(p, 1000));
        assert_eq!(sys::cuMemFree_v2(at + 256), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemFreeHost(at as _), CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuMemFree_v2(0));
        ok(sys::cuMemFree_v2(at));
        assert_eq!(sys::cuMemFree_v2(at), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemFreeAsync(at, std::ptr::null_mut()), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemcpyHtoD_v2(at, [0u8; 4].as_ptr().cast(), 4), CUDA_ERROR_INVALID_VALUE);
        let host = handle(|p| sys::cuMemHostAlloc(p, 100, 0));
        assert_eq!(sys::cuMemFree_v2(host as u64), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemFreeAsync(host as u64, std::ptr::null_mut()), CUDA_ERROR_INVALID_VALUE);
        // A module's variables go with the module only.
        let module = load(PTX).expect("loads");
        let mut variable = 0;
        ok(sys::cuModuleGetGlobal_v2(&mut variable, std::ptr::null_mut(), module, c"counter".as_ptr()));
        assert_eq!(sys::cuMemFree_v2(variable), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuMemFreeAsync(variable, std::ptr::null_mut()), CUDA_ERROR_INVALID_VALUE);
    }

    fn a_failed_launch_sticks_until_the_process_ends([]) {
        let context = start();
        let f = kernel(load(DEFECTS).expect("loads"), "past_end");
        let (mut at, mut n) = (words(&[0; 4]), 5u32);
        let mut params: [*mut c_void; 2] = [(&raw mut at).cast(), (&raw mut n).cast()];
        ok(launch(f, [1; 3], [64, 1, 1], 0, &mut params));
        let failed = CUDA_ERROR_ILLEGAL_ADDRESS;
        assert_eq!(sys::cuCtxSynchronize(), failed);
        let s: CUstream = std::ptr::null_mut();
        assert_eq!(sys::cuCtxSynchronize(), failed);
        assert_eq!(sys::cuStreamSynchronize(s), failed);
        assert_eq!(sys::cuMemAlloc_v2(&mut 0, 4), failed);
        assert_eq!(sys::cuMemFree_v2(at), failed);
        assert_eq!(sys::cuStreamCreate(&mut std::ptr::null_mut(), 0), failed);
        assert_eq!(sys::cuEventCreate(&mut std::ptr::null_mut(), 0), failed);
        assert_eq!(sys::cuMemcpyDtoH_v2([0u32].as_mut_ptr().cast(), at, 4), failed);
        assert_eq!(sys::cuMemsetD8_v2(at, 0, 1), failed);
        assert_eq!(launch(f, [1; 3], [64, 1, 1], 0, &mut params), failed);
        assert_eq!(load(DEFECTS).err(), Some(failed));
        // The process gets no other context, though this one ends: a real driver asks for a new process as well.
        let no_other = || assert_eq!(sys::cuCtxCreate_v4(&mut std::ptr::null_mut(), std::ptr::null_mut(), 0, 0), failed);
        no_other();
        ok(sys::cuDevicePrimaryCtxRelease_v2(0));
        no_other();
        let mut fresh = context;
        assert_eq!(sys::cuDevicePrimaryCtxRetain(&mut fresh, 0), failed);
        assert_eq!(fresh, context);
    }
}
