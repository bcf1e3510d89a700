//! Filter on a device: two launches for all columns that move by row; strings, binary and lists go through gather.

use arrow::buffer::BooleanBuffer;

use crate::column::layout::bit_bytes;
use crate::column::{Batch, Column, DeviceColumn};
use crate::device::kernels::entries::filter as entries;
use crate::device::launch::kernel;
use crate::device::{CudaCtx, DeviceBuffer, DeviceBufferMut, ExecCtx, Grid, In, Out};
use crate::error::{Error, Result};
use crate::ops::expr::Predicate;
use crate::ops::expr::cuda::{Launch, columns_of};
use crate::ops::expr::emit::{self as expr, Word};
use crate::ops::gather::by_row;
use crate::ops::gather::cuda::{device, on_device, rows_of_blocks};
use crate::ops::gather::table::Moves;

use super::OP;

/// Threads of every block here; `Policy::kThreads` of the kernels.
const THREADS: u32 = 256;
/// Rows of a warp: a mask word for each lane.
pub(super) const WARP_ROWS: usize = 1024;
/// Rows of a block.
pub(super) const TILE_ROWS: usize = 8 * WARP_ROWS;

kernel! {
    /// The output position of each warp's first selected row, and how many there are.
    fn bases_bits[entries::BASES_BITS](
        mask: In<'_, u32>, mask_validity: In<'_, u32>, n: u64, bases: Out<'_, u32>, count: Out<'_, u64>,
        scratch: Out<'_, u64>,
    );
    /// Selected rows of a table of `MoveColumn`s.
    fn compact_columns[entries::COMPACT_COLUMNS](
        columns: In<'_, u64>, mask: In<'_, u32>, mask_validity: In<'_, u32>, bases: In<'_, u32>, n: u64,
    );
}

/// See [`super::filter`].
pub(super) fn filter(ctx: &ExecCtx, batch: &Batch, mask: &Column) -> Result<Batch> {
    let cuda = device(ctx)?;
    let selection = Selection::count(cuda, on_device(mask)?)?;
    if selection.count == batch.num_rows() {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().map(on_device).collect::<Result<Vec<_>>>()?;
    let kept = selection.apply(&columns)?.into_iter().map(Column::from).collect();
    Batch::try_new(batch.schema().clone(), kept, selection.count, ctx.placement())
}

/// See [`super::filter_where`]; the batch has at least one row. With `mask`, which rows were kept comes to the host.
pub(super) fn filter_where(
    ctx: &ExecCtx,
    batch: &Batch,
    predicate: &Predicate,
    mask: bool,
) -> Result<(Batch, Option<BooleanBuffer>)> {
    let cuda = device(ctx)?;
    let columns = columns_of(batch)?;
    let selection = match Selection::evaluate(cuda, predicate, &columns, batch.num_rows())? {
        Ok(selection) => selection,
        Err(row) => return Err(predicate.explain(ctx, batch, row)),
    };
    let rows = batch.num_rows();
    if selection.count == rows {
        return Ok((batch.clone(), mask.then(|| BooleanBuffer::new_set(rows))));
    }
    let kept = selection.apply(&columns)?.into_iter().map(Column::from).collect();
    let kept = Batch::try_new(batch.schema().clone(), kept, selection.count, ctx.placement())?;
    let bits = mask.then(|| cuda.download(OP, &selection.mask)).transpose()?;
    Ok((kept, bits.map(|bits| BooleanBuffer::new(bits, 0, rows))))
}

/// A mask whose rows are counted.
struct Selection<'a> {
    ctx: &'a CudaCtx,
    mask: DeviceBuffer,
    validity: Option<DeviceBuffer>,
    rows: usize,
    /// The output position of each warp's first row.
    bases: DeviceBuffer,
    count: usize,
}

