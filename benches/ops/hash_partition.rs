//! Hash partition: the host twin beside what an engine over arrow-rs does (the hashes, the row numbers of each
//! partition, `take_record_batch` for each), and the device on a GPU, by rows, columns and partitions.

use std::hint::black_box;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::UInt64Type;
use criterion::{BenchmarkId, Criterion, Throughput};
use warpline::ops::{self, HashScheme};
use warpline::{Batch, Column, ExecCtx};

use super::{GPU_ROWS, LARGE_ROWS, batch};
use crate::common::CudaTime;

const SCHEME: HashScheme = HashScheme::DataFusion;

/// Bytes that a partition must move: the key read, 4 bytes a row written and read, all columns read and written.
fn bytes(batch: &Batch) -> Throughput {
    let key = batch.columns()[0].nbytes();
    Throughput::Bytes((key + 8 * batch.num_rows() + 2 * batch.nbytes()) as u64)
}

/// The first column, by which all partition.
fn key(batch: &Batch) -> String {
    batch.schema().field(0).name().clone()
}

fn by_take(ctx: &ExecCtx, batch: &RecordBatch, partitions: u64) -> Vec<RecordBatch> {
    let hashes = ops::hash(ctx, &[&Column::from_array(batch.column(0).clone())], SCHEME).expect("hashes");
    let hashes = hashes.to_array().expect("host");
    let mut rows = vec![Vec::new(); partitions as usize];
    for (row, hash) in hashes.as_primitive::<UInt64Type>().values().iter().enumerate() {
        rows[(hash % partitions) as usize].push(row as u32);
    }
    rows.into_iter().map(|rows| take_record_batch(batch, &UInt32Array::from(rows)).expect("rows")).collect()
}

pub fn benches(criterion: &mut Criterion) {
    let one = ExecCtx::host(1).expect("a host context");
    for (kind, rows) in [("i64x1", 1_000_000), ("i64x9", 1_000_000), ("utf8", 1_000_000), ("i64x9", 100_000)] {
        let batch = batch(kind, rows);
        let (records, key) = (batch.to_record_batch().expect("host"), key(&batch));
        let mut group = criterion.benchmark_group(format!("hash_partition/{kind}/{rows} rows"));
        group.throughput(bytes(&batch));
        for partitions in [16, 256, 4096] {
            group.bench_function(BenchmarkId::new("warpline-host-1", partitions), |b| {
                let run = |batch| ops::hash_partition(&one, batch, &[&key], SCHEME, partitions).expect("partitions");
                b.iter(|| run(black_box(&batch)));
            });
            group.bench_function(BenchmarkId::new("arrow-rs take", partitions), |b| {
                b.iter(|| by_take(&one, black_box(&records), partitions as u64));
            });
        }
        group.finish();
    }
}

pub fn device_benches(criterion: &mut Criterion<CudaTime>, ctx: &ExecCtx) {
    for (kind, rows) in [("i64x9", 100_000), ("i64x1", GPU_ROWS), ("i64x9", LARGE_ROWS), ("utf8", GPU_ROWS)] {
        let batch = batch(kind, rows);
        let key = key(&batch);
        let mut group = criterion.benchmark_group(format!("hash_partition/{kind}/{rows} rows"));
        group.throughput(bytes(&batch));
        let batch = batch.to(ctx).expect("upload");
        for partitions in [2, 16, 256, 1024, 4096, 65_536] {
            group.bench_function(BenchmarkId::new("warpline-cuda", partitions), |b| {
                let run = |batch| ops::hash_partition(ctx, batch, &[&key], SCHEME, partitions).expect("partitions");
                b.iter(|| run(black_box(&batch)));
            });
        }
        group.finish();
    }
}
