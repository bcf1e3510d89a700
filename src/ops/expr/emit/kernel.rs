//! The entry around an expression: which rows a lane takes, what it writes.

use std::fmt::Write;

use arrow::datatypes::DataType;

use super::asm::{Asm, Class, Pred, Reg, line};
use super::lane::Kind;
use super::{Emit, OP, Row, Shape, Word, helpers};
use crate::error::{Error, Result};
use crate::ops::expr::bind::Bound;
use crate::ops::expr::reach::Reach;

/// The entry that writes the values of expressions.
const ENTRY: &str = "expr_evaluate";
/// The entry that selects the rows for which a condition is true.
const SELECT_ENTRY: &str = "expr_select";
/// Threads of a block; `kThreads` in kernels/expr.cu.
pub(in crate::ops) const THREADS: u32 = 256;
/// Words of a bitmap that a warp makes; `kWarpRows / 32`.
const WARP_WORDS: u32 = 8;
/// Rows of a block.
pub(in crate::ops) const TILE_ROWS: usize = (THREADS / 32 * WARP_WORDS * 32) as usize;
/// The most parameters: 4 KB of them are what every driver takes.
const MOST_PARAMS: usize = 4096 / 8;

/// An output of [`ENTRY`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ops) struct Output {
    pub(in crate::ops) data_type: DataType,
    /// Whether the kernel writes its validity.
    pub(in crate::ops) nullable: bool,
    /// Of text and binary of any length, whose values are spans: what their bytes may be.
    pub(in crate::ops::expr) reach: Option<Reach>,
}

/// A kernel and what its launch passes.
#[derive(Debug)]
pub(in crate::ops) struct Program {
    pub(in crate::ops) entry: &'static str,
    /// The module.
    pub(in crate::ops) text: String,
    /// The parameters in order.
    pub(in crate::ops) words: Vec<Word>,
    /// Outputs of [`ENTRY`]; none of [`SELECT_ENTRY`].
    pub(in crate::ops) outputs: Vec<Output>,
    /// What literals point to.
    pub(in crate::ops) blob: Vec<u8>,
    /// Bytes of workspace for each row, in which values are written as text.
    pub(in crate::ops) slots: usize,
    /// Whether a row may fail.
    pub(in crate::ops) fallible: bool,
}

/// A word of a bitmap for every 32 rows, kept by the lane whose turn it is.
struct Kept {
    output: Word,
    word: Reg,
}

impl Program {
    /// The kernel that writes these expressions' values.
    pub(in crate::ops::expr) fn evaluate(roots: &[&Bound], shapes: &[Shape]) -> Result<Program> {
        let mut emit = Emit::new(shapes);
        let inside = Pred::Reg(emit.row.inside);
        let mut kept = Vec::new();
        let mut outputs = Vec::new();
        for (i, root) in roots.iter().enumerate() {
            let lane = emit.lane(root, inside)?;
            let data_type = root.data_type().clone();
            let kind = Kind::of(OP, &data_type)?;
            match (kind, &data_type) {
                (_, DataType::Dictionary(..)) => {
                    let what = format!("{data_type} as the result of an expression on a device");
                    return Err(Error::unsupported(OP, what, "evaluate it on the host"));
                }
                (Kind::Null, _) => {}
                (Kind::Bytes, DataType::FixedSizeBinary(width)) => {
                    emit.store_bytes(lane, *width as usize, Word::Output(i));
                }
                (Kind::Bytes, _) => emit.store_span(lane, Word::Output(i)),
                (Kind::Bool, _) => {
                    let value = emit.holds(lane, true);
                    kept.push((Word::Output(i), emit.asm.and(inside, value)));
                }
                _ => emit.store(kind, lane, Word::Output(i)),
            }
            let nullable = kind != Kind::Null && lane.valid != Pred::True;
            if nullable {
                kept.push((Word::OutputValidity(i), emit.asm.and(inside, lane.valid)));
            }
            let spans = kind == Kind::Bytes && !matches!(data_type, DataType::FixedSizeBinary(_));
            let reach = spans.then(|| Reach::of(root));
            outputs.push(Output { data_type, nullable, reach });
        }
        emit.finish(ENTRY, kept, outputs)
    }

