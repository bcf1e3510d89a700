//! Slice and limit against a naive reading of the input, on the host and on every device there is.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use proptest::prelude::*;
use warpline::device::CountLaunches;
use warpline::{Batch, Column, Error, ExecCtx, ops};

use super::same_everywhere;
use crate::common::cells::cells;
use crate::common::samples::{NULLS, Nulls, SIZES, each_column, every_type, only, wide};
use crate::common::{assert_same, cases, contexts, golden, peak_under_plan, with_device};

/// Slices everywhere, compares with the naive reading and the places with each other.
fn check(batch: &Batch, offset: usize, length: usize) {
    let expected = |column: &Column| cells(&column.to_array().expect("host"))[offset..offset + length].to_vec();
    let expected: Vec<_> = batch.columns().iter().map(expected).collect();
    let run = |ctx: &ExecCtx| {
        let sliced = ops::slice(ctx, &batch.to(ctx).expect("upload"), offset, length).expect("a slice");
        sliced.to_host().expect("download")
    };
    same_everywhere(&expected, run);
}

/// Ranges of `rows` rows that begin and end in, before and behind bytes, words and 64 bytes of bits and values.
fn ranges(rows: usize) -> Vec<(usize, usize)> {
    let ends = [0, 1, 31, 32, 64, 512, rows / 2, rows.saturating_sub(1), rows];
    let ends: Vec<usize> = ends.into_iter().filter(|&end| end <= rows).collect();
    ends.iter().flat_map(|&a| ends.iter().filter(move |&&b| b >= a).map(move |&b| (a, b - a))).collect()
}

#[test]
fn every_type_at_every_size_and_null_pattern() {
    for (seed, rows) in SIZES.into_iter().enumerate() {
        for nulls in NULLS {
            let batch = every_type(rows, nulls, seed % 2 * 5, seed as u64);
            // Some of the ranges for each pattern, all of them over the patterns.
            let some = ranges(rows).into_iter().skip(nulls as usize).step_by(if rows > 100 { 3 } else { 2 });
            some.for_each(|(offset, length)| check(&batch, offset, length));
        }
    }
}

/// A tile of the move is 1,024 segments of 16 bytes, words of bits or offsets.
#[test]
fn borders_of_tiles() {
    let names = ["i8", "f64", "bool", "decimal256", "fixed_binary", "utf8", "large_binary", "list", "utf8_view"];
    let batch = only(&every_type(40_000, Nulls::Some, 9, 3), &names);
    for length in [1023, 1024, 1025, 16_383, 16_384, 32_768, 32_769] {
        check(&batch, 3, length);
    }
    let wide = wide(700, Nulls::Some, 4);
    check(&wide, 16, 513);
    check(&wide, 1, 698);
}

#[test]
fn a_slice_of_a_slice() {
    let batch = every_type(500, Nulls::Some, 3, 7);
    for ctx in contexts() {
        let batch = batch.to(&ctx).expect("upload");
        let outer = ops::slice(&ctx, &batch, 37, 401).expect("a slice");
        let inner = ops::slice(&ctx, &outer, 64, 200).expect("a slice");
        assert_same(&inner, &ops::slice(&ctx, &batch, 101, 200).expect("a slice"));
    }
}

#[test]
fn what_begins_where_a_buffer_may_begin_is_shared() {
    with_device(|ctx| {
        let launches = Arc::new(CountLaunches::default());
        let ctx = ctx.with_launch_strategy(launches.clone());
        let names = ["i8", "i64", "decimal256", "utf8_view", "dictionary", "fixed_binary", "null"];
        let batch = only(&every_type(1000, Nulls::None, 0, 8), &names).to(&ctx).expect("upload");
        let used = || ctx.as_cuda().expect("a device").ledger().used();
        let before = used();
        let kept = [(0, 10), (64, 900), (128, 872), (1000, 0)];
        let kept = kept.map(|(offset, length)| ops::slice(&ctx, &batch, offset, length).expect("a slice"));
        assert_eq!((launches.count(), used()), (0, before), "nothing to move");
        drop(kept);
        // Bits of the first rows and strings: the ends of the offsets, and the bitmaps.
        let text = only(&every_type(1000, Nulls::Some, 0, 8), &["bool", "utf8", "list"]).to(&ctx).expect("upload");
        ops::slice(&ctx, &text, 0, 100).expect("a slice");
        assert_eq!(launches.count(), 2);
        // All rows are the batch itself.
        ops::slice(&ctx, &text, 0, 1000).expect("a slice");
        assert_eq!(launches.count(), 2);
    });
}

