//! Where work runs: a context per device, opened once a process.

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use warpline::ExecCtx;
use warpline::device::keep_context;

use crate::error::raise;

/// The `device` argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Auto,
    Host,
    Cuda(usize),
}

impl FromStr for Device {
    type Err = PyErr;

    fn from_str(text: &str) -> PyResult<Self> {
        let cuda = |number: &str| number.parse().ok().map(Device::Cuda);
        match text {
            "auto" => Some(Device::Auto),
            "host" => Some(Device::Host),
            "cuda" => Some(Device::Cuda(0)),
            _ => text.strip_prefix("cuda:").and_then(cuda),
        }
        .ok_or_else(|| {
            pyo3::exceptions::PyValueError::new_err(format!("device {text:?} is none of auto, host, cuda:N"))
        })
    }
}

/// Contexts by device, and the process that opened them.
struct Opened {
    process: u32,
    contexts: Vec<(Device, ExecCtx)>,
}

static OPENED: Mutex<Opened> = Mutex::new(Opened { process: 0, contexts: Vec::new() });

/// The context for a device; "auto" is the first GPU, or the host where there is none.
pub fn open(device: &str) -> PyResult<ExecCtx> {
    let device: Device = device.parse()?;
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if opened.process != std::process::id() {
        // Threads do not survive a fork (multiprocessing, data loaders), and waiting for them to end would hang.
        std::mem::forget(std::mem::take(&mut opened.contexts));
        opened.process = std::process::id();
    }
    if let Some((_, ctx)) = opened.contexts.iter().find(|(known, _)| *known == device) {
        return Ok(ctx.clone());
    }
    let ctx = keep_context(|| match device {
        Device::Auto => ExecCtx::auto(),
        Device::Host => ExecCtx::host(0),
        Device::Cuda(ordinal) => ExecCtx::cuda(ordinal),
    });
    let ctx = ctx.map_err(raise)?;
    opened.contexts.push((device, ctx.clone()));
    Ok(ctx)
}

/// Work without the interpreter's lock, after which the thread has the CUDA context that it had.
pub fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> warpline::Result<T> + Send) -> PyResult<T> {
    py.detach(|| keep_context(work)).map_err(raise)
}
