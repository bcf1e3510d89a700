//! A trace of a run in the Chrome trace event format, which Perfetto (ui.perfetto.dev) opens.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::error::{Error, Result};

/// Collects what ran when.
pub(super) struct Trace {
    start: Instant,
    steps: Mutex<Vec<Step>>,
}

struct Step {
    lane: usize,
    worker: usize,
    at: Duration,
    took: Duration,
    batch: u64,
    rows: usize,
}

/// One "complete" event (`ph: X`) or a name of a process (`ph: M`); times in microseconds.
#[derive(Serialize)]
struct Event<'a> {
    name: &'a str,
    ph: &'a str,
    pid: usize,
    tid: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    args: serde_json::Value,
}

impl Trace {
    pub(super) fn new() -> Self {
        Trace { start: Instant::now(), steps: Mutex::new(Vec::new()) }
    }

    /// Notes that `worker` of `lane` (0 the source, then the stages, then the sink) worked on a batch since `since`.
    pub(super) fn step(&self, lane: usize, worker: usize, since: Instant, batch: u64, rows: usize) {
        let (at, took) = (since.duration_since(self.start), since.elapsed());
        self.steps.lock().push(Step { lane, worker, at, took, batch, rows });
    }

    /// Writes the file: one process per lane, one thread per worker. Errors name the path.
    pub(super) fn write(&self, path: &Path, lanes: &[String]) -> Result<()> {
        let failed = |e| Error::io(path, e);
        let mut out = BufWriter::new(std::fs::File::create(path).map_err(failed)?);
        let micros = |d: Duration| Some(d.as_secs_f64() * 1e6);
        let mut write = |event: &Event, first: bool| -> std::io::Result<()> {
            out.write_all(if first { b"[\n" } else { b",\n" })?;
            serde_json::to_writer(&mut out, event).map_err(std::io::Error::from)
        };
        for (pid, name) in lanes.iter().enumerate() {
            let args = serde_json::json!({ "name": format!("{pid} {name}") });
            let event = Event { name: "process_name", ph: "M", pid, tid: 0, ts: None, dur: None, args };
            write(&event, pid == 0).map_err(failed)?;
        }
        for step in self.steps.lock().iter() {
            let args = serde_json::json!({ "batch": step.batch, "rows": step.rows });
            let (name, pid, tid) = (lanes[step.lane].as_str(), step.lane, step.worker);
            let event = Event { name, ph: "X", pid, tid, ts: micros(step.at), dur: micros(step.took), args };
            write(&event, false).map_err(failed)?;
        }
        out.write_all(b"\n]\n").and_then(|()| out.flush()).map_err(failed)
    }
}
