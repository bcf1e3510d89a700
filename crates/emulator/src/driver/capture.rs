//! Stream capture: what is given to a capturing stream becomes a node of a graph and does not run.
//!
//! Rules and codes follow the sections "Stream Management" and "Graph Management" of the CUDA Driver API reference.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::ThreadId;

use parking_lot::Mutex;

use super::errors::code;
use super::graph::{Graph, NodeKind, Op};
use super::state::*;
use crate::streams::Stream;

/// Which calls a capture forbids, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Global,
    ThreadLocal,
    Relaxed,
}

impl Mode {
    fn read(value: c_uint) -> Res<Mode> {
        match value {
            0 => Ok(Mode::Global),
            1 => Ok(Mode::ThreadLocal),
            2 => Ok(Mode::Relaxed),
            _ => Err(code::INVALID_VALUE),
        }
    }
}

thread_local! {
    /// What `cuThreadExchangeStreamCaptureMode` set.
    static MODE: Cell<Mode> = const { Cell::new(Mode::Global) };
}

/// A capture under way, or one that has ended and that events still name.
pub struct Capture {
    id: u64,
    mode: Mode,
    thread: ThreadId,
    /// The stream that began it.
    origin: usize,
    /// Where its nodes go.
    pub graph: Arc<Graph>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    invalid: bool,
    ended: bool,
    /// For each stream that takes part, the nodes that its next one depends on.
    tails: HashMap<usize, Vec<usize>>,
    /// Contexts of those streams that wait for the legacy stream.
    blocking: Vec<usize>,
}

impl Capture {
    /// Spoils the capture: its end gives no graph.
    pub fn invalidate(&self) {
        self.state.lock().invalid = true;
    }

    fn check(&self) -> Res {
        if self.state.lock().invalid { Err(code::STREAM_CAPTURE_INVALIDATED) } else { Ok(()) }
    }

    /// Adds what a stream was given.
    pub fn add(&self, stream: usize, kind: NodeKind, op: Op) {
        let mut state = self.state.lock();
        let deps = state.tails.get(&stream).cloned().unwrap_or_default();
        let node = self.graph.add(kind, deps, op);
        state.tails.insert(stream, vec![node]);
    }

    /// The nodes that an event recorded now in a stream stands for.
    pub fn tail(&self, stream: usize) -> Vec<usize> {
        self.state.lock().tails.get(&stream).cloned().unwrap_or_default()
    }

    fn join(&self, context: &Context, stream: &Stream, deps: &[usize]) {
        let mut state = self.state.lock();
        if stream.blocking {
            state.blocking.push(context.id);
        }
        let tail = state.tails.entry(stream.id).or_default();
        tail.extend_from_slice(deps);
        tail.sort_unstable();
        tail.dedup();
    }

    /// Whether work of a forked stream never comes back to the origin.
    fn unjoined(&self) -> bool {
        let state = self.state.lock();
        let reached = self.graph.ancestors(state.tails.get(&self.origin).map_or(&[], Vec::as_slice));
        state.tails.values().flatten().any(|n| !reached[*n])
    }
}

impl Driver {
    /// The capture that a stream takes part in.
    ///
    /// # Errors
    /// It is invalid.
    pub fn capturing(&self, stream: &Stream) -> Res<Option<Arc<Capture>>> {
        if self.captures_active.load(Ordering::Acquire) == 0 {
            return Ok(None);
        }
        let found = self.captures.lock().get(&stream.id).cloned();
        if let Some(c) = &found {
            c.check()?;
        }
        Ok(found)
    }

    /// Refuses, and spoils the capture, where a call needs a stream that does not capture.
    pub fn not_capturing(&self, stream: &Stream) -> Res {
        if let Some(c) = self.capturing(stream)? {
            c.invalidate();
            return Err(code::STREAM_CAPTURE_UNSUPPORTED);
        }
        Ok(())
    }

