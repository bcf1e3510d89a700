//! `cvt`: between all widths and kinds of numbers.

use half::{bf16, f16};

use super::case::Case;
use super::rounding::{self, Round};
use super::{Lower, Problem};
use crate::exec::code::Handler;
use crate::exec::ops::{Isa, Lane, bin, un};
use crate::ptx::{Operand, RegType, Type};

/// An integer type of a conversion, over the register that holds it.
trait Int: Copy + 'static {
    const MIN: i128;
    const MAX: i128;
}
macro_rules! ints {
    ($($t:ty)*) => { $(impl Int for $t {
        const MIN: i128 = <$t>::MIN as i128;
        const MAX: i128 = <$t>::MAX as i128;
    })* };
}
ints!(u8 i8 u16 i16 u32 i32 u64 i64);

/// A register that integers of any type are read from and written to.
trait Reg: Lane {
    fn low(self) -> u64;
    fn from_low(v: u64) -> Self;
}
macro_rules! regs {
    ($($t:ty)*) => { $(impl Reg for $t {
        #[inline(always)]
        fn low(self) -> u64 { self as u64 }
        #[inline(always)]
        fn from_low(v: u64) -> Self { v as $t }
    })* };
}
regs!(u16 u32 u64);

/// Reads the low bits of a register as type `T`, extended to 64 bits.
trait Take: Int {
    fn take(v: u64) -> i64;
    fn wide(v: u64) -> i128;
}
macro_rules! takes {
    ($($t:ty)*) => { $(impl Take for $t {
        #[inline(always)]
        fn take(v: u64) -> i64 { v as $t as i64 }
        #[inline(always)]
        fn wide(v: u64) -> i128 { v as $t as i128 }
    })* };
}
takes!(u8 i8 u16 i16 u32 i32 u64 i64);

fn int_to_int<S: Take, D: Take, R: Reg, W: Reg>(isa: Isa, sat: bool) -> Handler {
    if sat {
        // Clamped, then extended by the destination's own signedness to its register.
        un(isa, |a: R| W::from_low(S::wide(a.low()).clamp(D::MIN, D::MAX) as u64))
    } else {
        un(isa, |a: R| W::from_low(D::take(S::take(a.low()) as u64) as u64))
    }
}

/// Calls a generic function with the Rust type of an integer PTX type.
macro_rules! with_int {
    ($c:expr, $ty:expr, |$t:ident| $e:expr) => {
        match $ty {
            Type::U(8) => {
                type $t = u8;
                $e
            }
            Type::S(8) => {
                type $t = i8;
                $e
            }
            Type::U(16) => {
                type $t = u16;
                $e
            }
            Type::S(16) => {
                type $t = i16;
                $e
            }
            Type::U(32) => {
                type $t = u32;
                $e
            }
            Type::S(32) => {
                type $t = i32;
                $e
            }
            Type::U(64) => {
                type $t = u64;
                $e
            }
            Type::S(64) => {
                type $t = i64;
                $e
            }
            _ => return $c.unsupported(),
        }
    };
}
macro_rules! with_reg {
    ($c:expr, $ty:expr, |$t:ident| $e:expr) => {
        match $ty {
            RegType::W16 => {
                type $t = u16;
                $e
            }
            RegType::W32 => {
                type $t = u32;
                $e
            }
            RegType::W64 => {
                type $t = u64;
                $e
            }
            _ => return $c.unsupported(),
        }
    };
}

/// Float to integer: rounded, clamped to the range; NaN becomes 0, or the top bit alone when either side has 64 bits.
#[inline(always)]
fn to_int<D: Take>(v: f64, round: Round, wide: bool) -> u64 {
    if v.is_nan() {
        return if wide { 1 << (128 - 64 - 1) >> (64 - 8 * size_of::<D>()) } else { 0 };
    }
    let v = rounding::integral(v, round);
    (v as i128).clamp(D::MIN, D::MAX) as u64
}

fn canonical(v: f32) -> f32 {
    if v.is_nan() { f32::from_bits(0x7fff_ffff) } else { v }
}

