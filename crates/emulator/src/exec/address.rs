//! Addresses of a warp's access to memory: one survey of the lanes tells their shape and whether all of them lie in a
//! range that is known to be good. Whatever the survey refuses goes lane by lane, which is where faults are found.

use super::code::{Inst, LANES, MemSpace, NONE, TAG_LOCAL, TAG_MASK, TAG_PARAM, TAG_SHARED};
use super::race::Touch;
use super::survey::{Window, refuse};
use super::warp::Warp;
use super::{shadow, survey, tally};
use crate::checks::FaultKind;
use crate::mem::Range;

/// How the addresses of a warp lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A check failed.
    Fault,
    /// No lane takes part.
    Empty,
    /// All lanes, one behind the other; only the first address is written down.
    Contiguous,
    /// The same for all lanes that take part; only the first address is written down.
    Uniform,
    /// Anything else; the addresses of the lanes that take part are written down.
    Scattered,
}

pub(super) const LOAD: u8 = 0;
pub(super) const STORE: u8 = 1;
pub(super) const ATOMIC: u8 = 2;

/// Host addresses of the lanes.
pub(super) type Addresses = [u64; LANES];

/// An access whose addresses are checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access {
    pub shape: Shape,
    /// Where it goes; generic when lanes differ.
    pub space: MemSpace,
}

const EMPTY: Access = Access { shape: Shape::Empty, space: MemSpace::Generic };
const FAULT: Access = Access { shape: Shape::Fault, space: MemSpace::Generic };

/// The lanes of a mask, lowest first.
#[inline(always)]
pub(super) fn active(m: u32) -> impl Iterator<Item = usize> {
    let mut left = m;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let l = left.trailing_zeros() as usize;
        left &= left - 1;
        Some(l)
    })
}

/// Computes the lanes' addresses, checks them and makes them host addresses.
///
/// # Safety
/// As for handlers. The addresses in `a` are written as far as the shape says.
#[inline(always)]
pub(super) unsafe fn resolve<const K: u8, const FAST: bool>(
    w: &mut Warp,
    ins: &Inst,
    m: u32,
    bytes: u32,
    a: *mut u64,
) -> Access {
    // SAFETY: passed on; the fast copy is only chosen where the machine has its features.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if FAST {
            return resolve_avx2::<K>(w, ins, m, bytes, a);
        }
        resolve_base::<K>(w, ins, m, bytes, a)
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt,f16c")]
unsafe fn resolve_avx2<const K: u8>(w: &mut Warp, ins: &Inst, m: u32, bytes: u32, a: *mut u64) -> Access {
    // SAFETY: passed on.
    unsafe { resolve_body::<K, true>(w, ins, m, bytes, a) }
}

#[inline(never)]
unsafe fn resolve_base<const K: u8>(w: &mut Warp, ins: &Inst, m: u32, bytes: u32, a: *mut u64) -> Access {
    // SAFETY: passed on.
    unsafe { resolve_body::<K, false>(w, ins, m, bytes, a) }
}

