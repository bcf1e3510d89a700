//! Handlers of loads, stores and atomics, with short ways for addresses that are contiguous or all the same.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use super::address::{ATOMIC, Addresses, LOAD, STORE, Shape, active, expand, resolve};
use super::code::{FULL, Flow, Handler, Inst, LANES, MemSpace, NONE};
use super::ops::{Body, Isa, Lane, broadcast, select};
use super::race::{Touch, Who};
use super::shadow::between_blocks;
use super::warp::Warp;
use crate::checks::FaultKind;

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
        let mut a = MaybeUninit::<Addresses>::uninit();
        let a = a.as_mut_ptr() as *mut u64;
        // SAFETY: `resolve` gives host addresses of checked, aligned memory for the lanes of `m`.
        unsafe {
            match resolve::<LOAD, FAST>(w, i, m, (size_of::<M>() * V) as u32, a).shape {
                Shape::Empty => {}
                Shape::Fault => return Flow::Fault,
                Shape::Contiguous => {
                    let p = *a as *const M;
                    for v in 0..V {
                        if i.r[v] != NONE {
                            let d = w.regs.add(i.r[v] as usize) as *mut D;
                            for l in 0..LANES {
                                *d.add(l) = (*p.add(l * V + v)).widen();
                            }
                        }
                    }
                }
                Shape::Uniform => {
                    let p = *a as *const M;
                    for v in 0..V {
                        if i.r[v] != NONE {
                            let value = p.add(v).read_volatile().widen();
                            broadcast::<D>(w, i.r[v], m, value);
                        }
                    }
                }
                Shape::Scattered => {
                    for v in 0..V {
                        if i.r[v] != NONE {
                            let d = w.regs.add(i.r[v] as usize) as *mut D;
                            let one = |l: usize| *d.add(l) = (*a.add(l) as *const M).add(v).read_volatile().widen();
                            if FAST && m == FULL {
                                (0..LANES).for_each(one);
                            } else {
                                active(m).for_each(one);
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

struct LoadParam<M, D, const V: usize>(std::marker::PhantomData<(M, D)>);
impl<M: Widen<D>, D: Lane, const V: usize> Body for LoadParam<M, D, V> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: the lowering has seen that the parameters have these bytes.
        unsafe {
            let p = (*w.cx).params.add(i.imm as usize) as *const M;
            for v in 0..V {
                if i.r[v] != NONE {
                    let value = p.add(v).read_unaligned().widen();
                    broadcast::<D>(w, i.r[v], m, value);
                }
            }
        }
        Flow::Next
    }
}

/// A load of `V` values from the kernel's parameters at a known offset inside of them: `r[0..V] = params[imm]`.
pub fn load_param<M: Widen<D>, D: Lane, const V: usize>(isa: Isa) -> Handler {
    select::<LoadParam<M, D, V>>(isa)
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

/// Whether stores to a space can race: a thread's own memory has no other threads.
#[inline(always)]
fn watched(space: MemSpace, between_blocks: bool) -> bool {
    match space {
        MemSpace::Shared | MemSpace::Generic => true,
        MemSpace::Global => between_blocks,
        MemSpace::Local | MemSpace::Param => false,
    }
}

struct Store<S, M, const V: usize>(std::marker::PhantomData<(S, M)>);
impl<S: Narrow<M>, M: Lane + PartialEq, const V: usize> Body for Store<S, M, V> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        let mut a = MaybeUninit::<Addresses>::uninit();
        let a = a.as_mut_ptr() as *mut u64;
        let bytes = (size_of::<M>() * V) as u32;
        // SAFETY: as in `Load`.
        unsafe {
            if i.strong {
                fence(Ordering::SeqCst);
            }
            let access = resolve::<STORE, FAST>(w, i, m, bytes, a);
            if !i.strong
                && (*w.cx).stores_watched
                && watched(access.space, (*w.cx).order.is_some())
                && !matches!(access.shape, Shape::Empty | Shape::Fault)
            {
                let cx = &mut *w.cx;
                let rest = match &mut cx.race {
                    Some(race) if access.space == MemSpace::Shared => {
                        race.quick::<true>((w.index, &w.meets), (m, bytes, access.shape), a, cx.shared as u64)
                    }
                    _ => {
                        expand(access.shape, bytes, a);
                        m
                    }
                };
                if rest != 0 {
                    return racing_store::<S, M, V>(w, i, m, rest, &*(a as *const Addresses));
                }
            }
            match access.shape {
                Shape::Empty => {}
                Shape::Fault => return Flow::Fault,
                Shape::Contiguous => {
                    let p = *a as *mut M;
                    for v in 0..V {
                        let s = w.regs.add(i.r[v] as usize) as *const S;
                        for l in 0..LANES {
                            *p.add(l * V + v) = (*s.add(l)).narrow();
                        }
                    }
                }
                // One of the lanes wins; here it is the last.
                Shape::Uniform => {
                    let l = 31 - m.leading_zeros() as usize;
                    for v in 0..V {
                        let s = w.regs.add(i.r[v] as usize) as *const S;
                        (*a as *mut M).add(v).write_volatile((*s.add(l)).narrow());
                    }
                }
                Shape::Scattered => {
                    for v in 0..V {
                        let s = w.regs.add(i.r[v] as usize) as *const S;
                        let one = |l: usize| (*a.add(l) as *mut M).add(v).write_volatile((*s.add(l)).narrow());
                        if FAST && m == FULL {
                            (0..LANES).for_each(one);
                        } else {
                            active(m).for_each(one);
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

/// A store under the race checks. Lanes of `rest` are looked at one by one, since a value that is there already races
/// with no other store of it; the others are known to be alone.
#[inline(never)]
unsafe fn racing_store<S: Narrow<M>, M: Lane + PartialEq, const V: usize>(
    w: &mut Warp,
    i: &Inst,
    m: u32,
    rest: u32,
    a: &Addresses,
) -> Flow {
    // SAFETY: `resolve` gave checked host addresses for the lanes of `m`; registers are laid out for the program.
    unsafe {
        let cx = &mut *w.cx;
        let regs = w.regs;
        let (base, len) = (cx.shared as u64, cx.shared_len as u64);
        let value = |l: usize, v: usize| (*(regs.add(i.r[v] as usize) as *const S).add(l)).narrow();
        for l in active(m & !rest) {
            (0..V).for_each(|v| (a[l] as *mut M).add(v).write_volatile(value(l, v)));
        }
        for l in active(rest) {
            let to = a[l] as *mut M;
            let value = |v: usize| value(l, v);
            let offset = a[l].wrapping_sub(base);
            let bytes = (size_of::<M>() * V) as u32;
            let same = (0..V).all(|v| to.add(v).read_volatile() == value(v));
            let how = if same { Touch::SameValue } else { Touch::Write };
            if cx.arena_range.lo <= a[l] && a[l] < cx.arena_range.hi {
                if !between_blocks(w, i, l, how, bytes, a[l]) {
                    return Flow::Fault;
                }
            } else if offset < len
                && let Some(race) = &mut cx.race
            {
                let who = Who::new(w.index, l as u32, &w.meets);
                if let Some((at, other)) = race.touch(offset as u32, bytes, how, who) {
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
pub trait Bits: Lane + PartialEq {
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
        let mut a = MaybeUninit::<Addresses>::uninit();
        let a = a.as_mut_ptr() as *mut u64;
        // SAFETY: `atomic` took the closure; the rest as in `Load`.
        unsafe {
            let f = super::ops::conjure::<F>();
            let access = resolve::<ATOMIC, FAST>(w, i, m, size_of::<T>() as u32, a);
            match access.shape {
                Shape::Empty => return Flow::Next,
                Shape::Fault => return Flow::Fault,
                shape => expand(shape, size_of::<T>() as u32, a),
            }
            let (b, c) = (w.regs.add(i.r[1] as usize) as *const T, w.regs.add(i.r[2] as usize) as *const T);
            // Only this thread works on the block, so its own memory needs no locked instruction.
            let alone = access.space == MemSpace::Shared;
            for l in active(m) {
                let (x, y) = (*b.add(l), *c.add(l));
                let old = if alone {
                    let p = *a.add(l) as *mut T;
                    let old = p.read_volatile();
                    p.write_volatile(f(old, x, y));
                    old
                } else {
                    T::update(*a.add(l), |v| f(v, x, y))
                };
                if i.r[0] != NONE {
                    *(w.regs.add(i.r[0] as usize) as *mut T).add(l) = old;
                }
            }
        }
        Flow::Next
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
