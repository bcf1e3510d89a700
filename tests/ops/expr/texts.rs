//! Text and binary as results on a device, and values printed as text, against the host twin and arrow-rs.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, Decimal128Array, DictionaryArray, FixedSizeBinaryArray,
    Float16Array, Float32Array, Float64Array, Int32Array, Int64Array, LargeBinaryArray, RecordBatch, StringArray,
    UInt64Array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, TimeUnit};
use half::f16;
use warpline::ops::expr::{Projection, Select};
use warpline::{Batch, Column, ExecCtx, ops};

use super::batch;
use super::device::table;
use super::projection::agree;
use crate::common::samples::Random;
use crate::common::{assert_same, peak_under_plan, with_device};

fn bind(text: &str, rows: &RecordBatch) -> Projection {
    Select::parse(text).and_then(|s| s.bind(&rows.schema())).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Text of every kind out of columns and literals, several at once, beside a number.
pub(super) const LIST: &str = "COALESCE(utf8, 'x') AS a, COALESCE(large_n, utf8, 'none') AS b, COALESCE(view_n, 'a longer literal than a \
    view holds') AS c, CASE WHEN flag_n THEN dict WHEN i8 > 0 THEN 'Café' END AS d, NULLIF(view_n, 'a') AS e, \
    NULLIF(utf8, '') AS f, i8 + 1 AS g, arrow_cast(utf8, 'Utf8View') AS h, arrow_cast(view_n, 'LargeUtf8') AS i, \
    arrow_cast(large_n, 'Binary') AS j, arrow_cast(dict, 'BinaryView') AS k, CAST(NULL AS VARCHAR) AS l, 'all' AS m, \
    arrow_cast(arrow_cast(view_n, 'LargeBinary'), 'Utf8') AS n, CASE WHEN i8 > 2 THEN utf8 ELSE view_n END AS o, utf8 AS p";

#[test]
fn sizes_at_tile_borders_and_slices() {
    with_device(|ctx| {
        let rows = table(4200);
        for n in [0, 1, 31, 32, 33, 255, 256, 257, 1023, 1024, 1025, 2047, 2048, 2049, 4100] {
            assert_eq!(agree(ctx, LIST, &rows.slice(0, n)), "");
        }
        for (from, n) in [(5, 2050), (33, 31), (4199, 1)] {
            assert_eq!(agree(ctx, LIST, &rows.slice(from, n)), "");
        }
    });
}

/// Long texts among empty ones and nulls, also where the bytes under the nulls are some.
#[test]
fn long_texts_and_bytes_under_nulls() {
    let long = |byte: char, n: usize| String::from(byte).repeat(n);
    let words: Vec<String> = (0..600)
        .map(|i| match i % 97 {
            13 => long('é', 500_000 / (i + 1)),
            14 => long('a', 1 << 20 >> (i % 5)),
            _ => long('b', i % 23),
        })
        .collect();
    let offsets = OffsetBuffer::from_lengths(words.iter().map(String::len));
    let nulls: NullBuffer = (0..600).map(|i| i % 5 != 3).collect();
    let plain: ArrayRef = Arc::new(StringArray::new(offsets, Buffer::from(words.concat().into_bytes()), Some(nulls)));
    let view = cast(&plain, &DataType::Utf8View).expect("views");
    let binary = cast(&plain, &DataType::LargeBinary).expect("binary");
    let keep: ArrayRef = Arc::new((0..600).map(|i| Some(i % 3 != 1)).collect::<BooleanArray>());
    let rows = batch(vec![("s", plain), ("v", view), ("b", binary), ("keep", keep)]);
    let list = "CASE WHEN keep THEN s END AS a, CASE WHEN keep THEN v ELSE s END AS b, COALESCE(v, s, '') AS c, \
        arrow_cast(s, 'LargeUtf8') AS d, arrow_cast(b, 'Utf8View') AS e, arrow_cast(b, 'Utf8') AS f, \
        arrow_try_cast(b, 'LargeUtf8') AS g";
    with_device(|ctx| {
        assert_eq!(agree(ctx, list, &rows), "");
        assert_eq!(agree(ctx, list, &rows.slice(7, 580)), "");
    });
}

/// Bytes that are UTF-8, and such as are not: Unicode 15, table 3-7, and what is beside its ranges.
#[test]
fn binary_is_checked() {
    let characters = ["", "a", "\u{7f}\u{80}", "\u{7ff}\u{800}", "\u{d7ff}\u{e000}", "\u{ffff}\u{10000}", "\u{10ffff}"];
    let wrong: [&[u8]; 18] = [
        b"\x80",
        b"\xbf",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xc2",
        b"\xc2\x41",
        b"\xe0\x9f\xbf",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xe1\x80",
        b"a\xe1\x80\x41",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xf1\x80\x80",
        b"\xf1\x80\x80\x41",
        b"ab\xff",
    ];
    let values: Vec<Option<&[u8]>> =
        characters.iter().map(|c| Some(c.as_bytes())).chain(wrong.map(Some)).chain([None]).collect();
    let rows = batch(vec![
        ("b", Arc::new(BinaryArray::from(values.clone())) as ArrayRef),
        ("l", Arc::new(LargeBinaryArray::from(values.clone()))),
        ("v", Arc::new(BinaryViewArray::from_iter(values.clone()))),
    ]);
    with_device(|ctx| {
        for column in ["b", "l", "v"] {
            for to in ["Utf8", "LargeUtf8", "Utf8View"] {
                assert_eq!(agree(ctx, &format!("arrow_try_cast({column}, '{to}') AS x"), &rows), "");
                let strict = format!("arrow_cast({column}, '{to}') AS x");
                assert_eq!(agree(ctx, &strict, &rows.slice(0, characters.len())), "");
                assert!(agree(ctx, &strict, &rows).contains(&format!("row {}: ", characters.len())));
                for (i, wrong) in wrong.iter().enumerate() {
                    let row = rows.slice(characters.len() + i, 1);
                    assert_ne!(agree(ctx, &strict, &row), "", "{wrong:?}");
                }
            }
        }
        // What lies under a null is nobody's.
        let hidden = BinaryArray::new(
            OffsetBuffer::from_lengths([1, 1, 1]),
            Buffer::from(b"a\xffb"),
            Some(NullBuffer::from(vec![true, false, true])),
        );
        let hidden = batch(vec![("b", Arc::new(hidden) as ArrayRef)]);
        assert_eq!(agree(ctx, "CAST(b AS VARCHAR) AS x", &hidden), "");
    });
}

/// Columns of every type that prints, at the extremes of each.
pub(super) fn printed() -> RecordBatch {
    let all = [0, 1, -1, 9, 10, 99, 100, -100, 127, -128, 32_767, -32_768, i64::MAX, i64::MIN, 1_234_567_890_123, -42];
    let long: ArrayRef = Arc::new(Int64Array::from_iter(all.map(Some).into_iter().chain([None])));
    let wrapped: ArrayRef =
        Arc::new(Int64Array::from_iter(all.map(|x| Some(i64::from(x as i32))).into_iter().chain([None])));
    let unsigned: ArrayRef = Arc::new(UInt64Array::from_iter(all.map(|x| Some(x as u64)).into_iter().chain([None])));
    let narrow = |bits: u32, signed: bool| -> ArrayRef {
        let cut = |x: i64| {
            if signed { x << (64 - bits) >> (64 - bits) } else { ((x as u64) << (64 - bits) >> (64 - bits)) as i64 }
        };
        Arc::new(Int64Array::from_iter(all.map(|x| Some(cut(x))).into_iter().chain([None])))
    };
    let to = |array: &ArrayRef, to: DataType| cast(array, &to).unwrap_or_else(|e| panic!("{to}: {e}"));
    let big = [0, 1, -1, 5, -50, 12_345, -123_456_789, i128::MAX, i128::MIN, 10i128.pow(37), -(10i128.pow(38) - 1)];
    let big = big.into_iter().chain((0..5).map(|i| 7 * 10i128.pow(6 * i + 2))).map(Some).chain([None]);
    let decimal = |precision: u8, scale: i8| -> ArrayRef {
        let values: Decimal128Array = big.clone().collect();
        Arc::new(values.with_precision_and_scale(precision, scale).expect("a decimal"))
    };
    let halves: ArrayRef = to(&wrapped, DataType::Int32);
    batch(vec![
        ("i8", to(&narrow(8, true), DataType::Int8)),
        ("i16", to(&narrow(16, true), DataType::Int16)),
        ("i32", to(&wrapped, DataType::Int32)),
        ("i64", long.clone()),
        ("u8", to(&narrow(8, false), DataType::UInt8)),
        ("u16", to(&narrow(16, false), DataType::UInt16)),
        ("u32", to(&narrow(32, false), DataType::UInt32)),
        ("u64", unsigned),
        ("b", Arc::new(BooleanArray::from_iter((0..17).map(|i| (i != 16).then_some(i % 3 == 0))))),
        ("m", decimal(38, 0)),
        ("m10", decimal(38, 10)),
        ("m38", decimal(38, 38)),
        ("m3", decimal(5, 3)),
        ("m33", decimal(3, 3)),
        ("m_5", decimal(20, -5)),
        ("d32", to(&halves, DataType::Decimal32(9, 4))),
        ("d64", to(&to(&wrapped, DataType::Int64), DataType::Decimal64(18, 1))),
    ])
}

/// All of them as text.
pub(super) fn prints(rows: &RecordBatch) -> String {
    let schema = rows.schema();
    let list: Vec<String> = schema.fields().iter().map(|f| format!("CAST({0} AS VARCHAR) AS {0}", f.name())).collect();
    list.join(", ")
}

const TEXTS: [&str; 3] = ["Utf8", "LargeUtf8", "Utf8View"];

#[test]
fn numbers_print_as_arrow_prints_them() {
    let rows = printed();
    let names: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    with_device(|ctx| {
        for to in TEXTS {
            let list: Vec<String> = names.iter().map(|name| format!("arrow_cast({name}, '{to}') AS {name}")).collect();
            assert_eq!(agree(ctx, &list.join(", "), &rows), "");
            // The host twin is arrow-rs itself; the operator says the same.
            let types: Vec<_> = names.iter().map(|name| (name.as_str(), to.parse().expect("a type"))).collect();
            let there = Batch::from_record_batch(&rows).to(ctx).expect("upload");
            let found = ops::cast(ctx, &there, &types).expect("a cast").to_host().expect("download");
            for (column, (name, to)) in found.columns().iter().zip(&types) {
                let expected = cast(rows.column_by_name(name).expect("a column"), to).expect("arrow-rs casts it");
                assert_eq!(&column.to_array().expect("on the host"), &expected, "{name}");
            }
        }
    });
}

/// Floats with every exponent, the borders of the ways to print them, and any bits.
#[test]
fn floats_print_as_arrow_prints_them() {
    let mut random = Random(11);
    let tens = (-330..=310).flat_map(|power| {
        let ten: f64 = format!("1e{power}").parse().expect("a number");
        [ten, ten.next_up(), ten.next_down(), -ten * 1.5, ten * 9.007199254740993, ten * 1.2345678]
    });
    let twos = (0..2047u64).flat_map(|exponent| [exponent << 52, (exponent << 52) + 1, ((exponent + 1) << 52) - 1]);
    let special = [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE];
    let special = special.into_iter().chain([5e-324, 9_007_199_254_740_993.0, 1e23, 2.0f64.powi(60), 123456.0, 0.1]);
    let few = (0..2000).map(|i| i as f64 / 100.0);
    let wide: Vec<f64> = tens.chain(twos.map(f64::from_bits)).chain(special).chain(few).collect();
    let wide = wide.into_iter().chain((0..4000).map(|_| f64::from_bits(random.next()))).map(Some).chain([None]);
    let wide: Vec<Option<f64>> = wide.collect();
    let mut bits = Random(12);
    let narrow = (0..512u32).flat_map(|top| [top << 23, (top << 23) + 1, (top + 1).wrapping_shl(23).wrapping_sub(1)]);
    let narrow = narrow.map(f32::from_bits).chain((0..4000).map(|_| f32::from_bits(bits.next() as u32)));
    let narrow = narrow.chain(wide.iter().flatten().map(|x| *x as f32)).map(Some).chain([None]);
    let halves = (0..=u16::MAX).map(|bits| Some(f16::from_bits(bits)));
    with_device(|ctx| {
        for (values, name) in [
            (Arc::new(wide.iter().copied().collect::<Float64Array>()) as ArrayRef, "f64"),
            (Arc::new(narrow.collect::<Float32Array>()), "f32"),
            (Arc::new(halves.collect::<Float16Array>()), "f16"),
        ] {
            let rows = batch(vec![("f", values)]);
            assert_eq!(agree(ctx, "CAST(f AS VARCHAR) AS x, arrow_cast(f, 'Utf8View') AS y", &rows), "", "{name}");
        }
    });
}

/// Seconds around days and the calendar's ends, with fractions of every length.
fn moments(unit: TimeUnit, zone: Option<&str>) -> RecordBatch {
    let scale = match unit {
        TimeUnit::Second => 1i64,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let first = -8_334_601_228_800;
    let last = 8_210_266_876_799;
    let years = [-62_167_219_201, -62_167_219_200, 253_402_300_799, 253_402_300_800, -377_705_116_801, 1_709_210_096];
    let near = [first, first + 1, first + 90_000, -86_401, -1, 0, 1, 86_399, last - 90_000, last - 1, last];
    let exact = near.into_iter().chain(years).filter_map(|second: i64| second.checked_mul(scale));
    let parts = [0, 1, 500, 123_000, 123_456, 500_000_000, 123_456_789];
    let values = exact.flat_map(|x| parts.map(|part| x.checked_add(part % scale)));
    let values: Vec<Option<i64>> = values.chain([Some(i64::MIN), Some(i64::MAX), None]).collect();
    let to = DataType::Timestamp(unit, zone.map(Into::into));
    batch(vec![("t", cast(&Int64Array::from(values), &to).expect("numbers"))])
}

const UNITS: [TimeUnit; 4] = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];

/// The rows that print all at once, those that do not each alone.
fn each_agrees(ctx: &ExecCtx, text: &str, rows: &RecordBatch) -> usize {
    let projection = bind(text, rows);
    let prints = |row: &usize| projection.evaluate(&rows.slice(*row, 1)).is_ok();
    let (good, bad): (Vec<usize>, Vec<usize>) = (0..rows.num_rows()).partition(prints);
    let take = |row: &usize| rows.slice(*row, 1);
    let all: Vec<RecordBatch> = good.iter().map(take).collect();
    let all = arrow::compute::concat_batches(&rows.schema(), &all).expect("one batch");
    assert_eq!(agree(ctx, text, &all), "");
    bad.iter().for_each(|row| assert_ne!(agree(ctx, text, &take(row)), "", "{text}: row {row}"));
    good.len()
}

#[test]
fn moments_print_as_arrow_prints_them() {
    with_device(|ctx| {
        for unit in UNITS {
            for (i, zone) in [None, Some("UTC"), Some("+09:30"), Some("-0100"), Some("+00:00")].into_iter().enumerate()
            {
                let to = TEXTS[i % 3];
                let rows = moments(unit, zone);
                assert!(each_agrees(ctx, &format!("arrow_cast(t, '{to}') AS x"), &rows) > 20);
                agree(ctx, &format!("arrow_try_cast(t, '{to}') AS x"), &rows);
            }
        }
        let milliseconds = moments(TimeUnit::Millisecond, None);
        let dates = batch(vec![("t", cast(milliseconds.column(0), &DataType::Date64).expect("dates"))]);
        assert!(each_agrees(ctx, "CAST(t AS VARCHAR) AS x", &dates) > 20);
    });
}

#[test]
fn days_and_clocks_print_as_arrow_prints_them() {
    let days =
        [0, 1, -1, 18_321, -719_528, -719_529, 2_932_896, 2_932_897, -96_465_292, 95_026_236, -96_465_293, 95_026_237];
    let days = days.into_iter().chain([i32::MIN, i32::MAX]).map(|day| Some(i64::from(day))).chain([None]);
    let days: ArrayRef = Arc::new(days.collect::<Int64Array>());
    let clocks = [0, 1, 59, 60, 999, 1_000, 86_399, 86_400, 45_296_789, 86_399_999, 86_400_000, -1, -1_000];
    let clocks = clocks.into_iter().chain([i64::from(i32::MIN), i64::from(i32::MAX)]);
    let clocks: ArrayRef = Arc::new(clocks.map(Some).chain([None]).collect::<Int64Array>());
    let wide = [
        0,
        1_000,
        86_399_999_999,
        86_400_000_000,
        86_399_999_999_999,
        86_400_000_000_000,
        45_296_123_456_000,
        1 << 52,
        -1,
        (1 << 32) * 1_000_000 + 7_000_000,
        -1_000_000,
        (1 << 32) * 1_000_000_000 + 1,
        -((1 << 32) - 3) * 1_000_000,
        i64::MAX,
        i64::MIN,
    ];
    let wide: ArrayRef = Arc::new(wide.into_iter().map(Some).chain([None]).collect::<Int64Array>());
    let to = |array: &ArrayRef, to: &str| cast(array, &to.parse().expect("a type")).expect("a cast");
    let (days, clocks) = (to(&days, "Int32"), to(&clocks, "Int32"));
    with_device(|ctx| {
        for (values, data_type) in [
            (&days, "Date32"),
            (&clocks, "Time32(Second)"),
            (&clocks, "Time32(Millisecond)"),
            (&wide, "Time64(Microsecond)"),
            (&wide, "Time64(Nanosecond)"),
        ] {
            let rows = batch(vec![("t", to(values, data_type))]);
            for text in TEXTS {
                each_agrees(ctx, &format!("arrow_cast(t, '{text}') AS x"), &rows);
            }
        }
    });
}

/// What is printed is text like any other, in conditions too.
#[test]
fn printed_text_is_searched_and_chosen() {
    with_device(|ctx| {
        let rows = table(3000);
        let list = "CAST(i64_n AS VARCHAR) LIKE '1%' AS a, length(CAST(price AS VARCHAR)) AS b, \
            starts_with(CAST(at_n AS VARCHAR), '19') AS c, CASE WHEN i8 > 1 THEN CAST(i32 AS VARCHAR) ELSE utf8 END AS d, \
            COALESCE(CAST(flag_n AS VARCHAR), view_n, 'neither') AS e, CAST(CAST(u8 AS VARCHAR) AS INT) + 1 AS f, \
            CAST(i8 AS VARCHAR) IN ('1', '-2') AS g, CAST(i16_n AS VARCHAR) = CAST(i8 AS VARCHAR) AS h";
        assert_eq!(agree(ctx, list, &rows), "");
        let input = Batch::from_record_batch(&rows);
        let there = input.to(ctx).expect("upload");
        for text in
            ["CAST(i64_n AS VARCHAR) LIKE '%2'", "CAST(day AS VARCHAR) > '1970' AND CAST(flag_n AS VARCHAR) = 'true'"]
        {
            let predicate =
                warpline::ops::expr::Expr::parse(text).and_then(|e| e.bind(&rows.schema())).expect("it binds");
            let kept = ops::filter_where(ctx, &there, &predicate).expect("a filter");
            let mask = predicate.evaluate(&rows).expect("a mask");
            let expected = arrow::compute::filter_record_batch(&rows, &mask).expect("a filter");
            assert!(expected.num_rows() > 0 && expected.num_rows() < 3000);
            assert_same(&kept.to_host().expect("download"), &Batch::from_record_batch(&expected));
            let plan = ops::filter_where_plan(&input, &predicate).expect("a plan");
            let any = input.columns()[0].clone();
            let run = |ctx: &ExecCtx, batch: &Batch, _: &Column| ops::filter_where(ctx, batch, &predicate);
            assert!(peak_under_plan(ctx, (&input, &any), plan, run) <= plan.workspace + plan.output);
        }
    });
}

#[test]
fn the_lowest_row_fails_in_the_hosts_words() {
    let mut days = vec![1i64; 3000];
    (days[2900], days[1700]) = (i64::MAX, i64::MIN);
    let t = cast(&Int64Array::from(days), &DataType::Timestamp(TimeUnit::Second, None)).expect("numbers");
    let rows = batch(vec![("t", t), ("s", Arc::new(StringArray::from(vec!["a"; 3000])))]);
    with_device(|ctx| {
        assert!(agree(ctx, "COALESCE(s, '') AS a, CAST(t AS VARCHAR) AS x", &rows).contains("row 1700: "));
        assert!(agree(ctx, "TRY_CAST(t AS VARCHAR) AS x", &rows).contains("row 1700: "));
        // What looks at the text of a row that fails reads nothing.
        for text in
            ["CAST(t AS VARCHAR) >= s AS x", "CAST(t AS VARCHAR) LIKE '%7%' AS x", "length(CAST(t AS VARCHAR)) AS x"]
        {
            assert!(agree(ctx, text, &rows).contains("row 1700: "), "{text}");
        }
        let safe = "CASE WHEN t > '1970-01-01' AND t < '1980-01-01' THEN CAST(t AS VARCHAR) ELSE s END AS x";
        assert_eq!(agree(ctx, safe, &rows), "");
    });
}

#[test]
fn memory_stays_within_the_plan() {
    with_device(|ctx| {
        for n in [1, 1024, 3000] {
            let rows = table(n);
            let casts = "CAST(i8 AS VARCHAR) AS a, CAST(price AS VARCHAR) AS b, arrow_cast(at_n, 'Utf8View') AS c";
            for text in ["COALESCE(utf8, '') AS a", "arrow_cast(large_n, 'Utf8') AS x", LIST, casts] {
                let projection = bind(text, &rows);
                let input = Batch::from_record_batch(&rows);
                let plan = projection.plan(&input).expect("a plan");
                assert_eq!(projection.plan(&input.to(ctx).expect("upload")).expect("a plan"), plan, "host and device");
                let any = input.columns()[0].clone();
                let run = |ctx: &ExecCtx, batch: &Batch, _: &Column| projection.evaluate_on(ctx, batch);
                let peak = peak_under_plan(ctx, (&input, &any), plan, run);
                assert!(peak <= plan.workspace + plan.output, "{text}: {peak} of {plan:?}");
            }
        }
    });
}

/// One text of a dictionary in so many rows that their bytes pass 2 GiB: refused before anything is copied.
#[test]
fn more_bytes_than_the_offsets_hold_are_refused() {
    let word = "x".repeat(1 << 20);
    let values: ArrayRef = Arc::new(StringArray::from(vec![word.as_str(), ""]));
    let keys = arrow::array::PrimitiveArray::<Int32Type>::from_iter((0..2200).map(|i| Some(i32::from(i % 20 == 7))));
    let rows = batch(vec![("d", Arc::new(DictionaryArray::new(keys, values)) as ArrayRef)]);
    with_device(|ctx| {
        let there = Batch::from_record_batch(&rows).to(ctx).expect("upload");
        for to in ["Utf8", "Binary", "Utf8View"] {
            let refused = bind(&format!("arrow_cast(d, '{to}') AS x"), &rows).evaluate_on(ctx, &there);
            let message = refused.expect_err("more than 2 GiB").to_string();
            assert!(
                message.contains(&format!("{} bytes of text do not fit the offsets of {to}", 2090u64 << 20)),
                "{message}"
            );
        }
    });
}

#[test]
fn letter_case_beyond_ascii() {
    let texts = [
        "Straße",
        "STRASSE",
        "stra\u{1e9e}e",
        "ΣΊΣΥΦΟΣ",
        "σίσυφος",
        "Kelvin",
        "\u{212a}elvin",
        "\u{17f}top",
        "İstanbul",
        "ıstanbul",
        "ISTANBUL",
        "\u{1c5}",
        "\u{1c6}",
        "\u{1c4}",
        "Ünïcödé",
        "üNÏCÖDÉ",
        "e\u{301}",
        "\u{13a0}",
        "\u{ab70}",
        "\u{10428}\n",
        "\u{10400}\n",
        "",
        "%",
        "é%",
        "É_x",
        "日本語",
        "\\É",
    ];
    let patterns = [
        "stra\u{df}e",
        "%ß%",
        "σίσυφος",
        "%Σ",
        "%ΦΟ_",
        "\u{212a}%",
        "%S%",
        "k_LVIN",
        "i%",
        "İ%",
        "\u{1c4}",
        "_",
        "__",
        "ü%É",
        "É%",
        "é\\%",
        "É\\_X",
        "\u{10428}_",
        "%\u{13a0}",
        "日%語",
        "日_Ö",
        "%e\u{301}",
        "",
        "%",
        "\\\\É",
        "\\é",
        "É\\",
    ];
    let pairs = || texts.iter().flat_map(|text| patterns.iter().map(move |pattern| (*text, *pattern)));
    let rows = batch(vec![
        ("s", Arc::new(pairs().map(|(text, _)| Some(text)).chain([None]).collect::<StringArray>()) as ArrayRef),
        ("p", Arc::new(pairs().map(|(_, pattern)| Some(pattern)).chain([Some("é")]).collect::<StringArray>())),
    ]);
    with_device(|ctx| {
        assert_eq!(agree(ctx, "s ILIKE p AS x, s NOT ILIKE p AS y, p ILIKE s AS z, s LIKE p AS w", &rows), "");
        let literals = patterns.iter().enumerate().map(|(i, pattern)| format!("s ILIKE '{pattern}' AS x{i}"));
        assert_eq!(agree(ctx, &literals.collect::<Vec<_>>().join(", "), &rows), "");
    });
}

#[test]
fn bytes_of_fixed_size() {
    with_device(|ctx| {
        for width in [0, 1, 4, 7, 16, 33] {
            let values = |by: usize| -> ArrayRef {
                let value = |row: usize| (0..width).map(|i| (row * by + i) as u8).collect::<Vec<_>>();
                let values = (0..300).map(|row| (row % by != 1).then(|| value(row)));
                Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, width as i32).expect("values"))
            };
            let rows =
                batch(vec![("f", values(3)), ("g", values(7)), ("i", Arc::new(Int32Array::from_iter_values(0..300)))]);
            let list = "CASE WHEN i % 2 = 0 THEN f ELSE g END AS a, COALESCE(f, g) AS b, nullif(g, f) AS c, \
                        CASE WHEN i > 7 THEN f END AS d, f AS e, arrow_cast(g, 'Binary') AS h";
            for rows in [rows.slice(0, 300), rows.slice(33, 65), rows.slice(299, 1)] {
                assert_eq!(agree(ctx, list, &rows), "", "{width}");
            }
        }
    });
}
