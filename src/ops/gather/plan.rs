//! The device memory of gather before it runs: `cuda.rs` again, with sizes in place of buffers.
//!
//! Every step books and frees what `cuda.rs` does in the same order. All sizes grow with row counts and totals, so
//! bounds of those give a bound of the peak, and exact ones give the peak.

use arrow::array::{Array, AsArray, OffsetSizeTrait};

use crate::column::layout::{Layout, OffsetWidth};
use crate::column::parts::{list_values, offset_range, offsets_of};
use crate::column::{Column, DeviceColumn};
use crate::device::{MemoryPlan, padded};
use crate::error::Result;

use super::OP;
use super::cuda::TILE_ROWS;

/// Bytes of a `MoveColumn`, an `OffsetsColumn` and a `BytesColumn`: entries of the tables that kernels read.
pub(in crate::ops) const MOVE_ENTRY: u64 = 5 * 8;
const OFFSETS_ENTRY: u64 = 5 * 8;
const BYTES_ENTRY: u64 = 7 * 8;

/// What the sizes of a column's result depend on.
#[derive(Clone, Debug)]
pub(in crate::ops) struct Shape {
    pub(in crate::ops) layout: Layout,
    pub(in crate::ops) rows: u64,
    /// Whether there is a validity bitmap.
    pub(in crate::ops) nullable: bool,
    /// Bytes of strings and binary.
    pub(in crate::ops) bytes: u64,
    /// The most bytes or child rows of one row, where somebody looked.
    pub(in crate::ops) longest: Option<u64>,
    /// Dictionaries among them, which gather's results share.
    pub(in crate::ops) children: Vec<Shape>,
}

impl Shape {
    /// Values of one width without nulls.
    pub(in crate::ops) fn fixed(width: usize, rows: u64) -> Self {
        Shape { layout: Layout::Fixed(width), rows, nullable: false, bytes: 0, longest: None, children: Vec::new() }
    }

    /// The shape that the column has on a device or, from the host, will have there.
    pub(in crate::ops) fn of(column: &Column) -> Result<Self> {
        Self::looked_at(column, false)
    }

    /// The same with the longest row of each, for rows that may come more than once: a look at all offsets, which come
    /// to the host for it.
    pub(in crate::ops) fn measured(column: &Column) -> Result<Self> {
        Self::looked_at(column, true)
    }

    fn looked_at(column: &Column, measure: bool) -> Result<Self> {
        match column.as_device() {
            Some(column) => Self::of_device(column, measure),
            None => Self::of_array(column.to_array()?.as_ref(), measure),
        }
    }

    fn of_device(column: &DeviceColumn, measure: bool) -> Result<Self> {
        let layout = Layout::of(column.data_type())?;
        let bytes = match (layout, column.buffers()) {
            (Layout::Bytes(_), [_, bytes]) => bytes.len() as u64,
            _ => 0,
        };
        let longest = match (layout, column.buffers().first()) {
            (Layout::Bytes(width) | Layout::List(width), Some(offsets)) if measure => {
                let offsets = column.ctx().download(OP, offsets)?;
                Some(match width {
                    OffsetWidth::W32 => longest(offsets.typed_data::<i32>()),
                    OffsetWidth::W64 => longest(offsets.typed_data::<i64>()),
                })
            }
            _ => None,
        };
        let children = column.children().iter().map(|child| Self::of_device(child, measure));
        let children = children.collect::<Result<_>>()?;
        let (rows, nullable) = (column.len() as u64, column.validity().is_some());
        Ok(Shape { layout, rows, nullable, bytes, longest, children })
    }

