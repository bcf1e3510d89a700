//! Streams and events: what orders device work.

use std::fmt;
use std::sync::Arc;

use cudarc::driver::{CudaContext, result, sys};

use crate::device::driver::check;
use crate::error::{Error, Result};

/// A CUDA stream: work on it runs in order. Cheap to clone; the last clone destroys it once its work is done.
#[derive(Clone)]
pub struct Stream {
    inner: Arc<StreamInner>,
}

struct StreamInner {
    context: Arc<CudaContext>,
    raw: sys::CUstream,
}

// SAFETY: CUDA streams may be used from any thread once their context is current there, which every call ensures.
unsafe impl Send for StreamInner {}
// SAFETY: as above; the driver serialises calls on one stream.
unsafe impl Sync for StreamInner {}

impl Drop for StreamInner {
    fn drop(&mut self) {
        // The driver lets pending work finish before it frees the stream. A failure here has nowhere to go that
        // could act on it: the context's own sticky error, if any, is met by the next call.
        let _ = self.context.bind_to_thread();
        // SAFETY: the stream was created by us and no clone is left.
        let _ = unsafe { result::stream::destroy(self.raw) };
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({:p})", self.inner.raw)
    }
}

impl PartialEq for Stream {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Stream {}

impl Stream {
    /// A new stream that does not synchronise with the default stream.
    pub(crate) fn create(context: &Arc<CudaContext>) -> Result<Self> {
        check("create stream", context.bind_to_thread())?;
        let raw = check("create stream", result::stream::create(result::stream::StreamKind::NonBlocking))?;
        Ok(Stream { inner: Arc::new(StreamInner { context: context.clone(), raw }) })
    }

    /// Makes the context current on this thread and gives the raw handle.
    pub(crate) fn bind(&self, op: &str) -> Result<sys::CUstream> {
        check(op, self.inner.context.bind_to_thread())?;
        Ok(self.inner.raw)
    }

    /// The raw `CUstream`, for libraries that take one. Valid while this stream lives.
    pub fn as_raw(&self) -> *mut std::ffi::c_void {
        self.inner.raw.cast()
    }

    /// Blocks until all work given to the stream so far is done; reports its failures under `op`.
    pub fn synchronize(&self, op: &str) -> Result<()> {
        let raw = self.bind(op)?;
        // SAFETY: the stream is alive.
        check(op, unsafe { result::stream::synchronize(raw) })
    }

    /// Marks the present end of the stream's work.
    pub fn record(&self) -> Result<Event> {
        let event = Event::create(&self.inner.context, false)?;
        event.record(self)?;
        Ok(event)
    }

    /// Later work on this stream waits for the event, without blocking the host.
    pub fn wait(&self, event: &Event) -> Result<()> {
        let raw = self.bind("stream wait")?;
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: stream and event are alive.
        check("stream wait", unsafe { result::stream::wait_event(raw, event.raw(), flags) })
    }

    /// Later work on this stream waits for all work given to `other` so far. Nothing when they are the same stream.
    pub fn wait_for(&self, other: &Stream) -> Result<()> {
        if self == other {
            return Ok(());
        }
        self.wait(&other.record()?)
    }

    /// Later work on this stream waits for all work given to the default streams so far, and to the streams that wait
    /// for them: to all streams of the context but those made as non-blocking.
    pub(crate) fn wait_for_default(&self) -> Result<()> {
        let event = Event::create(&self.inner.context, false)?;
        // SAFETY: the event is alive and of the context that is current, whose legacy stream always is.
        check("record event", unsafe { result::event::record(event.raw(), DefaultStream::Legacy.raw()) })?;
        self.wait(&event)
    }

    /// Blocks until all work on the context is done, whatever its stream and whoever gave it.
    pub(crate) fn synchronize_context(&self, op: &str) -> Result<()> {
        self.bind(op)?;
        check(op, result::ctx::synchronize())
    }

    /// An event that takes time stamps, recorded at the present end of the stream's work.
    pub fn record_timed(&self) -> Result<Event> {
        let event = Event::create(&self.inner.context, true)?;
        event.record(self)?;
        Ok(event)
    }
}

/// The default streams that every context has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DefaultStream {
    Legacy = 1,
    PerThread = 2,
}

impl DefaultStream {
    fn raw(self) -> sys::CUstream {
        std::ptr::without_provenance_mut(self as usize)
    }
}

