//! Counts of what accesses to memory ask for.

use std::sync::atomic::Ordering;

use super::address::{ATOMIC, Addresses, LOAD, active};
use super::block::Cx;
use super::code::LANES;

/// Counts an access to device memory or to shared memory.
///
/// # Safety
/// The addresses of the lanes of `m` were checked.
#[cold]
#[inline(never)]
pub(super) unsafe fn count<const K: u8>(cx: &mut Cx, m: u32, bytes: u32, a: &Addresses, shared: bool) {
    if shared {
        let base = cx.shared as u64;
        count_shared::<K>(cx, m, bytes, &a.map(|x| x.wrapping_sub(base)));
    } else {
        // SAFETY: passed on.
        unsafe { count_global::<K>(cx, m, bytes, a) };
    }
}

/// Counts bytes and 32-byte sectors of an access to device memory.
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

/// Counts the turns that 32 banks of four bytes need for an access; 8 and 16 byte accesses go by half and quarter
/// warps.
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
