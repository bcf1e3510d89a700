//! Values as text, as arrow-rs prints them: functions of `kernels/expr.cu` write each into a slot of workspace, from the
//! slot's end. What the slot holds is text like any other, so that it may be compared, searched and selected.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::asm::{Class, Pred, Reg};
use super::cast::unsupported;
use super::lane::{Bits, Kind};
use super::number::Checked;
use super::powers::POWERS_OF_TEN;
use super::time::DAY;
use super::{Constant, Emit, OP, Word};
use crate::error::Result;
use crate::ops::expr::zone::per_second;

/// Both truth values.
const TRUTHS: &[u8] = b"truefalse";
/// No zone, for `expr_format_moment`.
const NO_ZONE: i32 = i32::MIN;

/// The most bytes of a value of this type as text; none for types that the device does not print.
pub(in crate::ops::expr) fn text_width(data_type: &DataType) -> Option<usize> {
    use DataType::*;
    Some(match data_type {
        Boolean => 5,
        Int8 | UInt8 => 4,
        Int16 | UInt16 => 6,
        Int32 | UInt32 => 11,
        Int64 | UInt64 => 20,
        // A sign and 0.000000059604645; a sign, 9 or 17 digits, a point and an exponent.
        Float16 => 18,
        Float32 => 16,
        Float64 => 24,
        // A sign, the digits, and either zeros behind them or a point with a zero before it.
        Decimal32(precision, scale)
        | Decimal64(precision, scale)
        | Decimal128(precision, scale)
        | Decimal256(precision, scale) => 3 + usize::from(*precision) + usize::from(scale.min(&0).unsigned_abs()),
        // Years have up to 6 digits and a sign.
        Date32 => 13,
        Time32(_) | Time64(_) => 18,
        Date64 | Timestamp(_, None) => 32,
        Timestamp(_, Some(_)) => 38,
        // -PT, up to 19 digits, a point and S.
        Duration(_) => 24,
        Interval(IntervalUnit::YearMonth) => 24,
        // Two numbers of 11 bytes, hours of 8, minutes of 3, seconds of 6 or 13, and the words.
        Interval(IntervalUnit::DayTime) => 56,
        Interval(IntervalUnit::MonthDayNano) => 80,
        _ => return None,
    })
}

