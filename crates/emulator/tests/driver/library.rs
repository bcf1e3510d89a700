//! Libraries and their kernels, which belong to no context.

use std::ffi::{CStr, CString, c_void};
use std::ptr::null_mut;

use cudarc::driver::sys::CUfunction_attribute::*;
use cudarc::driver::sys::CUresult::*;
use cudarc::driver::sys::{self, CUfunction, CUkernel, CUlibrary, CUresult, CUstream};

use super::raw::*;

const PTX: &str = include_str!("../data/basic.ptx");

fn load(text: &str) -> Result<CUlibrary, CUresult> {
    let text = CString::new(text).expect("no NUL");
    let mut out = null_mut();
    // SAFETY: the text ends in NUL, and there are no options.
    match unsafe {
        sys::cuLibraryLoadData(&mut out, text.as_ptr().cast(), null_mut(), null_mut(), 0, null_mut(), null_mut(), 0)
    } {
        CUDA_SUCCESS => Ok(out),
        e => Err(e),
    }
}

fn kernel(library: CUlibrary, name: &CStr) -> CUkernel {
    // SAFETY: valid arguments.
    handle(|p| unsafe { sys::cuLibraryGetKernel(p, library, name.as_ptr()) })
}

/// Reverses 256 words by a kernel of the library.
fn reverse(f: CUfunction, stream: CUstream, shared: u32) -> CUresult {
    let values: Vec<u32> = (0..256).collect();
    let (mut from, mut to) = (words(&values), words(&values));
    let mut params = [(&raw mut from).cast::<c_void>(), (&raw mut to).cast()];
    // SAFETY: the kernel takes two pointers to 256 words.
    unsafe {
        let run = sys::cuLaunchKernel(f, 1, 1, 1, 256, 1, 1, shared, stream, params.as_mut_ptr(), null_mut());
        if run == CUDA_SUCCESS {
            assert_eq!(read(to, 256), values.iter().rev().copied().collect::<Vec<_>>());
        }
        ok(sys::cuMemFree_v2(from));
        ok(sys::cuMemFree_v2(to));
        run
    }
}

