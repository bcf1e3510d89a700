//! Memory pools.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::errors::code;
use super::state::*;

fn device(dev: c_int) -> Res<(&'static Driver, usize)> {
    let d = driver()?;
    if (0..d.devices.len() as c_int).contains(&dev) { Ok((d, dev as usize)) } else { Err(code::INVALID_DEVICE) }
}

fn find(handle: usize) -> Res<Arc<MemPool>> {
    driver()?.pools.lock().get(&handle).cloned().ok_or(code::INVALID_VALUE)
}

/// The start of `CUmemPoolProps`.
#[repr(C)]
pub struct PoolProps {
    alloc_type: c_int,
    handle_types: c_int,
    location_type: c_int,
    location: c_int,
    security: *mut c_void,
    max_size: usize,
}

/// `CUmemAccessDesc`.
#[repr(C)]
pub struct Access {
    location_type: c_int,
    location: c_int,
    flags: c_uint,
}

exports! {
    /// `cuDeviceGetDefaultMemPool`
    fn cuDeviceGetDefaultMemPool(out: *mut usize, dev: c_int) {
        let (d, n) = device(dev)?;
        put(out, d.devices[n].default_pool)
    }

    /// `cuDeviceGetMemPool`
    fn cuDeviceGetMemPool(out: *mut usize, dev: c_int) {
        let (d, n) = device(dev)?;
        put(out, d.devices[n].current_pool.load(Ordering::Acquire))
    }

    /// `cuDeviceSetMemPool`
    fn cuDeviceSetMemPool(dev: c_int, pool: usize) {
        let (d, n) = device(dev)?;
        if find(pool)?.device as usize != n {
            return Err(code::INVALID_VALUE);
        }
        d.devices[n].current_pool.store(pool, Ordering::Release);
        Ok(())
    }

    /// `cuMemPoolCreate`; `maxSize` is a hard limit.
    fn cuMemPoolCreate(out: *mut usize, props: *const PoolProps) {
        writable(out)?;
        let d = driver()?;
        if props.is_null() {
            return Err(code::INVALID_VALUE);
        }
        let props = props.read_unaligned();
        // Pinned memory on a device is what pools are for; other places are not emulated.
        if props.alloc_type != 1 || props.location_type != 1 || props.handle_types != 0 {
            return Err(code::NOT_SUPPORTED);
        }
        let (_, n) = device(props.location)?;
        let id = d.handle();
        let pool = MemPool { device: n as u32, limit: props.max_size as u64, ..MemPool::default() };
        d.pools.lock().insert(id, Arc::new(pool));
        put(out, id)
    }

    /// `cuMemPoolDestroy`
    fn cuMemPoolDestroy(pool: usize) {
        let d = driver()?;
        if d.devices.iter().any(|x| x.default_pool == pool) {
            return Err(code::INVALID_VALUE);
        }
        d.pools.lock().remove(&pool).ok_or(code::INVALID_VALUE)?;
        for x in &d.devices {
            // A destroyed current pool gives way to the default one.
            let _ = x.current_pool.compare_exchange(pool, x.default_pool, Ordering::AcqRel, Ordering::Acquire);
        }
        Ok(())
    }

    /// `cuMemPoolTrimTo`
    fn cuMemPoolTrimTo(pool: usize, keep: usize) {
        find(pool)?.shrink(keep as u64);
        Ok(())
    }

    /// `cuMemPoolSetAccess`; all devices share one address space, so there is nothing to map.
    fn cuMemPoolSetAccess(pool: usize, map: *const Access, count: usize) {
        let p = find(pool)?;
        if map.is_null() && count > 0 {
            return Err(code::INVALID_VALUE);
        }
        for i in 0..count {
            let access = map.add(i).read_unaligned();
            let (_, n) = device(access.location)?;
            // The pool's own device keeps its access.
            if access.location_type != 1 || (n as u32 == p.device && access.flags != 3) {
                return Err(code::INVALID_VALUE);
            }
            let mut peers = p.peers.lock();
            match access.flags {
                0 => drop(peers.remove(&n)),
                3 => drop(peers.insert(n)),
                _ => return Err(code::INVALID_VALUE),
            }
        }
        Ok(())
    }

    /// `cuMemPoolGetAccess`
    fn cuMemPoolGetAccess(flags: *mut c_uint, pool: usize, location: *const [c_int; 2]) {
        let p = find(pool)?;
        if location.is_null() {
            return Err(code::INVALID_VALUE);
        }
        let (_, n) = device(location.read_unaligned()[1])?;
        let all = n as u32 == p.device || p.peers.lock().contains(&n);
        put(flags, if all { 3 } else { 0 })
    }

    /// `cuMemPoolGetAttribute`
    fn cuMemPoolGetAttribute(pool: usize, attribute: c_uint, out: *mut c_void) {
        let p = find(pool)?;
        let long = out.cast::<u64>();
        match attribute {
            1..=3 => put(out.cast::<c_int>(), 1 - p.reuse[attribute as usize - 1].load(Ordering::Relaxed)),
            4 => put(long, p.threshold.load(Ordering::Relaxed)),
            5 => put(long, p.reserved.load(Ordering::Acquire).max(p.used.load(Ordering::Acquire))),
            6 => put(long, p.reserved_high.load(Ordering::Acquire)),
            7 => put(long, p.used.load(Ordering::Acquire)),
            8 => put(long, p.high.load(Ordering::Acquire)),
            _ => Err(code::INVALID_VALUE),
        }
    }

    /// `cuMemPoolSetAttribute`
    fn cuMemPoolSetAttribute(pool: usize, attribute: c_uint, value: *const c_void) {
        let p = find(pool)?;
        if value.is_null() {
            return Err(code::INVALID_VALUE);
        }
        match attribute {
            1..=3 => {
                let on = value.cast::<c_int>().read_unaligned();
                p.reuse[attribute as usize - 1].store((on == 0) as c_int, Ordering::Relaxed);
            }
            4 => p.threshold.store(value.cast::<u64>().read_unaligned(), Ordering::Relaxed),
            // High-water marks can only be reset.
            6 if value.cast::<u64>().read_unaligned() == 0 => {
                p.reserved_high.store(p.reserved.load(Ordering::Acquire), Ordering::Release);
            }
            8 if value.cast::<u64>().read_unaligned() == 0 => {
                p.high.store(p.used.load(Ordering::Acquire), Ordering::Release);
            }
            _ => return Err(code::INVALID_VALUE),
        }
        Ok(())
    }
}
