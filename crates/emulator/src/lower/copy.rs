//! `cp.async`: copies from device memory to shared memory. The ISA lets them happen any time before the wait; here they
//! happen at once, as a load and a store.

use super::case::Case;
use super::{Lower, Problem};
use crate::exec::code::{MemSpace, NONE};
use crate::exec::memory::{load, store};
use crate::exec::ops::{bin, nop, setp, un};
use crate::ptx::{Operand, RegType};
use RegType::{Pred, W32};

impl Lower<'_> {
    /// Lowers the family.
    pub(super) fn copy_async(&mut self, c: &Case) -> Result<(), Problem> {
        const HINTS: &[&str] = &["L2::cache_hint", "L2::64B", "L2::128B", "L2::256B"];
        let Some(("async", mods)) = c.mods.split_first().map(|(first, rest)| (*first, rest)) else {
            return c.unsupported();
        };
        match mods {
            ["commit_group" | "wait_all" | "wait_group"] => {
                self.push(&c.inst.op, c.inst.guard, nop(), |_| {});
                return Ok(());
            }
            ["mbarrier", "arrive", ..] => return self.arrive_after_copies(c),
            ["ca" | "cg", "shared" | "shared::cta", "global", hints @ ..]
                if hints.iter().all(|h| HINTS.contains(h)) => {}
            _ => return c.unsupported(),
        }
        let Operand::Int(size @ (4 | 8 | 16)) = *c.arg(2)? else { return Err("the size must be 4, 8 or 16".into()) };
        let have = match c.inst.args.get(3) {
            None => Some(size),
            Some(Operand::Int(n)) if (0..=size).contains(n) => Some(*n),
            Some(Operand::Int(_)) => return Err("more bytes in the source than in the copy".into()),
            Some(Operand::Reg(r)) if self.f.classes[*r as usize] == Some(W32) => None,
            Some(_) => return c.unsupported(),
        };
        let mut words = [NONE; 4];
        let count = size as usize / 4;
        for w in words.iter_mut().take(count) {
            *w = self.slot(W32);
        }
        if have == Some(size) {
            let mut i = self.blank();
            self.address(&mut i, c.arg(1)?, MemSpace::Global)?;
            i.r[..4].copy_from_slice(&words);
            let isa = self.isa;
            let f = match count {
                1 => load::<u32, u32, 1>(isa),
                2 => load::<u32, u32, 2>(isa),
                _ => load::<u32, u32, 4>(isa),
            };
            self.put(c, f, i, (1 << count) - 1);
        } else {
            self.bytes(c, &words[..count], have)?;
        }
        let mut i = self.blank();
        self.address(&mut i, c.arg(0)?, MemSpace::Shared)?;
        i.r[..4].copy_from_slice(&words);
        let isa = self.isa;
        let f = match count {
            1 => store::<u32, u32, 1>(isa),
            2 => store::<u32, u32, 2>(isa),
            _ => store::<u32, u32, 4>(isa),
        };
        self.put(c, f, i, 0);
        Ok(())
    }

    /// Reads the bytes that the source has, `have` or as many as the fourth operand says; the rest is zero.
    fn bytes(&mut self, c: &Case, words: &[u32], have: Option<i64>) -> Result<(), Problem> {
        let (isa, guard, op) = (self.isa, c.inst.guard, &c.inst.op);
        let zero = self.constant(4, 0);
        for w in words {
            self.push(op, guard, un(isa, |a: u32| a), |i| i.r[..2].copy_from_slice(&[*w, zero]));
        }
        for at in 0..words.len() * 4 {
            if have.is_some_and(|n| at as i64 >= n) {
                break;
            }
            let byte = self.slot(W32);
            self.push(op, guard, un(isa, |a: u32| a), |i| i.r[..2].copy_from_slice(&[byte, zero]));
            // The load is only for lanes that have this byte, on top of the instruction's own guard.
            let mut only = None;
            if have.is_none() {
                let number = self.src(c.arg(3)?, W32)?;
                let (p, k) = (self.slot(Pred), self.constant(4, at as u64));
                let own = guard.map_or(0, |(reg, negated)| self.f.slots[reg as usize] | (negated as u32) << 31);
                self.push(op, None, setp(isa, |n: u32, k: u32| n > k), |i| {
                    (i.r, i.imm) = ([p, NONE, number, k, own, NONE], 1);
                });
                only = Some(p);
            }
            let mut i = self.blank();
            self.address(&mut i, c.arg(1)?, MemSpace::Global)?;
            i.imm += at as i64;
            i.r[0] = byte;
            self.put(c, load::<u8, u32, 1>(isa), i, 1);
            if let (Some(p), Some(last)) = (only, self.program.code.last_mut()) {
                last.guard = p;
            }
            let shift = self.constant(4, (at % 4 * 8) as u64);
            let part = self.slot(W32);
            self.push(op, guard, bin(isa, |a: u32, n: u32| a << (n & 31)), |i| {
                i.r[..3].copy_from_slice(&[part, byte, shift]);
            });
            let word = words[at / 4];
            self.push(op, guard, bin(isa, |a: u32, b: u32| a | b), |i| i.r[..3].copy_from_slice(&[word, word, part]));
        }
        Ok(())
    }
}
