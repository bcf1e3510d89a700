//! A CUDA device and a place to run on it: modules, stream, memory, copies.

use std::collections::HashMap;
use std::ffi::CString;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use arrow::buffer::{Buffer, MutableBuffer};
use cudarc::driver::{CudaContext, result, sys};
use parking_lot::Mutex;

use crate::device::buffer::{DeviceBuffer, DeviceBufferMut};
use crate::device::driver::{self, check};
use crate::device::emitted::{Emitted, EmittedModules};
use crate::device::info::DeviceInfo;
use crate::device::kernels::{Entry, KernelModule};
use crate::device::launch::{LaunchStrategy, PlainLaunch};
use crate::device::ledger::Ledger;
use crate::device::memory::{Memory, PADDING};
use crate::device::staging::{Download, Staging};
use crate::device::stream::Stream;
use crate::error::{Error, Result};

/// A device's primary context with what is loaded into it; one per ordinal, shared by all contexts on it.
pub(crate) struct Device {
    pub(crate) context: Arc<CudaContext>,
    pub(crate) info: DeviceInfo,
    modules: [OnceLock<Module>; KernelModule::COUNT],
    functions: [OnceLock<Function>; Entry::COUNT],
    emitted: EmittedModules,
    loading: Mutex<()>,
}

struct Module(sys::CUmodule);
#[derive(Clone, Copy)]
pub(crate) struct Function(pub(crate) sys::CUfunction);

// SAFETY: module and function handles are tokens that any thread may use while the context is current.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}
// SAFETY: as above.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.context.bind_to_thread();
        // Kernels in flight run the modules' code. This is the one drop that waits: the device's last context is gone.
        let _ = result::ctx::synchronize();
        self.emitted.clear();
        for Module(module) in self.modules.iter_mut().filter_map(OnceLock::take) {
            // SAFETY: loaded by us, and no stream of ours is left to run its kernels.
            let _ = unsafe { result::module::unload(module) };
        }
    }
}

impl Device {
    /// The device with this ordinal; opened once while anyone holds it.
    fn open(ordinal: usize) -> Result<Arc<Self>> {
        static OPEN: Mutex<Option<HashMap<usize, Weak<Device>>>> = Mutex::new(None);
        if !driver::is_present() {
            return Err(Error::NoDriver);
        }
        let available = driver::device_count();
        if ordinal >= available {
            return Err(Error::NoDevice { ordinal, available });
        }
        let mut open = OPEN.lock();
        let open = open.get_or_insert_default();
        if let Some(device) = open.get(&ordinal).and_then(Weak::upgrade) {
            return Ok(device);
        }
        let context = check("open device", CudaContext::new(ordinal))?;
        let info = DeviceInfo::query(&context)?;
        let device = Arc::new(Device {
            context,
            info,
            modules: [const { OnceLock::new() }; KernelModule::COUNT],
            functions: [const { OnceLock::new() }; Entry::COUNT],
            emitted: EmittedModules::default(),
            loading: Mutex::new(()),
        });
        open.insert(ordinal, Arc::downgrade(&device));
        Ok(device)
    }

    /// The function of a kernel entry. Its module is loaded (and compiled by the driver) at first use.
    pub(crate) fn function(&self, entry: &Entry) -> Result<Function> {
        if let Some(function) = self.functions[entry.index].get() {
            return Ok(*function);
        }
        let _one_loader = self.loading.lock();
        let module = self.module(entry.module)?;
        check(entry.name, self.context.bind_to_thread())?;
        let name = CString::new(entry.name).expect("entry names hold no NUL");
        // SAFETY: the module is loaded and stays so while `self` lives.
        let raw = check(entry.name, unsafe { result::module::get_function(module, name) })?;
        Ok(*self.functions[entry.index].get_or_init(|| Function(raw)))
    }

    fn module(&self, which: KernelModule) -> Result<sys::CUmodule> {
        if let Some(Module(module)) = self.modules[which as usize].get() {
            return Ok(*module);
        }
        let raw = load_ptx(&self.context, which.name(), which.ptx())?;
        Ok(self.modules[which as usize].get_or_init(|| Module(raw)).0)
    }
}

