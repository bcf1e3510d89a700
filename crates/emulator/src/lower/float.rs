//! Floating-point arithmetic. Results that are NaN are the canonical one, as the ISA says for f32 and f16.

use half::f16;

use super::case::Case;
use super::rounding::{self, Round};
use super::{Lower, Problem};
use crate::exec::code::{Handler, NONE};
use crate::exec::ops::{Isa, Lane, bin, setp, tern, un};
use crate::ptx::{RegType, Type};
use RegType::{W16, W32, W64};

/// The bits of a result, or of the canonical NaN. On bits, because the compiler may give any NaN for a float that is
/// known to be one.
#[inline(always)]
pub(super) fn q(v: f32) -> u32 {
    let bits = v.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 { 0x7fff_ffff } else { bits }
}

/// With `.ftz`, a subnormal becomes zero of its sign.
#[inline(always)]
pub(super) fn z<const FTZ: bool>(v: f32) -> f32 {
    let bits = v.to_bits();
    if FTZ && bits & 0x7f80_0000 == 0 { f32::from_bits(bits & 0x8000_0000) } else { v }
}

/// An f32 that compares as `.ftz` has it.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub(super) struct Flushed(f32);

impl Lane for Flushed {}

impl PartialEq for Flushed {
    #[inline(always)]
    fn eq(&self, other: &Flushed) -> bool {
        z::<true>(self.0) == z::<true>(other.0)
    }
}

impl PartialOrd for Flushed {
    #[inline(always)]
    fn partial_cmp(&self, other: &Flushed) -> Option<std::cmp::Ordering> {
        z::<true>(self.0).partial_cmp(&z::<true>(other.0))
    }
}

/// Clamps to [0, 1]; NaN becomes 0.
#[inline(always)]
fn sat(v: f32) -> f32 {
    if v > 0.0 { if v < 1.0 { v } else { 1.0 } } else { 0.0 }
}

fn h(v: u16) -> f32 {
    f16::from_bits(v).to_f32()
}

/// Rounds to f16 with the canonical NaN.
fn to_h(v: f32) -> u16 {
    if v.is_nan() { 0x7fff } else { f16::from_f32(v).to_bits() }
}

/// Rounds an f64 to f16 once, with the canonical NaN.
fn to_h64(v: f64) -> u16 {
    if v.is_nan() { 0x7fff } else { f16::from_f64(v).to_bits() }
}

/// The sum of two f16.
pub(super) fn add_half(a: u16, b: u16) -> u16 {
    to_h(h(a) + h(b))
}

pub(super) fn pair(a: u32, b: u32, f: impl Fn(u16, u16) -> u16) -> u32 {
    f(a as u16, b as u16) as u32 | (f((a >> 16) as u16, (b >> 16) as u16) as u32) << 16
}

fn h_fma(a: u16, b: u16, c: u16) -> u16 {
    // The product of two f16 is exact in f64, and so is its sum with a third but for far exponents, where the
    // rounding to 53 bits cannot reach a tie of 11 bits.
    to_h64(h(a) as f64 * h(b) as f64 + h(c) as f64)
}

/// `f` of two numbers, or the canonical NaN where one of them is none.
pub(super) fn either(a: f32, b: f32, nan: u16, f: impl Fn(f32, f32) -> u16) -> u16 {
    if a.is_nan() || b.is_nan() { nan } else { f(a, b) }
}

pub(super) fn min32(a: f32, b: f32) -> f32 {
    if a.is_nan() {
        return b;
    }
    if b.is_nan() || a < b || (a == b && a.is_sign_negative()) { a } else { b }
}

pub(super) fn max32(a: f32, b: f32) -> f32 {
    if a.is_nan() {
        return b;
    }
    if b.is_nan() || a > b || (a == b && a.is_sign_positive()) { a } else { b }
}

fn min64(a: f64, b: f64) -> f64 {
    if a.is_nan() || b < a || (a == b && b.is_sign_negative()) { b } else { a }
}

