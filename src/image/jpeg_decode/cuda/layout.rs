//! Where everything of a batch lies: descriptors for the device, field by field as in kernels/include/jpeg.cuh, and the
//! sizes of grids and buffers. All of it follows from the headers.

use std::collections::HashMap;
use std::hash::Hash;

use super::header::{Job, ScanJob};
use crate::device::{MemoryPlan, padded};
use crate::image::jpeg_decode::frame::{ColorModel, Component};
use crate::image::jpeg_decode::huffman::TableSpec;
use crate::image::jpeg_decode::scan::{BlockPlace, Layout, MAX_BLOCKS};
use crate::image::jpeg_decode::upsample::Filter;

/// Bytes of a subsequence, and of a destuffing tile; threads of the blocks that work on them.
const SLOT_BYTES: u64 = 128;
const TILE_BYTES: u64 = 4096;
pub(super) const SLOT_THREADS: u32 = 128;
pub(super) const THREADS: u32 = 256;
/// 8 x 8 blocks for a thread block.
pub(super) const IDCT_BLOCKS: u32 = 32;
/// Bytes behind a scan's data that decoding may look at.
const LOOK_AHEAD: u64 = 32;
/// Longest entropy-coded data of a scan: places in it are counted in bits.
const MAX_RAW: usize = (u32::MAX / 8) as usize - 64;

/// Bits of a scan's flags.
const RESTARTS: u8 = 1;
const FINISHED: u8 = 2;

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
    /// Chains of progressive scans.
    pub chains: u32,
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
    /// Where each chain begins in the members, and the scans that are those members.
    chain_starts: Vec<u32>,
    members: Vec<u32>,
    tables: Unique<(bool, [u8; 16], [u8; 256])>,
    quants: Unique<[u16; 64]>,
}

/// Places of the parts of the one buffer of descriptors, with their lengths.
pub(super) struct Descriptors {
    pub bytes: Vec<u8>,
    pub scans: (usize, usize),
    pub images: (usize, usize),
    pub chains: (usize, usize),
    pub members: (usize, usize),
    pub tables: (usize, usize),
    pub quants: (usize, usize),
}

impl BatchLayout {
    pub fn new() -> Self {
        let (tables, quants) = (Unique::new(), Unique::new());
        let (scan_bytes, image_bytes) = (Vec::new(), Vec::new());
        let (chain_starts, members) = (vec![0], Vec::new());
        let (totals, scans) = (Totals::default(), Vec::new());
        BatchLayout { totals, scans, scan_bytes, image_bytes, chain_starts, members, tables, quants }
    }

    /// Adds the image of a row whose file begins at `encoded` of the encoded bytes, modulo 2^64, and whose pixels go to
    /// `pixels`. False, and nothing is added, where the batch would outgrow 32-bit counts.
    pub fn add(&mut self, row: usize, job: &Job, encoded: u64, pixels: u64) -> bool {
        let (scans, images) = (self.scan_bytes.len(), self.image_bytes.len());
        let (totals, rows) = (self.totals, self.scans.len());
        let (chains, members) = (self.chain_starts.len(), self.members.len());
        let added = self.try_add(row, job, encoded, pixels).is_some();
        if !added {
            self.scan_bytes.truncate(scans);
            self.image_bytes.truncate(images);
            self.scans.truncate(rows);
            self.chain_starts.truncate(chains);
            self.members.truncate(members);
            self.totals = totals;
        }
        added
    }

