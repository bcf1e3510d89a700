//! Tests of `warpline::pipeline`, a module per concern of it.

mod budget;
mod device;
mod errors;
mod flow;
mod join;
mod life;
mod limit;
mod partition;
mod user_stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use warpline::arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch};
use warpline::arrow::datatypes::{Int64Type, SchemaRef};
use warpline::pipeline::{Bound, Item, MemorySource, Pipeline, Stage};
use warpline::{Batch, ExecCtx, Result};

/// Rows `id` (0..rows) and `blob`, whose length varies with the row.
fn table(rows: usize) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let blobs = (0..rows).map(|row| vec![row as u8; row * 37 % 101]);
    let blobs: ArrayRef = Arc::new(BinaryArray::from_iter_values(blobs));
    RecordBatch::try_from_iter([("id", ids), ("blob", blobs)]).unwrap()
}

/// A pipeline over [`table`].
fn numbers(rows: usize) -> Pipeline {
    let table = table(rows);
    Pipeline::from_source(MemorySource::new(table.schema(), vec![Batch::from_record_batch(&table)]).unwrap())
}

/// The `id` column of some batches; nulls as -1.
fn ids(batches: &[Batch]) -> Vec<i64> {
    let mut ids = Vec::new();
    for batch in batches {
        let column = batch.column("id").unwrap().to_array().unwrap();
        let column = column.as_primitive::<Int64Type>();
        ids.extend((0..column.len()).map(|row| if column.is_null(row) { -1 } else { column.value(row) }));
    }
    ids
}

/// All rows as one host batch, for comparison.
fn whole(schema: &SchemaRef, batches: &[Batch]) -> RecordBatch {
    let batches: Vec<_> = batches.iter().map(|batch| batch.to_record_batch().unwrap()).collect();
    warpline::arrow::compute::concat_batches(schema, &batches).unwrap()
}

/// A stage that sleeps, on one thread or on as many as the pipeline has.
struct Sleep {
    time: Duration,
    one: bool,
}

impl Stage for Sleep {
    fn name(&self) -> &str {
        "sleep"
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        Ok(Bound { workspace: 0, output: batch.nbytes() as u64 })
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        std::thread::sleep(self.time);
        Ok(item)
    }

    fn concurrency(&self) -> Option<usize> {
        self.one.then_some(1)
    }
}

/// A stage that takes a time that depends on the rows, so that batches overtake each other.
struct Jitter;

impl Stage for Jitter {
    fn name(&self) -> &str {
        "jitter"
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        Ok(Bound { workspace: 64, output: batch.nbytes() as u64 })
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        let first = item.origins().get(0).1;
        std::thread::sleep(Duration::from_micros(first.wrapping_mul(2_654_435_761) % 700));
        Ok(item)
    }
}

/// Every blob `times` times over: a stage whose output is larger than its input.
struct Expand {
    times: u64,
    workspace: u64,
}

impl Stage for Expand {
    fn name(&self) -> &str {
        "expand"
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        let column = batch.column("blob").unwrap().to_array()?;
        let blobs = column.as_binary::<i32>();
        let bytes = (blobs.value_offsets()[blobs.len()] - blobs.value_offsets()[0]) as u64;
        let fixed = 4 * (blobs.len() as u64 + 1) + 8 * blobs.len() as u64;
        Ok(Bound { workspace: self.workspace, output: bytes * self.times + fixed })
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        let host = item.batch().to_record_batch()?;
        let blobs = host.column(1).as_binary::<i32>();
        let long = BinaryArray::from_iter_values(blobs.iter().map(|b| b.unwrap().repeat(self.times as usize)));
        let batch = RecordBatch::try_new(host.schema(), vec![host.column(0).clone(), Arc::new(long)]).unwrap();
        item.with_batch(Batch::from_record_batch(&batch))
    }
}

/// Counts what is alive: how many batches a stage has in hand at most.
#[derive(Default)]
struct Gauge {
    now: AtomicU64,
    most: AtomicU64,
}

impl Gauge {
    fn enter(&self, n: u64) {
        let now = self.now.fetch_add(n, Ordering::SeqCst) + n;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn leave(&self, n: u64) {
        self.now.fetch_sub(n, Ordering::SeqCst);
    }
}
