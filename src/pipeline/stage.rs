//! What a stage is.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::column::{Batch, Placement};
use crate::device::ExecCtx;
use crate::error::Result;

use super::item::Item;
use super::source::BatchLimit;

/// What one step of a stage needs beside its input, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// Scratch memory that is free again after the step.
    pub workspace: u64,
    /// The most that the output takes.
    pub output: u64,
}

/// The rows that a stage gives after its last input.
pub struct Ending<'a> {
    /// The most bytes that one of the batches takes, with what it takes to make it.
    pub bound: u64,
    /// Batches, made when they are asked for.
    pub batches: Box<dyn Iterator<Item = Result<Batch>> + 'a>,
}

/// A step of a pipeline: a host function or a kernel over batches. Implement it to add your own.
///
/// The executor calls [`bound`](Stage::bound), waits until the ledger grants that much, and calls
/// [`launch`](Stage::launch), from several threads at a time unless [`concurrency`](Stage::concurrency) says otherwise.
/// Empty batches are not passed to stages. A panic in `bound` or `launch` is an error of the rows in question: under
/// `OnError::Skip` and `OnError::Null` the executor runs the halves of a failing batch again until it has found the
/// bad rows, so a stage must not depend on how rows are grouped into batches.
pub trait Stage: Send + Sync {
    /// The name in reports, traces and errors.
    fn name(&self) -> &str;

    /// Where the stage works: the host unless overridden. A device stage gets the pipeline's device context.
    fn placement(&self) -> Placement {
        Placement::Host
    }

    /// Whether a device stage takes its batches on the device and leaves them there. The executor then copies batches
    /// there before the first of such stages and back behind the last of them. Unless overridden, batches are on the
    /// host before and behind each stage, and a device stage copies what it needs itself.
    fn resident(&self) -> bool {
        false
    }

    /// The schema of the output, given that of the input; an error here is an error while building the pipeline.
    /// The same schema unless overridden.
    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        Ok(input.clone())
    }

    /// What `launch` will need for this batch: an upper bound, cheap to compute, that allocates nothing large. The
    /// budget is as hard as these bounds are true. A resident stage may be asked while the batch is still on the host.
    fn bound(&self, batch: &Batch) -> Result<Bound>;

    /// Processes one item. `ctx` is a host context for a host stage and the pipeline's device context for a device
    /// stage. An `Err` about data is an error of the rows of this item; other errors end the run.
    fn launch(&self, ctx: &ExecCtx, item: Item) -> Result<Item>;

    /// How many items may be in `launch` at one time; `None` lets the executor choose: one per worker on the host, two
    /// on a device, each on a stream of its own, so that one copies while the other computes.
    fn concurrency(&self) -> Option<usize> {
        None
    }

    /// Whether items must come in the order of the input, one at a time: for a stage that keeps what it is given. Its
    /// [`concurrency`](Stage::concurrency) is one then, and a batch waits until all earlier ones are past the stage.
    fn ordered(&self) -> bool {
        false
    }

    /// Bytes that the stage itself holds from the start of the run to its end, such as a table to join with: taken off
    /// the budget before the run. None unless overridden.
    fn held(&self) -> u64 {
        0
    }

    /// Whether [`finish`](Stage::finish) gives rows.
    fn finishes(&self) -> bool {
        false
    }

    /// Rows that follow the last input, such as those of a joined table without a match: none unless overridden. Asked
    /// for once, when no row is before the stage any more, also when none ever was. They go on to the next stage as
    /// batches of the stage's output, on the host, behind all others in the order of results; an error ends the run.
    fn finish<'a>(&'a self, _ctx: &'a ExecCtx, _limit: &BatchLimit) -> Result<Ending<'a>> {
        Ok(Ending { bound: 0, batches: Box::new(std::iter::empty()) })
    }

    /// Bytes that a step over an input of this size copies to a device and to the host, for the report.
    fn copies(&self, _input: u64) -> (u64, u64) {
        (0, 0)
    }

    /// One line about the stage for `explain`.
    fn describe(&self) -> String {
        String::new()
    }
}

/// A host stage made of a closure over whole batches that keeps the rows.
pub struct MapStage<F> {
    name: Arc<str>,
    schema: Option<SchemaRef>,
    growth: u64,
    f: F,
}

impl<F: Fn(&Batch) -> Result<Batch> + Send + Sync> MapStage<F> {
    /// `f` returns a batch of the same rows under the same schema.
    pub fn new(name: &str, f: F) -> Self {
        MapStage { name: name.into(), schema: None, growth: 1, f }
    }

    /// The schema of what `f` returns, where it differs from that of its input.
    pub fn schema(mut self, schema: SchemaRef) -> Self {
        self.schema = Some(schema);
        self
    }

    /// How many times the bytes of its input `f` returns at most; 1 unless said.
    pub fn growth(mut self, times: u64) -> Self {
        self.growth = times.max(1);
        self
    }
}

impl<F: Fn(&Batch) -> Result<Batch> + Send + Sync> Stage for MapStage<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        Ok(self.schema.clone().unwrap_or_else(|| input.clone()))
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        Ok(Bound { workspace: 0, output: (batch.nbytes() as u64).saturating_mul(self.growth) })
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        let batch = (self.f)(item.batch())?;
        item.with_batch(batch)
    }
}

/// Copies batches to the device, before resident stages.
pub(super) struct Upload {
    /// The stage that comes next: what it asks for must fit as well, as a batch on a device is not split.
    pub(super) next: Arc<dyn Stage>,
}

impl Stage for Upload {
    fn name(&self) -> &str {
        "upload"
    }

    fn placement(&self) -> Placement {
        self.next.placement()
    }

    fn resident(&self) -> bool {
        true
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        let next = self.next.bound(batch)?;
        Ok(Bound { workspace: next.workspace.saturating_add(next.output), output: batch.nbytes() as u64 })
    }

    fn launch(&self, ctx: &ExecCtx, item: Item) -> Result<Item> {
        let batch = item.batch().to(ctx)?;
        item.with_batch(batch)
    }

    fn copies(&self, input: u64) -> (u64, u64) {
        (input, 0)
    }
}

/// Copies batches back to the host, behind resident stages.
pub(super) struct Download {
    pub(super) placement: Placement,
}

impl Stage for Download {
    fn name(&self) -> &str {
        "download"
    }

    fn placement(&self) -> Placement {
        self.placement
    }

    fn resident(&self) -> bool {
        true
    }

    fn bound(&self, batch: &Batch) -> Result<Bound> {
        Ok(Bound { workspace: 0, output: batch.nbytes() as u64 })
    }

    fn launch(&self, _ctx: &ExecCtx, item: Item) -> Result<Item> {
        let batch = item.batch().to_host()?;
        item.with_batch(batch)
    }

    fn copies(&self, input: u64) -> (u64, u64) {
        (0, input)
    }
}
