//! `cvt`: between all widths and kinds of numbers.

use half::{bf16, f16};

use super::case::Case;
use super::float::{q, z};
use super::rounding::{self, Round};
use super::{Lower, Problem};
use crate::exec::code::{Handler, NONE};
use crate::exec::ops::{Isa, Lane, bin, quint, tern, un};
use crate::ptx::{Operand, RegType, Type};

/// A register that integers of any width are read from and written to.
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

/// Takes the low bits under `mask` and extends them from `sign`, the sign bit, which is 0 for unsigned types.
#[inline(always)]
fn extend(v: u64, mask: u64, sign: u64) -> u64 {
    ((v & mask) ^ sign).wrapping_sub(sign)
}

/// Mask and sign bit of an integer type, for [`extend`].
fn shape(ty: Type) -> (u64, u64) {
    let bits = ty.bits();
    let mask = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
    (mask, if ty.signed() && bits < 64 { 1 << (bits - 1) } else { 0 })
}

/// Calls a generic function with the Rust type of a register class.
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

/// Kind of an integer type as a lane value: bits, with 128 added when it is signed.
fn kind(ty: Type) -> u64 {
    ty.bits() as u64 | if ty.signed() { 128 } else { 0 }
}

/// The value of the low bits of `v` as the type of a kind.
fn wide(v: u64, kind: u32) -> i128 {
    match (kind & 127, kind & 128 != 0) {
        (8, true) => v as i8 as i128,
        (16, true) => v as i16 as i128,
        (32, true) => v as i32 as i128,
        (64, true) => v as i64 as i128,
        (8, false) => v as u8 as i128,
        (16, false) => v as u16 as i128,
        (32, false) => v as u32 as i128,
        _ => v as i128,
    }
}

fn kind_range(kind: u32) -> (i128, i128) {
    let bits = kind & 127;
    if kind & 128 != 0 { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) }
}

/// The rounding of a lane value.
fn mode(round: u32) -> Round {
    [Round::Nearest, Round::Zero, Round::Down, Round::Up][(round & 3) as usize]
}