/// Loads PTX text; the driver's compile error is reported under `name`.
pub(crate) fn load_ptx(context: &Arc<CudaContext>, name: &str, ptx: &str) -> Result<sys::CUmodule> {
    let op = format!("load kernel module '{name}'");
    check(&op, context.bind_to_thread())?;
    let text = CString::new(ptx).map_err(|_| Error::invalid("load kernel module", "PTX text holds a NUL byte"))?;
    // SAFETY: a NUL-terminated PTX image.
    check(&op, unsafe { result::module::load_data(text.as_ptr().cast()) })
}

/// Bytes that crossed between host and device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyStats {
    /// Host to device.
    pub host_to_device: u64,
    /// Device to host.
    pub device_to_host: u64,
}

/// Kernels written at run time that a context asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModuleStats {
    /// Modules that the driver had to compile.
    pub compiled: u64,
    /// Requests that found their module compiled.
    pub reused: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    host_to_device: AtomicU64,
    device_to_host: AtomicU64,
    modules_compiled: AtomicU64,
    modules_reused: AtomicU64,
}

/// Uploads of at most this many bytes go to the driver as they are: it takes such a source at once and does not wait for
/// the stream (CUDA driver API, "API synchronization behavior").
const DIRECT_UPLOAD: usize = 64 << 10;

/// Where device operators run: a device, a stream of it, and a memory budget. Cheap to clone.
#[derive(Clone)]
pub struct CudaCtx {
    pub(crate) device: Arc<Device>,
    memory: Arc<Memory>,
    staging: Arc<Staging>,
    stream: Stream,
    copies: Arc<Counters>,
    pub(crate) strategy: Arc<dyn LaunchStrategy>,
}

impl fmt::Debug for CudaCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CudaCtx(cuda:{}, {:?})", self.device.info.ordinal, self.stream)
    }
}

impl CudaCtx {
    /// Opens the device; the budget is its whole memory.
    pub(crate) fn open(ordinal: usize) -> Result<Self> {
        let device = Device::open(ordinal)?;
        let memory = Memory::new(&device.context, device.info.total_memory, device.info.total_memory)?;
        let stream = Stream::create(&device.context)?;
        let staging = Staging::new(&device.context);
        Ok(CudaCtx { device, memory, staging, stream, copies: Arc::default(), strategy: Arc::new(PlainLaunch) })
    }

    /// The same device and stream with a new pool that gives out at most `budget` bytes.
    pub(crate) fn with_budget(&self, budget: u64) -> Result<Self> {
        let total = self.device.info.total_memory;
        let memory = Memory::new(&self.device.context, budget.min(total), total)?;
        Ok(CudaCtx { memory, copies: Arc::default(), ..self.clone() })
    }

    /// The same device, budget and counters on a stream of its own.
    pub(crate) fn fork(&self) -> Result<Self> {
        Ok(CudaCtx { stream: Stream::create(&self.device.context)?, ..self.clone() })
    }

    /// The same context with another launch strategy.
    pub(crate) fn with_strategy(&self, strategy: Arc<dyn LaunchStrategy>) -> Self {
        CudaCtx { strategy, ..self.clone() }
    }

    /// What the device is and offers.
    pub fn info(&self) -> &DeviceInfo {
        &self.device.info
    }

    /// The stream that this context's work is ordered on.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The budget's books: bytes in use and their peak.
    pub fn ledger(&self) -> &Ledger {
        self.memory.ledger()
    }

    /// Bytes copied by this context and its forks so far.
    pub fn copy_stats(&self) -> CopyStats {
        CopyStats {
            host_to_device: self.copies.host_to_device.load(Ordering::Relaxed),
            device_to_host: self.copies.device_to_host.load(Ordering::Relaxed),
        }
    }

    /// Modules of emitted PTX that this context and its forks asked for so far.
    pub fn module_stats(&self) -> ModuleStats {
        ModuleStats {
            compiled: self.copies.modules_compiled.load(Ordering::Relaxed),
            reused: self.copies.modules_reused.load(Ordering::Relaxed),
        }
    }

    /// The module of PTX that was written at run time; the driver compiles it at its first use on the device.
    pub(crate) fn emitted(&self, entry: &'static str, ptx: &str) -> Result<Arc<Emitted>> {
        let (module, compiled) = self.device.emitted.get(&self.device.context, entry, ptx)?;
        let counter = if compiled { &self.copies.modules_compiled } else { &self.copies.modules_reused };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(module)
    }

