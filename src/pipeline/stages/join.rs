//! A join with a table in memory.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::column::Batch;
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::ops::join::{HashJoin, JoinType};
use crate::pipeline::{Bound, Item, Stage};

/// Probes a [`HashJoin`], on the host. A stage gives rows for those that reach it, so joins that give rows of the table
/// alone at the end (right, full, right semi, right anti) are refused, and so are residual conditions, whose pairs no
/// bound foresees.
pub struct JoinStage {
    join: HashJoin,
    ctx: ExecCtx,
}

impl JoinStage {
    /// The join must have been built for the schema that reaches the stage, by this context.
    pub fn new(join: HashJoin, ctx: &ExecCtx) -> Self {
        JoinStage { join, ctx: ctx.clone() }
    }

    /// A stage that joins a table on the host, whose batches are put together.
    pub(super) fn of_table(
        ctx: &ExecCtx,
        table: &[RecordBatch],
        on: &[&str],
        schema: &SchemaRef,
        kind: JoinType,
    ) -> Result<Self> {
        let Some(first) = table.first() else {
            return Err(Error::invalid("join", "the table to join has no batches, so no schema"));
        };
        let whole = concat_batches(&first.schema(), table).map_err(|e| Error::arrow("join", e))?;
        Ok(JoinStage::new(HashJoin::build(ctx, &Batch::from_record_batch(&whole), on, schema, kind)?, ctx))
    }
}

impl Stage for JoinStage {
    fn name(&self) -> &str {
        "join"
    }

    fn schema(&self, _input: &SchemaRef) -> Result<SchemaRef> {
        let hint = match (self.join.join_type().gives_built_rows(), self.join.has_residual()) {
            (false, false) => return Ok(self.join.schema().clone()),
            (true, _) => "swap the tables, or use HashJoin itself",
            (false, true) => "filter after the join, or use HashJoin itself",
        };
        Err(Error::unsupported("join", "this join in a pipeline", hint))
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        let (rows, most) = self.join.fan_out(&self.ctx, batch)?;
        let output = batch.nbytes() as u64 * most + rows * self.join.row_bytes()?;
        // Two indices a joined row, and whether each row of the batch has a match.
        Ok(Bound { workspace: 12 * rows + batch.num_rows() as u64, output })
    }

    fn held(&self) -> u64 {
        self.join.nbytes()
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        let (joined, rows) = self.join.probe_rows(&self.ctx, item.batch())?;
        item.gathered(joined, &rows)
    }
}
