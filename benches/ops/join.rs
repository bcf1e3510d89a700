//! Join: the host twin, and the device on a GPU, by rows, hit rate, matches of a key, and key columns. DataFusion stands
//! beside in crates/oracles.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use criterion::{BenchmarkId, Criterion, Throughput};
use warpline::ops::join::{HashJoin, JoinType};
use warpline::{Batch, ExecCtx};

use super::{GPU_ROWS, LARGE_ROWS, random};
use crate::common::CudaTime;

/// What a join is of.
#[derive(Clone, Copy)]
struct Axes {
    built: usize,
    probed: usize,
    /// Columns of a probed row beside its keys.
    columns: usize,
    keys: usize,
    /// Probed rows of a hundred that match.
    hits: i64,
    /// Built rows of a key.
    matches: usize,
}

impl Axes {
    fn name(&self) -> String {
        format!("{} keys, {}% hit, {} matches", self.keys, self.hits, self.matches)
    }

    /// A table of keys, the second ones made of the first, and numbers.
    fn table(&self, rows: usize, columns: usize, mut key: impl FnMut(usize) -> i64) -> Batch {
        let first: Vec<i64> = (0..rows).map(&mut key).collect();
        let keys = (0..self.keys as i64).map(|i| (format!("key{i}"), first.iter().map(|key| key ^ i).collect()));
        let others =
            (0..columns).map(|i| (format!("c{columns}{i}"), (0..rows as i64).map(|row| row + i as i64).collect()));
        let columns = keys.chain(others).map(|(name, values): (String, Vec<i64>)| {
            let column: ArrayRef = Arc::new(Int64Array::from(values));
            (name, column)
        });
        Batch::from_record_batch(&RecordBatch::try_from_iter(columns).expect("a table"))
    }

    /// Built rows in no order, and probed ones.
    fn sides(&self) -> [Batch; 2] {
        let distinct = (self.built / self.matches).max(1);
        // An odd factor takes each number of a power of two to another one.
        let spread = |i: usize| (i as i64).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64);
        let built = self.table(self.built, 1, |row| spread(row % distinct));
        let mut next = random(3);
        let range = (distinct as i64 * 100 / self.hits).max(1) as u64;
        let probed = self.table(self.probed, self.columns, |_| spread((next() % range) as usize));
        [built, probed]
    }

    fn on(&self) -> Vec<String> {
        (0..self.keys).map(|i| format!("key{i}")).collect()
    }
}

fn build(ctx: &ExecCtx, axes: Axes, built: &Batch, probed: &Batch, kind: JoinType) -> HashJoin {
    let on = axes.on();
    let on: Vec<&str> = on.iter().map(String::as_str).collect();
    HashJoin::build(ctx, built, &on, probed.schema(), kind).expect("a join")
}

/// Bytes that must move: keys of the probed side, and joined rows read and written.
fn bytes(axes: Axes, probed: &Batch, joined: &Batch) -> Throughput {
    Throughput::Bytes((8 * axes.keys * probed.num_rows() + 2 * joined.nbytes()) as u64)
}

const SMALL: Axes = Axes { built: 100_000, probed: 1_000_000, columns: 1, keys: 1, hits: 50, matches: 1 };

pub fn benches(criterion: &mut Criterion) {
    let one = ExecCtx::host(1).expect("a host context");
    let mut group = criterion.benchmark_group("join/inner/1M rows to 100k");
    for axes in [
        SMALL,
        Axes { hits: 100, ..SMALL },
        Axes { hits: 5, ..SMALL },
        Axes { matches: 4, ..SMALL },
        Axes { keys: 2, ..SMALL },
    ] {
        let [built, probed] = axes.sides();
        let join = build(&one, axes, &built, &probed, JoinType::Inner);
        group.throughput(bytes(axes, &probed, &join.probe(&one, &probed).expect("rows")));
        group.bench_function(BenchmarkId::new("warpline-host-1", axes.name()), |b| {
            b.iter(|| join.probe(&one, black_box(&probed)).expect("rows"));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("join/build/1M rows");
    for (name, matches) in [("unique", 1), ("25 keys", 40_000)] {
        let axes = Axes { built: 1_000_000, probed: 1, matches, ..SMALL };
        let [built, probed] = axes.sides();
        group.throughput(Throughput::Bytes(8 * axes.built as u64));
        group.bench_function(BenchmarkId::new("warpline-host-1", name), |b| {
            b.iter(|| build(&one, axes, black_box(&built), &probed, JoinType::Inner));
        });
    }
    group.finish();
}

pub fn device_benches(criterion: &mut Criterion<CudaTime>, ctx: &ExecCtx) {
    let square = |rows| Axes { built: rows, probed: rows, ..SMALL };
    for axes in [
        square(100_000),
        square(GPU_ROWS),
        Axes { hits: 5, ..square(GPU_ROWS) },
        Axes { hits: 100, ..square(GPU_ROWS) },
        Axes { matches: 4, ..square(GPU_ROWS) },
        Axes { keys: 2, ..square(GPU_ROWS) },
        Axes { probed: LARGE_ROWS, columns: 8, ..square(GPU_ROWS) },
    ] {
        let [built, probed] = axes.sides().map(|side| side.to(ctx).expect("upload"));
        let rows = format!("{} rows of {} to {}", axes.probed, axes.columns + axes.keys, axes.built);
        for (name, kind) in [("inner", JoinType::Inner), ("left semi", JoinType::LeftSemi)] {
            let mut group = criterion.benchmark_group(format!("join/{name}/{rows}"));
            let join = build(ctx, axes, &built, &probed, kind);
            group.throughput(bytes(axes, &probed, &join.probe(ctx, &probed).expect("rows")));
            group.bench_function(BenchmarkId::new("warpline-cuda", axes.name()), |b| {
                b.iter(|| join.probe(ctx, &probed).expect("rows"));
            });
            group.finish();
        }
    }
    let mut group = criterion.benchmark_group(format!("join/build/{GPU_ROWS} rows"));
    for (name, matches) in [("unique", 1), ("25 keys", GPU_ROWS / 25)] {
        let axes = Axes { probed: 1, matches, ..square(GPU_ROWS) };
        let [built, probed] = axes.sides().map(|side| side.to(ctx).expect("upload"));
        group.throughput(Throughput::Bytes(8 * GPU_ROWS as u64));
        group.bench_function(BenchmarkId::new("warpline-cuda", name), |b| {
            b.iter(|| build(ctx, axes, &built, &probed, JoinType::Inner));
        });
    }
    group.finish();
}
