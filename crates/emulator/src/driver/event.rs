//! Events.

use std::ffi::c_uint;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::errors::code;
use super::graph::NodeKind;
use super::state::*;
use crate::streams::Record;

/// `CU_EVENT_RECORD_EXTERNAL` and `CU_EVENT_WAIT_EXTERNAL`: in a capture, a node instead of a dependency.
const EXTERNAL: c_uint = 1;

pub(super) fn event(handle: usize) -> Res<Arc<Event>> {
    driver()?.events.lock().get(&handle).cloned().ok_or(code::INVALID_HANDLE)
}

/// An event that belongs to no capture; to ask about one that does spoils its capture.
fn outside_capture(e: &Event) -> Res<Option<Arc<Record>>> {
    match &*e.record.lock() {
        Recorded::Never => Ok(None),
        Recorded::Stream(record) => Ok(Some(record.clone())),
        Recorded::Captured(capture, _) => {
            capture.invalidate();
            Err(code::CAPTURED_EVENT)
        }
    }
}

fn record(handle: usize, stream: usize, flags: c_uint) -> Res {
    let d = driver()?;
    if flags > EXTERNAL {
        return Err(code::INVALID_VALUE);
    }
    let e = event(handle)?;
    let on = d.stream(stream)?;
    if !Arc::ptr_eq(&e.context, &on.0) {
        return Err(code::INVALID_HANDLE);
    }
    if let Some(capture) = d.capturing(&on.1)? {
        if flags == EXTERNAL {
            let op = move || {
                let record = Arc::new(Record::default());
                record.reach();
                *e.record.lock() = Recorded::Stream(record);
            };
            capture.add(on.1.id, NodeKind::Record, Arc::new(op));
        } else {
            let tail = capture.tail(on.1.id);
            *e.record.lock() = Recorded::Captured(capture, tail);
        }
        return Ok(());
    }
    d.legacy_allowed(&on.0, &on.1)?;
    let record = Arc::new(Record::default());
    *e.record.lock() = Recorded::Stream(record.clone());
    // Even on a failed device an event must be reached, or waiters would hang.
    d.enqueue_always(&on.0, &on.1, move || record.reach());
    Ok(())
}

fn wait(stream: usize, handle: usize, flags: c_uint) -> Res {
    let d = driver()?;
    if flags > EXTERNAL {
        return Err(code::INVALID_VALUE);
    }
    let on = d.stream(stream)?;
    let e = event(handle)?;
    let recorded = e.record.lock().clone();
    let record = match recorded {
        Recorded::Captured(capture, deps) => return d.wait_captured(&on, &capture, &deps),
        Recorded::Stream(record) => Some(record),
        Recorded::Never => None,
    };
    if let Some(capture) = d.capturing(&on.1)? {
        if flags == EXTERNAL {
            let op = move || {
                let now = e.record.lock().clone();
                if let Recorded::Stream(record) = now {
                    record.wait();
                }
            };
            capture.add(on.1.id, NodeKind::Wait, Arc::new(op));
        } else if record.is_some() {
            // Work from before the capture, on which its graph cannot depend.
            capture.invalidate();
            return Err(code::STREAM_CAPTURE_ISOLATION);
        }
        return Ok(());
    }
    if let Some(record) = record
        && record.time().is_none()
    {
        d.legacy_allowed(&on.0, &on.1)?;
        d.enqueue_always(&on.0, &on.1, move || record.wait());
    }
    Ok(())
}

fn elapsed(start: usize, end: usize) -> Res<f32> {
    let (a, b) = (event(start)?, event(end)?);
    if !a.timing || !b.timing || !Arc::ptr_eq(&a.context, &b.context) {
        return Err(code::INVALID_HANDLE);
    }
    let recorded = |e: &Event| outside_capture(e)?.ok_or(code::INVALID_HANDLE);
    let (a_record, b_record) = (recorded(&a)?, recorded(&b)?);
    let time = |r: &Record| r.time().ok_or(code::NOT_READY);
    let (from, to): (Instant, Instant) = (time(&a_record)?, time(&b_record)?);
    surface(&a.context)?;
    let seconds = if to >= from { (to - from).as_secs_f64() } else { -(from - to).as_secs_f64() };
    Ok((seconds * 1e3) as f32)
}

exports! {
    /// `cuEventCreate`
    fn cuEventCreate(out: *mut usize, flags: c_uint) {
        const DISABLE_TIMING: c_uint = 2;
        const INTERPROCESS: c_uint = 4;
        writable(out)?;
        let (d, context) = (driver()?, current()?);
        // Events of other processes must not be timed.
        if flags > 7 || flags & (INTERPROCESS | DISABLE_TIMING) == INTERPROCESS {
            return Err(code::INVALID_VALUE);
        }
        let id = d.handle();
        let timing = flags & DISABLE_TIMING == 0;
        d.events.lock().insert(id, Arc::new(Event { context, timing, record: Mutex::default() }));
        put(out, id)
    }

    /// `cuEventDestroy_v2`; those who wait for it still wait for what was recorded.
    fn cuEventDestroy_v2(handle: usize) {
        driver()?.events.lock().remove(&handle).map(|_| ()).ok_or(code::INVALID_HANDLE)
    }

    /// `cuEventRecord`
    fn cuEventRecord(handle: usize, stream: usize) {
        record(handle, stream, 0)
    }

    /// `cuEventRecordWithFlags`
    fn cuEventRecordWithFlags(handle: usize, stream: usize, flags: c_uint) {
        record(handle, stream, flags)
    }

    /// `cuStreamWaitEvent`
    fn cuStreamWaitEvent(stream: usize, handle: usize, flags: c_uint) {
        wait(stream, handle, flags)
    }

    /// `cuEventQuery`
    fn cuEventQuery(handle: usize) {
        let e = event(handle)?;
        let record = outside_capture(&e)?;
        driver()?.safe_in_capture()?;
        surface(&e.context)?;
        match record {
            Some(r) if r.time().is_none() => Err(code::NOT_READY),
            _ => Ok(()),
        }
    }

    /// `cuEventSynchronize`
    fn cuEventSynchronize(handle: usize) {
        let e = event(handle)?;
        let record = outside_capture(&e)?;
        driver()?.safe_in_capture()?;
        if let Some(r) = record {
            r.wait();
        }
        e.context.settle();
        surface(&e.context)
    }

    /// `cuEventElapsedTime`, in milliseconds.
    fn cuEventElapsedTime(out: *mut f32, start: usize, end: usize) {
        put(out, elapsed(start, end)?)
    }

    /// `cuEventElapsedTime_v2`
    fn cuEventElapsedTime_v2(out: *mut f32, start: usize, end: usize) {
        put(out, elapsed(start, end)?)
    }
}
