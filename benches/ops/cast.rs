//! Cast of nine columns of i64 to f64: the host twin beside arrow-rs's `cast`, and the device on a GPU.

use std::hint::black_box;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use criterion::{Criterion, Throughput};
use warpline::{Batch, ExecCtx, ops};

use super::{GPU_ROWS, numbers};
use crate::common::CudaTime;

/// Every column to f64.
fn types(batch: &Batch) -> Vec<(&str, DataType)> {
    batch.schema().fields().iter().map(|field| (field.name().as_str(), DataType::Float64)).collect()
}

/// Bytes that must move: each value read and written.
fn bytes(batch: &Batch) -> Throughput {
    Throughput::Bytes(2 * batch.nbytes() as u64)
}

pub fn benches(criterion: &mut Criterion) {
    let one = ExecCtx::host(1).expect("a host context");
    let batch = numbers(1_000_000);
    let records = batch.to_record_batch().expect("host");
    let mut group = criterion.benchmark_group("cast/i64x9 to f64/1M rows");
    group.throughput(bytes(&batch));
    group.bench_function("warpline-host-1", |b| {
        b.iter(|| ops::cast(&one, black_box(&batch), &types(&batch)).expect("a cast"));
    });
    group.bench_function("arrow-rs", |b| {
        let cast = |array: &ArrayRef| arrow::compute::cast(array, &DataType::Float64).expect("a cast");
        b.iter(|| black_box(&records).columns().iter().map(cast).collect::<Vec<_>>());
    });
    group.finish();
}

pub fn device_benches(criterion: &mut Criterion<CudaTime>, ctx: &ExecCtx) {
    let batch = numbers(GPU_ROWS);
    let mut group = criterion.benchmark_group(format!("cast/i64x9 to f64/{GPU_ROWS} rows"));
    group.throughput(bytes(&batch));
    let there = batch.to(ctx).expect("upload");
    group.bench_function("warpline-cuda", |b| b.iter(|| ops::cast(ctx, &there, &types(&batch)).expect("a cast")));
    group.finish();
}
