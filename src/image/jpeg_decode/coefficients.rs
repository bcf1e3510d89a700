//! Whole-image coefficients, for files with more than one scan.

use super::error::DecodeError;
use super::frame::Frame;
use super::idct;
use super::markers::{Reader, Scan};
use super::progressive;
use super::scan::{Layout, Segment, block_plans, sequential_tables};
use super::sequential::{Block, decode_block};
use super::upsample::Plane;

/// The blocks of one component, with the dummy blocks that complete the last MCUs.
pub(crate) struct Coefficients {
    pub blocks: Vec<Block>,
    /// Blocks per row.
    pub stride: usize,
}

impl Coefficients {
    /// Zero coefficients for every component.
    pub fn for_frame(frame: &Frame) -> Vec<Coefficients> {
        let make = |(stride, rows): (usize, usize)| Coefficients { blocks: vec![[0; 64]; stride * rows], stride };
        frame.components.iter().map(|component| make(component.padded_blocks())).collect()
    }
}

/// What the output side needs to know of the scans: see [`super::smoothing`].
pub(crate) struct Progress {
    /// Per component, the precision reached by coefficients 0 to 9 (`Al`, or -1 while unknown), ...
    pub bits: Vec<[i32; 64]>,
    /// ... and what it was before the last scan of the component.
    pub previous: Vec<[i32; 64]>,
    /// The last row of interleaved MCUs that the last scan had data for.
    pub last_good_row: usize,
    /// Scans so far.
    pub scans: u32,
}

impl Progress {
    pub fn new(components: usize) -> Self {
        Progress { bits: vec![[-1; 64]; components], previous: vec![[0; 64]; components], last_good_row: 0, scans: 0 }
    }

    /// Notes before each MCU, and before any restart that is due, how far the scan has data.
    #[inline(always)]
    pub fn note_row(&mut self, segment: &Segment<'_, '_>, imcu_row: usize) {
        if !segment.bits.exhausted {
            self.last_good_row = imcu_row;
        }
    }
}

/// Decodes one scan into the coefficients.
pub(crate) fn decode_scan(
    reader: &mut Reader<'_>,
    frame: &mut Frame,
    scan: &Scan,
    coefficients: &mut [Coefficients],
    progress: &mut Progress,
) -> Result<(), DecodeError> {
    let layout = Layout::new(frame, scan)?;
    reader.latch_quantization(frame, scan)?;
    progress.scans += 1;
    if frame.progressive {
        return progressive::decode_scan(reader, scan, &layout, coefficients, progress);
    }
    reader.warn_unless_sequential(scan);
    let tables = sequential_tables(reader, scan)?;
    let plans = block_plans(&layout, &tables);
    let mut segment = Segment::new(reader);
    for row in 0..layout.mcus_y {
        if segment.is_spent() {
            break;
        }
        for column in 0..layout.mcus_x {
            progress.note_row(&segment, row / layout.rows_per_imcu);
            segment.restart_if_due()?;
            if !segment.bits.exhausted {
                for (place, plan) in layout.places.iter().zip(&plans) {
                    let (h, v) = layout.steps[place.slot];
                    let target = &mut coefficients[place.component];
                    let index = (row * v + place.dy) * target.stride + column * h + place.dx;
                    let block = &mut target.blocks[index];
                    decode_block::<false>(&mut segment.bits, plan, &mut segment.predictors, block)
                        .map_err(|_| DecodeError::truncated())?;
                }
            }
            segment.count_mcu();
        }
    }
    segment.finish();
    Ok(())
}

/// Transforms all blocks into planes.
pub(crate) fn to_planes(frame: &Frame, coefficients: &[Coefficients]) -> Vec<Plane> {
    let transform = |(component, coefficients): (&super::frame::Component, &Coefficients)| {
        let multipliers = component.multipliers();
        let mut plane = Plane::new(frame, component);
        let stride = plane.stride;
        for row in 0..component.blocks_y {
            let blocks = &coefficients.blocks[row * coefficients.stride..][..component.blocks_x];
            for (column, block) in blocks.iter().enumerate() {
                let at = plane.block(column, row);
                idct::inverse(block, &multipliers, 63, &mut plane.samples, at, stride);
            }
        }
        plane
    };
    frame.components.iter().zip(coefficients).map(transform).collect()
}
