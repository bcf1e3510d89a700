//! Columns and batches.

mod interop;
mod roundtrip;
