//! f16 and pairs of f16, judged by exact sums and products in f64 and a rounding by search.

use proptest::prelude::*;

use crate::harness::*;
use crate::op;

/// The value of the bits of an f16, by its definition.
fn value(h: u64) -> f64 {
    let (sign, exponent, fraction) = (h >> 15 & 1, (h >> 10 & 31) as i32, (h & 1023) as f64);
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        e => (1024.0 + fraction) * 2f64.powi(e - 25),
    };
    if sign == 1 { -size } else { size }
}

/// The f16 next to an exact value, the even one of two that are as near; NaN is 0x7fff.
fn nearest(v: f64) -> u64 {
    if v.is_nan() {
        return 0x7fff;
    }
    let (size, sign) = (v.abs(), (v.is_sign_negative() as u64) << 15);
    // Halfway between the greatest number and the power of two behind it, all rounds to infinity.
    if size >= 65520.0 {
        return sign | 0x7c00;
    }
    let (mut low, mut high) = (0u64, 0x7bff);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if value(middle) <= size { low = middle } else { high = middle - 1 }
    }
    let up = if low == 0x7bff { 65536.0 } else { value(low + 1) };
    let (below, above) = (size - value(low), up - size);
    sign | if above < below || above == below && low & 1 == 1 { low + 1 } else { low }
}

fn both(a: u64, b: u64, f: impl Fn(f64, f64) -> u64) -> u64 {
    f(value(a & 0xffff), value(b & 0xffff)) | f(value(a >> 16 & 0xffff), value(b >> 16 & 0xffff)) << 16
}

fn limit(h: u64) -> u64 {
    let v = value(h);
    if v.is_nan() || v <= 0.0 {
        0
    } else if v > 1.0 {
        0x3c00
    } else {
        h
    }
}

/// Lanes of f16 in both halves of a word, everyday numbers and any bits.
fn halves() -> impl Strategy<Value = Lanes> {
    let bits = || prop_oneof![2 => any::<u16>(), 3 => 0x3000u16..0x4800, 2 => 0xb000u16..0xc800, 1 => 0u16..64];
    let word = move || (bits(), bits()).prop_map(|(a, b)| a as u64 | (b as u64) << 16);
    proptest::collection::vec([word(), word(), word()], 32).prop_map(|v| v.try_into().expect("32 lanes"))
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn arithmetic(lanes in halves(), guards in guards(), old in any::<u64>()) {
        check(&[
            op!("add.rn.f16", 16 <- [16, 16], |a, b, _| nearest(value(a) + value(b))),
            op!("sub.rn.f16", 16 <- [16, 16], |a, b, _| nearest(value(a) - value(b))),
            op!("mul.rn.f16", 16 <- [16, 16], |a, b, _| nearest(value(a) * value(b))),
            op!("add.rn.f16x2", 32 <- [32, 32], |a, b, _| both(a, b, |x, y| nearest(x + y))),
            op!("sub.rn.f16x2", 32 <- [32, 32], |a, b, _| both(a, b, |x, y| nearest(x - y))),
            op!("mul.rn.f16x2", 32 <- [32, 32], |a, b, _| both(a, b, |x, y| nearest(x * y))),
            op!("add.sat.f16", 16 <- [16, 16], |a, b, _| limit(nearest(value(a) + value(b)))),
            op!("mul.sat.f16x2", 32 <- [32, 32], |a, b, _| both(a, b, |x, y| limit(nearest(x * y)))),
            op!("neg.f16", 16 <- [16], |a, _, _| a ^ 0x8000),
            op!("abs.f16x2", 32 <- [32], |a, _, _| a & 0x7fff_7fff),
            op!("set.lt.f16x2.f16x2", 32 <- [32, 32], |a, b, _| both(a, b, |x, y| if x < y { 0x3c00 } else { 0 })),
            op!("set.neu.f16x2.f16x2", 32 <- [32, 32], |a, b, _| both(a, b, |x, y| if x != y { 0x3c00 } else { 0 })),
            op!("set.nan.f16x2.f16x2", 32 <- [32, 32], |a, b, _| both(a, b, |x, y| if x.is_nan() || y.is_nan() { 0x3c00 } else { 0 })),
            op!("setp.ge.f16 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [16, 16], |a, b, _| (value(a) >= value(b)) as u64),
            op!("cvt.f32.f16", 32 <- [16], |a, _, _| r(value(a) as f32)),
            op!("cvt.rn.f16.f32", 16 <- [32], |a, _, _| nearest(f(a) as f64)),
        ], &lanes, guards, old);
    }

    /// Products with an addend where f64 holds the exact sum: exponents within 20 of each other.
    #[test]
    fn fused(lanes in proptest::collection::vec([0x3400u16..0x4400, 0xb400u16..0xc400, 0x3000u16..0x4400], 32), guards in guards()) {
        let lanes: Lanes = std::array::from_fn(|l| lanes[l].map(|h| h as u64 | (h as u64 ^ 0x8000) << 16));
        check(&[
            op!("fma.rn.f16", 16 <- [16, 16, 16], |a, b, c| nearest(value(a) * value(b) + value(c))),
            op!("fma.rn.sat.f16", 16 <- [16, 16, 16], |a, b, c| limit(nearest(value(a) * value(b) + value(c)))),
            op!("fma.rn.relu.f16", 16 <- [16, 16, 16], |a, b, c| {
                let v = value(a) * value(b) + value(c);
                if v > 0.0 { nearest(v) } else { 0 }
            }),
            op!("fma.rn.f16x2", 32 <- [32, 32, 32], |a, b, c| {
                nearest(value(a & 0xffff) * value(b & 0xffff) + value(c & 0xffff))
                    | nearest(value(a >> 16) * value(b >> 16) + value(c >> 16)) << 16
            }),
        ], &lanes, guards, 0);
    }
}
