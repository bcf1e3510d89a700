//! The queues between stages and the one lock that guards them together with the ledger.
//!
//! One lock for all of it keeps the rules simple: a worker takes a batch only when, at that moment, the batch's memory is
//! granted and its result has a place in the next queue. No worker ever waits while it holds a batch, so the oldest
//! batch always finds a free worker; it also passes full queues. Batches are large, so the lock is idle nearly always.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::error::Error;

use super::item::Item;
use super::ledger::Ledger;
use super::order::{Cursor, Key, Order};

/// What a batch waits for, in the report.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waits {
    pub(super) input: Duration,
    pub(super) memory: Duration,
    pub(super) output: Duration,
}

#[derive(Clone, Copy, PartialEq)]
enum Wait {
    Input,
    Memory,
    Output,
}

impl Waits {
    fn add(&mut self, wait: Wait, since: Instant) {
        let field = match wait {
            Wait::Input => &mut self.input,
            Wait::Memory => &mut self.memory,
            Wait::Output => &mut self.output,
        };
        *field += since.elapsed();
    }
}

/// A batch in a queue with what its next step asks for.
pub(super) struct Queued {
    /// The batch, or the error that ends the run when its turn comes.
    pub(super) item: Result<Item, Error>,
    /// Workspace and output of the next step.
    pub(super) extra: u64,
    /// Output of the next step.
    pub(super) output: u64,
    /// Bytes of the batch itself.
    pub(super) bytes: u64,
    /// What earlier batches owe when this one was split off; see [`Ledger`].
    pub(super) debt: u64,
}

#[derive(Default)]
struct Queue {
    items: BTreeMap<Key, Queued>,
    bytes: u64,
    /// Places promised to batches that a worker of the stage before has in hand.
    promised: usize,
    promised_bytes: u64,
    workers: usize,
    /// Workers that wait for a batch.
    idle: usize,
    /// Workers that wait for memory or for a place in the next queue.
    blocked: usize,
}

/// A batch on its way into a queue.
pub(super) struct Placed {
    pub(super) to: usize,
    pub(super) key: Key,
    pub(super) queued: Queued,
}

/// Limits of one queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth {
    pub(super) items: usize,
    pub(super) bytes: u64,
}

impl Queue {
    fn waiting(&mut self, wait: Wait) -> &mut usize {
        match wait {
            Wait::Input => &mut self.idle,
            Wait::Memory | Wait::Output => &mut self.blocked,
        }
    }

    fn has_room(&self, depth: Depth, bytes: u64) -> bool {
        let (items, held) = (self.items.len() + self.promised, self.bytes + self.promised_bytes);
        items == 0 || (items < depth.items && held.saturating_add(bytes) <= depth.bytes)
    }
}

struct State {
    ledger: Ledger<Key>,
    queues: Vec<Queue>,
    /// Batches that workers have in hand, with their stage.
    in_hand: BTreeMap<Key, usize>,
    cursor: Cursor,
    next_seq: u64,
    source_done: bool,
    source_blocked: bool,
    stopped: Option<Option<Error>>,
}

/// All queues of a run: number `s` feeds stage `s`, the last one the sink.
pub(super) struct Queues {
    state: Mutex<State>,
    /// One for each queue's readers, and the last for the source.
    wakers: Vec<Condvar>,
    depth: Depth,
    order: Order,
    /// Stages that take batches in the order of the input.
    ordered: Vec<bool>,
}

impl Queues {
    pub(super) fn new(ordered: Vec<bool>, budget: u64, depth: Depth, order: Order) -> Self {
        let stages = ordered.len();
        let state = State {
            ledger: Ledger::new(budget),
            queues: (0..=stages).map(|_| Queue::default()).collect(),
            in_hand: BTreeMap::new(),
            cursor: Cursor::default(),
            next_seq: 0,
            source_done: false,
            source_blocked: false,
            stopped: None,
        };
        let wakers = (0..stages + 2).map(|_| Condvar::new()).collect();
        Queues { state: Mutex::new(state), wakers, depth, order, ordered }
    }

