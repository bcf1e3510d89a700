//! Joins beyond memory against nested loops, and against one `HashJoin` over everything.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use proptest::prelude::*;
use warpline::ops::expr::Expr;
use warpline::ops::join::{JoinOptions, JoinType, PartitionedJoin, Spill};
use warpline::{Batch, Error, ExecCtx};

use super::{Case, KINDS, Row, build, case, cells, finish, host, probe, reference, table, two_sides};
use crate::common::samples::{NULLS, only};
use crate::common::{cases, with_device};

/// Both sides in batches of `step` rows, taking turns; the joined rows, the peak and the bytes spilled.
fn joined(
    ctx: &ExecCtx,
    [left, right]: [&RecordBatch; 2],
    on: &[&str],
    options: &JoinOptions,
    spill: &Spill,
    step: usize,
) -> (RecordBatch, u64, u64) {
    let join = PartitionedJoin::new(ctx, &right.schema(), on, &left.schema(), options.clone(), spill.clone());
    let mut join = join.expect("a join");
    let pieces = |batch: &RecordBatch| {
        let piece = |at| Batch::from_record_batch(&batch.slice(at, step.min(batch.num_rows() - at)));
        (0..batch.num_rows()).step_by(step).map(piece).collect::<Vec<_>>()
    };
    let (left, right) = (pieces(left), pieces(right));
    for at in 0..left.len().max(right.len()) {
        right.get(at).into_iter().for_each(|batch| join.build(batch).expect("built"));
        left.get(at).into_iter().for_each(|batch| join.probe(batch).expect("probed"));
    }
    let schema = join.schema().clone();
    let mut all = join.finish().expect("joined");
    let batches: Vec<_> = all.by_ref().map(|batch| batch.expect("rows").to_record_batch().expect("host")).collect();
    assert!(batches.iter().all(|batch| batch.num_rows() > 0));
    (concat_batches(&schema, &batches).expect("one batch"), all.peak(), all.spilled())
}

fn check(ctx: &ExecCtx, case: &Case, spill: &Spill) {
    let Case { types, on, kind, nulls, residual, chunk, .. } = case.clone();
    let (left, right) =
        (table(&case.left, case.apart, &types[0], "row"), table(&case.right, case.apart, &types[1], "number"));
    let mut options = JoinOptions::new(kind).null_equals_null(nulls);
    if residual {
        options = options.residual(Expr::parse("row < number").expect("a condition"));
    }
    let number = |row: &Row| row.last().cloned().flatten().expect("a number").parse::<i64>().expect("a number");
    let more = |l: &Row, r: &Row| !residual || number(l) < number(r);
    let (probed, ended) = reference(&left, &right, on, kind, nulls, more);
    let (found, ..) = joined(ctx, [&left, &right], &["a", "b"][..on], &options, spill, chunk);
    assert_eq!(cells(&found), [probed, ended].concat());
}

fn spill() -> impl Strategy<Value = Spill> {
    let memory = prop_oneof![Just(1), 1000u64..60_000, Just(1 << 30)];
    (memory, prop_oneof![Just(2), Just(7), Just(64)]).prop_map(|(memory, parts)| Spill::new(memory).partitions(parts))
}

proptest! {
    #![proptest_config(cases(150))]
    #[test]
    fn equal_to_nested_loops(case in case(), spill in spill()) {
        check(&host(), &case, &spill);
    }
}

proptest! {
    #![proptest_config(cases(10))]
    #[test]
    fn equal_to_nested_loops_on_a_device(case in case(), spill in spill()) {
        with_device(|ctx| check(ctx, &case, &spill));
    }
}

/// A key column, a number, and a text.
fn keyed(keys: impl Iterator<Item = i64>, number: &str, text: &str) -> RecordBatch {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(keys));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..keys.len() as i64));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..keys.len()).map(|i| format!("{text} {i}"))));
    RecordBatch::try_from_iter([("key", keys), (number, numbers), (text, texts)]).expect("a table")
}

fn at_once([left, right]: [&RecordBatch; 2], on: &[&str], options: &JoinOptions) -> RecordBatch {
    let join = build(&host(), right, on, left, options.clone());
    concat_batches(join.schema(), &[probe(&host(), &join, left), finish(&host(), &join)]).expect("one batch")
}

