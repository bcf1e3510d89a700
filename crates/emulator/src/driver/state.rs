//! State of the driver: devices, and tables of everything that has a handle.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::capture::Capture;
use super::config::{Config, Order};
use super::errors::code;
use super::graph::{Exec, Graph, GraphMemory, NodeKind};
use super::library::{Kernel, Library};
use crate::exec::code::Program;
use crate::exec::pool::Pool;
use crate::mem::Arena;
use crate::streams::{Record, Stream};

/// A result whose error is a driver code.
pub type Res<T = ()> = Result<T, i32>;

/// A context.
pub struct Context {
    pub id: usize,
    pub device: u32,
    pub flags: AtomicU32,
    /// The first error of the device, from which on it does nothing more.
    pub error: AtomicI32,
    /// Whether a call that waits has told of the error; from then on all calls give it. As on a device, what a launch
    /// did wrong shows no earlier.
    pub told: AtomicBool,
    /// The legacy stream.
    pub null: Arc<Stream>,
    /// The other streams by handle.
    pub streams: Mutex<HashMap<usize, Arc<Stream>>>,
    /// Limits set by `cuCtxSetLimit`.
    pub limits: Mutex<HashMap<u32, usize>>,
    /// The preference set by `cuCtxSetCacheConfig`.
    pub cache: AtomicU32,
    /// Contexts whose memory it may use.
    pub peers: Mutex<HashSet<usize>>,
    /// Whether it has ended; it may still be current to a thread.
    pub destroyed: AtomicBool,
}

/// A stream with its context.
pub type StreamOf = (Arc<Context>, Arc<Stream>);

/// A loaded module.
pub struct Module {
    pub context: Arc<Context>,
    pub functions: HashMap<String, usize>,
    /// Device variables: address and size.
    pub globals: HashMap<String, (u64, u64)>,
}

/// A kernel of a module.
pub struct Function {
    pub context: Arc<Context>,
    pub name: CString,
    pub program: Arc<Program>,
    /// Dynamic shared memory allowed by `cuFuncSetAttribute`, 0 where nothing was set.
    pub max_dynamic: AtomicU32,
    /// The same by `cuKernelSetAttribute`, for a kernel of a library.
    pub inherited: Arc<AtomicU32>,
    pub version: (u32, u32),
}

impl Function {
    /// Dynamic shared memory allowed by a call, or 0. What was set for the function counts before what was set for the
    /// kernel, in whatever order.
    pub fn max_dynamic(&self) -> u32 {
        match self.max_dynamic.load(Ordering::Acquire) {
            0 => self.inherited.load(Ordering::Acquire),
            own => own,
        }
    }
}

/// An event.
pub struct Event {
    pub context: Arc<Context>,
    pub timing: bool,
    pub record: Mutex<Recorded>,
}

/// Where an event was recorded last.
#[derive(Clone, Default)]
pub enum Recorded {
    /// Nowhere: it counts as reached.
    #[default]
    Never,
    /// In a stream.
    Stream(Arc<Record>),
    /// In a capturing stream, behind these nodes.
    Captured(Arc<Capture>, Vec<usize>),
}

/// What the driver knows of an allocation beyond its place.
pub struct Block {
    /// The context that it ends with.
    pub context: usize,
    pub len: u64,
    /// Flags of `cuMemHostAlloc`.
    pub flags: u32,
    /// The pool that it came from, by handle.
    pub pool: Option<(usize, Arc<MemPool>)>,
    /// Set where it belongs to a graph.
    pub graph: Option<Weak<GraphMemory>>,
}

/// A memory pool.
#[derive(Default)]
pub struct MemPool {
    pub device: u32,
    pub limit: u64,
    pub threshold: AtomicU64,
    pub used: AtomicU64,
    pub high: AtomicU64,
    /// Bytes that the pool holds: what is used, and what it keeps of what was freed.
    pub reserved: AtomicU64,
    pub reserved_high: AtomicU64,
    /// Other devices that may use its memory.
    pub peers: Mutex<HashSet<usize>>,
    pub reuse: [AtomicI32; 3],
}

