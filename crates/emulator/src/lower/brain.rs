//! bf16 arithmetic as compute_80 has it: fused multiply-add, minimum, maximum and signs. NaN results are canonical.

use half::bf16;

use super::case::Case;
use super::float::{either, max32, min32, operands, pair};
use super::rounding;
use super::{Lower, Problem};
use crate::exec::ops::{bin, tern, un};
use crate::ptx::{RegType, Type};
use RegType::{W16, W32};

const NAN: u16 = 0x7fff;

fn value(v: u16) -> f32 {
    bf16::from_bits(v).to_f32()
}

fn bits(v: f32) -> u16 {
    if v.is_nan() { NAN } else { bf16::from_f32(v).to_bits() }
}

/// The product is exact in f64; its sum with the third is rounded to odd on the way, so that the last rounding is the
/// only one that counts.
fn fma(a: u16, b: u16, c: u16) -> u16 {
    bits(rounding::fma_odd(value(a), value(b), value(c)))
}

fn min(a: u16, b: u16) -> u16 {
    bits(min32(value(a), value(b)))
}

fn max(a: u16, b: u16) -> u16 {
    bits(max32(value(a), value(b)))
}

fn min_nan(a: u16, b: u16) -> u16 {
    either(value(a), value(b), NAN, |x, y| bits(min32(x, y)))
}

fn max_nan(a: u16, b: u16) -> u16 {
    either(value(a), value(b), NAN, |x, y| bits(max32(x, y)))
}

impl Lower<'_> {
    /// Lowers an instruction on `.bf16` or `.bf16x2`.
    pub(super) fn brain(&mut self, c: &Case, ty: Type) -> Result<(), Problem> {
        let isa = self.isa;
        c.only(&["rn", "NaN"])?;
        let one = ty == Type::Bf16;
        let handler = match (c.name, c.has("NaN"), one) {
            ("fma", false, true) => tern(isa, fma),
            ("min", false, true) => bin(isa, min),
            ("max", false, true) => bin(isa, max),
            ("min", true, true) => bin(isa, min_nan),
            ("max", true, true) => bin(isa, max_nan),
            ("abs", false, true) => un(isa, |a: u16| a & 0x7fff),
            ("neg", false, true) => un(isa, |a: u16| a ^ 0x8000),
            ("fma", false, false) => tern(isa, |a: u32, b: u32, x: u32| {
                let high = fma((a >> 16) as u16, (b >> 16) as u16, (x >> 16) as u16) as u32;
                fma(a as u16, b as u16, x as u16) as u32 | high << 16
            }),
            ("min", false, false) => bin(isa, |a: u32, b: u32| pair(a, b, min)),
            ("max", false, false) => bin(isa, |a: u32, b: u32| pair(a, b, max)),
            ("min", true, false) => bin(isa, |a: u32, b: u32| pair(a, b, min_nan)),
            ("max", true, false) => bin(isa, |a: u32, b: u32| pair(a, b, max_nan)),
            ("abs", false, false) => un(isa, |a: u32| a & 0x7fff_7fff),
            ("neg", false, false) => un(isa, |a: u32| a ^ 0x8000_8000),
            _ => return c.unsupported(),
        };
        let class = if one { W16 } else { W32 };
        self.lanewise(c, handler, class, &vec![class; operands(c.name)][..])
    }
}