impl<'a> Selection<'a> {
    /// Counts the selected rows. Waits for the stream: the count is the size of every output.
    fn count(ctx: &'a CudaCtx, mask: &'a DeviceColumn) -> Result<Self> {
        let rows = mask.len();
        let bits = mask.buffers().first().ok_or_else(|| Error::invalid(OP, "a mask without bits"))?;
        let tiles = rows.div_ceil(TILE_ROWS);
        let mut bases = ctx.allocate(OP, rows.div_ceil(WARP_ROWS) * 4)?;
        let mut count = ctx.allocate_zeroed(OP, 8)?;
        let mut scratch = ctx.allocate_zeroed(OP, 8 * (1 + tiles))?;
        let (grid, valid) = (Grid::linear(tiles as u32, THREADS), mask.validity().into());
        let (to_bases, to_count, states) = (bases.output(), count.output(), scratch.output());
        // SAFETY: both bitmaps hold `rows` bits in whole words, there is a base for each warp, and a zeroed state for
        // each block behind the ticket.
        unsafe { bases_bits(ctx, grid, bits.input(), valid, rows as u64, to_bases, to_count, states) }?;
        let mut total = [0; 8];
        ctx.download_into(OP, &count.freeze(), &mut total)?;
        let count = u64::from_le_bytes(total) as usize;
        let validity = mask.validity().cloned();
        Ok(Selection { ctx, mask: bits.clone(), validity, rows, bases: bases.freeze(), count })
    }

    /// Evaluates the predicate, and counts the rows for which it is true, in one launch; or gives the lowest row that
    /// fails. Waits for the stream.
    fn evaluate(
        ctx: &'a CudaCtx,
        predicate: &Predicate,
        columns: &[&DeviceColumn],
        rows: usize,
    ) -> Result<Result<Self, u64>> {
        let program = predicate.selection(columns)?;
        let launch = Launch::new(ctx, &program, columns, rows)?;
        let mut mask = ctx.allocate(OP, bit_bytes(rows))?;
        let mut bases = ctx.allocate(OP, rows.div_ceil(WARP_ROWS) * 4)?;
        let mut scratch = ctx.allocate_zeroed(OP, 8 * (1 + rows.div_ceil(expr::TILE_ROWS)))?;
        // The count, and the lowest failing row.
        let outcome = [0u64.to_le_bytes(), u64::MAX.to_le_bytes()].concat();
        let mut outcome = ctx.upload_mut(OP, &outcome)?;
        let address = |buffer: &mut DeviceBufferMut| buffer.for_stream(ctx.stream()).map(|guard| guard.pointer());
        let [to_mask, to_bases] = [address(&mut mask)?, address(&mut bases)?];
        let [states, to_count] = [address(&mut scratch)?, address(&mut outcome)?];
        let own = |word: &Word| match word {
            Word::Output(_) => to_mask,
            Word::Bases => to_bases,
            Word::Scratch => states,
            Word::Count => to_count,
            Word::Status => to_count + 8,
            _ => 0,
        };
        // SAFETY: the mask holds `rows` bits in whole words, there is a base for each 1,024 rows, a zeroed state for
        // each block behind the ticket, and two words of outcome; all were just allocated on this stream.
        unsafe { launch.queue(own) }?;
        let mut found = [0; 16];
        ctx.download_into(OP, &outcome.freeze(), &mut found)?;
        let [count, failed] = [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|i| found[at + i])));
        if failed != u64::MAX {
            return Ok(Err(failed));
        }
        let (mask, bases, count) = (mask.freeze(), bases.freeze(), count as usize);
        Ok(Ok(Selection { ctx, mask, validity: None, rows, bases, count }))
    }

    /// The selected rows of every column.
    fn apply(&self, columns: &[&DeviceColumn]) -> Result<Vec<DeviceColumn>> {
        by_row::move_rows(self.ctx, OP, columns, self.count, |moves| self.launch(moves))
    }

    fn launch(&self, moves: &Moves<'_>) -> Result<()> {
        if moves.table.is_empty() {
            return Ok(());
        }
        let table = moves.table.upload()?;
        let blocks = self.rows.div_ceil(TILE_ROWS) as u32;
        let grid = Grid::linear(blocks, THREADS).rows(rows_of_blocks(OP, moves.columns)?);
        let (mask, valid, bases) = (self.mask.input(), self.validity.as_ref().into(), self.bases.input());
        // SAFETY: every entry's inputs have `rows` rows and its outputs `count`, which the bases add up to.
        unsafe { compact_columns(self.ctx, grid, table.input(), mask, valid, bases, self.rows as u64) }
    }
}
