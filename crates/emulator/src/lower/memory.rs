//! Loads, stores, atomics, fences and address arithmetic between spaces.

use super::case::Case;
use super::float::{add_half, pair};
use super::{Lower, Problem};
use crate::exec::code::*;
use crate::exec::memory::{atomic, load, load_param, memory_fence, store};
use crate::exec::ops::{bin, nop, un};
use crate::ptx::{AddrBase, Operand, RegType, Space, Type};
use RegType::{W16, W32, W64};

/// Modifiers of caches and scopes that change nothing here.
const HINTS: &[&str] = &[
    "weak",
    "nc",
    "ca",
    "cg",
    "cs",
    "lu",
    "cv",
    "wb",
    "wt",
    "relaxed",
    "acquire",
    "release",
    "acq_rel",
    "volatile",
    "cta",
    "gpu",
    "sys",
    "cluster",
    "noftz",
    "L2::128B",
    "L2::64B",
    "L2::256B",
    "L1::no_allocate",
    "L1::evict_last",
    "L1::evict_first",
    "L1::evict_normal",
    "L1::evict_unchanged",
    "mmio",
];
const SPACES: &[&str] =
    &["global", "shared", "shared::cta", "local", "const", "param", "param::entry", "param::func", "v2", "v4"];

impl Lower<'_> {
    /// Lowers what touches memory or addresses.
    pub(super) fn memory(&mut self, c: &Case) -> Result<(), Problem> {
        match c.name {
            "ld" | "ldu" | "st" => self.move_data(c),
            "atom" | "red" => self.atomics(c),
            "membar" | "fence" => {
                c.only(&["gl", "cta", "sys", "sc", "acq_rel", "gpu", "proxy"])?;
                self.push(&c.inst.op, c.inst.guard, memory_fence(), |_| {});
                Ok(())
            }
            "prefetch" | "prefetchu" | "discard" | "applypriority" => {
                self.push(&c.inst.op, c.inst.guard, nop(), |_| {});
                Ok(())
            }
            "cvta" => self.cvta(c),
            "isspacep" => self.isspacep(c),
            _ => c.unsupported(),
        }
    }

    fn space(&self, c: &Case) -> MemSpace {
        for m in &c.mods {
            return match *m {
                "global" | "const" => MemSpace::Global,
                "shared" | "shared::cta" => MemSpace::Shared,
                "local" => MemSpace::Local,
                "param" | "param::entry" if self.f.kernel => MemSpace::Param,
                "param" | "param::func" => MemSpace::Local,
                _ => continue,
            };
        }
        MemSpace::Generic
    }

    /// Fills in the address operand: register or symbol, offset, width and space.
    pub(super) fn address(&mut self, i: &mut Inst, arg: &Operand, space: MemSpace) -> Result<(), Problem> {
        let Operand::Addr(base, offset) = arg else { return Err("expected an address".into()) };
        i.imm = *offset;
        i.space = space;
        match base {
            AddrBase::None => i.r[4] = NONE,
            AddrBase::Reg(r) => {
                i.wide = match self.f.classes[*r as usize] {
                    Some(W64) => true,
                    Some(W32) => false,
                    _ => return Err("an address in a register of another width".into()),
                };
                i.r[4] = self.f.slots[*r as usize];
            }
            AddrBase::Sym(s) => {
                let (at, place, dynamic) = self.symbol(s)?;
                if space == MemSpace::Generic {
                    i.space = place;
                } else if space == MemSpace::Param && place == MemSpace::Local {
                    // `.param` variables of a call live in local memory.
                    i.space = MemSpace::Local;
                } else if space != place {
                    return Err("the name is in another state space".into());
                }
                if dynamic {
                    i.r[4] = self.symbol_slot(s, 0, W64)?;
                } else {
                    i.r[4] = if i.space == MemSpace::Local { self.frame_pointer.unwrap_or(NONE) } else { NONE };
                    i.imm = offset.wrapping_add(at as i64);
                }
            }
        }
        Ok(())
    }

    pub(super) fn blank(&mut self) -> Inst {
        Inst {
            f: nop(),
            g: nop(),
            guard: 0,
            r: [NONE; 6],
            imm: 0,
            ctl: Ctl::None,
            space: MemSpace::Global,
            wide: true,
            strong: false,
            used: u32::MAX,
            id: self.mem_id(),
        }
    }

    pub(super) fn put(&mut self, c: &Case, f: Handler, inst: Inst, defs: u8) {
        self.push(&c.inst.op, c.inst.guard, f, |i| {
            let guard = i.guard;
            *i = Inst { f, guard, ..inst };
        });
        self.defines(defs);
    }

    fn move_data(&mut self, c: &Case) -> Result<(), Problem> {
        c.only(&[HINTS, SPACES].concat())?;
        c.count(2)?;
        let ty = c.ty()?;
        let n = if c.has("v4") {
            4
        } else if c.has("v2") {
            2
        } else {
            1
        };
        let loads = c.name != "st";
        let (data, addr) = if loads { (c.arg(0)?, c.arg(1)?) } else { (c.arg(1)?, c.arg(0)?) };
        let mut i = self.blank();
        i.strong = ["volatile", "relaxed", "acquire", "release", "cv", "mmio"].iter().any(|m| c.has(m));
        i.used = c.inst.used_bytes.unwrap_or(u32::MAX);
        self.address(&mut i, addr, self.space(c))?;
        let single = [data.clone()];
        let parts: &[Operand] = match data {
            Operand::Vec(v) => v,
            _ => &single,
        };
        if parts.len() != n {
            return Err(format!("expected {n} values"));
        }
        let mut class = None;
        for (k, part) in parts.iter().enumerate() {
            let own = match part {
                Operand::Reg(r) => self.f.classes[*r as usize],
                _ => RegType::of(ty),
            };
            let own = own.filter(|o| *o != RegType::Pred).ok_or("this register cannot be loaded or stored")?;
            if *class.get_or_insert(own) != own && *part != Operand::Sink {
                return Err("registers of different widths in a vector".into());
            }
            i.r[k] = match part {
                Operand::Sink => NONE,
                _ if loads => self.dst(part, own)?,
                _ => self.src(part, own)?,
            };
        }
        let class = class.ok_or("no value")?;
        let room = self.program.param_bytes as i64 - (ty.bytes() as usize * n) as i64;
        let known = i.space == MemSpace::Param && i.r[4] == NONE && (0..=room).contains(&i.imm);
        let f = if loads { self.load_handler(c, ty, class, n, known)? } else { self.store_handler(c, ty, class, n)? };
        self.put(c, f, i, if loads { (1 << n) - 1 } else { 0 });
        Ok(())
    }

    fn load_handler(&self, c: &Case, ty: Type, class: RegType, n: usize, param: bool) -> Result<Handler, Problem> {
        let isa = self.isa;
        macro_rules! by_count {
            ($m:ty, $d:ty) => {
                match n {
                    1 if param => load_param::<$m, $d, 1>(isa),
                    2 if param => load_param::<$m, $d, 2>(isa),
                    4 if param => load_param::<$m, $d, 4>(isa),
                    1 => load::<$m, $d, 1>(isa),
                    2 => load::<$m, $d, 2>(isa),
                    _ => load::<$m, $d, 4>(isa),
                }
            };
        }
        Ok(match (ty.bits(), ty.signed(), class) {
            (8, false, W16) => by_count!(u8, u16),
            (8, false, W32) => by_count!(u8, u32),
            (8, false, W64) => by_count!(u8, u64),
            (8, true, W16) => by_count!(i8, u16),
            (8, true, W32) => by_count!(i8, u32),
            (8, true, W64) => by_count!(i8, u64),
            (16, _, W16) => by_count!(u16, u16),
            (16, false, W32) => by_count!(u16, u32),
            (16, false, W64) => by_count!(u16, u64),
            (16, true, W32) => by_count!(i16, u32),
            (16, true, W64) => by_count!(i16, u64),
            (32, _, W32) => by_count!(u32, u32),
            (32, false, W64) => by_count!(u32, u64),
            (32, true, W64) => by_count!(i32, u64),
            (64, _, W64) if n <= 2 => by_count!(u64, u64),
            _ => return c.unsupported(),
        })
    }

    fn store_handler(&self, c: &Case, ty: Type, class: RegType, n: usize) -> Result<Handler, Problem> {
        let isa = self.isa;
        macro_rules! by_count {
            ($s:ty, $m:ty) => {
                match n {
                    1 => store::<$s, $m, 1>(isa),
                    2 => store::<$s, $m, 2>(isa),
                    _ => store::<$s, $m, 4>(isa),
                }
            };
        }
        Ok(match (ty.bits(), class) {
            (8, W16) => by_count!(u16, u8),
            (8, W32) => by_count!(u32, u8),
            (8, W64) => by_count!(u64, u8),
            (16, W16) => by_count!(u16, u16),
            (16, W32) => by_count!(u32, u16),
            (16, W64) => by_count!(u64, u16),
            (32, W32) => by_count!(u32, u32),
            (32, W64) => by_count!(u64, u32),
            (64, W64) if n <= 2 => by_count!(u64, u64),
            _ => return c.unsupported(),
        })
    }

    fn atomics(&mut self, c: &Case) -> Result<(), Problem> {
        const OPS: &[&str] = &["add", "exch", "cas", "min", "max", "inc", "dec", "and", "or", "xor"];
        c.only(&[HINTS, SPACES, OPS].concat())?;
        let ty = c.ty()?;
        let op = *c.mods.iter().find(|m| OPS.contains(m)).ok_or("no operation")?;
        let class = RegType::of(ty).ok_or("128-bit atomics are not supported")?;
        let mut args = c.inst.args.iter();
        let mut i = self.blank();
        if c.name == "atom" {
            let d = args.next().ok_or("no destination")?;
            i.r[0] = if *d == Operand::Sink { NONE } else { self.dst(d, class)? };
        }
        let address = args.next().ok_or("no address")?;
        self.address(&mut i, address, self.space(c))?;
        if op == "exch" {
            i.used = 0;
        }
        let first = args.next().ok_or("no value")?;
        i.r[1] = self.src(first, class)?;
        i.r[2] = if op == "cas" { self.src(args.next().ok_or("no second value")?, class)? } else { i.r[1] };
        if args.next().is_some() {
            return Err("too many operands".into());
        }
        let f = self.atomic_handler(c, op, ty)?;
        self.put(c, f, i, (c.name == "atom") as u8);
        Ok(())
    }

    fn atomic_handler(&self, c: &Case, op: &str, ty: Type) -> Result<Handler, Problem> {
        let isa = self.isa;
        macro_rules! bitwise {
            ($t:ty) => {
                match op {
                    "exch" => Some(atomic(isa, |_: $t, b: $t, _: $t| b)),
                    "cas" => Some(atomic(isa, |v: $t, b: $t, x: $t| if v == b { x } else { v })),
                    "and" => Some(atomic(isa, |v: $t, b: $t, _: $t| v & b)),
                    "or" => Some(atomic(isa, |v: $t, b: $t, _: $t| v | b)),
                    "xor" => Some(atomic(isa, |v: $t, b: $t, _: $t| v ^ b)),
                    _ => None,
                }
            };
        }
        let found = match (op, ty) {
            ("exch" | "cas" | "and" | "or" | "xor", Type::B(32)) => bitwise!(u32),
            ("exch" | "cas" | "and" | "or" | "xor", Type::B(64)) => bitwise!(u64),
            ("cas", Type::B(16)) => bitwise!(u16),
            ("add", Type::U(32) | Type::S(32)) => Some(atomic(isa, |v: u32, b: u32, _: u32| v.wrapping_add(b))),
            ("add", Type::U(64) | Type::S(64)) => Some(atomic(isa, |v: u64, b: u64, _: u64| v.wrapping_add(b))),
            ("add", Type::F(32)) => {
                Some(atomic(isa, |v: u32, b: u32, _: u32| (f32::from_bits(v) + f32::from_bits(b)).to_bits()))
            }
            ("add", Type::F(64)) => {
                Some(atomic(isa, |v: u64, b: u64, _: u64| (f64::from_bits(v) + f64::from_bits(b)).to_bits()))
            }
            ("add", Type::F(16)) => Some(atomic(isa, |v: u16, b: u16, _: u16| add_half(v, b))),
            ("add", Type::F16x2) => Some(atomic(isa, |v: u32, b: u32, _: u32| pair(v, b, add_half))),
            ("min", Type::U(32)) => Some(atomic(isa, |v: u32, b: u32, _: u32| v.min(b))),
            ("max", Type::U(32)) => Some(atomic(isa, |v: u32, b: u32, _: u32| v.max(b))),
            ("min", Type::S(32)) => Some(atomic(isa, |v: u32, b: u32, _: u32| (v as i32).min(b as i32) as u32)),
            ("max", Type::S(32)) => Some(atomic(isa, |v: u32, b: u32, _: u32| (v as i32).max(b as i32) as u32)),
            ("min", Type::U(64)) => Some(atomic(isa, |v: u64, b: u64, _: u64| v.min(b))),
            ("max", Type::U(64)) => Some(atomic(isa, |v: u64, b: u64, _: u64| v.max(b))),
            ("min", Type::S(64)) => Some(atomic(isa, |v: u64, b: u64, _: u64| (v as i64).min(b as i64) as u64)),
            ("max", Type::S(64)) => Some(atomic(isa, |v: u64, b: u64, _: u64| (v as i64).max(b as i64) as u64)),
            ("inc", Type::U(32)) => Some(atomic(isa, |v: u32, b: u32, _: u32| if v >= b { 0 } else { v + 1 })),
            ("dec", Type::U(32)) => Some(atomic(isa, |v: u32, b: u32, _: u32| if v == 0 || v > b { b } else { v - 1 })),
            _ => None,
        };
        match found {
            Some(h) => Ok(h),
            None => c.unsupported(),
        }
    }

    /// `cvta`: generic addresses of shared, local and parameter memory carry a tag; the rest are the same.
    fn cvta(&mut self, c: &Case) -> Result<(), Problem> {
        c.only(&["to", "global", "shared", "shared::cta", "local", "const", "param", "param::entry"])?;
        let isa = self.isa;
        let h = match (self.space(c), c.has("to")) {
            (MemSpace::Global, _) => un(isa, |a: u64| a),
            (_, true) => un(isa, |a: u64| a & !TAG_MASK),
            (MemSpace::Shared, _) => un(isa, |a: u64| a | TAG_SHARED),
            (MemSpace::Local, _) => un(isa, |a: u64| a | TAG_LOCAL),
            (MemSpace::Param, _) => un(isa, |a: u64| a | TAG_PARAM),
            _ => return c.unsupported(),
        };
        if c.ty()?.bits() != 64 {
            return c.unsupported();
        }
        self.lanewise(c, h, W64, &[W64])
    }

    fn isspacep(&mut self, c: &Case) -> Result<(), Problem> {
        use crate::exec::ops::setp;
        c.only(&["global", "shared", "shared::cta", "local", "const", "param", "param::entry"])?;
        let isa = self.isa;
        let tag = match self.space(c) {
            MemSpace::Global => 0,
            MemSpace::Shared => TAG_SHARED,
            MemSpace::Local => TAG_LOCAL,
            _ => TAG_PARAM,
        };
        c.count(2)?;
        let p = match self.dst_pred(c.arg(0)?)? {
            NONE => self.slot(RegType::Pred),
            p => p,
        };
        let a = self.src(c.arg(1)?, W64)?;
        let t = self.constant(8, if c.has("const") { TAG_MASK } else { tag });
        let h = setp(isa, |a: u64, t: u64| a & TAG_MASK == t);
        self.push(&c.inst.op, c.inst.guard, h, |i| i.r = [p, NONE, a, t, NONE, NONE]);
        if tag != 0 {
            return Ok(());
        }
        // Constants lie in device memory here, so each of their ranges is taken out of what is global.
        let inside = c.has("const");
        let (module, symbols) = (self.module, self.symbols);
        for v in module.vars.iter().filter(|v| v.space == Space::Const) {
            let at = *symbols.memory.get(&v.name).ok_or("a constant without an address")?;
            let (offset, at, size) = (self.slot(W64), self.constant(8, at), self.constant(8, v.size));
            let sub = bin(isa, |a: u64, b: u64| a.wrapping_sub(b));
            self.push(&c.inst.op, c.inst.guard, sub, |i| i.r[..3].copy_from_slice(&[offset, a, at]));
            let (h, combine) = match inside {
                true => (setp(isa, |d: u64, n: u64| d < n), 2),
                false => (setp(isa, |d: u64, n: u64| d >= n), 1),
            };
            self.push(&c.inst.op, c.inst.guard, h, |i| (i.r, i.imm) = ([p, NONE, offset, size, p, NONE], combine));
        }
        Ok(())
    }
}
