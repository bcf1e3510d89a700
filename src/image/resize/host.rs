//! Host twin of resize: two passes per image over bytes, in integers, rows in parallel.

use std::borrow::Cow;

use multiversion::multiversion;
use rayon::prelude::*;

use super::plan::{Axis, BatchPlan, ImagePlan, Order};
use super::table::{AxisTable, PRECISION_BITS, ROUND};
use crate::error::{Error, Result};
use crate::image::Images;

/// Rows are handed to threads in runs of about this many bytes.
const RUN_BYTES: usize = 1 << 16;

/// Bytes that a vertical pass sums at once: their sums fit in registers.
const BLOCK: usize = 32;

/// Rows that a horizontal pass sums at once, and their lanes: four bytes for a pixel of each.
const ROWS: usize = 8;
const LANES: usize = 4 * ROWS;

/// Columns whose lanes are filled together.
const TILE: usize = 256;

/// A view of interleaved RGB rows: `row_bytes` from one row to the next, of which `width` pixels are seen.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    bytes: &'a [u8],
    row_bytes: usize,
    width: usize,
    height: usize,
}

impl<'a> View<'a> {
    /// All of a buffer that holds `width` x `height` pixels.
    pub fn whole(bytes: &'a [u8], width: usize, height: usize) -> Self {
        View { bytes, row_bytes: 3 * width, width, height }
    }

    /// One row of the view.
    pub fn row(&self, y: usize) -> &'a [u8] {
        &self.bytes[y * self.row_bytes..][..3 * self.width]
    }

    fn part(&self, x: &Axis, y: &Axis) -> View<'a> {
        let skipped = y.source_start as usize * self.row_bytes + 3 * x.source_start as usize;
        let (width, height) = (x.source_len as usize, y.source_len as usize);
        View { bytes: self.bytes.get(skipped..).unwrap_or_default(), width, height, ..*self }
    }
}

pub(super) fn resize(images: &Images, plan: &BatchPlan) -> Result<Images> {
    let sizes: Vec<_> = plan.images.iter().map(|p| p.as_ref().map(ImagePlan::canvas)).collect();
    let nbytes = |size: &Option<(u32, u32)>| size.map_or(0, |(w, h)| 3 * w as usize * h as usize);
    let mut data = vec![0u8; sizes.iter().map(nbytes).sum()];
    let mut rest = data.as_mut_slice();
    let mut jobs = Vec::with_capacity(sizes.len());
    for (row, plan) in plan.images.iter().enumerate() {
        let (out, after) = rest.split_at_mut(nbytes(&sizes[row]));
        rest = after;
        if let Some(plan) = plan {
            jobs.push((row, plan, out));
        }
    }
    jobs.into_par_iter().try_for_each(|(row, image, out)| {
        let pixels = images.pixels(row).ok_or_else(|| missing(row))?;
        if image.is_padded() && image.fill != [0; 3] {
            out.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&image.fill));
        }
        place(image, &resample(pixels, image, &plan.tables), out);
        Ok::<_, Error>(())
    })?;
    Images::from_pixels(data, &sizes)
}

/// Copies the covered pixels to their place on the canvas.
fn place(plan: &ImagePlan, covered: &[u8], out: &mut [u8]) {
    let (row_bytes, covered_bytes) = (3 * plan.x.canvas as usize, 3 * plan.x.canvas_len as usize);
    let first = plan.y.covered_start() as usize * row_bytes + 3 * plan.x.covered_start() as usize;
    for (y, row) in covered.chunks_exact(covered_bytes).enumerate() {
        out[first + y * row_bytes..][..covered_bytes].copy_from_slice(row);
    }
}

fn missing(row: usize) -> Error {
    Error::Internal { op: super::OP, why: format!("row {row} has a plan but no pixels") }
}

/// The pixels of the result that the image covers, `x.canvas_len` x `y.canvas_len`, flipped, without padding.
pub(crate) fn resample<'a>(pixels: &'a [u8], plan: &ImagePlan, tables: &[AxisTable]) -> Cow<'a, [u8]> {
    let mut covered = upright(pixels, plan, tables);
    let row_bytes = 3 * plan.x.canvas_len as usize;
    if plan.x.flip {
        covered.to_mut().chunks_exact_mut(row_bytes).for_each(mirror_row);
    }
    if plan.y.flip {
        let (above, below) = covered.to_mut().split_at_mut(plan.y.canvas_len as usize / 2 * row_bytes);
        let rows = above.chunks_exact_mut(row_bytes).zip(below.rchunks_exact_mut(row_bytes));
        rows.for_each(|(above, below)| above.swap_with_slice(below));
    }
    covered
}

/// Turns the pixels of a row round.
fn mirror_row(row: &mut [u8]) {
    let (left, right) = row.split_at_mut(row.len() / 6 * 3);
    let pixels = left.chunks_exact_mut(3).zip(right.rchunks_exact_mut(3));
    pixels.for_each(|(left, right)| left.swap_with_slice(right));
}

/// The covered pixels before any flip.
fn upright<'a>(pixels: &'a [u8], plan: &ImagePlan, tables: &[AxisTable]) -> Cow<'a, [u8]> {
    let whole = View::whole(pixels, plan.source.width as usize, plan.source.height as usize);
    let source = whole.part(&plan.x, &plan.y);
    let table = |axis: &Axis| axis.table.map(|t| &tables[t]);
    match (table(&plan.x), table(&plan.y)) {
        (None, None) if source.width == whole.width => Cow::Borrowed(&source.bytes[..3 * source.width * source.height]),
        (None, None) => Cow::Owned((0..source.height).flat_map(|y| source.row(y)).copied().collect()),
        (Some(x), None) => Cow::Owned(horizontal(source, x)),
        (None, Some(y)) => Cow::Owned(vertical(source, y)),
        (Some(x), Some(y)) => Cow::Owned(match plan.order {
            Order::HorizontalFirst => vertical(View::whole(&horizontal(source, x), x.taps.len(), source.height), y),
            Order::VerticalFirst => horizontal(View::whole(&vertical(source, y), source.width, y.taps.len()), x),
        }),
    }
}

