//! Hash partition on a device.

use crate::column::{Batch, Column, DeviceColumn};
use crate::device::kernels::entries::hash_partition as entries;
use crate::device::launch::kernel;
use crate::device::{CudaCtx, DeviceBuffer, DeviceBufferMut, ExecCtx, Grid, In, Out};
use crate::error::Result;
use crate::ops::gather::by_row;
use crate::ops::gather::cuda::{Gather, Sources, device, on_device};
use crate::ops::gather::plan::{Forecast, MOVE_ENTRY, Rows, Shape};
use crate::ops::gather::table::{Bitmaps, Moves};
use crate::ops::hash::HashScheme;
use crate::ops::keys::{Reading, key_table};

use super::OP;

/// Threads of every block here; `Policy::kThreads` of the kernels.
const THREADS: u32 = 256;
/// Rows of a block of `hash_partition_move_columns`.
const TILE_ROWS: usize = 8192;
/// Digits of a pass, `Policy::kMostDigits`, and the bits that they are of.
const MOST_DIGITS: u32 = 1 << DIGIT_BITS;
const DIGIT_BITS: u32 = 12;
/// Rows that a block of `hash_partition_ids` takes at least, so that there are few sums of its counts, and blocks of a
/// multiprocessor.
const IDS_ROWS: u64 = 4096;
const IDS_BLOCKS: u32 = 8;

kernel! {
    /// Partitions of rows by a table of `KeyColumn`s, and how many rows each has.
    fn ids_of_rows[entries::IDS](
        table: In<'_, u64>, columns: u32, scheme: u32, n: u64, partitions: u32, reciprocal: u64, ids: Out<'_, u32>,
        counts: Out<'_, u32>,
    );
    /// Rows of a table of `MoveColumn`s in the order of a digit of their ids.
    fn move_columns[entries::MOVE_COLUMNS](
        columns: In<'_, u64>, count: u32, ids: In<'_, u32>, n: u64, shift: u32, digits: u32, digit_counts: In<'_, u32>,
        scratch: Out<'_, u64>,
    );
}

/// What the rows are partitioned by.
pub(super) struct Keys<'a> {
    pub(super) columns: &'a [&'a Column],
    pub(super) readings: &'a [Reading],
    pub(super) scheme: HashScheme,
    pub(super) partitions: u32,
}

impl Keys<'_> {
    fn rows(&self) -> usize {
        self.columns[0].len()
    }

    /// The partition of each row; with `counts`, a zeroed word for each partition, the rows that each has.
    fn ids(&self, ctx: &CudaCtx, counts: Option<&mut DeviceBufferMut>) -> Result<DeviceBuffer> {
        let n = self.rows() as u64;
        let mut ids = ctx.allocate(OP, self.rows() * 4)?;
        if n == 0 {
            return Ok(ids.freeze());
        }
        let keys = self.columns.iter().zip(self.readings).map(|(column, reading)| Ok((on_device(column)?, *reading)));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let (_guards, table) = key_table(ctx, OP, &keys)?;
        let blocks = n.div_ceil(IDS_ROWS).min(u64::from(IDS_BLOCKS * ctx.info().multiprocessors.max(1)));
        let grid = Grid::linear(blocks as u32, THREADS);
        let (columns, scheme, reciprocal) =
            (keys.len() as u32, self.scheme as u32, u64::MAX / u64::from(self.partitions));
        let (to_ids, to_counts) = (ids.output(), counts.map_or(Out::absent(), |counts| counts.output()));
        // SAFETY: the table's columns have `n` rows, the output an id for each, all below `partitions`; the counts have
        // a word for each partition.
        unsafe {
            ids_of_rows(ctx, grid, table.input(), columns, scheme, n, self.partitions, reciprocal, to_ids, to_counts)
        }?;
        Ok(ids.freeze())
    }
}

/// See [`super::partition_ids`].
pub(super) fn ids(ctx: &ExecCtx, keys: &Keys<'_>) -> Result<Column> {
    let cuda = device(ctx)?;
    let ids = keys.ids(cuda, None)?;
    Ok(DeviceColumn::fixed(cuda, arrow::datatypes::DataType::UInt32, keys.rows(), None, ids)?.into())
}

/// See [`super::hash_partition`]; the batch has rows. Gives the rows by partition and how many rows each has.
pub(super) fn partition(ctx: &ExecCtx, batch: &Batch, keys: &Keys<'_>) -> Result<(Batch, Vec<u32>)> {
    let cuda = device(ctx)?;
    let rows = batch.num_rows();
    let columns = batch.columns().iter().map(on_device).collect::<Result<Vec<_>>>()?;
    let mut counts = cuda.allocate_zeroed(OP, keys.partitions as usize * 4)?;
    let ids = keys.ids(cuda, Some(&mut counts))?;
    let counts = counts.freeze();
    let (moved, counts) = if keys.partitions <= MOST_DIGITS {
        let pass = Pass { ctx: cuda, rows, shift: 0, digits: keys.partitions };
        let moved = by_row::move_rows(cuda, OP, &columns, rows, |moves| pass.launch(moves, ids, &counts))?;
        (moved, words(cuda, &counts)?)
    } else {
        let by_partition = words(cuda, &counts)?;
        drop(counts);
        let sources = two_passes(cuda, rows, ids, &by_partition)?;
        (Gather { ctx: cuda, op: OP, sources: &sources }.columns(&columns)?, by_partition)
    };
    let moved = moved.into_iter().map(Column::from).collect();
    Ok((Batch::try_new(batch.schema().clone(), moved, rows, ctx.placement())?, counts))
}

