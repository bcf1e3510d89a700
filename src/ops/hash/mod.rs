//! Hashes of rows, bit for bit those of other systems.

pub(in crate::ops) mod algorithms;
mod cuda;
pub(in crate::ops) mod host;
mod scheme;

use crate::column::{Column, Placement};
use crate::device::{ExecCtx, MemoryPlan, padded};
use crate::error::{Error, Result};
use crate::ops::keys::{Reading, table_bytes};

pub use scheme::HashScheme;

const OP: &str = "hash";

/// A hash of each row over key columns of one length, of the type [`HashScheme::data_type`].
///
/// ```text
/// a: 1 2 null   b: "x" null null   ->   hash(1, "x")  hash(2)  hash of nothing
/// ```
///
/// Booleans, numbers, decimals, dates and times, strings, binary, views, and dictionaries of them, as far as the
/// scheme's owner hashes them; a dictionary's row hashes as its value does. What a null does the scheme says.
///
/// # Errors
/// `InvalidInput` for no columns, columns of several lengths or, with [`HashScheme::Iceberg`], more than one column;
/// `Unsupported` for a type that the scheme does not hash, and for more than 2^31 - 1 rows; `WrongDevice` when a column
/// is not where `ctx` runs.
///
/// # Synchronization
/// None: on a device the launch is queued.
///
/// # Cost
/// Each key is read once, 8 or 4 bytes a row are written; on a device one launch for all columns. [`hash_plan`] tells the
/// device memory.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, Int64Array};
/// use warpline::{Column, ExecCtx, ops};
///
/// let ctx = ExecCtx::host(0)?;
/// let keys = Column::from_array(Arc::new(Int64Array::from(vec![1, 0, -1])));
/// let hashes = ops::hash(&ctx, &[&keys], ops::HashScheme::SparkMurmur3)?;
/// let expected: ArrayRef = Arc::new(Int32Array::from(vec![-1712319331, -1670924195, -939490007]));
/// assert_eq!(hashes.to_array()?.as_ref(), expected.as_ref());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn hash(ctx: &ExecCtx, columns: &[&Column], scheme: HashScheme) -> Result<Column> {
    let readings = readings(OP, ctx, columns, scheme)?;
    match ctx.placement() {
        Placement::Host => host::hash(ctx, columns, &readings, scheme),
        Placement::Cuda(_) => cuda::hash(ctx, columns, &readings, scheme),
    }
}

/// The device memory that [`hash`] takes for these columns, without them, whether they are on a device or will be. On the
/// host nothing of it is used. `workspace + output` is never less than the peak.
///
/// # Errors
/// As [`hash`], wherever the columns are.
///
/// # Cost
/// No device work: a walk over the columns' types.
pub fn hash_plan(columns: &[&Column], scheme: HashScheme) -> Result<MemoryPlan> {
    check(OP, columns, scheme)?;
    let rows = columns[0].len() as u64;
    let nulls = if scheme == HashScheme::Iceberg { padded(rows.div_ceil(8)) } else { 0 };
    Ok(MemoryPlan { workspace: padded(table_bytes(columns)?), output: padded(rows * scheme.width() as u64) + nulls })
}

/// How the scheme reads the columns, which are checked.
pub(in crate::ops) fn readings(
    op: &'static str,
    ctx: &ExecCtx,
    columns: &[&Column],
    scheme: HashScheme,
) -> Result<Vec<Reading>> {
    columns.iter().try_for_each(|column| ctx.expect(op, column.placement()))?;
    check(op, columns, scheme)
}

/// The same wherever the columns are.
pub(in crate::ops) fn check(op: &'static str, columns: &[&Column], scheme: HashScheme) -> Result<Vec<Reading>> {
    let Some(first) = columns.first() else { return Err(Error::invalid(op, "there are no key columns")) };
    if scheme == HashScheme::Iceberg && columns.len() > 1 {
        return Err(Error::invalid(op, "Iceberg's bucket transform takes one column; it was given more"));
    }
    let most = i32::MAX as usize;
    if first.len() > most {
        return Err(Error::unsupported(op, format!("{} rows at once", first.len()), format!("at most {most}")));
    }
    for column in columns {
        if column.len() != first.len() {
            let why = format!("key columns have {} and {} rows", first.len(), column.len());
            return Err(Error::invalid(op, why));
        }
    }
    columns.iter().map(|column| scheme.reading(op, column.data_type())).collect()
}
