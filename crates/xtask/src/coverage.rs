//! `cargo xtask coverage`: the table of instructions that the emulator's tests execute.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

/// Options of `cargo xtask coverage`.
#[derive(clap::Args)]
pub struct Args {
    /// Compares with the committed table instead of writing it.
    #[arg(long)]
    check: bool,
    /// Uses what the last `cargo xtask test` of all packages has recorded, instead of running the tests.
    #[arg(long)]
    recorded: bool,
}

const TABLE: &str = "crates/emulator/COVERAGE.md";

/// Runs the emulator's tests, unless they were, and writes or compares the table.
pub fn run(args: &Args) -> Result<()> {
    let file = file()?;
    if !args.recorded {
        let mut command = workspace::cargo();
        // All packages, so that cargo builds with the features that `cargo xtask test --workspace` builds with.
        command.args(["test", "--profile", "ci", "--workspace"]);
        tests()?.iter().for_each(|name| {
            command.args(["--test", name]);
        });
        // Tests that have no nvcc are skipped, which would leave holes.
        record(command.env("REQUIRE_ORACLE", "1"))?;
        workspace::run(&mut command)?;
    }
    let lines = fs::read_to_string(&file).with_context(|| format!("{}: nothing is recorded", file.display()))?;
    let table = table(lines.lines());
    let path = workspace::root().join(TABLE);
    if !args.check {
        return fs::write(&path, table).with_context(|| path.display().to_string());
    }
    let committed = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    if committed != table {
        let (old, new): (BTreeSet<_>, BTreeSet<_>) = (committed.lines().collect(), table.lines().collect());
        let only = |a: &BTreeSet<&str>, b: &BTreeSet<&str>| a.difference(b).map(|l| l.to_string()).collect::<Vec<_>>();
        bail!(
            "{TABLE} is not what the tests execute; `cargo xtask coverage` writes it\ncommitted: {:#?}\nexecuted: {:#?}",
            only(&old, &new),
            only(&new, &old)
        );
    }
    Ok(())
}

/// Lets the emulator's tests among those that `command` runs note what they execute.
pub fn record(command: &mut Command) -> Result<()> {
    let file = file()?;
    fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
    fs::write(&file, "").with_context(|| file.display().to_string())?;
    command.env("WARPLINE_EMULATOR_COVERAGE", &file).env("WARPLINE_EMULATOR_COVERAGE_OF", tests()?.join(","));
    Ok(())
}

fn file() -> Result<PathBuf> {
    Ok(workspace::target_dir()?.join("emulator/coverage.txt"))
}

/// The emulator's test binaries.
fn tests() -> Result<Vec<String>> {
    let folder = workspace::root().join("crates/emulator/tests");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").exists() {
            names.extend(path.file_stem().map(|s| s.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "{} holds no tests", folder.display());
    Ok(names)
}

/// The table of the opcodes, by what comes before the first dot.
fn table<'a>(opcodes: impl Iterator<Item = &'a str>) -> String {
    let mut families: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut forms = 0;
    for opcode in opcodes.filter(|o| !o.is_empty()) {
        let (name, modifiers) = opcode.split_at(opcode.find('.').unwrap_or(opcode.len()));
        forms += families.entry(name).or_default().insert(modifiers) as usize;
    }
    let mut text = format!(
        "# PTX that the tests execute\n\n\
         Written by `cargo xtask coverage` from what the emulator's tests have executed with at least one lane: {forms} \
         forms of {} families. Every result was judged: against a scalar model (tests/opcodes), or by plain Rust in the \
         kernels of this crate, of CUB and of candle (tests/driver, tests/kernels). More forms are accepted than are \
         listed; one that is not accepted is an error that names the instruction and its line when the module is \
         loaded.\n\n| family | forms |\n|---|---|\n",
        families.len()
    );
    for (name, forms) in &families {
        let list: Vec<_> = forms.iter().map(|m| if m.is_empty() { "plain".into() } else { format!("`{m}`") }).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{name}` | {} |", list.join(" "));
    }
    text
}
