//! Filter against a naive reading of the input, on the host and on every device there is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int32Array};
use proptest::prelude::*;
use warpline::device::CountLaunches;
use warpline::{Batch, Column, Error, ExecCtx, Placement, ops};

use super::same_everywhere;
use crate::common::cells::{Cell, cells};
use crate::common::samples::{NULLS, Nulls, SIZES, each_column, every_type, mask, only, wide};
use crate::common::{cases, contexts, golden, peak_under_plan, with_device};

/// What each column must hold, by reading the input cell by cell.
fn expected(batch: &Batch, mask: &BooleanArray) -> Vec<Vec<Cell>> {
    let keep = |row: &usize| mask.is_valid(*row) && mask.value(*row);
    let column = |column: &Column| {
        let all = cells(&column.to_array().expect("host"));
        (0..mask.len()).filter(keep).map(|row| all[row].clone()).collect()
    };
    batch.columns().iter().map(column).collect()
}

/// Filters everywhere, compares with the naive reading and the places with each other.
fn check(batch: &Batch, mask: &BooleanArray) {
    let expected = expected(batch, mask);
    let mask = Column::from_array(Arc::new(mask.clone()));
    let run = |ctx: &ExecCtx| {
        let (batch, mask) = (batch.to(ctx).expect("upload"), mask.to(ctx).expect("upload"));
        ops::filter(ctx, &batch, &mask).expect("filter").to_host().expect("download")
    };
    same_everywhere(&expected, run);
}

#[test]
fn every_type_at_every_size_and_null_pattern() {
    for (seed, rows) in SIZES.into_iter().enumerate() {
        for nulls in NULLS {
            for skip in [0, 5] {
                let batch = every_type(rows, nulls, skip, seed as u64);
                check(&batch, &mask(rows, 50, nulls, skip + 2, seed as u64 + 100));
            }
        }
    }
}

/// A warp takes 1,024 rows and a block 8,192; look-back starts with the second block.
#[test]
fn borders_of_warps_and_tiles() {
    for rows in [1023, 1024, 1025, 8191, 8192, 8193] {
        check(&every_type(rows, Nulls::Some, 0, rows as u64), &mask(rows, 30, Nulls::Some, 0, 5));
    }
    let rows = 40_000;
    for (percent, nulls) in [(3, Nulls::None), (60, Nulls::Some)] {
        let columns = ["i8", "i16", "f64", "bool", "decimal256", "utf8", "utf8_view", "list", "dictionary"];
        check(&only(&every_type(rows, Nulls::Some, 9, 3), &columns), &mask(rows, percent, nulls, 7, 6));
    }
}

/// Values wider than a few words go another way than narrow ones.
#[test]
fn wide_values() {
    let rows = 1500;
    for (seed, nulls) in NULLS.into_iter().enumerate() {
        check(&wide(rows, nulls, seed as u64), &mask(rows, 40, Nulls::None, 0, seed as u64));
    }
}

/// ARCHITECTURE's promise for columns of fixed width: one launch that counts, one that moves.
#[test]
fn two_launches_for_any_number_of_columns() {
    with_device(|ctx| {
        let launches = Arc::new(CountLaunches::default());
        let ctx = ctx.with_launch_strategy(launches.clone());
        let names = ["i8", "i64", "decimal128", "fixed_binary", "bool", "utf8_view", "dictionary", "struct", "null"];
        let batch = only(&every_type(20_000, Nulls::Some, 3, 8), &names).to(&ctx).expect("upload");
        let mask = Column::from_array(Arc::new(mask(20_000, 50, Nulls::Some, 1, 8))).to(&ctx).expect("upload");
        ops::filter(&ctx, &batch, &mask).expect("filter");
        assert_eq!(launches.count(), 2);
    });
}

