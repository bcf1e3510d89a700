//! Joins in pipelines against the join operator over everything at once, on the host and on the device.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};
use warpline::ops::expr::Expr;
use warpline::ops::join::{HashJoin, JoinOptions, JoinType, Spill};
use warpline::pipeline::{BatchLimit, Bound, Bytes, Ending, Item, MemorySource, OnError, Pipeline, Stage};
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
fn at_once(rows: &RecordBatch, table: &RecordBatch, options: impl Into<JoinOptions>) -> RecordBatch {
    on("id", rows, table, options.into())
}

fn on(key: &str, rows: &RecordBatch, table: &RecordBatch, options: JoinOptions) -> RecordBatch {
    let host = ExecCtx::host(1).expect("a host context");
    let (rows, table) = (Batch::from_record_batch(rows), Batch::from_record_batch(table));
    let join = HashJoin::build(&host, &table, &[key], rows.schema(), options).expect("a join");
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

/// The table and the rows spill to files; batches that overtake each other do not change the order.
#[test]
fn partitioned_joins_give_the_same_rows_in_the_same_order() {
    let rows = table(300);
    for (table, memory_bytes) in [
        (labels(100, 3, 150, 1), 4_000),
        (labels(0, 7, 60, 4), 9_000),
        (labels(0, 1, 0, 1), 4_000),
        (labels(5, 1, 1, 700), 3_000),
    ] {
        for kind in KINDS {
            let expected = at_once(&rows, &table, kind);
            for (ctx, on_error) in
                contexts().into_iter().flat_map(|ctx| [(ctx.clone(), OnError::Fail), (ctx, OnError::Skip { max: 0 })])
            {
                let batches =
                    (0..table.num_rows()).step_by(31).map(|at| Ok(table.slice(at, 31.min(table.num_rows() - at))));
                let spill = Spill::new(memory_bytes).partitions(5);
                let pipeline =
                    memory(&rows).on(&ctx).budget(Bytes(300_000)).batch_rows(7).workers(3).on_error(on_error);
                let pipeline = pipeline.stage(Jitter).expect("a pipeline");
                let pipeline = pipeline.join_partitioned(&table.schema(), batches, &["id"], kind, spill);
                let pipeline = pipeline.and_then(|p| p.stage(Jitter)).expect("a pipeline");
                let about = pipeline.explain().expect("a plan");
                assert!(about.contains("by partitions") && !about.contains("not on the device"), "{about}");
                let out = pipeline.collect().expect("a run");
                assert_eq!(whole(&out.schema, &out.batches), expected, "{kind:?}");
                assert!(out.report.peak <= 300_000, "{}", out.report.peak);
                assert_eq!((out.report.rows_in, out.report.rows_out), (300, expected.num_rows() as u64));
            }
        }
    }
}

#[test]
fn partitioned_joins_stand_beside_other_stages() {
    let (rows, first) = (table(200), labels(40, 1, 30, 2));
    let spill = || Spill::new(5_000).partitions(3);
    let batches = |table: &RecordBatch| vec![Ok(table.clone())];
    let join = |pipeline: Pipeline, kind| {
        pipeline.join_partitioned(&first.schema(), batches(&first), &["id"], kind, spill()).expect("a pipeline")
    };
    // Rows that a filter leaves out, all of some batches among them, do not come to the join.
    let half = memory(&rows).batch_rows(9).workers(2).filter("id % 100 >= 50").expect("a filter");
    let out = join(half, JoinType::Left).filter("id >= 60").and_then(Pipeline::collect).expect("a run");
    assert_eq!(out.batches.iter().map(Batch::num_rows).sum::<usize>(), 10 * 2 + 30 + 50);
    // One behind another, and the end of a limit.
    let two = join(join(memory(&rows).batch_rows(9), JoinType::Inner), JoinType::Full);
    assert_eq!(two.collect().expect("a run").report.rows_out, 30 * 2 * 2);
    let out = join(memory(&rows), JoinType::Left).limit(7).collect().expect("a run");
    assert_eq!(out.report.rows_out, 7);
    let none = join(memory(&rows.slice(0, 0)), JoinType::Right).collect().expect("a run");
    assert_eq!(none.report.rows_out, 60);
    let failing = vec![Ok(first.clone()), Err(Error::Cancelled)];
    let refused = memory(&rows).join_partitioned(&first.schema(), failing, &["id"], JoinType::Inner, spill());
    assert!(matches!(refused.err(), Some(Error::Cancelled)));
    let other = labels(0, 1, 1, 1).project(&[1]).expect("a column");
    let refused = memory(&rows).join_partitioned(&first.schema(), vec![Ok(other)], &["id"], JoinType::Inner, spill());
    assert!(refused.err().expect("refused").to_string().contains("other columns"));
    let cancelled = join(memory(&rows), JoinType::Full);
    cancelled.cancel_handle().cancel();
    assert!(matches!(cancelled.collect(), Err(Error::Cancelled)));
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
    let none = numbers(10).join(&[], &["id"], JoinType::Inner).err().expect("refused");
    assert!(none.to_string().contains("no batches"), "{none}");
    let options = JoinOptions::new(JoinType::Inner).residual(Expr::parse("id > 'x'").expect("a condition"));
    let refused = numbers(10).join(&[labels(0, 1, 3, 1)], &["id"], options).err().expect("refused");
    assert!(matches!(&refused, Error::InvalidInput { .. }), "{refused}");
}

/// A batch of every id as often as `times`, with a text of `length` bytes in each row.
fn texts(ids: &[i64], length: usize) -> RecordBatch {
    let keys: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(ids.iter().map(|_| "t".repeat(length))));
    RecordBatch::try_from_iter([("id", keys), ("text", texts)]).expect("a table")
}