/// A device.
pub struct Device {
    pub primary: Mutex<(u32, Option<Arc<Context>>)>,
    /// Flags for the next primary context.
    pub primary_flags: AtomicU32,
    pub default_pool: usize,
    pub current_pool: AtomicUsize,
}

/// Everything.
pub struct Driver {
    pub config: Config,
    pub arena: Arc<Arena>,
    pub devices: Vec<Device>,
    pub pool: Arc<Pool>,
    next: AtomicUsize,
    pub contexts: Mutex<HashMap<usize, Arc<Context>>>,
    pub streams: Mutex<HashMap<usize, StreamOf>>,
    pub events: Mutex<HashMap<usize, Arc<Event>>>,
    pub modules: Mutex<HashMap<usize, Arc<Module>>>,
    pub functions: Mutex<HashMap<usize, Arc<Function>>>,
    pub libraries: Mutex<HashMap<usize, Arc<Library>>>,
    /// Kernels of libraries.
    pub kernels: Mutex<HashMap<usize, Arc<Kernel>>>,
    pub pools: Mutex<HashMap<usize, Arc<MemPool>>>,
    /// Live allocations by address.
    pub blocks: Mutex<HashMap<u64, Block>>,
    /// Captures under way by the streams that take part, and their number for a quick look.
    pub captures: Mutex<HashMap<usize, Arc<Capture>>>,
    pub captures_active: AtomicUsize,
    pub graphs: Mutex<HashMap<usize, Arc<Graph>>>,
    pub execs: Mutex<HashMap<usize, Arc<Exec>>>,
    /// Allocations whose free is queued.
    pub freeing: Mutex<HashSet<u64>>,
    /// Host ranges made page-locked by `cuMemHostRegister`: start, length and flags.
    pub registered: Mutex<HashMap<u64, (u64, u32)>>,
    /// The first error of any context. The process gets no new context after it: its device is out of reach until it is
    /// started again, as with a real driver (seen on an H200 with driver 580).
    failed: AtomicI32,
    counters: Option<Mutex<std::fs::File>>,
}

static DRIVER: OnceLock<Result<Driver, i32>> = OnceLock::new();

thread_local! {
    /// The stack of current contexts of the thread.
    static CURRENT: RefCell<Vec<Arc<Context>>> = const { RefCell::new(Vec::new()) };
    /// The thread's own default streams (`CU_STREAM_PER_THREAD`).
    static OWN: RefCell<OwnStreams> = const { RefCell::new(OwnStreams(Vec::new())) };
    /// Whether the thread runs a host function, which may not call the driver.
    static IN_HOST_FUNCTION: Cell<bool> = const { Cell::new(false) };
}

/// A thread's default streams by context; they end with the thread.
struct OwnStreams(Vec<(Weak<Context>, Arc<Stream>)>);

impl OwnStreams {
    fn of(&mut self, d: &Driver, context: &Arc<Context>) -> Arc<Stream> {
        self.0.retain(|(c, _)| c.strong_count() > 0);
        if let Some((_, s)) = self.0.iter().find(|(c, _)| c.as_ptr() == Arc::as_ptr(context)) {
            return s.clone();
        }
        let stream = d.new_stream(true, 0);
        context.streams.lock().insert(stream.id, stream.clone());
        self.0.push((Arc::downgrade(context), stream.clone()));
        stream
    }
}

impl Drop for OwnStreams {
    fn drop(&mut self) {
        for (context, stream) in self.0.drain(..) {
            retire(context, &stream);
        }
    }
}

/// Lets a stream end when its work is done; until then its context's synchronisation waits for it.
pub fn retire(context: Weak<Context>, stream: &Arc<Stream>) {
    let id = stream.id;
    let gone = move || {
        if let Some(c) = context.upgrade() {
            c.streams.lock().remove(&id);
        }
    };
    // One that was never used has no thread yet.
    if stream.tail() == 0 {
        gone();
    } else {
        stream.push(Box::new(gone));
    }
    stream.close();
}