/// Measures a filter against its plan; gives the peak and the planned one.
fn measured(ctx: &ExecCtx, batch: &Batch, mask: &BooleanArray) -> (u64, u64) {
    let mask = Column::from_array(Arc::new(mask.clone()));
    let plan = ops::filter_plan(batch).expect("a plan");
    assert_eq!(ops::filter_plan(&batch.to(ctx).expect("upload")).expect("a plan"), plan, "host and device");
    let peak = peak_under_plan(ctx, (batch, &mask), plan, ops::filter);
    assert!(peak <= plan.workspace + plan.output, "{peak} of {plan:?}");
    (peak, plan.workspace + plan.output)
}

#[test]
fn memory_stays_within_the_plan() {
    with_device(|ctx| {
        for (seed, rows) in SIZES.into_iter().enumerate() {
            for nulls in NULLS {
                let batch = every_type(rows, nulls, seed % 2 * 5, seed as u64);
                for percent in [0, 50, 100] {
                    measured(ctx, &batch, &mask(rows, percent, Nulls::None, 0, seed as u64));
                }
            }
        }
        // Alone, so that no column's slack covers for another.
        for batch in
            each_column(&every_type(1100, Nulls::Some, 3, 5)).iter().chain(&each_column(&wide(300, Nulls::Some, 6)))
        {
            let rows = batch.num_rows();
            measured(ctx, batch, &mask(rows, 40, Nulls::Some, 0, 7));
            measured(ctx, batch, &BooleanArray::from_iter((0..rows).map(|row| Some(row != 7))));
        }
    });
}

#[test]
fn the_plan_is_the_peak_where_sizes_are_static() {
    let names = ["i8", "i64", "decimal256", "fixed_binary", "bool", "utf8_view", "dictionary", "struct", "null"];
    with_device(|ctx| {
        for rows in [1, 2, 65, 1000, 8194] {
            for nulls in NULLS {
                let batch = only(&every_type(rows, nulls, 0, rows as u64), &names);
                let all_but_one = BooleanArray::from_iter((0..rows).map(|row| Some(row != rows / 2)));
                let (peak, planned) = measured(ctx, &batch, &all_but_one);
                assert_eq!(peak, planned, "{rows} rows");
            }
        }
    });
}

#[test]
fn masks_that_select_all_none_few_and_nearly_all() {
    let batch = every_type(2049, Nulls::Some, 3, 7);
    for percent in [0, 1, 97, 100] {
        check(&batch, &mask(2049, percent, Nulls::None, 0, 11));
    }
}

#[test]
fn refuses_what_does_not_fit() {
    let ctx = ExecCtx::host(1).expect("host");
    let batch = every_type(4, Nulls::None, 0, 1);
    let short = Column::from_array(Arc::new(BooleanArray::from(vec![true; 3])));
    assert!(matches!(ops::filter(&ctx, &batch, &short), Err(Error::InvalidInput { .. })));
    let numbers = Column::from_array(Arc::new(Int32Array::from(vec![1; 4])));
    let error = ops::filter(&ctx, &batch, &numbers).expect_err("a mask of numbers");
    assert_eq!(error.to_string(), "filter: the mask is Int32, it must be Boolean");
}

#[test]
fn a_batch_without_columns_keeps_its_count() {
    let schema = Arc::new(arrow::datatypes::Schema::empty());
    let batch = Batch::try_new(schema, Vec::new(), 3, Placement::Host).expect("no columns");
    let mask: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true]));
    let ctx = ExecCtx::host(1).expect("host");
    assert_eq!(ops::filter(&ctx, &batch, &Column::from_array(mask)).expect("filter").num_rows(), 2);
}

#[test]
fn as_pyarrow_does_it() {
    let table = golden::moves("table");
    let mask = table.column("mask").expect("mask").clone();
    for ctx in contexts() {
        let (table, mask) = (table.to(&ctx).expect("upload"), mask.to(&ctx).expect("upload"));
        golden::assert_golden("filter", &ctx, &ops::filter(&ctx, &table, &mask).expect("filter"));
    }
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn any_batch_and_mask(rows in 0usize..300, skip in 0usize..70, nulls in 0usize..3, percent in 0usize..=100, seed: u64) {
        let batch = every_type(rows, NULLS[nulls], skip, seed);
        check(&batch, &mask(rows, percent, NULLS[nulls % 2], skip, seed ^ 1));
    }
}
