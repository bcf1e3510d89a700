//! Date parts and casts on a device at the edges of their types, against the host twin.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use warpline::ExecCtx;

use super::batch;
use super::projection::agree;
use crate::common::with_device;

const PARTS: [&str; 10] = ["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DOW", "DOY", "HOUR", "MINUTE", "SECOND"];
/// First and last day that the calendar holds.
const CALENDAR: [i64; 2] = [-96_465_292, 95_026_236];

fn parts(of: &str) -> String {
    let parts = PARTS.map(|part| format!("EXTRACT({part} FROM {of}) AS {part}"));
    parts.join(", ")
}

/// Some rows alone, so that one that fails hides no other.
pub(super) fn rows_agree(ctx: &ExecCtx, text: &str, rows: &RecordBatch, step: usize) {
    for row in (0..rows.num_rows()).step_by(step) {
        agree(ctx, text, &rows.slice(row, 1));
    }
}

#[test]
fn parts_of_every_kind_of_day() {
    let [first, last] = CALENDAR.map(|day| day as i32);
    // Every day of a leap century, its neighbours, and of the years that begin and end eras.
    let near = |year: i32| {
        let start = ((i64::from(year) - 1970) * 146_097 / 400) as i32;
        start - 800..start + 800
    };
    let days = [1970, 2000, 1900, 2100, 0, -400, 400, 9999].into_iter().flat_map(near);
    let edges = [first, first + 1, last - 1, last, first - 1, last + 1, i32::MIN, i32::MAX];
    let days: Vec<Option<i32>> = days.chain(edges).map(Some).chain([None]).collect();
    with_device(|ctx| {
        let rows = batch(vec![("d", Arc::new(Date32Array::from(days)) as ArrayRef)]);
        assert_eq!(agree(ctx, &parts("d"), &rows), "");
    });
}

/// Seconds, and the units of a second that are no whole one, around days and the calendar's ends.
fn moments(unit: TimeUnit, zone: Option<&str>) -> RecordBatch {
    let scale = match unit {
        TimeUnit::Second => 1i64,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let ends = CALENDAR.map(|day| day * 86_400);
    let days =
        [ends[0], ends[0] + 200_000, -86_400, 0, 86_400, 951_782_400, ends[1] - 200_000, ends[1], ends[1] + 86_400];
    let near = days.into_iter().flat_map(|day| [-1, 0, 1, 3_599, 3_600, 46_800, 86_399].map(|second| day + second));
    let exact = near.filter_map(|second| second.checked_mul(scale));
    let cut = exact.flat_map(|x| [x.wrapping_sub(1), x, x.wrapping_add(1)]);
    let values: Vec<Option<i64>> = cut.chain([i64::MIN, i64::MAX]).map(Some).chain([None]).collect();
    let to = DataType::Timestamp(unit, zone.map(Into::into));
    batch(vec![("t", cast(&Int64Array::from(values), &to).expect("numbers"))])
}

const UNITS: [TimeUnit; 4] = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];

#[test]
fn parts_of_moments_in_every_unit_and_zone() {
    with_device(|ctx| {
        for unit in UNITS {
            for zone in [None, Some("UTC"), Some("+09:30"), Some("-0100"), Some("+14")] {
                assert_eq!(agree(ctx, &parts("t"), &moments(unit, zone)), "");
            }
        }
        let milliseconds = moments(TimeUnit::Millisecond, None);
        let dates = batch(vec![("t", cast(milliseconds.column(0), &DataType::Date64).expect("dates"))]);
        assert_eq!(agree(ctx, &parts("t"), &dates), "");
    });
}

#[test]
fn casts_of_moments_at_the_ends() {
    with_device(|ctx| {
        for unit in UNITS {
            for zone in [None, Some("UTC"), Some("+09:30"), Some("-0100")] {
                let rows = moments(unit, zone);
                for to in [
                    "Date32",
                    "Date64",
                    "Time32(Second)",
                    "Time64(Nanosecond)",
                    "Timestamp(Nanosecond, None)",
                    "Timestamp(Second, Some(\"+01:00\"))",
                    "Timestamp(Microsecond, Some(\"UTC\"))",
                    "Int32",
                    "Float16",
                ] {
                    rows_agree(ctx, &format!("arrow_cast(t, '{to}') AS x"), &rows, 17);
                    agree(ctx, &format!("arrow_try_cast(t, '{to}') AS x"), &rows);
                }
            }
        }
    });
}

