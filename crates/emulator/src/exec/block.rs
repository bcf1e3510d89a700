//! A block: its warps, shared memory and barriers, on storage that the next block reuses.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::sync::Arc;

use super::code::{Const, Ctl, Inst, LANES, Program, Special};
use super::coverage::Trace;
use super::global_race::GlobalRace;
use super::launch::Launch;
use super::ops::Isa;
use super::race::{Meets, RaceShadow};
use super::warp::{State, Turn, Warp};
use crate::checks::{Checks, Fault, FaultKind};
use crate::counters::Counters;
use crate::mem::{Arena, Range};

/// Zeroed memory aligned to a cache line pair.
pub struct Buffer {
    ptr: *mut u8,
    layout: Layout,
}

impl Buffer {
    /// Allocates `len` bytes.
    pub fn new(len: usize) -> Buffer {
        let layout = Layout::from_size_align(len.max(128), 128).expect("sizes are bounded by the device's limits");
        // SAFETY: the layout is not empty.
        let ptr = unsafe { alloc_zeroed(layout) };
        if ptr.is_null() {
            handle_alloc_error(layout);
        }
        Buffer { ptr, layout }
    }

    /// First byte.
    pub fn ptr(&self) -> *mut u8 {
        self.ptr
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.ptr, self.layout) };
    }
}

/// A barrier's state.
#[derive(Debug, Clone, Copy, Default)]
struct Barrier {
    arrived: u32,
    /// Threads that it waits for; 0 for all live threads of the block.
    count: u32,
    votes: u32,
}

/// What handlers see of the block and the launch.
pub struct Cx {
    /// Shared memory.
    pub shared: *mut u8,
    /// Its size.
    pub shared_len: u32,
    /// A byte for each byte of it: whether something wrote it.
    pub shared_init: *mut u8,
    /// Local memory of a thread.
    pub local_len: u32,
    /// Kernel parameters.
    pub params: *const u8,
    /// Their size.
    pub param_len: u32,
    /// Device memory.
    pub arena: *const Arena,
    /// Bounds of the arena.
    pub arena_range: Range,
    /// The last range that each memory instruction used.
    pub ranges: Vec<Range>,
    /// Generation of the arena for which they hold.
    pub generation: u64,
    /// Whether loads look at the initialisation shadow and stores write it.
    pub init: bool,
    /// Whether accesses are counted, or looked at between blocks.
    pub count: bool,
    /// Whether plain stores go lane by lane, for a race check.
    pub stores_watched: bool,
    /// Whether operations between lanes are checked.
    pub sync: bool,
    /// Checks of device memory between blocks.
    pub order: Option<Arc<GlobalRace>>,
    /// Notes what is executed, for the table of instructions.
    pub trace: Option<Arc<Trace>>,
    /// Number of the block in the grid.
    pub block_index: u32,
    /// Distance from device memory to its initialisation shadow.
    pub init_delta: u64,
    /// Whether accesses to device or shared memory are looked at beyond their bounds.
    pub watched: bool,
    /// Race shadow of shared memory.
    pub race: Option<RaceShadow>,
    /// Counters of this worker.
    pub counters: Counters,
    /// Instructions of this block.
    pub block_instructions: u64,
    /// Why the launch fails.
    pub fault: Option<Fault>,
    /// What the kernel has printed.
    pub output: Vec<u8>,
    /// Block index.
    pub ctaid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Bitmaps of the sectors that loads and stores touched, when counting.
    pub sectors: Option<[*mut u8; 2]>,
    /// Time of the launch's start, for `%globaltimer`.
    pub started: std::time::Instant,
    code: *const Inst,
    barriers: [Barrier; 16],
    pending: u32,
}

impl Cx {
    /// Index of an instruction.
    pub fn pc_of(&self, ins: &Inst) -> u32 {
        ((ins as *const Inst as usize - self.code as usize) / size_of::<Inst>()) as u32
    }

    /// Records the first finding of the block.
    pub fn record(&mut self, pc: u32, thread: u32, kind: FaultKind, addr: u64, bytes: u32) {
        let block = self.ctaid;
        self.fault.get_or_insert(Fault { kind, pc, block, thread, addr, bytes });
    }

    /// Counts threads that reach a barrier.
    pub fn arrive(&mut self, id: u32, count: u32, threads: u32, votes: u32) {
        let b = &mut self.barriers[id as usize];
        b.arrived += threads;
        b.votes += votes;
        b.count = count;
        self.pending |= 1 << id;
    }
}

