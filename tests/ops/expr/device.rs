//! Expressions on a device against the host twin: the same masks, the same rows, the same errors.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float16Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, LargeStringArray, ListArray, RecordBatch, StringArray,
    StringViewArray, TimestampMicrosecondArray, TimestampMillisecondArray, UInt8Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Int8Type, Int32Type};
use half::f16;
use warpline::device::CountLaunches;
use warpline::ops::expr::{Expr, Predicate, Select};
use warpline::{Batch, Error, ExecCtx, ops};

use super::projection::LIST;
use super::{batch, golden_rows, render};
use crate::common::samples::Random;
use crate::common::{assert_same, peak_under_plan, with_device};

fn bind(text: &str, rows: &RecordBatch) -> Predicate {
    Expr::parse(text).and_then(|e| e.bind(&rows.schema())).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Mask and kept rows on the device, compared with the host's; or the error of both.
fn agree(ctx: &ExecCtx, text: &str, rows: &RecordBatch) -> String {
    let predicate = bind(text, rows);
    let input = Batch::from_record_batch(rows).to(ctx).expect("upload");
    let mask = predicate.mask(ctx, &input);
    let kept = ops::filter_where(ctx, &input, &predicate);
    match predicate.evaluate(rows) {
        Ok(expected) => {
            let mask = mask.unwrap_or_else(|e| panic!("{text}: {e}")).to_host().expect("download");
            let mask = mask.to_array().expect("on the host");
            assert_eq!(render(mask.as_boolean()), render(&expected), "{text}");
            let kept = kept.unwrap_or_else(|e| panic!("{text}: {e}")).to_host().expect("download");
            let expected_rows = arrow::compute::filter_record_batch(rows, &expected).expect("a filter");
            assert_same(&kept, &Batch::from_record_batch(&expected_rows));
            render(&expected)
        }
        Err(expected) => {
            for found in [mask.err(), kept.err()] {
                assert_eq!(found.expect(text).to_string(), expected.to_string(), "{text}");
            }
            expected.to_string()
        }
    }
}

fn unsupported(ctx: &ExecCtx, text: &str, rows: &RecordBatch) -> String {
    let input = Batch::from_record_batch(rows).to(ctx).expect("upload");
    match bind(text, rows).mask(ctx, &input) {
        Err(error @ Error::Unsupported { .. }) => error.to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn equal_to_sqlite_on_a_device() {
    let types = [
        (DataType::Int64, DataType::Utf8),
        (DataType::Int16, DataType::Utf8View),
        (DataType::Int32, DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::LargeUtf8))),
    ];
    with_device(|ctx| {
        for (i, (integer, text)) in types.into_iter().enumerate() {
            let mut lines = include_str!("../../golden/expr.txt").lines();
            let batch = golden_rows(&mut lines, &integer, &text);
            let input = Batch::from_record_batch(&batch).to(ctx).expect("upload");
            for line in lines.skip(i).step_by(2) {
                let (expected, text) = line.split_once('\t').expect("mask and expression");
                let mask = bind(text, &batch).mask(ctx, &input).unwrap_or_else(|e| panic!("{text}: {e}"));
                let mask = mask.to_host().expect("download").to_array().expect("on the host");
                assert_eq!(render(mask.as_boolean()), expected, "{text} on {integer}");
            }
        }
    });
}

/// `n` rows of every type that the device knows, a seventh of them null in the columns named `_n`.
pub(super) fn table(n: usize) -> RecordBatch {
    let mut random = Random(n as u64 + 1);
    let mut numbers = || -> Vec<i64> {
        let small = |r: u64| (r % 11) as i64 - 5;
        (0..n).map(|_| if random.next().is_multiple_of(9) { i64::MAX - 3 } else { small(random.next()) }).collect()
    };
    let (a, b) = (numbers(), numbers());
    let null = |i: usize| i % 7 == 3;
    let word = |i: usize| ["", "a", "ab%c", "a_longer text of words", "Café", "\u{212a}elvin ſ"][i % 6];
    let words = || (0..n).map(|i| word(a[i].unsigned_abs() as usize + i));
    let some = |x: i64, i: usize| (!null(i)).then_some(x);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("i8", Arc::new(Int8Array::from_iter_values(a.iter().map(|x| *x as i8)))),
        ("i16_n", Arc::new(Int16Array::from_iter(a.iter().enumerate().map(|(i, x)| (!null(i)).then_some(*x as i16))))),
        ("i32", Arc::new(Int32Array::from_iter_values(b.iter().map(|x| *x as i32)))),
        ("i64_n", Arc::new(Int64Array::from_iter(a.iter().enumerate().map(|(i, x)| some(*x, i))))),
        ("u8", Arc::new(UInt8Array::from_iter_values(b.iter().map(|x| *x as u8)))),
        ("u32_n", Arc::new(UInt32Array::from_iter(b.iter().enumerate().map(|(i, x)| (!null(i)).then_some(*x as u32))))),
        ("u64", Arc::new(UInt64Array::from_iter_values(a.iter().map(|x| *x as u64)))),
        ("f16", Arc::new(Float16Array::from_iter_values(a.iter().map(|x| f16::from_f64(*x as f64 / 4.0))))),
        (
            "f32_n",
            Arc::new(Float32Array::from_iter(a.iter().enumerate().map(|(i, x)| (!null(i)).then_some(*x as f32)))),
        ),
        ("f64", Arc::new(Float64Array::from_iter_values(b.iter().map(|x| if *x == 5 { f64::NAN } else { *x as f64 })))),
        ("flag_n", Arc::new(BooleanArray::from_iter(a.iter().enumerate().map(|(i, x)| (!null(i)).then_some(*x > 0))))),
        ("day", Arc::new(Date32Array::from_iter_values(b.iter().map(|x| *x as i32)))),
        (
            "at_n",
            Arc::new(TimestampMicrosecondArray::from_iter(
                b.iter().enumerate().map(|(i, x)| some(x % 1000 * 86_400_000_000, i)),
            )),
        ),
        ("ms", Arc::new(TimestampMillisecondArray::from_iter_values(a.iter().map(|x| x % 1000 * 43_200_000)))),
        (
            "price",
            Arc::new(
                Decimal128Array::from_iter_values(a.iter().map(|x| i128::from(*x % 100_000)))
                    .with_precision_and_scale(12, 2)
                    .expect("a decimal"),
            ),
        ),
        ("utf8", Arc::new(StringArray::from_iter_values(words()))),
        ("large_n", Arc::new(LargeStringArray::from_iter(words().enumerate().map(|(i, w)| (!null(i)).then_some(w))))),
        ("view_n", Arc::new(StringViewArray::from_iter(words().enumerate().map(|(i, w)| (!null(i + 1)).then_some(w))))),
        (
            "dict",
            Arc::new(words().enumerate().map(|(i, w)| (!null(i)).then_some(w)).collect::<DictionaryArray<Int8Type>>()),
        ),
    ];
    batch(columns)
}

