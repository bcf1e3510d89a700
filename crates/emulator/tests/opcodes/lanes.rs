//! Operations in which lanes see each other.

use proptest::prelude::*;

use crate::harness::*;
use crate::warp_op;

/// The source lane of a shuffle by the pseudo-code of the PTX ISA, and whether it is in range.
fn source(mode: &str, lane: u64, b: u64, c: u64) -> (u64, bool) {
    let (b, clamp, segment) = (b as i64 & 31, c as i64 & 31, (c as i64 >> 8) & 31);
    let lane = lane as i64;
    let (most, least) = ((lane & segment) | (clamp & !segment), lane & segment);
    let (j, good) = match mode {
        "up" => (lane - b, lane - b >= most),
        "down" => (lane + b, lane + b <= most),
        "bfly" => (lane ^ b, lane ^ b <= most),
        _ => (least | (b & !segment), least | (b & !segment) <= most),
    };
    (if good { j as u64 } else { lane as u64 }, good)
}

fn pick(mode: &str, lanes: &Lanes, l: usize, c: u64) -> u64 {
    let (j, good) = source(mode, l as u64, lanes[l][1], c);
    lanes[j as usize][0] << 1 | good as u64
}

/// A reduction of the first sources.
fn all(lanes: &Lanes, f: impl Fn(u32, u32) -> u32) -> u64 {
    lanes.iter().map(|s| s[0] as u32).reduce(f).expect("32 lanes") as u64
}