/// What a launch notes besides its results.
#[derive(Default)]
pub struct Watch {
    /// Checks between blocks.
    pub order: Option<Arc<GlobalRace>>,
    /// Executed instructions.
    pub trace: Option<Arc<Trace>>,
}

/// How a turn of a block ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockTurn {
    /// All threads have exited.
    Done,
    /// More to do.
    More,
    /// A check failed.
    Fault,
}

/// A resident block.
pub struct Block {
    /// What its warps see.
    pub cx: Box<Cx>,
    warps: Vec<Warp>,
    order: Vec<u32>,
    ctaid_slots: Vec<(u8, u32)>,
    max_warp_budget: u32,
    rng: u64,
    _storage: [Buffer; 5],
}

fn put<T: Copy>(regs: *mut u8, slot: u32, f: impl Fn(usize) -> T) {
    for l in 0..LANES {
        // SAFETY: `slot` is a slot of the program's register file with lanes of this type.
        unsafe { *(regs.add(slot as usize) as *mut T).add(l) = f(l) };
    }
}

/// A small generator for schedules (Steele et al., "Fast splittable pseudorandom number generators", OOPSLA 2014).
pub fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number below `most`, the small ones more often than the large ones, so that short loops are cut as well.
pub fn uneven(state: &mut u64, most: u32) -> u32 {
    let r = splitmix(state);
    (r as u32 % most) >> ((r >> 32) % 6)
}

impl Block {
    /// Lays out storage for the blocks of a launch.
    pub fn new(launch: &Launch, watch: &Watch, worker: u32) -> Block {
        let p = &*launch.program;
        let threads = launch.block.iter().product::<u32>();
        let count = (threads as usize).div_ceil(LANES);
        let frame = (p.frame as usize).next_multiple_of(128);
        let preds = (p.preds as usize).next_multiple_of(32);
        let shared_len = p.shared.next_multiple_of(16) + launch.dynamic_shared;
        let storage = [
            Buffer::new(frame * count),
            Buffer::new(preds * 4 * count),
            Buffer::new(shared_len as usize),
            Buffer::new(shared_len as usize),
            Buffer::new(p.local as usize * LANES * count),
        ];
        let arena = &*launch.arena;
        let cx = Box::new(Cx {
            shared: storage[2].ptr(),
            shared_len,
            shared_init: storage[3].ptr(),
            local_len: p.local,
            params: launch.params.as_ptr(),
            param_len: launch.params.len() as u32,
            arena,
            arena_range: Range { lo: arena.base(), hi: arena.end() },
            ranges: vec![Range::default(); p.mem_count as usize],
            generation: 0,
            init: launch.checks.init,
            count: launch.count || watch.order.is_some(),
            stores_watched: (launch.checks.race && shared_len > 0) || watch.order.is_some(),
            sync: launch.checks.sync,
            order: watch.order.clone(),
            trace: watch.trace.clone(),
            block_index: 0,
            init_delta: (arena.shadow(arena.base()) as u64).wrapping_sub(arena.base()),
            watched: launch.checks.shadows() || launch.count || watch.order.is_some(),
            race: (launch.checks.race && shared_len > 0).then(|| RaceShadow::new(shared_len)),
            counters: Counters::default(),
            block_instructions: 0,
            fault: None,
            output: Vec::new(),
            ctaid: [0; 3],
            threads,
            sectors: launch.sectors.as_ref().map(|s| s.each_ref().map(|m| m.base())),
            started: launch.started,
            code: p.code.as_ptr(),
            barriers: [Barrier::default(); 16],
            pending: 0,
        });
        let cx_ptr = &*cx as *const Cx as *mut Cx;
        let warps = (0..count)
            .map(|i| Warp {
                // SAFETY: each warp has its part of the buffers.
                regs: unsafe { storage[0].ptr().add(i * frame) },
                // SAFETY: as above.
                preds: unsafe { storage[1].ptr().add(i * preds * 4) as *mut u32 },
                cx: cx_ptr,
                // SAFETY: as above.
                local: unsafe { storage[4].ptr().add(i * p.local as usize * LANES) },
                live: 0,
                index: i as u32,
                groups: Vec::new(),
                current: 0,
                meets: Meets::default(),
                turns: 0,
                rng: 0,
                saved: Vec::new(),
            })
            .collect();
        let mut block = Block {
            cx,
            warps,
            order: (0..count as u32).collect(),
            ctaid_slots: Vec::new(),
            max_warp_budget: 1024,
            rng: launch.seed ^ (worker as u64) << 48,
            _storage: storage,
        };
        block.constants(launch, worker);
        block
    }

