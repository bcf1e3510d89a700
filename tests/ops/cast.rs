//! Cast against arrow-rs and pyarrow, on the host and on every device there is.

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::*;
use proptest::prelude::*;
use warpline::device::MemoryPlan;
use warpline::{Batch, Column, Error, ExecCtx, ops};

use crate::common::samples::{NULLS, Nulls, SIZES, every_type, only};
use crate::common::{assert_same, cases, contexts, golden, peak_under_plan, with_device};

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

/// Columns of the samples with types that all their values fit, which a device casts to as well.
fn fitting() -> Vec<(&'static str, DataType)> {
    use DataType::*;
    let structs = |n| vec![Field::new("n", n, true), Field::new("t", Utf8View, true)].into();
    let item = |data_type| Arc::new(Field::new_list_field(data_type, true));
    vec![
        ("i8", Int64),
        ("i16", Float64),
        ("i32", Int64),
        ("u8", Int16),
        ("u32", UInt64),
        ("bool", Int32),
        ("f32", Float64),
        ("date32", Date64),
        ("decimal32", Decimal64(18, 2)),
        ("struct", Struct(structs(Int64))),
        ("list", list(Int64)),
        ("large_list", LargeList(item(UInt8))),
        ("list_of_structs", list(Struct(structs(Float64)))),
        ("fixed_list", FixedSizeList(item(Float64), 3)),
        ("fixed_list_of_bits", FixedSizeList(item(Int8), 7)),
    ]
}

/// Columns of the samples that become text, and text of other kinds.
fn texts() -> Vec<(&'static str, DataType)> {
    use DataType::*;
    let fields = vec![Field::new("n", Utf8, true), Field::new("t", LargeUtf8, true)];
    vec![
        ("i8", Utf8),
        ("i32", LargeUtf8),
        ("u64", Utf8View),
        ("bool", Utf8),
        ("decimal128", Utf8),
        ("utf8", LargeUtf8),
        ("large_utf8", Utf8View),
        ("utf8_view", Utf8),
        ("binary", LargeBinary),
        ("struct", Struct(fields.into())),
        ("list", list(Utf8)),
    ]
}

/// What is computed has no text under nulls; arrow-rs keeps what is there.
fn no_text_under_nulls(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8 => Arc::new(array.as_string::<i32>().iter().collect::<StringArray>()),
        DataType::LargeUtf8 => Arc::new(array.as_string::<i64>().iter().collect::<LargeStringArray>()),
        DataType::LargeBinary => Arc::new(array.as_binary::<i64>().iter().collect::<LargeBinaryArray>()),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().cloned().map(no_text_under_nulls).collect();
            Arc::new(StructArray::new(fields.clone(), columns, array.nulls().cloned()))
        }
        DataType::List(item) => {
            let lists = array.as_list::<i32>();
            let items = no_text_under_nulls(lists.values().clone());
            Arc::new(ListArray::new(item.clone(), lists.offsets().clone(), items, lists.nulls().cloned()))
        }
        _ => array,
    }
}

/// What is computed has one NaN here; arrow-rs leaves it to the processor.
fn one_nan(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => {
            let floats = array.as_primitive::<Float64Type>();
            Arc::new(floats.unary::<_, Float64Type>(|x| if x.is_nan() { f64::from_bits(0x7ff8 << 48) } else { x }))
        }
        DataType::FixedSizeList(item, size) => {
            let lists = array.as_fixed_size_list();
            let items = one_nan(lists.values().clone());
            Arc::new(FixedSizeListArray::new(item.clone(), *size, items, lists.nulls().cloned()))
        }
        _ => array,
    }
}