#[test]
fn residual_conditions_of_every_join_type() {
    let rows = table(300);
    for (table, budget) in
        [(labels(100, 3, 150, 1), 300_000), (labels(0, 7, 60, 4), 500_000), (labels(0, 1, 0, 1), 100_000)]
    {
        for (kind, condition) in KINDS.into_iter().zip(["length(label) > 20", "length(label) > id % 30"].iter().cycle())
        {
            let options = JoinOptions::new(kind).residual(Expr::parse(condition).expect("a condition"));
            let expected = at_once(&rows, &table, options.clone());
            for ctx in contexts() {
                let pipeline = memory(&rows).on(&ctx).budget(Bytes(budget)).batch_rows(17).workers(3);
                let pipeline =
                    pipeline.join(std::slice::from_ref(&table), &["id"], options.clone()).expect("a pipeline");
                let about = pipeline.explain().expect("a plan");
                let line = about.lines().find(|line| line.starts_with("join")).expect("the join");
                assert!(line.contains(&ctx.placement().to_string()), "{line}");
                let out = pipeline.collect().expect("a run");
                assert_eq!(whole(&out.schema, &out.batches), expected, "{kind:?} {line}");
                assert!(out.report.peak <= budget, "{} of {budget}", out.report.peak);
            }
        }
    }
}

/// What a device cannot evaluate makes the join one on the host.
#[test]
fn residual_conditions_that_a_device_cannot_evaluate() {
    let (rows, table) = (table(60), labels(0, 1, 40, 2));
    let lists = (0..80).map(|row| (row % 3 > 0).then(|| vec![Some(row); row as usize % 4]));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
    let columns = [("id", table.column(0).clone()), ("label", table.column(1).clone()), ("list", lists)];
    let table = RecordBatch::try_from_iter(columns).expect("a table");
    let condition = Expr::parse("arrow_cast(list, 'Utf8') IS NOT NULL AND id > 30").expect("a condition");
    let options = JoinOptions::new(JoinType::Left).residual(condition);
    let expected = at_once(&rows, &table, options.clone());
    for ctx in contexts() {
        let pipeline = memory(&rows).on(&ctx).join(std::slice::from_ref(&table), &["id"], options.clone());
        let pipeline = pipeline.expect("a pipeline");
        let about = pipeline.explain().expect("a plan");
        assert_eq!(about.contains("not on the device"), ctx.as_cuda().is_some(), "{about}");
        let out = pipeline.collect().expect("a run");
        assert_eq!(whole(&out.schema, &out.batches), expected);
    }
}

