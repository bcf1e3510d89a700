//! Scans: the walk over MCUs, restarts, and what happens when data run out.

use super::bits::{Bits, Stop};
use super::error::{DecodeCode, DecodeError};
use super::frame::Frame;
use super::huffman::Table;
use super::markers::{Reader, Scan};
use super::sequential::{Block, BlockPlan, decode_block};

/// libjpeg's `D_MAX_BLOCKS_IN_MCU`.
pub(crate) const MAX_BLOCKS: usize = 10;

/// Bytes that the quick decoder wants ahead for each block.
const QUICK_BYTES: usize = 512;

/// Where the blocks of an MCU lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockPlace {
    /// Position of the component in the scan.
    pub slot: usize,
    /// Index of the component in the frame.
    pub component: usize,
    /// Offset within the MCU, in blocks.
    pub dx: usize,
    pub dy: usize,
}

/// The MCUs of a scan.
#[derive(Debug)]
pub(crate) struct Layout {
    pub places: Vec<BlockPlace>,
    /// Blocks from one MCU to the next, per slot.
    pub steps: Vec<(usize, usize)>,
    pub mcus_x: usize,
    pub mcus_y: usize,
    /// MCU rows in one row of interleaved MCUs.
    pub rows_per_imcu: usize,
}

impl Layout {
    /// A scan of one component has one block per MCU and only real blocks; any other is interleaved.
    pub fn new(frame: &Frame, scan: &Scan) -> Result<Layout, DecodeError> {
        if let [(component, ..)] = scan.components[..] {
            let info = &frame.components[component];
            return Ok(Layout {
                places: vec![BlockPlace { slot: 0, component, dx: 0, dy: 0 }],
                steps: vec![(1, 1)],
                mcus_x: info.blocks_x,
                mcus_y: info.blocks_y,
                rows_per_imcu: usize::from(info.v),
            });
        }
        let mut places = Vec::new();
        let mut steps = Vec::new();
        for (slot, &(component, ..)) in scan.components.iter().enumerate() {
            let info = &frame.components[component];
            let (h, v) = (usize::from(info.h), usize::from(info.v));
            places.extend((0..h * v).map(|i| BlockPlace { slot, component, dx: i % h, dy: i / h }));
            steps.push((h, v));
        }
        if places.len() > MAX_BLOCKS {
            return Err(DecodeError::corrupt("more than ten blocks in an MCU"));
        }
        Ok(Layout { places, steps, mcus_x: frame.mcus_x, mcus_y: frame.mcus_y, rows_per_imcu: 1 })
    }
}

/// The entropy-coded data of one scan.
pub(crate) struct Segment<'r, 'a> {
    pub reader: &'r mut Reader<'a>,
    pub bits: Bits<'a>,
    /// MCUs until the next restart marker, where restarts are on.
    pub to_go: u32,
    pub predictors: [i32; 4],
    pub eob_run: u32,
}

impl<'r, 'a> Segment<'r, 'a> {
    pub fn new(reader: &'r mut Reader<'a>) -> Self {
        let bits = Bits::new(reader.data, reader.pos, reader.window, reader.unread_marker);
        let to_go = reader.restart_interval;
        Segment { reader, bits, to_go, predictors: [0; 4], eob_run: 0 }
    }

    /// Passes a restart marker when one is due.
    #[inline(always)]
    pub fn restart_if_due(&mut self) -> Result<(), DecodeError> {
        if self.reader.restart_interval != 0 && self.to_go == 0 { self.restart() } else { Ok(()) }
    }

    #[inline(never)]
    fn restart(&mut self) -> Result<(), DecodeError> {
        self.note_warnings();
        self.reader.discarded += self.bits.discard();
        self.reader.pos = self.bits.pos;
        self.reader.unread_marker = self.bits.marker;
        self.reader.read_restart()?;
        self.bits.pos = self.reader.pos;
        self.bits.end = self.reader.window;
        self.bits.marker = self.reader.unread_marker;
        self.predictors = [0; 4];
        self.eob_run = 0;
        self.to_go = self.reader.restart_interval;
        // Still against a marker: the interval is empty, and stays untouched rather than being filled with noise.
        if self.bits.marker == 0 {
            self.bits.exhausted = false;
        }
        Ok(())
    }

