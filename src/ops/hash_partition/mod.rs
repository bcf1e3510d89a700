//! Rows put into partitions by the hash of their keys, as other systems would put them.

mod cuda;
mod host;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::UInt32Array;

use crate::column::layout::Layout;
use crate::column::{Batch, Column, Placement};
use crate::device::{ExecCtx, MemoryPlan, padded};
use crate::error::{Error, Result};
use crate::ops::gather::plan::Forecast;
use crate::ops::hash::{self, HashScheme};
use crate::ops::keys::{Reading, table_bytes};
use crate::ops::slice::slice;

const OP: &str = "hash partition";

/// The most partitions that [`partition_ids`] and [`hash_partition`] make: 2^24.
pub const MOST_PARTITIONS: usize = 1 << 24;

/// The partition of each row, below `partitions`, over key columns of one length: UInt32 without nulls.
///
/// A row's partition is what the scheme's owner gives it: DataFusion's repartition and XXH64 the remainder of the
/// hash, Spark's `HashPartitioning` the positive remainder of a signed hash, Iceberg's bucket transform the remainder
/// of the hash without its sign. A null, which has no bucket in Iceberg, is in partition 0; what other schemes make of
/// nulls is theirs ([`HashScheme`]).
///
/// ```text
/// a: 1 0 null     spark: -559580957, 933211791, 42   ->  pmod 4: 3 3 2
/// ```
///
/// # Errors
/// As [`hash`](crate::ops::hash); `InvalidInput` for no partitions or more than [`MOST_PARTITIONS`].
///
/// # Synchronization
/// None: on a device the launch is queued.
///
/// # Cost
/// Each key is read once, 4 bytes a row are written; on a device one launch for all columns. [`partition_ids_plan`] tells
/// the device memory.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, UInt32Array};
/// use warpline::{Column, ExecCtx, ops};
///
/// let ctx = ExecCtx::host(0)?;
/// let keys = Column::from_array(Arc::new(Int32Array::from(vec![Some(1), Some(0), None])));
/// let ids = ops::partition_ids(&ctx, &[&keys], ops::HashScheme::SparkMurmur3, 4)?;
/// let expected: ArrayRef = Arc::new(UInt32Array::from(vec![3, 3, 2]));
/// assert_eq!(ids.to_array()?.as_ref(), expected.as_ref());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn partition_ids(ctx: &ExecCtx, keys: &[&Column], scheme: HashScheme, partitions: usize) -> Result<Column> {
    let partitions = check_count(partitions)?;
    let readings = hash::readings(OP, ctx, keys, scheme)?;
    match ctx.placement() {
        Placement::Host => {
            let ids = host::ids(ctx, keys, &readings, scheme, partitions)?;
            Ok(Column::from_array(Arc::new(UInt32Array::from(ids))))
        }
        Placement::Cuda(_) => cuda::ids(ctx, &cuda::Keys { columns: keys, readings: &readings, scheme, partitions }),
    }
}

/// The device memory that [`partition_ids`] takes for these columns, without them, whether they are on a device or will
/// be. On the host nothing of it is used.
///
/// # Errors
/// As [`partition_ids`], wherever the columns are.
///
/// # Cost
/// No device work: a walk over the columns' types.
pub fn partition_ids_plan(keys: &[&Column], scheme: HashScheme, partitions: usize) -> Result<MemoryPlan> {
    check_count(partitions)?;
    hash::check(OP, keys, scheme)?;
    Ok(MemoryPlan { workspace: padded(table_bytes(keys)?), output: padded(4 * keys[0].len() as u64) })
}

/// The rows of `batch` in the order of their partitions by the columns of these names, each partition's rows in the
/// order in which they came.
///
/// ```text
/// a: 1 2 3 4 5    partition: 1 0 1 2 0   ->   a: 2 5 1 3 4    offsets: 0 2 4 5
/// ```
///
/// [`partition_ids`] says which partition a row is in. All column types; what lies under null rows is copied as it is.
/// Data buffers of view columns and dictionaries are shared with the input, not copied.
///
/// # Errors
/// Those of [`partition_ids`]; `InvalidInput` for a key that the batch has not, `WrongDevice` when the batch is not where
/// `ctx` runs, `Unsupported` for column types without an Arrow layout here (unions, run-end encoding, list views).
/// Nothing is launched before.
///
/// # Synchronization
/// On a device waits once for the number of rows of each partition, and once for each level of strings, binary and
/// lists.
///
/// # Cost
/// Keys are read once, 4 bytes a row are written and read, each value is read and written once. On the host a task per
/// column. On a device two launches for all columns of fixed width, booleans, views, dictionaries and structs of them,
/// for up to 4,096 partitions; the second writes and reads 4 bytes for each partition and 8,192 rows. Strings, binary
/// and lists add 4 bytes a row for its number, and gather's launches. More than 4,096 partitions take one launch more,
/// which orders row numbers, and all columns go through gather. [`hash_partition_plan`] tells the device memory.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use warpline::{Batch, ExecCtx, ops};
///
/// let ctx = ExecCtx::host(0)?;
/// let a: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
/// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("a", a)])?).to(&ctx)?;
/// let parts = ops::hash_partition(&ctx, &batch, &["a"], ops::HashScheme::DataFusion, 8)?;
/// assert_eq!((parts.count(), parts.batch().num_rows()), (8, 1000));
/// let rows: usize = (0..8).map(|i| Ok(parts.partition(&ctx, i)?.num_rows())).sum::<warpline::Result<_>>()?;
/// assert_eq!(rows, 1000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn hash_partition(
    ctx: &ExecCtx,
    batch: &Batch,
    keys: &[&str],
    scheme: HashScheme,
    partitions: usize,
) -> Result<Partitions> {
    ctx.expect(OP, batch.placement())?;
    let (columns, readings, partitions) = check(batch, keys, scheme, partitions)?;
    let rows = batch.num_rows();
    if is_one_run(rows, partitions) {
        let offsets = (0..=partitions).map(|i| if i == partitions { rows as u32 } else { 0 }).collect();
        return Ok(Partitions { batch: batch.clone(), offsets });
    }
    let (batch, offsets) = match ctx.placement() {
        Placement::Host => {
            let ids = host::ids(ctx, &columns, &readings, scheme, partitions)?;
            host::partition(ctx, batch, &ids, partitions)?
        }
        Placement::Cuda(_) => {
            let keys = cuda::Keys { columns: &columns, readings: &readings, scheme, partitions };
            let (batch, counts) = cuda::partition(ctx, batch, &keys)?;
            (batch, offsets(&counts))
        }
    };
    Ok(Partitions { batch, offsets })
}

