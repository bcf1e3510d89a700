//! Pinned host memory that copies between host and device pass through.
//!
//! The driver may only copy without blocking the host from and to pinned memory. Arrow's buffers are not pinned, and
//! pinning takes longer than copying, so a fixed ring of pinned slots, made at first use, stands between them. An empty
//! ring is back-pressure: the host waits for the oldest copy.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::buffer::{Buffer, MutableBuffer};
use cudarc::driver::{CudaContext, result, sys};
use parking_lot::{Condvar, Mutex};

use crate::device::buffer::DeviceBuffer;
use crate::device::context::CudaCtx;
use crate::device::driver::check;
use crate::device::stream::{Event, Stream};
use crate::error::Result;

/// Bytes of a slot: long enough that a copy takes many times as long as its launch (19 us at 55 GB/s).
const SLOT: usize = 1 << 20;
/// Slots of a ring. A thread that fills one leaves the others to copies in flight.
const SLOTS: usize = 8;

/// A pinned block, and the copy that used it last.
pub(crate) struct Slot {
    context: Arc<CudaContext>,
    pointer: *mut u8,
    busy: Option<Event>,
}

// SAFETY: the block belongs to the slot alone.
unsafe impl Send for Slot {}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(event) = self.busy.take() {
            let _ = event.synchronize();
        }
        let _ = self.context.bind_to_thread();
        // SAFETY: allocated by `Slot::new`; the last copy has ended.
        let _ = unsafe { result::free_host(self.pointer.cast()) };
    }
}

impl Slot {
    fn new(context: &Arc<CudaContext>, flags: u32) -> Result<Self> {
        const OP: &str = "pinned memory";
        check(OP, context.bind_to_thread())?;
        // SAFETY: the memory is written before it is read: by the host before uploads, by the device before downloads.
        let pointer = check(OP, unsafe { result::malloc_host(SLOT, flags) })?;
        Ok(Slot { context: context.clone(), pointer: pointer.cast(), busy: None })
    }

    /// Marks the slot as in use by the work that `stream` holds now.
    fn in_use_by(&mut self, stream: &Stream) -> Result<()> {
        match stream.record() {
            Ok(event) => self.busy = Some(event),
            // Without an event the only safe order is to wait; if that fails too the context is lost.
            Err(_) => stream.synchronize("staging")?,
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        self.busy.take().map_or(Ok(()), |event| event.synchronize())
    }
}

/// A ring of slots for one direction.
struct Ring {
    flags: u32,
    state: Mutex<RingState>,
    returned: Condvar,
}

#[derive(Default)]
struct RingState {
    made: usize,
    /// The slot whose copy was given first is in front.
    free: VecDeque<Slot>,
}

impl Ring {
    fn new(flags: u32) -> Self {
        Ring { flags, state: Mutex::default(), returned: Condvar::new() }
    }

    /// A slot that may still be in use by its last copy; `None` when all are with other threads and `wait` is false.
    fn take(&self, context: &Arc<CudaContext>, wait: bool) -> Result<Option<Slot>> {
        let mut state = self.state.lock();
        loop {
            // A slot whose copy has ended costs nothing; a new one costs memory; one in flight costs time.
            let idle = |slot: &Slot| slot.busy.as_ref().is_none_or(|event| event.is_done().unwrap_or(true));
            if state.free.front().is_some_and(idle) {
                return Ok(state.free.pop_front());
            }
            if state.made < SLOTS {
                let slot = Slot::new(context, self.flags)?;
                state.made += 1;
                return Ok(Some(slot));
            }
            if let Some(slot) = state.free.pop_front() {
                return Ok(Some(slot));
            }
            if !wait {
                return Ok(None);
            }
            self.returned.wait(&mut state);
        }
    }

    fn give(&self, slot: Slot) {
        self.state.lock().free.push_back(slot);
        self.returned.notify_one();
    }
}

/// The rings of a device context and its forks: at most 8 MiB of pinned memory for each direction.
pub(crate) struct Staging {
    context: Arc<CudaContext>,
    up: Ring,
    down: Ring,
}

impl Staging {
    /// Empty rings; memory is taken at first use.
    pub(crate) fn new(context: &Arc<CudaContext>) -> Arc<Self> {
        // Write-combined memory is fast for the bus and slow for the host to read: right for uploads only.
        let (up, down) = (Ring::new(sys::CU_MEMHOSTALLOC_WRITECOMBINED), Ring::new(0));
        Arc::new(Staging { context: context.clone(), up, down })
    }

