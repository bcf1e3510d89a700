//! Allocation: device, page-locked and managed memory.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::errors::code;
use super::graph::{GraphMemory, NodeKind};
use super::state::*;
use crate::mem::{Alloc, AllocError, Kind};

/// A pool and its handle.
pub(super) type PoolOf = (usize, Arc<MemPool>);

/// Allocates, from a pool where one is given; waits for frees that are still queued before it gives up.
pub(super) fn allocate(context: &Arc<Context>, len: usize, kind: Kind, pool: Option<PoolOf>, flags: u32) -> Res<u64> {
    let d = driver()?;
    if len == 0 {
        return Err(code::INVALID_VALUE);
    }
    let n = len as u64;
    let fits = |p: &MemPool| p.limit == 0 || p.used.load(Ordering::Acquire).saturating_add(n) <= p.limit;
    let attempt = || {
        if pool.as_ref().is_some_and(|(_, p)| !fits(p)) {
            return Err(AllocError::OutOfMemory);
        }
        d.arena.alloc(pool.as_ref().map_or(context.device, |(_, p)| p.device), n, kind)
    };
    let at = attempt().or_else(|e| {
        // Memory of a capture cannot wait for streams.
        d.safe_in_capture().map_err(|_| e)?;
        context.synchronize();
        attempt()
    });
    let at = at.map_err(|_| code::OUT_OF_MEMORY)?;
    if let Some((_, p)) = &pool {
        let used = p.used.fetch_add(n, Ordering::AcqRel) + n;
        p.high.fetch_max(used, Ordering::AcqRel);
        let reserved = p.reserved.fetch_max(used, Ordering::AcqRel).max(used);
        p.reserved_high.fetch_max(reserved, Ordering::AcqRel);
    }
    d.blocks.lock().insert(at, Block { context: context.id, len: n, flags, pool, graph: None });
    Ok(at)
}

/// Frees an allocation now.
pub(super) fn release(d: &Driver, at: u64) -> Result<(), AllocError> {
    d.arena.free(at)?;
    if let Some(Block { pool: Some((_, pool)), len, .. }) = d.blocks.lock().remove(&at) {
        pool.used.fetch_sub(len, Ordering::AcqRel);
    }
    d.freeing.lock().remove(&at);
    Ok(())
}

/// The graph whose memory starts at an address.
fn graph_memory(d: &Driver, at: u64) -> Option<Arc<GraphMemory>> {
    d.blocks.lock().get(&at)?.graph.as_ref()?.upgrade()
}

/// Refuses pointers that are no live allocation, and those whose free is queued already, with a report.
fn check_free(d: &Driver, at: u64) -> Res<Alloc> {
    let live = d.arena.find(at, 1).filter(|a| a.start == at && a.kind != Kind::Module);
    match live {
        Some(a) if !d.freeing.lock().contains(&at) => return Ok(a),
        Some(_) => say(&format!("invalid free of {at:#x}: its free is queued already")),
        None => say(&format!("invalid free of {at:#x}: {}", crate::checks::describe(&d.arena, at))),
    }
    Err(code::INVALID_VALUE)
}

fn free_now(at: u64, kinds: &[Kind]) -> Res {
    let context = current()?;
    if at == 0 {
        return Ok(());
    }
    let d = driver()?;
    d.safe_in_capture()?;
    // The real call waits for the device as well.
    context.synchronize();
    surface(&context)?;
    let alloc = check_free(d, at)?;
    if !kinds.contains(&alloc.kind) {
        return Err(code::INVALID_VALUE);
    }
    match graph_memory(d, at) {
        Some(memory) => memory.free_outside(),
        None => release(d, at).map_err(|_| code::INVALID_VALUE),
    }
}

/// Frees in the order of a stream, or as a node of the graph that the stream captures.
fn free_in_order(at: u64, stream: usize) -> Res {
    let d = driver()?;
    let on = d.stream(stream)?;
    if at == 0 {
        return Ok(());
    }
    let memory = graph_memory(d, at);
    if let Some(capture) = d.capturing(&on.1)? {
        // A graph frees only what a graph allocates.
        memory.ok_or(code::INVALID_VALUE)?.free_inside()?;
        capture.add(on.1.id, NodeKind::Free, Arc::new(|| {}));
        return Ok(());
    }
    let alloc = check_free(d, at)?;
    if !matches!(alloc.kind, Kind::Device | Kind::Managed) {
        return Err(code::INVALID_VALUE);
    }
    if let Some(memory) = memory {
        return memory.free_outside();
    }
    d.legacy_allowed(&on.0, &on.1)?;
    d.freeing.lock().insert(at);
    // Also on a failed context: nobody else frees what is marked.
    d.enqueue_always(&on.0, &on.1, move || {
        let _ = release(d, at);
    });
    Ok(())
}

