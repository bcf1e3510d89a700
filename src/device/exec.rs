//! Where operators run.

use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::column::Placement;
use crate::error::{Error, Result};

/// Where operators run: a host thread pool or a CUDA device. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ExecCtx {
    pool: Arc<ThreadPool>,
    placement: Placement,
}

impl ExecCtx {
    /// A host context with this many threads; 0 takes one per core.
    pub fn host(threads: usize) -> Result<Self> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("warpline-host-{i}"))
            .build()
            .map_err(|e| Error::Internal { op: "host context", why: e.to_string() })?;
        Ok(ExecCtx { pool: Arc::new(pool), placement: Placement::Host })
    }

    /// Where this context runs.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// The context's host threads, for host twins and host stages.
    pub fn pool(&self) -> &ThreadPool {
        &self.pool
    }
}
