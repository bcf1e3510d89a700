//! Threads at work: the source's, the stages', and the caller's as the sink.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use parking_lot::Mutex;

use crate::column::{Batch, Placement};
use crate::device::ExecCtx;
use crate::error::{Error, Result};

use super::errors::{OnError, RowError, about_data, code_and_message};
use super::item::{FailedRow, Item, Origins};
use super::order::{Key, Order};
use super::queue::{Depth, Placed, Queued, Queues, Waits};
use super::report::{DeviceUse, KEPT_ERRORS, Meter, Progress, Report};
use super::rows;
use super::source::{BatchLimit, Source};
use super::stage::Stage;
use super::trace::Trace;

/// A stage with what the run decided about it.
pub(super) struct Lane {
    pub(super) stage: Arc<dyn Stage>,
    pub(super) name: Arc<str>,
    pub(super) ctx: ExecCtx,
    pub(super) output: SchemaRef,
    pub(super) workers: usize,
}

/// What a run is made of; see `Pipeline::plan`.
pub(super) struct Plan {
    pub(super) source: Box<dyn Source>,
    pub(super) lanes: Vec<Lane>,
    pub(super) schema: SchemaRef,
    /// The context of device stages, made for this run.
    pub(super) device: Option<ExecCtx>,
    pub(super) budget: u64,
    pub(super) limit: BatchLimit,
    pub(super) depth: Depth,
    pub(super) order: Order,
    /// The most rows that the sink gets.
    pub(super) rows: u64,
    pub(super) on_error: OnError,
    pub(super) trace: Option<PathBuf>,
    pub(super) cancel: Cancel,
    pub(super) hooks: Hooks,
}

type Hook<T> = Box<dyn FnMut(&T) + Send>;

/// The caller's callbacks.
#[derive(Default)]
pub(super) struct Hooks {
    pub(super) progress: Option<Hook<Progress>>,
    pub(super) row_error: Option<Hook<RowError>>,
}

/// Ends a run from another thread; see `Pipeline::cancel_handle`.
#[derive(Clone, Default)]
pub struct Cancel(Arc<CancelState>);

#[derive(Default)]
struct CancelState {
    requested: AtomicBool,
    run: Mutex<Weak<Shared>>,
}

impl Cancel {
    /// Ends the run with `Error::Cancelled`: nothing new is started, steps at work are waited for by the run's own
    /// thread. Returns at once, may be called at any time and more than once.
    pub fn cancel(&self) {
        self.0.requested.store(true, Ordering::SeqCst);
        if let Some(run) = self.0.run.lock().upgrade() {
            run.queues.stop(None);
        }
    }

    fn attach(&self, run: &Arc<Shared>) {
        *self.0.run.lock() = Arc::downgrade(run);
        if self.0.requested.load(Ordering::SeqCst) {
            run.queues.stop(None);
        }
    }
}

