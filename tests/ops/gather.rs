//! Gather against a naive reading of the input, on the host and on every device there is.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, UInt32Array, UInt64Array};
use proptest::prelude::*;
use warpline::{Batch, Column, Error, ExecCtx, ops};

use super::same_everywhere;
use crate::common::cells::{Cell, cells};
use crate::common::samples::{NULLS, Nulls, Random, SIZES, each_column, every_type, only, wide};
use crate::common::{cases, contexts, golden, peak_under_plan, with_device};

/// Seeded indices below `rows`, null now and then when `nulls` asks for it.
fn indices(count: usize, rows: usize, nulls: Nulls, seed: u64) -> Vec<Option<i64>> {
    let mut random = Random(seed);
    let one = |_| {
        let null = match nulls {
            Nulls::None => false,
            Nulls::Some => random.below(4) == 0,
            Nulls::All => true,
        };
        (!null && rows > 0).then(|| random.below(rows) as i64)
    };
    (0..count).map(one).collect()
}

/// The indices as a column of each type, in turn.
fn column_of(indices: &[Option<i64>], kind: usize) -> Column {
    let of = indices.iter().copied();
    let array: ArrayRef = match kind % 4 {
        0 => Arc::new(UInt32Array::from_iter(of.map(|i| i.map(|i| i as u32)))),
        1 => Arc::new(Int32Array::from_iter(of.map(|i| i.map(|i| i as i32)))),
        2 => Arc::new(UInt64Array::from_iter(of.map(|i| i.map(|i| i as u64)))),
        _ => Arc::new(Int64Array::from_iter(of)),
    };
    Column::from_array(array)
}

/// Gathers everywhere, compares with the naive reading and the places with each other.
fn check(batch: &Batch, indices: &[Option<i64>], kind: usize, or_null: bool) {
    let in_range = |index: Option<i64>| index.filter(|&i| i >= 0 && (i as usize) < batch.num_rows());
    let expected = |column: &Column| -> Vec<Cell> {
        let all = cells(&column.to_array().expect("host"));
        indices.iter().map(|&i| in_range(i).map_or(Cell::Null, |i| all[i as usize].clone())).collect()
    };
    let expected: Vec<_> = batch.columns().iter().map(expected).collect();
    let column = column_of(indices, kind);
    let run = |ctx: &ExecCtx| {
        let (batch, column) = (batch.to(ctx).expect("upload"), column.to(ctx).expect("upload"));
        let operator = if or_null { ops::gather_or_null } else { ops::gather };
        operator(ctx, &batch, &column).expect("gather").to_host().expect("download")
    };
    same_everywhere(&expected, run);
}

#[test]
fn every_type_at_every_size_and_null_pattern() {
    for (seed, rows) in SIZES.into_iter().enumerate() {
        for nulls in NULLS {
            for skip in [0, 5] {
                let batch = every_type(rows, nulls, skip, seed as u64);
                check(&batch, &indices(rows + 7, rows, nulls, seed as u64 + 50), seed + skip, false);
            }
        }
    }
}

/// A tile of offsets is 1,024 rows; look-back starts with the second.
#[test]
fn borders_of_tiles() {
    for rows in [1023, 1024, 1025] {
        let batch = every_type(rows, Nulls::Some, 0, rows as u64);
        check(&batch, &indices(rows, rows, Nulls::Some, 5), rows, false);
    }
    let columns = ["i8", "i16", "f64", "bool", "decimal256", "utf8", "large_binary", "utf8_view", "list", "dictionary"];
    let batch = only(&every_type(5000, Nulls::Some, 9, 3), &columns);
    for nulls in NULLS {
        check(&batch, &indices(40_000, 5000, nulls, 6), 0, nulls == Nulls::Some);
    }
}

/// Values wider than a few words go another way than narrow ones.
#[test]
fn wide_values() {
    for (seed, nulls) in NULLS.into_iter().enumerate() {
        let batch = wide(700, nulls, seed as u64);
        check(&batch, &indices(900, 700, Nulls::None, seed as u64), seed, false);
        check(&batch, &indices(900, 700, Nulls::Some, seed as u64), seed, true);
    }
}

/// Bytes are copied by 16: strings that are longer by far, that are shorter, and thousands of empty ones in between.
#[test]
fn strings_of_very_different_lengths() {
    let text: Vec<String> = (0..3000)
        .map(|i| match i {
            1000 => "long".repeat(20_000),
            2000 => "x".repeat(17),
            _ if i % 700 == 3 => format!("number {i}"),
            _ => String::new(),
        })
        .collect();
    let column: ArrayRef = Arc::new(StringArray::from(text));
    let batch = Batch::from_record_batch(&arrow::array::RecordBatch::try_from_iter([("s", column)]).expect("batch"));
    let reversed: Vec<Option<i64>> = (0..3000).rev().map(Some).collect();
    check(&batch, &reversed, 0, false);
    check(&batch, &[Some(2000), Some(5), Some(1000), None, Some(3), Some(1000), Some(2000)], 1, false);
}

#[test]
fn out_of_range_is_an_error_or_a_null_row() {
    let batch = every_type(10, Nulls::Some, 1, 3);
    for (kind, bad) in [(0, 10), (1, -1), (2, 1 << 40), (3, i64::MIN), (1, 10)] {
        let wanted = [Some(3), None, Some(bad), Some(bad), Some(9)];
        for ctx in contexts() {
            let indices = column_of(&wanted, kind).to(&ctx).expect("upload");
            let error = ops::gather(&ctx, &batch.to(&ctx).expect("upload"), &indices).expect_err("out of range");
            assert!(matches!(error, Error::InvalidInput { row: Some(2), .. }), "{error}");
        }
        check(&batch, &wanted, kind, true);
    }
}