impl Emit<'_> {
    /// Anything but text as text. Binary that is no UTF-8 fails, and so does a time that no calendar or clock has.
    pub(super) fn as_text(&mut self, bits: Bits, from: &DataType, to: &DataType, guard: Pred) -> Result<Checked> {
        use DataType::*;
        let (slot, kind) = (text_width(from), Kind::of(OP, from)?);
        match (from, bits, slot) {
            (Binary | LargeBinary | BinaryView, Bits::Bytes(at, length), _) => {
                let valid = self.asks("expr_is_utf8", guard, &[at, length]);
                Ok((bits, self.asm.not(valid)))
            }
            (Boolean, Bits::Bool(value), _) => Ok((self.truth_as_text(value), Pred::False)),
            (_, Bits::Number(value), Some(width)) if from.is_integer() => {
                let Kind::Int { signed, .. } = kind else { return Err(unsupported(from, to)) };
                let value = self.as_long(kind, value);
                let signed = self.asm.op(Class::R, "mov.b32", &[&u32::from(signed)]);
                Ok((self.written(width, "expr_format_integer", guard, &[value, signed]), Pred::False))
            }
            (_, Bits::Number(value), Some(width)) if from.is_floating() => {
                Ok((self.float_as_text(kind, value, width, guard), Pred::False))
            }
            (
                Decimal32(precision, scale)
                | Decimal64(precision, scale)
                | Decimal128(precision, scale)
                | Decimal256(precision, scale),
                _,
                Some(width),
            ) => {
                let (name, number) = match self.widened(bits, kind, Kind::Wide) {
                    Bits::Wide(low, high) => ("expr_format_decimal", vec![low, high]),
                    Bits::Huge(words) => ("expr_format_huge", words.to_vec()),
                    _ => return Err(unsupported(from, to)),
                };
                let precision = self.asm.op(Class::R, "mov.b32", &[precision]);
                let scale = self.asm.op(Class::R, "mov.b32", &[scale]);
                let arguments = [&number[..], &[precision, scale]].concat();
                Ok((self.written(width, name, guard, &arguments), Pred::False))
            }
            (Date32 | Date64 | Time32(_) | Time64(_) | Timestamp(..), Bits::Number(value), Some(width)) => {
                let value = self.as_long(kind, value);
                self.time_as_text(value, width, from, to, guard)
            }
            (Duration(unit), Bits::Number(value), Some(width)) => {
                let units = self.asm.op(Class::D, "mov.b64", &[&per_second(unit)]);
                Ok((self.written(width, "expr_format_duration", guard, &[value, units]), Pred::False))
            }
            (Interval(IntervalUnit::YearMonth), Bits::Number(months), Some(width)) => {
                Ok((self.written(width, "expr_format_months", guard, &[months]), Pred::False))
            }
            (Interval(unit), _, Some(width)) => {
                let digits = if *unit == IntervalUnit::DayTime { 3 } else { 9 };
                let digits = self.asm.op(Class::R, "mov.b32", &[&digits]);
                let [months_days, nanos] = self.span(bits, *unit)?;
                let arguments = [months_days, nanos, digits];
                Ok((self.written(width, "expr_format_interval", guard, &arguments), Pred::False))
            }
            _ => Err(unsupported(from, to)),
        }
    }

    fn truth_as_text(&mut self, value: Pred) -> Bits {
        let (place, _) = self.blob(TRUTHS);
        let yes = self.param(Word::Constant(Constant::Blob(place)));
        let no = self.asm.op(Class::D, "add.s64", &[&yes, &4]);
        let [four, five] = [4, 5].map(|length| self.asm.op(Class::D, "mov.b64", &[&length]));
        Bits::Bytes(self.asm.select(value, yes, no), self.asm.select(value, four, five))
    }

    /// Halves are printed by way of f32, as arrow-rs does.
    fn float_as_text(&mut self, kind: Kind, value: Reg, width: usize, guard: Pred) -> Bits {
        let powers = self.powers_of_ten();
        let (bits, style) = match kind {
            Kind::F64 => (self.asm.op(Class::D, "mov.b64", &[&value]), 2),
            _ => {
                let short = self.asm.op(Class::R, "mov.b32", &[&value]);
                (self.asm.op(Class::D, "cvt.u64.u32", &[&short]), u32::from(kind == Kind::F32))
            }
        };
        let style = self.asm.op(Class::R, "mov.b32", &[&style]);
        self.written(width, "expr_format_float", guard, &[bits, powers, style])
    }

    /// The address of the powers of ten, which a kernel gets once.
    pub(super) fn powers_of_ten(&mut self) -> Reg {
        let powers = self.powers.unwrap_or_else(|| {
            let (place, _) = self.blob(&POWERS_OF_TEN);
            self.param(Word::Constant(Constant::Blob(place)))
        });
        self.powers = Some(powers);
        powers
    }

    fn time_as_text(
        &mut self,
        value: Reg,
        width: usize,
        from: &DataType,
        to: &DataType,
        guard: Pred,
    ) -> Result<Checked> {
        use DataType::*;
        let (unit, zone) = match from {
            Date32 => {
                let second = self.asm.op(Class::D, "mul.lo.s64", &[&value, &DAY]);
                let outside = self.off_calendar(second);
                let guard = self.asm.and_not(guard, outside);
                let days = self.asm.op(Class::R, "cvt.u32.u64", &[&value]);
                return Ok((self.written(width, "expr_format_date", guard, &[days]), outside));
            }
            Time32(unit) | Time64(unit) => return Ok(self.clock_as_text(value, unit, width, guard)),
            Timestamp(unit, zone) => (*unit, zone.as_deref()),
            _ => (TimeUnit::Millisecond, None),
        };
        let local = self.local(value, &unit, zone).ok_or_else(|| unsupported(from, to))?;
        let moved = match zone {
            Some(_) => self.off_calendar(local.second),
            None => Pred::False,
        };
        let outside = self.asm.or(local.outside, moved);
        let guard = self.asm.and_not(guard, outside);
        let fraction = self.nanoseconds(local.fraction, &unit);
        let zone = match zone {
            Some(_) => self.asm.op(Class::R, "cvt.u32.u64", &[&local.ahead]),
            None => self.asm.op(Class::R, "mov.b32", &[&NO_ZONE]),
        };
        Ok((self.written(width, "expr_format_moment", guard, &[local.second, fraction, zone]), outside))
    }

    /// A time of day. arrow-rs takes the low 32 bits of the seconds.
    fn clock_as_text(&mut self, value: Reg, unit: &TimeUnit, width: usize, guard: Pred) -> Checked {
        let second = self.asm.op(Class::D, "div.s64", &[&value, &per_second(unit)]);
        let fraction = self.asm.op(Class::D, "rem.s64", &[&value, &per_second(unit)]);
        let second = self.asm.op(Class::R, "cvt.u32.u64", &[&second]);
        let late = self.asm.test("setp.ge.u32", &[&second, &DAY]);
        let negative = self.asm.test("setp.lt.s64", &[&fraction, &0]);
        let outside = self.asm.or(late, negative);
        let guard = self.asm.and_not(guard, outside);
        let fraction = self.nanoseconds(fraction, unit);
        (self.written(width, "expr_format_time", guard, &[second, fraction]), outside)
    }

    fn nanoseconds(&mut self, fraction: Reg, unit: &TimeUnit) -> Reg {
        let fraction = self.asm.op(Class::R, "cvt.u32.u64", &[&fraction]);
        self.asm.op(Class::R, "mul.lo.u32", &[&fraction, &(1_000_000_000 / per_second(unit))])
    }

    /// The text that a function writes into the row's slot.
    fn written(&mut self, width: usize, function: &str, guard: Pred, arguments: &[Reg]) -> Bits {
        // Slots begin and end with words.
        let width = width.next_multiple_of(8);
        let base = self.param(Word::Slots(self.slots));
        self.slots += width;
        let offset = self.scaled(self.row.number, width);
        let start = self.asm.op(Class::D, "add.s64", &[&base, &offset]);
        let end = self.asm.op(Class::D, "add.s64", &[&start, &width]);
        let arguments: Vec<Reg> = [end].into_iter().chain(arguments.iter().copied()).collect();
        let begin = self.asm.call(function, guard, &arguments, Class::D);
        // A row that cannot be printed has no text, so that what looks at it all the same, for it fails later, reads none.
        let at = self.asm.select(guard, begin, end);
        Bits::Bytes(at, self.asm.op(Class::D, "sub.s64", &[&end, &at]))
    }

    /// An integer extended to 64 bits.
    fn as_long(&mut self, kind: Kind, value: Reg) -> Reg {
        match self.widened(Bits::Number(value), kind, Kind::Wide) {
            Bits::Wide(long, _) => long,
            _ => value,
        }
    }
}