const CONDITIONS: [&str; 40] = [
    "EXTRACT(WEEK FROM at_n) > EXTRACT(HOUR FROM ms) OR TRY_CAST(utf8 AS INT) = 1 OR CAST(at_n AS DATE) > day",
    "CASE WHEN i8 = 0 THEN NULL WHEN i32 / i8 > 1 THEN i64_n ELSE 10 / i8 END > 1",
    "CASE WHEN flag_n THEN utf8 ELSE large_n END >= 'a' OR CASE i8 WHEN 1 THEN price WHEN 2 THEN 0.5 END > 0",
    "COALESCE(i64_n, u32_n, 7) = 7 AND COALESCE(view_n, dict, 'none') <> 'none'",
    "starts_with(utf8, 'a') OR ends_with(dict, 'é') OR contains(view_n, 'er t') OR contains(utf8, '')",
    "length(view_n) = 4 OR octet_length(large_n) > length(large_n) OR length(dict) < 2",
    "i8 > 2",
    "i8 < i64_n",
    "i16_n + i8 >= i32",
    "u8 * 3 = u32_n % 7 OR u8 > 250",
    "i8 <> 0 AND i32 / i8 > 0",
    "i8 = 0 OR i32 % i8 = 1",
    "u64 > i64_n",
    "u64 - 1 >= 0 AND u64 < 100",
    "f16 > -0.5",
    "f32_n * 2.5 <= f64",
    "f64 = f64 AND f64 > 4",
    "f64 / f16 < 1",
    "-f64 > 0.5 OR f64 % 2 = 1",
    "f16 IN (0.25, -0.5, 1)",
    "flag_n",
    "NOT flag_n OR flag_n IS NULL",
    "flag_n IS TRUE AND i64_n IS NOT NULL",
    "i64_n IN (1, 2, -3, 9223372036854775804)",
    "i32 NOT IN (1, NULL)",
    "u8 BETWEEN 1 AND 4",
    "day >= '1970-01-02'",
    "at_n < day OR at_n > ms",
    "at_n = '1970-01-03'",
    "price = 0.03 OR price * price > 6.25",
    "price / 3 > 0.01 AND price % 2 = 0.01",
    "price + i8 > 1.5",
    "price IN (0.02, -0.03)",
    "utf8 = large_n",
    "view_n < 'b' AND view_n >= utf8",
    "dict LIKE 'a%' OR utf8 LIKE '_af_'",
    "large_n ILIKE '%KELVIN S' OR view_n ILIKE 'A__%'",
    "utf8 LIKE '%\\%%'",
    "dict IN ('a', '', 'Café') AND dict <> 'a'",
    "view_n NOT LIKE '%of%' AND TRY_CAST(i64_n AS INT) < 3 AND CAST(flag_n AS INT) = 1",
];

