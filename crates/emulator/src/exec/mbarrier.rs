//! `mbarrier`: barriers that are objects in shared memory. Their words are opaque to programs; here they hold, from the
//! lowest bit, the arrivals that the phase still waits for, those that each phase waits for, and the phase's number.

use std::mem::MaybeUninit;

use super::address::{ATOMIC, Addresses, Shape, active, expand, resolve};
use super::code::{Flow, Handler, Inst, MemSpace, NONE};
use super::ops::{Body, Isa, select, set_pred};
use super::warp::Warp;
use crate::checks::FaultKind;

/// Arrivals that a barrier can wait for.
const MOST: u64 = (1 << 20) - 1;
const EACH: u32 = 20;
const PHASE: u32 = 40;
/// Set in words that are barriers.
const VALID: u64 = 1 << 63;

/// The word of a fresh barrier; 0, which is none, for a count that is out of range.
pub fn fresh(count: u32) -> u64 {
    let count = count as u64;
    if (1..=MOST).contains(&count) { VALID | count << EACH | count } else { 0 }
}

/// Arrivals that a phase waits for, as its state had it.
pub fn pending(state: u64) -> u32 {
    (state & MOST) as u32
}

/// The phase of a word.
fn phase(word: u64) -> u64 {
    (word & !VALID) >> PHASE
}

/// The word after `count` arrivals, and whether they end the phase; none if they are more than it waits for.
fn arrived(word: u64, count: u64, drop: bool) -> Option<(u64, bool)> {
    let (left, each) = (word & MOST, word >> EACH & MOST);
    if word & VALID == 0 || count == 0 || count > left {
        return None;
    }
    let each = if drop { each.checked_sub(count)? } else { each };
    let ends = count == left;
    let left = if ends { each } else { left - count };
    let phase = (phase(word) + ends as u64) & (VALID - 1) >> PHASE;
    Some((VALID | phase << PHASE | each << EACH | left, ends))
}

/// Runs `one` for each lane's barrier; false from it is a finding.
#[inline(always)]
unsafe fn each<const FAST: bool>(
    w: &mut Warp,
    i: &Inst,
    m: u32,
    mut one: impl FnMut(&mut Warp, usize, *mut u64) -> bool,
) -> Flow {
    let mut a = MaybeUninit::<Addresses>::uninit();
    let a = a.as_mut_ptr() as *mut u64;
    // SAFETY: `resolve` gives host addresses of checked, aligned memory for the lanes of `m`.
    unsafe {
        let access = resolve::<ATOMIC, FAST>(w, i, m, 8, a);
        match access.shape {
            Shape::Empty => return Flow::Next,
            Shape::Fault => return Flow::Fault,
            shape => expand(shape, 8, a),
        }
        for l in active(m) {
            let word = *a.add(l) as *mut u64;
            let good = access.space == MemSpace::Shared && *word & VALID != 0 && one(w, l, word);
            if !good {
                return w.fault(
                    i,
                    l as u32,
                    FaultKind::BadMbarrier,
                    (word as u64).wrapping_sub((*w.cx).shared as u64),
                    8,
                );
            }
        }
    }
    Flow::Next
}

struct Arrive<const DROP: bool>;
impl<const DROP: bool> Body for Arrive<DROP> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: slots come from the lowering, and the context outlives the run.
        unsafe {
            each::<FAST>(w, i, m, |w, l, word| {
                let old = *word;
                let count = if i.r[1] == NONE { 1 } else { *(w.regs.add(i.r[1] as usize) as *const u32).add(l) };
                let Some((new, ends)) = arrived(old, count as u64, DROP) else { return false };
                *word = new;
                if i.r[0] != NONE {
                    *(w.regs.add(i.r[0] as usize) as *mut u64).add(l) = old;
                }
                // What came before the arrivals lies before what comes after the wait for them.
                if ends && let Some(race) = &mut (*w.cx).race {
                    race.barrier();
                }
                true
            })
        }
    }
}

/// `mbarrier.arrive`, or `arrive_drop`: `r[0] = state; [r[4] + imm] arrives r[1] times`, once without `r[1]`.
pub fn arrive(isa: Isa, drop: bool) -> Handler {
    if drop { select::<Arrive<true>>(isa) } else { select::<Arrive<false>>(isa) }
}

struct TestWait<const PARITY: bool>;
impl<const PARITY: bool> Body for TestWait<PARITY> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: slots come from the lowering.
        unsafe {
            let mut done = 0u32;
            let flow = each::<FAST>(w, i, m, |w, l, word| {
                let now = phase(*word);
                let over = if PARITY {
                    now & 1 != *(w.regs.add(i.r[1] as usize) as *const u32).add(l) as u64 & 1
                } else {
                    now != phase(*(w.regs.add(i.r[1] as usize) as *const u64).add(l))
                };
                done |= (over as u32) << l;
                true
            });
            set_pred(w, i.r[0], m, done);
            flow
        }
    }
}

/// `mbarrier.test_wait`: `r[0] = whether the phase of the state r[1], or of the parity r[1], is over`.
pub fn test_wait(isa: Isa, parity: bool) -> Handler {
    if parity { select::<TestWait<true>>(isa) } else { select::<TestWait<false>>(isa) }
}
