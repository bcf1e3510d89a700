//! Copies and fills of two and three dimensions.

use std::ffi::{c_uint, c_ushort, c_void};

use super::copies::{Fill, Shape, copy, copy_now, fill, on_device};
use super::errors::code;
use super::state::*;

/// One side of a copy: `CUDA_MEMCPY3D` with its fields by side.
struct Side {
    kind: c_uint,
    host: u64,
    device: u64,
    /// Offsets in bytes, rows and slices.
    at: [usize; 3],
    pitch: usize,
    /// Rows from slice to slice.
    height: usize,
}

impl Side {
    /// The first byte, and the distances of rows and slices.
    fn resolve(&self, width: usize, rows: usize, depth: usize) -> Res<(u64, (u64, u64))> {
        const HOST: c_uint = 1;
        const DEVICE: c_uint = 2;
        const ARRAY: c_uint = 3;
        const UNIFIED: c_uint = 4;
        let base = match self.kind {
            HOST => self.host,
            DEVICE | UNIFIED => self.device,
            ARRAY => {
                say("copies of CUDA arrays are not supported");
                return Err(code::NOT_SUPPORTED);
            }
            _ => return Err(code::INVALID_VALUE),
        };
        let pitch = if self.pitch == 0 { width.saturating_add(self.at[0]) } else { self.pitch };
        let height = if self.height == 0 { rows.saturating_add(self.at[1]) } else { self.height };
        let bad_row = (rows > 1 || depth > 1) && pitch < width.saturating_add(self.at[0]);
        if base == 0 || bad_row || (depth > 1 && height < rows.saturating_add(self.at[1])) {
            return Err(code::INVALID_VALUE);
        }
        let slice = pitch.checked_mul(height).ok_or(code::INVALID_VALUE)?;
        let start = self.at[2].checked_mul(slice).zip(self.at[1].checked_mul(pitch));
        let start = start.and_then(|(z, y)| z.checked_add(y)?.checked_add(self.at[0])).ok_or(code::INVALID_VALUE)?;
        let first = base.checked_add(start as u64).ok_or(code::INVALID_VALUE)?;
        if self.kind == DEVICE {
            on_device(first, width as u64)?;
        }
        Ok((first, (pitch as u64, slice as u64)))
    }
}

/// `CUDA_MEMCPY2D`.
#[repr(C)]
pub struct Copy2D {
    src_x: usize,
    src_y: usize,
    src_kind: c_uint,
    src_host: u64,
    src_device: u64,
    src_array: *mut c_void,
    src_pitch: usize,
    dst_x: usize,
    dst_y: usize,
    dst_kind: c_uint,
    dst_host: u64,
    dst_device: u64,
    dst_array: *mut c_void,
    dst_pitch: usize,
    width: usize,
    height: usize,
}

/// `CUDA_MEMCPY3D`.
#[repr(C)]
pub struct Copy3D {
    src_x: usize,
    src_y: usize,
    src_z: usize,
    src_lod: usize,
    src_kind: c_uint,
    src_host: u64,
    src_device: u64,
    src_array: *mut c_void,
    reserved0: *mut c_void,
    src_pitch: usize,
    src_height: usize,
    dst_x: usize,
    dst_y: usize,
    dst_z: usize,
    dst_lod: usize,
    dst_kind: c_uint,
    dst_host: u64,
    dst_device: u64,
    dst_array: *mut c_void,
    reserved1: *mut c_void,
    dst_pitch: usize,
    dst_height: usize,
    width: usize,
    height: usize,
    depth: usize,
}

/// Where both sides start, and the rows to copy.
fn copy_3d(src: Side, dst: Side, [width, height, depth]: [usize; 3]) -> Res<(u64, u64, Shape)> {
    let size = |n: usize| u64::try_from(n).ok().filter(|n| *n <= 1 << 40).ok_or(code::INVALID_VALUE);
    let (w, h, d) = (size(width)?, size(height)?, size(depth)?);
    let (from, src_steps) = src.resolve(width, height, depth)?;
    let (to, dst_steps) = dst.resolve(width, height, depth)?;
    Ok((to, from, Shape { width: w, height: h, depth: d, dst: dst_steps, src: src_steps }))
}

