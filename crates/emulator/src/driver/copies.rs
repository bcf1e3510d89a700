//! Copies and fills of bytes in a row; [`super::boxes`] has those of two and three dimensions.

use std::ffi::{c_uint, c_ushort};

use super::errors::code;
use super::graph::NodeKind;
use super::state::*;
use crate::checks::describe;
use crate::mem::Kind;

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
    let end = at.checked_add(len).ok_or(code::INVALID_VALUE)?;
    let registered = d.registered.lock().iter().any(|(s, (n, _))| at >= *s && end <= s + n);
    Ok(if registered { Place::Registered } else { Place::Pageable })
}

/// Refuses a range that is not all inside one allocation of the driver.
pub(super) fn on_device(at: u64, len: u64) -> Res {
    if len == 0 {
        return Ok(());
    }
    match place(driver()?, at, len)? {
        Place::Arena(_) => Ok(()),
        _ => Err(code::INVALID_VALUE),
    }
}

/// Rows of bytes to copy: a line is one row, a box has `depth` slices of `height` rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub width: u64,
    pub height: u64,
    pub depth: u64,
    /// Bytes from row to row and from slice to slice.
    pub dst: (u64, u64),
    pub src: (u64, u64),
}

impl Shape {
    fn line(len: u64) -> Shape {
        Shape { width: len, height: 1, depth: 1, dst: (len, len), src: (len, len) }
    }

    /// Bytes from the first to the last that a side touches.
    fn span(&self, (row, slice): (u64, u64)) -> Res<u64> {
        let last = |n: u64, step: u64| (n - 1).checked_mul(step);
        let span = last(self.height, row)
            .zip(last(self.depth, slice))
            .and_then(|(r, s)| r.checked_add(s)?.checked_add(self.width));
        span.ok_or(code::INVALID_VALUE)
    }

    /// Offsets of each row on both sides.
    fn rows(&self) -> impl Iterator<Item = (u64, u64)> {
        let s = *self;
        (0..s.depth)
            .flat_map(move |z| (0..s.height).map(move |y| (z * s.dst.1 + y * s.dst.0, z * s.src.1 + y * s.src.0)))
    }
}

/// Copies one row at the turn of the stream. What was freed meanwhile, or never written, fails the context.
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
}

/// Queues a copy, or adds it to the graph that the stream captures; waits for it where the API does.
pub(super) fn copy(on: &StreamOf, dst: u64, src: u64, shape: Shape, wait: bool) -> Res {
    let d = driver()?;
    let (context, stream) = on;
    if shape.width == 0 || shape.height == 0 || shape.depth == 0 {
        return Ok(());
    }
    if dst == 0 || src == 0 {
        return Err(code::INVALID_VALUE);
    }
    let (to, from) = (place(d, dst, shape.span(shape.dst)?)?, place(d, src, shape.span(shape.src)?)?);
    let host = |p: Place| matches!(p, Place::Pageable | Place::Registered | Place::Arena(Kind::Host));
    let direction = match (host(to), host(from)) {
        (false, true) => "htod",
        (true, false) => "dtoh",
        (false, false) => "dtod",
        (true, true) => "htoh",
    };
    let c = context.clone();
    let rows = move |src: u64, shape: Shape| {
        for (to, from) in shape.rows() {
            transfer(d, &c, dst + to, src + from, shape.width, direction);
        }
        let bytes = shape.width * shape.height * shape.depth;
        d.count(&serde_json::json!({ "copy": direction, "bytes": bytes }));
    };
    let captured = d.capturing(stream)?.is_some();
    // Pageable sources are taken at the call, as the driver stages them; page-locked ones, and those of a graph, are
    // read in their turn, so that a missing wait shows.
    let ticket = if from == Place::Pageable && !wait && !captured {
        let (staged, tight) = stage(src, shape);
        d.submit(on, NodeKind::Copy, move || rows(staged.as_ptr() as u64, tight))?
    } else {
        d.submit(on, NodeKind::Copy, move || rows(src, shape))?
    };
    match ticket {
        Some(ticket) if wait || to == Place::Pageable => {
            stream.wait(ticket);
            surface(context)
        }
        _ => Ok(()),
    }
}

