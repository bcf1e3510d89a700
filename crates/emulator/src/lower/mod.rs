//! Turns parsed functions into programs: registers become slots, opcodes become typed handlers, labels become
//! instruction numbers. All instructions that the emulator lacks are reported together.

mod brain;
mod case;
mod control;
mod convert;
mod copy;
mod float;
mod integer;
mod mbarrier;
mod memory;
mod registers;
mod rounding;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::exec::code::*;
use crate::exec::ops::{self, Isa};
use crate::ptx::{Function, Loc, Module, Operand, PtxError, RegType, Space, Stmt, Symbol};
use case::Case;

/// Where module-level names live, once a module is loaded.
#[derive(Debug, Clone, Default)]
pub struct Symbols {
    /// Addresses of `.global` and `.const` variables.
    pub memory: HashMap<String, u64>,
}

/// An instruction or construct that cannot be run, or is malformed.
type Problem = String;

/// Lowers a kernel of a module with everything that it may call.
///
/// # Errors
/// All problems found, in order of their lines.
pub fn lower(module: &Module, kernel: &Function, symbols: &Symbols) -> Result<Program, Vec<PtxError>> {
    lower_for(Isa::detect(), module, kernel, symbols)
}

/// As [`lower`], with the handlers for a certain machine.
///
/// # Errors
/// As there.
pub fn lower_for(isa: Isa, module: &Module, kernel: &Function, symbols: &Symbols) -> Result<Program, Vec<PtxError>> {
    let mut l = Lower::new(module, symbols);
    (l.isa, l.program.isa) = (isa, isa);
    l.program.name = kernel.name.clone();
    if recursive(module, kernel) {
        l.frame_pointer = Some(l.fixed_slot(RegType::W64));
    }
    l.kernel_params(kernel);
    l.function(kernel, true);
    let mut done = 0;
    while done < l.callees.len() {
        let name = l.callees[done].clone();
        done += 1;
        match module.functions.iter().find(|f| f.name == name && f.defined) {
            Some(f) => l.function(f, false),
            None => l.errors.push(PtxError { line: kernel.line, message: format!("function {name} has no body") }),
        }
    }
    l.finish(kernel)
}

/// The address of a function of a module, as `mov` and initialisers of variables have it.
pub fn function_address(module: &Module, name: &str) -> Option<u64> {
    module.functions.iter().position(|f| f.name == name).map(|i| TAG_CODE | i as u64)
}

/// Whether a call that a kernel makes, at any depth, may lead back to a function that is not done yet.
fn recursive(module: &Module, kernel: &Function) -> bool {
    let number: HashMap<&str, usize> = module.functions.iter().enumerate().map(|(i, f)| (&f.name[..], i)).collect();
    let calls = |f: &Function| -> BTreeSet<usize> {
        let calls = f.body.iter().filter_map(|s| match s {
            Stmt::Inst(i) if i.op.split('.').next() == Some("call") => Some(i),
            _ => None,
        });
        let target = |i: &crate::ptx::Inst| i.args.iter().find(|a| !matches!(a, Operand::List(_))).cloned();
        let any = module.functions.iter().enumerate().filter(|(_, g)| g.defined && !g.entry).map(|(i, _)| i);
        calls
            .flat_map(|i| match target(i) {
                Some(Operand::Sym(Symbol::Name(name), _)) => number.get(&name[..]).copied().into_iter().collect(),
                // Through an address, any function may be called.
                _ => any.clone().collect::<Vec<_>>(),
            })
            .collect()
    };
    // 1 while a function is not done, 2 afterwards.
    fn visit(at: usize, edges: &[BTreeSet<usize>], state: &mut [u8]) -> bool {
        state[at] = 1;
        let back = edges[at].iter().any(|n| state[*n] == 1 || state[*n] == 0 && visit(*n, edges, state));
        state[at] = 2;
        back
    }
    let edges: Vec<_> = module.functions.iter().map(calls).collect();
    let mut state = vec![0; edges.len()];
    calls(kernel).into_iter().any(|f| state[f] == 0 && visit(f, &edges, &mut state))
}