fn saturate(v: f32) -> f32 {
    if v > 0.0 { v.min(1.0) } else { 0.0 }
}

/// f32 to f16 or bf16 in a direction: nearest, then one step back if that went too far.
fn narrow16(v: f32, round: Round, to: fn(f32) -> u16, from: fn(u16) -> f32) -> u16 {
    let n = to(v);
    let back = from(n);
    if round == Round::Nearest || v.is_nan() || back == v {
        return n;
    }
    // Only towards zero is offered by the ISA besides nearest: the magnitude's bits are ordered like integers.
    if back.abs() > v.abs() { n - 1 } else { n }
}

fn half_bits(v: f32) -> u16 {
    if v.is_nan() { 0x7fff } else { f16::from_f32(v).to_bits() }
}

fn half_value(v: u16) -> f32 {
    f16::from_bits(v).to_f32()
}

fn bf16_bits(v: f32) -> u16 {
    if v.is_nan() { 0x7fff } else { bf16::from_f32(v).to_bits() }
}

fn bf16_value(v: u16) -> f32 {
    bf16::from_bits(v).to_f32()
}

impl Lower<'_> {
    /// Lowers `cvt`.
    pub(super) fn convert(&mut self, c: &Case) -> Result<(), Problem> {
        if let [d @ (Type::F16x2 | Type::Bf16x2), Type::F(32)] = c.types[..] {
            return self.pack_halves(c, d);
        }
        let [d, s] = c.types[..] else { return c.unsupported() };
        c.count(2)?;
        c.only(&["rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi", "sat"])?;
        let (dst, src) = (self.class_of(c.arg(0)?, d)?, self.class_of(c.arg(1)?, s)?);
        let is_float = |t: Type| matches!(t, Type::F(_) | Type::Bf16);
        let h = match (is_float(d), is_float(s)) {
            (false, false) => int_int(c, self.isa, (d, dst), (s, src))?,
            (false, true) => float_int(c, self.isa, (d, dst), s)?,
            (true, false) => int_float(c, self.isa, d, (s, src))?,
            (true, true) => float_float(c, self.isa, d, s)?,
        };
        self.lanewise(c, h, dst, &[src])
    }

    /// The class of the register that an operand of a conversion is in: at least as wide as the type.
    fn class_of(&self, arg: &Operand, ty: Type) -> Result<RegType, Problem> {
        let own = RegType::of(ty).ok_or("this type has no register")?;
        let class = match arg {
            Operand::Reg(r) => self.f.classes[*r as usize].ok_or("a register without a class")?,
            Operand::Special(_) => RegType::W32,
            _ => own,
        };
        if class == RegType::Pred || class.bytes() < ty.bytes() {
            return Err("the register is narrower than its type".into());
        }
        if matches!(ty, Type::F(_) | Type::Bf16) && class != own {
            return Err("a float in a register of another width".into());
        }
        Ok(class)
    }

    fn pack_halves(&mut self, c: &Case, d: Type) -> Result<(), Problem> {
        c.only(&["rn", "rz"])?;
        let isa = self.isa;
        let h = match (d, c.has("rz")) {
            (Type::F16x2, false) => bin(isa, |a: f32, b: f32| (half_bits(a) as u32) << 16 | half_bits(b) as u32),
            (Type::F16x2, true) => bin(isa, |a: f32, b: f32| {
                let f = |v| narrow16(v, Round::Zero, half_bits, half_value) as u32;
                f(a) << 16 | f(b)
            }),
            (_, false) => bin(isa, |a: f32, b: f32| (bf16_bits(a) as u32) << 16 | bf16_bits(b) as u32),
            (_, true) => bin(isa, |a: f32, b: f32| {
                let f = |v| narrow16(v, Round::Zero, bf16_bits, bf16_value) as u32;
                f(a) << 16 | f(b)
            }),
        };
        self.lanewise(c, h, RegType::W32, &[RegType::W32, RegType::W32])
    }
}

