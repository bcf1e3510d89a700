//! Races in device memory between blocks, and a lint for words that atomics and plain accesses share. Both are options:
//! they look at every byte and run the blocks of a launch on one host thread.
//!
//! Each block has a vector clock (Lamport, "Time, clocks, and the ordering of events", CACM 1978; the use for races
//! follows Flanagan and Freund, "FastTrack", PLDI 2009). A fence of device scope makes what the block did so far ready to
//! be published; a strong store or an atomic behind it publishes that at its word; a strong load or an atomic that reads
//! the word takes it over. Two accesses of a byte by different blocks, one of them a write and one of them plain, race
//! unless the clocks order them. Without the fence nothing is published, so a missing `__threadfence` shows, although
//! x86 would order the stores. Acquiring without a fence is let pass: much sound code relies on a barrier there.

use std::collections::{BTreeMap, HashMap, HashSet};

use parking_lot::Mutex;

use super::code::Program;
use super::race::Touch;

/// What a memory instruction orders.
const RELEASES: u8 = 1;
/// A fence that other blocks may rely on.
const FENCES: u8 = 2;

type Clock = HashMap<u32, u32>;

/// One access of a byte.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    /// Block number plus one; 0 for nobody.
    block: u32,
    /// The block's own clock then.
    clock: u32,
    /// Whether the access was atomic, volatile or had a memory order.
    strong: bool,
}

/// Readers that a byte remembers; more are forgotten, which can hide a race but never invents one.
const READERS: usize = 4;

#[derive(Debug, Clone, Copy, Default)]
struct Byte {
    writer: Mark,
    readers: [Mark; READERS],
}

#[derive(Debug, Default)]
struct BlockClock {
    /// What the block knows of the others.
    seen: Clock,
    /// Its own clock, which a fence moves on.
    own: u32,
    /// What the last fence made ready.
    fenced: Option<Clock>,
}

/// The first instructions of either kind that touched a word.
#[derive(Debug, Clone, Copy, Default)]
struct Mix {
    atomic: Option<u32>,
    plain: Option<u32>,
}

#[derive(Debug, Default)]
struct State {
    bytes: HashMap<u64, Byte>,
    published: HashMap<u64, Clock>,
    blocks: HashMap<u32, BlockClock>,
    mixes: HashMap<u64, Mix>,
    reported: HashSet<(u32, u32)>,
    lints: BTreeMap<(u32, u32), u64>,
}

/// Shadow of device memory for one launch.
#[derive(Debug)]
pub struct GlobalRace {
    /// What each instruction orders.
    order: Vec<u8>,
    races: bool,
    lint: bool,
    state: Mutex<State>,
}

/// An access of a warp: its instruction, its block, and how it touches memory.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// Instruction index.
    pub pc: u32,
    /// Number of the block in the grid.
    pub block: u32,
    /// Read, write or atomic.
    pub how: Touch,
    /// Whether it is volatile or has a memory order.
    pub strong: bool,
    /// Bytes of each lane.
    pub bytes: u32,
}

/// A race: the byte's address and the other block.
pub type Clash = (u64, u32);

fn join(into: &mut Clock, from: &Clock) {
    for (block, clock) in from {
        let mine = into.entry(*block).or_default();
        *mine = (*mine).max(*clock);
    }
}

fn order_of(opcode: &str) -> u8 {
    let has = |m: &str| opcode.split('.').any(|part| part == m);
    let name = opcode.split('.').next().unwrap_or("");
    if matches!(name, "membar" | "fence") {
        let wide = has("gl") || has("sys") || has("gpu");
        return if wide { FENCES } else { 0 };
    }
    if has("release") || has("acq_rel") { RELEASES } else { 0 }
}

impl GlobalRace {
    /// A shadow for a launch of `program`; `races` and `lint` choose what is looked for.
    pub fn new(program: &Program, races: bool, lint: bool) -> GlobalRace {
        let order = (0..program.code.len() as u32).map(|pc| order_of(program.opcode(pc))).collect();
        GlobalRace { order, races, lint, state: Mutex::default() }
    }

    /// Whether the instruction at `pc` has a bit of [`RELEASES`] or [`FENCES`].
    fn orders(&self, pc: u32, bit: u8) -> bool {
        self.order.get(pc as usize).is_some_and(|o| o & bit != 0)
    }