/// Runs a host function: the calls that it makes to the driver are refused.
pub fn host_function(f: impl FnOnce()) {
    IN_HOST_FUNCTION.set(true);
    f();
    IN_HOST_FUNCTION.set(false);
}

pub use crate::checks::warn as say;

/// Ends the process after a finding, for programs that would go on regardless.
pub fn abort() {
    say("WARPLINE_EMULATOR_ABORT is set: the process ends here");
    std::process::abort();
}

/// Starts the driver, at the first `cuInit`.
pub fn init() -> Res {
    DRIVER.get_or_init(start).as_ref().map(|_| ()).map_err(|e| *e)
}

/// Keeps the library loaded: its threads may outlive a `dlclose`.
fn stay_loaded() {
    // SAFETY: the address is ours, the structure is plain data, and the name that comes back lives as long as we do; a
    // library that is loaded already runs no initialisers.
    unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        if libc::dladdr(stay_loaded as *const libc::c_void, &mut info) != 0 && !info.dli_fname.is_null() {
            libc::dlopen(info.dli_fname, libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_NODELETE);
        }
    }
}

fn start() -> Result<Driver, i32> {
    stay_loaded();
    let config = Config::read(|name| std::env::var(name).ok()).map_err(|e| {
        say(&e);
        code::INVALID_VALUE
    })?;
    if config.devices == 0 {
        return Err(code::NO_DEVICE);
    }
    let arena = Arena::new(config.devices, config.memory).ok_or_else(|| {
        say("cannot reserve address space for device memory; set WARPLINE_EMULATOR_MEMORY lower");
        code::OUT_OF_MEMORY
    })?;
    let counters = match &config.counters {
        Some(path) => {
            Some(Mutex::new(std::fs::OpenOptions::new().create(true).append(true).open(path).map_err(|e| {
                say(&format!("WARPLINE_EMULATOR_COUNTERS={path}: {e}"));
                code::INVALID_VALUE
            })?))
        }
        None => None,
    };
    let mut pools = HashMap::new();
    let devices = (0..config.devices)
        .map(|d| {
            let id = 0x100 + d as usize * 0x10;
            pools.insert(id, Arc::new(MemPool { device: d, ..MemPool::default() }));
            let primary_flags = AtomicU32::new(0);
            Device {
                primary: Mutex::new((0, None)),
                primary_flags,
                default_pool: id,
                current_pool: AtomicUsize::new(id),
            }
        })
        .collect();
    Ok(Driver {
        pool: Pool::new(config.threads),
        config,
        arena: Arc::new(arena),
        devices,
        next: AtomicUsize::new(0x1000),
        contexts: Mutex::default(),
        streams: Mutex::default(),
        events: Mutex::default(),
        modules: Mutex::default(),
        functions: Mutex::default(),
        libraries: Mutex::default(),
        kernels: Mutex::default(),
        pools: Mutex::new(pools),
        blocks: Mutex::default(),
        captures: Mutex::default(),
        captures_active: AtomicUsize::new(0),
        graphs: Mutex::default(),
        execs: Mutex::default(),
        freeing: Mutex::default(),
        registered: Mutex::default(),
        failed: AtomicI32::new(0),
        counters,
    })
}

/// The driver, once `cuInit` has been called.
pub fn driver() -> Res<&'static Driver> {
    if IN_HOST_FUNCTION.get() {
        return Err(code::NOT_PERMITTED);
    }
    match DRIVER.get() {
        Some(Ok(d)) => Ok(d),
        Some(Err(e)) => Err(*e),
        None => Err(code::NOT_INITIALIZED),
    }
}

impl Driver {
    /// A fresh handle number.
    pub fn handle(&self) -> usize {
        self.next.fetch_add(16, Ordering::Relaxed)
    }

    /// A new stream of a context.
    pub fn new_stream(&self, blocking: bool, priority: i32) -> Arc<Stream> {
        let delay = (self.config.sync == Order::Delay).then_some(self.config.seed);
        Stream::new(self.handle(), blocking, priority, delay)
    }

