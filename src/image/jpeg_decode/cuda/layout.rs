//! Where everything of a batch lies: descriptors for the device, field by field as in kernels/include/jpeg.cuh, and the
//! sizes of grids and buffers. All of it follows from the headers.

use std::collections::HashMap;
use std::hash::Hash;

use super::header::{Job, ScanJob};
use crate::device::{MemoryPlan, padded};
use crate::image::jpeg_decode::frame::{ColorModel, Component};
use crate::image::jpeg_decode::huffman::TableSpec;
use crate::image::jpeg_decode::upsample::Filter;

/// Bytes of a subsequence, and of a destuffing tile; threads of the blocks that work on them.
const SLOT_BYTES: u64 = 128;
const TILE_BYTES: u64 = 4096;
pub(super) const SLOT_THREADS: u32 = 128;
pub(super) const THREADS: u32 = 256;
/// 8 x 8 blocks for a thread block.
pub(super) const IDCT_BLOCKS: u32 = 32;
/// Bytes behind a scan's data that decoding may look at.
const LOOK_AHEAD: u64 = 16;
/// Longest entropy-coded data of a scan: places in it are counted in bits.
const MAX_RAW: usize = (u32::MAX / 8) as usize - 64;

/// Bytes of device structures.
const TABLE_BYTES: u64 = 2448;
pub(super) const STATE_BYTES: u64 = 20;
pub(super) const TILE_COUNT_BYTES: u64 = 12;
pub(super) const TILE_BASE_BYTES: u64 = 8;

/// A set of equal-sized records, each kept once.
struct Unique<K> {
    numbers: HashMap<K, u16>,
    bytes: Vec<u8>,
}

impl<K: Hash + Eq> Unique<K> {
    fn new() -> Self {
        Unique { numbers: HashMap::new(), bytes: Vec::new() }
    }

    /// The number of a record; `None` when there are too many.
    fn number(&mut self, key: K, write: impl FnOnce(&K, &mut Vec<u8>)) -> Option<u16> {
        if let Some(number) = self.numbers.get(&key) {
            return Some(*number);
        }
        let number = u16::try_from(self.numbers.len()).ok()?;
        write(&key, &mut self.bytes);
        self.numbers.insert(key, number);
        Some(number)
    }
}

/// Sizes of a batch so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Totals {
    pub scans: u32,
    pub images: u32,
    pub tiles: u32,
    pub slots: u32,
    /// Segment starts, one more than segments for each scan.
    pub starts: u32,
    pub mcus: u32,
    /// 8 x 8 blocks of coefficients.
    pub blocks: u32,
    /// Blocks of the grid that makes pixels.
    pub pixel_blocks: u32,
    /// Bytes of destuffed data.
    pub plain: u64,
    /// Bytes of samples.
    pub planes: u64,
}

/// The layout of a batch.
pub(super) struct BatchLayout {
    pub totals: Totals,
    /// The row of every scan, and the segments that it must have.
    pub scans: Vec<(usize, u32)>,
    scan_bytes: Vec<u8>,
    image_bytes: Vec<u8>,
    tables: Unique<(bool, [u8; 16], [u8; 256])>,
    quants: Unique<[u16; 64]>,
}

/// Places of the parts of the one buffer of descriptors, with their lengths.
pub(super) struct Descriptors {
    pub bytes: Vec<u8>,
    pub scans: (usize, usize),
    pub images: (usize, usize),
    pub tables: (usize, usize),
    pub quants: (usize, usize),
}

impl BatchLayout {
    pub fn new() -> Self {
        let (tables, quants) = (Unique::new(), Unique::new());
        let (scan_bytes, image_bytes) = (Vec::new(), Vec::new());
        BatchLayout { totals: Totals::default(), scans: Vec::new(), scan_bytes, image_bytes, tables, quants }
    }

    /// Adds the image of a row whose file begins at `encoded` of the encoded bytes and whose pixels go to `pixels`. False,
    /// and nothing is added, where the batch would outgrow 32-bit counts.
    pub fn add(&mut self, row: usize, job: &Job, encoded: u64, pixels: u64) -> bool {
        let (scans, images) = (self.scan_bytes.len(), self.image_bytes.len());
        let (totals, rows) = (self.totals, self.scans.len());
        let added = self.try_add(row, job, encoded, pixels).is_some();
        if !added {
            self.scan_bytes.truncate(scans);
            self.image_bytes.truncate(images);
            self.scans.truncate(rows);
            self.totals = totals;
        }
        added
    }

    fn try_add(&mut self, row: usize, job: &Job, encoded: u64, pixels: u64) -> Option<()> {
        let planes = self.add_planes(job);
        for scan in &job.scans {
            self.add_scan(row, job, scan, encoded, &planes)?;
        }
        self.add_image(job, pixels, &planes)
    }

