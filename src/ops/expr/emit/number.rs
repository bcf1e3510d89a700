//! Arithmetic on numbers: checked as arrow-rs checks it, or wrapping.

use super::asm::{Class, Pred, Reg};
use super::lane::{Bits, Kind};
use super::{Emit, OP};
use crate::error::{Error, Result};
use crate::ops::expr::Arithmetic;

/// A result and the lanes where it does not fit, or where the divisor is zero.
pub(super) type Checked = (Bits, Pred);

impl Emit<'_> {
    /// `a op b` of two numbers of one kind. `guard`: the lanes whose result is looked at.
    pub(super) fn arithmetic(&mut self, op: Arithmetic, kind: Kind, a: Bits, b: Bits, guard: Pred) -> Result<Checked> {
        match (kind, a, b) {
            (Kind::F16 | Kind::F32 | Kind::F64, Bits::Number(a), Bits::Number(b)) => {
                Ok((Bits::Number(self.float(op, kind, a, b)), Pred::False))
            }
            (Kind::Int { bits, signed }, Bits::Number(a), Bits::Number(b)) => {
                let (value, bad) = match op {
                    Arithmetic::Divide | Arithmetic::Remainder => self.divide(op, kind, a, b),
                    _ if bits < 64 => self.short(op, bits, signed, a, b),
                    _ => self.long_int(op, signed, a, b),
                };
                Ok((Bits::Number(value), bad))
            }
            (Kind::Wide, Bits::Wide(a, a_high), Bits::Wide(b, b_high)) => {
                Ok(self.wide(op, (a, a_high), (b, b_high), guard))
            }
            (Kind::Huge, Bits::Huge(a), Bits::Huge(b)) => Ok(self.huge(op, a, b, guard)),
            _ => Err(Error::Internal { op: OP, why: format!("{op} of {kind:?}") }),
        }
    }

    fn float(&mut self, op: Arithmetic, kind: Kind, a: Reg, b: Reg) -> Reg {
        let name = match op {
            Arithmetic::Add => "add",
            Arithmetic::Subtract => "sub",
            Arithmetic::Multiply => "mul",
            Arithmetic::Divide => "div",
            Arithmetic::Remainder => return self.float_remainder(kind, a, b),
        };
        let value = self.asm.op(kind.class().unwrap_or(Class::G), &format!("{name}.rn.{}", kind.ptx()), &[&a, &b]);
        // f32 holds more than twice the digits of f16, so that rounding twice is rounding once.
        if kind == Kind::F16 { self.halved(value) } else { value }
    }

    /// The nearest f16, as f32.
    pub(super) fn halved(&mut self, value: Reg) -> Reg {
        let half = self.asm.op(Class::H, "cvt.rn.f16.f32", &[&value]);
        self.asm.op(Class::F, "cvt.f32.f16", &[&half])
    }

    /// The remainder of floats is exact, so that f64 does for all of them.
    fn float_remainder(&mut self, kind: Kind, a: Reg, b: Reg) -> Reg {
        let wide = |emit: &mut Self, value: Reg| match kind {
            Kind::F64 => value,
            _ => emit.asm.op(Class::G, "cvt.f64.f32", &[&value]),
        };
        let (a, b) = (wide(self, a), wide(self, b));
        let remainder = self.asm.call("expr_remainder", Pred::True, &[a, b], Class::G);
        match kind {
            Kind::F64 => remainder,
            _ => self.asm.op(Class::F, "cvt.rn.f32.f64", &[&remainder]),
        }
    }

    /// Integers of less than 64 bits: in 64 bits, then cut.
    pub(super) fn short(&mut self, op: Arithmetic, bits: u32, signed: bool, a: Reg, b: Reg) -> (Reg, Pred) {
        let sign = if signed { 's' } else { 'u' };
        let exact = match op {
            Arithmetic::Multiply => self.asm.op(Class::D, &format!("mul.wide.{sign}32"), &[&a, &b]),
            _ => {
                let name = if op == Arithmetic::Add { "add.s64" } else { "sub.s64" };
                let a = self.asm.op(Class::D, &format!("cvt.{sign}64.{sign}32"), &[&a]);
                let b = self.asm.op(Class::D, &format!("cvt.{sign}64.{sign}32"), &[&b]);
                self.asm.op(Class::D, name, &[&a, &b])
            }
        };
        self.cut(exact, bits, signed)
    }

    /// A 64-bit number as a shorter one, and the lanes where it is another number then.
    pub(super) fn cut(&mut self, exact: Reg, bits: u32, signed: bool) -> (Reg, Pred) {
        let sign = if signed { 's' } else { 'u' };
        let low = self.asm.op(Class::R, "cvt.u32.u64", &[&exact]);
        let short = match bits {
            32 => low,
            _ => self.asm.op(Class::R, &format!("bfe.{sign}32"), &[&low, &0, &bits]),
        };
        let again = self.asm.op(Class::D, &format!("cvt.{sign}64.{sign}32"), &[&short]);
        (short, self.asm.test("setp.ne.s64", &[&again, &exact]))
    }

    pub(super) fn long_int(&mut self, op: Arithmetic, signed: bool, a: Reg, b: Reg) -> (Reg, Pred) {
        let asm = &mut self.asm;
        match (op, signed) {
            (Arithmetic::Multiply, true) => {
                let low = asm.op(Class::D, "mul.lo.s64", &[&a, &b]);
                let high = asm.op(Class::D, "mul.hi.s64", &[&a, &b]);
                let sign = asm.op(Class::D, "shr.s64", &[&low, &63]);
                (low, asm.test("setp.ne.s64", &[&high, &sign]))
            }
            (Arithmetic::Multiply, false) => {
                let low = asm.op(Class::D, "mul.lo.u64", &[&a, &b]);
                let high = asm.op(Class::D, "mul.hi.u64", &[&a, &b]);
                (low, asm.test("setp.ne.u64", &[&high, &0]))
            }
            (Arithmetic::Add, true) => {
                // The signs of both operands differ from the result's.
                let sum = asm.op(Class::D, "add.s64", &[&a, &b]);
                let (x, y) = (asm.op(Class::D, "xor.b64", &[&a, &sum]), asm.op(Class::D, "xor.b64", &[&b, &sum]));
                let both = asm.op(Class::D, "and.b64", &[&x, &y]);
                (sum, asm.test("setp.lt.s64", &[&both, &0]))
            }
            (Arithmetic::Add, false) => {
                let sum = asm.op(Class::D, "add.s64", &[&a, &b]);
                (sum, asm.test("setp.lt.u64", &[&sum, &a]))
            }
            (_, true) => {
                // The operands' signs differ, and the result has the second one's.
                let difference = asm.op(Class::D, "sub.s64", &[&a, &b]);
                let x = asm.op(Class::D, "xor.b64", &[&a, &b]);
                let y = asm.op(Class::D, "xor.b64", &[&a, &difference]);
                let both = asm.op(Class::D, "and.b64", &[&x, &y]);
                (difference, asm.test("setp.lt.s64", &[&both, &0]))
            }
            (_, false) => {
                let difference = asm.op(Class::D, "sub.s64", &[&a, &b]);
                (difference, asm.test("setp.lt.u64", &[&a, &b]))
            }
        }
    }

    /// Quotient or remainder of integers; a bad divisor is replaced by one, since what the machine makes of it is not
    /// defined.
    fn divide(&mut self, op: Arithmetic, kind: Kind, a: Reg, b: Reg) -> (Reg, Pred) {
        let Kind::Int { bits, signed } = kind else { return (a, Pred::False) };
        let class = kind.class().unwrap_or(Class::D);
        let ptx = kind.ptx();
        let zero = self.asm.test(&format!("setp.eq.{ptx}"), &[&b, &0]);
        let mut replaced = zero;
        let mut bad = zero;
        if signed {
            let least = i64::MIN >> (64 - bits);
            let minus = self.asm.test(&format!("setp.eq.{ptx}"), &[&b, &-1]);
            let lowest = self.asm.test(&format!("setp.eq.{ptx}"), &[&a, &least]);
            let overflow = self.asm.and(minus, lowest);
            replaced = self.asm.or(zero, overflow);
            // x % 1 is 0, as x % -1 is; only the quotient overflows.
            if op == Arithmetic::Divide {
                bad = replaced;
            }
        }
        let one = self.asm.op(class, &format!("mov.{}", class.bits()), &[&1]);
        let divisor = self.asm.select(replaced, one, b);
        let name = if op == Arithmetic::Divide { "div" } else { "rem" };
        (self.asm.op(class, &format!("{name}.{ptx}"), &[&a, &divisor]), bad)
    }

    fn wide(&mut self, op: Arithmetic, a: (Reg, Reg), b: (Reg, Reg), guard: Pred) -> Checked {
        match op {
            Arithmetic::Add | Arithmetic::Subtract => {
                let add = op == Arithmetic::Add;
                let (first, second) = if add { ("add.cc.u64", "addc.u64") } else { ("sub.cc.u64", "subc.u64") };
                let low = self.asm.op(Class::D, first, &[&a.0, &b.0]);
                let high = self.asm.op(Class::D, second, &[&a.1, &b.1]);
                (Bits::Wide(low, high), self.passes(add, a.1, b.1, high))
            }
            _ => {
                let name = match op {
                    Arithmetic::Multiply => "expr_wide_multiply",
                    Arithmetic::Divide => "expr_wide_divide",
                    _ => "expr_wide_remainder",
                };
                let [low, high, bad] = self.asm.call_words(name, guard, &[a.0, a.1, b.0, b.1]);
                (Bits::Wide(low, high), self.asm.test("setp.ne.u64", &[&bad, &0]))
            }
        }
    }

    fn huge(&mut self, op: Arithmetic, a: [Reg; 4], b: [Reg; 4], guard: Pred) -> Checked {
        let name = match op {
            Arithmetic::Add | Arithmetic::Subtract => return self.huge_sum(op == Arithmetic::Add, a, b),
            Arithmetic::Multiply => "expr_huge_multiply",
            Arithmetic::Divide => "expr_huge_divide",
            Arithmetic::Remainder => "expr_huge_remainder",
        };
        let [a, b, c, d, bad] = self.asm.call_words(name, guard, &[a, b].concat());
        (Bits::Huge([a, b, c, d]), self.asm.test("setp.ne.u64", &[&bad, &0]))
    }

    fn huge_sum(&mut self, add: bool, a: [Reg; 4], b: [Reg; 4]) -> Checked {
        // The carry is one flag: nothing may come between these.
        let name = if add { "add" } else { "sub" };
        let result = std::array::from_fn(|i| {
            let (carried, carries) = (if i > 0 { "c" } else { "" }, if i < 3 { ".cc" } else { "" });
            self.asm.op(Class::D, &format!("{name}{carried}{carries}.u64"), &[&a[i], &b[i]])
        });
        (Bits::Huge(result), self.passes(add, a[3], b[3], result[3]))
    }

    /// Whether a sum or difference passes its width, by the signs of the operands' and the result's highest words.
    fn passes(&mut self, add: bool, a: Reg, b: Reg, result: Reg) -> Pred {
        let other = if add { result } else { a };
        let x = self.asm.op(Class::D, "xor.b64", &[&a, &result]);
        let y = self.asm.op(Class::D, "xor.b64", &[&b, &other]);
        let both = self.asm.op(Class::D, "and.b64", &[&x, &y]);
        self.asm.test("setp.lt.s64", &[&both, &0])
    }

    /// `-a`.
    pub(super) fn negate(&mut self, kind: Kind, a: Bits) -> Result<Checked> {
        Ok(match (kind, a) {
            // By the sign's bit: NaN keeps its own.
            (Kind::F64, Bits::Number(a)) => {
                let bits = self.asm.op(Class::D, "mov.b64", &[&a]);
                let flipped = self.asm.op(Class::D, "xor.b64", &[&bits, &"0x8000000000000000"]);
                (Bits::Number(self.asm.op(Class::G, "mov.b64", &[&flipped])), Pred::False)
            }
            (Kind::F16 | Kind::F32, Bits::Number(a)) => {
                let bits = self.asm.op(Class::R, "mov.b32", &[&a]);
                let flipped = self.asm.op(Class::R, "xor.b32", &[&bits, &"0x80000000"]);
                (Bits::Number(self.asm.op(Class::F, "mov.b32", &[&flipped])), Pred::False)
            }
            (Kind::Int { .. }, Bits::Number(a)) => {
                let zero = self.asm.zero(a.0);
                self.arithmetic(Arithmetic::Subtract, kind, Bits::Number(zero), Bits::Number(a), Pred::True)?
            }
            (Kind::Wide, Bits::Wide(..)) => {
                let zero = self.asm.zero(Class::D);
                self.arithmetic(Arithmetic::Subtract, kind, Bits::Wide(zero, zero), a, Pred::True)?
            }
            (Kind::Huge, Bits::Huge(_)) => {
                let zero = self.asm.zero(Class::D);
                self.arithmetic(Arithmetic::Subtract, kind, Bits::Huge([zero; 4]), a, Pred::True)?
            }
            (Kind::DayTime | Kind::MonthDayNano, _) => self.negate_interval(a)?,
            _ => return Err(Error::Internal { op: OP, why: format!("- of {kind:?}") }),
        })
    }
}
