//! Gather: the host twin beside arrow-rs's `take_record_batch`, and the device on a GPU.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use criterion::{BenchmarkId, Criterion, Throughput};
use warpline::{Batch, Column, ExecCtx, ops};

use super::{GPU_ROWS, LARGE_ROWS, batch, numbers, random, strings};
use crate::common::CudaTime;

/// Indices in random order, and in rising order with gaps as a join or a filter makes them.
pub fn indices(rows: usize, order: &str) -> UInt32Array {
    let mut next = random(5);
    let count = rows / 2;
    match order {
        "random" => UInt32Array::from_iter_values((0..count).map(|_| (next() % rows as u64) as u32)),
        _ => UInt32Array::from_iter_values((0..count).map(|i| (2 * i) as u32 + (next() % 2) as u32)),
    }
}

/// Bytes that a gather must move: the indices, and each value read and written.
fn bytes(ctx: &ExecCtx, batch: &Batch, indices: &Column) -> Throughput {
    let rows = ops::gather(ctx, batch, indices).expect("a gather").nbytes();
    Throughput::Bytes((indices.nbytes() + 2 * rows) as u64)
}

pub fn benches(criterion: &mut Criterion) {
    let rows = 1_000_000;
    let one = ExecCtx::host(1).expect("a host context");
    for (kind, batch) in [("i64x9", numbers(rows)), ("utf8", strings(rows))] {
        let mut group = criterion.benchmark_group(format!("gather/{kind}/1M rows"));
        let records: RecordBatch = batch.to_record_batch().expect("host");
        for order in ["random", "rising"] {
            let array = indices(rows, order);
            let column = Column::from_array(Arc::new(array.clone()));
            group.throughput(bytes(&one, &batch, &column));
            group.bench_function(BenchmarkId::new("warpline-host-1", order), |b| {
                b.iter(|| ops::gather(&one, black_box(&batch), &column).expect("a gather"));
            });
            group.bench_function(BenchmarkId::new("arrow-rs", order), |b| {
                b.iter(|| take_record_batch(black_box(&records), &array).expect("a take"));
            });
        }
        group.finish();
    }
}

pub fn device_benches(criterion: &mut Criterion<CudaTime>, ctx: &ExecCtx) {
    let host = ExecCtx::host(0).expect("a host context");
    for (kind, rows) in [("i64x1", GPU_ROWS), ("i64x9", GPU_ROWS), ("i64x9", LARGE_ROWS), ("utf8", GPU_ROWS)] {
        let batch = batch(kind, rows);
        let mut group = criterion.benchmark_group(format!("gather/{kind}/{rows} rows"));
        let there = batch.to(ctx).expect("upload");
        for order in ["random", "rising"] {
            let column = Column::from_array(Arc::new(indices(rows, order)));
            group.throughput(bytes(&host, &batch, &column));
            let column = column.to(ctx).expect("upload");
            group.bench_function(BenchmarkId::new("warpline-cuda", order), |b| {
                b.iter(|| ops::gather(ctx, &there, &column).expect("a gather"));
            });
        }
        group.finish();
    }
}
