//! Copies and fills.

use std::ffi::{c_uint, c_ushort};
use std::sync::Arc;

use super::errors::code;
use super::state::*;
use crate::checks::describe;
use crate::mem::Kind;
use crate::streams::Stream;

/// Where a copy's pointer points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Memory of the arena: device, page-locked or managed.
    Arena(Kind),
    /// Ordinary host memory.
    Pageable,
    /// Host memory made page-locked by registration.
    Registered,
}

fn place(d: &Driver, at: u64, len: u64) -> Res<Place> {
    if at >= d.arena.base() && at < d.arena.end() {
        return match d.arena.find(at, len) {
            Some(a) => Ok(Place::Arena(a.kind)),
            None => {
                say(&format!("copy or fill of {len} bytes at {at:#x}: {}", describe(&d.arena, at)));
                Err(code::INVALID_VALUE)
            }
        };
    }
    let registered = d.registered.lock().iter().any(|(s, n)| at >= *s && at + len <= s + n);
    Ok(if registered { Place::Registered } else { Place::Pageable })
}

fn on_device(d: &Driver, at: u64, len: u64) -> Res {
    match place(d, at, len)? {
        Place::Arena(_) => Ok(()),
        _ => Err(code::INVALID_VALUE),
    }
}

/// Copies bytes at the turn of the stream. What was freed meanwhile, or never written, fails the context.
fn transfer(d: &Driver, context: &Context, dst: u64, src: u64, len: u64, direction: &str) {
    let inside = |at: u64| at >= d.arena.base() && at < d.arena.end();
    for at in [dst, src] {
        if inside(at) && d.arena.find(at, len).is_none() {
            let report = format!("{direction} copy of {len} bytes at {at:#x}: {}", describe(&d.arena, at));
            return context.fail(code::ILLEGAL_ADDRESS, &report);
        }
    }
    let device = |at: u64| d.arena.find(at, len).filter(|a| a.kind == Kind::Device || a.kind == Kind::Module);
    if d.config.checks.init
        && inside(src)
        && device(src).is_some()
        && device(dst).is_none()
        && let Some(bad) = d.arena.undefined(src, len)
    {
        let report = format!(
            "{direction} copy of {len} bytes from {src:#x} reads {bad:#x}, which nothing wrote: {}",
            describe(&d.arena, bad)
        );
        return context.fail(code::LAUNCH_FAILED, &report);
    }
    // SAFETY: both ranges were checked, or are the caller's own memory; `copy` allows overlap.
    unsafe { std::ptr::copy(src as *const u8, dst as *mut u8, len as usize) };
    match (inside(dst), inside(src)) {
        (true, true) => d.arena.copy_shadow(dst, src, len),
        (true, false) => d.arena.define(dst, len),
        _ => {}
    }
    d.count(&serde_json::json!({ "copy": direction, "bytes": len }));
}

/// Queues a copy; gives its number when the caller must wait for it.
fn copy(context: &Arc<Context>, stream: &Arc<Stream>, dst: u64, src: u64, len: usize, wait: bool) -> Res {
    let d = driver()?;
    if len == 0 {
        return Ok(());
    }
    if dst == 0 || src == 0 {
        return Err(code::INVALID_VALUE);
    }
    let n = len as u64;
    let (to, from) = (place(d, dst, n)?, place(d, src, n)?);
    let host = |p: Place| matches!(p, Place::Pageable | Place::Registered | Place::Arena(Kind::Host));
    let direction = match (host(to), host(from)) {
        (false, true) => "htod",
        (true, false) => "dtoh",
        (false, false) => "dtod",
        (true, true) => "htoh",
    };
    let c = context.clone();
    // Pageable sources are taken at the call, as the driver stages them; page-locked ones are read in their turn,
    // so that a missing wait shows.
    let ticket = if from == Place::Pageable && !wait {
        // SAFETY: the caller's memory, valid for `len` bytes by the API's contract.
        let staged = unsafe { std::slice::from_raw_parts(src as *const u8, len) }.to_vec();
        d.enqueue(context, stream, move || transfer(d, &c, dst, staged.as_ptr() as u64, n, direction))
    } else {
        d.enqueue(context, stream, move || transfer(d, &c, dst, src, n, direction))
    };
    if wait || to == Place::Pageable {
        stream.wait(ticket);
        return check(context);
    }
    Ok(())
}

fn copy_now(dst: u64, src: u64, len: usize) -> Res {
    let context = current()?;
    let null = context.null.clone();
    copy(&context, &null, dst, src, len, true)
}

fn copy_async(dst: u64, src: u64, len: usize, stream: usize) -> Res {
    let (context, stream) = driver()?.stream(stream)?;
    copy(&context, &stream, dst, src, len, false)
}