/// Copies the caller's rows, packed tightly.
fn stage(src: u64, shape: Shape) -> (Vec<u8>, Shape) {
    let mut staged = Vec::with_capacity((shape.width * shape.height * shape.depth) as usize);
    for (_, from) in shape.rows() {
        // SAFETY: the caller's memory, valid for each row by the API's contract.
        staged
            .extend_from_slice(unsafe { std::slice::from_raw_parts((src + from) as *const u8, shape.width as usize) });
    }
    (staged, Shape { src: (shape.width, shape.width * shape.height), ..shape })
}

/// Copies in the legacy stream and waits.
pub(super) fn copy_now(dst: u64, src: u64, shape: Shape) -> Res {
    let context = current()?;
    driver()?.safe_in_capture()?;
    let null = context.null.clone();
    copy(&(context, null), dst, src, shape, true)
}

fn line_now(dst: u64, src: u64, len: usize) -> Res {
    copy_now(dst, src, Shape::line(len as u64))
}

fn line_async(dst: u64, src: u64, len: usize, stream: usize) -> Res {
    copy(&driver()?.stream(stream)?, dst, src, Shape::line(len as u64), false)
}

/// Both ends of a copy between devices belong to the contexts that are named.
fn peers(to: usize, from: usize) -> Res {
    let d = driver()?;
    let contexts = d.contexts.lock();
    if contexts.contains_key(&to) && contexts.contains_key(&from) { Ok(()) } else { Err(code::INVALID_CONTEXT) }
}

/// Rows of values to fill.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fill {
    pub at: u64,
    pub value: u32,
    /// Bytes of a value: 1, 2 or 4.
    pub size: u64,
    /// Values of a row.
    pub count: u64,
    pub rows: u64,
    pub pitch: u64,
}

/// Fills in the order of a stream, or as a node of the graph that the stream captures.
pub(super) fn fill(stream: usize, f: Fill, wait: bool) -> Res {
    let d = driver()?;
    if wait {
        current()?;
        d.safe_in_capture()?;
    }
    let on = d.stream(stream)?;
    let width = f.count.checked_mul(f.size).ok_or(code::INVALID_VALUE)?;
    if width == 0 || f.rows == 0 {
        return Ok(());
    }
    if !f.at.is_multiple_of(f.size) || (f.rows > 1 && (f.pitch < width || !f.pitch.is_multiple_of(f.size))) {
        return Err(code::INVALID_VALUE);
    }
    let span = (f.rows - 1).checked_mul(f.pitch).and_then(|n| n.checked_add(width)).ok_or(code::INVALID_VALUE)?;
    on_device(f.at, span)?;
    let c = on.0.clone();
    let ticket = d.submit(&on, NodeKind::Fill, move || {
        if d.arena.find(f.at, span).is_none() {
            let report = format!("fill of {span} bytes at {:#x}: {}", f.at, describe(&d.arena, f.at));
            return c.fail(code::ILLEGAL_ADDRESS, &report);
        }
        for at in (0..f.rows).map(|r| f.at + r * f.pitch) {
            let count = f.count as usize;
            // SAFETY: the range was just found inside a live allocation, and is aligned to the value.
            unsafe {
                match f.size {
                    1 => (at as *mut u8).write_bytes(f.value as u8, count),
                    2 => std::slice::from_raw_parts_mut(at as *mut u16, count).fill(f.value as u16),
                    _ => std::slice::from_raw_parts_mut(at as *mut u32, count).fill(f.value),
                }
            }
            d.arena.define(at, width);
        }
        d.count(&serde_json::json!({ "fill": width * f.rows }));
    })?;
    match ticket {
        Some(ticket) if wait => {
            on.1.wait(ticket);
            surface(&on.0)
        }
        _ => Ok(()),
    }
}

