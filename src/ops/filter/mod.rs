//! Keep the rows that a mask selects.

mod cuda;
mod host;

use arrow::datatypes::DataType;

use crate::column::layout::Layout;
use crate::column::{Batch, Column, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};

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
/// gather's launches.
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
    let most = i32::MAX as usize;
    if batch.num_rows() > most {
        return Err(Error::invalid(OP, format!("a batch may have at most {most} rows")));
    }
    batch.columns().iter().try_for_each(|column| Layout::check(column.data_type()))
}
