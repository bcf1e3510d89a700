//! One instruction on its way through the lowering: its opcode taken apart.

use super::{Lower, Problem};
use crate::exec::code::Handler;
use crate::ptx::{Function, Inst, Operand, RegType, Type};

/// An instruction with its opcode split at the dots.
pub(super) struct Case<'a> {
    pub inst: &'a Inst,
    pub name: &'a str,
    pub mods: Vec<&'a str>,
    /// The types among the modifiers, in order.
    pub types: Vec<Type>,
}

impl<'a> Case<'a> {
    pub fn new(inst: &'a Inst) -> Result<Case<'a>, Problem> {
        let mut parts = inst.op.split('.');
        let name = parts.next().unwrap_or("");
        let mods: Vec<_> = parts.collect();
        let types = mods.iter().filter_map(|m| Type::parse(m)).collect();
        Ok(Case { inst, name, mods, types })
    }

    pub fn has(&self, m: &str) -> bool {
        self.mods.contains(&m)
    }

    /// The last type, which most instructions work on.
    pub fn ty(&self) -> Result<Type, Problem> {
        self.types.last().copied().ok_or_else(|| "no type".to_string())
    }

    pub fn arg(&self, i: usize) -> Result<&'a Operand, Problem> {
        self.inst.args.get(i).ok_or_else(|| format!("operand {i} is missing"))
    }

    pub fn count(&self, n: usize) -> Result<(), Problem> {
        if self.inst.args.len() == n { Ok(()) } else { Err(format!("expected {n} operands")) }
    }

    /// Refuses modifiers beyond the given ones and types: an unknown form must never run as a known one.
    pub fn only(&self, allowed: &[&str]) -> Result<(), Problem> {
        match self.mods.iter().find(|m| !allowed.contains(m) && Type::parse(m).is_none()) {
            Some(m) => Err(format!("modifier .{m} is not supported")),
            None => Ok(()),
        }
    }

    pub fn unsupported<T>(&self) -> Result<T, Problem> {
        Err("not supported by the emulator".to_string())
    }
}

impl Lower<'_> {
    /// Emits a lane-wise instruction: the first operand is written, the others are read.
    pub(super) fn lanewise(&mut self, c: &Case, h: Handler, dst: RegType, srcs: &[RegType]) -> Result<(), Problem> {
        c.count(srcs.len() + 1)?;
        let mut r = [crate::exec::code::NONE; 6];
        for (i, class) in srcs.iter().enumerate() {
            r[i + 1] = self.src(c.arg(i + 1)?, *class)?;
        }
        r[0] = self.dst(c.arg(0)?, dst)?;
        self.push(&c.inst.op, c.inst.guard, h, |i| i.r = r);
        Ok(())
    }

    /// Chooses the family of an instruction.
    pub(super) fn instruction(&mut self, c: &Case, f: &Function) -> Result<(), Problem> {
        if let Some((reg, _)) = c.inst.guard
            && self.f.classes[reg as usize] != Some(RegType::Pred)
        {
            return Err("the guard is no predicate".into());
        }
        match c.name {
            "ld" | "ldu" | "st" | "atom" | "red" | "prefetch" | "prefetchu" | "membar" | "fence" | "cvta"
            | "isspacep" | "discard" | "applypriority" => self.memory(c),
            "bra" | "brx" | "call" | "ret" | "exit" | "trap" | "brkpt" | "bar" | "barrier" | "shfl" | "vote"
            | "match" | "activemask" | "redux" | "nanosleep" | "pmevent" => self.control(c, f),
            "cp" => self.copy_async(c),
            "mbarrier" => self.mbarrier(c),
            "cvt" => self.convert(c),
            "mov" => self.mov(c),
            _ => {
                if self.float(c)? || self.integer(c)? {
                    return Ok(());
                }
                c.unsupported()
            }
        }
    }
}
