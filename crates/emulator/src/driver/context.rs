//! Contexts: primary ones and others, and what is current on a thread.

use std::collections::HashMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::errors::code;
use super::state::*;

fn find(handle: usize) -> Res<Arc<Context>> {
    driver()?.contexts.lock().get(&handle).cloned().ok_or(code::INVALID_CONTEXT)
}

fn ordinal(dev: c_int) -> Res<(&'static Driver, u32)> {
    let d = driver()?;
    match u32::try_from(dev) {
        Ok(n) if (n as usize) < d.devices.len() => Ok((d, n)),
        _ => Err(code::INVALID_DEVICE),
    }
}

/// Ends a context: its work is finished, its modules go, and what it never freed is reported and freed.
///
/// # Errors
/// `CUDA_ERROR_LAUNCH_FAILED` when something leaked and leaks are looked for.
fn destroy(d: &Driver, context: &Arc<Context>) -> Res {
    context.synchronize();
    d.contexts.lock().remove(&context.id);
    context.destroyed.store(true, Ordering::Release);
    for (_, stream) in context.streams.lock().drain() {
        stream.close();
        d.capture_lost(stream.id);
        d.streams.lock().remove(&stream.id);
    }
    context.null.close();
    d.events.lock().retain(|_, e| !Arc::ptr_eq(&e.context, context));
    let own = |m: &Arc<Module>| Arc::ptr_eq(&m.context, context);
    let modules: Vec<_> = d.modules.lock().iter().filter(|(_, m)| own(m)).map(|(id, _)| *id).collect();
    for id in modules {
        super::module::unload(d, id);
    }
    // Memory that a graph holds and frees by itself is no leak.
    let held = |b: &Block| b.graph.as_ref().and_then(std::sync::Weak::upgrade).is_some_and(|g| !g.is_live());
    let own: HashMap<u64, bool> = {
        let blocks = d.blocks.lock();
        blocks.iter().filter(|(_, b)| b.context == context.id).map(|(at, b)| (*at, held(b))).collect()
    };
    let leaks: Vec<_> =
        d.arena.live(context.device).into_iter().filter(|a| own.get(&a.start) == Some(&false)).collect();
    let found = d.config.checks.leak && !leaks.is_empty() && context.error.load(Ordering::Acquire) == 0;
    if found {
        for a in leaks.iter().take(20) {
            say(&format!("leak: allocation #{} of {} bytes at {:#x} was never freed", a.serial, a.len, a.start));
        }
        if leaks.len() > 20 {
            say(&format!("leak: and {} more", leaks.len() - 20));
        }
        d.config.abort.then(abort);
    }
    for at in own.into_keys() {
        // Freed by no one else any more; a failure would only mean that it is gone already.
        let _ = super::memory::release(d, at);
    }
    if found { Err(code::LAUNCH_FAILED) } else { Ok(()) }
}

/// Flags of contexts: how the host waits (one of four), mapped host memory, local memory, and two for debugging.
fn valid_flags(flags: c_uint) -> Res {
    if flags & !0xff != 0 || !matches!(flags & 7, 0 | 1 | 2 | 4) { Err(code::INVALID_VALUE) } else { Ok(()) }
}

fn create(out: *mut usize, flags: c_uint, dev: c_int) -> Res {
    writable(out)?;
    let (d, n) = ordinal(dev)?;
    valid_flags(flags)?;
    let context = d.new_context(n, flags)?;
    // SAFETY: the caller of the API gives a place for a handle.
    unsafe { put(out, context.id)? };
    push_current(context);
    Ok(())
}

/// Limits by their number in `CUlimit`, with what they are at first.
fn limit_default(limit: c_uint) -> Res<usize> {
    Ok(match limit {
        0 => 1024,
        1 => 1 << 20,
        2 => 8 << 20,
        3 => 2,
        4 => 2048,
        5 => 64,
        // A part of the L2 cache for persisting data comes with compute capability 8.0.
        6 if driver()?.config.cc.0 >= 8 => 0,
        6..=9 => return Err(code::UNSUPPORTED_LIMIT),
        _ => return Err(code::INVALID_VALUE),
    })
}

