//! What the executor costs per batch, and what it gains over a loop that does the same work.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use criterion::{Criterion, Throughput};
use warpline::Batch;
use warpline::pipeline::{MemorySource, Pipeline};

const BATCHES: usize = 1000;

fn batches(count: usize) -> Vec<Batch> {
    let one = |i: usize| {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![i as i64; 16]));
        Batch::from_record_batch(&RecordBatch::try_from_iter([("n", column)]).expect("a batch"))
    };
    (0..count).map(one).collect()
}

fn source(batches: &[Batch]) -> MemorySource {
    MemorySource::new(batches[0].schema().clone(), batches.to_vec()).expect("a source")
}

/// Work of a fixed time that leaves the processor to others, as an API call or a device does.
fn wait(batch: &Batch) -> warpline::Result<Batch> {
    std::thread::sleep(Duration::from_millis(1));
    Ok(batch.clone())
}

pub fn benches(criterion: &mut Criterion) {
    let input = batches(BATCHES);
    let mut group = criterion.benchmark_group("pipeline/1000 batches through stages that do nothing");
    group.sample_size(10).throughput(Throughput::Elements(BATCHES as u64));
    for stages in [1, 3, 10] {
        group.bench_function(format!("{stages} stages"), |b| {
            b.iter(|| {
                let mut pipeline = Pipeline::from_source(source(&input));
                for _ in 0..stages {
                    pipeline = pipeline.map("nothing", |batch| Ok(batch.clone())).expect("a stage");
                }
                pipeline.collect().expect("a run").report.rows_out
            });
        });
    }
    group.finish();

    let input = batches(100);
    let mut group = criterion.benchmark_group("pipeline/100 batches through 3 stages of 1 ms");
    group.sample_size(10).throughput(Throughput::Elements(100));
    group.bench_function("warpline, one thread a stage", |b| {
        b.iter(|| {
            let pipeline = Pipeline::from_source(source(&input)).workers(1);
            let pipeline = pipeline.map("a", wait).expect("a").map("b", wait).expect("b").map("c", wait).expect("c");
            pipeline.collect().expect("a run").report.rows_out
        });
    });
    group.bench_function("loop", |b| {
        b.iter(|| input.iter().map(|batch| wait(&wait(&wait(batch)?)?)).collect::<Result<Vec<_>, _>>().expect("a run"));
    });
    group.finish();
}
