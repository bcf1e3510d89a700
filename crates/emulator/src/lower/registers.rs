//! Register allocation: virtual registers of a function become slots that are used again once their value is dead, so
//! that a warp's registers stay in the cache.
//!
//! Liveness is the usual backward dataflow over basic blocks; intervals are then given slots in order of their start
//! (Poletto and Sarkar, "Linear scan register allocation", TOPLAS 21(5), 1999), without spilling, for there are as many
//! slots as it takes.
//!
//! Diverged lanes share the slots of their warp, but each lane has its own column of a slot, handlers write only the
//! columns of lanes that take part, and each lane runs through the function as a thread of its own. The liveness of one
//! thread is therefore enough. A definition under a guard leaves the lanes whose guard is false as they were, so it does
//! not end the life of the value before.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::exec::code::{Ctl, Inst, LANES, NONE};
use crate::ptx::RegType;

/// Operands of an instruction that are virtual registers carry this above an index.
pub(super) const VALUE: u32 = 1 << 28;
/// The same for predicates.
pub(super) const PREDICATE: u32 = 2 << 28;
/// Operands that are slots of constants and special registers carry this above a byte offset.
pub(super) const FIXED: u32 = 3 << 28;
const INDEX: u32 = (1 << 28) - 1;
const NEGATED: u32 = 1 << 31;

/// What an operand is, and its number.
pub(super) fn tag(operand: u32) -> (u32, u32) {
    let v = operand & !NEGATED;
    if operand == NONE { (0, 0) } else { (v & !INDEX, v & INDEX) }
}

/// Index of the virtual register in an operand.
fn virtual_register(operand: u32) -> Option<usize> {
    match tag(operand) {
        (VALUE | PREDICATE, index) => Some(index as usize),
        _ => None,
    }
}

/// Bytes of a slot.
pub(super) fn slot_bytes(class: RegType) -> u32 {
    (class.bytes() * LANES as u32).max(64)
}

/// Calls `f` with each virtual register that an instruction names and whether it is defined here; reads come first.
fn mentions(inst: &Inst, defs: u8, mut f: impl FnMut(usize, bool)) {
    let guarded = inst.guard != 0;
    let operands =
        || inst.r.iter().enumerate().filter_map(|(k, o)| Some((defs & (1 << k) != 0, virtual_register(*o)?)));
    let guard = virtual_register(inst.guard).map(|v| (false, v));
    operands().chain(guard).filter(|(def, _)| !def || guarded).for_each(|(_, v)| f(v, false));
    operands().filter(|(def, _)| *def).for_each(|(_, v)| f(v, true));
}

/// A basic block.
struct Block {
    first: usize,
    end: usize,
    next: Vec<usize>,
}

/// Where the instructions of a function stand in the program, and their branch tables.
pub(super) struct Body<'a> {
    pub code: &'a mut [Inst],
    /// A bit for each operand that the instruction defines.
    pub defs: &'a [u8],
    /// Number of the first instruction in the program.
    pub entry: u32,
    pub tables: &'a [Vec<u32>],
    /// Class of each virtual register.
    pub classes: &'a [RegType],
}

/// Where the next function's slots begin.
#[derive(Clone, Copy)]
pub(super) struct Space {
    pub bytes: u32,
    pub preds: u32,
}

