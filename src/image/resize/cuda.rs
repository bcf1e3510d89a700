//! Device side of resize: descriptors, one upload of tables, and the launches of the passes.
//!
//! A batch takes at most two launches whatever its number of images: the first pass of all images that need two, and
//! the last pass of all images. Each block finds its image by its number (`first_block`).

use super::OP;
use super::plan::{Axis, BatchPlan, ImagePlan, Order};
use super::table::{AxisTable, Taps};
use crate::device::kernels::entries::resize::PASS_U8;
use crate::device::launch::kernel;
use crate::device::{CudaCtx, DeviceBuffer, Grid, In, Out, padded};
use crate::error::{Error, Result};
use crate::image::Images;

/// Threads of a block in both kernels.
pub(crate) const THREADS: u64 = 256;

/// Pixels that a thread makes.
const QUAD: u64 = 4;

/// Bytes of an `ImagePass` on the device.
const DESCRIPTOR_BYTES: u64 = 64;

/// Rows of a staged tile, and pixels of one of its rows in shared memory (`kTileRows`, `kStagedPixels`).
const TILE_ROWS: u32 = 8;
const STAGED_PIXELS: u32 = 512;

/// Rows between the passes start at multiples of this many bytes, so that a vertical pass reads whole words.
const ROW_ALIGN: u64 = 16;

kernel! {
    /// One pass over a ragged batch, to RGB bytes.
    pub(crate) fn resize_pass_u8[PASS_U8](
        pixels: In<'_, u8>,
        between: In<'_, u8>,
        images: In<'_, ImagePass>,
        taps: In<'_, [u32; 4]>,
        weights: In<'_, i32>,
        n: u32,
        out: Out<'_, u8>,
    );
}

/// What a pass does with one image: `ImagePass` of kernels/include/resample.cuh, field by field.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ImagePass {
    source: u64,
    out: u64,
    source_row: u32,
    out_row: u32,
    taps: u32,
    kind: u32,
    canvas: (u32, u32),
    left_top: (u32, u32),
    size: (u32, u32),
    tile: u32,
}

const KIND_COPY: u32 = 1;
const KIND_HORIZONTAL: u32 = 2;
const KIND_VERTICAL: u32 = 3;
/// Bits of `kind` beside what the pass does (`kBetween`, `kFlipX`, `kFlipY`), and where the fill colour begins.
const FROM_BETWEEN: u32 = 1 << 2;
const FLIP_X: u32 = 1 << 3;
const FLIP_Y: u32 = 1 << 4;
const FILL_SHIFT: u32 = 8;

impl ImagePass {
    /// Blocks that work on the image.
    fn blocks(&self) -> u64 {
        if self.tile > 0 {
            return u64::from(self.canvas.0.div_ceil(self.tile)) * u64::from(self.canvas.1.div_ceil(TILE_ROWS));
        }
        (u64::from(self.canvas.0).div_ceil(QUAD) * u64::from(self.canvas.1)).div_ceil(THREADS)
    }

    fn write(&self, first_block: u32, out: &mut Vec<u8>) {
        out.extend(self.source.to_le_bytes());
        out.extend(self.out.to_le_bytes());
        let (canvas, at, size) = (self.canvas, self.left_top, self.size);
        let words = [self.source_row, self.out_row, self.taps, self.kind, canvas.0, canvas.1];
        for word in words.into_iter().chain([at.0, at.1, size.0, size.1, first_block, self.tile]) {
            out.extend(word.to_le_bytes());
        }
    }
}

/// Where the last pass puts an image: offset of its canvas and elements from row to row.
pub(crate) struct Target {
    pub out: u64,
    pub out_row: u32,
}

/// Device bytes that [`first_pass`] takes.
pub(crate) fn workspace(plan: &BatchPlan) -> u64 {
    let taps: u64 = plan.tables.iter().map(|t| 16 * t.taps.len() as u64).sum();
    let weights: u64 = plan.tables.iter().map(|t| 4 * t.weights.len() as u64).sum();
    let descriptors = 2 * DESCRIPTOR_BYTES * plan.images.len() as u64;
    let between = plan.images.iter().flatten().filter_map(ImagePlan::between);
    let between: u64 = between.map(|size| between_row(size.0) * u64::from(size.1)).sum();
    padded((taps + weights).next_multiple_of(16) + descriptors) + padded(between)
}

/// Bytes from one row between the passes to the next.
fn between_row(width: u32) -> u64 {
    (3 * u64::from(width)).next_multiple_of(ROW_ALIGN)
}

