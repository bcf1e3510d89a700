//! Intervals: their sums part by part, and dates and timestamps that they move.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::asm::{Class, Pred, Reg};
use super::cast::unsupported;
use super::lane::Bits;
use super::number::Checked;
use super::{Emit, OP};
use crate::error::{Error, Result};
use crate::ops::expr::Arithmetic;
use crate::ops::expr::zone::per_second;

const NANOSECONDS: i64 = 1_000_000;

impl Emit<'_> {
    /// A number in whose order two words of parts stand: the low half counts first, and both have signs.
    pub(super) fn parts_key(&mut self, word: Reg) -> Reg {
        let [first, second] = self.parts(word);
        let second = self.asm.op(Class::R, "xor.b32", &[&second, &"0x80000000"]);
        self.word(second, first)
    }

    /// The low and the high half of a word.
    fn parts(&mut self, word: Reg) -> [Reg; 2] {
        let low = self.asm.op(Class::R, "cvt.u32.u64", &[&word]);
        let high = self.asm.op(Class::D, "shr.u64", &[&word, &32]);
        [low, self.asm.op(Class::R, "cvt.u32.u64", &[&high])]
    }

    fn word(&mut self, low: Reg, high: Reg) -> Reg {
        self.asm.op(Class::D, "mov.b64", &[&format_args!("{{{low}, {high}}}")])
    }

    /// The sum or difference of two intervals of this unit: no part may pass its width.
    pub(super) fn interval_sum(&mut self, op: Arithmetic, unit: IntervalUnit, a: Bits, b: Bits) -> Result<Checked> {
        match (unit, a, b) {
            (IntervalUnit::YearMonth, Bits::Number(a), Bits::Number(b)) => {
                let (months, bad) = self.short(op, 32, true, a, b);
                Ok((Bits::Number(months), bad))
            }
            (IntervalUnit::DayTime, Bits::Number(a), Bits::Number(b)) => {
                let (word, bad) = self.parts_sum(op, a, b);
                Ok((Bits::Number(word), bad))
            }
            (IntervalUnit::MonthDayNano, Bits::Wide(a, a_nanos), Bits::Wide(b, b_nanos)) => {
                let (word, bad) = self.parts_sum(op, a, b);
                let (nanos, far) = self.long_int(op, true, a_nanos, b_nanos);
                Ok((Bits::Wide(word, nanos), self.asm.or(bad, far)))
            }
            _ => Err(Error::Internal { op: OP, why: format!("{op} of intervals of {unit:?}") }),
        }
    }

    fn parts_sum(&mut self, op: Arithmetic, a: Reg, b: Reg) -> (Reg, Pred) {
        let ([a, a_high], [b, b_high]) = (self.parts(a), self.parts(b));
        let (low, bad) = self.short(op, 32, true, a, b);
        let (high, far) = self.short(op, 32, true, a_high, b_high);
        (self.word(low, high), self.asm.or(bad, far))
    }

    pub(super) fn negate_interval(&mut self, bits: Bits) -> Result<Checked> {
        let zero = self.asm.zero(Class::D);
        let (unit, zeros) = match bits {
            Bits::Wide(..) => (IntervalUnit::MonthDayNano, Bits::Wide(zero, zero)),
            _ => (IntervalUnit::DayTime, Bits::Number(zero)),
        };
        self.interval_sum(Arithmetic::Subtract, unit, zeros, bits)
    }

    /// A date or timestamp plus or minus an interval: months first, then days, both on its zone's calendar, then the rest.
    pub(super) fn shift(
        &mut self,
        op: Arithmetic,
        (moment, moment_type): (Bits, &DataType),
        (interval, unit): (Bits, IntervalUnit),
        guard: Pred,
    ) -> Result<Checked> {
        let Bits::Number(moment) = moment else {
            return Err(Error::Internal { op: OP, why: format!("{moment_type} is no number") });
        };
        let [months_days, nanos] = self.span(interval, unit)?;
        let back = self.asm.op(Class::D, "mov.b64", &[&i64::from(op == Arithmetic::Subtract)]);
        match moment_type {
            DataType::Date32 => {
                let days = self.extended(moment);
                let [days, bad] = self.asm.call_words("expr_shift_date", guard, &[days, months_days, nanos, back]);
                let (days, _) = self.cut(days, 32, true);
                Ok((Bits::Number(days), self.asm.test("setp.ne.u64", &[&bad, &0])))
            }
            DataType::Timestamp(unit, zone) => {
                let what = || format!("an interval with {moment_type} on a device");
                let ahead = self.ahead(zone.as_deref());
                let ahead = ahead.ok_or_else(|| Error::unsupported(OP, what(), "cast it to UTC"))?;
                let units = self.asm.op(Class::D, "mov.b64", &[&per_second(unit)]);
                let [changes, count] = self.zone_words(ahead);
                let arguments = [moment, units, changes, count, months_days, nanos, back];
                let [value, bad] = self.asm.call_words("expr_shift_moment", guard, &arguments);
                Ok((Bits::Number(value), self.asm.test("setp.ne.u64", &[&bad, &0])))
            }
            other => Err(Error::Internal { op: OP, why: format!("{other} {op} an interval") }),
        }
    }

    /// Casts from and to intervals.
    pub(super) fn convert_interval(&mut self, bits: Bits, from: &DataType, to: &DataType) -> Result<Checked> {
        use DataType::{Duration, Int32, Interval};
        use IntervalUnit::{MonthDayNano, YearMonth};
        match (from, bits, to) {
            (Int32, Bits::Number(_), Interval(YearMonth)) => Ok((bits, Pred::False)),
            (Interval(unit), _, Interval(MonthDayNano)) => {
                let [months_days, nanos] = self.span(bits, *unit)?;
                Ok((Bits::Wide(months_days, nanos), Pred::False))
            }
            (Duration(unit), Bits::Number(value), Interval(MonthDayNano)) => {
                let (nanos, bad) = self.change_unit(value, unit, &TimeUnit::Nanosecond);
                let zero = self.asm.zero(Class::D);
                Ok((Bits::Wide(zero, nanos), bad))
            }
            (Interval(MonthDayNano), Bits::Wide(months_days, nanos), Duration(unit)) => {
                let (value, _) = self.change_unit(nanos, &TimeUnit::Nanosecond, unit);
                Ok((Bits::Number(value), self.asm.test("setp.ne.u64", &[&months_days, &0])))
            }
            _ => Err(unsupported(from, to)),
        }
    }

    /// Months and days as `MonthDayNano` has them, and nanoseconds.
    pub(super) fn span(&mut self, interval: Bits, unit: IntervalUnit) -> Result<[Reg; 2]> {
        let zero = self.asm.zero(Class::D);
        match (unit, interval) {
            (IntervalUnit::YearMonth, Bits::Number(months)) => {
                Ok([self.asm.op(Class::D, "cvt.u64.u32", &[&months]), zero])
            }
            (IntervalUnit::DayTime, Bits::Number(word)) => {
                let days = self.asm.op(Class::D, "shl.b64", &[&word, &32]);
                let milliseconds = self.asm.op(Class::D, "shr.s64", &[&word, &32]);
                Ok([days, self.asm.op(Class::D, "mul.lo.s64", &[&milliseconds, &NANOSECONDS])])
            }
            (IntervalUnit::MonthDayNano, Bits::Wide(months_days, nanos)) => Ok([months_days, nanos]),
            _ => Err(Error::Internal { op: OP, why: format!("an interval of {unit:?}") }),
        }
    }
}