/// The device memory that [`hash_partition`] takes for this batch, without the inputs, whether the batch is on a device
/// or will be. On the host nothing of it is used.
///
/// `workspace + output` is never less than the peak, and it is the peak where no column holds strings, binary or lists.
/// One partition is the batch itself and takes nothing.
///
/// ```
/// # use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// use warpline::{Batch, ops};
///
/// let a: ArrayRef = Arc::new(Int32Array::from(vec![1; 1000]));
/// let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("a", a)])?);
/// let plan = ops::hash_partition_plan(&batch, &["a"], ops::HashScheme::SparkMurmur3, 16)?;
/// assert_eq!(plan.output, 4032); // 1,000 values, to the next 64 bytes
/// // Rows of each partition, the partition of each row, the table of columns, rows of each tile and partition.
/// assert_eq!(plan.workspace, 64 + 4032 + 64 + 128);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`hash_partition`], wherever the batch is.
///
/// # Cost
/// No device work: a walk over the columns' types and lengths.
pub fn hash_partition_plan(batch: &Batch, keys: &[&str], scheme: HashScheme, partitions: usize) -> Result<MemoryPlan> {
    let (columns, _, partitions) = check(batch, keys, scheme, partitions)?;
    let mut ledger = Forecast::default();
    if !is_one_run(batch.num_rows(), partitions) {
        cuda::plan(&mut ledger, batch, partitions, table_bytes(&columns)?)?;
    }
    Ok(ledger.plan())
}

/// A batch whose rows are in the order of their partitions, and where each begins; [`hash_partition`] makes them.
#[derive(Clone, Debug)]
pub struct Partitions {
    batch: Batch,
    offsets: Vec<u32>,
}

impl Partitions {
    /// How many partitions there are, the empty ones too.
    pub fn count(&self) -> usize {
        self.offsets.len() - 1
    }

    /// All rows.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// The first row of each partition, and the number of all rows behind them, on the host.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// The rows of one partition, by number in the batch of all; `None` past the last partition.
    pub fn rows(&self, partition: usize) -> Option<Range<usize>> {
        match self.offsets.get(partition..)? {
            [first, last, ..] => Some(*first as usize..*last as usize),
            _ => None,
        }
    }

    /// One partition as a batch of its own: a [`slice`](crate::ops::slice()) of all rows.
    ///
    /// # Errors
    /// `InvalidInput` past the last partition, `WrongDevice` when the partitions are not where `ctx` runs.
    ///
    /// # Synchronization
    /// As [`slice`](crate::ops::slice()).
    ///
    /// # Cost
    /// As [`slice`](crate::ops::slice()): on the host nothing by row, on a device no more than a copy of the rows.
    pub fn partition(&self, ctx: &ExecCtx, partition: usize) -> Result<Batch> {
        ctx.expect(OP, self.batch.placement())?;
        let Some(rows) = self.rows(partition) else {
            return Err(Error::invalid(
                OP,
                format!("there are {} partitions, from 0 on, no {partition}", self.count()),
            ));
        };
        slice(ctx, &self.batch, rows.start, rows.len())
    }
}

/// Whether the rows are in order as they are.
fn is_one_run(rows: usize, partitions: u32) -> bool {
    rows == 0 || partitions == 1
}

/// Where each partition begins, and the end behind.
fn offsets(counts: &[u32]) -> Vec<u32> {
    let mut end = 0;
    let ends = counts.iter().map(|count| {
        end += count;
        end
    });
    std::iter::once(0).chain(ends).collect()
}

/// The number of partitions.
fn check_count(partitions: usize) -> Result<u32> {
    match partitions {
        1..=MOST_PARTITIONS => Ok(partitions as u32),
        _ => Err(Error::invalid(OP, format!("{partitions} partitions, it must be 1 to {MOST_PARTITIONS}"))),
    }
}

/// The key columns and how the scheme reads them; the same wherever the batch is.
fn check<'b>(
    batch: &'b Batch,
    keys: &[&str],
    scheme: HashScheme,
    partitions: usize,
) -> Result<(Vec<&'b Column>, Vec<Reading>, u32)> {
    let partitions = check_count(partitions)?;
    let columns = keys.iter().map(|name| batch.find(OP, name)).collect::<Result<Vec<_>>>()?;
    let readings = hash::check(OP, &columns, scheme)?;
    batch.columns().iter().try_for_each(|column| Layout::check(column.data_type()))?;
    Ok((columns, readings, partitions))
}
