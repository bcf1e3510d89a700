//! `cargo xtask kernels`: what ptxas made of every kernel, and what it does in a representative piece of work on the
//! emulator: the performance review that needs no GPU.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::abi::{self, EntryAbi};
use crate::manifest::{Figures, Manifest};
use crate::workloads::{self, Work, Workload};
use crate::workspace;

/// Options of `cargo xtask kernels`.
#[derive(clap::Args)]
pub struct Args {
    /// Fails when a kernel spills, or exceeds its line in kernels/budgets.toml.
    #[arg(long)]
    check: bool,
    /// Only what ptxas says: builds and runs nothing.
    #[arg(long)]
    no_workloads: bool,
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

    /// The share of its threads that blocks of the largest allowed size can fill, in percent.
    fn occupancy(entry: &EntryAbi, figures: Figures, shared: u32) -> u32 {
        let warps = entry.max_threads.div_ceil(32).max(1);
        let registers = warps * (figures.registers.max(1) * 32).next_multiple_of(Self::REGISTER_UNIT);
        let shared = shared + Self::SHARED_PER_BLOCK;
        let blocks = [Self::THREADS / (warps * 32), Self::BLOCKS, Self::REGISTERS / registers, Self::SHARED / shared];
        blocks.into_iter().min().unwrap_or(0) * entry.max_threads * 100 / Self::THREADS
    }
}

/// A line of `kernels/budgets.toml`: what an entry, or all entries of a kernel file, may use.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    /// Registers of a thread.
    registers: Option<u32>,
    /// Bytes that a thread may spill; none where absent.
    spills: Option<u32>,
    /// Different sectors of the file's workload.
    distinct: Option<u64>,
    /// Sectors that warps ask for in it; of an entry, in any workload.
    requested: Option<u64>,
    /// How many times the mean the busiest blocks may do, in any workload.
    spread: Option<f64>,
    /// How many times the fewest bytes the distinct sectors of the workload may hold.
    times: Option<f64>,
}

/// How many times the instructions and requested sectors of a workload another one of the same operator may take.
#[derive(Clone, Copy)]
struct Skew {
    uniform: &'static str,
    skewed: &'static [&'static str],
    most: f64,
}

/// Keys that are not spread evenly may cost twice as much at most (TABULAR).
const SKEWS: [Skew; 2] = [
    Skew {
        uniform: "hash_partition_uniform",
        skewed: &["hash_partition_zipf", "hash_partition_few_keys", "hash_partition_one_key"],
        most: 2.0,
    },
    Skew { uniform: "join_build_uniform", skewed: &["join_build_zipf", "join_build_few_keys"], most: 2.0 },
];

type Budgets = BTreeMap<String, Budget>;

/// Prints the tables; with `--check` fails on what exceeds its budget.
pub fn run(args: &Args) -> Result<()> {
    let root = workspace::root();
    let manifest: Manifest = toml::from_str(&fs::read_to_string(root.join("ptx/MANIFEST.toml"))?)?;
    let budgets = fs::read_to_string(root.join("kernels/budgets.toml")).context("kernels/budgets.toml")?;
    let budgets: Budgets = toml::from_str(&budgets).context("kernels/budgets.toml")?;
    let measured = if args.no_workloads { Vec::new() } else { workloads::measure()? };

    let mut wrong = resources(&manifest, &budgets, &measured)?;
    wrong.extend(traffic(&measured, &budgets));
    wrong.extend(skews(&measured));
    if args.check && !wrong.is_empty() {
        bail!("over budget:\n{}", wrong.join("\n"));
    }
    Ok(())
}

/// Prints what each entry takes of a multiprocessor; gives what is over budget.
fn resources(manifest: &Manifest, budgets: &Budgets, measured: &[Workload]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    println!("{} (nvcc {}); shared memory with the dynamic part of the workloads", manifest.figures_for, manifest.nvcc);
    println!(
        "{:<40} {:>8} {:>10} {:>8} {:>7} {:>10}",
        "entry", "threads", "registers", "shared", "spills", "occupancy"
    );
    for (module, kernel) in &manifest.kernels {
        let path = workspace::root().join("ptx").join(module).with_extension("ptx");
        for entry in abi::parse_entries(&fs::read_to_string(path)?).map_err(|why| anyhow!(why))? {
            let figures = *kernel
                .entries
                .get(&entry.name)
                .with_context(|| format!("{} is not in ptx/MANIFEST.toml", entry.name))?;
            let launched = measured.iter().filter_map(|m| m.entries.get(&entry.name)).map(|work| work.shared);
            let shared = launched.max().unwrap_or(0).max(figures.shared);
            println!(
                "{:<40} {:>8} {:>10} {:>8} {:>7} {:>9}%",
                entry.name,
                entry.max_threads,
                figures.registers,
                shared,
                figures.spills,
                Multiprocessor::occupancy(&entry, figures, shared)
            );
            // What the line of the entry says, else that of its kernel file.
            let lines = [budgets.get(&entry.name), budgets.get(module)];
            let budget = |figure: fn(&Budget) -> Option<u32>| lines.into_iter().flatten().find_map(figure);
            match budget(|line| line.registers) {
                None => wrong.push(format!("{}: no line in kernels/budgets.toml", entry.name)),
                Some(most) if figures.registers > most => {
                    wrong.push(format!("{}: {} registers, budget {most}", entry.name, figures.registers));
                }
                Some(_) => {}
            }
            let most = budget(|line| line.spills).unwrap_or(0);
            if figures.spills > most {
                wrong.push(format!("{}: spills {} bytes, budget {most}", entry.name, figures.spills));
            }
        }
    }
    Ok(wrong)
}