/// Allocates in the order of a stream, or as a node of the graph that the stream captures.
fn allocate_in_order(len: usize, pool: Option<usize>, stream: usize) -> Res<u64> {
    let d = driver()?;
    let on = d.stream(stream)?;
    let pool = pool.unwrap_or_else(|| d.devices[on.0.device as usize].current_pool.load(Ordering::Acquire));
    let found = d.pools.lock().get(&pool).cloned().ok_or(code::INVALID_VALUE)?;
    let capture = d.capturing(&on.1)?;
    let at = allocate(&on.0, len, Kind::Device, Some((pool, found)), 0)?;
    if let Some(capture) = capture {
        let memory = Arc::new(GraphMemory::new(at));
        if let Some(block) = d.blocks.lock().get_mut(&at) {
            block.graph = Some(Arc::downgrade(&memory));
        }
        capture.graph.own(memory);
        capture.add(on.1.id, NodeKind::Alloc, Arc::new(|| {}));
    }
    Ok(at)
}

fn allocate_now(len: usize, kind: Kind, flags: u32) -> Res<u64> {
    let context = current()?;
    driver()?.safe_in_capture()?;
    allocate(&context, len, kind, None, flags)
}

/// The registered host range that holds an address: start, length and flags.
fn registered(d: &Driver, at: u64) -> Option<(u64, u64, u32)> {
    let list = d.registered.lock();
    list.iter().find(|(s, (n, _))| at >= **s && at - **s < *n).map(|(s, (n, f))| (*s, *n, *f))
}

/// One attribute of a pointer, as the eight bytes at most that the API writes.
fn pointer_attribute(attribute: c_uint, at: u64) -> Res<Attribute> {
    let d = driver()?;
    let Some(a) = d.arena.find(at, 1) else {
        return registered_attribute(d, attribute, at);
    };
    let (context, pool) = {
        let blocks = d.blocks.lock();
        let block = blocks.get(&a.start);
        (block.map_or(0, |b| b.context), block.and_then(|b| b.pool.as_ref().map(|(id, _)| *id)).unwrap_or(0))
    };
    let context = if context == 0 { current_any()?.id } else { context };
    Ok(match attribute {
        1 => Attribute::Long(context as u64),
        2 => Attribute::Int(if a.kind == Kind::Host { 1 } else { 2 }),
        3 => Attribute::Long(at),
        // Device memory has no address on the host.
        4 if matches!(a.kind, Kind::Device | Kind::Module) => return Err(code::INVALID_VALUE),
        4 => Attribute::Long(at),
        6 => Attribute::Int(0),
        7 => Attribute::Long(a.serial),
        8 => Attribute::Int((a.kind == Kind::Managed) as c_int),
        9 => Attribute::Int(a.device as c_int),
        10 | 15 => Attribute::Int(0),
        11 => Attribute::Long(a.start),
        12 => Attribute::Long(a.len),
        13 => Attribute::Int(1),
        14 => Attribute::Long(0),
        // CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE
        16 => Attribute::Int(3),
        17 => Attribute::Long(pool as u64),
        _ => return Err(code::INVALID_VALUE),
    })
}

fn registered_attribute(d: &Driver, attribute: c_uint, at: u64) -> Res<Attribute> {
    let (start, len, _) = registered(d, at).ok_or(code::INVALID_VALUE)?;
    Ok(match attribute {
        1 => Attribute::Long(current_any()?.id as u64),
        2 => Attribute::Int(1),
        3 | 4 => Attribute::Long(at),
        8 | 10 | 15 => Attribute::Int(0),
        9 => Attribute::Int(current_any()?.device as c_int),
        11 => Attribute::Long(start),
        12 => Attribute::Long(len),
        13 => Attribute::Int(1),
        _ => return Err(code::INVALID_VALUE),
    })
}

/// The value of a pointer attribute.
enum Attribute {
    Int(c_int),
    Long(u64),
}

impl Attribute {
    /// # Safety
    /// `out` is null or points to a place of the attribute's size.
    unsafe fn write(self, out: *mut c_void) -> Res {
        // SAFETY: the caller's contract.
        unsafe {
            match self {
                Attribute::Int(v) => put(out.cast(), v),
                Attribute::Long(v) => put(out.cast(), v),
            }
        }
    }
}

