//! Contexts: primary ones and others, and what is current on a thread.

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
    for (_, stream) in context.streams.lock().drain() {
        stream.close();
        d.streams.lock().remove(&stream.id);
    }
    context.null.close();
    let own = |m: &Arc<Module>| Arc::ptr_eq(&m.context, context);
    let modules: Vec<_> = d.modules.lock().iter().filter(|(_, m)| own(m)).map(|(id, _)| *id).collect();
    for id in modules {
        super::module::unload(d, id);
    }
    let others = d.contexts.lock().values().any(|c| c.device == context.device);
    if others {
        return Ok(());
    }
    let leaks = d.arena.live(context.device);
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
    for a in leaks {
        // Freed by no one else any more; a failure would only mean that it is gone already.
        let _ = super::memory::release(d, a.start);
    }
    if found { Err(code::LAUNCH_FAILED) } else { Ok(()) }
}

exports! {
    /// `cuDevicePrimaryCtxRetain`
    fn cuDevicePrimaryCtxRetain(out: *mut usize, dev: c_int) {
        let (d, n) = ordinal(dev)?;
        let mut primary = d.devices[n as usize].primary.lock();
        let context = primary.1.get_or_insert_with(|| d.new_context(n, 0)).clone();
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
            primary.1 = Some(d.new_context(n, 0));
        }
        ended
    }

    /// `cuDevicePrimaryCtxGetState`
    fn cuDevicePrimaryCtxGetState(dev: c_int, flags: *mut c_uint, active: *mut c_int) {
        let (d, n) = ordinal(dev)?;
        let primary = d.devices[n as usize].primary.lock();
        put(flags, primary.1.as_ref().map_or(0, |c| c.flags.load(Ordering::Relaxed)))?;
        put(active, primary.1.is_some() as c_int)
    }

    /// `cuDevicePrimaryCtxSetFlags_v2`
    fn cuDevicePrimaryCtxSetFlags_v2(dev: c_int, flags: c_uint) {
        let (d, n) = ordinal(dev)?;
        if let Some(c) = &d.devices[n as usize].primary.lock().1 {
            c.flags.store(flags, Ordering::Relaxed);
        }
        Ok(())
    }

    /// `cuCtxCreate_v2`
    fn cuCtxCreate_v2(out: *mut usize, flags: c_uint, dev: c_int) {
        let (d, n) = ordinal(dev)?;
        let context = d.new_context(n, flags);
        put(out, context.id)?;
        push_current(context);
        Ok(())
    }

    /// `cuCtxCreate_v3`
    fn cuCtxCreate_v3(out: *mut usize, _params: *mut c_void, _count: c_int, flags: c_uint, dev: c_int) {
        match cuCtxCreate_v2(out, flags, dev) {
            0 => Ok(()),
            e => Err(e),
        }
    }

    /// `cuCtxCreate_v4`
    fn cuCtxCreate_v4(out: *mut usize, _params: *mut c_void, flags: c_uint, dev: c_int) {
        match cuCtxCreate_v2(out, flags, dev) {
            0 => Ok(()),
            e => Err(e),
        }
    }

    /// `cuCtxDestroy_v2`
    fn cuCtxDestroy_v2(handle: usize) {
        let context = find(handle)?;
        if current_any().is_ok_and(|c| Arc::ptr_eq(&c, &context)) {
            pop_current();
        }
        destroy(driver()?, &context)
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
        let context = current_any().ok();
        // A context that has ended is no longer current anywhere.
        let alive = context.filter(|c| find(c.id).is_ok());
        put(out, alive.map_or(0, |c| c.id))
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
        put(out, current_any()?.device as c_int)
    }

    /// `cuCtxSynchronize`
    fn cuCtxSynchronize() {
        let context = current()?;
        context.synchronize();
        check(&context)
    }

    /// `cuCtxGetFlags`
    fn cuCtxGetFlags(out: *mut c_uint) {
        put(out, current()?.flags.load(Ordering::Relaxed))
    }

    /// `cuCtxSetFlags`
    fn cuCtxSetFlags(flags: c_uint) {
        current()?.flags.store(flags, Ordering::Relaxed);
        Ok(())
    }

    /// `cuCtxGetApiVersion`
    fn cuCtxGetApiVersion(_context: usize, out: *mut c_uint) {
        put(out, 3020)
    }

    /// `cuCtxGetLimit`
    fn cuCtxGetLimit(out: *mut usize, limit: c_uint) {
        let context = current()?;
        let default = match limit {
            0 => 1024,
            1 => 1 << 20,
            2 => 8 << 20,
            3 => 2,
            4 => 2048,
            5 => 64,
            6 => 0,
            _ => return Err(code::INVALID_VALUE),
        };
        let value = context.limits.lock().get(&limit).copied().unwrap_or(default);
        put(out, value)
    }

    /// `cuCtxSetLimit`
    fn cuCtxSetLimit(limit: c_uint, value: usize) {
        let context = current()?;
        if limit > 6 {
            return Err(code::INVALID_VALUE);
        }
        context.limits.lock().insert(limit, value);
        Ok(())
    }

    /// `cuCtxGetCacheConfig`
    fn cuCtxGetCacheConfig(out: *mut c_uint) {
        current()?;
        put(out, 0)
    }

    /// `cuCtxSetCacheConfig`; a preference, which nothing here depends on.
    fn cuCtxSetCacheConfig(_config: c_uint) {
        current().map(|_| ())
    }

    /// `cuCtxGetStreamPriorityRange`
    fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) {
        current()?;
        if !least.is_null() {
            put(least, 0)?;
        }
        if !greatest.is_null() {
            put(greatest, -5)?;
        }
        Ok(())
    }

    /// `cuCtxEnablePeerAccess`; all devices share one address space.
    fn cuCtxEnablePeerAccess(peer: usize, _flags: c_uint) {
        current()?;
        find(peer).map(|_| ())
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
