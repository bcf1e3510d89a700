//! A join with a table in memory.

use std::sync::OnceLock;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::column::{Batch, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::ops::join::{HashJoin, JoinType};
use crate::pipeline::{BatchLimit, Bound, Ending, Item, Stage};

/// Probes a [`HashJoin`] where that was built; what the join gives of the table alone (right, full, right semi, right
/// anti) follows the last batch. Residual conditions are refused, whose pairs no bound foresees.
pub struct JoinStage {
    join: HashJoin,
    ctx: ExecCtx,
    row_bytes: OnceLock<u64>,
    /// Why the join is on the host, though the pipeline has a device.
    refusal: Option<String>,
}

impl JoinStage {
    /// The join must have been built for the schema that reaches the stage, by this context, and not been probed yet.
    pub fn new(join: HashJoin, ctx: &ExecCtx) -> Self {
        JoinStage { join, ctx: ctx.clone(), row_bytes: OnceLock::new(), refusal: None }
    }

    /// A stage that joins a table on the host, whose batches are put together: on this device, if there is one that can.
    pub(super) fn of_table(
        device: Option<&ExecCtx>,
        table: &[RecordBatch],
        on: &[&str],
        schema: &SchemaRef,
        kind: JoinType,
    ) -> Result<Self> {
        let Some(first) = table.first() else {
            return Err(Error::invalid("join", "the table to join has no batches, so no schema"));
        };
        let whole = concat_batches(&first.schema(), table).map_err(|e| Error::arrow("join", e))?;
        let whole = Batch::from_record_batch(&whole);
        let mut refusal = None;
        if let Some(device) = device.filter(|ctx| ctx.placement() != Placement::Host) {
            match whole.to(device).and_then(|table| HashJoin::build(device, &table, on, schema, kind)) {
                Ok(join) => return Ok(JoinStage::new(join, device)),
                Err(Error::Unsupported { what, .. }) => refusal = Some(what),
                Err(error) => return Err(error),
            }
        }
        let host = ExecCtx::host(1)?;
        let join = HashJoin::build(&host, &whole, on, schema, kind)?;
        Ok(JoinStage { refusal, ..JoinStage::new(join, &host) })
    }

    /// Bytes of the table's largest row in joined rows.
    fn row_bytes(&self) -> Result<u64> {
        if let Some(bytes) = self.row_bytes.get() {
            return Ok(*bytes);
        }
        let bytes = self.join.row_bytes()?;
        Ok(*self.row_bytes.get_or_init(|| bytes))
    }

    /// Joined rows, and the most for one row of the batch.
    fn fan_out(&self, batch: &Batch) -> Result<(u64, u64)> {
        match self.join.keys_are_unique() {
            true => Ok((batch.num_rows() as u64, 1)),
            false => self.join.fan_out(&self.ctx, &batch.to(&self.ctx)?),
        }
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
        if self.join.has_residual() {
            let hint = "filter after the join, or use HashJoin itself";
            return Err(Error::unsupported("join", "a residual condition in a pipeline", hint));
        }
        Ok(self.join.schema().clone())
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        let (rows, most) = self.fan_out(batch)?;
        let output = batch.nbytes() as u64 * most + rows * self.row_bytes()?;
        // Two indices a joined row, and whether each row of the batch has a match.
        let host = 12 * rows + batch.num_rows() as u64;
        // On a device the batch is there as well, and what comes back.
        let device = match self.placement() {
            Placement::Host => 0,
            Placement::Cuda(_) => {
                let plan = self.join.probe_plan(batch, rows as usize)?;
                batch.nbytes() as u64 + plan.workspace + plan.output
            }
        };
        Ok(Bound { workspace: host + device, output })
    }

    fn held(&self) -> u64 {
        let at_end = if self.finishes() { 4 * self.join.table_rows() as u64 } else { 0 };
        self.join.nbytes() + at_end
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
