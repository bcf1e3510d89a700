//! Keep the rows that a mask selects, or a condition.

mod cuda;
mod host;

use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;

use crate::column::layout::Layout;
use crate::column::{Batch, Column, Placement};
use crate::device::{ExecCtx, MemoryPlan};
use crate::error::{Error, Result};
use crate::ops::expr::Predicate;
use crate::ops::expr::emit::TILE_ROWS;
use crate::ops::gather::by_row;
use crate::ops::gather::plan::{Forecast, MOVE_ENTRY};

const OP: &str = "filter";

/// Keeps the rows where `mask` is true, in their order; a null in the mask counts as false.
///
/// ```text
/// a: 1 2 3 4     mask: true null false true     ->  a: 1 4
/// ```
///
/// All column types; what lies under null rows is copied as it is. Data buffers of view columns and dictionaries are
/// shared with the input, not copied.
///
/// # Errors
/// `InvalidInput` when the mask is not boolean or not as long as the batch, `WrongDevice` when the batch or the mask is
/// not where `ctx` runs, `Unsupported` for column types without an Arrow layout here (unions, run-end encoding, list
/// views).
///
/// # Synchronization
/// On a device waits once for the number of selected rows, and once more for each level of strings, binary and lists.
///
/// # Cost
/// Rows are at least read once from the mask (1/8 byte, twice with nulls in it), selected values read and written once.
/// On the host a task per column. On a device two launches for all columns of fixed width, booleans, views, dictionaries
/// and structs of them: the mask is read once by the first and once per column by the second, sectors of 32 bytes
/// without a selected row are not read. Strings, binary and lists add 4 bytes a selected row for its number, and
/// gather's launches. [`filter_plan`] tells the device memory.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, BooleanArray, Int32Array, RecordBatch};
/// use warpline::{Batch, Column, ExecCtx, ops};
///
/// let ctx = ExecCtx::host(0)?;
/// let a: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3, 4]));
/// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("a", a)])?).to(&ctx)?;
/// let mask = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]));
/// let kept = ops::filter(&ctx, &batch, &Column::from_array(mask).to(&ctx)?)?;
/// let expected: ArrayRef = Arc::new(Int32Array::from(vec![1, 4]));
/// assert_eq!(kept.columns()[0].to_host()?.to_array()?.as_ref(), expected.as_ref());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn filter(ctx: &ExecCtx, batch: &Batch, mask: &Column) -> Result<Batch> {
    validate(ctx, batch, mask)?;
    match ctx.placement() {
        Placement::Host => host::filter(ctx, batch, mask),
        Placement::Cuda(_) => cuda::filter(ctx, batch, mask),
    }
}

/// Keeps the rows for which a condition is true, in their order: [`filter`] by [`Predicate::mask`], in less work.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// use warpline::{Batch, ExecCtx, ops, ops::expr::Expr};
///
/// let ctx = ExecCtx::host(0)?;
/// let a: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3), Some(4)]));
/// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("a", a)])?).to(&ctx)?;
/// let kept = ops::filter_where(&ctx, &batch, &Expr::parse("a > 2")?.bind(batch.schema())?)?;
/// let expected: ArrayRef = Arc::new(Int32Array::from(vec![3, 4]));
/// assert_eq!(kept.columns()[0].to_host()?.to_array()?.as_ref(), expected.as_ref());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`filter`] for the batch, and those of [`Predicate::mask`].
///
/// # Synchronization
/// On a device as [`filter`]; whether a row failed comes with the number of selected rows.
///
/// # Cost
/// On a device two launches for all columns of fixed width, booleans, views, dictionaries and structs of them: the first
/// reads the columns of the condition, writes a bit a row and 4 bytes for 1,024 of them, and counts by decoupled
/// look-back; the second is [`filter`]'s. [`filter_where_plan`] tells the device memory.
pub fn filter_where(ctx: &ExecCtx, batch: &Batch, predicate: &Predicate) -> Result<Batch> {
    ctx.expect(OP, batch.placement())?;
    check(batch)?;
    if batch.num_rows() == 0 {
        // Nothing to keep; what the condition says of literals alone may fail all the same.
        predicate.mask(ctx, batch)?;
        return Ok(batch.clone());
    }
    match ctx.placement() {
        Placement::Host => host::filter_by(ctx, batch, &predicate.evaluate(&batch.to_record_batch()?)?),
        Placement::Cuda(_) => Ok(cuda::filter_where(ctx, batch, predicate, false)?.0),
    }
}

/// [`filter_where`] on a device, for who must know which rows were kept: they come to the host, 1/8 byte a row.
pub(crate) fn filter_where_masked(
    ctx: &ExecCtx,
    batch: &Batch,
    predicate: &Predicate,
) -> Result<(Batch, BooleanBuffer)> {
    ctx.expect(OP, batch.placement())?;
    check(batch)?;
    let (kept, mask) = cuda::filter_where(ctx, batch, predicate, true)?;
    let missing = || Error::Internal { op: OP, why: "no mask came back".to_owned() };
    Ok((kept, mask.ok_or_else(missing)?))
}

