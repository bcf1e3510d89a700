//! Columns of equal length under one schema.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use crate::column::{Column, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};

/// Columns of equal length under one schema, all at one placement; cheap to clone.
#[derive(Clone, Debug)]
pub struct Batch {
    schema: SchemaRef,
    columns: Arc<[Column]>,
    rows: usize,
    placement: Placement,
}

impl Batch {
    /// Puts columns under a schema; they must have equal lengths, the schema's types and one placement.
    pub fn try_new(schema: SchemaRef, columns: Vec<Column>, rows: usize, placement: Placement) -> Result<Self> {
        const OP: &str = "batch";
        if schema.fields().len() != columns.len() {
            return Err(Error::invalid(OP, format!("{} fields, {} columns", schema.fields().len(), columns.len())));
        }
        for (field, column) in schema.fields().iter().zip(&columns) {
            if column.len() != rows {
                return Err(Error::invalid_column(OP, field.name(), format!("{} rows, expected {rows}", column.len())));
            }
            if column.data_type() != field.data_type() {
                let why = format!("type {}, the schema says {}", column.data_type(), field.data_type());
                return Err(Error::invalid_column(OP, field.name(), why));
            }
            if column.placement() != placement {
                return Err(Error::WrongDevice { op: OP, expected: placement, found: column.placement() });
            }
        }
        Ok(Batch { schema, columns: columns.into(), rows, placement })
    }

    /// Wraps a host record batch without copying.
    pub fn from_record_batch(batch: &RecordBatch) -> Self {
        Batch {
            schema: batch.schema(),
            columns: batch.columns().iter().cloned().map(Column::from_array).collect(),
            rows: batch.num_rows(),
            placement: Placement::Host,
        }
    }

    /// The host record batch; `WrongDevice` when the columns are on a device.
    pub fn to_record_batch(&self) -> Result<RecordBatch> {
        let arrays = self.columns.iter().map(Column::to_array).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options).map_err(|e| Error::arrow("batch", e))
    }

    /// The batch where `ctx` runs: itself when it is there already, otherwise a copy.
    pub fn to(&self, ctx: &ExecCtx) -> Result<Batch> {
        let columns = self.columns.iter().map(|column| column.to(ctx)).collect::<Result<_>>()?;
        Batch::try_new(self.schema.clone(), columns, self.rows, ctx.placement())
    }

    /// The batch in host memory: itself when it is there already, otherwise a copy.
    pub fn to_host(&self) -> Result<Batch> {
        let columns = self.columns.iter().map(Column::to_host).collect::<Result<_>>()?;
        Batch::try_new(self.schema.clone(), columns, self.rows, Placement::Host)
    }

    /// The schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Number of rows.
    pub fn num_rows(&self) -> usize {
        self.rows
    }

    /// The columns in schema order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.schema.index_of(name).ok().map(|i| &self.columns[i])
    }

    /// The column of this name, or the error of an operator that was asked for it.
    pub(crate) fn find(&self, op: &'static str, name: &str) -> Result<&Column> {
        self.column(name).ok_or_else(|| Error::missing_column(op, name, "not in the batch", &self.schema))
    }

    /// Where all columns are.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Bytes of all columns in Arrow's layout.
    pub fn nbytes(&self) -> usize {
        self.columns.iter().map(Column::nbytes).sum()
    }
}