    /// A new context on a device.
    ///
    /// # Errors
    /// What any context of the process failed with.
    pub fn new_context(&self, device: u32, flags: u32) -> Res<Arc<Context>> {
        match self.failed.load(Ordering::Acquire) {
            0 => {}
            e => return Err(e),
        }
        let context = Arc::new(Context {
            id: self.handle(),
            device,
            flags: AtomicU32::new(flags),
            error: AtomicI32::new(0),
            told: AtomicBool::new(false),
            null: self.new_stream(true, 0),
            streams: Mutex::default(),
            limits: Mutex::default(),
            cache: AtomicU32::new(0),
            peers: Mutex::default(),
            destroyed: AtomicBool::new(false),
        });
        self.contexts.lock().insert(context.id, context.clone());
        Ok(context)
    }

    /// The stream of a handle, with its context; the default streams for the numbers that stand for them.
    pub fn stream(&self, handle: usize) -> Res<StreamOf> {
        const PER_THREAD: usize = 2;
        if handle <= PER_THREAD {
            let context = current()?;
            let stream = match handle {
                PER_THREAD => OWN.with_borrow_mut(|own| own.of(self, &context)),
                _ => context.null.clone(),
            };
            return Ok((context, stream));
        }
        let found = self.streams.lock().get(&handle).cloned().ok_or(code::INVALID_HANDLE)?;
        check(&found.0)?;
        Ok(found)
    }

    /// Hands an operation to a stream: to the graph that it captures, or else to its queue; then gives the operation's
    /// number there.
    pub fn submit(&self, on: &StreamOf, kind: NodeKind, op: impl Fn() + Send + Sync + 'static) -> Res<Option<u64>> {
        let (context, stream) = on;
        if let Some(capture) = self.capturing(stream)? {
            capture.add(stream.id, kind, Arc::new(op));
            return Ok(None);
        }
        self.legacy_allowed(context, stream)?;
        Ok(Some(self.enqueue(context, stream, op)))
    }

    /// Adds work to a stream, ordered against the legacy stream where the API says so. Once the context has failed,
    /// nothing is done any more.
    pub fn enqueue(&self, context: &Arc<Context>, stream: &Arc<Stream>, work: impl FnOnce() + Send + 'static) -> u64 {
        let c = context.clone();
        self.enqueue_always(context, stream, move || {
            if c.error.load(Ordering::Acquire) == 0 {
                work();
            }
        })
    }

    /// As [`Driver::enqueue`], but done on a failed context too.
    pub fn enqueue_always(
        &self,
        context: &Arc<Context>,
        stream: &Arc<Stream>,
        work: impl FnOnce() + Send + 'static,
    ) -> u64 {
        if Arc::ptr_eq(stream, &context.null) {
            let others: Vec<_> = context.streams.lock().values().filter(|s| s.blocking).cloned().collect();
            for other in others {
                let tail = other.tail();
                if !other.done(tail) {
                    stream.push(Box::new(move || other.wait(tail)));
                }
            }
        } else if stream.blocking {
            let null = context.null.clone();
            let tail = null.tail();
            if !null.done(tail) {
                stream.push(Box::new(move || null.wait(tail)));
            }
        }
        let ticket = stream.push(Box::new(work));
        if self.config.sync == Order::AtOnce {
            stream.wait(ticket);
        }
        ticket
    }

    /// Appends a line of JSON to the counters file.
    pub fn count(&self, line: &serde_json::Value) {
        if let Some(file) = &self.counters {
            let text = format!("{line}\n");
            if let Err(e) = file.lock().write_all(text.as_bytes()) {
                say(&format!("cannot write counters: {e}"));
            }
        }
    }

    /// Whether launches and copies are counted.
    pub fn counting(&self) -> bool {
        self.counters.is_some()
    }
}

impl Context {
    /// Makes an error stick, and reports it.
    pub fn fail(&self, error: i32, report: &str) {
        if self.error.compare_exchange(0, error, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            say(report);
            if let Some(Ok(d)) = DRIVER.get() {
                let _ = d.failed.compare_exchange(0, error, Ordering::AcqRel, Ordering::Acquire);
                d.config.abort.then(abort);
            }
        }
    }

