//! Columns by name: finding, replacing, selecting.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::column::{Batch, Column};
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::pipeline::{Bound, Item, Stage};

/// The place of a column; an error names those that exist.
pub(in crate::pipeline) fn find(op: &'static str, schema: &Schema, column: &str) -> Result<usize> {
    schema.index_of(column).map_err(|_| Error::missing_column(op, column, "no such column", schema))
}

/// The schema with another field at this place.
pub(super) fn replace_field(schema: &Schema, index: usize, field: Field) -> SchemaRef {
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields[index] = Arc::new(field);
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The batch with another column at this place.
pub(super) fn replace_column(batch: &Batch, index: usize, field: Field, column: Column) -> Result<Batch> {
    let schema = replace_field(batch.schema(), index, field);
    let mut columns = batch.columns().to_vec();
    columns[index] = column;
    Batch::try_new(schema, columns, batch.num_rows(), batch.placement())
}

/// Keeps some columns.
pub struct SelectStage {
    columns: Vec<String>,
}

impl SelectStage {
    /// Keeps these columns, in this order.
    pub fn new(columns: &[&str]) -> Self {
        SelectStage { columns: columns.iter().map(|c| c.to_string()).collect() }
    }

    fn places(&self, schema: &Schema) -> Result<Vec<usize>> {
        self.columns.iter().map(|column| find("select", schema, column)).collect()
    }
}

impl Stage for SelectStage {
    fn name(&self) -> &str {
        "select"
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        input.project(&self.places(input)?).map(SchemaRef::new).map_err(|e| Error::arrow("select", e))
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        Ok(Bound { workspace: 0, output: batch.nbytes() as u64 })
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        let batch = item.batch();
        let columns = self.places(batch.schema())?.into_iter().map(|i| batch.columns()[i].clone()).collect();
        let selected = Batch::try_new(self.schema(batch.schema())?, columns, batch.num_rows(), batch.placement())?;
        item.with_batch(selected)
    }

    fn describe(&self) -> String {
        self.columns.join(", ")
    }
}
