//! Lane-wise handlers: a closure over one lane's values becomes a handler over 32 lanes, compiled once for any
//! machine and once for AVX2. Writes are blends, so that a divergent warp costs no branches.

use super::code::{Flow, Handler, Inst, LANES};
use super::warp::Warp;

/// Which copy of the handlers to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isa {
    /// What the target offers at least.
    #[default]
    Base,
    /// AVX2 with FMA and the bit-manipulation sets.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Isa {
    /// The best copy for this machine, unless `WARPLINE_EMULATOR_ISA` is `base`.
    pub fn detect() -> Isa {
        #[cfg(target_arch = "x86_64")]
        if std::env::var_os("WARPLINE_EMULATOR_ISA").is_none_or(|v| v != "base")
            && std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("fma")
            && std::arch::is_x86_feature_detected!("bmi1")
            && std::arch::is_x86_feature_detected!("bmi2")
            && std::arch::is_x86_feature_detected!("lzcnt")
            && std::arch::is_x86_feature_detected!("popcnt")
            && std::arch::is_x86_feature_detected!("f16c")
        {
            return Isa::Avx2;
        }
        Isa::Base
    }
}

/// A value that a register holds for one lane.
pub trait Lane: Copy + Default + 'static {}
macro_rules! lanes {
    ($($t:ty)*) => { $(impl Lane for $t {})* };
}
lanes!(u8 i8 u16 i16 u32 i32 u64 i64 f32 f64);

/// A body that [`select`] turns into handlers.
pub trait Body: 'static {
    /// Does the work for the lanes of `m`. `FAST` is the copy for AVX2; the other one is written to compile quickly.
    ///
    /// # Safety
    /// As [`Handler`].
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow;
}

unsafe fn base<B: Body>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
    // SAFETY: the caller keeps the contract of `Handler`.
    unsafe { B::run::<false>(w, i, m) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt,f16c")]
unsafe fn avx2<B: Body>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
    // SAFETY: the caller keeps the contract of `Handler`.
    unsafe { B::run::<true>(w, i, m) }
}

/// The handler of a body for a machine.
pub fn select<B: Body>(isa: Isa) -> Handler {
    match isa {
        Isa::Base => base::<B>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::<B>,
    }
}

/// Brings a closure without captures back from its type.
///
/// # Safety
/// A value of the type must have existed, which the builders below see to by taking one.
#[inline(always)]
pub(super) unsafe fn conjure<F: Copy>() -> F {
    const { assert!(size_of::<F>() == 0, "handlers must not capture") };
    // SAFETY: a value without bytes that is `Copy` can be read from anywhere.
    unsafe { std::ptr::NonNull::<F>::dangling().as_ptr().read() }
}

/// Lanes handled at a time: operands are read before results are written, so slots may be the same.
const CHUNK: usize = 8;

#[inline(always)]
fn bit(m: u32, l: usize) -> bool {
    m & (1 << l) != 0
}

/// Writes the value of an expression, of eight lanes at a time, to a slot for the lanes of a mask. A macro, since a closure
/// would be compiled without the features of the function that it is in.
macro_rules! write_lanes {
    ($t:ty, $w:expr, $slot:expr, $m:expr, |$regs:ident, $c:ident| $value:expr) => {{
        let ($regs, m) = ($w.regs, $m);
        let out = $regs.add($slot as usize) as *mut [$t; CHUNK];
        if m == u32::MAX {
            for $c in 0..LANES / CHUNK {
                *out.add($c) = $value;
            }
        } else {
            for $c in 0..LANES / CHUNK {
                let new: [$t; CHUNK] = $value;
                let mut old = *out.add($c);
                for l in 0..CHUNK {
                    old[l] = if bit(m, $c * CHUNK + l) { new[l] } else { old[l] };
                }
                *out.add($c) = old;
            }
        }
    }};
}

/// Writes one value to the slot `d` for the lanes of `m`.
#[inline(always)]
pub(super) unsafe fn broadcast<D: Lane>(w: &mut Warp, d: u32, m: u32, value: D) {
    // SAFETY: slots hold 32 lanes of their type; the layout came from the lowering.
    unsafe { write_lanes!(D, w, d, m, |regs, c| [value; CHUNK]) }
}

