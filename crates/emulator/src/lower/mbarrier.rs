//! `mbarrier`: barriers in shared memory.

use super::case::Case;
use super::{Lower, Problem};
use crate::exec::code::{Inst, MemSpace, NONE};
use crate::exec::mbarrier::{arrive, fresh, pending, test_wait};
use crate::exec::memory::store;
use crate::exec::ops::un;
use crate::ptx::{Operand, RegType};
use RegType::{W32, W64};

/// What follows the operation: spaces, and orders and scopes that change nothing here.
const MODS: &[&str] = &["shared", "shared::cta", "release", "acquire", "relaxed", "cta"];

impl Lower<'_> {
    /// Lowers the family; `.expect_tx` and its like, which are for clusters and bulk copies, are not there.
    pub(super) fn mbarrier(&mut self, c: &Case) -> Result<(), Problem> {
        let isa = self.isa;
        let what = *c.mods.first().ok_or("no operation")?;
        c.only(&[&[what, "parity", "noComplete"], MODS].concat())?;
        if c.has("parity") && !matches!(what, "test_wait" | "try_wait")
            || c.has("noComplete") && !matches!(what, "arrive" | "arrive_drop")
        {
            return c.unsupported();
        }
        match what {
            "init" | "inval" => {
                c.count(if what == "init" { 2 } else { 1 })?;
                let word = if what == "init" {
                    let (count, word) = (self.src(c.arg(1)?, W32)?, self.slot(W64));
                    self.push(&c.inst.op, c.inst.guard, un(isa, fresh), |i| i.r[..2].copy_from_slice(&[word, count]));
                    word
                } else {
                    self.constant(8, 0)
                };
                let mut i = self.place_of(c, c.arg(0)?)?;
                i.r[0] = word;
                self.put(c, store::<u64, u64, 1>(isa), i, 0);
            }
            "arrive" | "arrive_drop" => {
                if c.inst.args.len() != 2 {
                    c.count(3)?;
                }
                let mut i = self.place_of(c, c.arg(1)?)?;
                i.r[0] = if *c.arg(0)? == Operand::Sink { NONE } else { self.dst(c.arg(0)?, W64)? };
                i.r[1] = c.inst.args.get(2).map_or(Ok(NONE), |count| self.src(count, W32))?;
                let defines = (i.r[0] != NONE) as u8;
                self.put(c, arrive(isa, what == "arrive_drop"), i, defines);
            }
            // The last operand of `try_wait` says for how long it may wait, which is not at all here.
            "test_wait" | "try_wait" => {
                if what == "test_wait" || c.inst.args.len() != 4 {
                    c.count(3)?;
                }
                let mut i = self.place_of(c, c.arg(1)?)?;
                i.r[1] = self.src(c.arg(2)?, if c.has("parity") { W32 } else { W64 })?;
                i.r[0] = self.dst_pred(c.arg(0)?)?;
                self.put(c, test_wait(isa, c.has("parity")), i, 1);
            }
            "pending_count" => self.lanewise(c, un(isa, pending), W32, &[W64])?,
            _ => return c.unsupported(),
        }
        Ok(())
    }

    /// `cp.async.mbarrier.arrive`: copies are done at once, so it arrives at once. Without `.noinc` the barrier waits for
    /// one arrival more because of it, which changes nothing.
    pub(super) fn arrive_after_copies(&mut self, c: &Case) -> Result<(), Problem> {
        c.only(&[&["async", "mbarrier", "arrive", "noinc"], MODS].concat())?;
        c.count(1)?;
        let mut i = self.place_of(c, c.arg(0)?)?;
        (i.r[0], i.r[1]) = (NONE, NONE);
        let f = if c.has("noinc") { arrive(self.isa, false) } else { crate::exec::ops::nop() };
        self.put(c, f, i, 0);
        Ok(())
    }

    /// The start of an instruction on the barrier that an operand names.
    fn place_of(&mut self, c: &Case, barrier: &Operand) -> Result<Inst, Problem> {
        let shared = c.has("shared") || c.has("shared::cta");
        let mut i = self.blank();
        self.address(&mut i, barrier, if shared { MemSpace::Shared } else { MemSpace::Generic })?;
        Ok(i)
    }
}
