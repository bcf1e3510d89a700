//! The few driver calls that the calibration needs beside the library's own, by their C names.

use std::ffi::{CString, c_int, c_uint, c_void};

use libloading::{Library, Symbol};

/// The driver that the library uses as well.
pub struct Driver(Library);

/// A loaded module and one of its functions.
pub struct Function {
    module: *mut c_void,
    raw: *mut c_void,
}

/// Pinned host memory; never freed, as the process ends soon.
pub struct Pinned(pub *mut u8);

impl Driver {
    /// Opens it. A context must be current on the calling thread before the calls below.
    pub fn open() -> Self {
        // SAFETY: the library has been loaded by the process already.
        Driver(unsafe { Library::new("libcuda.so.1") }.expect("the driver's library"))
    }

    fn symbol<T>(&self, name: &str) -> Symbol<'_, T> {
        // SAFETY: every caller below gives the type that the CUDA driver API documents for the name.
        unsafe { self.0.get(name.as_bytes()) }.unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// `cuMemAllocHost`.
    pub fn pinned(&self, bytes: usize) -> Pinned {
        let mut pointer = std::ptr::null_mut();
        let call = self.symbol::<unsafe extern "C" fn(*mut *mut u8, usize) -> c_int>("cuMemAllocHost_v2");
        // SAFETY: the pointer is to a live variable.
        ok("cuMemAllocHost", unsafe { call(&mut pointer, bytes) });
        Pinned(pointer)
    }

    /// `cuMemcpyHtoDAsync`.
    ///
    /// # Safety
    /// Both sides must have `bytes` bytes and live until the stream is done.
    pub unsafe fn to_device(&self, to: u64, from: &Pinned, bytes: usize, stream: *mut c_void) {
        type Call = unsafe extern "C" fn(u64, *const u8, usize, *mut c_void) -> c_int;
        // SAFETY: the caller's.
        ok("cuMemcpyHtoDAsync", unsafe { self.symbol::<Call>("cuMemcpyHtoDAsync_v2")(to, from.0, bytes, stream) });
    }

    /// `cuMemcpyDtoHAsync`.
    ///
    /// # Safety
    /// As for [`Driver::to_device`].
    pub unsafe fn to_host(&self, to: &Pinned, from: u64, bytes: usize, stream: *mut c_void) {
        type Call = unsafe extern "C" fn(*mut u8, u64, usize, *mut c_void) -> c_int;
        // SAFETY: the caller's.
        ok("cuMemcpyDtoHAsync", unsafe { self.symbol::<Call>("cuMemcpyDtoHAsync_v2")(to.0, from, bytes, stream) });
    }

    /// `cuMemcpyDtoDAsync`.
    ///
    /// # Safety
    /// As for [`Driver::to_device`].
    pub unsafe fn on_device(&self, to: u64, from: u64, bytes: usize, stream: *mut c_void) {
        type Call = unsafe extern "C" fn(u64, u64, usize, *mut c_void) -> c_int;
        // SAFETY: the caller's.
        ok("cuMemcpyDtoDAsync", unsafe { self.symbol::<Call>("cuMemcpyDtoDAsync_v2")(to, from, bytes, stream) });
    }

    /// Compiles PTX by the driver and finds an entry.
    pub fn load(&self, ptx: &str, entry: &str) -> Function {
        let (text, entry) = (CString::new(ptx).expect("no NUL"), CString::new(entry).expect("no NUL"));
        let (mut module, mut raw) = (std::ptr::null_mut(), std::ptr::null_mut());
        let load = self.symbol::<unsafe extern "C" fn(*mut *mut c_void, *const c_void) -> c_int>("cuModuleLoadData");
        // SAFETY: NUL-terminated PTX.
        ok("cuModuleLoadData", unsafe { load(&mut module, text.as_ptr().cast()) });
        type Find = unsafe extern "C" fn(*mut *mut c_void, *mut c_void, *const i8) -> c_int;
        // SAFETY: the module is loaded; the name ends in NUL.
        let found = unsafe { self.symbol::<Find>("cuModuleGetFunction")(&mut raw, module, entry.as_ptr().cast()) };
        ok("cuModuleGetFunction", found);
        Function { module, raw }
    }

    /// `cuModuleUnload`.
    pub fn unload(&self, function: Function) {
        let call = self.symbol::<unsafe extern "C" fn(*mut c_void) -> c_int>("cuModuleUnload");
        // SAFETY: loaded above, and its work is done by the time the callers unload.
        ok("cuModuleUnload", unsafe { call(function.module) });
    }

    /// Launches one block of one thread.
    ///
    /// # Safety
    /// `pointer` must be what the kernel expects as its only parameter.
    pub unsafe fn launch(&self, function: &Function, pointer: u64, stream: *mut c_void) {
        type Call = unsafe extern "C" fn(
            *mut c_void,
            c_uint,
            c_uint,
            c_uint,
            c_uint,
            c_uint,
            c_uint,
            c_uint,
            *mut c_void,
            *mut *mut c_void,
            *mut *mut c_void,
        ) -> c_int;
        let mut pointer = pointer;
        let mut params = [(&raw mut pointer).cast::<c_void>()];
        let call = self.symbol::<Call>("cuLaunchKernel");
        // SAFETY: the driver copies the parameter before it returns.
        let done =
            unsafe { call(function.raw, 1, 1, 1, 1, 1, 1, 0, stream, params.as_mut_ptr(), std::ptr::null_mut()) };
        ok("cuLaunchKernel", done);
    }
}

fn ok(call: &str, code: c_int) {
    assert!(code == 0, "{call} failed with CUDA error {code}");
}
