//! Device memory with an owner and an order: who wrote it on which stream, and who still reads it.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::device::driver::keep_context;
use crate::device::memory::Memory;
use crate::device::stream::{Event, ForeignStream, Stream};
use crate::error::Result;

/// Who gives the memory back.
enum Owner {
    /// Our pool.
    Pool(Arc<Memory>),
    /// Somebody else: dropping the box releases it.
    Foreign(#[expect(dead_code, reason = "held for its Drop")] Box<dyn Any + Send + Sync>),
}

/// One allocation; freed on its home stream after every recorded use.
struct Allocation {
    pointer: u64,
    bytes: usize,
    home: Stream,
    owner: Owner,
    /// An event after the last write, made when another stream first asks.
    written: Mutex<Option<Event>>,
    /// Reads on other streams that the free must wait for.
    uses: Mutex<Vec<Event>>,
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // A drop may come on a thread where another library has its context current.
        keep_context(|| {
            self.written.get_mut().take();
            let ordered = self.uses.get_mut().drain(..).try_for_each(|event| self.home.wait(&event));
            if let Owner::Pool(memory) = &self.owner {
                memory.defer(ordered);
                if self.bytes > 0 {
                    memory.free(self.pointer, self.bytes, &self.home);
                }
            }
        });
    }
}

impl Allocation {
    /// Orders `stream` after the last write.
    fn acquire(&self, stream: &Stream) -> Result<()> {
        if *stream == self.home {
            return Ok(());
        }
        stream.wait(&self.written()?)
    }

    /// The event after the last write.
    fn written(&self) -> Result<Event> {
        let mut written = self.written.lock();
        match &*written {
            Some(event) => Ok(event.clone()),
            None => Ok(written.insert(self.home.record()?).clone()),
        }
    }

    /// Notes that work now on `stream` reads the memory.
    fn release(&self, stream: &Stream) {
        if *stream == self.home {
            return;
        }
        match stream.record() {
            Ok(event) => self.uses.lock().push(event),
            // Without an event the only safe order is to wait; if that fails too the context is lost.
            Err(_) => drop(stream.synchronize("release buffer")),
        }
    }
}

/// Device bytes that are still being written: unique, then [`frozen`](DeviceBufferMut::freeze).
pub struct DeviceBufferMut {
    allocation: Allocation,
    len: usize,
}

/// Immutable, shared device bytes; cheap to clone and to slice.
#[derive(Clone)]
pub struct DeviceBuffer {
    allocation: Arc<Allocation>,
    offset: usize,
    len: usize,
}

impl fmt::Debug for DeviceBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceBuffer({:#x}, {} bytes)", self.allocation.pointer + self.offset as u64, self.len)
    }
}

impl fmt::Debug for DeviceBufferMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceBufferMut({:#x}, {} bytes)", self.allocation.pointer, self.len)
    }
}

impl DeviceBufferMut {
    /// Memory of `len` bytes out of `allocated`, just taken from the pool on `home`.
    pub(crate) fn from_pool(memory: Arc<Memory>, pointer: u64, allocated: usize, len: usize, home: &Stream) -> Self {
        let allocation = Allocation {
            pointer,
            bytes: allocated,
            home: home.clone(),
            owner: Owner::Pool(memory),
            written: Mutex::new(None),
            uses: Mutex::new(Vec::new()),
        };
        DeviceBufferMut { allocation, len }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The whole buffer as a kernel's output of `T` elements.
    pub fn output<T>(&mut self) -> Out<'_, T> {
        Out { buffer: Some(self), element: PhantomData }
    }

    /// The pointer for work on `stream`, which waits for earlier work on the home stream; the home stream waits for
    /// `stream` when the guard is dropped.
    pub fn for_stream(&mut self, stream: &Stream) -> Result<WriteGuard<'_>> {
        stream.wait_for(&self.allocation.home)?;
        Ok(WriteGuard { buffer: self, stream: stream.clone() })
    }

    /// Ends writing: from here on the bytes are shared and immutable.
    pub fn freeze(self) -> DeviceBuffer {
        DeviceBuffer { len: self.len, allocation: Arc::new(self.allocation), offset: 0 }
    }

    /// Ends writing and keeps only the first `len` bytes visible (the allocation stays whole).
    pub fn freeze_prefix(self, len: usize) -> DeviceBuffer {
        let len = len.min(self.len);
        DeviceBuffer { len, allocation: Arc::new(self.allocation), offset: 0 }
    }
}

impl DeviceBuffer {
    /// Wraps memory that somebody else owns. `owner` is dropped when the last clone is gone and `home` has been
    /// ordered after every use; a release that is not ordered on `home` must wait for `home` itself.
    ///
    /// # Safety
    /// `pointer` must be device memory of at least `len` bytes in the context of `home`, valid and unchanged until
    /// `owner` is dropped, and its contents must be complete in the order of `home`.
    pub unsafe fn from_foreign(pointer: u64, len: usize, home: &Stream, owner: Box<dyn Any + Send + Sync>) -> Self {
        let allocation = Allocation {
            pointer,
            bytes: len,
            home: home.clone(),
            owner: Owner::Foreign(owner),
            written: Mutex::new(None),
            uses: Mutex::new(Vec::new()),
        };
        DeviceBuffer { allocation: Arc::new(allocation), offset: 0, len }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes `offset..offset + len` of this buffer, sharing its memory. Panics past the end.
    pub fn slice(&self, offset: usize, len: usize) -> Self {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "slice past the end of a device buffer");
        DeviceBuffer { allocation: self.allocation.clone(), offset: self.offset + offset, len }
    }

