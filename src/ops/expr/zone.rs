//! Time zones, and times that leave the calendar with them, at which arrow-rs panics.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{ArrayRef, AsArray, BooleanArray, TimestampSecondArray};
use arrow::compute;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampSecondType};
use arrow::error::ArrowError;
use chrono::{DateTime, Offset, TimeZone};
use parking_lot::Mutex;

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

/// By how many seconds a zone's clocks are ahead of UTC, in order: from which second of UTC on, and how many. One entry
/// for an offset that never changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Zone(Vec<[i64; 2]>);

impl Zone {
    /// The zone of this name or offset; none where arrow-rs knows none.
    pub(super) fn of(name: &str) -> Option<Arc<Zone>> {
        static KNOWN: Mutex<BTreeMap<String, Arc<Zone>>> = Mutex::new(BTreeMap::new());
        if let Some(zone) = KNOWN.lock().get(name) {
            return Some(zone.clone());
        }
        let zone = Arc::new(Zone(match offset(name) {
            Some(seconds) => vec![[i64::MIN, seconds]],
            None => changes(&name.parse::<Tz>().ok()?),
        }));
        KNOWN.lock().insert(name.to_owned(), zone.clone());
        Some(zone)
    }

    /// The offset, where it never changes.
    pub(super) fn fixed(&self) -> Option<i64> {
        (self.0.len() == 1).then(|| self.0[0][1])
    }

    pub(super) fn changes(&self) -> &[[i64; 2]] {
        &self.0
    }

    /// At a second of UTC.
    pub(super) fn ahead(&self, second: i64) -> i64 {
        self.0[self.0.partition_point(|[from, _]| *from <= second).saturating_sub(1)][1]
    }

    /// The second of UTC at which the clocks show this one; none where they skip it or show it twice.
    pub(super) fn utc(&self, local: i64) -> Option<i64> {
        let shows = |at: usize| {
            let [from, ahead] = self.0[at];
            let second = local.saturating_sub(ahead);
            let ends = self.0.get(at + 1).is_none_or(|[next, _]| second < *next);
            (second >= from && ends).then_some(second)
        };
        let near = |second: i64| self.0.partition_point(|[from, _]| *from <= second).saturating_sub(1);
        let mut found = (near(local.saturating_sub(DAY))..=near(local.saturating_add(DAY))).filter_map(shows);
        found.next().filter(|_| found.next().is_none())
    }
}

const DAY: i64 = 86_400;

/// The changes of a zone's offset. Those of the zone database are from 1835 to 2100, and far more than a step apart.
fn changes(zone: &Tz) -> Vec<[i64; 2]> {
    const YEARS_1800_TO_2200: std::ops::Range<i64> = -5_364_662_400..7_258_118_400;
    const STEP: i64 = DAY / 2;
    let ahead = |second: i64| {
        let moment = DateTime::from_timestamp(second, 0).unwrap_or_default().naive_utc();
        i64::from(zone.offset_from_utc_datetime(&moment).fix().local_minus_utc())
    };
    let mut last = ahead(YEARS_1800_TO_2200.start);
    let mut changes = vec![[i64::MIN, last]];
    for start in YEARS_1800_TO_2200.step_by(STEP as usize) {
        let (mut before, end) = (start, start + STEP);
        while ahead(end) != last {
            let mut after = end;
            while after - before > 1 {
                let middle = before + (after - before) / 2;
                if ahead(middle) == last { before = middle } else { after = middle }
            }
            last = ahead(after);
            changes.push([after, last]);
            before = after;
        }
    }
    changes
}

/// Whether arrow-rs was built with a zone database, so that a text may end with the name of a zone.
pub(super) fn reads_names() -> bool {
    "Europe/Paris".parse::<Tz>().is_ok()
}

/// Timestamps without those whose second would leave the calendar where this moves it to.
pub(super) fn on_calendar(
    array: &ArrayRef,
    unit: &TimeUnit,
    moved: impl Fn(i64) -> i64,
    lenient: bool,
) -> Result<ArrayRef, ArrowError> {
    let [first, last] = CALENDAR;
    let leaves = |value: i64| {
        let second = value.div_euclid(per_second(unit));
        // No zone is a day ahead or behind.
        let inner = (first + DAY..=last - DAY).contains(&second);
        !inner && (first..=last).contains(&second) && !(first..=last).contains(&moved(second))
    };
    let values = compute::cast(array, &DataType::Int64)?;
    let leaves: BooleanArray = values.as_primitive::<Int64Type>().iter().map(|v| Some(v.is_some_and(leaves))).collect();
    match leaves.true_count() {
        0 => Ok(array.clone()),
        _ if lenient => compute::nullif(array, &leaves),
        _ => Err(ArrowError::CastError(format!("a local time of {} is outside the calendar", array.data_type()))),
    }
}
