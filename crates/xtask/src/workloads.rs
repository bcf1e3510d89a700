//! The counters of the emulator for one representative piece of work per operator: `tests/workloads.rs` does the work.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::{emulate, workspace};

/// What one operator's work took, over all launches of one entry or of all its entries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Launches.
    pub launches: u64,
    /// Warp instructions.
    pub instructions: u64,
    /// Warp instructions of the block that issued most, summed over launches: what the work takes where every block has
    /// a multiprocessor of its own.
    pub busiest: u64,
    /// The same, had all blocks of a launch issued as many.
    pub even: f64,
    /// Bytes that lanes loaded and stored.
    pub bytes: u64,
    /// Sectors of 32 bytes that warps asked for.
    pub requested: u64,
    /// Different sectors, each counted once a launch.
    pub distinct: u64,
    /// Extra turns of shared memory.
    pub conflicts: u64,
    /// Branches at which lanes parted.
    pub divergent: u64,
    /// Atomic operations of lanes.
    pub atomics: u64,
    /// Most shared memory of a block, dynamic included.
    pub shared: u32,
}

impl Work {
    fn add(&mut self, o: &Work) {
        self.launches += o.launches;
        self.instructions += o.instructions;
        self.busiest += o.busiest;
        self.even += o.even;
        self.bytes += o.bytes;
        self.requested += o.requested;
        self.distinct += o.distinct;
        self.conflicts += o.conflicts;
        self.divergent += o.divergent;
        self.atomics += o.atomics;
        self.shared = self.shared.max(o.shared);
    }

    /// How many times the mean of the blocks the busiest ones do.
    pub fn spread(&self) -> f64 {
        self.busiest as f64 / self.even.max(1.0)
    }
}

/// An operator's work as the test describes it.
pub struct Workload {
    /// The operator, which is its kernel file.
    pub operator: String,
    /// Bytes that the operator must move, whatever its kernels do.
    pub fewest: u64,
    /// What is done, in words.
    pub what: String,
    /// What each entry did for it, those of other kernel files included.
    pub entries: BTreeMap<String, Work>,
}

impl Workload {
    /// The work of all entries.
    pub fn total(&self) -> Work {
        let mut total = Work::default();
        self.entries.values().for_each(|work| total.add(work));
        total
    }
}

/// A line of the counters file; copies have no kernel.
#[derive(Deserialize)]
struct Line {
    kernel: Option<String>,
    #[serde(default)]
    grid: [u64; 3],
    #[serde(default)]
    shared: u32,
    #[serde(default)]
    counters: Counters,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counters {
    instructions: u64,
    busiest_block: u64,
    bytes_loaded: u64,
    bytes_stored: u64,
    sectors_loaded: u64,
    sectors_stored: u64,
    distinct_loaded: u64,
    distinct_stored: u64,
    bank_conflicts: u64,
    divergent_branches: u64,
    atomics: u64,
}

/// Does every workload once on the emulated device.
pub fn measure() -> Result<Vec<Workload>> {
    let folder = emulate::build()?;
    let scratch = tempfile::tempdir()?;
    let (counters, list) = (scratch.path().join("counters"), scratch.path().join("workloads"));
    // The same packages and features as `cargo xtask test --workspace`, so that nothing is built twice.
    let mut command = workspace::cargo();
    command.args(["test", "--quiet", "--profile", "ci", "--workspace", "--test", "main"]);
    command.args(["--", "--ignored", "--exact", "workloads::kernel_workloads"]);
    emulate::use_emulator(&mut command, &folder)?;
    command
        .env("REQUIRE_DEVICE", "1")
        .env("WARPLINE_WORKLOADS", &list)
        .env("WARPLINE_EMULATOR_COUNTERS", &counters)
        .env("WARPLINE_EMULATOR_CHECKS", "none")
        // One worker in plain order: the same figures on every machine.
        .env("WARPLINE_EMULATOR_THREADS", "1")
        .env("WARPLINE_EMULATOR_SEED", "0")
        // What is left to the device depends on the threads of the host.
        .env("RAYON_NUM_THREADS", "2");
    let output = command.output().context("cannot run cargo test")?;
    ensure!(
        output.status.success(),
        "the workloads failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let list = fs::read_to_string(&list).context("the workloads left no list")?;
    let counters = fs::read_to_string(&counters).context("the emulator left no counters")?;
    let mut start = 0;
    let mut all = Vec::new();
    for line in list.lines() {
        let parts: Vec<&str> = line.splitn(4, '\t').collect();
        let &[operator, fewest, end, what] = &parts[..] else { bail!("not a workload: {line}") };
        let end = end.parse().with_context(|| line.to_string())?;
        let entries = entries(counters.get(start..end).with_context(|| format!("no counters for {line}"))?)?;
        start = end;
        all.push(Workload {
            operator: operator.to_string(),
            fewest: fewest.parse().with_context(|| line.to_string())?,
            what: what.to_string(),
            entries,
        });
    }
    Ok(all)
}

fn entries(counters: &str) -> Result<BTreeMap<String, Work>> {
    let mut entries: BTreeMap<String, Work> = BTreeMap::new();
    for line in counters.lines() {
        let Line { kernel, grid, shared, counters: c } =
            serde_json::from_str(line).with_context(|| line.to_string())?;
        let Some(kernel) = kernel else { continue };
        entries.entry(kernel).or_default().add(&Work {
            launches: 1,
            instructions: c.instructions,
            busiest: c.busiest_block,
            even: c.instructions as f64 / grid.iter().product::<u64>().max(1) as f64,
            bytes: c.bytes_loaded + c.bytes_stored,
            requested: c.sectors_loaded + c.sectors_stored,
            distinct: c.distinct_loaded + c.distinct_stored,
            conflicts: c.bank_conflicts,
            divergent: c.divergent_branches,
            atomics: c.atomics,
            shared,
        });
    }
    Ok(entries)
}
