//! Allocation: device, page-locked and managed memory.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::errors::code;
use super::state::*;
use crate::mem::{AllocError, Kind};

/// Allocates from a pool; waits for frees that are still queued before it gives up.
pub(super) fn allocate(context: &Arc<Context>, len: usize, kind: Kind, pool: Option<Arc<MemPool>>) -> Res<u64> {
    let d = driver()?;
    if len == 0 {
        return Err(code::INVALID_VALUE);
    }
    let fits = |p: &MemPool| p.limit == 0 || p.used.load(Ordering::Acquire) + len as u64 <= p.limit;
    let attempt = || {
        if pool.as_deref().is_some_and(|p| !fits(p)) {
            return Err(AllocError::OutOfMemory);
        }
        d.arena.alloc(pool.as_ref().map_or(context.device, |p| p.device), len as u64, kind)
    };
    let at = attempt().or_else(|_| {
        context.synchronize();
        attempt()
    });
    let at = at.map_err(|_| code::OUT_OF_MEMORY)?;
    if let Some(p) = pool {
        let used = p.used.fetch_add(len as u64, Ordering::AcqRel) + len as u64;
        p.high.fetch_max(used, Ordering::AcqRel);
        d.pooled.lock().insert(at, (p, len as u64));
    }
    Ok(at)
}

/// Frees an allocation now.
pub(super) fn release(d: &Driver, at: u64) -> Result<(), AllocError> {
    d.arena.free(at)?;
    if let Some((pool, len)) = d.pooled.lock().remove(&at) {
        pool.used.fetch_sub(len, Ordering::AcqRel);
    }
    d.freeing.lock().remove(&at);
    Ok(())
}

/// Refuses pointers that are no live allocation, and those whose free is queued already, with a report.
fn check_free(d: &Driver, at: u64) -> Res {
    let live = d.arena.find(at, 1).is_some_and(|a| a.start == at);
    if live && !d.freeing.lock().contains(&at) {
        return Ok(());
    }
    let why = if live { "its free is queued already".to_string() } else { crate::checks::describe(&d.arena, at) };
    say(&format!("invalid free of {at:#x}: {why}"));
    Err(code::INVALID_VALUE)
}

fn free_now(at: u64, kinds: &[Kind]) -> Res {
    let context = current()?;
    if at == 0 {
        return Ok(());
    }
    let d = driver()?;
    // The real call waits for the device as well.
    context.synchronize();
    check(&context)?;
    check_free(d, at)?;
    if !d.arena.find(at, 1).is_some_and(|a| kinds.contains(&a.kind)) {
        return Err(code::INVALID_VALUE);
    }
    release(d, at).map_err(|_| code::INVALID_VALUE)
}

fn pool_of(d: &Driver, handle: usize) -> Res<Arc<MemPool>> {
    d.pools.lock().get(&handle).cloned().ok_or(code::INVALID_VALUE)
}