    /// Refuses calls that a capture of this thread, or a global one of another, forbids: those that may wait for, or
    /// change, what the capture records.
    pub fn safe_in_capture(&self) -> Res {
        if self.captures_active.load(Ordering::Acquire) == 0 || MODE.get() == Mode::Relaxed {
            return Ok(());
        }
        let here = std::thread::current().id();
        for c in self.captures.lock().values() {
            let forbids = if c.thread == here {
                c.mode != Mode::Relaxed
            } else {
                c.mode == Mode::Global && MODE.get() == Mode::Global
            };
            if forbids {
                c.invalidate();
                return Err(code::STREAM_CAPTURE_UNSUPPORTED);
            }
        }
        Ok(())
    }

    /// Refuses work in the legacy stream while a stream that waits for it captures.
    pub fn legacy_allowed(&self, context: &Context, stream: &Stream) -> Res {
        if self.captures_active.load(Ordering::Acquire) == 0 || stream.id != context.null.id {
            return Ok(());
        }
        for c in self.captures.lock().values() {
            let mut state = c.state.lock();
            if state.blocking.contains(&context.id) {
                state.invalid = true;
                return Err(code::STREAM_CAPTURE_IMPLICIT);
            }
        }
        Ok(())
    }

    /// Refuses to wait for a context whose streams capture.
    pub fn context_not_capturing(&self, context: &Context) -> Res {
        if self.captures_active.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let streams: Vec<_> = context.streams.lock().values().cloned().collect();
        streams.iter().try_for_each(|s| self.not_capturing(s))
    }

