//! Dates, times, timestamps and durations: casts with arrow-rs's rules, and parts of them.

use arrow::datatypes::{DataType, TimeUnit};

use super::asm::{Class, Pred, Reg};
use super::cast::unsupported;
use super::lane::{Bits, Kind, Lane};
use super::number::Checked;
use super::zone::Ahead;
use super::{Emit, OP};
use crate::error::{Error, Result};
use crate::ops::expr::zone::{CALENDAR, per_second};
use crate::ops::expr::{Arithmetic, DatePart};

pub(super) const DAY: i64 = 86_400;

/// A time on the clock of its zone.
pub(super) struct Local {
    /// Whole seconds since the epoch.
    pub(super) second: Reg,
    /// Seconds that it is ahead of UTC.
    pub(super) ahead: Reg,
    /// What is left, in the type's unit.
    pub(super) fraction: Reg,
    /// Where the calendar does not hold it.
    pub(super) outside: Pred,
}

impl Emit<'_> {
    /// Casts from and to times; as integers of their own width they only change their name.
    pub(super) fn convert_time(&mut self, bits: Bits, from: &DataType, to: &DataType, guard: Pred) -> Result<Checked> {
        use DataType::*;
        let Bits::Number(value) = bits else {
            // Decimals are cut to integers first.
            return match to {
                Timestamp(..) | Duration(_) if from.is_numeric() => self.convert(bits, from, &Int64, guard),
                _ => Err(unsupported(from, to)),
            };
        };
        let fits = |reg| Ok((Bits::Number(reg), Pred::False));
        match (from, to) {
            (Int32, Date32 | Time32(_)) | (Date32 | Time32(_), Int32) => Ok((bits, Pred::False)),
            (Int64, Date64 | Time64(_) | Duration(_) | Timestamp(..)) => Ok((bits, Pred::False)),
            (Date64 | Time64(_) | Duration(_) | Timestamp(..), Int64) => Ok((bits, Pred::False)),
            (Date32 | Time32(_), Int64) => fits(self.extended(value)),
            (Int64, Date32) => self.convert(bits, &Int64, &Int32, guard),
            (Date64, Int32) => self.convert(bits, &Int64, &Int32, guard),
            (Timestamp(..) | Duration(_), _) if to.is_numeric() => self.convert(bits, &Int64, to, guard),
            (_, Timestamp(..) | Duration(_)) if from.is_numeric() => self.convert(bits, from, &Int64, guard),
            (Timestamp(unit, zone), Timestamp(to_unit, to_zone)) => {
                let (value, bad) = self.change_unit(value, unit, to_unit);
                match (zone, to_zone) {
                    (None, Some(zone)) => {
                        let (value, outside) = self.in_zone(value, to_unit, zone, from, to)?;
                        Ok((Bits::Number(value), self.asm.or(bad, outside)))
                    }
                    _ => Ok((Bits::Number(value), bad)),
                }
            }
            (Duration(unit), Duration(to_unit)) => {
                let (value, bad) = self.change_unit(value, unit, to_unit);
                Ok((Bits::Number(value), bad))
            }
            (Int32 | Date32, Date64) => {
                let long = self.extended(value);
                fits(self.asm.op(Class::D, "mul.lo.s64", &[&long, &(DAY * 1000)]))
            }
            (Date64, Date32) => {
                let days = self.asm.op(Class::D, "div.s64", &[&value, &(DAY * 1000)]);
                let (days, bad) = self.cut(days, 32, true);
                Ok((Bits::Number(days), bad))
            }
            (Date32, Timestamp(unit, zone)) => {
                let long = self.extended(value);
                let (value, bad) = self.times(long, DAY * per_second(unit));
                let plain = Timestamp(*unit, None);
                let (value, outside) = match zone {
                    Some(zone) => self.in_zone(value, unit, zone, &plain, to)?,
                    None => (value, Pred::False),
                };
                Ok((Bits::Number(value), self.asm.or(bad, outside)))
            }
            (Date64, Timestamp(TimeUnit::Second | TimeUnit::Millisecond, _)) => {
                self.convert_time(bits, &Timestamp(TimeUnit::Millisecond, None), to, guard)
            }
            (Timestamp(unit, zone), Date32) => {
                let local = self.local(value, unit, zone.as_deref()).ok_or_else(|| unsupported(from, to))?;
                let moved = self.off_calendar(local.second);
                let (days, _) = self.floor(local.second, DAY);
                Ok((Bits::Number(self.cut(days, 32, true).0), self.asm.or(local.outside, moved)))
            }
            (Timestamp(unit, _), Date64) => {
                let (value, bad) = self.change_unit(value, unit, &TimeUnit::Millisecond);
                Ok((Bits::Number(value), bad))
            }
            (Timestamp(unit, zone), Time32(to_unit) | Time64(to_unit)) => {
                let local = self.local(value, unit, zone.as_deref()).ok_or_else(|| unsupported(from, to))?;
                let (_, second) = self.floor(local.second, DAY);
                let whole = self.asm.op(Class::D, "mul.lo.s64", &[&second, &per_second(to_unit)]);
                let (fraction, _) = self.change_unit(local.fraction, unit, to_unit);
                let clock = self.asm.op(Class::D, "add.s64", &[&whole, &fraction]);
                let clock = if matches!(to, Time32(_)) { self.cut(clock, 32, true).0 } else { clock };
                Ok((Bits::Number(clock), local.outside))
            }
            (Time32(unit) | Time64(unit), Time32(to_unit) | Time64(to_unit)) => {
                let long = if matches!(from, Time32(_)) { self.extended(value) } else { value };
                let (long, bad) = self.change_unit(long, unit, to_unit);
                if matches!(to, Time64(_)) {
                    return Ok((Bits::Number(long), bad));
                }
                let (short, cut) = self.cut(long, 32, true);
                // From 64 bits arrow-rs takes the low ones.
                Ok((Bits::Number(short), if matches!(from, Time32(_)) { cut } else { Pred::False }))
            }
            _ => Err(unsupported(from, to)),
        }
    }

    /// EXTRACT: null where the calendar, or for times the day, does not hold the value.
    pub(super) fn date_part(&mut self, part: DatePart, lane: Lane, data_type: &DataType, active: Pred) -> Result<Lane> {
        use DataType::*;
        let Bits::Number(value) = lane.bits else { return Ok(Lane::NULL) };
        let clock = matches!(part, DatePart::Hour | DatePart::Minute | DatePart::Second);
        let (second, outside) = match data_type {
            Date32 if clock => return Ok(Lane { bits: Bits::Number(self.asm.zero(Class::R)), ..lane }),
            Date32 => {
                let days = self.extended(value);
                let second = self.asm.op(Class::D, "mul.lo.s64", &[&days, &DAY]);
                (second, self.off_calendar(second))
            }
            Time32(unit) | Time64(unit) => {
                let long = if matches!(data_type, Time32(_)) { self.extended(value) } else { value };
                let outside = self.asm.test("setp.ge.u64", &[&long, &(DAY * per_second(unit))]);
                (self.asm.op(Class::D, "div.s64", &[&long, &per_second(unit)]), outside)
            }
            Date64 | Timestamp(..) => {
                let (unit, zone) = match data_type {
                    Timestamp(unit, zone) => (*unit, zone.as_deref()),
                    _ => (TimeUnit::Millisecond, None),
                };
                let what = || Error::unsupported(OP, format!("EXTRACT from {data_type} on a device"), "cast it to UTC");
                let local = self.local(value, &unit, zone).ok_or_else(what)?;
                (local.second, local.outside)
            }
            _ => return Err(Error::unsupported(OP, format!("EXTRACT from {data_type} on a device"), "use the host")),
        };
        let valid = self.asm.and_not(lane.valid, outside);
        let (days, in_day) = self.floor(second, DAY);
        let value = match part {
            DatePart::Hour => self.asm.op(Class::D, "div.s64", &[&in_day, &3600]),
            DatePart::Minute => {
                let minutes = self.asm.op(Class::D, "div.s64", &[&in_day, &60]);
                self.asm.op(Class::D, "rem.s64", &[&minutes, &60])
            }
            DatePart::Second => self.asm.op(Class::D, "rem.s64", &[&in_day, &60]),
            _ => {
                let days = self.asm.op(Class::R, "cvt.u32.u64", &[&days]);
                let number = self.asm.op(Class::R, "mov.b32", &[&(part as u32)]);
                let guard = self.asm.and(active, valid);
                let value = self.asm.call("expr_date_part", guard, &[days, number], Class::R);
                return Ok(Lane { bits: Bits::Number(value), valid });
            }
        };
        Ok(Lane { bits: Bits::Number(self.asm.op(Class::R, "cvt.u32.u64", &[&value])), valid })
    }

    /// What the clock of a zone shows, if arrow-rs knows it.
    pub(super) fn local(&mut self, value: Reg, unit: &TimeUnit, zone: Option<&str>) -> Option<Local> {
        let ahead = self.ahead(zone)?;
        let (second, fraction) = self.floor(value, per_second(unit));
        let outside = self.off_calendar(second);
        let ahead = self.ahead_at(ahead, second);
        Some(Local { second: self.asm.op(Class::D, "add.s64", &[&second, &ahead]), ahead, fraction, outside })
    }

    pub(super) fn off_calendar(&mut self, second: Reg) -> Pred {
        let before = self.asm.test("setp.lt.s64", &[&second, &CALENDAR[0]]);
        let after = self.asm.test("setp.gt.s64", &[&second, &CALENDAR[1]]);
        self.asm.or(before, after)
    }

    /// Quotient towards minus infinity, and a remainder that is not negative.
    fn floor(&mut self, value: Reg, divisor: i64) -> (Reg, Reg) {
        if divisor == 1 {
            return (value, self.asm.zero(Class::D));
        }
        let quotient = self.asm.op(Class::D, "div.s64", &[&value, &divisor]);
        let rest = self.asm.op(Class::D, "rem.s64", &[&value, &divisor]);
        let negative = self.asm.test("setp.lt.s64", &[&rest, &0]);
        let below = self.asm.op(Class::D, "sub.s64", &[&quotient, &1]);
        let above = self.asm.op(Class::D, "add.s64", &[&rest, &divisor]);
        (self.asm.select(negative, below, quotient), self.asm.select(negative, above, rest))
    }

    pub(super) fn extended(&mut self, value: Reg) -> Reg {
        self.asm.op(Class::D, "cvt.s64.s32", &[&value])
    }

    pub(super) fn change_unit(&mut self, value: Reg, from: &TimeUnit, to: &TimeUnit) -> (Reg, Pred) {
        let (from, to) = (per_second(from), per_second(to));
        match from.cmp(&to) {
            std::cmp::Ordering::Equal => (value, Pred::False),
            std::cmp::Ordering::Less => self.times(value, to / from),
            std::cmp::Ordering::Greater => (self.asm.op(Class::D, "div.s64", &[&value, &(from / to)]), Pred::False),
        }
    }

    fn times(&mut self, value: Reg, factor: i64) -> (Reg, Pred) {
        let factor = self.asm.op(Class::D, "mov.b64", &[&factor]);
        self.checked(Arithmetic::Multiply, value, factor)
    }

    /// Arithmetic in i64.
    fn checked(&mut self, op: Arithmetic, a: Reg, b: Reg) -> (Reg, Pred) {
        let kind = Kind::Int { bits: 64, signed: true };
        match self.arithmetic(op, kind, Bits::Number(a), Bits::Number(b), Pred::True) {
            Ok((Bits::Number(value), bad)) => (value, bad),
            _ => (a, Pred::True),
        }
    }

    /// A time without a zone, read from the zone's clock, as an instant; gives the lanes where the calendar does not hold it,
    /// or where the clock skips it or shows it twice.
    fn in_zone(
        &mut self,
        value: Reg,
        unit: &TimeUnit,
        zone: &str,
        from: &DataType,
        to: &DataType,
    ) -> Result<(Reg, Pred)> {
        let ahead = self.ahead(Some(zone)).ok_or_else(|| unsupported(from, to))?;
        let (second, _) = self.floor(value, per_second(unit));
        let outside = self.off_calendar(second);
        if let Ahead::Always(0) = ahead {
            return Ok((value, outside));
        }
        let (ahead, never) = self.ahead_when(ahead, second);
        let outside = self.asm.or(outside, never);
        let moved = self.asm.op(Class::D, "sub.s64", &[&second, &ahead]);
        let moved = self.off_calendar(moved);
        let outside = self.asm.or(outside, moved);
        let ahead = self.asm.op(Class::D, "mul.lo.s64", &[&ahead, &per_second(unit)]);
        let (value, bad) = self.checked(Arithmetic::Subtract, value, ahead);
        Ok((value, self.asm.or(outside, bad)))
    }
}