    /// The first bytes of the components' samples.
    fn add_planes(&mut self, job: &Job) -> Vec<u64> {
        let mut place = |component: &Component| {
            let at = self.totals.planes;
            self.totals.planes += 64 * component.blocks_x as u64 * component.blocks_y as u64;
            at
        };
        job.frame.components.iter().map(&mut place).collect()
    }

    fn add_scan(&mut self, row: usize, job: &Job, scan: &ScanJob, encoded: u64, planes: &[u64]) -> Option<()> {
        let raw_len = scan.raw.len();
        if raw_len > MAX_RAW {
            return None;
        }
        let mcus = u32::try_from(scan.layout.mcus_x * scan.layout.mcus_y).ok()?;
        let segment_mcus = if scan.restart_interval == 0 { mcus } else { scan.restart_interval.min(mcus) };
        let segments = mcus.div_ceil(segment_mcus);
        let at = self.totals;
        let out = &mut self.scan_bytes;
        out.extend((encoded + scan.raw.start as u64).to_le_bytes());
        out.extend(at.plain.to_le_bytes());
        let words = [raw_len as u32, at.tiles, at.slots, at.starts, segments, segment_mcus, mcus];
        let words = words.into_iter().chain([scan.layout.mcus_x as u32, at.mcus, at.blocks]);
        words.for_each(|word| out.extend(word.to_le_bytes()));

        let units = self.units(scan)?;
        let period = period(&units);
        let out = &mut self.scan_bytes;
        out.extend([units.len() as u8, period, scan.end_marker, u8::from(scan.restart_interval > 0), 0, 0, 0, 0]);
        for (place, (dc, ac)) in scan.layout.places.iter().zip(&units) {
            out.extend([place.component as u8, place.dx as u8, place.dy as u8, 0]);
            out.extend(dc.to_le_bytes().into_iter().chain(ac.to_le_bytes()));
        }
        out.resize(out.len() + 8 * (10 - units.len()), 0);
        self.scan_components(job, scan, planes)?;

        let raw_len = raw_len as u64;
        let slots = raw_len / SLOT_BYTES + u64::from(segments) + 1;
        let blocks = u64::from(mcus) * units.len() as u64;
        let total = &mut self.totals;
        total.scans += 1;
        total.tiles = total.tiles.checked_add(raw_len.div_ceil(TILE_BYTES) as u32)?;
        total.slots = total.slots.checked_add(u32::try_from(slots).ok()?)?;
        total.starts = total.starts.checked_add(segments + 1)?;
        total.mcus = total.mcus.checked_add(mcus)?;
        total.blocks = total.blocks.checked_add(u32::try_from(blocks).ok()?)?;
        total.plain += (raw_len + LOOK_AHEAD).next_multiple_of(16);
        self.scans.push((row, segments));
        Some(())
    }

    /// The DC and AC table of each block of the MCU.
    fn units(&mut self, scan: &ScanJob) -> Option<Vec<(u16, u16)>> {
        let mut number = |dc: bool, spec: &TableSpec| {
            let counts: [u8; 16] = spec.counts[1..].try_into().ok()?;
            self.tables.number((dc, counts, spec.symbols), |(_, counts, symbols), out| {
                out.extend(counts);
                out.extend(symbols);
            })
        };
        let tables = scan.tables.iter().map(|(dc, ac)| Some((number(true, dc)?, number(false, ac)?)));
        let tables = tables.collect::<Option<Vec<_>>>()?;
        scan.layout.places.iter().map(|place| tables.get(place.slot).copied()).collect()
    }

    fn scan_components(&mut self, job: &Job, scan: &ScanJob, planes: &[u64]) -> Option<()> {
        for (index, component) in job.frame.components.iter().enumerate() {
            // Steps are those of the component's slot; a component that is not in the scan has none.
            let slot = scan.layout.places.iter().find(|place| place.component == index).map(|place| place.slot);
            let (step_x, step_y) = slot.map_or((0, 0), |slot| scan.layout.steps[slot]);
            let quant = self.quants.number(component.quant.unwrap_or([0; 64]), |quant, out| {
                quant.iter().for_each(|value| out.extend(value.to_le_bytes()));
            })?;
            let out = &mut self.scan_bytes;
            out.extend(planes.get(index)?.to_le_bytes());
            let words = [8 * component.blocks_x as u32, component.blocks_x as u32, component.blocks_y as u32];
            words.into_iter().for_each(|word| out.extend(word.to_le_bytes()));
            out.extend(quant.to_le_bytes());
            out.extend([step_x as u8, step_y as u8]);
        }
        self.scan_bytes.resize(self.scan_bytes.len() + 24 * (4 - job.frame.components.len()), 0);
        Some(())
    }