    fn enter(&self, stream: usize, capture: &Arc<Capture>) {
        if self.captures.lock().insert(stream, capture.clone()).is_none() {
            self.captures_active.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn leave(&self, capture: &Arc<Capture>) {
        let mut captures = self.captures.lock();
        let before = captures.len();
        captures.retain(|_, c| !Arc::ptr_eq(c, capture));
        self.captures_active.fetch_sub(before - captures.len(), Ordering::AcqRel);
    }

    /// A stream that ends spoils its capture.
    pub fn capture_lost(&self, stream: usize) {
        let found = self.captures.lock().remove(&stream);
        if let Some(c) = found {
            c.invalidate();
            self.captures_active.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// A stream waits for an event that a capturing stream recorded: it joins that capture.
    pub fn wait_captured(&self, on: &StreamOf, capture: &Arc<Capture>, deps: &[usize]) -> Res {
        let (context, stream) = on;
        if capture.state.lock().ended {
            return Err(code::CAPTURED_EVENT);
        }
        capture.check()?;
        match self.capturing(stream)? {
            Some(own) if !Arc::ptr_eq(&own, capture) => {
                own.invalidate();
                capture.invalidate();
                return Err(code::STREAM_CAPTURE_MERGE);
            }
            Some(_) => {}
            None if stream.id == context.null.id => {
                capture.invalidate();
                return Err(code::STREAM_CAPTURE_IMPLICIT);
            }
            None => self.enter(stream.id, capture),
        }
        capture.join(context, stream, deps);
        Ok(())
    }

    fn begin_capture(&self, on: &StreamOf, mode: Mode) -> Res {
        let (context, stream) = on;
        if stream.id == context.null.id {
            return Err(code::STREAM_CAPTURE_UNSUPPORTED);
        }
        if self.captures.lock().contains_key(&stream.id) {
            return Err(code::ILLEGAL_STATE);
        }
        let capture = Arc::new(Capture {
            id: self.handle() as u64,
            mode,
            thread: std::thread::current().id(),
            origin: stream.id,
            graph: self.new_graph(),
            state: Mutex::default(),
        });
        capture.join(context, stream, &[]);
        self.enter(stream.id, &capture);
        Ok(())
    }

    /// Ends a capture; gives its graph's handle.
    fn end_capture(&self, stream: &Stream) -> Res<usize> {
        let capture = self.captures.lock().get(&stream.id).cloned().ok_or(code::ILLEGAL_STATE)?;
        if capture.origin != stream.id {
            return Err(code::STREAM_CAPTURE_UNMATCHED);
        }
        if capture.mode != Mode::Relaxed && capture.thread != std::thread::current().id() {
            return Err(code::STREAM_CAPTURE_WRONG_THREAD);
        }
        self.leave(&capture);
        capture.state.lock().ended = true;
        capture.check()?;
        if capture.unjoined() {
            capture.invalidate();
            return Err(code::STREAM_CAPTURE_UNJOINED);
        }
        self.graphs.lock().insert(capture.graph.id, capture.graph.clone());
        Ok(capture.graph.id)
    }
}

/// Whether a stream captures, and into which graph.
unsafe fn capture_info(handle: usize, status: *mut c_int, id: *mut u64, graph: *mut usize) -> Res {
    let d = driver()?;
    let (_, stream) = d.stream(handle)?;
    let capture = d.captures.lock().get(&stream.id).cloned();
    // SAFETY: places of the caller.
    unsafe {
        put(status, capture.as_ref().map_or(0, |c| 1 + c.check().is_err() as c_int))?;
        let Some(c) = capture else { return Ok(()) };
        if !id.is_null() {
            put(id, c.id)?;
        }
        if !graph.is_null() {
            d.graphs.lock().insert(c.graph.id, c.graph.clone());
            put(graph, c.graph.id)?;
        }
    }
    Ok(())
}

exports! {
    /// `cuStreamBeginCapture_v2`
    fn cuStreamBeginCapture_v2(handle: usize, mode: c_uint) {
        let d = driver()?;
        d.begin_capture(&d.stream(handle)?, Mode::read(mode)?)
    }

    /// `cuStreamEndCapture`; a capture that was spoilt gives no graph.
    fn cuStreamEndCapture(handle: usize, out: *mut usize) {
        put(out, 0)?;
        let d = driver()?;
        let (_, stream) = d.stream(handle)?;
        put(out, d.end_capture(&stream)?)
    }

    /// `cuStreamIsCapturing`: 0 no, 1 yes, 2 spoilt.
    fn cuStreamIsCapturing(handle: usize, out: *mut c_int) {
        let d = driver()?;
        let (context, stream) = d.stream(handle)?;
        d.legacy_allowed(&context, &stream)?;
        let capture = d.captures.lock().get(&stream.id).cloned();
        put(out, capture.map_or(0, |c| 1 + c.check().is_err() as c_int))
    }

    /// `cuStreamGetCaptureInfo`
    fn cuStreamGetCaptureInfo(handle: usize, status: *mut c_int, id: *mut u64) {
        capture_info(handle, status, id, std::ptr::null_mut())
    }

    /// `cuStreamGetCaptureInfo_v2`; the graph can be read but not added to.
    fn cuStreamGetCaptureInfo_v2(
        handle: usize,
        status: *mut c_int,
        id: *mut u64,
        graph: *mut usize,
        dependencies: *mut *const usize,
        count: *mut usize,
    ) {
        capture_info(handle, status, id, graph)?;
        if *status != 0 && !(dependencies.is_null() && count.is_null()) { Err(code::NOT_SUPPORTED) } else { Ok(()) }
    }

    /// `cuStreamGetCaptureInfo` as of CUDA 12.3, likewise.
    fn cuStreamGetCaptureInfo_v3(
        handle: usize,
        status: *mut c_int,
        id: *mut u64,
        graph: *mut usize,
        dependencies: *mut *const usize,
        _edges: *mut *const c_void,
        count: *mut usize,
    ) {
        capture_info(handle, status, id, graph)?;
        if *status != 0 && !(dependencies.is_null() && count.is_null()) { Err(code::NOT_SUPPORTED) } else { Ok(()) }
    }

    /// `cuThreadExchangeStreamCaptureMode`
    fn cuThreadExchangeStreamCaptureMode(mode: *mut c_uint) {
        driver()?;
        if mode.is_null() {
            return Err(code::INVALID_VALUE);
        }
        let old = MODE.replace(Mode::read(mode.read())?);
        put(mode, old as c_uint)
    }
}
