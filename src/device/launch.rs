//! Typed kernel launches: arguments checked against the PTX at compile time, every launch seen by a strategy.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::{result, sys};

use crate::device::buffer::{In, Out, ReadGuard, WriteGuard};
use crate::device::context::{CudaCtx, Function};
use crate::device::driver::check;
use crate::device::emitted::Emitted;
use crate::device::kernels::Entry;
use crate::error::{Error, Result};

/// Blocks and threads of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Blocks along x, y and z; a launch with none does nothing.
    pub blocks: (u32, u32, u32),
    /// Threads of a block along x and y.
    pub threads: (u32, u32),
    /// Dynamic shared memory in bytes.
    pub shared_bytes: u32,
}

impl Grid {
    /// Enough blocks of `threads` for `items`, one thread each.
    ///
    /// Fails when that is more than the 2^31 - 1 blocks of a grid.
    pub fn cover(op: &'static str, items: u64, threads: u32) -> Result<Self> {
        let blocks = items.div_ceil(u64::from(threads));
        match i32::try_from(blocks) {
            Ok(blocks) => Ok(Grid::linear(blocks as u32, threads)),
            Err(_) => Err(Error::unsupported(op, format!("{items} items in one launch"), "split the batch")),
        }
    }

    /// Blocks of `threads` whose threads take `items` in turns: one each, until more blocks gain nothing.
    pub fn strided(items: u64, threads: u32) -> Self {
        const MOST_BLOCKS: u64 = 1 << 20;
        Grid::linear(items.div_ceil(u64::from(threads)).min(MOST_BLOCKS) as u32, threads)
    }

    /// A row of blocks.
    pub fn linear(blocks: u32, threads: u32) -> Self {
        Grid { blocks: (blocks, 1, 1), threads: (threads, 1), shared_bytes: 0 }
    }

    /// The same with `rows` blocks along y.
    pub fn rows(self, rows: u32) -> Self {
        Grid { blocks: (self.blocks.0, rows, self.blocks.2), ..self }
    }

    /// The same with dynamic shared memory.
    pub fn shared(self, bytes: u32) -> Self {
        Grid { shared_bytes: bytes, ..self }
    }

    fn is_empty(&self) -> bool {
        self.blocks.0 == 0 || self.blocks.1 == 0 || self.blocks.2 == 0
    }
}

/// What a [`LaunchStrategy`] learns about a launch.
#[derive(Clone, Copy, Debug)]
pub struct LaunchInfo<'a> {
    /// The kernel's entry name.
    pub kernel: &'a str,
    /// Its grid.
    pub grid: Grid,
    /// The context that launches.
    pub ctx: &'a CudaCtx,
}

/// Sees every launch: for timing, tracing or counting, so that kernels carry no instrumentation.
pub trait LaunchStrategy: Send + Sync {
    /// Must call `launch` exactly once and return its result.
    fn launch(&self, info: LaunchInfo<'_>, launch: &mut dyn FnMut() -> Result<()>) -> Result<()>;
}

/// The default strategy: launches and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainLaunch;

impl LaunchStrategy for PlainLaunch {
    fn launch(&self, _: LaunchInfo<'_>, launch: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        launch()
    }
}

/// Counts launches.
#[derive(Debug, Default)]
pub struct CountLaunches {
    count: AtomicU64,
}

impl CountLaunches {
    /// Launches seen so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl LaunchStrategy for Arc<CountLaunches> {
    fn launch(&self, _: LaunchInfo<'_>, launch: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        self.count.fetch_add(1, Ordering::Relaxed);
        launch()
    }
}

/// A value that a kernel takes: buffers as 8-byte pointers, numbers by value.
pub(crate) trait KernelArg<'a> {
    /// Its width as a `.param` of the PTX entry, in bytes.
    const WIDTH: u32;
    /// Appends its bits, holding what must stay alive until the launch is queued.
    fn pack(self, pack: &mut ArgPack<'a>) -> Result<()>;
}

/// Arguments of one launch, with the guards of its buffers.
pub(crate) struct ArgPack<'a> {
    ctx: &'a CudaCtx,
    cells: Vec<u64>,
    reads: Vec<ReadGuard>,
    writes: Vec<WriteGuard<'a>>,
}

impl<'a> ArgPack<'a> {
    pub(crate) fn new(ctx: &'a CudaCtx) -> Self {
        ArgPack { ctx, cells: Vec::with_capacity(12), reads: Vec::new(), writes: Vec::new() }
    }

