//! A warp: groups of lanes that share a program counter. The group with the lowest counter runs; groups merge where
//! they meet, so diverged lanes behave as on Volta and later, and converged code pays for one comparison.

use super::block::{Cx, splitmix, uneven};
use super::code::{Ctl, Flow, Inst, LANES, Program};
use super::ops::Isa;
use super::race::Meets;
use crate::checks::FaultKind;

/// What a group of lanes is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It can run.
    Run,
    /// It waits at a `.sync` operation for the lanes of the mask.
    Sync(u32),
    /// It waits at a barrier of the block.
    Barrier(u32),
}

/// Lanes with one program counter.
#[derive(Debug, Clone)]
pub struct Group {
    /// Index of the next instruction.
    pub pc: u32,
    /// Its lanes.
    pub mask: u32,
    /// What it does.
    pub state: State,
    /// Return addresses, innermost last: program counter and call site.
    pub stack: Vec<(u32, u32)>,
}

/// How a turn of a warp ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// All lanes have exited.
    Done,
    /// All groups wait.
    Blocked,
    /// The turn's budget is used up.
    Yield,
    /// A check failed; see [`Cx::fault`].
    Fault,
}

/// A warp and its registers.
pub struct Warp {
    /// Register file.
    pub regs: *mut u8,
    /// Predicate slots; slot 0 is always true.
    pub preds: *mut u32,
    /// The block it belongs to.
    pub cx: *mut Cx,
    /// Local memory of lane 0; lanes follow at a fixed distance.
    pub local: *mut u8,
    /// Lanes that have not exited.
    pub live: u32,
    /// Number in the block.
    pub index: u32,
    /// The groups; a finished warp has none.
    pub groups: Vec<Group>,
    /// Index of the group that runs.
    pub current: usize,
    /// Which lanes of the warp have met, for the race check.
    pub meets: Meets,
    /// Turns ended by the budget, to vary the choice of the group.
    pub turns: u32,
    /// State of the schedule's generator; 0 in plain order.
    pub rng: u64,
    /// For each lane, registers of calls that a function made to itself.
    pub saved: Vec<Vec<u8>>,
}

/// Under a seed a turn may end after up to this many instructions without a branch.
const SLICE: u32 = 64;

impl Warp {
    /// The values of a 32-bit slot.
    ///
    /// # Safety
    /// `slot` must be a 32-bit slot of the program that the warp is laid out for.
    #[inline(always)]
    pub unsafe fn lanes32(&self, slot: u32) -> [u32; LANES] {
        // SAFETY: slots are aligned and hold 32 lanes.
        unsafe { *(self.regs.add(slot as usize) as *const [u32; LANES]) }
    }

