//! Random expressions over the extremes of every type: no panic, the lowest failing row is named, and a batch's values are
//! those of its rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use proptest::prelude::*;
use warpline::Error;
use warpline::ops::expr::Select;

use super::batch;
use crate::common::cases;

/// Names and rows: an ordinary value, extremes, a null.
pub(super) fn table() -> RecordBatch {
    let words: ArrayRef = Arc::new(StringArray::from(vec![Some("7"), Some("caf\u{e9}"), Some(""), None]));
    let numbers =
        |low: i64, high: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![Some(7), Some(low), Some(high), None])) };
    let all = || numbers(i64::MIN, i64::MAX);
    let days = || cast(&numbers(i64::from(i32::MIN), i64::from(i32::MAX)), &DataType::Int32).expect("fits");
    let text = |values: [&str; 3]| -> ArrayRef {
        Arc::new(StringArray::from(vec![Some(values[0]), Some(values[1]), Some(values[2]), None]))
    };
    let to = |array: ArrayRef, to: DataType| cast(&array, &to).unwrap_or_else(|e| panic!("{to}: {e}"));
    let nines = "9".repeat(38);
    let spans = text(["1 month", "-178000000 years", "2147483647 days 2562047 hours"]);
    batch(vec![
        ("i8", to(numbers(-128, 127), DataType::Int8)),
        ("i32", days()),
        ("i64", all()),
        ("u64", to(text(["7", "0", "18446744073709551615"]), DataType::UInt64)),
        ("f32", to(text(["0.5", "NaN", "-inf"]), DataType::Float32)),
        ("f64", to(text(["-0.0", "1e308", "5e-324"]), DataType::Float64)),
        ("m", to(text(["7", &format!("-{nines}"), &nines]), DataType::Decimal128(38, 0))),
        ("p", to(text(["1.5", "-99999.999", "0.001"]), DataType::Decimal128(8, 3))),
        ("w", to(text(["7", "-1", "123456789012345678901234567890123456789012"]), DataType::Decimal256(76, 9))),
        ("d32", to(days(), DataType::Date32)),
        ("d64", to(all(), DataType::Date64)),
        ("ts", to(all(), DataType::Timestamp(TimeUnit::Second, None))),
        ("tn", to(all(), DataType::Timestamp(TimeUnit::Nanosecond, None))),
        ("tz", to(all(), DataType::Timestamp(TimeUnit::Microsecond, Some("+09:30".into())))),
        ("ut", to(all(), DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())))),
        ("t32", to(days(), DataType::Time32(TimeUnit::Second))),
        ("t64", to(all(), DataType::Time64(TimeUnit::Nanosecond))),
        ("gs", to(all(), DataType::Duration(TimeUnit::Second))),
        ("gn", to(all(), DataType::Duration(TimeUnit::Nanosecond))),
        ("span", to(spans, DataType::Interval(IntervalUnit::MonthDayNano))),
        ("s", words.clone()),
        ("v", to(words.clone(), DataType::Utf8View)),
        ("dict", to(words.clone(), DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::LargeUtf8)))),
        ("bin", to(words, DataType::BinaryView)),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), Some(true), None]))),
    ])
}

const LEAVES: [&str; 35] = [
    "i8",
    "i32",
    "i64",
    "u64",
    "f32",
    "f64",
    "m",
    "p",
    "w",
    "d32",
    "d64",
    "ts",
    "tn",
    "tz",
    "ut",
    "t32",
    "t64",
    "gs",
    "gn",
    "span",
    "s",
    "v",
    "dict",
    "bin",
    "b",
    "NULL",
    "TRUE",
    "0",
    "-1",
    "300",
    "1.5",
    "'7'",
    "'2020-02-29'",
    "INTERVAL '1 month'",
    "18446744073709551616",
];
const TYPES: [&str; 15] = [
    "Int8",
    "UInt64",
    "Float16",
    "Decimal128(38, 37)",
    "Decimal128(3, -2)",
    "Decimal256(76, 0)",
    "Date32",
    "Date64",
    "Timestamp(Nanosecond, None)",
    "Timestamp(Second, Some(\\\"+01:00\\\"))",
    "Duration(Millisecond)",
    "Interval(MonthDayNano)",
    "Utf8View",
    "Binary",
    "Time32(Second)",
];
const PARTS: [&str; 5] = ["YEAR", "WEEK", "DOW", "HOUR", "SECOND"];

pub(super) fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(&LEAVES[..]).prop_map(str::to_owned);
    leaf.prop_recursive(3, 12, 3, |inner| {
        let binary = prop::sample::select(&["+", "-", "*", "/", "%", "=", "<", ">=", "AND", "OR"][..]);
        let two = prop::sample::select(
            &["nullif", "starts_with", "contains", "wrapping_add", "wrapping_mul", "coalesce", "wrapping_sub"][..],
        );
        let one = prop::sample::select(&["-", "NOT ", "length", "octet_length", "wrapping_neg"][..]);
        let part = prop::sample::select(&PARTS[..]);
        let to = prop::sample::select(&TYPES[..]);
        prop_oneof![
            4 => (inner.clone(), binary, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            2 => (two, inner.clone(), inner.clone()).prop_map(|(f, a, b)| format!("{f}({a}, {b})")),
            2 => (one, inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            2 => (part, inner.clone()).prop_map(|(part, a)| format!("EXTRACT({part} FROM {a})")),
            2 => (inner.clone(), to).prop_map(|(a, to)| format!("arrow_cast({a}, '{}')", to.replace("\\\"", "\""))),
            1 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("CASE WHEN {a} THEN {b} ELSE {c} END")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} BETWEEN {b} AND {c})")),
            1 => (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} IN ({b}, {c}))")),
        ]
    })
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn nothing_panics_and_rows_stand_alone(text in expression()) {
        thread_local!(static TABLE: RecordBatch = table());
        let table = TABLE.with(Clone::clone);
        let select = Select::parse(&text).expect("an expression");
        prop_assert_eq!(&Select::parse(&select.to_string()).expect("printed text parses"), &select, "{}", text);
        let Ok(projection) = select.bind(&table.schema()) else { return Ok(()) };
        let rows = table.num_rows();
        let alone: Vec<_> = (0..rows).map(|row| projection.evaluate(&table.slice(row, 1))).collect();
        match projection.evaluate(&table) {
            Ok(out) => {
                for (row, one) in alone.iter().enumerate() {
                    let one = one.as_ref().unwrap_or_else(|e| panic!("{text}: row {row} alone: {e}"));
                    prop_assert_eq!(format!("{:?}", one.column(0)), format!("{:?}", out.column(0).slice(row, 1)), "{}", text);
                }
            }
            Err(Error::InvalidInput { row: Some(row), .. }) => {
                let first = alone.iter().position(Result::is_err);
                prop_assert_eq!(first, Some(row as usize), "{}", text);
            }
            Err(other) => panic!("{text}: {other}"),
        }
    }
}