    fn try_add(&mut self, row: usize, job: &Job, encoded: u64, pixels: u64) -> Option<()> {
        let planes = self.add_planes(job);
        match job.frame.progressive {
            false => {
                for scan in &job.scans {
                    self.add_scan(row, job, scan, encoded, &planes)?;
                }
            }
            true => self.add_progressive(row, job, encoded, &planes)?,
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
        self.scan_head(scan, encoded)?;
        self.scan_components(job, scan, planes)?;
        let segments = self.count_data(scan)?;
        let (mcus, units) = ((scan.layout.mcus_x * scan.layout.mcus_y) as u64, scan.layout.places.len() as u64);
        let total = &mut self.totals;
        let slots = scan.raw.len() as u64 / SLOT_BYTES + u64::from(segments) + 1;
        total.slots = total.slots.checked_add(u32::try_from(slots).ok()?)?;
        self.count_blocks(mcus, units)?;
        self.scans.push((row, segments));
        Some(())
    }

    /// Everything of a scan but its components. A scan without slots, MCUs or blocks of its own stands where the next one
    /// begins, so that searches pass over it.
    fn scan_head(&mut self, scan: &ScanJob, encoded: u64) -> Option<()> {
        let raw_len = scan.raw.len();
        if raw_len > MAX_RAW {
            return None;
        }
        let units = self.units(scan)?;
        let (mcus, segment_mcus) = mcus(scan)?;
        let at = self.totals;
        let out = &mut self.scan_bytes;
        out.extend(encoded.wrapping_add(scan.raw.start as u64).to_le_bytes());
        out.extend(at.plain.to_le_bytes());
        let segments = mcus.div_ceil(segment_mcus);
        let words = [raw_len as u32, at.tiles, at.slots, at.starts, segments, segment_mcus, mcus];
        let words = words.into_iter().chain([scan.layout.mcus_x as u32, at.mcus, at.blocks]);
        words.for_each(|word| out.extend(word.to_le_bytes()));
        let flags = if scan.restart_interval > 0 { RESTARTS } else { 0 };
        out.extend([units.len() as u8, period(&units), scan.end_marker, flags]);
        out.extend(scan.band);
        for (place, (dc, ac)) in scan.layout.places.iter().zip(&units) {
            out.extend([place.component as u8, place.dx as u8, place.dy as u8, 0]);
            out.extend(dc.to_le_bytes().into_iter().chain(ac.to_le_bytes()));
        }
        out.resize(out.len() + 8 * (MAX_BLOCKS - units.len()), 0);
        Some(())
    }

    /// Counts a scan's data; gives its segments.
    fn count_data(&mut self, scan: &ScanJob) -> Option<u32> {
        let (mcus, segment_mcus) = mcus(scan)?;
        let segments = mcus.div_ceil(segment_mcus);
        let raw_len = scan.raw.len() as u64;
        let total = &mut self.totals;
        total.scans += 1;
        total.tiles = total.tiles.checked_add(raw_len.div_ceil(TILE_BYTES) as u32)?;
        total.starts = total.starts.checked_add(segments + 1)?;
        total.plain += (raw_len + LOOK_AHEAD).next_multiple_of(16);
        Some(segments)
    }

    fn count_blocks(&mut self, mcus: u64, units: u64) -> Option<()> {
        let total = &mut self.totals;
        total.mcus = total.mcus.checked_add(u32::try_from(mcus).ok()?)?;
        total.blocks = total.blocks.checked_add(u32::try_from(mcus * units).ok()?)?;
        Some(())
    }

    /// A progressive image: a finished scan for the coefficients of each component, and the scans that make them, in
    /// chains whose coefficients differ.
    fn add_progressive(&mut self, row: usize, job: &Job, encoded: u64, planes: &[u64]) -> Option<()> {
        let mut firsts = Vec::with_capacity(planes.len());
        for index in 0..job.frame.components.len() {
            firsts.push(self.totals.blocks);
            self.add_finished(row, job, index, planes)?;
        }
        let first_scan = self.totals.scans;
        for scan in &job.scans {
            self.scan_head(scan, encoded)?;
            self.progressive_components(job, scan, &firsts);
            let segments = self.count_data(scan)?;
            self.scans.push((row, segments));
        }
        let dc = |scan: &ScanJob| scan.band[0] == 0;
        self.add_chain(job, first_scan, dc)?;
        for index in 0..job.frame.components.len() {
            self.add_chain(job, first_scan, |scan| !dc(scan) && scan.layout.places[0].component == index)?;
        }
        Some(())
    }

    /// The coefficients of a component, those included that complete the last MCUs: as it were a scan of them alone.
    fn add_finished(&mut self, row: usize, job: &Job, index: usize, planes: &[u64]) -> Option<()> {
        let component = &job.frame.components[index];
        let (blocks_x, blocks_y) = component.padded_blocks();
        let layout = Layout {
            places: vec![BlockPlace { slot: 0, component: index, dx: 0, dy: 0 }],
            steps: vec![(1, 1)],
            mcus_x: blocks_x,
            mcus_y: blocks_y,
            rows_per_imcu: 1,
        };
        let (tables, band) = (vec![(None, None)], [0; 4]);
        let scan = ScanJob { raw: 0..0, end_marker: 0, layout, restart_interval: 0, tables, band };
        let flags_at = self.scan_bytes.len() + 59;
        self.scan_head(&scan, 0)?;
        self.scan_bytes[flags_at] |= FINISHED;
        self.scan_components(job, &scan, planes)?;
        self.totals.scans += 1;
        self.totals.starts = self.totals.starts.checked_add(2)?;
        self.count_blocks((blocks_x * blocks_y) as u64, 1)?;
        self.scans.push((row, 0));
        Some(())
    }

    /// Where a progressive scan's blocks go in the coefficients.
    fn progressive_components(&mut self, job: &Job, scan: &ScanJob, firsts: &[u32]) {
        for (index, component) in job.frame.components.iter().enumerate() {
            let (step_x, step_y) = steps(scan, index);
            let out = &mut self.scan_bytes;
            out.extend(u64::from(firsts[index]).to_le_bytes());
            let words = [component.padded_blocks().0 as u32, component.blocks_x as u32, component.blocks_y as u32];
            words.into_iter().for_each(|word| out.extend(word.to_le_bytes()));
            out.extend([0, 0, step_x, step_y]);
        }
        self.scan_bytes.resize(self.scan_bytes.len() + 24 * (4 - job.frame.components.len()), 0);
    }

    /// A chain of those scans that `belongs` takes, in their order.
    fn add_chain(&mut self, job: &Job, first: u32, belongs: impl Fn(&ScanJob) -> bool) -> Option<()> {
        let members = (first..).zip(&job.scans).filter(|(_, scan)| belongs(scan)).map(|(number, _)| number);
        self.members.extend(members);
        self.chain_starts.push(u32::try_from(self.members.len()).ok()?);
        self.totals.chains += 1;
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
        let mut needed = |dc: bool, spec: &Option<TableSpec>| spec.as_ref().map_or(Some(0), |spec| number(dc, spec));
        let tables = scan.tables.iter().map(|(dc, ac)| Some((needed(true, dc)?, needed(false, ac)?)));
        let tables = tables.collect::<Option<Vec<_>>>()?;
        scan.layout.places.iter().map(|place| tables.get(place.slot).copied()).collect()
    }

    fn scan_components(&mut self, job: &Job, scan: &ScanJob, planes: &[u64]) -> Option<()> {
        for (index, component) in job.frame.components.iter().enumerate() {
            let (step_x, step_y) = steps(scan, index);
            let quant = self.quants.number(component.quant.unwrap_or([0; 64]), |quant, out| {
                quant.iter().for_each(|value| out.extend(value.to_le_bytes()));
            })?;
            let out = &mut self.scan_bytes;
            out.extend(planes.get(index)?.to_le_bytes());
            let words = [8 * component.blocks_x as u32, component.blocks_x as u32, component.blocks_y as u32];
            words.into_iter().for_each(|word| out.extend(word.to_le_bytes()));
            out.extend(quant.to_le_bytes());
            out.extend([step_x, step_y]);
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
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let (scans, images) = (part(&self.scan_bytes), part(&self.image_bytes));
        let (chains, members) = (part(&words(&self.chain_starts)), part(&words(&self.members)));
        let (tables, quants) = (part(&self.tables.bytes), part(&self.quants.bytes));
        Descriptors { bytes, scans, images, chains, members, tables, quants }
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

/// The MCUs of a scan, and those of each of its segments but the last.
fn mcus(scan: &ScanJob) -> Option<(u32, u32)> {
    let mcus = u32::try_from(scan.layout.mcus_x * scan.layout.mcus_y).ok()?;
    Some((mcus, if scan.restart_interval == 0 { mcus } else { scan.restart_interval.min(mcus) }))
}

/// Blocks from one MCU to the next: those of the component's slot; a component that is not in the scan has none.
fn steps(scan: &ScanJob, component: usize) -> (u8, u8) {
    let slot = scan.layout.places.iter().find(|place| place.component == component).map(|place| place.slot);
    slot.map_or((0, 0), |slot| (scan.layout.steps[slot].0 as u8, scan.layout.steps[slot].1 as u8))
}

/// The smallest number that divides the blocks of the MCU such that blocks that far apart use equal tables.
pub(super) fn period(units: &[(u16, u16)]) -> u8 {
    let n = units.len();
    let repeats = |d: &usize| n.is_multiple_of(*d) && (0..n - d).all(|i| units[i] == units[i + d]);
    (1..=n).find(repeats).unwrap_or(n) as u8
}

/// What a decode takes: the output is three bytes a pixel, with offsets, sizes and a bitmap.
pub(super) fn plan(workspace: u64, rows: u64, pixels: u64) -> MemoryPlan {
    let columns = padded(8 * (rows + 1)) + 2 * padded(4 * rows) + padded(rows.div_ceil(8));
    MemoryPlan { workspace, output: padded(pixels) + columns }
}