/// The stream on which another library works, as DLPack and the CUDA array interface number them.
///
/// ```
/// use warpline::device::ForeignStream;
/// assert_eq!(ForeignStream::try_from(1)?, ForeignStream::Legacy);
/// assert!(ForeignStream::try_from(0).is_err()); // could be either default stream
/// # Ok::<(), warpline::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignStream {
    /// -1: none that we are told; the other library orders its work by itself.
    Unknown,
    /// 1: the legacy default stream.
    Legacy,
    /// 2: the default stream of the calling thread.
    PerThread,
    /// Its `CUstream`.
    Handle(usize),
}

impl ForeignStream {
    fn raw(self) -> Option<sys::CUstream> {
        match self {
            ForeignStream::Unknown => None,
            ForeignStream::Legacy => Some(DefaultStream::Legacy.raw()),
            ForeignStream::PerThread => Some(DefaultStream::PerThread.raw()),
            ForeignStream::Handle(handle) => Some(std::ptr::with_exposed_provenance_mut(handle)),
        }
    }
}

impl TryFrom<i64> for ForeignStream {
    type Error = Error;

    fn try_from(number: i64) -> Result<Self> {
        match number {
            -1 => Ok(ForeignStream::Unknown),
            1 => Ok(ForeignStream::Legacy),
            2 => Ok(ForeignStream::PerThread),
            handle if handle > 2 => Ok(ForeignStream::Handle(handle as usize)),
            _ => {
                let why =
                    format!("{number} is no stream: give 1 (legacy default), 2 (per-thread default), -1 or a handle");
                Err(Error::invalid("stream", why))
            }
        }
    }
}

/// A point in a stream's work. Cheap to clone.
#[derive(Clone)]
pub struct Event {
    inner: Arc<EventInner>,
}

struct EventInner {
    context: Arc<CudaContext>,
    raw: sys::CUevent,
}

// SAFETY: CUDA events may be used from any thread of the context.
unsafe impl Send for EventInner {}
// SAFETY: as above.
unsafe impl Sync for EventInner {}

impl Drop for EventInner {
    fn drop(&mut self) {
        let _ = self.context.bind_to_thread();
        // SAFETY: created by us, last clone; the driver defers the release past pending waits.
        let _ = unsafe { result::event::destroy(self.raw) };
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({:p})", self.inner.raw)
    }
}

impl Event {
    fn create(context: &Arc<CudaContext>, timed: bool) -> Result<Self> {
        check("create event", context.bind_to_thread())?;
        let flags = match timed {
            true => sys::CUevent_flags::CU_EVENT_DEFAULT,
            false => sys::CUevent_flags::CU_EVENT_DISABLE_TIMING,
        };
        let raw = check("create event", result::event::create(flags))?;
        Ok(Event { inner: Arc::new(EventInner { context: context.clone(), raw }) })
    }

    fn raw(&self) -> sys::CUevent {
        self.inner.raw
    }

    fn record(&self, stream: &Stream) -> Result<()> {
        let raw = stream.bind("record event")?;
        // SAFETY: event and stream are alive and of one context.
        check("record event", unsafe { result::event::record(self.raw(), raw) })
    }

    /// Later work on another library's stream waits for the event, without blocking the host.
    ///
    /// # Safety
    /// A handle must be a live stream of the event's context.
    pub(crate) unsafe fn order(&self, stream: ForeignStream) -> Result<()> {
        let Some(raw) = stream.raw() else { return Ok(()) };
        check("stream wait", self.inner.context.bind_to_thread())?;
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: the event is alive; default streams always are, and the caller vouches for a handle.
        check("stream wait", unsafe { result::stream::wait_event(raw, self.raw(), flags) })
    }

    /// Blocks until the work before the event is done.
    pub fn synchronize(&self) -> Result<()> {
        check("event wait", self.inner.context.bind_to_thread())?;
        // SAFETY: the event is alive.
        check("event wait", unsafe { result::event::synchronize(self.raw()) })
    }

    /// Whether the work before the event is done.
    pub fn is_done(&self) -> Result<bool> {
        check("event query", self.inner.context.bind_to_thread())?;
        // SAFETY: the event is alive.
        match unsafe { result::event::query(self.raw()) } {
            Ok(()) => Ok(true),
            Err(e) if e.0 == sys::CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            Err(e) => check("event query", Err(e)),
        }
    }

    /// Milliseconds of device time between two events made by [`Stream::record_timed`], both done.
    pub fn elapsed_ms(&self, end: &Event) -> Result<f32> {
        // SAFETY: both events are alive.
        check("event time", unsafe { result::event::elapsed(self.raw(), end.raw()) })
    }
}
