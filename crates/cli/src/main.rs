//! The `warpline` command.

mod args;
mod commands;
mod config;
mod demo;
mod exit;
mod files;
mod interrupt;
mod models;
mod npy;
mod preview;
mod progress;
mod row_errors;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use args::{Cli, Command};
use exit::{Exit, Failure};

fn main() -> ExitCode {
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    }
    let cli = match config::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(config::Refused::Clap(error)) => error.exit(),
        Err(config::Refused::Config(failure)) => return report(&failure),
    };
    // A panic is a bug; the hook has said where, and no half-written output is under its final name.
    match catch_unwind(AssertUnwindSafe(|| dispatch(cli))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => report(&failure),
        Err(_) => Exit::Internal.into(),
    }
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Run(args) => commands::run::run(&args),
        Command::Tensor(args) => commands::tensor::run(&args),
        Command::Info(args) => commands::info::run(&args),
        Command::Cat(args) => commands::cat::run(&args),
        Command::Demo(args) => commands::demo::run(&args),
    }
}

fn report(failure: &Failure) -> ExitCode {
    if !failure.is_quiet() {
        eprintln!("error: {failure}");
    }
    failure.exit.into()
}
