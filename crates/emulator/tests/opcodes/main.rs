//! Each opcode against a scalar model written for the purpose, on random and edge values, under random guards, with the
//! handlers for this machine and with those for any.

// Lane numbers index several arrays at once.
#![allow(clippy::needless_range_loop)]

mod floats;
mod half;
mod harness;
mod integers;
mod lanes;
mod memory;
mod predicates;
mod programs;
mod text;