/// Downloads words. Waits for the stream.
fn words(ctx: &CudaCtx, buffer: &DeviceBuffer) -> Result<Vec<u32>> {
    Ok(ctx.download(OP, buffer)?.typed_data::<u32>().to_vec())
}

/// A stable pass over one digit of the ids.
struct Pass<'a> {
    ctx: &'a CudaCtx,
    rows: usize,
    shift: u32,
    digits: u32,
}

impl Pass<'_> {
    /// Moves the rows of the table's columns. The ids are not needed any more.
    fn launch(&self, moves: &Moves<'_>, ids: DeviceBuffer, digit_counts: &DeviceBuffer) -> Result<()> {
        if moves.table.is_empty() {
            return Ok(());
        }
        let table = moves.table.upload()?;
        let tiles = self.rows.div_ceil(TILE_ROWS);
        let mut scratch = self.ctx.allocate_zeroed(OP, scratch_bytes(self.rows, self.digits))?;
        let shared = 4 * TILE_ROWS as u32 + 4 * self.digits + 4 * self.digits.div_ceil(2);
        let grid = Grid::linear(tiles as u32, THREADS).shared(shared);
        let (n, counts, scratch) = (self.rows as u64, digit_counts.input(), scratch.output());
        // SAFETY: every entry's inputs and outputs have `n` rows, and so have the ids; there is a count for each digit,
        // which add up to `n`, and a zeroed state for each tile and digit behind the ticket.
        unsafe {
            let (shift, digits) = (self.shift, self.digits);
            move_columns(self.ctx, grid, table.input(), moves.columns, ids.input(), n, shift, digits, counts, scratch)
        }
    }
}

/// A ticket, and a state for each tile and digit.
fn scratch_bytes(rows: usize, digits: u32) -> usize {
    8 + 4 * rows.div_ceil(TILE_ROWS) * digits as usize
}

/// The source rows in the order of their partitions: by the low digit, then by the high one.
fn two_passes(ctx: &CudaCtx, rows: usize, ids: DeviceBuffer, by_partition: &[u32]) -> Result<Sources> {
    let (low, high) = digit_counts(by_partition);
    let mut moves = Moves::new(ctx, OP, rows, Bitmaps::Zeroed);
    let numbers = moves.add_row_numbers()?;
    let by_low = moves.add_values(&ids, 4)?;
    let counts = ctx.upload_slice(OP, &low)?;
    Pass { ctx, rows, shift: 0, digits: MOST_DIGITS }.launch(&moves, ids, &counts)?;
    drop((moves, counts));
    let numbers = numbers.freeze();
    let mut moves = Moves::new(ctx, OP, rows, Bitmaps::Zeroed);
    let sources = moves.add_values(&numbers, 4)?;
    let counts = ctx.upload_slice(OP, &high)?;
    let pass = Pass { ctx, rows, shift: DIGIT_BITS, digits: high.len() as u32 };
    pass.launch(&moves, by_low.freeze(), &counts)?;
    Ok(Sources { buffer: sources.freeze(), rows, nullable: false })
}

/// Rows of each low and of each high digit.
fn digit_counts(by_partition: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let blocks = by_partition.chunks(MOST_DIGITS as usize);
    let high = blocks.clone().map(|block| block.iter().sum()).collect();
    let mut low = vec![0; MOST_DIGITS as usize];
    blocks.for_each(|block| low.iter_mut().zip(block).for_each(|(sum, count)| *sum += count));
    (low, high)
}

/// Books what [`partition`] takes beside its inputs, for a table of keys of so many bytes.
pub(super) fn plan(ledger: &mut Forecast, batch: &Batch, partitions: u32, key_table: u64) -> Result<()> {
    let rows = batch.num_rows();
    let n = rows as u64;
    let counts = ledger.temporary(4 * u64::from(partitions));
    let ids = ledger.temporary(4 * n);
    ledger.table(1, key_table);
    if partitions <= MOST_DIGITS {
        return by_row::plan(ledger, batch, n, |ledger, columns| {
            let table = ledger.temporary(columns * MOVE_ENTRY);
            ledger.table(1, if columns > 0 { scratch_bytes(rows, partitions) as u64 } else { 0 });
            [table, ids].into_iter().for_each(|bytes| ledger.free(bytes));
        });
    }
    ledger.free(counts);
    // `two_passes`.
    let [numbers, by_low] = [(); 2].map(|()| ledger.temporary(4 * n));
    plan_pass(ledger, rows, 2, MOST_DIGITS);
    ledger.free(ids);
    let _sources = ledger.temporary(4 * n);
    plan_pass(ledger, rows, 1, partitions.div_ceil(MOST_DIGITS));
    [numbers, by_low].into_iter().for_each(|bytes| ledger.free(bytes));
    let shapes = batch.columns().iter().map(Shape::of).collect::<Result<Vec<_>>>()?;
    ledger.columns(&shapes.iter().collect::<Vec<_>>(), Rows { count: n, nullable: false, repeated: false });
    Ok(())
}

/// What a pass holds beside its ids and outputs.
fn plan_pass(ledger: &mut Forecast, rows: usize, columns: u64, digits: u32) {
    let counts = ledger.temporary(4 * u64::from(digits));
    let table = ledger.temporary(columns * MOVE_ENTRY);
    ledger.table(1, scratch_bytes(rows, digits) as u64);
    [counts, table].into_iter().for_each(|bytes| ledger.free(bytes));
}
