//! Threads that help to run the blocks of a launch.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use parking_lot::{Condvar, Mutex};

/// Work that several threads may share.
pub trait Shared: Send + Sync {
    /// Takes part as worker `index`; returns when there is nothing left to take.
    fn work(&self, index: u32);
}

struct Task {
    job: Arc<dyn Shared>,
    index: u32,
    gate: Arc<Gate>,
}

/// Counts helpers, so that the owner can wait for those that began.
#[derive(Default)]
struct Gate {
    /// Helpers at work, and whether latecomers must stay out.
    state: Mutex<(u32, bool)>,
    idle: Condvar,
}

/// A pool of threads.
pub struct Pool {
    queue: Mutex<VecDeque<Task>>,
    ready: Condvar,
    threads: u32,
    started: OnceLock<()>,
}

impl Pool {
    /// A pool that lends up to `threads - 1` helpers.
    pub fn new(threads: u32) -> Arc<Pool> {
        Arc::new(Pool {
            queue: Mutex::default(),
            ready: Condvar::new(),
            threads: threads.max(1),
            started: OnceLock::new(),
        })
    }

    /// Threads that may work on one job, the caller's among them.
    pub fn threads(&self) -> u32 {
        self.threads
    }

    /// Runs a job on the calling thread and up to `workers - 1` helpers; returns when all are done.
    pub fn run(self: &Arc<Pool>, job: Arc<dyn Shared>, workers: u32) {
        let workers = workers.min(self.threads);
        if workers <= 1 {
            return job.work(0);
        }
        self.started.get_or_init(|| {
            for i in 1..self.threads {
                let pool = self.clone();
                let name = format!("emulator-{i}");
                // Without helpers the caller does all the work, so a failed spawn costs speed only.
                let _ = std::thread::Builder::new().name(name).spawn(move || pool.serve());
            }
        });
        let gate = Arc::new(Gate::default());
        {
            let mut queue = self.queue.lock();
            for index in 1..workers {
                queue.push_back(Task { job: job.clone(), index, gate: gate.clone() });
            }
        }
        self.ready.notify_all();
        job.work(0);
        let mut state = gate.state.lock();
        state.1 = true;
        while state.0 > 0 {
            gate.idle.wait(&mut state);
        }
    }

    fn serve(&self) {
        loop {
            let task = {
                let mut queue = self.queue.lock();
                loop {
                    match queue.pop_front() {
                        Some(task) => break task,
                        None => self.ready.wait(&mut queue),
                    }
                }
            };
            {
                let mut state = task.gate.state.lock();
                if state.1 {
                    continue;
                }
                state.0 += 1;
            }
            task.job.work(task.index);
            let mut state = task.gate.state.lock();
            state.0 -= 1;
            if state.0 == 0 {
                task.gate.idle.notify_all();
            }
        }
    }
}
