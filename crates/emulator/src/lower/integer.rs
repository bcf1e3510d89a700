//! Integers, bits, predicates and moves.

use super::case::Case;
use super::float::{Flushed, z};
use super::{Lower, Problem};
use crate::exec::code::{Handler, NONE};
use crate::exec::ops::{Isa, bin, carry, pred_logic, quad, selp, setp, tern, un};
use crate::exec::warp_ops;
use crate::ptx::{Operand, RegType, Type};
use RegType::{Pred, W16, W32, W64};

/// Picks one of two handlers for each width, unsigned or signed, in a match that names every width.
macro_rules! by_int {
    ($c:expr, $ty:expr, |$t:ident| $build:expr) => {
        match $ty {
            Type::U(16) | Type::B(16) => {
                type $t = u16;
                $build
            }
            Type::U(32) | Type::B(32) => {
                type $t = u32;
                $build
            }
            Type::U(64) | Type::B(64) => {
                type $t = u64;
                $build
            }
            Type::S(16) => {
                type $t = i16;
                $build
            }
            Type::S(32) => {
                type $t = i32;
                $build
            }
            Type::S(64) => {
                type $t = i64;
                $build
            }
            _ => return $c.unsupported(),
        }
    };
}
macro_rules! by_bits {
    ($c:expr, $ty:expr, |$t:ident| $build:expr) => {
        match $ty.bits() {
            16 => {
                type $t = u16;
                $build
            }
            32 => {
                type $t = u32;
                $build
            }
            64 => {
                type $t = u64;
                $build
            }
            _ => return $c.unsupported(),
        }
    };
}

/// The predicate that is the carry flag of `add.cc` and its like.
const CARRY: u32 = 1;

fn class(c: &Case, ty: Type) -> Result<RegType, Problem> {
    RegType::of(ty).ok_or(()).or_else(|()| c.unsupported())
}

