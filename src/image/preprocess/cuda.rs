//! Device side: the last resize pass fused with everything after it, and normalise alone where nothing is resized.

use super::OP;
use crate::column::{Column, DeviceColumn};
use crate::device::kernels::entries::{normalize as normalize_entries, preprocess as preprocess_entries};
use crate::device::launch::kernel;
use crate::device::{CudaCtx, DeviceBufferMut, Grid, In, MemoryPlan, Out, padded};
use crate::error::{Error, Result};
use crate::image::normalize::Table;
use crate::image::resize::cuda::{ImagePass, LastPass, THREADS, Target, first_pass, workspace};
use crate::image::resize::plan::BatchPlan;
use crate::image::{Images, Layout, Patches, TensorSpec};

/// Values of a table: three channels of 256 bytes.
const TABLE_ENTRIES: u64 = 3 * 256;

macro_rules! kernels {
    ($($preprocess:ident $normalize:ident $entry:ident),*) => {
        kernel! {$(
            /// The last pass to a tensor of this layout and width; table and output as bytes.
            fn $preprocess[preprocess_entries::$entry](
                pixels: In<'_, u8>,
                between: In<'_, u8>,
                images: In<'_, ImagePass>,
                taps: In<'_, [u32; 4]>,
                weights: In<'_, i32>,
                table: In<'_, u8>,
                n: u32,
                out: Out<'_, u8>,
            );
            /// Images of one size to a tensor of this layout and width; table and output as bytes.
            fn $normalize[normalize_entries::$entry](
                pixels: In<'_, u8>,
                starts: In<'_, i64>,
                table: In<'_, u8>,
                blocks_per_image: u32,
                plane: u64,
                out: Out<'_, u8>,
            );
        )*}
    };
}

kernels! {
    preprocess_nchw_u8 normalize_nchw_u8 NCHW_U8,
    preprocess_nchw_u16 normalize_nchw_u16 NCHW_U16,
    preprocess_nchw_u32 normalize_nchw_u32 NCHW_U32,
    preprocess_nhwc_u8 normalize_nhwc_u8 NHWC_U8,
    preprocess_nhwc_u16 normalize_nhwc_u16 NHWC_U16,
    preprocess_nhwc_u32 normalize_nhwc_u32 NHWC_U32
}

macro_rules! patch_kernels {
    ($($name:ident $entry:ident),*) => {
        kernel! {$(
            /// The last pass to patches of this width; table and output as bytes.
            fn $name[preprocess_entries::$entry](
                pixels: In<'_, u8>,
                between: In<'_, u8>,
                images: In<'_, ImagePass>,
                taps: In<'_, [u32; 4]>,
                weights: In<'_, i32>,
                table: In<'_, u8>,
                n: u32,
                size: u32,
                merge: u32,
                temporal: u32,
                channels_last: u32,
                out: Out<'_, u8>,
            );
        )*}
    };
}

patch_kernels! {
    preprocess_patches_u8 PATCHES_U8,
    preprocess_patches_u16 PATCHES_U16,
    preprocess_patches_u32 PATCHES_U32
}

/// Whether bytes go through the table to the places that they have already.
fn is_normalize(plan: &BatchPlan, spec: &TensorSpec) -> bool {
    plan.keeps_pixels() && !matches!(spec.layout, Layout::Patches(_))
}

/// Device bytes that [`preprocess`] takes.
pub(super) fn memory(plan: &BatchPlan, spec: &TensorSpec) -> MemoryPlan {
    let (len, width) = (plan.images.len() as u64, spec.dtype.size() as u64);
    let output = padded((spec.elements() as u64 * width).saturating_mul(len));
    let inputs = match is_normalize(plan, spec) {
        true => padded(8 * len),
        false => workspace(plan),
    };
    MemoryPlan { workspace: if len == 0 { 0 } else { inputs + padded(TABLE_ENTRIES * width) }, output }
}

