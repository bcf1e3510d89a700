//! A join with a table in memory.

use std::sync::OnceLock;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::column::{Batch, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::ops::join::{HashJoin, JoinOptions, largest_row, residual_bytes, shared_in};
use crate::pipeline::{BatchLimit, Bound, Bytes, Ending, Item, Stage};

/// Probes a [`HashJoin`] where that was built; what the join gives of the table alone (right, full, right semi, right
/// anti) follows the last batch. What a batch joins to is known before it is joined: its keys are looked up once more for
/// it, unless the table's are unique.
pub struct JoinStage {
    join: HashJoin,
    ctx: ExecCtx,
    sizes: OnceLock<Sizes>,
    /// Why the join is on the host, though the pipeline has a device.
    refusal: Option<String>,
}

/// What no batch changes.
#[derive(Clone, Copy)]
struct Sizes {
    /// Bytes of the table's largest row in joined rows, and as a residual condition sees it.
    row: u64,
    seen_row: u64,
    /// What joined rows share with the table.
    shared: u64,
    /// Device memory for the keys of a batch whose pairs are counted.
    counting: u64,
}

impl JoinStage {
    /// The join must have been built for the schema that reaches the stage, by this context, and not been probed yet.
    pub fn new(join: HashJoin, ctx: &ExecCtx) -> Self {
        JoinStage { join, ctx: ctx.clone(), sizes: OnceLock::new(), refusal: None }
    }

    /// A stage that joins a table on the host, whose batches are put together: on this device, if there is one that
    /// can and has room for it.
    pub(super) fn of_table(
        device: Option<&ExecCtx>,
        table: &[RecordBatch],
        on: &[&str],
        schema: &SchemaRef,
        options: JoinOptions,
    ) -> Result<Self> {
        let Some(first) = table.first() else {
            return Err(Error::invalid("join", "the table to join has no batches, so no schema"));
        };
        let whole = concat_batches(&first.schema(), table).map_err(|e| Error::arrow("join", e))?;
        let whole = Batch::from_record_batch(&whole);
        let mut refusal = None;
        if let Some(device) = device.filter(|ctx| ctx.placement() != Placement::Host) {
            let join = whole.to(device).and_then(|table| {
                let join = HashJoin::build(device, &table, on, schema, options.clone())?;
                join.check_residual().map(|()| join)
            });
            match join {
                Ok(join) => return Ok(JoinStage::new(join, device)),
                Err(Error::Unsupported { what, .. }) => refusal = Some(what),
                Err(Error::OutOfMemory { .. }) => {
                    refusal =
                        Some(format!("no room there for a table of {} and its index", Bytes(whole.nbytes() as u64)));
                }
                Err(error) => return Err(error),
            }
        }
        let host = ExecCtx::host(1)?;
        let join = HashJoin::build(&host, &whole, on, schema, options)?;
        Ok(JoinStage { refusal, ..JoinStage::new(join, &host) })
    }

    fn sizes(&self) -> Result<Sizes> {
        if let Some(sizes) = self.sizes.get() {
            return Ok(*sizes);
        }
        let (row, counting) = (self.join.row_bytes()?, self.join.counting_bytes()?);
        let seen_row = if self.join.has_residual() { self.join.payload_row_bytes()? } else { 0 };
        let shared = self.join.shared_bytes()?;
        Ok(*self.sizes.get_or_init(|| Sizes { row, seen_row, shared, counting }))
    }
}

impl Stage for JoinStage {
    fn name(&self) -> &str {
        "join"
    }

    fn placement(&self) -> Placement {
        self.join.placement()
    }

    fn schema(&self, _input: &SchemaRef) -> Result<SchemaRef> {
        self.sizes()?;
        Ok(self.join.schema().clone())
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        let batch = batch.to_host()?;
        let (record, sizes) = (batch.to_record_batch()?, self.sizes()?);
        let (rows, bytes) = (batch.num_rows() as u64, batch.nbytes() as u64);
        let pairs = self.join.count_pairs(&self.ctx, &record)?;
        let (row, cast_row) = (largest_row(&record)?, self.join.cast_row(&record)?);
        let output = match self.join.makes_pairs() {
            // Every row as often as the one with the most matches, or every pair as large as the largest row.
            true => {
                let shared = shared_in(&record)?;
                let left = bytes.saturating_mul(pairs.most).min(pairs.count.saturating_mul(row).saturating_add(shared));
                let right = pairs.count.saturating_mul(sizes.row.saturating_add(cast_row)).saturating_add(sizes.shared);
                left.saturating_add(right)
            }
            false => bytes + rows,
        };
        let workspace = match self.placement() {
            // Keys as bytes that compare, and the numbers of both rows of each pair, in vectors that grow.
            Placement::Host => {
                let seen = if self.join.has_residual() { residual_bytes(pairs.count, row + sizes.seen_row) } else { 0 };
                let keys = self.join.key_bytes(&record)?.saturating_add(rows.saturating_mul(cast_row));
                keys.saturating_add(pairs.count.saturating_mul(32)).saturating_add(seen)
            }
            // The batch is there as well, and what comes back, with the number of each row's probe row.
            Placement::Cuda(_) => {
                let plan = self.join.probe_plan(&batch, pairs.count as usize)?;
                let device = bytes.saturating_add(plan.workspace).saturating_add(plan.output);
                device.saturating_add(pairs.count.saturating_mul(12))
            }
        };
        Ok(Bound { workspace: workspace + rows, output })
    }

    fn held(&self) -> u64 {
        let at_end = if self.finishes() { 4 * self.join.table_rows() as u64 } else { 0 };
        self.join.nbytes() + at_end + self.sizes.get().map_or(0, |sizes| sizes.counting)
    }

    fn launch(&self, ctx: &ExecCtx, item: Item) -> Result<Item> {
        let (joined, rows) = match self.placement() {
            Placement::Host => self.join.probe_rows(&self.ctx, item.batch())?,
            Placement::Cuda(_) => {
                let (joined, rows) = self.join.probe_rows(ctx, &item.batch().to(ctx)?)?;
                (joined.to_host()?, rows)
            }
        };
        item.gathered(joined, &rows)
    }

    fn finishes(&self) -> bool {
        self.join.join_type().gives_built_rows()
    }

    fn finish<'a>(&'a self, ctx: &'a ExecCtx, limit: &BatchLimit) -> Result<Ending<'a>> {
        let ctx = if self.placement() == Placement::Host { &self.ctx } else { ctx };
        let row = self.join.finish_row_bytes()?.max(1);
        // A chunk, and the rows of the table that it is made of.
        let rows = (limit.bytes / (2 * row)).clamp(1, limit.rows.max(1) as u64);
        let batches = self.join.finish_chunks(ctx, rows as usize)?;
        Ok(Ending { bound: 2 * row * rows, batches: Box::new(batches.map(|batch| batch?.to_host())) })
    }

    fn copies(&self, input: u64) -> (u64, u64) {
        if self.placement() == Placement::Host { (0, 0) } else { (input, input) }
    }

    fn describe(&self) -> String {
        let join = format!("{:?}, {} rows", self.join.join_type(), self.join.table_rows());
        match &self.refusal {
            Some(what) => format!("{join}, not on the device: {what}"),
            None => join,
        }
    }
}
