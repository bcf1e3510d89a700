//! Intervals and durations on a device against the host: sums, comparisons, dates and timestamps that they move, text.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Date32Array, DurationMicrosecondArray, Int64Array, IntervalDayTimeArray,
    IntervalMonthDayNanoArray, IntervalYearMonthArray, RecordBatch, StringArray, UInt64Array,
};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, IntervalDayTime, IntervalMonthDayNano, TimeUnit};
use warpline::ExecCtx;
use warpline::ops::expr::Select;

use super::batch;
use super::projection::agree;
use crate::common::with_device;

const LONG: [i64; 13] = [
    0,
    1,
    -1,
    999_999,
    -1_000_000,
    1_500_000_000,
    -61_000_000_001,
    86_400_000_000_000,
    -86_400_000_000_001,
    3_599_999_999_999,
    i64::MAX,
    i64::MIN,
    -i64::MAX,
];
const SHORT: [i32; 15] =
    [0, 1, -1, 11, -12, 13, 365, -400, 1_000, -61_001, 3_145_717, -3_145_717, i32::MAX, i32::MIN, -i32::MAX];

/// `some` of the combinations of parts, the same ones each time.
fn month_day_nanos(some: usize) -> IntervalMonthDayNanoArray {
    let all = SHORT.iter().flat_map(|m| SHORT.iter().flat_map(move |d| LONG.iter().map(move |n| (*m, *d, *n))));
    let all = all.map(|(months, days, nanoseconds)| Some(IntervalMonthDayNano { months, days, nanoseconds }));
    all.step_by(some).chain([None]).collect()
}

fn day_times(some: usize) -> IntervalDayTimeArray {
    let all = SHORT.iter().flat_map(|d| SHORT.iter().map(move |ms| (*d, *ms)));
    all.map(|(days, milliseconds)| Some(IntervalDayTime { days, milliseconds })).step_by(some).chain([None]).collect()
}

fn months() -> IntervalYearMonthArray {
    SHORT.iter().copied().map(Some).chain([None]).collect()
}

/// Every row of `a` beside every row of `b`.
fn crossed(a: ArrayRef, b: ArrayRef) -> RecordBatch {
    let (n, m) = (a.len() as u64, b.len() as u64);
    let left = batch(vec![("a", a)]);
    let right = batch(vec![("b", b)]);
    let take = |rows: &RecordBatch, at: Vec<u64>| take_record_batch(rows, &UInt64Array::from(at)).expect("rows");
    let left = take(&left, (0..n * m).map(|row| row / m).collect());
    let right = take(&right, (0..n * m).map(|row| row % m).collect());
    batch(vec![("a", left.column(0).clone()), ("b", right.column(0).clone())])
}

/// The rows with a value on the host agree together, a few of those without one alone. How many there were of each.
fn rows_agree(ctx: &ExecCtx, text: &str, rows: &RecordBatch) -> [usize; 2] {
    let projection = Select::parse(text).and_then(|select| select.bind(&rows.schema()));
    let projection = projection.unwrap_or_else(|e| panic!("{text}: {e}"));
    let (well, ill): (Vec<u64>, Vec<u64>) =
        (0..rows.num_rows() as u64).partition(|row| projection.evaluate(&rows.slice(*row as usize, 1)).is_ok());
    let counts = [well.len(), ill.len()];
    let well = take_record_batch(rows, &UInt64Array::from(well)).expect("rows");
    assert_eq!(agree(ctx, text, &well), "");
    for row in ill.iter().step_by(ill.len().div_ceil(40).max(1)) {
        assert_ne!(agree(ctx, text, &rows.slice(*row as usize, 1)), "", "{text}");
    }
    // The lowest of many.
    agree(ctx, text, rows);
    counts
}

