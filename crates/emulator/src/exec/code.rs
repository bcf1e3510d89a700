//! The lowered form of a kernel: instructions with typed handlers over slots of a register file.

use std::sync::Arc;

use super::warp::Warp;
use crate::ptx::{Loc, Space};

/// Lanes of a warp.
pub const LANES: usize = 32;
/// All lanes.
pub const FULL: u32 = u32::MAX;
/// "No operand" in a register field.
pub const NONE: u32 = u32::MAX;

/// What the warp loop does after an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Flow {
    /// Go on with the next instruction.
    Next,
    /// Look at [`Inst::ctl`].
    Control,
    /// A check failed; the launch is over.
    Fault,
}

/// Executes one instruction for the lanes of the mask.
///
/// # Safety
/// The warp must have been laid out for the program that holds the instruction.
pub type Handler = unsafe fn(&mut Warp, &Inst, u32) -> Flow;

/// Control operations, which the warp loop carries out itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ctl {
    /// Not a control operation.
    None,
    /// Branch to `imm`.
    Bra,
    /// Branch through table `imm` by the index in `r[0]`.
    BrxIdx,
    /// The lane ends.
    Exit,
    /// Return from a function.
    Ret,
    /// Call the function at `imm`.
    Call,
    /// Call the function whose address is in `r[4]`.
    CallIndirect,
    /// Meeting point of the lanes in the mask `r[5]`; then `g` does the work.
    Sync,
    /// Barrier `r[0]` with `r[1]` threads.
    BarSync,
    /// Arrive at a barrier without waiting.
    BarArrive,
    /// Barrier with a reduction.
    BarRed,
    /// `trap`
    Trap,
    /// `vprintf`, with the parameters of call site `id`.
    Print,
    /// `__assertfail`, likewise.
    Assert,
    /// A hint that another warp may run now.
    Yield,
}

/// Address space of a memory operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemSpace {
    /// Device memory, constants and module variables.
    Global,
    /// The block's memory.
    Shared,
    /// The thread's memory.
    Local,
    /// Kernel parameters.
    Param,
    /// Any of them, told apart by the top byte.
    Generic,
}

/// Tag of generic addresses in the shared window.
pub const TAG_SHARED: u64 = 1 << 56;
/// Tag of generic addresses in the local window.
pub const TAG_LOCAL: u64 = 2 << 56;
/// Tag of generic addresses of kernel parameters.
pub const TAG_PARAM: u64 = 3 << 56;
/// Tag of function addresses.
pub const TAG_CODE: u64 = 4 << 56;
/// The bits of a generic address that hold the tag.
pub const TAG_MASK: u64 = 0xff << 56;

/// A lowered instruction; it fills a cache line.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub struct Inst {
    /// What it does.
    pub f: Handler,
    /// Second handler, of operations with a meeting point.
    pub g: Handler,
    /// Predicate slot of the guard, negated when bit 31 is set; slot 0 is always true.
    pub guard: u32,
    /// Operands: byte offsets into the register file, or predicate slots.
    pub r: [u32; 6],
    /// Immediate: offset, branch target, shift or mode.
    pub imm: i64,
    /// Control operation.
    pub ctl: Ctl,
    /// Address space.
    pub space: MemSpace,
    /// Whether the address register has 64 bits.
    pub wide: bool,
    /// Whether a load or store is volatile or has a memory order.
    pub strong: bool,
    /// Bytes of the access that matter, a bit each; all ones unless a vector load covers padding.
    pub used: u32,
    /// Number among the memory instructions, for range caches.
    pub id: u32,
}

const _: () = assert!(size_of::<Inst>() == 64);

/// A constant in the register file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Const {
    /// Byte offset of its slot.
    pub slot: u32,
    /// Bytes a lane.
    pub width: u32,
    /// Value.
    pub value: u64,
}

/// Special registers that have a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Special {
    /// `%tid` by axis.
    Tid(u8),
    /// `%ntid` by axis.
    Ntid(u8),
    /// `%ctaid` by axis.
    Ctaid(u8),
    /// `%nctaid` by axis.
    Nctaid(u8),
    /// `%laneid`
    Lane,
    /// `%warpid`
    Warp,
    /// `%nwarpid`
    Nwarp,
    /// `%smid`
    Sm,
    /// `%nsmid`
    Nsm,
    /// `%lanemask_eq, le, lt, ge, gt` in this order.
    LaneMask(u8),
    /// `%dynamic_smem_size`
    DynamicShared,
    /// `%total_smem_size`
    TotalShared,
    /// `%gridid` and other zeros.
    Zero,
}

