//! Dropping rows by their nulls against a naive reading of the input, on the host and on every device there is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, DictionaryArray, Int8Array, Int32Array, NullArray, RecordBatch, StringArray};
use proptest::prelude::*;
use warpline::device::CountLaunches;
use warpline::{Batch, Column, Error, ExecCtx, ops};

use super::same_everywhere;
use crate::common::cells::{Cell, cells};
use crate::common::samples::{NULLS, Nulls, Random, SIZES, every_type, only};
use crate::common::{cases, contexts, golden, peak_under_plan, with_device};

/// Drops everywhere, compares with the naive reading and the places with each other.
fn check(batch: &Batch, names: &[&str]) {
    let all: Vec<Vec<Cell>> = batch.columns().iter().map(|column| cells(&column.to_array().expect("host"))).collect();
    let by: Vec<usize> = names.iter().map(|name| batch.schema().index_of(name).expect("a column")).collect();
    let keep = |row: &usize| by.iter().all(|&column| all[column][*row] != Cell::Null);
    let rows: Vec<usize> = (0..batch.num_rows()).filter(keep).collect();
    let expected: Vec<Vec<Cell>> =
        all.iter().map(|column| rows.iter().map(|&row| column[row].clone()).collect()).collect();
    let run = |ctx: &ExecCtx| {
        let kept = ops::drop_nulls(ctx, &batch.to(ctx).expect("upload"), names).expect("rows");
        assert_eq!(kept.num_rows(), rows.len());
        kept.to_host().expect("download")
    };
    same_everywhere(&expected, run);
}

#[test]
fn by_each_type_at_every_size_and_null_pattern() {
    for (seed, rows) in SIZES.into_iter().enumerate() {
        for nulls in NULLS {
            let batch = every_type(rows, nulls, seed % 2 * 5, seed as u64);
            // A few types by turns, all of them over the sizes and patterns.
            for field in batch.schema().fields().iter().skip(seed % 7).step_by(7) {
                check(&only(&batch, &["i32", "utf8", field.name()]), &[field.name()]);
            }
            check(&batch, &["bool", "list", "utf8_view"]);
        }
    }
    let batch = every_type(100, Nulls::Some, 3, 77);
    batch.schema().fields().iter().for_each(|field| check(&only(&batch, &["i8", field.name()]), &[field.name()]));
}

/// A block of filter is 8,192 rows.
#[test]
fn borders_of_tiles() {
    for rows in [8191, 8193, 17_000] {
        let batch = only(&every_type(rows, Nulls::Some, 3, rows as u64), &["i8", "f64", "dictionary", "struct"]);
        check(&batch, &["i8"]);
        check(&batch, &["f64", "dictionary", "struct"]);
    }
}

/// Keys that stand for a null, beside keys that are null.
fn dictionaries(rows: usize) -> Batch {
    let mut random = Random(5);
    let keys = Int8Array::from_iter((0..rows).map(|_| (random.below(4) > 0).then_some(random.below(3) as i8)));
    let values: ArrayRef = Arc::new(StringArray::from(vec![Some("red"), None, Some("blue")]));
    let nothing: ArrayRef = Arc::new(NullArray::new(3));
    let dictionary = |values| -> ArrayRef { Arc::new(DictionaryArray::new(keys.clone(), values)) };
    let full = Int8Array::from_iter_values((0..rows).map(|row| (row % 3) as i8));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int32Array::from_iter_values(0..rows as i32))),
        ("text", dictionary(values.clone())),
        ("nothing", dictionary(nothing)),
        ("keys_full", Arc::new(DictionaryArray::new(full, values))),
    ];
    let records = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)));
    Batch::from_record_batch(&records.expect("a batch"))
}

#[test]
fn keys_that_stand_for_null_are_null() {
    let batch = dictionaries(100);
    for names in [&["text"][..], &["nothing"], &["keys_full"], &["keys_full", "text", "n"]] {
        check(&batch, names);
    }
}

#[test]
fn no_more_launches_than_needed() {
    with_device(|ctx| {
        let launches = Arc::new(CountLaunches::default());
        let ctx = ctx.with_launch_strategy(launches.clone());
        let batch = only(&every_type(2000, Nulls::Some, 0, 8), &["i8", "i64", "utf8_view"]).to(&ctx).expect("upload");
        ops::drop_nulls(&ctx, &batch, &["i8"]).expect("rows");
        assert_eq!(launches.count(), 2, "the bitmap is the mask");
        ops::drop_nulls(&ctx, &batch, &["i8", "utf8_view"]).expect("rows");
        assert_eq!(launches.count(), 5);
        let full = only(&every_type(2000, Nulls::None, 0, 8), &["i8", "i64"]).to(&ctx).expect("upload");
        assert_eq!(ops::drop_nulls(&ctx, &full, &["i8", "i64"]).expect("rows").num_rows(), 2000);
        ops::drop_nulls(&ctx, &batch, &[]).expect("rows");
        assert_eq!(launches.count(), 5, "no column has nulls");
    });
}