fn int_int(c: &Case, isa: Isa, (d, dst): (Type, RegType), (s, src): (Type, RegType)) -> Result<Handler, Problem> {
    c.only(&["sat"])?;
    let sat = c.has("sat");
    Ok(with_int!(c, s, |S| with_int!(c, d, |D| with_reg!(c, src, |R| with_reg!(c, dst, |W| {
        int_to_int::<S, D, R, W>(isa, sat)
    })))))
}

fn float_int(c: &Case, isa: Isa, (d, dst): (Type, RegType), s: Type) -> Result<Handler, Problem> {
    let round = match c.mods.iter().find(|m| m.ends_with('i') && m.len() == 3) {
        Some(m) => Round::parse(&m[..2]).ok_or("bad rounding")?,
        None => return Err("a rounding such as .rzi is needed".into()),
    };
    macro_rules! build {
        ($source:ty, $value:expr) => {
            with_int!(c, d, |D| with_reg!(c, dst, |W| match round {
                Round::Nearest => un(isa, |a: $source| W::from_low(to_int::<D>(
                    $value(a),
                    Round::Nearest,
                    WIDE || size_of::<D>() == 8
                ))),
                Round::Zero =>
                    un(isa, |a: $source| W::from_low(to_int::<D>($value(a), Round::Zero, WIDE || size_of::<D>() == 8))),
                Round::Down =>
                    un(isa, |a: $source| W::from_low(to_int::<D>($value(a), Round::Down, WIDE || size_of::<D>() == 8))),
                Round::Up =>
                    un(isa, |a: $source| W::from_low(to_int::<D>($value(a), Round::Up, WIDE || size_of::<D>() == 8))),
            }))
        };
    }
    Ok(match s {
        Type::F(32) if d == Type::S(32) && dst == RegType::W32 && round == Round::Zero => un(isa, |a: f32| a as i32),
        Type::F(32) if d == Type::U(32) && dst == RegType::W32 && round == Round::Zero => un(isa, |a: f32| a as u32),
        Type::F(16) => {
            const WIDE: bool = false;
            build!(u16, |a: u16| half_value(a) as f64)
        }
        Type::F(32) => {
            const WIDE: bool = false;
            build!(f32, |a: f32| a as f64)
        }
        Type::F(64) => {
            const WIDE: bool = true;
            build!(f64, |a: f64| a)
        }
        _ => return c.unsupported(),
    })
}

fn int_float(c: &Case, isa: Isa, d: Type, (s, src): (Type, RegType)) -> Result<Handler, Problem> {
    c.only(&["rn", "rz", "rm", "rp"])?;
    let round = c.mods.iter().find_map(|m| Round::parse(m)).ok_or("a rounding such as .rn is needed")?;
    macro_rules! directed {
        ($f:path, $S:ident, $R:ident) => {
            match round {
                Round::Zero => un(isa, |a: $R| $f(<$S>::wide(a.low()), Round::Zero)),
                Round::Down => un(isa, |a: $R| $f(<$S>::wide(a.low()), Round::Down)),
                Round::Up => un(isa, |a: $R| $f(<$S>::wide(a.low()), Round::Up)),
                Round::Nearest => return c.unsupported(),
            }
        };
    }
    Ok(match (d, round, s) {
        (Type::F(32), Round::Nearest, Type::U(64)) => un(isa, |a: u64| a as f32),
        (Type::F(64), Round::Nearest, Type::U(64)) => un(isa, |a: u64| a as f64),
        (Type::F(32), Round::Nearest, _) => {
            with_int!(c, s, |S| with_reg!(c, src, |R| un(isa, |a: R| S::take(a.low()) as f32)))
        }
        (Type::F(64), Round::Nearest, _) => {
            with_int!(c, s, |S| with_reg!(c, src, |R| un(isa, |a: R| S::take(a.low()) as f64)))
        }
        (Type::F(32), ..) => with_int!(c, s, |S| with_reg!(c, src, |R| directed!(rounding::from_int32, S, R))),
        (Type::F(64), ..) => with_int!(c, s, |S| with_reg!(c, src, |R| directed!(rounding::from_int64, S, R))),
        (Type::F(16), Round::Nearest, _) => with_int!(c, s, |S| with_reg!(c, src, |R| {
            // Integers beyond f16 become infinite long before f64 would round them.
            un(isa, |a: R| f16::from_f64(S::wide(a.low()) as f64).to_bits())
        })),
        _ => return c.unsupported(),
    })
}