struct Shared {
    queues: Queues,
    lanes: Vec<Lane>,
    workers: Vec<usize>,
    schema: SchemaRef,
    on_error: OnError,
    /// Of a single row, and of a batch that can be split.
    largest_steps: (u64, u64),
    budget: u64,
    /// The source's, the stages' and the sink's.
    meters: Vec<Meter>,
    trace: Option<Trace>,
    rows_read: AtomicU64,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A run in progress, and its end: whoever holds it is the sink.
pub(super) struct Running {
    shared: Arc<Shared>,
    hooks: Hooks,
    trace: Option<PathBuf>,
    device: Option<ExecCtx>,
    source_name: String,
    total_rows: Option<u64>,
    started: Instant,
    wall: Option<Duration>,
    pending: Option<Key>,
    rows_done: u64,
    rows_out: u64,
    most_rows: u64,
    error_rows: u64,
    errors: Vec<RowError>,
}

impl Running {
    /// Starts the source's thread; stages start theirs as work arrives.
    pub(super) fn start(plan: Plan) -> Result<Self> {
        let ordered = plan.lanes.iter().map(|lane| lane.stage.ordered()).collect();
        let queues = Queues::new(ordered, plan.budget, plan.depth, plan.order);
        let shared = Arc::new(Shared {
            largest_steps: queues.largest_steps(),
            queues,
            workers: plan.lanes.iter().map(|lane| lane.workers).collect(),
            meters: (0..plan.lanes.len() + 2).map(|_| Meter::default()).collect(),
            lanes: plan.lanes,
            schema: plan.schema,
            on_error: plan.on_error,
            budget: plan.budget,
            trace: plan.trace.is_some().then(Trace::new),
            rows_read: AtomicU64::new(0),
            threads: Mutex::default(),
        });
        let running = Running {
            hooks: plan.hooks,
            trace: plan.trace,
            device: plan.device,
            source_name: plan.source.name().to_string(),
            total_rows: plan.source.total_rows(),
            started: Instant::now(),
            wall: None,
            pending: None,
            rows_done: 0,
            rows_out: 0,
            most_rows: plan.rows,
            error_rows: 0,
            errors: Vec::new(),
            shared: shared.clone(),
        };
        plan.cancel.attach(&shared);
        let (mut source, limit) = (plan.source, plan.limit);
        if plan.rows > 0 {
            shared.spawn("source", move |shared| shared.read(source.as_mut(), &limit));
        }
        Ok(running)
    }

    /// The schema of the batches to come.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.shared.schema
    }

    /// The next batch for the sink, on the host and not empty; `None` at the end. Gives back the memory of the one
    /// before.
    pub(super) fn next_batch(&mut self) -> Result<Option<Batch>> {
        loop {
            self.release();
            if self.rows_out >= self.most_rows {
                self.end();
                return Ok(None);
            }
            let mut waits = Waits::default();
            let delivered = self.shared.queues.deliver(&mut waits);
            self.sink_meter().update(|c| c.waits.add_all(&waits));
            let Some((key, queued)) = delivered.inspect_err(|_| self.end())? else {
                self.end();
                return Ok(None);
            };
            self.pending = Some(key);
            let item = queued.item.and_then(|item| self.account(item)).inspect_err(|_| self.end())?;
            if item.batch.num_rows() > 0 {
                let left = usize::try_from(self.most_rows - self.rows_out).unwrap_or(usize::MAX);
                let batch = match item.batch {
                    batch if batch.num_rows() > left => rows::cut(&batch, 0..left)?,
                    batch => batch,
                };
                let (rows, bytes) = (batch.num_rows() as u64, queued.bytes);
                self.rows_out += rows;
                self.sink_meter().update(|c| {
                    (c.batches, c.rows_in, c.bytes_in) = (c.batches + 1, c.rows_in + rows, c.bytes_in + bytes)
                });
                self.tell_progress();
                return Ok(Some(batch));
            }
            self.tell_progress();
        }
    }

    /// Notes the time and the bytes that the sink took for the batch it was given last.
    pub(super) fn sink_worked(&self, since: Instant, rows: usize, written: u64) {
        self.sink_meter().update(|c| {
            c.busy += since.elapsed();
            c.rows_out += rows as u64;
            c.bytes_out += written;
        });
        if let (Some(trace), Some(key)) = (&self.shared.trace, self.pending) {
            trace.step(self.shared.lanes.len() + 1, 0, since, key.seq(), rows);
        }
    }

    /// What the run did so far; complete once `next_batch` has returned `None` or an error.
    pub(super) fn report(&self, sink: &str, output: Option<PathBuf>) -> Report {
        let shared = &self.shared;
        let mut stages = vec![shared.meters[0].report(&self.source_name, Placement::Host, 1)];
        for (lane, meter) in shared.lanes.iter().zip(&shared.meters[1..]) {
            stages.push(meter.report(&lane.name, lane.stage.placement(), lane.workers));
        }
        stages.push(self.sink_meter().report(sink, Placement::Host, 1));
        let (budget, peak, _) = shared.queues.memory();
        Report {
            stages,
            rows_in: shared.rows_read.load(Ordering::Relaxed),
            rows_out: self.rows_out,
            error_rows: self.error_rows,
            errors: self.errors.clone(),
            wall: self.wall.unwrap_or_else(|| self.started.elapsed()),
            budget,
            peak,
            device: self.device.as_ref().and_then(DeviceUse::of),
            output,
        }
    }

