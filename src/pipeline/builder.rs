//! Building a pipeline and running it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arrow::datatypes::SchemaRef;

use crate::column::{Batch, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};
use crate::ops::HashScheme;
use crate::parquet::WriteOptions;

use super::bytes::Bytes;
use super::errors::{OnError, RowError};
use super::ledger::Ledger;
use super::order::Order;
use super::queue::Depth;
use super::report::{Progress, Report};
use super::rows;
use super::run::{Cancel, Hooks, Lane, Plan, Running, Stream};
use super::sink::{CollectSink, ParquetSink, PartitionedSink, Sink};
use super::source::{BatchLimit, ImageSource, ParquetSource, Source};
use super::stage::{Download, MapStage, Stage, Upload};

/// Memory for batches in flight unless said otherwise.
const DEFAULT_BUDGET: Bytes = Bytes::gib(1);

/// Source batches are at most this large unless said otherwise: a few dozen compressed photographs.
const DEFAULT_BATCH: Bytes = Bytes::mib(2);

/// Queues hold this many batches unless said otherwise: enough for balanced stages with a coefficient of variation of 0.5.
const DEFAULT_DEPTH: usize = 8;

/// Threads of a device stage: one copies while the other computes.
const DEVICE_WORKERS: usize = 2;

/// A source, stages and options, to be run into a sink.
///
/// Methods that add a stage check it against the schema at that point, so a missing column or a wrong type is an error
/// while building. Nothing is read before one of the methods that run it is called: [`write_parquet`](Self::write_parquet),
/// [`collect`](Self::collect), [`stream`](Self::stream) or [`run`](Self::run).
///
/// ```
/// use std::sync::Arc;
/// use warpline::arrow::array::{Int32Array, RecordBatch};
/// use warpline::pipeline::{MemorySource, Pipeline};
/// use warpline::Batch;
///
/// let numbers = RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from_iter_values(0..100)) as _)])?;
/// let source = MemorySource::new(numbers.schema(), vec![Batch::from_record_batch(&numbers)])?;
/// let out = Pipeline::from_source(source)
///     .map("look", |batch| Ok(batch.clone()))?
///     .batch_rows(10)
///     .collect()?;
/// assert_eq!(out.report.rows_out, 100);
/// assert_eq!(out.batches.len(), 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pipeline {
    source: Box<dyn Source>,
    stages: Vec<Arc<dyn Stage>>,
    schema: SchemaRef,
    ctx: Option<ExecCtx>,
    budget: Bytes,
    batch_bytes: Option<Bytes>,
    batch_rows: usize,
    workers: Option<usize>,
    depth: usize,
    order: Order,
    rows: u64,
    on_error: OnError,
    trace: Option<PathBuf>,
    cancel: Cancel,
    hooks: Hooks,
}

/// What [`Pipeline::collect`] returns.
pub struct Collected {
    /// The schema of all batches.
    pub schema: SchemaRef,
    /// The results, on the host, none of them empty.
    pub batches: Vec<Batch>,
    /// What the run did.
    pub report: Report,
}

impl Pipeline {
    /// A pipeline over any source.
    pub fn from_source(source: impl Source + 'static) -> Self {
        Pipeline {
            schema: source.schema(),
            source: Box::new(source),
            stages: Vec::new(),
            ctx: None,
            budget: DEFAULT_BUDGET,
            batch_bytes: None,
            batch_rows: usize::MAX,
            workers: None,
            depth: DEFAULT_DEPTH,
            order: Order::Input,
            rows: u64::MAX,
            on_error: OnError::Fail,
            trace: None,
            cancel: Cancel::default(),
            hooks: Hooks::default(),
        }
    }