/// Prints what each workload moves, entry by entry; gives what is over budget.
fn traffic(measured: &[Workload], budgets: &Budgets) -> Vec<String> {
    let mut wrong = Vec::new();
    for workload in measured {
        let operator = workload.operator.as_str();
        println!("\n{operator}: {}; fewest bytes {}", workload.what, workload.fewest);
        println!(
            "{:<40} {:>8} {:>12} {:>10} {:>11} {:>10} {:>10} {:>7} {:>9} {:>9} {:>7}",
            "entry",
            "launches",
            "instructions",
            "spread",
            "bytes",
            "requested",
            "distinct",
            "x",
            "conflicts",
            "divergent",
            "atomics"
        );
        workload.entries.iter().for_each(|(name, work)| line(name, work, None));
        let total = workload.total();
        line("in all", &total, Some(workload.fewest));
        for (name, work) in
            workload.entries.iter().map(|(name, work)| (name.as_str(), work)).chain([(operator, &total)])
        {
            if let Some(most) = budgets.get(name).and_then(|b| b.spread).filter(|most| work.spread() > *most) {
                wrong.push(format!("{operator}: {name} spreads its work to {:.2}, budget {most}", work.spread()));
            }
        }
        for (name, work) in workload.entries.iter().filter(|(name, _)| *name != operator) {
            if let Some(most) = budgets.get(name).and_then(|b| b.requested).filter(|most| work.requested > *most) {
                wrong.push(format!("{operator}: {name} asks for {} sectors, budget {most}", work.requested));
            }
        }
        let Some(Budget { distinct, requested, times, .. }) = budgets.get(operator) else { continue };
        let ratio = ratio(&total, workload.fewest);
        if let Some(most) = times.filter(|most| ratio > *most) {
            wrong.push(format!("{operator}: {ratio:.2} times the fewest bytes, budget {most}"));
        }
        for (what, have, budget) in [("distinct", total.distinct, distinct), ("requested", total.requested, requested)]
        {
            match budget {
                None => wrong.push(format!("{operator}: no budget of {what} sectors; its workload takes {have}")),
                Some(most) if have > *most => wrong.push(format!("{operator}: {have} {what} sectors, budget {most}")),
                Some(_) => {}
            }
        }
    }
    wrong
}

/// What skewed keys cost more than they may.
fn skews(measured: &[Workload]) -> Vec<String> {
    let total = |name: &str| measured.iter().find(|workload| workload.operator == name).map(Workload::total);
    let mut wrong = Vec::new();
    for Skew { uniform, skewed, most } in SKEWS {
        let Some(even) = total(uniform) else { continue };
        println!("\nbeside {uniform}, instructions and requested sectors:");
        for name in skewed {
            let Some(work) = total(name) else {
                wrong.push(format!("{name}: no such workload"));
                continue;
            };
            let times = [(work.instructions, even.instructions), (work.requested, even.requested)];
            let [instructions, requested] = times.map(|(work, even)| work as f64 / even.max(1) as f64);
            println!("{name:<40} {instructions:>8.2} {requested:>8.2}");
            if instructions > most || requested > most {
                let times = instructions.max(requested);
                wrong.push(format!("{name}: {times:.2} times the work of {uniform}, at most {most}"));
            }
        }
    }
    wrong
}

/// How many times the fewest bytes the distinct sectors hold.
fn ratio(w: &Work, fewest: u64) -> f64 {
    (w.distinct * 32) as f64 / fewest.max(1) as f64
}

/// One line of the second table; with the fewest bytes, their ratio.
fn line(name: &str, w: &Work, fewest: Option<u64>) {
    let ratio = fewest.map_or(String::new(), |fewest| format!("{:.2}", ratio(w, fewest)));
    println!(
        "{name:<40} {:>8} {:>12} {:>10.2} {:>11} {:>10} {:>10} {ratio:>7} {:>9} {:>9} {:>7}",
        w.launches,
        w.instructions,
        w.spread(),
        w.bytes,
        w.requested,
        w.distinct,
        w.conflicts,
        w.divergent,
        w.atomics
    );
}
