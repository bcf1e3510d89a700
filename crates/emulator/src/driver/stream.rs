//! Streams, events and host functions.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

use parking_lot::Mutex;

use super::errors::code;
use super::state::*;
use crate::streams::Record;

fn event(handle: usize) -> Res<Arc<Event>> {
    driver()?.events.lock().get(&handle).cloned().ok_or(code::INVALID_HANDLE)
}

fn new_stream(out: *mut usize, flags: c_uint, priority: c_int) -> Res {
    if flags > 1 {
        return Err(code::INVALID_VALUE);
    }
    let (d, context) = (driver()?, current()?);
    let stream = d.new_stream(flags == 0, priority.clamp(-5, 0));
    context.streams.lock().insert(stream.id, stream.clone());
    let id = stream.id;
    d.streams.lock().insert(id, (context, stream));
    // SAFETY: the caller of the API gives a place for a handle.
    unsafe { put(out, id) }
}

/// A pointer of the caller that travels to a stream's thread.
struct UserData(*mut c_void);
// SAFETY: the API hands the pointer to the host function on another thread; the caller arranged for that.
unsafe impl Send for UserData {}

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
        // Its work stays visible to the context's synchronisation until it is done.
        let c = context.clone();
        let id = stream.id;
        stream.push(Box::new(move || {
            c.streams.lock().remove(&id);
        }));
        stream.close();
        Ok(())
    }

    /// `cuStreamSynchronize`
    fn cuStreamSynchronize(handle: usize) {
        let (context, stream) = driver()?.stream(handle)?;
        stream.synchronize();
        check(&context)
    }

    /// `cuStreamQuery`
    fn cuStreamQuery(handle: usize) {
        let (context, stream) = driver()?.stream(handle)?;
        if !stream.done(stream.tail()) {
            return Err(code::NOT_READY);
        }
        check(&context)
    }

    /// `cuStreamGetPriority`
    fn cuStreamGetPriority(handle: usize, out: *mut c_int) {
        put(out, driver()?.stream(handle)?.1.priority)
    }

    /// `cuStreamGetFlags`
    fn cuStreamGetFlags(handle: usize, out: *mut c_uint) {
        put(out, !driver()?.stream(handle)?.1.blocking as c_uint)
    }

    /// `cuStreamGetCtx`
    fn cuStreamGetCtx(handle: usize, out: *mut usize) {
        put(out, driver()?.stream(handle)?.0.id)
    }

    /// `cuStreamIsCapturing`; capture cannot be begun, so no stream captures.
    fn cuStreamIsCapturing(handle: usize, out: *mut c_int) {
        driver()?.stream(handle)?;
        put(out, 0)
    }

    /// `cuStreamWaitEvent`
    fn cuStreamWaitEvent(handle: usize, e: usize, _flags: c_uint) {
        let d = driver()?;
        let (context, stream) = d.stream(handle)?;
        let record = event(e)?.record.lock().clone();
        if let Some(record) = record
            && record.time().is_none()
        {
            d.enqueue(&context, &stream, move || record.wait());
        }
        Ok(())
    }

    /// `cuLaunchHostFunc`
    fn cuLaunchHostFunc(handle: usize, f: Option<unsafe extern "C" fn(*mut c_void)>, data: *mut c_void) {
        let d = driver()?;
        let f = f.ok_or(code::INVALID_VALUE)?;
        let (context, stream) = d.stream(handle)?;
        let data = UserData(data);
        d.enqueue(&context, &stream, move || {
            let data = data;
            // SAFETY: the caller gave this function for this pointer.
            unsafe { f(data.0) }
        });
        Ok(())
    }

    /// `cuEventCreate`
    fn cuEventCreate(out: *mut usize, flags: c_uint) {
        if flags > 7 {
            return Err(code::INVALID_VALUE);
        }
        current()?;
        let d = driver()?;
        let id = d.handle();
        d.events.lock().insert(id, Arc::new(Event { timing: flags & 2 == 0, record: Mutex::default() }));
        put(out, id)
    }

    /// `cuEventDestroy_v2`
    fn cuEventDestroy_v2(handle: usize) {
        driver()?.events.lock().remove(&handle).map(|_| ()).ok_or(code::INVALID_HANDLE)
    }

    /// `cuEventRecord`
    fn cuEventRecord(handle: usize, stream: usize) {
        let d = driver()?;
        let e = event(handle)?;
        let (_, stream) = d.stream(stream)?;
        let record = Arc::new(Record::default());
        *e.record.lock() = Some(record.clone());
        // Even on a failed device an event must be reached, or waiters would hang.
        let (context, r) = (d.streams.lock().get(&stream.id).map(|s| s.0.clone()), record.clone());
        let context = context.map_or_else(current, Ok)?;
        d.enqueue(&context, &stream, || {});
        let ticket = stream.push(Box::new(move || r.reach()));
        if d.config.sync == super::config::Order::AtOnce {
            stream.wait(ticket);
        }
        Ok(())
    }

    /// `cuEventRecordWithFlags`
    fn cuEventRecordWithFlags(handle: usize, stream: usize, _flags: c_uint) {
        match cuEventRecord(handle, stream) {
            0 => Ok(()),
            e => Err(e),
        }
    }

    /// `cuEventQuery`
    fn cuEventQuery(handle: usize) {
        let record = event(handle)?.record.lock().clone();
        match record {
            Some(r) if r.time().is_none() => Err(code::NOT_READY),
            _ => Ok(()),
        }
    }

    /// `cuEventSynchronize`
    fn cuEventSynchronize(handle: usize) {
        let record = event(handle)?.record.lock().clone();
        if let Some(r) = record {
            r.wait();
        }
        current_any().map_or(Ok(()), |c| check(&c))
    }

    /// `cuEventElapsedTime`, in milliseconds.
    fn cuEventElapsedTime(out: *mut f32, start: usize, end: usize) {
        let (a, b) = (event(start)?, event(end)?);
        if !a.timing || !b.timing {
            return Err(code::INVALID_HANDLE);
        }
        let time = |e: &Event| -> Res<std::time::Instant> {
            let record = e.record.lock().clone().ok_or(code::INVALID_HANDLE)?;
            record.time().ok_or(code::NOT_READY)
        };
        let (from, to) = (time(&a)?, time(&b)?);
        let ms = if to >= from { (to - from).as_secs_f64() } else { -(from - to).as_secs_f64() } * 1e3;
        put(out, ms as f32)
    }

    /// `cuEventElapsedTime_v2`
    fn cuEventElapsedTime_v2(out: *mut f32, start: usize, end: usize) {
        match cuEventElapsedTime(out, start, end) {
            0 => Ok(()),
            e => Err(e),
        }
    }
}
