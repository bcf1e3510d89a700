//! The memory budget of a run.
//!
//! Deadlock freedom, in the manner of the banker's algorithm (Dijkstra, EWD-108) reduced to one class of resource and a
//! total order of customers:
//!
//! - half of the budget, the *reserve*, is for the oldest batch only; all younger ones together stay within the rest;
//! - so the oldest batch is granted any step of at most the reserve, whatever the others hold;
//! - it therefore finishes and gives everything back, and the next one is the oldest.
//!
//! Batches are split when a step is too large. The later part is then a younger customer that may stand in the reserve;
//! what it holds is the *debt* of the earlier part. A batch that can still be split takes no step that, with its debt,
//! is above an eighth of the budget; so what it holds and owes, and hence the debt of all its parts, stays within an
//! eighth. A single row may then take the other three eighths of the reserve, however its batch was cut.

use std::collections::BTreeMap;

/// Accounts for every byte of every batch in flight. `K` orders the batches from oldest to youngest.
///
/// The ledger decides and counts; it allocates nothing and never blocks. [`Ledger::used`] exceeds the budget only when a
/// stage or a source breaks its own bound.
#[derive(Debug)]
pub struct Ledger<K> {
    budget: u64,
    used: u64,
    peak: u64,
    held: BTreeMap<K, u64>,
}

impl<K: Ord + Copy> Ledger<K> {
    /// An empty ledger over a budget in bytes.
    pub fn new(budget: u64) -> Self {
        Ledger { budget, used: 0, peak: 0, held: BTreeMap::new() }
    }

    /// Bytes that only the oldest batch may use: half of the budget.
    fn reserve(&self) -> u64 {
        self.budget.div_ceil(2)
    }

    /// The largest step (bytes held, workspace and output) of a single row.
    pub fn largest_step(&self) -> u64 {
        self.reserve() - self.largest_shared_step()
    }

    /// The largest step, debt included, of a batch that can be split.
    pub fn largest_shared_step(&self) -> u64 {
        self.budget / 8
    }

    /// The oldest batch in flight.
    pub fn oldest(&self) -> Option<K> {
        self.held.first_key_value().map(|(key, _)| *key)
    }

    /// Whether `extra` more bytes may go to this batch now. A batch not yet in the ledger counts as the oldest when
    /// none older is in flight.
    pub fn can_grant(&self, key: K, extra: u64) -> bool {
        let fits = |used: u64, limit: u64| used.checked_add(extra).is_some_and(|sum| sum <= limit);
        match self.held.first_key_value() {
            Some((&oldest, &bytes)) if oldest < key => {
                fits(self.used - bytes, self.budget - self.reserve()) && fits(self.used, self.budget)
            }
            _ => fits(self.used, self.budget),
        }
    }

    /// Takes `extra` bytes for this batch in one step, or changes nothing and returns `false`.
    pub fn try_grant(&mut self, key: K, extra: u64) -> bool {
        let granted = self.can_grant(key, extra);
        if granted {
            *self.held.entry(key).or_insert(0) += extra;
            self.count(extra);
        }
        granted
    }

    /// Takes `extra` bytes for the oldest batch whatever the others hold.
    ///
    /// Without stages that return more than they said this is the same as [`Ledger::try_grant`]. With them it keeps a
    /// run from waiting for bytes that nobody will give back, at the price of a peak over the budget, which shows in
    /// the report.
    pub fn grant_oldest(&mut self, key: K, extra: u64) {
        debug_assert!(self.oldest() == Some(key));
        *self.held.entry(key).or_insert(0) += extra;
        self.count(extra);
    }

    /// Sets what a batch holds after a step, giving the rest back.
    pub fn resize(&mut self, key: K, bytes: u64) {
        let held = self.held.entry(key).or_insert(0);
        self.used -= *held;
        *held = bytes;
        self.count(bytes);
    }

    /// Gives back all that a batch holds and forgets it.
    pub fn release(&mut self, key: K) {
        self.used -= self.held.remove(&key).unwrap_or(0);
    }

    /// Bytes granted now.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// The most bytes that were ever granted at one time.
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// The budget in bytes.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Number of batches in flight.
    pub fn in_flight(&self) -> usize {
        self.held.len()
    }

    fn count(&mut self, bytes: u64) {
        self.used += bytes;
        self.peak = self.peak.max(self.used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_always_granted_its_largest_step() {
        let mut ledger = Ledger::new(100);
        assert_eq!((ledger.largest_shared_step(), ledger.largest_step()), (12, 38));
        assert!(ledger.try_grant(0, 5));
        let mut young = 1;
        while ledger.try_grant(young, 7) {
            young += 1;
        }
        assert_eq!(ledger.used(), 5 + 49);
        assert!(ledger.try_grant(0, 45), "the reserve is for the oldest");
        assert!(!ledger.try_grant(1, 2), "the younger ones have their half");
        ledger.release(0);
        assert!(ledger.try_grant(1, 43), "the next one is the oldest now");
        assert!(ledger.peak() <= 100);
    }

    #[test]
    fn sizes_near_the_end_of_u64_do_not_wrap() {
        let mut ledger = Ledger::new(100);
        assert!(ledger.try_grant(0, 1));
        assert!(!ledger.can_grant(0, u64::MAX));
        assert!(!ledger.can_grant(1, u64::MAX));
    }
}
