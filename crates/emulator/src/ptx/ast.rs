//! The tree of a PTX module, with registers and local variables already resolved to numbers.

use std::collections::HashMap;

/// A fundamental type, as written after the dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// `.pred`
    Pred,
    /// `.b8 .b16 .b32 .b64 .b128`: bits without a meaning, with the width in bits.
    B(u8),
    /// `.u8` to `.u64`
    U(u8),
    /// `.s8` to `.s64`
    S(u8),
    /// `.f16 .f32 .f64`
    F(u8),
    /// `.f16x2`
    F16x2,
    /// `.bf16`
    Bf16,
    /// `.bf16x2`
    Bf16x2,
}

impl Type {
    /// Reads a type from its name without the dot.
    pub fn parse(s: &str) -> Option<Type> {
        Some(match s {
            "pred" => Type::Pred,
            "b8" => Type::B(8),
            "b16" => Type::B(16),
            "b32" => Type::B(32),
            "b64" => Type::B(64),
            "b128" => Type::B(128),
            "u8" => Type::U(8),
            "u16" => Type::U(16),
            "u32" => Type::U(32),
            "u64" => Type::U(64),
            "s8" => Type::S(8),
            "s16" => Type::S(16),
            "s32" => Type::S(32),
            "s64" => Type::S(64),
            "f16" => Type::F(16),
            "f32" => Type::F(32),
            "f64" => Type::F(64),
            "f16x2" => Type::F16x2,
            "bf16" => Type::Bf16,
            "bf16x2" => Type::Bf16x2,
            _ => return None,
        })
    }

    /// Width in bits; a predicate has one.
    pub fn bits(self) -> u32 {
        match self {
            Type::Pred => 1,
            Type::B(n) | Type::U(n) | Type::S(n) | Type::F(n) => n as u32,
            Type::Bf16 => 16,
            Type::F16x2 | Type::Bf16x2 => 32,
        }
    }

    /// Width in bytes in memory.
    pub fn bytes(self) -> u32 {
        self.bits().div_ceil(8)
    }

    /// Whether values are signed integers.
    pub fn signed(self) -> bool {
        matches!(self, Type::S(_))
    }
}

/// The class that a virtual register belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RegType {
    /// One bit a lane.
    Pred,
    /// 16 bits a lane (8-bit registers live here too).
    W16,
    /// 32 bits a lane.
    W32,
    /// 64 bits a lane.
    W64,
}

impl RegType {
    /// The class that holds values of `ty`; none for 128 bits.
    pub fn of(ty: Type) -> Option<RegType> {
        Some(match ty.bits() {
            1 => RegType::Pred,
            8 | 16 => RegType::W16,
            32 => RegType::W32,
            64 => RegType::W64,
            _ => return None,
        })
    }

    /// Bytes a lane; predicates have none here.
    pub fn bytes(self) -> u32 {
        match self {
            RegType::Pred => 0,
            RegType::W16 => 2,
            RegType::W32 => 4,
            RegType::W64 => 8,
        }
    }
}

/// A state space of variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// Device memory.
    Global,
    /// Read-only device memory.
    Const,
    /// Memory of a block.
    Shared,
    /// Memory of a thread.
    Local,
    /// Parameters: of a kernel, or of a call.
    Param,
}

/// What a variable holds at the start, in bytes, with the places where addresses go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Init {
    /// Bytes from offset 0; the rest of the variable is zero.
    pub bytes: Vec<u8>,
    /// `(offset, symbol, addend)`: the generic address of a symbol goes there, eight bytes.
    pub addresses: Vec<(u32, String, i64)>,
}

/// A variable declaration.
#[derive(Debug, Clone)]
pub struct Var {
    /// Its name.
    pub name: String,
    /// Where it lives.
    pub space: Space,
    /// Alignment in bytes.
    pub align: u32,
    /// Size in bytes; 0 for an `extern` array of unknown size.
    pub size: u64,
    /// Whether it is `.extern`.
    pub external: bool,
    /// Initial value, if written.
    pub init: Option<Init>,
    /// Line of the declaration.
    pub line: u32,
}

