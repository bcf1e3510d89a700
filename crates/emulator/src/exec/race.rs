//! Races in shared memory: two threads, at least one writing, the same bytes, and nothing in between that orders
//! them. Each word remembers its last writer and reader; a barrier of the block or a meeting point of the warp orders.

use super::address::{Shape, expand};
use super::solo::{self, Sight, Solos, Summary};

/// A reader or writer of a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    /// Thread number plus one; 0 for nobody, `MANY` for several readers.
    thread: u32,
    /// Barriers of the block passed before.
    block_epoch: u32,
    /// Points at which all of the warp had met before.
    warp_epoch: u32,
    /// Lanes of the warp, for readers of one warp.
    lanes: u32,
    /// Partial meetings of the lane since then; the fewest of any of the lanes.
    partial: u32,
    /// Bytes of the word.
    bytes: u8,
    /// Whether the access was atomic.
    atomic: bool,
}

/// Several readers, of several warps.
const MANY: u32 = u32::MAX;
/// Several readers, all of the warp in the low bits; their lanes are in the mark.
const WARP: u32 = 1 << 31;

#[derive(Debug, Clone, Copy, Default)]
struct Word {
    writer: Mark,
    reader: Mark,
}

/// How a lane touches a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// Reads it.
    Read,
    /// Writes it.
    Write,
    /// Writes what is there already, which does not race with other stores of the same value.
    SameValue,
    /// Reads and writes it at once.
    Atomic,
}

/// Which lanes of a warp have met. A meeting of all live lanes orders everything; one of some of them orders those, and
/// what they had learned from earlier meetings, as a vector clock does.
#[derive(Debug, Default)]
pub struct Meets {
    epoch: u32,
    partial: Option<Box<Partial>>,
}

#[derive(Debug)]
struct Partial {
    /// Partial meetings of each lane since all met.
    count: [u32; 32],
    /// For each lane, how many meetings of each other lane lie before what it does now.
    known: [[u32; 32]; 32],
}

impl Meets {
    /// A new block begins.
    pub fn reset(&mut self) {
        *self = Meets::default();
    }

    /// The lanes of `met` meet, of those that are alive.
    pub fn meet(&mut self, met: u32, live: u32) {
        if met & live == live {
            self.epoch += 1;
            self.partial = None;
            return;
        }
        let p = self.partial.get_or_insert_with(|| Box::new(Partial { count: [0; 32], known: [[0; 32]; 32] }));
        let lanes = || (0..32usize).filter(move |l| (met >> l) & 1 != 0);
        lanes().for_each(|l| p.count[l] += 1);
        let mut all = [0u32; 32];
        for l in lanes() {
            for k in 0..32 {
                all[k] = all[k].max(p.known[l][k]);
            }
            all[l] = p.count[l];
        }
        lanes().for_each(|l| p.known[l] = all);
    }

    fn count(&self, lane: u32) -> u32 {
        self.partial.as_ref().map_or(0, |p| p.count[lane as usize])
    }

    /// Whether what `lane` does now comes after what `other` did when it had taken part in `count` partial meetings.
    fn after(&self, lane: u32, other: u32, count: u32) -> bool {
        self.partial.as_ref().is_some_and(|p| p.known[lane as usize][other as usize] > count)
    }
}

/// Who touches: its thread number, and which lanes of its warp have met.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    thread: u32,
    meets: &'a Meets,
}

impl Who<'_> {
    /// A lane of a warp of the block.
    pub fn new(warp: u32, lane: u32, meets: &Meets) -> Who<'_> {
        Who { thread: warp * 32 + lane, meets }
    }
}

/// Shadow of a block's shared memory.
pub struct RaceShadow {
    words: Vec<Word>,
    solos: Solos,
    epoch: u32,
}

impl RaceShadow {
    /// A shadow for `len` bytes.
    pub fn new(len: u32) -> RaceShadow {
        let words = len.div_ceil(4) as usize;
        RaceShadow { words: vec![Word::default(); words], solos: Solos::new(words), epoch: 1 }
    }

    /// A new block begins.
    pub fn reset(&mut self) {
        self.barrier();
    }

    /// All threads of the block have met.
    pub fn barrier(&mut self) {
        // Old marks carry an older epoch, so they need no clearing until the counter wraps.
        if self.epoch == solo::MOST - 1 {
            self.words.fill(Word::default());
            self.solos.clear();
            self.epoch = 0;
        }
        self.epoch += 1;
    }

    /// Whether `m` and `who` are unordered accesses of different threads.
    fn unordered(&self, m: &Mark, who: Who) -> bool {
        if m.thread == 0 || m.block_epoch != self.epoch {
            return false;
        }
        if m.thread == MANY {
            return true;
        }
        let warp = if m.thread & WARP != 0 { m.thread & !WARP } else { (m.thread - 1) / 32 };
        if warp != who.thread / 32 {
            return true;
        }
        let me = who.thread % 32;
        let others = m.lanes & !(1 << me);
        if m.warp_epoch != who.meets.epoch || others == 0 {
            return false;
        }
        let met = |lane| who.meets.after(me, lane, m.partial);
        who.meets.partial.is_none() || (0..32).any(|l| (others >> l) & 1 != 0 && !met(l))
    }