/// A batch on its way: the first pass is launched, the last one has its inputs.
pub(crate) struct LastPass {
    /// Number of images, null ones included.
    pub n: u32,
    /// Blocks of the last launch.
    pub grid: Grid,
    /// Pixels between the passes; absent where no image needs two.
    pub between: Option<DeviceBuffer>,
    /// Descriptors of the last pass.
    pub images: DeviceBuffer,
    /// Taps of all tables.
    pub taps: DeviceBuffer,
    /// Weights of all tables.
    pub weights: DeviceBuffer,
}

/// Uploads tables and descriptors, launches the first pass where an image needs one, and prepares the last.
///
/// `target` tells where the image of a row goes; a null row's canvas is zeroed when `null_canvas` gives its size.
pub(crate) fn first_pass(
    cuda: &CudaCtx,
    op: &'static str,
    pixels: &DeviceBuffer,
    plan: &BatchPlan,
    null_canvas: (u32, u32),
    target: impl Fn(usize) -> Target,
) -> Result<LastPass> {
    let tables = Tables::new(op, &plan.tables)?;
    let mut between_bytes = 0;
    let mut firsts = Vec::with_capacity(plan.images.len());
    let mut lasts = Vec::with_capacity(plan.images.len());
    for (row, image) in plan.images.iter().enumerate() {
        let Target { out, out_row } = target(row);
        let (first, mut last) = match image {
            Some(image) => passes(image, &tables, &mut between_bytes),
            None => (ImagePass::default(), ImagePass { canvas: null_canvas, ..ImagePass::default() }),
        };
        (last.out, last.out_row) = (out, out_row);
        firsts.push(first);
        lasts.push(last);
    }
    let n = u32::try_from(lasts.len()).map_err(|_| Error::unsupported(op, "2^32 images", "split the batch"))?;

    // One upload: tables, then both descriptor arrays; each part starts at a multiple of 16 bytes.
    let mut bytes = tables.taps;
    let weights_at = bytes.len();
    bytes.extend(tables.weights.iter().flat_map(|w| w.to_le_bytes()));
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    let firsts_at = bytes.len();
    let first_blocks = write_all(op, &firsts, &mut bytes)?;
    let lasts_at = bytes.len();
    let last_blocks = write_all(op, &lasts, &mut bytes)?;
    let uploaded = cuda.upload(op, &bytes)?;
    let taps = uploaded.slice(0, weights_at);
    let weights = uploaded.slice(weights_at, 4 * tables.weights.len());

    let between = match first_blocks {
        0 => None,
        blocks => {
            let mut between = cuda.allocate(op, between_bytes as usize)?;
            let images = uploaded.slice(firsts_at, lasts_at - firsts_at);
            let grid = Grid::linear(blocks, THREADS as u32);
            let (pixels, none) = (pixels.input(), In::absent());
            // SAFETY: the plan keeps every window within its image and every row between the passes within its
            // `between_bytes`; taps point into the window and weights into their table.
            unsafe {
                let (taps, weights) = (taps.input(), weights.input());
                resize_pass_u8(cuda, grid, pixels, none, images.input(), taps, weights, n, between.output())?;
            }
            Some(between.freeze())
        }
    };
    let images = uploaded.slice(lasts_at, bytes.len() - lasts_at);
    Ok(LastPass { n, grid: Grid::linear(last_blocks, THREADS as u32), between, images, taps, weights })
}

/// Writes descriptors with their first blocks and returns the number of blocks.
fn write_all(op: &'static str, images: &[ImagePass], bytes: &mut Vec<u8>) -> Result<u32> {
    let mut blocks = 0u64;
    for image in images {
        image.write(blocks.min(u64::from(u32::MAX)) as u32, bytes);
        blocks += image.blocks();
    }
    match i32::try_from(blocks) {
        Ok(blocks) => Ok(blocks as u32),
        Err(_) => Err(Error::unsupported(op, format!("{blocks} blocks in one launch"), "split the batch")),
    }
}

/// Taps (as bytes) and weights of all tables, one after the other.
struct Tables {
    taps: Vec<u8>,
    weights: Vec<i32>,
    first_tap: Vec<u32>,
    tile: Vec<u32>,
}

impl Tables {
    fn new(op: &'static str, tables: &[AxisTable]) -> Result<Self> {
        let tile = tables.iter().map(tile).collect();
        let mut all = Tables { taps: Vec::new(), weights: Vec::new(), first_tap: Vec::new(), tile };
        for table in tables {
            all.first_tap.push((all.taps.len() / 16) as u32);
            let base = all.weights.len() as u64;
            if base + table.weights.len() as u64 > u64::from(u32::MAX) {
                return Err(Error::unsupported(op, "2^32 weights in one batch", "split the batch"));
            }
            for taps in &table.taps {
                for word in [taps.start, taps.count, base as u32 + taps.weights, 0] {
                    all.taps.extend(word.to_le_bytes());
                }
            }
            all.weights.extend(&table.weights);
        }
        Ok(all)
    }
}