/// State of the lowering of one kernel.
struct Lower<'m> {
    module: &'m Module,
    symbols: &'m Symbols,
    program: Program,
    isa: Isa,
    errors: Vec<PtxError>,
    consts: HashMap<(u32, u64), u32>,
    specials: HashMap<Special, u32>,
    op_ids: HashMap<String, u32>,
    /// Module-level shared variables: offsets.
    shared: HashMap<String, u32>,
    /// Constants that count from the start of dynamic shared memory.
    dynamic: Vec<usize>,
    /// Names of functions that are called, in the order of their numbers.
    callees: Vec<String>,
    /// Slots of the functions lowered so far.
    used: registers::Space,
    /// Bytes of slots of constants and special registers.
    fixed: u32,
    /// A bit for each operand that an instruction defines.
    defs: Vec<u8>,
    /// In programs that recurse: what counts from the start of local memory counts from here.
    frame_pointer: Option<u32>,
    /// State of the function at hand.
    f: Frame,
}

/// State of one function.
#[derive(Default)]
struct Frame {
    /// Operand by register number: a virtual register.
    slots: Vec<u32>,
    /// Classes of the virtual registers.
    virtuals: Vec<RegType>,
    classes: Vec<Option<RegType>>,
    /// Offset by variable number, and its space.
    vars: Vec<(Space, u32)>,
    /// Offsets of parameters and results.
    params: Vec<u32>,
    returns: Vec<u32>,
    kernel: bool,
    labels: HashMap<String, u32>,
    /// Branches to patch: instruction and the names that the target may have.
    branches: Vec<(u32, String, u32)>,
    /// Branch tables to fill.
    tables: Vec<(usize, Vec<String>, u32)>,
    loc: Loc,
    line: u32,
}