    /// Notes an access of `len` bytes at `offset`; gives the offset and the other thread of a race.
    pub fn touch(&mut self, offset: u32, len: u32, how: Touch, who: Who) -> Option<(u32, u32)> {
        let (mut at, end) = (offset, offset + len);
        while at < end {
            let word = (at / 4) as usize;
            let next = ((at / 4 + 1) * 4).min(end);
            let bytes = (((1u32 << (next - at)) - 1) << (at % 4)) as u8;
            if let Some(other) = self.touch_word(word, bytes, how, who) {
                return Some((at, other));
            }
            at = next;
        }
        None
    }

    /// Notes plain accesses of `len` bytes by the lanes of `m` of a warp where that is simple; gives the other lanes, whose
    /// addresses are written down then.
    ///
    /// # Safety
    /// The addresses less `base` are aligned offsets of the shared memory that this is the shadow of; they are written
    /// down as far as the shape says.
    #[inline(always)]
    pub(super) unsafe fn quick<const WRITE: bool>(
        &mut self,
        (warp, meets): (u32, &Meets),
        (m, len, shape): (u32, u32, Shape),
        a: *mut u64,
        base: u64,
    ) -> u32 {
        let mut rest = m;
        // SAFETY: passed on; there is a summary for each word.
        unsafe {
            if meets.partial.is_none() && meets.epoch < solo::MOST {
                let epochs = (self.epoch, meets.epoch);
                rest = self.solos.note::<WRITE>(Sight { epochs, warp, m, len, shape, base }, a);
            }
            if rest != 0 {
                expand(shape, len, a);
            }
        }
        rest
    }

    /// Turns the summary of a word into marks.
    fn mark(&mut self, index: usize) {
        let s = match self.solos.give_up(index, self.epoch) {
            Summary::Marked | Summary::Untouched => return,
            Summary::Touched(s) => s,
        };
        let thread = match (s.warp, s.many) {
            (true, _) => WARP | (s.thread / 32),
            (_, true) => MANY,
            _ => s.thread + 1,
        };
        let (block_epoch, warp_epoch, lanes) = (self.epoch, s.warp_epoch, s.lanes);
        let mark = |bytes| Mark { thread, block_epoch, warp_epoch, lanes, partial: 0, bytes, atomic: false };
        let or_none = |bytes: u8| if bytes == 0 { Mark::default() } else { mark(bytes) };
        self.words[index] = Word { writer: or_none(s.bytes.1), reader: or_none(s.bytes.0) };
    }

    fn touch_word(&mut self, index: usize, bytes: u8, how: Touch, who: Who) -> Option<u32> {
        self.mark(index);
        let Word { writer, reader } = self.words[index];
        let atomic = how == Touch::Atomic;
        let other = |m: &Mark| if m.thread == MANY || m.thread & WARP != 0 { u32::MAX } else { m.thread - 1 };
        let clash = |m: &Mark| m.bytes & bytes != 0 && !(m.atomic && atomic) && self.unordered(m, who);
        if how != Touch::SameValue && clash(&writer) {
            return Some(other(&writer));
        }
        if how != Touch::Read && clash(&reader) {
            return Some(other(&reader));
        }
        let (lane, warp_epoch) = (who.thread % 32, who.meets.epoch);
        let mine = Mark {
            thread: who.thread + 1,
            block_epoch: self.epoch,
            warp_epoch,
            lanes: 1 << lane,
            partial: who.meets.count(lane),
            bytes,
            atomic,
        };
        let current = |m: &Mark| m.thread != 0 && m.block_epoch == self.epoch;
        let word = &mut self.words[index];
        if how == Touch::Read {
            let mut mark = mine;
            if current(&reader) {
                // Bytes accumulate: forgetting a reader would hide races, while a byte too many cannot be told apart
                // from a reader of the whole word, so only equal threads or equal bytes are joined.
                let warp_of = if reader.thread & WARP != 0 {
                    reader.thread & !WARP
                } else {
                    (reader.thread.wrapping_sub(1)) / 32
                };
                mark = if reader.thread == mine.thread {
                    Mark { bytes: reader.bytes | bytes, ..mine }
                } else if reader.thread == MANY {
                    Mark { bytes: reader.bytes & bytes, ..reader }
                } else if warp_of == who.thread / 32 && reader.warp_epoch == warp_epoch {
                    Mark {
                        thread: WARP | warp_of,
                        lanes: reader.lanes | mine.lanes,
                        partial: reader.partial.min(mine.partial),
                        bytes: reader.bytes & bytes,
                        ..mine
                    }
                } else if warp_of == who.thread / 32 {
                    mine
                } else {
                    Mark { thread: MANY, bytes: reader.bytes & bytes, ..mine }
                };
                if mark.bytes == 0 {
                    mark = mine;
                }
            }
            word.reader = mark;
        } else {
            let same = current(&writer) && writer.thread == mine.thread && writer.warp_epoch == mine.warp_epoch;
            word.writer = if same { Mark { bytes: writer.bytes | bytes, ..mine } } else { mine };
        }
        None
    }
}
