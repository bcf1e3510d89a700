//! Gather on a device.

use crate::column::layout::{Layout, OffsetWidth};
use crate::column::{Batch, Column, DeviceColumn};
use crate::device::kernels::entries::gather as entries;
use crate::device::launch::kernel;
use crate::device::{CudaCtx, DeviceBuffer, DeviceBufferMut, ExecCtx, Grid, In, Out, StatusWord};
use crate::error::{Error, Result};

use super::table::{Bitmaps, Moved, Moves, Table};
use super::{OP, OutOfRange, outside, too_long};

/// Threads of every block here; `Policy::kThreads` of the kernels.
const THREADS: u32 = 256;
/// Rows of a tile of `gather_offsets_columns` and of a block of `gather_move_columns`.
pub(super) const TILE_ROWS: u64 = 1024;
/// Blocks beyond which a grid-stride launch gains nothing.
const MOST_BLOCKS: u64 = 1 << 20;

kernel! {
    /// Source rows out of 32-bit indices.
    fn sources_u32[entries::SOURCES_U32](
        indices: In<'_, u32>, validity: In<'_, u32>, n: u64, rows: u64, sources: Out<'_, u32>, status: Out<'_, u64>,
    );
    /// Source rows out of 64-bit indices.
    fn sources_u64[entries::SOURCES_U64](
        indices: In<'_, u64>, validity: In<'_, u32>, n: u64, rows: u64, sources: Out<'_, u32>, status: Out<'_, u64>,
    );
    /// Values, bits and validity of a table of `MoveColumn`s.
    fn move_columns[entries::MOVE_COLUMNS](columns: In<'_, u64>, sources: In<'_, u32>, n: u64);
    /// Offsets of a table of `OffsetsColumn`s.
    fn offsets_columns[entries::OFFSETS_COLUMNS](columns: In<'_, u64>, sources: In<'_, u32>, n: u64);
    /// Bytes of a table of `BytesColumn`s.
    fn bytes_columns[entries::BYTES_COLUMNS](columns: In<'_, u64>, sources: In<'_, u32>, n: u64);
    /// Source rows of a list's child, 32-bit offsets.
    fn items_u32[entries::ITEMS_U32](
        offsets: In<'_, u32>, out_offsets: In<'_, u32>, sources: In<'_, u32>, n: u64, items: u64, out: Out<'_, u32>,
    );
    /// Source rows of a list's child, 64-bit offsets.
    fn items_u64[entries::ITEMS_U64](
        offsets: In<'_, u64>, out_offsets: In<'_, u64>, sources: In<'_, u32>, n: u64, items: u64, out: Out<'_, u32>,
    );
    /// Source rows of a fixed-size list's child.
    fn repeat_u32[entries::REPEAT_U32](sources: In<'_, u32>, n: u64, size: u64, out: Out<'_, u32>);
}

/// See [`super::gather`].
pub(super) fn gather(ctx: &ExecCtx, batch: &Batch, indices: &Column, out_of_range: OutOfRange) -> Result<Batch> {
    let cuda = device(ctx)?;
    let indices = on_device(indices)?;
    let (sources, status) = sources(cuda, indices, batch.num_rows(), out_of_range)?;
    let columns = batch.columns().iter().map(on_device).collect::<Result<Vec<_>>>()?;
    let gathered = Gather { ctx: cuda, op: OP, sources: &sources }.columns(&columns)?;
    if let Some(row) = status.map(|status| status.first_failure(cuda, OP)).transpose()?.flatten() {
        return Err(outside(row as usize, batch.num_rows()));
    }
    let columns = gathered.into_iter().map(Column::from).collect();
    Batch::try_new(batch.schema().clone(), columns, sources.rows, ctx.placement())
}

/// The device side of a context that has one.
pub(in crate::ops) fn device(ctx: &ExecCtx) -> Result<&CudaCtx> {
    ctx.as_cuda().ok_or_else(|| Error::Internal { op: OP, why: "the context has no device".into() })
}

/// A column that validation found on the device.
pub(in crate::ops) fn on_device(column: &Column) -> Result<&DeviceColumn> {
    column.as_device().ok_or_else(|| Error::Internal { op: OP, why: "a column is not on the device".into() })
}

/// Source rows in device memory: `u32`s, the greatest of which stands for none.
pub(in crate::ops) struct Sources {
    pub(in crate::ops) buffer: DeviceBuffer,
    pub(in crate::ops) rows: usize,
    /// Whether there may be rows without a source.
    pub(in crate::ops) nullable: bool,
}

