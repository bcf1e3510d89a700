//! Hash join on key columns.
//!
//! [`HashJoin::build`] indexes the smaller table where its context runs; [`HashJoin::probe`] joins batches of the other
//! table to it, in a stable order: probe rows in their order, and for each its matches in the order of the built table.
//! [`HashJoin::finish`] then gives the built rows that some joins keep beside those, in their order. Nulls match nothing,
//! as in SQL, unless [`JoinOptions`] says otherwise; NaN matches NaN and -0.0 matches 0.0, as in DataFusion.

mod bound;
mod cuda;
mod host;
mod index;
mod keys;
mod options;
mod partitioned;
mod schema;
mod spec;

use std::sync::OnceLock;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, SchemaRef};
use parking_lot::Mutex;

pub(crate) use self::bound::{largest_row, residual_bytes, shared_in};
pub use self::options::{JoinOptions, JoinType};
pub use self::partitioned::{JoinedBatches, PartitionedJoin, Spill};
use self::spec::{Spec, check_joined};
use crate::column::{Batch, Column, Placement};
use crate::device::{ExecCtx, MemoryPlan};
use crate::error::{Error, Result};

const OP: &str = "join";
/// The most rows of a table, of a probed batch and of a joined one.
const MOST_ROWS: usize = i32::MAX as usize;

/// Joined batches, made when they are asked for.
pub type JoinChunks<'a> = Box<dyn Iterator<Item = Result<Batch>> + 'a>;

/// A table indexed by key columns, ready to be probed from any thread.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
/// use warpline::ops::join::{HashJoin, JoinType};
/// use warpline::{Batch, ExecCtx};
///
/// let ctx = ExecCtx::host(0)?; // or ExecCtx::cuda(0), which gives the same bytes
/// let ids = |ids: Vec<i64>| Arc::new(Int64Array::from(ids)) as ArrayRef;
/// let names: ArrayRef = Arc::new(StringArray::from(vec!["star", "ring"]));
/// let labels = RecordBatch::try_from_iter([("id", ids(vec![7, 8])), ("label", names)]).unwrap();
/// let labels = Batch::from_record_batch(&labels).to(&ctx)?;
/// let images = RecordBatch::try_from_iter([("id", ids(vec![8, 9]))]).unwrap();
/// let images = Batch::from_record_batch(&images).to(&ctx)?;
///
/// let join = HashJoin::build(&ctx, &labels, &["id"], images.schema(), JoinType::Full)?;
/// let joined = join.probe(&ctx, &images)?;
/// assert_eq!((joined.num_rows(), joined.schema().field(1).name().as_str()), (2, "label"));
/// // The label of image 7, which no batch had.
/// assert_eq!(join.finish(&ctx)?.num_rows(), 1);
/// # Ok::<(), warpline::Error>(())
/// ```
#[derive(Debug)]
pub struct HashJoin {
    spec: Spec,
    table: Table,
    longest_keys: OnceLock<Vec<Option<u64>>>,
    /// Held while pairs are counted.
    counting: Mutex<()>,
}

/// The built side of either twin.
#[derive(Debug)]
enum Table {
    Host(Box<host::Table>),
    Cuda(Box<cuda::JoinTable>),
}

impl HashJoin {
    /// Indexes `table` by the columns `on`, which `probe_schema` must have too, of the same or of castable types.
    ///
    /// The joined schema of inner and left joins is the probe schema followed by the table's other columns; a name that
    /// the probe side already has gets `_right` appended. Under [`JoinType::Left`] those columns are nullable. Right and
    /// full joins give the same columns, as SQL's `USING` does: a built row without a match has its keys in the key
    /// columns, which take the compared type where the sides' types differ. Semi and anti joins give the schema of
    /// their side, mark joins the probe schema and `mark`.
    ///
    /// # Errors
    /// `WrongDevice` when the table is not where `ctx` runs; `InvalidInput` on a missing key column (the existing ones
    /// are listed), on key types that do not compare, on a residual condition that does not fit the columns, and on a
    /// table of more than 2^31 - 1 rows. On a device also `Unsupported` for columns without an Arrow layout here.
    ///
    /// # Synchronization
    /// On a device waits once, to learn whether a key comes twice.
    ///
    /// # Cost
    /// The table is kept, not copied. On the host 4 bytes a row are taken for its next match, 4 more where keys come twice,
    /// and a hash table of 17 bytes a slot, 1.1 to 2.3 slots a row, or for integers that are close to each other one of 4
    /// bytes a number if that is smaller; keys but single columns of at most eight bytes are copied in row format. On a
    /// device 16 bytes a slot are taken, two to four slots a row, in two launches; where keys come twice, 4 bytes a row
    /// more, and a launch at the end of a sort of three launches for each eight bits of the number of slots.
    /// [`HashJoin::build_plan`] tells the device memory.
    pub fn build(
        ctx: &ExecCtx,
        table: &Batch,
        on: &[&str],
        probe_schema: &SchemaRef,
        options: impl Into<JoinOptions>,
    ) -> Result<Self> {
        ctx.expect(OP, table.placement())?;
        let spec = Self::checked(table, on, probe_schema, options.into())?;
        let table = match ctx.placement() {
            Placement::Host => Table::Host(Box::new(host::Table::build(&spec, &table.to_record_batch()?)?)),
            Placement::Cuda(_) => Table::Cuda(Box::new(cuda::build(ctx, &spec, table)?)),
        };
        Ok(HashJoin { spec, table, longest_keys: OnceLock::new(), counting: Mutex::new(()) })
    }

