//! `cargo xtask bench`: the criterion benchmarks, of the library and of the judges that need C libraries.

use anyhow::Result;

use crate::workspace;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Runs each benchmark once, to see that it works.
    #[arg(long)]
    smoke: bool,
    /// Also crates/oracles, beside libjpeg-turbo (needs cmake and nasm).
    #[arg(long)]
    oracles: bool,
    /// Only benchmarks whose name holds this, and anything for criterion after `--`.
    filters: Vec<String>,
}

/// Runs the benchmarks: on the host, and on the device where there is a real one.
pub fn run(args: &Args) -> Result<()> {
    bench("warpline", args)?;
    if args.oracles {
        bench("warpline-oracles", args)?;
    }
    Ok(())
}

fn bench(package: &str, args: &Args) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["bench", "--package", package, "--"]);
    // Criterion's own word for one pass of everything.
    command.args(args.smoke.then_some("--test"));
    command.args(&args.filters);
    workspace::run(&mut command)
}
