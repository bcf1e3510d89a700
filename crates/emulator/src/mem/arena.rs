//! The arena: allocations with red zones, a quarantine of freed ranges, and the initialisation shadow.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::Map;

/// Distance between allocations; also their alignment, as the driver promises 256 bytes.
const RED_ZONE: u64 = 256;
/// Freed ranges wait here before they are given out again.
const QUARANTINE_BYTES: u64 = 256 << 20;
const QUARANTINE_COUNT: usize = 4096;
/// Freed ranges at least this long give their pages back at once.
const LARGE: u64 = 1 << 20;

/// What an allocation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `cuMemAlloc` and its like.
    Device,
    /// Page-locked host memory, which kernels may use too.
    Host,
    /// Managed memory.
    Managed,
    /// A variable of a loaded module.
    Module,
}

/// One allocation, live or freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alloc {
    /// First byte.
    pub start: u64,
    /// Length in bytes, as asked for.
    pub len: u64,
    /// What it is.
    pub kind: Kind,
    /// Device it belongs to.
    pub device: u32,
    /// Number in order of allocation, from 1.
    pub serial: u64,
    /// Whether it may be used.
    pub live: bool,
}

/// A live range for fast checks: `[lo, hi)`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Range {
    /// First address.
    pub lo: u64,
    /// One past the last.
    pub hi: u64,
}

/// What happened at an address that is not valid.
#[derive(Debug, Clone, Copy)]
pub enum Access {
    /// Past or before the nearest allocation.
    Outside(Option<Alloc>),
    /// In a freed allocation.
    Freed(Alloc),
}

/// Why an allocation or free failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllocError {
    /// No memory left on that device.
    OutOfMemory,
    /// The pointer is not the start of an allocation.
    NotAllocated,
    /// It was freed already.
    DoubleFree,
}

#[derive(Default)]
struct Table {
    allocs: BTreeMap<u64, Alloc>,
    quarantine: VecDeque<u64>,
    quarantined: u64,
    /// Ranges that may be given out again, by start.
    free: BTreeMap<u64, u64>,
    bump: u64,
    serial: u64,
    used: Vec<u64>,
}

/// Memory of all devices.
pub struct Arena {
    data: Map,
    init: Map,
    table: RwLock<Table>,
    /// Rises whenever a range stops being valid, so that cached ranges are dropped.
    generation: AtomicU64,
    per_device: u64,
}

impl Arena {
    /// Reserves address space for `devices` devices with `per_device` bytes each.
    pub fn new(devices: u32, per_device: u64) -> Option<Arena> {
        // Room beyond the memory size, so that ranges rest long before they are reused.
        let want = (per_device as usize).checked_mul(devices as usize)?.checked_mul(2)?.checked_add(4 << 30)?;
        let (data, init) = (Map::new(want)?, Map::new(want)?);
        let table = Table { bump: RED_ZONE, used: vec![0; devices as usize], ..Table::default() };
        Some(Arena { data, init, table: RwLock::new(table), generation: AtomicU64::new(1), per_device })
    }

    /// First address of the arena.
    pub fn base(&self) -> u64 {
        self.data.base() as u64
    }

    /// One past the last address.
    pub fn end(&self) -> u64 {
        self.base() + self.data.size() as u64
    }

    /// Changes whenever cached ranges must be dropped.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Bytes that one device has.
    pub fn total(&self) -> u64 {
        self.per_device
    }

    /// Bytes in use on a device.
    pub fn used(&self, device: u32) -> u64 {
        self.table.read().used[device as usize]
    }

    /// Allocates `len` bytes of undefined memory; host and managed memory counts as defined.
    pub fn alloc(&self, device: u32, len: u64, kind: Kind) -> Result<u64, AllocError> {
        let mut t = self.table.write();
        let counted = if matches!(kind, Kind::Host) { 0 } else { len };
        if len > self.data.size() as u64 || t.used[device as usize] + counted > self.per_device {
            return Err(AllocError::OutOfMemory);
        }
        let chunk = len.max(1).next_multiple_of(256) + RED_ZONE;
        let at = match t.take_free(chunk) {
            Some(at) => at,
            None if t.bump + chunk <= self.data.size() as u64 => {
                t.bump += chunk;
                t.bump - chunk
            }
            None => {
                // The address space is used up: empty the quarantine and try once more.
                while let Some(start) = t.quarantine.pop_front() {
                    t.release(start, self.base());
                }
                t.take_free(chunk).ok_or(AllocError::OutOfMemory)?
            }
        };
        t.used[device as usize] += counted;
        t.serial += 1;
        let start = self.base() + at;
        let alloc = Alloc { start, len, kind, device, serial: t.serial, live: true };
        t.allocs.insert(start, alloc);
        drop(t);
        self.init.zero(at as usize, chunk as usize);
        if kind != Kind::Device {
            self.define(start, len);
        }
        Ok(start)
    }

