//! Reads PTX text: a lexer, a parser and the tree that both sides share.

mod ast;
mod declare;
mod lexer;
mod parser;

pub use ast::{
    AddrBase, Function, Init, Inst, Loc, Module, Operand, Param, Prototype, RegType, Space, Stmt, Symbol, Type, Var,
};
pub use parser::parse;

/// Why a PTX text was not taken: the line (from 1) and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PtxError {
    /// Line of the text, from 1.
    pub line: u32,
    /// What is wrong there.
    pub message: String,
}

impl std::fmt::Display for PtxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for PtxError {}
