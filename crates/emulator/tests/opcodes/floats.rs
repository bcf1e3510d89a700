//! Floating-point arithmetic and conversions.

use proptest::prelude::*;

use crate::harness::*;
use crate::op;

fn clamp_int(v: f64, least: f64, most: f64) -> f64 {
    if v.is_nan() { 0.0 } else { v.max(least).min(most) }
}

/// What `.ftz` reads: a subnormal as zero of its sign.
fn zf(v: u64) -> f32 {
    if f(v).is_subnormal() { 0f32.copysign(f(v)) } else { f(v) }
}

/// What `.ftz` writes.
fn rz(v: f32) -> u64 {
    r(zf(v.to_bits() as u64))
}

proptest! {
    #![proptest_config(config(32))]

    #[test]
    fn floats(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        check(&[
            op!("add.rn.f32", 32 <- [32, 32], |a, b, _| r(f(a) + f(b))),
            op!("sub.rn.f32", 32 <- [32, 32], |a, b, _| r(f(a) - f(b))),
            op!("mul.rn.f32", 32 <- [32, 32], |a, b, _| r(f(a) * f(b))),
            op!("div.rn.f32", 32 <- [32, 32], |a, b, _| r(f(a) / f(b))),
            op!("fma.rn.f32", 32 <- [32, 32, 32], |a, b, c| r(f(a).mul_add(f(b), f(c)))),
            op!("sqrt.rn.f32", 32 <- [32], |a, _, _| r(f(a).sqrt())),
            op!("rcp.rn.f32", 32 <- [32], |a, _, _| r(1.0 / f(a))),
            op!("abs.f32", 32 <- [32], |a, _, _| a & 0x7fff_ffff),
            op!("neg.f32", 32 <- [32], |a, _, _| a ^ 0x8000_0000),
            op!("min.f32", 32 <- [32, 32], |a, b, _| match (f(a).is_nan(), f(b).is_nan()) {
                (true, _) => r(f(b)),
                (_, true) => a,
                _ if f(a) == f(b) => a | b,
                _ => if f(a) < f(b) { a } else { b },
            }),
            op!("max.f32", 32 <- [32, 32], |a, b, _| match (f(a).is_nan(), f(b).is_nan()) {
                (true, _) => r(f(b)),
                (_, true) => a,
                _ if f(a) == f(b) => a & b,
                _ => if f(a) > f(b) { a } else { b },
            }),
            op!("cvt.rn.f32.s32", 32 <- [32], |a, _, _| r(a as i32 as f32)),
            op!("cvt.rn.f32.u64", 32 <- [64], |a, _, _| r(a as f32)),
            op!("cvt.rn.f64.s64", 64 <- [64], |a, _, _| (a as i64 as f64).to_bits()),
            op!("cvt.rn.f32.u8", 32 <- [16], |a, _, _| r((a & 255) as f32)),
            op!("cvt.rzi.s32.f32", 32 <- [32], |a, _, _| clamp_int((f(a) as f64).trunc(), -2147483648.0, 2147483647.0) as i64 as u64),
            op!("cvt.rni.s32.f32", 32 <- [32], |a, _, _| clamp_int((f(a) as f64).round_ties_even(), -2147483648.0, 2147483647.0) as i64 as u64),
            op!("cvt.rmi.s32.f32", 32 <- [32], |a, _, _| clamp_int((f(a) as f64).floor(), -2147483648.0, 2147483647.0) as i64 as u64),
            op!("cvt.rzi.u32.f32", 32 <- [32], |a, _, _| clamp_int((f(a) as f64).trunc(), 0.0, 4294967295.0) as u64),
            op!("cvt.rni.u16.f32", 16 <- [32], |a, _, _| clamp_int((f(a) as f64).round_ties_even(), 0.0, 65535.0) as u64),
            op!("cvt.f64.f32", 64 <- [32], |a, _, _| (f(a) as f64).to_bits()),
            op!("cvt.rn.f32.f64", 32 <- [64], |a, _, _| r(d(a) as f32)),
        ], &lanes, guards, old);
    }

    /// `.ftz`: subnormal sources count as zero of their sign, and so do subnormal results.
    #[test]
    fn flushed(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        check(&[
            op!("add.ftz.f32", 32 <- [32, 32], |a, b, _| rz(zf(a) + zf(b))),
            op!("sub.rn.ftz.f32", 32 <- [32, 32], |a, b, _| rz(zf(a) - zf(b))),
            op!("mul.ftz.f32", 32 <- [32, 32], |a, b, _| rz(zf(a) * zf(b))),
            op!("mul.ftz.sat.f32", 32 <- [32, 32], |a, b, _| match zf(a) * zf(b) {
                v if v > 0.0 => rz(if v < 1.0 { v } else { 1.0 }),
                // NaN too.
                _ => 0,
            }),
            op!("fma.rn.ftz.f32", 32 <- [32, 32, 32], |a, b, c| rz(zf(a).mul_add(zf(b), zf(c)))),
            op!("mad.rn.ftz.f32", 32 <- [32, 32, 32], |a, b, c| rz(zf(a).mul_add(zf(b), zf(c)))),
            op!("div.rn.ftz.f32", 32 <- [32, 32], |a, b, _| rz(zf(a) / zf(b))),
            op!("rcp.rn.ftz.f32", 32 <- [32], |a, _, _| rz(1.0 / zf(a))),
            op!("sqrt.rn.ftz.f32", 32 <- [32], |a, _, _| rz(zf(a).sqrt())),
            op!("abs.ftz.f32", 32 <- [32], |a, _, _| zf(a).to_bits() as u64 & 0x7fff_ffff),
            op!("neg.ftz.f32", 32 <- [32], |a, _, _| zf(a).to_bits() as u64 ^ 0x8000_0000),
            op!("min.ftz.f32", 32 <- [32, 32], |a, b, _| match (zf(a), zf(b)) {
                (x, y) if x.is_nan() => r(y),
                (x, y) if y.is_nan() => r(x),
                (x, y) if x == y => r(x) | r(y),
                (x, y) => r(if x < y { x } else { y }),
            }),
            op!("max.ftz.NaN.f32", 32 <- [32, 32], |a, b, _| match (zf(a), zf(b)) {
                (x, y) if x.is_nan() || y.is_nan() => 0x7fff_ffff,
                (x, y) if x == y => r(x) & r(y),
                (x, y) => r(if x > y { x } else { y }),
            }),
            op!("setp.lt.ftz.f32 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [32, 32], |a, b, _| (zf(a) < zf(b)) as u64),
            op!("setp.geu.ftz.f32 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [32, 32], |a, b, _| {
                (zf(a).is_nan() || zf(b).is_nan() || zf(a) >= zf(b)) as u64
            }),
            op!("setp.eq.ftz.f32 %q0, {0}, {1}; setp.ne.or.ftz.f32 %q1, {0}, {2}, %q0; @%p1 selp.u32 {d}, 1, 0, %q1;",
                32 <- [32, 32, 32], |a, b, c| {
                (zf(a) == zf(b) || zf(a) < zf(c) || zf(a) > zf(c)) as u64
            }),
            op!("set.gt.ftz.u32.f32", 32 <- [32, 32], |a, b, _| if zf(a) > zf(b) { 0xffff_ffff } else { 0 }),
            op!("slct.ftz.u32.f32", 32 <- [32, 32, 32], |a, b, c| if zf(c) >= 0.0 { a } else { b }),
            op!("cvt.ftz.f64.f32", 64 <- [32], |a, _, _| (zf(a) as f64).to_bits()),
            op!("cvt.rn.ftz.f32.f64", 32 <- [64], |a, _, _| rz(d(a) as f32)),
            op!("cvt.rpi.ftz.s32.f32", 32 <- [32], |a, _, _| {
                clamp_int((zf(a) as f64).ceil(), -2147483648.0, 2147483647.0) as i64 as u64
            }),
            op!("setp.num.f32 %q0, {0}, {0}; cvt.rmi.ftz.f32.f32 %x0, {0}; @%p1 selp.b32 {d}, %x0, 0, %q0;", 32 <- [32], |a, _, _| {
                if f(a).is_nan() { 0 } else { r(zf(a).floor()) }
            }),
            op!("cvt.rn.ftz.f32.s32", 32 <- [32], |a, _, _| r(a as i32 as f32)),
        ], &lanes, guards, old);
    }

    /// What kind of number: by the fields of the word. Zeros are normal.
    #[test]
    fn kinds(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        fn fields(v: u64, wide: bool) -> (u64, u64) {
            if wide { (v >> 52 & 0x7ff, v << 12) } else { ((v >> 23 & 0xff) + if v >> 23 & 0xff == 255 { 0x700 } else { 0 }, v << 41) }
        }
        check(&[
            op!("testp.finite.f32 %q0, {0}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [32], |a, _, _| (fields(a, false).0 < 0x7ff) as u64),
            op!("testp.infinite.f32 %q0, {0}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [32], |a, _, _| (fields(a, false) == (0x7ff, 0)) as u64),
            op!("testp.number.f64 %q0, {0}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [64], |a, _, _| {
                (fields(a, true).0 < 0x7ff || fields(a, true).1 == 0) as u64
            }),
            op!("testp.notanumber.f32 %q0, {0}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [32], |a, _, _| {
                (fields(a, false).0 == 0x7ff && fields(a, false).1 != 0) as u64
            }),
            op!("testp.normal.f32 %q0, {0}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [32], |a, _, _| {
                ((1..0x7ff).contains(&fields(a, false).0) || a << 33 == 0) as u64
            }),
            op!("testp.subnormal.f64 %q0, {0}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [64], |a, _, _| {
                (fields(a, true).0 == 0 && fields(a, true).1 != 0) as u64
            }),
        ], &lanes, guards, old);
    }

    #[test]
    fn conversions(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        check(&[
            op!("cvt.u64.u32", 64 <- [32], |a, _, _| a),
            op!("cvt.s64.s32", 64 <- [32], |a, _, _| a as i32 as i64 as u64),
            op!("cvt.u32.u64", 32 <- [64], |a, _, _| a),
            op!("cvt.u16.u32", 16 <- [32], |a, _, _| a),
            op!("cvt.u32.u16", 32 <- [16], |a, _, _| a),
            op!("cvt.s32.s16", 32 <- [16], |a, _, _| a as i16 as i32 as u64),
            op!("cvt.s16.s8", 16 <- [16], |a, _, _| a as i8 as i16 as u64),
            op!("cvt.u32.u8", 32 <- [16], |a, _, _| a & 255),
            op!("cvt.s32.s8", 32 <- [32], |a, _, _| a as i8 as i32 as u64),
            op!("cvt.s64.s16", 64 <- [16], |a, _, _| a as i16 as i64 as u64),
            op!("cvt.u64.s8", 64 <- [16], |a, _, _| a as i8 as i64 as u64),
            op!("cvt.u16.u64", 16 <- [64], |a, _, _| a),
            op!("cvt.sat.u8.s32", 16 <- [32], |a, _, _| (a as i32).clamp(0, 255) as u64),
            op!("cvt.sat.s16.s32", 16 <- [32], |a, _, _| (a as i32).clamp(-32768, 32767) as u64),
            op!("cvt.sat.s32.s64", 32 <- [64], |a, _, _| (a as i64).clamp(i32::MIN as i64, i32::MAX as i64) as u64),
        ], &lanes, guards, old);
    }

    /// Directed rounding: the result is the float next to the exact value on the side that the mode names. Inputs are
    /// limited so that f64 holds the exact value.
    #[test]
    fn directed_rounding(a in -1e6f32..1e6, b in prop_oneof![1e-2f32..1e4, -1e4f32..-1e-2]) {
        for (name, exact) in [("add", a as f64 + b as f64), ("sub", a as f64 - b as f64), ("mul", a as f64 * b as f64)] {
            for mode in ["rz", "rm", "rp"] {
                let text: &'static str = Box::leak(format!("{name}.{mode}.f32").into_boxed_str());
                let op = Op { text, dst: 32, srcs: &[32, 32], model: Model::Lane(|_, _, _| 0) };
                let lanes = [[a.to_bits() as u64, b.to_bits() as u64, 0]; 32];
                let got = f(execute(&op, &lanes, u32::MAX, 0)[7]);
                let down = mode == "rm" || mode == "rz" && exact > 0.0;
                prop_assume!(a.abs() > 1e-2 || a == 0.0);
                if got as f64 != exact {
                    if down {
                        prop_assert!((got as f64) < exact && got.next_up() as f64 > exact, "{text} {a} {b}: {got}");
                    } else {
                        prop_assert!((got as f64) > exact && (got.next_down() as f64) < exact, "{text} {a} {b}: {got}");
                    }
                }
            }
        }
    }

    /// Rounding to f16 and back: no other f16 is nearer, and ties go to the even one.
    #[test]
    fn halves(v in prop_oneof![-70000f32..70000.0, -1f32..1.0, -1e-6f32..1e-6]) {
        let to = op!("cvt.rn.f16.f32", 16 <- [32], |_, _, _| 0);
        let back = op!("cvt.f32.f16", 32 <- [16], |_, _, _| 0);
        let h = execute(&to, &[[v.to_bits() as u64, 0, 0]; 32], u32::MAX, 0)[0] & 0xffff;
        let value = |h: u64| f(execute(&back, &[[h, 0, 0]; 32], u32::MAX, 0)[0]) as f64;
        prop_assert_eq!(h >> 15, (v.to_bits() >> 31) as u64);
        if h & 0x7fff == 0x7c00 {
            // Halfway between the greatest f16 and the next power of two rounds up.
            prop_assert!(v.abs() >= 65520.0);
        } else {
            let error = (value(h) - v as f64).abs();
            for other in [h.wrapping_sub(1), h + 1].into_iter().filter(|o| o & 0x7fff < 0x7c00) {
                let theirs = (value(other) - v as f64).abs();
                prop_assert!(error < theirs || error == theirs && h & 1 == 0, "{v} {h:#x} {other:#x}");
            }
        }
    }

}
