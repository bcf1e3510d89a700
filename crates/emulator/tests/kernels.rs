//! Kernels of other people, compiled while the tests run, with results that plain Rust has computed as well: CUB's block
//! primitives, and six files of candle's kernels.

// The driver's tests use the rest of it.
#[allow(dead_code)]
mod common;
mod kernels {
    mod candle;
    mod candle_indexing;
    mod candle_reduce;
    mod cub;
    mod elem;
    mod entry_points;
    mod fast_math;
    mod nvcc;
}
