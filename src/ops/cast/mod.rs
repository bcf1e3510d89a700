//! Columns as other types.

mod tree;

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};

use crate::column::Batch;
use crate::column::layout::Layout;
use crate::device::{ExecCtx, MemoryPlan};
use crate::error::{Error, Result};

use tree::{Casts, Node};

const OP: &str = "cast";

/// The batch with columns of other types, by name; the others stay as they are.
///
/// ```text
/// a: 1 null 3 (Int32)     a as Float64     ->  a: 1.0 null 3.0
/// ```
///
/// A value becomes what SQL's `CAST` in an [`Expr`](crate::ops::expr::Expr) makes of it: as arrow-rs casts, and a value
/// that does not fit is an error; of NaNs, all become the one that is computed everywhere here. Lists, maps, fixed-size
/// lists and structs are cast child by child, to the same kind with as many fields, which go by their place; items that
/// no row shows, under null rows too, are cast with the others. Columns that are of the type already are shared.
///
/// # Errors
/// `InvalidInput` for a column that the batch has not or that is named twice, for types that do not cast into one another,
/// for a child that may hold nulls where the type says it may not, and for the first value that does not fit, as
/// [`Projection::evaluate_on`](crate::ops::expr::Projection::evaluate_on) tells it: of a list's items it is the item's
/// number. `WrongDevice` when the batch is not where `ctx` runs, `Unsupported` for types that expressions do not cast to, and
/// on a device for casts to dictionaries.
///
/// # Synchronization
/// On a device waits once for the columns of each length, to learn whether a value did not fit, and once more where there
/// is text among them, for its length.
///
/// # Cost
/// Each column is read once and written once. On a device one launch for all plain columns and struct fields, and one for
/// all children of one length; with text two or three more each. [`cast_plan`] tells the device memory.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch};
/// use arrow::datatypes::DataType;
/// use warpline::{Batch, ExecCtx, ops};
///
/// let ctx = ExecCtx::host(0)?;
/// let a: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(300)]));
/// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("a", a)])?).to(&ctx)?;
/// let cast = ops::cast(&ctx, &batch, &[("a", DataType::Float64)])?;
/// let expected: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, Some(300.0)]));
/// assert_eq!(cast.columns()[0].to_host()?.to_array()?.as_ref(), expected.as_ref());
/// assert!(ops::cast(&ctx, &batch, &[("a", DataType::Int8)]).is_err());
/// let tried = ops::try_cast(&ctx, &batch, &[("a", DataType::Int8)])?;
/// assert_eq!(tried.to_host()?.to_record_batch()?.column(0).null_count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn cast(ctx: &ExecCtx, batch: &Batch, types: &[(&str, DataType)]) -> Result<Batch> {
    run(ctx, batch, types, false)
}

/// [`cast`] that makes a value that does not fit null, as SQL's `TRY_CAST` does.
///
/// # Errors
/// As [`cast`], but for values that do not fit.
///
/// # Synchronization
/// As [`cast`].
///
/// # Cost
/// As [`cast`].
pub fn try_cast(ctx: &ExecCtx, batch: &Batch, types: &[(&str, DataType)]) -> Result<Batch> {
    run(ctx, batch, types, true)
}

/// The device memory that [`cast`] takes for this batch, without it, whether it is on a device or will be; without the
/// driver's memory for the compiled kernels. On the host nothing of it is used. It is what is taken; with text a bound,
/// as [`Projection::plan`](crate::ops::expr::Projection::plan) has it.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// use arrow::datatypes::DataType;
/// use warpline::{Batch, ops};
///
/// let a: ArrayRef = Arc::new(Int32Array::from(vec![1; 1000]));
/// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("a", a)])?);
/// assert!(ops::cast_plan(&batch, &[("a", DataType::Float64)])?.output >= 8000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`cast`] on a device, but for values that do not fit.
///
/// # Cost
/// No device work: a walk over the columns' types and lengths.
pub fn cast_plan(batch: &Batch, types: &[(&str, DataType)]) -> Result<MemoryPlan> {
    prepare(batch, types, false)?.casts.plan(batch.placement())
}

/// The device memory that [`try_cast`] takes: see [`cast_plan`].
///
/// # Errors
/// As [`cast_plan`].
///
/// # Cost
/// As [`cast_plan`].
pub fn try_cast_plan(batch: &Batch, types: &[(&str, DataType)]) -> Result<MemoryPlan> {
    prepare(batch, types, true)?.casts.plan(batch.placement())
}

/// The casts of a batch, and what comes of it.
struct Prepared {
    casts: Casts,
    /// By the number of the column.
    nodes: Vec<(usize, Node)>,
    schema: Schema,
}

fn prepare(batch: &Batch, types: &[(&str, DataType)], lenient: bool) -> Result<Prepared> {
    let mut fields = batch.schema().fields().to_vec();
    let (mut casts, mut nodes) = (Casts::new(lenient), Vec::new());
    for (i, (name, to)) in types.iter().enumerate() {
        let column = batch.find(OP, name)?;
        if types[..i].iter().any(|(other, _)| other == name) {
            return Err(Error::invalid_column(OP, *name, "cast to two types"));
        }
        [column.data_type(), to].into_iter().try_for_each(Layout::check)?;
        let index = batch.schema().index_of(name).map_err(|e| Error::arrow(OP, e))?;
        let field = fields[index].as_ref().clone();
        let nullable = field.is_nullable() || lenient && field.data_type() != to;
        nodes.push((index, casts.add(name, column, to)?));
        fields[index] = Arc::new(field.with_data_type(to.clone()).with_nullable(nullable));
    }
    Ok(Prepared { casts, nodes, schema: Schema::new_with_metadata(fields, batch.schema().metadata().clone()) })
}

fn run(ctx: &ExecCtx, batch: &Batch, types: &[(&str, DataType)], lenient: bool) -> Result<Batch> {
    ctx.expect(OP, batch.placement())?;
    let Prepared { casts, nodes, schema } = prepare(batch, types, lenient)?;
    let plain = casts.run(ctx)?;
    let mut columns = batch.columns().to_vec();
    for (index, node) in nodes {
        columns[index] = node.finish(&plain)?;
    }
    Batch::try_new(schema.into(), columns, batch.num_rows(), ctx.placement())
}
