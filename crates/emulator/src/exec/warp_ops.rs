//! Operations in which lanes see each other: shuffles, votes, matches and warp-wide reductions; and registers that
//! change while a kernel runs.

use super::code::{FULL, Flow, Handler, Inst, LANES, NONE};
use super::control::lane_mask;
use super::ops::{Body, Isa, Lane, broadcast, pred, select, set_pred, write_all};
use super::warp::Warp;
use crate::checks::FaultKind;

/// Writes the same value to the slot of all lanes of `m`.
#[inline(always)]
unsafe fn put<T: Lane>(w: &mut Warp, slot: u32, m: u32, value: T) {
    if slot != NONE {
        // SAFETY: the slot holds 32 lanes of this type, as the lowering laid out.
        unsafe { broadcast::<T>(w, slot, m, value) };
    }
}

/// Writes one value a lane.
#[inline(always)]
unsafe fn put_all<T: Lane>(w: &mut Warp, slot: u32, m: u32, values: &[T; LANES]) {
    if slot != NONE {
        // SAFETY: as above.
        unsafe { write_all::<T>(w, slot, m, values) };
    }
}

/// An operation with a meeting point. Where all lanes of the mask are here already it is done at once; all else is left
/// to the warp loop.
struct Meet<B>(std::marker::PhantomData<B>);
impl<B: Body> Body for Meet<B> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        if m == 0 {
            return Flow::Next;
        }
        // SAFETY: the mask is a 32-bit slot; the rest is passed on.
        unsafe {
            let masks = w.regs.add(i.r[5] as usize) as *const u32;
            let member = *masks.add(m.trailing_zeros() as usize);
            if member & w.live != m || m & !member != 0 {
                return Flow::Control;
            }
            let mut odd = [0u32; 8];
            for c in 0..LANES / 8 {
                for k in 0..8 {
                    let l = c * 8 + k;
                    let on = if m & (1 << l) != 0 { u32::MAX } else { 0 };
                    odd[k] |= (*masks.add(l) ^ member) & on;
                }
            }
            if odd != [0; 8] {
                return Flow::Control;
            }
            w.meet(m);
            B::run::<FAST>(w, i, m)
        }
    }
}

/// The handler that tries at once and the one for the meeting point.
type Pair = (Handler, Handler);

fn meet<B: Body>(isa: Isa) -> Pair {
    (select::<Meet<B>>(isa), select::<B>(isa))
}

struct Nothing;
impl Body for Nothing {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(_: &mut Warp, _: &Inst, _: u32) -> Flow {
        Flow::Next
    }
}

/// `bar.warp.sync`.
pub fn meeting(isa: Isa) -> Pair {
    meet::<Nothing>(isa)
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

struct Shfl<const MODE: usize>;
impl<const MODE: usize> Body for Shfl<MODE> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: operands are 32-bit slots.
        unsafe {
            let (a, b, c) = (w.lanes32(i.r[2]), w.lanes32(i.r[3]), w.lanes32(i.r[4]));
            let mut from = [0u32; LANES];
            let mut good = [0u32; LANES];
            for l in 0..LANES {
                let (j, ok) = shuffle_source(MODE as i64, l as u32, b[l], c[l]);
                (from[l], good[l]) = (j, ok as u32);
            }
            if m != FULL && (*w.cx).sync {
                let idle = |l: &usize| (m >> l) & 1 != 0 && (m >> from[*l]) & 1 == 0;
                if let Some(l) = (0..LANES).find(idle) {
                    return w.fault(i, l as u32, FaultKind::InactiveSource, from[l] as u64, 0);
                }
            }
            let ok = (0..LANES).fold(0, |bits, l| bits | good[l] << l);
            let out: [u32; LANES] = std::array::from_fn(|l| a[(from[l] & 31) as usize]);
            put_all::<u32>(w, i.r[0], m, &out);
            set_pred(w, i.r[1], m, ok);
        }
        Flow::Next
    }
}

/// `shfl.sync`: `r[0]|r[1] = r[2] of the lane that r[3], r[4] and the mode choose`; modes are up, down, bfly, idx.
pub fn shfl(isa: Isa, mode: usize) -> Pair {
    match mode {
        0 => meet::<Shfl<0>>(isa),
        1 => meet::<Shfl<1>>(isa),
        2 => meet::<Shfl<2>>(isa),
        _ => meet::<Shfl<3>>(isa),
    }
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
                _ => put::<u32>(w, i.r[0], m, yes),
            }
        }
        Flow::Next
    }
}

/// `vote.sync`; `imm` is 0 for all, 1 for any, 2 for uni, 3 for ballot.
pub fn vote(isa: Isa) -> Pair {
    meet::<Vote>(isa)
}

struct Match<const WIDE: bool>;
impl<const WIDE: bool> Body for Match<WIDE> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: operands are slots of the width that `WIDE` says.
        unsafe {
            let a = if WIDE { w.lanes64(i.r[2]) } else { w.lanes32(i.r[2]).map(u64::from) };
            if i.imm == 0 {
                let equal: [u32; LANES] = std::array::from_fn(|l| lane_mask(|k| a[k] == a[l]) & m);
                put_all::<u32>(w, i.r[0], m, &equal);
            } else {
                let first = a[m.trailing_zeros() as usize];
                let all = lane_mask(|k| a[k] == first) & m == m;
                put::<u32>(w, i.r[0], m, if all { m } else { 0 });
                set_pred(w, i.r[1], m, if all { u32::MAX } else { 0 });
            }
        }
        Flow::Next
    }
}

/// `match.sync`; `imm` is 0 for any and 1 for all.
pub fn match_sync(isa: Isa, wide: bool) -> Pair {
    if wide { meet::<Match<true>>(isa) } else { meet::<Match<false>>(isa) }
}

struct ActiveMask;
impl Body for ActiveMask {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: the destination is a 32-bit slot.
        unsafe { put::<u32>(w, i.r[0], m, m) };
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
            put::<u32>(w, i.r[0], m, all);
        }
        Flow::Next
    }
}

/// `redux.sync` with an associative operation.
pub fn redux<F: Fn(u32, u32) -> u32 + Copy + 'static>(isa: Isa, _f: F) -> Pair {
    meet::<Redux<F>>(isa)
}

struct Clock<const WIDE: bool>;
impl<const WIDE: bool> Body for Clock<WIDE> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: the context outlives the run; the destination has the width that `WIDE` says.
        unsafe {
            let now = (*w.cx).started.elapsed().as_nanos() as u64;
            if WIDE {
                put::<u64>(w, i.r[0], m, now);
            } else {
                put::<u32>(w, i.r[0], m, (now >> i.imm) as u32);
            }
        }
        Flow::Next
    }
}

/// `%clock`, `%clock64` and `%globaltimer`: nanoseconds since the launch began. Of 32 bits are those from `imm` on.
pub fn clock(isa: Isa, wide: bool) -> Handler {
    if wide { select::<Clock<true>>(isa) } else { select::<Clock<false>>(isa) }
}
