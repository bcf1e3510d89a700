//! Filter on a device: two launches for all columns that move by row; strings, binary and lists go through gather.

use arrow::datatypes::DataType;

use crate::column::layout::Layout;
use crate::column::{Batch, Column, DeviceColumn};
use crate::device::kernels::entries::filter as entries;
use crate::device::launch::kernel;
use crate::device::{CudaCtx, DeviceBuffer, DeviceBufferMut, ExecCtx, Grid, In, Out};
use crate::error::{Error, Result};
use crate::ops::gather::cuda::{Gather, Sources, device, on_device, rows_of_blocks};
use crate::ops::gather::table::{Bitmaps, Moved, Moves};

use super::OP;

/// Threads of every block here; `Policy::kThreads` of the kernels.
const THREADS: u32 = 256;
/// Rows of a warp: a mask word for each lane.
pub(super) const WARP_ROWS: usize = 1024;
/// Rows of a block.
pub(super) const TILE_ROWS: usize = 8 * WARP_ROWS;
/// Values wider than this go through gather, which spreads a row over many threads.
const WIDEST: usize = 64;

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

/// A mask whose rows are counted.
struct Selection<'a> {
    ctx: &'a CudaCtx,
    mask: &'a DeviceBuffer,
    validity: Option<&'a DeviceBuffer>,
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
        Ok(Selection { ctx, mask: bits, validity: mask.validity(), rows, bases: bases.freeze(), count })
    }

    /// The selected rows of every column.
    fn apply(&self, columns: &[&DeviceColumn]) -> Result<Vec<DeviceColumn>> {
        let mut moves = Moves::new(self.ctx, OP, self.count, Bitmaps::Zeroed);
        let by_row = columns.iter().map(|column| moves_by_row(column.data_type())).collect::<Result<Vec<_>>>()?;
        let mut compacted = Vec::new();
        for column in columns.iter().zip(&by_row).filter_map(|(column, by_row)| by_row.then_some(*column)) {
            compacted.push(Compacted::plan(column, &mut moves)?);
        }
        let row_numbers = match by_row.iter().all(|by_row| *by_row) {
            true => None,
            false => Some(moves.add_row_numbers()?),
        };
        self.launch(&moves)?;
        drop(moves);
        let gathered = self.gather(columns, &by_row, row_numbers)?;
        let (mut compacted, mut gathered) = (compacted.into_iter(), gathered.into_iter());
        let missing = || Error::Internal { op: OP, why: "a column went missing".into() };
        by_row
            .iter()
            .map(|by_row| match by_row {
                true => compacted.next().ok_or_else(missing)?.finish(self.ctx, self.count),
                false => gathered.next().ok_or_else(missing),
            })
            .collect()
    }

    fn launch(&self, moves: &Moves<'_>) -> Result<()> {
        if moves.table.is_empty() {
            return Ok(());
        }
        let table = moves.table.upload()?;
        let blocks = self.rows.div_ceil(TILE_ROWS) as u32;
        let grid = Grid::linear(blocks, THREADS).rows(rows_of_blocks(OP, moves.columns)?);
        let (mask, valid, bases) = (self.mask.input(), self.validity.into(), self.bases.input());
        // SAFETY: every entry's inputs have `rows` rows and its outputs `count`, which the bases add up to.
        unsafe { compact_columns(self.ctx, grid, table.input(), mask, valid, bases, self.rows as u64) }
    }

    /// The columns that do not move by row, by the numbers of the selected rows.
    fn gather(
        &self,
        columns: &[&DeviceColumn],
        by_row: &[bool],
        row_numbers: Option<DeviceBufferMut>,
    ) -> Result<Vec<DeviceColumn>> {
        let Some(row_numbers) = row_numbers else { return Ok(Vec::new()) };
        let rest: Vec<_> =
            columns.iter().zip(by_row).filter(|(_, by_row)| !**by_row).map(|(column, _)| *column).collect();
        let sources = Sources { buffer: row_numbers.freeze(), rows: self.count, nullable: false };
        Gather { ctx: self.ctx, op: OP, sources: &sources }.columns(&rest)
    }
}

/// Whether a column of this type, with all struct fields below it, has its values in place by row.
pub(super) fn moves_by_row(data_type: &DataType) -> Result<bool> {
    Ok(match Layout::of(data_type)? {
        Layout::Bytes(_) | Layout::List(_) | Layout::FixedList(_) => false,
        Layout::Fixed(width) => width <= WIDEST,
        Layout::Struct => {
            for field in Layout::children(data_type) {
                if !moves_by_row(field)? {
                    return Ok(false);
                }
            }
            true
        }
        Layout::Null | Layout::Bits | Layout::Views | Layout::Dictionary(_) => true,
    })
}

/// A column whose outputs are in the table.
struct Compacted<'c> {
    column: &'c DeviceColumn,
    moved: Moved,
    fields: Vec<Compacted<'c>>,
}

impl<'c> Compacted<'c> {
    fn plan(column: &'c DeviceColumn, moves: &mut Moves<'_>) -> Result<Self> {
        let layout = Layout::of(column.data_type())?;
        let moved = moves.add(column, layout)?;
        let fields = match layout {
            Layout::Struct => column.children().iter().map(|field| Self::plan(field, moves)).collect::<Result<_>>()?,
            _ => Vec::new(),
        };
        Ok(Compacted { column, moved, fields })
    }

    fn finish(self, ctx: &CudaCtx, rows: usize) -> Result<DeviceColumn> {
        let children = match Layout::of(self.column.data_type())? {
            Layout::Dictionary(_) => self.column.children().to_vec(),
            _ => self.fields.into_iter().map(|field| field.finish(ctx, rows)).collect::<Result<_>>()?,
        };
        self.moved.finish(ctx, self.column, rows, children)
    }
}