    /// Waits for all streams.
    pub fn synchronize(&self) {
        let streams: Vec<_> = self.streams.lock().values().cloned().collect();
        for s in streams {
            s.synchronize();
        }
        self.null.synchronize();
        self.settle();
    }

    /// What a synchronisation does beside waiting: pools give back what they need not keep.
    pub fn settle(&self) {
        let Ok(d) = driver() else { return };
        for pool in d.pools.lock().values().filter(|p| p.device == self.device) {
            pool.shrink(pool.threshold.load(Ordering::Acquire));
        }
    }
}

impl MemPool {
    /// Keeps at most `keep` bytes, or what is in use.
    pub fn shrink(&self, keep: u64) {
        let used = self.used.load(Ordering::Acquire);
        self.reserved.fetch_min(used.max(keep), Ordering::AcqRel);
    }
}

/// Gives the error that sticks to a context once it has been told, or says that the context has ended.
pub fn check(context: &Context) -> Res {
    if context.destroyed.load(Ordering::Acquire) {
        return Err(code::CONTEXT_IS_DESTROYED);
    }
    if context.told.load(Ordering::Acquire) { surface(context) } else { Ok(()) }
}

/// As [`check`], for calls that have waited: they tell what went wrong meanwhile.
pub fn surface(context: &Context) -> Res {
    match context.error.load(Ordering::Acquire) {
        0 => Ok(()),
        e => {
            context.told.store(true, Ordering::Release);
            Err(e)
        }
    }
}

/// The thread's current context, sound or not.
pub fn current_any() -> Res<Arc<Context>> {
    driver()?;
    CURRENT.with_borrow(|c| c.last().cloned()).ok_or(code::INVALID_CONTEXT)
}

/// The thread's current context, unless it has failed.
pub fn current() -> Res<Arc<Context>> {
    let context = current_any()?;
    check(&context)?;
    Ok(context)
}

/// Replaces the thread's current context.
pub fn set_current(context: Option<Arc<Context>>) {
    CURRENT.with_borrow_mut(|c| {
        c.pop();
        c.extend(context);
    });
}

/// Makes a context current on top of the others.
pub fn push_current(context: Arc<Context>) {
    CURRENT.with_borrow_mut(|c| c.push(context));
}

/// Takes the thread's current context off.
pub fn pop_current() -> Option<Arc<Context>> {
    CURRENT.with_borrow_mut(Vec::pop)
}

/// Runs the body of an API function; a defect of ours becomes `CUDA_ERROR_UNKNOWN`, not a crash of the host program.
pub fn api(body: impl FnOnce() -> Res) -> i32 {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)) {
        Ok(Ok(())) => code::SUCCESS,
        Ok(Err(e)) => e,
        Err(_) => code::UNKNOWN,
    }
}

/// Refuses a null pointer before anything is done that its result would be lost of.
pub fn writable<T>(out: *mut T) -> Res {
    if out.is_null() { Err(code::INVALID_VALUE) } else { Ok(()) }
}

/// Writes a result through a pointer of the caller.
///
/// # Safety
/// `out` is null or points to a place for a `T`.
pub unsafe fn put<T>(out: *mut T, value: T) -> Res {
    if out.is_null() {
        return Err(code::INVALID_VALUE);
    }
    // SAFETY: the caller's contract.
    unsafe { out.write_unaligned(value) };
    Ok(())
}

/// Declares exported functions whose bodies give `Res`. All of them trust the caller for what `cuda.h` asks: pointers
/// are null or valid for what is read or written through them.
macro_rules! exports {
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block)*) => { $(
        $(#[$meta])*
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $ty),*) -> std::ffi::c_int {
            $crate::driver::state::api(|| {
                // SAFETY: the driver API's contract, kept by the caller; null pointers are refused in `put`.
                #[allow(unused_unsafe)]
                unsafe { $body }
            })
        }
    )* };
}
pub(super) use exports;