    /// Waits until a batch of at most `bytes` may be made for queue `to`; `None` when the run is over. Only for the
    /// source's thread.
    pub(super) fn admit(&self, to: usize, bytes: u64, waits: &mut Waits) -> Option<Key> {
        let mut state = self.state.lock();
        loop {
            if state.stopped.is_some() {
                return None;
            }
            let key = Key::new(state.next_seq);
            let wait = if !state.queues[to].has_room(self.depth, bytes) {
                Wait::Output
            } else if !state.ledger.try_grant(key, bytes) {
                Wait::Memory
            } else {
                state.next_seq += 1;
                return Some(key);
            };
            self.wait_as_source(&mut state, wait, waits);
        }
    }

    fn wait_as_source(&self, state: &mut MutexGuard<'_, State>, wait: Wait, waits: &mut Waits) {
        let since = Instant::now();
        state.source_blocked = true;
        self.wakers[self.wakers.len() - 1].wait(state);
        state.source_blocked = false;
        waits.add(wait, since);
    }

    /// Takes back the last admission: there is no such batch.
    pub(super) fn withdraw(&self, unused: Key) {
        let mut state = self.state.lock();
        state.ledger.release(unused);
        state.next_seq = unused.seq();
        self.wake(&state);
    }

    /// Waits until no batch is before or in stage `stage`; whether the run goes on. Only for the source's thread, which
    /// then is the one that may admit more.
    pub(super) fn drained(&self, stage: usize, waits: &mut Waits) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.stopped.is_some() {
                return false;
            }
            if state.is_drained(stage) {
                return true;
            }
            self.wait_as_source(&mut state, Wait::Input, waits);
        }
    }

    /// The source and the ends of stages have no more batches.
    pub(super) fn source_done(&self) {
        self.state.lock().source_done = true;
        self.wake_all();
    }

    /// Waits for the oldest batch of queue `stage`, its memory and a place for its result; `None` when the run is
    /// over. The caller must hand the result to [`done`](Queues::done).
    pub(super) fn take(&self, stage: usize, waits: &mut Waits) -> Option<(Key, Queued)> {
        let mut state = self.state.lock();
        loop {
            if state.stopped.is_some() || state.is_over() {
                return None;
            }
            let wait = match state.take_ready(stage, self.depth, self.ordered[stage]) {
                Ok(taken) => {
                    self.wake(&state);
                    return Some(taken);
                }
                Err(wait) => wait,
            };
            let since = Instant::now();
            *state.queues[stage].waiting(wait) += 1;
            self.wakers[stage].wait(&mut state);
            *state.queues[stage].waiting(wait) -= 1;
            waits.add(wait, since);
        }
    }

    /// Puts the results of a step into their queues and gives back what the step no longer needs. `promised` is the
    /// place that `take` had promised. Returns the stages that could use one more worker, of which each has at most
    /// `limits[stage]`; the caller then starts them.
    pub(super) fn done(
        &self,
        key: Key,
        promised: Option<(usize, u64)>,
        parts: Vec<Placed>,
        limits: &[usize],
    ) -> Vec<usize> {
        let mut state = self.state.lock();
        let state = &mut *state;
        if let Some((queue, bytes)) = promised {
            state.queues[queue].promised -= 1;
            state.queues[queue].promised_bytes -= bytes;
        }
        state.ledger.release(key);
        state.in_hand.remove(&key);
        if state.stopped.is_some() {
            return Vec::new();
        }
        let mut more = Vec::new();
        for Placed { to, key, queued } in parts {
            state.ledger.resize(key, queued.bytes);
            let queue = &mut state.queues[to];
            queue.bytes += queued.bytes;
            queue.items.insert(key, queued);
            if to < limits.len() && queue.idle == 0 && queue.workers < limits[to] {
                queue.workers += 1;
                more.push(to);
            }
            self.wakers[to].notify_all();
        }
        // This batch may have been the one that a stage in order waited for.
        for (waker, _) in self.wakers.iter().zip(&self.ordered).filter(|(_, ordered)| **ordered) {
            waker.notify_all();
        }
        self.wake(state);
        more
    }

    /// Waits for the next batch for the sink; `None` at the end, the run's error when it was ended by one.
    pub(super) fn deliver(&self, waits: &mut Waits) -> Result<Option<(Key, Queued)>, Error> {
        let sink = self.wakers.len() - 2;
        let mut state = self.state.lock();
        loop {
            if let Some(error) = &mut state.stopped {
                return Err(error.take().unwrap_or(Error::Cancelled));
            }
            if state.is_over() {
                return Ok(None);
            }
            let due = state.queues[sink].items.first_key_value().map(|(key, _)| *key);
            if let Some(key) = due.filter(|&key| self.order == Order::Completion || state.cursor.is_due(key)) {
                state.cursor = Cursor::after(key);
                let queued = state.queues[sink].items.remove(&key).expect("seen under the same lock");
                state.queues[sink].bytes -= queued.bytes;
                self.wake(&state);
                return Ok(Some((key, queued)));
            }
            let since = Instant::now();
            self.wakers[sink].wait(&mut state);
            waits.add(Wait::Input, since);
        }
    }

    /// The sink is done with a batch.
    pub(super) fn release(&self, key: Key) {
        let mut state = self.state.lock();
        state.ledger.release(key);
        match state.is_over() {
            true => self.wake_all(),
            false => self.wake(&state),
        }
    }

    /// Ends the run; the first reason given is the one that counts.
    pub(super) fn stop(&self, why: Option<Error>) {
        let mut state = self.state.lock();
        if state.stopped.is_none() {
            state.stopped = Some(why);
        }
        // Frees what waits in queues at once; batches in hand are freed when their workers return.
        let waiting: Vec<_> = state.queues.iter_mut().map(|queue| std::mem::take(&mut queue.items)).collect();
        drop(state);
        self.wake_all();
        drop(waiting);
    }

    /// Budget, peak and bytes in use.
    pub(super) fn memory(&self) -> (u64, u64, u64) {
        let state = self.state.lock();
        (state.ledger.budget(), state.ledger.peak(), state.ledger.used())
    }

    /// The largest steps of a single row and of a batch that can be split; see [`Ledger`].
    pub(super) fn largest_steps(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.ledger.largest_step(), state.ledger.largest_shared_step())
    }

    /// Wakes whoever may go on now that memory or a place became free.
    fn wake(&self, state: &State) {
        for (queue, waker) in state.queues.iter().zip(&self.wakers) {
            if queue.blocked > 0 {
                waker.notify_all();
            }
        }
        if state.source_blocked {
            self.wakers[self.wakers.len() - 1].notify_all();
        }
    }

    fn wake_all(&self) {
        for waker in &self.wakers {
            waker.notify_all();
        }
    }
}

