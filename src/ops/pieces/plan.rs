//! The device memory of [`super::join`] before it runs: the same steps, with sizes in place of buffers.

use crate::column::layout::{Layout, OffsetWidth};
use crate::device::MemoryPlan;
use crate::ops::gather::plan::{Forecast, Shape};

use super::ALIGNMENT;

/// Bytes of an `EndsPiece` with its result, and of a `Piece`: entries of the tables that kernels read.
const ENDS_ENTRY: u64 = 4 * 8;
const ENDS_RESULT: u64 = 2 * 8;
const PIECE_ENTRY: u64 = 5 * 8;

/// Rows of a column.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Part<'s> {
    shape: &'s Shape,
    /// Where they begin; `None` where offsets tell.
    first: Option<u64>,
    /// At most so many.
    rows: u64,
    /// Whether it is known that they end with the column.
    to_end: bool,
}

impl<'s> Part<'s> {
    /// These rows.
    pub(in crate::ops) fn rows(shape: &'s Shape, first: u64, rows: u64) -> Self {
        Part { shape, first: Some(first), rows, to_end: first + rows == shape.rows }
    }

    /// All rows.
    pub(in crate::ops) fn whole(shape: &'s Shape) -> Self {
        Part::rows(shape, 0, shape.rows)
    }

    /// Whether values of this width are shared, when there is no other part.
    fn shares(&self, width: u64) -> bool {
        self.first.is_some_and(|first| (first * width).is_multiple_of(ALIGNMENT as u64))
    }
}

/// What joining these columns takes.
pub(in crate::ops) fn join(columns: Vec<Vec<Part<'_>>>) -> MemoryPlan {
    let mut sizes = Sizes::default();
    columns.iter().for_each(|parts| sizes.add(parts, 0));
    let mut ledger = Forecast::default();
    for pieces in sizes.levels {
        let table = ledger.temporary(ENDS_ENTRY * pieces);
        let ends = ledger.temporary(ENDS_RESULT * pieces);
        [table, ends].into_iter().for_each(|bytes| ledger.free(bytes));
    }
    for bytes in sizes.maps {
        let _map = ledger.temporary(bytes);
    }
    sizes.outputs.into_iter().for_each(|bytes| ledger.output(bytes));
    ledger.table(sizes.entries, PIECE_ENTRY);
    ledger.plan()
}

#[derive(Default)]
struct Sizes {
    /// Pieces whose ends are read, level by level.
    levels: Vec<u64>,
    outputs: Vec<u64>,
    /// `KeyMap`s of dictionaries that may have to become one.
    maps: Vec<u64>,
    entries: u64,
}

impl Sizes {
    /// A column, `lists` lists deep.
    fn add(&mut self, parts: &[Part<'_>], lists: usize) {
        let mut kept: Vec<_> = parts.iter().filter(|part| part.rows > 0).copied().collect();
        if kept.is_empty() {
            kept.extend(parts.first());
        }
        let Some(Part { shape, .. }) = kept.first().copied() else { return };
        let rows: u64 = kept.iter().map(|part| part.rows).sum();
        if kept.iter().any(|part| part.shape.nullable) {
            self.bits(&kept, rows);
        }
        match shape.layout {
            Layout::Null => {}
            Layout::Bits => self.bits(&kept, rows),
            Layout::Fixed(width) => self.values(&kept, rows, width as u64),
            Layout::Views => self.values(&kept, rows, 16),
            Layout::Struct => {
                for field in 0..shape.children.len() {
                    let children = kept.iter().filter_map(|part| Some((part.shape.children.get(field)?, part)));
                    let children = children.map(|(shape, part)| Part { shape, ..*part });
                    self.add(&children.collect::<Vec<_>>(), lists);
                }
            }
            Layout::FixedList(size) => {
                let size = size as u64;
                let children = kept.iter().filter_map(|part| Some((part.shape.children.first()?, part)));
                let children = children.map(|(shape, part)| Part {
                    shape,
                    first: part.first.map(|first| first * size),
                    rows: part.rows * size,
                    to_end: part.to_end,
                });
                self.add(&children.collect::<Vec<_>>(), lists);
            }
            Layout::Dictionary(width) => {
                self.values(&kept, rows, width as u64);
                if kept.len() > 1 {
                    let children = kept.iter().filter_map(|part| part.shape.children.first()).map(Part::whole);
                    let children: Vec<_> = children.collect();
                    // Signed keys can tell the fewest values.
                    if children.iter().map(|part| part.rows).sum::<u64>() > 1 << (8 * width - 1) {
                        self.maps.extend(children.iter().map(|part| 8 * (1 + part.rows)));
                    }
                    self.add(&children, lists);
                }
            }
            Layout::Bytes(width) => {
                self.offsets(&kept, rows, width, lists);
                let bytes: u64 = kept.iter().map(|part| covered(part, part.shape.bytes)).sum();
                if !begins_at_0(&kept) {
                    self.outputs.push(bytes);
                    self.entries += kept.len() as u64;
                }
            }
            Layout::List(width) => {
                self.offsets(&kept, rows, width, lists);
                let children = kept.iter().filter_map(|part| Some((part.shape.children.first()?, part)));
                let children = children.map(|(shape, part)| Part {
                    shape,
                    first: part.first.filter(|&first| first == 0),
                    rows: covered(part, shape.rows),
                    to_end: false,
                });
                self.add(&children.collect::<Vec<_>>(), lists + 1);
            }
        }
    }

    fn bits(&mut self, parts: &[Part<'_>], rows: u64) {
        let shared = matches!(parts, [part] if part.shares_bits());
        if !shared {
            self.outputs.push(rows.div_ceil(8));
            self.entries += entries(parts);
        }
    }

    fn values(&mut self, parts: &[Part<'_>], rows: u64, width: u64) {
        let shared = matches!(parts, [part] if part.shares(width));
        if !shared && width > 0 {
            self.outputs.push(rows * width);
            self.entries += entries(parts);
        }
    }

    fn offsets(&mut self, parts: &[Part<'_>], rows: u64, width: OffsetWidth, lists: usize) {
        self.levels.resize(self.levels.len().max(lists + 1), 0);
        self.levels[lists] += parts.len() as u64;
        if !begins_at_0(parts) {
            self.outputs.push((rows + 1) * width.bytes() as u64);
            self.entries += parts.len() as u64;
        }
    }
}

impl Part<'_> {
    fn shares_bits(&self) -> bool {
        self.to_end && self.first.is_some_and(|first| first.is_multiple_of(8 * ALIGNMENT as u64))
    }
}

/// Offsets that begin at 0 are shared, and so are their bytes.
fn begins_at_0(parts: &[Part<'_>]) -> bool {
    matches!(parts, [part] if part.first == Some(0))
}

/// Pieces that the table gets: those that have rows.
fn entries(parts: &[Part<'_>]) -> u64 {
    parts.iter().filter(|part| part.rows > 0).count() as u64
}

/// The most bytes or child rows that the part covers out of `all`.
fn covered(part: &Part<'_>, all: u64) -> u64 {
    if part.rows > 0 { all } else { 0 }
}
