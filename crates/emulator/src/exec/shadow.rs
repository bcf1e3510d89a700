//! What the shadows say of an access: whether something wrote what it reads, and whether it races.

use super::address::{ATOMIC, Access, Addresses, LOAD, Shape, active, expand};
use super::code::{FULL, Inst, LANES, MemSpace};
use super::global_race;
use super::race::{Touch, Who};
use super::warp::Warp;
use crate::checks::FaultKind;

/// Whether all bytes of `[p, p + len)` of a shadow are set.
#[inline(always)]
unsafe fn all_set(p: *const u8, len: usize) -> bool {
    // SAFETY: callers checked the range that the shadow mirrors.
    unsafe {
        match len {
            1 => *p == 1,
            2 => (p as *const u16).read_unaligned() == 0x0101,
            4 => (p as *const u32).read_unaligned() == 0x0101_0101,
            8 => (p as *const u64).read_unaligned() == 0x0101_0101_0101_0101,
            16 => (p as *const u128).read_unaligned() == u128::from_ne_bytes([1; 16]),
            _ => {
                // Contiguous accesses have a multiple of 32 bytes.
                let mut all = [1u8; 32];
                for part in 0..len / 32 {
                    for k in 0..32 {
                        all[k] &= *p.add(part * 32 + k);
                    }
                }
                all == [1u8; 32]
            }
        }
    }
}

/// The first lane and byte that reads what nothing wrote, padding aside.
#[cold]
#[inline(never)]
unsafe fn find_unset(m: u32, a: &Addresses, bytes: u32, used: u32, delta: u64) -> Option<(u32, u64)> {
    for l in active(m) {
        for b in (0..bytes).filter(|b| (used >> b) & 1 != 0) {
            let at = a[l] + b as u64;
            // SAFETY: the caller checked the lanes' ranges.
            if unsafe { *(at.wrapping_add(delta) as *const u8) } == 0 {
                return Some((l as u32, at));
            }
        }
    }
    None
}

/// Checks what is read and notes what is written. An atomic reads as well, unless it is an exchange, whose `used` is 0.
///
/// # Safety
/// The addresses were checked and lie in the space that `access` names.
#[inline(always)]
pub(super) unsafe fn initialised<const K: u8>(
    w: &mut Warp,
    ins: &Inst,
    m: u32,
    bytes: u32,
    a: *mut u64,
    access: Access,
) -> bool {
    // SAFETY: shadows mirror their memories byte by byte at a fixed distance.
    unsafe {
        let cx = &mut *w.cx;
        let delta = if access.space == MemSpace::Shared {
            (cx.shared_init as u64).wrapping_sub(cx.shared as u64)
        } else {
            cx.init_delta
        };
        let at = |x: u64| x.wrapping_add(delta) as *mut u8;
        let size = bytes as usize;
        if K == LOAD || K == ATOMIC && ins.used != 0 {
            let good = match access.shape {
                Shape::Contiguous => all_set(at(*a), 32 * size),
                Shape::Uniform => all_set(at(*a), size),
                _ => {
                    // One loop for each size, with nothing else inside.
                    macro_rules! lanes {
                        ($t:ty) => {{
                            let mut odd: $t = 0;
                            macro_rules! one {
                                ($l:expr) => {
                                    odd |= (at(*a.add($l)) as *const $t).read_unaligned() ^ <$t>::from_ne_bytes([1; _])
                                };
                            }
                            if m == FULL {
                                for l in 0..LANES {
                                    one!(l);
                                }
                            } else {
                                for l in active(m) {
                                    one!(l);
                                }
                            }
                            odd == 0
                        }};
                    }
                    match size {
                        1 => lanes!(u8),
                        2 => lanes!(u16),
                        4 => lanes!(u32),
                        8 => lanes!(u64),
                        _ => lanes!(u128),
                    }
                }
            };
            if !good {
                expand(access.shape, bytes, a);
                if let Some((lane, x)) = find_unset(m, &*(a as *const Addresses), bytes, ins.used, delta) {
                    let (kind, x) = match access.space {
                        MemSpace::Shared => (FaultKind::UninitialisedShared, x - cx.shared as u64),
                        _ => (FaultKind::Uninitialised, x),
                    };
                    w.fault(ins, lane, kind, x, bytes);
                    return false;
                }
            }
        }
        if K != LOAD {
            match access.shape {
                Shape::Contiguous => at(*a).write_bytes(1, 32 * size),
                Shape::Uniform => at(*a).write_bytes(1, size),
                _ => {
                    macro_rules! lanes {
                        ($t:ty) => {{
                            let one = |l: usize| {
                                (at(*a.add(l)) as *mut $t).write_unaligned(<$t>::from_ne_bytes([1; _]));
                            };
                            if m == FULL {
                                (0..LANES).for_each(one);
                            } else {
                                active(m).for_each(one);
                            }
                        }};
                    }
                    match size {
                        1 => lanes!(u8),
                        2 => lanes!(u16),
                        4 => lanes!(u32),
                        8 => lanes!(u64),
                        _ => lanes!(u128),
                    }
                }
            }
        }
        true
    }
}

/// Notes reads of shared memory for the race check where that is simple; gives the other lanes, whose addresses are
/// written down then.
///
/// # Safety
/// As [`initialised`].
#[inline(always)]
pub(super) unsafe fn quick_reads(w: &mut Warp, m: u32, bytes: u32, a: *mut u64, shape: Shape) -> u32 {
    // SAFETY: passed on.
    unsafe {
        let cx = &mut *w.cx;
        let base = cx.shared as u64;
        let Some(race) = &mut cx.race else { return 0 };
        let warp = (w.index, &w.meets);
        // One loop for each size.
        match bytes {
            1 => race.quick::<false>(warp, (m, 1, shape), a, base),
            2 => race.quick::<false>(warp, (m, 2, shape), a, base),
            4 => race.quick::<false>(warp, (m, 4, shape), a, base),
            _ => race.quick::<false>(warp, (m, bytes, shape), a, base),
        }
    }
}

/// Notes reads and atomics of shared memory for the race check, lane by lane.
///
/// # Safety
/// As [`initialised`]; the addresses of all lanes are written down.
#[inline(never)]
pub(super) unsafe fn races<const K: u8>(w: &mut Warp, ins: &Inst, m: u32, bytes: u32, a: *const u64) -> bool {
    // SAFETY: passed on.
    unsafe {
        let cx = &mut *w.cx;
        let base = cx.shared as u64;
        let Some(race) = &mut cx.race else { return true };
        let how = if K == LOAD { Touch::Read } else { Touch::Atomic };
        for l in active(m) {
            let who = Who::new(w.index, l as u32, &w.meets);
            let offset = (*a.add(l) - base) as u32;
            if let Some((at, other)) = race.touch(offset, bytes, how, who) {
                w.fault(ins, l as u32, FaultKind::Race, at as u64, other);
                return false;
            }
        }
        true
    }
}

/// The check between blocks for one lane; false after a finding.
///
/// # Safety
/// As for handlers.
pub(super) unsafe fn between_blocks(w: &mut Warp, ins: &Inst, lane: usize, how: Touch, bytes: u32, at: u64) -> bool {
    // SAFETY: the context outlives the run.
    let cx = unsafe { &*w.cx };
    let Some(order) = &cx.order else { return true };
    let access = global_race::Access { pc: cx.pc_of(ins), block: cx.block_index, how, strong: ins.strong, bytes };
    match order.touch(access, at) {
        None => true,
        Some((at, other)) => {
            w.fault(ins, lane as u32, FaultKind::GlobalRace, at, other);
            false
        }
    }
}
