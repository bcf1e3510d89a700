//! Rows in the order that indices ask for.

pub(in crate::ops) mod by_row;
pub(in crate::ops) mod cuda;
pub(in crate::ops) mod host;
pub(in crate::ops) mod plan;
pub(in crate::ops) mod table;

use arrow::datatypes::DataType;

use crate::column::layout::Layout;
use crate::column::{Batch, Column, Placement};
use crate::device::{ExecCtx, MemoryPlan};
use crate::error::{Error, Result};

use plan::{Forecast, Rows, Shape};

const OP: &str = "gather";

/// What an index outside the batch means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutOfRange {
    Fails,
    IsNull,
}

/// Row `i` of the result is row `indices[i]` of `batch`; a null index gives a null row.
///
/// ```text
/// a: 1 2 3     indices: 2 null 0 2     ->  a: 3 null 1 3
/// ```
///
/// All column types. Indices are `Int32`, `UInt32`, `Int64` or `UInt64`. What lies under null rows is copied as it is;
/// a null index leaves zeros, empty values and, in the children of a struct or fixed-size list, nulls. Data buffers of
/// view columns and dictionaries are shared with the input, not copied.
///
/// # Errors
/// `InvalidInput` with the first row whose index is outside the batch ([`gather_or_null`] takes those as null), for
/// indices of another type, and when the strings or lists gathered outgrow the 32-bit offsets of their type;
/// `WrongDevice` when the batch or the indices are not where `ctx` runs; `Unsupported` for column types without an Arrow
/// layout here (unions, run-end encoding, list views).
///
/// # Synchronization
/// On a device waits once to learn whether an index is out of range ([`gather_or_null`] does not), and once for each
/// level of strings, binary and lists, to learn their sizes.
///
/// # Cost
/// At least one read of the indices, and one read and one write of each value. On the host a task per column. On a
/// device one launch that turns indices into 4-byte source rows, one for all that moves by row, two more for all strings
/// and binary, and for each list one for its child's source rows and the same again for the child. [`gather_plan`] tells
/// the device memory.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, RecordBatch, UInt32Array};
/// use warpline::{Batch, Column, ExecCtx, ops};
///
/// let ctx = ExecCtx::host(0)?;
/// let a: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
/// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("a", a)])?).to(&ctx)?;
/// let indices = Arc::new(UInt32Array::from(vec![Some(2), None, Some(0), Some(2)]));
/// let rows = ops::gather(&ctx, &batch, &Column::from_array(indices).to(&ctx)?)?;
/// let expected: ArrayRef = Arc::new(Int32Array::from(vec![Some(3), None, Some(1), Some(3)]));
/// assert_eq!(rows.columns()[0].to_host()?.to_array()?.as_ref(), expected.as_ref());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn gather(ctx: &ExecCtx, batch: &Batch, indices: &Column) -> Result<Batch> {
    run(ctx, batch, indices, OutOfRange::Fails)
}

/// [`gather`] that takes an index outside the batch as null: an outer join's missing side, say.
///
/// # Errors
/// As [`gather`], but for indices out of range.
pub fn gather_or_null(ctx: &ExecCtx, batch: &Batch, indices: &Column) -> Result<Batch> {
    run(ctx, batch, indices, OutOfRange::IsNull)
}

/// The device memory that [`gather`] takes for `rows_out` indices into this batch, without the inputs, whether the batch
/// is on a device or will be. [`gather_or_null`] takes no more. On the host nothing of it is used.
///
/// `workspace + output` is never less than the peak. It is the peak where sizes depend on nothing but the number of
/// rows (all types but strings, binary, lists and maps) and there are null indices, or every column has nulls already;
/// without nulls a column's validity bitmap, 1/8 byte a row, is planned but not taken. Strings and lists may repeat:
/// their bound is `rows_out` times the whole column, up to what their offsets can hold, and the sizes are known after
/// the count only, inside of [`gather`].
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// use warpline::{Batch, ops};
///
/// let a: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
/// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("a", a)])?);
/// let plan = ops::gather_plan(&batch, 100)?;
/// assert_eq!(plan.output, 448 + 64); // 100 values and bits, each to the next 64 bytes
/// assert_eq!(plan.workspace, 448 + 64 + 64); // source rows, the first bad index, the table of columns
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// `InvalidInput` for too many rows and `Unsupported` for column types, as [`gather`].
///
/// # Cost
/// No device work: a walk over the columns' types and lengths.
pub fn gather_plan(batch: &Batch, rows_out: usize) -> Result<MemoryPlan> {
    check(batch, rows_out)?;
    let shapes = batch.columns().iter().map(Shape::of).collect::<Result<Vec<_>>>()?;
    let shapes: Vec<&Shape> = shapes.iter().collect();
    let plan = |nullable| {
        let mut ledger = Forecast::default();
        let _status = ledger.temporary(8);
        let _sources = ledger.temporary(4 * rows_out as u64);
        ledger.columns(&shapes, Rows { count: rows_out as u64, nullable, repeated: true });
        ledger.plan()
    };
    // Fixed-size lists go another way with null indices, so neither plan is always the larger one.
    let (some, none) = (plan(true), plan(false));
    let peak = (some.workspace + some.output).max(none.workspace + none.output);
    let output = some.output.max(none.output);
    Ok(MemoryPlan { workspace: peak - output, output })
}

fn run(ctx: &ExecCtx, batch: &Batch, indices: &Column, out_of_range: OutOfRange) -> Result<Batch> {
    validate(ctx, batch, indices)?;
    match ctx.placement() {
        Placement::Host => host::gather(ctx, batch, indices, out_of_range),
        Placement::Cuda(_) => cuda::gather(ctx, batch, indices, out_of_range),
    }
}

fn validate(ctx: &ExecCtx, batch: &Batch, indices: &Column) -> Result<()> {
    ctx.expect(OP, batch.placement())?;
    ctx.expect(OP, indices.placement())?;
    use DataType::{Int32, Int64, UInt32, UInt64};
    if !matches!(indices.data_type(), Int32 | UInt32 | Int64 | UInt64) {
        let why = format!("indices are {}, they must be Int32, UInt32, Int64 or UInt64", indices.data_type());
        return Err(Error::invalid(OP, why));
    }
    check(batch, indices.len())
}

/// Limits that need no look at the indices.
fn check(batch: &Batch, rows_out: usize) -> Result<()> {
    let most = i32::MAX as usize;
    if batch.num_rows() > most || rows_out > most {
        return Err(Error::invalid(OP, format!("a batch may have at most {most} rows")));
    }
    batch.schema().fields().iter().try_for_each(|field| Layout::check(field.data_type()))
}

/// The error for strings or lists that outgrow their offsets.
fn too_long(data_type: &DataType, total: u64) -> Error {
    let why = format!("{total} bytes or child rows do not fit the offsets of {data_type}: gather fewer rows at once");
    Error::invalid(OP, why)
}

/// The error for an index outside the batch.
fn outside(row: usize, rows: usize) -> Error {
    Error::InvalidInput {
        op: OP,
        column: None,
        row: Some(row as u64),
        why: format!("the index is outside the batch of {rows} rows (gather_or_null takes it as null)"),
    }
}
