//! Rows in the order that indices ask for.

pub(in crate::ops) mod cuda;
mod host;
pub(in crate::ops) mod table;

use arrow::datatypes::DataType;

use crate::column::layout::Layout;
use crate::column::{Batch, Column, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};

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
/// and binary, and for each list one for its child's source rows and the same again for the child.
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
    let most = i32::MAX as usize;
    if batch.num_rows() > most || indices.len() > most {
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