/// A function inside a program.
#[derive(Debug, Clone, Default)]
pub struct Callee {
    /// Its name.
    pub name: String,
    /// First instruction.
    pub entry: u32,
    /// Offsets in local memory of its parameters, with sizes.
    pub params: Vec<(u32, u32)>,
    /// Offsets in local memory of its results, with sizes.
    pub returns: Vec<(u32, u32)>,
    /// Its slots in the register file, with the bytes of a lane.
    pub slots: Vec<(u32, u32)>,
    /// Its predicates: the first, and one past the last.
    pub preds: (u32, u32),
}

/// Copies between caller and callee around a call: local-memory offsets of the caller, with sizes.
#[derive(Debug, Clone, Default)]
pub struct CallSite {
    /// Arguments.
    pub args: Vec<(u32, u32)>,
    /// Results.
    pub results: Vec<(u32, u32)>,
}

/// A kernel, ready to run.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Instructions of the kernel and of all functions that it may call.
    pub code: Vec<Inst>,
    /// Source position of each instruction.
    pub locs: Vec<Loc>,
    /// PTX line of each instruction.
    pub lines: Vec<u32>,
    /// Opcode of each instruction: index into `op_names`.
    pub ops: Vec<u32>,
    /// Opcode texts.
    pub op_names: Vec<String>,
    /// Source file names.
    pub files: Arc<std::collections::HashMap<u32, String>>,
    /// Bytes of a warp's register file.
    pub frame: u32,
    /// Predicate slots.
    pub preds: u32,
    /// Constants to write into the register file.
    pub consts: Vec<Const>,
    /// Special registers with their slots.
    pub specials: Vec<(Special, u32)>,
    /// Bytes of static shared memory.
    pub shared: u32,
    /// Local memory of a thread.
    pub local: u32,
    /// Kernel parameters: offset, size.
    pub params: Vec<(u32, u32)>,
    /// Bytes of all parameters.
    pub param_bytes: u32,
    /// `.maxntid` as a product, 0 if absent.
    pub max_threads: u32,
    /// `.reqntid`.
    pub required: [u32; 3],
    /// Memory instructions.
    pub mem_count: u32,
    /// Branch tables of `brx.idx`.
    pub tables: Vec<Vec<u32>>,
    /// Functions that may be called.
    pub callees: Vec<Callee>,
    /// Number among them of each function of the module.
    pub functions: Vec<Option<usize>>,
    /// In programs that recurse: the slot of the offset in local memory from which a call's variables count.
    pub frame_pointer: Option<u32>,
    /// Local memory of one level of recursion.
    pub level: u32,
    /// The machine that its handlers are for.
    pub isa: super::ops::Isa,
    /// Copies around calls, by `Inst::id` of the call.
    pub sites: Vec<CallSite>,
    /// Virtual registers (a stand-in for the count of a real assembler).
    pub registers: u32,
    /// State space of module variables, for reports: name, address, size.
    pub symbols: Arc<Vec<(String, u64, u64, Space)>>,
}

impl Program {
    /// The `file:line` of an instruction, or its PTX line where nothing better is known.
    pub fn place(&self, pc: u32) -> String {
        let loc = self.locs.get(pc as usize).copied().unwrap_or_default();
        let name = |f: u32| self.files.get(&f).map(|s| s.rsplit('/').next().unwrap_or(s));
        let ptx = self.lines.get(pc as usize).copied().unwrap_or(0);
        match (name(loc.file), loc.line) {
            (Some(file), line) if line > 0 => match name(loc.at.0) {
                Some(at) => format!("{file}:{line} (inlined at {at}:{}), PTX line {ptx}", loc.at.1),
                None => format!("{file}:{line}, PTX line {ptx}"),
            },
            _ => format!("PTX line {ptx}"),
        }
    }

    /// The opcode of an instruction.
    pub fn opcode(&self, pc: u32) -> &str {
        self.ops.get(pc as usize).and_then(|i| self.op_names.get(*i as usize)).map_or("?", |s| s)
    }
}
