//! Concat: the host twin beside arrow-rs's `concat_batches`, and the device on a GPU, of few large batches and of many small
//! ones.

use std::hint::black_box;

use arrow::compute::concat_batches;
use criterion::{BenchmarkId, Criterion, Throughput};
use warpline::{Batch, ExecCtx, ops};

use super::{GPU_ROWS, batch};
use crate::common::CudaTime;

/// Batches that have these rows together.
fn pieces(kind: &str, rows: usize, count: usize) -> Vec<Batch> {
    let (host, all) = (ExecCtx::host(1).expect("a host context"), batch(kind, rows));
    let piece = rows / count;
    (0..count).map(|i| ops::slice(&host, &all, i * piece, piece).expect("a slice")).collect()
}

/// Bytes that must move: each value read and written.
fn bytes(batches: &[Batch]) -> Throughput {
    Throughput::Bytes(2 * batches.iter().map(Batch::nbytes).sum::<usize>() as u64)
}

pub fn benches(criterion: &mut Criterion) {
    let one = ExecCtx::host(1).expect("a host context");
    for kind in ["i64x9", "utf8"] {
        let mut group = criterion.benchmark_group(format!("concat/{kind}/1M rows"));
        for count in [4, 1000] {
            let batches = pieces(kind, 1_000_000, count);
            let records: Vec<_> = batches.iter().map(|batch| batch.to_record_batch().expect("host")).collect();
            group.throughput(bytes(&batches));
            group.bench_function(BenchmarkId::new("warpline-host-1", count), |b| {
                b.iter(|| ops::concat(&one, black_box(&batches)).expect("a concatenation"));
            });
            group.bench_function(BenchmarkId::new("arrow-rs", count), |b| {
                b.iter(|| concat_batches(&records[0].schema(), black_box(&records)).expect("a concatenation"));
            });
        }
        group.finish();
    }
}

pub fn device_benches(criterion: &mut Criterion<CudaTime>, ctx: &ExecCtx) {
    for kind in ["i64x1", "i64x9", "utf8"] {
        let mut group = criterion.benchmark_group(format!("concat/{kind}/{GPU_ROWS} rows"));
        for count in [4, 1000] {
            let batches = pieces(kind, GPU_ROWS, count);
            group.throughput(bytes(&batches));
            let there: Vec<_> = batches.iter().map(|batch| batch.to(ctx).expect("upload")).collect();
            group.bench_function(BenchmarkId::new("warpline-cuda", count), |b| {
                b.iter(|| ops::concat(ctx, &there).expect("a concatenation"));
            });
        }
        group.finish();
    }
}
