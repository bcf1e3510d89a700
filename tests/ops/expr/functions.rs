//! CASE, COALESCE, functions, time arithmetic and select lists.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, Date32Array, DurationMillisecondArray, Float32Array, Int8Array, Int32Array,
    Int64Array, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray, TimestampSecondArray,
    UInt64Array,
};
use arrow::datatypes::{DataType, Int64Type};
use warpline::ops::expr::{Expr, Projection, Select};

use super::{batch, error, mask};

fn project(text: &str, batch: &RecordBatch) -> RecordBatch {
    bound(text, batch).evaluate(batch).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn bound(text: &str, batch: &RecordBatch) -> Projection {
    let select = Select::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let printed = select.to_string();
    assert_eq!(Select::parse(&printed).unwrap_or_else(|e| panic!("{printed}: {e}")), select, "{text} as {printed}");
    select.bind(&batch.schema()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// One output, as text.
fn column(text: &str, batch: &RecordBatch) -> String {
    let array = project(text, batch).column(0).clone();
    let text = arrow::compute::cast(&array, &DataType::Utf8).expect("text");
    let cells = text.as_string::<i32>().iter().map(|cell| cell.unwrap_or("-").to_owned());
    cells.collect::<Vec<_>>().join(" ")
}

fn project_error(text: &str, batch: &RecordBatch) -> String {
    Select::parse(text)
        .and_then(|s| s.bind(&batch.schema()))
        .and_then(|p| p.evaluate(batch))
        .expect_err(text)
        .to_string()
}

fn numbers() -> RecordBatch {
    batch(vec![
        ("n", Arc::new(Int32Array::from(vec![Some(10), Some(7), None, Some(i32::MAX)])) as ArrayRef),
        ("d", Arc::new(Int32Array::from(vec![Some(5), Some(0), Some(1), None]))),
        ("k", Arc::new(Int8Array::from(vec![Some(127), Some(-128), None, Some(0)]))),
        ("u", Arc::new(UInt64Array::from(vec![0, u64::MAX, 7, 1]))),
        ("f", Arc::new(Float32Array::from(vec![Some(0.5), Some(-0.0), None, Some(2.0)]))),
        ("s", Arc::new(StringArray::from(vec![Some("1"), Some("x"), None, Some("22")]))),
    ])
}

#[test]
fn case_takes_the_first_true_branch() {
    let data = numbers();
    assert_eq!(column("CASE WHEN n > 8 THEN 'big' WHEN n > 6 THEN 'mid' END", &data), "big mid - big");
    assert_eq!(column("CASE n WHEN 7 THEN 1 WHEN 10 THEN 2 ELSE 0 END", &data), "2 1 0 0");
    assert_eq!(column("CASE WHEN n > 8 THEN 'big' END", &data.slice(0, 0)), "");
    assert_eq!(column("CASE WHEN NULL THEN 1 ELSE NULL END", &data), "- - - -");
    assert!(project_error("CASE WHEN n THEN 1 END", &data).contains("a condition is needed"));
}

#[test]
fn what_a_branch_does_not_take_cannot_fail() {
    let data = numbers();
    assert_eq!(column("CASE WHEN d <> 0 THEN n / d ELSE -1 END", &data), "2 -1 - -1");
    assert_eq!(column("CASE WHEN d = 0 THEN 0 WHEN n / d > 1 THEN 1 ELSE 2 END", &data), "1 0 2 2");
    assert_eq!(column("coalesce(d, n / 0 * 0, 3)", &data.slice(0, 3)), "5 0 1");
    assert_eq!(column("coalesce(k, CAST(s AS INT))", &data), "127 -128 - 0");
    assert_eq!(mask("CASE WHEN s = 'x' THEN FALSE ELSE CAST(s AS INT) > 1 END", &data), "00-1");
    assert!(project_error("CASE WHEN n = 7 THEN n / d ELSE 0 END", &data).starts_with("project: row 1: "));
    assert!(project_error("coalesce(NULL, n / d)", &data).starts_with("project: row 1: "));
    // The lowest row of all outputs.
    assert!(project_error("CAST(k AS INT) + n, CAST(s AS INT), n / d", &data).starts_with("project: row 1: "));
}

#[test]
fn choices_have_one_type() {
    let data = numbers();
    let types = |text: &str| bound(text, &data).schema().field(0).data_type().clone();
    assert_eq!(types("CASE WHEN n = 1 THEN n ELSE k END"), DataType::Int64);
    assert_eq!(types("CASE WHEN n = 1 THEN 1 ELSE n END"), DataType::Int32);
    assert_eq!(types("coalesce(1, 300, k)"), DataType::Int64);
    assert_eq!(types("coalesce(NULL, k)"), DataType::Int8);
    assert_eq!(types("coalesce(NULL, NULL)"), DataType::Null);
    assert_eq!(types("nullif(k, 0)"), DataType::Int8);
    assert_eq!(column("nullif(k, 0)", &data), "127 -128 - -");
    assert_eq!(types("f + f"), DataType::Float32);
    assert_eq!(types("f + n"), DataType::Float32);
    assert_eq!(types("f * 0.5"), DataType::Float64);
    assert_eq!(column("f + f", &data), "1.0 -0.0 - 4.0");
    let message = project_error("CASE WHEN n = 1 THEN n ELSE s END", &data);
    assert!(message.contains("beside"), "{message}");
}

/// What the module's documentation lists, beside DataFusion 55's answers for the same data.
#[test]
fn where_datafusion_answers_otherwise() {
    let texts = vec!["2020-01-02 03:04:05.123456789", "2500-01-01 00:00:00", "1600-01-01 00:00:00"];
    let data = batch(vec![
        ("u", Arc::new(UInt64Array::from(vec![7, 1, u64::MAX])) as ArrayRef),
        ("k", Arc::new(Int8Array::from(vec![1, 0, -1]))),
        ("n", Arc::new(Int32Array::from(vec![1, 2, 3]))),
        ("s", Arc::new(StringArray::from(texts))),
    ]);
    let both = |text: &str| (bound(text, &data).schema().field(0).data_type().to_string(), column(text, &data));
    let is = |text: &str, data_type: &str, values: &str| {
        assert_eq!(both(text), (data_type.to_owned(), values.to_owned()), "{text}");
    };
    // timestamp[ns]; the second and third row fail.
    let micros = "2020-01-02T03:04:05.123456 2500-01-01T00:00:00 1600-01-01T00:00:00";
    is("CAST(s AS TIMESTAMP)", "Timestamp(µs)", micros);
    is("TIMESTAMP '2020-01-02 03:04:05.123456789'", "Timestamp(µs)", &[&micros[..26]; 3].join(" "));
    // decimal(24, 4): 3.5000 0.5000 9223372036854775807.5000
    is("u / 2", "UInt64", "3 0 9223372036854775807");
    // decimal(21, 0): 8 2 18446744073709551616
    assert!(project_error("u + 1", &data).starts_with("project: row 2: "));
    // decimal(21, 0): -1 for 7 - 8
    assert!(project_error("u - 8", &data).starts_with("project: row 0: "));
    // With a sign it is a decimal here too.
    is("u / -2", "Decimal128(24, 4)", "-3.5000 -0.5000 -9223372036854775807.5000");
    // int32, int64, float64, decimal(20, 0)
    is("nullif(k, n)", "Int8", "- 0 -1");
    is("nullif(k, 300)", "Int8", "1 0 -1");
    is("nullif(n, 2.0)", "Int32", "1 - 3");
    is("nullif(u, 7)", "UInt64", "- 1 18446744073709551615");
}

#[test]
fn wrapping_stays_in_its_type() {
    let data = numbers();
    assert_eq!(column("wrapping_add(k, 1)", &data), "-128 -127 - 1");
    assert_eq!(column("wrapping_sub(k, 1)", &data), "126 127 - -1");
    assert_eq!(column("wrapping_mul(k, k)", &data), "1 0 - 0");
    assert_eq!(column("wrapping_neg(k)", &data), "-127 -128 - 0");
    assert_eq!(column("wrapping_neg(u)", &data), format!("0 1 {} {}", u64::MAX - 6, u64::MAX));
    assert_eq!(column("wrapping_add(n, n)", &data), "20 14 - -2");
    for text in ["wrapping_add(k, n)", "wrapping_add(k, 300)", "wrapping_add(f, f)", "wrapping_neg(f)"] {
        let message = project_error(text, &data);
        assert!(message.contains("integers of one type"), "{text}: {message}");
    }
    assert!(project_error("wrapping_add(k)", &data).contains("takes 2 arguments, 1 are given"));
}

#[test]
fn texts_are_searched_and_measured() {
    let words = vec![Some("café"), Some(""), None, Some("a text beyond twelve bytes"), Some("ca")];
    let bytes: Vec<Option<&[u8]>> = words.iter().map(|w| w.map(str::as_bytes)).collect();
    for text in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
        let array = arrow::compute::cast(&StringViewArray::from(words.clone()), &text).expect("text");
        let plain = StringArray::from(vec![Some("ca"), Some(""), Some("x"), Some("bytes"), None]);
        let data = batch(vec![
            ("s", array),
            ("p", Arc::new(plain) as ArrayRef),
            ("b", Arc::new(BinaryArray::from(bytes.clone()))),
        ]);
        assert_eq!(mask("starts_with(s, 'ca')", &data), "10-01");
        assert_eq!(mask("ends_with(s, '')", &data), "11-11");
        assert_eq!(mask("contains(s, p)", &data), "11-1-");
        assert_eq!(column("length(s), char_length(s)  AS c", &data), "4 0 - 26 2");
        assert_eq!(column("octet_length(s)", &data), "5 0 - 26 2");
        assert_eq!(column("octet_length(b)", &data), "5 0 - 26 2");
        assert!(project_error("length(b)", &data).contains("takes text, not Binary"));
        assert!(error("starts_with(b, b)", &data).contains("takes text, not Binary"));
    }
}

#[test]
fn times_have_parts_and_shift() {
    const DAY: i64 = 86_400;
    let data = batch(vec![
        ("day", Arc::new(Date32Array::from(vec![Some(0), Some(18_321), None])) as ArrayRef),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![-1, 1_582_934_399_000_000, 0]))),
        ("tokyo", Arc::new(TimestampSecondArray::from(vec![0, 15 * 3600, DAY]).with_timezone("+09:00"))),
        ("gap", Arc::new(DurationMillisecondArray::from(vec![1, -1000, 0]))),
    ]);
    assert_eq!(column("EXTRACT(YEAR FROM day)", &data), "1970 2020 -");
    assert_eq!(column("EXTRACT(DOW FROM day)", &data), "4 6 -");
    assert_eq!(column("date_part('doy', day)", &data), "1 60 -");
    assert_eq!(column("EXTRACT(SECOND FROM at)", &data), "59 59 0");
    assert_eq!(column("EXTRACT(HOUR FROM tokyo)", &data), "9 0 9");
    assert_eq!(column("EXTRACT(DAY FROM tokyo)", &data), "1 2 2");
    assert_eq!(column("day - DATE '1970-01-02'", &data), "-1 18320 -");
    assert_eq!(column("CAST(day + INTERVAL '1 month' AS VARCHAR)", &data), "1970-02-01 2020-03-29 -");
    assert_eq!(column("arrow_cast(at + gap, 'Int64')", &data), "999 1582934398000000 0");
    let types = |text: &str| bound(text, &data).schema().field(0).data_type().to_string();
    assert_eq!(types("at - at"), "Duration(µs)");
    assert_eq!(types("tokyo + INTERVAL '2' DAY"), "Timestamp(s, \"+09:00\")");
    let message = project_error("at * 2", &data);
    assert!(message.contains("times are only added and subtracted"), "{message}");
    assert!(project_error("EXTRACT(EPOCH FROM at)", &data).contains("the date part 'EPOCH' is not supported"));
    assert!(project_error("EXTRACT(YEAR FROM gap)", &data).contains("a date, time or timestamp is needed"));
}