impl Body<'_> {
    /// Targets of an instruction inside of the function, and whether it goes on behind.
    fn targets(&self, at: usize) -> (Vec<usize>, bool) {
        let i = &self.code[at];
        let guarded = i.guard != 0;
        let here = |t: u32| (t - self.entry) as usize;
        match i.ctl {
            Ctl::Bra => (vec![here(i.imm as u32)], guarded),
            Ctl::BrxIdx => (self.tables[i.imm as usize].iter().map(|t| here(*t)).collect(), guarded),
            Ctl::Exit | Ctl::Ret | Ctl::Trap => (Vec::new(), guarded),
            _ => (Vec::new(), true),
        }
    }

    fn blocks(&self) -> Vec<Block> {
        let n = self.code.len();
        let mut leaders = BTreeSet::from([0]);
        for at in 0..n {
            let (targets, on) = self.targets(at);
            if !targets.is_empty() || !on {
                leaders.extend(targets);
                leaders.insert(at + 1);
            }
        }
        let starts: Vec<usize> = leaders.into_iter().filter(|s| *s < n).collect();
        let number: HashMap<usize, usize> = starts.iter().enumerate().map(|(k, s)| (*s, k)).collect();
        let block = |k: usize| {
            let end = starts.get(k + 1).copied().unwrap_or(n);
            let (mut targets, on) = self.targets(end - 1);
            if on && end < n {
                targets.push(end);
            }
            Block { first: starts[k], end, next: targets.iter().map(|t| number[t]).collect() }
        };
        (0..starts.len()).map(block).collect()
    }

    /// First and last point at which each virtual register holds a value; uses of instruction `i` are at `2 * i`, its
    /// definitions at `2 * i + 1`.
    fn intervals(&self) -> Vec<Option<(u32, u32)>> {
        let blocks = self.blocks();
        // Only registers that a block reads before it defines them can live across blocks.
        let mut number = vec![u32::MAX; self.classes.len()];
        let mut crossing = 0;
        let mut seen = vec![usize::MAX; self.classes.len()];
        for (k, b) in blocks.iter().enumerate() {
            for at in b.first..b.end {
                mentions(&self.code[at], self.defs[at], |v, def| {
                    if def {
                        seen[v] = k;
                    } else if seen[v] != k && number[v] == u32::MAX {
                        number[v] = crossing;
                        crossing += 1;
                    }
                });
            }
        }
        let words = (crossing as usize).div_ceil(64);
        let mut gen_ = vec![vec![0u64; words]; blocks.len()];
        let mut kill = gen_.clone();
        for (k, b) in blocks.iter().enumerate() {
            for at in b.first..b.end {
                mentions(&self.code[at], self.defs[at], |v, def| {
                    let (word, bit) = match number[v] {
                        u32::MAX => return,
                        n => (n as usize / 64, 1u64 << (n % 64)),
                    };
                    if def {
                        kill[k][word] |= bit;
                    } else if kill[k][word] & bit == 0 {
                        gen_[k][word] |= bit;
                    }
                });
            }
        }
        let mut live_in = gen_.clone();
        let mut live_out = vec![vec![0u64; words]; blocks.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for k in (0..blocks.len()).rev() {
                for word in 0..words {
                    let out = blocks[k].next.iter().fold(0, |o, s| o | live_in[*s][word]);
                    let into = gen_[k][word] | (out & !kill[k][word]);
                    changed |= into != live_in[k][word];
                    (live_out[k][word], live_in[k][word]) = (out, into);
                }
            }
        }
        let mut spans: Vec<Option<(u32, u32)>> = vec![None; self.classes.len()];
        let touch = |spans: &mut Vec<Option<(u32, u32)>>, v: usize, at: u32| {
            let (first, last) = spans[v].unwrap_or((at, at));
            spans[v] = Some((first.min(at), last.max(at)));
        };
        for (k, b) in blocks.iter().enumerate() {
            for at in b.first..b.end {
                mentions(&self.code[at], self.defs[at], |v, def| touch(&mut spans, v, 2 * at as u32 + def as u32));
            }
            for (v, n) in number.iter().enumerate().filter(|(_, n)| **n != u32::MAX) {
                let live = |set: &[Vec<u64>]| set[k][*n as usize / 64] & (1 << (n % 64)) != 0;
                if live(&live_in) {
                    touch(&mut spans, v, 2 * b.first as u32);
                }
                if live(&live_out) {
                    touch(&mut spans, v, 2 * b.end as u32 - 1);
                }
            }
        }
        spans
    }

    /// Gives every virtual register a slot from `space` on and writes the slots into the instructions. Gives the slots as
    /// well, each with the bytes of a lane.
    pub(super) fn allocate(&mut self, space: Space) -> (Space, Vec<(u32, u32)>) {
        let mut order: Vec<(u32, u32, usize)> =
            self.intervals().iter().enumerate().filter_map(|(v, s)| s.map(|(a, b)| (a, b, v))).collect();
        order.sort_unstable();
        let mut next = space;
        let mut slots = vec![NONE; self.classes.len()];
        let mut made = Vec::new();
        // Slots are shared within a class only, so that a result never overlaps a part of an operand.
        let mut free: HashMap<RegType, Vec<u32>> = HashMap::new();
        let mut active: BTreeMap<(u32, usize), u32> = BTreeMap::new();
        for (start, end, v) in order {
            while let Some((&(last, old), &slot)) = active.first_key_value()
                && last < start
            {
                active.pop_first();
                free.entry(self.classes[old]).or_default().push(slot);
            }
            let class = self.classes[v];
            let slot = free.get_mut(&class).and_then(Vec::pop).unwrap_or_else(|| {
                if class == RegType::Pred {
                    next.preds += 1;
                    return next.preds - 1;
                }
                made.push((next.bytes, class.bytes()));
                next.bytes += slot_bytes(class);
                next.bytes - slot_bytes(class)
            });
            slots[v] = slot;
            active.insert((end, v), slot);
        }
        for inst in self.code.iter_mut() {
            for operand in inst.r.iter_mut().chain([&mut inst.guard]) {
                if let Some(v) = virtual_register(*operand) {
                    *operand = slots[v] | (*operand & NEGATED);
                }
            }
        }
        (next, made)
    }
}