    /// Writes what is the same for all blocks: constants, thread indices, sizes.
    fn constants(&mut self, launch: &Launch, worker: u32) {
        let p = &*launch.program;
        let threads = self.cx.threads;
        for warp in &mut self.warps {
            // SAFETY: slot 0 exists.
            unsafe { *warp.preds = u32::MAX };
            for Const { slot, width, value } in &p.consts {
                match width {
                    2 => put(warp.regs, *slot, |_| *value as u16),
                    4 => put(warp.regs, *slot, |_| *value as u32),
                    _ => put(warp.regs, *slot, |_| *value),
                }
            }
            let first = warp.index * LANES as u32;
            let [x, y, _] = launch.block;
            for (special, slot) in &p.specials {
                let value = |l: usize| {
                    let t = first + l as u32;
                    match *special {
                        Special::Tid(0) => t % x,
                        Special::Tid(1) => t / x % y,
                        Special::Tid(_) => t / x / y,
                        Special::Ntid(a) => launch.block[a as usize],
                        Special::Nctaid(a) => launch.grid[a as usize],
                        Special::Lane => l as u32,
                        Special::Warp => first / 32,
                        Special::Nwarp => threads.div_ceil(32),
                        Special::Sm => worker,
                        Special::Nsm => launch.workers,
                        Special::LaneMask(0) => 1 << l,
                        Special::LaneMask(1) => u32::MAX >> (31 - l),
                        Special::LaneMask(2) => (1 << l) - 1,
                        Special::LaneMask(3) => u32::MAX << l,
                        Special::LaneMask(_) => !(u32::MAX >> (31 - l)),
                        Special::DynamicShared => launch.dynamic_shared,
                        Special::TotalShared => p.shared + launch.dynamic_shared,
                        Special::Ctaid(_) | Special::Zero => 0,
                    }
                };
                put(warp.regs, *slot, value);
            }
        }
        self.ctaid_slots = p
            .specials
            .iter()
            .filter_map(|(s, slot)| if let Special::Ctaid(a) = s { Some((*a, *slot)) } else { None })
            .collect();
    }

    /// Makes the storage ready for block `index` of the grid.
    pub fn start(&mut self, launch: &Launch, index: u64) {
        let [gx, gy, _] = launch.grid.map(u64::from);
        let ctaid = [(index % gx) as u32, (index / gx % gy) as u32, (index / gx / gy) as u32];
        let cx = &mut *self.cx;
        cx.ctaid = ctaid;
        cx.block_index = index as u32;
        cx.block_instructions = 0;
        cx.barriers = [Barrier::default(); 16];
        cx.pending = 0;
        if cx.init && cx.shared_len > 0 {
            // SAFETY: the shadow is as long as shared memory.
            unsafe { cx.shared_init.write_bytes(0, cx.shared_len as usize) };
        }
        if let Some(race) = &mut cx.race {
            race.reset();
        }
        let threads = cx.threads;
        for warp in &mut self.warps {
            for (axis, slot) in &self.ctaid_slots {
                put(warp.regs, *slot, |_| ctaid[*axis as usize]);
            }
            if let Some(slot) = launch.program.frame_pointer {
                put(warp.regs, slot, |_| 0u64);
            }
            let left = threads - warp.index * LANES as u32;
            warp.start(if left >= 32 { u32::MAX } else { (1 << left) - 1 });
        }
        for warp in &mut self.warps {
            warp.rng = 0;
        }
        if launch.seed != 0 {
            self.rng = launch.seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for i in (1..self.order.len()).rev() {
                let k = splitmix(&mut self.rng) as usize % (i + 1);
                self.order.swap(i, k);
            }
            for warp in &mut self.warps {
                warp.rng = splitmix(&mut self.rng) | 1;
            }
        }
    }