    pub(crate) fn push<A: KernelArg<'a>>(&mut self, arg: A) -> Result<()> {
        arg.pack(self)
    }
}

macro_rules! buffer_args {
    ($($buffer:ident into $guards:ident),*) => {$(
        impl<'a, T> KernelArg<'a> for $buffer<'a, T> {
            const WIDTH: u32 = 8;
            fn pack(self, pack: &mut ArgPack<'a>) -> Result<()> {
                let Some(buffer) = self.buffer else {
                    pack.cells.push(0);
                    return Ok(());
                };
                let guard = buffer.for_stream(pack.ctx.stream())?;
                pack.cells.push(guard.pointer());
                pack.$guards.push(guard);
                Ok(())
            }
        }
    )*};
}
buffer_args!(In into reads, Out into writes);

macro_rules! number_args {
    ($($number:ty),*) => {$(
        impl<'a> KernelArg<'a> for $number {
            const WIDTH: u32 = size_of::<$number>() as u32;
            fn pack(self, pack: &mut ArgPack<'a>) -> Result<()> {
                let mut cell = [0; 8];
                cell[..size_of::<$number>()].copy_from_slice(&self.to_le_bytes());
                pack.cells.push(u64::from_le_bytes(cell));
                Ok(())
            }
        }
    )*};
}
number_args!(u8, u16, u32, u64, i32, i64, f32, f64);

/// Compile-time check of a `kernel!` declaration against its entry in the PTX.
pub(crate) const fn assert_abi(entry: &Entry, widths: &[u32]) {
    assert!(entry.params.len() == widths.len(), "kernel! declares another number of parameters than the PTX entry");
    let mut i = 0;
    while i < widths.len() {
        assert!(entry.params[i] == widths[i], "kernel! declares a parameter of another width than the PTX entry");
        i += 1;
    }
}

/// Declares the typed launch of a kernel entry.
///
/// ```ignore
/// kernel! {
///     /// What the kernel does.
///     pub(crate) fn fill_u8[FILL_U8](value: u8, n: u64, out: Out<'_, u8>);
/// }
/// ```
/// gives `unsafe fn fill_u8(ctx: &CudaCtx, grid: Grid, value: u8, n: u64, out: Out<'_, u8>) -> Result<()>`. The
/// widths of the parameters are checked against the PTX when Warpline is compiled. The caller's SAFETY comment says
/// why every access that the kernel makes lies within the buffers.
macro_rules! kernel {
    ($($(#[$doc:meta])* $vis:vis fn $name:ident[$entry:expr]($($arg:ident: $ty:ty),* $(,)?);)*) => {$(
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        $vis unsafe fn $name(
            ctx: &$crate::device::CudaCtx,
            grid: $crate::device::Grid,
            $($arg: $ty),*
        ) -> $crate::error::Result<()> {
            use $crate::device::launch::{ArgPack, KernelArg, assert_abi};
            const { assert_abi(&$entry, &[$(<$ty as KernelArg>::WIDTH),*]) };
            let mut pack = ArgPack::new(ctx);
            $(pack.push($arg)?;)*
            // SAFETY: number and widths of the arguments are the entry's; the caller answers for what they point to.
            unsafe { pack.launch(&$entry, grid) }
        }
    )*};
}
pub(crate) use kernel;

impl ArgPack<'_> {
    /// Queues the kernel on the context's stream.
    ///
    /// # Safety
    /// The packed arguments must be the entry's, and its accesses must lie within the buffers.
    pub(crate) unsafe fn launch(mut self, entry: &Entry, grid: Grid) -> Result<()> {
        if grid.is_empty() {
            return Ok(());
        }
        let function = self.ctx.device.function(entry)?;
        // SAFETY: forwarded to the caller.
        unsafe { self.launch_function(function, entry.name, entry.static_shared, grid) }
    }

    /// Queues a module written at run time on the context's stream, with these 8-byte parameters.
    ///
    /// # Safety
    /// `words` must be the entry's parameters in number and order, buffers behind them must outlive the call, and the
    /// kernel's accesses must lie within them.
    pub(crate) unsafe fn launch_emitted(ctx: &CudaCtx, module: &Emitted, grid: Grid, words: Vec<u64>) -> Result<()> {
        if grid.is_empty() {
            return Ok(());
        }
        let mut pack = ArgPack { ctx, cells: words, reads: Vec::new(), writes: Vec::new() };
        // SAFETY: forwarded to the caller.
        unsafe { pack.launch_function(module.function, module.entry, 0, grid) }
    }

    unsafe fn launch_function(&mut self, function: Function, name: &str, static_shared: u32, grid: Grid) -> Result<()> {
        let raw = self.ctx.stream().bind(name)?;
        if grid.shared_bytes + static_shared > 48 * 1024 {
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function is loaded.
            let set =
                unsafe { result::function::set_function_attribute(function.0, attribute, grid.shared_bytes as i32) };
            check(name, set)?;
        }
        let mut params: Vec<*mut c_void> = self.cells.iter_mut().map(|cell| (&raw mut *cell).cast()).collect();
        let blocks = grid.blocks;
        let threads = (grid.threads.0, grid.threads.1, 1);
        let info = LaunchInfo { kernel: name, grid, ctx: self.ctx };
        self.ctx.strategy.launch(info, &mut || {
            // SAFETY: the driver copies the parameters before it returns; the guards keep every buffer alive and
            // ordered until the launch is queued.
            check(name, unsafe {
                result::launch_kernel(function.0, blocks, threads, grid.shared_bytes, raw, &mut params)
            })
        })
    }
}

