//! Filter expressions against SQLite's answers (`tests/golden/make_expr.py`), and what SQLite has no types for by hand.

mod casts;
mod decimals;
mod device;
mod extremes;
mod functions;
mod intervals;
mod parsed;
mod projection;
mod texts;
mod typed;
mod zones;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float16Array, Float32Array, Float64Array,
    Int8Array, Int32Array, Int64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, UInt8Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Int32Type};
use half::f16;
use proptest::prelude::*;
use warpline::Error;
use warpline::ops::expr::Expr;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).expect("a batch")
}

fn mask(text: &str, batch: &RecordBatch) -> String {
    let mask = Expr::parse(text).and_then(|e| e.bind(&batch.schema())).and_then(|p| p.evaluate(batch));
    render(&mask.unwrap_or_else(|e| panic!("{text}: {e}")))
}

fn render(mask: &BooleanArray) -> String {
    mask.iter().map(|v| v.map_or('-', |v| if v { '1' } else { '0' })).collect()
}

fn error(text: &str, batch: &RecordBatch) -> String {
    let result = Expr::parse(text).and_then(|e| e.bind(&batch.schema())).and_then(|p| p.evaluate(batch));
    let message = result.expect_err(text).to_string();
    assert!(!message.contains('\n'), "more than one line: {message}");
    message
}

/// The rows at the head of the golden file, with each column in `types`' integer and text types.
fn golden_rows(lines: &mut std::str::Lines<'_>, integer: &DataType, text: &DataType) -> RecordBatch {
    let count: usize = lines.next().expect("a count").parse().expect("a number");
    let rows: Vec<Vec<&str>> = lines.take(count).map(|line| line.split('\t').collect()).collect();
    let column = |at: usize, data_type: &DataType| -> ArrayRef {
        let cells = rows.iter().map(|row| (row[at] != "null").then(|| row[at].trim_start_matches('\'')));
        arrow::compute::cast(&cells.collect::<StringArray>(), data_type).expect("a cast")
    };
    batch(vec![
        ("i", column(0, integer)),
        ("j", column(1, integer)),
        ("f", column(2, &DataType::Float64)),
        ("s", column(3, text)),
        ("t", column(4, text)),
        ("b", column(5, &DataType::Boolean)),
    ])
}

#[test]
fn equal_to_sqlite() {
    let types = [
        (DataType::Int64, DataType::Utf8),
        (DataType::Int16, DataType::LargeUtf8),
        (DataType::Int32, DataType::Utf8View),
        (DataType::Int32, DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))),
    ];
    for (integer, text) in types {
        let mut lines = include_str!("../golden/expr.txt").lines();
        let batch = golden_rows(&mut lines, &integer, &text);
        let mut checked = 0;
        for line in lines {
            let (expected, text) = line.split_once('\t').expect("mask and expression");
            assert_eq!(mask(text, &batch), expected, "{text} on {integer}");
            // The printed form means the same, and prints as itself.
            let printed = Expr::parse(text).expect("parsed once").to_string();
            assert_eq!(mask(&printed, &batch), expected, "{text} printed as {printed}");
            assert_eq!(Expr::parse(&printed).expect("parses").to_string(), printed);
            checked += 1;
        }
        assert_eq!(checked, 700);
    }
}

#[test]
fn a_slice_gives_the_slice_of_the_mask() {
    let mut lines = include_str!("../golden/expr.txt").lines();
    let batch = golden_rows(&mut lines, &DataType::Int64, &DataType::Utf8View);
    for line in lines.step_by(7) {
        let (expected, text) = line.split_once('\t').expect("mask and expression");
        for (from, rows) in [(0, 0), (3, 1), (1, 31), (7, 33), (47, 1)] {
            assert_eq!(mask(text, &batch.slice(from, rows)), expected[from..from + rows], "{text}");
        }
    }
}

#[test]
fn integers_of_any_types_compare_by_value() {
    let data = batch(vec![
        ("u8", Arc::new(UInt8Array::from(vec![0, 255, 7])) as ArrayRef),
        ("i8", Arc::new(Int8Array::from(vec![-1, -1, 7]))),
        ("u64", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 7]))),
        ("i64", Arc::new(Int64Array::from(vec![-1, i64::MIN, 7]))),
        ("u32", Arc::new(UInt32Array::from(vec![u32::MAX, 65536, 7]))),
    ]);
    assert_eq!(mask("u8 < 300", &data), "111");
    assert_eq!(mask("u8 > -1", &data), "111");
    assert_eq!(mask("u8 = i8", &data), "001");
    assert_eq!(mask("u64 = i64", &data), "001");
    assert_eq!(mask("u64 > i64", &data), "110");
    assert_eq!(mask("u64 = 18446744073709551615", &data), "100");
    assert_eq!(mask("i64 < 18446744073709551616", &data), "111");
    assert_eq!(mask("u32 * u32 >= 4294967296", &data), "110");
    assert_eq!(mask("u8 - 1 < 0", &data), "100");
    assert_eq!(mask("-u64 < 0", &data), "101");
    assert_eq!(mask("u64 / 2 > 9223372036854775806", &data), "100");
    assert_eq!(mask("i8 IN (255, -1)", &data), "110");
    assert_eq!(mask("u8 IN (7, -1, 300)", &data), "001");
}

