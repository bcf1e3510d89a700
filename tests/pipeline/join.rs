//! Joins in pipelines against the join operator over everything at once, on the host and on the device.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use warpline::ops::expr::Expr;
use warpline::ops::join::{HashJoin, JoinOptions, JoinType};
use warpline::pipeline::stages::JoinStage;
use warpline::pipeline::{BatchLimit, Bound, Bytes, Ending, Item, MemorySource, Pipeline, Stage};
use warpline::{Batch, Error, ExecCtx, Result};

use super::{Jitter, ids, numbers, table, whole};
use crate::common::contexts;

const KINDS: [JoinType; 9] = [
    JoinType::Inner,
    JoinType::Left,
    JoinType::Right,
    JoinType::Full,
    JoinType::LeftSemi,
    JoinType::LeftAnti,
    JoinType::RightSemi,
    JoinType::RightAnti,
    JoinType::LeftMark,
];

/// Ids `from + step * i`, each as often as `times`, and a text of its own for each row.
fn labels(from: i64, step: i64, count: i64, times: i64) -> RecordBatch {
    let rows = 0..count * times;
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| from + step * (row / times))));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(rows.map(|row| "x".repeat(row as usize % 40))));
    RecordBatch::try_from_iter([("id", ids), ("label", texts)]).expect("a table")
}

/// The join of all rows at once.
fn at_once(rows: &RecordBatch, table: &RecordBatch, kind: JoinType) -> RecordBatch {
    let host = ExecCtx::host(1).expect("a host context");
    let (rows, table) = (Batch::from_record_batch(rows), Batch::from_record_batch(table));
    let join = HashJoin::build(&host, &table, &["id"], rows.schema(), kind).expect("a join");
    let joined = [join.probe(&host, &rows).expect("rows"), join.finish(&host).expect("rows")];
    whole(join.schema(), &joined)
}

fn memory(rows: &RecordBatch) -> Pipeline {
    Pipeline::from_source(MemorySource::new(rows.schema(), vec![Batch::from_record_batch(rows)]).expect("a source"))
}

#[test]
fn every_join_type_equals_the_join_of_everything() {
    let rows = table(300);
    for (table, budget) in [
        (labels(100, 3, 150, 1), 200_000),
        (labels(0, 7, 60, 4), 400_000),
        (labels(1000, 1, 50, 1), 100_000),
        (labels(0, 1, 0, 1), 100_000),
    ] {
        for kind in KINDS {
            let expected = at_once(&rows, &table, kind);
            for ctx in contexts() {
                let pipeline = memory(&rows).on(&ctx).budget(Bytes(budget)).batch_rows(17).workers(3);
                let pipeline = pipeline.join(std::slice::from_ref(&table), &["id"], kind).expect("a pipeline");
                let about = pipeline.explain().expect("a plan");
                let line = about.lines().find(|line| line.starts_with("join")).expect("the join");
                assert!(line.contains(&format!("{kind:?}")) && line.contains(&ctx.placement().to_string()), "{line}");
                let out = pipeline.collect().expect("a run");
                assert_eq!(whole(&out.schema, &out.batches), expected, "{kind:?} {line}");
                assert!(out.report.peak <= budget, "{} of {budget}", out.report.peak);
                assert_eq!(out.report.rows_in, 300);
            }
        }
    }
}

#[test]
fn ends_follow_one_another_and_pass_later_stages() {
    let rows = table(50);
    let (first, second) = (labels(40, 1, 30, 2), labels(60, 1, 30, 1));
    let expected = at_once(&at_once(&rows, &first, JoinType::Full), &second, JoinType::Full);
    for ctx in contexts() {
        let join = |rows: &RecordBatch| {
            let pipeline =
                memory(rows).on(&ctx).batch_rows(9).join(std::slice::from_ref(&first), &["id"], JoinType::Full);
            pipeline.and_then(|p| p.join(std::slice::from_ref(&second), &["id"], JoinType::Full)).expect("a pipeline")
        };
        let out = join(&rows).collect().expect("a run");
        assert_eq!(whole(&out.schema, &out.batches), expected);
        let late = join(&rows).filter("id >= 85").and_then(Pipeline::collect).expect("a run");
        assert_eq!(late.batches.iter().map(Batch::num_rows).sum::<usize>(), 5);
        // Also when nothing was read.
        let none = join(&rows.slice(0, 0)).collect().expect("a run");
        assert_eq!(none.batches.iter().map(Batch::num_rows).sum::<usize>(), 80);
        let cancelled = join(&rows);
        cancelled.cancel_handle().cancel();
        assert!(matches!(cancelled.collect(), Err(Error::Cancelled)));
    }
}

#[test]
fn what_a_pipeline_does_not_join_is_refused() {
    let (host, labels) = (ExecCtx::host(1).expect("a host context"), labels(0, 1, 3, 1));
    let none = numbers(10).join(&[], &["id"], JoinType::Inner).err().expect("refused");
    assert!(none.to_string().contains("no batches"), "{none}");
    let options = JoinOptions::new(JoinType::Inner).residual(Expr::parse("id > 1").expect("a condition"));
    let join = HashJoin::build(&host, &Batch::from_record_batch(&labels), &["id"], numbers(1).schema(), options);
    let refused = numbers(10).stage(JoinStage::new(join.expect("a join"), &host)).err().expect("refused");
    assert!(matches!(&refused, Error::Unsupported { .. }), "{refused}");
}

/// Gives as many rows at its end as it was given, or panics, or fails.
struct Counts {
    seen: AtomicU64,
    end: &'static str,
}

impl Stage for Counts {
    fn name(&self) -> &str {
        "counts"
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        Ok(Bound { workspace: 0, output: batch.nbytes() as u64 })
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        self.seen.fetch_add(item.batch().num_rows() as u64, Ordering::SeqCst);
        Ok(item)
    }

    fn finishes(&self) -> bool {
        true
    }

    fn finish<'a>(&'a self, _ctx: &'a ExecCtx, _limit: &BatchLimit) -> Result<Ending<'a>> {
        match self.end {
            "panics" => panic!("at the end"),
            "fails" => Err(Error::invalid("counts", "at the end")),
            _ => {
                let seen = self.seen.load(Ordering::SeqCst) as usize;
                let bound = if self.end == "is large" { u64::MAX } else { 10_000 };
                Ok(Ending { bound, batches: Box::new(std::iter::once(Ok(Batch::from_record_batch(&table(seen))))) })
            }
        }
    }
}

#[test]
fn a_stage_of_ones_own_has_an_end() {
    let run = |end| {
        let pipeline = numbers(30).batch_rows(4).stage(Jitter).and_then(|p| p.stage(Counts { seen: 0.into(), end }));
        pipeline.and_then(|p| p.budget(Bytes(100_000)).collect())
    };
    let out = run("counts").expect("a run");
    let expected: Vec<i64> = (0..30).chain(0..30).collect();
    assert_eq!(ids(&out.batches), expected);
    for end in ["panics", "fails"] {
        let error = run(end).err().expect("an error").to_string();
        assert!(error.contains("at the end"), "{error}");
    }
    assert!(matches!(run("is large"), Err(Error::OutOfMemory { .. })));
}