    fn checked(table: &Batch, on: &[&str], probe_schema: &SchemaRef, options: JoinOptions) -> Result<Spec> {
        let rows = table.num_rows();
        if rows > MOST_ROWS {
            return Err(Error::invalid(OP, format!("the table to join has {rows} rows, at most {MOST_ROWS} fit")));
        }
        Spec::new(table.schema(), on, probe_schema, options)
    }

    /// The device memory that [`HashJoin::build`] takes for this table, whether it is on a device or will be, beside the
    /// table itself: what a table in which keys come twice takes. `workspace + output` is never less than the peak, and
    /// `output` is held as long as the join. On the host nothing of it is used.
    ///
    /// # Errors
    /// As [`HashJoin::build`], wherever the table is.
    ///
    /// # Cost
    /// No device work: a walk over the columns' types.
    pub fn build_plan(
        table: &Batch,
        on: &[&str],
        probe_schema: &SchemaRef,
        options: impl Into<JoinOptions>,
    ) -> Result<MemoryPlan> {
        cuda::build_plan(&Self::checked(table, on, probe_schema, options.into())?, table)
    }

    /// The device memory that [`HashJoin::probe`] takes for this batch, whether it is on a device or will be, when it
    /// joins to at most `rows_out` rows; with a residual condition those are the pairs with equal keys, so the rows that
    /// an inner join without the condition gives. How many there are [`HashJoin::fan_out`] counts. `workspace + output`
    /// is never less than the peak. `Unsupported` for a join on the host, which uses none, and for a residual condition
    /// that a device cannot evaluate.
    ///
    /// # Errors
    /// As [`HashJoin::probe`] for the columns of the batch.
    ///
    /// # Cost
    /// A walk over the columns' types and lengths. The first call also copies the offsets of the table's strings and
    /// lists to the host.
    pub fn probe_plan(&self, batch: &Batch, rows_out: usize) -> Result<MemoryPlan> {
        self.spec.check(batch)?;
        match &self.table {
            Table::Host(_) => Err(Error::unsupported(OP, "a plan for a join on the host", "build it on a device")),
            Table::Cuda(table) => cuda::probe_plan(&self.spec, table, batch, rows_out),
        }
    }