#[test]
fn floats_have_one_zero_and_one_nan_on_top() {
    let values = [f64::NAN, -f64::NAN, -0.0, 0.0, f64::INFINITY, -1.5];
    let columns: [ArrayRef; 3] = [
        Arc::new(Float64Array::from(values.to_vec())),
        Arc::new(Float32Array::from(values.map(|v| v as f32).to_vec())),
        Arc::new(Float16Array::from(values.map(f16::from_f64).to_vec())),
    ];
    for column in columns {
        let data = batch(vec![("x", column)]);
        assert_eq!(mask("x = 0", &data), "001100");
        assert_eq!(mask("x < 0.0", &data), "000001");
        assert_eq!(mask("x = x", &data), "111111");
        assert_eq!(mask("x > 1e300", &data), "110010");
        assert_eq!(mask("x IN (0.0, -1.5)", &data), "001101");
    }
}

#[test]
fn decimals_compare_and_compute_exactly() {
    let cents = |values: Vec<i128>| Decimal128Array::from(values).with_precision_and_scale(10, 2).expect("a decimal");
    let data = batch(vec![
        ("price", Arc::new(cents(vec![10, 11, 100, -5])) as ArrayRef),
        ("n", Arc::new(Int32Array::from(vec![0, 1, 1, 2]))),
    ]);
    assert_eq!(mask("price = 0.1", &data), "1000");
    assert_eq!(mask("price < 0.105", &data), "1001");
    assert_eq!(mask("price = n", &data), "0010");
    assert_eq!(mask("price + price = 0.22", &data), "0100");
    assert_eq!(mask("price * n >= 0.11", &data), "0110");
    // Decimals of two scales keep their digits.
    assert_eq!(mask("price * CAST(0.125 AS DECIMAL(4, 3)) = 0.0125", &data), "1000");
    assert_eq!(mask("price + CAST(n AS DECIMAL(20, 4)) / 3 > 0.4433", &data), "0111");
    assert_eq!(mask("price IN (1, 0.11)", &data), "0110");
}

#[test]
fn times_take_text_and_each_other() {
    const DAY: i64 = 86_400_000_000;
    let data = batch(vec![
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(0), Some(DAY + 1), None])) as ArrayRef),
        ("zoned", Arc::new(TimestampMicrosecondArray::from(vec![0, DAY + 1, 5]).with_timezone("UTC"))),
        ("berlin", Arc::new(TimestampMillisecondArray::from(vec![0, 86_400_000, 5]).with_timezone("+02:00"))),
        ("day", Arc::new(Date32Array::from(vec![0, 1, 2]))),
    ]);
    assert_eq!(mask("at >= '1970-01-02'", &data), "01-");
    assert_eq!(mask("zoned > '1970-01-02 00:00:00'", &data), "010");
    assert_eq!(mask("berlin = '1970-01-02T02:00:00+02:00'", &data), "010");
    assert_eq!(mask("zoned >= berlin", &data), "110");
    assert_eq!(mask("at = zoned", &data), "11-");
    assert_eq!(mask("day BETWEEN '1970-01-02' AND DATE '1970-01-03'", &data), "011");
    assert_eq!(mask("day < at", &data), "01-");
    assert_eq!(mask("zoned >= TIMESTAMP '1970-01-02 00:00:00'", &data), "010");
    assert!(error("day = 'yesterday'", &data).contains("the text is no Date32"));
}

#[test]
fn casts_fail_with_the_row_or_give_null() {
    let data = batch(vec![("s", Arc::new(StringArray::from(vec![Some("1"), None, Some("x"), Some("y")])) as ArrayRef)]);
    assert_eq!(mask("TRY_CAST(s AS INT) = 1", &data), "1---");
    let message = error("CAST(s AS INT) = 1", &data);
    assert!(message.starts_with("filter: row 2: "), "{message}");
    assert_eq!(mask("s IN ('1', '2') AND s::INT = 1", &data), "1-00");
}

