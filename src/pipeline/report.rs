//! What a run did: rows, bytes and time per stage, and the bottleneck.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;

use crate::column::Placement;
use crate::device::{CopyStats, ExecCtx};

use super::bytes::Bytes;
use super::errors::RowError;
use super::queue::Waits;

/// How many error rows a report keeps; all of them go to [`Pipeline::on_row_error`](super::Pipeline::on_row_error).
pub(super) const KEPT_ERRORS: usize = 1000;

/// What one lane (source, stage or sink) of a run did.
#[derive(Clone, Debug)]
pub struct StageReport {
    /// The name of the stage.
    pub name: String,
    /// Where it ran.
    pub placement: Placement,
    /// Threads that it had at most.
    pub workers: usize,
    /// Batches processed.
    pub batches: u64,
    /// Rows received.
    pub rows_in: u64,
    /// Rows passed on.
    pub rows_out: u64,
    /// Bytes received, in Arrow's layout.
    pub bytes_in: u64,
    /// Bytes passed on; for the sink, bytes written.
    pub bytes_out: u64,
    /// Bytes copied from the host to a device.
    pub to_device: u64,
    /// Bytes copied from a device to the host.
    pub to_host: u64,
    /// Time at work, summed over its threads.
    pub busy: Duration,
    /// Time its threads waited for input.
    pub wait_input: Duration,
    /// Time its threads waited for memory of the budget.
    pub wait_memory: Duration,
    /// Time its threads waited for a place in the next queue.
    pub wait_output: Duration,
}

impl StageReport {
    /// The part of the run, from 0 to 1, that all of its threads were at work.
    pub fn utilisation(&self, wall: Duration) -> f64 {
        self.busy.as_secs_f64() / (wall.as_secs_f64() * self.workers.max(1) as f64).max(1e-9)
    }
}

/// What a run did. Displays as a table, one line for each lane, with the bottleneck and the error rows below.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Source, stages and sink, in the order of the data.
    pub stages: Vec<StageReport>,
    /// Rows that the source read.
    pub rows_in: u64,
    /// Rows that reached the sink.
    pub rows_out: u64,
    /// Rows that a stage refused.
    pub error_rows: u64,
    /// The first 1,000 of them, in the order of results.
    pub errors: Vec<RowError>,
    /// Time from start to end.
    pub wall: Duration,
    /// The memory budget in bytes.
    pub budget: u64,
    /// The most bytes of the budget in use at one time.
    pub peak: u64,
    /// What the device saw, when the pipeline had one.
    pub device: Option<DeviceUse>,
    /// Where the output is, for sinks that write files.
    pub output: Option<PathBuf>,
}

/// What a run did to its device, as counted by the device layer.
#[derive(Clone, Copy, Debug)]
pub struct DeviceUse {
    /// Which device.
    pub placement: Placement,
    /// The most bytes allocated at one time.
    pub peak: u64,
    /// Bytes that crossed between host and device.
    pub copies: CopyStats,
}

impl DeviceUse {
    /// Reads the counters of a context that was made for the run.
    pub(super) fn of(ctx: &ExecCtx) -> Option<Self> {
        let cuda = ctx.as_cuda()?;
        Some(DeviceUse { placement: ctx.placement(), peak: cuda.ledger().peak(), copies: cuda.copy_stats() })
    }
}

impl Report {
    /// The lane whose threads were at work for the largest part of the run.
    pub fn bottleneck(&self) -> Option<&StageReport> {
        self.stages.iter().max_by(|a, b| a.utilisation(self.wall).total_cmp(&b.utilisation(self.wall)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.stages.iter().map(|s| s.name.chars().count()).max().unwrap_or(0).max(5);
        writeln!(
            f,
            "{:width$}  {:7} {:>3} {:>10} {:>10} {:>10} {:>10} {:>8} {:>5} {:>8} {:>8} {:>8}",
            "stage",
            "device",
            "thr",
            "rows in",
            "rows out",
            "bytes in",
            "bytes out",
            "busy",
            "",
            "input",
            "memory",
            "output"
        )?;
        for s in &self.stages {
            writeln!(
                f,
                "{:width$}  {:7} {:>3} {:>10} {:>10} {:>10} {:>10} {:>8} {:>4.0}% {:>8} {:>8} {:>8}",
                s.name,
                s.placement.to_string(),
                s.workers,
                s.rows_in,
                s.rows_out,
                Bytes(s.bytes_in),
                Bytes(s.bytes_out),
                Seconds(s.busy),
                100.0 * s.utilisation(self.wall),
                Seconds(s.wait_input),
                Seconds(s.wait_memory),
                Seconds(s.wait_output),
            )?;
        }
        if let Some(s) = self.bottleneck() {
            writeln!(f, "bottleneck: {} (busy {:.0}% of the time)", s.name, 100.0 * s.utilisation(self.wall))?;
        }
        let rate = self.rows_in as f64 / self.wall.as_secs_f64().max(1e-9);
        writeln!(
            f,
            "{} rows in {} ({rate:.0} rows/s), peak memory {} of {}",
            self.rows_in,
            Seconds(self.wall),
            Bytes(self.peak),
            Bytes(self.budget)
        )?;
        if let Some(device) = &self.device {
            writeln!(
                f,
                "{}: peak {}, {} to it, {} from it",
                device.placement,
                Bytes(device.peak),
                Bytes(device.copies.host_to_device),
                Bytes(device.copies.device_to_host)
            )?;
        }
        write!(f, "{} rows out, {} error rows", self.rows_out, self.error_rows)
    }
}

/// Time as `12.3 s` or `4.5 ms`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        f.pad(&if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.1} s") })
    }
}

/// How far a run is; see [`Pipeline::progress`](super::Pipeline::progress).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Rows that the source has in all, where it knows.
    pub total_rows: Option<u64>,
    /// Rows read so far.
    pub rows_read: u64,
    /// Source rows whose results have reached the sink (or were filtered out, or refused) so far.
    pub rows_done: u64,
    /// Rows that reached the sink so far.
    pub rows_out: u64,
    /// Rows refused so far.
    pub error_rows: u64,
    /// Time since the start.
    pub elapsed: Duration,
    /// Bytes of the budget in use.
    pub memory: u64,
}

/// What a lane counts while it runs.
#[derive(Default)]
pub(super) struct Meter(Mutex<Counts>);

#[derive(Clone, Default)]
pub(super) struct Counts {
    pub(super) batches: u64,
    pub(super) rows_in: u64,
    pub(super) rows_out: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) to_device: u64,
    pub(super) to_host: u64,
    pub(super) busy: Duration,
    pub(super) waits: Waits,
}

impl Meter {
    pub(super) fn update(&self, f: impl FnOnce(&mut Counts)) {
        f(&mut self.0.lock());
    }

    pub(super) fn counts(&self) -> Counts {
        self.0.lock().clone()
    }

    pub(super) fn report(&self, name: &str, placement: Placement, workers: usize) -> StageReport {
        let c = self.counts();
        StageReport {
            name: name.to_string(),
            placement,
            workers,
            batches: c.batches,
            rows_in: c.rows_in,
            rows_out: c.rows_out,
            bytes_in: c.bytes_in,
            bytes_out: c.bytes_out,
            to_device: c.to_device,
            to_host: c.to_host,
            busy: c.busy,
            wait_input: c.waits.input,
            wait_memory: c.waits.memory,
            wait_output: c.waits.output,
        }
    }
}
