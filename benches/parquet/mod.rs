//! Benches of `warpline::parquet`, a module per operator.

mod reader;
mod writer;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, LargeBinaryArray, RecordBatch};
use criterion::Criterion;

/// Runs every group of this area.
pub fn benches(criterion: &mut Criterion) {
    reader::benches(criterion);
    writer::benches(criterion);
}

/// Rows as a table of photographs has them: a number and 20 KB that do not compress.
fn photos(rows: usize) -> RecordBatch {
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    let blobs = (0..rows).map(|_| (0..20_000).map(|_| next()).collect::<Vec<u8>>());
    let blobs: ArrayRef = Arc::new(LargeBinaryArray::from_iter_values(blobs));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    RecordBatch::try_from_iter([("id", ids), ("image", blobs)]).expect("a batch")
}