    /// As `Parts::of`, without its buffers.
    fn of_array(array: &dyn Array, measure: bool) -> Result<Self> {
        let layout = Layout::of(array.data_type())?;
        let (mut bytes, mut longest, mut children) = (0, None, Vec::new());
        match layout {
            Layout::Bytes(width) => {
                let (first, last) = offset_range(array, width);
                bytes = (last - first) as u64;
                longest = measure.then(|| longest_row(array, width));
            }
            Layout::List(width) => {
                let (first, last) = offset_range(array, width);
                longest = measure.then(|| longest_row(array, width));
                children.push(Self::of_array(list_values(array).slice(first, last - first).as_ref(), measure)?);
            }
            Layout::FixedList(size) => {
                let items = array.as_fixed_size_list().values().slice(0, array.len() * size);
                children.push(Self::of_array(items.as_ref(), measure)?);
            }
            Layout::Struct => {
                let fields = array.as_struct().columns().iter();
                children = fields.map(|field| Self::of_array(field.as_ref(), measure)).collect::<Result<_>>()?;
            }
            Layout::Dictionary(_) => {
                children.push(Self::of_array(array.as_any_dictionary().values().as_ref(), measure)?);
            }
            Layout::Null | Layout::Bits | Layout::Fixed(_) | Layout::Views => {}
        }
        let nullable = array.nulls().is_some_and(|nulls| nulls.null_count() > 0);
        Ok(Shape { layout, rows: array.len() as u64, nullable, bytes, longest, children })
    }

    /// Width of a row of items that move as one value: see `Gather::flat_items`.
    fn flat_items(&self, to: Rows) -> Option<u64> {
        let (Layout::FixedList(size), [child]) = (self.layout, self.children.as_slice()) else { return None };
        let Layout::Fixed(width) = child.layout else { return None };
        let row = size as u64 * width as u64;
        let flat = (1..=u64::from(u32::MAX)).contains(&row) && !child.nullable && !to.nullable;
        flat.then_some(row)
    }

    /// The most bytes or child rows that `to` rows out of these can cover.
    fn total(&self, width: OffsetWidth, to: Rows) -> u64 {
        let all = match self.layout {
            Layout::Bytes(_) => self.bytes,
            _ => self.children.first().map_or(0, |child| child.rows),
        };
        match (to.count, to.repeated) {
            (0, _) => 0,
            (_, false) => all,
            // One row may hold everything, where nobody looked; more than the offsets can hold is refused before it is
            // allocated.
            (count, true) => count.saturating_mul(self.longest.unwrap_or(all)).min(width.max()),
        }
    }

    /// The shapes of variable length among this one and the struct fields below it.
    fn variable_length<'s>(&'s self, open: &mut Vec<(&'s Shape, OffsetWidth)>) {
        match self.layout {
            Layout::Bytes(width) | Layout::List(width) => open.push((self, width)),
            Layout::Struct => self.children.iter().for_each(|child| child.variable_length(open)),
            _ => {}
        }
    }
}

/// Bytes or child rows of the longest row.
fn longest_row(array: &dyn Array, width: OffsetWidth) -> u64 {
    match width {
        OffsetWidth::W32 => longest(&offsets_of::<i32>(array)),
        OffsetWidth::W64 => longest(&offsets_of::<i64>(array)),
    }
}

fn longest<O: OffsetSizeTrait>(offsets: &[O]) -> u64 {
    offsets.windows(2).map(|ends| (ends[1] - ends[0]).as_usize() as u64).max().unwrap_or(0)
}

/// Rows that a gather makes.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Rows {
    pub(in crate::ops) count: u64,
    /// Whether there may be rows without a source.
    pub(in crate::ops) nullable: bool,
    /// Whether a source row may come more than once.
    pub(in crate::ops) repeated: bool,
}

/// The ledger as it will be.
#[derive(Default)]
pub(in crate::ops) struct Forecast {
    live: u64,
    peak: u64,
    output: u64,
}

impl Forecast {
    /// What it comes to: the output, and what the peak has beside it.
    pub(in crate::ops) fn plan(&self) -> MemoryPlan {
        MemoryPlan { workspace: self.peak - self.output, output: self.output }
    }

    /// Books a buffer that is freed before the operator returns; gives what [`Forecast::free`] takes.
    pub(in crate::ops) fn temporary(&mut self, bytes: u64) -> u64 {
        let bytes = padded(bytes);
        self.live = self.live.saturating_add(bytes);
        self.peak = self.peak.max(self.live);
        bytes
    }

    pub(in crate::ops) fn free(&mut self, bytes: u64) {
        self.live = self.live.saturating_sub(bytes);
    }

    /// Books a buffer of the result.
    pub(in crate::ops) fn output(&mut self, bytes: u64) {
        let bytes = self.temporary(bytes);
        self.output = self.output.saturating_add(bytes);
    }