/// The indices as source rows, with a status word when one out of range is an error.
fn sources(
    ctx: &CudaCtx,
    indices: &DeviceColumn,
    rows: usize,
    out_of_range: OutOfRange,
) -> Result<(Sources, Option<StatusWord>)> {
    let n = indices.len();
    let mut status = match out_of_range {
        OutOfRange::Fails => Some(StatusWord::new(ctx, OP)?),
        OutOfRange::IsNull => None,
    };
    let mut buffer = ctx.allocate(OP, n * 4)?;
    let grid = Grid::strided(n as u64, THREADS);
    let values = indices.buffers().first().ok_or_else(|| Error::invalid(OP, "indices without values"))?;
    let word = status.as_mut().map_or(Out::absent(), |status| status.word.output());
    let (valid, rows) = (indices.validity().into(), rows as u64);
    if indices.data_type().primitive_width() == Some(4) {
        // SAFETY: indices and sources have `n` values, the bitmap `n` bits; the status is one word.
        unsafe { sources_u32(ctx, grid, values.input(), valid, n as u64, rows, buffer.output(), word) }?;
    } else {
        // SAFETY: as above.
        unsafe { sources_u64(ctx, grid, values.input(), valid, n as u64, rows, buffer.output(), word) }?;
    }
    let nullable = out_of_range == OutOfRange::IsNull || indices.validity().is_some();
    Ok((Sources { buffer: buffer.freeze(), rows: n, nullable }, status))
}

/// Gathers columns by source rows: one launch for all that moves by row, two for all that is of variable length, and
/// the same again for the children of lists.
pub(in crate::ops) struct Gather<'a> {
    pub(in crate::ops) ctx: &'a CudaCtx,
    pub(in crate::ops) op: &'static str,
    pub(in crate::ops) sources: &'a Sources,
}

/// A column on its way: what is done of it, and what is of variable length below.
struct Pending<'c> {
    column: &'c DeviceColumn,
    layout: Layout,
    moved: Moved,
    children: Vec<Pending<'c>>,
    /// Items of a fixed-size list that moved as one wide value.
    items: Option<DeviceBufferMut>,
    /// Length of what the gathered offsets cover.
    total: u64,
    bytes: Option<DeviceBufferMut>,
}

impl<'a> Gather<'a> {
    /// The gathered columns.
    pub(in crate::ops) fn columns(&self, columns: &[&DeviceColumn]) -> Result<Vec<DeviceColumn>> {
        let bitmaps = if self.sources.nullable { Bitmaps::WrittenNullable } else { Bitmaps::Written };
        let mut moves = Moves::new(self.ctx, self.op, self.sources.rows, bitmaps);
        let mut pending = columns.iter().map(|column| self.plan(column, &mut moves)).collect::<Result<Vec<_>>>()?;
        self.launch_moves(&moves)?;
        drop(moves);
        self.offsets(&mut pending)?;
        self.bytes(&mut pending)?;
        pending.into_iter().map(|pending| self.finish(pending)).collect()
    }

    fn rows(&self) -> u64 {
        self.sources.rows as u64
    }

    /// Allocates the outputs of a column and of the struct fields below it, and enters them into the table.
    fn plan<'c>(&self, column: &'c DeviceColumn, moves: &mut Moves<'_>) -> Result<Pending<'c>> {
        let layout = Layout::of(column.data_type())?;
        let moved = moves.add(column, layout)?;
        let children = match layout {
            Layout::Struct => {
                column.children().iter().map(|child| self.plan(child, moves)).collect::<Result<Vec<_>>>()?
            }
            _ => Vec::new(),
        };
        let items = match self.flat_items(column, layout) {
            Some((values, width)) => Some(moves.add_values(values, width)?),
            None => None,
        };
        Ok(Pending { column, layout, moved, children, items, total: 0, bytes: None })
    }