    /// Ends the clock, after the sink's last work, and writes the trace where one was asked for.
    pub(super) fn finish(&mut self, sink: &str) -> Result<()> {
        self.wall = Some(self.started.elapsed());
        let (Some(trace), Some(path)) = (&self.shared.trace, &self.trace) else { return Ok(()) };
        let mut lanes = vec![self.source_name.clone()];
        lanes.extend(self.shared.lanes.iter().map(|lane| lane.name.to_string()));
        lanes.push(sink.to_string());
        trace.write(path, &lanes)
    }

    /// Applies `OnError` to the rows that stages refused.
    fn account(&mut self, mut item: Item) -> Result<Item> {
        self.rows_done += item.covers;
        for error in std::mem::take(&mut item.errors) {
            self.error_rows += 1;
            if let Some(hook) = &mut self.hooks.row_error {
                hook(&error);
            }
            if self.errors.len() < KEPT_ERRORS {
                self.errors.push(error.clone());
            }
            match self.shared.on_error {
                OnError::Fail => return Err(error.into_error()),
                OnError::Skip { max } if self.error_rows > max => {
                    let message = format!("{} (more than {max} bad rows)", error.message);
                    return Err(RowError { message, ..error }.into_error());
                }
                OnError::Skip { .. } | OnError::Null => {}
            }
        }
        Ok(item)
    }

    fn tell_progress(&mut self) {
        let Some(hook) = &mut self.hooks.progress else { return };
        hook(&Progress {
            total_rows: self.total_rows,
            rows_read: self.shared.rows_read.load(Ordering::Relaxed),
            rows_done: self.rows_done,
            rows_out: self.rows_out,
            error_rows: self.error_rows,
            elapsed: self.started.elapsed(),
            memory: self.shared.queues.memory().2,
        });
    }

    fn sink_meter(&self) -> &Meter {
        &self.shared.meters[self.shared.lanes.len() + 1]
    }

    fn release(&mut self) {
        if let Some(key) = self.pending.take() {
            self.shared.queues.release(key);
        }
    }