#[test]
fn ten_times_the_memory_with_a_hot_key() {
    let folder = tempfile::tempdir().expect("a folder");
    // Every third row has one key, which alone is more than the memory.
    let right = keyed((0..60_000).map(|i| if i % 3 == 0 { 7 } else { i }), "number", "built");
    let left = keyed((0..3000).map(|i| if i % 1000 == 0 { 7 } else { 17 * i }), "row", "probe");
    let memory = 400_000;
    assert!(right.get_array_memory_size() > 5 * memory as usize);
    for kind in KINDS {
        let options = JoinOptions::new(kind);
        let spill = Spill::new(memory).partitions(4).folder(folder.path());
        let (found, peak, spilled) = joined(&host(), [&left, &right], &["key"], &options, &spill, 5000);
        assert_eq!(found, at_once([&left, &right], &["key"], &options), "{kind:?}");
        assert!(spilled > right.get_array_memory_size() as u64, "{spilled}");
        // Beside the memory one batch of the input, whose parts are there before the largest go.
        assert!(peak <= memory + 5000 * 100, "{kind:?}: {peak}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}

#[test]
fn empty_sides_and_one_key() {
    let some = keyed((0..500).map(|_| 7), "number", "built");
    let few = keyed([7, 8].into_iter(), "row", "probe");
    for kind in KINDS {
        let options = JoinOptions::new(kind);
        for (left, right) in [(&few, &some), (&few.slice(0, 0), &some), (&few, &some.slice(0, 0))] {
            for memory in [1, 10_000, 1 << 30] {
                let (found, _, spilled) = joined(&host(), [left, right], &["key"], &options, &Spill::new(memory), 99);
                assert_eq!(found, at_once([left, right], &["key"], &options), "{kind:?}");
                match memory {
                    1 => assert!(spilled > 0, "{kind:?}"),
                    _ => assert!(memory == 10_000 || spilled == 0, "{kind:?}"),
                }
            }
        }
    }
}

/// Columns of all types go to files and come back.
#[test]
fn every_type_is_spilled() {
    for nulls in NULLS {
        let [left, right] = two_sides(200, nulls, 3).map(|side| side.to_record_batch().expect("host"));
        let keys = only(&Batch::from_record_batch(&right), &["i64"]).to_record_batch().expect("host");
        for (left, right) in [(&left, &right), (&keys, &right), (&left, &keys)] {
            for kind in [JoinType::Full, JoinType::RightAnti, JoinType::LeftSemi] {
                let options = JoinOptions::new(kind);
                let (found, _, spilled) = joined(&host(), [left, right], &["i64"], &options, &Spill::new(1), 70);
                assert!(spilled > 0);
                assert_eq!(cells(&found), cells(&at_once([left, right], &["i64"], &options)), "{kind:?}");
            }
        }
    }
}

#[test]
fn mistakes_and_full_disks_are_errors_and_leave_nothing_behind() {
    let (left, right) = (keyed(0..100, "row", "probe"), keyed(0..100, "number", "built"));
    let new =
        |on: &[&str], spill| PartitionedJoin::new(&host(), &right.schema(), on, &left.schema(), JoinType::Inner, spill);
    assert!(new(&["nothing"], Spill::new(1)).expect_err("no such key").to_string().contains("there are: key"));
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("nowhere");
    let mut join = new(&["key"], Spill::new(1).folder(&nowhere)).expect("a join");
    let error = join.build(&Batch::from_record_batch(&right)).expect_err("no such folder");
    assert!(matches!(&error, Error::Io { path, .. } if path.contains("nowhere")), "{error}");
    let mut join = new(&["key"], Spill::new(1).folder(folder.path())).expect("a join");
    let error =
        join.build(&Batch::from_record_batch(&left.project(&[0, 1]).expect("columns"))).expect_err("other columns");
    assert!(matches!(&error, Error::InvalidInput { .. }), "{error}");
    join.build(&Batch::from_record_batch(&right)).expect("built");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    drop(join);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    let taken = keyed(0..3, "__probe_row", "probe").schema();
    let error = PartitionedJoin::new(&host(), &right.schema(), &["key"], &taken, JoinType::Inner, Spill::new(1));
    assert!(error.expect_err("a name that is taken").to_string().contains("rename"));
}