fn horizontal(source: View, table: &AxisTable) -> Vec<u8> {
    let row_bytes = 3 * table.taps.len();
    let mut out = vec![0u8; row_bytes * source.height];
    for_rows(&mut out, row_bytes, |first, rows| {
        let mut columns = vec![[0u8; LANES]; source.width];
        for (group, out) in rows.chunks_mut(ROWS * row_bytes).enumerate() {
            let first = first + group * ROWS;
            // Tile by tile, so that the columns being written stay in the nearest cache.
            for (tile, columns) in columns.chunks_mut(TILE).enumerate() {
                for y in 0..out.len() / row_bytes {
                    let row = &source.row(first + y)[3 * TILE * tile..];
                    stand(&row[..3 * columns.len()], y, columns);
                }
            }
            horizontal_rows(&columns, table, out);
        }
    });
    out
}

/// Writes a row's pixels into the lanes of row `y` of a group, column by column.
fn stand(row: &[u8], y: usize, columns: &mut [[u8; LANES]]) {
    let lanes = 4 * y..4 * y + 4;
    // Four bytes are one move; the fourth is the next pixel's red, which nobody uses. The last pixel has no next one.
    for (column, pixel) in columns.iter_mut().zip(row.windows(4).step_by(3)) {
        column[lanes.clone()].copy_from_slice(pixel);
    }
    if let (Some(column), Some(pixel)) = (columns.last_mut(), row.last_chunk::<3>()) {
        column[4 * y..4 * y + 3].copy_from_slice(pixel);
    }
}

fn vertical(source: View, table: &AxisTable) -> Vec<u8> {
    let row_bytes = 3 * source.width;
    let mut out = vec![0u8; row_bytes * table.taps.len()];
    for_rows(&mut out, row_bytes, |first, rows| {
        for (y, out) in rows.chunks_exact_mut(row_bytes).enumerate() {
            vertical_row(source, table, first + y, out);
        }
    });
    out
}

/// Calls `f` with the index of its first row for runs of rows, in parallel when there are several runs.
fn for_rows(out: &mut [u8], row_bytes: usize, f: impl Fn(usize, &mut [u8]) + Sync) {
    let run = (RUN_BYTES / row_bytes.max(1)).next_multiple_of(ROWS).max(ROWS);
    if row_bytes == 0 {
        return;
    }
    if out.len() <= 2 * RUN_BYTES {
        return f(0, out);
    }
    out.par_chunks_mut(run * row_bytes).enumerate().for_each(|(i, rows)| f(i * run, rows));
}

/// A group of output rows: each pixel is a weighted sum of neighbours, for all rows of the group at once.
#[multiversion(targets("x86_64+avx2", "x86_64+sse4.1"))]
fn horizontal_rows(columns: &[[u8; LANES]], table: &AxisTable, out: &mut [u8]) {
    let row_bytes = 3 * table.taps.len();
    for (x, taps) in table.taps.iter().enumerate() {
        let mut sums = [ROUND; LANES];
        let columns = &columns[taps.start as usize..][..taps.count as usize];
        for (column, &weight) in columns.iter().zip(table.weights_of(taps)) {
            let weight = one_by_one(weight);
            for (sum, &byte) in sums.iter_mut().zip(column) {
                *sum = sum.wrapping_add(i32::from(byte).wrapping_mul(weight));
            }
        }
        let bytes = sums.map(to_byte);
        for (row, pixel) in out.chunks_exact_mut(row_bytes).zip(bytes.chunks_exact(4)) {
            row[3 * x..3 * x + 3].copy_from_slice(&pixel[..3]);
        }
    }
}

/// One output row: the weighted sum of source rows, byte by byte.
#[multiversion(targets("x86_64+avx2", "x86_64+sse4.1"))]
fn vertical_row(source: View, table: &AxisTable, y: usize, out: &mut [u8]) {
    let taps = &table.taps[y];
    let weights = table.weights_of(taps);
    let full = out.len() / BLOCK * BLOCK;
    for (block, out) in out[..full].chunks_exact_mut(BLOCK).enumerate() {
        let mut sums = [ROUND; BLOCK];
        for (i, &weight) in weights.iter().enumerate() {
            let row = &source.bytes[(taps.start as usize + i) * source.row_bytes + block * BLOCK..][..BLOCK];
            let weight = one_by_one(weight);
            for (sum, &byte) in sums.iter_mut().zip(row) {
                *sum = sum.wrapping_add(i32::from(byte).wrapping_mul(weight));
            }
        }
        for (out, &sum) in out.iter_mut().zip(&sums) {
            *out = to_byte(sum);
        }
    }
    for (x, out) in out.iter_mut().enumerate().skip(full) {
        let sum = weights.iter().enumerate().fold(ROUND, |sum, (i, &weight)| {
            let byte = source.bytes[(taps.start as usize + i) * source.row_bytes + x];
            sum.wrapping_add(i32::from(byte).wrapping_mul(weight))
        });
        *out = to_byte(sum);
    }
}

/// The weight, in a way that keeps the compiler from making vectors along the taps: with eight and more it gathers
/// their bytes one by one, which takes twice as long as vectors along the lanes.
#[inline(always)]
fn one_by_one(weight: i32) -> i32 {
    std::hint::black_box(weight)
}

#[inline(always)]
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}