fn max64(a: f64, b: f64) -> f64 {
    if a.is_nan() || b > a || (a == b && b.is_sign_positive()) { b } else { a }
}

fn sat_half(v: u16) -> u16 {
    let x = h(v);
    if x > 0.0 { if x < 1.0 { v } else { 0x3c00 } } else { 0 }
}

fn relu_half(v: u16) -> u16 {
    let x = h(v);
    if x > 0.0 || x.is_nan() { v } else { 0 }
}

/// A comparison of f16 values.
#[allow(clippy::double_comparisons, clippy::neg_cmp_op_on_partial_ord, clippy::nonminimal_bool)]
pub(super) fn compare_half(c: &Case, isa: Isa, cmp: &str) -> Result<Handler, Problem> {
    Ok(match cmp {
        "eq" => setp(isa, |a: u16, b: u16| h(a) == h(b)),
        "ne" => setp(isa, |a: u16, b: u16| h(a) < h(b) || h(a) > h(b)),
        "lt" => setp(isa, |a: u16, b: u16| h(a) < h(b)),
        "le" => setp(isa, |a: u16, b: u16| h(a) <= h(b)),
        "gt" => setp(isa, |a: u16, b: u16| h(a) > h(b)),
        "ge" => setp(isa, |a: u16, b: u16| h(a) >= h(b)),
        "equ" => setp(isa, |a: u16, b: u16| !(h(a) < h(b) || h(a) > h(b))),
        "neu" => setp(isa, |a: u16, b: u16| h(a) != h(b)),
        "ltu" => setp(isa, |a: u16, b: u16| !(h(a) >= h(b))),
        "leu" => setp(isa, |a: u16, b: u16| !(h(a) > h(b))),
        "gtu" => setp(isa, |a: u16, b: u16| !(h(a) <= h(b))),
        "geu" => setp(isa, |a: u16, b: u16| !(h(a) < h(b))),
        "num" => setp(isa, |a: u16, b: u16| !h(a).is_nan() && !h(b).is_nan()),
        "nan" => setp(isa, |a: u16, b: u16| h(a).is_nan() || h(b).is_nan()),
        _ => return c.unsupported(),
    })
}

