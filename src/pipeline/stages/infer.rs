//! Tensors through a model.

use arrow::datatypes::SchemaRef;

use super::columns::find;
use crate::column::Batch;
use crate::device::ExecCtx;
use crate::error::Result;
use crate::infer::Model;
use crate::pipeline::{Bound, Item, Stage};

/// Runs a model over a tensor column, on the host; its outputs take the column's place.
pub struct InferStage {
    column: String,
    model: Model,
}

impl InferStage {
    /// Runs over this column.
    pub fn new(column: &str, model: Model) -> Self {
        InferStage { column: column.to_owned(), model }
    }
}

impl Stage for InferStage {
    fn name(&self) -> &str {
        "infer"
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        self.model.schema(input, &self.column)
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        let index = find("infer", batch.schema(), &self.column)?;
        let tensors = batch.columns()[index].nbytes() as u64;
        let row = tensors / batch.num_rows().max(1) as u64;
        let outputs = (batch.num_rows() * self.model.output_bytes(batch.schema(), &self.column)?) as u64;
        // A copy of each model batch, and the backend's own tensors, which are its business.
        let others = (batch.nbytes() as u64).saturating_sub(tensors);
        Ok(Bound { workspace: tensors + row * self.model.batch_size() as u64 + outputs, output: others + outputs })
    }

    fn launch(&self, ctx: &ExecCtx, item: Item) -> Result<Item> {
        let batch = self.model.run(ctx, item.batch(), &self.column)?;
        item.with_batch(batch)
    }

    fn describe(&self) -> String {
        format!("{}, {} rows at a time", self.model.name(), self.model.batch_size())
    }
}