exports! {
    /// `cuMemGetInfo_v2`
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        let (d, context) = (driver()?, current()?);
        put(free, (d.arena.total() - d.arena.used(context.device)) as usize)?;
        put(total, d.arena.total() as usize)
    }

    /// `cuMemAlloc_v2`
    fn cuMemAlloc_v2(out: *mut u64, len: usize) {
        put(out, allocate(&current()?, len, Kind::Device, None)?)
    }

    /// `cuMemAllocPitch_v2`
    fn cuMemAllocPitch_v2(out: *mut u64, pitch: *mut usize, width: usize, height: usize, _element: c_uint) {
        let row = width.next_multiple_of(512);
        let len = row.checked_mul(height).ok_or(code::INVALID_VALUE)?;
        put(out, allocate(&current()?, len, Kind::Device, None)?)?;
        put(pitch, row)
    }

    /// `cuMemAllocManaged`
    fn cuMemAllocManaged(out: *mut u64, len: usize, flags: c_uint) {
        if !matches!(flags, 1 | 2) {
            return Err(code::INVALID_VALUE);
        }
        put(out, allocate(&current()?, len, Kind::Managed, None)?)
    }

    /// `cuMemFree_v2`
    fn cuMemFree_v2(at: u64) {
        free_now(at, &[Kind::Device, Kind::Managed])
    }

    /// `cuMemAllocAsync`
    fn cuMemAllocAsync(out: *mut u64, len: usize, stream: usize) {
        let d = driver()?;
        let (context, _) = d.stream(stream)?;
        let pool = d.devices[context.device as usize].current_pool.load(Ordering::Acquire);
        put(out, allocate(&context, len, Kind::Device, Some(pool_of(d, pool)?))?)
    }

    /// `cuMemAllocFromPoolAsync`
    fn cuMemAllocFromPoolAsync(out: *mut u64, len: usize, pool: usize, stream: usize) {
        let d = driver()?;
        let (context, _) = d.stream(stream)?;
        put(out, allocate(&context, len, Kind::Device, Some(pool_of(d, pool)?))?)
    }

    /// `cuMemFreeAsync`
    fn cuMemFreeAsync(at: u64, stream: usize) {
        let d = driver()?;
        let (context, stream) = d.stream(stream)?;
        if at == 0 {
            return Ok(());
        }
        check_free(d, at)?;
        d.freeing.lock().insert(at);
        d.enqueue(&context, &stream, move || {
            // Checked at the call; nobody else frees what is marked.
            let _ = release(d, at);
        });
        Ok(())
    }

    /// `cuMemHostAlloc`
    fn cuMemHostAlloc(out: *mut u64, len: usize, _flags: c_uint) {
        put(out, allocate(&current()?, len, Kind::Host, None)?)
    }

    /// `cuMemAllocHost_v2`
    fn cuMemAllocHost_v2(out: *mut u64, len: usize) {
        put(out, allocate(&current()?, len, Kind::Host, None)?)
    }

    /// `cuMemFreeHost`
    fn cuMemFreeHost(at: u64) {
        free_now(at, &[Kind::Host])
    }

    /// `cuMemHostGetDevicePointer_v2`; host and device addresses are the same.
    fn cuMemHostGetDevicePointer_v2(out: *mut u64, at: u64, _flags: c_uint) {
        current()?;
        driver()?.arena.find(at, 1).ok_or(code::INVALID_VALUE)?;
        put(out, at)
    }

    /// `cuMemHostGetFlags`
    fn cuMemHostGetFlags(out: *mut c_uint, at: u64) {
        current()?;
        driver()?.arena.find(at, 1).ok_or(code::INVALID_VALUE)?;
        put(out, 3)
    }

    /// `cuMemHostRegister_v2`; the range counts as page-locked for copies, but kernels cannot use it.
    fn cuMemHostRegister_v2(at: u64, len: usize, _flags: c_uint) {
        current()?;
        if at == 0 || len == 0 {
            return Err(code::INVALID_VALUE);
        }
        driver()?.registered.lock().insert(at, len as u64);
        Ok(())
    }

    /// `cuMemHostUnregister`
    fn cuMemHostUnregister(at: u64) {
        current()?.synchronize();
        driver()?.registered.lock().remove(&at).map(|_| ()).ok_or(code::INVALID_VALUE)
    }

    /// `cuMemGetAddressRange_v2`
    fn cuMemGetAddressRange_v2(base: *mut u64, size: *mut usize, at: u64) {
        current()?;
        let a = driver()?.arena.find(at, 1).ok_or(code::NOT_FOUND)?;
        if !base.is_null() {
            put(base, a.start)?;
        }
        if !size.is_null() {
            put(size, a.len as usize)?;
        }
        Ok(())
    }

    /// `cuPointerGetAttribute`: context, kind of memory, addresses, range, ordinal.
    fn cuPointerGetAttribute(out: *mut c_void, attribute: c_uint, at: u64) {
        let context = current()?;
        let a = driver()?.arena.find(at, 1).ok_or(code::INVALID_VALUE)?;
        match attribute {
            1 => put(out.cast::<usize>(), context.id),
            2 => put(out.cast::<c_uint>(), if a.kind == Kind::Host { 1 } else { 2 }),
            3 | 4 => put(out.cast::<u64>(), at),
            7 => put(out.cast::<u64>(), a.serial),
            8 => put(out.cast::<c_uint>(), (a.kind == Kind::Managed) as c_uint),
            9 => put(out.cast::<c_int>(), a.device as c_int),
            11 => put(out.cast::<u64>(), a.start),
            12 => put(out.cast::<usize>(), a.len as usize),
            13 => put(out.cast::<c_int>(), 1),
            _ => Err(code::NOT_SUPPORTED),
        }
    }

    /// `cuMemPrefetchAsync`; host and device share their memory, so there is nothing to move.
    fn cuMemPrefetchAsync(at: u64, len: usize, _device: c_int, stream: usize) {
        let d = driver()?;
        d.stream(stream)?;
        d.arena.find(at, len as u64).map(|_| ()).ok_or(code::INVALID_VALUE)
    }

    /// `cuMemPrefetchAsync_v2`
    fn cuMemPrefetchAsync_v2(at: u64, len: usize, _location: u64, _flags: c_uint, stream: usize) {
        let d = driver()?;
        d.stream(stream)?;
        d.arena.find(at, len as u64).map(|_| ()).ok_or(code::INVALID_VALUE)
    }

    /// `cuMemAdvise_v2`; advice changes no result.
    fn cuMemAdvise_v2(at: u64, len: usize, _advice: c_uint, _location: u64) {
        current()?;
        driver()?.arena.find(at, len as u64).map(|_| ()).ok_or(code::INVALID_VALUE)
    }

    /// `cuStreamAttachMemAsync`
    fn cuStreamAttachMemAsync(stream: usize, at: u64, _len: usize, _flags: c_uint) {
        let d = driver()?;
        d.stream(stream)?;
        d.arena.find(at, 1).map(|_| ()).ok_or(code::INVALID_VALUE)
    }
}