impl Lower<'_> {
    /// Lowers a floating-point instruction; false if it is none.
    pub(super) fn float(&mut self, c: &Case) -> Result<bool, Problem> {
        let ty = match c.types.last() {
            Some(t @ (Type::F(_) | Type::F16x2 | Type::Bf16 | Type::Bf16x2)) => *t,
            _ => return Ok(false),
        };
        if !matches!(
            c.name,
            "add"
                | "sub"
                | "mul"
                | "fma"
                | "mad"
                | "div"
                | "rcp"
                | "sqrt"
                | "rsqrt"
                | "sin"
                | "cos"
                | "lg2"
                | "ex2"
                | "tanh"
                | "min"
                | "max"
                | "abs"
                | "neg"
                | "copysign"
                | "testp"
        ) {
            return Ok(false);
        }
        match ty {
            _ if c.name == "testp" => self.test(c, ty)?,
            Type::F(32) if c.has("ftz") => self.float32::<true>(c)?,
            Type::F(32) => self.float32::<false>(c)?,
            Type::F(64) => self.float64(c)?,
            Type::F(16) | Type::F16x2 => self.half(c, ty)?,
            _ => self.brain(c, ty)?,
        }
        Ok(true)
    }

    /// Arithmetic of f32, which with `.ftz` takes subnormal sources as zero and gives none as a result.
    fn float32<const FTZ: bool>(&mut self, c: &Case) -> Result<(), Problem> {
        let isa = self.isa;
        let round = c.mods.iter().find_map(|m| Round::parse(m)).unwrap_or(Round::Nearest);
        c.only(&["rn", "rz", "rm", "rp", "sat", "approx", "full", "NaN", "ftz"])?;
        let exact = round == Round::Nearest && !c.has("sat");
        if c.has("NaN") && !matches!(c.name, "min" | "max") || FTZ && matches!(c.name, "tanh" | "copysign") {
            return c.unsupported();
        }
        let one_of = |c: &Case, f: [Handler; 5]| -> Result<Handler, Problem> {
            let [near, sat, zero, down, up] = f;
            Ok(match (round, c.has("sat")) {
                (Round::Nearest, false) => near,
                (Round::Nearest, true) => sat,
                (Round::Zero, false) => zero,
                (Round::Down, false) => down,
                (Round::Up, false) => up,
                _ => return c.unsupported(),
            })
        };
        macro_rules! rounded {
            ($build:ident, |$($a:ident),+| $near:expr, $soft:path) => {
                one_of(c, [
                    $build(isa, |$($a: f32),+| { $(let $a = z::<FTZ>($a);)+ q(z::<FTZ>($near)) }),
                    $build(isa, |$($a: f32),+| { $(let $a = z::<FTZ>($a);)+ z::<FTZ>(sat($near)) }),
                    $build(isa, |$($a: f32),+| q(z::<FTZ>($soft($(z::<FTZ>($a)),+, Round::Zero)))),
                    $build(isa, |$($a: f32),+| q(z::<FTZ>($soft($(z::<FTZ>($a)),+, Round::Down)))),
                    $build(isa, |$($a: f32),+| q(z::<FTZ>($soft($(z::<FTZ>($a)),+, Round::Up)))),
                ])?
            };
        }
        // Approximations, by way of f64.
        macro_rules! approximate {
            ($f:expr) => {
                un(isa, |a: f32| q(z::<FTZ>($f(z::<FTZ>(a) as f64) as f32)))
            };
        }
        macro_rules! chosen {
            ($f:path) => {
                if c.has("NaN") {
                    bin(
                        isa,
                        |a: f32, b: f32| {
                            if a.is_nan() || b.is_nan() { 0x7fff_ffff } else { q($f(z::<FTZ>(a), z::<FTZ>(b))) }
                        },
                    )
                } else {
                    bin(isa, |a: f32, b: f32| q($f(z::<FTZ>(a), z::<FTZ>(b))))
                }
            };
        }
        fn soft_sub(a: f32, b: f32, r: Round) -> f32 {
            rounding::add(a, -b, r)
        }
        fn soft_rcp(a: f32, r: Round) -> f32 {
            rounding::div(1.0, a, r)
        }
        let bits = |v: u32| z::<FTZ>(f32::from_bits(v)).to_bits();
        let handler = match c.name {
            "add" => rounded!(bin, |a, b| a + b, rounding::add),
            "sub" => rounded!(bin, |a, b| a - b, soft_sub),
            "mul" => rounded!(bin, |a, b| a * b, rounding::mul),
            "fma" | "mad" => rounded!(tern, |a, b, x| a.mul_add(b, x), rounding::fma),
            "div" => rounded!(bin, |a, b| a / b, rounding::div),
            "rcp" => rounded!(un, |a| 1.0 / a, soft_rcp),
            "sqrt" => rounded!(un, |a| a.sqrt(), rounding::sqrt),
            "rsqrt" if exact => approximate!(|a: f64| 1.0 / a.sqrt()),
            "sin" if exact => approximate!(f64::sin),
            "cos" if exact => approximate!(f64::cos),
            "lg2" if exact => approximate!(f64::log2),
            "ex2" if exact => approximate!(f64::exp2),
            "tanh" if exact => approximate!(f64::tanh),
            "min" if exact => chosen!(min32),
            "max" if exact => chosen!(max32),
            "abs" if exact => un(isa, move |a: u32| bits(a) & 0x7fff_ffff),
            "neg" if exact => un(isa, move |a: u32| bits(a) ^ 0x8000_0000),
            "copysign" if exact => bin(isa, |a: u32, b: u32| (a & 0x8000_0000) | (b & 0x7fff_ffff)),
            _ => return c.unsupported(),
        };
        self.lanewise(c, handler, W32, &vec![W32; operands(c.name)][..])
    }

    /// `testp`: what kind of number a float is. Zeros count as normal, as the ISA says.
    fn test(&mut self, c: &Case, ty: Type) -> Result<(), Problem> {
        let (isa, kind) = (self.isa, *c.mods.first().ok_or("no property")?);
        c.only(&[kind])?;
        c.count(2)?;
        // The second operand is the first again.
        macro_rules! forms {
            ($t:ty) => {
                match kind {
                    "finite" => setp(isa, |a: $t, _: $t| a.is_finite()),
                    "infinite" => setp(isa, |a: $t, _: $t| a.is_infinite()),
                    "number" => setp(isa, |a: $t, _: $t| !a.is_nan()),
                    "notanumber" => setp(isa, |a: $t, _: $t| a.is_nan()),
                    "normal" => setp(isa, |a: $t, _: $t| a.is_normal() || a == 0.0),
                    "subnormal" => setp(isa, |a: $t, _: $t| a.is_subnormal()),
                    _ => return c.unsupported(),
                }
            };
        }
        let (h, w) = match ty {
            Type::F(32) => (forms!(f32), W32),
            Type::F(64) => (forms!(f64), W64),
            _ => return c.unsupported(),
        };
        let (a, p) = (self.src(c.arg(1)?, w)?, self.dst_pred(c.arg(0)?)?);
        self.push(&c.inst.op, c.inst.guard, h, |i| i.r = [p, NONE, a, a, NONE, NONE]);
        Ok(())
    }

    fn float64(&mut self, c: &Case) -> Result<(), Problem> {
        let isa = self.isa;
        let round = c.mods.iter().find_map(|m| Round::parse(m)).unwrap_or(Round::Nearest);
        c.only(&["rn", "rz", "rm", "rp", "approx", "ftz"])?;
        if c.has("ftz") && !c.has("approx") {
            return c.unsupported();
        }
        let near = round == Round::Nearest;
        let handler = match (c.name, round) {
            ("add", Round::Nearest) => bin(isa, |a: f64, b: f64| a + b),
            ("add", Round::Zero) => bin(isa, |a: f64, b: f64| rounding::add64(a, b, Round::Zero)),
            ("add", Round::Down) => bin(isa, |a: f64, b: f64| rounding::add64(a, b, Round::Down)),
            ("add", Round::Up) => bin(isa, |a: f64, b: f64| rounding::add64(a, b, Round::Up)),
            ("sub", Round::Nearest) => bin(isa, |a: f64, b: f64| a - b),
            ("sub", Round::Zero) => bin(isa, |a: f64, b: f64| rounding::add64(a, -b, Round::Zero)),
            ("sub", Round::Down) => bin(isa, |a: f64, b: f64| rounding::add64(a, -b, Round::Down)),
            ("sub", Round::Up) => bin(isa, |a: f64, b: f64| rounding::add64(a, -b, Round::Up)),
            ("mul", Round::Nearest) => bin(isa, |a: f64, b: f64| a * b),
            ("mul", Round::Zero) => bin(isa, |a: f64, b: f64| rounding::mul64(a, b, Round::Zero)),
            ("mul", Round::Down) => bin(isa, |a: f64, b: f64| rounding::mul64(a, b, Round::Down)),
            ("mul", Round::Up) => bin(isa, |a: f64, b: f64| rounding::mul64(a, b, Round::Up)),
            ("fma" | "mad", _) if near => tern(isa, |a: f64, b: f64, x: f64| a.mul_add(b, x)),
            ("div", _) if near => bin(isa, |a: f64, b: f64| a / b),
            // The approximations keep the high half of the word.
            ("rcp", _) if c.has("approx") => un(isa, |a: f64| f64::from_bits((1.0 / a).to_bits() & !0xffff_ffff)),
            ("rsqrt", _) if c.has("approx") => {
                un(isa, |a: f64| f64::from_bits((1.0 / a.sqrt()).to_bits() & !0xffff_ffff))
            }
            ("rcp", _) if near => un(isa, |a: f64| 1.0 / a),
            ("sqrt", _) if near => un(isa, |a: f64| a.sqrt()),
            ("min", _) if near => bin(isa, |a: f64, b: f64| min64(a, b)),
            ("max", _) if near => bin(isa, |a: f64, b: f64| max64(a, b)),
            ("abs", _) if near => un(isa, |a: u64| a & (u64::MAX >> 1)),
            ("neg", _) if near => un(isa, |a: u64| a ^ (1 << 63)),
            ("copysign", _) if near => bin(isa, |a: u64, b: u64| (a & (1 << 63)) | (b & (u64::MAX >> 1))),
            _ => return c.unsupported(),
        };
        self.lanewise(c, handler, W64, &vec![W64; operands(c.name)][..])
    }

    /// `.sat` limits to [0, 1] and makes zero of a NaN; `.relu` limits to what is not negative.
    fn limited_half(&mut self, c: &Case, ty: Type) -> Result<(), Problem> {
        let isa = self.isa;
        macro_rules! forms {
            ($limit:path) => {
                match (c.name, ty) {
                    ("add", Type::F(16)) => bin(isa, |a: u16, b: u16| $limit(to_h(h(a) + h(b)))),
                    ("sub", Type::F(16)) => bin(isa, |a: u16, b: u16| $limit(to_h(h(a) - h(b)))),
                    ("mul", Type::F(16)) => bin(isa, |a: u16, b: u16| $limit(to_h(h(a) * h(b)))),
                    ("fma", Type::F(16)) => tern(isa, |a: u16, b: u16, x: u16| $limit(h_fma(a, b, x))),
                    ("add", _) => bin(isa, |a: u32, b: u32| pair(a, b, |x, y| $limit(to_h(h(x) + h(y))))),
                    ("sub", _) => bin(isa, |a: u32, b: u32| pair(a, b, |x, y| $limit(to_h(h(x) - h(y))))),
                    ("mul", _) => bin(isa, |a: u32, b: u32| pair(a, b, |x, y| $limit(to_h(h(x) * h(y))))),
                    ("fma", _) => tern(isa, |a: u32, b: u32, x: u32| {
                        $limit(h_fma(a as u16, b as u16, x as u16)) as u32
                            | ($limit(h_fma((a >> 16) as u16, (b >> 16) as u16, (x >> 16) as u16)) as u32) << 16
                    }),
                    _ => return c.unsupported(),
                }
            };
        }
        let handler = match (c.has("sat"), c.name) {
            (true, _) if !c.has("relu") => forms!(sat_half),
            (false, "fma") => forms!(relu_half),
            _ => return c.unsupported(),
        };
        let class = if ty == Type::F(16) { W16 } else { W32 };
        self.lanewise(c, handler, class, &vec![class; operands(c.name)][..])
    }

    /// `set` of pairs of f16: 1.0 or 0.0 in each half.
    pub(super) fn set_halves(&mut self, c: &Case, cmp: &str) -> Result<(), Problem> {
        let isa = self.isa;
        macro_rules! forms {
            ($($name:literal => |$a:ident, $b:ident| $e:expr;)*) => {
                match cmp {
                    $($name => bin(isa, |a: u32, b: u32| {
                        pair(a, b, |x, y| {
                            let ($a, $b) = (h(x), h(y));
                            if $e { 0x3c00 } else { 0 }
                        })
                    }),)*
                    _ => return c.unsupported(),
                }
            };
        }
        let handler = forms! {
            "eq" => |a, b| a == b;
            "ne" => |a, b| !a.is_nan() && !b.is_nan() && a != b;
            "lt" => |a, b| a < b;
            "le" => |a, b| a <= b;
            "gt" => |a, b| a > b;
            "ge" => |a, b| a >= b;
            "equ" => |a, b| a.is_nan() || b.is_nan() || a == b;
            "neu" => |a, b| a != b;
            "ltu" => |a, b| a.is_nan() || b.is_nan() || a < b;
            "leu" => |a, b| a.is_nan() || b.is_nan() || a <= b;
            "gtu" => |a, b| a.is_nan() || b.is_nan() || a > b;
            "geu" => |a, b| a.is_nan() || b.is_nan() || a >= b;
            "num" => |a, b| !a.is_nan() && !b.is_nan();
            "nan" => |a, b| a.is_nan() || b.is_nan();
        };
        self.lanewise(c, handler, W32, &[W32, W32])
    }

    fn half(&mut self, c: &Case, ty: Type) -> Result<(), Problem> {
        let isa = self.isa;
        c.only(&["rn", "NaN", "sat", "relu"])?;
        if c.has("sat") || c.has("relu") {
            return self.limited_half(c, ty);
        }
        if c.has("NaN") && !matches!(c.name, "min" | "max") {
            return c.unsupported();
        }
        if ty == Type::F(16) {
            let handler = match c.name {
                "min" if c.has("NaN") => {
                    bin(isa, |a: u16, b: u16| either(h(a), h(b), 0x7fff, |x, y| to_h(min32(x, y))))
                }
                "max" if c.has("NaN") => {
                    bin(isa, |a: u16, b: u16| either(h(a), h(b), 0x7fff, |x, y| to_h(max32(x, y))))
                }
                "add" => bin(isa, |a: u16, b: u16| to_h(h(a) + h(b))),
                "sub" => bin(isa, |a: u16, b: u16| to_h(h(a) - h(b))),
                "mul" => bin(isa, |a: u16, b: u16| to_h(h(a) * h(b))),
                "fma" => tern(isa, h_fma),
                "min" => bin(isa, |a: u16, b: u16| to_h(min32(h(a), h(b)))),
                "max" => bin(isa, |a: u16, b: u16| to_h(max32(h(a), h(b)))),
                "abs" => un(isa, |a: u16| a & 0x7fff),
                "neg" => un(isa, |a: u16| a ^ 0x8000),
                _ => return c.unsupported(),
            };
            return self.lanewise(c, handler, W16, &vec![W16; operands(c.name)][..]);
        }
        let handler = match c.name {
            "add" => bin(isa, |a: u32, b: u32| pair(a, b, |x, y| to_h(h(x) + h(y)))),
            "sub" => bin(isa, |a: u32, b: u32| pair(a, b, |x, y| to_h(h(x) - h(y)))),
            "mul" => bin(isa, |a: u32, b: u32| pair(a, b, |x, y| to_h(h(x) * h(y)))),
            "fma" => tern(isa, |a: u32, b: u32, x: u32| {
                h_fma(a as u16, b as u16, x as u16) as u32
                    | (h_fma((a >> 16) as u16, (b >> 16) as u16, (x >> 16) as u16) as u32) << 16
            }),
            "min" if c.has("NaN") => {
                bin(isa, |a: u32, b: u32| pair(a, b, |x, y| either(h(x), h(y), 0x7fff, |x, y| to_h(min32(x, y)))))
            }
            "max" if c.has("NaN") => {
                bin(isa, |a: u32, b: u32| pair(a, b, |x, y| either(h(x), h(y), 0x7fff, |x, y| to_h(max32(x, y)))))
            }
            "min" => bin(isa, |a: u32, b: u32| pair(a, b, |x, y| to_h(min32(h(x), h(y))))),
            "max" => bin(isa, |a: u32, b: u32| pair(a, b, |x, y| to_h(max32(h(x), h(y))))),
            "abs" => un(isa, |a: u32| a & 0x7fff_7fff),
            "neg" => un(isa, |a: u32| a ^ 0x8000_8000),
            _ => return c.unsupported(),
        };
        self.lanewise(c, handler, W32, &vec![W32; operands(c.name)][..])
    }
}

/// Sources of an instruction.
pub(super) fn operands(name: &str) -> usize {
    match name {
        "fma" | "mad" => 3,
        "add" | "sub" | "mul" | "div" | "min" | "max" | "copysign" => 2,
        _ => 1,
    }
}