#[test]
fn casts_of_clocks_days_and_spans() {
    let edges = [0, 1, -1, 999, 1_000, 86_399, 86_400, 86_399_999, i64::from(i32::MIN), i64::from(i32::MAX)];
    let short = cast(&Int64Array::from(edges.to_vec()), &DataType::Int32).expect("fits");
    let long: ArrayRef = Arc::new(Int64Array::from([&edges[..8], &[i64::MIN, i64::MAX]].concat()));
    let to = |array: &ArrayRef, to: &str| cast(array, &to.parse().expect("a type")).expect("a cast");
    let rows = batch(vec![
        ("ts", to(&short, "Time32(Second)")),
        ("tm", to(&short, "Time32(Millisecond)")),
        ("tu", to(&long, "Time64(Microsecond)")),
        ("tn", to(&long, "Time64(Nanosecond)")),
        ("d", to(&short, "Date32")),
        ("e", to(&long, "Date64")),
        ("gs", to(&long, "Duration(Second)")),
        ("gn", to(&long, "Duration(Nanosecond)")),
        ("i", short),
        ("n", long),
    ]);
    let pairs = [
        ("ts", "Time32(Millisecond) Time64(Microsecond) Time64(Nanosecond) Int32 Int64"),
        ("tm", "Time32(Second) Time64(Microsecond) Int64"),
        ("tu", "Time32(Second) Time32(Millisecond) Time64(Nanosecond) Int64"),
        ("tn", "Time32(Second) Time32(Millisecond) Time64(Microsecond)"),
        ("d", "Date64 Timestamp(Second,None) Timestamp(Nanosecond,None) Int64"),
        ("e", "Date32 Timestamp(Second,None) Timestamp(Microsecond,None) Int32"),
        ("gs", "Duration(Nanosecond) Duration(Millisecond) Int8 Float64"),
        ("gn", "Duration(Second) UInt64"),
        ("i", "Date64 Duration(Second) Timestamp(Nanosecond,None) Float16"),
        ("n", "Date32 Float16"),
    ];
    with_device(|ctx| {
        for (column, types) in pairs {
            for data_type in types.split(' ') {
                for call in ["arrow_cast", "arrow_try_cast"] {
                    rows_agree(ctx, &format!("{call}({column}, '{}') AS x", data_type.replace(',', ", ")), &rows, 1);
                }
            }
        }
        for column in ["ts", "tm", "tu", "tn"] {
            let clock = PARTS[7..].iter().map(|part| format!("EXTRACT({part} FROM {column}) AS {part}"));
            assert_eq!(agree(ctx, &clock.collect::<Vec<_>>().join(", "), &rows), "");
        }
    });
}

#[test]
fn integers_in_text() {
    let mut texts: Vec<String> =
        ["", " ", "-", "+", "+-1", "--1", "1 2", "1x", "x1", "0x1", "1.0", "1e3", "\u{0661}", "1\u{b}"]
            .map(str::to_owned)
            .to_vec();
    for number in ["0", "-0", "+0", "007", "-1", "127", "128", "-128", "-129", "255", "256", "32768", "-32769", "65536"]
    {
        texts.extend([number.to_owned(), format!(" \t{number}\r\n"), format!("{number}\u{c}")]);
    }
    for number in [i128::from(i32::MAX), i128::from(u32::MAX), i128::from(i64::MAX), i128::from(u64::MAX), 1 << 65] {
        texts.extend([number, number + 1, -number, -number - 1, -number - 2, 10 * number].map(|x| x.to_string()));
    }
    texts.push("0".repeat(40) + "7");
    texts.push("9".repeat(30));
    let plain: ArrayRef = Arc::new(texts.iter().map(|text| Some(text.as_str())).chain([None]).collect::<StringArray>());
    let columns = ["LargeUtf8", "Utf8View", "Dictionary(Int32, Utf8)"];
    let columns = columns.map(|to| cast(&plain, &to.parse().expect("a type")).expect("text"));
    let [large, view, dictionary] = columns;
    let rows = batch(vec![("s", plain), ("large", large), ("view", view), ("dict", dictionary)]);
    with_device(|ctx| {
        for to in ["Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"] {
            for column in ["s", "large", "view", "dict"] {
                assert_eq!(agree(ctx, &format!("arrow_try_cast({column}, '{to}') AS x"), &rows), "");
            }
            rows_agree(ctx, &format!("arrow_cast(s, '{to}') AS x"), &rows, 3);
        }
    });
}

#[test]
fn numbers_as_half_floats() {
    let floats =
        [0.0, -0.0, 65_504.0, 65_519.99, 65_520.0, 1e-8, 6e-8, 2049.0, 2050.5, f64::NAN, f64::INFINITY, 1e300, 1e-300];
    let integers = [0, 2_049, 2_051, 65_519, 65_520, -65_520, 16_777_217, i64::MAX, i64::MIN];
    with_device(|ctx| {
        let rows = batch(vec![("f", Arc::new(Float64Array::from(floats.to_vec())) as ArrayRef)]);
        assert_eq!(agree(ctx, "arrow_cast(f, 'Float16') AS x", &rows), "");
        let unsigned = integers.map(|x| x as u64);
        let rows = batch(vec![
            ("i", Arc::new(Int64Array::from(integers.to_vec())) as ArrayRef),
            ("u", Arc::new(UInt64Array::from(unsigned.to_vec()))),
        ]);
        assert_eq!(agree(ctx, "arrow_cast(i, 'Float16') AS x, arrow_cast(u, 'Float16') AS y", &rows), "");
    });
}