fn fill_line(stream: usize, at: u64, value: u32, size: u64, count: usize, wait: bool) -> Res {
    let count = count as u64;
    fill(stream, Fill { at, value, size, count, rows: 1, pitch: 0 }, wait)
}

exports! {
    /// `cuMemcpy`
    fn cuMemcpy(dst: u64, src: u64, len: usize) {
        line_now(dst, src, len)
    }

    /// `cuMemcpyAsync`
    fn cuMemcpyAsync(dst: u64, src: u64, len: usize, stream: usize) {
        line_async(dst, src, len, stream)
    }

    /// `cuMemcpyHtoD_v2`
    fn cuMemcpyHtoD_v2(dst: u64, src: u64, len: usize) {
        current()?;
        on_device(dst, len as u64)?;
        line_now(dst, src, len)
    }

    /// `cuMemcpyDtoH_v2`
    fn cuMemcpyDtoH_v2(dst: u64, src: u64, len: usize) {
        current()?;
        on_device(src, len as u64)?;
        line_now(dst, src, len)
    }

    /// `cuMemcpyDtoD_v2`
    fn cuMemcpyDtoD_v2(dst: u64, src: u64, len: usize) {
        current()?;
        on_device(dst, len as u64)?;
        on_device(src, len as u64)?;
        line_now(dst, src, len)
    }

    /// `cuMemcpyHtoDAsync_v2`
    fn cuMemcpyHtoDAsync_v2(dst: u64, src: u64, len: usize, stream: usize) {
        driver()?.stream(stream)?;
        on_device(dst, len as u64)?;
        line_async(dst, src, len, stream)
    }

    /// `cuMemcpyDtoHAsync_v2`
    fn cuMemcpyDtoHAsync_v2(dst: u64, src: u64, len: usize, stream: usize) {
        driver()?.stream(stream)?;
        on_device(src, len as u64)?;
        line_async(dst, src, len, stream)
    }

    /// `cuMemcpyDtoDAsync_v2`
    fn cuMemcpyDtoDAsync_v2(dst: u64, src: u64, len: usize, stream: usize) {
        driver()?.stream(stream)?;
        on_device(dst, len as u64)?;
        on_device(src, len as u64)?;
        line_async(dst, src, len, stream)
    }

    /// `cuMemcpyPeer`; all devices share one address space.
    fn cuMemcpyPeer(dst: u64, to: usize, src: u64, from: usize, len: usize) {
        current()?;
        peers(to, from)?;
        line_now(dst, src, len)
    }

    /// `cuMemcpyPeerAsync`
    fn cuMemcpyPeerAsync(dst: u64, to: usize, src: u64, from: usize, len: usize, stream: usize) {
        peers(to, from)?;
        line_async(dst, src, len, stream)
    }

    /// `cuMemsetD8_v2`
    fn cuMemsetD8_v2(dst: u64, value: u8, count: usize) {
        fill_line(0, dst, value as u32, 1, count, true)
    }

    /// `cuMemsetD16_v2`
    fn cuMemsetD16_v2(dst: u64, value: c_ushort, count: usize) {
        fill_line(0, dst, value as u32, 2, count, true)
    }

    /// `cuMemsetD32_v2`
    fn cuMemsetD32_v2(dst: u64, value: c_uint, count: usize) {
        fill_line(0, dst, value, 4, count, true)
    }

    /// `cuMemsetD8Async`
    fn cuMemsetD8Async(dst: u64, value: u8, count: usize, stream: usize) {
        fill_line(stream, dst, value as u32, 1, count, false)
    }

    /// `cuMemsetD16Async`
    fn cuMemsetD16Async(dst: u64, value: c_ushort, count: usize, stream: usize) {
        fill_line(stream, dst, value as u32, 2, count, false)
    }

    /// `cuMemsetD32Async`
    fn cuMemsetD32Async(dst: u64, value: c_uint, count: usize, stream: usize) {
        fill_line(stream, dst, value, 4, count, false)
    }
}
