//! Loads, stores and atomics. One routine turns the lanes' addresses into host addresses and applies the checks;
//! typed handlers then move the data, with short ways for addresses that are contiguous or all the same.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use super::block::Cx;
use super::code::{FULL, Flow, Handler, Inst, LANES, MemSpace, NONE, TAG_LOCAL, TAG_MASK, TAG_PARAM, TAG_SHARED};
use super::global_race::Access;
use super::ops::{Body, Isa, Lane, select};
use super::race::{Touch, Who};
use super::warp::Warp;
use crate::checks::FaultKind;
use crate::mem::Range;

/// How the addresses of a warp lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A check failed.
    Fault,
    /// No lane takes part.
    Empty,
    /// All lanes, one behind the other.
    Contiguous,
    /// Anything else.
    Scattered,
}

/// What an access does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Load,
    Store,
    Atomic,
}

const LOAD: u8 = 0;
const STORE: u8 = 1;
const ATOMIC: u8 = 2;

const fn kind(k: u8) -> Kind {
    match k {
        LOAD => Kind::Load,
        STORE => Kind::Store,
        _ => Kind::Atomic,
    }
}

type Addresses = [u64; LANES];

#[inline(always)]
fn active(m: u32) -> impl Iterator<Item = usize> {
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
#[inline(always)]
unsafe fn resolve<const K: u8, const FAST: bool>(
    w: &mut Warp,
    ins: &Inst,
    m: u32,
    bytes: u32,
    a: &mut Addresses,
) -> Shape {
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
unsafe fn resolve_avx2<const K: u8>(w: &mut Warp, ins: &Inst, m: u32, bytes: u32, a: &mut Addresses) -> Shape {
    // SAFETY: passed on.
    unsafe { resolve_body::<K>(w, ins, m, bytes, a) }
}

#[inline(never)]
unsafe fn resolve_base<const K: u8>(w: &mut Warp, ins: &Inst, m: u32, bytes: u32, a: &mut Addresses) -> Shape {
    // SAFETY: passed on.
    unsafe { resolve_body::<K>(w, ins, m, bytes, a) }
}

#[inline(always)]
unsafe fn resolve_body<const K: u8>(w: &mut Warp, ins: &Inst, m: u32, bytes: u32, a: &mut Addresses) -> Shape {
    if m == 0 {
        return Shape::Empty;
    }
    // SAFETY: the address is a slot of the width that `wide` says.
    unsafe {
        if ins.r[4] == NONE {
            *a = [ins.imm as u64; LANES];
        } else if ins.wide {
            let base = w.lanes64(ins.r[4]);
            for l in 0..LANES {
                a[l] = base[l].wrapping_add(ins.imm as u64);
            }
        } else {
            let base = w.lanes32(ins.r[4]);
            for l in 0..LANES {
                a[l] = base[l].wrapping_add(ins.imm as u32) as u64;
            }
        }
    }
    let mut contiguous = false;
    let (mut lo, mut hi);
    let mut low_bits;
    let first = a[0];
    if m == FULL && {
        let mut odd = 0u64;
        for (l, x) in a.iter().enumerate() {
            odd |= x ^ first.wrapping_add(l as u64 * bytes as u64);
        }
        odd == 0
    } {
        contiguous = true;
        lo = first;
        hi = first.wrapping_add(31 * bytes as u64);
        low_bits = first;
    } else {
        (lo, hi, low_bits) = (u64::MAX, 0, 0);
        for l in 0..LANES {
            let on = (m >> l) & 1 != 0;
            let x = a[l];
            lo = if on && x < lo { x } else { lo };
            hi = if on && x > hi { x } else { hi };
            low_bits |= if on { x } else { 0 };
        }
    }
    if low_bits & (bytes as u64 - 1) != 0 {
        let lane = active(m).find(|l| a[*l] & (bytes as u64 - 1) != 0).unwrap_or(0);
        w.fault(ins, lane as u32, FaultKind::Misaligned, a[lane], bytes);
        return Shape::Fault;
    }
    let mut space = ins.space;
    if space == MemSpace::Generic {
        space = match (lo & TAG_MASK, hi & TAG_MASK) {
            (0, 0) => MemSpace::Global,
            (l, h) if l == h => {
                (lo, hi) = (lo & !TAG_MASK, hi & !TAG_MASK);
                for x in a.iter_mut() {
                    *x &= !TAG_MASK;
                }
                match l {
                    TAG_SHARED => MemSpace::Shared,
                    TAG_LOCAL => MemSpace::Local,
                    TAG_PARAM => MemSpace::Param,
                    _ => MemSpace::Global,
                }
            }
            // SAFETY: passed on.
            _ => return unsafe { mixed::<K>(w, ins, m, bytes, a) },
        };
    }
    // SAFETY: passed on; the context outlives the run.
    let ok = unsafe {
        match space {
            MemSpace::Global | MemSpace::Generic => global::<K>(w, ins, m, bytes, a, lo, hi, contiguous),
            MemSpace::Shared => shared::<K>(w, ins, m, bytes, a, hi, contiguous),
            MemSpace::Local => {
                contiguous = false;
                local(w, ins, m, bytes, a, hi)
            }
            MemSpace::Param => {
                contiguous = false;
                param::<K>(w, ins, m, bytes, a, hi)
            }
        }
    };
    match (ok, contiguous) {
        (false, _) => Shape::Fault,
        (true, true) => Shape::Contiguous,
        (true, false) => Shape::Scattered,
    }
}

/// Lanes with generic addresses of different spaces: each space by itself.
#[cold]
#[inline(never)]
unsafe fn mixed<const K: u8>(w: &mut Warp, ins: &Inst, m: u32, bytes: u32, a: &mut Addresses) -> Shape {
    let mut left = m;
    while left != 0 {
        let tag = a[left.trailing_zeros() as usize] & TAG_MASK;
        let same = left & super::control::lane_mask(|l| a[l] & TAG_MASK == tag);
        left &= !same;
        let mut part = a.map(|x| x & !TAG_MASK);
        let hi = active(same).map(|l| part[l]).max().unwrap_or(0);
        let lo = active(same).map(|l| part[l]).min().unwrap_or(0);
        // SAFETY: passed on.
        let ok = unsafe {
            match tag {
                TAG_SHARED => shared::<K>(w, ins, same, bytes, &mut part, hi, false),
                TAG_LOCAL => local(w, ins, same, bytes, &mut part, hi),
                TAG_PARAM => param::<K>(w, ins, same, bytes, &mut part, hi),
                _ => global::<K>(w, ins, same, bytes, &part, lo, hi, false),
            }
        };
        if !ok {
            return Shape::Fault;
        }
        for l in active(same) {
            a[l] = part[l];
        }
    }
    Shape::Scattered
}

/// Whether all bytes of `[p, p + len)` of a shadow are set, those outside of `used` aside.
#[inline(always)]
unsafe fn all_set(p: *const u8, len: usize) -> bool {
    // SAFETY: callers checked the range that the shadow mirrors.
    unsafe {
        match len {
            1 => *p != 0,
            2 => (p as *const u16).read_unaligned() == 0x0101,
            4 => (p as *const u32).read_unaligned() == 0x0101_0101,
            8 => (p as *const u64).read_unaligned() == 0x0101_0101_0101_0101,
            _ => {
                let mut all = 1u8;
                for i in 0..len {
                    all &= *p.add(i);
                }
                all == 1
            }
        }
    }
}

/// The first lane and byte that reads what nothing wrote.
#[cold]
#[inline(never)]
unsafe fn find_unset(
    m: u32,
    a: &Addresses,
    bytes: u32,
    used: u32,
    shadow: impl Fn(u64) -> *const u8,
) -> Option<(u32, u64)> {
    for l in active(m) {
        for b in (0..bytes).filter(|b| (used >> b) & 1 != 0) {
            // SAFETY: the caller checked the lanes' ranges.
            if unsafe { *shadow(a[l] + b as u64) } == 0 {
                return Some((l as u32, a[l] + b as u64));
            }
        }
    }
    None
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn global<const K: u8>(
    w: &mut Warp,
    ins: &Inst,
    m: u32,
    bytes: u32,
    a: &Addresses,
    lo: u64,
    hi: u64,
    contiguous: bool,
) -> bool {
    // SAFETY: the context and the arena outlive the run; `id` is below the program's count of memory instructions.
    unsafe {
        let cx = &mut *w.cx;
        let arena = &*cx.arena;
        let range = *cx.ranges.get_unchecked(ins.id as usize);
        let end = hi.wrapping_add(bytes as u64);
        let known = lo >= range.lo && end <= range.hi && end > lo && cx.generation == arena.generation();
        if !known && !global_slow::<K>(w, ins, m, bytes, a, lo, hi) {
            return false;
        }
        let cx = &mut *w.cx;
        if cx.init {
            let delta = (arena.shadow(cx.arena_range.lo) as u64).wrapping_sub(cx.arena_range.lo);
            let shadow = |x: u64| x.wrapping_add(delta) as *mut u8;
            if K == STORE || K == ATOMIC {
                if contiguous {
                    shadow(lo).write_bytes(1, 32 * bytes as usize);
                } else {
                    for l in active(m) {
                        shadow(a[l]).write_bytes(1, bytes as usize);
                    }
                }
            }
            // Atomics define as they go; their first read is looked at before, in `global_atomic_init`.
            if K == LOAD {
                let good = if contiguous {
                    all_set(shadow(lo), 32 * bytes as usize)
                } else {
                    let mut good = true;
                    for l in active(m) {
                        good &= all_set(shadow(a[l]), bytes as usize);
                    }
                    good
                };
                if !good && let Some((lane, at)) = find_unset(m, a, bytes, ins.used, |x| shadow(x)) {
                    w.fault(ins, lane, FaultKind::Uninitialised, at, bytes);
                    return false;
                }
            }
        }
        if cx.count && !watch_global::<K>(w, ins, m, bytes, a) {
            return false;
        }
        true
    }
}

/// What only some runs want of an access to device memory: counters, and the checks between blocks.
#[cold]
#[inline(never)]
unsafe fn watch_global<const K: u8>(w: &mut Warp, ins: &Inst, m: u32, bytes: u32, a: &Addresses) -> bool {
    // SAFETY: as in `global`.
    unsafe {
        let cx = &mut *w.cx;
        count_global::<K>(cx, m, bytes, a);
        let how = match kind(K) {
            Kind::Load => Touch::Read,
            Kind::Store => Touch::Write,
            Kind::Atomic => Touch::Atomic,
        };
        // Plain stores are looked at where their values are known, in `racing_store`.
        if cx.order.is_some() && (K != STORE || ins.strong) {
            for l in active(m) {
                if !between_blocks(w, ins, l, how, bytes, a[l]) {
                    return false;
                }
            }
        }
        true
    }
}

/// The check between blocks for one lane; false after a finding.
unsafe fn between_blocks(w: &mut Warp, ins: &Inst, lane: usize, how: Touch, bytes: u32, at: u64) -> bool {
    // SAFETY: the context outlives the run.
    let cx = unsafe { &*w.cx };
    let Some(order) = &cx.order else { return true };
    let access = Access { pc: cx.pc_of(ins), block: cx.block_index, how, strong: ins.strong, bytes };
    match order.touch(access, at) {
        None => true,
        Some((at, other)) => {
            w.fault(ins, lane as u32, FaultKind::GlobalRace, at, other);
            false
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn global_slow<const K: u8>(
    w: &mut Warp,
    ins: &Inst,
    m: u32,
    bytes: u32,
    a: &Addresses,
    lo: u64,
    hi: u64,
) -> bool {
    // SAFETY: as in `global`.
    let (cx, arena) = unsafe { (&mut *w.cx, &*(*w.cx).arena) };
    let generation = arena.generation();
    if cx.generation != generation {
        cx.generation = generation;
        cx.ranges.fill(Range::default());
    }
    let whole = (hi - lo).checked_add(bytes as u64).and_then(|len| arena.find(lo, len));
    if let Some(alloc) = whole {
        cx.ranges[ins.id as usize] = Range { lo: alloc.start, hi: alloc.start + alloc.len };
        return true;
    }
    for l in active(m) {
        if arena.find(a[l], bytes as u64).is_none() {
            let what = match kind(K) {
                Kind::Load => FaultKind::Load,
                Kind::Store => FaultKind::Store,
                Kind::Atomic => FaultKind::Atomic,
            };
            w.fault(ins, l as u32, what, a[l], bytes);
            return false;
        }
    }
    true
}

/// Counts bytes and 32-byte sectors of an access to device memory.
#[cold]
#[inline(never)]
unsafe fn count_global<const K: u8>(cx: &mut Cx, m: u32, bytes: u32, a: &Addresses) {
    let mut sectors = [0u64; 4 * LANES];
    let mut n = 0;
    for l in active(m) {
        let (first, last) = (a[l] / 32, (a[l] + bytes as u64 - 1) / 32);
        for s in first..=last {
            sectors[n] = s;
            n += 1;
        }
    }
    sectors[..n].sort_unstable();
    let mut distinct = 0;
    let mut last = u64::MAX;
    for &s in &sectors[..n] {
        if s != last {
            distinct += 1;
            last = s;
            if let Some(maps) = cx.sectors {
                let bit = s - cx.arena_range.lo / 32;
                for (which, map) in maps.iter().enumerate() {
                    if which == (K != LOAD) as usize || K == ATOMIC {
                        // SAFETY: the maps have a bit for each sector of the arena, which the address is in.
                        let word = unsafe { &*(map.add((bit / 8) as usize) as *const std::sync::atomic::AtomicU8) };
                        word.fetch_or(1 << (bit % 8), Ordering::Relaxed);
                    }
                }
            }
        }
    }
    let total = m.count_ones() as u64 * bytes as u64;
    let c = &mut cx.counters;
    if K == LOAD {
        c.bytes_loaded += total;
        c.sectors_loaded += distinct;
    } else {
        c.bytes_stored += total;
        c.sectors_stored += distinct;
    }
    if K == ATOMIC {
        c.atomics += m.count_ones() as u64;
    }
}

#[inline(always)]
unsafe fn shared<const K: u8>(
    w: &mut Warp,
    ins: &Inst,
    m: u32,
    bytes: u32,
    a: &mut Addresses,
    hi: u64,
    contiguous: bool,
) -> bool {
    // SAFETY: the context outlives the run.
    unsafe {
        let cx = &mut *w.cx;
        let len = cx.shared_len as u64;
        if hi > len || hi + bytes as u64 > len {
            let lane = active(m).find(|l| a[*l] > len || a[*l] + bytes as u64 > len).unwrap_or(0);
            w.fault(ins, lane as u32, FaultKind::SharedBounds, a[lane], bytes);
            return false;
        }
        if (cx.init || cx.count || cx.race.is_some()) && !shared_checks::<K>(w, ins, m, bytes, a, contiguous) {
            return false;
        }
        let base = (*w.cx).shared as u64;
        for x in a.iter_mut() {
            *x = x.wrapping_add(base);
        }
        true
    }
}

#[inline(never)]
unsafe fn shared_checks<const K: u8>(
    w: &mut Warp,
    ins: &Inst,
    m: u32,
    bytes: u32,
    a: &Addresses,
    contiguous: bool,
) -> bool {
    // SAFETY: as in `shared`; offsets are below the length of shared memory and its shadow.
    unsafe {
        let cx = &mut *w.cx;
        if cx.init {
            let shadow = |x: u64| cx.shared_init.add(x as usize);
            if K == LOAD {
                let good = if contiguous {
                    all_set(shadow(a[0]), 32 * bytes as usize)
                } else {
                    active(m).fold(true, |good, l| good & all_set(shadow(a[l]), bytes as usize))
                };
                if !good && let Some((lane, at)) = find_unset(m, a, bytes, ins.used, |x| shadow(x)) {
                    w.fault(ins, lane, FaultKind::UninitialisedShared, at, bytes);
                    return false;
                }
            } else if contiguous {
                shadow(a[0]).write_bytes(1, 32 * bytes as usize);
            } else {
                for l in active(m) {
                    shadow(a[l]).write_bytes(1, bytes as usize);
                }
            }
        }
        if cx.count {
            count_shared::<K>(cx, m, bytes, a);
        }
        if K != STORE
            && !ins.strong
            && let Some(race) = &mut cx.race
        {
            // Stores are looked at where their values are known, in `racing_store`.
            let how = if K == LOAD { Touch::Read } else { Touch::Atomic };
            for l in active(m) {
                let who = Who::new(w.index, l as u32, &w.meets);
                if let Some((at, other)) = race.touch(a[l] as u32, bytes, how, who) {
                    w.fault(ins, l as u32, FaultKind::Race, at as u64, other);
                    return false;
                }
            }
        }
        true
    }
}

/// Counts the turns that 32 banks of four bytes need for an access; 8 and 16 byte accesses go by half and quarter
/// warps.
#[cold]
#[inline(never)]
fn count_shared<const K: u8>(cx: &mut Cx, m: u32, bytes: u32, a: &Addresses) {
    cx.counters.shared_accesses += 1;
    if K == ATOMIC {
        cx.counters.shared_atomics += m.count_ones() as u64;
    }
    let parts = (bytes / 4).clamp(1, 4) as usize;
    let per = LANES / parts;
    for part in 0..parts {
        let mut words: [Vec<u64>; 32] = Default::default();
        for l in active(m).filter(|l| l / per == part) {
            for word in a[l] / 4..=(a[l] + bytes as u64 - 1) / 4 {
                let bank = &mut words[(word % 32) as usize];
                if !bank.contains(&word) {
                    bank.push(word);
                }
            }
        }
        let turns = words.iter().map(Vec::len).max().unwrap_or(0);
        cx.counters.bank_conflicts += turns.saturating_sub(1) as u64;
    }
}

#[inline(never)]
unsafe fn local(w: &mut Warp, ins: &Inst, m: u32, bytes: u32, a: &mut Addresses, hi: u64) -> bool {
    // SAFETY: the context outlives the run.
    let len = unsafe { (*w.cx).local_len } as u64;
    if hi > len || hi + bytes as u64 > len {
        let lane = active(m).find(|l| a[*l] > len || a[*l] + bytes as u64 > len).unwrap_or(0);
        w.fault(ins, lane as u32, FaultKind::LocalBounds, a[lane], bytes);
        return false;
    }
    for (l, x) in a.iter_mut().enumerate() {
        *x = x.wrapping_add(w.local as u64 + l as u64 * len);
    }
    true
}

#[inline(never)]
unsafe fn param<const K: u8>(w: &mut Warp, ins: &Inst, m: u32, bytes: u32, a: &mut Addresses, hi: u64) -> bool {
    // SAFETY: the context outlives the run.
    let (base, len) = unsafe { ((*w.cx).params as u64, (*w.cx).param_len as u64) };
    let lane = active(m).find(|l| a[*l] > len || a[*l] + bytes as u64 > len);
    if K != LOAD || hi > len || lane.is_some() {
        let lane = lane.unwrap_or(m.trailing_zeros() as usize);
        let what = if K == LOAD { FaultKind::ParamBounds } else { FaultKind::ReadOnly };
        w.fault(ins, lane as u32, what, a[lane], bytes);
        return false;
    }
    for x in a.iter_mut() {
        *x = x.wrapping_add(base);
    }
    true
}

/// A value in memory that widens to a register.
pub trait Widen<D>: Lane {
    /// Zero- or sign-extends.
    fn widen(self) -> D;
}
macro_rules! widen {
    ($($m:ty => $($d:ty)*;)*) => { $($(impl Widen<$d> for $m {
        #[inline(always)]
        fn widen(self) -> $d { self as $d }
    })*)* };
}
widen! {
    u8 => u16 u32 u64; i8 => u16 u32 u64; u16 => u16 u32 u64; i16 => u32 u64; u32 => u32 u64; i32 => u64; u64 => u64;
}

struct Load<M, D, const V: usize>(std::marker::PhantomData<(M, D)>);
impl<M: Widen<D>, D: Lane, const V: usize> Body for Load<M, D, V> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        let mut a = [0u64; LANES];
        // SAFETY: `resolve` gives host addresses of checked, aligned memory for the lanes of `m`.
        unsafe {
            match resolve::<LOAD, FAST>(w, i, m, (size_of::<M>() * V) as u32, &mut a) {
                Shape::Empty => {}
                Shape::Fault => return Flow::Fault,
                Shape::Contiguous => {
                    let p = a[0] as *const M;
                    for v in 0..V {
                        if i.r[v] != NONE {
                            let d = w.regs.add(i.r[v] as usize) as *mut D;
                            for l in 0..LANES {
                                *d.add(l) = (*p.add(l * V + v)).widen();
                            }
                        }
                    }
                }
                Shape::Scattered => {
                    for v in 0..V {
                        if i.r[v] != NONE {
                            let d = w.regs.add(i.r[v] as usize) as *mut D;
                            for l in active(m) {
                                *d.add(l) = (a[l] as *const M).add(v).read_volatile().widen();
                            }
                        }
                    }
                }
            }
            if i.strong {
                fence(Ordering::SeqCst);
            }
        }
        Flow::Next
    }
}

/// A load of `V` values: `r[0..V] = [r[4] + imm]`.
pub fn load<M: Widen<D>, D: Lane, const V: usize>(isa: Isa) -> Handler {
    select::<Load<M, D, V>>(isa)
}

/// A register value that narrows to memory.
pub trait Narrow<M>: Lane {
    /// Drops the high bits.
    fn narrow(self) -> M;
}
macro_rules! narrow {
    ($($s:ty => $($m:ty)*;)*) => { $($(impl Narrow<$m> for $s {
        #[inline(always)]
        fn narrow(self) -> $m { self as $m }
    })*)* };
}
narrow! { u16 => u8 u16; u32 => u8 u16 u32; u64 => u8 u16 u32 u64; }

struct Store<S, M, const V: usize>(std::marker::PhantomData<(S, M)>);
impl<S: Narrow<M>, M: Lane + PartialEq, const V: usize> Body for Store<S, M, V> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        let mut a = [0u64; LANES];
        // SAFETY: as in `Load`.
        unsafe {
            if i.strong {
                fence(Ordering::SeqCst);
            }
            match resolve::<STORE, FAST>(w, i, m, (size_of::<M>() * V) as u32, &mut a) {
                Shape::Empty => {}
                Shape::Fault => return Flow::Fault,
                _ if !i.strong && (*w.cx).stores_watched => return racing_store::<S, M, V>(w, i, m, &a),
                Shape::Contiguous => {
                    let p = a[0] as *mut M;
                    for v in 0..V {
                        let s = w.regs.add(i.r[v] as usize) as *const S;
                        for l in 0..LANES {
                            *p.add(l * V + v) = (*s.add(l)).narrow();
                        }
                    }
                }
                Shape::Scattered => {
                    for v in 0..V {
                        let s = w.regs.add(i.r[v] as usize) as *const S;
                        for l in active(m) {
                            (a[l] as *mut M).add(v).write_volatile((*s.add(l)).narrow());
                        }
                    }
                }
            }
            if i.strong {
                fence(Ordering::SeqCst);
            }
        }
        Flow::Next
    }
}

/// A store under the race check: lane by lane, since a value that is there already races with no other store of it.
#[inline(never)]
unsafe fn racing_store<S: Narrow<M>, M: Lane + PartialEq, const V: usize>(
    w: &mut Warp,
    i: &Inst,
    m: u32,
    a: &Addresses,
) -> Flow {
    // SAFETY: `resolve` gave checked host addresses for the lanes of `m`; registers are laid out for the program.
    unsafe {
        let cx = &mut *w.cx;
        let regs = w.regs;
        let (base, len) = (cx.shared as u64, cx.shared_len as u64);
        for l in active(m) {
            let to = a[l] as *mut M;
            let value = |v: usize| (*(regs.add(i.r[v] as usize) as *const S).add(l)).narrow();
            let offset = a[l].wrapping_sub(base);
            let same = (0..V).all(|v| to.add(v).read_volatile() == value(v));
            let how = if same { Touch::SameValue } else { Touch::Write };
            if cx.arena_range.lo <= a[l] && a[l] < cx.arena_range.hi {
                if !between_blocks(w, i, l, how, (size_of::<M>() * V) as u32, a[l]) {
                    return Flow::Fault;
                }
            } else if offset < len
                && let Some(race) = &mut cx.race
            {
                let who = Who::new(w.index, l as u32, &w.meets);
                if let Some((at, other)) = race.touch(offset as u32, (size_of::<M>() * V) as u32, how, who) {
                    return w.fault(i, l as u32, FaultKind::Race, at as u64, other);
                }
            }
            for v in 0..V {
                to.add(v).write_volatile(value(v));
            }
        }
    }
    Flow::Next
}

/// A store of `V` values: `[r[4] + imm] = r[0..V]`.
pub fn store<S: Narrow<M>, M: Lane + PartialEq, const V: usize>(isa: Isa) -> Handler {
    select::<Store<S, M, V>>(isa)
}

/// A type that atomics work on, as its bits.
pub trait Bits: Lane {
    /// Replaces the value at `p` by `f(old)` in one step and gives the old one.
    ///
    /// # Safety
    /// `p` must be aligned and valid for reads and writes.
    unsafe fn update(p: u64, f: impl Fn(Self) -> Self) -> Self;
}
macro_rules! bits {
    ($($t:ty, $a:ty;)*) => { $(impl Bits for $t {
        #[inline(always)]
        unsafe fn update(p: u64, f: impl Fn(Self) -> Self) -> Self {
            // SAFETY: passed on from the caller.
            let cell = unsafe { &*(p as *const $a) };
            let mut old = cell.load(Ordering::SeqCst);
            loop {
                match cell.compare_exchange_weak(old, f(old), Ordering::SeqCst, Ordering::SeqCst) {
                    Ok(v) => return v,
                    Err(v) => old = v,
                }
            }
        }
    })* };
}
bits! { u16, AtomicU16; u32, AtomicU32; u64, AtomicU64; }

struct Atomic<T, F>(std::marker::PhantomData<(T, F)>);
impl<T: Bits, F: Fn(T, T, T) -> T + Copy + 'static> Body for Atomic<T, F> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        let mut a = [0u64; LANES];
        // SAFETY: `atomic` took the closure; the rest as in `Load`.
        unsafe {
            let f = super::ops::conjure::<F>();
            if m != 0 && (*w.cx).init && !defined(w, i, m, size_of::<T>() as u32) {
                return Flow::Fault;
            }
            match resolve::<ATOMIC, FAST>(w, i, m, size_of::<T>() as u32, &mut a) {
                Shape::Empty => {}
                Shape::Fault => return Flow::Fault,
                _ => {
                    let (b, c) = (w.regs.add(i.r[1] as usize) as *const T, w.regs.add(i.r[2] as usize) as *const T);
                    for l in active(m) {
                        let (x, y) = (*b.add(l), *c.add(l));
                        let old = T::update(a[l], |v| f(v, x, y));
                        if i.r[0] != NONE {
                            *(w.regs.add(i.r[0] as usize) as *mut T).add(l) = old;
                        }
                    }
                }
            }
        }
        Flow::Next
    }
}

