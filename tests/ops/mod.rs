//! Operators over tables.

mod filter;
mod gather;
