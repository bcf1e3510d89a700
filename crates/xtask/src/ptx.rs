//! `cargo xtask ptx`: from kernels/ to ptx/ and its manifest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::manifest::{self, Figures, Kernel, Manifest};
use crate::toolchain::{self, NVCC_VERSION, Toolchain};
use crate::{abi, nvcc, workspace};

/// Every architecture that a user may have: Turing to Blackwell.
const ARCHITECTURES: [&str; 7] = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"];

/// The architecture whose registers and spills the manifest records.
const FIGURES_FOR: &str = "sm_90";

/// Options of `cargo xtask ptx`.
#[derive(clap::Args)]
pub struct Args {
    /// Changes nothing; fails when a regeneration in another folder differs from ptx/.
    #[arg(long)]
    check: bool,
    /// Gets the pinned nvcc from PyPI into ~/.cache/warpline (or WARPLINE_CACHE) when it is not there.
    #[arg(long)]
    install: bool,
}

/// Regenerates ptx/, or checks it.
pub fn run(args: &Args) -> Result<()> {
    let tools = toolchain::find(args.install)?;
    let root = workspace::root();
    let fresh = tempfile::tempdir()?;
    if args.check {
        // Another folder, so that a path in the output shows.
        let copy = tempfile::tempdir()?;
        copy_folder(&root.join("kernels"), &copy.path().join("kernels"))?;
        generate(&tools, copy.path(), fresh.path())?;
        compare(&root.join("ptx"), fresh.path())
    } else {
        generate(&tools, &root, fresh.path())?;
        replace(&root.join("ptx"), fresh.path())
    }
}

/// Compiles and assembles every kernel under `root/kernels`; writes PTX and manifest into `out`.
fn generate(tools: &Toolchain, root: &Path, out: &Path) -> Result<()> {
    let sources = manifest::kernel_sources(root).map_err(|why| anyhow!(why))?;
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get()).min(sources.len().max(1));
    let kernels = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|worker| {
                let mine = sources.iter().skip(worker).step_by(workers);
                scope.spawn(move || mine.map(|source| kernel(tools, source, out)).collect::<Result<Vec<_>>>())
            })
            .collect();
        handles.into_iter().map(|h| h.join().expect("no worker panics")).collect::<Result<Vec<_>>>()
    })?;
    let manifest = Manifest {
        nvcc: NVCC_VERSION.to_string(),
        flags: nvcc::FLAGS.map(str::to_string).to_vec(),
        figures_for: FIGURES_FOR.to_string(),
        kernels: kernels.into_iter().flatten().collect(),
    };
    let text = format!("# Written by `cargo xtask ptx`: do not edit.\n{}", toml::to_string(&manifest)?);
    fs::write(out.join("MANIFEST.toml"), text)?;
    println!("ptx: {} kernel files, {} architectures", sources.len(), ARCHITECTURES.len());
    Ok(())
}

/// One kernel file: canonical PTX written, assembled for every architecture, its figures returned.
fn kernel(tools: &Toolchain, source: &Path, out: &Path) -> Result<(String, Kernel)> {
    let name = manifest::kernel_name(source);
    let scratch = tempfile::tempdir()?;
    let ptx = nvcc::compile(&tools.nvcc, source, scratch.path()).map_err(|why| anyhow!(why))?;
    let path = out.join(&name).with_extension("ptx");
    fs::write(&path, &ptx)?;

    let mut entries = BTreeMap::new();
    for architecture in ARCHITECTURES {
        let report = assemble(tools, &path, architecture, &scratch.path().join("cubin"))?;
        // A file of functions alone has no figures: those of the kernels that call them are not known here.
        if architecture == FIGURES_FOR && ptx.contains(".entry ") {
            entries = figures(&report)?;
        }
    }
    for entry in abi::parse_entries(&ptx).map_err(|why| anyhow!("{name}: {why}"))? {
        let figures = entries.get(&entry.name).with_context(|| format!("ptxas says nothing of {}", entry.name))?;
        ensure!(
            figures.shared == entry.static_shared,
            "{}: {} static shared bytes read from the PTX, ptxas says {}",
            entry.name,
            entry.static_shared,
            figures.shared
        );
    }
    let kernel = Kernel {
        source_sha256: manifest::source_sha256(source).map_err(|why| anyhow!(why))?,
        ptx_sha256: manifest::text_sha256(&ptx),
        entries,
    };
    Ok((name, kernel))
}

