//! The short way of the race check: words of shared memory that, since the last barrier, one thread alone has touched,
//! or that several have only read. Nearly all words of a sound kernel are of this kind, and a look at 16 bytes settles
//! them. Everything else goes to the marks in [`super::race`].

use super::address::active;
use super::code::{FULL, LANES};

/// One thread touched the word.
const THREAD: u64 = 0;
/// Lanes of one warp have read it since they met.
const WARP: u64 = 1;
/// Several warps have read it.
const MANY: u64 = 2;
/// The marks know.
const MARKED: u64 = 3;

/// What has happened to a word since the last barrier.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Solo {
    /// Barriers passed before, and in the high half the points at which all of the warp had met before. An older number
    /// of barriers means that nothing has happened yet.
    when: u64,
    /// From the lowest bit: 32 lanes of the warp that read, 16 bits of thread number, 8 of kind, and a bit for each byte
    /// that was read and for each that was written.
    who: u64,
}

const KIND: u64 = 0xff << 48;
const BYTES: u64 = 0xff << 56;
/// Summaries from here on have bytes that were written.
const WRITTEN: u64 = 1 << 60;

/// Readers and writer of a word by its summary.
pub(super) enum Summary {
    /// Nothing since the last barrier.
    Untouched,
    /// The marks are up to date.
    Marked,
    /// A summary to be turned into marks.
    Touched(Touched),
}

/// The parts of a summary.
pub(super) struct Touched {
    pub warp_epoch: u32,
    pub lanes: u32,
    pub thread: u32,
    /// Bytes read and bytes written.
    pub bytes: (u8, u8),
    pub many: bool,
    pub warp: bool,
}

impl Solo {
    /// Takes the summary to pieces and leaves the word to the marks.
    pub fn give_up(&mut self, epoch: u32) -> Summary {
        let Solo { when, who } = std::mem::replace(self, Solo { when: epoch as u64, who: MARKED << 48 });
        if when as u32 != epoch {
            return Summary::Untouched;
        }
        let kind = (who & KIND) >> 48;
        if kind == MARKED {
            return Summary::Marked;
        }
        let bytes = (who >> 56) as u8;
        Summary::Touched(Touched {
            warp_epoch: (when >> 32) as u32,
            lanes: who as u32,
            thread: (who >> 32) as u16 as u32,
            bytes: (bytes & 0xf, bytes >> 4),
            many: kind == MANY,
            warp: kind == WARP,
        })
    }

    /// Notes an access, if no other thread's access can be in its way and none must be remembered beside it. False
    /// leaves the summary as it was.
    #[inline(always)]
    fn note<const WRITE: bool>(&mut self, stamp: u64, fresh: u64) -> bool {
        if self.when as u32 != stamp as u32 {
            *self = Solo { when: stamp, who: fresh };
            return true;
        }
        if self.when == stamp && (self.who ^ fresh) & !BYTES == 0 {
            self.who |= fresh & BYTES;
            return true;
        }
        self.note_again::<WRITE>(stamp, fresh)
    }

    /// The rarer cases: the same thread after its warp met, and further readers.
    #[inline(never)]
    fn note_again<const WRITE: bool>(&mut self, stamp: u64, fresh: u64) -> bool {
        if self.who == fresh {
            // What the thread did before its warp met counts as done now where it does just that again.
            self.when = stamp;
            return true;
        }
        !WRITE && self.who < WRITTEN && self.who & KIND != MARKED << 48 && self.join(stamp, fresh)
    }

    /// One more reader of a word that is only read. Of the bytes, those that all readers read are remembered.
    fn join(&mut self, stamp: u64, fresh: u64) -> bool {
        let both = self.who & fresh & BYTES;
        if (self.who ^ fresh) & (0xffff << 32 | KIND) == 0 {
            // The same thread read other bytes before its warp met.
            return false;
        }
        if both == 0 {
            *self = Solo { when: stamp, who: fresh };
        } else if (self.who & KIND) >> 48 == MANY || ((self.who ^ fresh) >> 37) & 0x7ff != 0 {
            self.who = (self.who & !(KIND | BYTES)) | MANY << 48 | both;
        } else if self.when == stamp {
            self.who = (self.who & !(KIND | BYTES)) | WARP << 48 | (fresh & 0xffff_ffff) | both;
        } else {
            *self = Solo { when: stamp, who: fresh };
        }
        true
    }
}

/// Notes plain accesses of `len` bytes by the lanes of `m`; gives the lanes that must go the long way.
///
/// # Safety
/// The addresses less `base` are aligned offsets into the memory that `words` summarises.
#[inline(always)]
pub(super) unsafe fn note_lanes<const WRITE: bool>(
    words: *mut Solo,
    stamp: u64,
    warp: u32,
    m: u32,
    len: u32,
    a: *const u64,
    base: u64,
) -> u32 {
    let shift = if WRITE { 60 } else { 56 };
    let whole = if len >= 4 { 0xf << shift } else { 0 };
    let first = ((warp as u64 * 32) << 32) | (THREAD << 48) | whole;
    let mut rest = 0;
    // SAFETY: passed on.
    unsafe {
        if m == FULL {
            let (mut thread, mut bit) = (first, 1u64);
            for l in 0..LANES {
                if !note_lane::<WRITE>(words, stamp, thread | bit, len, (*a.add(l)).wrapping_sub(base)) {
                    rest |= bit as u32;
                }
                thread += 1 << 32;
                bit <<= 1;
            }
        } else {
            for l in active(m) {
                let fresh = first + ((l as u64) << 32 | 1 << l);
                if !note_lane::<WRITE>(words, stamp, fresh, len, (*a.add(l)).wrapping_sub(base)) {
                    rest |= 1 << l;
                }
            }
        }
    }
    rest
}

#[inline(always)]
unsafe fn note_lane<const WRITE: bool>(words: *mut Solo, stamp: u64, mut fresh: u64, len: u32, offset: u64) -> bool {
    if len < 4 {
        fresh |= (((1u64 << len) - 1) << if WRITE { 60 } else { 56 }) << (offset % 4);
    }
    // SAFETY: passed on.
    unsafe {
        let word = words.add((offset / 4) as usize);
        let mut good = (*word).note::<WRITE>(stamp, fresh);
        if len > 4 {
            for k in 1..len as usize / 4 {
                good &= (*word.add(k)).note::<WRITE>(stamp, fresh);
            }
        }
        good
    }
}