proptest! {
    #![proptest_config(config(24))]

    /// The value and the predicate, in one 64-bit word.
    #[test]
    fn shuffles(lanes in lanes(), old in any::<u64>()) {
        check(&[
            warp_op!("shfl.sync.up.b32 %x0|%q0, {0}, {1}, 0, -1; selp.u64 %y0, 1, 0, %q0; cvt.u64.u32 %y1, %x0; \
                      shl.b64 %y1, %y1, 1; or.b64 {d}, %y0, %y1;", 64 <- [32, 32], |s, l| pick("up", s, l, 0)),
            warp_op!("shfl.sync.down.b32 %x0|%q0, {0}, {1}, 31, -1; selp.u64 %y0, 1, 0, %q0; cvt.u64.u32 %y1, %x0; \
                      shl.b64 %y1, %y1, 1; or.b64 {d}, %y0, %y1;", 64 <- [32, 32], |s, l| pick("down", s, l, 31)),
            warp_op!("shfl.sync.bfly.b32 %x0|%q0, {0}, {1}, 31, -1; selp.u64 %y0, 1, 0, %q0; cvt.u64.u32 %y1, %x0; \
                      shl.b64 %y1, %y1, 1; or.b64 {d}, %y0, %y1;", 64 <- [32, 32], |s, l| pick("bfly", s, l, 31)),
            warp_op!("shfl.sync.idx.b32 %x0|%q0, {0}, {1}, 31, -1; selp.u64 %y0, 1, 0, %q0; cvt.u64.u32 %y1, %x0; \
                      shl.b64 %y1, %y1, 1; or.b64 {d}, %y0, %y1;", 64 <- [32, 32], |s, l| pick("idx", s, l, 31)),
            // Segments of eight lanes.
            warp_op!("shfl.sync.up.b32 %x0|%q0, {0}, {1}, 0x1800, -1; selp.u64 %y0, 1, 0, %q0; cvt.u64.u32 %y1, %x0; \
                      shl.b64 %y1, %y1, 1; or.b64 {d}, %y0, %y1;", 64 <- [32, 32], |s, l| pick("up", s, l, 0x1800)),
            warp_op!("shfl.sync.down.b32 %x0|%q0, {0}, {1}, 0x181f, -1; selp.u64 %y0, 1, 0, %q0; cvt.u64.u32 %y1, %x0; \
                      shl.b64 %y1, %y1, 1; or.b64 {d}, %y0, %y1;", 64 <- [32, 32], |s, l| pick("down", s, l, 0x181f)),
            warp_op!("shfl.sync.idx.b32 %x0|%q0, {0}, {1}, 0x181f, -1; selp.u64 %y0, 1, 0, %q0; cvt.u64.u32 %y1, %x0; \
                      shl.b64 %y1, %y1, 1; or.b64 {d}, %y0, %y1;", 64 <- [32, 32], |s, l| pick("idx", s, l, 0x181f)),
        ], &lanes, u32::MAX, old);
    }

    #[test]
    fn votes_and_matches(lanes in lanes(), same in any::<u64>(), mix in any::<u32>(), old in any::<u64>()) {
        // Few different values, so that some match.
        let mut lanes = lanes;
        for (l, s) in lanes.iter_mut().enumerate() {
            if (mix >> l) & 1 != 0 {
                s[0] = same;
            }
        }
        check(&[
            warp_op!("setp.lt.s32 %q0, {0}, 0; vote.sync.ballot.b32 {d}, %q0, -1;", 32 <- [32],
                |s, _| (0..32).fold(0, |m, l| m | ((s[l][0] >> 31) & 1) << l)),
            warp_op!("setp.lt.s32 %q0, {0}, 0; vote.sync.any.pred %q1, %q0, -1; selp.u32 {d}, 1, 0, %q1;", 32 <- [32],
                |s, _| s.iter().any(|s| s[0] >> 31 != 0) as u64),
            warp_op!("setp.lt.s32 %q0, {0}, 0; vote.sync.all.pred %q1, !%q0, -1; selp.u32 {d}, 1, 0, %q1;", 32 <- [32],
                |s, _| s.iter().all(|s| s[0] >> 31 == 0) as u64),
            warp_op!("setp.lt.s32 %q0, {0}, 0; vote.sync.uni.pred %q1, %q0, -1; selp.u32 {d}, 1, 0, %q1;", 32 <- [32],
                |s, _| s.iter().all(|x| x[0] >> 31 == s[0][0] >> 31) as u64),
            warp_op!("match.any.sync.b32 {d}, {0}, -1;", 32 <- [32],
                |s, l| (0..32).fold(0, |m, k| m | ((s[k][0] == s[l][0]) as u64) << k)),
            warp_op!("match.any.sync.b64 {d}, {0}, -1;", 32 <- [64],
                |s, l| (0..32).fold(0, |m, k| m | ((s[k][0] == s[l][0]) as u64) << k)),
            warp_op!("match.all.sync.b32 {d}|%q0, {0}, -1; @!%q0 mov.u32 {d}, 5;", 32 <- [32],
                |s, _| if s.iter().all(|x| x[0] == s[0][0]) { 0xffff_ffff } else { 5 }),
            warp_op!("and.b32 %x0, {0}, 0; match.all.sync.b32 {d}|%q0, %x0, -1;", 32 <- [32], |_, _| 0xffff_ffff),
            warp_op!("activemask.b32 {d};", 32 <- [32], |_, _| 0xffff_ffff),
        ], &lanes, u32::MAX, old);
    }

    #[test]
    fn reductions(lanes in lanes(), old in any::<u64>()) {
        check(&[
            warp_op!("redux.sync.add.u32 {d}, {0}, -1;", 32 <- [32], |s, _| all(s, |a, b| a.wrapping_add(b))),
            warp_op!("redux.sync.min.u32 {d}, {0}, -1;", 32 <- [32], |s, _| all(s, u32::min)),
            warp_op!("redux.sync.max.u32 {d}, {0}, -1;", 32 <- [32], |s, _| all(s, u32::max)),
            warp_op!("redux.sync.min.s32 {d}, {0}, -1;", 32 <- [32], |s, _| all(s, |a, b| (a as i32).min(b as i32) as u32)),
            warp_op!("redux.sync.max.s32 {d}, {0}, -1;", 32 <- [32], |s, _| all(s, |a, b| (a as i32).max(b as i32) as u32)),
            warp_op!("redux.sync.and.b32 {d}, {0}, -1;", 32 <- [32], |s, _| all(s, |a, b| a & b)),
            warp_op!("redux.sync.or.b32 {d}, {0}, -1;", 32 <- [32], |s, _| all(s, |a, b| a | b)),
            warp_op!("redux.sync.xor.b32 {d}, {0}, -1;", 32 <- [32], |s, _| all(s, |a, b| a ^ b)),
        ], &lanes, u32::MAX, old);
    }
}
