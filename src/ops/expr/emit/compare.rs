//! Comparisons and Kleene logic.

use super::Emit;
use super::asm::{Pred, Reg};
use super::lane::{Bits, Kind, Lane};
use crate::ops::expr::Comparison;

impl Emit<'_> {
    /// `a op b` for two values of one kind. `guard`: the lanes whose result is looked at.
    pub(super) fn compare(&mut self, op: Comparison, kind: Kind, a: Bits, b: Bits, guard: Pred) -> Pred {
        use Comparison::*;
        match op {
            Eq => self.equal(kind, a, b, guard),
            NotEq => {
                let equal = self.equal(kind, a, b, guard);
                self.asm.not(equal)
            }
            Lt => self.less(kind, a, b, guard),
            Gt => self.less(kind, b, a, guard),
            LtEq => {
                let greater = self.less(kind, b, a, guard);
                self.asm.not(greater)
            }
            GtEq => {
                let less = self.less(kind, a, b, guard);
                self.asm.not(less)
            }
        }
    }

    pub(super) fn equal(&mut self, kind: Kind, a: Bits, b: Bits, guard: Pred) -> Pred {
        match (a, b) {
            (Bits::Bool(a), Bits::Bool(b)) => {
                let differ = self.asm.xor(a, b);
                self.asm.not(differ)
            }
            (Bits::Number(a), Bits::Number(b)) if kind.is_float() => {
                // All NaNs are one value; -0.0 equals 0.0.
                let equal = self.asm.test(&format!("setp.eq.{}", kind.ptx()), &[&a, &b]);
                let (left, right) = (self.not_a_number(kind, a), self.not_a_number(kind, b));
                let both = self.asm.and(left, right);
                self.asm.or(equal, both)
            }
            (Bits::Number(a), Bits::Number(b)) => self.asm.test(&format!("setp.eq.{}", kind.ptx()), &[&a, &b]),
            (Bits::Wide(a, a_high), Bits::Wide(b, b_high)) => {
                let low = self.asm.test("setp.eq.u64", &[&a, &b]);
                let high = self.asm.test("setp.eq.u64", &[&a_high, &b_high]);
                self.asm.and(low, high)
            }
            (Bits::Huge(a), Bits::Huge(b)) => {
                let words = a.into_iter().zip(b);
                words.fold(Pred::True, |equal, (a, b)| {
                    let same = self.asm.test("setp.eq.u64", &[&a, &b]);
                    self.asm.and(equal, same)
                })
            }
            (Bits::Bytes(a, a_length), Bits::Bytes(b, b_length)) => {
                // Most unequal texts differ in length.
                let same = self.asm.test("setp.eq.u64", &[&a_length, &b_length]);
                let guard = self.asm.and(guard, same);
                let equal = self.asks("expr_equal", guard, &[a, b, a_length]);
                self.asm.and(same, equal)
            }
            _ => Pred::False,
        }
    }

    fn less(&mut self, kind: Kind, a: Bits, b: Bits, guard: Pred) -> Pred {
        match (a, b) {
            (Bits::Bool(a), Bits::Bool(b)) => self.asm.and_not(b, a),
            (Bits::Number(a), Bits::Number(b)) if kind.is_float() => {
                // NaN is above every number: less, or unordered, unless the left side is NaN.
                let less = self.asm.test(&format!("setp.ltu.{}", kind.ptx()), &[&a, &b]);
                let nan = self.not_a_number(kind, a);
                self.asm.and_not(less, nan)
            }
            (Bits::Number(a), Bits::Number(b)) if kind == Kind::DayTime => {
                let (a, b) = (self.parts_key(a), self.parts_key(b));
                self.asm.test("setp.lt.s64", &[&a, &b])
            }
            (Bits::Number(a), Bits::Number(b)) => self.asm.test(&format!("setp.lt.{}", kind.ptx()), &[&a, &b]),
            (Bits::Wide(a, a_nanos), Bits::Wide(b, b_nanos)) if kind == Kind::MonthDayNano => {
                let (a, b) = (self.parts_key(a), self.parts_key(b));
                let before = self.asm.test("setp.lt.s64", &[&a, &b]);
                let equal = self.asm.test("setp.eq.s64", &[&a, &b]);
                let fewer = self.asm.test("setp.lt.s64", &[&a_nanos, &b_nanos]);
                let fewer = self.asm.and(equal, fewer);
                self.asm.or(before, fewer)
            }
            (Bits::Wide(a, a_high), Bits::Wide(b, b_high)) => {
                let high = self.asm.test("setp.lt.s64", &[&a_high, &b_high]);
                let equal = self.asm.test("setp.eq.s64", &[&a_high, &b_high]);
                let low = self.asm.test("setp.lt.u64", &[&a, &b]);
                let low = self.asm.and(equal, low);
                self.asm.or(high, low)
            }
            (Bits::Huge(a), Bits::Huge(b)) => {
                // From the lowest word on, each decides but where it is equal; the highest has the sign.
                (0..4).fold(Pred::False, |below, i| {
                    let name = if i == 3 { "setp.lt.s64" } else { "setp.lt.u64" };
                    let less = self.asm.test(name, &[&a[i], &b[i]]);
                    let equal = self.asm.test("setp.eq.u64", &[&a[i], &b[i]]);
                    let below = self.asm.and(equal, below);
                    self.asm.or(less, below)
                })
            }
            (Bits::Bytes(a, a_length), Bits::Bytes(b, b_length)) => {
                self.asks("expr_less", guard, &[a, a_length, b, b_length])
            }
            _ => Pred::False,
        }
    }

    pub(super) fn not_a_number(&mut self, kind: Kind, value: Reg) -> Pred {
        self.asm.test(&format!("setp.nan.{}", kind.ptx()), &[&value, &value])
    }

    /// Rows that a value already decides: valid and equal to `truth`.
    pub(super) fn holds(&mut self, lane: Lane, truth: bool) -> Pred {
        let value = lane.pred();
        match truth {
            true => self.asm.and(lane.valid, value),
            false => self.asm.and_not(lane.valid, value),
        }
    }

    /// AND (`decisive` false) and OR (`decisive` true) of two lanes, Kleene's.
    pub(super) fn connect(&mut self, left: Lane, right: Lane, decisive: bool) -> Lane {
        let value = match decisive {
            true => self.asm.or(left.pred(), right.pred()),
            false => self.asm.and(left.pred(), right.pred()),
        };
        let both = self.asm.and(left.valid, right.valid);
        if both == Pred::True {
            return Lane::truth(value, Pred::True);
        }
        let (by_left, by_right) = (self.holds(left, decisive), self.holds(right, decisive));
        let decided = self.asm.or(by_left, by_right);
        // A decided row takes the decisive value, whatever the null side's registers hold.
        let value = match decisive {
            true => self.asm.or(value, decided),
            false => self.asm.and_not(value, decided),
        };
        Lane::truth(value, self.asm.or(both, decided))
    }
}
