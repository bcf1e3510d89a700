//! `cargo xtask kernels`: what ptxas made of every kernel, the part of a performance review that needs no GPU.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::abi::{self, EntryAbi};
use crate::manifest::{Figures, Manifest};
use crate::workspace;

/// Options of `cargo xtask kernels`.
#[derive(clap::Args)]
pub struct Args {
    /// Fails when a kernel spills, or exceeds its line in kernels/budgets.toml.
    #[arg(long)]
    check: bool,
}

/// A multiprocessor of the architecture that the manifest's figures are for (CUDA C++ Programming Guide, "Technical
/// Specifications per Compute Capability", 9.0).
struct Multiprocessor;

impl Multiprocessor {
    const THREADS: u32 = 2048;
    const BLOCKS: u32 = 32;
    const REGISTERS: u32 = 65536;
    /// Registers are given to a warp in units of this many.
    const REGISTER_UNIT: u32 = 256;
    const SHARED: u32 = 228 * 1024;
    /// Shared memory that the system takes of each block.
    const SHARED_PER_BLOCK: u32 = 1024;

    /// Blocks of the largest allowed size that fit at once.
    fn resident_blocks(entry: &EntryAbi, figures: Figures) -> u32 {
        let warps = entry.max_threads.div_ceil(32).max(1);
        let registers = warps * (figures.registers.max(1) * 32).next_multiple_of(Self::REGISTER_UNIT);
        let shared = figures.shared + Self::SHARED_PER_BLOCK;
        [Self::THREADS / (warps * 32), Self::BLOCKS, Self::REGISTERS / registers, Self::SHARED / shared]
            .into_iter()
            .min()
            .unwrap_or(0)
    }
}

/// A line of `kernels/budgets.toml`: what an entry may use.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    /// Registers of a thread.
    registers: u32,
    /// Bytes that a thread may spill; none where absent.
    #[serde(default)]
    spills: u32,
}

/// Prints the table; with `--check` fails on what exceeds its budget.
pub fn run(args: &Args) -> Result<()> {
    let root = workspace::root();
    let manifest: Manifest = toml::from_str(&fs::read_to_string(root.join("ptx/MANIFEST.toml"))?)?;
    let budgets = fs::read_to_string(root.join("kernels/budgets.toml")).context("kernels/budgets.toml")?;
    let budgets: BTreeMap<String, Budget> = toml::from_str(&budgets).context("kernels/budgets.toml")?;

    println!("{} (nvcc {}), occupancy without dynamic shared memory", manifest.figures_for, manifest.nvcc);
    println!(
        "{:<40} {:>8} {:>10} {:>8} {:>7} {:>10}",
        "entry", "threads", "registers", "shared", "spills", "occupancy"
    );
    let mut wrong = Vec::new();
    for (module, kernel) in &manifest.kernels {
        let path = root.join("ptx").join(module).with_extension("ptx");
        for entry in abi::parse_entries(&fs::read_to_string(path)?).map_err(|why| anyhow!(why))? {
            let figures = *kernel
                .entries
                .get(&entry.name)
                .with_context(|| format!("{} is not in ptx/MANIFEST.toml", entry.name))?;
            let resident = Multiprocessor::resident_blocks(&entry, figures) * entry.max_threads;
            println!(
                "{:<40} {:>8} {:>10} {:>8} {:>7} {:>9}%",
                entry.name,
                entry.max_threads,
                figures.registers,
                figures.shared,
                figures.spills,
                resident * 100 / Multiprocessor::THREADS
            );
            // The line of the entry, else that of its kernel file.
            match budgets.get(&entry.name).or_else(|| budgets.get(module)) {
                None => wrong.push(format!("{}: no line in kernels/budgets.toml", entry.name)),
                Some(budget) if figures.registers > budget.registers => {
                    wrong.push(format!("{}: {} registers, budget {}", entry.name, figures.registers, budget.registers));
                }
                Some(budget) if figures.spills > budget.spills => {
                    wrong.push(format!("{}: spills {} bytes, budget {}", entry.name, figures.spills, budget.spills));
                }
                Some(_) => {}
            }
        }
    }
    if args.check && !wrong.is_empty() {
        bail!("over budget:\n{}", wrong.join("\n"));
    }
    Ok(())
}