#[inline(always)]
unsafe fn resolve_body<const K: u8, const FAST: bool>(
    w: &mut Warp,
    ins: &Inst,
    m: u32,
    bytes: u32,
    a: *mut u64,
) -> Access {
    if m == 0 {
        return EMPTY;
    }
    // SAFETY: the address is a slot of the width that `wide` says; the context and the arena outlive the run; `id` is
    // below the program's count of memory instructions.
    unsafe {
        let cx = &mut *w.cx;
        let mut space = ins.space;
        // Atomics want every address.
        let each = K == ATOMIC;
        if space == MemSpace::Generic {
            let one = m.trailing_zeros() as usize;
            let tag = match ins.r[4] {
                NONE => ins.imm as u64,
                slot => (*(w.regs.add(slot as usize) as *const u64).add(one)).wrapping_add(ins.imm as u64),
            };
            // Lanes with another tag are outside of this one's window.
            space = match tag & TAG_MASK {
                0 => MemSpace::Global,
                TAG_SHARED => MemSpace::Shared,
                TAG_LOCAL => MemSpace::Local,
                TAG_PARAM => MemSpace::Param,
                _ => return slow::<K>(w, ins, m, bytes, a),
            };
        }
        let tagged = ins.space == MemSpace::Generic;
        let (lo, len, host) = match space {
            MemSpace::Global | MemSpace::Generic => {
                let range = *cx.ranges.get_unchecked(ins.id as usize);
                if cx.generation != (*cx.arena).generation() {
                    return slow::<K>(w, ins, m, bytes, a);
                }
                (range.lo, range.hi - range.lo, range.lo)
            }
            MemSpace::Shared => (if tagged { TAG_SHARED } else { 0 }, cx.shared_len as u64, cx.shared as u64),
            MemSpace::Local => (if tagged { TAG_LOCAL } else { 0 }, cx.local_len as u64, w.local as u64),
            MemSpace::Param if K != LOAD => return slow::<K>(w, ins, m, bytes, a),
            MemSpace::Param => (if tagged { TAG_PARAM } else { 0 }, cx.param_len as u64, cx.params as u64),
        };
        if len < bytes as u64 {
            return slow::<K>(w, ins, m, bytes, a);
        }
        let win = Window { limit: len - bytes as u64, low: bytes as u64 - 1, host };
        let add = (ins.imm as u64).wrapping_sub(lo);
        let each = each || space == MemSpace::Local;
        let found = if ins.r[4] == NONE {
            let ok = refuse(add, win.limit, win.low) as i64 >= 0;
            if each {
                *(a as *mut Addresses) = [add.wrapping_add(host); LANES];
            } else {
                *a = add.wrapping_add(host);
            }
            ok.then_some(if each { Shape::Scattered } else { Shape::Uniform })
        } else if ins.wide {
            let base = w.regs.add(ins.r[4] as usize) as *const u64;
            if FAST {
                survey::wide_fast(base, add, &win, m, bytes as u64, a, each)
            } else {
                survey::wide(base, add, &win, m, bytes as u64, a, each)
            }
        } else if space != MemSpace::Global {
            let base = w.regs.add(ins.r[4] as usize) as *const u32;
            if FAST {
                survey::narrow_fast(base, ins.imm as u32, &win, m, bytes, a, each)
            } else {
                survey::narrow(base, ins.imm as u32, &win, m, bytes, a, each)
            }
        } else {
            None
        };
        let Some(shape) = found else { return slow::<K>(w, ins, m, bytes, a) };
        if space == MemSpace::Local {
            for l in 0..LANES {
                *a.add(l) = (*a.add(l)).wrapping_add(l as u64 * len);
            }
        }
        let access = Access { shape, space };
        if cx.watched && matches!(space, MemSpace::Global | MemSpace::Shared) && !look::<K>(w, ins, m, bytes, a, access)
        {
            return FAULT;
        }
        access
    }
}

/// Writes down the addresses of all lanes where the survey only wrote the first.
#[inline(always)]
pub(super) unsafe fn expand(shape: Shape, bytes: u32, a: *mut u64) {
    let step = match shape {
        Shape::Contiguous => bytes as u64,
        Shape::Uniform => 0,
        _ => return,
    };
    // SAFETY: `a` has room for all lanes.
    unsafe {
        let first = *a;
        for l in 0..LANES {
            *a.add(l) = first + l as u64 * step;
        }
    }
}

/// Looks at the shadows and counts, as the launch wants.
#[inline(always)]
unsafe fn look<const K: u8>(w: &mut Warp, ins: &Inst, m: u32, bytes: u32, a: *mut u64, access: Access) -> bool {
    // SAFETY: the addresses were checked; contexts outlive the run.
    unsafe {
        let cx = &mut *w.cx;
        if cx.init && !shadow::initialised::<K>(w, ins, m, bytes, a, access) {
            return false;
        }
        if cx.count {
            expand(access.shape, bytes, a);
            tally::count::<K>(cx, m, bytes, &*(a as *const Addresses), access.space == MemSpace::Shared);
            // Plain stores are looked at where their values are known, in `racing_store`.
            if cx.order.is_some() && access.space == MemSpace::Global && (K != STORE || ins.strong) {
                let how = if K == LOAD {
                    Touch::Read
                } else if K == STORE {
                    Touch::Write
                } else {
                    Touch::Atomic
                };
                for l in active(m) {
                    if !shadow::between_blocks(w, ins, l, how, bytes, *a.add(l)) {
                        return false;
                    }
                }
            }
        }
        if access.space != MemSpace::Shared || K == STORE || ins.strong || cx.race.is_none() {
            return true;
        }
        let rest = if K == LOAD {
            shadow::quick_reads(w, m, bytes, a, access.shape)
        } else {
            expand(access.shape, bytes, a);
            m
        };
        rest == 0 || shadow::races::<K>(w, ins, rest, bytes, a)
    }
}