#[test]
fn extremes_of_the_calendar_fail_or_are_null() {
    let data = batch(vec![
        ("day", Arc::new(Date32Array::from(vec![i32::MIN, i32::MAX])) as ArrayRef),
        ("at", Arc::new(TimestampSecondArray::from(vec![i64::MIN, i64::MAX]))),
    ]);
    assert_eq!(column("EXTRACT(YEAR FROM at)", &data), "- -");
    for text in [
        "day + INTERVAL '1 day'",
        "at + INTERVAL '1 month'",
        "day - INTERVAL '999999999 months'",
        "at - TIMESTAMP '1970-01-01 00:00:01'",
    ] {
        let message = project_error(text, &data);
        assert!(message.starts_with("project: row 0: ") || message.starts_with("project: row 1: "), "{message}");
    }
}

#[test]
fn a_select_list_names_its_outputs() {
    let data = numbers();
    let out = project("*, n AS \"the n\", n + 1, k AS \"select\", length(s) l", &data);
    let names: Vec<&str> = out.schema_ref().fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["n", "d", "k", "u", "f", "s", "the n", "n + 1", "select", "l"]);
    assert_eq!(out.column(6), data.column(0));
    assert_eq!(project("n IS NULL, n", &data.slice(0, 0)).num_rows(), 0);
    for (text, part) in [
        ("n, n", "column 'n': two outputs have this name"),
        ("*, k", "column 'k': two outputs have this name"),
        ("", "cannot parse"),
        ("n +", "cannot parse"),
        ("n FROM t", "unexpected 'FROM'"),
        ("* EXCLUDE (n)", "is not supported"),
        ("sum(n) OVER ()", "is not supported"),
        ("missing", "column 'missing': no such column"),
    ] {
        let message = project_error(text, &data);
        assert!(message.contains(part), "{text}: {message}");
    }
    let two = data.project(&[0, 1]).expect("two columns");
    let message = bound("n", &data).evaluate(&two).expect_err("other columns").to_string();
    assert!(message.contains("has 2 columns, 6 were bound"), "{message}");
}