    fn add_image(&mut self, job: &Job, pixels: u64, planes: &[u64]) -> Option<()> {
        let frame = &job.frame;
        let out = &mut self.image_bytes;
        out.extend(pixels.to_le_bytes());
        let words = [frame.width, frame.height, self.totals.pixel_blocks];
        words.into_iter().for_each(|word| out.extend(word.to_le_bytes()));
        let model = match job.model {
            ColorModel::Gray => 0,
            ColorModel::YCbCr => 1,
            ColorModel::Rgb => 2,
            ColorModel::Cmyk => 3,
            ColorModel::Ycck => 4,
        };
        out.extend([model, frame.components.len() as u8, job.orientation, 0]);
        for (component, plane) in frame.components.iter().zip(planes) {
            let filter = match Filter::of(frame, component) {
                Filter::Copy => 0,
                Filter::Fancy2x1 => 1,
                Filter::Fancy1x2 => 2,
                Filter::Fancy2x2 => 3,
                Filter::Replicate { .. } => 4,
            };
            out.extend(plane.to_le_bytes());
            let words = [8 * component.blocks_x as u32, component.width as u32, component.height as u32];
            words.into_iter().for_each(|word| out.extend(word.to_le_bytes()));
            out.extend([filter, frame.h_max / component.h, frame.v_max / component.v, 0]);
        }
        out.resize(out.len() + 24 * (4 - frame.components.len()), 0);
        let turned = job.orientation >= 5;
        let (width, height) = if turned { (frame.height, frame.width) } else { (frame.width, frame.height) };
        let quads = u64::from(width.div_ceil(4)) * u64::from(height);
        let blocks = quads.div_ceil(u64::from(THREADS)) as u32;
        self.totals.images += 1;
        self.totals.pixel_blocks =
            self.totals.pixel_blocks.checked_add(blocks).filter(|n| i32::try_from(*n).is_ok())?;
        Some(())
    }

    /// All descriptors in one buffer, each part on a 16-byte boundary.
    pub fn descriptors(&self) -> Descriptors {
        let mut bytes = Vec::new();
        let mut part = |part: &[u8]| {
            bytes.resize(bytes.len().next_multiple_of(16), 0);
            let at = (bytes.len(), part.len());
            bytes.extend(part);
            at
        };
        let (scans, images) = (part(&self.scan_bytes), part(&self.image_bytes));
        let (tables, quants) = (part(&self.tables.bytes), part(&self.quants.bytes));
        Descriptors { bytes, scans, images, tables, quants }
    }

    /// Huffman tables of the batch.
    pub fn tables(&self) -> u32 {
        self.tables.numbers.len() as u32
    }

    /// Device bytes for tables ready for decoding.
    pub fn table_bytes(&self) -> u64 {
        TABLE_BYTES * u64::from(self.tables())
    }

    /// Device bytes that decoding takes beside the output, given those of the encoded data.
    pub fn workspace(&self, encoded: u64) -> u64 {
        let t = &self.totals;
        if t.images == 0 {
            return 0;
        }
        let n = |count: u32, bytes: u64| padded(u64::from(count) * bytes);
        let exits = n(t.slots.div_ceil(SLOT_THREADS), 4);
        let always = padded(self.descriptors().bytes.len() as u64) + n(t.scans, 4) + n(t.blocks, 128);
        let scan = 8 * (1 + u64::from(t.slots.div_ceil(THREADS)));
        let entropy = padded(encoded) + padded(self.table_bytes()) + n(t.tiles, TILE_COUNT_BYTES);
        let entropy = entropy + n(t.tiles, TILE_BASE_BYTES) + padded(t.plain) + 2 * n(t.starts, 4);
        let entropy = entropy + n(t.slots, STATE_BYTES) + 3 * exits + n(t.slots, 4) + padded(scan);
        let samples = n(t.mcus, 8) + n(t.mcus.div_ceil(THREADS), 8) + padded(t.planes);
        always + entropy.max(samples)
    }
}

/// The smallest number that divides the blocks of the MCU such that blocks that far apart use equal tables.
fn period(units: &[(u16, u16)]) -> u8 {
    let n = units.len();
    let repeats = |d: &usize| n.is_multiple_of(*d) && (0..n - d).all(|i| units[i] == units[i + d]);
    (1..=n).find(repeats).unwrap_or(n) as u8
}

/// What a decode takes: the output is three bytes a pixel, with offsets, sizes and a bitmap.
pub(super) fn plan(workspace: u64, rows: u64, pixels: u64) -> MemoryPlan {
    let columns = padded(8 * (rows + 1)) + 2 * padded(4 * rows) + padded(rows.div_ceil(8));
    MemoryPlan { workspace, output: padded(pixels) + columns }
}