    /// The schema of joined batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.spec.schema
    }

    /// Which rows the join keeps.
    pub fn join_type(&self) -> JoinType {
        self.spec.kind()
    }

    /// Where the table is, and where batches must be.
    pub fn placement(&self) -> Placement {
        match &self.table {
            Table::Host(_) => Placement::Host,
            Table::Cuda(table) => table.placement(),
        }
    }

    /// Whether a condition beside the keys decides what matches.
    pub fn has_residual(&self) -> bool {
        self.spec.residual.is_some()
    }

    /// Joins one batch of the probe side. Right semi and right anti joins give no rows before [`finish`](Self::finish).
    ///
    /// # Errors
    /// As [`HashJoin::probe_chunks`], and `InvalidInput` for more than 2^31 - 1 joined rows.
    ///
    /// # Synchronization
    /// On a device waits once for the number of joined rows (not for left joins to a table whose keys are unique, nor for
    /// mark joins), and as [`gather`](crate::ops::gather) for the sizes of strings and lists.
    ///
    /// # Cost
    /// On a device one launch finds the matches, a second one spreads them where keys of the table come twice, and
    /// those of a gather for each side follow; columns of which every row is kept once are shared, not copied.
    pub fn probe(&self, ctx: &ExecCtx, batch: &Batch) -> Result<Batch> {
        Ok(self.whole(ctx, batch, false)?.0)
    }

    /// Joins one batch of the probe side, and tells for each joined row which probe row it came from.
    ///
    /// # Errors
    /// As [`HashJoin::probe`].
    pub fn probe_rows(&self, ctx: &ExecCtx, batch: &Batch) -> Result<(Batch, Vec<u64>)> {
        self.whole(ctx, batch, true)
    }

    fn whole(&self, ctx: &ExecCtx, batch: &Batch, rows: bool) -> Result<(Batch, Vec<u64>)> {
        self.check(ctx, batch)?;
        match &self.table {
            Table::Host(table) => {
                let record = batch.to_record_batch()?;
                let joined = ctx.pool().install(|| table.joined(&self.spec, &record, true))?;
                check_joined(joined.len() as u64)?;
                let found = ctx.pool().install(|| table.assemble(&self.spec, &record, &joined))?;
                Ok((Batch::from_record_batch(&found), if rows { joined.probe_rows() } else { Vec::new() }))
            }
            Table::Cuda(table) => {
                let joined = table.joined(ctx, &self.spec, batch, true)?;
                check_joined(joined.len())?;
                let chunk = joined.chunk(ctx, 0, joined.len() as usize)?;
                let rows = if rows { chunk.probe_rows(ctx)? } else { Vec::new() };
                Ok((table.assemble(ctx, &self.spec, batch, &chunk)?, rows))
            }
        }
    }

    /// Joins one batch of the probe side, giving at most `max_rows` rows at a time however many matches there are.
    ///
    /// # Errors
    /// `WrongDevice` when the table or the batch is not where `ctx` runs; `InvalidInput` when the batch has other columns
    /// than the join was built for, more than 2^31 - 1 rows, or the residual condition fails on a pair; the error then
    /// names the probe row. On a device `Unsupported` for a residual condition that it cannot evaluate, as
    /// [`Predicate::mask`](crate::ops::expr::Predicate::mask) says: join on the host, or filter after an inner join.
    ///
    /// # Cost
    /// On the host two indices a joined row for the whole batch; on a device 12 bytes a probe row, and two indices a row
    /// of a chunk. Each chunk's columns are copied when it is asked for. A residual condition copies the columns of every
    /// pair with equal keys once more.
    pub fn probe_chunks<'a>(&'a self, ctx: &'a ExecCtx, batch: &'a Batch, max_rows: usize) -> Result<JoinChunks<'a>> {
        self.check(ctx, batch)?;
        let step = max_rows.clamp(1, MOST_ROWS);
        Ok(match &self.table {
            Table::Host(table) => {
                let record = batch.to_record_batch()?;
                let joined = ctx.pool().install(|| table.joined(&self.spec, &record, true))?;
                Box::new(steps(joined.len() as u64, step).map(move |(from, rows)| {
                    let rows = joined.slice(from as usize, rows);
                    let chunk = ctx.pool().install(|| table.assemble(&self.spec, &record, &rows))?;
                    Ok(Batch::from_record_batch(&chunk))
                }))
            }
            Table::Cuda(table) => {
                let joined = table.joined(ctx, &self.spec, batch, true)?;
                Box::new(
                    steps(joined.len(), step).map(move |(from, rows)| {
                        table.assemble(ctx, &self.spec, batch, &joined.chunk(ctx, from, rows)?)
                    }),
                )
            }
        })
    }

    /// The built rows that the join gives alone, in their order: without a match for right, full and right anti joins,
    /// with one for right semi joins; none for the others. Matches are those of all batches probed so far, so call it
    /// once, after the last.
    ///
    /// # Errors
    /// `WrongDevice` when the table is not where `ctx` runs; `InvalidInput` when a key does not fit the type of the
    /// joined key column.
    pub fn finish(&self, ctx: &ExecCtx) -> Result<Batch> {
        match self.finish_chunks(ctx, MOST_ROWS)?.next() {
            Some(rows) => rows,
            None => Batch::from_record_batch(&RecordBatch::new_empty(self.spec.schema.clone())).to(ctx),
        }
    }

    /// As [`finish`](Self::finish), at most `max_rows` rows at a time.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_chunks<'a>(&'a self, ctx: &'a ExecCtx, max_rows: usize) -> Result<JoinChunks<'a>> {
        ctx.expect(OP, self.placement())?;
        let step = max_rows.clamp(1, MOST_ROWS);
        Ok(match &self.table {
            Table::Host(table) => {
                let rows = table.rows_at_end(&self.spec);
                Box::new(steps(rows.len() as u64, step).map(move |(from, count)| {
                    let rows = &rows[from as usize..][..count];
                    let built = ctx.pool().install(|| table.built_rows(&self.spec, rows))?;
                    Ok(Batch::from_record_batch(&built))
                }))
            }
            Table::Cuda(table) => {
                let rows = table.rows_at_end(ctx, &self.spec)?;
                Box::new(
                    steps(rows.len(), step)
                        .map(move |(from, count)| table.built_rows(ctx, &self.spec, &rows.chunk(ctx, from, count)?)),
                )
            }
        })
    }

    /// How many rows the batch would join to, and how many at most for one of its rows.
    ///
    /// # Errors
    /// As [`HashJoin::probe_chunks`].
    pub fn fan_out(&self, ctx: &ExecCtx, batch: &Batch) -> Result<(u64, u64)> {
        self.check(ctx, batch)?;
        match &self.table {
            Table::Host(table) => {
                let record = batch.to_record_batch()?;
                Ok(ctx.pool().install(|| table.joined(&self.spec, &record, false))?.fan_out())
            }
            Table::Cuda(table) => table.fan_out(ctx, &self.spec, batch),
        }
    }

    /// Rows of the built table.
    pub fn table_rows(&self) -> usize {
        match &self.table {
            Table::Host(table) => table.num_rows(),
            Table::Cuda(table) => table.num_rows(),
        }
    }

    /// Whether no two rows of the table match each other, so that a probed row has one match at most.
    ///
    /// # Cost
    /// None: building has told.
    pub fn keys_are_unique(&self) -> bool {
        match &self.table {
            Table::Host(table) => table.keys_are_unique(),
            Table::Cuda(table) => table.keys_are_unique(),
        }
    }

    /// Bytes that the built table and its index take.
    pub fn nbytes(&self) -> u64 {
        match &self.table {
            Table::Host(table) => table.nbytes(),
            Table::Cuda(table) => table.nbytes(),
        }
    }

    /// Bytes of the largest row of the table's own columns, for planning.
    ///
    /// # Cost
    /// A look at the lengths of all strings and lists, whose offsets come to the host for it.
    pub fn row_bytes(&self) -> Result<u64> {
        if !self.spec.kind().pairs() {
            return Ok(1);
        }
        self.payload_row_bytes()
    }

    /// The same whether or not they are in joined rows, as a residual condition sees them.
    pub(crate) fn payload_row_bytes(&self) -> Result<u64> {
        self.spec.payload.iter().map(|i| self.largest_value(*i)).sum()
    }

    /// Bytes of the largest row that [`finish`](Self::finish) may give, for planning.
    ///
    /// # Cost
    /// As [`HashJoin::row_bytes`].
    pub fn finish_row_bytes(&self) -> Result<u64> {
        // A null where a column of the probe side would be: a value's width, or an offset, or a view.
        let null = |field: &FieldRef| host::fixed_value(field.data_type()).unwrap_or(17);
        let nulls = match self.spec.kind().pairs() {
            true => self.spec.probe_schema().fields().iter().map(null).sum(),
            false => 0,
        };
        let columns = self.spec.payload.iter().chain(&self.spec.table_keys);
        Ok(nulls + columns.map(|i| self.largest_value(*i)).sum::<Result<u64>>()?)
    }

    fn largest_value(&self, column: usize) -> Result<u64> {
        match &self.table {
            Table::Host(table) => bound::largest_value(&Column::from_array(table.column(column).clone())),
            Table::Cuda(table) => bound::largest_value(table.column(column)),
        }
    }

    fn check(&self, ctx: &ExecCtx, batch: &Batch) -> Result<()> {
        ctx.expect(OP, self.placement())?;
        ctx.expect(OP, batch.placement())?;
        self.spec.check(batch)
    }
}

/// First row and number of rows of each chunk.
fn steps(rows: u64, step: usize) -> impl Iterator<Item = (u64, usize)> {
    (0..rows).step_by(step).map(move |from| (from, (rows - from).min(step as u64) as usize))
}