#[test]
fn sums_and_comparisons() {
    let all: [ArrayRef; 3] = [Arc::new(month_day_nanos(53)), Arc::new(day_times(5)), Arc::new(months())];
    with_device(|ctx| {
        for array in &all {
            let rows = crossed(array.clone(), array.clone());
            for op in ["<", "<=", "=", "<>", ">=", ">"] {
                assert_eq!(rows_agree(ctx, &format!("a {op} b AS x"), &rows)[1], 0);
            }
            for text in ["a + b AS x", "a - b AS x", "-a AS x"] {
                assert!(rows_agree(ctx, text, &rows).iter().all(|n| *n > 3), "{text}");
            }
            rows_agree(ctx, "nullif(a, b) AS x, COALESCE(a, b) AS y, CASE WHEN a < b THEN a ELSE b END AS z", &rows);
            rows_agree(ctx, "a BETWEEN b AND a AS x, b AS y", &rows);
        }
        let rows = crossed(all[1].clone(), all[2].clone());
        assert_eq!(agree(ctx, "a < b AS x, b = a AS y, nullif(a, b) AS z", &rows), "");
        rows_agree(ctx, "a + b AS x, b - a AS y", &rows);
        let rows = crossed(all[0].clone(), all[0].clone());
        let list =
            "INTERVAL '1 month', INTERVAL '11 months -1 day', INTERVAL '0 months', INTERVAL '-12 months 1 nanosecond'";
        assert_eq!(agree(ctx, &format!("a IN ({list}) AS x, b NOT IN ({list}, NULL) AS y"), &rows), "");
        assert_eq!(agree(ctx, "a < INTERVAL '1 month 1 day' AS x, a AS y, INTERVAL '1 day' AS z", &rows), "");
    });
}

/// First and last day that the calendar holds.
const CALENDAR: [i32; 2] = [-96_465_292, 95_026_236];

fn days() -> ArrayRef {
    let [first, last] = CALENDAR;
    let near = [first, last, 0, 59, 11_016, 19_782, -25_509, -719_528];
    let near = near.into_iter().flat_map(|day| [-1, 0, 1, 30, -31].map(|more| day + more));
    Arc::new(near.chain([i32::MIN, i32::MAX]).map(Some).chain([None]).collect::<Date32Array>())
}

#[test]
fn dates_move() {
    let spans: [ArrayRef; 3] = [Arc::new(month_day_nanos(41)), Arc::new(day_times(5)), Arc::new(months())];
    with_device(|ctx| {
        for span in &spans {
            let rows = crossed(days(), span.clone());
            for text in ["a + b AS x", "a - b AS x", "b + a AS x"] {
                assert!(rows_agree(ctx, text, &rows).iter().all(|n| *n > 20), "{text}");
            }
        }
    });
}

#[test]
fn timestamps_move_on_their_zones_calendar() {
    let [first, last] = CALENDAR.map(|day| i64::from(day) * 86_400);
    let near = [first, last, 0, 951_782_400, 1_709_251_199, -2_203_977_600];
    let near = near.into_iter().flat_map(|second| [-1, 0, 1, 86_399, -50_400, 86_400 * 30].map(|more| second + more));
    let seconds: Vec<i64> = near.chain([i64::MIN, i64::MAX]).collect();
    let spans: [ArrayRef; 3] = [Arc::new(month_day_nanos(59)), Arc::new(day_times(7)), Arc::new(months())];
    let units = [
        (TimeUnit::Second, 1),
        (TimeUnit::Millisecond, 1_000),
        (TimeUnit::Microsecond, 1_000_000),
        (TimeUnit::Nanosecond, 1_000_000_000),
    ];
    with_device(|ctx| {
        for (unit, scale) in units {
            let scaled = seconds.iter().filter_map(|second| second.checked_mul(scale)?.checked_add(scale / 3));
            let values: ArrayRef = Arc::new(scaled.map(Some).chain([None]).collect::<Int64Array>());
            for zone in [None, Some("UTC"), Some("+09:30"), Some("-14:00")] {
                let moments = cast(&values, &DataType::Timestamp(unit, zone.map(Into::into))).expect("numbers");
                for span in &spans {
                    let rows = crossed(moments.clone(), span.clone());
                    for text in ["a + b AS x", "a - b AS x"] {
                        assert!(rows_agree(ctx, text, &rows).iter().all(|n| *n > 20), "{text} {unit:?} {zone:?}");
                    }
                }
            }
        }
    });
}

