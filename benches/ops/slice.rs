//! Slice: on the host nothing is copied, beside arrow-rs's; on a GPU what begins at a row that shares and at one that
//! copies.

use std::hint::black_box;

use arrow::array::RecordBatch;
use criterion::{BenchmarkId, Criterion, Throughput};
use warpline::{ExecCtx, ops};

use super::{GPU_ROWS, batch};
use crate::common::CudaTime;

pub fn benches(criterion: &mut Criterion) {
    let rows = 1_000_000;
    let one = ExecCtx::host(1).expect("a host context");
    for kind in ["i64x9", "utf8"] {
        let batch = batch(kind, rows);
        let records: RecordBatch = batch.to_record_batch().expect("host");
        let mut group = criterion.benchmark_group(format!("slice/{kind}/1M rows"));
        group.bench_function("warpline-host-1", |b| {
            b.iter(|| ops::slice(&one, black_box(&batch), 1, rows / 2).expect("a slice"));
        });
        group.bench_function("arrow-rs", |b| b.iter(|| black_box(&records).slice(1, rows / 2)));
        group.finish();
    }
}

pub fn device_benches(criterion: &mut Criterion<CudaTime>, ctx: &ExecCtx) {
    for kind in ["i64x1", "i64x9", "utf8"] {
        let batch = batch(kind, GPU_ROWS);
        let there = batch.to(ctx).expect("upload");
        let mut group = criterion.benchmark_group(format!("slice/{kind}/{GPU_ROWS} rows"));
        for (name, offset) in [("from row 0", 0), ("from row 1", 1)] {
            let bytes = ops::slice(&ExecCtx::host(1).expect("host"), &batch, offset, GPU_ROWS / 2);
            group.throughput(Throughput::Bytes(2 * bytes.expect("a slice").nbytes() as u64));
            group.bench_function(BenchmarkId::new("warpline-cuda", name), |b| {
                b.iter(|| ops::slice(ctx, &there, offset, GPU_ROWS / 2).expect("a slice"));
            });
        }
        group.finish();
    }
}
