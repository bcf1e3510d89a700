//! Integers and bits.

use proptest::prelude::*;

use crate::harness::*;
use crate::op;

fn bits_of(v: u64, from: u64, count: u64, width: u64, signed: bool) -> u64 {
    // The bit-by-bit definition in the PTX ISA.
    let (from, count) = (from & 255, count & 255);
    let bit = |i: u64| if i < width { (v >> i) & 1 } else { 0 };
    let sign = if !signed || count == 0 { 0 } else { bit((from + count - 1).min(width - 1)) };
    (0..width).fold(0, |out, i| out | (if i < count && from + i < width { bit(from + i) } else { sign }) << i)
}

fn permute(a: u64, b: u64, s: u64) -> u64 {
    let bytes: Vec<u8> = (a as u32).to_le_bytes().into_iter().chain((b as u32).to_le_bytes()).collect();
    (0..4).fold(0, |out, i| {
        let sel = (s >> (4 * i)) & 15;
        let byte = bytes[(sel & 7) as usize];
        let byte = if sel < 8 {
            byte
        } else if byte & 0x80 != 0 {
            0xff
        } else {
            0
        };
        out | (byte as u64) << (8 * i)
    })
}

proptest! {
    #![proptest_config(config(32))]

    #[test]
    fn integers(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        check(&[
            op!("add.s32", 32 <- [32, 32], |a, b, _| a + b),
            op!("add.s64", 64 <- [64, 64], |a, b, _| a.wrapping_add(b)),
            op!("add.u16", 16 <- [16, 16], |a, b, _| a + b),
            op!("sub.s32", 32 <- [32, 32], |a, b, _| a.wrapping_sub(b)),
            op!("sub.s64", 64 <- [64, 64], |a, b, _| a.wrapping_sub(b)),
            op!("mul.lo.s32", 32 <- [32, 32], |a, b, _| a.wrapping_mul(b)),
            op!("mul.lo.s64", 64 <- [64, 64], |a, b, _| a.wrapping_mul(b)),
            op!("mul.lo.s16", 16 <- [16, 16], |a, b, _| a * b),
            op!("mul.hi.u32", 32 <- [32, 32], |a, b, _| (a * b) >> 32),
            op!("mul.hi.s32", 32 <- [32, 32], |a, b, _| ((a as i32 as i64 * b as i32 as i64) >> 32) as u64),
            op!("mul.hi.u64", 64 <- [64, 64], |a, b, _| ((a as u128 * b as u128) >> 64) as u64),
            op!("mul.hi.s64", 64 <- [64, 64], |a, b, _| ((a as i64 as i128 * b as i64 as i128) >> 64) as u64),
            op!("mul.wide.u32", 64 <- [32, 32], |a, b, _| a * b),
            op!("mul.wide.s32", 64 <- [32, 32], |a, b, _| (a as i32 as i64 * b as i32 as i64) as u64),
            op!("mul.wide.s16", 32 <- [16, 16], |a, b, _| (a as i16 as i32 * b as i16 as i32) as u64),
            op!("mad.lo.s32", 32 <- [32, 32, 32], |a, b, c| a.wrapping_mul(b).wrapping_add(c)),
            op!("mad.wide.u32", 64 <- [32, 32, 64], |a, b, c| (a * b).wrapping_add(c)),
            op!("div.u32", 32 <- [32, 32], |a, b, _| a.checked_div(b).unwrap_or(u64::MAX)),
            op!("div.s64", 64 <- [64, 64], |a, b, _| if b == 0 { u64::MAX } else { (a as i64).wrapping_div(b as i64) as u64 }),
            op!("rem.u32", 32 <- [32, 32], |a, b, _| a.checked_rem(b).unwrap_or(a)),
            op!("rem.s32", 32 <- [32, 32], |a, b, _| if b == 0 { a } else { (a as i32).wrapping_rem(b as i32) as u64 }),
            op!("min.s32", 32 <- [32, 32], |a, b, _| (a as i32).min(b as i32) as u64),
            op!("max.u32", 32 <- [32, 32], |a, b, _| a.max(b)),
            op!("max.s64", 64 <- [64, 64], |a, b, _| (a as i64).max(b as i64) as u64),
            op!("min.s16", 16 <- [16, 16], |a, b, _| (a as i16).min(b as i16) as u64),
            op!("abs.s32", 32 <- [32], |a, _, _| (a as i32).wrapping_abs() as u64),
            op!("neg.s64", 64 <- [64], |a, _, _| (a as i64).wrapping_neg() as u64),
            op!("sad.s32", 32 <- [32, 32, 32], |a, b, c| (a as i32 as i64).abs_diff(b as i32 as i64).wrapping_add(c)),
            op!("dp4a.u32.s32", 32 <- [32, 32, 32], |a, b, c| (0..4).fold(c as i64, |s, i| {
                s + ((a >> (8 * i)) as u8 as i64) * ((b >> (8 * i)) as i8 as i64)
            }) as u64),
        ], &lanes, guards, old);
    }

    #[test]
    fn bits(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        check(&[
            op!("and.b32", 32 <- [32, 32], |a, b, _| a & b),
            op!("or.b64", 64 <- [64, 64], |a, b, _| a | b),
            op!("xor.b16", 16 <- [16, 16], |a, b, _| a ^ b),
            op!("not.b32", 32 <- [32], |a, _, _| !a),
            op!("shl.b32", 32 <- [32, 32], |a, b, _| if b < 32 { a << b } else { 0 }),
            op!("shl.b64", 64 <- [64, 32], |a, b, _| if b < 64 { a << b } else { 0 }),
            op!("shr.u32", 32 <- [32, 32], |a, b, _| if b < 32 { a >> b } else { 0 }),
            op!("shr.s32", 32 <- [32, 32], |a, b, _| (a as i32 >> b.min(31)) as u64),
            op!("shr.s64", 64 <- [64, 32], |a, b, _| (a as i64 >> b.min(63)) as u64),
            op!("shr.u64", 64 <- [64, 32], |a, b, _| if b < 64 { a >> b } else { 0 }),
            op!("shr.s16", 16 <- [16, 32], |a, b, _| (a as i16 >> b.min(15)) as u64),
            op!("shr.u16", 16 <- [16, 32], |a, b, _| if b < 16 { a >> b } else { 0 }),
            op!("shf.l.wrap.b32", 32 <- [32, 32, 32], |a, b, c| ((b << 32 | a) << (c & 31)) >> 32),
            op!("shf.r.wrap.b32", 32 <- [32, 32, 32], |a, b, c| (b << 32 | a) >> (c & 31)),
            op!("shf.r.clamp.b32", 32 <- [32, 32, 32], |a, b, c| (b << 32 | a) >> c.min(32)),
            op!("popc.b32", 32 <- [32], |a, _, _| (0..32).map(|i| (a >> i) & 1).sum()),
            op!("popc.b64", 32 <- [64], |a, _, _| (0..64).map(|i| (a >> i) & 1).sum()),
            op!("clz.b32", 32 <- [32], |a, _, _| (0..32).rev().take_while(|i| (a >> i) & 1 == 0).count() as u64),
            op!("brev.b32", 32 <- [32], |a, _, _| (0..32).fold(0, |o, i| o | ((a >> i) & 1) << (31 - i))),
            op!("bfind.u32", 32 <- [32], |a, _, _| (0..32).rev().find(|i| (a >> i) & 1 != 0).unwrap_or(u64::MAX)),
            op!("bfind.s32", 32 <- [32], |a, _, _| {
                let a = if a >> 31 != 0 { !a } else { a };
                (0..32).rev().find(|i| (a >> i) & 1 != 0).unwrap_or(u64::MAX)
            }),
            op!("bfe.u32", 32 <- [32, 32, 32], |a, b, c| bits_of(a, b, c, 32, false)),
            op!("bfe.s32", 32 <- [32, 32, 32], |a, b, c| bits_of(a, b, c, 32, true)),
            op!("bfe.u64", 64 <- [64, 32, 32], |a, b, c| bits_of(a, b, c, 64, false)),
            op!("bfe.s64", 64 <- [64, 32, 32], |a, b, c| bits_of(a, b, c, 64, true)),
            op!("prmt.b32", 32 <- [32, 32, 32], permute),
            op!("bmsk.clamp.b32", 32 <- [32, 32], |a, b, _| (0..32).filter(|i| *i >= a && *i - a < b).fold(0, |o, i| o | 1 << i)),
            op!("mov.b64", 64 <- [64], |a, _, _| a),
        ], &lanes, guards, old);
    }

}
