//! A join with a table in memory.

use arrow::datatypes::SchemaRef;

use crate::column::Batch;
use crate::device::ExecCtx;
use crate::error::Result;
use crate::ops::join::HashJoin;
use crate::pipeline::{Bound, Item, Stage};

/// Probes a [`HashJoin`], on the host.
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
        Ok(self.join.schema().clone())
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        let (rows, most) = self.join.fan_out(&batch.to_record_batch()?)?;
        let output = batch.nbytes() as u64 * most + rows * self.join.row_bytes();
        Ok(Bound { workspace: 12 * rows, output })
    }

    fn held(&self) -> u64 {
        self.join.nbytes()
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        let (joined, rows) = self.join.probe_rows(&item.batch().to_record_batch()?)?;
        item.gathered(Batch::from_record_batch(&joined), &rows)
    }
}