/// A parameter of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Size in bytes.
    pub size: u32,
    /// Alignment in bytes.
    pub align: u32,
    /// The register number when the parameter is declared `.reg` (`.func` only).
    pub reg: Option<u32>,
}

/// A name that an operand refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Symbol {
    /// A variable declared in this function: index into [`Function::vars`].
    Var(usize),
    /// A parameter of this function: index into [`Function::params`].
    Param(usize),
    /// A return parameter of this function: index into [`Function::returns`].
    Return(usize),
    /// A label of this function, or something at module level.
    Name(String),
}

/// The base of an address operand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddrBase {
    /// A register.
    Reg(u32),
    /// A variable, parameter or function.
    Sym(Symbol),
    /// An absolute address.
    None,
}

/// An operand of an instruction.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A virtual register of this function.
    Reg(u32),
    /// A negated predicate register, `!%p1`.
    NotReg(u32),
    /// A special register by name, such as `%tid.x`.
    Special(String),
    /// An integer, already in two's complement.
    Int(i64),
    /// Bits of an `0f` literal.
    F32(u32),
    /// Bits of an `0d` literal, or a decimal one.
    F64(u64),
    /// A symbol with an addend, as in `mov.u64 %rd1, table+8`.
    Sym(Symbol, i64),
    /// `[base+offset]`
    Addr(AddrBase, i64),
    /// `{a, b, ..}`
    Vec(Vec<Operand>),
    /// `(a, b, ..)` in a call
    List(Vec<Operand>),
    /// `a|b`: two destinations
    Pair(Box<Operand>, Box<Operand>),
    /// `_`
    Sink,
}

/// Where an instruction comes from: file number and line, and what it was inlined at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Loc {
    /// Number of the `.file`.
    pub file: u32,
    /// Line in that file.
    pub line: u32,
    /// File and line of the innermost call that it was inlined at; zeros if none. Canonical PTX does not tell, so
    /// there it is the last line of the function's own file before it.
    pub at: (u32, u32),
}

/// An instruction.
#[derive(Debug, Clone)]
pub struct Inst {
    /// Guard: register number and whether it is negated.
    pub guard: Option<(u32, bool)>,
    /// The whole opcode with its dots.
    pub op: String,
    /// Operands in order.
    pub args: Vec<Operand>,
    /// Line of the PTX.
    pub line: u32,
    /// Source position.
    pub loc: Loc,
    /// Bytes of a vector load that are really used (bit per byte), from `used_bytes_mask`.
    pub used_bytes: Option<u32>,
}

/// A statement of a function body.
#[derive(Debug, Clone)]
pub enum Stmt {
    /// A label, unique in the function.
    Label(String),
    /// An instruction.
    Inst(Inst),
}

/// The parameter sizes of an indirect call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prototype {
    /// Sizes of the return parameters.
    pub returns: Vec<u32>,
    /// Sizes of the parameters.
    pub params: Vec<u32>,
}

/// A kernel or a device function.
#[derive(Debug, Clone, Default)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Whether it is an `.entry`.
    pub entry: bool,
    /// Whether it has a body.
    pub defined: bool,
    /// Return parameters.
    pub returns: Vec<Param>,
    /// Parameters.
    pub params: Vec<Param>,
    /// `.maxntid` as a product, 0 if absent.
    pub max_threads: u32,
    /// `.reqntid`, zeros if absent.
    pub required: [u32; 3],
    /// Classes of the virtual registers by number.
    pub regs: Vec<Option<RegType>>,
    /// Variables declared inside.
    pub vars: Vec<Var>,
    /// The body.
    pub body: Vec<Stmt>,
    /// `.branchtargets` lists by label.
    pub branch_targets: HashMap<String, Vec<String>>,
    /// `.callprototype` by label.
    pub prototypes: HashMap<String, Prototype>,
    /// Line of the definition.
    pub line: u32,
}

/// A PTX module.
#[derive(Debug, Clone, Default)]
pub struct Module {
    /// `.version`, as (major, minor).
    pub version: (u32, u32),
    /// `.target`, such as `sm_75`.
    pub target: String,
    /// `.file` names by number.
    pub files: HashMap<u32, String>,
    /// Variables at module level.
    pub vars: Vec<Var>,
    /// Functions in order.
    pub functions: Vec<Function>,
}