    /// Books an operator that runs within this one, whose result is freed before this one returns; gives what
    /// [`Forecast::free`] takes for that.
    pub(in crate::ops) fn nested(&mut self, plan: MemoryPlan) -> u64 {
        self.peak = self.peak.max(self.live.saturating_add(plan.workspace).saturating_add(plan.output));
        self.temporary(plan.output)
    }

    /// A table that is freed once its launch is queued.
    pub(in crate::ops) fn table(&mut self, entries: u64, entry: u64) {
        let bytes = self.temporary(entries * entry);
        self.free(bytes);
    }

    /// `Gather::columns`.
    pub(in crate::ops) fn columns(&mut self, shapes: &[&Shape], to: Rows) {
        let entries = shapes.iter().map(|shape| self.moves(shape, to)).sum();
        self.table(entries, MOVE_ENTRY);
        let mut open = Vec::new();
        shapes.iter().for_each(|shape| shape.variable_length(&mut open));
        self.offsets(&open, to);
        self.bytes(&open, to);
        shapes.iter().for_each(|shape| self.finish(shape, to));
    }

    /// `Gather::plan` and, for what filter moves by row, `Compacted::plan`; gives the entries of the table.
    pub(in crate::ops) fn moves(&mut self, shape: &Shape, to: Rows) -> u64 {
        let count = to.count;
        let values = match shape.layout {
            Layout::Null => return 0,
            Layout::Bits => count.div_ceil(8),
            Layout::Fixed(width) | Layout::Dictionary(width) => count.saturating_mul(width as u64),
            Layout::Views => count.saturating_mul(16),
            _ => 0,
        };
        let validity = shape.nullable || to.nullable;
        self.output(if validity { count.div_ceil(8) } else { 0 });
        self.output(values);
        let mut entries = u64::from(count > 0 && (validity || values > 0));
        if shape.layout == Layout::Struct {
            entries += shape.children.iter().map(|child| self.moves(child, to)).sum::<u64>();
        }
        if let Some(width) = shape.flat_items(to) {
            self.output(count.saturating_mul(width));
            entries += u64::from(count > 0);
        }
        entries
    }

    /// `Gather::offsets`.
    fn offsets(&mut self, open: &[(&Shape, OffsetWidth)], to: Rows) {
        for (_, width) in open {
            self.output(to.count.saturating_add(1).saturating_mul(width.bytes() as u64));
        }
        if to.count == 0 {
            return;
        }
        let (columns, tiles) = (open.len() as u64, to.count.div_ceil(TILE_ROWS));
        let totals = self.temporary(8 * columns);
        let scratch = self.temporary((8 * (1 + tiles)).saturating_mul(columns));
        self.table(columns, OFFSETS_ENTRY);
        self.free(totals);
        self.free(scratch);
    }

    /// `Gather::bytes`.
    fn bytes(&mut self, open: &[(&Shape, OffsetWidth)], to: Rows) {
        let mut columns = 0;
        for (shape, width) in open.iter().filter(|(shape, _)| matches!(shape.layout, Layout::Bytes(_))) {
            let total = shape.total(*width, to);
            self.output(total);
            columns += u64::from(total > 0);
        }
        self.table(columns, BYTES_ENTRY);
    }

    /// `Gather::finish`.
    fn finish(&mut self, shape: &Shape, to: Rows) {
        match (shape.layout, shape.children.as_slice()) {
            (Layout::Struct, fields) => fields.iter().for_each(|field| self.finish(field, to)),
            (Layout::List(width), [child]) => {
                self.child(child, Rows { count: shape.total(width, to), nullable: false, ..to });
            }
            (Layout::FixedList(size), [child]) if shape.flat_items(to).is_none() => {
                self.child(child, Rows { count: to.count.saturating_mul(size as u64), ..to });
            }
            _ => {}
        }
    }

    /// A child with its source rows, `Gather::child`.
    fn child(&mut self, child: &Shape, to: Rows) {
        let sources = self.temporary(to.count.saturating_mul(4));
        self.columns(&[child], to);
        self.free(sources);
    }
}
