//! Rows of a range.

use crate::column::layout::Layout;
use crate::column::{Batch, Column, Placement};
use crate::device::{ExecCtx, MemoryPlan};
use crate::error::{Error, Result};
use crate::ops::gather::cuda::{device, on_device};
use crate::ops::gather::plan::Shape;
use crate::ops::pieces::plan::{self, Part};
use crate::ops::pieces::{self, Piece};

const OP: &str = "slice";

/// The `length` rows from row `offset` on.
///
/// ```text
/// a: 1 2 3 4 5     offset 1, length 3     ->  a: 2 3 4
/// ```
///
/// All column types. On the host nothing is copied. A device column's buffers begin at multiples of 64 bytes, and its
/// bitmaps end in zeros: what begins elsewhere, and bitmaps that do not end with the batch, are copied; all else is shared
/// with the input, dictionaries and the data buffers of views always. A slice from row 0 copies bitmaps only.
///
/// # Errors
/// `InvalidInput` when the batch has fewer than `offset + length` rows ([`limit`] gives what there is), `WrongDevice`
/// when the batch is not where `ctx` runs, `Unsupported` on a device for column types without an Arrow layout here (unions,
/// run-end encoding, list views).
///
/// # Synchronization
/// On a device waits once for each level of strings, binary and lists, to learn where their bytes and items lie.
///
/// # Cost
/// On a device one launch moves all that has to be copied, each byte read and written once; each level of strings,
/// binary and lists adds a launch that reads two offsets a column. [`slice_plan`] tells the device memory.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// use warpline::{Batch, ExecCtx, ops};
///
/// let ctx = ExecCtx::host(0)?;
/// let a: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3, 4, 5]));
/// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("a", a)])?).to(&ctx)?;
/// let rows = ops::slice(&ctx, &batch, 1, 3)?;
/// let expected: ArrayRef = Arc::new(Int32Array::from(vec![2, 3, 4]));
/// assert_eq!(rows.columns()[0].to_host()?.to_array()?.as_ref(), expected.as_ref());
/// assert!(ops::slice(&ctx, &batch, 4, 2).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn slice(ctx: &ExecCtx, batch: &Batch, offset: usize, length: usize) -> Result<Batch> {
    ctx.expect(OP, batch.placement())?;
    check(batch, offset, length)?;
    if length == batch.num_rows() {
        return Ok(batch.clone());
    }
    let columns = match ctx.placement() {
        Placement::Host => {
            let rows = |column: &Column| Ok(Column::from_array(column.to_array()?.slice(offset, length)));
            batch.columns().iter().map(rows).collect::<Result<Vec<_>>>()?
        }
        Placement::Cuda(_) => {
            let piece = |column| Ok(vec![Piece { column: on_device(column)?, first: offset, rows: length }]);
            let pieces = batch.columns().iter().map(piece).collect::<Result<Vec<_>>>()?;
            pieces::join(device(ctx)?, OP, batch.schema(), pieces)?.into_iter().map(Column::from).collect()
        }
    };
    Batch::try_new(batch.schema().clone(), columns, length, ctx.placement())
}

/// SQL's `LIMIT count OFFSET offset`: up to `count` rows from row `offset` on, as many as there are.
///
/// # Errors
/// As [`slice()`], but for ranges past the end.
///
/// # Synchronization
/// As [`slice()`].
///
/// # Cost
/// As [`slice()`] of the rows that there are.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// use warpline::{Batch, ExecCtx, ops};
///
/// let ctx = ExecCtx::host(0)?;
/// let a: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3, 4, 5]));
/// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("a", a)])?).to(&ctx)?;
/// assert_eq!(ops::limit(&ctx, &batch, 3, 10)?.num_rows(), 2);
/// assert_eq!(ops::limit(&ctx, &batch, 9, 10)?.num_rows(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn limit(ctx: &ExecCtx, batch: &Batch, offset: usize, count: usize) -> Result<Batch> {
    let offset = offset.min(batch.num_rows());
    slice(ctx, batch, offset, count.min(batch.num_rows() - offset))
}

/// The device memory that [`slice()`] takes for this batch, without the inputs, whether the batch is on a device or will
/// be. On the host nothing of it is used.
///
/// `workspace + output` is never less than the peak, and it is the peak for columns without strings, binary and lists,
/// whose bytes and items could all lie in the slice.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// use warpline::{Batch, ops};
///
/// let a: ArrayRef = Arc::new(Int32Array::from(vec![1; 1000]));
/// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("a", a)])?);
/// assert_eq!(ops::slice_plan(&batch, 0, 500)?.output, 0); // the values are shared
/// assert_eq!(ops::slice_plan(&batch, 1, 500)?.output, 2048); // 500 values, to the next 64 bytes
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`slice()`].
///
/// # Cost
/// No device work: a walk over the columns' types and lengths.
pub fn slice_plan(batch: &Batch, offset: usize, length: usize) -> Result<MemoryPlan> {
    check(batch, offset, length)?;
    if length == batch.num_rows() {
        return Ok(MemoryPlan { workspace: 0, output: 0 });
    }
    let shapes = batch.columns().iter().map(Shape::of).collect::<Result<Vec<_>>>()?;
    let piece = |shape| vec![Part::rows(shape, offset as u64, length as u64)];
    Ok(plan::join(shapes.iter().map(piece).collect()))
}

fn check(batch: &Batch, offset: usize, length: usize) -> Result<()> {
    let rows = batch.num_rows();
    if offset.checked_add(length).is_none_or(|end| end > rows) {
        let why = format!("{length} rows from row {offset} on, out of {rows}: take fewer, or use limit");
        return Err(Error::invalid(OP, why));
    }
    batch.columns().iter().try_for_each(|column| Layout::check(column.data_type()))
}