/// Lane by lane: addresses of several allocations or spaces, and faults.
#[cold]
#[inline(never)]
unsafe fn slow<const K: u8>(w: &mut Warp, ins: &Inst, m: u32, bytes: u32, a: *mut u64) -> Access {
    // SAFETY: as in `resolve_body`.
    unsafe {
        let mut raw = [0u64; LANES];
        for l in active(m) {
            raw[l] = if ins.r[4] == NONE {
                ins.imm as u64
            } else if ins.wide {
                (*(w.regs.add(ins.r[4] as usize) as *const u64).add(l)).wrapping_add(ins.imm as u64)
            } else {
                (*(w.regs.add(ins.r[4] as usize) as *const u32).add(l)).wrapping_add(ins.imm as u32) as u64
            };
        }
        if let Some(access) = whole::<K>(w, ins, m, bytes, &raw, a) {
            return access;
        }
        let mut spaces = None;
        let mut mixed = false;
        for l in active(m) {
            if raw[l] & (bytes as u64 - 1) != 0 {
                w.fault(ins, l as u32, FaultKind::Misaligned, raw[l], bytes);
                return FAULT;
            }
            let mut x = raw[l];
            let mut space = ins.space;
            if space == MemSpace::Generic {
                space = match x & TAG_MASK {
                    TAG_SHARED => MemSpace::Shared,
                    TAG_LOCAL => MemSpace::Local,
                    TAG_PARAM => MemSpace::Param,
                    _ => MemSpace::Global,
                };
                if space != MemSpace::Global {
                    x &= !TAG_MASK;
                }
            }
            let Some(host) = place::<K>(w, ins, l, bytes, x, space) else { return FAULT };
            *a.add(l) = host;
            mixed |= *spaces.get_or_insert(space) != space;
        }
        let space = if mixed { MemSpace::Generic } else { spaces.unwrap_or(MemSpace::Generic) };
        let cx = &mut *w.cx;
        let access = Access { shape: Shape::Scattered, space };
        if !cx.watched {
            return access;
        }
        // The shadows are looked at for the lanes of each space by themselves.
        let (base, len) = (cx.shared as u64, cx.shared_len as u64);
        let (first, last) = (cx.arena_range.lo, cx.arena_range.hi);
        let pick = |f: &dyn Fn(u64) -> bool| active(m).filter(|l| f(*a.add(*l))).fold(0, |m, l| m | 1 << l);
        let shared = pick(&|x| x.wrapping_sub(base) < len);
        let global = pick(&|x| x >= first && x < last);
        for (part, space) in [(shared, MemSpace::Shared), (global, MemSpace::Global)] {
            if part != 0 && !look::<K>(w, ins, part, bytes, a, Access { shape: Shape::Scattered, space }) {
                return FAULT;
            }
        }
        access
    }
}

/// All lanes in one allocation that the instruction did not use before: it is remembered.
unsafe fn whole<const K: u8>(
    w: &mut Warp,
    ins: &Inst,
    m: u32,
    bytes: u32,
    raw: &Addresses,
    a: *mut u64,
) -> Option<Access> {
    if !matches!(ins.space, MemSpace::Global | MemSpace::Generic) {
        return None;
    }
    let (mut lo, mut hi, mut bits) = (u64::MAX, 0, 0);
    for l in active(m) {
        (lo, hi, bits) = (lo.min(raw[l]), hi.max(raw[l]), bits | raw[l]);
    }
    if bits & (bytes as u64 - 1) != 0 || (lo | hi) & TAG_MASK != 0 {
        return None;
    }
    // SAFETY: as in `resolve_body`.
    unsafe {
        let cx = &mut *w.cx;
        let generation = (*cx.arena).generation();
        if cx.generation != generation {
            cx.generation = generation;
            cx.ranges.fill(Range::default());
        }
        let alloc = (*cx.arena).find(lo, hi - lo + bytes as u64)?;
        cx.ranges[ins.id as usize] = Range { lo: alloc.start, hi: alloc.start + alloc.len };
        *(a as *mut Addresses) = *raw;
        let access = Access { shape: Shape::Scattered, space: MemSpace::Global };
        Some(if cx.watched && !look::<K>(w, ins, m, bytes, a, access) { FAULT } else { access })
    }
}

/// The host address of one lane's access, or the fault.
unsafe fn place<const K: u8>(
    w: &mut Warp,
    ins: &Inst,
    lane: usize,
    bytes: u32,
    x: u64,
    space: MemSpace,
) -> Option<u64> {
    // SAFETY: the context and the arena outlive the run.
    unsafe {
        let cx = &mut *w.cx;
        let window = |len: u64| x <= len && bytes as u64 <= len - x;
        let (good, host, kind) = match space {
            MemSpace::Global | MemSpace::Generic => {
                let kind = match K {
                    LOAD => FaultKind::Load,
                    STORE => FaultKind::Store,
                    _ => FaultKind::Atomic,
                };
                ((*cx.arena).find(x, bytes as u64).is_some(), x, kind)
            }
            MemSpace::Shared => {
                (window(cx.shared_len as u64), x.wrapping_add(cx.shared as u64), FaultKind::SharedBounds)
            }
            MemSpace::Local => {
                let len = cx.local_len as u64;
                (window(len), x.wrapping_add(w.local as u64 + lane as u64 * len), FaultKind::LocalBounds)
            }
            MemSpace::Param => {
                let kind = if K == LOAD { FaultKind::ParamBounds } else { FaultKind::ReadOnly };
                (K == LOAD && window(cx.param_len as u64), x.wrapping_add(cx.params as u64), kind)
            }
        };
        if !good {
            w.fault(ins, lane as u32, kind, x, bytes);
            return None;
        }
        Some(host)
    }
}
