//! Normalise of images that already have the model's size, by element type and layout.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use warpline::ExecCtx;
use warpline::image::{DType, Layout, Normalize, normalize};

use super::noise;

const ROWS: usize = 16;

pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("normalize/224");
    let ctx = ExecCtx::host(1).expect("a host context");
    let images = noise(224, 224, ROWS);
    for dtype in [DType::F32, DType::F16] {
        for layout in [Layout::Nchw, Layout::Nhwc] {
            group.throughput(Throughput::Bytes((ROWS * 3 * 224 * 224 * (1 + dtype.size())) as u64));
            group.bench_function(BenchmarkId::new("warpline-host-1", format!("{dtype}-{layout}")), |b| {
                b.iter(|| normalize(&ctx, black_box(&images), &Normalize::IMAGENET, dtype, layout).expect("tensors"));
            });
        }
    }
    group.finish();
}