/// Writes a value a lane to the slot `d` for the lanes of `m`.
#[inline(always)]
pub(super) unsafe fn write_all<D: Lane>(w: &mut Warp, d: u32, m: u32, values: &[D; LANES]) {
    // SAFETY: as above.
    unsafe { write_lanes!(D, w, d, m, |regs, c| *(values.as_ptr() as *const [D; CHUNK]).add(c)) }
}

#[inline(always)]
unsafe fn read<T: Lane>(regs: *mut u8, slot: u32, c: usize) -> [T; CHUNK] {
    // SAFETY: as in `write`.
    unsafe { *(regs.add(slot as usize) as *const [T; CHUNK]).add(c) }
}

macro_rules! lane_wise {
    ($(#[$doc:meta])* $name:ident, $body:ident, $($arg:ident : $slot:literal),+) => {
        struct $body<D, $($arg,)+ F>(std::marker::PhantomData<(D, $($arg,)+ F)>);
        impl<D: Lane, $($arg: Lane,)+ F: Fn($($arg),+) -> D + Copy + 'static> Body for $body<D, $($arg,)+ F> {
            #[inline(always)]
            #[allow(non_snake_case)]
            unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
                // SAFETY: `$name` took a value of the closure; slots come from the lowering.
                unsafe {
                    let f = conjure::<F>();
                    let r = i.r;
                    if !FAST {
                        for l in (0..LANES).filter(|l| bit(m, *l)) {
                            let v = f($(*(w.regs.add(r[$slot] as usize) as *const $arg).add(l)),+);
                            *(w.regs.add(r[0] as usize) as *mut D).add(l) = v;
                        }
                        return Flow::Next;
                    }
                    write_lanes!(D, w, r[0], m, |regs, c| {
                        $(let $arg = read::<$arg>(regs, r[$slot], c);)+
                        let mut out = [D::default(); CHUNK];
                        for l in 0..CHUNK {
                            out[l] = f($($arg[l]),+);
                        }
                        out
                    });
                }
                Flow::Next
            }
        }
        $(#[$doc])*
        pub fn $name<D: Lane, $($arg: Lane,)+ F: Fn($($arg),+) -> D + Copy + 'static>(isa: Isa, _f: F) -> Handler {
            select::<$body<D, $($arg,)+ F>>(isa)
        }
    };
}

lane_wise!(
    /// One operand: `r[0] = f(r[1])`.
    un, Un, A: 1);
lane_wise!(
    /// Two operands: `r[0] = f(r[1], r[2])`.
    bin, Bin, A: 1, B: 2);
lane_wise!(
    /// Three operands.
    tern, Tern, A: 1, B: 2, C: 3);
lane_wise!(
    /// Four operands.
    quad, Quad, A: 1, B: 2, C: 3, E: 4);
lane_wise!(
    /// Five operands.
    quint, Quint, A: 1, B: 2, C: 3, E: 4, G: 5);

/// The predicate in slot `p`, all lanes; bit 31 of the field negates.
#[inline(always)]
pub(super) unsafe fn pred(w: &Warp, p: u32) -> u32 {
    let flip = ((p as i32) >> 31) as u32;
    // SAFETY: predicate slots come from the lowering.
    unsafe { *w.preds.add((p & 0x7fff_ffff) as usize) ^ flip }
}

#[inline(always)]
pub(super) unsafe fn set_pred(w: &mut Warp, p: u32, m: u32, value: u32) {
    if p != super::code::NONE {
        // SAFETY: as in `pred`.
        unsafe {
            let slot = w.preds.add(p as usize);
            *slot = (*slot & !m) | (value & m);
        }
    }
}

struct Setp<A, F>(std::marker::PhantomData<(A, F)>);
impl<A: Lane, F: Fn(A, A) -> bool + Copy + 'static> Body for Setp<A, F> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: as for the lane-wise bodies.
        unsafe {
            let f = conjure::<F>();
            let mut hit = 0u32;
            for c in 0..4 {
                let (a, b) = (read::<A>(w.regs, i.r[2], c), read::<A>(w.regs, i.r[3], c));
                let mut bits = 0u32;
                for l in 0..CHUNK {
                    bits |= (f(a[l], b[l]) as u32) << l;
                }
                hit |= bits << (c * CHUNK);
            }
            let (mut p, mut q) = (hit, !hit);
            match i.imm {
                0 => {}
                1 => (p, q) = (p & pred(w, i.r[4]), q & pred(w, i.r[4])),
                2 => (p, q) = (p | pred(w, i.r[4]), q | pred(w, i.r[4])),
                _ => (p, q) = (p ^ pred(w, i.r[4]), q ^ pred(w, i.r[4])),
            }
            set_pred(w, i.r[0], m, p);
            set_pred(w, i.r[1], m, q);
        }
        Flow::Next
    }
}

