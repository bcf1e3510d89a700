//! Casts, with arrow-rs's rules for what fits.

use arrow::datatypes::{DataType, i256};

use super::asm::{Class, Pred, Reg};
use super::lane::{Bits, Kind, Lane};
use super::number::Checked;
use super::tree::power_of_ten;
use super::{Emit, OP};
use crate::error::{Error, Result};
use crate::ops::expr::bind::{is_text, plain_type as plain};

impl Emit<'_> {
    /// A lane in another type. What does not fit fails, or with `lenient` is null.
    pub(super) fn cast(
        &mut self,
        lane: Lane,
        from: &DataType,
        to: &DataType,
        lenient: bool,
        active: Pred,
    ) -> Result<Lane> {
        let from = plain(from);
        if lane.bits == Bits::Nothing || from == plain(to) {
            return Ok(lane);
        }
        let guard = self.asm.and(active, lane.valid);
        let (bits, bad) = self.convert(lane.bits, from, to, guard)?;
        if lenient && !always_fails(from, to) {
            return Ok(Lane { bits, valid: self.asm.and_not(lane.valid, bad) });
        }
        self.fail_where(active, lane.valid, bad);
        Ok(Lane { bits, ..lane })
    }

    pub(super) fn convert(&mut self, bits: Bits, from: &DataType, to: &DataType, guard: Pred) -> Result<Checked> {
        use DataType::*;
        let (kind, target) = (Kind::of(OP, from)?, Kind::of(OP, to)?);
        let fits = |bits| Ok((bits, Pred::False));
        match (from, to) {
            // One layout as good as the other, for an address and a length.
            (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => fits(bits),
            (
                Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView | FixedSizeBinary(_),
                Binary | LargeBinary | BinaryView,
            ) => fits(bits),
            _ if is_text(to) => self.as_text(bits, from, to, guard),
            (Utf8 | LargeUtf8 | Utf8View, _) => self.parse(bits, from, to, guard),
            (Boolean, _) if is_plain_number(to) => fits(self.truth_as_number(bits, target)),
            (_, Boolean) if is_plain_number(from) => Ok((Bits::Bool(self.not_zero(kind, bits)), Pred::False)),
            _ if is_plain_number(from) && is_plain_number(to) => self.convert_number(bits, kind, target, from, to),
            _ if from.is_integer() && scale(to).is_some() => self.integer_as_decimal(bits, kind, to, guard),
            _ if from.is_floating() && scale(to).is_some() => self.float_as_decimal(bits, kind, to, guard),
            _ if scale(from).is_some() && scale(to).is_some() => self.rescale(bits, from, to, guard),
            _ if scale(from).is_some() && to.is_integer() => self.decimal_to_integer(bits, from, target, guard),
            (_, Float64) if scale(from).is_some() => {
                let value = self.decimal_to_f64(bits, from, kind, guard);
                fits(Bits::Number(value))
            }
            (_, Float16 | Float32) if scale(from).is_some() => {
                let value = Bits::Number(self.decimal_to_f64(bits, from, kind, guard));
                self.convert_number(value, Kind::F64, target, from, to)
            }
            (Interval(_), _) | (_, Interval(_)) => self.convert_interval(bits, from, to),
            _ if from.is_temporal() || to.is_temporal() => self.convert_time(bits, from, to, guard),
            _ => Err(unsupported(from, to)),
        }
    }

    fn truth_as_number(&mut self, bits: Bits, target: Kind) -> Bits {
        let Bits::Bool(value) = bits else { return bits };
        let class = target.class().unwrap_or(Class::R);
        let one = match class {
            Class::F => "0f3f800000",
            Class::G => "0d3ff0000000000000",
            _ => "1",
        };
        let one = self.asm.op(class, &format!("mov.{}", class.bits()), &[&one]);
        let zero = self.asm.zero(class);
        Bits::Number(self.asm.select(value, one, zero))
    }

    fn not_zero(&mut self, kind: Kind, bits: Bits) -> Pred {
        match bits {
            Bits::Number(value) => {
                let zero = self.asm.zero(value.0);
                let equal = self.asm.test(&format!("setp.eq.{}", kind.ptx()), &[&value, &zero]);
                self.asm.not(equal)
            }
            _ => Pred::False,
        }
    }

    /// Between integers and floats. Only a float that is cut, or an integer that is too large for a shorter one, fails.
    fn convert_number(
        &mut self,
        bits: Bits,
        kind: Kind,
        target: Kind,
        from: &DataType,
        to: &DataType,
    ) -> Result<Checked> {
        let Bits::Number(value) = bits else { return Err(unsupported(from, to)) };
        let fits = |reg| Ok((Bits::Number(reg), Pred::False));
        match (kind, target) {
            (Kind::Int { .. }, Kind::Int { .. }) => {
                let (value, bad) = self.convert_integer(value, kind, target);
                Ok((Bits::Number(value), bad))
            }
            (Kind::Int { .. }, Kind::F32 | Kind::F64) => {
                let name = format!("cvt.rn.{}.{}", target.ptx(), kind.ptx());
                fits(self.asm.op(target.class().unwrap_or(Class::G), &name, &[&value]))
            }
            (Kind::Int { .. } | Kind::F64, Kind::F16) => {
                // By way of f32, as arrow-rs.
                let single = self.asm.op(Class::F, &format!("cvt.rn.f32.{}", kind.ptx()), &[&value]);
                fits(self.halved(single))
            }
            (Kind::F16 | Kind::F32, Kind::F64) => fits(self.asm.op(Class::G, "cvt.f64.f32", &[&value])),
            (Kind::F16, Kind::F32) => fits(value),
            (Kind::F64, Kind::F32) => fits(self.asm.op(Class::F, "cvt.rn.f32.f64", &[&value])),
            (Kind::F32, Kind::F16) => fits(self.halved(value)),
            (_, Kind::Int { bits, signed }) if kind.is_float() => {
                let wide = match kind {
                    Kind::F64 => value,
                    _ => self.asm.op(Class::G, "cvt.f64.f32", &[&value]),
                };
                Ok(self.float_to_integer(wide, bits, signed))
            }
            _ => Err(unsupported(from, to)),
        }
    }

    fn convert_integer(&mut self, value: Reg, kind: Kind, target: Kind) -> (Reg, Pred) {
        let (Kind::Int { bits, signed }, Kind::Int { bits: to, signed: to_signed }) = (kind, target) else {
            return (value, Pred::False);
        };
        let long = match (bits, signed) {
            (64, _) => value,
            (_, true) => self.asm.op(Class::D, "cvt.s64.s32", &[&value]),
            (_, false) => self.asm.op(Class::D, "cvt.u64.u32", &[&value]),
        };
        // A sign and no place for it, or the top bit taken for one.
        let below = match (signed, to_signed) {
            (true, false) => self.asm.test("setp.lt.s64", &[&long, &0]),
            (false, true) if bits == 64 => self.asm.test("setp.lt.s64", &[&long, &0]),
            _ => Pred::False,
        };
        if to == 64 {
            return (long, below);
        }
        let (short, cut) = self.cut(long, to, to_signed);
        (short, self.asm.or(below, cut))
    }

    /// Cut towards zero; NaN and what lies outside fails.
    fn float_to_integer(&mut self, value: Reg, bits: u32, signed: bool) -> Checked {
        let sign = if signed { 's' } else { 'u' };
        let end = 2f64.powi(bits as i32 - i32::from(signed));
        // The numbers above `low` are cut to the least one or to what is above it; in f64 there is none between
        // -2^63 - 1 and -2^63.
        let (low, compare) = match (signed, bits) {
            (true, 64) => (-end, "setp.ge.f64"),
            (true, _) => (-end - 1.0, "setp.gt.f64"),
            (false, _) => (-1.0, "setp.gt.f64"),
        };
        let above = self.asm.test(compare, &[&value, &double(low)]);
        let below = self.asm.test("setp.lt.f64", &[&value, &double(end)]);
        let inside = self.asm.and(above, below);
        let bad = self.asm.not(inside);
        let zero = self.asm.zero(Class::G);
        let value = self.asm.select(bad, zero, value);
        let long = self.asm.op(Class::D, &format!("cvt.rzi.{sign}64.f64"), &[&value]);
        if bits == 64 {
            return (Bits::Number(long), bad);
        }
        (Bits::Number(self.cut(long, bits, signed).0), bad)
    }

    /// An integer as one of 128 or 256 bits.
    pub(super) fn widened(&mut self, bits: Bits, kind: Kind, to: Kind) -> Bits {
        let wide = match (bits, kind) {
            (Bits::Number(value), Kind::Int { signed, .. }) => {
                let long = match (value.0, signed) {
                    (Class::D, _) => value,
                    (_, true) => self.asm.op(Class::D, "cvt.s64.s32", &[&value]),
                    (_, false) => self.asm.op(Class::D, "cvt.u64.u32", &[&value]),
                };
                Bits::Wide(long, self.sign(long, signed))
            }
            _ => bits,
        };
        match (wide, to) {
            (Bits::Wide(low, high), Kind::Huge) => {
                let sign = self.sign(high, true);
                Bits::Huge([low, high, sign, sign])
            }
            _ => wide,
        }
    }

    /// What stands above a word.
    fn sign(&mut self, word: Reg, signed: bool) -> Reg {
        match signed {
            true => self.asm.op(Class::D, "shr.s64", &[&word, &63]),
            false => self.asm.zero(Class::D),
        }
    }

    fn integer_as_decimal(&mut self, bits: Bits, kind: Kind, to: &DataType, guard: Pred) -> Result<Checked> {
        let Some((precision, scale)) = digits(to) else { return Err(unsupported(to, to)) };
        let work = work_kind(to, to)?;
        let wide = self.widened(bits, kind, work);
        let (value, bad) = match scale {
            0.. => self.scaled_up(work, wide, scale as u32, guard)?,
            _ => {
                let divisor = self.power(work, scale.unsigned_abs())?;
                self.arithmetic(super::Arithmetic::Divide, work, wide, divisor, guard)?
            }
        };
        let over = self.over_precision(value, work, precision);
        Ok((self.narrowed(value, Kind::of(OP, to)?), self.asm.or(bad, over)))
    }

    /// The product with a power of ten, in f64, rounded half away from zero.
    fn float_as_decimal(&mut self, bits: Bits, kind: Kind, to: &DataType, guard: Pred) -> Result<Checked> {
        let (Some((precision, scale)), Bits::Number(value)) = (digits(to), bits) else {
            return Err(unsupported(to, to));
        };
        let value = match kind {
            Kind::F64 => value,
            _ => self.asm.op(Class::G, "cvt.f64.f32", &[&value]),
        };
        let power = 10f64.powi(std::hint::black_box(scale));
        let product = self.asm.op(Class::G, "mul.rn.f64", &[&value, &double(power)]);
        let [a, b, c, d, bad] = self.asm.call_words("expr_double_to_huge", guard, &[product]);
        let bad = self.asm.test("setp.ne.u64", &[&bad, &0]);
        let (value, far) = self.decimal(Bits::Huge([a, b, c, d]), precision, Kind::of(OP, to)?);
        Ok((value, self.asm.or(bad, far)))
    }

    /// A 256-bit number as a decimal of so many digits, and where it has more.
    pub(super) fn decimal(&mut self, value: Bits, precision: i32, kind: Kind) -> Checked {
        let over = self.over_precision(value, Kind::Huge, precision);
        (self.narrowed(value, kind), over)
    }

    /// Whether a number has more digits.
    fn over_precision(&mut self, value: Bits, kind: Kind, precision: i32) -> Pred {
        let Some(end) = power_of_ten(kind, precision as u32) else { return Pred::False };
        let (end, start) = (self.constant(kind, end), self.constant(kind, -end));
        let below = self.compare(super::Comparison::LtEq, kind, value, start, Pred::True);
        let above = self.compare(super::Comparison::GtEq, kind, value, end, Pred::True);
        self.asm.or(below, above)
    }

    fn power(&mut self, kind: Kind, power: u32) -> Result<Bits> {
        let why = || Error::Internal { op: OP, why: format!("10 to the {power} as {kind:?}") };
        Ok(self.constant(kind, power_of_ten(kind, power).ok_or_else(why)?))
    }

    /// Between decimals. A smaller scale rounds half away from zero.
    fn rescale(&mut self, bits: Bits, from: &DataType, to: &DataType, guard: Pred) -> Result<Checked> {
        let (Some((precision, scale)), Some((to_precision, to_scale))) = (digits(from), digits(to)) else {
            return Err(unsupported(from, to));
        };
        let (work, target) = (work_kind(from, to)?, Kind::of(OP, to)?);
        let wide = self.widened(bits, Kind::of(OP, from)?, work);
        let delta = to_scale - scale;
        let (value, mut bad, infallible) = if delta >= 0 {
            let (value, bad) = self.scaled_up(work, wide, delta as u32, guard)?;
            (value, bad, precision + delta <= to_precision)
        } else if power_of_ten(Kind::of(OP, from)?, -delta as u32).is_none() {
            // Less than half of one, whatever it was.
            (self.constant(work, i256::ZERO), Pred::False, true)
        } else {
            let divisor = self.power(work, -delta as u32)?;
            (self.rounded_quotient(wide, divisor, guard)?, Pred::False, precision + delta < to_precision)
        };
        if infallible {
            bad = Pred::False;
        } else {
            let over = self.over_precision(value, work, to_precision);
            bad = self.asm.or(bad, over);
        }
        Ok((self.narrowed(value, target), bad))
    }

    /// Times a power of ten, of which only zero may have too high a one.
    fn scaled_up(&mut self, kind: Kind, value: Bits, power: u32, guard: Pred) -> Result<Checked> {
        if power_of_ten(kind, power).is_some() {
            return self.raise(kind, value, power, guard);
        }
        let zero = self.constant(kind, i256::ZERO);
        let same = self.equal(kind, value, zero, guard);
        Ok((zero, self.asm.not(same)))
    }

    fn rounded_quotient(&mut self, value: Bits, divisor: Bits, guard: Pred) -> Result<Bits> {
        match (value, divisor) {
            (Bits::Wide(low, high), Bits::Wide(divisor, divisor_high)) => {
                let [low, high] = self.asm.call_words("expr_wide_round", guard, &[low, high, divisor, divisor_high]);
                Ok(Bits::Wide(low, high))
            }
            (Bits::Huge(a), Bits::Huge(b)) => {
                Ok(Bits::Huge(self.asm.call_words("expr_huge_round", guard, &[a, b].concat())))
            }
            _ => Err(Error::Internal { op: OP, why: "a quotient of numbers of two kinds".into() }),
        }
    }

    /// A number as one of this kind, in which what the precision lets through fits.
    pub(super) fn narrowed(&mut self, value: Bits, kind: Kind) -> Bits {
        let value = match (value, kind) {
            (Bits::Huge(_), Kind::Huge) => value,
            (Bits::Huge([low, high, ..]), _) => Bits::Wide(low, high),
            _ => value,
        };
        match (value, kind) {
            (Bits::Wide(low, _), Kind::Int { bits: 64, .. }) => Bits::Number(low),
            (Bits::Wide(low, _), Kind::Int { bits, signed }) => Bits::Number(self.cut(low, bits, signed).0),
            _ => value,
        }
    }

    fn decimal_to_integer(&mut self, bits: Bits, from: &DataType, target: Kind, guard: Pred) -> Result<Checked> {
        let (Some(scale), Kind::Int { bits: width, signed }) = (scale(from), target) else {
            return Err(Error::Internal { op: OP, why: "a decimal as an integer".into() });
        };
        let work = work_kind(from, from)?;
        let wide = self.widened(bits, Kind::of(OP, from)?, work);
        let (value, mut bad) = if scale < 0 {
            self.scaled_up(work, wide, scale.unsigned_abs(), guard)?
        } else {
            match scale {
                0 => (wide, Pred::False),
                _ => {
                    let divisor = self.power(work, scale as u32)?;
                    let (quotient, _) = self.arithmetic(super::Arithmetic::Divide, work, wide, divisor, guard)?;
                    (quotient, Pred::False)
                }
            }
        };
        let (low, above) = match value {
            Bits::Wide(low, high) => (low, vec![high]),
            Bits::Huge([low, above @ ..]) => (low, above.to_vec()),
            _ => return Err(Error::Internal { op: OP, why: "a decimal of no width".into() }),
        };
        let sign = self.sign(low, signed);
        for word in above {
            let far = self.asm.test("setp.ne.s64", &[&word, &sign]);
            bad = self.asm.or(bad, far);
        }
        if width == 64 {
            return Ok((Bits::Number(low), bad));
        }
        let (short, cut) = self.cut(low, width, signed);
        Ok((Bits::Number(short), self.asm.or(bad, cut)))
    }

    fn decimal_to_f64(&mut self, bits: Bits, from: &DataType, kind: Kind, guard: Pred) -> Reg {
        let value = match bits {
            Bits::Number(value) => self.asm.op(Class::G, &format!("cvt.rn.f64.{}", kind.ptx()), &[&value]),
            Bits::Wide(low, high) => self.asm.call("expr_wide_to_double", guard, &[low, high], Class::G),
            Bits::Huge(words) => self.asm.call("expr_huge_to_double", guard, &words, Class::G),
            _ => self.asm.zero(Class::G),
        };
        let power = 10f64.powi(std::hint::black_box(scale(from).unwrap_or(0)));
        self.asm.op(Class::G, "div.rn.f64", &[&value, &double(power)])
    }
}