impl<'m> Lower<'m> {
    fn new(module: &'m Module, symbols: &'m Symbols) -> Lower<'m> {
        let mut l = Lower {
            module,
            symbols,
            program: Program { files: Arc::new(module.files.clone()), ..Program::default() },
            isa: Isa::detect(),
            errors: Vec::new(),
            consts: HashMap::new(),
            specials: HashMap::new(),
            op_ids: HashMap::new(),
            shared: HashMap::new(),
            dynamic: Vec::new(),
            callees: Vec::new(),
            // Predicate 0 is always true, 1 is the carry flag.
            used: registers::Space { bytes: 0, preds: 2 },
            fixed: 0,
            defs: Vec::new(),
            frame_pointer: None,
            f: Frame::default(),
        };
        for var in module.vars.iter().filter(|v| v.space == Space::Shared && !v.external) {
            let at = l.shared_space(var.size, var.align);
            l.shared.insert(var.name.clone(), at);
        }
        l
    }

    fn shared_space(&mut self, size: u64, align: u32) -> u32 {
        let at = (self.program.shared as u64).next_multiple_of(align as u64);
        self.program.shared = (at + size).min(u32::MAX as u64 / 2) as u32;
        at as u32
    }

    fn local_space(&mut self, size: u64, align: u32) -> u32 {
        let at = (self.program.local as u64).next_multiple_of(align.max(1) as u64);
        self.program.local = (at + size).min(1 << 24) as u32;
        at as u32
    }

    fn kernel_params(&mut self, kernel: &Function) {
        let mut at = 0u32;
        for p in &kernel.params {
            at = at.next_multiple_of(p.align.max(1));
            self.program.params.push((at, p.size));
            at += p.size;
        }
        self.program.param_bytes = at;
    }

    /// A new virtual register of the function at hand.
    fn slot(&mut self, class: RegType) -> u32 {
        self.f.virtuals.push(class);
        let index = self.f.virtuals.len() as u32 - 1;
        index | if class == RegType::Pred { registers::PREDICATE } else { registers::VALUE }
    }

    /// A slot that nothing else ever uses.
    fn fixed_slot(&mut self, class: RegType) -> u32 {
        let at = self.fixed;
        self.fixed += registers::slot_bytes(class);
        at | registers::FIXED
    }

    /// The number of a function, which is also its address.
    fn callee(&mut self, name: &str) -> u32 {
        match self.callees.iter().position(|c| c == name) {
            Some(i) => i as u32,
            None => {
                self.callees.push(name.to_string());
                self.callees.len() as u32 - 1
            }
        }
    }

    fn function(&mut self, f: &Function, kernel: bool) {
        self.f = Frame { kernel, classes: f.regs.clone(), ..Frame::default() };
        for class in &f.regs {
            let slot = class.map_or(NONE, |c| self.slot(c));
            self.f.slots.push(slot);
        }
        let mut frame = std::mem::take(&mut self.f);
        for v in &f.vars {
            let at = match v.space {
                Space::Shared if v.external => NONE,
                Space::Shared => self.shared_space(v.size, v.align),
                _ => self.local_space(v.size, v.align),
            };
            frame.vars.push((v.space, at));
        }
        let entry = self.program.code.len() as u32;
        let mut callee = Callee { name: f.name.clone(), entry, ..Callee::default() };
        if kernel {
            frame.params = self.program.params.iter().map(|p| p.0).collect();
        } else {
            for (list, out, sizes) in [
                (&f.params, &mut frame.params, &mut callee.params),
                (&f.returns, &mut frame.returns, &mut callee.returns),
            ] {
                for p in list {
                    let at = self.local_space(p.size as u64, p.align.max(8));
                    out.push(at);
                    sizes.push((at, p.size));
                }
            }
        }
        self.f = frame;
        let vars: Vec<_> = f.vars.iter().filter(|v| matches!(v.space, Space::Global | Space::Const)).collect();
        if let Some(v) = vars.first() {
            self.errors.push(PtxError { line: v.line, message: "device variables inside a function".into() });
        }
        if let Some(p) = f.params.iter().chain(&f.returns).find(|p| p.reg.is_some()) {
            self.errors.push(PtxError { line: f.line, message: format!("parameter {} in a register", p.name) });
        }
        for stmt in &f.body {
            match stmt {
                Stmt::Label(name) => {
                    self.f.labels.insert(name.clone(), self.program.code.len() as u32);
                }
                Stmt::Inst(inst) => {
                    (self.f.loc, self.f.line) = (inst.loc, inst.line);
                    if let Err(message) = Case::new(inst).and_then(|c| self.instruction(&c, f)) {
                        self.errors.push(PtxError { line: inst.line, message: format!("{}: {message}", inst.op) });
                    }
                }
            }
        }
        self.push_end();
        self.patch();
        if self.errors.is_empty() {
            callee.preds = (self.used.preds, self.used.preds);
            callee.slots = self.allocate(entry);
            callee.preds.1 = self.used.preds;
        }
        if !kernel {
            let index = self.callee(&f.name) as usize;
            self.program.callees.resize(self.program.callees.len().max(index + 1), Callee::default());
            self.program.callees[index] = callee;
        }
    }

    /// Gives the virtual registers of the function that begins at `entry` their slots.
    fn allocate(&mut self, entry: u32) -> Vec<(u32, u32)> {
        let classes = std::mem::take(&mut self.f.virtuals);
        let mut body = registers::Body {
            code: &mut self.program.code[entry as usize..],
            defs: &self.defs[entry as usize..],
            entry,
            tables: &self.program.tables,
            classes: &classes,
        };
        let (used, slots) = body.allocate(self.used);
        self.used = used;
        slots
    }

    /// Every function ends in a return, so that no path runs off its end.
    fn push_end(&mut self) {
        let ctl = if self.f.kernel { Ctl::Exit } else { Ctl::Ret };
        self.push("ret", None, ops::control(), |i| i.ctl = ctl);
    }

    fn patch(&mut self) {
        let frame = &self.f;
        let find = |names: &str| names.split('|').find_map(|n| frame.labels.get(n)).copied();
        for (at, name, line) in &frame.branches {
            match find(name) {
                Some(target) => self.program.code[*at as usize].imm = target as i64,
                None => self.errors.push(PtxError { line: *line, message: format!("no label {name}") }),
            }
        }
        for (table, names, line) in &frame.tables {
            for name in names {
                match find(name) {
                    Some(target) => self.program.tables[*table].push(target),
                    None => self.errors.push(PtxError { line: *line, message: format!("no label {name}") }),
                }
            }
        }
    }

    /// Appends an instruction.
    fn push(&mut self, op: &str, guard: Option<(u32, bool)>, f: Handler, set: impl FnOnce(&mut Inst)) -> u32 {
        let mut inst = Inst {
            f,
            g: ops::nop(),
            guard: 0,
            r: [NONE; 6],
            imm: 0,
            ctl: Ctl::None,
            space: MemSpace::Global,
            wide: true,
            strong: false,
            used: u32::MAX,
            id: 0,
        };
        if let Some((reg, negated)) = guard {
            inst.guard = self.f.slots[reg as usize] | (negated as u32) << 31;
        }
        set(&mut inst);
        // Most instructions define their first operand; the rest say what they do.
        self.defs.push(if inst.ctl == Ctl::None { 1 } else { 0 });
        let next = self.program.op_names.len() as u32;
        let id = *self.op_ids.entry(op.to_string()).or_insert(next);
        if id == next {
            self.program.op_names.push(op.to_string());
        }
        self.program.ops.push(id);
        self.program.code.push(inst);
        self.program.locs.push(self.f.loc);
        self.program.lines.push(self.f.line);
        self.program.code.len() as u32 - 1
    }

    /// Says which operands of the last instruction are defined by it, a bit each.
    fn defines(&mut self, operands: u8) {
        if let Some(last) = self.defs.last_mut() {
            *last = operands;
        }
    }

    fn mem_id(&mut self) -> u32 {
        self.program.mem_count += 1;
        self.program.mem_count - 1
    }

    fn constant(&mut self, width: u32, value: u64) -> u32 {
        let value = if width == 8 { value } else { value & ((1 << (width * 8)) - 1) };
        if let Some(slot) = self.consts.get(&(width, value)) {
            return *slot;
        }
        let class = [RegType::W16, RegType::W32, RegType::W64][(width / 4) as usize];
        let slot = self.fixed_slot(class);
        self.consts.insert((width, value), slot);
        self.program.consts.push(Const { slot, width, value });
        slot
    }

    fn special(&mut self, s: Special) -> u32 {
        if let Some(slot) = self.specials.get(&s) {
            return *slot;
        }
        let slot = self.fixed_slot(RegType::W32);
        self.specials.insert(s, slot);
        self.program.specials.push((s, slot));
        slot
    }

    /// The value of a symbol: an address for device memory and functions, an offset for the rest; and whether it
    /// counts from the start of dynamic shared memory.
    fn symbol(&mut self, s: &Symbol) -> Result<(u64, MemSpace, bool), Problem> {
        Ok(match s {
            Symbol::Var(v) => match self.f.vars[*v] {
                (Space::Shared, NONE) => (0, MemSpace::Shared, true),
                (Space::Shared, at) => (at as u64, MemSpace::Shared, false),
                (_, at) => (at as u64, MemSpace::Local, false),
            },
            Symbol::Param(p) => {
                (self.f.params[*p] as u64, if self.f.kernel { MemSpace::Param } else { MemSpace::Local }, false)
            }
            Symbol::Return(p) => (self.f.returns[*p] as u64, MemSpace::Local, false),
            Symbol::Name(name) => {
                if let Some(at) = self.symbols.memory.get(name) {
                    (*at, MemSpace::Global, false)
                } else if let Some(at) = self.shared.get(name) {
                    (*at as u64, MemSpace::Shared, false)
                } else if self.module.vars.iter().any(|v| v.name == *name && v.space == Space::Shared) {
                    (0, MemSpace::Shared, true)
                } else if self.module.functions.iter().any(|f| f.name == *name) {
                    self.callee(name);
                    (function_address(self.module, name).unwrap_or(0), MemSpace::Global, false)
                } else {
                    return Err(format!("unknown name {name}"));
                }
            }
        })
    }

    /// A slot that holds the address of a symbol.
    fn symbol_slot(&mut self, s: &Symbol, add: i64, class: RegType) -> Result<u32, Problem> {
        let (at, space, dynamic) = self.symbol(s)?;
        if space == MemSpace::Local
            && let Some(fp) = self.frame_pointer
        {
            if class != RegType::W64 {
                return Err("the address of a local variable needs 64 bits".into());
            }
            let (sum, offset) = (self.slot(class), self.constant(8, at.wrapping_add(add as u64)));
            let h = ops::bin(self.isa, |a: u64, b: u64| a.wrapping_add(b));
            self.push("add.u64", None, h, |i| i.r[..3].copy_from_slice(&[sum, fp, offset]));
            return Ok(sum);
        }
        if !dynamic {
            return Ok(self.constant(class.bytes(), at.wrapping_add(add as u64)));
        }
        // Dynamic shared memory begins behind the static part, whose size is known at the end.
        let slot = self.fixed_slot(class);
        self.dynamic.push(self.program.consts.len());
        self.program.consts.push(Const { slot, width: class.bytes(), value: add as u64 });
        Ok(slot)
    }

    /// The slot of a source operand of `width` bytes a lane.
    fn src(&mut self, arg: &Operand, class: RegType) -> Result<u32, Problem> {
        match arg {
            Operand::Reg(r) => {
                let have = self.f.classes[*r as usize];
                if have != Some(class) {
                    return Err(format!("operand in a register of {have:?}, not {class:?}"));
                }
                Ok(self.f.slots[*r as usize])
            }
            Operand::Int(v) => Ok(self.constant(class.bytes(), *v as u64)),
            Operand::F32(v) if class == RegType::W32 => Ok(self.constant(4, *v as u64)),
            Operand::F32(v) if class == RegType::W64 => Ok(self.constant(8, f32::from_bits(*v) as f64 as u64)),
            Operand::F64(v) if class == RegType::W64 => Ok(self.constant(8, *v)),
            Operand::F64(v) if class == RegType::W32 => {
                Ok(self.constant(4, (f64::from_bits(*v) as f32).to_bits() as u64))
            }
            Operand::Special(name) => self.special_source(name, class),
            Operand::Sym(Symbol::Name(name), _) if name == "WARP_SZ" => Ok(self.constant(class.bytes(), 32)),
            Operand::Sym(s, add) => self.symbol_slot(s, *add, class),
            _ => Err(format!("unexpected operand {arg:?}")),
        }
    }

    fn special_source(&mut self, name: &str, class: RegType) -> Result<u32, Problem> {
        let special = special(name).ok_or_else(|| format!("special register {name}"))?;
        if class == RegType::W32 { Ok(self.special(special)) } else { Err(format!("{name} has 32 bits")) }
    }

    /// The slot of a destination; `_` gives a slot that nothing reads.
    fn dst(&mut self, arg: &Operand, class: RegType) -> Result<u32, Problem> {
        match arg {
            Operand::Reg(r) if self.f.classes[*r as usize] == Some(class) => Ok(self.f.slots[*r as usize]),
            Operand::Reg(r) => {
                Err(format!("destination in a register of {:?}, not {class:?}", self.f.classes[*r as usize]))
            }
            Operand::Sink => Ok(self.slot(class)),
            _ => Err(format!("unexpected destination {arg:?}")),
        }
    }

    /// A predicate source: its slot with the negation in bit 31.
    fn pred(&mut self, arg: &Operand) -> Result<u32, Problem> {
        let reg = |l: &Self, r: &u32| (l.f.classes[*r as usize] == Some(RegType::Pred)).then(|| l.f.slots[*r as usize]);
        match arg {
            Operand::Reg(r) => reg(self, r),
            Operand::NotReg(r) => reg(self, r).map(|s| s | 1 << 31),
            Operand::Int(v) => Some(if *v != 0 { 0 } else { 1 << 31 }),
            _ => None,
        }
        .ok_or_else(|| format!("expected a predicate, found {arg:?}"))
    }

    fn dst_pred(&mut self, arg: &Operand) -> Result<u32, Problem> {
        match arg {
            Operand::Reg(_) => self.pred(arg),
            Operand::Sink => Ok(NONE),
            _ => Err(format!("expected a predicate, found {arg:?}")),
        }
    }

    fn finish(mut self, kernel: &Function) -> Result<Program, Vec<PtxError>> {
        if self.program.sites.len() > 0xffff {
            self.errors.push(PtxError { line: kernel.line, message: "too many calls".into() });
        }
        if !self.errors.is_empty() {
            let mut seen = BTreeSet::new();
            self.errors.retain(|e| seen.insert((e.line, e.message.clone())));
            self.errors.sort_by_key(|e| e.line);
            return Err(self.errors);
        }
        let p = &mut self.program;
        // Dynamic shared memory follows the static part.
        let dynamic = p.shared.next_multiple_of(16) as u64;
        for i in &self.dynamic {
            p.consts[*i].value = p.consts[*i].value.wrapping_add(dynamic);
        }
        // Constants and special registers follow the slots of all functions.
        let base = self.used.bytes;
        let place = |slot: &mut u32| {
            if let (registers::FIXED, at) = registers::tag(*slot) {
                *slot = base + at;
            }
        };
        p.code.iter_mut().flat_map(|i| &mut i.r).for_each(place);
        p.consts.iter_mut().for_each(|c| place(&mut c.slot));
        p.specials.iter_mut().for_each(|s| place(&mut s.1));
        p.frame = base + self.fixed;
        p.preds = self.used.preds;
        p.local = p.local.next_multiple_of(16);
        if let Some(mut fp) = self.frame_pointer {
            place(&mut fp);
            p.frame_pointer = Some(fp);
            p.level = p.local.max(16);
            // As many levels as fit, as on a device, whose stack is small as well.
            p.local = p.level * (STACK / p.level).clamp(2, LEVELS);
        }
        p.functions = self.module.functions.iter().map(|f| self.callees.iter().position(|c| *c == f.name)).collect();
        p.max_threads = kernel.max_threads;
        p.required = kernel.required;
        p.registers = kernel.regs.len().min(255) as u32;
        Ok(self.program)
    }
}

