//! Columns of text and binary out of spans: an address in device memory and a length for each row.
//!
//! Offsets by a scan over the lengths, whose totals come to the host, then one launch that copies the bytes of all columns,
//! and for views one that writes them. Operators that compute text write spans into workspace and come here.

use arrow::datatypes::DataType;

use crate::column::DeviceColumn;
use crate::column::layout::{Layout, OffsetWidth};
use crate::device::kernels::entries::spans as entries;
use crate::device::launch::kernel;
use crate::device::{CudaCtx, DeviceBuffer, DeviceBufferMut, Grid, In};
use crate::error::{Error, Result};
use crate::ops::gather::cuda::rows_of_blocks;
use crate::ops::gather::plan::Forecast;
use crate::ops::gather::table::Table;

/// Threads of every block here; `Policy::kThreads` of the kernels.
const THREADS: u32 = 256;
/// Rows of a tile of `spans_offsets_columns`.
const TILE_ROWS: u64 = 1024;
/// Bytes of a span.
pub(in crate::ops) const SPAN: usize = 16;

kernel! {
    /// Offsets of a table of `OffsetsColumn`s.
    fn offsets_columns[entries::OFFSETS_COLUMNS](columns: In<'_, u64>, n: u64);
    /// Bytes of a table of `BytesColumn`s.
    fn bytes_columns[entries::BYTES_COLUMNS](columns: In<'_, u64>, n: u64);
    /// Views of a table of `ViewsColumn`s.
    fn view_columns[entries::VIEW_COLUMNS](columns: In<'_, u64>, n: u64);
}

/// `SpanKind` in `kernels/spans.cu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Kind {
    Offsets32 = 0,
    Offsets64 = 1,
    Views = 2,
}

impl Kind {
    fn of(data_type: &DataType) -> Result<Kind> {
        match Layout::of(data_type)? {
            Layout::Bytes(OffsetWidth::W32) => Ok(Kind::Offsets32),
            Layout::Bytes(OffsetWidth::W64) => Ok(Kind::Offsets64),
            Layout::Views => Ok(Kind::Views),
            _ => Err(Error::Internal { op: "spans", why: format!("{data_type} is no text") }),
        }
    }

    fn offset_width(self) -> OffsetWidth {
        match self {
            Kind::Offsets64 => OffsetWidth::W64,
            Kind::Offsets32 | Kind::Views => OffsetWidth::W32,
        }
    }
}

/// A column that is to be made.
pub(in crate::ops) struct Spans {
    pub(in crate::ops) data_type: DataType,
    /// A span of [`SPAN`] bytes for each row; those of null rows are empty.
    pub(in crate::ops) rows: DeviceBufferMut,
    pub(in crate::ops) validity: Option<DeviceBuffer>,
}

/// A column on its way.
struct Pending {
    spans: Spans,
    kind: Kind,
    offsets: DeviceBufferMut,
    /// Bytes that are copied.
    total: u64,
    bytes: Option<DeviceBufferMut>,
    views: Option<DeviceBufferMut>,
}

/// The columns, of `rows` rows each, at least one. What the spans point to must be readable by the stream of `ctx` until
/// this returns, by whole words too. Waits for the stream when there are columns.
pub(in crate::ops) fn columns(
    ctx: &CudaCtx,
    op: &'static str,
    spans: Vec<Spans>,
    rows: usize,
) -> Result<Vec<DeviceColumn>> {
    if spans.is_empty() {
        return Ok(Vec::new());
    }
    let mut pending = offsets(ctx, op, spans, rows)?;
    bytes(ctx, op, &mut pending, rows)?;
    views(ctx, op, &mut pending, rows)?;
    pending.into_iter().map(|column| column.finish(ctx, rows)).collect()
}

fn offsets(ctx: &CudaCtx, op: &'static str, spans: Vec<Spans>, rows: usize) -> Result<Vec<Pending>> {
    let tiles = (rows as u64).div_ceil(TILE_ROWS);
    let region = 8 * (1 + tiles as usize);
    let mut totals = ctx.allocate(op, 8 * spans.len())?;
    let mut scratch = ctx.allocate_zeroed(op, region * spans.len())?;
    let mut table = Table::new(ctx, op);
    let mut pending = Vec::with_capacity(spans.len());
    for (i, mut spans) in spans.into_iter().enumerate() {
        let kind = Kind::of(&spans.data_type)?;
        let mut offsets = ctx.allocate(op, (rows + 1) * kind.offset_width().bytes())?;
        let (from, to) = (table.writes(&mut spans.rows)?, table.writes(&mut offsets)?);
        let total = table.writes(&mut totals)? + 8 * i as u64;
        let states = table.writes(&mut scratch)? + (region * i) as u64;
        table.push(&[from, to, total, states, kind as u64]);
        pending.push(Pending { spans, kind, offsets, total: 0, bytes: None, views: None });
    }
    let words = table.upload()?;
    let grid = Grid::linear(tiles as u32, THREADS).rows(rows_of_blocks(op, pending.len() as u32)?);
    // SAFETY: each entry has a span for each row, offsets of `rows + 1` rows, a total and zeroed states for all tiles.
    unsafe { offsets_columns(ctx, grid, words.input(), rows as u64) }?;
    let totals = ctx.download(op, &totals.freeze())?;
    for (column, &total) in pending.iter_mut().zip(totals.typed_data::<u64>()) {
        if total > column.kind.offset_width().max() {
            return Err(too_long(op, &column.spans.data_type, total));
        }
        column.total = total;
    }
    Ok(pending)
}

fn too_long(op: &'static str, data_type: &DataType, total: u64) -> Error {
    let hint = match data_type {
        DataType::Utf8 | DataType::Utf8View => "cast it to LargeUtf8, or take fewer rows at once",
        _ => "cast it to LargeBinary, or take fewer rows at once",
    };
    Error::invalid(op, format!("{total} bytes of text do not fit the offsets of {data_type}: {hint}"))
}

fn bytes(ctx: &CudaCtx, op: &'static str, pending: &mut [Pending], rows: usize) -> Result<()> {
    let mut table = Table::new(ctx, op);
    let (mut columns, mut longest) = (0, 0);
    for column in pending {
        let mut out = ctx.allocate(op, column.total as usize)?;
        if column.total > 0 {
            let from = [table.writes(&mut column.spans.rows)?, table.writes(&mut column.offsets)?];
            let to = table.writes(&mut out)?;
            table.push(&[from[0], from[1], to, column.total, column.kind as u64]);
            columns += 1;
            longest = longest.max(column.total);
        }
        column.bytes = Some(out);
    }
    if table.is_empty() {
        return Ok(());
    }
    let words = table.upload()?;
    let grid = Grid::strided(longest.div_ceil(16), THREADS).rows(rows_of_blocks(op, columns)?);
    // SAFETY: the offsets are sums of the spans' lengths and end at `total`, the size of the output, which is padded to
    // whole segments of 16 bytes; the caller answers for what the spans point to.
    unsafe { bytes_columns(ctx, grid, words.input(), rows as u64) }
}

fn views(ctx: &CudaCtx, op: &'static str, pending: &mut [Pending], rows: usize) -> Result<()> {
    let mut table = Table::new(ctx, op);
    let mut columns = 0;
    for column in pending.iter_mut().filter(|column| column.kind == Kind::Views) {
        let mut out = ctx.allocate(op, rows * 16)?;
        let from = [table.writes(&mut column.spans.rows)?, table.writes(&mut column.offsets)?];
        let to = table.writes(&mut out)?;
        table.push(&[from[0], from[1], to]);
        columns += 1;
        column.views = Some(out);
    }
    if table.is_empty() {
        return Ok(());
    }
    let words = table.upload()?;
    let grid = Grid::strided(rows as u64, THREADS).rows(rows_of_blocks(op, columns)?);
    // SAFETY: each entry has a span, an offset and a view for each row; the caller answers for what the spans point to.
    unsafe { view_columns(ctx, grid, words.input(), rows as u64) }
}

impl Pending {
    fn finish(self, ctx: &CudaCtx, rows: usize) -> Result<DeviceColumn> {
        let bytes = self.bytes.filter(|_| self.views.is_none() || self.total > 0);
        let first = self.views.unwrap_or(self.offsets);
        let buffers = std::iter::once(first).chain(bytes).map(DeviceBufferMut::freeze).collect();
        DeviceColumn::from_parts(ctx, self.spans.data_type, rows, self.spans.validity, buffers, Vec::new())
    }
}

/// Books what [`columns`] takes for columns of these types and at most as many bytes; their spans are booked already.
pub(in crate::ops) fn forecast(ledger: &mut Forecast, columns: &[(&DataType, u64)], rows: usize) -> Result<()> {
    if columns.is_empty() {
        return Ok(());
    }
    let (count, rows) = (columns.len() as u64, rows as u64);
    let kinds = columns.iter().map(|(data_type, _)| Kind::of(data_type)).collect::<Result<Vec<_>>>()?;
    let totals = ledger.temporary(8 * count);
    let scratch = ledger.temporary(8 * (1 + rows.div_ceil(TILE_ROWS)) * count);
    let mut offsets = 0;
    for kind in &kinds {
        let bytes = (rows + 1) * kind.offset_width().bytes() as u64;
        match kind {
            Kind::Views => offsets += ledger.temporary(bytes),
            _ => ledger.output(bytes),
        }
    }
    ledger.table(count, 5 * 8);
    ledger.free(totals);
    ledger.free(scratch);
    // More than the offsets can hold is refused before it is allocated.
    kinds.iter().zip(columns).for_each(|(kind, (_, bytes))| ledger.output((*bytes).min(kind.offset_width().max())));
    ledger.table(count, 5 * 8);
    let views = kinds.iter().filter(|kind| **kind == Kind::Views).count() as u64;
    (0..views).for_each(|_| ledger.output(16 * rows));
    ledger.table(views, 3 * 8);
    ledger.free(offsets);
    Ok(())
}
