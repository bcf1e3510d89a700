//! Casts from text, by arrow-rs's grammars.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::asm::{Class, Pred, Reg};
use super::cast::{digits, unsupported};
use super::lane::{Bits, Kind};
use super::number::Checked;
use super::{Emit, OP};
use crate::error::{Error, Result};
use crate::ops::expr::zone::{per_second, reads_names};

/// `Verdict::kMayNameZone` of kernels/include/parse.cuh.
const MAY_NAME_ZONE: u64 = 2;

impl Emit<'_> {
    /// What a text says; where it is in no grammar of the type it is bad.
    pub(super) fn parse(&mut self, bits: Bits, from: &DataType, to: &DataType, guard: Pred) -> Result<Checked> {
        use DataType::*;
        let Bits::Bytes(at, length) = bits else {
            return Err(Error::Internal { op: OP, why: format!("{from} is no text") });
        };
        match to {
            Boolean => {
                let (truth, bad) = self.parsed("expr_parse_truth", [at, length], [], guard);
                Ok((Bits::Bool(self.asm.test("setp.ne.u64", &[&truth, &0])), bad))
            }
            Date32 => {
                let (days, bad) = self.parse_moment("expr_parse_date", &[at, length], guard);
                Ok((Bits::Number(self.cut(days, 32, true).0), bad))
            }
            Date64 => {
                let (value, bad) = self.parse_moment("expr_parse_date64", &[at, length], guard);
                Ok((Bits::Number(value), bad))
            }
            Timestamp(unit, zone) => {
                let ahead = self.ahead(zone.as_deref()).ok_or_else(|| unsupported(from, to))?;
                let [changes, count] = self.zone_words(ahead);
                let units = self.asm.op(Class::D, "mov.b64", &[&per_second(unit)]);
                let (value, bad) = self.parse_moment("expr_parse_moment", &[at, length, changes, count, units], guard);
                Ok((Bits::Number(value), bad))
            }
            Time32(unit) => {
                let (value, bad) = self.parse_clock([at, length], unit, i64::from(i32::MAX), guard);
                Ok((Bits::Number(self.cut(value, 32, true).0), bad))
            }
            Time64(unit) => {
                let (value, bad) = self.parse_clock([at, length], unit, i64::MAX, guard);
                Ok((Bits::Number(value), bad))
            }
            Interval(unit) => Ok(self.parse_interval([at, length], *unit, guard)),
            _ if to.is_integer() => {
                let Kind::Int { bits: width, signed } = Kind::of(OP, to)? else { return Err(unsupported(from, to)) };
                let most = u64::MAX >> (64 - width + u32::from(signed));
                let least = if signed { most + 1 } else { 0 };
                let (value, bad) = self.parsed("expr_parse_integer", [at, length], [most as i64, least as i64], guard);
                Ok((Bits::Number(if width == 64 { value } else { self.cut(value, width, signed).0 }), bad))
            }
            Float16 | Float32 | Float64 => Ok(self.parse_float([at, length], to, guard)),
            _ => match digits(to) {
                Some((precision, scale @ 0..)) => self.parse_decimal([at, length], to, precision, scale, guard),
                _ => Err(unsupported(from, to)),
            },
        }
    }

    /// Calls a function that gives a number and whether there is none.
    fn parsed<const N: usize>(&mut self, name: &str, text: [Reg; 2], more: [i64; N], guard: Pred) -> (Reg, Pred) {
        let more = more.map(|word| self.asm.op(Class::D, "mov.b64", &[&word]));
        let arguments: Vec<Reg> = text.into_iter().chain(more).collect();
        let [value, bad] = self.asm.call_words(name, guard, &arguments);
        (value, self.asm.test("setp.ne.u64", &[&bad, &0]))
    }

    /// As [`Emit::parsed`]. A row fails whose text may name a zone, if the host reads those.
    fn parse_moment(&mut self, name: &str, arguments: &[Reg], guard: Pred) -> (Reg, Pred) {
        let [value, verdict] = self.asm.call_words(name, guard, arguments);
        if reads_names() {
            let may_name = self.asm.test("setp.eq.u64", &[&verdict, &MAY_NAME_ZONE]);
            self.fail_where(guard, Pred::True, may_name);
        }
        (value, self.asm.test("setp.ne.u64", &[&verdict, &0]))
    }

    /// Halves are read by way of f32, as arrow-rs does.
    fn parse_float(&mut self, [at, length]: [Reg; 2], to: &DataType, guard: Pred) -> Checked {
        let powers = self.powers_of_ten();
        let is_wide = *to == DataType::Float64;
        let wide = self.asm.op(Class::R, "mov.b32", &[&u32::from(is_wide)]);
        let [bits, bad] = self.asm.call_words("expr_parse_float", guard, &[at, length, powers, wide]);
        let bad = self.asm.test("setp.ne.u64", &[&bad, &0]);
        if is_wide {
            return (Bits::Number(self.asm.op(Class::G, "mov.b64", &[&bits])), bad);
        }
        let bits = self.asm.op(Class::R, "cvt.u32.u64", &[&bits]);
        let single = self.asm.op(Class::F, "mov.b32", &[&bits]);
        let value = if *to == DataType::Float16 { self.halved(single) } else { single };
        (Bits::Number(value), bad)
    }

    fn parse_clock(&mut self, text: [Reg; 2], unit: &TimeUnit, most: i64, guard: Pred) -> (Reg, Pred) {
        self.parsed("expr_parse_clock", text, [1_000_000_000 / per_second(unit), most], guard)
    }

    fn parse_interval(&mut self, [at, length]: [Reg; 2], unit: IntervalUnit, guard: Pred) -> Checked {
        let layout = match unit {
            IntervalUnit::YearMonth => 0,
            IntervalUnit::DayTime => 1,
            IntervalUnit::MonthDayNano => 2,
        };
        let layout = self.asm.op(Class::D, "mov.b64", &[&layout]);
        let [word, nanos, bad] = self.asm.call_words("expr_parse_interval", guard, &[at, length, layout]);
        let bad = self.asm.test("setp.ne.u64", &[&bad, &0]);
        let value = match unit {
            IntervalUnit::YearMonth => Bits::Number(self.asm.op(Class::R, "cvt.u32.u64", &[&word])),
            IntervalUnit::DayTime => Bits::Number(word),
            IntervalUnit::MonthDayNano => Bits::Wide(word, nanos),
        };
        (value, bad)
    }

    fn parse_decimal(
        &mut self,
        [at, length]: [Reg; 2],
        to: &DataType,
        precision: i32,
        scale: i32,
        guard: Pred,
    ) -> Result<Checked> {
        let scale = self.asm.op(Class::D, "mov.b64", &[&scale]);
        let [a, b, c, d, bad] = self.asm.call_words("expr_parse_decimal", guard, &[at, length, scale]);
        let bad = self.asm.test("setp.ne.u64", &[&bad, &0]);
        let (value, over) = self.decimal(Bits::Huge([a, b, c, d]), precision, Kind::of(OP, to)?);
        Ok((value, self.asm.or(bad, over)))
    }
}