/// Fills `count` values of 1, 2 or 4 bytes.
fn fill(stream: usize, dst: u64, value: u32, width: usize, count: usize, wait: bool) -> Res {
    let d = driver()?;
    let (context, stream) = d.stream(stream)?;
    let len = count.checked_mul(width).ok_or(code::INVALID_VALUE)?;
    if len == 0 {
        return Ok(());
    }
    if !dst.is_multiple_of(width as u64) {
        return Err(code::INVALID_VALUE);
    }
    on_device(d, dst, len as u64)?;
    let c = context.clone();
    let ticket = d.enqueue(&context, &stream, move || {
        if d.arena.find(dst, len as u64).is_none() {
            let report = format!("fill of {len} bytes at {dst:#x}: {}", describe(&d.arena, dst));
            return c.fail(code::ILLEGAL_ADDRESS, &report);
        }
        // SAFETY: the range was just found inside a live allocation, and is aligned to the width.
        unsafe {
            match width {
                1 => (dst as *mut u8).write_bytes(value as u8, count),
                2 => std::slice::from_raw_parts_mut(dst as *mut u16, count).fill(value as u16),
                _ => std::slice::from_raw_parts_mut(dst as *mut u32, count).fill(value),
            }
        }
        d.arena.define(dst, len as u64);
        d.count(&serde_json::json!({ "fill": len }));
    });
    if wait {
        stream.wait(ticket);
        return check(&context);
    }
    Ok(())
}

exports! {
    /// `cuMemcpy`
    fn cuMemcpy(dst: u64, src: u64, len: usize) {
        copy_now(dst, src, len)
    }

    /// `cuMemcpyAsync`
    fn cuMemcpyAsync(dst: u64, src: u64, len: usize, stream: usize) {
        copy_async(dst, src, len, stream)
    }

    /// `cuMemcpyHtoD_v2`
    fn cuMemcpyHtoD_v2(dst: u64, src: u64, len: usize) {
        on_device(driver()?, dst, len as u64)?;
        copy_now(dst, src, len)
    }

    /// `cuMemcpyDtoH_v2`
    fn cuMemcpyDtoH_v2(dst: u64, src: u64, len: usize) {
        on_device(driver()?, src, len as u64)?;
        copy_now(dst, src, len)
    }

    /// `cuMemcpyDtoD_v2`
    fn cuMemcpyDtoD_v2(dst: u64, src: u64, len: usize) {
        copy_now(dst, src, len)
    }

    /// `cuMemcpyHtoDAsync_v2`
    fn cuMemcpyHtoDAsync_v2(dst: u64, src: u64, len: usize, stream: usize) {
        copy_async(dst, src, len, stream)
    }

    /// `cuMemcpyDtoHAsync_v2`
    fn cuMemcpyDtoHAsync_v2(dst: u64, src: u64, len: usize, stream: usize) {
        copy_async(dst, src, len, stream)
    }

    /// `cuMemcpyDtoDAsync_v2`
    fn cuMemcpyDtoDAsync_v2(dst: u64, src: u64, len: usize, stream: usize) {
        copy_async(dst, src, len, stream)
    }

    /// `cuMemcpyPeer`; all devices share one address space.
    fn cuMemcpyPeer(dst: u64, _to: usize, src: u64, _from: usize, len: usize) {
        copy_now(dst, src, len)
    }

    /// `cuMemcpyPeerAsync`
    fn cuMemcpyPeerAsync(dst: u64, _to: usize, src: u64, _from: usize, len: usize, stream: usize) {
        copy_async(dst, src, len, stream)
    }

    /// `cuMemsetD8_v2`
    fn cuMemsetD8_v2(dst: u64, value: u8, count: usize) {
        fill(0, dst, value as u32, 1, count, true)
    }

    /// `cuMemsetD16_v2`
    fn cuMemsetD16_v2(dst: u64, value: c_ushort, count: usize) {
        fill(0, dst, value as u32, 2, count, true)
    }

    /// `cuMemsetD32_v2`
    fn cuMemsetD32_v2(dst: u64, value: c_uint, count: usize) {
        fill(0, dst, value, 4, count, true)
    }

    /// `cuMemsetD8Async`
    fn cuMemsetD8Async(dst: u64, value: u8, count: usize, stream: usize) {
        fill(stream, dst, value as u32, 1, count, false)
    }

    /// `cuMemsetD16Async`
    fn cuMemsetD16Async(dst: u64, value: c_ushort, count: usize, stream: usize) {
        fill(stream, dst, value as u32, 2, count, false)
    }

    /// `cuMemsetD32Async`
    fn cuMemsetD32Async(dst: u64, value: c_uint, count: usize, stream: usize) {
        fill(stream, dst, value, 4, count, false)
    }
}
