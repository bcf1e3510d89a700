//! Where operators run.

use std::fmt;
use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::column::Placement;
use crate::device::context::CudaCtx;
use crate::device::driver;
use crate::device::launch::LaunchStrategy;
use crate::error::{Error, Result};

/// Where operators run: a host thread pool, or a CUDA device with a stream and a memory budget. Cheap to clone.
///
/// ```
/// use warpline::{ExecCtx, Placement};
///
/// let ctx = ExecCtx::auto()?; // a real device when there is one, else the host
/// let host = ExecCtx::host(2)?;
/// assert_eq!(host.placement(), Placement::Host);
/// assert_eq!(host.pool().current_num_threads(), 2);
/// # drop(ctx);
/// # Ok::<(), warpline::Error>(())
/// ```
#[derive(Clone)]
pub struct ExecCtx {
    pool: Arc<ThreadPool>,
    cuda: Option<CudaCtx>,
}

impl fmt::Debug for ExecCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExecCtx({}, {} host threads)", self.placement(), self.pool.current_num_threads())
    }
}

impl ExecCtx {
    /// A host context with this many threads; 0 takes one per core.
    pub fn host(threads: usize) -> Result<Self> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("warpline-host-{i}"))
            .build()
            .map_err(|e| Error::Internal { op: "host context", why: e.to_string() })?;
        Ok(ExecCtx { pool: Arc::new(pool), cuda: None })
    }

    /// A context on the CUDA device with this ordinal, with a stream of its own and the whole device memory as
    /// budget. `NoDriver` without a driver, `NoDevice` when the ordinal is too large.
    pub fn cuda(ordinal: usize) -> Result<Self> {
        let cuda = CudaCtx::open(ordinal)?;
        Ok(ExecCtx { cuda: Some(cuda), ..Self::host(0)? })
    }

    /// The first real CUDA device, or the host where there is none. Never the emulator, which is a test device.
    pub fn auto() -> Result<Self> {
        for ordinal in 0..driver::device_count() {
            let ctx = Self::cuda(ordinal)?;
            if ctx.cuda.as_ref().is_some_and(|cuda| !cuda.info().emulated) {
                return Ok(ctx);
            }
        }
        Self::host(0)
    }

    /// Where this context runs.
    pub fn placement(&self) -> Placement {
        self.cuda.as_ref().map_or(Placement::Host, |cuda| Placement::Cuda(cuda.info().ordinal))
    }

    /// The context's host threads, for host twins and host stages.
    pub fn pool(&self) -> &ThreadPool {
        &self.pool
    }

    /// The device side; `None` on the host.
    pub fn as_cuda(&self) -> Option<&CudaCtx> {
        self.cuda.as_ref()
    }

    /// The same with at most `bytes` of device memory, from a pool of its own. On the host nothing changes.
    pub fn with_budget(&self, bytes: u64) -> Result<Self> {
        self.map_cuda(|cuda| cuda.with_budget(bytes))
    }

    /// The same on a device stream of its own, so that its work runs beside this context's. Budget and counters are
    /// shared; buffers handed over are ordered by their guards. On the host nothing changes.
    pub fn fork(&self) -> Result<Self> {
        self.map_cuda(CudaCtx::fork)
    }

    /// The same with a hook that sees every kernel launch. On the host nothing changes.
    pub fn with_launch_strategy(&self, strategy: impl LaunchStrategy + 'static) -> Self {
        let cuda = self.cuda.as_ref().map(|cuda| cuda.with_strategy(Arc::new(strategy)));
        ExecCtx { cuda, ..self.clone() }
    }

    /// Waits for all device work of this context and reports its failures. On the host there is nothing to wait for.
    pub fn finish(&self) -> Result<()> {
        self.cuda.as_ref().map_or(Ok(()), |cuda| cuda.finish("finish"))
    }

    /// Refuses an input that is not where this context runs.
    pub(crate) fn expect(&self, op: &'static str, found: Placement) -> Result<()> {
        match self.placement() {
            expected if expected == found => Ok(()),
            expected => Err(Error::WrongDevice { op, expected, found }),
        }
    }

    fn map_cuda(&self, change: impl FnOnce(&CudaCtx) -> Result<CudaCtx>) -> Result<Self> {
        let cuda = self.cuda.as_ref().map(change).transpose()?;
        Ok(ExecCtx { cuda, ..self.clone() })
    }
}