    /// Stops and waits for all threads.
    fn end(&mut self) {
        self.shared.queues.stop(None);
        // A thread that starts another one adds it to the list before it ends itself, so none is missed.
        loop {
            let Some(thread) = self.shared.threads.lock().pop() else { break };
            let _ = thread.join();
        }
        self.wall.get_or_insert_with(|| self.started.elapsed());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    /// Starts a thread; one that panics or cannot be started ends the run.
    fn spawn(self: &Arc<Self>, name: &str, work: impl FnOnce(&Arc<Shared>) + Send + 'static) {
        let shared = self.clone();
        let thread = std::thread::Builder::new().name(format!("warpline-{name}")).spawn(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(&shared))) {
                let why = panic_text(panic.as_ref());
                shared.queues.stop(Some(Error::Internal { op: "pipeline", why }));
            }
        });
        match thread {
            Ok(thread) => self.threads.lock().push(thread),
            Err(e) => self.queues.stop(Some(Error::io(format!("thread for {name}"), e))),
        }
    }

    /// The source's thread.
    fn read(self: &Arc<Self>, source: &mut dyn Source, limit: &BatchLimit) {
        loop {
            let bound = source.bound(limit);
            if bound > self.largest_steps.0 {
                return self.queues.stop(Some(self.too_large(source.name(), bound)));
            }
            let mut waits = Waits::default();
            let admitted = self.queues.admit(0, bound, &mut waits);
            self.meters[0].update(|c| c.waits.add_all(&waits));
            let Some(key) = admitted else { return };
            let since = Instant::now();
            let read = catch_unwind(AssertUnwindSafe(|| source.next(limit))).unwrap_or_else(|panic| {
                Err(Error::invalid("source", format!("{} panicked: {}", source.name(), panic_text(panic.as_ref()))))
            });
            let item = match read {
                Ok(Some(read)) => Item::new(read.batch, read.origins),
                Ok(None) => {
                    self.queues.withdraw(key);
                    return self.finish(limit);
                }
                Err(error) => Err(error),
            };
            let last = item.is_err();
            let mut parts = Vec::new();
            match item {
                Ok(item) => {
                    let (rows, bytes) = (item.batch.num_rows(), rows::bytes(&item.batch));
                    self.rows_read.fetch_add(rows as u64, Ordering::Relaxed);
                    self.measure(0, 0, since, key, [0, rows], [0, bytes]);
                    self.place(0, key, item, 0, &mut parts);
                }
                Err(error) => parts.push(self.failed(key, error)),
            }
            self.hand_on(key, None, parts);
            if last {
                return self.queues.source_done();
            }
        }
    }

    /// What stages give after their last input, one stage after the other. Still the source's thread.
    fn finish(self: &Arc<Self>, limit: &BatchLimit) {
        for at in (0..self.lanes.len()).filter(|&at| self.lanes[at].stage.finishes()) {
            let mut waits = Waits::default();
            let goes_on = self.queues.drained(at, &mut waits);
            self.meters[at + 1].update(|c| c.waits.add_all(&waits));
            if !goes_on {
                return;
            }
            if let Err(error) = self.finish_stage(at, limit) {
                return self.queues.stop(Some(error));
            }
        }
        self.queues.source_done();
    }

    /// Hands what a stage gives at its end to the next one.
    fn finish_stage(self: &Arc<Self>, at: usize, limit: &BatchLimit) -> Result<()> {
        let lane = &self.lanes[at];
        let caught = |panic: Box<dyn Any + Send>| Error::invalid("finish", panic_text(panic.as_ref()));
        let ctx = lane.ctx.fork()?;
        let ending = catch_unwind(AssertUnwindSafe(|| lane.stage.finish(&ctx, limit)));
        let mut ending = ending.unwrap_or_else(|panic| Err(caught(panic)))?;
        if ending.bound > self.largest_steps.0 {
            return Err(self.too_large(&lane.name, ending.bound));
        }
        let name: Arc<str> = format!("the end of {}", lane.name).into();
        let mut given = 0;
        loop {
            let mut waits = Waits::default();
            let admitted = self.queues.admit(at + 1, ending.bound, &mut waits);
            self.meters[at + 1].update(|c| c.waits.add_all(&waits));
            let Some(key) = admitted else { return Ok(()) };
            let since = Instant::now();
            let next = catch_unwind(AssertUnwindSafe(|| ending.batches.next()));
            let Some(batch) = next.unwrap_or_else(|panic| Some(Err(caught(panic)))).transpose()? else {
                self.queues.withdraw(key);
                return Ok(());
            };
            let batch = rows::relabel(&lane.output, &batch)?;
            let (rows, bytes) = (batch.num_rows(), rows::bytes(&batch));
            // They stand for no rows of the source.
            let item = Item { covers: 0, ..Item::new(batch, Origins::rows(name.clone(), given, rows))? };
            given += rows as u64;
            self.measure(at + 1, 0, since, key, [0, rows], [0, bytes]);
            let mut parts = Vec::new();
            self.place(at + 1, key, item, 0, &mut parts);
            self.hand_on(key, None, parts);
        }
    }

    /// A stage's thread.
    fn work(self: &Arc<Self>, lane: usize, worker: usize) {
        // A device stage's threads have a stream each.
        let ctx = match self.lanes[lane].ctx.fork() {
            Ok(ctx) => ctx,
            Err(error) => return self.queues.stop(Some(error)),
        };
        loop {
            let mut waits = Waits::default();
            let taken = self.queues.take(lane, &mut waits);
            self.meters[lane + 1].update(|c| c.waits.add_all(&waits));
            let Some((key, queued)) = taken else { return };
            let promised = Some((lane + 1, queued.output));
            let Ok(item) = queued.item else { continue };
            let (rows_in, since) = (item.batch.num_rows(), Instant::now());
            let mut parts = Vec::new();
            match self.step(&self.lanes[lane], &ctx, item) {
                Ok(item) => {
                    let bytes = [queued.bytes, rows::bytes(&item.batch)];
                    self.measure(lane + 1, worker, since, key, [rows_in, item.batch.num_rows()], bytes);
                    self.place(lane + 1, key, item, queued.debt, &mut parts);
                }
                Err(error) if about_data(&error) => parts.push(self.failed(key, error)),
                Err(error) => return self.queues.stop(Some(error)),
            }
            self.hand_on(key, promised, parts);
        }
    }

    fn hand_on(self: &Arc<Self>, key: Key, promised: Option<(usize, u64)>, parts: Vec<Placed>) {
        for lane in self.queues.done(key, promised, parts, &self.workers) {
            let worker = self.threads.lock().len();
            let name = self.lanes[lane].name.clone();
            self.spawn(&name, move |shared| shared.work(lane, worker));
        }
    }

    fn measure(&self, lane: usize, worker: usize, since: Instant, key: Key, rows: [usize; 2], bytes: [u64; 2]) {
        let copied = match lane.checked_sub(1).map(|lane| &self.lanes[lane]) {
            Some(lane) => lane.stage.copies(bytes[0]),
            None => (0, 0),
        };
        self.meters[lane].update(|c| {
            c.batches += 1;
            c.rows_in += rows[0] as u64;
            c.rows_out += rows[1] as u64;
            c.bytes_in += bytes[0];
            c.bytes_out += bytes[1];
            c.to_device += copied.0;
            c.to_host += copied.1;
            c.busy += since.elapsed();
        });
        if let Some(trace) = &self.trace {
            trace.step(lane, worker, since, key.seq(), rows[1]);
        }
    }

    /// One item through one stage: the output item, or the error that ends the run.
    fn step(&self, lane: &Lane, ctx: &ExecCtx, item: Item) -> Result<Item> {
        if self.on_error == OnError::Fail || item.batch.placement() != Placement::Host {
            return self.attempt(lane, ctx, item);
        }
        match self.attempt(lane, ctx, item.clone()) {
            Err(error) if about_data(&error) => self.isolate(lane, ctx, item, error),
            other => other,
        }
    }

    /// Runs a stage, with panics as errors, and settles the rows that it refused.
    fn attempt(&self, lane: &Lane, ctx: &ExecCtx, item: Item) -> Result<Item> {
        let (source, row) = item.origins.get(0);
        let (source, row) = (source.clone(), row);
        let rows = item.batch.num_rows();
        let launched = catch_unwind(AssertUnwindSafe(|| lane.stage.launch(ctx, item)));
        let launched = launched.unwrap_or_else(|panic| {
            Err(Error::Item {
                source_name: source.to_string(),
                row,
                stage: lane.name.to_string(),
                code: "panic".into(),
                message: panic_text(panic.as_ref()),
            })
        });
        let mut item = launched.map_err(|error| match error {
            // The device reports a failed kernel at some later call, so this is the batch that met the error.
            Error::Cuda { op, code, message } => {
                let op = format!("{}, {rows} rows from row {row} of {source}: {op}", lane.name);
                Error::Cuda { op, code, message }
            }
            other => other,
        })?;
        item.batch = rows::relabel(&lane.output, &item.batch)?;
        self.settle(lane, &mut item)?;
        Ok(item)
    }

    fn settle(&self, lane: &Lane, item: &mut Item) -> Result<()> {
        let places = item.settle(&lane.name);
        match self.on_error {
            OnError::Fail if !item.errors.is_empty() => Err(item.errors.swap_remove(0).into_error()),
            OnError::Skip { .. } if !places.is_empty() => {
                if item.batch.placement() != Placement::Host {
                    return Err(Error::unsupported("skip", "a device stage that refuses rows", "use OnError::Null"));
                }
                let (batch, keep) = rows::without(&item.batch, &places)?;
                item.origins = item.origins.gather(keep.set_indices());
                item.batch = batch;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Finds the rows that make a stage fail, by halves, and passes the others on.
    fn isolate(&self, lane: &Lane, ctx: &ExecCtx, item: Item, error: Error) -> Result<Item> {
        let count = item.batch.num_rows();
        if count == 1 {
            return self.refuse(lane, item, &error);
        }
        let mut done: Vec<Item> = Vec::with_capacity(2);
        for range in [0..count / 2, count / 2..count] {
            let half = Item {
                batch: rows::cut(&item.batch, range.clone())?,
                origins: item.origins.slice(range.start, range.len()),
                failed: Vec::new(),
                errors: Vec::new(),
                covers: 0,
            };
            done.push(match self.attempt(lane, ctx, half.clone()) {
                Err(error) if about_data(&error) => self.isolate(lane, ctx, half, error)?,
                other => other?,
            });
        }
        let batches: Vec<Batch> = done.iter().map(|part| part.batch.clone()).collect();
        let mut whole = Item { batch: rows::concat(&lane.output, &batches)?, origins: Default::default(), ..item };
        for part in done {
            whole.origins.extend(&part.origins);
            whole.errors.extend(part.errors);
        }
        Ok(whole)
    }

    /// What `OnError` leaves of an item of one row that a stage failed on.
    fn refuse(&self, lane: &Lane, mut item: Item, error: &Error) -> Result<Item> {
        let (code, message) = code_and_message(error);
        item.failed.push(FailedRow { row: 0, code, message });
        item.batch = match self.on_error {
            OnError::Null => rows::blank(&item.batch, &lane.output)?,
            _ => item.batch.to_host()?,
        };
        self.settle(lane, &mut item)?;
        if item.batch.num_rows() == 0 {
            // The row is gone: it needs no values for columns that may not be null.
            item.batch = rows::empty(&lane.output);
        }
        Ok(item)
    }

    /// Puts an item before stage `lane`, cut into as many parts as the budget demands.
    fn place(&self, lane: usize, key: Key, item: Item, debt: u64, parts: &mut Vec<Placed>) {
        if let Err(error) = self.try_place(lane, key, item, debt, parts) {
            parts.push(self.failed(key, error));
        }
    }

    fn try_place(&self, at: usize, key: Key, mut item: Item, debt: u64, parts: &mut Vec<Placed>) -> Result<()> {
        let count = item.batch.num_rows();
        if count == 0 {
            item.batch = rows::empty(&self.schema);
        }
        let bytes = rows::bytes(&item.batch);
        if count == 0 || at == self.lanes.len() {
            let queued = Queued { item: Ok(item), extra: 0, output: 0, bytes, debt };
            parts.push(Placed { to: self.lanes.len(), key, queued });
            return Ok(());
        }
        let lane = &self.lanes[at];
        let bound = catch_unwind(AssertUnwindSafe(|| lane.stage.bound(&item.batch))).unwrap_or_else(|panic| {
            Err(Error::invalid("bound", format!("{} panicked: {}", lane.name, panic_text(panic.as_ref()))))
        });
        let error = match bound {
            Ok(bound) => {
                let extra = bound.workspace.saturating_add(bound.output);
                let step = extra.saturating_add(bytes);
                let whole = count == 1 || item.batch.placement() != Placement::Host;
                let fits = match whole {
                    true => step <= self.largest_steps.0,
                    false => step.saturating_add(debt) <= self.largest_steps.1,
                };
                if fits {
                    let queued = Queued { item: Ok(item), extra, output: bound.output, bytes, debt };
                    parts.push(Placed { to: at, key, queued });
                    return Ok(());
                }
                self.too_large(&lane.name, step)
            }
            Err(error) => error,
        };
        if !about_data(&error) || item.batch.placement() != Placement::Host {
            return Err(error);
        }
        match key.split() {
            Some(keys) if count > 1 => self.place_halves(at, keys, item, debt, parts),
            _ if self.on_error == OnError::Fail => Err(error),
            _ => {
                let refused = self.refuse(lane, item, &error)?;
                self.try_place(at + 1, key, refused, debt, parts)
            }
        }
    }

    fn place_halves(&self, at: usize, keys: (Key, Key), item: Item, debt: u64, parts: &mut Vec<Placed>) -> Result<()> {
        let (count, half) = (item.batch.num_rows(), item.batch.num_rows() / 2);
        let right = Item {
            batch: rows::cut(&item.batch, half..count)?,
            origins: item.origins.slice(half, count - half),
            failed: Vec::new(),
            errors: Vec::new(),
            covers: item.covers / 2,
        };
        let left = Item {
            batch: rows::cut(&item.batch, 0..half)?,
            origins: item.origins.slice(0, half),
            covers: item.covers - right.covers,
            ..item
        };
        let owed = debt.saturating_add(rows::bytes(&right.batch));
        self.place(at, keys.0, left, owed, parts);
        self.place(at, keys.1, right, debt, parts);
        Ok(())
    }

    /// An error that ends the run when its turn comes in the order of results.
    fn failed(&self, key: Key, error: Error) -> Placed {
        let queued = Queued { item: Err(error), extra: 0, output: 0, bytes: 0, debt: 0 };
        Placed { to: self.lanes.len(), key, queued }
    }

    fn too_large(&self, stage: &str, step: u64) -> Error {
        let (budget, available) = (self.budget, self.largest_steps.0);
        Error::OutOfMemory { op: stage.to_string(), requested: step, budget, available }
    }
}

impl Waits {
    fn add_all(&mut self, other: &Waits) {
        self.input += other.input;
        self.memory += other.memory;
        self.output += other.output;
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".to_string())
}

/// Results as an iterator, while the run goes on behind it; see `Pipeline::stream`. Dropping it ends the run.
pub struct Stream {
    pub(super) running: Running,
    pub(super) ended: bool,
    pub(super) since: Option<(Instant, usize)>,
}

impl Stream {
    /// The schema of all batches.
    pub fn schema(&self) -> &SchemaRef {
        self.running.schema()
    }

    /// What the run did so far, the time between calls of `next` counted as the consumer's.
    pub fn report(&self) -> Report {
        self.running.report("consumer", None)
    }

    fn advance(&mut self) -> Result<Option<Batch>> {
        if let Some((since, rows)) = self.since.take() {
            self.running.sink_worked(since, rows, 0);
        }
        let next = self.running.next_batch();
        if !matches!(next, Ok(Some(_))) {
            self.ended = true;
            self.running.finish("consumer")?;
        }
        next
    }
}

impl Iterator for Stream {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.advance().transpose();
        if let Some(Ok(batch)) = &next {
            self.since = Some((Instant::now(), batch.num_rows()));
        }
        next
    }
}

/// A [`Stream`] as arrow-rs's `RecordBatchReader`, which most Arrow consumers take.
pub struct StreamReader {
    stream: Stream,
}

impl Stream {
    /// The same results as record batches.
    pub fn into_reader(self) -> StreamReader {
        StreamReader { stream: self }
    }
}

impl StreamReader {
    /// What the run did so far.
    pub fn report(&self) -> Report {
        self.stream.report()
    }
}

impl Iterator for StreamReader {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.stream.next()?;
        Some(next.and_then(|batch| batch.to_record_batch()).map_err(ArrowError::from))
    }
}

impl RecordBatchReader for StreamReader {
    fn schema(&self) -> SchemaRef {
        self.stream.schema().clone()
    }
}
