//! Operations in which lanes see each other: shuffles, votes, matches and warp-wide reductions; and registers that
//! change while a kernel runs.

use super::code::{FULL, Flow, Handler, Inst, LANES, NONE};
use super::control::lane_mask;
use super::ops::{Body, Isa, Lane, pred, select, set_pred};
use super::warp::Warp;
use crate::checks::FaultKind;

unsafe fn put<T: Lane>(w: &mut Warp, slot: u32, m: u32, f: impl Fn(usize) -> T) {
    if slot == NONE {
        return;
    }
    // SAFETY: the slot holds 32 lanes of this type, as the lowering laid out.
    unsafe {
        let d = w.regs.add(slot as usize) as *mut T;
        for l in (0..LANES).filter(|l| (m >> l) & 1 != 0) {
            *d.add(l) = f(l);
        }
    }
}

/// The source lane of `shfl.sync` and whether it is in range, as the PTX ISA defines them.
pub fn shuffle_source(mode: i64, lane: u32, b: u32, c: u32) -> (u32, bool) {
    let (b, clamp, segment) = (b & 31, c & 31, (c >> 8) & 31);
    let max = (lane & segment) | (clamp & !segment & 31);
    let min = lane & segment;
    let (j, ok) = match mode {
        0 => (lane.wrapping_sub(b), lane as i32 - b as i32 >= max as i32),
        1 => (lane + b, lane + b <= max),
        2 => (lane ^ b, lane ^ b <= max),
        _ => (min | (b & !segment & 31), (min | (b & !segment & 31)) <= max),
    };
    (if ok { j & 31 } else { lane }, ok)
}

struct Shfl;
impl Body for Shfl {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: operands are 32-bit slots.
        unsafe {
            let (a, b, c) = (w.lanes32(i.r[2]), w.lanes32(i.r[3]), w.lanes32(i.r[4]));
            let mut out = [0u32; LANES];
            let mut ok = 0u32;
            for l in 0..LANES {
                let (j, good) = shuffle_source(i.imm, l as u32, b[l], c[l]);
                out[l] = a[j as usize];
                ok |= (good as u32) << l;
            }
            if m != FULL && (*w.cx).sync {
                let from = |l: u32| shuffle_source(i.imm, l, b[l as usize], c[l as usize]).0;
                if let Some(l) = (0..LANES as u32).find(|l| (m >> l) & 1 != 0 && (m >> from(*l)) & 1 == 0) {
                    return w.fault(i, l, FaultKind::InactiveSource, from(l) as u64, 0);
                }
            }
            put::<u32>(w, i.r[0], m, |l| out[l]);
            set_pred(w, i.r[1], m, ok);
        }
        Flow::Next
    }
}

/// `shfl.sync`: `r[0]|r[1] = r[2] of the lane that r[3], r[4] and the mode in imm choose`.
pub fn shfl(isa: Isa) -> Handler {
    select::<Shfl>(isa)
}

struct Vote;
impl Body for Vote {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: operands are predicate slots, or a 32-bit slot for a ballot.
        unsafe {
            let yes = pred(w, i.r[1]) & m;
            let truth = |b: bool| if b { u32::MAX } else { 0 };
            match i.imm {
                0 => set_pred(w, i.r[0], m, truth(yes == m)),
                1 => set_pred(w, i.r[0], m, truth(yes != 0)),
                2 => set_pred(w, i.r[0], m, truth(yes == m || yes == 0)),
                _ => put::<u32>(w, i.r[0], m, |_| yes),
            }
        }
        Flow::Next
    }
}

/// `vote.sync`; `imm` is 0 for all, 1 for any, 2 for uni, 3 for ballot.
pub fn vote(isa: Isa) -> Handler {
    select::<Vote>(isa)
}

struct Match<const WIDE: bool>;
impl<const WIDE: bool> Body for Match<WIDE> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: operands are slots of the width that `WIDE` says.
        unsafe {
            let a = if WIDE { w.lanes64(i.r[2]) } else { w.lanes32(i.r[2]).map(u64::from) };
            if i.imm == 0 {
                put::<u32>(w, i.r[0], m, |l| lane_mask(|k| a[k] == a[l]) & m);
            } else {
                let first = a[m.trailing_zeros() as usize];
                let all = lane_mask(|k| a[k] == first) & m == m;
                put::<u32>(w, i.r[0], m, |_| if all { m } else { 0 });
                set_pred(w, i.r[1], m, if all { u32::MAX } else { 0 });
            }
        }
        Flow::Next
    }
}

/// `match.sync`; `imm` is 0 for any and 1 for all.
pub fn match_sync(isa: Isa, wide: bool) -> Handler {
    if wide { select::<Match<true>>(isa) } else { select::<Match<false>>(isa) }
}

struct ActiveMask;
impl Body for ActiveMask {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: the destination is a 32-bit slot.
        unsafe { put::<u32>(w, i.r[0], m, |_| m) };
        Flow::Next
    }
}

/// `activemask`.
pub fn active_mask(isa: Isa) -> Handler {
    select::<ActiveMask>(isa)
}

struct Redux<F>(std::marker::PhantomData<F>);
impl<F: Fn(u32, u32) -> u32 + Copy + 'static> Body for Redux<F> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: `redux` took the closure; operands are 32-bit slots.
        unsafe {
            let f = super::ops::conjure::<F>();
            let a = w.lanes32(i.r[2]);
            let lanes = (0..LANES).filter(|l| (m >> l) & 1 != 0).map(|l| a[l]);
            let all = lanes.reduce(f).unwrap_or(0);
            put::<u32>(w, i.r[0], m, |_| all);
        }
        Flow::Next
    }
}

/// `redux.sync` with an associative operation.
pub fn redux<F: Fn(u32, u32) -> u32 + Copy + 'static>(isa: Isa, _f: F) -> Handler {
    select::<Redux<F>>(isa)
}

struct Clock<const WIDE: bool>;
impl<const WIDE: bool> Body for Clock<WIDE> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: the context outlives the run; the destination has the width that `WIDE` says.
        unsafe {
            let now = (*w.cx).started.elapsed().as_nanos() as u64;
            if WIDE {
                put::<u64>(w, i.r[0], m, |_| now);
            } else {
                put::<u32>(w, i.r[0], m, |_| now as u32);
            }
        }
        Flow::Next
    }
}

/// `%clock`, `%clock64` and `%globaltimer`: nanoseconds since the launch began.
pub fn clock(isa: Isa, wide: bool) -> Handler {
    if wide { select::<Clock<true>>(isa) } else { select::<Clock<false>>(isa) }
}