    /// Frees the allocation that starts at `start`.
    pub fn free(&self, start: u64) -> Result<Alloc, AllocError> {
        let mut t = self.table.write();
        let alloc = match t.allocs.get_mut(&start) {
            None => return Err(AllocError::NotAllocated),
            Some(a) if !a.live => return Err(AllocError::DoubleFree),
            Some(a) => {
                a.live = false;
                *a
            }
        };
        if alloc.kind != Kind::Host {
            t.used[alloc.device as usize] -= alloc.len;
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        t.quarantine.push_back(start);
        t.quarantined += alloc.len;
        while t.quarantined > QUARANTINE_BYTES || t.quarantine.len() > QUARANTINE_COUNT {
            let Some(old) = t.quarantine.pop_front() else { break };
            t.release(old, self.base());
        }
        drop(t);
        if alloc.len >= LARGE {
            self.data.zero((start - self.base()) as usize, alloc.len as usize);
        }
        Ok(alloc)
    }

    /// The live allocation that holds all of `[addr, addr + len)`.
    pub fn find(&self, addr: u64, len: u64) -> Option<Alloc> {
        let t = self.table.read();
        let (_, a) = t.allocs.range(..=addr).next_back()?;
        (a.live
            && addr - a.start <= a.len
            && len <= a.len - (addr - a.start)
            && (len > 0 || a.len == 0 || addr < a.start + a.len))
            .then_some(*a)
    }

    /// What lies at an address that failed the check.
    pub fn explain(&self, addr: u64) -> Access {
        let t = self.table.read();
        let below = t.allocs.range(..=addr).next_back().map(|(_, a)| *a);
        if let Some(a) = below
            && !a.live
            && addr < a.start + a.len
        {
            return Access::Freed(a);
        }
        let above = t.allocs.range(addr..).map(|(_, a)| *a).find(|a| a.live);
        let below = t.allocs.range(..=addr).rev().map(|(_, a)| *a).take(64).find(|a| a.live);
        let near = match (below, above) {
            (Some(b), Some(a)) if a.start - addr < addr - (b.start + b.len).min(addr) => Some(a),
            (Some(b), _) => Some(b),
            (None, a) => a,
        };
        Access::Outside(near)
    }

    /// Live allocations of a device that a context should have freed.
    pub fn live(&self, device: u32) -> Vec<Alloc> {
        let t = self.table.read();
        let wanted = |a: &&Alloc| a.live && a.device == device && matches!(a.kind, Kind::Device | Kind::Managed);
        t.allocs.values().filter(wanted).copied().collect()
    }

    /// Pointer to the shadow byte of `addr`, which must lie in the arena.
    #[inline(always)]
    pub fn shadow(&self, addr: u64) -> *mut u8 {
        debug_assert!(addr >= self.base() && addr < self.end());
        (self.init.base() as u64 + (addr - self.base())) as *mut u8
    }

    /// Marks a checked range as written.
    pub fn define(&self, addr: u64, len: u64) {
        if len > 0 {
            // SAFETY: callers pass ranges inside one allocation, so the shadow range is inside the mapping.
            unsafe { self.shadow(addr).write_bytes(1, len as usize) };
        }
    }

    /// First byte of a checked range that nothing has written.
    pub fn undefined(&self, addr: u64, len: u64) -> Option<u64> {
        if len == 0 {
            return None;
        }
        // SAFETY: as in `define`; other threads may write single bytes, any value of which is fine.
        let shadow = unsafe { std::slice::from_raw_parts(self.shadow(addr), len as usize) };
        if shadow.iter().fold(1, |a, b| a & b) == 1 {
            return None;
        }
        shadow.iter().position(|b| *b == 0).map(|i| addr + i as u64)
    }

    /// Copies what is defined along with a copy of bytes between two checked ranges.
    pub fn copy_shadow(&self, dst: u64, src: u64, len: u64) {
        // SAFETY: as in `define`.
        unsafe { std::ptr::copy(self.shadow(src), self.shadow(dst), len as usize) };
    }
}

impl Table {
    fn take_free(&mut self, chunk: u64) -> Option<u64> {
        let (&at, &len) = self.free.iter().find(|(_, len)| **len >= chunk)?;
        self.free.remove(&at);
        if len > chunk {
            self.free.insert(at + chunk, len - chunk);
        }
        Some(at)
    }

    /// Ends the quarantine of an allocation and joins its range with its neighbours.
    fn release(&mut self, start: u64, base: u64) {
        let Some(a) = self.allocs.remove(&start) else { return };
        self.quarantined -= a.len;
        let (mut at, mut len) = (start - base, a.len.max(1).next_multiple_of(256) + RED_ZONE);
        if let Some((&prev, &n)) = self.free.range(..at).next_back()
            && prev + n == at
        {
            self.free.remove(&prev);
            (at, len) = (prev, n + len);
        }
        if let Some(n) = self.free.remove(&(at + len)) {
            len += n;
        }
        self.free.insert(at, len);
    }
}
