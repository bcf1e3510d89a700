//! Every task of the repository behind one command: `cargo xtask --help`.

mod bench;
#[cfg(test)]
mod build_tests;
mod coverage;
mod cudarc_tests;
mod emulate;
mod gpu_bundle;
mod kernels;
mod new_op;
mod ptx;
mod report;
mod test;
mod toolchain;
mod workloads;
mod workspace;

// Shared with the library's build script, so that both read and write PTX in one way.
#[path = "../../../build/abi.rs"]
mod abi;
#[path = "../../../build/canonical.rs"]
mod canonical;
#[path = "../../../build/manifest.rs"]
mod manifest;
#[path = "../../../build/nvcc.rs"]
mod nvcc;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the Warpline repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Regenerates ptx/ from kernels/ with the pinned nvcc.
    Ptx(ptx::Args),
    /// Runs a command with the emulator in place of the CUDA driver.
    Emulate(emulate::Args),
    /// Runs all unit, integration and doc tests, on the host and on the emulated device.
    Test(test::Args),
    /// Runs the criterion benchmarks.
    Bench(bench::Args),
    /// Runs cudarc's own driver tests on the emulator.
    CudarcTests(cudarc_tests::Args),
    /// Writes the table of instructions that the emulator's tests execute.
    Coverage(coverage::Args),
    /// Prints registers, spills, shared memory, occupancy and memory traffic of every kernel.
    Kernels(kernels::Args),
    /// Builds a folder that tests and measures on a machine with a GPU and no Rust.
    GpuBundle(gpu_bundle::Args),
    /// Turns the result of the bundle's run.sh into a page of docs/results.
    Report(report::Args),
    /// Writes the four files of a new operator.
    NewOp(new_op::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Ptx(args) => ptx::run(&args),
        Task::Emulate(args) => emulate::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::CudarcTests(args) => cudarc_tests::run(&args),
        Task::Coverage(args) => coverage::run(&args),
        Task::Kernels(args) => kernels::run(&args),
        Task::GpuBundle(args) => gpu_bundle::run(&args),
        Task::Report(args) => report::run(&args),
        Task::NewOp(args) => new_op::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // One line per cause, no backtrace: what failed is a command that has said why.
            eprintln!("error: {why:#}");
            ExitCode::FAILURE
        }
    }
}
