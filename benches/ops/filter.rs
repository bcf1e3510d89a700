//! Filter: the host twin beside arrow-rs's `filter_record_batch`, and the device on a GPU.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use criterion::{BenchmarkId, Criterion, Throughput};
use warpline::{Batch, Column, ExecCtx, ops};

use super::{GPU_ROWS, LARGE_ROWS, batch, numbers, random, strings};
use crate::common::CudaTime;

/// Rows that the masks keep.
pub const PERCENTS: [u64; 4] = [1, 10, 50, 90];

/// Keeps each row with this chance.
pub fn mask(rows: usize, percent: u64) -> ArrayRef {
    let mut next = random(percent);
    Arc::new(BooleanArray::from_iter((0..rows).map(|_| Some(next() % 100 < percent))))
}

/// Bytes that a filter must move: the mask, and each selected value read and written.
fn bytes(ctx: &ExecCtx, batch: &Batch, mask: &Column) -> Throughput {
    let kept = ops::filter(ctx, batch, mask).expect("a filter").nbytes();
    Throughput::Bytes((mask.nbytes() + 2 * kept) as u64)
}

pub fn benches(criterion: &mut Criterion) {
    let rows = 1_000_000;
    let one = ExecCtx::host(1).expect("a host context");
    for (kind, batch) in [("i64x9", numbers(rows)), ("utf8", strings(rows))] {
        let mut group = criterion.benchmark_group(format!("filter/{kind}/1M rows"));
        let records: RecordBatch = batch.to_record_batch().expect("host");
        for percent in PERCENTS {
            let array = mask(rows, percent);
            let column = Column::from_array(array.clone());
            group.throughput(bytes(&one, &batch, &column));
            group.bench_function(BenchmarkId::new("warpline-host-1", format!("{percent}%")), |b| {
                b.iter(|| ops::filter(&one, black_box(&batch), &column).expect("a filter"));
            });
            let boolean = array.as_any().downcast_ref::<BooleanArray>().expect("a mask");
            group.bench_function(BenchmarkId::new("arrow-rs", format!("{percent}%")), |b| {
                b.iter(|| filter_record_batch(black_box(&records), boolean).expect("a filter"));
            });
        }
        group.finish();
    }
}

pub fn device_benches(criterion: &mut Criterion<CudaTime>, ctx: &ExecCtx) {
    let host = ExecCtx::host(0).expect("a host context");
    for (kind, rows) in
        [("i64x9", 100_000), ("i64x1", GPU_ROWS), ("i64x9", GPU_ROWS), ("i64x9", LARGE_ROWS), ("utf8", GPU_ROWS)]
    {
        let batch = batch(kind, rows);
        let mut group = criterion.benchmark_group(format!("filter/{kind}/{rows} rows"));
        for percent in PERCENTS {
            let column = Column::from_array(mask(rows, percent));
            group.throughput(bytes(&host, &batch, &column));
            let column = column.to(ctx).expect("upload");
            // Copies in turn, so that small inputs do not stay in the L2 cache.
            let copies = (1 << 28) / batch.nbytes() + 1;
            let batches: Vec<Batch> = (0..copies).map(|_| batch.to(ctx).expect("upload")).collect();
            let mut turn = batches.iter().cycle();
            group.bench_function(BenchmarkId::new("warpline-cuda", format!("{percent}%")), |b| {
                b.iter(|| ops::filter(ctx, turn.next().expect("a batch"), &column).expect("a filter"));
            });
        }
        group.finish();
    }
}
