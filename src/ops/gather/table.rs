//! The tables that `kernels/include/move.cuh` defines: columns as pointers and widths, one launch for all of them.

use crate::column::DeviceColumn;
use crate::column::layout::{Layout, bit_bytes};
use crate::device::{CudaCtx, DeviceBuffer, DeviceBufferMut, ReadGuard};
use crate::error::Result;

/// `MoveKind` in `kernels/include/move.cuh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Kind {
    Nothing = 0,
    Bits = 1,
    U8 = 2,
    U16 = 3,
    U32 = 4,
    U64 = 5,
    U128 = 6,
    RowNumbers = 7,
}

/// A table in the making: 8-byte words that the device reads, with the guards of the buffers behind its pointers.
pub(in crate::ops) struct Table<'a> {
    ctx: &'a CudaCtx,
    op: &'static str,
    words: Vec<u64>,
    guards: Vec<ReadGuard>,
}

impl<'a> Table<'a> {
    pub(in crate::ops) fn new(ctx: &'a CudaCtx, op: &'static str) -> Self {
        Table { ctx, op, words: Vec::new(), guards: Vec::new() }
    }

    pub(in crate::ops) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The address of a buffer that the kernel reads; it stays readable while the table lives. 0 for none.
    pub(in crate::ops) fn reads<'b>(&mut self, buffer: impl Into<Option<&'b DeviceBuffer>>) -> Result<u64> {
        let Some(buffer) = buffer.into() else { return Ok(0) };
        let guard = buffer.for_stream(self.ctx.stream())?;
        let pointer = guard.pointer();
        self.guards.push(guard);
        Ok(pointer)
    }

    /// The address of a buffer that the kernel writes: the caller keeps it, and it was allocated on this context's
    /// stream, so that no other stream has to be ordered.
    pub(in crate::ops) fn writes<'b>(&self, buffer: impl Into<Option<&'b mut DeviceBufferMut>>) -> Result<u64> {
        match buffer.into() {
            Some(buffer) => Ok(buffer.for_stream(self.ctx.stream())?.pointer()),
            None => Ok(0),
        }
    }

    pub(in crate::ops) fn push(&mut self, words: &[u64]) {
        self.words.extend_from_slice(words);
    }

    /// The table in device memory. Keep `self` until the kernel is queued.
    pub(in crate::ops) fn upload(&self) -> Result<DeviceBuffer> {
        self.ctx.upload_slice(self.op, &self.words)
    }
}

/// A table of `MoveColumn`s whose outputs have `rows` rows.
pub(in crate::ops) struct Moves<'a> {
    pub(in crate::ops) table: Table<'a>,
    /// Columns in the table: rows of blocks of the launch.
    pub(in crate::ops) columns: u32,
    /// The most units that one column moves.
    pub(in crate::ops) widest: u64,
    rows: usize,
    bitmaps: Bitmaps,
}

/// What the kernel expects of output bitmaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum Bitmaps {
    /// Zeroed: it ors partial words in. Validity comes out of validity.
    Zeroed,
    /// Anything: it writes whole words. Validity comes out of validity.
    Written,
    /// As `Written`, and a row without a source is null, so that every column has validity.
    WrittenNullable,
}

impl<'a> Moves<'a> {
    pub(in crate::ops) fn new(ctx: &'a CudaCtx, op: &'static str, rows: usize, bitmaps: Bitmaps) -> Self {
        Moves { table: Table::new(ctx, op), columns: 0, widest: 0, rows, bitmaps }
    }

    /// Adds the column's validity and what lies in its own buffers by row; what is of variable length is left to the
    /// caller.
    pub(in crate::ops) fn add(&mut self, column: &DeviceColumn, layout: Layout) -> Result<Moved> {
        let (bits, width) = match layout {
            Layout::Bits => (true, 0),
            Layout::Fixed(width) | Layout::Dictionary(width) => (false, width),
            Layout::Views => (false, 16),
            Layout::Null => return Ok(Moved::default()),
            _ => (false, 0),
        };
        let validity = self.out_validity(column)?;
        let values = match (bits, width) {
            (true, _) => Some(self.bitmap()?),
            (false, 0) => None,
            (false, width) => Some(self.table.ctx.allocate(self.table.op, self.rows * width)?),
        };
        let mut moved = Moved { values, validity };
        self.push(column.buffers().first().filter(|_| moved.values.is_some()), column.validity(), &mut moved, width)?;
        Ok(moved)
    }

