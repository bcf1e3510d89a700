//! The one criterion binary: a folder per area, a module per operator, each with its own group.

mod image;
mod infer;
mod ops;
mod parquet;
mod pipeline;

use criterion::{Criterion, criterion_group, criterion_main};

fn areas(criterion: &mut Criterion) {
    image::benches(criterion);
    infer::benches(criterion);
    ops::benches(criterion);
    parquet::benches(criterion);
    pipeline::benches(criterion);
}

criterion_group!(all, areas);
criterion_main!(all);
