//! Streams and host functions.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::errors::code;
use super::graph::NodeKind;
use super::state::*;

/// The greatest priority that streams may have; the least is 0.
pub(super) const GREATEST_PRIORITY: c_int = -5;

fn new_stream(out: *mut usize, flags: c_uint, priority: c_int) -> Res {
    writable(out)?;
    let (d, context) = (driver()?, current()?);
    if flags > 1 {
        return Err(code::INVALID_VALUE);
    }
    let stream = d.new_stream(flags == 0, priority.clamp(GREATEST_PRIORITY, 0));
    context.streams.lock().insert(stream.id, stream.clone());
    let id = stream.id;
    d.streams.lock().insert(id, (context, stream));
    // SAFETY: the caller of the API gives a place for a handle.
    unsafe { put(out, id) }
}

/// A pointer of the caller that travels to a stream's thread.
#[derive(Clone, Copy)]
struct UserData(*mut c_void);
// SAFETY: the API hands the pointer to the host function on another thread; the caller arranged for that.
unsafe impl Send for UserData {}
// SAFETY: as above; runs of one function do not overlap within a stream or a graph.
unsafe impl Sync for UserData {}

impl UserData {
    fn get(&self) -> *mut c_void {
        self.0
    }
}

type Callback = unsafe extern "C" fn(usize, c_int, *mut c_void);

exports! {
    /// `cuStreamCreate`
    fn cuStreamCreate(out: *mut usize, flags: c_uint) {
        new_stream(out, flags, 0)
    }

    /// `cuStreamCreateWithPriority`
    fn cuStreamCreateWithPriority(out: *mut usize, flags: c_uint, priority: c_int) {
        new_stream(out, flags, priority)
    }

    /// `cuStreamDestroy_v2`; work in the queue is still done.
    fn cuStreamDestroy_v2(handle: usize) {
        let d = driver()?;
        let (context, stream) = d.streams.lock().remove(&handle).ok_or(code::INVALID_HANDLE)?;
        d.capture_lost(stream.id);
        retire(Arc::downgrade(&context), &stream);
        Ok(())
    }

    /// `cuStreamSynchronize`
    fn cuStreamSynchronize(handle: usize) {
        let d = driver()?;
        let (context, stream) = d.stream(handle)?;
        d.not_capturing(&stream)?;
        d.legacy_allowed(&context, &stream)?;
        stream.synchronize();
        context.settle();
        surface(&context)
    }

    /// `cuStreamQuery`
    fn cuStreamQuery(handle: usize) {
        let d = driver()?;
        let (context, stream) = d.stream(handle)?;
        d.not_capturing(&stream)?;
        d.legacy_allowed(&context, &stream)?;
        if !stream.done(stream.tail()) {
            return Err(code::NOT_READY);
        }
        surface(&context)
    }

    /// `cuStreamGetPriority`
    fn cuStreamGetPriority(handle: usize, out: *mut c_int) {
        put(out, driver()?.stream(handle)?.1.priority)
    }

    /// `cuStreamGetFlags`
    fn cuStreamGetFlags(handle: usize, out: *mut c_uint) {
        put(out, !driver()?.stream(handle)?.1.blocking as c_uint)
    }

    /// `cuStreamGetId`
    fn cuStreamGetId(handle: usize, out: *mut u64) {
        put(out, driver()?.stream(handle)?.1.id as u64)
    }

    /// `cuStreamGetCtx`
    fn cuStreamGetCtx(handle: usize, out: *mut usize) {
        put(out, driver()?.stream(handle)?.0.id)
    }

    /// `cuStreamGetCtx` as of CUDA 12.5; there are no green contexts.
    fn cuStreamGetCtx_v2(handle: usize, out: *mut usize, green: *mut usize) {
        let context = driver()?.stream(handle)?.0.id;
        if !green.is_null() {
            put(green, 0)?;
        }
        put(out, context)
    }

    /// `cuStreamGetDevice`
    fn cuStreamGetDevice(handle: usize, out: *mut c_int) {
        put(out, driver()?.stream(handle)?.0.device as c_int)
    }

    /// `cuLaunchHostFunc`
    fn cuLaunchHostFunc(handle: usize, f: Option<unsafe extern "C" fn(*mut c_void)>, data: *mut c_void) {
        let d = driver()?;
        let on = d.stream(handle)?;
        let f = f.ok_or(code::INVALID_VALUE)?;
        let data = UserData(data);
        d.submit(&on, NodeKind::Host, move || {
            // SAFETY: the caller gave this function for this pointer.
            host_function(|| unsafe { f(data.get()) });
        })
        .map(|_| ())
    }

    /// `cuStreamAddCallback`; called on a failed context too, with its error.
    fn cuStreamAddCallback(handle: usize, f: Option<Callback>, data: *mut c_void, flags: c_uint) {
        let d = driver()?;
        let on = d.stream(handle)?;
        let f = f.ok_or(code::INVALID_VALUE)?;
        if flags != 0 {
            return Err(code::INVALID_VALUE);
        }
        d.not_capturing(&on.1)?;
        d.legacy_allowed(&on.0, &on.1)?;
        let (data, context) = (UserData(data), on.0.clone());
        d.enqueue_always(&on.0, &on.1, move || {
            let status = context.error.load(Ordering::Acquire);
            // SAFETY: the caller gave this function for this pointer.
            host_function(|| unsafe { f(handle, status, data.get()) });
        });
        Ok(())
    }
}
