//! Columns and batches.

mod roundtrip;