/// Whether the words of an atomic hold something; an exchange does not care, which `used == 0` says.
#[inline(never)]
unsafe fn defined(w: &mut Warp, i: &Inst, m: u32, bytes: u32) -> bool {
    if i.used == 0 {
        return true;
    }
    // SAFETY: `resolve` checks before it looks at the shadow; counting and marking wait for the access itself.
    unsafe {
        let mut a = [0u64; LANES];
        let cx = &mut *w.cx;
        // Counting covers the checks between blocks.
        let (count, race) = (std::mem::take(&mut cx.count), cx.race.take());
        let shape = resolve::<LOAD, false>(w, i, m, bytes, &mut a);
        let cx = &mut *w.cx;
        (cx.count, cx.race) = (count, race);
        shape != Shape::Fault
    }
}

/// An atomic: `r[0] = [r[4] + imm]; [..] = f(old, r[1], r[2])`.
pub fn atomic<T: Bits, F: Fn(T, T, T) -> T + Copy + 'static>(isa: Isa, _f: F) -> Handler {
    select::<Atomic<T, F>>(isa)
}

struct Fence;
impl Body for Fence {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        fence(Ordering::SeqCst);
        // SAFETY: the context outlives the run.
        let cx = unsafe { &*w.cx };
        if let Some(order) = &cx.order
            && m != 0
        {
            order.fence(cx.pc_of(i), cx.block_index);
        }
        Flow::Next
    }
}

/// `membar` and `fence`.
pub fn memory_fence() -> Handler {
    select::<Fence>(Isa::Base)
}