#[test]
fn large_batches_are_evaluated_in_chunks() {
    let rows = 300_001;
    let data = batch(vec![("n", Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef)]);
    let out = project("n, n * 2 AS twice, 1 AS one, CASE WHEN n % 2 = 0 THEN n END AS even", &data);
    assert_eq!(out.num_rows() as i64, rows);
    let twice = out.column(1).as_primitive::<Int64Type>();
    assert!(twice.values().iter().enumerate().all(|(i, v)| *v == 2 * i as i64));
    assert_eq!(out.column(3).null_count() as i64, rows / 2);
    assert!(project_error("1 / (n - 200000)", &data).starts_with("project: row 200000: "));
    assert!(error("1 / (n - 200000) = 0 OR n / (n - 250000) = 1", &data).starts_with("filter: row 200000: "));
}

#[test]
fn what_repeats_too_much_is_refused() {
    let mut text = "n".to_owned();
    for _ in 0..30 {
        text = format!("CASE {text} WHEN 1 THEN 1 WHEN 2 THEN 2 END");
    }
    assert!(project_error(&text, &numbers()).contains("repeats too much"));
    let cast = Expr::parse("arrow_cast(n, 'FixedSizeBinary(3)') = 1").map(drop);
    assert!(cast.expect_err("no such cast").to_string().contains("a cast to"));
}
