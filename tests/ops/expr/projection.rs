//! Select lists on a device against the host twin: the same columns, the same errors, one launch.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float16Array, Float32Array, Float64Array, Int8Array, Int64Array, PrimitiveArray,
    RecordBatch, StringArray, new_null_array,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use half::f16;
use proptest::test_runner::TestRunner;
use warpline::device::CountLaunches;
use warpline::ops::expr::{Projection, Select};
use warpline::{Batch, Column, Error, ExecCtx};

use super::device::table;
use super::{batch, extremes};
use crate::common::{assert_same, cases, golden, peak_under_plan, with_device};

fn bind(text: &str, rows: &RecordBatch) -> Projection {
    Select::parse(text).and_then(|s| s.bind(&rows.schema())).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The outputs on the device, compared with the host's, or the error of both; or what the device does not do.
fn compare(ctx: &ExecCtx, projection: &Projection, rows: &RecordBatch, input: &Batch) -> Result<String, String> {
    match (projection.evaluate_on(ctx, input), projection.evaluate(rows)) {
        (Err(Error::Unsupported { what, .. }), _) => return Err(what),
        (Ok(found), Ok(expected)) => assert_same(&found, &Batch::from_record_batch(&expected)),
        (Err(found), Err(expected)) => {
            assert_eq!(found.to_string(), expected.to_string());
            return Ok(expected.to_string());
        }
        (found, expected) => panic!("{projection:?}: {found:?} on the device, {expected:?} on the host"),
    }
    Ok(String::new())
}

/// The error of both, empty when there is none.
pub(super) fn agree(ctx: &ExecCtx, text: &str, rows: &RecordBatch) -> String {
    agree_bound(ctx, &bind(text, rows), rows)
}

pub(super) fn agree_bound(ctx: &ExecCtx, projection: &Projection, rows: &RecordBatch) -> String {
    let input = Batch::from_record_batch(rows).to(ctx).expect("upload");
    let done = compare(ctx, projection, rows, &input);
    done.unwrap_or_else(|what| panic!("{projection:?}: {what} is not supported"))
}

#[test]
fn datafusions_expressions_agree_with_the_host() {
    with_device(|ctx| {
        let (table, answers) = (golden::table("expr_typed_table.parquet"), golden::table("expr_typed.parquet"));
        let input = Batch::from_record_batch(&table).to(ctx).expect("upload");
        let (mut refused, mut done) = (BTreeSet::new(), Vec::new());
        let names = answers.schema();
        for text in names.fields().iter().map(|field| field.name().as_str()) {
            match compare(ctx, &bind(text, &table), &table, &input) {
                Ok(error) => {
                    assert_eq!(error, "", "{text}");
                    done.push(text);
                }
                Err(what) => {
                    refused.insert(what);
                }
            }
        }
        assert!(refused.is_empty(), "{} of {}: {refused:#?}", done.len(), answers.num_columns());
        // Many outputs in one kernel.
        for some in done.chunks(40) {
            let list: Vec<String> = some.iter().enumerate().map(|(i, text)| format!("{text} AS x{i}")).collect();
            assert_eq!(agree(ctx, &format!("i8, {}", list.join(", ")), &table), "");
        }
    });
}

#[test]
fn random_trees_agree_with_the_host() {
    with_device(|ctx| {
        let table = extremes::table();
        let input = Batch::from_record_batch(&table).to(ctx).expect("upload");
        let (bound, done) = (Cell::new(0), Cell::new(0));
        let run = TestRunner::new(cases(1000)).run(&extremes::expression(), |text| {
            let Ok(projection) = Select::parse(&text).and_then(|s| s.bind(&table.schema())) else { return Ok(()) };
            bound.set(bound.get() + 1);
            done.set(done.get() + usize::from(compare(ctx, &projection, &table, &input).is_ok()));
            Ok(())
        });
        run.unwrap_or_else(|e| panic!("{e}"));
        assert!(2 * done.get() > bound.get(), "{done:?} of {bound:?} ran on the device");
    });
}

/// Numbers of every width, booleans, decimals, times, NULL; with nulls and without.
pub(super) const LIST: &str = "i64_n, view_n, i8 + 1 AS a, i16_n * i32 AS b, u8 / 3 AS c, f16 + f16 AS d, f32_n AS e, \
    CASE WHEN flag_n THEN f32_n ELSE 0.5 END AS f, -f64 AS g, price * 2 AS h, COALESCE(price, 0) AS i, i8 > i32 AS j, \
    flag_n AND i64_n > 0 AS k, NULL AS l, CAST(NULL AS DECIMAL(9, 2)) AS m, 7 AS n, CAST(i8 AS TINYINT) AS o, \
    CASE WHEN i8 > 0 THEN day END AS p, at_n AS q, at_n < ms AS r, length(dict) AS s, nullif(u32_n, 3) AS t";

#[test]
fn sizes_at_tile_borders_and_slices() {
    with_device(|ctx| {
        let rows = table(4200);
        for n in [0, 1, 31, 32, 33, 255, 256, 257, 1023, 1025, 2047, 2048, 2049, 4100] {
            assert_eq!(agree(ctx, LIST, &rows.slice(0, n)), "");
        }
        for (from, n) in [(5, 2050), (33, 31), (4199, 1)] {
            assert_eq!(agree(ctx, LIST, &rows.slice(from, n)), "");
        }
    });
}

#[test]
fn the_lowest_row_of_all_outputs_fails() {
    with_device(|ctx| {
        let mut n: Vec<i64> = (0..3000).collect();
        let mut d = vec![1i64; 3000];
        (n[2900], n[1700]) = (i64::MAX, i64::MAX);
        (d[2500], d[2100], d[1700]) = (0, 0, 0);
        let rows = batch(vec![
            ("n", Arc::new(Int64Array::from(n)) as ArrayRef),
            ("d", Arc::new(Int64Array::from(d))),
            ("s", Arc::new(StringArray::from(vec!["a"; 3000]))),
        ]);
        assert!(agree(ctx, "n + 1 AS x, n / d AS y, s", &rows).contains("row 1700: Arithmetic overflow"));
        assert!(agree(ctx, "n / d AS y, n + 1 AS x, s", &rows).contains("row 1700: Divide by zero"));
        assert!(agree(ctx, "CAST(n * 100 AS SMALLINT) AS x, n / d AS y", &rows).starts_with("project: row 328: "));
        assert_eq!(agree(ctx, "CASE WHEN d = 0 THEN 0 ELSE n / d END AS y, n > 5 AND d = 1 AS z", &rows), "");
    });
}

#[test]
fn nulls_are_zero_and_there_is_one_nan() {
    with_device(|ctx| {
        let null = |i: usize| i.is_multiple_of(3);
        let values = [7.0, f64::NAN, -f64::NAN, f64::INFINITY, -0.0, 7.0];
        let wide = values.iter().enumerate().map(|(i, x)| (!null(i)).then_some(*x));
        let rows = batch(vec![
            ("f64", Arc::new(wide.clone().collect::<Float64Array>()) as ArrayRef),
            ("f32", Arc::new(wide.clone().map(|x| x.map(|x| x as f32)).collect::<Float32Array>())),
            ("f16", Arc::new(wide.map(|x| x.map(f16::from_f64)).collect::<Float16Array>())),
            ("b", Arc::new(BooleanArray::from(vec![None, Some(true), Some(false), None, None, Some(true)]))),
        ]);
        let text = "-f64 AS a, f32 - f32 AS b1, -f16 AS c, COALESCE(f64, f64) AS d, NOT b AS e, f64 > 0 AS f";
        assert_eq!(agree(ctx, text, &rows), "");
        let input = Batch::from_record_batch(&rows).to(ctx).expect("upload");
        let out = bind(text, &rows).evaluate_on(ctx, &input).and_then(|out| out.to_host()).expect("outputs");
        let out = out.to_record_batch().expect("on the host");
        let bytes = |at: usize| out.column(at).to_data().buffers()[0].as_slice().to_vec();
        assert_eq!(bytes(0)[8..24], [f64::from_bits(0x7ff8 << 48).to_le_bytes(); 2].concat());
        assert_eq!(bytes(1)[..16], [0, 0x7fc0_0000, 0x7fc0_0000, 0].map(u32::to_le_bytes).concat());
        assert_eq!(bytes(2)[..8], [0, 0x7e00, 0x7e00, 0].map(u16::to_le_bytes).concat());
        assert_eq!(bytes(3)[..8], [0; 8]);
        assert_eq!((bytes(4)[0], bytes(5)[0] & 0b1001), (0b000100, 0));
    });
}

#[test]
fn one_launch_for_all_outputs_and_none_for_named_columns() {
    with_device(|ctx| {
        let rows = table(5000);
        let launches = |text: &str| {
            let counter = Arc::new(CountLaunches::default());
            let ctx = ctx.with_launch_strategy(counter.clone());
            let input = Batch::from_record_batch(&rows).to(&ctx).expect("upload");
            let before = counter.count();
            bind(text, &rows).evaluate_on(&ctx, &input).expect("outputs");
            counter.count() - before
        };
        assert_eq!([launches("i8 + 1"), launches(LIST), launches("i8, utf8 AS s, dict"), launches("*")], [1, 1, 0, 0]);
    });
}

#[test]
fn batches_of_one_shape_share_a_module() {
    with_device(|ctx| {
        let ctx = ctx.with_budget(u64::MAX).expect("counters of its own");
        let stats = || ctx.as_cuda().expect("a device").module_stats();
        let rows = table(600);
        let projection = bind("i8 + 41 AS a, i64_n > 7 AS b, COALESCE(f64, 0.5) AS c, view_n < 'abc' AS d", &rows);
        let run = |rows: &RecordBatch| {
            let input = Batch::from_record_batch(rows).to(&ctx).expect("upload");
            assert_eq!(compare(&ctx, &projection, rows, &input), Ok(String::new()));
        };
        run(&rows);
        let first = stats();
        for part in [rows.slice(0, 40), rows.slice(13, 500), rows.slice(579, 21), rows.clone()] {
            run(&part);
        }
        assert_eq!(stats().compiled, first.compiled);
        // Without validity bitmaps the text is another one.
        run(&rows.slice(0, 2));
        assert_eq!(stats().compiled, first.compiled + 1);
    });
}

/// Every pair of border values, and each beside a null.
fn borders<T: ArrowPrimitiveType>(values: &[T::Native]) -> RecordBatch {
    let values: Vec<Option<T::Native>> = values.iter().copied().map(Some).chain([None]).collect();
    let pairs = || values.iter().flat_map(|a| values.iter().map(|b| (*a, *b)));
    let a: PrimitiveArray<T> = pairs().map(|(a, _)| a).collect();
    let b: PrimitiveArray<T> = pairs().map(|(_, b)| b).collect();
    batch(vec![("a", Arc::new(a) as ArrayRef), ("b", Arc::new(b))])
}

#[test]
fn wrapping_arithmetic_at_the_borders() {
    macro_rules! tables {
        ($($name:ident $type:ident)*) => {
            [$(borders::<$type>(&[$name::MIN, $name::MIN + 1, $name::MAX / 2, $name::MAX - 1, $name::MAX, 0, 1, 2, 3])),*]
        };
    }
    let unsigned = tables!(u8 UInt8Type u16 UInt16Type u32 UInt32Type u64 UInt64Type);
    let signed = tables!(i8 Int8Type i16 Int16Type i32 Int32Type i64 Int64Type);
    with_device(|ctx| {
        for rows in unsigned.iter().chain(&signed) {
            let text = "wrapping_add(a, b) AS s, wrapping_sub(a, b) AS d, wrapping_mul(a, b) AS p, wrapping_neg(a) AS n, \
                wrapping_mul(wrapping_add(a, 1), wrapping_sub(b, 1)) AS q";
            assert_eq!(agree(ctx, text, rows), "");
            assert_eq!(agree(ctx, text, &rows.slice(7, 60)), "");
        }
        // The machine's own wrapping says the same.
        let rows = &signed[0];
        let input = Batch::from_record_batch(rows).to(ctx).expect("upload");
        let out = bind("wrapping_mul(a, b) AS p", rows).evaluate_on(ctx, &input).and_then(|out| out.to_host());
        let out = out.and_then(|out| out.to_record_batch()).expect("outputs");
        let [a, b, p] = [rows.column(0), rows.column(1), out.column(0)]
            .map(|column| column.as_any().downcast_ref::<Int8Array>().expect("i8").clone());
        for i in 0..p.len() {
            let expected = (a.is_valid(i) && b.is_valid(i)).then(|| a.value(i).wrapping_mul(b.value(i)));
            assert_eq!(p.is_valid(i).then(|| p.value(i)), expected);
        }
    });
}

#[test]
fn memory_is_what_the_plan_says() {
    with_device(|ctx| {
        for n in [1, 1024, 3000] {
            let rows = table(n);
            let list = format!("{LIST}, utf8 IN ('a', 'ab%c') AS u, view_n <> 'a' AS v");
            for text in ["i8 > 2", "i64_n, utf8", "i8 * 2 AS x, i32 / 3 AS y", &list] {
                let projection = bind(text, &rows);
                let input = Batch::from_record_batch(&rows);
                let plan = projection.plan(&input).expect("a plan");
                let any = Column::from_array(new_null_array(&DataType::Int8, 1));
                let run = |ctx: &ExecCtx, batch: &Batch, _: &Column| projection.evaluate_on(ctx, batch);
                let peak = peak_under_plan(ctx, (&input, &any), plan, run);
                assert_eq!(peak, plan.workspace + plan.output, "{text}: {plan:?}");
            }
        }
    });
}

#[test]
fn what_does_not_go_says_so() {
    with_device(|ctx| {
        let rows = table(10);
        let host = Batch::from_record_batch(&rows);
        let error = |text: &str, input: &Batch| bind(text, &rows).evaluate_on(ctx, input).expect_err(text).to_string();
        assert!(matches!(bind("i8 + 1", &rows).evaluate_on(ctx, &host), Err(Error::WrongDevice { .. })));
        let two = batch(vec![("a", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
        let two = Batch::from_record_batch(&two).to(ctx).expect("upload");
        assert!(error("i8", &two).contains("the batch has 1 columns, 19 were bound"));
    });
}
