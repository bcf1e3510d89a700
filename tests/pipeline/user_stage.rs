//! Stages of the user's own: their concurrency, their schema, their panics.

use std::time::Duration;

use warpline::Error;
use warpline::arrow::datatypes::{DataType, Field, Schema};

use super::*;

struct Counted {
    gauge: Arc<Gauge>,
    limit: Option<usize>,
}

impl Stage for Counted {
    fn name(&self) -> &str {
        "counted"
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        Ok(Bound { workspace: 0, output: batch.nbytes() as u64 })
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        self.gauge.enter(1);
        std::thread::sleep(Duration::from_millis(2));
        self.gauge.leave(1);
        Ok(item)
    }

    fn concurrency(&self) -> Option<usize> {
        self.limit
    }
}

#[test]
fn a_stage_sets_its_own_concurrency_or_takes_the_pipelines() {
    for (limit, workers, expected) in [(Some(1), 4, 1), (Some(3), 1, 3), (None, 4, 4), (None, 1, 1)] {
        let gauge = Arc::new(Gauge::default());
        let stage = Counted { gauge: gauge.clone(), limit };
        numbers(100).batch_rows(1).workers(workers).stage(stage).unwrap().collect().unwrap();
        assert_eq!(gauge.most.load(Ordering::SeqCst), expected, "{limit:?} {workers}");
    }
}

/// A stage that needs a column which is not there.
struct Needs(&'static str);

impl Stage for Needs {
    fn name(&self) -> &str {
        "needs"
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        match input.field_with_name(self.0) {
            Ok(_) => Ok(Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]))),
            Err(_) => Err(Error::invalid_column("needs", self.0, "no such column")),
        }
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        Ok(Bound { workspace: 0, output: batch.nbytes() as u64 })
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        let batch = item.batch().to_record_batch()?.project(&[0]).unwrap();
        item.with_batch(Batch::from_record_batch(&batch))
    }
}

#[test]
fn a_schema_error_is_an_error_while_building() {
    let error = numbers(10).stage(Needs("label")).err().unwrap();
    assert_eq!(error.to_string(), "needs: column 'label': no such column");
    let pipeline = numbers(10).stage(Needs("blob")).unwrap();
    assert_eq!(pipeline.schema().fields().len(), 1);
    assert_eq!(pipeline.collect().unwrap().schema.fields().len(), 1);
}

/// A stage whose bound panics on some rows.
struct BadBound;

impl Stage for BadBound {
    fn name(&self) -> &str {
        "bad bound"
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        let ids = batch.column("id").unwrap().to_array()?;
        assert!(!ids.as_primitive::<Int64Type>().values().contains(&42), "the answer");
        Ok(Bound { workspace: 0, output: batch.nbytes() as u64 })
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        Ok(item)
    }
}

#[test]
fn a_bound_that_panics_is_an_error_of_the_row() {
    let pipeline = numbers(100).batch_rows(30).stage(BadBound).unwrap().stage(Jitter).unwrap();
    let out = pipeline.on_error(warpline::pipeline::OnError::Skip { max: 1 }).collect().unwrap();
    assert_eq!(ids(&out.batches), (0..100).filter(|&id| id != 42).collect::<Vec<_>>());
    assert_eq!(out.report.errors[0].row, 42);
    assert!(out.report.errors[0].message.contains("the answer"), "{:?}", out.report.errors);
}