#[test]
fn strings_that_outgrow_their_offsets_are_refused() {
    let long: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1 << 20)]));
    let records = arrow::array::RecordBatch::try_from_iter([("s", long)]).expect("batch");
    let indices = Column::from_array(Arc::new(UInt32Array::from(vec![0; 2048])));
    for ctx in contexts() {
        let batch = Batch::from_record_batch(&records).to(&ctx).expect("upload");
        let error = ops::gather(&ctx, &batch, &indices.to(&ctx).expect("upload")).expect_err("2 GiB of Utf8");
        assert!(matches!(error, Error::InvalidInput { .. }), "{error}");
    }
}

/// Measures a gather against its plan; gives the peak and the planned one.
fn measured(ctx: &ExecCtx, batch: &Batch, indices: &[Option<i64>], kind: usize) -> (u64, u64) {
    let column = column_of(indices, kind);
    let plan = ops::gather_plan(batch, indices.len()).expect("a plan");
    let uploaded = batch.to(ctx).expect("upload");
    assert_eq!(ops::gather_plan(&uploaded, indices.len()).expect("a plan"), plan, "host and device");
    let planned = plan.workspace + plan.output;
    for operator in [ops::gather_or_null, ops::gather] {
        let peak = peak_under_plan(ctx, (batch, &column), plan, operator);
        assert!(peak <= planned, "{peak} of {plan:?}");
    }
    (peak_under_plan(ctx, (batch, &column), plan, ops::gather), planned)
}

#[test]
fn memory_stays_within_the_plan() {
    with_device(|ctx| {
        for (seed, rows) in SIZES.into_iter().enumerate() {
            for nulls in NULLS {
                let batch = every_type(rows, nulls, seed % 2 * 5, seed as u64);
                measured(ctx, &batch, &indices(rows + 7, rows, nulls, seed as u64), seed);
            }
        }
        // Alone, so that no column's slack covers for another; one row over and over is the worst there can be.
        for nulls in NULLS {
            let (one, few) = (each_column(&every_type(1, nulls, 0, 4)), each_column(&wide(300, nulls, 6)));
            for batch in one.iter().chain(&few) {
                measured(ctx, batch, &[Some(0); 1100], 0);
                measured(ctx, batch, &[], 1);
                measured(ctx, batch, &indices(300, batch.num_rows(), Nulls::Some, 9), 2);
            }
        }
    });
}

/// With one row of a string or list again and again, the bound of its size is reached.
#[test]
fn the_plan_is_the_peak_where_sizes_are_static() {
    let names = ["i8", "i64", "decimal256", "fixed_binary", "bool", "utf8_view", "dictionary", "struct", "no_fields"];
    with_device(|ctx| {
        for rows in [1, 2, 65, 1000, 8194] {
            let all: Vec<_> = (0..rows as i64).map(Some).collect();
            for nulls in [Nulls::Some, Nulls::All] {
                // The null pattern of few rows may have no null in it.
                let batch = only(&every_type(rows, if rows < 65 { Nulls::All } else { nulls }, 0, 2), &names);
                let (peak, planned) = measured(ctx, &batch, &all, 0);
                assert_eq!(peak, planned, "{rows} rows");
            }
            let nulls: Vec<_> = all.iter().map(|&i| i.filter(|i| i % 3 > 0)).collect();
            let (peak, planned) = measured(ctx, &only(&every_type(rows, Nulls::None, 0, 3), &names), &nulls, 1);
            assert_eq!(peak, planned, "{rows} rows, null indices");
        }
        let text: ArrayRef = Arc::new(StringArray::from(vec![None, Some("two hundred and twenty-two")]));
        let records = arrow::array::RecordBatch::try_from_iter([("s", text)]).expect("batch");
        let (peak, planned) = measured(ctx, &Batch::from_record_batch(&records), &[Some(1); 1500], 0);
        assert_eq!(peak, planned, "one string again and again");
        // Every type's one row, too: null indices give all columns validity. There is no word for a bad index here.
        // Not of lists in lists or strings in maps: each inner one could be all of them, for all that the plan knows.
        let nested = |batch: &Batch| ["map", "list_of_lists"].iter().any(|name| batch.column(name).is_some());
        for seed in 4..10 {
            let batches = each_column(&every_type(1, Nulls::None, 0, seed));
            for batch in batches.iter().filter(|batch| !nested(batch)) {
                let (row, plan) = (column_of(&[Some(0); 1500], 0), ops::gather_plan(batch, 1500).expect("a plan"));
                let peak = peak_under_plan(ctx, (batch, &row), plan, ops::gather_or_null);
                assert_eq!(peak + 64, plan.workspace + plan.output, "{:?}", batch.schema().field(0));
            }
        }
    });
}

#[test]
fn as_pyarrow_does_it() {
    let table = golden::moves("table");
    let indices = table.column("indices").expect("indices").clone();
    for ctx in contexts() {
        let (table, indices) = (table.to(&ctx).expect("upload"), indices.to(&ctx).expect("upload"));
        golden::assert_golden("take", &ctx, &ops::gather(&ctx, &table, &indices).expect("gather"));
    }
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn any_batch_and_indices(
        rows in 0usize..300, skip in 0usize..70, nulls in 0usize..3, count in 0usize..300, kind in 0usize..4, seed: u64,
    ) {
        let batch = every_type(rows, NULLS[nulls], skip, seed);
        check(&batch, &indices(count, rows, NULLS[nulls % 2], seed ^ 1), kind, seed % 2 == 0);
    }
}