#[test]
fn memory_stays_within_the_plan() {
    let measured = |ctx: &ExecCtx, batch: &Batch, names: &[&str]| {
        let plan = ops::drop_nulls_plan(batch, names).expect("a plan");
        assert_eq!(ops::drop_nulls_plan(&batch.to(ctx).expect("upload"), names).expect("a plan"), plan);
        let nothing = Column::from_array(Arc::new(Int32Array::from(Vec::<i32>::new())));
        let peak = peak_under_plan(ctx, (batch, &nothing), plan, |ctx, batch, _| ops::drop_nulls(ctx, batch, names));
        assert!(peak <= plan.workspace + plan.output, "{peak} of {plan:?}");
        (peak, plan.workspace + plan.output)
    };
    with_device(|ctx| {
        for (seed, rows) in SIZES.into_iter().enumerate() {
            for nulls in NULLS {
                let batch = every_type(rows, nulls, seed % 2 * 5, seed as u64);
                for names in [&[][..], &["i8"], &["null"], &["i8", "list", "utf8"], &["dictionary"]] {
                    measured(ctx, &batch, names);
                }
            }
        }
        // One row of each column is null, so that the result is as large as it can be.
        let one = |row| Int32Array::from_iter((0..5000).map(|i| (i != row).then_some(i)));
        let columns: Vec<(&str, ArrayRef)> = vec![("a", Arc::new(one(7))), ("b", Arc::new(one(7)))];
        let batch = Batch::from_record_batch(&RecordBatch::try_from_iter(columns).expect("a batch"));
        for names in [&["a"][..], &["a", "b"]] {
            let (peak, planned) = measured(ctx, &batch, names);
            assert_eq!(peak, planned);
        }
    });
}

#[test]
fn refuses_what_is_not_there() {
    for ctx in contexts() {
        let batch = only(&every_type(4, Nulls::None, 0, 1), &["i8", "utf8"]).to(&ctx).expect("upload");
        let error = ops::drop_nulls(&ctx, &batch, &["i8", "i9"]).expect_err("no such column");
        assert_eq!(error.to_string(), "drop_nulls: column 'i9': not in the batch; there are: i8, utf8");
        assert!(matches!(ops::drop_nulls_plan(&batch, &["i9"]), Err(Error::InvalidInput { .. })));
    }
    with_device(|ctx| {
        let inner: ArrayRef = Arc::new(DictionaryArray::new(
            Int8Array::from(vec![Some(0), None]),
            Arc::new(StringArray::from(vec!["a"])),
        ));
        let outer: ArrayRef = Arc::new(DictionaryArray::new(Int8Array::from(vec![0, 1, 1]), inner));
        assert_eq!(outer.logical_null_count(), 2);
        let records = RecordBatch::try_from_iter_with_nullable([("d", outer, true)]).expect("a batch");
        let batch = Batch::from_record_batch(&records);
        let host = ops::drop_nulls(&ExecCtx::host(1).expect("host"), &batch, &["d"]).expect("rows");
        assert_eq!(host.num_rows(), 1);
        let error = ops::drop_nulls(ctx, &batch.to(ctx).expect("upload"), &["d"]).expect_err("two steps");
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    });
}

#[test]
fn as_pyarrow_does_it() {
    let table = golden::moves("table");
    for ctx in contexts() {
        let kept = ops::drop_nulls(&ctx, &table.to(&ctx).expect("upload"), &["i8", "string", "list", "dictionary"]);
        golden::assert_golden("drop_null", &ctx, &kept.expect("rows"));
    }
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn any_batch_and_columns(rows in 0usize..300, skip in 0usize..70, nulls in 0usize..3, by: [u8; 3], seed: u64) {
        let batch = every_type(rows, NULLS[nulls], skip, seed);
        let schema = batch.schema().clone();
        let names = by.map(|i| schema.field(i as usize % schema.fields().len()).name().as_str());
        check(&batch, &names[..by[0] as usize % 4]);
    }
}
