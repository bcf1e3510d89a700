//! Benches of `warpline::ops`, a module per operator.

mod cast;
mod concat;
mod drop_nulls;
mod expr;
mod filter;
mod gather;
mod hash;
mod hash_partition;
mod join;
mod slice;

pub use filter::{PERCENTS, mask};
pub use gather::indices;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use criterion::Criterion;
use warpline::{Batch, ExecCtx};

use crate::common::CudaTime;

/// Runs every group of this area.
pub fn benches(criterion: &mut Criterion) {
    cast::benches(criterion);
    concat::benches(criterion);
    drop_nulls::benches(criterion);
    expr::benches(criterion);
    filter::benches(criterion);
    gather::benches(criterion);
    hash::benches(criterion);
    hash_partition::benches(criterion);
    join::benches(criterion);
    slice::benches(criterion);
}

/// Runs every device group of this area, timed by CUDA events.
pub fn device_benches(criterion: &mut Criterion<CudaTime>, ctx: &ExecCtx) {
    cast::device_benches(criterion, ctx);
    concat::device_benches(criterion, ctx);
    drop_nulls::device_benches(criterion, ctx);
    expr::device_benches(criterion, ctx);
    filter::device_benches(criterion, ctx);
    gather::device_benches(criterion, ctx);
    hash::device_benches(criterion, ctx);
    hash_partition::device_benches(criterion, ctx);
    join::device_benches(criterion, ctx);
    slice::device_benches(criterion, ctx);
}

/// SplitMix64 (Steele, Lea, Flood 2014), so that every run moves the same rows.
pub fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Rows of the large device benches: 80 MB a column, far past an L2 cache.
pub const GPU_ROWS: usize = 10_000_000;

/// Rows of which nine columns of i64 are 2.2 GB.
pub const LARGE_ROWS: usize = 3 * GPU_ROWS;

/// One column of i64 without nulls, which is all that array libraries know.
pub fn one_column(rows: usize) -> Batch {
    let mut next = random(1);
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows).map(|_| next() as i64)));
    Batch::from_record_batch(&RecordBatch::try_from_iter([("c0", column)]).expect("a batch"))
}

/// Nine columns of i64, a tenth of the rows null in every third.
pub fn numbers(rows: usize) -> Batch {
    let column = |i: u64| -> (String, ArrayRef) {
        let mut next = random(i);
        let value = |_| {
            let value = next() as i64;
            (!i.is_multiple_of(3) || value % 10 != 0).then_some(value)
        };
        (format!("c{i}"), Arc::new(Int64Array::from_iter((0..rows).map(value))))
    };
    Batch::from_record_batch(&RecordBatch::try_from_iter((0..9).map(column)).expect("a batch"))
}

/// One of the batches above or below.
fn batch(kind: &str, rows: usize) -> Batch {
    match kind {
        "i64x1" => one_column(rows),
        "i64x9" => numbers(rows),
        _ => strings(rows),
    }
}

/// A column of strings of 0 to 31 bytes.
fn strings(rows: usize) -> Batch {
    let mut next = random(77);
    let text = "the quick brown fox jumps over the lazy dog";
    let column: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|_| &text[..next() as usize % 32])));
    Batch::from_record_batch(&RecordBatch::try_from_iter([("text", column)]).expect("a batch"))
}
