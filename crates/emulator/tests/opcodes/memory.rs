//! Loads, stores and atomics: widths, shapes of addresses, and state spaces.

use proptest::prelude::*;

use crate::harness::*;
use crate::{op, warp_op};

/// The values that 32 lanes hold at eight-byte steps, as bytes.
fn bytes(lanes: &Lanes, column: usize) -> Vec<u8> {
    lanes.iter().flat_map(|s| s[column].to_le_bytes()).collect()
}

/// The word of `size` bytes at `at`.
fn word(lanes: &Lanes, at: usize, size: usize) -> u64 {
    let mut out = [0; 8];
    out[..size].copy_from_slice(&bytes(lanes, 0)[at..at + size]);
    u64::from_le_bytes(out)
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn loads(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        check(&[
            op!("@%p1 ld.global.u8 {d}, [%a0];", 32 <- [64], |a, _, _| a & 0xff),
            op!("@%p1 ld.global.s8 {d}, [%a0+1];", 32 <- [64], |a, _, _| (a >> 8) as i8 as u64),
            op!("@%p1 ld.global.s8 {d}, [%a0+7];", 16 <- [64], |a, _, _| (a >> 56) as i8 as u64),
            op!("@%p1 ld.global.u16 {d}, [%a0+2];", 16 <- [64], |a, _, _| a >> 16),
            op!("@%p1 ld.global.s16 {d}, [%a0+6];", 64 <- [64], |a, _, _| (a >> 48) as i16 as u64),
            op!("@%p1 ld.global.s32 {d}, [%a0+4];", 64 <- [64], |a, _, _| (a >> 32) as i32 as u64),
            op!("@%p1 ld.global.nc.u64 {d}, [%a0];", 64 <- [64], |a, _, _| a),
            op!("@%p1 ld.volatile.global.u32 {d}, [%a0];", 32 <- [64], |a, _, _| a),
            op!("@%p1 ld.acquire.gpu.global.u32 {d}, [%a0];", 32 <- [64], |a, _, _| a),
            op!("@%p1 ld.global.v2.u32 {%x0, %x1}, [%a0]; @%p1 sub.u32 {d}, %x0, %x1;", 32 <- [64], |a, _, _| a.wrapping_sub(a >> 32)),
            op!("@%p1 ld.global.v4.u16 {%h0, %h1, %h2, %h3}, [%a0]; @%p1 mov.b64 {d}, {%h3, %h2, %h1, %h0};", 64 <- [64],
                |a, _, _| (a >> 48) | (a >> 32 & 0xffff) << 16 | (a >> 16 & 0xffff) << 32 | a << 48),
            op!("@%p1 ld.global.v4.u8 {%h0, %h1, %h2, %h3}, [%a0+4]; @%p1 mov.b64 {d}, {%h0, %h1, %h2, %h3};", 64 <- [64],
                |a, _, _| (0..4).fold(0, |o, i| o | (a >> (32 + 8 * i) & 0xff) << (16 * i))),
            op!("@%p1 ld.u32 {d}, [%a0];", 32 <- [64], |a, _, _| a),
        ], &lanes, guards, old);
    }

    /// One behind the other, all the same, and backwards, through registers of all widths.
    #[test]
    fn shapes(lanes in lanes(), old in any::<u64>()) {
        check(&[
            warp_op!("mov.u32 %x0, %tid.x; mul.wide.u32 %y0, %x0, 4; add.u64 %y0, %b0, %y0; ld.global.u32 {d}, [%y0];", 32 <- [64],
                |s, l| word(s, 4 * l, 4)),
            warp_op!("mov.u32 %x0, %tid.x; cvt.u64.u32 %y0, %x0; add.u64 %y0, %b0, %y0; ld.global.s8 {d}, [%y0+3];", 32 <- [64],
                |s, l| word(s, l + 3, 1) as i8 as u64),
            warp_op!("mov.u32 %x0, %tid.x; mul.wide.u32 %y0, %x0, 2; add.u64 %y0, %b0, %y0; ld.global.u16 {d}, [%y0+64];", 16 <- [64],
                |s, l| word(s, 2 * l + 64, 2)),
            warp_op!("ld.global.u32 {d}, [%b0+40];", 32 <- [64], |s, _| word(s, 40, 4)),
            warp_op!("mov.u32 %x0, %tid.x; sub.u32 %x0, 31, %x0; mul.wide.u32 %y0, %x0, 8; add.u64 %y0, %b0, %y0; \
                      ld.global.u64 {d}, [%y0];", 64 <- [64], |s, l| word(s, 8 * (31 - l), 8)),
            warp_op!("mov.u32 %x0, %tid.x; shl.b32 %x1, %x0, 2; mov.u32 %x2, s; add.u32 %x1, %x1, %x2; st.shared.u32 [%x1], {0}; \
                      bar.warp.sync -1; xor.b32 %x0, %x0, 5; shl.b32 %x1, %x0, 2; add.u32 %x1, %x1, %x2; \
                      ld.shared.u32 {d}, [%x1];", 32 <- [32], |s, l| s[l ^ 5][0]),
            warp_op!("mov.u32 %x0, %tid.x; mad.lo.u32 %x1, %x0, 24, 8; mov.u64 %y1, s; cvt.u64.u32 %y0, %x1; add.u64 %y1, %y1, %y0; \
                      cvta.shared.u64 %y2, %y1; st.u64 [%y2], {0}; ld.shared.u64 {d}, [%y1];", 64 <- [64], |s, l| s[l][0]),
            warp_op!("mov.u64 %y0, l; and.b64 %y1, {0}, 56; add.u64 %y0, %y0, %y1; st.local.u64 [%y0], {0}; \
                      cvta.local.u64 %y2, %y0; ld.u64 {d}, [%y2];", 64 <- [64], |s, l| s[l][0]),
            warp_op!("st.shared.v4.u32 [s+16], {1, 2, 3, 4}; bar.warp.sync -1; ld.shared.v2.u64 {%y0, %y1}, [s+16]; xor.b64 {d}, %y0, %y1;", 64 <- [64],
                |_, _| (1 | 2 << 32) ^ (3 | 4 << 32)),
        ], &lanes, u32::MAX, old);
    }

    #[test]
    fn stores(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        check(&[
            op!("@%p1 st.global.u8 [%a1+3], {0}; @%p1 ld.global.u64 {d}, [%a1];", 64 <- [32, 64],
                |a, b, _| b & !(0xff << 24) | (a & 0xff) << 24),
            op!("@%p1 st.global.u16 [%a1+2], {0}; @%p1 ld.global.u64 {d}, [%a1];", 64 <- [64, 64],
                |a, b, _| b & !(0xffff << 16) | (a & 0xffff) << 16),
            op!("@%p1 st.global.v2.u32 [%a1], {%t, 9}; @%p1 ld.global.u64 {d}, [%a1];", 64 <- [64, 64], |_, _, _| 1 | 9 << 32),
            op!("@%p1 st.release.gpu.global.u32 [%a1], {0}; @%p1 ld.global.u32 {d}, [%a1];", 32 <- [32, 64], |a, _, _| a),
            op!("@%p1 st.u64 [%a1], {0}; @%p1 ld.global.u64 {d}, [%a1];", 64 <- [64, 64], |a, _, _| a),
        ], &lanes, guards, old);
    }

    /// Each lane on a word of its own: what was there comes back, and what is there afterwards.
    #[test]
    fn atomics(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        check(&[
            op!("@%p1 atom.global.add.u32 {d}, [%a1], {0};", 32 <- [32, 32], |_, b, _| b),
            op!("@%p1 atom.global.add.u32 %x0, [%a1], {0}; @%p1 ld.global.u32 {d}, [%a1];", 32 <- [32, 32], |a, b, _| a + b),
            op!("@%p1 atom.global.add.u64 %y0, [%a1], {0}; @%p1 ld.global.u64 {d}, [%a1];", 64 <- [64, 64], |a, b, _| a.wrapping_add(b)),
            op!("@%p1 red.global.add.f32 [%a1], {0}; @%p1 ld.global.u32 %x0, [%a1]; @%p1 add.rn.f32 {d}, %x0, 0f80000000;", 32 <- [32, 32],
                |a, b, _| r(f(a) + f(b))),
            op!("@%p1 atom.global.min.s32 %x0, [%a1], {0}; @%p1 ld.global.u32 {d}, [%a1];", 32 <- [32, 32], |a, b, _| (a as i32).min(b as i32) as u64),
            op!("@%p1 atom.global.max.u32 %x0, [%a1], {0}; @%p1 ld.global.u32 {d}, [%a1];", 32 <- [32, 32], |a, b, _| a.max(b)),
            op!("@%p1 atom.global.max.s64 %y0, [%a1], {0}; @%p1 ld.global.u64 {d}, [%a1];", 64 <- [64, 64], |a, b, _| (a as i64).max(b as i64) as u64),
            op!("@%p1 atom.global.and.b32 %x0, [%a1], {0}; @%p1 ld.global.u32 {d}, [%a1];", 32 <- [32, 32], |a, b, _| a & b),
            op!("@%p1 atom.global.xor.b64 %y0, [%a1], {0}; @%p1 ld.global.u64 {d}, [%a1];", 64 <- [64, 64], |a, b, _| a ^ b),
            op!("@%p1 atom.global.inc.u32 %x0, [%a1], {0}; @%p1 ld.global.u32 {d}, [%a1];", 32 <- [32, 32], |a, b, _| if b >= a { 0 } else { b + 1 }),
            op!("@%p1 atom.global.dec.u32 %x0, [%a1], {0}; @%p1 ld.global.u32 {d}, [%a1];", 32 <- [32, 32],
                |a, b, _| if b == 0 || b > a { a } else { b - 1 }),
            op!("@%p1 atom.global.exch.b32 %x0, [%a1], {0}; @%p1 ld.global.u32 {d}, [%a1];", 32 <- [32, 32], |a, _, _| a),
            op!("@%p1 atom.global.cas.b32 %x0, [%a2], {0}, {1}; @%p1 ld.global.u32 {d}, [%a2];", 32 <- [32, 32, 32], |a, b, c| if a == c { b } else { c }),
            op!("@%p1 atom.global.cas.b64 {d}, [%a2], {0}, {1};", 64 <- [64, 64, 64], |_, _, c| c),
            op!("@%p1 atom.cas.b64 %y0, [%a2], {2}, {1}; @%p1 ld.global.u64 {d}, [%a2];", 64 <- [64, 64, 64], |_, b, _| b),
        ], &lanes, guards, old);
    }

    /// All lanes on one word.
    #[test]
    fn contended_atomics(lanes in lanes(), old in any::<u64>()) {
        check(&[
            warp_op!("red.global.add.u32 [%b1], {0}; bar.warp.sync -1; ld.global.u32 {d}, [%b1];", 32 <- [32, 32],
                |s, _| s.iter().fold(s[0][1], |sum, x| sum + x[0])),
            warp_op!("red.global.max.u64 [%b1], {0}; bar.warp.sync -1; ld.global.u64 {d}, [%b1];", 64 <- [64, 64],
                |s, _| s.iter().fold(s[0][1], |most, x| most.max(x[0]))),
            warp_op!("st.shared.u32 [s], 7; bar.warp.sync -1; atom.shared.add.u32 %x0, [s], {0}; bar.warp.sync -1; \
                      ld.shared.u32 {d}, [s];", 32 <- [32], |s, _| s.iter().fold(7, |sum, x| sum + x[0])),
            warp_op!("st.shared.u32 [s], 7; bar.warp.sync -1; atom.shared.or.b32 %x0, [s], {0}; bar.warp.sync -1; \
                      ld.shared.u32 {d}, [s];", 32 <- [32], |s, _| s.iter().fold(7, |all, x| all | x[0])),
        ], &lanes, u32::MAX, old);
    }
}