#[test]
fn casts_and_text() {
    use arrow::array::{DurationMillisecondArray, DurationNanosecondArray, DurationSecondArray};
    let edges = [9_223_372_036_854_775, 9_223_372_036_854_776, -9_223_372_036_854_775, -9_223_372_036_854_776];
    let numbers: Vec<Option<i64>> = LONG.iter().chain(&edges).copied().map(Some).chain([None]).collect();
    let rows = |array: ArrayRef| batch(vec![("a", array)]);
    let durations = [
        rows(Arc::new(DurationSecondArray::from(numbers.clone()))),
        rows(Arc::new(DurationMillisecondArray::from(numbers.clone()))),
        rows(Arc::new(DurationMicrosecondArray::from(numbers.clone()))),
        rows(Arc::new(DurationNanosecondArray::from(numbers))),
    ];
    let spans = [rows(Arc::new(month_day_nanos(1))), rows(Arc::new(day_times(1))), rows(Arc::new(months()))];
    with_device(|ctx| {
        for rows in durations.iter().chain(&spans) {
            for to in ["Utf8", "LargeUtf8", "Utf8View"] {
                assert_eq!(agree(ctx, &format!("arrow_cast(a, '{to}') AS x"), rows), "");
            }
            assert_eq!(agree(ctx, "length(arrow_cast(a, 'Utf8')) AS x, a", rows), "");
        }
        for rows in &durations {
            rows_agree(ctx, "arrow_cast(a, 'Interval(MonthDayNano)') AS x", rows);
            assert_eq!(rows_agree(ctx, "-a AS x", rows)[1], 1);
            assert_eq!(agree(ctx, "arrow_try_cast(a, 'Interval(MonthDayNano)') AS x", rows), "");
        }
        for rows in &spans {
            assert_eq!(agree(ctx, "arrow_cast(a, 'Interval(MonthDayNano)') AS x", rows), "");
        }
        for unit in ["Second", "Millisecond", "Microsecond", "Nanosecond"] {
            rows_agree(ctx, &format!("arrow_cast(a, 'Duration({unit})') AS x"), &spans[0]);
            assert_eq!(agree(ctx, &format!("arrow_try_cast(a, 'Duration({unit})') AS x"), &spans[0]), "");
        }
    });
}

/// By arrow-rs's grammar: its units, amounts and their fractions, and what no interval is.
#[test]
fn text_is_read() {
    let units = "c cent cents century centuries dec decs decade decades y yr yrs year years mon mons month months w week weeks \
        d day days h hr hrs hour hours m min mins minute minutes s sec secs second seconds ms msec msecs msecond mseconds \
        millisecond milliseconds us usec usecs usecond useconds microsecond microseconds nanosecond nanoseconds ns dayz \
        millisecondz microsecondss monthsmonthsmonths DaYs wee\u{212a} \u{e9} day\u{0}";
    let amounts = "0 1 -1 2.5 -0.5 .5 -.25 1. - . -. 1.2.3 --1 1.-5 +1 1e3 0.000000000000001 -3.999999999999999 \
        1.0000000000000000 178956970 178956971 -178956971 2147483647 2147483648 -2147483649 153722867280 \
        9223372036854775807 -9223372036854775808 9223372036854775808 106751.991167300646 2562047 2562048";
    let one_unit = units.split(' ').flat_map(|unit| ["1.5", "-7"].map(|n| format!("{n} {unit}")));
    let some = ["years", "dec", "months", "weeks", "days", "hours", "minutes", "s", "ms", "us", "nanoseconds", ""];
    let amounts = amounts.split_whitespace().flat_map(|n| some.map(|unit| format!("{n} {unit}").trim_end().to_owned()));
    let rest = "|1|1 | 1 day|1  day|1\u{3000}day|1\u{2003}day 2\u{a0}hours|1day|1day2hours|1day 2hours|1 day 2|1 day 2 3|3 1 day|\
        1 month 30 days -24 hours 0.5 seconds|1 day 1 days|1 y 13 mons|-1 year 2 months -3 days 4 hours -5 minutes 6.789 s|\
        2147483647 days 1 week|-2147483648 months -1 year|9223372036 seconds 854775807 nanoseconds|\
        9223372036 seconds 854775808 nanoseconds|24.5 hours 1 ms|0.1 y|1 century 1 decade|1 day \u{e9}|day|day 1|\
        P1Y2M|1:02:03|1 day 1:02:03|1.5 months 1.5 weeks 1.5 days|71582788 months 7 days|71582789 months";
    let texts = one_unit.chain(amounts).chain(rest.split('|').map(str::to_owned)).map(Some).chain([None]);
    let rows = batch(vec![("s", Arc::new(texts.collect::<StringArray>()) as ArrayRef)]);
    with_device(|ctx| {
        for unit in ["YearMonth", "DayTime", "MonthDayNano"] {
            let to = format!("arrow_try_cast(s, 'Interval({unit})') AS x");
            assert_eq!(agree(ctx, &to, &rows), "", "{unit}");
            let [good, bad] = rows_agree(ctx, &format!("arrow_cast(s, 'Interval({unit})') AS x"), &rows);
            assert!(good > 30 && bad > 100, "{good} good, {bad} bad");
        }
    });
}
