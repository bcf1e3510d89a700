//! Which instructions a process has executed: `WARPLINE_EMULATOR_COVERAGE` names a file to which each opcode is appended
//! at its first execution; `WARPLINE_EMULATOR_COVERAGE_OF`, if set, lists the programs (without the hash that cargo adds
//! to their names) that do so. Every handler is wrapped for that, so it costs nothing when it is off.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::code::{Flow, Handler, Inst, Program};
use super::warp::Warp;

/// The handlers of a program and which of them have run with at least one lane.
#[derive(Debug)]
pub struct Trace {
    handlers: Vec<Handler>,
    seen: Vec<AtomicBool>,
}

struct Sink {
    file: File,
    known: BTreeSet<String>,
}

/// Whether this program is one of those that are asked for.
fn wanted() -> bool {
    let Ok(list) = std::env::var("WARPLINE_EMULATOR_COVERAGE_OF") else { return true };
    let exe = std::env::current_exe().unwrap_or_default();
    let stem = exe.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = stem.rsplit_once('-').map_or(&*stem, |(name, _)| name);
    list.split(',').any(|entry| entry == name || entry == stem)
}

fn sink() -> Option<&'static Mutex<Sink>> {
    static SINK: OnceLock<Option<Mutex<Sink>>> = OnceLock::new();
    let open = || {
        let path = std::env::var_os("WARPLINE_EMULATOR_COVERAGE").filter(|p| !p.is_empty() && wanted())?;
        match OpenOptions::new().create(true).append(true).open(&path) {
            Ok(file) => Some(Mutex::new(Sink { file, known: BTreeSet::new() })),
            Err(e) => {
                crate::checks::warn(&format!("WARPLINE_EMULATOR_COVERAGE={}: {e}", path.to_string_lossy()));
                None
            }
        }
    };
    SINK.get_or_init(open).as_ref()
}

/// A copy of the program that notes what it executes, when the environment asks for it.
pub fn traced(program: &Arc<Program>) -> Option<(Arc<Program>, Arc<Trace>)> {
    sink()?;
    let mut copy = Program::clone(program);
    let handlers = copy.code.iter().map(|i| i.f).collect();
    let seen = copy.code.iter().map(|_| AtomicBool::new(false)).collect();
    copy.code.iter_mut().for_each(|i| i.f = note);
    Some((Arc::new(copy), Arc::new(Trace { handlers, seen })))
}

/// Notes that lanes execute the instruction, then does its work.
unsafe fn note(w: &mut Warp, ins: &Inst, m: u32) -> Flow {
    // SAFETY: the context outlives the run; only traced programs hold this handler, and they come with a trace.
    unsafe {
        let cx = &*w.cx;
        let pc = cx.pc_of(ins) as usize;
        let Some(trace) = &cx.trace else { return Flow::Fault };
        if m != 0 {
            trace.seen[pc].store(true, Ordering::Relaxed);
        }
        (trace.handlers[pc])(w, ins, m)
    }
}

/// Appends the opcodes that this launch was the first to execute.
pub fn record(program: &Program, trace: &Trace) {
    let Some(sink) = sink() else { return };
    let mut sink = sink.lock();
    let mut text = String::new();
    for (pc, seen) in trace.seen.iter().enumerate() {
        let op = program.opcode(pc as u32);
        if seen.load(Ordering::Relaxed) && !sink.known.contains(op) {
            sink.known.insert(op.to_string());
            text.push_str(op);
            text.push('\n');
        }
    }
    // One write, so that processes that share the file do not mix their lines.
    if let Err(e) = sink.file.write_all(text.as_bytes()) {
        crate::checks::warn(&format!("cannot write coverage: {e}"));
    }
}