    /// Free device memory in bytes, as the driver reports it for the whole device.
    pub fn free_memory(&self) -> Result<u64> {
        check("memory info", self.device.context.mem_get_info()).map(|(free, _)| free as u64)
    }

    /// The device's UUID as NVML writes it.
    pub(crate) fn uuid(&self) -> Result<String> {
        let uuid = check("device uuid", self.device.context.uuid())?;
        let hex: String = uuid.bytes.iter().map(|&byte| format!("{:02x}", byte as u8)).collect();
        Ok(format!("GPU-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
    }

    /// `len` bytes whose contents are undefined, but for the padding behind them, which is zero.
    pub fn allocate(&self, op: &str, len: usize) -> Result<DeviceBufferMut> {
        let (mut buffer, allocated) = self.allocate_raw(op, len)?;
        self.fill_zero(op, &mut buffer, len, allocated - len)?;
        Ok(buffer)
    }

    /// `len` zero bytes.
    pub fn allocate_zeroed(&self, op: &str, len: usize) -> Result<DeviceBufferMut> {
        let (mut buffer, allocated) = self.allocate_raw(op, len)?;
        self.fill_zero(op, &mut buffer, 0, allocated)?;
        Ok(buffer)
    }

    /// A copy of host bytes, padded with zeros. The source may be reused on return.
    pub fn upload(&self, op: &str, bytes: &[u8]) -> Result<DeviceBuffer> {
        Ok(self.upload_mut(op, bytes)?.freeze())
    }

    /// [`CudaCtx::upload`], still writable.
    pub fn upload_mut(&self, op: &str, bytes: &[u8]) -> Result<DeviceBufferMut> {
        let (mut buffer, padded) = self.allocate_raw(op, bytes.len())?;
        if bytes.is_empty() {
            return Ok(buffer);
        }
        let pointer = buffer.for_stream(&self.stream)?.pointer();
        if bytes.len() > DIRECT_UPLOAD {
            // SAFETY: the allocation has `padded` bytes, and no other stream knows it yet.
            unsafe { self.write_staged(op, bytes, padded, pointer)? };
        } else {
            // SAFETY: the allocation has at least `bytes.len()` bytes.
            unsafe { self.write_direct(op, bytes, pointer)? };
            self.fill_zero(op, &mut buffer, bytes.len(), padded - bytes.len())?;
        }
        Ok(buffer)
    }

    /// Copies host bytes into a buffer, from `offset` on. The source may be reused on return. Panics past the end.
    pub fn upload_into(&self, op: &str, buffer: &mut DeviceBufferMut, offset: usize, bytes: &[u8]) -> Result<()> {
        let end = offset.checked_add(bytes.len());
        assert!(end.is_some_and(|end| end <= buffer.len()), "upload past the end of a device buffer");
        if bytes.is_empty() {
            return Ok(());
        }
        let pointer = buffer.for_stream(&self.stream)?.pointer() + offset as u64;
        match bytes.len() > DIRECT_UPLOAD {
            // SAFETY: `offset` and the bytes behind it lie in the buffer, which this stream may write.
            true => unsafe { self.write_staged(op, bytes, bytes.len(), pointer) },
            // SAFETY: as above.
            false => unsafe { self.write_direct(op, bytes, pointer) },
        }
    }

    /// Writes bytes, and zeros up to `padded`, through pinned memory.
    ///
    /// # Safety
    /// `to` must be device memory of `padded` bytes that the stream may write.
    unsafe fn write_staged(&self, op: &str, bytes: &[u8], padded: usize, to: u64) -> Result<()> {
        // SAFETY: forwarded to the caller.
        unsafe { self.staging.upload(op, bytes, padded, to, &self.stream)? };
        self.copies.host_to_device.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Writes bytes as they are: the driver takes pageable memory before it returns.
    ///
    /// # Safety
    /// `to` must be device memory of as many bytes that the stream may write.
    unsafe fn write_direct(&self, op: &str, bytes: &[u8], to: u64) -> Result<()> {
        let raw = self.stream.bind(op)?;
        // SAFETY: forwarded to the caller.
        check(op, unsafe { result::memcpy_htod_async(to, bytes, raw) })?;
        self.copies.host_to_device.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// The elements' bytes, uploaded.
    pub fn upload_slice<T: arrow::datatypes::ArrowNativeType>(&self, op: &str, values: &[T]) -> Result<DeviceBuffer> {
        let bytes = std::mem::size_of_val(values);
        // SAFETY: Arrow's native types are plain numbers without padding; the slice is alive during the call.
        let bytes = unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), bytes) };
        self.upload(op, bytes)
    }

    /// A copy of a buffer in device memory, padded with zeros.
    pub fn duplicate(&self, op: &str, buffer: &DeviceBuffer) -> Result<DeviceBuffer> {
        let (mut copy, padded) = self.allocate_raw(op, buffer.len())?;
        if !buffer.is_empty() {
            self.fill_zero(op, &mut copy, buffer.len(), padded - buffer.len())?;
            let source = buffer.for_stream(&self.stream)?;
            let target = copy.for_stream(&self.stream)?;
            let raw = self.stream.bind(op)?;
            // SAFETY: both sides have as many bytes, and this stream may read the one and write the other.
            check(op, unsafe { result::memcpy_dtod_async(target.pointer(), source.pointer(), buffer.len(), raw) })?;
        }
        Ok(copy.freeze())
    }

    /// A host copy of a buffer, 64-byte aligned.
    ///
    /// # Synchronization
    /// Waits for the stream.
    pub fn download(&self, op: &str, buffer: &DeviceBuffer) -> Result<Buffer> {
        if buffer.is_empty() {
            return Ok(MutableBuffer::new(0).into());
        }
        let mut buffers = self.download_all(op, &[buffer])?;
        buffers.pop().ok_or_else(|| Error::Internal { op: "download", why: "no buffer came back".to_owned() })
    }

    /// Host copies of several buffers.
    ///
    /// # Synchronization
    /// Waits once for the stream.
    pub fn download_all(&self, op: &str, buffers: &[&DeviceBuffer]) -> Result<Vec<Buffer>> {
        let mut download = Download::new(self, op);
        buffers.iter().try_for_each(|buffer| download.add(buffer))?;
        download.finish()
    }

    /// The pinned memory that large copies pass through.
    pub(crate) fn staging(&self) -> &Arc<Staging> {
        &self.staging
    }

    pub(crate) fn count_download(&self, bytes: usize) {
        self.copies.device_to_host.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Copies the buffer into `host`, which must have its exact length.
    ///
    /// # Synchronization
    /// Waits for the stream.
    pub fn download_into(&self, op: &str, buffer: &DeviceBuffer, host: &mut [u8]) -> Result<()> {
        if host.len() != buffer.len() {
            let why = format!("download of {} bytes into {}", buffer.len(), host.len());
            return Err(Error::Internal { op: "download", why });
        }
        if !host.is_empty() {
            let source = buffer.for_stream(&self.stream)?;
            let raw = self.stream.bind(op)?;
            // SAFETY: both sides have `host.len()` bytes, and the synchronise below ends the copy before `host` does.
            check(op, unsafe { result::memcpy_dtoh_async(host, source.pointer(), raw) })?;
            self.count_download(host.len());
        }
        self.stream.synchronize(op)
    }

    /// Waits for the stream and reports every failure so far.
    pub fn finish(&self, op: &str) -> Result<()> {
        self.stream.synchronize(op)?;
        self.memory.take_deferred()
    }

    fn allocate_raw(&self, op: &str, len: usize) -> Result<(DeviceBufferMut, usize)> {
        // A zero-byte request is no allocation at all: the driver refuses those.
        let allocated = len.checked_next_multiple_of(PADDING).ok_or_else(|| self.too_large(op))?;
        let pointer = match allocated {
            0 => 0,
            _ => self.memory.allocate(op, allocated, &self.stream)?,
        };
        let memory = self.memory.clone();
        Ok((DeviceBufferMut::from_pool(memory, pointer, allocated, len, &self.stream), allocated))
    }

    fn too_large(&self, op: &str) -> Error {
        let budget = self.ledger().budget();
        Error::OutOfMemory { op: op.to_owned(), requested: u64::MAX, budget, available: budget }
    }

    /// Zeroes a part of a buffer, which may reach into its padding.
    pub(crate) fn fill_zero(&self, op: &str, buffer: &mut DeviceBufferMut, offset: usize, len: usize) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        let pointer = buffer.for_stream(&self.stream)?.pointer() + offset as u64;
        let raw = self.stream.bind(op)?;
        // SAFETY: `offset + len` is at most what was allocated.
        check(op, unsafe { result::memset_d8_async(pointer, 0, len, raw) })
    }
}