pub(super) fn preprocess(
    cuda: &CudaCtx,
    images: &Images,
    plan: &BatchPlan,
    spec: &TensorSpec,
    table: &Table,
) -> Result<Column> {
    let len = plan.images.len();
    let nbytes = spec.elements().checked_mul(spec.dtype.size()).and_then(|n| n.checked_mul(len));
    let nbytes = nbytes.ok_or_else(|| Error::unsupported(OP, "2^64 bytes of tensors", "split the batch"))?;
    let mut out = cuda.allocate(OP, nbytes)?;
    if nbytes > 0 {
        match is_normalize(plan, spec) {
            true => normalize(cuda, images, spec, table, &mut out)?,
            false => resize_and_normalize(cuda, images, plan, spec, table, &mut out)?,
        }
    }
    let values = DeviceColumn::fixed(cuda, spec.dtype.arrow(), len * spec.elements(), None, out.freeze())?;
    let validity = images.device_validity();
    Ok(DeviceColumn::from_parts(cuda, spec.data_type(), len, validity, vec![], vec![values])?.into())
}

/// At most two launches: the first pass, then everything else.
fn resize_and_normalize(
    cuda: &CudaCtx,
    images: &Images,
    plan: &BatchPlan,
    spec: &TensorSpec,
    table: &Table,
    out: &mut DeviceBufferMut,
) -> Result<()> {
    let pixels = images.device_pixels(OP)?;
    let target = |row: usize| Target { out: row as u64 * spec.elements() as u64, out_row: 0 };
    let pass = first_pass(cuda, OP, pixels, plan, (spec.width, spec.height), target)?;
    let LastPass { n, grid, between, images, taps, weights } = &pass;
    let table = cuda.upload(OP, &table.bytes())?;
    let (between, taps, weights) = (between.as_ref().into(), taps.input(), weights.input());
    let (pixels, images, table, out, grid, n) =
        (pixels.input(), images.input(), table.input(), out.output(), *grid, *n);
    if let Layout::Patches(Patches { size, merge, temporal, channels_last }) = spec.layout {
        let launch = match spec.dtype.size() {
            1 => preprocess_patches_u8,
            2 => preprocess_patches_u16,
            _ => preprocess_patches_u32,
        };
        let last = channels_last.into();
        // SAFETY: as below; `TensorSpec` has checked that the patches cover the canvas.
        return unsafe {
            launch(cuda, grid, pixels, between, images, taps, weights, table, n, size, merge, temporal, last, out)
        };
    }
    let launch = match (spec.layout, spec.dtype.size()) {
        (Layout::Nhwc, 1) => preprocess_nhwc_u8,
        (Layout::Nhwc, 2) => preprocess_nhwc_u16,
        (Layout::Nhwc, _) => preprocess_nhwc_u32,
        (_, 1) => preprocess_nchw_u8,
        (_, 2) => preprocess_nchw_u16,
        (_, _) => preprocess_nchw_u32,
    };
    // SAFETY: `first_pass` keeps reads within the buffers; the output holds `n` tensors of `spec`, one per canvas.
    unsafe { launch(cuda, grid, pixels, between, images, taps, weights, table, n, out) }
}

/// One launch that moves every byte through the table.
fn normalize(
    cuda: &CudaCtx,
    images: &Images,
    spec: &TensorSpec,
    table: &Table,
    out: &mut DeviceBufferMut,
) -> Result<()> {
    let plane = u64::from(spec.width) * u64::from(spec.height);
    let blocks_per_image = plane.div_ceil(4 * THREADS);
    let blocks = i32::try_from(blocks_per_image * images.len() as u64)
        .map_err(|_| Error::unsupported(OP, "2^31 blocks in one launch", "split the batch"))?;
    let launch = match (spec.layout, spec.dtype.size()) {
        (Layout::Nhwc, 1) => normalize_nhwc_u8,
        (Layout::Nhwc, 2) => normalize_nhwc_u16,
        (Layout::Nhwc, _) => normalize_nhwc_u32,
        (_, 1) => normalize_nchw_u8,
        (_, 2) => normalize_nchw_u16,
        (_, _) => normalize_nchw_u32,
    };
    let starts: Vec<i64> = images.rows().iter().map(|row| row.map_or(-1, |row| row.offset as i64)).collect();
    let (starts, table) = (cuda.upload_slice(OP, &starts)?, cuda.upload(OP, &table.bytes())?);
    let (grid, pixels) = (Grid::linear(blocks as u32, THREADS as u32), images.device_pixels(OP)?);
    let blocks_per_image = blocks_per_image as u32;
    // SAFETY: every valid image has `plane` pixels from its start, and the output holds one tensor for each row.
    unsafe { launch(cuda, grid, pixels.input(), starts.input(), table.input(), blocks_per_image, plane, out.output()) }
}