exports! {
    /// `cuDevicePrimaryCtxRetain`
    fn cuDevicePrimaryCtxRetain(out: *mut usize, dev: c_int) {
        writable(out)?;
        let (d, n) = ordinal(dev)?;
        let device = &d.devices[n as usize];
        let mut primary = device.primary.lock();
        let context = match &primary.1 {
            Some(context) => context.clone(),
            None => d.new_context(n, device.primary_flags.load(Ordering::Relaxed))?,
        };
        primary.1 = Some(context.clone());
        primary.0 += 1;
        put(out, context.id)
    }

    /// `cuDevicePrimaryCtxRelease_v2`
    fn cuDevicePrimaryCtxRelease_v2(dev: c_int) {
        let (d, n) = ordinal(dev)?;
        let mut primary = d.devices[n as usize].primary.lock();
        match primary.0 {
            0 => Err(code::INVALID_CONTEXT),
            1 => {
                primary.0 = 0;
                primary.1.take().map_or(Ok(()), |context| destroy(d, &context))
            }
            _ => {
                primary.0 -= 1;
                Ok(())
            }
        }
    }

    /// `cuDevicePrimaryCtxReset_v2`
    fn cuDevicePrimaryCtxReset_v2(dev: c_int) {
        let (d, n) = ordinal(dev)?;
        let mut primary = d.devices[n as usize].primary.lock();
        let ended = primary.1.take().map_or(Ok(()), |context| destroy(d, &context));
        if primary.0 > 0 {
            primary.1 = Some(d.new_context(n, d.devices[n as usize].primary_flags.load(Ordering::Relaxed))?);
        }
        ended
    }

    /// `cuDevicePrimaryCtxGetState`
    fn cuDevicePrimaryCtxGetState(dev: c_int, flags: *mut c_uint, active: *mut c_int) {
        let (d, n) = ordinal(dev)?;
        let device = &d.devices[n as usize];
        let primary = device.primary.lock();
        put(flags, device.primary_flags.load(Ordering::Relaxed))?;
        put(active, primary.1.is_some() as c_int)
    }

    /// `cuDevicePrimaryCtxSetFlags_v2`
    fn cuDevicePrimaryCtxSetFlags_v2(dev: c_int, flags: c_uint) {
        let (d, n) = ordinal(dev)?;
        valid_flags(flags)?;
        let device = &d.devices[n as usize];
        device.primary_flags.store(flags, Ordering::Relaxed);
        if let Some(c) = &device.primary.lock().1 {
            c.flags.store(flags, Ordering::Relaxed);
        }
        Ok(())
    }

    /// `cuCtxCreate_v2`
    fn cuCtxCreate_v2(out: *mut usize, flags: c_uint, dev: c_int) {
        create(out, flags, dev)
    }

    /// `cuCtxCreate_v3`; parts of a device cannot be set aside.
    fn cuCtxCreate_v3(out: *mut usize, params: *mut c_void, count: c_int, flags: c_uint, dev: c_int) {
        if !params.is_null() || count != 0 {
            return Err(code::NOT_SUPPORTED);
        }
        create(out, flags, dev)
    }

    /// `cuCtxCreate_v4`
    fn cuCtxCreate_v4(out: *mut usize, params: *mut c_void, flags: c_uint, dev: c_int) {
        if !params.is_null() {
            return Err(code::NOT_SUPPORTED);
        }
        create(out, flags, dev)
    }

    /// `cuCtxDestroy_v2`
    fn cuCtxDestroy_v2(handle: usize) {
        let context = find(handle)?;
        let d = driver()?;
        if d.devices.iter().any(|x| x.primary.lock().1.as_ref().is_some_and(|p| p.id == handle)) {
            // Primary contexts are released.
            return Err(code::INVALID_CONTEXT);
        }
        if current_any().is_ok_and(|c| Arc::ptr_eq(&c, &context)) {
            pop_current();
        }
        destroy(d, &context)
    }

    /// `cuCtxSetCurrent`
    fn cuCtxSetCurrent(handle: usize) {
        let context = if handle == 0 { None } else { Some(find(handle)?) };
        driver()?;
        set_current(context);
        Ok(())
    }

    /// `cuCtxGetCurrent`
    fn cuCtxGetCurrent(out: *mut usize) {
        driver()?;
        put(out, current_any().map_or(0, |c| c.id))
    }

    /// `cuCtxPushCurrent_v2`
    fn cuCtxPushCurrent_v2(handle: usize) {
        push_current(find(handle)?);
        Ok(())
    }

    /// `cuCtxPopCurrent_v2`
    fn cuCtxPopCurrent_v2(out: *mut usize) {
        let context = pop_current().ok_or(code::INVALID_CONTEXT)?;
        if !out.is_null() {
            put(out, context.id)?;
        }
        Ok(())
    }

    /// `cuCtxGetDevice`
    fn cuCtxGetDevice(out: *mut c_int) {
        let context = current_any()?;
        if context.destroyed.load(Ordering::Acquire) {
            return Err(code::CONTEXT_IS_DESTROYED);
        }
        put(out, context.device as c_int)
    }

    /// `cuCtxSynchronize`
    fn cuCtxSynchronize() {
        let context = current()?;
        let d = driver()?;
        d.context_not_capturing(&context)?;
        d.safe_in_capture()?;
        context.synchronize();
        surface(&context)
    }

    /// `cuCtxGetFlags`
    fn cuCtxGetFlags(out: *mut c_uint) {
        put(out, current()?.flags.load(Ordering::Relaxed))
    }

    /// `cuCtxSetFlags`
    fn cuCtxSetFlags(flags: c_uint) {
        valid_flags(flags)?;
        current()?.flags.store(flags, Ordering::Relaxed);
        Ok(())
    }

    /// `cuCtxGetId`
    fn cuCtxGetId(handle: usize, out: *mut u64) {
        let context = if handle == 0 { current()? } else { find(handle)? };
        put(out, context.id as u64)
    }

    /// `cuCtxGetApiVersion`
    fn cuCtxGetApiVersion(handle: usize, out: *mut c_uint) {
        if handle == 0 { current()? } else { find(handle)? };
        put(out, 3020)
    }

    /// `cuCtxGetLimit`
    fn cuCtxGetLimit(out: *mut usize, limit: c_uint) {
        let context = current()?;
        let default = limit_default(limit)?;
        let value = context.limits.lock().get(&limit).copied().unwrap_or(default);
        put(out, value)
    }

    /// `cuCtxSetLimit`
    fn cuCtxSetLimit(limit: c_uint, value: usize) {
        let context = current()?;
        limit_default(limit)?;
        context.limits.lock().insert(limit, value);
        Ok(())
    }

    /// `cuCtxGetCacheConfig`
    fn cuCtxGetCacheConfig(out: *mut c_uint) {
        put(out, current()?.cache.load(Ordering::Relaxed))
    }

    /// `cuCtxSetCacheConfig`; a preference, on which nothing depends.
    fn cuCtxSetCacheConfig(config: c_uint) {
        let context = current()?;
        if config > 3 {
            return Err(code::INVALID_VALUE);
        }
        context.cache.store(config, Ordering::Relaxed);
        Ok(())
    }

    /// `cuCtxGetStreamPriorityRange`
    fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) {
        current()?;
        if !least.is_null() {
            put(least, 0)?;
        }
        if !greatest.is_null() {
            put(greatest, super::stream::GREATEST_PRIORITY)?;
        }
        Ok(())
    }

    /// `cuCtxEnablePeerAccess`; all devices share one address space, so it permits nothing that was forbidden before.
    fn cuCtxEnablePeerAccess(peer: usize, flags: c_uint) {
        let (context, other) = (current()?, find(peer)?);
        if flags != 0 {
            return Err(code::INVALID_VALUE);
        }
        if Arc::ptr_eq(&context, &other) {
            return Err(code::INVALID_CONTEXT);
        }
        if context.device == other.device {
            return Err(code::PEER_ACCESS_UNSUPPORTED);
        }
        let fresh = context.peers.lock().insert(peer);
        if fresh { Ok(()) } else { Err(code::PEER_ACCESS_ALREADY_ENABLED) }
    }

    /// `cuCtxDisablePeerAccess`
    fn cuCtxDisablePeerAccess(peer: usize) {
        let context = current()?;
        find(peer)?;
        let was = context.peers.lock().remove(&peer);
        if was { Ok(()) } else { Err(code::PEER_ACCESS_NOT_ENABLED) }
    }

    /// `cuProfilerStart`; there is no profiler to start.
    fn cuProfilerStart() {
        current().map(|_| ())
    }

    /// `cuProfilerStop`
    fn cuProfilerStop() {
        current().map(|_| ())
    }
}