    /// The kernel that selects the rows for which the condition is true.
    pub(in crate::ops::expr) fn select(root: &Bound, shapes: &[Shape]) -> Result<Program> {
        let mut emit = Emit::new(shapes);
        let inside = Pred::Reg(emit.row.inside);
        let lane = emit.lane(root, inside)?;
        let holds = emit.holds(lane, true);
        let holds = emit.asm.and(inside, holds);
        emit.finish(SELECT_ENTRY, vec![(Word::Output(0), holds)], Vec::new())
    }
}

impl<'a> Emit<'a> {
    fn new(shapes: &'a [Shape]) -> Self {
        let mut asm = Asm::default();
        let row = Row {
            number: asm.reg(Class::D),
            word: asm.reg(Class::D),
            bit: asm.reg(Class::R),
            inside: asm.reg(Class::P),
        };
        let (params, blob, columns, scaled) = Default::default();
        Emit {
            asm,
            shapes,
            row,
            params,
            blob,
            slots: 0,
            powers: None,
            zones: Vec::new(),
            columns,
            scaled,
            bad: Pred::False,
        }
    }

    /// Puts the body into its loop over the warp's words, and the loop into an entry.
    fn finish(mut self, entry: &'static str, bitmaps: Vec<(Word, Pred)>, outputs: Vec<Output>) -> Result<Program> {
        let selects = entry == SELECT_ENTRY;
        let [step, kept_lane] = [Class::R, Class::P].map(|class| self.asm.reg(class));
        let mut kept = Vec::new();
        for (output, pred) in bitmaps {
            let word = self.asm.reg(Class::R);
            let ballot = self.asm.ballot(pred);
            line!(self.asm, "selp.b32 {word}, {ballot}, {word}, {kept_lane}");
            kept.push(Kept { output, word });
        }
        let fallible = self.bad != Pred::False;
        if let Pred::Reg(bad) = self.bad {
            let status = self.param(Word::Status);
            line!(self.asm, "@{bad} red.global.min.u64 [{status}], {}", self.row.number);
        }
        let body = self.asm.take();

        let rows = self.param(Word::Rows);
        let lane = self.asm.reg(Class::R);
        let first_word = self.asm.reg(Class::D);
        let tile = self.start(selects, lane, first_word);
        kept.iter().for_each(|kept| line!(self.asm, "mov.b32 {}, 0", kept.word));
        line!(self.asm, "mov.b32 {step}, 0");
        let prologue = self.asm.take();

        self.next_row(rows, lane, first_word, step, kept_lane);
        let head = self.asm.take();
        self.end(tile, rows, lane, first_word, step, &kept);
        let tail = self.asm.take();

        let loads = self.load_params(entry)?;
        let instructions = format!("{loads}{prologue}$LOOP:\n{head}{body}{tail}");
        let words: Vec<Word> = self.params.iter().map(|(word, _)| *word).collect();
        let mut text = format!(".version 8.0\n.target sm_75\n.address_size 64\n{}", helpers::text(&instructions));
        let _ = write!(text, ".visible .entry {entry}(");
        for (i, (_, reg)) in self.params.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(text, "{comma}\n\t.param .{} {entry}_{i}", reg.0.bits());
        }
        let _ =
            write!(text, "\n)\n.maxntid {THREADS}, 1, 1\n{{\n{}{instructions}\tret;\n}}\n", self.asm.declarations());
        Ok(Program { entry, text, words, outputs, blob: self.blob, slots: self.slots, fallible })
    }

    /// Where the thread's warp begins; gives the tile.
    fn start(&mut self, selects: bool, lane: Reg, first_word: Reg) -> Reg {
        let tile = match selects {
            // Tickets, so that lower tiles run first and the scan over tiles waits for no block that cannot start.
            true => {
                let scratch = self.param(Word::Scratch);
                self.asm.call("expr_take_tile", Pred::True, &[scratch], Class::R)
            }
            false => self.asm.op(Class::R, "mov.u32", &[&"%ctaid.x"]),
        };
        let asm = &mut self.asm;
        let thread = asm.op(Class::R, "mov.u32", &[&"%tid.x"]);
        line!(asm, "and.b32 {lane}, {thread}, 31");
        let one = asm.op(Class::R, "mov.b32", &[&1]);
        line!(asm, "shl.b32 {}, {one}, {lane}", self.row.bit);
        let warp = asm.op(Class::R, "shr.u32", &[&thread, &5]);
        let in_block = asm.op(Class::D, "mul.wide.u32", &[&warp, &WARP_WORDS]);
        let block = asm.op(Class::D, "mul.wide.u32", &[&tile, &(THREADS / 32 * WARP_WORDS)]);
        line!(asm, "add.s64 {first_word}, {block}, {in_block}");
        tile
    }

    /// The loop's head: the lane's row of this step.
    fn next_row(&mut self, rows: Reg, lane: Reg, first_word: Reg, step: Reg, kept_lane: Reg) {
        let (asm, row) = (&mut self.asm, &self.row);
        let long_step = asm.op(Class::D, "cvt.u64.u32", &[&step]);
        line!(asm, "add.s64 {}, {first_word}, {long_step}", row.word);
        let first = asm.op(Class::D, "shl.b64", &[&row.word, &5]);
        let long_lane = asm.op(Class::D, "cvt.u64.u32", &[&lane]);
        line!(asm, "add.s64 {}, {first}, {long_lane}", row.number);
        line!(asm, "setp.lt.u64 {}, {}, {rows}", row.inside, row.number);
        line!(asm, "setp.eq.u32 {kept_lane}, {lane}, {step}");
    }

    /// The loop's end, and the words that the lanes kept.
    fn end(&mut self, tile: Reg, rows: Reg, lane: Reg, first_word: Reg, step: Reg, kept: &[Kept]) {
        line!(self.asm, "add.u32 {step}, {step}, 1");
        let more = self.asm.op(Class::P, "setp.lt.u32", &[&step, &WARP_WORDS]);
        line!(self.asm, "@{more} bra $LOOP");
        if kept.is_empty() {
            return;
        }
        let long_lane = self.asm.op(Class::D, "cvt.u64.u32", &[&lane]);
        let word = self.asm.op(Class::D, "add.s64", &[&first_word, &long_lane]);
        let first = self.asm.op(Class::D, "shl.b64", &[&word, &5]);
        let there = self.asm.test("setp.lt.u64", &[&first, &rows]);
        let mine = self.asm.test("setp.lt.u32", &[&lane, &WARP_WORDS]);
        let stores = self.asm.and(there, mine);
        let stores = self.asm.materialize(stores);
        let offset = self.asm.op(Class::D, "shl.b64", &[&word, &2]);
        for Kept { output, word } in kept {
            let base = self.param(*output);
            let address = self.asm.op(Class::D, "add.s64", &[&base, &offset]);
            line!(self.asm, "@{stores} st.global.u32 [{address}], {word}");
        }
        if let [selected] = kept
            && let Some(scratch) = self.known(&Word::Scratch)
        {
            let count = self.asm.op(Class::R, "popc.b32", &[&selected.word]);
            let (bases, total) = (self.param(Word::Bases), self.param(Word::Count));
            self.asm.call_plain("expr_write_bases", Pred::True, &[scratch, tile, count, rows, bases, total]);
        }
    }

    fn known(&self, word: &Word) -> Option<Reg> {
        self.params.iter().find(|(known, _)| known == word).map(|(_, reg)| *reg)
    }

    /// Reads the parameters into their registers.
    fn load_params(&mut self, entry: &str) -> Result<String> {
        if self.params.len() > MOST_PARAMS {
            let what = format!("{} columns and literals in one expression on a device", self.params.len());
            return Err(Error::unsupported(OP, what, format!("at most {MOST_PARAMS}, or evaluate it on the host")));
        }
        for (i, (word, reg)) in self.params.iter().enumerate() {
            line!(self.asm, "ld.param.{} {reg}, [{entry}_{i}]", reg.0.bits());
            let pointer = !matches!(word, Word::Rows | Word::Constant(super::Constant::Word(_)));
            if pointer {
                line!(self.asm, "cvta.to.global.u64 {reg}, {reg}");
            }
        }
        Ok(self.asm.take())
    }
}
