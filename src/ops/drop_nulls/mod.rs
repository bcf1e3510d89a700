//! Rows without nulls.

mod cuda;
mod host;

use crate::column::layout::Layout;
use crate::column::{Batch, Column, Placement};
use crate::device::{ExecCtx, MemoryPlan, padded};
use crate::error::{Error, Result};
use crate::ops::filter::{filter, filter_plan};
use crate::ops::gather::plan::Shape;
use crate::ops::keys::{KEY_ENTRY, values_type};

const OP: &str = "drop_nulls";

/// Keeps the rows in which none of the columns of these names is null, in their order: SQL's `WHERE a IS NOT NULL AND b
/// IS NOT NULL`.
///
/// ```text
/// a: 1 null 3     b: x y null     by a     ->  a: 1 3     b: x null
/// ```
///
/// All column types. A row whose dictionary key stands for a null is null; a list or struct that holds nulls is not.
/// Without names all rows stay. What is kept is what [`filter`](crate::ops::filter()) keeps by the mask of those rows.
///
/// # Errors
/// `InvalidInput` for a column that the batch has not, `WrongDevice` when the batch is not where `ctx` runs, `Unsupported`
/// for column types without an Arrow layout here (unions, run-end encoding, list views), and on a device to drop rows by
/// a dictionary whose values are a dictionary.
///
/// # Synchronization
/// As [`filter`](crate::ops::filter()), unless no column can have nulls.
///
/// # Cost
/// Without nulls in the columns nothing is read: the result is the batch itself. Else 1/8 byte a row for each column that
/// has nulls, and filter's cost. On a device one launch more than filter's makes the mask; the bitmap of a single column
/// is the mask. [`drop_nulls_plan`] tells the device memory.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// use warpline::{Batch, ExecCtx, ops};
///
/// let ctx = ExecCtx::host(0)?;
/// let a: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
/// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("a", a)])?).to(&ctx)?;
/// let kept = ops::drop_nulls(&ctx, &batch, &["a"])?;
/// let expected: ArrayRef = Arc::new(Int32Array::from(vec![1, 3]));
/// assert_eq!(kept.columns()[0].to_host()?.to_array()?.as_ref(), expected.as_ref());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn drop_nulls(ctx: &ExecCtx, batch: &Batch, columns: &[&str]) -> Result<Batch> {
    ctx.expect(OP, batch.placement())?;
    let columns = with_nulls(batch, columns)?;
    if columns.is_empty() {
        return Ok(batch.clone());
    }
    let mask = match ctx.placement() {
        Placement::Host => host::mask(&columns)?,
        Placement::Cuda(_) => cuda::mask(ctx, &columns, batch.num_rows())?,
    };
    filter(ctx, batch, &mask)
}

/// The device memory that [`drop_nulls`] takes for this batch, without it, whatever rows are dropped and whether the batch
/// is on a device or will be. On the host nothing of it is used.
///
/// What [`filter_plan`](crate::ops::filter_plan) says holds here too, with the mask's 1/8 byte a row where several columns
/// have nulls, or a dictionary.
///
/// # Errors
/// As [`drop_nulls`], wherever the batch is.
///
/// # Cost
/// No device work: a walk over the columns' types and lengths.
pub fn drop_nulls_plan(batch: &Batch, columns: &[&str]) -> Result<MemoryPlan> {
    let columns = with_nulls(batch, columns)?;
    if columns.is_empty() {
        return Ok(MemoryPlan { workspace: 0, output: 0 });
    }
    let filter = filter_plan(batch)?;
    if columns.len() == 1 && is_mask(columns[0])? {
        return Ok(filter);
    }
    let mask = padded(batch.num_rows().div_ceil(8) as u64);
    let table = padded(columns.len() as u64 * KEY_ENTRY);
    let peak = mask + table.max(filter.workspace + filter.output);
    Ok(MemoryPlan { workspace: peak - filter.output, output: filter.output })
}

/// The columns of these names that can have nulls.
fn with_nulls<'b>(batch: &'b Batch, names: &[&str]) -> Result<Vec<&'b Column>> {
    let mut found = Vec::new();
    for name in names {
        let column = batch.find(OP, name)?;
        if can_have_nulls(&Shape::of(column)?) {
            found.push(column);
        }
    }
    if batch.num_rows() == 0 {
        found.clear();
    }
    batch.columns().iter().try_for_each(|column| Layout::check(column.data_type()))?;
    Ok(found)
}

fn can_have_nulls(shape: &Shape) -> bool {
    match shape.layout {
        Layout::Null => true,
        Layout::Dictionary(_) => shape.nullable || shape.children.iter().any(can_have_nulls),
        _ => shape.nullable,
    }
}

/// Whether the column's validity bitmap alone tells where it is null.
fn is_mask(column: &Column) -> Result<bool> {
    let shape = Shape::of(column)?;
    Ok(shape.nullable && !matches!(shape.layout, Layout::Dictionary(_)))
}

/// Refuses a dictionary of dictionaries, whose nulls lie two steps away.
fn check_dictionary(column: &Column) -> Result<()> {
    match Layout::of(values_type(column.data_type()))? {
        Layout::Dictionary(_) => {
            let what = format!("to drop rows by a column of type {}", column.data_type());
            Err(Error::unsupported(OP, what, "cast it to a dictionary of plain values, or drop them on the host"))
        }
        _ => Ok(()),
    }
}