/// Columns of the tiles that a horizontal pass stages, the most whose source pixels fit; 0 where none do, and where a
/// pixel has one tap at most (nearest), which staging would not help.
fn tile(table: &AxisTable) -> u32 {
    let pixels = |tile: &[Taps]| tile[tile.len() - 1].start + tile[tile.len() - 1].count - tile[0].start;
    let fits = |columns: &u32| table.taps.chunks(*columns as usize).all(|tile| pixels(tile) <= STAGED_PIXELS);
    match table.taps.iter().all(|t| t.count > 0) && table.taps.iter().any(|t| t.count > 1) {
        true => [64, 32, 16].into_iter().find(fits).unwrap_or(0),
        false => 0,
    }
}

/// The first and the last pass of an image; the first is empty where one pass, or none, is enough.
fn passes(image: &ImagePlan, tables: &Tables, between_bytes: &mut u64) -> (ImagePass, ImagePass) {
    let (x, y) = (&image.x, &image.y);
    let row = 3 * u64::from(image.source.width);
    let window = image.source.offset as u64 + u64::from(y.source_start) * row + 3 * u64::from(x.source_start);
    let taps = |axis: &Axis| axis.table.map_or(0, |t| tables.first_tap[t]);
    let last = ImagePass {
        source: window,
        source_row: row as u32,
        canvas: image.canvas(),
        left_top: (x.canvas_start, y.canvas_start),
        size: (x.canvas_len, y.canvas_len),
        ..ImagePass::default()
    };
    let (horizontal, vertical) = ((KIND_HORIZONTAL, taps(x)), (KIND_VERTICAL, taps(y)));
    let canvas = canvas_bits(image);
    let single = |(kind, taps)| (ImagePass::default(), ImagePass { kind: kind | canvas, taps, ..last });
    let Some(size) = image.between() else {
        return single(match (x.table, y.table) {
            (Some(_), _) => horizontal,
            (None, Some(_)) => vertical,
            (None, None) => (KIND_COPY, 0),
        });
    };
    let (then, finally) = match image.order {
        Order::HorizontalFirst => (horizontal, vertical),
        Order::VerticalFirst => (vertical, horizontal),
    };
    let tile = match image.order {
        Order::HorizontalFirst => x.table.map_or(0, |t| tables.tile[t]),
        Order::VerticalFirst => 0,
    };
    let between_row = between_row(size.0);
    let at = *between_bytes;
    *between_bytes += between_row * u64::from(size.1);
    let first = ImagePass {
        source: window,
        out: at,
        source_row: row as u32,
        out_row: between_row as u32,
        kind: then.0,
        taps: then.1,
        canvas: size,
        left_top: (0, 0),
        size,
        tile,
    };
    let source_row = between_row as u32;
    (first, ImagePass { source: at, source_row, kind: finally.0 | FROM_BETWEEN | canvas, taps: finally.1, ..last })
}

/// What the last pass's `kind` says about the canvas: flips and fill colour.
fn canvas_bits(image: &ImagePlan) -> u32 {
    let flips = [(image.x.flip, FLIP_X), (image.y.flip, FLIP_Y)];
    let flips: u32 = flips.into_iter().filter(|(flip, _)| *flip).map(|(_, bit)| bit).sum();
    let [red, green, blue] = image.fill;
    flips | u32::from_le_bytes([red, green, blue, 0]) << FILL_SHIFT
}

pub(super) fn resize(cuda: &CudaCtx, images: &Images, plan: &BatchPlan) -> Result<Images> {
    let sizes: Vec<_> = plan.images.iter().map(|p| p.as_ref().map(ImagePlan::canvas)).collect();
    let mut offsets = Vec::with_capacity(sizes.len() + 1);
    let mut end = 0u64;
    offsets.push(0i64);
    for size in &sizes {
        end += size.map_or(0, |(w, h)| 3 * u64::from(w) * u64::from(h));
        offsets.push(end as i64);
    }
    let target = |row: usize| Target { out: offsets[row] as u64, out_row: sizes[row].map_or(0, |(w, _)| 3 * w) };
    let source = images.device_pixels(OP)?;
    let pass = first_pass(cuda, OP, source, plan, (0, 0), target)?;
    let mut out = cuda.allocate(OP, end as usize)?;
    let (between, taps, weights) = (pass.between.as_ref().into(), pass.taps.input(), pass.weights.input());
    let (pixels, table) = (source.input(), pass.images.input());
    // SAFETY: as in `first_pass`; each canvas lies between the row's offsets, the last of which is the output's length.
    unsafe { resize_pass_u8(cuda, pass.grid, pixels, between, table, taps, weights, pass.n, out.output())? };
    Images::on_device(cuda, out.freeze(), &offsets, &sizes, images.device_validity())
}
