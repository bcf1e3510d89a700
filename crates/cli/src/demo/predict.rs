//! The demo's last stage: logits to class names, and how many are right.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{DataType, Field, Float32Type, Schema, SchemaRef};
use warpline::pipeline::{Bound, Item, Stage};
use warpline::{Batch, Column, Error, ExecCtx, Result};

use super::draw::CLASSES;

const OP: &str = "predict";

/// Predictions that were compared with a label.
#[derive(Debug, Default)]
pub struct Score {
    pub right: AtomicU64,
    pub all: AtomicU64,
}

/// Adds a column `prediction`: the name of the class with the largest of `logits`. Counts how often it equals `label`.
pub struct PredictStage {
    score: Arc<Score>,
}

impl PredictStage {
    pub fn new(score: Arc<Score>) -> Self {
        PredictStage { score }
    }
}

impl Stage for PredictStage {
    fn name(&self) -> &str {
        OP
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        let mut fields: Vec<_> = input.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("prediction", DataType::Utf8, true)));
        Ok(Arc::new(Schema::new_with_metadata(fields, input.metadata().clone())))
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        Ok(Bound { workspace: 0, output: batch.nbytes() as u64 + 32 * batch.num_rows() as u64 })
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        let batch = item.batch();
        let column = |name: &str| {
            let column = batch.column(name).ok_or_else(|| Error::invalid_column(OP, name, "no such column"))?;
            column.to_array()
        };
        let (logits, labels) = (column("logits")?, column("label")?);
        let logits = logits.as_fixed_size_list();
        let predictions: StringArray = (0..logits.len())
            .map(|row| {
                let values = logits.is_valid(row).then(|| logits.value(row))?;
                let values = values.as_primitive::<Float32Type>().values().iter().enumerate();
                values.max_by(|a, b| a.1.total_cmp(b.1)).and_then(|(class, _)| CLASSES.get(class).copied())
            })
            .collect();
        for (prediction, label) in predictions.iter().zip(labels.as_string::<i32>()) {
            if let (Some(prediction), Some(label)) = (prediction, label) {
                self.score.all.fetch_add(1, Ordering::Relaxed);
                self.score.right.fetch_add(u64::from(prediction == label), Ordering::Relaxed);
            }
        }
        let mut columns = batch.columns().to_vec();
        columns.push(Column::from_array(Arc::new(predictions)));
        let batch = Batch::try_new(self.schema(batch.schema())?, columns, batch.num_rows(), batch.placement())?;
        item.with_batch(batch)
    }
}