/// Comparison into one or two predicates: `r[0] | r[1] = f(r[2], r[3]) op r[4]`, the operation in `imm`.
pub fn setp<A: Lane, F: Fn(A, A) -> bool + Copy + 'static>(isa: Isa, _f: F) -> Handler {
    select::<Setp<A, F>>(isa)
}

struct Selp<T>(std::marker::PhantomData<T>);
impl<T: Lane> Body for Selp<T> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: as for the lane-wise bodies.
        unsafe {
            let (p, r) = (pred(w, i.r[3]), i.r);
            write_lanes!(T, w, r[0], m, |regs, c| {
                let (a, b) = (read::<T>(regs, r[1], c), read::<T>(regs, r[2], c));
                let mut out = [T::default(); CHUNK];
                for l in 0..CHUNK {
                    out[l] = if bit(p, c * CHUNK + l) { a[l] } else { b[l] };
                }
                out
            });
        }
        Flow::Next
    }
}

/// `r[0] = r[3] ? r[1] : r[2]`.
pub fn selp<T: Lane>(isa: Isa) -> Handler {
    select::<Selp<T>>(isa)
}

struct PredLogic<F>(std::marker::PhantomData<F>);
impl<F: Fn(u32, u32) -> u32 + Copy + 'static> Body for PredLogic<F> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: as for the lane-wise bodies.
        unsafe {
            let v = conjure::<F>()(pred(w, i.r[1]), pred(w, i.r[2]));
            set_pred(w, i.r[0], m, v);
        }
        Flow::Next
    }
}

/// Logic between predicates, on all lanes at once.
pub fn pred_logic<F: Fn(u32, u32) -> u32 + Copy + 'static>(isa: Isa, _f: F) -> Handler {
    select::<PredLogic<F>>(isa)
}

struct Carry<A, F>(std::marker::PhantomData<(A, F)>);
impl<A: Lane, F: Fn(A, A, A, bool) -> (A, bool) + Copy + 'static> Body for Carry<A, F> {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(w: &mut Warp, i: &Inst, m: u32) -> Flow {
        // SAFETY: as for the lane-wise bodies. The carry flag is a predicate slot.
        unsafe {
            let f = conjure::<F>();
            let flags = pred(w, i.r[4]);
            let mut out = 0u32;
            for c in 0..4 {
                let (a, b, x) =
                    (read::<A>(w.regs, i.r[1], c), read::<A>(w.regs, i.r[2], c), read::<A>(w.regs, i.r[3], c));
                for l in 0..CHUNK {
                    let lane = c * CHUNK + l;
                    if bit(m, lane) {
                        let (v, carry) = f(a[l], b[l], x[l], bit(flags, lane));
                        *(w.regs.add(i.r[0] as usize) as *mut A).add(lane) = v;
                        out |= (carry as u32) << lane;
                    }
                }
            }
            set_pred(w, i.r[5], m, out);
        }
        Flow::Next
    }
}

/// Arithmetic with a carry: `r[0], r[5] = f(r[1], r[2], r[3], carry r[4])`.
pub fn carry<A: Lane, F: Fn(A, A, A, bool) -> (A, bool) + Copy + 'static>(isa: Isa, _f: F) -> Handler {
    select::<Carry<A, F>>(isa)
}

struct Control;
impl Body for Control {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(_: &mut Warp, _: &Inst, _: u32) -> Flow {
        Flow::Control
    }
}

/// The handler of control operations.
pub fn control() -> Handler {
    select::<Control>(Isa::Base)
}

struct Nop;
impl Body for Nop {
    #[inline(always)]
    unsafe fn run<const FAST: bool>(_: &mut Warp, _: &Inst, _: u32) -> Flow {
        Flow::Next
    }
}

/// Nothing, as `membar` on a machine whose atomics are sequentially consistent.
pub fn nop() -> Handler {
    select::<Nop>(Isa::Base)
}
