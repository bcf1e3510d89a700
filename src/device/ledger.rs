//! The device-memory budget: every allocation is booked before the driver is asked.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Books device bytes against a hard limit and remembers the peak.
#[derive(Debug)]
pub struct Ledger {
    budget: u64,
    used: AtomicU64,
    peak: AtomicU64,
}

impl Ledger {
    /// A ledger with this many bytes to give.
    pub fn new(budget: u64) -> Self {
        Ledger { budget, used: AtomicU64::new(0), peak: AtomicU64::new(0) }
    }

    /// The limit in bytes.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Bytes booked now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// The most bytes that were ever booked at once.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Acquire)
    }

    /// Books `bytes`, or refuses with `OutOfMemory` and books nothing.
    pub fn reserve(&self, op: &str, bytes: u64) -> Result<()> {
        let booked = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            used.checked_add(bytes).filter(|&sum| sum <= self.budget)
        });
        match booked {
            Ok(before) => {
                self.peak.fetch_max(before + bytes, Ordering::AcqRel);
                Ok(())
            }
            Err(used) => Err(Error::OutOfMemory {
                op: op.to_owned(),
                requested: bytes,
                budget: self.budget,
                available: self.budget.saturating_sub(used),
            }),
        }
    }

    /// Gives back what [`Ledger::reserve`] booked.
    pub fn release(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::AcqRel);
        debug_assert!(before >= bytes, "ledger released more than it booked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_past_the_budget_and_keeps_the_peak() {
        let ledger = Ledger::new(100);
        ledger.reserve("test", 60).unwrap();
        let refused = ledger.reserve("test", 41).unwrap_err();
        assert!(matches!(refused, Error::OutOfMemory { requested: 41, budget: 100, available: 40, .. }));
        ledger.reserve("test", 40).unwrap();
        ledger.release(100);
        assert_eq!((ledger.used(), ledger.peak()), (0, 100));
        assert!(ledger.reserve("test", u64::MAX).is_err());
    }
}
