//! PTX for bound expressions, written at run time: no NVRTC, no C++.
//!
//! A warp evaluates 256 rows, a row per lane and step, so that a ballot makes a whole word of a bitmap. There are no
//! branches but around calls: both sides of AND, OR and CASE are computed, and a predicate that goes down the tree says
//! in which rows the result of a part is looked at, for only those may fail. Values that depend on nothing but the query
//! (literals) are parameters, so that the text is the same for `x > 5` and `x > 7`: the text itself is the key under
//! which modules are kept.
//!
//! - `asm`: registers, instructions, calls; `lane`: what a lane holds of a value
//! - `load`: columns and literals; `compare`, `number`, `cast`, `parse`, `text`, `time`: operations; `tree`: the walk
//! - `kernel`: the entry around it; `helpers`: the functions of `kernels/expr.cu`

mod asm;
mod cast;
mod compare;
mod folds;
mod helpers;
mod interval;
mod kernel;
mod lane;
mod load;
mod number;
mod parse;
mod powers;
mod text;
mod time;
mod tree;
mod zone;

use std::collections::HashMap;

use arrow::datatypes::DataType;

use asm::{Asm, Class, Pred, Reg};
use lane::Lane;

use super::{Arithmetic, Comparison};

pub(in crate::ops) use kernel::{Output, Program, THREADS, TILE_ROWS};
pub(in crate::ops) use lane::Kind;
pub(super) use load::bytes_of;
pub(super) use text::text_width;

/// The operator that errors name.
pub(in crate::ops) const OP: &str = "expression";

/// What the text depends on of a batch's column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::ops) struct Shape {
    pub(in crate::ops) data_type: DataType,
    /// Whether it has a validity bitmap.
    pub(in crate::ops) nullable: bool,
    /// Whether its dictionary has one.
    pub(in crate::ops) nullable_dictionary: bool,
}

/// A part of a column in device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::ops) enum Part {
    Validity,
    Buffer(usize),
    /// The first buffer, whose address must be a multiple of this.
    Values {
        align: usize,
    },
    /// A table of the addresses of a view column's data buffers.
    DataTable,
}

/// A parameter of the kernel: what the host passes for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::ops) enum Word {
    /// The number of rows.
    Rows,
    /// A buffer of a column, or of its dictionary.
    Column { column: usize, dictionary: bool, part: Part },
    /// The word that failing rows lower.
    Status,
    /// Values of an output; spans of text and binary.
    Output(usize),
    /// Validity of an output.
    OutputValidity(usize),
    /// Workspace for text that values are written as, so many bytes for each row behind its beginning.
    Slots(usize),
    /// Scratch of the scan over tiles, zeroed.
    Scratch,
    /// Where each 1,024 rows' first selected one goes.
    Bases,
    /// How many rows are selected.
    Count,
    /// A literal.
    Constant(Constant),
}

/// A literal's parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::ops) enum Constant {
    Word(u64),
    /// The address of this byte of the program's constants.
    Blob(usize),
}

/// The registers that tell a lane where it is.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// The row, 64 bits.
    number: Reg,
    /// The word of a bitmap that it is in, 64 bits.
    word: Reg,
    /// Its bit of that word.
    bit: Reg,
    /// Whether there is such a row.
    inside: Reg,
}

/// A kernel's body in the making.
struct Emit<'a> {
    asm: Asm,
    shapes: &'a [Shape],
    row: Row,
    params: Vec<(Word, Reg)>,
    /// What literals point to.
    blob: Vec<u8>,
    /// Bytes of workspace for each row.
    slots: usize,
    /// Where the powers of ten are among the constants.
    powers: Option<Reg>,
    /// The tables of zones whose offset changes.
    zones: Vec<(String, [Reg; 2])>,
    columns: HashMap<usize, Lane>,
    scaled: Vec<(Reg, usize, Reg)>,
    /// Whether the row fails.
    bad: Pred,
}

impl Emit<'_> {
    /// The register of a 64-bit parameter.
    fn param(&mut self, word: Word) -> Reg {
        self.narrow_or_long(Class::D, word)
    }

    /// The register of a literal of this class.
    fn narrow_param(&mut self, class: Class, constant: Constant) -> Reg {
        self.narrow_or_long(class, Word::Constant(constant))
    }

    fn narrow_or_long(&mut self, class: Class, word: Word) -> Reg {
        // Equal literals must not share a parameter: the text would depend on their being equal.
        let known = self.params.iter().find(|(known, _)| *known == word && !matches!(word, Word::Constant(_)));
        if let Some((_, reg)) = known {
            return *reg;
        }
        let reg = self.asm.reg(class);
        self.params.push((word, reg));
        reg
    }

    /// Puts bytes among the constants; where they begin, to a multiple of 8, and how many there are.
    fn blob(&mut self, bytes: &[u8]) -> (usize, usize) {
        let at = self.blob.len().next_multiple_of(8);
        self.blob.resize(at, 0);
        self.blob.extend_from_slice(bytes);
        (at, bytes.len())
    }

    /// Notes the lanes where the row cannot be evaluated.
    fn fail(&mut self, when: Pred) {
        self.bad = self.asm.or(self.bad, when);
    }
}
