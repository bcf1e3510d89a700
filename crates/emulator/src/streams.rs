//! Streams: a queue of work and a thread that does it in order, so that missing waits between streams show.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// One piece of work.
pub type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    submitted: u64,
    completed: u64,
    closed: bool,
}

/// A queue of work with its own thread, which starts with the first piece.
pub struct Stream {
    /// Handle number.
    pub id: usize,
    /// Whether it waits for the legacy stream, and that one for it.
    pub blocking: bool,
    /// Priority as given.
    pub priority: i32,
    queue: Mutex<Queue>,
    changed: Condvar,
    delay: Option<Mutex<u64>>,
}

impl Stream {
    /// An idle stream; with a seed each piece of work waits a little, differently for each seed.
    pub fn new(id: usize, blocking: bool, priority: i32, delay_seed: Option<u64>) -> Arc<Stream> {
        let delay = delay_seed.map(|s| Mutex::new(s ^ id as u64));
        Arc::new(Stream { id, blocking, priority, queue: Mutex::default(), changed: Condvar::new(), delay })
    }

    /// Adds work and gives its number, from 1.
    pub fn push(self: &Arc<Stream>, work: Work) -> u64 {
        let mut q = self.queue.lock();
        if q.submitted == 0 {
            let stream = self.clone();
            let spawned =
                std::thread::Builder::new().name(format!("emulator-stream-{}", self.id)).spawn(move || stream.serve());
            if spawned.is_err() {
                // No thread to be had: the work is done here, which keeps the order.
                drop(q);
                work();
                return 0;
            }
        }
        q.work.push_back(work);
        q.submitted += 1;
        let ticket = q.submitted;
        drop(q);
        self.changed.notify_all();
        ticket
    }

    /// Number of the last piece of work so far.
    pub fn tail(&self) -> u64 {
        self.queue.lock().submitted
    }

    /// Whether all work up to a number is done.
    pub fn done(&self, ticket: u64) -> bool {
        self.queue.lock().completed >= ticket
    }

    /// Waits for all work up to a number.
    pub fn wait(&self, ticket: u64) {
        let mut q = self.queue.lock();
        while q.completed < ticket {
            self.changed.wait(&mut q);
        }
    }

    /// Waits for all work so far.
    pub fn synchronize(&self) {
        self.wait(self.tail());
    }

    /// Lets the thread end once the queue is empty.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.changed.notify_all();
    }

    fn serve(&self) {
        loop {
            let work = {
                let mut q = self.queue.lock();
                loop {
                    if let Some(work) = q.work.pop_front() {
                        break work;
                    }
                    if q.closed {
                        return;
                    }
                    self.changed.wait(&mut q);
                }
            };
            if let Some(rng) = &self.delay {
                let micros = crate::exec::block::splitmix(&mut rng.lock()) % 300;
                std::thread::sleep(Duration::from_micros(micros));
            }
            // A defect of ours must not hang the host program: the piece counts as done either way.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            self.queue.lock().completed += 1;
            self.changed.notify_all();
        }
    }
}

/// One recording of an event.
#[derive(Default)]
pub struct Record {
    time: Mutex<Option<Instant>>,
    reached: Condvar,
}

impl Record {
    /// The stream has come to the event.
    pub fn reach(&self) {
        self.time.lock().get_or_insert_with(Instant::now);
        self.reached.notify_all();
    }

    /// When that was.
    pub fn time(&self) -> Option<Instant> {
        *self.time.lock()
    }

    /// Waits for it.
    pub fn wait(&self) {
        let mut time = self.time.lock();
        while time.is_none() {
            self.reached.wait(&mut time);
        }
    }
}
