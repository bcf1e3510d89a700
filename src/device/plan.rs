//! What operators promise about device memory before they run.

use crate::device::memory::PADDING;

/// Device memory that an operator takes, in bytes, each buffer rounded up as the allocator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Held until the operator's work is queued: tables, descriptors, bytes between the passes. Beside the output, so
    /// that the two add up to the operator's peak.
    pub workspace: u64,
    /// Held by the result, without what it shares with the input.
    pub output: u64,
}

/// Bytes that the allocator takes for a buffer of this many; saturates at the last whole step.
pub(crate) fn padded(bytes: u64) -> u64 {
    let step = PADDING as u64;
    bytes.saturating_add(step - 1) / step * step
}
