//! A join with a table in memory.

use arrow::datatypes::SchemaRef;

use crate::column::Batch;
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::ops::join::HashJoin;
use crate::pipeline::{Bound, Item, Stage};

/// Probes a [`HashJoin`], on the host. A stage gives rows for those that reach it, so joins that give rows of the table
/// alone at the end (right, full, right semi, right anti) are refused, and so are residual conditions, whose pairs no
/// bound foresees.
pub struct JoinStage {
    join: HashJoin,
}

impl JoinStage {
    /// The join must have been built for the schema that reaches the stage.
    pub fn new(join: HashJoin) -> Self {
        JoinStage { join }
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
        let (rows, most) = self.join.fan_out(&batch.to_record_batch()?)?;
        let output = batch.nbytes() as u64 * most + rows * self.join.row_bytes();
        // Two indices a joined row, and whether each row of the batch has a match.
        Ok(Bound { workspace: 12 * rows + batch.num_rows() as u64, output })
    }

    fn held(&self) -> u64 {
        self.join.nbytes()
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        let (joined, rows) = self.join.probe_rows(&item.batch().to_record_batch()?)?;
        item.gathered(Batch::from_record_batch(&joined), &rows)
    }
}
