//! Runs that end when so many rows have reached the sink.

use arrow::datatypes::SchemaRef;
use warpline::Error;
use warpline::ops::join::JoinType;
use warpline::pipeline::{BatchLimit, OnError, Order, Origins, Source, SourceBatch};

use super::*;
use crate::common::contexts;

#[test]
fn the_first_rows_in_the_order_of_the_input() {
    for rows in [0, 1, 15, 16, 17, 100, 249, 250, 251, u64::MAX] {
        let limited = || numbers(250).batch_rows(16).workers(3).stage(Jitter).unwrap().limit(rows);
        let out = limited().collect().unwrap();
        let expected: Vec<i64> = (0..250.min(rows as i64 & i64::MAX)).collect();
        assert_eq!(ids(&out.batches), expected);
        assert_eq!(out.report.rows_out, expected.len() as u64);
        let streamed: Vec<Batch> = limited().stream().unwrap().map(|batch| batch.unwrap()).collect();
        assert_eq!(ids(&streamed), expected);
        let any = limited().order(Order::Completion).collect().unwrap();
        assert_eq!(any.report.rows_out, expected.len() as u64);
    }
}

/// Rows are counted behind filters, joins and what a join gives at its end.
#[test]
fn rows_of_the_result_are_counted() {
    let table = table(90).slice(40, 50);
    for ctx in contexts() {
        let joined = || {
            let pipeline = numbers(60).on(&ctx).batch_rows(7).filter("id % 3 <> 1").unwrap();
            pipeline.join(std::slice::from_ref(&table), &["id"], JoinType::Full).unwrap()
        };
        let all = joined().collect().unwrap();
        let all = whole(&all.schema, &all.batches);
        assert!(all.num_rows() > 60);
        for rows in [1, 20, 39, 40, 41, 60, all.num_rows()] {
            let out = joined().limit(rows as u64).collect().unwrap();
            assert_eq!(whole(&out.schema, &out.batches), all.slice(0, rows), "{rows} rows on {}", ctx.placement());
        }
    }
}

/// Batches without an end; reading after `fails_at` batches is a failure.
struct Endless {
    read: Arc<AtomicU64>,
    fails_at: u64,
}

impl Source for Endless {
    fn name(&self) -> &str {
        "endless"
    }

    fn schema(&self) -> SchemaRef {
        table(1).schema()
    }

    fn total_rows(&self) -> Option<u64> {
        None
    }

    fn bound(&self, _limit: &BatchLimit) -> u64 {
        table(10).get_array_memory_size() as u64
    }

    fn next(&mut self, _limit: &BatchLimit) -> Result<Option<SourceBatch>> {
        let before = self.read.fetch_add(1, Ordering::SeqCst);
        if before >= self.fails_at {
            return Err(Error::invalid("endless", "the end"));
        }
        let batch = Batch::from_record_batch(&table(10));
        Ok(Some(SourceBatch { batch, origins: Origins::rows("endless".into(), 10 * before, 10) }))
    }
}

#[test]
fn a_source_is_read_no_further_than_the_queues_reach() {
    let run = |rows, fails_at| {
        let read = Arc::new(AtomicU64::new(0));
        let source = Endless { read: read.clone(), fails_at };
        let pipeline = Pipeline::from_source(source).queue_depth(2).workers(2).stage(Jitter).unwrap();
        let out = pipeline.limit(rows).collect().unwrap();
        assert_eq!(out.report.rows_out, rows);
        read.load(Ordering::SeqCst)
    };
    assert_eq!(run(0, 0), 0);
    let batches = run(1000, u64::MAX);
    assert!((100..110).contains(&batches), "{batches} batches were read for 100");
    // Met at the end of the last batch that can be read.
    run(50, 5);
}

#[test]
fn rows_behind_the_last_one_are_no_errors() {
    let failing = |on_error| {
        let pipeline = numbers(100).batch_rows(10).on_error(on_error).map("fails", |batch| {
            let host = batch.to_record_batch()?;
            let ids = host.column(0).as_primitive::<Int64Type>();
            match ids.values().iter().position(|id| *id == 7 || *id >= 50) {
                Some(row) => {
                    Err(Error::InvalidInput { op: "fails", column: None, row: Some(row as u64), why: "no".into() })
                }
                None => Ok(batch.clone()),
            }
        });
        pipeline.unwrap()
    };
    let skipped = failing(OnError::Skip { max: 1 }).limit(49).collect().unwrap();
    assert_eq!(ids(&skipped.batches), (0..50).filter(|id| *id != 7).collect::<Vec<_>>());
    assert_eq!(skipped.report.error_rows, 1);
    assert!(failing(OnError::Fail).limit(49).collect().is_err());
}

#[test]
fn the_output_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let report = numbers(100).batch_rows(8).limit(30).write_parquet(&out).unwrap();
    assert_eq!((report.rows_out, report.output.as_deref()), (30, Some(out.as_path())));
    let back = Pipeline::read_parquet(&out).and_then(Pipeline::collect).unwrap();
    assert_eq!(ids(&back.batches), (0..30).collect::<Vec<_>>());
}