    /// Copies `bytes`, and zeros up to `padded` bytes, to the device address `to`, in the order of `stream`. The source
    /// may be reused on return.
    ///
    /// # Safety
    /// `to` must be device memory of at least `padded` bytes that `stream` may write.
    pub(crate) unsafe fn upload(&self, op: &str, bytes: &[u8], padded: usize, to: u64, stream: &Stream) -> Result<()> {
        let raw = stream.bind(op)?;
        let mut at = 0;
        while at < padded {
            let mut slot = self.up.take(&self.context, true)?.expect("waiting gives a slot");
            let len = (padded - at).min(SLOT);
            let copied = slot.wait().and_then(|()| {
                let source = &bytes[at.min(bytes.len())..(at + len).min(bytes.len())];
                // SAFETY: the slot has SLOT bytes, is in no copy, and is ours; `to` has `padded` bytes.
                unsafe {
                    slot.pointer.copy_from_nonoverlapping(source.as_ptr(), source.len());
                    slot.pointer.add(source.len()).write_bytes(0, len - source.len());
                    let staged = std::slice::from_raw_parts(slot.pointer, len);
                    check(op, result::memcpy_htod_async(to + at as u64, staged, raw))?;
                }
                slot.in_use_by(stream)
            });
            self.up.give(slot);
            copied?;
            at += len;
        }
        Ok(())
    }
}

/// Where a piece of a slot goes.
struct Piece {
    output: usize,
    len: usize,
}

/// Copies of device buffers to the host, which wait once for all of them and not once for each.
pub(crate) struct Download<'a> {
    ctx: &'a CudaCtx,
    op: &'a str,
    filling: Option<(Slot, usize, Vec<Piece>)>,
    in_flight: VecDeque<(Slot, Vec<Piece>)>,
    outputs: Vec<MutableBuffer>,
}

impl<'a> Download<'a> {
    /// No copies yet.
    pub(crate) fn new(ctx: &'a CudaCtx, op: &'a str) -> Self {
        Download { ctx, op, filling: None, in_flight: VecDeque::new(), outputs: Vec::new() }
    }

    /// Starts the copy of one more buffer.
    pub(crate) fn add(&mut self, buffer: &DeviceBuffer) -> Result<()> {
        let output = self.outputs.len();
        self.outputs.push(MutableBuffer::with_capacity(buffer.len()));
        if buffer.is_empty() {
            return Ok(());
        }
        let source = buffer.for_stream(self.ctx.stream())?;
        let raw = self.ctx.stream().bind(self.op)?;
        let mut at = 0;
        while at < buffer.len() {
            let (mut slot, filled, mut pieces) = match self.filling.take() {
                Some(filling) => filling,
                None => (self.slot()?, 0, Vec::new()),
            };
            let len = (buffer.len() - at).min(SLOT - filled);
            // SAFETY: the slot is ours, has `len` bytes left and is read only after its event; so has the source.
            let copied = unsafe {
                let staged = std::slice::from_raw_parts_mut(slot.pointer.add(filled), len);
                check(self.op, result::memcpy_dtoh_async(staged, source.pointer() + at as u64, raw))
            };
            pieces.push(Piece { output, len });
            at += len;
            if copied.is_ok() && filled + len < SLOT {
                self.filling = Some((slot, filled + len, pieces));
            } else {
                let marked = slot.in_use_by(self.ctx.stream());
                self.in_flight.push_back((slot, pieces));
                copied.and(marked)?;
            }
        }
        self.ctx.count_download(buffer.len());
        Ok(())
    }

    /// A slot that is in no copy. A thread that holds slots empties its own before it waits for those of others.
    fn slot(&mut self) -> Result<Slot> {
        let staging = self.ctx.staging().clone();
        loop {
            let may_wait = self.in_flight.is_empty();
            if let Some(mut slot) = staging.down.take(&staging.context, may_wait)? {
                if let Err(error) = slot.wait() {
                    staging.down.give(slot);
                    return Err(error);
                }
                return Ok(slot);
            }
            self.empty_oldest()?;
        }
    }

    fn empty_oldest(&mut self) -> Result<()> {
        let Some((mut slot, pieces)) = self.in_flight.pop_front() else { return Ok(()) };
        let waited = slot.wait();
        if waited.is_ok() {
            let mut at = 0;
            for piece in pieces {
                // SAFETY: the copies into the slot have ended, and their pieces lie in it one behind the other.
                let bytes = unsafe { std::slice::from_raw_parts(slot.pointer.add(at), piece.len) };
                self.outputs[piece.output].extend_from_slice(bytes);
                at += piece.len;
            }
        }
        self.ctx.staging().down.give(slot);
        waited
    }

    /// Waits for all copies; gives the buffers in the order in which they were added, 64-byte aligned.
    pub(crate) fn finish(mut self) -> Result<Vec<Buffer>> {
        if let Some((mut slot, _, pieces)) = self.filling.take() {
            let marked = slot.in_use_by(self.ctx.stream());
            self.in_flight.push_back((slot, pieces));
            marked?;
        }
        while !self.in_flight.is_empty() {
            self.empty_oldest()?;
        }
        // An earlier failure on the stream must not pass for data.
        self.ctx.stream().synchronize(self.op)?;
        Ok(std::mem::take(&mut self.outputs).into_iter().map(Buffer::from).collect())
    }
}

impl Drop for Download<'_> {
    /// After an error: the slots go back, to be waited for by whoever takes them.
    fn drop(&mut self) {
        if let Some((mut slot, ..)) = self.filling.take() {
            let _ = slot.in_use_by(self.ctx.stream());
            self.ctx.staging().down.give(slot);
        }
        for (slot, _) in self.in_flight.drain(..) {
            self.ctx.staging().down.give(slot);
        }
    }
}
