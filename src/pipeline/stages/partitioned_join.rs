//! A join with a table that does not fit in memory.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use crate::column::{Batch, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::ops::join::{HashJoin, JoinOptions, JoinedBatches, PartitionedJoin, Spill};
use crate::pipeline::{BatchLimit, Bound, Bytes, Ending, Item, Stage};

/// Collects the rows of the pipeline in a [`PartitionedJoin`], in their order, and gives the joined rows after the last
/// batch, in the order that [`JoinStage`](super::JoinStage) would give them.
pub struct PartitionedJoinStage {
    join: Mutex<Option<PartitionedJoin>>,
    schema: SchemaRef,
    memory: u64,
    description: String,
}

impl PartitionedJoinStage {
    /// The table comes in batches; partitions are joined on this device, if there is one that can.
    pub(super) fn of_table(
        device: Option<&ExecCtx>,
        (table_schema, table): (&SchemaRef, impl IntoIterator<Item = Result<RecordBatch>>),
        on: &[&str],
        schema: &SchemaRef,
        options: JoinOptions,
        spill: Spill,
    ) -> Result<Self> {
        let mut refusal = String::new();
        let mut ctx = ExecCtx::host(0)?;
        if let Some(device) = device.filter(|ctx| ctx.placement() != Placement::Host) {
            let empty = Batch::from_record_batch(&RecordBatch::new_empty(table_schema.clone())).to(device)?;
            let tried = HashJoin::build(device, &empty, on, schema, options.clone());
            match tried.and_then(|join| join.check_residual()) {
                Ok(()) => ctx = device.clone(),
                Err(Error::Unsupported { what, .. }) => refusal = format!(", not on the device: {what}"),
                Err(error) => return Err(error),
            }
        }
        let (kind, memory) = (options.join_type(), spill.memory());
        let mut join = PartitionedJoin::new(&ctx, table_schema, on, schema, options, spill)?;
        let mut rows = 0;
        for batch in table {
            let batch = batch?;
            rows += batch.num_rows();
            join.build(&Batch::from_record_batch(&batch))?;
        }
        let description = format!("{kind:?}, {rows} rows, by partitions in {} and files{refusal}", Bytes(memory));
        Ok(PartitionedJoinStage { schema: join.schema().clone(), join: Mutex::new(Some(join)), memory, description })
    }
}

fn ended() -> Error {
    Error::Internal { op: "join", why: "a batch came after the last".into() }
}

impl Stage for PartitionedJoinStage {
    fn name(&self) -> &str {
        "join"
    }

    fn schema(&self, _input: &SchemaRef) -> Result<SchemaRef> {
        Ok(self.schema.clone())
    }

    /// The rows are copied by partition, beside their keys as bytes that compare.
    fn bound(&self, batch: &Batch) -> Result<Bound> {
        let (rows, bytes) = (batch.num_rows() as u64, batch.nbytes() as u64);
        Ok(Bound { workspace: bytes.saturating_mul(3).saturating_add(rows * 64), output: 0 })
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        self.join.lock().as_mut().ok_or_else(ended)?.probe(item.batch())?;
        item.gathered(Batch::from_record_batch(&RecordBatch::new_empty(self.schema.clone())), &[])
    }

    fn ordered(&self) -> bool {
        true
    }

    /// What the join counts, and a quarter for batches on their way through it.
    fn held(&self) -> u64 {
        self.memory + self.memory / 4
    }

    fn finishes(&self) -> bool {
        true
    }

    fn finish<'a>(&'a self, _ctx: &'a ExecCtx, limit: &BatchLimit) -> Result<Ending<'a>> {
        let batches = self.join.lock().take().ok_or_else(ended)?.finish()?;
        let (rows, bytes) = (limit.rows.max(1), limit.bytes.max(1));
        Ok(Ending { bound: bytes, batches: Box::new(Pieces { batches, rest: None, rows, bytes }) })
    }

    fn describe(&self) -> String {
        self.description.clone()
    }
}

/// Joined batches in pieces of so many rows and bytes; a row that is larger stands alone.
struct Pieces {
    batches: JoinedBatches,
    rest: Option<RecordBatch>,
    rows: usize,
    bytes: u64,
}

impl Iterator for Pieces {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let whole = match self.rest.take() {
            Some(rest) => rest,
            None => match self.batches.next()?.and_then(|batch| batch.to_record_batch()) {
                Ok(batch) => batch,
                Err(error) => return Some(Err(error)),
            },
        };
        let mut rows = whole.num_rows().min(self.rows);
        let mut piece = Batch::from_record_batch(&whole.slice(0, rows));
        while rows > 1 && piece.nbytes() as u64 > self.bytes {
            rows /= 2;
            piece = Batch::from_record_batch(&whole.slice(0, rows));
        }
        self.rest = (rows < whole.num_rows()).then(|| whole.slice(rows, whole.num_rows() - rows));
        Some(Ok(piece))
    }
}