/// ptxas's report on standard error.
fn assemble(tools: &Toolchain, ptx: &Path, architecture: &str, cubin: &Path) -> Result<String> {
    let output = Command::new(&tools.ptxas)
        .args(["-v", "--gpu-name", architecture, "--output-file"])
        .args([cubin, ptx])
        .output()
        .with_context(|| format!("cannot run {}", tools.ptxas.display()))?;
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "ptxas refuses {} for {architecture}:\n{report}", ptx.display());
    Ok(report)
}

/// Registers, shared memory and spills by entry, from `ptxas -v`.
fn figures(report: &str) -> Result<BTreeMap<String, Figures>> {
    let mut found: BTreeMap<String, Figures> = BTreeMap::new();
    let mut entry: Option<&mut Figures> = None;
    for line in report.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let name = rest.split('\'').next().unwrap_or_default();
            entry = Some(found.entry(name.to_string()).or_default());
        } else if let Some(figures) = entry.as_deref_mut() {
            // "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" and
            // "Used 18 registers, used 1 barriers, 3072 bytes smem".
            figures.spills += number_before(line, " bytes spill stores") + number_before(line, " bytes spill loads");
            figures.registers = figures.registers.max(number_before(line, " registers"));
            figures.shared = figures.shared.max(number_before(line, " bytes smem"));
        }
    }
    ensure!(!found.is_empty(), "ptxas -v reported no entry:\n{report}");
    Ok(found)
}

/// The number right before these words, 0 where they are not.
fn number_before(line: &str, words: &str) -> u32 {
    let Some((before, _)) = line.split_once(words) else { return 0 };
    before.rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Fails with the names of files that differ between the committed folder and the fresh one.
fn compare(committed: &Path, fresh: &Path) -> Result<()> {
    let (old, new) = (contents(committed)?, contents(fresh)?);
    let names = old.keys().chain(new.keys()).collect::<std::collections::BTreeSet<_>>();
    let differing: Vec<&str> = names.into_iter().filter(|n| old.get(*n) != new.get(*n)).map(String::as_str).collect();
    if differing.is_empty() {
        return Ok(());
    }
    for name in &differing {
        if let (Some(old), Some(new)) = (old.get(*name), new.get(*name)) {
            let first = old.lines().zip(new.lines()).enumerate().find(|(_, (a, b))| a != b);
            if let Some((number, (a, b))) = first {
                eprintln!("ptx/{name}:{}:\n  committed:   {a}\n  regenerated: {b}", number + 1);
            }
        }
    }
    bail!("ptx/ differs from what kernels/ compiles to in {}: run `cargo xtask ptx`", differing.join(", "))
}

/// Puts the fresh files in place of the committed ones, touching only those that differ.
fn replace(committed: &Path, fresh: &Path) -> Result<()> {
    fs::create_dir_all(committed)?;
    let (old, new) = (contents(committed)?, contents(fresh)?);
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        fs::remove_file(committed.join(name))?;
        println!("ptx/{name}: removed");
    }
    for (name, text) in new.iter().filter(|(name, text)| old.get(*name) != Some(text)) {
        fs::write(committed.join(name), text)?;
        println!("ptx/{name}: written");
    }
    Ok(())
}

/// The text files of a folder by name.
fn contents(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.insert(name, fs::read_to_string(&path).with_context(|| path.display().to_string())?);
    }
    Ok(found)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path: PathBuf = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
