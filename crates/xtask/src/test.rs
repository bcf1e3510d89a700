//! `cargo xtask test`: the repository's test command.

use anyhow::Result;

use crate::{coverage, emulate, workspace};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Args {
    /// Uses the real driver and GPU; their absence is a failure.
    #[arg(long)]
    gpu: bool,
    /// Runs the tests this many times, each with another schedule of the emulator.
    #[arg(long, default_value_t = 1, conflicts_with = "gpu")]
    seeds: u64,
    /// Only this package, such as `warpline` or `warpline-emulator`; all default members without.
    #[arg(long, short)]
    package: Vec<String>,
    /// Every package: also crates/oracles, whose judges are C libraries (needs cmake and nasm).
    #[arg(long, conflicts_with = "package")]
    workspace: bool,
    /// Names, or parts of names, of the tests to run; then anything for the test binary after `--`.
    filters: Vec<String>,
}

/// Runs unit, integration and doc tests.
pub fn run(args: &Args) -> Result<()> {
    if args.gpu {
        return workspace::run(test_command(args).env("REQUIRE_GPU", "1"));
    }
    // Without a device the tests on it would be skipped: here that is a failure.
    let folder = emulate::build()?;
    for seed in 0..args.seeds.max(1) {
        let mut command = test_command(args);
        emulate::use_emulator(&mut command, &folder)?;
        command.env("REQUIRE_DEVICE", "1");
        // With one run, a WARPLINE_EMULATOR_SEED that the caller set stays: that repeats a failure.
        if args.seeds > 1 {
            println!("emulator schedule {seed} of {}", args.seeds);
            command.env("WARPLINE_EMULATOR_SEED", seed.to_string());
        }
        if args.seeds <= 1 && args.package.is_empty() && args.filters.is_empty() {
            // For `cargo xtask coverage --recorded`.
            coverage::record(&mut command)?;
        }
        workspace::run(&mut command)?;
    }
    Ok(())
}

fn test_command(args: &Args) -> std::process::Command {
    let mut command = workspace::cargo();
    command.args(["test", "--profile", "ci"]);
    if args.workspace {
        command.arg("--workspace");
    }
    for package in &args.package {
        command.args(["--package", package]);
    }
    if !args.filters.is_empty() {
        command.arg("--").args(&args.filters);
    }
    command
}