unsafe fn read_2d(p: *const Copy2D) -> Res<(u64, u64, Shape)> {
    if p.is_null() {
        return Err(code::INVALID_VALUE);
    }
    // SAFETY: the caller of the API passes a structure.
    let c = unsafe { &*p };
    let src = Side {
        kind: c.src_kind,
        host: c.src_host,
        device: c.src_device,
        at: [c.src_x, c.src_y, 0],
        pitch: c.src_pitch,
        height: 0,
    };
    let dst = Side {
        kind: c.dst_kind,
        host: c.dst_host,
        device: c.dst_device,
        at: [c.dst_x, c.dst_y, 0],
        pitch: c.dst_pitch,
        height: 0,
    };
    copy_3d(src, dst, [c.width, c.height, 1])
}

unsafe fn read_3d(p: *const Copy3D) -> Res<(u64, u64, Shape)> {
    if p.is_null() {
        return Err(code::INVALID_VALUE);
    }
    // SAFETY: the caller of the API passes a structure.
    let c = unsafe { &*p };
    if c.src_lod != 0 || c.dst_lod != 0 {
        return Err(code::INVALID_VALUE);
    }
    let src = Side {
        kind: c.src_kind,
        host: c.src_host,
        device: c.src_device,
        at: [c.src_x, c.src_y, c.src_z],
        pitch: c.src_pitch,
        height: c.src_height,
    };
    let dst = Side {
        kind: c.dst_kind,
        host: c.dst_host,
        device: c.dst_device,
        at: [c.dst_x, c.dst_y, c.dst_z],
        pitch: c.dst_pitch,
        height: c.dst_height,
    };
    copy_3d(src, dst, [c.width, c.height, c.depth])
}

fn rows(at: u64, pitch: usize, value: u32, size: u64, width: usize, height: usize) -> Fill {
    Fill { at, value, size, count: width as u64, rows: height as u64, pitch: pitch as u64 }
}

exports! {
    /// `cuMemcpy2D_v2`
    fn cuMemcpy2D_v2(copy: *const Copy2D) {
        current()?;
        let (dst, src, shape) = read_2d(copy)?;
        copy_now(dst, src, shape)
    }

    /// `cuMemcpy2DUnaligned_v2`
    fn cuMemcpy2DUnaligned_v2(copy: *const Copy2D) {
        current()?;
        let (dst, src, shape) = read_2d(copy)?;
        copy_now(dst, src, shape)
    }

    /// `cuMemcpy2DAsync_v2`
    fn cuMemcpy2DAsync_v2(params: *const Copy2D, stream: usize) {
        let on = driver()?.stream(stream)?;
        let (dst, src, shape) = read_2d(params)?;
        copy(&on, dst, src, shape, false)
    }

    /// `cuMemcpy3D_v2`
    fn cuMemcpy3D_v2(copy: *const Copy3D) {
        current()?;
        let (dst, src, shape) = read_3d(copy)?;
        copy_now(dst, src, shape)
    }

    /// `cuMemcpy3DAsync_v2`
    fn cuMemcpy3DAsync_v2(params: *const Copy3D, stream: usize) {
        let on = driver()?.stream(stream)?;
        let (dst, src, shape) = read_3d(params)?;
        copy(&on, dst, src, shape, false)
    }

    /// `cuMemsetD2D8_v2`
    fn cuMemsetD2D8_v2(dst: u64, pitch: usize, value: u8, width: usize, height: usize) {
        fill(0, rows(dst, pitch, value as u32, 1, width, height), true)
    }

    /// `cuMemsetD2D16_v2`
    fn cuMemsetD2D16_v2(dst: u64, pitch: usize, value: c_ushort, width: usize, height: usize) {
        fill(0, rows(dst, pitch, value as u32, 2, width, height), true)
    }

    /// `cuMemsetD2D32_v2`
    fn cuMemsetD2D32_v2(dst: u64, pitch: usize, value: c_uint, width: usize, height: usize) {
        fill(0, rows(dst, pitch, value, 4, width, height), true)
    }

    /// `cuMemsetD2D8Async`
    fn cuMemsetD2D8Async(dst: u64, pitch: usize, value: u8, width: usize, height: usize, stream: usize) {
        fill(stream, rows(dst, pitch, value as u32, 1, width, height), false)
    }

    /// `cuMemsetD2D16Async`
    fn cuMemsetD2D16Async(dst: u64, pitch: usize, value: c_ushort, width: usize, height: usize, stream: usize) {
        fill(stream, rows(dst, pitch, value as u32, 2, width, height), false)
    }

    /// `cuMemsetD2D32Async`
    fn cuMemsetD2D32Async(dst: u64, pitch: usize, value: c_uint, width: usize, height: usize, stream: usize) {
        fill(stream, rows(dst, pitch, value, 4, width, height), false)
    }
}