#[test]
fn every_type_agrees_with_the_host() {
    with_device(|ctx| {
        let rows = table(300);
        for text in CONDITIONS {
            agree(ctx, text, &rows);
        }
    });
}

/// The assembler of the pip package `nvidia-cuda-nvcc`, where the virtual environment has it.
fn ptxas() -> Option<PathBuf> {
    let lib = PathBuf::from(std::env::var_os("VIRTUAL_ENV")?).join("lib");
    let versions = std::fs::read_dir(lib).ok()?.flatten();
    let mut paths = versions.map(|version| version.path().join("site-packages/nvidia/cu13/bin/ptxas"));
    paths.find(|path| path.is_file())
}

/// The driver's assembler takes what is written, for the oldest and a new architecture. The emulator is more lenient.
#[test]
fn ptxas_takes_the_text() {
    let Some(ptxas) = ptxas() else {
        assert!(std::env::var_os("REQUIRE_ORACLE").is_none(), "REQUIRE_ORACLE is set, but there is no ptxas");
        eprintln!("skipped: no ptxas in the virtual environment (nvidia-cuda-nvcc of .ci/requirements.txt)");
        return;
    };
    let rows = Batch::from_record_batch(&table(20));
    let folder = tempfile::tempdir().expect("a folder");
    // All conditions in one kernel, all outputs in another: a start of ptxas takes longer than its work.
    let condition = format!("({})", CONDITIONS.join(") OR ("));
    let host = rows.to_record_batch().expect("on the host");
    let list = Select::parse(LIST).and_then(|list| list.bind(&host.schema())).expect("it binds");
    let printed = super::texts::printed();
    let prints = super::texts::prints(&printed);
    let prints = Select::parse(&prints).and_then(|list| list.bind(&printed.schema())).expect("it binds");
    let texts = Select::parse(super::texts::LIST).and_then(|list| list.bind(&host.schema())).expect("it binds");
    let prints = prints.ptx(&Batch::from_record_batch(&printed));
    for ptx in [bind(&condition, &host).ptx(&rows), list.ptx(&rows), texts.ptx(&rows), prints] {
        let path = folder.path().join("all.ptx");
        std::fs::write(&path, ptx.expect("a kernel")).expect("written");
        for architecture in ["sm_75", "sm_120"] {
            let cubin = folder.path().join("cubin");
            let output = std::process::Command::new(&ptxas)
                .args(["--gpu-name", architecture, "--output-file"])
                .args([&cubin, &path])
                .output()
                .expect("ptxas runs");
            assert!(output.status.success(), "{architecture}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// One launch that selects, one that moves, for any number of columns of fixed width in the condition and the batch.
#[test]
fn two_launches_for_a_filter_by_a_condition() {
    with_device(|ctx| {
        let rows = table(5000);
        let fixed: Vec<usize> =
            (0..rows.num_columns()).filter(|i| rows.column(*i).data_type().is_primitive()).collect();
        assert!(fixed.len() > 10);
        for (columns, text) in [
            (&fixed[..1], "i8 > 1"),
            (&fixed[..], "i8 > 1"),
            (&fixed[..], "i8 > 1 AND (i64_n < 3 OR price * 2 > i32) AND at_n IS NOT NULL"),
        ] {
            let rows = rows.project(columns).expect("columns");
            let counter = Arc::new(CountLaunches::default());
            let ctx = ctx.with_launch_strategy(counter.clone());
            let input = Batch::from_record_batch(&rows).to(&ctx).expect("upload");
            let kept = ops::filter_where(&ctx, &input, &bind(text, &rows)).expect("a filter").num_rows();
            assert!(kept > 0 && kept < 5000, "{kept} rows");
            assert_eq!(counter.count(), 2, "{text}");
        }
    });
}

#[test]
fn sizes_at_tile_borders_and_slices() {
    with_device(|ctx| {
        let rows = table(4200);
        for text in ["i8 > 2 AND view_n <> 'a'", "flag_n OR dict = 'a'", "price > 0.01", "TRUE"] {
            for n in [0, 1, 31, 32, 33, 255, 256, 257, 1023, 1025, 2047, 2048, 2049, 4100] {
                agree(ctx, text, &rows.slice(0, n));
            }
            agree(ctx, text, &rows.slice(5, 2050));
        }
    });
}

#[test]
fn errors_name_the_lowest_row_as_on_the_host() {
    with_device(|ctx| {
        let mut n: Vec<i64> = (0..3000).collect();
        let mut d = vec![1i64; 3000];
        (n[2900], n[1700]) = (i64::MAX, i64::MAX);
        (d[2500], d[2100], d[7]) = (0, 0, 0);
        let keep: BooleanArray = (0..3000).map(|i| Some(i != 7)).collect();
        let text: StringArray = (0..3000).map(|i| Some(if i == 40 { "x" } else { "1" })).collect();
        let rows = batch(vec![
            ("n", Arc::new(Int64Array::from(n)) as ArrayRef),
            ("d", Arc::new(Int64Array::from(d))),
            ("keep", Arc::new(keep)),
            ("text", Arc::new(text)),
        ]);
        assert!(agree(ctx, "n + 1 > 0", &rows).starts_with("filter: row 1700: "));
        assert!(agree(ctx, "n / d > 0", &rows).starts_with("filter: row 7: "));
        assert!(agree(ctx, "keep AND n / d > 0", &rows).starts_with("filter: row 2100: "));
        assert!(agree(ctx, "keep AND (d = 0 OR n / d + 1 > 0)", &rows).starts_with("filter: row 1700: "));
        assert!(agree(ctx, "CAST(n AS SMALLINT) >= 0", &rows.slice(0, 1000)).starts_with('1'));
        assert!(agree(ctx, "CAST(n * 100 AS SMALLINT) >= 0", &rows).starts_with("filter: row 328: "));
    });
}

#[test]
fn conditions_that_differ_in_literals_share_a_module() {
    with_device(|ctx| {
        let ctx = ctx.with_budget(u64::MAX).expect("counters of its own");
        let stats = || ctx.as_cuda().expect("a device").module_stats();
        let rows = table(100);
        let input = Batch::from_record_batch(&rows).to(&ctx).expect("upload");
        let run = |text: &str| bind(text, &rows).mask(&ctx, &input).map(drop).expect("a mask");
        run("i8 + 3 > i32 - 2 AND utf8 <> 'x'");
        let first = stats();
        assert_eq!(first.compiled + first.reused, 1);
        run("i8 + 40 > i32 - 7 AND utf8 <> 'another text'");
        run("i8 + 4 > i32 - 4 AND utf8 <> ''");
        assert_eq!((stats().compiled, stats().reused), (first.compiled, first.reused + 2));
        run("i32 IN (1, 2) AND i8 IN (3)");
        let second = stats();
        run("i32 IN (7, 8, 9, 10, 11) AND i8 IN (4, 5)");
        assert_eq!((stats().compiled, stats().reused), (second.compiled, second.reused + 1));
    });
}

#[test]
fn what_the_device_cannot_do_says_so() {
    with_device(|ctx| {
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
        let rows = batch(vec![("list", Arc::new(lists))]);
        assert_eq!(agree(ctx, "list IS NULL", &rows), "010");
        let message = unsupported(ctx, "arrow_cast(list, 'Utf8') IS NULL", &rows);
        assert!(message.contains("List(Int32) in an expression on a device is not supported"), "{message}");
    });
}

#[test]
fn memory_stays_within_the_plan() {
    with_device(|ctx| {
        for n in [1, 1024, 3000] {
            let rows = table(n);
            for text in ["i8 > 2", "view_n <> 'a' AND utf8 IN ('a', 'ab%c')", "i8 <= 127"] {
                let predicate = bind(text, &rows);
                let input = Batch::from_record_batch(&rows);
                let plan = ops::filter_where_plan(&input, &predicate).expect("a plan");
                let mask = input.columns()[0].clone();
                let peak = peak_under_plan(ctx, (&input, &mask), plan, |ctx, batch, _| {
                    ops::filter_where(ctx, batch, &predicate)
                });
                assert!(peak <= plan.workspace + plan.output, "{text}: {peak} of {plan:?}");
            }
        }
    });
}

#[test]
fn an_input_elsewhere_or_of_other_types_is_refused() {
    with_device(|ctx| {
        let rows = table(10);
        let predicate = bind("i8 > 2", &rows);
        let host = Batch::from_record_batch(&rows);
        assert!(matches!(predicate.mask(ctx, &host), Err(Error::WrongDevice { .. })));
        assert!(matches!(ops::filter_where(ctx, &host, &predicate), Err(Error::WrongDevice { .. })));
        let other = batch(vec![("i8", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
        let other = Batch::from_record_batch(&other).to(ctx).expect("upload");
        let message = predicate.mask(ctx, &other).expect_err("other types").to_string();
        assert!(message.contains("is Int64, the expression was bound to Int8"), "{message}");
    });
}