/// Float to integer: rounded, clamped to the range; NaN becomes 0, or the top bit alone when either side has 64 bits.
fn to_int(v: f64, round: u32, kind: u32, wide: bool) -> u64 {
    if v.is_nan() {
        return if wide || kind & 127 == 64 { 1 << ((kind & 127) - 1) } else { 0 };
    }
    let (least, most) = kind_range(kind);
    (rounding::integral(v, mode(round)) as i128).clamp(least, most) as u64
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
        let ftz = c.has("ftz");
        c.only(&["rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi", "sat", "ftz"])?;
        if ftz && (!c.types.contains(&Type::F(32)) || c.types.contains(&Type::Bf16)) {
            return c.unsupported();
        }
        let (dst, src) = (self.class_of(c.arg(0)?, d)?, self.class_of(c.arg(1)?, s)?);
        let is_float = |t: Type| matches!(t, Type::F(_) | Type::Bf16);
        match (is_float(d), is_float(s)) {
            (false, false) => self.int_int(c, (d, dst), (s, src)),
            (false, true) if ftz => self.float_int::<true>(c, (d, dst), s),
            (false, true) => self.float_int::<false>(c, (d, dst), s),
            // No integer becomes a subnormal f32.
            (true, false) => self.int_float(c, d, (s, src)),
            (true, true) => {
                let h = if ftz { float_float::<true> } else { float_float::<false> };
                let h = h(c, self.isa, d, s)?;
                self.lanewise(c, h, dst, &[src])
            }
        }
    }

    /// Emits a conversion whose handler reads constants behind the source.
    fn converted(
        &mut self,
        c: &Case,
        h: Handler,
        dst: RegType,
        src: RegType,
        with: &[(u32, u64)],
    ) -> Result<(), Problem> {
        let mut r = [NONE; 6];
        r[1] = self.src(c.arg(1)?, src)?;
        for (i, (width, value)) in with.iter().enumerate() {
            r[i + 2] = self.constant(*width, *value);
        }
        r[0] = self.dst(c.arg(0)?, dst)?;
        self.push(&c.inst.op, c.inst.guard, h, |i| i.r = r);
        Ok(())
    }

    fn int_int(&mut self, c: &Case, (d, dst): (Type, RegType), (s, src): (Type, RegType)) -> Result<(), Problem> {
        c.only(&["sat"])?;
        let isa = self.isa;
        if c.has("sat") {
            let h = with_reg!(c, src, |R| with_reg!(c, dst, |W| tern(isa, |a: R, from: u32, to: u32| {
                let (least, most) = kind_range(to);
                W::from_low(wide(a.low(), from).clamp(least, most) as u64)
            })));
            return self.converted(c, h, dst, src, &[(4, kind(s)), (4, kind(d))]);
        }
        // The common ones by themselves; the rest by masks.
        let h = match (d, dst, s, src) {
            (Type::U(64) | Type::S(64), _, Type::U(32), RegType::W32) => un(isa, |a: u32| a as u64),
            (Type::U(64) | Type::S(64), _, Type::S(32), RegType::W32) => un(isa, |a: i32| a as i64),
            (Type::U(32) | Type::S(32), RegType::W32, Type::U(64) | Type::S(64), _) => un(isa, |a: u64| a as u32),
            (Type::U(32) | Type::S(32), RegType::W32, Type::U(16), RegType::W16) => un(isa, |a: u16| a as u32),
            (Type::U(32) | Type::S(32), RegType::W32, Type::S(16), RegType::W16) => un(isa, |a: i16| a as i32),
            (Type::U(16) | Type::S(16), RegType::W16, Type::U(32) | Type::S(32), RegType::W32) => {
                un(isa, |a: u32| a as u16)
            }
            _ => {
                let ((ms, ss), (md, sd)) = (shape(s), shape(d));
                let h = with_reg!(c, src, |R| with_reg!(c, dst, |W| {
                    quint(isa, |a: R, ms: u64, ss: u64, md: u64, sd: u64| {
                        W::from_low(extend(extend(a.low(), ms, ss), md, sd))
                    })
                }));
                return self.converted(c, h, dst, src, &[(8, ms), (8, ss), (8, md), (8, sd)]);
            }
        };
        self.lanewise(c, h, dst, &[src])
    }

    fn float_int<const FTZ: bool>(&mut self, c: &Case, (d, dst): (Type, RegType), s: Type) -> Result<(), Problem> {
        let isa = self.isa;
        let word = c.mods.iter().find(|m| m.ends_with('i') && m.len() == 3);
        let round = Round::parse(&word.ok_or("a rounding such as .rzi is needed")?[..2]).ok_or("bad rounding")?;
        let src = RegType::of(s).ok_or("this type has no register")?;
        let h = match (s, d, dst, round) {
            (Type::F(32), Type::S(32), RegType::W32, Round::Zero) => un(isa, |a: f32| z::<FTZ>(a) as i32),
            (Type::F(32), Type::U(32), RegType::W32, Round::Zero) => un(isa, |a: f32| z::<FTZ>(a) as u32),
            (Type::F(32), Type::S(32), RegType::W32, Round::Nearest) => {
                un(isa, |a: f32| z::<FTZ>(a).round_ties_even() as i32)
            }
            (Type::F(32), Type::U(32), RegType::W32, Round::Nearest) => {
                un(isa, |a: f32| z::<FTZ>(a).round_ties_even() as u32)
            }
            (Type::F(32), Type::S(32), RegType::W32, Round::Down) => un(isa, |a: f32| z::<FTZ>(a).floor() as i32),
            (Type::F(32), Type::S(32), RegType::W32, Round::Up) => un(isa, |a: f32| z::<FTZ>(a).ceil() as i32),
            (Type::F(64), Type::S(32), RegType::W32, Round::Zero) => {
                un(isa, |a: f64| if a.is_nan() { i32::MIN } else { a as i32 })
            }
            _ => {
                let h = with_reg!(c, dst, |W| match s {
                    Type::F(16) =>
                        tern(isa, |a: u16, r: u32, k: u32| { W::from_low(to_int(half_value(a) as f64, r, k, false)) }),
                    Type::F(32) =>
                        tern(isa, |a: f32, r: u32, k: u32| { W::from_low(to_int(z::<FTZ>(a) as f64, r, k, false)) }),
                    Type::F(64) => tern(isa, |a: f64, r: u32, k: u32| W::from_low(to_int(a, r, k, true))),
                    _ => return c.unsupported(),
                });
                return self.converted(c, h, dst, src, &[(4, round as u64), (4, kind(d))]);
            }
        };
        self.lanewise(c, h, dst, &[src])
    }

    fn int_float(&mut self, c: &Case, d: Type, (s, src): (Type, RegType)) -> Result<(), Problem> {
        c.only(&["rn", "rz", "rm", "rp", "ftz"])?;
        let isa = self.isa;
        let round = c.mods.iter().find_map(|m| Round::parse(m)).ok_or("a rounding such as .rn is needed")?;
        let dst = RegType::of(d).ok_or("this type has no register")?;
        let h = match (d, s, src, round) {
            (Type::F(32), Type::S(32), RegType::W32, Round::Nearest) => un(isa, |a: i32| a as f32),
            (Type::F(32), Type::U(32), RegType::W32, Round::Nearest) => un(isa, |a: u32| a as f32),
            (Type::F(32), Type::U(16), RegType::W16, Round::Nearest) => un(isa, |a: u16| a as f32),
            (Type::F(32), Type::S(16), RegType::W16, Round::Nearest) => un(isa, |a: i16| a as f32),
            (Type::F(32), Type::U(8), RegType::W16, Round::Nearest) => un(isa, |a: u16| a as u8 as f32),
            (Type::F(64), Type::S(32), RegType::W32, Round::Nearest) => un(isa, |a: i32| a as f64),
            (Type::F(64), Type::U(32), RegType::W32, Round::Nearest) => un(isa, |a: u32| a as f64),
            (Type::F(64), Type::S(64), RegType::W64, Round::Nearest) => un(isa, |a: i64| a as f64),
            (Type::F(64), Type::U(64), RegType::W64, Round::Nearest) => un(isa, |a: u64| a as f64),
            _ => {
                let h = with_reg!(c, src, |R| match d {
                    Type::F(32) => tern(isa, |a: R, r: u32, k: u32| rounding::from_int32(wide(a.low(), k), mode(r))),
                    Type::F(64) => tern(isa, |a: R, r: u32, k: u32| rounding::from_int64(wide(a.low(), k), mode(r))),
                    // Integers beyond f16 become infinite long before f64 would round them.
                    Type::F(16) if round == Round::Nearest => {
                        tern(isa, |a: R, _: u32, k: u32| f16::from_f64(wide(a.low(), k) as f64).to_bits())
                    }
                    _ => return c.unsupported(),
                });
                return self.converted(c, h, dst, src, &[(4, round as u64), (4, kind(s))]);
            }
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

fn float_float<const FTZ: bool>(c: &Case, isa: Isa, d: Type, s: Type) -> Result<Handler, Problem> {
    let integral = c.mods.iter().find(|m| m.ends_with('i') && m.len() == 3);
    let round = match integral {
        Some(m) => Round::parse(&m[..2]).ok_or("bad rounding")?,
        None => c.mods.iter().find_map(|m| Round::parse(m)).unwrap_or(Round::Nearest),
    };
    let sat = c.has("sat");
    let whole = integral.is_some();
    macro_rules! to_integral {
        ($t:ty, $z:path) => {
            match round {
                Round::Nearest => un(isa, |a: $t| $z(a).round_ties_even()),
                Round::Zero => un(isa, |a: $t| $z(a).trunc()),
                Round::Down => un(isa, |a: $t| $z(a).floor()),
                Round::Up => un(isa, |a: $t| $z(a).ceil()),
            }
        };
    }
    Ok(match (d, s) {
        (Type::F(32), Type::F(32)) if whole && !sat => to_integral!(f32, z::<FTZ>),
        (Type::F(64), Type::F(64)) if whole && !sat => to_integral!(f64, std::convert::identity),
        (Type::F(32), Type::F(32)) if sat && !whole => un(isa, |a: f32| z::<FTZ>(saturate(a))),
        (Type::F(32), Type::F(32)) if !sat => un(isa, |a: f32| z::<FTZ>(a)),
        (Type::F(64), Type::F(64)) if !sat => un(isa, |a: f64| a),
        (Type::F(64), Type::F(32)) if !sat => un(isa, |a: f32| z::<FTZ>(a) as f64),
        (Type::F(32), Type::F(64)) if sat => un(isa, |a: f64| z::<FTZ>(saturate(a as f32))),
        (Type::F(32), Type::F(64)) => match round {
            Round::Nearest => un(isa, |a: f64| q(z::<FTZ>(a as f32))),
            Round::Zero => un(isa, |a: f64| q(z::<FTZ>(rounding::narrow(a, Round::Zero)))),
            Round::Down => un(isa, |a: f64| q(z::<FTZ>(rounding::narrow(a, Round::Down)))),
            Round::Up => un(isa, |a: f64| q(z::<FTZ>(rounding::narrow(a, Round::Up)))),
        },
        (Type::F(32), Type::F(16)) if !sat => un(isa, |a: u16| q(half_value(a))),
        (Type::F(64), Type::F(16)) if !sat => un(isa, |a: u16| half_value(a) as f64),
        (Type::F(16), Type::F(16)) if whole => match round {
            Round::Nearest => un(isa, |a: u16| half_bits(half_value(a).round_ties_even())),
            Round::Zero => un(isa, |a: u16| half_bits(half_value(a).trunc())),
            Round::Down => un(isa, |a: u16| half_bits(half_value(a).floor())),
            Round::Up => un(isa, |a: u16| half_bits(half_value(a).ceil())),
        },
        (Type::F(16), Type::F(64)) if round == Round::Nearest => un(isa, |a: f64| f16::from_f64(a).to_bits()),
        (Type::F(16), Type::F(32)) if sat => un(isa, |a: f32| half_bits(saturate(z::<FTZ>(a)))),
        (Type::F(16), Type::F(32)) => match round {
            Round::Nearest => un(isa, |a: f32| half_bits(z::<FTZ>(a))),
            Round::Zero => un(isa, |a: f32| narrow16(z::<FTZ>(a), Round::Zero, half_bits, half_value)),
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