impl Lower<'_> {
    /// Lowers an integer instruction; false if the name is none.
    pub(super) fn integer(&mut self, c: &Case) -> Result<bool, Problem> {
        let isa = self.isa;
        match c.name {
            "setp" | "set" => self.compare(c)?,
            "selp" | "slct" => self.select(c)?,
            "and" | "or" | "xor" | "not" | "cnot" | "shl" | "shr" => self.logic(c)?,
            "add" | "sub" | "addc" | "subc" if c.has("cc") || c.name.len() == 4 => self.with_carry(c)?,
            "mad" | "madc" if c.has("cc") || c.name == "madc" => self.mad_carry(c)?,
            "add" | "sub" | "mul" | "div" | "rem" | "min" | "max" | "abs" | "neg" => self.arithmetic(c)?,
            "mad" | "mul24" | "mad24" | "sad" | "dp4a" | "dp2a" => self.multiply(c)?,
            "popc" | "clz" | "brev" | "bfind" | "bfe" | "bfi" | "bmsk" | "shf" | "lop3" | "prmt" | "fns" => {
                self.bits(c, isa)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn arithmetic(&mut self, c: &Case) -> Result<(), Problem> {
        let (isa, ty) = (self.isa, c.ty()?);
        let w = class(c, ty)?;
        let h = match c.name {
            "add" if c.has("sat") && ty == Type::S(32) => {
                c.only(&["sat"])?;
                bin(isa, |a: i32, b: i32| a.saturating_add(b))
            }
            "sub" if c.has("sat") && ty == Type::S(32) => {
                c.only(&["sat"])?;
                bin(isa, |a: i32, b: i32| a.saturating_sub(b))
            }
            "mul" => return self.multiply(c),
            _ => {
                c.only(&[])?;
                match c.name {
                    "add" => by_int!(c, ty, |T| bin(isa, |a: T, b: T| a.wrapping_add(b))),
                    "sub" => by_int!(c, ty, |T| bin(isa, |a: T, b: T| a.wrapping_sub(b))),
                    // Division by zero gives all ones, as devices do; the ISA leaves it open.
                    "div" => by_int!(c, ty, |T| bin(isa, |a: T, b: T| if b == 0 { !0 } else { a.wrapping_div(b) })),
                    "rem" => by_int!(c, ty, |T| bin(isa, |a: T, b: T| if b == 0 { a } else { a.wrapping_rem(b) })),
                    "min" => by_int!(c, ty, |T| bin(isa, |a: T, b: T| if a < b { a } else { b })),
                    "max" => by_int!(c, ty, |T| bin(isa, |a: T, b: T| if a > b { a } else { b })),
                    "abs" | "neg" => return self.sign(c, ty, w),
                    _ => return c.unsupported(),
                }
            }
        };
        self.lanewise(c, h, w, &[w, w])
    }

    fn sign(&mut self, c: &Case, ty: Type, w: RegType) -> Result<(), Problem> {
        let isa = self.isa;
        let h = match (c.name, ty) {
            ("abs", Type::S(16)) => un(isa, |a: i16| a.wrapping_abs()),
            ("abs", Type::S(32)) => un(isa, |a: i32| a.wrapping_abs()),
            ("abs", Type::S(64)) => un(isa, |a: i64| a.wrapping_abs()),
            ("neg", Type::S(16)) => un(isa, |a: i16| a.wrapping_neg()),
            ("neg", Type::S(32)) => un(isa, |a: i32| a.wrapping_neg()),
            ("neg", Type::S(64)) => un(isa, |a: i64| a.wrapping_neg()),
            _ => return c.unsupported(),
        };
        self.lanewise(c, h, w, &[w])
    }

    fn multiply(&mut self, c: &Case) -> Result<(), Problem> {
        let (isa, ty) = (self.isa, c.ty()?);
        let w = class(c, ty)?;
        c.only(&["lo", "hi", "wide"])?;
        let wide = match w {
            W16 => W32,
            _ => W64,
        };
        let (h, dst, srcs): (Handler, RegType, Vec<RegType>) = match (c.name, c.mods.first().copied().unwrap_or("")) {
            ("mul", "lo") => (by_int!(c, ty, |T| bin(isa, |a: T, b: T| a.wrapping_mul(b))), w, vec![w, w]),
            ("mad", "lo") => {
                (by_int!(c, ty, |T| tern(isa, |a: T, b: T, x: T| a.wrapping_mul(b).wrapping_add(x))), w, vec![w, w, w])
            }
            ("mul", "hi") => (mul_hi(c, isa, ty)?, w, vec![w, w]),
            ("mad", "hi") => (mad_hi(c, isa, ty)?, w, vec![w, w, w]),
            ("mul", "wide") => (
                match ty {
                    Type::U(16) => bin(isa, |a: u16, b: u16| a as u32 * b as u32),
                    Type::S(16) => bin(isa, |a: i16, b: i16| a as i32 * b as i32),
                    Type::U(32) => bin(isa, |a: u32, b: u32| a as u64 * b as u64),
                    Type::S(32) => bin(isa, |a: i32, b: i32| a as i64 * b as i64),
                    _ => return c.unsupported(),
                },
                wide,
                vec![w, w],
            ),
            ("mad", "wide") => (
                match ty {
                    Type::U(16) => tern(isa, |a: u16, b: u16, x: u32| (a as u32 * b as u32).wrapping_add(x)),
                    Type::S(16) => tern(isa, |a: i16, b: i16, x: i32| (a as i32 * b as i32).wrapping_add(x)),
                    Type::U(32) => tern(isa, |a: u32, b: u32, x: u64| (a as u64 * b as u64).wrapping_add(x)),
                    Type::S(32) => tern(isa, |a: i32, b: i32, x: i64| (a as i64 * b as i64).wrapping_add(x)),
                    _ => return c.unsupported(),
                },
                wide,
                vec![w, w, wide],
            ),
            ("mul24", "lo") => (by24!(c, ty, isa, bin), w, vec![w, w]),
            ("mad24", "lo") => (
                match ty {
                    Type::U(32) => tern(isa, |a: u32, b: u32, x: u32| low24(a).wrapping_mul(low24(b)).wrapping_add(x)),
                    Type::S(32) => {
                        tern(isa, |a: i32, b: i32, x: i32| (a << 8 >> 8).wrapping_mul(b << 8 >> 8).wrapping_add(x))
                    }
                    _ => return c.unsupported(),
                },
                w,
                vec![w, w, w],
            ),
            ("sad", _) => (
                by_int!(c, ty, |T| tern(isa, |a: T, b: T, x: T| {
                    let d = if a > b { a.wrapping_sub(b) } else { b.wrapping_sub(a) };
                    d.wrapping_add(x)
                })),
                w,
                vec![w, w, w],
            ),
            ("dp4a" | "dp2a", _) => return self.dot(c),
            _ => return c.unsupported(),
        };
        self.lanewise(c, h, dst, &srcs)
    }

    /// `dp4a` and `dp2a`: sums of products of bytes.
    fn dot(&mut self, c: &Case) -> Result<(), Problem> {
        let isa = self.isa;
        let [ta, tb] = c.types[..] else { return c.unsupported() };
        macro_rules! dots {
            ($f:ident $(, $half:literal)?) => {
                match (ta, tb) {
                    (Type::U(32), Type::U(32)) => tern(isa, |a: u32, b: u32, x: u32| $f::<false, false>(a, b, x $(, $half)?)),
                    (Type::U(32), Type::S(32)) => tern(isa, |a: u32, b: u32, x: u32| $f::<false, true>(a, b, x $(, $half)?)),
                    (Type::S(32), Type::U(32)) => tern(isa, |a: u32, b: u32, x: u32| $f::<true, false>(a, b, x $(, $half)?)),
                    (Type::S(32), Type::S(32)) => tern(isa, |a: u32, b: u32, x: u32| $f::<true, true>(a, b, x $(, $half)?)),
                    _ => return c.unsupported(),
                }
            };
        }
        let h = match (c.name, c.mods.first().copied().unwrap_or("")) {
            ("dp4a", _) => dots!(dp4),
            ("dp2a", "lo") => dots!(dp2, 0),
            ("dp2a", "hi") => dots!(dp2, 1),
            _ => return c.unsupported(),
        };
        self.lanewise(c, h, W32, &[W32, W32, W32])
    }

    fn with_carry(&mut self, c: &Case) -> Result<(), Problem> {
        c.only(&["cc"])?;
        c.count(3)?;
        let (isa, ty) = (self.isa, c.ty()?);
        let w = class(c, ty)?;
        let flag = CARRY;
        let uses = c.name.ends_with('c') && c.name.len() == 4;
        let h = match (c.name.starts_with("add"), ty.bits()) {
            (true, 32) => carry(isa, |a: u32, b: u32, _: u32, k: bool| {
                let s = a as u64 + b as u64 + k as u64;
                (s as u32, s >> 32 != 0)
            }),
            (true, 64) => carry(isa, |a: u64, b: u64, _: u64, k: bool| {
                let s = a as u128 + b as u128 + k as u128;
                (s as u64, s >> 64 != 0)
            }),
            (false, 32) => carry(isa, |a: u32, b: u32, _: u32, k: bool| {
                let (x, y) = (a as u64, b as u64 + k as u64);
                (x.wrapping_sub(y) as u32, x < y)
            }),
            (false, 64) => carry(isa, |a: u64, b: u64, _: u64, k: bool| {
                let (x, y) = (a as u128, b as u128 + k as u128);
                (x.wrapping_sub(y) as u64, x < y)
            }),
            _ => return c.unsupported(),
        };
        let (a, b) = (self.src(c.arg(1)?, w)?, self.src(c.arg(2)?, w)?);
        let d = self.dst(c.arg(0)?, w)?;
        let none = 1 << 31;
        let r = [d, a, b, a, if uses { flag } else { none }, if c.has("cc") { flag } else { NONE }];
        self.push(&c.inst.op, c.inst.guard, h, |i| i.r = r);
        Ok(())
    }

    fn mad_carry(&mut self, c: &Case) -> Result<(), Problem> {
        c.only(&["cc", "lo", "hi"])?;
        c.count(4)?;
        let (isa, ty) = (self.isa, c.ty()?);
        let w = class(c, ty)?;
        let flag = CARRY;
        let h = match (c.has("lo"), ty) {
            (true, Type::U(32) | Type::S(32)) => carry(isa, |a: u32, b: u32, x: u32, k: bool| {
                let s = a.wrapping_mul(b) as u64 + x as u64 + k as u64;
                (s as u32, s >> 32 != 0)
            }),
            (false, Type::U(32)) => carry(isa, |a: u32, b: u32, x: u32, k: bool| {
                let s = ((a as u64 * b as u64) >> 32) + x as u64 + k as u64;
                (s as u32, s >> 32 != 0)
            }),
            (true, Type::U(64) | Type::S(64)) => carry(isa, |a: u64, b: u64, x: u64, k: bool| {
                let s = a.wrapping_mul(b) as u128 + x as u128 + k as u128;
                (s as u64, s >> 64 != 0)
            }),
            (false, Type::U(64)) => carry(isa, |a: u64, b: u64, x: u64, k: bool| {
                let s = ((a as u128 * b as u128) >> 64) + x as u128 + k as u128;
                (s as u64, s >> 64 != 0)
            }),
            _ => return c.unsupported(),
        };
        let srcs = [self.src(c.arg(1)?, w)?, self.src(c.arg(2)?, w)?, self.src(c.arg(3)?, w)?];
        let d = self.dst(c.arg(0)?, w)?;
        let uses = if c.name == "madc" { flag } else { 1 << 31 };
        let r = [d, srcs[0], srcs[1], srcs[2], uses, if c.has("cc") { flag } else { NONE }];
        self.push(&c.inst.op, c.inst.guard, h, |i| i.r = r);
        Ok(())
    }

    fn logic(&mut self, c: &Case) -> Result<(), Problem> {
        c.only(&[])?;
        let (isa, ty) = (self.isa, c.ty()?);
        if ty == Type::Pred {
            return self.pred_logic(c);
        }
        let w = class(c, ty)?;
        let h = match c.name {
            "and" => by_bits!(c, ty, |T| bin(isa, |a: T, b: T| a & b)),
            "or" => by_bits!(c, ty, |T| bin(isa, |a: T, b: T| a | b)),
            "xor" => by_bits!(c, ty, |T| bin(isa, |a: T, b: T| a ^ b)),
            "not" => by_bits!(c, ty, |T| un(isa, |a: T| !a)),
            "cnot" => by_bits!(c, ty, |T| un(isa, |a: T| (a == 0) as T)),
            "shl" => by_bits!(c, ty, |T| bin(isa, |a: T, n: u32| if n < T::BITS { a << n } else { 0 })),
            // The amount is clamped to the width, which for signed values leaves the sign.
            _ => by_int!(c, ty, |T| bin(isa, |a: T, n: u32| {
                let once = a >> n.min(T::BITS - 1);
                if n < T::BITS { once } else { once >> (T::BITS - 1) >> (T::MIN == 0) as u32 }
            })),
        };
        match c.name {
            "not" | "cnot" => self.lanewise(c, h, w, &[w]),
            "shl" | "shr" => self.lanewise(c, h, w, &[w, W32]),
            _ => self.lanewise(c, h, w, &[w, w]),
        }
    }

    fn pred_logic(&mut self, c: &Case) -> Result<(), Problem> {
        let isa = self.isa;
        let h = match c.name {
            "and" => pred_logic(isa, |a, b| a & b),
            "or" => pred_logic(isa, |a, b| a | b),
            "xor" => pred_logic(isa, |a, b| a ^ b),
            "not" => pred_logic(isa, |a, _| !a),
            _ => return c.unsupported(),
        };
        let a = self.pred(c.arg(1)?)?;
        let b = if c.name == "not" { a } else { self.pred(c.arg(2)?)? };
        let d = self.dst_pred(c.arg(0)?)?;
        self.push(&c.inst.op, c.inst.guard, h, |i| i.r = [d, a, b, NONE, NONE, NONE]);
        Ok(())
    }

    fn select(&mut self, c: &Case) -> Result<(), Problem> {
        let flushes = c.name == "slct" && c.types.last() == Some(&Type::F(32));
        c.only(if flushes { &["ftz"] } else { &[] })?;
        let isa = self.isa;
        let ty = c.types.first().copied().ok_or("no type")?;
        let w = class(c, ty)?;
        if c.name == "slct" {
            let h = match (ty.bits(), c.ty()?) {
                (32, Type::S(32)) => tern(isa, |a: u32, b: u32, x: i32| if x >= 0 { a } else { b }),
                // `.ftz` makes -0 of a negative subnormal, which counts as zero.
                (32, Type::F(32)) if c.has("ftz") => {
                    tern(isa, |a: u32, b: u32, x: f32| if z::<true>(x) >= 0.0 { a } else { b })
                }
                (64, Type::F(32)) if c.has("ftz") => {
                    tern(isa, |a: u64, b: u64, x: f32| if z::<true>(x) >= 0.0 { a } else { b })
                }
                (32, Type::F(32)) => tern(isa, |a: u32, b: u32, x: f32| if x >= 0.0 { a } else { b }),
                (64, Type::S(32)) => tern(isa, |a: u64, b: u64, x: i32| if x >= 0 { a } else { b }),
                (64, Type::F(32)) => tern(isa, |a: u64, b: u64, x: f32| if x >= 0.0 { a } else { b }),
                _ => return c.unsupported(),
            };
            return self.lanewise(c, h, w, &[w, w, W32]);
        }
        c.count(4)?;
        if w == Pred {
            return c.unsupported();
        }
        let h = by_bits!(c, ty, |T| selp::<T>(isa));
        let (a, b, p) = (self.src(c.arg(1)?, w)?, self.src(c.arg(2)?, w)?, self.pred(c.arg(3)?)?);
        let d = self.dst(c.arg(0)?, w)?;
        self.push(&c.inst.op, c.inst.guard, h, |i| i.r = [d, a, b, p, NONE, NONE]);
        Ok(())
    }

    fn compare(&mut self, c: &Case) -> Result<(), Problem> {
        let (isa, ty) = (self.isa, c.ty()?);
        let w = class(c, ty)?;
        let cmp = *c.mods.first().ok_or("no comparison")?;
        if c.name == "set" && c.types[..] == [Type::F16x2, Type::F16x2] {
            c.only(&[cmp])?;
            return self.set_halves(c, cmp);
        }
        let h = comparison(c, isa, cmp, ty)?;
        let mode = c.mods.get(1).copied();
        let mode = match mode {
            Some("and") => 1,
            Some("or") => 2,
            Some("xor") => 3,
            _ => 0,
        };
        let combined: &[&str] = if mode == 0 { &[] } else { &["and", "or", "xor"] };
        c.only(&[&[cmp, if ty == Type::F(32) { "ftz" } else { cmp }][..], combined].concat())?;
        c.count(if mode == 0 { 3 } else { 4 })?;
        let combine = if mode == 0 { NONE } else { self.pred(c.arg(3)?)? };
        let (a, b) = (self.src(c.arg(1)?, w)?, self.src(c.arg(2)?, w)?);
        if c.name == "setp" {
            let (p, q) = match c.arg(0)? {
                Operand::Pair(p, q) => (self.dst_pred(p)?, self.dst_pred(q)?),
                p => (self.dst_pred(p)?, NONE),
            };
            self.push(&c.inst.op, c.inst.guard, h, |i| {
                i.r = [p, q, a, b, combine, NONE];
                i.imm = mode;
            });
            self.defines(0b11);
            return Ok(());
        }
        // `set`: a comparison, then the choice of the two values that the result type has.
        let p = self.slot(Pred);
        self.push(&c.inst.op, c.inst.guard, h, |i| {
            i.r = [p, NONE, a, b, combine, NONE];
            i.imm = mode;
        });
        let (yes, no) = match c.types[0] {
            Type::U(32) | Type::S(32) => (self.constant(4, u32::MAX as u64), self.constant(4, 0)),
            Type::F(32) => (self.constant(4, 1f32.to_bits() as u64), self.constant(4, 0)),
            Type::F(16) => {
                let (yes, no) = (self.constant(2, 0x3c00), self.constant(2, 0));
                let d = self.dst(c.arg(0)?, RegType::W16)?;
                self.push(&c.inst.op, c.inst.guard, selp::<u16>(isa), |i| i.r = [d, yes, no, p, NONE, NONE]);
                return Ok(());
            }
            _ => return c.unsupported(),
        };
        let d = self.dst(c.arg(0)?, W32)?;
        self.push(&c.inst.op, c.inst.guard, selp::<u32>(isa), |i| i.r = [d, yes, no, p, NONE, NONE]);
        Ok(())
    }

    fn bits(&mut self, c: &Case, isa: Isa) -> Result<(), Problem> {
        let ty = c.ty()?;
        let w = class(c, ty)?;
        let mods: &[&str] = match c.name {
            "bfind" => &["shiftamt"],
            "bmsk" => &["clamp", "wrap"],
            "shf" => &["l", "r", "clamp", "wrap"],
            "prmt" => &["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"],
            _ => &[],
        };
        c.only(mods)?;
        let h = match (c.name, ty) {
            ("popc", Type::B(32)) => un(isa, |a: u32| a.count_ones()),
            ("popc", Type::B(64)) => un(isa, |a: u64| a.count_ones()),
            ("clz", Type::B(32)) => un(isa, |a: u32| a.leading_zeros()),
            ("clz", Type::B(64)) => un(isa, |a: u64| a.leading_zeros()),
            ("brev", Type::B(32)) => un(isa, |a: u32| a.reverse_bits()),
            ("brev", Type::B(64)) => un(isa, |a: u64| a.reverse_bits()),
            ("bfind", _) => return self.bfind(c, isa, ty),
            ("bfe", Type::U(32)) => tern(isa, |a: u32, p: u32, n: u32| bfe(a as u64, p, n, 32, false) as u32),
            ("bfe", Type::S(32)) => tern(isa, |a: u32, p: u32, n: u32| bfe(a as u64, p, n, 32, true) as u32),
            ("bfe", Type::U(64)) => tern(isa, |a: u64, p: u32, n: u32| bfe(a, p, n, 64, false)),
            ("bfe", Type::S(64)) => tern(isa, |a: u64, p: u32, n: u32| bfe(a, p, n, 64, true)),
            ("bfi", Type::B(32)) => {
                quad(isa, |a: u32, b: u32, p: u32, n: u32| bfi(a as u64, b as u64, p, n, 32) as u32)
            }
            ("bfi", Type::B(64)) => quad(isa, |a: u64, b: u64, p: u32, n: u32| bfi(a, b, p, n, 64)),
            ("bmsk", Type::B(32)) if c.has("wrap") => bin(isa, |p: u32, n: u32| bmsk(p & 31, n & 31)),
            ("bmsk", Type::B(32)) => bin(isa, |p: u32, n: u32| bmsk(p, n)),
            ("shf", Type::B(32)) => match (c.mods[0], c.mods[1]) {
                ("l", "wrap") => tern(isa, |a: u32, b: u32, n: u32| (join(a, b) << (n & 31) >> 32) as u32),
                ("r", "wrap") => tern(isa, |a: u32, b: u32, n: u32| (join(a, b) >> (n & 31)) as u32),
                ("l", "clamp") => tern(isa, |a: u32, b: u32, n: u32| (join(a, b) << n.min(32) >> 32) as u32),
                ("r", "clamp") => tern(isa, |a: u32, b: u32, n: u32| (join(a, b) >> n.min(32)) as u32),
                _ => return c.unsupported(),
            },
            ("lop3", Type::B(32)) => return self.lop3(c, isa),
            ("prmt", Type::B(32)) => match c.mods[0] {
                "b32" => tern(isa, prmt),
                "f4e" => tern(isa, |a: u32, b: u32, s: u32| prmt_mode(a, b, s, 0)),
                "b4e" => tern(isa, |a: u32, b: u32, s: u32| prmt_mode(a, b, s, 1)),
                "rc8" => tern(isa, |a: u32, b: u32, s: u32| prmt_mode(a, b, s, 2)),
                "ecl" => tern(isa, |a: u32, b: u32, s: u32| prmt_mode(a, b, s, 3)),
                "ecr" => tern(isa, |a: u32, b: u32, s: u32| prmt_mode(a, b, s, 4)),
                "rc16" => tern(isa, |a: u32, b: u32, s: u32| prmt_mode(a, b, s, 5)),
                _ => return c.unsupported(),
            },
            ("fns", Type::B(32)) => tern(isa, |m: u32, base: u32, n: i32| fns(m, base, n)),
            _ => return c.unsupported(),
        };
        match c.name {
            "popc" | "clz" => self.lanewise(c, h, W32, &[w]),
            "brev" => self.lanewise(c, h, w, &[w]),
            "bfe" => self.lanewise(c, h, w, &[w, W32, W32]),
            "bfi" => self.lanewise(c, h, w, &[w, w, W32, W32]),
            "bmsk" => self.lanewise(c, h, w, &[W32, W32]),
            _ => self.lanewise(c, h, w, &[W32, W32, W32]),
        }
    }

    fn bfind(&mut self, c: &Case, isa: Isa, ty: Type) -> Result<(), Problem> {
        let w = class(c, ty)?;
        let h = match (ty, c.has("shiftamt")) {
            (Type::U(32), false) => un(isa, |a: u32| 31u32.wrapping_sub(a.leading_zeros())),
            (Type::S(32), false) => un(isa, |a: i32| 31u32.wrapping_sub((a ^ (a >> 31)).leading_zeros())),
            (Type::U(64), false) => un(isa, |a: u64| 63u32.wrapping_sub(a.leading_zeros())),
            (Type::S(64), false) => un(isa, |a: i64| 63u32.wrapping_sub((a ^ (a >> 63)).leading_zeros())),
            (Type::U(32), true) => un(isa, |a: u32| if a == 0 { u32::MAX } else { a.leading_zeros() }),
            (Type::S(32), true) => un(isa, |a: i32| {
                let a = a ^ (a >> 31);
                if a == 0 { u32::MAX } else { a.leading_zeros() }
            }),
            (Type::U(64), true) => un(isa, |a: u64| if a == 0 { u32::MAX } else { a.leading_zeros() }),
            (Type::S(64), true) => un(isa, |a: i64| {
                let a = a ^ (a >> 63);
                if a == 0 { u32::MAX } else { a.leading_zeros() }
            }),
            _ => return c.unsupported(),
        };
        self.lanewise(c, h, W32, &[w])
    }

    /// Any function of three bits, by its table: the handler reads the table as a fourth operand.
    fn lop3(&mut self, c: &Case, isa: Isa) -> Result<(), Problem> {
        c.count(5)?;
        let Operand::Int(table) = *c.arg(4)? else { return Err("the table must be a constant".into()) };
        let h = quad(isa, |a: u32, b: u32, x: u32, t: u32| {
            let mut out = 0;
            for row in 0..8u32 {
                let on = 0u32.wrapping_sub((t >> row) & 1);
                let pick = |v: u32, bit: u32| if row & bit != 0 { v } else { !v };
                out |= on & pick(a, 4) & pick(b, 2) & pick(x, 1);
            }
            out
        });
        let s = [self.src(c.arg(1)?, W32)?, self.src(c.arg(2)?, W32)?, self.src(c.arg(3)?, W32)?];
        let t = self.constant(4, table as u64 & 0xff);
        let d = self.dst(c.arg(0)?, W32)?;
        self.push(&c.inst.op, c.inst.guard, h, |i| i.r = [d, s[0], s[1], s[2], t, NONE]);
        Ok(())
    }

    /// `mov`: between registers, from special registers and symbols, and packing or unpacking vectors.
    pub(super) fn mov(&mut self, c: &Case) -> Result<(), Problem> {
        c.only(&[])?;
        c.count(2)?;
        let (isa, ty) = (self.isa, c.ty()?);
        if ty == Type::Pred {
            let a = self.pred(c.arg(1)?)?;
            let d = self.dst_pred(c.arg(0)?)?;
            self.push(&c.inst.op, c.inst.guard, pred_logic(isa, |a, _| a), |i| i.r = [d, a, a, NONE, NONE, NONE]);
            return Ok(());
        }
        let w = class(c, ty)?;
        match (c.arg(0)?, c.arg(1)?) {
            (Operand::Vec(parts), src) => return self.unpack(c, parts, src, w),
            (_, Operand::Vec(parts)) => return self.pack(c, parts, w),
            (d, Operand::Special(name))
                if matches!(
                    &name[..],
                    "%clock" | "%clock64" | "%globaltimer" | "%clock_hi" | "%globaltimer_lo" | "%globaltimer_hi"
                ) =>
            {
                let d = self.dst(d, w)?;
                let (wide, shift) = (w == W64, if name.ends_with("_hi") { 32 } else { 0 });
                if wide && !matches!(&name[..], "%clock64" | "%globaltimer") {
                    return Err(format!("{name} has 32 bits"));
                }
                self.push(&c.inst.op, c.inst.guard, warp_ops::clock(isa, wide), |i| (i.r[0], i.imm) = (d, shift));
                return Ok(());
            }
            _ => {}
        }
        let h = by_bits!(c, ty, |T| un(isa, |a: T| a));
        self.lanewise(c, h, w, &[w])
    }

    fn unpack(&mut self, c: &Case, parts: &[Operand], src: &Operand, w: RegType) -> Result<(), Problem> {
        let isa = self.isa;
        let s = self.src(src, w)?;
        let part = match (w, parts.len()) {
            (W32, 2) => W16,
            (W64, 2) => W32,
            (W64, 4) => W16,
            _ => return c.unsupported(),
        };
        // A part may be written over the source, so the source is read before by way of a copy.
        let copy = self.slot(w);
        let h = if w == W32 { un(isa, |a: u32| a) } else { un(isa, |a: u64| a) };
        self.push(&c.inst.op, c.inst.guard, h, |i| i.r = [copy, s, NONE, NONE, NONE, NONE]);
        for (k, p) in parts.iter().enumerate().filter(|(_, p)| **p != Operand::Sink) {
            let d = self.dst(p, part)?;
            let shift = self.constant(4, k as u64 * part.bytes() as u64 * 8);
            let h = match (w, part) {
                (W32, _) => bin(isa, |a: u32, n: u32| (a >> (n & 31)) as u16),
                (_, W16) => bin(isa, |a: u64, n: u32| (a >> (n & 63)) as u16),
                _ => bin(isa, |a: u64, n: u32| (a >> (n & 63)) as u32),
            };
            self.push(&c.inst.op, c.inst.guard, h, |i| i.r = [d, copy, shift, NONE, NONE, NONE]);
        }
        Ok(())
    }

    fn pack(&mut self, c: &Case, parts: &[Operand], w: RegType) -> Result<(), Problem> {
        let isa = self.isa;
        let (part, h) = match (w, parts.len()) {
            (W32, 2) => (W16, bin(isa, |a: u16, b: u16| a as u32 | (b as u32) << 16)),
            (W64, 2) => (W32, bin(isa, |a: u32, b: u32| a as u64 | (b as u64) << 32)),
            (W64, 4) => (
                W16,
                quad(isa, |a: u16, b: u16, x: u16, y: u16| {
                    a as u64 | (b as u64) << 16 | (x as u64) << 32 | (y as u64) << 48
                }),
            ),
            _ => return c.unsupported(),
        };
        let mut r = [NONE; 6];
        for (k, p) in parts.iter().enumerate() {
            r[k + 1] = self.src(p, part)?;
        }
        r[0] = self.dst(c.arg(0)?, w)?;
        self.push(&c.inst.op, c.inst.guard, h, |i| i.r = r);
        Ok(())
    }
}

macro_rules! by24 {
    ($c:expr, $ty:expr, $isa:expr, $build:ident) => {
        match $ty {
            Type::U(32) => $build($isa, |a: u32, b: u32| low24(a).wrapping_mul(low24(b))),
            Type::S(32) => $build($isa, |a: i32, b: i32| (a << 8 >> 8).wrapping_mul(b << 8 >> 8)),
            _ => return $c.unsupported(),
        }
    };
}
use by24;

fn low24(a: u32) -> u32 {
    a & 0xff_ffff
}

fn mul_hi(c: &Case, isa: Isa, ty: Type) -> Result<Handler, Problem> {
    Ok(match ty {
        Type::U(16) => bin(isa, |a: u16, b: u16| ((a as u32 * b as u32) >> 16) as u16),
        Type::S(16) => bin(isa, |a: i16, b: i16| ((a as i32 * b as i32) >> 16) as i16),
        Type::U(32) => bin(isa, |a: u32, b: u32| ((a as u64 * b as u64) >> 32) as u32),
        Type::S(32) => bin(isa, |a: i32, b: i32| ((a as i64 * b as i64) >> 32) as i32),
        Type::U(64) => bin(isa, |a: u64, b: u64| ((a as u128 * b as u128) >> 64) as u64),
        Type::S(64) => bin(isa, |a: i64, b: i64| ((a as i128 * b as i128) >> 64) as i64),
        _ => return c.unsupported(),
    })
}

fn mad_hi(c: &Case, isa: Isa, ty: Type) -> Result<Handler, Problem> {
    Ok(match ty {
        Type::U(32) => tern(isa, |a: u32, b: u32, x: u32| (((a as u64 * b as u64) >> 32) as u32).wrapping_add(x)),
        Type::S(32) => tern(isa, |a: i32, b: i32, x: i32| (((a as i64 * b as i64) >> 32) as i32).wrapping_add(x)),
        Type::U(64) => tern(isa, |a: u64, b: u64, x: u64| (((a as u128 * b as u128) >> 64) as u64).wrapping_add(x)),
        Type::S(64) => tern(isa, |a: i64, b: i64, x: i64| (((a as i128 * b as i128) >> 64) as i64).wrapping_add(x)),
        _ => return c.unsupported(),
    })
}

fn byte(v: u32, k: u32, signed: bool) -> i32 {
    let b = (v >> (8 * k)) as u8;
    if signed { b as i8 as i32 } else { b as i32 }
}

fn dp4<const A: bool, const B: bool>(a: u32, b: u32, x: u32) -> u32 {
    (0..4).fold(x, |s, k| s.wrapping_add(byte(a, k, A).wrapping_mul(byte(b, k, B)) as u32))
}

fn dp2<const A: bool, const B: bool>(a: u32, b: u32, x: u32, high: u32) -> u32 {
    (0..2).fold(x, |s, k| {
        let half = (a >> (16 * k)) as u16;
        let v = if A { half as i16 as i32 } else { half as i32 };
        s.wrapping_add(v.wrapping_mul(byte(b, k + 2 * high, B)) as u32)
    })
}

fn join(a: u32, b: u32) -> u64 {
    a as u64 | (b as u64) << 32
}

fn bfe(a: u64, pos: u32, len: u32, bits: u32, signed: bool) -> u64 {
    let (pos, len) = (pos & 0xff, len & 0xff);
    if len == 0 {
        return 0;
    }
    let top = (pos + len - 1).min(bits - 1);
    let sign = signed && (a >> top) & 1 != 0;
    let field = if pos < bits { a >> pos } else { 0 };
    let have = if pos < bits { (bits - pos).min(len) } else { 0 };
    let mask = if have >= 64 { u64::MAX } else { (1 << have) - 1 };
    (field & mask) | if sign { !mask } else { 0 }
}

fn bfi(a: u64, b: u64, pos: u32, len: u32, bits: u32) -> u64 {
    let (pos, len) = (pos & 0xff, len & 0xff);
    if pos >= bits || len == 0 {
        return b;
    }
    let len = len.min(bits - pos);
    let mask = if len >= 64 { u64::MAX } else { (1 << len) - 1 };
    (b & !(mask << pos)) | ((a & mask) << pos)
}

fn bmsk(pos: u32, len: u32) -> u32 {
    if pos >= 32 || len == 0 {
        return 0;
    }
    let mask = if len >= 32 { u32::MAX } else { (1 << len) - 1 };
    mask << pos
}

fn prmt(a: u32, b: u32, s: u32) -> u32 {
    let all = join(a, b);
    let mut out = 0;
    for k in 0..4 {
        let sel = (s >> (4 * k)) & 0xf;
        let v = (all >> (8 * (sel & 7))) as u8;
        let v = if sel & 8 != 0 { ((v as i8) >> 7) as u8 } else { v };
        out |= (v as u32) << (8 * k);
    }
    out
}

/// The special modes of `prmt` as selectors of the general one (PTX ISA, table of `prmt` modes).
fn prmt_mode(a: u32, b: u32, s: u32, mode: u32) -> u32 {
    const TABLE: [[u32; 4]; 6] = [
        [0x3210, 0x4321, 0x5432, 0x6543],
        [0x5670, 0x6701, 0x7012, 0x0123],
        [0x0000, 0x1111, 0x2222, 0x3333],
        [0x3210, 0x3211, 0x3222, 0x3333],
        [0x0000, 0x1110, 0x2210, 0x3210],
        [0x1010, 0x3232, 0x1010, 0x3232],
    ];
    prmt(a, b, TABLE[mode as usize][(s & 3) as usize])
}

fn fns(mask: u32, base: u32, n: i32) -> u32 {
    let mut left = n;
    if left == 0 {
        return if base < 32 && (mask >> base) & 1 != 0 { base } else { u32::MAX };
    }
    let step = if n > 0 { 1 } else { -1 };
    let mut at = base as i64;
    while (0..32).contains(&at) {
        if (mask >> at) & 1 != 0 {
            left -= step;
            if left == 0 {
                return at as u32;
            }
        }
        at += step as i64;
    }
    u32::MAX
}

/// A comparison of two values of a type; unordered comparisons also hold when one is NaN.
// The comparisons are spelled out because they differ when a value is NaN.
#[allow(clippy::double_comparisons, clippy::neg_cmp_op_on_partial_ord, clippy::nonminimal_bool, clippy::eq_op)]
fn comparison(c: &Case, isa: Isa, cmp: &str, ty: Type) -> Result<Handler, Problem> {
    macro_rules! floats {
        ($t:ty) => {
            match cmp {
                "eq" => setp(isa, |a: $t, b: $t| a == b),
                "ne" => setp(isa, |a: $t, b: $t| a < b || a > b),
                "lt" => setp(isa, |a: $t, b: $t| a < b),
                "le" => setp(isa, |a: $t, b: $t| a <= b),
                "gt" => setp(isa, |a: $t, b: $t| a > b),
                "ge" => setp(isa, |a: $t, b: $t| a >= b),
                "equ" => setp(isa, |a: $t, b: $t| !(a < b || a > b)),
                "neu" => setp(isa, |a: $t, b: $t| a != b),
                "ltu" => setp(isa, |a: $t, b: $t| !(a >= b)),
                "leu" => setp(isa, |a: $t, b: $t| !(a > b)),
                "gtu" => setp(isa, |a: $t, b: $t| !(a <= b)),
                "geu" => setp(isa, |a: $t, b: $t| !(a < b)),
                "num" => setp(isa, |a: $t, b: $t| a == a && b == b),
                "nan" => setp(isa, |a: $t, b: $t| a != a || b != b),
                _ => return c.unsupported(),
            }
        };
    }
    Ok(match ty {
        Type::F(32) if c.has("ftz") => floats!(Flushed),
        Type::F(32) => floats!(f32),
        Type::F(64) => floats!(f64),
        Type::F(16) => return super::float::compare_half(c, isa, cmp),
        _ => {
            let ty = match (cmp, ty) {
                ("lo" | "ls" | "hi" | "hs", Type::U(_)) => ty,
                ("lo" | "ls" | "hi" | "hs", _) => return c.unsupported(),
                _ => ty,
            };
            match cmp {
                "eq" => by_int!(c, ty, |T| setp(isa, |a: T, b: T| a == b)),
                "ne" => by_int!(c, ty, |T| setp(isa, |a: T, b: T| a != b)),
                "lt" | "lo" => by_int!(c, ty, |T| setp(isa, |a: T, b: T| a < b)),
                "le" | "ls" => by_int!(c, ty, |T| setp(isa, |a: T, b: T| a <= b)),
                "gt" | "hi" => by_int!(c, ty, |T| setp(isa, |a: T, b: T| a > b)),
                "ge" | "hs" => by_int!(c, ty, |T| setp(isa, |a: T, b: T| a >= b)),
                _ => return c.unsupported(),
            }
        }
    })
}