/// Whether arrow-rs's cast fails where TRY_CAST would give a null.
fn always_fails(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Date64, Time32, Time64, Timestamp};
    matches!((from, to), (Timestamp(..), Date32 | Time32(_) | Time64(_)))
        || (matches!(from, Date32 | Date64 | Time32(_) | Time64(_) | Timestamp(..)) && is_text(to))
}

fn is_plain_number(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_floating()
}

/// Precision and scale of a decimal.
pub(super) fn digits(data_type: &DataType) -> Option<(i32, i32)> {
    use DataType::{Decimal32, Decimal64, Decimal128, Decimal256};
    match data_type {
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) => Some((i32::from(*p), i32::from(*s))),
        _ => None,
    }
}

/// The width in which numbers between these decimals are computed.
fn work_kind(a: &DataType, b: &DataType) -> Result<Kind> {
    let huge = Kind::of(OP, a)? == Kind::Huge || Kind::of(OP, b)? == Kind::Huge;
    Ok(if huge { Kind::Huge } else { Kind::Wide })
}

pub(super) fn scale(data_type: &DataType) -> Option<i32> {
    digits(data_type).map(|(_, scale)| scale)
}

/// A double as PTX writes it.
fn double(value: f64) -> String {
    format!("0d{:016x}", value.to_bits())
}

pub(super) fn unsupported(from: &DataType, to: &DataType) -> Error {
    Error::unsupported(OP, format!("a cast from {from} to {to} on a device"), "evaluate it on the host")
}
