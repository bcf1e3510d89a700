//! The short way of the race check: words of shared memory that, since the last barrier, one thread alone has touched,
//! or that several have only read. Nearly all words of a sound kernel are of this kind, and a look at 8 bytes settles
//! them. Everything else goes to the marks in [`super::race`].

use super::address::{Shape, active, expand};
use super::code::{FULL, LANES};

/// One thread touched the word.
const THREAD: u64 = 0;
/// Lanes of one warp have read it since they met.
const WARP: u64 = 1;
/// Several warps have read it.
const MANY: u64 = 2;
/// The marks know.
const MARKED: u64 = 3;

// What has happened to a word since the last barrier, from the lowest bit: a bit for each byte that was read and for
// each that was written, 2 bits of kind, 10 of thread number, 22 for the points at which all of the warp had met before,
// and 22 for the barriers that the block had passed. Another number of barriers means that nothing has happened yet.
const BYTES: u64 = 0xff;
const WRITTEN: u64 = 0xf0;
const KIND: u64 = 3 << KIND_AT;
const KIND_AT: u32 = 8;
const THREADS: u64 = 0x3ff << THREAD_AT;
const THREAD_AT: u32 = 10;
const MEETS_AT: u32 = 20;
const BARRIERS_AT: u32 = 42;

/// Barriers and meetings that a summary can count.
pub(super) const MOST: u32 = 1 << 22;

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

/// An access of some lanes of a warp to shared memory.
pub(super) struct Sight {
    /// Barriers of the block and meetings of the warp before it, both below [`MOST`].
    pub epochs: (u32, u32),
    pub warp: u32,
    /// Its lanes.
    pub m: u32,
    /// Bytes of a lane.
    pub len: u32,
    pub shape: Shape,
    /// Where shared memory begins.
    pub base: u64,
}

/// Summaries of the words of a block's shared memory.
pub(super) struct Solos {
    words: Vec<u64>,
    /// The lanes that read a word, where its kind is `WARP`.
    lanes: Vec<u32>,
}

