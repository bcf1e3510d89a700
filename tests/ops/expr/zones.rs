//! Zones by name on a device against the host, which asks chrono-tz through arrow-rs; in builds without the zone database
//! there is nothing to test.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use warpline::ExecCtx;

use super::batch;
use super::casts::rows_agree;
use super::projection::agree;
use crate::common::samples::Random;
use crate::common::with_device;

/// Half hours, seconds in old offsets, a day that was left out, a summer of half an hour, winters twice a year, offsets of
/// more than half a day.
const ZONES: [&str; 10] = [
    "Europe/Paris",
    "America/New_York",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Africa/Monrovia",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Manila",
    "America/Sitka",
    "Pacific/Kiritimati",
];

/// Seconds around the hours of every month of some years, random ones, and the ends of the calendar.
fn seconds() -> Vec<i64> {
    let mut random = Random(7);
    let mut seconds = Vec::new();
    for year in [1844, 1883, 1911, 1919, 1941, 1972, 1976, 2011, 2024, 2037, 2099, 2150] {
        let start = (year - 1970) * 31_556_952;
        seconds.extend((0..120).map(|i| start + i * 262_974 / 3_600 * 3_600));
        seconds.extend((0..40).map(|_| start + random.below(31_556_952) as i64));
    }
    // Where clocks changed in Paris, New York, Apia, Lord Howe, Monrovia.
    for change in [1_711_846_800, 1_729_990_800, 1_710_054_000, 1_730_613_600, 1_325_239_200, 1_712_415_600, 63_593_070]
    {
        let near =
            [-90_000, -7_200, -3_601, -3_600, -1_800, -1, 0, 1, 1_799, 1_800, 3_599, 3_600, 7_199, 7_200, 50_400];
        seconds.extend(near.map(|by| change + by));
    }
    let [first, last] = [-8_334_601_228_800, 8_210_266_876_799];
    seconds.extend([first, first + 1, first + 40_000, last, last - 40_000, first - 1, last + 1, i64::MIN, i64::MAX]);
    seconds
}

fn moments(unit: TimeUnit, zone: Option<&str>) -> RecordBatch {
    let scale = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let scaled = seconds().into_iter().filter_map(|second| second.checked_mul(scale)?.checked_add(scale / 3));
    let numbers: ArrayRef = Arc::new(scaled.map(Some).chain([None]).collect::<Int64Array>());
    let values = cast(&numbers, &DataType::Timestamp(unit, zone.map(Into::into))).expect("numbers");
    batch(vec![("t", values)])
}

fn with_zones(test: impl Fn(&ExecCtx, TimeUnit, &str)) {
    if "Europe/Paris".parse::<Tz>().is_err() {
        eprintln!("skipped: arrow-rs was built without its zone database, which the workspace's build has");
        return;
    }
    with_device(|ctx| {
        for (i, zone) in ZONES.into_iter().enumerate() {
            let unit = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond][i % 4];
            test(ctx, unit, zone);
        }
    });
}

#[test]
fn clocks_of_zones() {
    with_zones(|ctx, unit, zone| {
        let rows = moments(unit, Some(zone));
        let parts = ["YEAR", "MONTH", "DAY", "DOY", "HOUR", "MINUTE", "SECOND"];
        let parts = parts.map(|part| format!("EXTRACT({part} FROM t) AS {part}")).join(", ");
        assert_eq!(agree(ctx, &parts, &rows), "", "{zone}");
        for to in ["Date32", "Utf8", "Time64(Nanosecond)", "Time32(Second)", "Date64", "Timestamp(Second, None)"] {
            // Where the calendar does not hold a value the cast of the column fails.
            agree(ctx, &format!("arrow_cast(t, '{to}') AS x"), &rows);
            rows_agree(ctx, &format!("arrow_cast(t, '{to}') AS x"), &rows, 37);
            let (inside, ends) = (rows.slice(0, rows.num_rows() - 10), rows.slice(rows.num_rows() - 10, 10));
            assert_eq!(agree(ctx, &format!("arrow_cast(t, '{to}') AS x"), &inside), "", "{zone} {to}");
            rows_agree(ctx, &format!("arrow_cast(t, '{to}') AS x"), &ends, 1);
        }
    });
}

/// Hours that clocks skip, and those that they show twice, are no moment.
#[test]
fn moments_of_zones_clocks() {
    with_zones(|ctx, unit, zone| {
        let rows = moments(unit, None);
        for to in [format!("Timestamp(Second, Some(\"{zone}\"))"), format!("Timestamp(Nanosecond, Some(\"{zone}\"))")] {
            assert_eq!(agree(ctx, &format!("arrow_try_cast(t, '{to}') AS x"), &rows), "", "{zone}");
            rows_agree(ctx, &format!("arrow_cast(t, '{to}') AS x"), &rows, 31);
            let days = "arrow_try_cast(arrow_try_cast(t, 'Date32'), '{to}') AS x".replace("{to}", &to);
            agree(ctx, &days, &rows);
        }
    });
}

/// Text without an offset is of the zone's clock.
#[test]
fn text_of_a_zones_clock() {
    with_zones(|ctx, unit, zone| {
        // Without those at the ends of the calendar.
        let moments = moments(TimeUnit::Millisecond, None);
        let printed = cast(&moments.column(0).slice(0, moments.num_rows() - 10), &DataType::Utf8).expect("text");
        let printed = printed.as_string::<i32>().iter().flatten();
        let texts = printed.enumerate().map(|(i, text)| match i % 6 {
            0 => text.replace('T', " "),
            1 => text.get(..10).unwrap_or(text).to_owned(),
            2 => format!("{text}+05:30"),
            3 => format!("{text}z"),
            4 => text.replace(":00", ":60"),
            _ => text.to_owned(),
        });
        let more =
            ["", "2024-03-31", "2024-03-31 02:30:60.5", "0000-01-01", "9999-12-31T23:59:59.999", "2024-03-31T02:30x"];
        let texts = texts.chain(more.map(str::to_owned)).map(Some).chain([None]);
        let rows = batch(vec![("s", Arc::new(texts.collect::<StringArray>()) as ArrayRef)]);
        let to = format!("Timestamp({unit:?}, Some(\"{zone}\"))");
        assert_eq!(agree(ctx, &format!("arrow_try_cast(s, '{to}') AS x"), &rows), "", "{zone}");
        rows_agree(ctx, &format!("arrow_cast(s, '{to}') AS x"), &rows, 23);
    });
}

#[test]
fn intervals_on_zones_calendars() {
    with_zones(|ctx, unit, zone| {
        let rows = moments(unit, Some(zone));
        for text in [
            "t + INTERVAL '1 month'",
            "t - INTERVAL '1 day'",
            "t + INTERVAL '-13 months 1 day 3 hours'",
            "t - INTERVAL '6 months -1 days 90 minutes'",
            "t + INTERVAL '3600 seconds'",
        ] {
            rows_agree(ctx, &format!("{text} AS x"), &rows, 5);
            agree(ctx, &format!("{text} AS x"), &rows);
        }
    });
}
