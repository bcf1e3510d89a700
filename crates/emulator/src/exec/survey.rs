//! The survey of a warp's addresses: whether they lie in a window of good memory, and how. Written twice, once for any
//! machine and once with AVX2, since compilers do not find the vector form.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use super::address::{Shape, active};
use super::code::{FULL, LANES};

/// A number whose top bit is set when `off` is above `limit` or no multiple of `low + 1`. `limit` is below 2^63.
#[inline(always)]
pub(super) fn refuse(off: u64, limit: u64, low: u64) -> u64 {
    off | limit.wrapping_sub(off) | 0u64.wrapping_sub(off & low)
}

/// The same for 32 bits; `limit` is below 2^31.
#[inline(always)]
fn refuse32(off: u32, limit: u32, low: u32) -> u32 {
    off | limit.wrapping_sub(off) | 0u32.wrapping_sub(off & low)
}

/// A window of memory: offsets up to `limit` in steps of `low + 1` are good, and `host` is where offset 0 lies.
pub(super) struct Window {
    pub limit: u64,
    pub low: u64,
    pub host: u64,
}

/// Surveys 64-bit addresses: `base + add` counts from the start of the window. None if a lane is outside of it.
///
/// # Safety
/// `base` is a slot of 32 values, and `a` has room for as many.
pub(super) unsafe fn wide(
    base: *const u64,
    add: u64,
    win: &Window,
    m: u32,
    bytes: u64,
    a: *mut u64,
    each: bool,
) -> Option<Shape> {
    // SAFETY: passed on.
    unsafe { any(|l| (*base.add(l)).wrapping_add(add), win, m, bytes, a, each) }
}

/// The same for 32-bit addresses, which wrap at 32 bits.
///
/// # Safety
/// As [`wide`].
pub(super) unsafe fn narrow(
    base: *const u32,
    add: u32,
    win: &Window,
    m: u32,
    bytes: u32,
    a: *mut u64,
    each: bool,
) -> Option<Shape> {
    // SAFETY: passed on.
    unsafe { any(|l| (*base.add(l)).wrapping_add(add) as u64, win, m, bytes as u64, a, each) }
}

/// The survey of offsets from the start of a window.
#[inline(always)]
unsafe fn any(
    offset: impl Fn(usize) -> u64,
    win: &Window,
    m: u32,
    bytes: u64,
    a: *mut u64,
    each: bool,
) -> Option<Shape> {
    let first = offset(m.trailing_zeros() as usize);
    let (mut bad, mut odd, mut row) = (0, 0, m ^ FULL);
    for l in active(m) {
        let off = offset(l);
        bad |= refuse(off, win.limit, win.low);
        odd |= off ^ first;
        row |= (off != first.wrapping_add(l as u64 * bytes)) as u32;
        // SAFETY: `a` has room for all lanes.
        unsafe { *a.add(l) = off.wrapping_add(win.host) };
    }
    if bad as i64 <= -1 {
        return None;
    }
    Some(match (each, odd, row) {
        (false, 0, _) => {
            // SAFETY: as above.
            unsafe { *a = first.wrapping_add(win.host) };
            Shape::Uniform
        }
        (false, _, 0) => Shape::Contiguous,
        _ => Shape::Scattered,
    })
}

/// Few enough lanes to take them one by one.
const FEW: u32 = 6;

/// [`wide`] with AVX2.
///
/// # Safety
/// As there, on a machine with AVX2.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn wide_fast(
    base: *const u64,
    add: u64,
    win: &Window,
    m: u32,
    bytes: u64,
    a: *mut u64,
    each: bool,
) -> Option<Shape> {
    let Window { limit, low, host } = *win;
    let all = |v: u64| _mm256_set1_epi64x(v as i64);
    let zero = _mm256_setzero_si256();
    // SAFETY: a slot holds 32 values, and `a` has room for as many.
    unsafe {
        let load = |c: usize| _mm256_loadu_si256(base.add(4 * c) as *const __m256i);
        if m == FULL {
            let first = *base;
            let span = (*base.add(31)).wrapping_sub(first);
            if !each && (span == 31 * bytes || span == 0) {
                let step = if span == 0 { 0 } else { bytes as i64 };
                let mut want = _mm256_add_epi64(all(first), _mm256_set_epi64x(3 * step, 2 * step, step, 0));
                let mut odd = zero;
                for c in 0..LANES / 4 {
                    odd = _mm256_or_si256(odd, _mm256_xor_si256(load(c), want));
                    want = _mm256_add_epi64(want, all(4 * step as u64));
                }
                if _mm256_testz_si256(odd, odd) != 0 {
                    let off = first.wrapping_add(add);
                    if (refuse(off, limit, low) | refuse(off.wrapping_add(span), limit, low)) as i64 <= -1 {
                        return None;
                    }
                    *a = off.wrapping_add(host);
                    return Some(if span == 0 { Shape::Uniform } else { Shape::Contiguous });
                }
            }
        } else if m.count_ones() <= FEW {
            let mut bad = 0;
            for l in active(m) {
                let off = (*base.add(l)).wrapping_add(add);
                bad |= refuse(off, limit, low);
                *a.add(l) = off.wrapping_add(host);
            }
            return (bad as i64 >= 0).then_some(Shape::Scattered);
        }
        let (mut bad, mut odd) = (zero, zero);
        let mut bits = _mm256_set_epi64x(8, 4, 2, 1);
        let first = (*base.add(m.trailing_zeros() as usize)).wrapping_add(add);
        for c in 0..LANES / 4 {
            let off = _mm256_add_epi64(load(c), all(add));
            let above = _mm256_or_si256(off, _mm256_sub_epi64(all(limit), off));
            let mut refused = _mm256_or_si256(above, _mm256_sub_epi64(zero, _mm256_and_si256(off, all(low))));
            if m != FULL {
                let on = _mm256_cmpeq_epi64(_mm256_and_si256(all(m as u64), bits), bits);
                refused = _mm256_and_si256(refused, on);
                odd = _mm256_or_si256(odd, _mm256_and_si256(_mm256_xor_si256(off, all(first)), on));
                bits = _mm256_slli_epi64(bits, 4);
            }
            bad = _mm256_or_si256(bad, refused);
            _mm256_storeu_si256(a.add(4 * c) as *mut __m256i, _mm256_add_epi64(off, all(host)));
        }
        let same = m != FULL && !each && _mm256_testz_si256(odd, odd) != 0;
        if same {
            *a = first.wrapping_add(host);
        }
        let shape = if same { Shape::Uniform } else { Shape::Scattered };
        (_mm256_movemask_pd(_mm256_castsi256_pd(bad)) == 0).then_some(shape)
    }
}

