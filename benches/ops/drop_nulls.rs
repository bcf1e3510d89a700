//! Dropping nulls: the host twin beside arrow-rs's nulls and `filter_record_batch`, and the device on a GPU.

use std::hint::black_box;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::compute::filter_record_batch;
use criterion::{Criterion, Throughput};
use warpline::{Batch, ExecCtx, ops};

use super::{GPU_ROWS, numbers};
use crate::common::CudaTime;

/// The columns with nulls: a tenth of the rows in each, so that nearly three in four stay.
const NAMES: [&str; 3] = ["c0", "c3", "c6"];

fn by_filter(records: &RecordBatch) -> RecordBatch {
    let nulls = NAMES.iter().fold(None, |all, name| {
        NullBuffer::union(all.as_ref(), records.column_by_name(name).expect("a column").logical_nulls().as_ref())
    });
    let mask = BooleanArray::new(nulls.expect("nulls").into_inner(), None);
    filter_record_batch(records, &mask).expect("a filter")
}

/// Bytes that must move: the bitmaps of the columns, and each kept value read and written.
fn bytes(ctx: &ExecCtx, batch: &Batch) -> Throughput {
    let kept = ops::drop_nulls(ctx, batch, &NAMES).expect("rows").nbytes();
    Throughput::Bytes((NAMES.len() * batch.num_rows() / 8 + 2 * kept) as u64)
}

pub fn benches(criterion: &mut Criterion) {
    let one = ExecCtx::host(1).expect("a host context");
    let batch = numbers(1_000_000);
    let records = batch.to_record_batch().expect("host");
    let mut group = criterion.benchmark_group("drop_nulls/i64x9/1M rows");
    group.throughput(bytes(&one, &batch));
    group.bench_function("warpline-host-1", |b| {
        b.iter(|| ops::drop_nulls(&one, black_box(&batch), &NAMES).expect("rows"));
    });
    group.bench_function("arrow-rs", |b| b.iter(|| by_filter(black_box(&records))));
    group.finish();
}

pub fn device_benches(criterion: &mut Criterion<CudaTime>, ctx: &ExecCtx) {
    let batch = numbers(GPU_ROWS);
    let mut group = criterion.benchmark_group(format!("drop_nulls/i64x9/{GPU_ROWS} rows"));
    group.throughput(bytes(&ExecCtx::host(0).expect("a host context"), &batch));
    let there = batch.to(ctx).expect("upload");
    group.bench_function("warpline-cuda", |b| b.iter(|| ops::drop_nulls(ctx, &there, &NAMES).expect("rows")));
    group.finish();
}
