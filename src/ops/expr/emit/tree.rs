//! The walk over a bound expression.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, i256};

use super::asm::{Class, Pred, Reg};
use super::cast::scale;
use super::folds::FOLDS;
use super::lane::{Bits, Kind, Lane, is_nested};
use super::load::{bytes_of, words_of};
use super::{Constant, Emit, OP, Word};
use crate::error::Result;
use crate::ops::expr::Arithmetic;
use crate::ops::expr::bind::{Bound, Place};

impl Emit<'_> {
    /// The value of an expression. `active`: the rows whose result is looked at, which alone may fail.
    pub(super) fn lane(&mut self, bound: &Bound, active: Pred) -> Result<Lane> {
        match bound {
            Bound::Column { index, data_type } => self.column(*index, data_type),
            Bound::Scalar(array) => self.literal(array),
            Bound::Compare { op, left, right } => {
                let kind = Kind::of(OP, left.data_type())?;
                let (left, right) = (self.lane(left, active)?, self.lane(right, active)?);
                let valid = self.asm.and(left.valid, right.valid);
                let guard = self.asm.and(active, valid);
                let value = self.compare(*op, kind, left.bits, right.bits, guard);
                Ok(Lane::truth(value, valid))
            }
            Bound::Arithmetic { op, left, right, data_type } => {
                let sides = [(&**left, left.data_type()), (&**right, right.data_type())];
                let [left, right] = sides.map(|(side, _)| self.lane(side, active));
                let (left, right) = (left?, right?);
                self.calculate(*op, [(left, sides[0].1), (right, sides[1].1)], data_type, active)
            }
            Bound::Negate(input) => {
                let kind = Kind::of(OP, input.data_type())?;
                let lane = self.lane(input, active)?;
                if lane.bits == Bits::Nothing {
                    return Ok(Lane::NULL);
                }
                let (bits, bad) = self.negate(kind, lane.bits)?;
                self.fail_where(active, lane.valid, bad);
                Ok(Lane { bits, ..lane })
            }
            Bound::And(left, right) => self.decide(left, right, active, false),
            Bound::Or(left, right) => self.decide(left, right, active, true),
            Bound::Not(input) => {
                let lane = self.lane(input, active)?;
                Ok(Lane::truth(self.asm.not(lane.pred()), lane.valid))
            }
            Bound::IsNull { input, negated } => {
                let valid = match &**input {
                    Bound::Column { index, data_type } if is_nested(data_type) => {
                        self.nested_validity(*index, data_type)?
                    }
                    input => self.lane(input, active)?.valid,
                };
                Ok(Lane::truth(if *negated { valid } else { self.asm.not(valid) }, Pred::True))
            }
            Bound::IsTruth { input, truth, negated } => {
                let lane = self.lane(input, active)?;
                let holds = self.holds(lane, *truth);
                Ok(Lane::truth(if *negated { self.asm.not(holds) } else { holds }, Pred::True))
            }
            Bound::InSet { input, set } => self.in_set(input, set, active),
            Bound::Like { input, pattern, ignore_case } => self.like(input, pattern, *ignore_case, active),
            Bound::Cast { input, to, lenient, .. } => {
                let lane = self.lane(input, active)?;
                self.cast(lane, input.data_type(), to, *lenient, active)
            }
            Bound::Case { branches, otherwise } => self.case(branches, otherwise, active),
            Bound::Coalesce(inputs) => self.coalesce(inputs, active),
            Bound::Wrapping { op, left, right } => {
                let kind = Kind::of(OP, bound.data_type())?;
                let (left, right) = (self.lane(left, active)?, self.lane(right, active)?);
                let valid = self.asm.and(left.valid, right.valid);
                if left.bits == Bits::Nothing || right.bits == Bits::Nothing {
                    return Ok(Lane::NULL);
                }
                let guard = self.asm.and(active, valid);
                let (bits, _) = self.arithmetic(*op, kind, left.bits, right.bits, guard)?;
                Ok(Lane { bits, valid })
            }
            Bound::Search { place, input, part } => {
                let (text, part) = (self.lane(input, active)?, self.lane(part, active)?);
                let valid = self.asm.and(text.valid, part.valid);
                let (Bits::Bytes(a, a_length), Bits::Bytes(b, b_length)) = (text.bits, part.bits) else {
                    return Ok(Lane::NULL);
                };
                let name = match place {
                    Place::Start => "expr_starts_with",
                    Place::End => "expr_ends_with",
                    Place::Anywhere => "expr_contains",
                };
                let guard = self.asm.and(active, valid);
                Ok(Lane::truth(self.asks(name, guard, &[a, a_length, b, b_length]), valid))
            }
            Bound::Length { input, bytes } => {
                let lane = self.lane(input, active)?;
                let Bits::Bytes(at, length) = lane.bits else { return Ok(Lane::NULL) };
                let guard = self.asm.and(active, lane.valid);
                let count = match bytes {
                    true => length,
                    false => self.asm.call("expr_characters", guard, &[at, length], Class::D),
                };
                let count = match Kind::of(OP, bound.data_type())?.class() {
                    Some(Class::R) => self.asm.op(Class::R, "cvt.u32.u64", &[&count]),
                    _ => count,
                };
                Ok(Lane { bits: Bits::Number(count), ..lane })
            }
            Bound::DatePart { part, input } => {
                let lane = self.lane(input, active)?;
                self.date_part(*part, lane, input.data_type(), active)
            }
        }
    }

    /// CASE: every branch is computed; the first whose condition holds gives the row's value, and alone may fail in it.
    fn case(&mut self, branches: &[(Bound, Bound)], otherwise: &Bound, active: Pred) -> Result<Lane> {
        let mut open = active;
        let mut taken = Vec::with_capacity(branches.len());
        for (when, then) in branches {
            let when = self.lane(when, open)?;
            let holds = self.holds(when, true);
            let takes = self.asm.and(open, holds);
            taken.push((holds, self.lane(then, takes)?));
            open = self.asm.and_not(open, holds);
        }
        let mut result = self.lane(otherwise, open)?;
        for (holds, value) in taken.into_iter().rev() {
            result = self.either(holds, value, result);
        }
        Ok(result)
    }

    fn coalesce(&mut self, inputs: &[Bound], active: Pred) -> Result<Lane> {
        let mut open = active;
        let mut lanes = Vec::with_capacity(inputs.len());
        for input in inputs {
            let lane = self.lane(input, open)?;
            open = self.asm.and_not(open, lane.valid);
            lanes.push(lane);
        }
        let mut result = Lane::NULL;
        for lane in lanes.into_iter().rev() {
            result = self.either(lane.valid, lane, result);
        }
        Ok(result)
    }

    /// `a` where `p`, else `b`, of one type.
    fn either(&mut self, p: Pred, a: Lane, b: Lane) -> Lane {
        let valid = self.asm.choose(p, a.valid, b.valid);
        let bits = match (a.bits, b.bits) {
            (Bits::Bool(a), Bits::Bool(b)) => Bits::Bool(self.asm.choose(p, a, b)),
            (Bits::Number(a), Bits::Number(b)) => Bits::Number(self.asm.select(p, a, b)),
            (Bits::Wide(a, a_high), Bits::Wide(b, b_high)) => {
                Bits::Wide(self.asm.select(p, a, b), self.asm.select(p, a_high, b_high))
            }
            (Bits::Huge(a), Bits::Huge(b)) => Bits::Huge(std::array::from_fn(|i| self.asm.select(p, a[i], b[i]))),
            (Bits::Bytes(a, a_length), Bits::Bytes(b, b_length)) => {
                Bits::Bytes(self.asm.select(p, a, b), self.asm.select(p, a_length, b_length))
            }
            // A NULL: where it is taken the row has no value.
            (Bits::Nothing, bits) | (bits, _) => bits,
        };
        Lane { bits, valid }
    }

    /// Rows fail that are looked at, have a value and are bad.
    pub(super) fn fail_where(&mut self, active: Pred, valid: Pred, bad: Pred) {
        let guard = self.asm.and(active, valid);
        let bad = self.asm.and(guard, bad);
        self.fail(bad);
    }

    /// AND and OR: the right side of a decided row is not looked at.
    fn decide(&mut self, left: &Bound, right: &Bound, active: Pred, decisive: bool) -> Result<Lane> {
        let left = self.lane(left, active)?;
        let decided = self.holds(left, decisive);
        let open = self.asm.and_not(active, decided);
        let right = self.lane(right, open)?;
        Ok(self.connect(left, right, decisive))
    }

    /// Arithmetic; decimals are brought to the scales that arrow-rs's rules ask for.
    fn calculate(
        &mut self,
        op: Arithmetic,
        sides: [(Lane, &DataType); 2],
        data_type: &DataType,
        active: Pred,
    ) -> Result<Lane> {
        let [(left, a), (right, b)] = sides;
        let kind = Kind::of(OP, data_type)?;
        let valid = self.asm.and(left.valid, right.valid);
        if left.bits == Bits::Nothing || right.bits == Bits::Nothing {
            return Ok(Lane::NULL);
        }
        let guard = self.asm.and(active, valid);
        if let DataType::Interval(unit) = b {
            let (bits, bad) = match a {
                DataType::Interval(_) => self.interval_sum(op, *unit, left.bits, right.bits)?,
                _ => self.shift(op, (left.bits, a), (right.bits, *unit), guard)?,
            };
            self.fail_where(active, valid, bad);
            return Ok(Lane { bits, valid });
        }
        let [up, up_right] = raises(op, a, b, data_type);
        let (x, bad_x) = self.raise(kind, left.bits, up, guard)?;
        let (y, bad_y) = self.raise(kind, right.bits, up_right, guard)?;
        let (bits, mut bad) = self.arithmetic(op, kind, x, y, guard)?;
        for more in [bad_x, bad_y] {
            bad = self.asm.or(bad, more);
        }
        self.fail_where(active, valid, bad);
        Ok(Lane { bits, valid })
    }

    /// Times 10 to this power.
    pub(super) fn raise(&mut self, kind: Kind, bits: Bits, power: u32, guard: Pred) -> Result<(Bits, Pred)> {
        if power == 0 {
            return Ok((bits, Pred::False));
        }
        let Some(factor) = power_of_ten(kind, power) else { return Ok((bits, Pred::True)) };
        let factor = self.constant(kind, factor);
        self.arithmetic(Arithmetic::Multiply, kind, bits, factor, guard)
    }

    /// An integer that belongs to the shape, such as a power of ten.
    pub(super) fn constant(&mut self, kind: Kind, value: i256) -> Bits {
        let (low, high) = value.to_parts();
        let words = [low as u64, (low >> 64) as u64, high as u64, (high >> 64) as u64];
        let mut word = |i: usize| self.asm.op(Class::D, "mov.b64", &[&format_args!("{:#x}", words[i])]);
        match kind {
            Kind::Huge => Bits::Huge([word(0), word(1), word(2), word(3)]),
            Kind::Wide => Bits::Wide(word(0), word(1)),
            _ => {
                let class = kind.class().unwrap_or(Class::D);
                Bits::Number(self.asm.op(class, &format!("mov.{}", class.bits()), &[&(words[0] as i64)]))
            }
        }
    }

    fn like(&mut self, input: &Bound, pattern: &Bound, ignore_case: bool, active: Pred) -> Result<Lane> {
        // A literal of ASCII needs no table.
        let ascii = match pattern {
            Bound::Scalar(array) => array.is_null(0) || bytes_of(array, 0).is_ascii(),
            _ => false,
        };
        let (text, pattern) = (self.lane(input, active)?, self.lane(pattern, active)?);
        let valid = self.asm.and(text.valid, pattern.valid);
        let (Bits::Bytes(a, a_length), Bits::Bytes(b, b_length)) = (text.bits, pattern.bits) else {
            return Ok(Lane::NULL);
        };
        let guard = self.asm.and(active, valid);
        let mut arguments = vec![a, a_length, b, b_length];
        let name = match (ignore_case, ascii) {
            (false, _) => "expr_like",
            (true, true) => "expr_ilike",
            (true, false) => {
                let (folds, n) = self.set(&FOLDS, FOLDS.len() / 8);
                arguments.extend([folds, n]);
                "expr_ilike_folded"
            }
        };
        Ok(Lane::truth(self.asks(name, guard, &arguments), valid))
    }

    /// `input IN (set)`: the set is sorted among the constants, so that its length is no part of the text.
    fn in_set(&mut self, input: &Bound, set: &ArrayRef, active: Pred) -> Result<Lane> {
        let kind = Kind::of(OP, set.data_type())?;
        let lane = self.lane(input, active)?;
        let members: Vec<usize> = (0..set.len()).filter(|row| set.is_valid(*row)).collect();
        let guard = self.asm.and(active, lane.valid);
        let found = match lane.bits {
            Bits::Nothing => return Ok(Lane::NULL),
            Bits::Bool(value) => {
                let holds = |truth| members.iter().any(|&row| set.as_boolean().value(row) == truth);
                let (yes, no) = (holds(true), holds(false));
                let of = |known| if known { Pred::True } else { Pred::False };
                self.asm.choose(value, of(yes), of(no))
            }
            Bits::Bytes(at, length) => {
                let mut texts: Vec<&[u8]> = members.iter().map(|&row| bytes_of(set, row)).collect();
                texts.sort_unstable();
                let mut bytes = Vec::new();
                let mut end = 8 * (texts.len() as u64 + 1);
                for position in std::iter::once(0).chain(texts.iter().map(|text| text.len() as u64)) {
                    end += position;
                    bytes.extend_from_slice(&end.to_le_bytes());
                }
                texts.iter().for_each(|text| bytes.extend_from_slice(text));
                let (keys, n) = self.set(&bytes, texts.len());
                self.asks("expr_in_texts", guard, &[keys, n, at, length])
            }
            Bits::Wide(low, high) => {
                let (keys, n) = self.set_of_numbers(set, kind, &members)?;
                self.asks("expr_in_wide", guard, &[keys, n, low, high])
            }
            Bits::Huge([a, b, c, d]) => {
                let (keys, n) = self.set_of_numbers(set, kind, &members)?;
                self.asks("expr_in_huge", guard, &[keys, n, a, b, c, d])
            }
            Bits::Number(value) => {
                let mut keys = Vec::with_capacity(members.len());
                for &row in &members {
                    keys.push(one_zero_one_nan(kind, words_of(set, kind, row)?[0]));
                }
                keys.sort_unstable();
                let bytes: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
                let (keys, n) = self.set(&bytes, keys.len());
                let key = self.key(kind, value);
                self.asks("expr_in_words", guard, &[keys, n, key])
            }
        };
        // Among the candidates is a NULL: what is not found may be equal to it.
        let valid = match set.null_count() {
            0 => lane.valid,
            _ => self.asm.and(lane.valid, found),
        };
        Ok(Lane::truth(found, valid))
    }

    /// Calls a function that answers yes or no.
    pub(super) fn asks(&mut self, name: &str, guard: Pred, arguments: &[Reg]) -> Pred {
        let answer = self.asm.call(name, guard, arguments, Class::R);
        self.asm.test("setp.ne.u32", &[&answer, &0])
    }

    /// Members of more than 64 bits, in the order of unsigned numbers.
    fn set_of_numbers(&mut self, set: &ArrayRef, kind: Kind, members: &[usize]) -> Result<(Reg, Reg)> {
        let mut keys = members.iter().map(|&row| words_of(set, kind, row)).collect::<Result<Vec<_>>>()?;
        keys.sort_unstable_by(|a, b| a.iter().rev().cmp(b.iter().rev()));
        let words = keys.iter().flat_map(|key| &key[..kind.width() / 8]);
        let bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
        Ok(self.set(&bytes, keys.len()))
    }

    pub(super) fn set(&mut self, bytes: &[u8], count: usize) -> (Reg, Reg) {
        let (at, _) = self.blob(bytes);
        let keys = self.param(Word::Constant(Constant::Blob(at)));
        (keys, self.param(Word::Constant(Constant::Word(count as u64))))
    }

    /// A number as a 64-bit key of a set: equal numbers have equal keys.
    fn key(&mut self, kind: Kind, value: Reg) -> Reg {
        let asm = &mut self.asm;
        match kind {
            Kind::Int { bits: 64, .. } | Kind::DayTime => value,
            Kind::Int { signed: true, .. } => asm.op(Class::D, "cvt.s64.s32", &[&value]),
            Kind::Int { .. } => asm.op(Class::D, "cvt.u64.u32", &[&value]),
            _ => {
                let wide = if kind == Kind::F64 { value } else { asm.op(Class::G, "cvt.f64.f32", &[&value]) };
                // x + 0.0 makes one zero of two.
                let one_zero = asm.op(Class::G, "add.rn.f64", &[&wide, &"0d0000000000000000"]);
                let bits = asm.op(Class::D, "mov.b64", &[&one_zero]);
                let nan = asm.test("setp.nan.f64", &[&wide, &wide]);
                let one_nan = asm.op(Class::D, "mov.b64", &[&"0x7ff8000000000000"]);
                asm.select(nan, one_nan, bits)
            }
        }
    }
}

