//! Branches, calls, barriers and operations between lanes.

use super::case::Case;
use super::{Lower, Problem};
use crate::exec::code::*;
use crate::exec::ops;
use crate::exec::warp_ops;
use crate::ptx::{Function, Operand, RegType, Symbol, Type};
use RegType::{W32, W64};

impl Lower<'_> {
    /// Lowers control operations and operations between lanes.
    pub(super) fn control(&mut self, c: &Case, f: &Function) -> Result<(), Problem> {
        let guard = c.inst.guard;
        let op = &c.inst.op;
        match c.name {
            "bra" => {
                c.only(&["uni"])?;
                let Operand::Sym(Symbol::Name(label), _) = c.arg(0)? else { return Err("expected a label".into()) };
                let at = self.push(op, guard, ops::control(), |i| i.ctl = Ctl::Bra);
                self.f.branches.push((at, label.clone(), c.inst.line));
            }
            "brx" => self.branch_table(c, f)?,
            "call" => self.call(c, f)?,
            "ret" | "exit" | "trap" | "brkpt" => {
                c.only(&["uni"])?;
                let ctl = match c.name {
                    "exit" => Ctl::Exit,
                    "ret" if self.f.kernel => Ctl::Exit,
                    "ret" => Ctl::Ret,
                    _ => Ctl::Trap,
                };
                self.push(op, guard, ops::control(), |i| i.ctl = ctl);
            }
            "nanosleep" => {
                self.push(op, guard, ops::control(), |i| i.ctl = Ctl::Yield);
            }
            "pmevent" => {
                self.push(op, guard, ops::nop(), |_| {});
            }
            "bar" | "barrier" => self.barrier(c)?,
            "activemask" => {
                let d = self.dst(c.arg(0)?, W32)?;
                let h = warp_ops::active_mask(self.isa);
                self.push(op, guard, h, |i| i.r[0] = d);
            }
            "shfl" | "vote" | "match" | "redux" => self.between_lanes(c)?,
            _ => return c.unsupported(),
        }
        Ok(())
    }

    fn branch_table(&mut self, c: &Case, f: &Function) -> Result<(), Problem> {
        c.only(&["idx", "uni"])?;
        let index = self.src(c.arg(0)?, W32)?;
        let Operand::Sym(Symbol::Name(label), _) = c.arg(1)? else { return Err("expected a list of targets".into()) };
        let label = label.rsplit('|').next().unwrap_or(label);
        let targets = f.branch_targets.get(label).ok_or("no such list of targets")?.clone();
        let table = self.program.tables.len();
        self.program.tables.push(Vec::new());
        self.f.tables.push((table, targets, c.inst.line));
        self.push(&c.inst.op, c.inst.guard, ops::control(), |i| {
            i.ctl = Ctl::BrxIdx;
            i.r[0] = index;
            i.imm = table as i64;
        });
        Ok(())
    }

    /// Local-memory offset and size of the `.param` variables that a call names.
    fn call_params(&mut self, list: &Operand, f: &Function) -> Result<Vec<(u32, u32)>, Problem> {
        let Operand::List(items) = list else { return Err("expected a list of parameters".into()) };
        let mut out = Vec::new();
        for item in items {
            match item {
                Operand::Sym(Symbol::Var(v), _) => out.push((self.f.vars[*v].1, f.vars[*v].size as u32)),
                _ => return Err("only .param variables can be passed".into()),
            }
        }
        Ok(out)
    }

    fn call(&mut self, c: &Case, f: &Function) -> Result<(), Problem> {
        c.only(&["uni"])?;
        let mut args = c.inst.args.iter().peekable();
        let mut site = CallSite::default();
        if let Some(list @ Operand::List(_)) = args.peek() {
            site.results = self.call_params(list, f)?;
            args.next();
        }
        let target = args.next().ok_or("no target")?;
        if let Some(list @ Operand::List(_)) = args.peek() {
            site.args = self.call_params(list, f)?;
        }
        let id = self.program.sites.len() as u32;
        match target {
            Operand::Sym(Symbol::Name(name), _) => {
                let known = self.module.functions.iter().find(|g| g.name == *name);
                match known {
                    Some(g) if g.defined => {}
                    // The library of the device: these two have no body in PTX.
                    _ if name == "__assertfail" || name == "vprintf" => {
                        let (ctl, args) = if name == "vprintf" { (Ctl::Print, 2) } else { (Ctl::Assert, 5) };
                        if site.args.len() != args {
                            return Err(format!("function {name} has {args} parameters"));
                        }
                        self.program.sites.push(site);
                        self.push(&c.inst.op, c.inst.guard, ops::control(), |i| (i.ctl, i.id) = (ctl, id));
                        return Ok(());
                    }
                    _ => return Err(format!("function {name} is not supported")),
                }
                let index = self.callee(name);
                self.program.sites.push(site);
                self.push(&c.inst.op, c.inst.guard, ops::control(), |i| {
                    i.ctl = Ctl::Call;
                    i.imm = index as i64;
                    i.id = id;
                });
            }
            Operand::Reg(_) => {
                let slot = self.src(target, W64)?;
                // Any function may be the target, so all that exist must be there.
                let module = self.module;
                for g in module.functions.iter().filter(|g| g.defined && !g.entry) {
                    self.callee(&g.name);
                }
                self.program.sites.push(site);
                self.push(&c.inst.op, c.inst.guard, ops::control(), |i| {
                    i.ctl = Ctl::CallIndirect;
                    i.r[4] = slot;
                    i.id = id;
                });
            }
            _ => return Err("expected a function".into()),
        }
        Ok(())
    }

    fn barrier(&mut self, c: &Case) -> Result<(), Problem> {
        let op = &c.inst.op;
        if c.has("warp") {
            c.only(&["warp", "sync"])?;
            c.count(1)?;
            let mask = self.src(c.arg(0)?, W32)?;
            let (f, g) = warp_ops::meeting(self.isa);
            self.push(op, c.inst.guard, f, |i| {
                (i.ctl, i.g) = (Ctl::Sync, g);
                i.r[5] = mask;
                i.imm = i64::MIN;
            });
            return Ok(());
        }
        c.only(&["cta", "sync", "arrive", "red", "popc", "and", "or", "aligned"])?;
        let mut r = [NONE; 6];
        if c.has("red") {
            let n = c.inst.args.len();
            r[0] = self.src(c.arg(1)?, W32)?;
            if n == 4 {
                r[1] = self.src(c.arg(2)?, W32)?;
            }
            r[3] = self.pred(c.arg(n - 1)?)?;
            let mode = if c.has("popc") {
                0
            } else if c.has("and") {
                1
            } else {
                2
            };
            r[2] = if mode == 0 { self.dst(c.arg(0)?, W32)? } else { self.dst_pred(c.arg(0)?)? };
            self.push(op, c.inst.guard, ops::control(), |i| (i.ctl, i.r, i.imm) = (Ctl::BarRed, r, mode));
            self.defines(0b100);
            return Ok(());
        }
        r[0] = self.src(c.arg(0)?, W32)?;
        if c.inst.args.len() > 1 {
            r[1] = self.src(c.arg(1)?, W32)?;
        }
        let ctl = if c.has("arrive") { Ctl::BarArrive } else { Ctl::BarSync };
        self.push(op, c.inst.guard, ops::control(), |i| (i.ctl, i.r) = (ctl, r));
        Ok(())
    }

    fn between_lanes(&mut self, c: &Case) -> Result<(), Problem> {
        let isa = self.isa;
        if !c.has("sync") {
            return Err("only the .sync form exists on current devices".into());
        }
        let mut r = [NONE; 6];
        let split = |arg: &Operand| match arg {
            Operand::Pair(d, p) => ((**d).clone(), Some((**p).clone())),
            d => (d.clone(), None),
        };
        let (d, p) = split(c.arg(0)?);
        let last = c.arg(c.inst.args.len().saturating_sub(1))?;
        r[5] = self.src(last, W32)?;
        let ((f, g), mode) = match c.name {
            "shfl" => {
                c.only(&["sync", "up", "down", "bfly", "idx"])?;
                c.count(5)?;
                r[0] = self.dst(&d, W32)?;
                (r[2], r[3], r[4]) = (self.src(c.arg(1)?, W32)?, self.src(c.arg(2)?, W32)?, self.src(c.arg(3)?, W32)?);
                let mode = ["up", "down", "bfly", "idx"].iter().position(|m| c.has(m)).ok_or("no mode")?;
                (warp_ops::shfl(isa, mode), mode as i64)
            }
            "vote" => {
                c.only(&["sync", "all", "any", "uni", "ballot"])?;
                c.count(3)?;
                let mode = ["all", "any", "uni", "ballot"].iter().position(|m| c.has(m)).ok_or("no mode")?;
                r[0] = if mode == 3 { self.dst(&d, W32)? } else { self.dst_pred(&d)? };
                r[1] = self.pred(c.arg(1)?)?;
                (warp_ops::vote(isa), mode as i64)
            }
            "match" => {
                c.only(&["sync", "any", "all"])?;
                c.count(3)?;
                let wide = c.ty()?.bits() == 64;
                r[0] = self.dst(&d, W32)?;
                r[2] = self.src(c.arg(1)?, if wide { W64 } else { W32 })?;
                (warp_ops::match_sync(isa, wide), c.has("all") as i64)
            }
            _ => {
                c.only(&["sync", "add", "min", "max", "and", "or", "xor"])?;
                c.count(3)?;
                r[0] = self.dst(&d, W32)?;
                r[2] = self.src(c.arg(1)?, W32)?;
                let op = *c.mods.iter().find(|m| **m != "sync").ok_or("no operation")?;
                let g = match (op, c.ty()?) {
                    ("add", Type::U(32) | Type::S(32)) => warp_ops::redux(isa, |a, b| a.wrapping_add(b)),
                    ("min", Type::U(32)) => warp_ops::redux(isa, |a, b| a.min(b)),
                    ("max", Type::U(32)) => warp_ops::redux(isa, |a, b| a.max(b)),
                    ("min", Type::S(32)) => warp_ops::redux(isa, |a, b| (a as i32).min(b as i32) as u32),
                    ("max", Type::S(32)) => warp_ops::redux(isa, |a, b| (a as i32).max(b as i32) as u32),
                    ("and", Type::B(32)) => warp_ops::redux(isa, |a, b| a & b),
                    ("or", Type::B(32)) => warp_ops::redux(isa, |a, b| a | b),
                    ("xor", Type::B(32)) => warp_ops::redux(isa, |a, b| a ^ b),
                    _ => return c.unsupported(),
                };
                (g, 0)
            }
        };
        if let Some(p) = p {
            if !matches!(c.name, "shfl" | "match") {
                return c.unsupported();
            }
            r[1] = self.dst_pred(&p)?;
        }
        self.push(&c.inst.op, c.inst.guard, f, |i| {
            (i.ctl, i.r, i.imm, i.g) = (Ctl::Sync, r, mode, g);
        });
        // A vote reads the predicate that the others write.
        self.defines(if c.name == "vote" { 0b01 } else { 0b11 });
        Ok(())
    }
}
