//! Device memory: our own stream-ordered pool behind the budget's ledger.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::{CudaContext, result, sys};
use parking_lot::Mutex;

use crate::device::driver::{check, cuda_error, cuda_version};
use crate::device::ledger::Ledger;
use crate::device::stream::Stream;
use crate::error::{Error, Result};

/// Allocations are padded to this many bytes, so that vector loads of a last element stay inside.
pub(crate) const PADDING: usize = 64;

/// A pool of device memory with a hard budget.
///
/// The pool is our own, not the device's default one, and keeps freed memory (release threshold at maximum): the
/// default pool would give it back to the system at every synchronise.
#[derive(Debug)]
pub(crate) struct Memory {
    context: Arc<CudaContext>,
    pool: Option<PoolHandle>,
    ledger: Arc<Ledger>,
    /// The first failure of a free, which has no caller to return to; the next allocation reports it.
    deferred: Mutex<Option<Error>>,
}

#[derive(Debug)]
struct PoolHandle(sys::CUmemoryPool);

// SAFETY: a pool handle is an opaque token; the driver locks around it.
unsafe impl Send for PoolHandle {}
// SAFETY: as above.
unsafe impl Sync for PoolHandle {}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(PoolHandle(pool)) = self.pool {
            let _ = self.context.bind_to_thread();
            // SAFETY: created by us; every allocation holds an `Arc` of this struct, so none is left.
            let _ = unsafe { result::mem_pool::destroy(pool) };
        }
    }
}

impl Memory {
    /// A pool on the context's device, of `total_memory` bytes, whose allocations may not exceed `budget` bytes together.
    pub(crate) fn new(context: &Arc<CudaContext>, budget: u64, total_memory: u64) -> Result<Arc<Self>> {
        check("memory pool", context.bind_to_thread())?;
        let pool = match context.has_async_alloc() {
            true => Some(PoolHandle(create_pool(context.ordinal(), pool_maximum(budget, total_memory))?)),
            false => None,
        };
        let ledger = Arc::new(Ledger::new(budget));
        Ok(Arc::new(Memory { context: context.clone(), pool, ledger, deferred: Mutex::new(None) }))
    }

    /// The budget's books.
    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Books and allocates `bytes` (not 0), usable by work on `stream` from here on.
    pub(crate) fn allocate(&self, op: &str, bytes: usize, stream: &Stream) -> Result<u64> {
        if let Some(error) = self.deferred.lock().take() {
            return Err(error);
        }
        self.ledger.reserve(op, bytes as u64)?;
        let raw = stream.bind(op)?;
        let allocated = match &self.pool {
            // SAFETY: pool and stream are alive; the memory is treated as uninitialised by its buffer.
            Some(PoolHandle(pool)) => unsafe { result::mem_pool::alloc_async(*pool, bytes, raw) },
            // SAFETY: as above, without a pool.
            None => unsafe { result::malloc_sync(bytes) },
        };
        allocated.map_err(|error| {
            self.ledger.release(bytes as u64);
            match error.0 {
                sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                    let available = result::mem_get_info().map_or(0, |(free, _)| free as u64);
                    let budget = self.ledger.budget();
                    Error::OutOfMemory { op: op.to_owned(), requested: bytes as u64, budget, available }
                }
                _ => cuda_error(op, error),
            }
        })
    }

    /// Frees an allocation after the work that `stream` holds now. Never blocks with a pool; never fails.
    pub(crate) fn free(&self, pointer: u64, bytes: usize, stream: &Stream) {
        let freed = stream.bind("free").and_then(|raw| match self.pool {
            // SAFETY: the pointer came from `allocate`; its buffer is gone, and `stream` has waited for its uses.
            Some(_) => check("free", unsafe { result::free_async(pointer, raw) }),
            None => {
                stream.synchronize("free")?;
                // SAFETY: as above; nothing runs on the memory any more.
                check("free", unsafe { result::free_sync(pointer) })
            }
        });
        self.ledger.release(bytes as u64);
        self.defer(freed);
    }

    /// Keeps a failure that has no caller, for the next allocation to report.
    pub(crate) fn defer(&self, result: Result<()>) {
        if let Err(error) = result {
            self.deferred.lock().get_or_insert(error);
        }
    }

    /// Reports a failure kept by [`Memory::defer`].
    pub(crate) fn take_deferred(&self) -> Result<()> {
        self.deferred.lock().take().map_or(Ok(()), Err)
    }
}

/// The first driver whose pools can have a maximum (CUDA 12.2, R535).
const POOL_MAXIMUM_SINCE: (u32, u32) = (12, 2);

/// What a pool may take from the device: more than the budget, because it hands out memory in blocks of 2 MiB and cannot
/// always fill them, so that a maximum of exactly the budget would refuse what the ledger has granted. `None` where
/// that is all there is, which the driver enforces by itself.
fn pool_maximum(budget: u64, total_memory: u64) -> Option<u64> {
    Some(budget.saturating_add(budget / 8).saturating_add(64 << 20)).filter(|&maximum| maximum < total_memory)
}

fn create_pool(ordinal: usize, maximum: Option<u64>) -> Result<sys::CUmemoryPool> {
    const OP: &str = "memory pool";
    // SAFETY: all-zero is a valid value of this plain C struct (no handle type, reserved bytes zero as required).
    let mut props: sys::CUmemPoolProps = unsafe { std::mem::zeroed() };
    props.allocType = sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
    props.location.type_ = sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
    props.location.id = ordinal as i32;
    // Older drivers want these bytes to be zero. The ledger is the budget; this is a second guard behind it.
    if cuda_version() >= Some(POOL_MAXIMUM_SINCE) {
        props.maxSize = maximum.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
    }
    // SAFETY: the properties are a live, initialised struct.
    let pool = check(OP, unsafe { result::mem_pool::create(&props) })?;
    let mut threshold = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: this attribute takes a 64-bit integer, and the pointer is to one.
    check(OP, unsafe { result::mem_pool::set_attribute(pool, attribute, (&raw mut threshold).cast::<c_void>()) })?;
    Ok(pool)
}