impl Solos {
    pub fn new(words: usize) -> Solos {
        Solos { words: vec![0; words], lanes: vec![0; words] }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Takes the summary of a word to pieces and leaves the word to the marks.
    pub fn give_up(&mut self, index: usize, barriers: u32) -> Summary {
        let taken = (barriers as u64) << BARRIERS_AT | MARKED << KIND_AT;
        let word = std::mem::replace(&mut self.words[index], taken);
        if (word ^ taken) >> BARRIERS_AT != 0 {
            return Summary::Untouched;
        }
        let (kind, thread) = (kind(word), ((word & THREADS) >> THREAD_AT) as u32);
        if kind == MARKED {
            return Summary::Marked;
        }
        Summary::Touched(Touched {
            warp_epoch: (word >> MEETS_AT) as u32 % MOST,
            lanes: if kind == WARP { self.lanes[index] } else { 1 << (thread % 32) },
            thread,
            bytes: ((word & 0xf) as u8, ((word & WRITTEN) >> 4) as u8),
            many: kind == MANY,
            warp: kind == WARP,
        })
    }

    /// Notes plain accesses; gives the lanes that must go the long way.
    ///
    /// # Safety
    /// The addresses in `a`, which are written down as far as the shape says, are aligned and lie in the memory that this
    /// summarises.
    #[inline(always)]
    pub unsafe fn note<const WRITE: bool>(&mut self, s: Sight, a: *mut u64) -> u32 {
        let Sight { m, len, .. } = s;
        let shift = if WRITE { 4 } else { 0 };
        let whole = if len >= 4 { 0xf << shift } else { 0 };
        let (barriers, meets) = s.epochs;
        let first = (barriers as u64) << BARRIERS_AT
            | (meets as u64) << MEETS_AT
            | (s.warp as u64 * 32) << THREAD_AT
            | THREAD << KIND_AT
            | whole;
        let (words, lanes) = (self.words.as_mut_ptr(), self.lanes.as_mut_ptr());
        // SAFETY: passed on.
        unsafe {
            match s.shape {
                Shape::Contiguous => {
                    let at = words.add(((*a).wrapping_sub(s.base) / 4) as usize);
                    let done = match len {
                        4 => row::<1>(at, first),
                        8 => row::<2>(at, first),
                        16 => row::<4>(at, first),
                        _ => false,
                    };
                    if done {
                        return 0;
                    }
                }
                Shape::Uniform if !WRITE && !m.is_power_of_two() => {
                    let mut fresh = first | WARP << KIND_AT;
                    let offset = (*a).wrapping_sub(s.base);
                    if len < 4 {
                        fresh |= ((1u64 << len) - 1) << (offset % 4);
                    }
                    let mut good = true;
                    for word in (offset / 4) as usize..(offset / 4) as usize + (len as usize).div_ceil(4) {
                        good &= together(&mut *words.add(word), &mut *lanes.add(word), fresh, m);
                    }
                    return if good { 0 } else { m };
                }
                _ => {}
            }
            expand(s.shape, len, a);
            let part = if len < 4 { ((1u64 << len) - 1) << shift } else { 0 };
            let mut rest = 0;
            // One lane; a macro, so that the loops differ in nothing but which lanes there are.
            macro_rules! one {
                ($l:expr, $fresh:expr) => {{
                    let offset = (*a.add($l)).wrapping_sub(s.base);
                    let (index, fresh) = ((offset / 4) as usize, $fresh | part << (offset % 4));
                    let mut good = true;
                    for k in index..index + (len as usize).div_ceil(4) {
                        good &= note_word::<WRITE>(words.add(k), lanes.add(k), fresh);
                    }
                    if !good {
                        rest |= 1 << $l;
                    }
                }};
            }
            if m == FULL {
                let mut fresh = first;
                for l in 0..LANES {
                    one!(l, fresh);
                    fresh += 1 << THREAD_AT;
                }
            } else {
                for l in active(m) {
                    one!(l, first + ((l as u64) << THREAD_AT));
                }
            }
            rest
        }
    }
}

fn kind(word: u64) -> u64 {
    (word & KIND) >> KIND_AT
}

/// Notes that the lanes of a warp touch `N` words each, one behind the other; false if it is not that simple.
#[inline(always)]
unsafe fn row<const N: usize>(words: *mut u64, first: u64) -> bool {
    let fresh = |k: usize| first + (((k / N) as u64) << THREAD_AT);
    let (mut current, mut other) = (0, 0);
    // SAFETY: passed on from the caller.
    unsafe {
        for k in 0..LANES * N {
            let x = *words.add(k) ^ fresh(k);
            current |= (x >> BARRIERS_AT == 0) as u64;
            other |= x;
        }
        if current == 0 {
            for k in 0..LANES * N {
                *words.add(k) = fresh(k);
            }
        } else if other <= BYTES {
            for k in 0..LANES * N {
                *words.add(k) |= fresh(k);
            }
        }
    }
    current == 0 || other <= BYTES
}

/// Notes one thread's access to a word, if no other thread's access can be in its way and none must be remembered
/// beside it. False leaves the summary as it was.
#[inline(always)]
unsafe fn note_word<const WRITE: bool>(word: *mut u64, lanes: *mut u32, fresh: u64) -> bool {
    // SAFETY: passed on from the caller.
    unsafe {
        let x = *word ^ fresh;
        if x >> BARRIERS_AT != 0 {
            *word = fresh;
        } else if x <= BYTES {
            *word |= fresh;
        } else {
            return again::<WRITE>(&mut *word, &mut *lanes, fresh);
        }
        true
    }
}

/// The rarer cases: the same thread after its warp met, and further readers.
#[inline(never)]
fn again<const WRITE: bool>(word: &mut u64, lanes: &mut u32, fresh: u64) -> bool {
    let x = *word ^ fresh;
    if x & (BYTES | KIND | THREADS) == 0 {
        // What the thread did before its warp met counts as done now where it does just that again.
        *word = fresh;
        return true;
    }
    // The same thread may have read other bytes before its warp met.
    if WRITE || *word & WRITTEN != 0 || kind(*word) == MARKED || x & (KIND | THREADS) == 0 {
        return false;
    }
    let lane = (fresh >> THREAD_AT) as u32 % 32;
    join(word, lanes, fresh, 1 << lane);
    true
}

/// Notes that the lanes of `m` read a word at once; `fresh` is of the kind `WARP`. False leaves the summary as it was.
fn together(word: &mut u64, lanes: &mut u32, fresh: u64, m: u32) -> bool {
    if (*word ^ fresh) >> BARRIERS_AT != 0 {
        (*word, *lanes) = (fresh, m);
        return true;
    }
    if *word & WRITTEN != 0 || kind(*word) == MARKED {
        return false;
    }
    join(word, lanes, fresh, m);
    true
}

/// More readers of a word that is only read. Of the bytes, those that all readers read are remembered.
fn join(word: &mut u64, lanes: &mut u32, fresh: u64, m: u32) {
    let old = *word;
    let both = old & fresh & BYTES;
    let same_warp = (old ^ fresh) & THREADS < 32 << THREAD_AT;
    if both != 0 && (kind(old) == MANY || !same_warp) {
        *word = (old & !(KIND | BYTES)) | MANY << KIND_AT | both;
    } else if both != 0 && (old ^ fresh) >> MEETS_AT == 0 {
        let before = if kind(old) == WARP { *lanes } else { 1 << ((old >> THREAD_AT) % 32) };
        *word = (old & !(KIND | BYTES)) | WARP << KIND_AT | both;
        *lanes = before | m;
    } else {
        // Of readers that have met, or of none that read the same bytes, the last one counts.
        (*word, *lanes) = (fresh, m);
    }
}