    /// Whether both are the same bytes of one allocation.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.allocation, &other.allocation) && self.offset == other.offset && self.len == other.len
    }

    /// The device address; 0 for an empty allocation.
    fn address(&self) -> u64 {
        match self.allocation.pointer {
            0 => 0,
            base => base + self.offset as u64,
        }
    }

    /// The whole buffer as a kernel's input of `T` elements.
    pub fn input<T>(&self) -> In<'_, T> {
        In { buffer: Some(self), element: PhantomData }
    }

    /// The pointer for work on `stream`, which is ordered after the last write; the memory outlives all work given
    /// to `stream` before the guard is dropped.
    pub fn for_stream(&self, stream: &Stream) -> Result<ReadGuard> {
        self.allocation.acquire(stream)?;
        Ok(ReadGuard { buffer: self.clone(), stream: stream.clone() })
    }
}

impl DeviceBuffer {
    /// Lends the memory to another library, whose work on `stream` from here on comes after the last write. The library
    /// may write to it too, if it is alone in that: nothing orders such writes before reads here, but the end of the
    /// loan does.
    ///
    /// # Safety
    /// A handle must be a live stream of the buffer's context during this call; later it may go.
    pub unsafe fn lend(&self, stream: ForeignStream) -> Result<Loan> {
        // SAFETY: forwarded to the caller.
        keep_context(|| unsafe { self.allocation.written()?.order(stream) })?;
        Ok(Loan { buffer: self.clone(), stream })
    }
}

/// Device memory in the hands of another library.
///
/// Its end orders our later work on the memory, and its free, after the work that the library has queued. For default
/// streams the device does that, and for other streams of the library that block with them. A stream that came as a
/// handle may be gone by then, and one that we were not told of is not known: then **dropping the loan waits** until the
/// device has done all work of the context.
#[derive(Debug)]
pub struct Loan {
    buffer: DeviceBuffer,
    stream: ForeignStream,
}

impl Loan {
    /// The device address; 0 for an empty buffer.
    pub fn pointer(&self) -> u64 {
        self.buffer.address()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.buffer.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.buffer.len == 0
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        const OP: &str = "end of a loan";
        let home = &self.buffer.allocation.home;
        keep_context(|| {
            let ordered = match self.stream {
                ForeignStream::Legacy | ForeignStream::PerThread => home.wait_for_default(),
                ForeignStream::Handle(_) | ForeignStream::Unknown => home.synchronize_context(OP),
            };
            if ordered.is_err() {
                // As for a guard: if waiting fails too the context is lost.
                let _ = home.synchronize_context(OP);
            }
            // The library may have written: the next to ask waits for that too.
            self.buffer.allocation.written.lock().take();
        });
    }
}

/// A readable device pointer, ordered on one stream.
#[derive(Debug)]
pub struct ReadGuard {
    buffer: DeviceBuffer,
    stream: Stream,
}

impl ReadGuard {
    /// The device address; 0 for an empty buffer.
    pub fn pointer(&self) -> u64 {
        self.buffer.address()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.buffer.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.buffer.len == 0
    }
}

impl Drop for ReadGuard {
    fn drop(&mut self) {
        self.buffer.allocation.release(&self.stream);
    }
}

/// A writable device pointer, ordered on one stream.
#[derive(Debug)]
pub struct WriteGuard<'a> {
    buffer: &'a mut DeviceBufferMut,
    stream: Stream,
}

impl WriteGuard<'_> {
    /// The device address; 0 for an empty buffer.
    pub fn pointer(&self) -> u64 {
        self.buffer.allocation.pointer
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.buffer.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.buffer.len == 0
    }
}

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        let home = &self.buffer.allocation.home;
        if home.wait_for(&self.stream).is_err() {
            let _ = self.stream.synchronize("release buffer");
        }
    }
}

/// A kernel argument that reads `T` elements.
#[derive(Clone, Copy, Debug)]
pub struct In<'a, T> {
    pub(crate) buffer: Option<&'a DeviceBuffer>,
    element: PhantomData<T>,
}

impl<T> In<'_, T> {
    /// A null pointer, for an absent input such as the validity of a column without nulls.
    pub fn absent() -> Self {
        In { buffer: None, element: PhantomData }
    }
}

impl<'a, T> From<Option<&'a DeviceBuffer>> for In<'a, T> {
    fn from(buffer: Option<&'a DeviceBuffer>) -> Self {
        In { buffer, element: PhantomData }
    }
}

/// A kernel argument that writes `T` elements.
#[derive(Debug)]
pub struct Out<'a, T> {
    pub(crate) buffer: Option<&'a mut DeviceBufferMut>,
    element: PhantomData<T>,
}

impl<T> Out<'_, T> {
    /// A null pointer, for an output that this launch does not write.
    pub fn absent() -> Self {
        Out { buffer: None, element: PhantomData }
    }
}
