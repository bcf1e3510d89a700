//! A launch: hands the blocks of a grid to workers, in order of their index unless a seed says otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::block::{Block, BlockTurn, Watch, splitmix};
use super::code::Program;
use super::coverage;
use super::global_race::GlobalRace;
use super::pool::{Pool, Shared};
use crate::checks::{Checks, Fault};
use crate::counters::Counters;
use crate::mem::{Arena, Map};

/// Blocks are shuffled within runs of this many, so that look-back never waits for a block far ahead.
const WINDOW: u64 = 16;

/// Everything that a launch needs.
pub struct Launch {
    /// The kernel.
    pub program: Arc<Program>,
    /// Device memory.
    pub arena: Arc<Arena>,
    /// Blocks by axis.
    pub grid: [u32; 3],
    /// Threads of a block by axis.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub dynamic_shared: u32,
    /// Parameters as the kernel reads them.
    pub params: Vec<u8>,
    /// Checks.
    pub checks: Checks,
    /// Whether to count accesses.
    pub count: bool,
    /// Bits of the sectors that loads and stores touch.
    pub sectors: Option<[Map; 2]>,
    /// Seed of the schedule; 0 for plain order.
    pub seed: u64,
    /// Whether all blocks must be resident.
    pub cooperative: bool,
    /// Workers that take part.
    pub workers: u32,
    /// When the launch began.
    pub started: Instant,
}

/// A failed launch: what was found, and the text for people.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The finding.
    pub fault: Fault,
    /// Its report.
    pub report: String,
}

struct Job {
    launch: Launch,
    watch: Watch,
    next: AtomicU64,
    total: u64,
    limit: Option<Duration>,
    stop: AtomicBool,
    result: Mutex<(Counters, Option<Failure>)>,
}

/// Runs a launch to its end.
pub fn run(mut launch: Launch, pool: &Arc<Pool>) -> (Counters, Option<Failure>) {
    let total = launch.grid.iter().map(|g| *g as u64).product::<u64>();
    let c = launch.checks;
    let order = (c.global || c.lint).then(|| Arc::new(GlobalRace::new(&launch.program, c.global, c.lint)));
    // The checks between blocks see accesses in the order in which they happen only on one thread.
    let workers = if order.is_some() { 1 } else { (pool.threads() as u64).min(total) as u32 };
    launch.workers = workers;
    let mut watch = Watch { order, trace: None };
    if let Some((program, trace)) = coverage::traced(&launch.program) {
        (launch.program, watch.trace) = (program, Some(trace));
    }
    let job = Arc::new(Job {
        launch,
        watch,
        next: AtomicU64::new(0),
        total,
        limit: super::watchdog::limit(),
        stop: AtomicBool::new(false),
        result: Mutex::default(),
    });
    pool.run(job.clone(), workers);
    let (mut counters, failure) = std::mem::take(&mut *job.result.lock());
    if let Some(order) = &job.watch.order {
        order.lints(&job.launch.program).iter().for_each(|line| crate::checks::warn(line));
    }
    if let Some(trace) = &job.watch.trace {
        coverage::record(&job.launch.program, trace);
    }
    if let Some(maps) = &job.launch.sectors {
        (counters.distinct_loaded, counters.distinct_stored) = (ones(&maps[0]), ones(&maps[1]));
    }
    (counters, failure)
}

/// Counts the bits of a sparse map by its resident part only: untouched pages read as zero without being made.
fn ones(map: &Map) -> u64 {
    map.touched().map(|chunk| chunk.iter().map(|b| b.count_ones() as u64).sum::<u64>()).sum()
}

/// A permutation of block numbers that moves each within its window.
fn shuffled(k: u64, total: u64, seed: u64) -> u64 {
    let (window, at) = (k / WINDOW, (k % WINDOW) as usize);
    let len = (total - window * WINDOW).min(WINDOW) as usize;
    let mut order: Vec<u64> = (0..len as u64).collect();
    let mut rng = seed ^ window.wrapping_mul(0x2545_f491_4f6c_dd1d);
    for i in (1..len).rev() {
        let j = splitmix(&mut rng) as usize % (i + 1);
        order.swap(i, j);
    }
    window * WINDOW + order[at]
}

impl Job {
    fn take(&self) -> Option<u64> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let k = self.next.fetch_add(1, Ordering::Relaxed);
        if k >= self.total {
            return None;
        }
        Some(if self.launch.seed == 0 { k } else { shuffled(k, self.total, self.launch.seed) })
    }

    /// Blocks that one worker keeps at a time.
    fn resident(&self) -> u64 {
        if self.launch.cooperative {
            self.total.div_ceil(self.launch.workers as u64)
        } else if self.watch.order.is_some() {
            // All work is on one host thread, and blocks that wait for each other still go on, as on a device.
            16
        } else if self.launch.seed != 0 {
            2
        } else {
            1
        }
    }
}

impl Shared for Job {
    fn work(&self, index: u32) {
        let mut running: Vec<Block> = Vec::new();
        let mut spare: Vec<Block> = Vec::new();
        let resident = self.resident() as usize;
        let mut failure = None;
        loop {
            while running.len() < resident {
                let Some(k) = self.take() else { break };
                let mut block = spare.pop().unwrap_or_else(|| Block::new(&self.launch, &self.watch, index));
                block.start(&self.launch, k);
                running.push(block);
            }
            if running.is_empty() || self.stop.load(Ordering::Relaxed) {
                break;
            }
            if let Some(limit) = self.limit
                && self.launch.started.elapsed() > limit
            {
                running[0].timeout();
                failure = running[0].cx.fault.clone().map(|f| self.report(f, &running));
                self.stop.store(true, Ordering::Relaxed);
                break;
            }
            let rounds = if running.len() == 1 { 64 } else { 4 };
            let mut i = 0;
            while i < running.len() {
                match running[i].run(&self.launch, self.launch.program.isa, rounds) {
                    BlockTurn::More => i += 1,
                    BlockTurn::Done => spare.push(running.swap_remove(i)),
                    BlockTurn::Fault => {
                        failure = running[i].cx.fault.clone().map(|f| self.report(f, &running[i..=i]));
                        self.stop.store(true, Ordering::Relaxed);
                        break;
                    }
                }
            }
        }
        let mut result = self.result.lock();
        for block in running.iter().chain(&spare) {
            result.0.add(&block.cx.counters);
            super::output::emit(&block.cx.output);
        }
        if let Some(f) = failure {
            result.1.get_or_insert(f);
        }
    }
}

impl Job {
    fn report(&self, fault: Fault, blocks: &[Block]) -> Failure {
        use crate::checks::FaultKind;
        let p = &self.launch.program;
        let [x, y, _] = self.launch.block;
        let t = fault.thread;
        let mut report = format!(
            "{}\n    kernel {} at {} ({})\n    block ({}, {}, {}), thread ({}, {}, {})",
            fault.message(&self.launch.arena, self.launch.grid, p.shared + self.launch.dynamic_shared),
            p.name,
            p.place(fault.pc),
            p.opcode(fault.pc),
            fault.block[0],
            fault.block[1],
            fault.block[2],
            t % x,
            t / x % y,
            t / x / y,
        );
        if matches!(fault.kind, FaultKind::Deadlock | FaultKind::DivergentBarrier | FaultKind::Timeout) {
            for block in blocks.iter().take(16) {
                if blocks.len() > 1 {
                    report.push_str(&format!("\n    block {:?}:", block.cx.ctaid));
                }
                for line in block.waiting(p) {
                    report.push_str("\n    ");
                    report.push_str(&line);
                }
            }
        }
        Failure { fault, report }
    }
}