#[test]
fn arithmetic_fails_only_where_it_is_needed() {
    let data = batch(vec![
        ("n", Arc::new(Int64Array::from(vec![10, 7, i64::MAX])) as ArrayRef),
        ("d", Arc::new(Int64Array::from(vec![Some(5), Some(0), Some(1)]))),
    ]);
    assert_eq!(mask("d <> 0 AND n / d > 1", &data), "101");
    assert_eq!(mask("d = 0 OR n / d > 2", &data), "011");
    assert!(error("n / d > 1", &data).starts_with("filter: row 1: "), "{}", error("n / d > 1", &data));
    assert!(error("n + 1 > 0", &data).starts_with("filter: row 2: "));
    assert_eq!(mask("n / 2.0 > 4", &data), "101");
}

#[test]
fn text_types_mix() {
    let dictionary: DictionaryArray<Int32Type> = vec!["a", "b", "a"].into_iter().collect();
    let data = batch(vec![
        ("plain", Arc::new(StringArray::from(vec!["a", "b", "c"])) as ArrayRef),
        ("large", Arc::new(LargeStringArray::from(vec!["a", "x", "c"]))),
        ("view", Arc::new(StringViewArray::from(vec!["a", "b", "a text beyond twelve bytes"]))),
        ("dictionary", Arc::new(dictionary)),
    ]);
    assert_eq!(mask("plain = large", &data), "101");
    assert_eq!(mask("view = plain", &data), "110");
    assert_eq!(mask("dictionary = view", &data), "110");
    assert_eq!(mask("view LIKE '%TWELVE%'", &data), "000");
    assert_eq!(mask("view ILIKE '%TWELVE%'", &data), "001");
    assert_eq!(mask("dictionary IN ('b')", &data), "010");
}

#[test]
fn names_with_case_spaces_and_keywords() {
    let one = || Arc::new(Int32Array::from(vec![1])) as ArrayRef;
    let data = batch(vec![("Width", one()), ("my col", one()), ("select", one()), ("a.b", one()), ("label", one())]);
    for text in ["Width = 1", "\"my col\" = 1", "\"select\" = 1", "a.b = 1", "label = 1", "\"a.b\" = 1"] {
        assert_eq!(mask(text, &data), "1");
        assert_eq!(mask(&Expr::parse(text).expect("parses").to_string(), &data), "1", "{text}");
    }
    let message = error("width = 1", &data);
    assert_eq!(message, "filter: column 'width': no such column; there are: Width, my col, select, a.b, label");
}

#[test]
fn what_is_no_filter_says_so() {
    let data = batch(vec![("w", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]);
    for (text, part) in [
        ("w >=", "cannot parse 'w >='"),
        ("w > 1 2", "unexpected '2'"),
        ("", "cannot parse"),
        ("w", "a condition is needed"),
        ("w + 1", "a condition is needed"),
        ("w AND true", "a condition is needed"),
        ("w = 'abc'", "puts Int32 beside Utf8"),
        ("w LIKE 'a%'", "puts Int32 beside Utf8"),
        ("upper(w) = 'A'", "is not supported"),
        ("w IN (SELECT 1)", "is not supported"),
        ("w = 1e999", "outside f64"),
        ("w = 123456789012345678901234567890123456789", "more than 38 digits"),
        ("CAST(w AS BLOB) = 1", "the type BLOB is not supported"),
    ] {
        let message = error(text, &data);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn deep_nesting_is_refused_not_overflowed() {
    let data = batch(vec![("w", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]);
    let chain = |n: usize| vec!["w = 1"; n].join(" OR ");
    assert_eq!(mask(&chain(150), &data), "1");
    for text in [chain(50_000), "(".repeat(10_000), "NOT ".repeat(5_000) + "w = 1", "-".repeat(9_000) + "w = 1"] {
        let refused = Expr::parse(&text);
        assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{:?}", refused.map(|_| ()));
    }
    let long: Vec<String> = (0..20_000).map(|i| i.to_string()).collect();
    assert_eq!(mask(&format!("w IN ({})", long.join(", ")), &data), "1");
}

#[test]
fn null_literals_and_constants() {
    let data = batch(vec![("w", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef)]);
    assert_eq!(mask("w = NULL", &data), "--");
    assert_eq!(mask("NULL", &data), "--");
    assert_eq!(mask("TRUE", &data), "11");
    assert_eq!(mask("1 < 2 AND NULL IS NULL", &data), "11");
    assert_eq!(mask("w IN (1, NULL)", &data), "1-");
    assert_eq!(mask("w NOT IN (1, NULL)", &data), "0-");
    assert_eq!(mask("NULL IN (NULL, NULL)", &data), "--");
    assert_eq!(mask("w = 1", &data.slice(0, 0)), "");
}

proptest! {
    #[test]
    fn any_text_parses_or_says_why(text in "[a-z0-9 ()<>=+*/%'\"._-]{0,60}") {
        if let Ok(expr) = Expr::parse(&text) {
            let printed = expr.to_string();
            prop_assert_eq!(Expr::parse(&printed).expect("printed text parses"), expr);
        }
    }
}