    /// As [`Warp::lanes32`] for 64-bit slots.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn lanes64(&self, slot: u32) -> [u64; LANES] {
        // SAFETY: as above.
        unsafe { *(self.regs.add(slot as usize) as *const [u64; LANES]) }
    }

    /// Records why the launch fails.
    #[cold]
    #[inline(never)]
    pub fn fault(&mut self, ins: &Inst, lane: u32, kind: FaultKind, addr: u64, bytes: u32) -> Flow {
        // SAFETY: a warp's context outlives its run.
        let cx = unsafe { &mut *self.cx };
        let pc = cx.pc_of(ins);
        cx.record(pc, self.index * LANES as u32 + lane, kind, addr, bytes);
        Flow::Fault
    }

    /// Makes the groups of a fresh block.
    pub fn start(&mut self, mask: u32) {
        self.live = mask;
        self.groups.clear();
        self.groups.push(Group { pc: 0, mask, state: State::Run, stack: Vec::new() });
        self.current = 0;
        self.meets.reset();
        self.saved.iter_mut().for_each(Vec::clear);
        self.turns = 0;
    }

    /// Runs until the warp ends, waits, or has taken `budget` backward branches.
    ///
    /// # Safety
    /// The warp must be laid out for `program`.
    pub unsafe fn run(&mut self, program: &Program, isa: Isa, budget: u32) -> Turn {
        match isa {
            // SAFETY: passed on from the caller.
            Isa::Base => unsafe { self.run_body(program, budget) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above; `Isa::detect` has seen these features.
            Isa::Avx2 => unsafe { self.run_avx2(program, budget) },
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt,f16c")]
    unsafe fn run_avx2(&mut self, program: &Program, budget: u32) -> Turn {
        // SAFETY: passed on from the caller.
        unsafe { self.run_body(program, budget) }
    }

    #[inline(always)]
    unsafe fn run_body(&mut self, program: &Program, mut budget: u32) -> Turn {
        let code = program.code.as_ptr();
        let fair = self.turns % 4 == 3;
        let Some(mut stop) = self.schedule(fair) else { return self.idle() };
        let (mut pc, mut mask) = (self.groups[self.current].pc, self.groups[self.current].mask);
        let (mut issued, mut lanes) = (0u64, 0u64);
        let turn = loop {
            // SAFETY: every path of a program ends in a control operation and targets are inside it.
            let ins = unsafe { &*code.add(pc as usize) };
            // SAFETY: guards are predicate slots of the program.
            let m = mask & unsafe { super::ops::pred(self, ins.guard) };
            issued += 1;
            lanes += m.count_ones() as u64;
            // SAFETY: the warp is laid out for the program.
            match unsafe { (ins.f)(self, ins, m) } {
                Flow::Next => {
                    pc += 1;
                    if pc != stop {
                        continue;
                    }
                }
                Flow::Fault => break Turn::Fault,
                Flow::Control => {
                    let uniform_branch = ins.ctl == Ctl::Bra && (m == mask || m == 0);
                    if uniform_branch {
                        let next = if m == 0 { pc + 1 } else { ins.imm as u32 };
                        let back = next <= pc;
                        pc = next;
                        if back {
                            if budget == 0 {
                                self.groups[self.current].pc = pc;
                                self.turns += 1;
                                break Turn::Yield;
                            }
                            budget -= 1;
                        }
                        if self.groups.len() == 1 {
                            continue;
                        }
                    } else {
                        self.groups[self.current].pc = pc;
                        // SAFETY: passed on from the caller.
                        match unsafe { self.control(program, ins, m) } {
                            Ok(false) => {}
                            Ok(true) => {
                                self.turns += 1;
                                break Turn::Yield;
                            }
                            Err(()) => break Turn::Fault,
                        }
                        // Loops by branch tables and calls are slow enough to be counted by the instruction.
                        if budget == 0 {
                            self.turns += 1;
                            break Turn::Yield;
                        }
                        budget -= 1;
                        match self.schedule(fair) {
                            Some(s) => stop = s,
                            None => break self.idle(),
                        }
                        (pc, mask) = (self.groups[self.current].pc, self.groups[self.current].mask);
                        continue;
                    }
                }
            }
            // Another group may be here, or behind; under a seed, the end of a time slice.
            self.groups[self.current].pc = pc;
            if self.rng != 0 && splitmix(&mut self.rng) & 1 == 0 {
                self.turns += 1;
                break Turn::Yield;
            }
            match self.schedule(fair) {
                Some(s) => stop = s,
                None => break self.idle(),
            }
            (pc, mask) = (self.groups[self.current].pc, self.groups[self.current].mask);
        };
        // SAFETY: a warp's context outlives its run.
        let cx = unsafe { &mut *self.cx };
        cx.counters.instructions += issued;
        cx.counters.lane_instructions += lanes;
        cx.block_instructions += issued;
        turn
    }

    fn idle(&self) -> Turn {
        if self.groups.is_empty() { Turn::Done } else { Turn::Blocked }
    }

    /// Merges groups that have met and picks the one to run. Gives the program counter at which the next merge may
    /// happen, or none when no group can run.
    fn schedule(&mut self, fair: bool) -> Option<u32> {
        if let [only] = &self.groups[..] {
            self.current = 0;
            let stop = if self.rng == 0 { u32::MAX } else { only.pc + 1 + uneven(&mut self.rng, SLICE) };
            return (only.state == State::Run).then_some(stop);
        }
        let mut i = 0;
        while i < self.groups.len() {
            let mut k = i + 1;
            while k < self.groups.len() {
                let (a, b) = (&self.groups[i], &self.groups[k]);
                if a.pc == b.pc && a.state == State::Run && b.state == State::Run && a.stack == b.stack {
                    self.groups[i].mask |= self.groups[k].mask;
                    self.groups.swap_remove(k);
                } else {
                    k += 1;
                }
            }
            i += 1;
        }
        // Deeper calls first, then the lowest counter: both bring lanes back together soonest. A fair turn takes the
        // other end, so that lanes that spin cannot starve the lane they wait for.
        let key = |g: &Group| (std::cmp::Reverse(g.stack.len()), g.pc);
        let runnable = self.groups.iter().enumerate().filter(|(_, g)| g.state == State::Run);
        let chance = self.rng != 0 && splitmix(&mut self.rng) & 1 == 0;
        let pick = if chance {
            let all: Vec<_> = runnable.collect();
            let at = splitmix(&mut self.rng) as usize % all.len().max(1);
            all.get(at).copied()
        } else if fair {
            runnable.max_by_key(|(_, g)| key(g))
        } else {
            runnable.min_by_key(|(_, g)| key(g))
        };
        let (current, chosen) = pick?;
        let stop = self
            .groups
            .iter()
            .enumerate()
            .filter(|(i, g)| *i != current && g.state == State::Run && g.pc > chosen.pc)
            .map(|(_, g)| g.pc)
            .min()
            .unwrap_or(u32::MAX);
        let pc = chosen.pc;
        self.current = current;
        Some(if self.rng == 0 { stop } else { stop.min(pc + 1 + uneven(&mut self.rng, SLICE)) })
    }
}