    /// Items of a fixed-size list that move as one wide value: they have no validity and will need none.
    fn flat_items<'c>(&self, column: &'c DeviceColumn, layout: Layout) -> Option<(&'c DeviceBuffer, usize)> {
        let Layout::FixedList(size) = layout else { return None };
        let child = column.children().first()?;
        match Layout::of(child.data_type()) {
            Ok(Layout::Fixed(width))
                if (1..=u32::MAX as usize).contains(&(size * width))
                    && child.validity().is_none()
                    && !self.sources.nullable =>
            {
                Some((child.buffers().first()?, size * width))
            }
            _ => None,
        }
    }

    fn launch_moves(&self, moves: &Moves<'_>) -> Result<()> {
        if moves.table.is_empty() {
            return Ok(());
        }
        let table = moves.table.upload()?;
        let blocks = moves.widest.div_ceil(TILE_ROWS).min(MOST_BLOCKS) as u32;
        let grid = Grid::linear(blocks, THREADS).rows(rows_of_blocks(self.op, moves.columns)?);
        // SAFETY: every entry's outputs were allocated for `rows` rows, and sources are below the inputs' rows, which
        // `find_sources` or the kernel that made them saw to.
        unsafe { move_columns(self.ctx, grid, table.input(), self.sources.buffer.input(), self.rows()) }
    }

    /// Offsets of all columns of variable length, then their totals. Waits for the stream when there are any.
    fn offsets(&self, pending: &mut [Pending<'_>]) -> Result<()> {
        let mut open = Vec::new();
        pending.iter_mut().for_each(|pending| variable_length(pending, &mut open));
        if open.is_empty() {
            return Ok(());
        }
        let rows = self.sources.rows;
        if rows == 0 {
            for (pending, width) in open {
                pending.moved.values = Some(self.ctx.allocate_zeroed(self.op, width.bytes())?);
            }
            return Ok(());
        }
        let tiles = self.rows().div_ceil(TILE_ROWS);
        let region = 8 * (1 + tiles as usize);
        let mut totals = self.ctx.allocate(self.op, 8 * open.len())?;
        let mut scratch = self.ctx.allocate_zeroed(self.op, region * open.len())?;
        let mut table = Table::new(self.ctx, self.op);
        for (i, (pending, width)) in open.iter_mut().enumerate() {
            let mut out = self.ctx.allocate(self.op, (rows + 1) * width.bytes())?;
            let from = table.reads(pending.column.buffers().first())?;
            let to = table.writes(&mut out)?;
            let total = table.writes(&mut totals)? + 8 * i as u64;
            let states = table.writes(&mut scratch)? + (region * i) as u64;
            table.push(&[from, to, total, states, u64::from(*width == OffsetWidth::W64)]);
            pending.moved.values = Some(out);
        }
        let words = table.upload()?;
        let grid = Grid::linear(tiles as u32, THREADS).rows(rows_of_blocks(self.op, open.len() as u32)?);
        // SAFETY: each entry has offsets of its source rows, output offsets of `rows + 1` rows, a total and zeroed
        // states for all tiles.
        unsafe { offsets_columns(self.ctx, grid, words.input(), self.sources.buffer.input(), self.rows()) }?;
        let totals = self.ctx.download(self.op, &totals.freeze())?;
        for ((pending, width), &total) in open.iter_mut().zip(totals.typed_data::<u64>()) {
            if total > width.max() {
                return Err(too_long(pending.column.data_type(), total));
            }
            pending.total = total;
        }
        Ok(())
    }

    /// Bytes of all strings and binary, in one launch.
    fn bytes(&self, pending: &mut [Pending<'_>]) -> Result<()> {
        let mut open = Vec::new();
        pending.iter_mut().for_each(|pending| variable_length(pending, &mut open));
        let mut table = Table::new(self.ctx, self.op);
        let (mut columns, mut longest) = (0, 0);
        for (pending, width) in open {
            let (Layout::Bytes(_), [offsets, bytes]) = (pending.layout, pending.column.buffers()) else { continue };
            let mut out = self.ctx.allocate(self.op, pending.total as usize)?;
            if pending.total > 0 {
                let from = [table.reads(bytes)?, table.reads(offsets)?];
                let to = [table.writes(pending.moved.values.as_mut())?, table.writes(&mut out)?];
                let wide = u64::from(width == OffsetWidth::W64);
                table.push(&[from[0], from[1], to[0], to[1], bytes.len() as u64, pending.total, wide]);
                columns += 1;
                longest = longest.max(pending.total);
            }
            pending.bytes = Some(out);
        }
        if table.is_empty() {
            return Ok(());
        }
        let words = table.upload()?;
        let grid = Grid::strided(longest.div_ceil(16), THREADS).rows(rows_of_blocks(self.op, columns)?);
        // SAFETY: the output offsets are sums of source lengths and end at `total`, the size of the output, which is
        // padded to whole 16-byte segments; sources of rows with bytes are below the input's rows.
        unsafe { bytes_columns(self.ctx, grid, words.input(), self.sources.buffer.input(), self.rows()) }
    }

    fn finish(&self, pending: Pending<'_>) -> Result<DeviceColumn> {
        let Pending { column, layout, mut moved, children, items, total, bytes } = pending;
        let rows = self.sources.rows;
        let children = match layout {
            Layout::Struct => children.into_iter().map(|child| self.finish(child)).collect::<Result<_>>()?,
            Layout::Dictionary(_) => column.children().to_vec(),
            Layout::FixedList(size) => vec![self.fixed_items(&column.children()[0], size, items)?],
            Layout::List(width) => {
                let out_offsets = moved.values.take().map(DeviceBufferMut::freeze);
                let offsets = out_offsets.ok_or_else(|| internal("a list without offsets"))?;
                let child = self.list_items(column, width, &offsets, total)?;
                let validity = moved.validity.take().map(DeviceBufferMut::freeze);
                let data_type = column.data_type().clone();
                return DeviceColumn::from_parts(self.ctx, data_type, rows, validity, vec![offsets], vec![child]);
            }
            Layout::Bytes(_) => {
                let buffers = [moved.values.take(), bytes].into_iter().flatten().map(DeviceBufferMut::freeze).collect();
                let validity = moved.validity.take().map(DeviceBufferMut::freeze);
                let data_type = column.data_type().clone();
                return DeviceColumn::from_parts(self.ctx, data_type, rows, validity, buffers, Vec::new());
            }
            _ => Vec::new(),
        };
        moved.finish(self.ctx, column, rows, children)
    }

    fn fixed_items(&self, child: &DeviceColumn, size: usize, items: Option<DeviceBufferMut>) -> Result<DeviceColumn> {
        let rows = self.sources.rows * size;
        if let Some(values) = items {
            let moved = Moved { values: Some(values), validity: None };
            return moved.finish(self.ctx, child, rows, Vec::new());
        }
        let mut out = self.ctx.allocate(self.op, rows * 4)?;
        let sources = self.sources.buffer.input();
        // SAFETY: the output has `rows * size` values.
        unsafe {
            repeat_u32(self.ctx, Grid::strided(rows as u64, THREADS), sources, self.rows(), size as u64, out.output())
        }?;
        self.child(child, out, rows, self.sources.nullable)
    }

    fn list_items(
        &self,
        column: &DeviceColumn,
        width: OffsetWidth,
        out_offsets: &DeviceBuffer,
        items: u64,
    ) -> Result<DeviceColumn> {
        let (from, sources) = (&column.buffers()[0], self.sources.buffer.input());
        let (n, grid) = (self.rows(), Grid::strided(items, THREADS));
        let mut out = self.ctx.allocate(self.op, items as usize * 4)?;
        match width {
            // SAFETY: offsets of source rows, `n + 1` output offsets that end at `items`, the size of the output.
            OffsetWidth::W32 => unsafe {
                items_u32(self.ctx, grid, from.input(), out_offsets.input(), sources, n, items, out.output())
            },
            // SAFETY: as above.
            OffsetWidth::W64 => unsafe {
                items_u64(self.ctx, grid, from.input(), out_offsets.input(), sources, n, items, out.output())
            },
        }?;
        self.child(&column.children()[0], out, items as usize, false)
    }

    /// A child column gathered by its own source rows.
    fn child(
        &self,
        child: &DeviceColumn,
        sources: DeviceBufferMut,
        rows: usize,
        nullable: bool,
    ) -> Result<DeviceColumn> {
        if child.len() >= u32::MAX as usize {
            let what = format!("a list column of {} items", child.len());
            return Err(Error::unsupported(self.op, what, "split the batch"));
        }
        let sources = Sources { buffer: sources.freeze(), rows, nullable };
        let mut columns = Gather { ctx: self.ctx, op: self.op, sources: &sources }.columns(&[child])?;
        columns.pop().ok_or_else(|| internal("a child went missing"))
    }
}

/// The columns of variable length among a column and the struct fields below it.
fn variable_length<'p, 'c>(pending: &'p mut Pending<'c>, open: &mut Vec<(&'p mut Pending<'c>, OffsetWidth)>) {
    match pending.layout {
        Layout::Bytes(width) | Layout::List(width) => open.push((pending, width)),
        _ => pending.children.iter_mut().for_each(|child| variable_length(child, open)),
    }
}

/// A row of blocks for each column of a table.
pub(in crate::ops) fn rows_of_blocks(op: &'static str, columns: u32) -> Result<u32> {
    const MOST: u32 = 65_535;
    match columns {
        0..=MOST => Ok(columns),
        _ => Err(Error::unsupported(op, format!("{columns} columns at once"), "select fewer columns")),
    }
}

fn internal(why: &str) -> Error {
    Error::Internal { op: OP, why: why.to_owned() }
}