/// The key of a set's member, given the bits that a register would hold.
fn one_zero_one_nan(kind: Kind, word: u64) -> u64 {
    let value = match kind {
        Kind::F64 => f64::from_bits(word),
        Kind::F16 | Kind::F32 => f64::from(f32::from_bits(word as u32)),
        _ => return word,
    };
    if value.is_nan() { 0x7ff8_0000_0000_0000 } else { (value + 0.0).to_bits() }
}

/// 10 to this power, if the signed integers of this kind hold it.
pub(super) fn power_of_ten(kind: Kind, power: u32) -> Option<i256> {
    let value = i256::from_i128(10).checked_pow(power)?;
    let spare = 256 - 8 * kind.width();
    (value <= i256::MAX >> spare as u8).then_some(value)
}

/// The powers of ten that each side of decimal arithmetic is multiplied by first, as arrow-rs's `decimal_op` does.
fn raises(op: Arithmetic, a: &DataType, b: &DataType, result: &DataType) -> [u32; 2] {
    let (Some(a), Some(b), Some(result)) = (scale(a), scale(b), scale(result)) else { return [0, 0] };
    match op {
        Arithmetic::Add | Arithmetic::Subtract | Arithmetic::Remainder => [(result - a) as u32, (result - b) as u32],
        Arithmetic::Multiply => [0, 0],
        Arithmetic::Divide => {
            let power = result - a + b;
            [power.max(0) as u32, (-power).max(0) as u32]
        }
    }
}