/// The device memory that [`filter_where`] takes for this batch, as [`filter_plan`] tells it for [`filter`]; without the
/// driver's memory for the compiled kernel. Literals of text, lists and the tables of view columns' buffers are counted.
///
/// # Errors
/// As [`filter_plan`].
///
/// # Cost
/// No device work: a walk over the columns' types and lengths, and over the condition.
pub fn filter_where_plan(batch: &Batch, predicate: &Predicate) -> Result<MemoryPlan> {
    check(batch)?;
    let rows = batch.num_rows();
    let mut ledger = Forecast::default();
    if rows == 0 {
        return Ok(ledger.plan());
    }
    // `Selection::evaluate`.
    let constants = ledger.temporary(predicate.launch_bytes(batch)?);
    let _mask = ledger.temporary(rows.div_ceil(8) as u64);
    let _bases = ledger.temporary(4 * rows.div_ceil(cuda::WARP_ROWS) as u64);
    let states = ledger.temporary(8 * (1 + rows.div_ceil(TILE_ROWS)) as u64);
    let outcome = ledger.temporary(16);
    for bytes in [constants, states, outcome] {
        ledger.free(bytes);
    }
    plan_apply(ledger, batch)
}

/// The device memory that [`filter`] takes for this batch, without the inputs, whatever the mask and whether the batch
/// is on a device or will be. On the host nothing of it is used.
///
/// The mask decides how much is taken: `workspace + output` is never less than the peak, and it is the peak when all
/// rows but one are kept and the columns are of fixed width, booleans, views, dictionaries or structs of them. With all
/// rows kept the result is the batch itself and takes nothing; strings and lists are planned at their full size.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// use warpline::{Batch, ops};
///
/// let a: ArrayRef = Arc::new(Int32Array::from(vec![1; 1000]));
/// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("a", a)])?);
/// let plan = ops::filter_plan(&batch)?;
/// assert_eq!(plan.output, 4032); // 999 values, to the next 64 bytes
/// assert_eq!(plan.workspace, 64 + 64); // where each warp's rows go, the table of columns
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// `InvalidInput` for too many rows and `Unsupported` for column types, as [`filter`].
///
/// # Cost
/// No device work: a walk over the columns' types and lengths.
pub fn filter_plan(batch: &Batch) -> Result<MemoryPlan> {
    check(batch)?;
    let rows = batch.num_rows();
    let mut ledger = Forecast::default();
    plan_count(&mut ledger, rows);
    plan_apply(ledger, batch)
}

/// [`filter_plan`] for so many columns of this width without nulls.
pub(in crate::ops) fn fixed_plan(rows: usize, columns: u64, width: u64) -> MemoryPlan {
    let mut ledger = Forecast::default();
    plan_count(&mut ledger, rows);
    let kept = rows.saturating_sub(1) as u64;
    (0..columns).for_each(|_| ledger.output(kept * width));
    ledger.table(columns, MOVE_ENTRY);
    ledger.plan()
}

/// `Selection::count`.
fn plan_count(ledger: &mut Forecast, rows: usize) {
    let _bases = ledger.temporary(4 * rows.div_ceil(cuda::WARP_ROWS) as u64);
    let count = ledger.temporary(8);
    let states = ledger.temporary(8 * (1 + rows.div_ceil(cuda::TILE_ROWS)) as u64);
    ledger.free(count);
    ledger.free(states);
}

/// `Selection::apply`.
fn plan_apply(mut ledger: Forecast, batch: &Batch) -> Result<MemoryPlan> {
    // All rows are the batch itself, so that at most all but one are copied.
    let Some(kept) = batch.num_rows().checked_sub(1) else { return Ok(ledger.plan()) };
    by_row::plan(&mut ledger, batch, kept as u64, |ledger, columns| ledger.table(columns, MOVE_ENTRY))?;
    Ok(ledger.plan())
}

fn validate(ctx: &ExecCtx, batch: &Batch, mask: &Column) -> Result<()> {
    ctx.expect(OP, batch.placement())?;
    ctx.expect(OP, mask.placement())?;
    if mask.data_type() != &DataType::Boolean {
        return Err(Error::invalid(OP, format!("the mask is {}, it must be Boolean", mask.data_type())));
    }
    if mask.len() != batch.num_rows() {
        let why = format!("the mask has {} rows, the batch {}", mask.len(), batch.num_rows());
        return Err(Error::invalid(OP, why));
    }
    check(batch)
}

/// Limits that need no look at the mask.
fn check(batch: &Batch) -> Result<()> {
    let most = i32::MAX as usize;
    if batch.num_rows() > most {
        return Err(Error::invalid(OP, format!("a batch may have at most {most} rows")));
    }
    batch.columns().iter().try_for_each(|column| Layout::check(column.data_type()))
}