/// [`narrow`] with AVX2.
///
/// # Safety
/// As [`wide_fast`].
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn narrow_fast(
    base: *const u32,
    add: u32,
    win: &Window,
    m: u32,
    bytes: u32,
    a: *mut u64,
    each: bool,
) -> Option<Shape> {
    let (limit, low, host) = (win.limit as u32, win.low as u32, win.host);
    let all = |v: u32| _mm256_set1_epi32(v as i32);
    let zero = _mm256_setzero_si256();
    // SAFETY: as in `wide_fast`.
    unsafe {
        let load = |c: usize| _mm256_loadu_si256(base.add(8 * c) as *const __m256i);
        if m == FULL {
            let first = *base;
            let span = (*base.add(31)).wrapping_sub(first);
            if !each && (span == 31 * bytes || span == 0) {
                let step = if span == 0 { 0 } else { bytes };
                let lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
                let mut want = _mm256_add_epi32(all(first), _mm256_mullo_epi32(lanes, all(step)));
                let mut odd = zero;
                for c in 0..LANES / 8 {
                    odd = _mm256_or_si256(odd, _mm256_xor_si256(load(c), want));
                    want = _mm256_add_epi32(want, all(8 * step));
                }
                if _mm256_testz_si256(odd, odd) != 0 {
                    let off = first.wrapping_add(add);
                    if (refuse32(off, limit, low) | refuse32(off.wrapping_add(span), limit, low)) as i32 <= -1 {
                        return None;
                    }
                    *a = host.wrapping_add(off as u64);
                    return Some(if span == 0 { Shape::Uniform } else { Shape::Contiguous });
                }
            }
        } else if m.count_ones() <= FEW {
            let mut bad = 0;
            for l in active(m) {
                let off = (*base.add(l)).wrapping_add(add);
                bad |= refuse32(off, limit, low);
                *a.add(l) = host.wrapping_add(off as u64);
            }
            return (bad as i32 >= 0).then_some(Shape::Scattered);
        }
        let (mut bad, mut odd) = (zero, zero);
        let mut bits = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
        let first = (*base.add(m.trailing_zeros() as usize)).wrapping_add(add);
        let at = _mm256_set1_epi64x(host as i64);
        for c in 0..LANES / 8 {
            let off = _mm256_add_epi32(load(c), all(add));
            let above = _mm256_or_si256(off, _mm256_sub_epi32(all(limit), off));
            let mut refused = _mm256_or_si256(above, _mm256_sub_epi32(zero, _mm256_and_si256(off, all(low))));
            if m != FULL {
                let on = _mm256_cmpeq_epi32(_mm256_and_si256(all(m), bits), bits);
                refused = _mm256_and_si256(refused, on);
                odd = _mm256_or_si256(odd, _mm256_and_si256(_mm256_xor_si256(off, all(first)), on));
                bits = _mm256_slli_epi32(bits, 8);
            }
            bad = _mm256_or_si256(bad, refused);
            for (k, half) in [_mm256_castsi256_si128(off), _mm256_extracti128_si256(off, 1)].into_iter().enumerate() {
                let x = _mm256_add_epi64(_mm256_cvtepu32_epi64(half), at);
                _mm256_storeu_si256(a.add(8 * c + 4 * k) as *mut __m256i, x);
            }
        }
        let same = m != FULL && !each && _mm256_testz_si256(odd, odd) != 0;
        if same {
            *a = host.wrapping_add(first as u64);
        }
        let shape = if same { Shape::Uniform } else { Shape::Scattered };
        (_mm256_movemask_ps(_mm256_castsi256_ps(bad)) == 0).then_some(shape)
    }
}

/// Elsewhere there is one form.
#[cfg(not(target_arch = "x86_64"))]
pub(super) use {narrow as narrow_fast, wide as wide_fast};
