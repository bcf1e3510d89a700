//! Runs lowered programs: 32 lanes at a time, in groups of lanes that share a program counter.

mod address;
pub mod block;
pub mod code;
pub mod control;
pub mod coverage;
pub mod global_race;
pub mod launch;
pub mod mbarrier;
pub mod memory;
pub mod ops;
pub mod output;
pub mod pool;
pub mod race;
mod shadow;
mod solo;
mod survey;
mod tally;
pub mod warp;
pub mod warp_ops;
pub mod watchdog;