impl State {
    fn is_over(&self) -> bool {
        self.source_done && self.ledger.in_flight() == 0
    }

    /// Batches that a worker has in hand have a place in the queue behind it.
    fn is_drained(&self, stage: usize) -> bool {
        let waiting = self.queues[..=stage].iter().any(|queue| !queue.items.is_empty());
        !waiting && self.queues[..=stage + 1].iter().all(|queue| queue.promised == 0)
    }

    fn take_ready(&mut self, stage: usize, depth: Depth, ordered: bool) -> Result<(Key, Queued), Wait> {
        let Some((&key, first)) = self.queues[stage].items.first_key_value() else { return Err(Wait::Input) };
        if ordered && self.any_before(stage, key) {
            return Err(Wait::Input);
        }
        let (extra, output) = (first.extra, first.output);
        let oldest = self.ledger.oldest() == Some(key);
        if !oldest && !self.queues[stage + 1].has_room(depth, output) {
            return Err(Wait::Output);
        }
        if oldest {
            self.ledger.grant_oldest(key, extra);
        } else if !self.ledger.try_grant(key, extra) {
            return Err(Wait::Memory);
        }
        let queued = self.queues[stage].items.remove(&key).expect("seen under the same lock");
        self.queues[stage].bytes -= queued.bytes;
        self.queues[stage + 1].promised += 1;
        self.queues[stage + 1].promised_bytes += output;
        self.in_hand.insert(key, stage);
        Ok((key, queued))
    }

    /// Whether a batch, or a part of one, that stands before `key` is not past the stage. The source's own are behind all.
    fn any_before(&self, stage: usize, key: Key) -> bool {
        let first = |queue: &Queue| queue.items.first_key_value().map(|(first, _)| *first);
        self.queues[..stage].iter().filter_map(first).any(|first| first < key)
            || self.in_hand.range(..key).any(|(_, at)| *at <= stage)
    }
}
