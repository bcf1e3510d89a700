//! Zones of a fixed offset, and times that leave the calendar with them, at which arrow-rs panics.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{ArrayRef, AsArray, BooleanArray, TimestampSecondArray};
use arrow::compute;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampSecondType};
use arrow::error::ArrowError;

/// First and last second that chrono's calendar holds: the years -262,143 to 262,142.
pub(super) const CALENDAR: [i64; 2] = [-8_334_601_228_800, 8_210_266_876_799];

/// Units of a time type in a second.
pub(super) fn per_second(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Whether a zone is UTC by name.
pub(super) fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "Etc/UTC" | "GMT" | "Z")
}

/// Seconds by which a zone of a fixed offset is ahead of UTC.
pub(super) fn offset(zone: &str) -> Option<i64> {
    // Only offsets begin so; arrow-rs reads them.
    let zone = zone.starts_with(['+', '-']).then(|| DataType::Timestamp(TimeUnit::Second, Some(zone.into())))?;
    let epoch: ArrayRef = Arc::new(TimestampSecondArray::from(vec![0]));
    Some(-compute::cast(&epoch, &zone).ok()?.as_primitive::<TimestampSecondType>().value(0))
}

/// Whether arrow-rs was built with a zone database, so that a text may end with the name of a zone.
pub(super) fn reads_names() -> bool {
    "Europe/Paris".parse::<Tz>().is_ok()
}

/// Timestamps without those that would leave the calendar by this many seconds.
pub(super) fn on_calendar(
    array: &ArrayRef,
    unit: &TimeUnit,
    seconds: i64,
    lenient: bool,
) -> Result<ArrayRef, ArrowError> {
    let [first, last] = CALENDAR;
    let leaves = |value: i64| {
        let second = value.div_euclid(per_second(unit));
        (first..=last).contains(&second) && !(first..=last).contains(&(second + seconds))
    };
    let values = compute::cast(array, &DataType::Int64)?;
    let leaves: BooleanArray = values.as_primitive::<Int64Type>().iter().map(|v| Some(v.is_some_and(leaves))).collect();
    match leaves.true_count() {
        0 => Ok(array.clone()),
        _ if lenient => compute::nullif(array, &leaves),
        _ => Err(ArrowError::CastError(format!("a local time of {} is outside the calendar", array.data_type()))),
    }
}
