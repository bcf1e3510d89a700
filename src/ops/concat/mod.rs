//! Batches one behind the other.

mod cuda;
pub(in crate::ops) mod dictionary;
mod host;

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::column::layout::Layout;
use crate::column::{Batch, Placement};
use crate::device::{ExecCtx, MemoryPlan};
use crate::error::{Error, Result};
use crate::ops::gather::plan::Shape;
use crate::ops::pieces::plan::{self, Part};

const OP: &str = "concat";

/// The rows of all batches, one batch behind the other.
///
/// ```text
/// a: 1 2     a: 3     ->  a: 1 2 3
/// ```
///
/// All column types; what lies under null rows is copied as it is. The data buffers of view columns are shared with the
/// inputs. Dictionary columns that share one dictionary keep it; else the dictionaries stand one behind the other, and
/// where the keys' type cannot tell so many values, equal ones become one. The result has the first batch's schema, and a
/// field is nullable where it is so in any batch. A single batch with rows is the result itself.
///
/// # Errors
/// `InvalidInput` without batches, for batches whose columns have other names or types, and for more than 2^31 - 1 rows,
/// for strings or lists that outgrow the 32-bit offsets of their type, and for dictionaries of more different values than
/// their keys can tell: all before anything is moved. `WrongDevice` when a batch is not where `ctx` runs, `Unsupported` for
/// column types without an Arrow layout here (unions, run-end encoding, list views).
///
/// # Synchronization
/// On a device waits once for each level of strings, binary and lists, to learn their sizes, and where dictionaries have
/// to become one, for those, which are compared on the host.
///
/// # Cost
/// Each value is read and written once. On the host a task per column. On a device one launch moves all columns of all
/// batches, and each level of strings, binary and lists adds a launch that reads two offsets a batch. [`concat_plan`] tells
/// the device memory.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// use warpline::{Batch, ExecCtx, ops};
///
/// let ctx = ExecCtx::host(0)?;
/// let (a, b): (ArrayRef, ArrayRef) = (Arc::new(Int32Array::from(vec![1, 2])), Arc::new(Int32Array::from(vec![3])));
/// let a = Batch::from_record_batch(&RecordBatch::try_from_iter([("n", a)])?).to(&ctx)?;
/// let b = Batch::from_record_batch(&RecordBatch::try_from_iter([("n", b)])?).to(&ctx)?;
/// let all = ops::concat(&ctx, &[a, b])?;
/// let expected: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
/// assert_eq!(all.columns()[0].to_host()?.to_array()?.as_ref(), expected.as_ref());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn concat(ctx: &ExecCtx, batches: &[Batch]) -> Result<Batch> {
    batches.iter().try_for_each(|batch| ctx.expect(OP, batch.placement()))?;
    let (schema, rows) = check(batches)?;
    let mut with_rows = batches.iter().filter(|batch| batch.num_rows() > 0);
    if let (Some(only), None) = (with_rows.next().or(batches.first()), with_rows.next()) {
        return Batch::try_new(schema, only.columns().to_vec(), rows, ctx.placement());
    }
    let columns = match ctx.placement() {
        Placement::Host => host::concat(ctx, &schema, batches)?,
        Placement::Cuda(_) => cuda::concat(ctx, &schema, batches)?,
    };
    Batch::try_new(schema, columns, rows, ctx.placement())
}

/// The device memory that [`concat()`] takes for these batches, without them, whether they are on a device or will be. On
/// the host nothing of it is used.
///
/// `workspace + output` is never less than the peak. It is the peak for columns without lists, and without dictionaries,
/// which are planned one behind the other even where batches share one.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// use warpline::{Batch, ops};
///
/// let a: ArrayRef = Arc::new(Int32Array::from(vec![1; 1000]));
/// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("a", a)])?);
/// let plan = ops::concat_plan(&[batch.clone(), batch])?;
/// assert_eq!(plan.output, 8000);
/// assert_eq!(plan.workspace, 128); // the table of two pieces
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`concat()`], but for what only the offsets and dictionaries tell.
///
/// # Cost
/// No device work: a walk over the columns' types and lengths.
pub fn concat_plan(batches: &[Batch]) -> Result<MemoryPlan> {
    let (schema, _) = check(batches)?;
    if batches.iter().filter(|batch| batch.num_rows() > 0).count() <= 1 {
        return Ok(MemoryPlan { workspace: 0, output: 0 });
    }
    let shapes = |column: usize| batches.iter().map(move |batch| Shape::of(&batch.columns()[column]));
    let shapes = (0..schema.fields().len()).map(|column| shapes(column).collect::<Result<Vec<_>>>());
    let shapes = shapes.collect::<Result<Vec<_>>>()?;
    Ok(plan::join(shapes.iter().map(|shapes| shapes.iter().map(Part::whole).collect()).collect()))
}

/// The schema and the rows of the result.
fn check(batches: &[Batch]) -> Result<(SchemaRef, usize)> {
    let Some(first) = batches.first() else { return Err(Error::invalid(OP, "no batches: the result has no schema")) };
    let mut fields: Vec<Field> = first.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    let mut rows = 0usize;
    for (i, batch) in batches.iter().enumerate() {
        let theirs = batch.schema().fields();
        if theirs.len() != fields.len() {
            return Err(Error::invalid(OP, format!("batch {i} has {} columns, not {}", theirs.len(), fields.len())));
        }
        for (ours, theirs) in fields.iter_mut().zip(theirs) {
            if ours.name() != theirs.name() || ours.data_type() != theirs.data_type() {
                let why = format!(
                    "{}, but '{}' of type {} in batch {i}",
                    ours.data_type(),
                    theirs.name(),
                    theirs.data_type()
                );
                return Err(Error::invalid_column(OP, ours.name(), why));
            }
            ours.set_nullable(ours.is_nullable() || theirs.is_nullable());
        }
        rows = rows.saturating_add(batch.num_rows());
    }
    if rows > i32::MAX as usize {
        return Err(Error::invalid(OP, format!("{rows} rows: a batch may have at most {}", i32::MAX)));
    }
    fields.iter().try_for_each(|field| Layout::check(field.data_type()))?;
    Ok((Arc::new(Schema::new_with_metadata(fields, first.schema().metadata().clone())), rows))
}
