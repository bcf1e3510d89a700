//! Resize + crop + normalise of a batch: the host twin on one thread and on all, and normalise alone.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use warpline::ExecCtx;
use warpline::image::{DType, Layout, Normalize, Patches, Preprocess, Resize, preprocess};

use super::noise;
use crate::common::CudaTime;

const ROWS: u64 = 16;

/// Images of a batch on a GPU: 1024 of 560 KB are far past its L2 cache.
pub const GPU_ROWS: usize = 1024;

pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("preprocess/shorter256-crop224");
    group.throughput(Throughput::Elements(ROWS));
    let images = noise(500, 375, ROWS as usize);
    for (name, threads) in [("warpline-host-1", 1), ("warpline-host-all", 0)] {
        let ctx = ExecCtx::host(threads).expect("a host context");
        for dtype in [DType::F32, DType::F16, DType::U8] {
            let normalize = if dtype == DType::U8 { Normalize::NONE } else { Normalize::IMAGENET };
            let what = Preprocess { resize: Resize::shorter(256).crop(224), normalize, dtype, layout: Layout::Nchw };
            group.bench_function(BenchmarkId::new(name, dtype), |b| {
                b.iter(|| preprocess(&ctx, black_box(&images), &what).expect("tensors"));
            });
        }
    }
    group.finish();

    let mut group = criterion.benchmark_group("preprocess/geometry");
    group.throughput(Throughput::Elements(ROWS));
    let ctx = ExecCtx::host(0).expect("a host context");
    for (name, what) in geometries() {
        group.bench_function(BenchmarkId::new("warpline-host-all", name), |b| {
            b.iter(|| preprocess(&ctx, black_box(&images), &what).expect("tensors"));
        });
    }
    group.finish();
}

/// What else than a centre crop there is to do, to f16.
fn geometries() -> [(&'static str, Preprocess); 3] {
    let what = |resize, layout| Preprocess { resize, normalize: Normalize::CLIP, dtype: DType::F16, layout };
    [
        ("letterbox224", what(Resize::letterbox(224, 224).fill([114; 3]), Layout::Nchw)),
        ("random224-flip", what(Resize::random_resized_crop(224, 224).hflip(0.5), Layout::Nchw)),
        ("patches14", what(Resize::exact(224, 224), Layout::Patches(Patches::new(14).merge(2).temporal(2)))),
    ]
}

pub fn device_benches(criterion: &mut Criterion<CudaTime>, ctx: &ExecCtx) {
    let mut group = criterion.benchmark_group("preprocess/shorter256-crop224");
    let images = noise(500, 375, GPU_ROWS).to(ctx).expect("upload");
    for dtype in [DType::F32, DType::F16, DType::U8] {
        let normalize = if dtype == DType::U8 { Normalize::NONE } else { Normalize::IMAGENET };
        let what = Preprocess { resize: Resize::shorter(256).crop(224), normalize, dtype, layout: Layout::Nchw };
        // Read the window that the crop needs, write and read the bytes between the passes, write the tensor.
        let (window, between) = (3 * 330 * 330, 3 * 224 * 330);
        let nbytes = GPU_ROWS * (window + 2 * between + 3 * 224 * 224 * dtype.size());
        group.throughput(Throughput::Bytes(nbytes as u64));
        group.bench_function(BenchmarkId::new("warpline-cuda", dtype), |b| {
            b.iter(|| preprocess(ctx, black_box(&images), &what).expect("tensors"));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("preprocess/geometry");
    group.throughput(Throughput::Elements(GPU_ROWS as u64));
    for (name, what) in geometries() {
        group.bench_function(BenchmarkId::new("warpline-cuda", name), |b| {
            b.iter(|| preprocess(ctx, black_box(&images), &what).expect("tensors"));
        });
    }
    group.finish();
}
