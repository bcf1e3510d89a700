//! What a launch did, in numbers that need no GPU to be comparable between versions of a kernel.

use serde::Serialize;

/// Counters of one launch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Warp instructions issued.
    pub instructions: u64,
    /// The same, times the lanes that took part.
    pub lane_instructions: u64,
    /// Warp instructions of the block that issued most.
    pub busiest_block: u64,
    /// Bytes that lanes loaded from device memory.
    pub bytes_loaded: u64,
    /// Bytes that lanes stored to device memory.
    pub bytes_stored: u64,
    /// 32-byte sectors that loads of warps touch, summed over warp accesses.
    pub sectors_loaded: u64,
    /// The same for stores.
    pub sectors_stored: u64,
    /// Different 32-byte sectors of device memory that the launch loads from.
    pub distinct_loaded: u64,
    /// Different 32-byte sectors that it stores to.
    pub distinct_stored: u64,
    /// Accesses of warps to shared memory.
    pub shared_accesses: u64,
    /// Extra turns that those need because lanes hit different words of one bank.
    pub bank_conflicts: u64,
    /// Branches at which the lanes of a group part.
    pub divergent_branches: u64,
    /// Lane-wise atomic operations on device memory.
    pub atomics: u64,
    /// Lane-wise atomic operations on shared memory.
    pub shared_atomics: u64,
    /// Barriers passed, counted once a block.
    pub barriers: u64,
}

impl Counters {
    /// Adds what another worker counted.
    pub fn add(&mut self, o: &Counters) {
        self.instructions += o.instructions;
        self.lane_instructions += o.lane_instructions;
        self.busiest_block = self.busiest_block.max(o.busiest_block);
        self.bytes_loaded += o.bytes_loaded;
        self.bytes_stored += o.bytes_stored;
        self.sectors_loaded += o.sectors_loaded;
        self.sectors_stored += o.sectors_stored;
        self.distinct_loaded += o.distinct_loaded;
        self.distinct_stored += o.distinct_stored;
        self.shared_accesses += o.shared_accesses;
        self.bank_conflicts += o.bank_conflicts;
        self.divergent_branches += o.divergent_branches;
        self.atomics += o.atomics;
        self.shared_atomics += o.shared_atomics;
        self.barriers += o.barriers;
    }
}