in_child! {
    /// What can be asked without a context.
    fn library_without_context([("WARPLINE_EMULATOR_DEVICES", "2")]) {
        assert_eq!(load(PTX), Err(CUDA_ERROR_NOT_INITIALIZED));
        ok(sys::cuInit(0));
        assert_eq!(load("no PTX"), Err(CUDA_ERROR_INVALID_PTX));
        assert_eq!(load(&PTX.replace("sm_75", "sm_90")), Err(CUDA_ERROR_NO_BINARY_FOR_GPU));
        let library = load(PTX).unwrap();
        let k = kernel(library, c"reverse");
        assert_eq!(sys::cuLibraryGetKernel(&mut null_mut(), library, c"forward".as_ptr()), CUDA_ERROR_NOT_FOUND);
        let n = get(|p| sys::cuLibraryGetKernelCount(p, library));
        assert_eq!(n as usize, PTX.matches(".entry").count());
        let mut all = vec![null_mut(); n as usize];
        ok(sys::cuLibraryEnumerateKernels(all.as_mut_ptr(), n, library));
        assert!(all.contains(&k) && !all.contains(&null_mut()));
        let mut name = std::ptr::null();
        ok(sys::cuKernelGetName(&mut name, k));
        assert_eq!(CStr::from_ptr(name), c"reverse");
        assert_eq!(handle(|p| sys::cuKernelGetLibrary(p, k)), library);
        // Two pointers.
        let (mut at, mut size) = (0, 0);
        ok(sys::cuKernelGetParamInfo(k, 1, &mut at, &mut size));
        assert_eq!((at, size), (8, 8));
        assert_eq!(sys::cuKernelGetParamInfo(k, 2, &mut at, &mut size), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(get(|p| sys::cuKernelGetAttribute(p, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, k, 1)), 256);
        assert_eq!(get(|p| sys::cuKernelGetAttribute(p, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, k, 0)), 1024);
        let mut value = 0;
        let which = CU_FUNC_ATTRIBUTE_NUM_REGS;
        assert_eq!(sys::cuKernelGetAttribute(&mut value, which, k, 2), CUDA_ERROR_INVALID_DEVICE);
        assert_eq!(sys::cuKernelGetFunction(&mut null_mut(), k), CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(sys::cuLibraryGetModule(&mut null_mut(), library), CUDA_ERROR_INVALID_CONTEXT);
    }

    /// A kernel runs by its own handle and by that of its function; each context has variables of its own.
    fn library_in_contexts([]) {
        ok(sys::cuInit(0));
        let library = load(PTX).unwrap();
        let k = kernel(library, c"reverse");
        start();
        ok(reverse(k.cast(), null_mut(), 0));
        ok(reverse(k.cast(), stream(), 0));
        let f = handle(|p| sys::cuKernelGetFunction(p, k));
        assert_eq!(handle(|p| sys::cuKernelGetFunction(p, k)), f);
        ok(reverse(f, null_mut(), 0));
        let module = handle(|p| sys::cuLibraryGetModule(p, library));
        assert_eq!(handle(|p| sys::cuModuleGetFunction(p, module, c"reverse".as_ptr())), f);
        assert_eq!(handle(|p| sys::cuFuncGetModule(p, f)), module);

        let counter = |want: u32| {
            let (mut at, mut size) = (0, 0);
            ok(sys::cuLibraryGetGlobal(&mut at, &mut size, library, c"counter".as_ptr()));
            assert_eq!((read(at, 1), size), (vec![want], 4));
            at
        };
        let at = counter(5);
        ok(sys::cuMemsetD32_v2(at, 6, 1));
        assert_eq!(counter(6), at);
        let mut none = 0;
        assert_eq!(
            sys::cuLibraryGetGlobal(&mut none, null_mut(), library, c"reverse".as_ptr()),
            CUDA_ERROR_NOT_FOUND
        );
        // Another context begins with the initial value.
        let other = handle(|p| sys::cuCtxCreate_v2(p, 0, 0));
        let theirs = counter(5);
        assert_ne!(theirs, at);
        assert_ne!(handle(|p| sys::cuKernelGetFunction(p, k)), f);
        ok(reverse(k.cast(), null_mut(), 0));
        ok(sys::cuCtxDestroy_v2(other));
        assert_eq!(counter(6), at);

        ok(sys::cuLibraryUnload(library));
        assert_eq!(reverse(k.cast(), null_mut(), 0), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(reverse(f, null_mut(), 0), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuKernelGetFunction(&mut null_mut(), k), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuLibraryGetModule(&mut null_mut(), library), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuLibraryUnload(library), CUDA_ERROR_INVALID_VALUE);
    }

    /// The limit of dynamic shared memory: what is set for a function counts before what is set for its kernel.
    fn library_attributes([]) {
        start();
        let library = load(PTX).unwrap();
        let k = kernel(library, c"reverse");
        let most = CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let run = |shared| reverse(k.cast(), null_mut(), shared);
        assert_eq!(run(50_000), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuKernelSetAttribute(most, 65_000, k, 0), CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuKernelSetAttribute(most, 60_000, k, 0));
        assert_eq!(get(|p| sys::cuKernelGetAttribute(p, most, k, 0)), 60_000);
        ok(run(60_000));
        let f = handle(|p| sys::cuKernelGetFunction(p, k));
        ok(sys::cuFuncSetAttribute(f, most, 51_000));
        ok(run(51_000));
        assert_eq!(run(52_000), CUDA_ERROR_INVALID_VALUE);
        ok(sys::cuKernelSetAttribute(most, 55_000, k, 0));
        assert_eq!(run(52_000), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(get(|p| sys::cuKernelGetAttribute(p, most, k, 0)), 55_000);
        ok(sys::cuLibraryUnload(library));
    }
}
