//! The driver API as C programs call it, for what cudarc's safe layer does not reach.

use std::ffi::c_void;
use std::sync::mpsc::{Receiver, Sender, channel};

use cudarc::driver::sys::{self, CUcontext, CUdeviceptr, CUevent, CUresult, CUstream};

/// Tests that run in a child process under the emulator, with environment variables.
macro_rules! in_child {
    ($($(#[$meta:meta])* fn $name:ident($env:expr) $body:block)*) => { $(
        $(#[$meta])*
        #[test]
        fn $name() {
            let module = module_path!().split_once("::").expect("the crate's name comes first").1;
            let name = format!("{module}::{}", stringify!($name));
            let env: &[(&str, &str)] = &$env;
            // SAFETY: calls with valid arguments, or with bad ones that the emulator refuses.
            #[allow(unused_unsafe)]
            crate::common::emulated_with(&name, env, || unsafe { $body });
        }
    )* };
}
pub(crate) use in_child;

/// The call succeeds.
#[track_caller]
pub fn ok(got: CUresult) {
    assert_eq!(got, CUresult::CUDA_SUCCESS);
}

/// Fills a place by a call that succeeds.
#[track_caller]
pub fn get<T: Default>(call: impl FnOnce(*mut T) -> CUresult) -> T {
    let mut out = T::default();
    ok(call(&mut out));
    out
}

/// As [`get`], for handles.
#[track_caller]
pub fn handle<T>(call: impl FnOnce(*mut *mut T) -> CUresult) -> *mut T {
    let mut out = std::ptr::null_mut();
    ok(call(&mut out));
    out
}

/// Starts the driver and makes a context current.
pub fn start() -> CUcontext {
    // SAFETY: valid arguments.
    unsafe {
        ok(sys::cuInit(0));
        let context = handle(|p| sys::cuDevicePrimaryCtxRetain(p, 0));
        ok(sys::cuCtxSetCurrent(context));
        context
    }
}

/// A stream that does not wait for the legacy stream.
pub fn stream() -> CUstream {
    // SAFETY: valid arguments.
    handle(|p| unsafe { sys::cuStreamCreate(p, 1) })
}

/// An event with time.
pub fn event() -> CUevent {
    // SAFETY: valid arguments.
    handle(|p| unsafe { sys::cuEventCreate(p, 0) })
}

/// Device memory with these words in it.
pub fn words(values: &[u32]) -> CUdeviceptr {
    // SAFETY: the memory has the size of the values.
    unsafe {
        let at = get(|p| sys::cuMemAlloc_v2(p, size_of_val(values)));
        ok(sys::cuMemcpyHtoD_v2(at, values.as_ptr().cast(), size_of_val(values)));
        at
    }
}

/// Words of device memory, read after all that is under way.
pub fn read(at: CUdeviceptr, n: usize) -> Vec<u32> {
    let mut out = vec![0u32; n];
    // SAFETY: the destination has the size that is copied.
    unsafe {
        ok(sys::cuCtxSynchronize());
        ok(sys::cuMemcpyDtoH_v2(out.as_mut_ptr().cast(), at, n * 4));
    }
    out
}

/// Holds a stream up until it is opened.
pub struct Gate(Sender<()>);

unsafe extern "C" fn wait(data: *mut c_void) {
    // SAFETY: the gate put it there, for this one call.
    let receiver = unsafe { Box::from_raw(data.cast::<Receiver<()>>()) };
    // A gate that is dropped opens too.
    let _ = receiver.recv();
}

impl Gate {
    pub fn new(stream: CUstream) -> Gate {
        let (sender, receiver) = channel::<()>();
        let data = Box::into_raw(Box::new(receiver));
        // SAFETY: the function takes this pointer, once.
        ok(unsafe { sys::cuLaunchHostFunc(stream, Some(wait), data.cast()) });
        Gate(sender)
    }

    pub fn open(self) {
        self.0.send(()).expect("somebody waits");
    }
}

/// A counter that host functions raise.
pub unsafe extern "C" fn count(data: *mut c_void) {
    // SAFETY: tests pass a counter that outlives the stream's work.
    unsafe { &*data.cast::<std::sync::atomic::AtomicU32>() }.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
}
