//! Columns whose rows an operator moves itself: those with their values in place by row in one launch of its own, the
//! others by source rows that the same launch writes, through gather.

use arrow::datatypes::DataType;

use crate::column::layout::Layout;
use crate::column::{Batch, DeviceColumn};
use crate::device::{CudaCtx, DeviceBufferMut};
use crate::error::{Error, Result};

use super::cuda::{Gather, Sources};
use super::plan::{Forecast, Rows, Shape};
use super::table::{Bitmaps, Moved, Moves};

/// Values wider than this go through gather, which spreads a row over many threads.
const WIDEST: usize = 64;

/// The columns with `rows` rows each, out of their rows in the order that `launch` puts them into: it launches the kernel
/// that moves the rows of the table's columns, whose output bitmaps are zeroed.
pub(in crate::ops) fn move_rows(
    ctx: &CudaCtx,
    op: &'static str,
    columns: &[&DeviceColumn],
    rows: usize,
    launch: impl FnOnce(&Moves<'_>) -> Result<()>,
) -> Result<Vec<DeviceColumn>> {
    let mut moves = Moves::new(ctx, op, rows, Bitmaps::Zeroed);
    let by_row = columns.iter().map(|column| moves_by_row(column.data_type())).collect::<Result<Vec<_>>>()?;
    let mut in_place = Vec::new();
    for column in columns.iter().zip(&by_row).filter_map(|(column, by_row)| by_row.then_some(*column)) {
        in_place.push(InPlace::plan(column, &mut moves)?);
    }
    let row_numbers = match by_row.iter().all(|by_row| *by_row) {
        true => None,
        false => Some(moves.add_row_numbers()?),
    };
    launch(&moves)?;
    drop(moves);
    let gathered = gather_rest(ctx, op, (columns, &by_row), rows, row_numbers)?;
    let (mut in_place, mut gathered) = (in_place.into_iter(), gathered.into_iter());
    let missing = || Error::Internal { op, why: "a column went missing".into() };
    by_row
        .iter()
        .map(|by_row| match by_row {
            true => in_place.next().ok_or_else(missing)?.finish(ctx, rows),
            false => gathered.next().ok_or_else(missing),
        })
        .collect()
}

/// The columns that do not move by row, by the numbers of their source rows.
fn gather_rest(
    ctx: &CudaCtx,
    op: &'static str,
    (columns, by_row): (&[&DeviceColumn], &[bool]),
    rows: usize,
    row_numbers: Option<DeviceBufferMut>,
) -> Result<Vec<DeviceColumn>> {
    let Some(row_numbers) = row_numbers else { return Ok(Vec::new()) };
    let rest: Vec<_> = columns.iter().zip(by_row).filter(|(_, by_row)| !**by_row).map(|(column, _)| *column).collect();
    let sources = Sources { buffer: row_numbers.freeze(), rows, nullable: false };
    Gather { ctx, op, sources: &sources }.columns(&rest)
}

/// Books what [`move_rows`] takes; `launch` books what its launch takes for a table of so many columns.
pub(in crate::ops) fn plan(
    ledger: &mut Forecast,
    batch: &Batch,
    rows: u64,
    launch: impl FnOnce(&mut Forecast, u64),
) -> Result<()> {
    let to = Rows { count: rows, nullable: false, repeated: false };
    let (mut entries, mut rest) = (0, Vec::new());
    for column in batch.columns() {
        let shape = Shape::of(column)?;
        match moves_by_row(column.data_type())? {
            true => entries += ledger.moves(&shape, to),
            false => rest.push(shape),
        }
    }
    let row_numbers = if rest.is_empty() { 0 } else { to.count };
    let sources = ledger.temporary(4 * row_numbers);
    launch(ledger, entries + row_numbers.min(1));
    ledger.columns(&rest.iter().collect::<Vec<_>>(), to);
    ledger.free(sources);
    Ok(())
}

/// Whether a column of this type, with all struct fields below it, has its values in place by row.
fn moves_by_row(data_type: &DataType) -> Result<bool> {
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
struct InPlace<'c> {
    column: &'c DeviceColumn,
    moved: Moved,
    fields: Vec<InPlace<'c>>,
}

impl<'c> InPlace<'c> {
    fn plan(column: &'c DeviceColumn, moves: &mut Moves<'_>) -> Result<Self> {
        let layout = Layout::of(column.data_type())?;
        let moved = moves.add(column, layout)?;
        let fields = match layout {
            Layout::Struct => column.children().iter().map(|field| Self::plan(field, moves)).collect::<Result<_>>()?,
            _ => Vec::new(),
        };
        Ok(InPlace { column, moved, fields })
    }

    fn finish(self, ctx: &CudaCtx, rows: usize) -> Result<DeviceColumn> {
        let children = match Layout::of(self.column.data_type())? {
            Layout::Dictionary(_) => self.column.children().to_vec(),
            _ => self.fields.into_iter().map(|field| field.finish(ctx, rows)).collect::<Result<_>>()?,
        };
        self.moved.finish(ctx, self.column, rows, children)
    }
}