/// Bytes of local memory that a thread may use for recursion, and calls within each other.
const STACK: u32 = 32 << 10;
const LEVELS: u32 = 256;

/// The special register of a name.
fn special(name: &str) -> Option<Special> {
    let axis = |s: &str| match s {
        "x" => Some(0),
        "y" => Some(1),
        "z" => Some(2),
        _ => None,
    };
    if let Some((base, a)) = name.split_once('.') {
        let a = axis(a)?;
        return Some(match base {
            "%tid" => Special::Tid(a),
            "%ntid" => Special::Ntid(a),
            "%ctaid" => Special::Ctaid(a),
            "%nctaid" => Special::Nctaid(a),
            _ => return None,
        });
    }
    Some(match name {
        "%laneid" => Special::Lane,
        "%warpid" => Special::Warp,
        "%nwarpid" => Special::Nwarp,
        "%smid" => Special::Sm,
        "%nsmid" => Special::Nsm,
        "%lanemask_eq" => Special::LaneMask(0),
        "%lanemask_le" => Special::LaneMask(1),
        "%lanemask_lt" => Special::LaneMask(2),
        "%lanemask_ge" => Special::LaneMask(3),
        "%lanemask_gt" => Special::LaneMask(4),
        "%dynamic_smem_size" => Special::DynamicShared,
        "%total_smem_size" => Special::TotalShared,
        "%gridid" => Special::Zero,
        _ if name.starts_with("%envreg") => Special::Zero,
        _ => return None,
    })
}