    /// A fence of any scope at `pc`.
    pub fn fence(&self, pc: u32, block: u32) {
        if self.orders(pc, FENCES) {
            self.state.lock().fence(block);
        }
    }

    /// Notes an access of one lane at `at`.
    pub fn touch(&self, access: Access, at: u64) -> Option<Clash> {
        let mut state = self.state.lock();
        if self.lint {
            state.mix(access, at);
        }
        if !self.races {
            return None;
        }
        let strong = access.strong || access.how == Touch::Atomic;
        if strong {
            state.acquire(access, at);
        }
        for byte in at..at + access.bytes as u64 {
            if let Some(other) = state.byte(access, strong, byte) {
                return Some((byte, other));
            }
        }
        if strong && access.how != Touch::Read {
            if self.orders(access.pc, RELEASES) {
                state.fence(access.block);
            }
            state.publish(access, at);
        }
        None
    }

    /// What the lint found: the places of a plain access and of an atomic to the same word, and its address.
    pub fn lints(&self, program: &Program) -> Vec<String> {
        let state = self.state.lock();
        let line = |((plain, atomic), at): (&(u32, u32), &u64)| {
            format!(
                "lint: kernel {} touches the word at {at:#x} by a plain access at {} ({}) and by an atomic at {} ({})",
                program.name,
                program.place(*plain),
                program.opcode(*plain),
                program.place(*atomic),
                program.opcode(*atomic),
            )
        };
        state.lints.iter().map(line).collect()
    }
}

impl State {
    fn clock(&mut self, block: u32) -> &mut BlockClock {
        self.blocks.entry(block).or_insert_with(|| BlockClock { own: 1, ..BlockClock::default() })
    }

    fn fence(&mut self, block: u32) {
        let b = self.clock(block);
        let mut ready = b.seen.clone();
        ready.insert(block, b.own);
        b.own += 1;
        b.fenced = Some(ready);
    }

    /// Takes over what was published at the words of a strong access. An atomic that only writes does so as well,
    /// since its value decides what comes next only when it is read.
    fn acquire(&mut self, access: Access, at: u64) {
        if access.how == Touch::Write {
            return;
        }
        if let Some(clock) = self.published.get(&(at & !3)) {
            let clock = clock.clone();
            join(&mut self.clock(access.block).seen, &clock);
        }
    }

    fn publish(&mut self, access: Access, at: u64) {
        if let Some(ready) = self.clock(access.block).fenced.clone() {
            join(self.published.entry(at & !3).or_default(), &ready);
        }
    }

    /// The block that races with an access of one byte, if any.
    fn byte(&mut self, access: Access, strong: bool, at: u64) -> Option<u32> {
        let me = self.blocks.entry(access.block).or_insert_with(|| BlockClock { own: 1, ..BlockClock::default() });
        let byte = self.bytes.entry(at).or_default();
        let unordered = |m: &Mark| {
            m.block != 0
                && m.block - 1 != access.block
                && !(m.strong && strong)
                && me.seen.get(&(m.block - 1)).copied().unwrap_or(0) < m.clock
        };
        if access.how != Touch::SameValue && unordered(&byte.writer) {
            return Some(byte.writer.block - 1);
        }
        if access.how != Touch::Read
            && let Some(reader) = byte.readers.iter().find(|m| unordered(m))
        {
            return Some(reader.block - 1);
        }
        let mine = Mark { block: access.block + 1, clock: me.own, strong };
        if access.how == Touch::Read {
            let own = byte.readers.iter().position(|m| m.block == mine.block || m.block == 0);
            if let Some(i) = own {
                byte.readers[i] = mine;
            }
        } else {
            *byte = Byte { writer: mine, ..Byte::default() };
        }
        None
    }

    fn mix(&mut self, access: Access, at: u64) {
        let atomic = access.how == Touch::Atomic;
        if access.strong && !atomic {
            return;
        }
        let mix = self.mixes.entry(at & !3).or_default();
        let place = if atomic { &mut mix.atomic } else { &mut mix.plain };
        place.get_or_insert(access.pc);
        if let Mix { atomic: Some(a), plain: Some(p) } = *mix
            && self.reported.insert((p, a))
        {
            self.lints.insert((p, a), at & !3);
        }
    }
}