/// One key of the table has most of its rows; a batch that meets it is cut, and its rows are not lost.
#[test]
fn hot_keys_stay_within_the_budget() {
    let hot: Vec<i64> = (0..400).map(|row| if row % 8 == 0 { row } else { 5 }).collect();
    let table = texts(&hot, 30);
    let rows = texts(&(0..200).map(|row| if row % 50 == 3 { 5 } else { row }).collect::<Vec<_>>(), 9);
    for kind in [JoinType::Inner, JoinType::Full, JoinType::LeftSemi] {
        for residual in [None, Some("length(text_right) > id % 7 + 29")] {
            let options = JoinOptions::new(kind);
            let options = match residual {
                Some(condition) => options.residual(Expr::parse(condition).expect("a condition")),
                None => options,
            };
            let expected = at_once(&rows, &table, options.clone());
            for ctx in contexts() {
                let budget = 700_000;
                let pipeline = memory(&rows).on(&ctx).budget(Bytes(budget)).batch_rows(64).workers(2);
                let out = pipeline
                    .join(std::slice::from_ref(&table), &["id"], options.clone())
                    .and_then(Pipeline::collect)
                    .expect("a run");
                assert_eq!(whole(&out.schema, &out.batches), expected, "{kind:?} {residual:?}");
                assert!(out.report.peak <= budget, "{} of {budget}", out.report.peak);
            }
        }
    }
}

/// Text as keys, plain, as views and out of dictionaries; some are longer than any of the table's, or than all that a
/// device looks at in one go.
#[test]
fn keys_of_text_are_counted_whatever_their_length() {
    let text = |row: usize| format!("{}{}", row % 23, "k".repeat(if row % 23 == 7 { 30_000 } else { row % 23 }));
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values((0..60).map(text)));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..60));
    let table = RecordBatch::try_from_iter([("key", keys), ("number", ids.clone())]).expect("a table");
    let texts = StringArray::from_iter((0..60).map(|row| match row % 10 {
        3 => None,
        4 => Some("k".repeat(200_000)),
        _ => Some(text(row * 3)),
    }));
    let text_type = |to: DataType| cast(&texts, &to).expect("a cast");
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    for keys in [DataType::Utf8, DataType::Utf8View, dictionary].map(text_type) {
        let rows = RecordBatch::try_from_iter([("key", keys), ("id", ids.clone())]).expect("a batch");
        for kind in [JoinType::Inner, JoinType::Full, JoinType::LeftAnti] {
            let expected = on("key", &rows, &table, kind.into());
            for ctx in contexts() {
                let pipeline = memory(&rows).on(&ctx).batch_rows(25);
                let joined = pipeline.join(std::slice::from_ref(&table), &["key"], kind).expect("a pipeline");
                let out = joined.collect().expect("a run");
                assert_eq!(whole(&out.schema, &out.batches), expected, "{kind:?}");
            }
        }
    }
}

/// A row whose pair the condition cannot be computed for is an error of that row, and of no other.
#[test]
fn rows_for_which_a_residual_condition_fails() {
    let (rows, table) = (table(60), labels(0, 1, 40, 2));
    let condition = Expr::parse("100 / (id - 7) > 0").expect("a condition");
    let options = JoinOptions::new(JoinType::Inner).residual(condition);
    for ctx in contexts() {
        let pipeline = memory(&rows).on(&ctx).batch_rows(16).on_error(OnError::Skip { max: u64::MAX });
        let joined = pipeline.join(std::slice::from_ref(&table), &["id"], options.clone()).expect("a pipeline");
        let out = joined.collect().expect("a run");
        let kept = ids(&out.batches);
        assert_eq!(kept, (8..40).flat_map(|id| [id, id]).collect::<Vec<i64>>());
        assert_eq!(out.report.error_rows, 1);
        let strict = memory(&rows).on(&ctx).join(std::slice::from_ref(&table), &["id"], options.clone());
        let error = strict.and_then(Pipeline::collect).err().expect("an error");
        assert!(error.to_string().contains("row 7"), "{error}");
    }
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