fn float_float(c: &Case, isa: Isa, d: Type, s: Type) -> Result<Handler, Problem> {
    let integral = c.mods.iter().find(|m| m.ends_with('i') && m.len() == 3);
    let round = match integral {
        Some(m) => Round::parse(&m[..2]).ok_or("bad rounding")?,
        None => c.mods.iter().find_map(|m| Round::parse(m)).unwrap_or(Round::Nearest),
    };
    let sat = c.has("sat");
    let whole = integral.is_some();
    macro_rules! to_integral {
        ($t:ty) => {
            match round {
                Round::Nearest => un(isa, |a: $t| a.round_ties_even()),
                Round::Zero => un(isa, |a: $t| a.trunc()),
                Round::Down => un(isa, |a: $t| a.floor()),
                Round::Up => un(isa, |a: $t| a.ceil()),
            }
        };
    }
    Ok(match (d, s) {
        (Type::F(32), Type::F(32)) if whole && !sat => to_integral!(f32),
        (Type::F(64), Type::F(64)) if whole && !sat => to_integral!(f64),
        (Type::F(32), Type::F(32)) if sat && !whole => un(isa, saturate),
        (Type::F(32), Type::F(32)) => un(isa, |a: f32| a),
        (Type::F(64), Type::F(64)) if !sat => un(isa, |a: f64| a),
        (Type::F(64), Type::F(32)) if !sat => un(isa, |a: f32| a as f64),
        (Type::F(32), Type::F(64)) if sat => un(isa, |a: f64| saturate(a as f32)),
        (Type::F(32), Type::F(64)) => match round {
            Round::Nearest => un(isa, |a: f64| canonical(a as f32)),
            Round::Zero => un(isa, |a: f64| canonical(rounding::narrow(a, Round::Zero))),
            Round::Down => un(isa, |a: f64| canonical(rounding::narrow(a, Round::Down))),
            Round::Up => un(isa, |a: f64| canonical(rounding::narrow(a, Round::Up))),
        },
        (Type::F(32), Type::F(16)) if !sat => un(isa, |a: u16| canonical(half_value(a))),
        (Type::F(64), Type::F(16)) if !sat => un(isa, |a: u16| half_value(a) as f64),
        (Type::F(16), Type::F(16)) if whole => match round {
            Round::Nearest => un(isa, |a: u16| half_bits(half_value(a).round_ties_even())),
            Round::Zero => un(isa, |a: u16| half_bits(half_value(a).trunc())),
            Round::Down => un(isa, |a: u16| half_bits(half_value(a).floor())),
            Round::Up => un(isa, |a: u16| half_bits(half_value(a).ceil())),
        },
        (Type::F(16), Type::F(64)) if round == Round::Nearest => un(isa, |a: f64| f16::from_f64(a).to_bits()),
        (Type::F(16), Type::F(32)) if sat => un(isa, |a: f32| half_bits(saturate(a))),
        (Type::F(16), Type::F(32)) => match round {
            Round::Nearest => un(isa, half_bits),
            Round::Zero => un(isa, |a: f32| narrow16(a, Round::Zero, half_bits, half_value)),
            _ => return c.unsupported(),
        },
        (Type::F(32), Type::Bf16) if !sat => un(isa, |a: u16| bf16_value(a)),
        (Type::Bf16, Type::F(32)) if !sat => match round {
            Round::Nearest => un(isa, bf16_bits),
            Round::Zero => un(isa, |a: f32| narrow16(a, Round::Zero, bf16_bits, bf16_value)),
            _ => return c.unsupported(),
        },
        _ => return c.unsupported(),
    })
}