    /// Whether no MCU to come can get data: a marker that is no restart stays where it is to the end of the scan.
    pub fn is_spent(&self) -> bool {
        let stuck = self.bits.marker >= 0xc0 && !(0xd0..=0xd7).contains(&self.bits.marker);
        self.bits.exhausted && (self.reader.restart_interval == 0 || stuck)
    }

    /// Counts an MCU towards the next restart.
    #[inline(always)]
    pub fn count_mcu(&mut self) {
        self.to_go = self.to_go.wrapping_sub(1);
    }

    /// Gives the position back to the reader.
    pub fn finish(mut self) {
        self.note_warnings();
        self.reader.pos = self.bits.pos;
        self.reader.unread_marker = self.bits.marker;
    }

    fn note_warnings(&mut self) {
        if self.bits.exhausted {
            self.reader.warn(DecodeCode::Truncated, "a marker cuts the entropy-coded data short");
        }
        if self.bits.bad_code {
            self.reader.warn(DecodeCode::BadHuffman, "invalid Huffman code");
        }
    }

    /// Extends the window after it ended inside an MCU.
    pub fn extend_window(&mut self) -> Result<(), DecodeError> {
        self.reader.next_chunk()?;
        self.bits.end = self.reader.window;
        Ok(())
    }

    /// Decodes an MCU into zeroed `blocks`; `last` receives each block's bound for the inverse DCT. Leaves them alone
    /// when the data are exhausted.
    pub fn sequential_mcu(
        &mut self,
        plans: &[BlockPlan<'_>],
        blocks: &mut [Block],
        last: &mut [usize],
    ) -> Result<(), DecodeError> {
        self.restart_if_due()?;
        if !self.bits.exhausted {
            loop {
                let before = self.bits.clone();
                let predictors = self.predictors;
                let quick = self.reader.restart_interval == 0
                    && self.bits.marker == 0
                    && self.bits.remaining() >= QUICK_BYTES * plans.len();
                if quick {
                    if self.decode_mcu::<true>(plans, blocks, last).is_ok() {
                        break;
                    }
                    self.bits = before.clone();
                    self.predictors = predictors;
                    blocks.fill([0; 64]);
                }
                match self.decode_mcu::<false>(plans, blocks, last) {
                    Ok(()) => break,
                    Err(_) => {
                        self.bits = before;
                        self.predictors = predictors;
                        blocks.fill([0; 64]);
                        self.extend_window()?;
                    }
                }
            }
        }
        self.count_mcu();
        Ok(())
    }

    fn decode_mcu<const QUICK: bool>(
        &mut self,
        plans: &[BlockPlan<'_>],
        blocks: &mut [Block],
        last: &mut [usize],
    ) -> Result<(), Stop> {
        for ((plan, block), last) in plans.iter().zip(blocks).zip(last) {
            *last = decode_block::<QUICK>(&mut self.bits, plan, &mut self.predictors, block)?;
        }
        Ok(())
    }
}

/// The derived tables of a sequential scan: DC and AC per scan component.
pub(crate) fn sequential_tables(reader: &Reader<'_>, scan: &Scan) -> Result<Vec<(Table, Table)>, DecodeError> {
    let tables = scan.components.iter().map(|&(_, dc, ac)| {
        let dc = Table::derive(reader.dc.get(dc).and_then(Option::as_ref), true)?;
        let ac = Table::derive(reader.ac.get(ac).and_then(Option::as_ref), false)?;
        Ok((dc, ac))
    });
    tables.collect()
}

/// One plan per block of the MCU.
pub(crate) fn block_plans<'t>(layout: &Layout, tables: &'t [(Table, Table)]) -> Vec<BlockPlan<'t>> {
    let plan = |place: &BlockPlace| {
        let (dc, ac) = &tables[place.slot];
        BlockPlan { dc, ac, predictor: place.slot }
    };
    layout.places.iter().map(plan).collect()
}