/// What arrow-rs makes of each column; nulls for what does not fit when `safe`.
fn by_arrow(batch: &Batch, types: &[(&str, DataType)], safe: bool) -> Batch {
    let options = CastOptions { safe, ..Default::default() };
    let column = |(name, to): &(&str, DataType)| {
        let array = batch.column(name).expect("a column").to_array().expect("host");
        let cast = cast_with_options(&array, to, &options).expect("arrow-rs casts it");
        (name.to_string(), no_text_under_nulls(one_nan(cast)), true)
    };
    Batch::from_record_batch(&RecordBatch::try_from_iter_with_nullable(types.iter().map(column)).expect("a batch"))
}

fn check(batch: &Batch, types: &[(&str, DataType)], safe: bool) {
    let names: Vec<&str> = types.iter().map(|(name, _)| *name).collect();
    let batch = only(batch, &names);
    let expected = by_arrow(&batch, types, safe);
    for ctx in contexts() {
        let there = batch.to(&ctx).expect("upload");
        let operator = if safe { ops::try_cast } else { ops::cast };
        let cast = operator(&ctx, &there, types).expect("a cast").to_host().expect("download");
        for ((left, right), (name, _)) in expected.columns().iter().zip(cast.columns()).zip(types) {
            let batch = |column: &Column| {
                let array = column.to_array().expect("host");
                Batch::from_record_batch(
                    &RecordBatch::try_from_iter_with_nullable([(*name, array, true)]).expect("one"),
                )
            };
            assert_same(&batch(left), &batch(right));
        }
    }
}

#[test]
fn plain_and_nested_at_every_size_and_null_pattern() {
    for (seed, rows) in SIZES.into_iter().enumerate() {
        for nulls in NULLS {
            check(&every_type(rows, nulls, seed % 2 * 5, seed as u64), &fitting(), false);
        }
    }
}

#[test]
fn what_does_not_fit_is_null_when_tried() {
    let batch = every_type(300, Nulls::Some, 3, 4);
    let types =
        [("i32", DataType::Int8), ("i64", DataType::UInt16), ("list", list(DataType::Int16)), ("f64", DataType::Int32)];
    check(&batch, &types, true);
}

#[test]
fn what_does_not_fit_is_an_error_of_its_row() {
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 300, 400]));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1)]),
        Some(vec![Some(2), Some(1000)]),
        None,
        Some(vec![]),
    ]));
    let batch = RecordBatch::try_from_iter_with_nullable([("a", numbers, true), ("l", lists, true)]).expect("a batch");
    let batch = Batch::from_record_batch(&batch);
    for (types, row) in [(("a", DataType::Int8), 2), (("l", list(DataType::Int8)), 2)] {
        let mut told = Vec::new();
        for ctx in contexts() {
            let error =
                ops::cast(&ctx, &batch.to(&ctx).expect("upload"), std::slice::from_ref(&types)).expect_err("300");
            assert!(matches!(error, Error::InvalidInput { row: Some(found), .. } if found == row), "{error}");
            told.push(error.to_string());
        }
        assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
    }
}

#[test]
fn text_at_every_size_and_null_pattern() {
    for (seed, rows) in SIZES.into_iter().enumerate() {
        for nulls in NULLS {
            check(&every_type(rows, nulls, seed % 2 * 5, seed as u64), &texts(), seed % 3 == 0);
        }
    }
}

/// What has no plan but a bound.
#[test]
fn text_stays_within_the_plan() {
    with_device(|ctx| {
        let batch = every_type(1000, Nulls::Some, 3, 6);
        for (name, to) in texts() {
            let (batch, types) = (only(&batch, &[name]), [(name, to)]);
            let nothing = Column::from_array(Arc::new(Int32Array::from(Vec::<i32>::new())));
            let planned = ops::cast_plan(&batch, &types).expect("a plan");
            let run = |ctx: &ExecCtx, batch: &Batch, _: &Column| ops::cast(ctx, batch, &types);
            assert!(peak_under_plan(ctx, (&batch, &nothing), planned, run) <= planned.workspace + planned.output);
        }
    });
}

