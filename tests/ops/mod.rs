//! Tests of `warpline::ops`, a module per file of it.

mod expr;
mod filter;
mod gather;
mod join;