    /// Adds values alone, as rows of `width` bytes: a fixed-size list's items, say.
    pub(in crate::ops) fn add_values(&mut self, values: &DeviceBuffer, width: usize) -> Result<DeviceBufferMut> {
        let out = self.table.ctx.allocate(self.table.op, self.rows * width)?;
        let mut moved = Moved { values: Some(out), validity: None };
        self.push(Some(values), None, &mut moved, width)?;
        Ok(moved.values.expect("put there above"))
    }

    /// Adds the pseudo column of selected row numbers.
    pub(in crate::ops) fn add_row_numbers(&mut self) -> Result<DeviceBufferMut> {
        let mut out = self.table.ctx.allocate(self.table.op, self.rows * 4)?;
        let words = [0, 0, self.table.writes(&mut out)?, 0, pack(Kind::RowNumbers, 1)];
        self.entry(&words, 1);
        Ok(out)
    }

    fn push(
        &mut self,
        values: Option<&DeviceBuffer>,
        validity: Option<&DeviceBuffer>,
        moved: &mut Moved,
        width: usize,
    ) -> Result<()> {
        if self.rows == 0 || (moved.values.is_none() && moved.validity.is_none()) {
            return Ok(());
        }
        let from = self.table.reads(values)?;
        let valid = self.table.reads(validity.filter(|_| moved.validity.is_some()))?;
        let to = self.table.writes(moved.values.as_mut())?;
        let to_valid = self.table.writes(moved.validity.as_mut())?;
        let (kind, units) = match (&moved.values, width) {
            (None, _) => (Kind::Nothing, 1),
            (Some(_), 0) => (Kind::Bits, 1),
            (Some(_), width) => units_of(width, from | to),
        };
        self.entry(&[from, valid, to, to_valid, pack(kind, units)], units);
        Ok(())
    }

    fn entry(&mut self, words: &[u64; 5], units: usize) {
        if self.rows > 0 {
            self.table.push(words);
            self.columns += 1;
            self.widest = self.widest.max(self.rows as u64 * units as u64);
        }
    }

    fn out_validity(&self, column: &DeviceColumn) -> Result<Option<DeviceBufferMut>> {
        let wanted = column.validity().is_some() || self.bitmaps == Bitmaps::WrittenNullable;
        wanted.then(|| self.bitmap()).transpose()
    }

    fn bitmap(&self) -> Result<DeviceBufferMut> {
        let bytes = bit_bytes(self.rows);
        match self.bitmaps {
            Bitmaps::Zeroed => self.table.ctx.allocate_zeroed(self.table.op, bytes),
            _ => self.table.ctx.allocate(self.table.op, bytes),
        }
    }
}

/// Outputs of one column while kernels write them.
#[derive(Default)]
pub(in crate::ops) struct Moved {
    pub(in crate::ops) values: Option<DeviceBufferMut>,
    pub(in crate::ops) validity: Option<DeviceBufferMut>,
}

impl Moved {
    /// The finished buffers: the moved one in place of `column`'s first, the others shared with it.
    pub(in crate::ops) fn finish(
        self,
        ctx: &CudaCtx,
        column: &DeviceColumn,
        rows: usize,
        children: Vec<DeviceColumn>,
    ) -> Result<DeviceColumn> {
        let validity = self.validity.map(DeviceBufferMut::freeze);
        let mut buffers = column.buffers().to_vec();
        match (self.values, buffers.first_mut()) {
            (Some(values), Some(first)) => *first = values.freeze(),
            // Values of no width.
            (None, Some(first)) => *first = first.slice(0, 0),
            (_, None) => {}
        }
        DeviceColumn::from_parts(ctx, column.data_type().clone(), rows, validity, buffers, children)
    }
}

/// Rows of `width` bytes as the widest units that divide them and that both addresses (or-ed) are aligned to.
fn units_of(width: usize, addresses: u64) -> (Kind, usize) {
    const KINDS: [(usize, Kind); 5] = [(16, Kind::U128), (8, Kind::U64), (4, Kind::U32), (2, Kind::U16), (1, Kind::U8)];
    let fits = |unit: usize| width.is_multiple_of(unit) && addresses.is_multiple_of(unit as u64);
    let (unit, kind) = KINDS.into_iter().find(|&(unit, _)| fits(unit)).unwrap_or((1, Kind::U8));
    (kind, width / unit)
}

fn pack(kind: Kind, units: usize) -> u64 {
    kind as u64 | (units as u64) << 32
}