/// Managed memory, or all memory, that a call about places names.
fn range_exists(at: u64, len: usize) -> Res {
    if len == 0 {
        return Err(code::INVALID_VALUE);
    }
    let found = driver()?.arena.find(at, len as u64).filter(|a| a.kind == Kind::Managed);
    found.map(|_| ()).ok_or(code::INVALID_VALUE)
}

exports! {
    /// `cuMemGetInfo_v2`
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        let (d, context) = (driver()?, current()?);
        let kept = |p: &Arc<MemPool>| p.reserved.load(Ordering::Acquire).saturating_sub(p.used.load(Ordering::Acquire));
        let kept: u64 = d.pools.lock().values().filter(|p| p.device == context.device).map(kept).sum();
        put(free, (d.arena.total() - d.arena.used(context.device)).saturating_sub(kept) as usize)?;
        put(total, d.arena.total() as usize)
    }

    /// `cuMemAlloc_v2`
    fn cuMemAlloc_v2(out: *mut u64, len: usize) {
        writable(out)?;
        put(out, allocate_now(len, Kind::Device, 0)?)
    }

    /// `cuMemAllocPitch_v2`
    fn cuMemAllocPitch_v2(out: *mut u64, pitch: *mut usize, width: usize, height: usize, element: c_uint) {
        writable(out)?;
        writable(pitch)?;
        if !matches!(element, 4 | 8 | 16) || width == 0 || height == 0 {
            return Err(code::INVALID_VALUE);
        }
        let row = width.checked_next_multiple_of(512).ok_or(code::INVALID_VALUE)?;
        let len = row.checked_mul(height).ok_or(code::INVALID_VALUE)?;
        put(out, allocate_now(len, Kind::Device, 0)?)?;
        put(pitch, row)
    }

    /// `cuMemAllocManaged`
    fn cuMemAllocManaged(out: *mut u64, len: usize, flags: c_uint) {
        writable(out)?;
        if !matches!(flags, 1 | 2) {
            return Err(code::INVALID_VALUE);
        }
        put(out, allocate_now(len, Kind::Managed, 0)?)
    }

    /// `cuMemFree_v2`
    fn cuMemFree_v2(at: u64) {
        free_now(at, &[Kind::Device, Kind::Managed])
    }

    /// `cuMemAllocAsync`
    fn cuMemAllocAsync(out: *mut u64, len: usize, stream: usize) {
        writable(out)?;
        put(out, allocate_in_order(len, None, stream)?)
    }

    /// `cuMemAllocFromPoolAsync`
    fn cuMemAllocFromPoolAsync(out: *mut u64, len: usize, pool: usize, stream: usize) {
        writable(out)?;
        put(out, allocate_in_order(len, Some(pool), stream)?)
    }

    /// `cuMemFreeAsync`
    fn cuMemFreeAsync(at: u64, stream: usize) {
        free_in_order(at, stream)
    }

    /// `cuMemHostAlloc`
    fn cuMemHostAlloc(out: *mut u64, len: usize, flags: c_uint) {
        writable(out)?;
        // Portable, mapped, write-combined.
        if flags > 7 {
            return Err(code::INVALID_VALUE);
        }
        put(out, allocate_now(len, Kind::Host, flags)?)
    }

    /// `cuMemAllocHost_v2`
    fn cuMemAllocHost_v2(out: *mut u64, len: usize) {
        writable(out)?;
        put(out, allocate_now(len, Kind::Host, 0)?)
    }

    /// `cuMemFreeHost`
    fn cuMemFreeHost(at: u64) {
        free_now(at, &[Kind::Host])
    }

    /// `cuMemHostGetDevicePointer_v2`; host and device addresses are the same.
    fn cuMemHostGetDevicePointer_v2(out: *mut u64, at: u64, flags: c_uint) {
        current()?;
        let d = driver()?;
        if flags != 0 {
            return Err(code::INVALID_VALUE);
        }
        if registered(d, at).is_some() {
            say("kernels cannot use memory that cuMemHostRegister registered; copy it, or use cuMemHostAlloc");
            return Err(code::NOT_SUPPORTED);
        }
        d.arena.find(at, 1).filter(|a| a.kind == Kind::Host).ok_or(code::INVALID_VALUE)?;
        put(out, at)
    }

    /// `cuMemHostGetFlags`
    fn cuMemHostGetFlags(out: *mut c_uint, at: u64) {
        current()?;
        let d = driver()?;
        let host = d.arena.find(at, 1).filter(|a| a.kind == Kind::Host);
        let flags = host.and_then(|a| d.blocks.lock().get(&a.start).map(|b| b.flags));
        // CU_MEMHOSTALLOC_DEVICEMAP comes with unified addressing.
        put(out, flags.or(registered(d, at).map(|r| r.2)).ok_or(code::INVALID_VALUE)? | 2)
    }

    /// `cuMemHostRegister_v2`; the range counts as page-locked for copies, but kernels cannot use it.
    fn cuMemHostRegister_v2(at: u64, len: usize, flags: c_uint) {
        current()?;
        let d = driver()?;
        d.safe_in_capture()?;
        let end = at.checked_add(len as u64).ok_or(code::INVALID_VALUE)?;
        // Portable, mapped, input/output memory, read-only.
        if at == 0 || len == 0 || flags > 15 {
            return Err(code::INVALID_VALUE);
        }
        let mut list = d.registered.lock();
        let in_arena = at < d.arena.end() && end > d.arena.base();
        if in_arena || list.iter().any(|(s, (n, _))| at < s + n && end > *s) {
            return Err(code::HOST_MEMORY_ALREADY_REGISTERED);
        }
        list.insert(at, (len as u64, flags));
        Ok(())
    }

    /// `cuMemHostUnregister`
    fn cuMemHostUnregister(at: u64) {
        let (d, context) = (driver()?, current()?);
        d.safe_in_capture()?;
        context.synchronize();
        if at == 0 {
            return Err(code::INVALID_VALUE);
        }
        d.registered.lock().remove(&at).map(|_| ()).ok_or(code::HOST_MEMORY_NOT_REGISTERED)
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

    /// `cuPointerGetAttribute`
    fn cuPointerGetAttribute(out: *mut c_void, attribute: c_uint, at: u64) {
        current()?;
        pointer_attribute(attribute, at)?.write(out)
    }

    /// `cuPointerGetAttributes`; what a pointer has not is null, as the API says.
    fn cuPointerGetAttributes(count: c_uint, attributes: *const c_uint, out: *const *mut c_void, at: u64) {
        current()?;
        if attributes.is_null() || out.is_null() || count == 0 {
            return Err(code::INVALID_VALUE);
        }
        for i in 0..count as usize {
            let (attribute, place) = (*attributes.add(i), *out.add(i));
            match pointer_attribute(attribute, at) {
                Ok(value) => value.write(place)?,
                Err(_) if matches!(attribute, 2 | 6 | 8 | 10 | 13 | 15 | 16) => put(place.cast::<c_int>(), 0)?,
                // No device has this number.
                Err(_) if attribute == 9 => put(place.cast::<c_int>(), -2)?,
                Err(_) if (1..=20).contains(&attribute) => put(place.cast::<u64>(), 0)?,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// `cuPointerSetAttribute`; copies wait where the API says so already, so `SYNC_MEMOPS` changes nothing.
    fn cuPointerSetAttribute(_value: *const c_void, attribute: c_uint, at: u64) {
        current()?;
        if attribute != 6 {
            return Err(code::INVALID_VALUE);
        }
        driver()?.arena.find(at, 1).map(|_| ()).ok_or(code::INVALID_VALUE)
    }

    /// `cuMemPrefetchAsync`; host and device share their memory, so there is nothing to move.
    fn cuMemPrefetchAsync(at: u64, len: usize, _device: c_int, stream: usize) {
        let d = driver()?;
        let on = d.stream(stream)?;
        range_exists(at, len)?;
        d.not_capturing(&on.1)
    }

    /// `cuMemPrefetchAsync_v2`
    fn cuMemPrefetchAsync_v2(at: u64, len: usize, _location: u64, flags: c_uint, stream: usize) {
        if flags != 0 {
            return Err(code::INVALID_VALUE);
        }
        let d = driver()?;
        let on = d.stream(stream)?;
        range_exists(at, len)?;
        d.not_capturing(&on.1)
    }

    /// `cuMemAdvise`; advice changes no result.
    fn cuMemAdvise(at: u64, len: usize, _advice: c_uint, _device: c_int) {
        current()?;
        range_exists(at, len)
    }

    /// `cuMemAdvise_v2`
    fn cuMemAdvise_v2(at: u64, len: usize, _advice: c_uint, _location: u64) {
        current()?;
        range_exists(at, len)
    }

    /// `cuStreamAttachMemAsync`; host and device share their memory at all times.
    fn cuStreamAttachMemAsync(stream: usize, at: u64, _len: usize, flags: c_uint) {
        let d = driver()?;
        let on = d.stream(stream)?;
        // Global, host or one stream; exactly one of them.
        if !matches!(flags, 1 | 2 | 4) {
            return Err(code::INVALID_VALUE);
        }
        d.arena.find(at, 1).filter(|a| a.kind == Kind::Managed).ok_or(code::INVALID_VALUE)?;
        d.not_capturing(&on.1)
    }
}
