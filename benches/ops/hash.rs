//! Hashes: the host twin, a hash of one column of i64 and of one of strings, and the device on a GPU.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use warpline::ops::{self, HashScheme};
use warpline::{Batch, ExecCtx};

use super::{GPU_ROWS, one_column, strings};
use crate::common::CudaTime;

const SCHEMES: [HashScheme; 3] = [HashScheme::DataFusion, HashScheme::SparkMurmur3, HashScheme::XxHash64];

/// Bytes that a hash must move: the keys read, the hashes written.
fn bytes(batch: &Batch, scheme: HashScheme) -> Throughput {
    let width = scheme.data_type().primitive_width().unwrap_or(8);
    Throughput::Bytes((batch.nbytes() + batch.num_rows() * width) as u64)
}

pub fn benches(criterion: &mut Criterion) {
    let rows = 1_000_000;
    let one = ExecCtx::host(1).expect("a host context");
    for (kind, batch) in [("i64", one_column(rows)), ("utf8", strings(rows))] {
        let mut group = criterion.benchmark_group(format!("hash/{kind}/1M rows"));
        for scheme in SCHEMES {
            group.throughput(bytes(&batch, scheme));
            group.bench_function(BenchmarkId::new("warpline-host-1", scheme), |b| {
                b.iter(|| ops::hash(&one, &[black_box(&batch.columns()[0])], scheme).expect("hashes"));
            });
        }
        group.finish();
    }
}

pub fn device_benches(criterion: &mut Criterion<CudaTime>, ctx: &ExecCtx) {
    for (kind, batch) in [("i64", one_column(GPU_ROWS)), ("utf8", strings(GPU_ROWS / 10))] {
        let batch = batch.to(ctx).expect("upload");
        let mut group = criterion.benchmark_group(format!("hash/{kind}/{} rows", batch.num_rows()));
        for scheme in SCHEMES {
            group.throughput(bytes(&batch, scheme));
            group.bench_function(BenchmarkId::new("warpline-cuda", scheme), |b| {
                b.iter(|| ops::hash(ctx, &[black_box(&batch.columns()[0])], scheme).expect("hashes"));
            });
        }
        group.finish();
    }
}