    /// Gives each warp that can run a turn, up to `rounds` times.
    pub fn run(&mut self, launch: &Launch, isa: Isa, rounds: u32) -> BlockTurn {
        for _ in 0..rounds {
            let mut alive = false;
            let mut moved = false;
            for k in 0..self.order.len() {
                let warp = &mut self.warps[self.order[k] as usize];
                if warp.groups.is_empty() {
                    continue;
                }
                let mut budget = self.max_warp_budget;
                if launch.seed != 0 {
                    budget = uneven(&mut self.rng, 64);
                }
                let able = warp.groups.iter().any(|g| g.state == State::Run);
                // SAFETY: the warps were laid out for this program.
                let turn = unsafe { warp.run(&launch.program, isa, budget) };
                moved |= able;
                match turn {
                    Turn::Fault => return BlockTurn::Fault,
                    Turn::Done => {}
                    Turn::Blocked | Turn::Yield => alive = true,
                }
                if self.cx.pending != 0 && !self.release(launch) {
                    return BlockTurn::Fault;
                }
            }
            if !alive {
                self.finish();
                return BlockTurn::Done;
            }
            if !moved {
                self.stuck(FaultKind::Deadlock);
                return BlockTurn::Fault;
            }
        }
        BlockTurn::More
    }

    fn finish(&mut self) {
        let cx = &mut *self.cx;
        cx.counters.busiest_block = cx.counters.busiest_block.max(cx.block_instructions);
    }

    /// Records that the launch has run for too long.
    pub fn timeout(&mut self) {
        self.stuck(FaultKind::Timeout);
    }

    fn stuck(&mut self, kind: FaultKind) {
        let first = self.warps.iter().find(|w| !w.groups.is_empty());
        let Some(warp) = first else { return };
        let g = &warp.groups[0];
        let thread = warp.index * 32 + g.mask.trailing_zeros();
        self.cx.record(g.pc, thread, kind, 0, 0);
    }

    /// Where the groups of the block wait, for the report of a deadlock.
    pub fn waiting(&self, program: &Program) -> Vec<String> {
        let groups = self.warps.iter().flat_map(|w| w.groups.iter().map(move |g| (w.index, g)));
        groups
            .take(64)
            .map(|(warp, g)| {
                let what = match g.state {
                    State::Run => "can run".to_string(),
                    State::Sync(m) => format!("waits for lanes {m:#010x}"),
                    State::Barrier(id) => format!("waits at barrier {id}"),
                };
                format!("warp {warp} lanes {:#010x} {what} at {}", g.mask, program.place(g.pc))
            })
            .collect()
    }

    /// Opens barriers that all have reached. False when a check fails.
    fn release(&mut self, launch: &Launch) -> bool {
        let live: u32 = self.warps.iter().map(|w| w.live.count_ones()).sum();
        for id in super::address::active(self.cx.pending).map(|id| id as u32) {
            let b = self.cx.barriers[id as usize];
            if b.arrived < if b.count == 0 { live } else { b.count } {
                continue;
            }
            self.cx.barriers[id as usize] = Barrier::default();
            self.cx.pending &= !(1 << id);
            self.cx.counters.barriers += 1;
            if let Some(race) = &mut self.cx.race {
                race.barrier();
            }
            for warp in &mut self.warps {
                let mut place = None;
                for g in 0..warp.groups.len() {
                    if warp.groups[g].state != State::Barrier(id) {
                        continue;
                    }
                    let (pc, mask) = (warp.groups[g].pc, warp.groups[g].mask);
                    if launch.checks.sync && place.is_some_and(|p| p != pc) {
                        self.cx.record(
                            pc,
                            warp.index * 32 + mask.trailing_zeros(),
                            FaultKind::DivergentBarrier,
                            id as u64,
                            0,
                        );
                        return false;
                    }
                    place = Some(pc);
                    let ins = &launch.program.code[pc as usize];
                    if ins.ctl == Ctl::BarRed {
                        reduction(warp, ins, mask, b);
                    }
                    warp.groups[g].state = State::Run;
                    warp.groups[g].pc += 1;
                }
            }
        }
        true
    }
}

/// Writes the result of `bar.red`: the count, or whether all or any threads voted.
fn reduction(warp: &mut Warp, ins: &Inst, mask: u32, b: Barrier) {
    // SAFETY: `r[2]` is a 32-bit slot or a predicate of the program, as `imm` says.
    unsafe {
        match ins.imm {
            0 => {
                let out = warp.regs.add(ins.r[2] as usize) as *mut u32;
                for l in (0..LANES).filter(|l| (mask >> l) & 1 != 0) {
                    *out.add(l) = b.votes;
                }
            }
            mode => {
                let yes = if mode == 1 { b.votes == b.arrived } else { b.votes > 0 };
                super::ops::set_pred(warp, ins.r[2], mask, if yes { u32::MAX } else { 0 });
            }
        }
    }
}

impl Checks {
    /// Whether any check is on that needs a shadow.
    pub fn shadows(self) -> bool {
        self.init || self.race
    }
}
