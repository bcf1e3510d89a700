//! Comparisons, selections and carries.

use proptest::prelude::*;

use crate::harness::*;
use crate::op;

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn comparisons(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        check(&[
            op!("setp.lt.s32 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [32, 32], |a, b, _| ((a as i32) < b as i32) as u64),
            op!("setp.lo.u32 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [32, 32], |a, b, _| (a < b) as u64),
            op!("setp.hs.u64 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [64, 64], |a, b, _| (a >= b) as u64),
            op!("setp.ge.s64 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [64, 64], |a, b, _| (a as i64 >= b as i64) as u64),
            op!("setp.eq.s16 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [16, 16], |a, b, _| (a == b) as u64),
            op!("setp.gt.s16 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [16, 16], |a, b, _| (a as i16 > b as i16) as u64),
            op!("setp.ne.b32 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [32, 32], |a, b, _| (a != b) as u64),
            op!("setp.lt.f32 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [32, 32], |a, b, _| (f(a) < f(b)) as u64),
            op!("setp.ne.f32 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [32, 32], |a, b, _| {
                (!f(a).is_nan() && !f(b).is_nan() && f(a) != f(b)) as u64
            }),
            op!("setp.neu.f32 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [32, 32], |a, b, _| (f(a) != f(b)) as u64),
            op!("setp.leu.f64 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [64, 64], |a, b, _| {
                (d(a).is_nan() || d(b).is_nan() || d(a) <= d(b)) as u64
            }),
            op!("setp.num.f64 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [64, 64], |a, b, _| {
                (!d(a).is_nan() && !d(b).is_nan()) as u64
            }),
            op!("setp.nan.f32 %q0, {0}, {1}; @%p1 selp.u32 {d}, 1, 0, %q0;", 32 <- [32, 32], |a, b, _| {
                (f(a).is_nan() || f(b).is_nan()) as u64
            }),
            op!("set.lt.u32.s32", 32 <- [32, 32], |a, b, _| if (a as i32) < b as i32 { u64::MAX } else { 0 }),
            op!("set.ge.f32.f32", 32 <- [32, 32], |a, b, _| if f(a) >= f(b) { 0x3f80_0000 } else { 0 }),
        ], &lanes, guards, old);
    }

    #[test]
    fn combinations(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        check(&[
            // Two results, and a third predicate that they are combined with.
            op!("setp.lt.s32 %q0, {2}, 50; setp.gt.and.s32 %q1|%q2, {0}, {1}, %q0; selp.u32 %x0, 1, 0, %q1; \
                 selp.u32 %x1, 2, 0, %q2; @%p1 or.b32 {d}, %x0, %x1;", 32 <- [32, 32, 32], |a, b, c| {
                let (hit, with) = ((a as i32) > b as i32, (c as i32) < 50);
                (hit && with) as u64 | ((!hit && with) as u64) << 1
            }),
            op!("setp.lt.s32 %q0, {2}, 50; setp.gt.xor.s32 %q1, {0}, {1}, !%q0; @%p1 selp.u32 {d}, 1, 0, %q1;", 32 <- [32, 32, 32],
                |a, b, c| (((a as i32) > b as i32) ^ (c as i32 >= 50)) as u64),
            op!("setp.lt.s32 %q0, {2}, 50; setp.gt.or.s32 %q1, {0}, {1}, %q0; @%p1 selp.u32 {d}, 1, 0, !%q1;", 32 <- [32, 32, 32],
                |a, b, c| !(((a as i32) > b as i32) || ((c as i32) < 50)) as u64),
            op!("setp.lt.s32 %q0, {0}, {1}; setp.lt.s32 %q1, {1}, {2}; and.pred %q2, %q0, %q1; not.pred %q3, %q2; \
                 xor.pred %q3, %q3, %q1; @%p1 selp.u32 {d}, 1, 0, %q3;", 32 <- [32, 32, 32], |a, b, c| {
                let (x, y) = ((a as i32) < b as i32, (b as i32) < c as i32);
                (!(x && y) ^ y) as u64
            }),
            // A comparison under a guard leaves the predicate as it was elsewhere.
            op!("setp.eq.u32 %q0, {0}, {0}; @%p1 setp.lt.u32 %q0, {0}, {1}; selp.u32 %x0, 1, 0, %q0; @%p1 mov.u32 {d}, %x0;", 32 <- [32, 32],
                |a, b, _| (a < b) as u64),
            op!("selp.b64 %y0, {0}, {1}, %p1; @%p1 mov.u64 {d}, %y0;", 64 <- [64, 64], |a, _, _| a),
            op!("slct.b32.s32", 32 <- [32, 32, 32], |a, b, c| if c as i32 >= 0 { a } else { b }),
            op!("slct.u64.f32", 64 <- [64, 64, 32], |a, b, c| if f(c) >= 0.0 { a } else { b }),
        ], &lanes, guards, old);
    }

    #[test]
    fn carries(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        check(&[
            op!("add.cc.u32 %x0, {0}, {1}; @%p1 addc.u32 {d}, {2}, 7;", 32 <- [32, 32, 32], |a, b, c| c + 7 + ((a + b) >> 32)),
            op!("add.cc.u64 %y0, {0}, {1}; @%p1 addc.u64 {d}, {2}, 0;", 64 <- [64, 64, 64],
                |a, b, c| c.wrapping_add(a.checked_add(b).is_none() as u64)),
            op!("sub.cc.u32 %x0, {0}, {1}; @%p1 subc.u32 {d}, {2}, 7;", 32 <- [32, 32, 32],
                |a, b, c| c.wrapping_sub(7).wrapping_sub((a < b) as u64)),
            op!("sub.cc.u64 %y0, {0}, {1}; @%p1 subc.u64 {d}, {2}, 0;", 64 <- [64, 64, 64], |a, b, c| c.wrapping_sub((a < b) as u64)),
            // The high half of a product with an addend, as nvcc multiplies 64 by 64 bits.
            op!("mad.lo.cc.u32 %x0, {0}, {1}, {2}; @%p1 madc.hi.u32 {d}, {0}, {1}, 0;", 32 <- [32, 32, 32], |a, b, c| (a * b + c) >> 32),
            op!("mad.lo.cc.u64 %y0, {0}, {1}, {2}; @%p1 madc.hi.u64 {d}, {0}, {1}, 0;", 64 <- [64, 64, 64],
                |a, b, c| ((a as u128 * b as u128 + c as u128) >> 64) as u64),
            // The carry goes through: the middle one both uses and makes it.
            op!("add.cc.u32 %x0, {0}, {1}; addc.cc.u32 %x1, {1}, {2}; @%p1 addc.u32 {d}, 0, 0;", 32 <- [32, 32, 32],
                |a, b, c| (b + c + ((a + b) >> 32)) >> 32),
        ], &lanes, guards, old);
    }
}