/// Measures a slice against its plan; gives the peak and the planned one.
fn measured(ctx: &ExecCtx, batch: &Batch, offset: usize, length: usize) -> (u64, u64) {
    let plan = ops::slice_plan(batch, offset, length).expect("a plan");
    let there = batch.to(ctx).expect("upload");
    assert_eq!(ops::slice_plan(&there, offset, length).expect("a plan"), plan, "host and device");
    let nothing: ArrayRef = Arc::new(Int32Array::from(Vec::<i32>::new()));
    let nothing = Column::from_array(nothing);
    let peak = peak_under_plan(ctx, (batch, &nothing), plan, |ctx, batch, _| ops::slice(ctx, batch, offset, length));
    assert!(peak <= plan.workspace + plan.output, "{peak} of {plan:?}");
    (peak, plan.workspace + plan.output)
}

#[test]
fn memory_stays_within_the_plan() {
    with_device(|ctx| {
        for nulls in NULLS {
            // Alone, so that no column's slack covers for another.
            let (many, few) = (each_column(&every_type(1100, nulls, 3, 5)), each_column(&wide(300, nulls, 6)));
            for batch in many.iter().chain(&few) {
                let rows = batch.num_rows();
                for (offset, length) in [(0, 0), (0, 1), (64, 65), (1, rows - 1), (0, rows), (7, 100), (rows, 0)] {
                    measured(ctx, batch, offset, length);
                }
            }
        }
        let names = ["i8", "i64", "decimal256", "fixed_binary", "bool", "utf8_view", "dictionary", "struct", "null"];
        let names = [&names[..], &["fixed_list", "fixed_list_of_bits", "no_fields"]].concat();
        for nulls in NULLS {
            let batch = only(&every_type(2000, nulls, 0, 9), &names);
            for (offset, length) in [(0, 3), (64, 1000), (512, 1488), (5, 700)] {
                let (peak, planned) = measured(ctx, &batch, offset, length);
                assert_eq!(peak, planned, "{offset}, {length}, {nulls:?}");
            }
        }
    });
}

#[test]
fn limit_takes_what_there_is() {
    let batch = every_type(70, Nulls::Some, 2, 4);
    for (offset, count, rows) in
        [(0, 10, 10), (60, 100, 10), (70, 1, 0), (1000, 1, 0), (usize::MAX, usize::MAX, 0), (0, usize::MAX, 70)]
    {
        for ctx in contexts() {
            let there = batch.to(&ctx).expect("upload");
            let limited = ops::limit(&ctx, &there, offset, count).expect("a limit");
            assert_eq!(limited.num_rows(), rows);
            assert_same(&limited, &ops::slice(&ctx, &there, offset.min(70), rows).expect("a slice"));
        }
    }
}

#[test]
fn refuses_ranges_past_the_end() {
    let batch = every_type(10, Nulls::Some, 1, 3);
    for ctx in contexts() {
        let there = batch.to(&ctx).expect("upload");
        for (offset, length) in [(0, 11), (10, 1), (11, 0), (usize::MAX, 2), (1, usize::MAX)] {
            let error = ops::slice(&ctx, &there, offset, length).expect_err("past the end");
            assert!(matches!(error, Error::InvalidInput { op: "slice", .. }), "{error}");
            assert!(matches!(ops::slice_plan(&there, offset, length), Err(Error::InvalidInput { .. })));
        }
    }
    let error = ops::slice(&ExecCtx::host(1).expect("host"), &batch, 4, 7).expect_err("past the end");
    assert_eq!(error.to_string(), "slice: 7 rows from row 4 on, out of 10: take fewer, or use limit");
}

/// The bytes of a long column are cut where the slice's strings lie.
#[test]
fn strings_leave_the_rest_of_the_bytes() {
    let text: ArrayRef = Arc::new(StringArray::from_iter_values((0..3000).map(|i| "x".repeat(i % 70))));
    let batch = Batch::from_record_batch(&RecordBatch::try_from_iter([("s", text)]).expect("a batch"));
    for (offset, length) in [(0, 100), (1000, 64), (2999, 1)] {
        check(&batch, offset, length);
        for ctx in contexts() {
            let sliced = ops::slice(&ctx, &batch.to(&ctx).expect("upload"), offset, length).expect("a slice");
            let bytes: usize = (offset..offset + length).map(|i| i % 70).sum();
            assert_eq!(sliced.nbytes(), 4 * (length + 1) + bytes);
        }
    }
}

#[test]
fn as_pyarrow_does_it() {
    let table = golden::moves("table");
    for ctx in contexts() {
        let sliced = ops::slice(&ctx, &table.to(&ctx).expect("upload"), 37, 150).expect("a slice");
        golden::assert_golden("slice", &ctx, &sliced);
    }
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn any_batch_and_range(rows in 0usize..300, skip in 0usize..70, nulls in 0usize..3, ends: (u16, u16), seed: u64) {
        let batch = every_type(rows, NULLS[nulls], skip, seed);
        let offset = ends.0 as usize % (rows + 1);
        check(&batch, offset, ends.1 as usize % (rows - offset + 1));
    }
}