    /// Reads a Parquet file, all of a folder, or all that match a pattern; see [`ParquetSource`] for several at once and
    /// for a choice of columns.
    pub fn read_parquet(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::from_source(ParquetSource::open(&[path])?))
    }

    /// Reads an image file, all of a folder, or all that match a pattern, into columns `path` and `image`; see
    /// [`ImageSource`].
    pub fn read_images(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::from_source(ImageSource::open(&[path])?))
    }

    /// Adds a stage of any kind, also one of your own.
    pub fn stage(mut self, stage: impl Stage + 'static) -> Result<Self> {
        self.schema = stage.schema(&self.schema)?;
        self.stages.push(Arc::new(stage));
        Ok(self)
    }

    /// Adds a host function over batches that keeps the rows and the schema; see [`MapStage`] for functions that
    /// return another schema or more bytes than they take.
    pub fn map(self, name: &str, f: impl Fn(&Batch) -> Result<Batch> + Send + Sync + 'static) -> Result<Self> {
        self.stage(MapStage::new(name, f))
    }

    /// Where device stages run; host stages run on the host's threads in any case. The host unless said. To be called
    /// before stages are added, since some choose their placement by it. The budget holds on the device as well, where
    /// every allocation is counted.
    pub fn on(mut self, ctx: &ExecCtx) -> Self {
        self.ctx = Some(ctx.clone());
        self
    }

    /// The memory for all batches in flight, wherever they are, and for what stages and the sink hold ([`Stage::held`],
    /// [`Sink::held`]): 1 GiB unless said. A batch whose next step needs more than an eighth of what those leave is
    /// split; a single row that needs more than three eighths is an error of that row.
    pub fn budget(mut self, budget: Bytes) -> Self {
        self.budget = budget;
        self
    }

    /// The size of the source's batches: unless said, 2 MiB or a sixteenth of the budget, whichever is less. At most a
    /// tenth of the budget.
    pub fn batch_bytes(mut self, bytes: Bytes) -> Self {
        self.batch_bytes = Some(bytes);
        self
    }

    /// The most rows in one of the source's batches; no limit unless said.
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }

    /// The most threads for each host stage that does not set its own number; one per core unless said.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers.max(1));
        self
    }

    /// The most batches in each queue; 8 unless said. Queues are also limited to a quarter of the budget.
    pub fn queue_depth(mut self, batches: usize) -> Self {
        self.depth = batches.max(1);
        self
    }

    /// The order of results; that of the input unless said.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Ends the run, as a success, when so many rows have reached the sink: the first of the results, in their
    /// [`order`](Self::order). No limit unless said.
    ///
    /// Batches that were under way by then are given up, so the source is read no further than the queues reach, and bad
    /// rows in batches behind the last one are no errors. With 0 nothing is read.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use warpline::arrow::array::{Int32Array, RecordBatch};
    /// use warpline::pipeline::{MemorySource, Pipeline};
    /// use warpline::Batch;
    ///
    /// let numbers = RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from_iter_values(0..100)) as _)])?;
    /// let source = MemorySource::new(numbers.schema(), vec![Batch::from_record_batch(&numbers)])?;
    /// let out = Pipeline::from_source(source).filter("n % 2 = 1")?.batch_rows(8).limit(10).collect()?;
    /// assert_eq!(out.report.rows_out, 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn limit(mut self, rows: u64) -> Self {
        self.rows = rows;
        self
    }

    /// What happens to rows that a stage refuses; the run fails unless said.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Calls `f` for every row that a stage refused, in the order of results, on the sink's thread.
    pub fn on_row_error(mut self, f: impl FnMut(&RowError) + Send + 'static) -> Self {
        self.hooks.row_error = Some(Box::new(f));
        self
    }

    /// Calls `f` after every batch that reached the sink, on the sink's thread.
    pub fn progress(mut self, f: impl FnMut(&Progress) + Send + 'static) -> Self {
        self.hooks.progress = Some(Box::new(f));
        self
    }

    /// Writes a trace of the run in the Chrome trace event format to this file; ui.perfetto.dev opens it.
    pub fn trace(mut self, path: impl AsRef<Path>) -> Self {
        self.trace = Some(path.as_ref().to_path_buf());
        self
    }

    /// A handle that ends the run from another thread.
    pub fn cancel_handle(&self) -> Cancel {
        self.cancel.clone()
    }

    /// The context that device stages run on, where [`on`](Self::on) has set one.
    pub fn context(&self) -> Option<&ExecCtx> {
        self.ctx.as_ref()
    }

    /// The schema of the results as far as the stages added so far make it.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows of the source, where it knows.
    pub fn total_rows(&self) -> Option<u64> {
        self.source.total_rows()
    }

    /// What would run: one line for each stage with its placement, threads and the columns that it makes.
    pub fn explain(&self) -> Result<String> {
        let (lanes, _) = self.lanes()?;
        let limit = self.batch_limit(0)?;
        let mut text = String::new();
        let mut line = |name: &str, at: Placement, threads: usize, what: &str| {
            let _ = writeln!(text, "{name:24} {:8} {threads:>3} threads  {what}", at.to_string());
        };
        let mut before = self.source.schema();
        line(self.source.name(), Placement::Host, 1, &made(None, &before));
        for lane in &lanes {
            let about = [lane.stage.describe(), made(Some(&before), &lane.output)];
            let about: Vec<String> = about.into_iter().filter(|part| !part.is_empty()).collect();
            line(&lane.name, lane.stage.placement(), lane.workers, &about.join("; "));
            before = lane.output.clone();
        }
        let _ = write!(
            text,
            "budget {} (largest row {}), batches of {}, {} batches per queue, order {:?}, errors {:?}",
            self.budget,
            Bytes(Ledger::<u64>::new(self.free_budget(0)?).largest_step()),
            Bytes(limit.bytes),
            self.depth,
            self.order,
            self.on_error
        );
        Ok(text)
    }

    /// Runs into Parquet parts in a new folder, which appears under its name only when all of it is written. Blocks
    /// until the end. See [`ParquetSink`].
    pub fn write_parquet(self, folder: impl AsRef<Path>) -> Result<Report> {
        self.run(&mut ParquetSink::new(folder, WriteOptions::default()))
    }

    /// Runs into one Parquet file for each partition in a new folder, which appears under its name only when all of it is
    /// written: `part-00007.parquet` has the rows of partition 7, in the order of results. Blocks until the end. A
    /// quarter of the budget holds rows until they are written as row groups; see [`PartitionedSink`].
    ///
    /// # Errors
    /// As [`partition_ids`](Self::partition_ids); `InvalidInput` when the budget is too small for so many files.
    pub fn write_partitions(
        self,
        folder: impl AsRef<Path>,
        keys: &[&str],
        scheme: HashScheme,
        partitions: usize,
    ) -> Result<Report> {
        const COLUMN: &str = "__partition";
        let memory = Bytes(self.budget.0 / 4);
        let mut sink = PartitionedSink::new(folder, COLUMN, partitions, memory, WriteOptions::default());
        self.partition_ids(COLUMN, keys, scheme, partitions)?.run(&mut sink)
    }

    /// Runs and keeps all results in memory.
    pub fn collect(self) -> Result<Collected> {
        let mut sink = CollectSink { batches: Vec::new(), schema: None };
        let report = self.run(&mut sink)?;
        let schema = sink.schema.ok_or(Error::Internal { op: "collect", why: "the sink was not opened".into() })?;
        Ok(Collected { schema, batches: sink.batches, report })
    }

    /// Starts the run and returns its results as an iterator. At most a budget's worth of batches is made ahead of the
    /// consumer; dropping the iterator ends the run.
    pub fn stream(self) -> Result<Stream> {
        Ok(Stream { running: Running::start(self.plan(0)?)?, ended: false, since: None })
    }

    /// Runs into any sink, on this thread, until the end. The sink is opened before anything is read; after an error it
    /// is not finished.
    pub fn run(self, sink: &mut dyn Sink) -> Result<Report> {
        let plan = self.plan(sink.held())?;
        sink.open(&plan.schema)?;
        let mut running = Running::start(plan)?;
        while let Some(batch) = running.next_batch()? {
            let (since, rows) = (Instant::now(), batch.num_rows());
            let written = sink.write(batch)?;
            running.sink_worked(since, rows, written);
        }
        let since = Instant::now();
        let (output, written) = sink.finish()?;
        running.sink_worked(since, 0, written);
        running.finish(sink.name())?;
        Ok(running.report(sink.name(), output))
    }

    /// `sink` is what the sink holds.
    fn plan(mut self, sink: u64) -> Result<Plan> {
        if let Some(ctx) = &self.ctx {
            self.ctx = Some(ctx.with_budget(self.budget.0)?);
        }
        let (lanes, schema) = self.lanes()?;
        let budget = self.free_budget(sink)?;
        let depth = Depth { items: self.depth, bytes: (budget / 4).max(1) };
        Ok(Plan {
            limit: self.batch_limit(sink)?,
            device: self.ctx,
            source: self.source,
            lanes,
            schema,
            budget,
            depth,
            order: self.order,
            rows: self.rows,
            on_error: self.on_error,
            trace: self.trace,
            cancel: self.cancel,
            hooks: self.hooks,
        })
    }

    /// What is left of the budget for batches beside what stages and the sink hold for the whole run.
    fn free_budget(&self, sink: u64) -> Result<u64> {
        let held = self.stages.iter().map(|stage| stage.held()).fold(sink, u64::saturating_add);
        if held > self.budget.0 / 2 {
            let largest = self.stages.iter().max_by_key(|stage| stage.held()).map_or("", |stage| stage.name());
            let why = format!(
                "stages hold {} for the whole run, '{largest}' the most, and the sink {}: that needs a budget of at least {}",
                Bytes(held - sink),
                Bytes(sink),
                Bytes(held.saturating_mul(2))
            );
            return Err(Error::invalid("pipeline", why));
        }
        Ok(self.budget.0 - held)
    }

    fn batch_limit(&self, sink: u64) -> Result<BatchLimit> {
        let budget = self.free_budget(sink)?;
        let most = budget / 10;
        let bytes = self.batch_bytes.unwrap_or(DEFAULT_BATCH.min(Bytes(budget / 16))).0.max(1);
        if bytes > most {
            let why =
                format!("batches of {} need a budget of at least {}", Bytes(bytes), Bytes(bytes.saturating_mul(10)));
            return Err(Error::invalid("pipeline", why));
        }
        Ok(BatchLimit { bytes, rows: self.batch_rows })
    }

    /// The stages with contexts, threads and schemas, copies to and from the device between them, and the schema of the
    /// results.
    fn lanes(&self) -> Result<(Vec<Lane>, SchemaRef)> {
        let mut schema = self.source.schema();
        let mut lanes = Vec::with_capacity(self.stages.len());
        let mut resident: Option<Placement> = None;
        for stage in &self.stages {
            let wanted = stage.resident().then(|| stage.placement());
            if resident != wanted {
                if let Some(placement) = resident {
                    lanes.push(self.lane(Arc::new(Download { placement }), &schema)?);
                }
                if wanted.is_some() {
                    lanes.push(self.lane(Arc::new(Upload { next: stage.clone() }), &schema)?);
                }
                resident = wanted;
            }
            let mut output = stage.schema(&schema)?;
            if self.on_error == OnError::Null {
                output = rows::nullable_where_made(&schema, &output);
            }
            lanes.push(self.lane(stage.clone(), &output)?);
            schema = output;
        }
        if let Some(placement) = resident {
            lanes.push(self.lane(Arc::new(Download { placement }), &schema)?);
        }
        Ok((lanes, schema))
    }

    fn lane(&self, stage: Arc<dyn Stage>, output: &SchemaRef) -> Result<Lane> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let (ctx, workers) = match (stage.placement(), &self.ctx) {
            (Placement::Host, _) if stage.resident() => {
                let hint = "return false from resident, or a device from placement";
                return Err(Error::unsupported("pipeline", format!("{}: residence on the host", stage.name()), hint));
            }
            (Placement::Host, _) => (shared_host()?, self.workers.unwrap_or_else(cores)),
            (device, Some(ctx)) if ctx.placement() == device => (ctx.clone(), DEVICE_WORKERS),
            (device, ctx) => {
                let expected = ctx.as_ref().map_or(Placement::Host, ExecCtx::placement);
                return Err(Error::WrongDevice { op: "pipeline", expected, found: device });
            }
        };
        let workers = if stage.ordered() { 1 } else { stage.concurrency().unwrap_or(workers).max(1) };
        Ok(Lane { name: stage.name().into(), stage, ctx, output: output.clone(), workers })
    }
}

/// The host context of all pipelines, so that building one starts no threads.
fn shared_host() -> Result<ExecCtx> {
    static HOST: OnceLock<ExecCtx> = OnceLock::new();
    if let Some(ctx) = HOST.get() {
        return Ok(ctx.clone());
    }
    let ctx = ExecCtx::host(0)?;
    Ok(HOST.get_or_init(|| ctx).clone())
}

/// The columns that a stage makes, as `name: type`.
fn made(before: Option<&SchemaRef>, after: &SchemaRef) -> String {
    let new = after.fields().iter().filter(|field| {
        let old = before.and_then(|schema| schema.field_with_name(field.name()).ok());
        old.is_none_or(|old| old.data_type() != field.data_type())
    });
    new.map(|field| format!("{}: {}", field.name(), field.data_type())).collect::<Vec<_>>().join(", ")
}
