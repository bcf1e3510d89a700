//! Expressions: a condition and a select list on the host beside the same written by hand with arrow-rs's kernels, and on a
//! GPU, where each is one launch.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, Scalar};
use arrow::compute::kernels::{cmp, numeric, zip::zip};
use arrow::compute::{and_kleene, cast, is_null, or_kleene};
use arrow::datatypes::DataType;
use criterion::{BenchmarkId, Criterion, Throughput};
use warpline::ops::expr::{Expr, Predicate, Projection, Select};
use warpline::{Batch, ExecCtx};

use super::{GPU_ROWS, numbers};
use crate::common::CudaTime;

/// Half of the rows, of a column without nulls and one with.
const CONDITION: &str = "c1 > 0 AND (c3 IS NULL OR c3 < 9000000000000000000)";
const LIST: &str =
    "wrapping_add(c1, c2) AS sum, CAST(c1 AS DOUBLE) * 0.5 AS half, CASE WHEN c1 > c2 THEN c1 ELSE c2 END AS larger";

fn condition(batch: &Batch) -> Predicate {
    Expr::parse(CONDITION).and_then(|expr| expr.bind(batch.schema())).expect("it binds")
}

fn list(batch: &Batch) -> Projection {
    Select::parse(LIST).and_then(|list| list.bind(batch.schema())).expect("it binds")
}

/// Bytes that must move: each column that is read once, and what is written.
fn bytes(batch: &Batch, read: &[usize], written: usize) -> Throughput {
    let read: usize = read.iter().map(|&column| batch.columns()[column].nbytes()).sum();
    Throughput::Bytes((read + written) as u64)
}

fn condition_by_hand(rows: &RecordBatch) -> ArrayRef {
    let least = Scalar::new(Int64Array::from(vec![0]));
    let end = Scalar::new(Int64Array::from(vec![9_000_000_000_000_000_000]));
    let below = cmp::lt(rows.column(3), &end).expect("a mask");
    let second = or_kleene(&is_null(rows.column(3)).expect("a mask"), &below).expect("a mask");
    Arc::new(and_kleene(&cmp::gt(rows.column(1), &least).expect("a mask"), &second).expect("a mask"))
}

fn list_by_hand(rows: &RecordBatch) -> [ArrayRef; 3] {
    let (a, b) = (rows.column(1), rows.column(2));
    let half = Scalar::new(Float64Array::from(vec![0.5]));
    let larger = cmp::gt(a, b).expect("a mask");
    [
        numeric::add_wrapping(a, b).expect("a sum"),
        numeric::mul(&cast(a, &DataType::Float64).expect("floats"), &half).expect("a product"),
        zip(&larger, a, b).expect("a choice"),
    ]
}

pub fn benches(criterion: &mut Criterion) {
    let one = ExecCtx::host(1).expect("a host context");
    let batch = numbers(1_000_000);
    let records: RecordBatch = batch.to_record_batch().expect("host");
    let (predicate, projection) = (condition(&batch), list(&batch));

    let mask = predicate.mask(&one, &batch).expect("a mask");
    assert_eq!(mask.to_array().expect("host").as_boolean(), condition_by_hand(&records).as_boolean());
    let mut group = criterion.benchmark_group("expr/condition/1M rows");
    group.throughput(bytes(&batch, &[1, 3], mask.nbytes()));
    group.bench_function("warpline-host-1", |b| {
        b.iter(|| predicate.mask(&one, black_box(&batch)).expect("a mask"));
    });
    group.bench_function("arrow-rs", |b| b.iter(|| condition_by_hand(black_box(&records))));
    group.finish();

    let out = projection.evaluate_on(&one, &batch).expect("outputs");
    assert_eq!(out.to_record_batch().expect("host").columns(), list_by_hand(&records));
    let mut group = criterion.benchmark_group("expr/select/1M rows");
    group.throughput(bytes(&batch, &[1, 2], out.nbytes()));
    group.bench_function("warpline-host-1", |b| {
        b.iter(|| projection.evaluate_on(&one, black_box(&batch)).expect("outputs"));
    });
    group.bench_function("arrow-rs", |b| b.iter(|| list_by_hand(black_box(&records))));
    group.finish();
}

pub fn device_benches(criterion: &mut Criterion<CudaTime>, ctx: &ExecCtx) {
    for rows in [100_000, GPU_ROWS] {
        let batch = numbers(rows);
        let (predicate, projection) = (condition(&batch), list(&batch));
        // Copies in turn, so that small inputs do not stay in the L2 cache.
        let copies = (1 << 28) / batch.nbytes() + 1;
        let batches: Vec<Batch> = (0..copies).map(|_| batch.to(ctx).expect("upload")).collect();
        let mut turn = batches.iter().cycle();
        let mut next = || turn.next().expect("a batch");
        let mut group = criterion.benchmark_group(format!("expr/{rows} rows"));
        let mask = predicate.mask(ctx, next()).expect("a mask").nbytes();
        group.throughput(bytes(&batch, &[1, 3], mask));
        group.bench_function(BenchmarkId::new("warpline-cuda", "condition"), |b| {
            b.iter(|| predicate.mask(ctx, next()).expect("a mask"));
        });
        let out = projection.evaluate_on(ctx, next()).expect("outputs").nbytes();
        group.throughput(bytes(&batch, &[1, 2], out));
        group.bench_function(BenchmarkId::new("warpline-cuda", "select"), |b| {
            b.iter(|| projection.evaluate_on(ctx, next()).expect("outputs"));
        });
        group.finish();
    }
}