#[test]
fn types_that_are_there_already_are_shared() {
    let batch = every_type(10, Nulls::Some, 0, 2);
    for ctx in contexts() {
        let there = batch.to(&ctx).expect("upload");
        let types: Vec<_> =
            batch.schema().fields().iter().map(|f| (f.name().as_str(), f.data_type().clone())).collect();
        assert_same(&ops::cast(&ctx, &there, &types).expect("a cast"), &there);
        assert_same(&ops::cast(&ctx, &there, &[]).expect("a cast"), &there);
    }
}

#[test]
fn the_plan_is_the_peak() {
    with_device(|ctx| {
        for nulls in NULLS {
            let batch = every_type(1000, nulls, 3, 6);
            for (name, to) in fitting() {
                let (batch, types) = (only(&batch, &[name]), [(name, to)]);
                let nothing = Column::from_array(Arc::new(Int32Array::from(Vec::<i32>::new())));
                for (plan, operator) in
                    [(ops::cast_plan as Plan, ops::cast as Cast), (ops::try_cast_plan, ops::try_cast)]
                {
                    let planned = plan(&batch, &types).expect("a plan");
                    let there = batch.to(ctx).expect("upload");
                    assert_eq!(plan(&there, &types).expect("a plan"), planned, "host and device");
                    let run = |ctx: &ExecCtx, batch: &Batch, _: &Column| operator(ctx, batch, &types);
                    let peak = peak_under_plan(ctx, (&batch, &nothing), planned, run);
                    assert_eq!(peak, planned.workspace + planned.output, "{name}, {nulls:?}");
                }
            }
        }
    });
}

type Plan = fn(&Batch, &[(&str, DataType)]) -> warpline::Result<MemoryPlan>;
type Cast = fn(&ExecCtx, &Batch, &[(&str, DataType)]) -> warpline::Result<Batch>;

#[test]
fn refuses_what_does_not_cast() {
    use DataType::*;
    let batch = every_type(10, Nulls::Some, 0, 2);
    let item = |nullable| Arc::new(Field::new_list_field(Int64, nullable));
    let two = [("i8", Int16), ("i8", Int32)];
    for ctx in contexts() {
        let there = batch.to(&ctx).expect("upload");
        let refused = |types: &[(&str, DataType)]| ops::cast(&ctx, &there, types).expect_err("a refusal");
        for types in [
            ("none", Int8),
            ("list", Int64),
            ("list", LargeList(item(true))),
            ("list", List(item(false))),
            ("fixed_list", FixedSizeList(item(true), 2)),
            ("i8", list(Int8)),
            ("struct", Struct(vec![Field::new("n", Int64, true)].into())),
        ] {
            let error = refused(std::slice::from_ref(&types));
            assert!(matches!(error, Error::InvalidInput { .. }), "{types:?}: {error}");
        }
        assert!(matches!(refused(&two), Error::InvalidInput { .. }));
        assert!(matches!(refused(&[("i8", Null)]), Error::Unsupported { .. }));
    }
}

#[test]
fn as_pyarrow_does_it() {
    let table = golden::moves("table");
    let types = [
        ("i8", DataType::Int64),
        ("i32", DataType::Float64),
        ("u32", DataType::Int64),
        ("f32", DataType::Float64),
        ("bool", DataType::Int32),
        ("list", golden::moves("cast").column("list").expect("a list").data_type().clone()),
    ];
    for ctx in contexts() {
        let cast = ops::cast(&ctx, &table.to(&ctx).expect("upload"), &types).expect("a cast");
        golden::assert_golden("cast", &ctx, &cast);
    }
}

proptest! {
    #![proptest_config(cases(12))]
    #[test]
    fn any_batch(rows in 0usize..300, skip in 0usize..70, nulls in 0usize..3, safe: bool, seed: u64) {
        check(&every_type(rows, NULLS[nulls], skip, seed), &fitting(), safe);
    }
}