/// PTX of the user's own, loaded into a device's context, for stages that bring their own kernel.
pub struct UserModule {
    ctx: CudaCtx,
    raw: sys::CUmodule,
}

// SAFETY: a module handle is a token that any thread may use while the context is current.
unsafe impl Send for UserModule {}
// SAFETY: as above.
unsafe impl Sync for UserModule {}

impl std::fmt::Debug for UserModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UserModule({:p})", self.raw)
    }
}

impl Drop for UserModule {
    fn drop(&mut self) {
        // The context's work may still run the module's kernels.
        let _ = self.ctx.stream().synchronize("unload module");
        // SAFETY: loaded by us, and its work on our stream is done.
        let _ = unsafe { result::module::unload(self.raw) };
    }
}

impl UserModule {
    /// Loads PTX text; the driver compiles it here.
    pub fn from_ptx(ctx: &CudaCtx, name: &str, ptx: &str) -> Result<Self> {
        let raw = crate::device::context::load_ptx(&ctx.device.context, name, ptx)?;
        Ok(UserModule { ctx: ctx.clone(), raw })
    }

    /// Queues an entry of the module on `ctx`'s stream.
    ///
    /// # Safety
    /// `args` must match the entry's parameters in number, order and width, and the kernel's accesses must lie
    /// within the buffers. Nothing checks either.
    pub unsafe fn launch(&self, ctx: &CudaCtx, entry: &str, grid: Grid, args: Vec<UserArg<'_>>) -> Result<()> {
        if grid.is_empty() {
            return Ok(());
        }
        let name = std::ffi::CString::new(entry).map_err(|_| Error::invalid("launch", "entry name holds a NUL"))?;
        ctx.stream().bind(entry)?;
        // SAFETY: the module is loaded.
        let function = Function(check(entry, unsafe { result::module::get_function(self.raw, name) })?);
        let mut pack = ArgPack::new(ctx);
        for arg in args {
            match arg {
                UserArg::In(buffer) => pack.push(buffer.input::<u8>())?,
                UserArg::Out(buffer) => pack.push(buffer.output::<u8>())?,
                UserArg::U32(value) => pack.push(value)?,
                UserArg::U64(value) => pack.push(value)?,
                UserArg::I32(value) => pack.push(value)?,
                UserArg::I64(value) => pack.push(value)?,
                UserArg::F32(value) => pack.push(value)?,
                UserArg::F64(value) => pack.push(value)?,
            }
        }
        // SAFETY: forwarded to the caller.
        unsafe { pack.launch_function(function, entry, 0, grid) }
    }
}

/// An argument of a [`UserModule`] launch.
#[derive(Debug)]
pub enum UserArg<'a> {
    /// A pointer that the kernel reads.
    In(&'a crate::device::DeviceBuffer),
    /// A pointer that the kernel writes.
    Out(&'a mut crate::device::DeviceBufferMut),
    /// A 32-bit unsigned number.
    U32(u32),
    /// A 64-bit unsigned number.
    U64(u64),
    /// A 32-bit signed number.
    I32(i32),
    /// A 64-bit signed number.
    I64(i64),
    /// A 32-bit float.
    F32(f32),
    /// A 64-bit float.
    F64(f64),
}
