//! What every test module shares.
//!
//! Test crates compile this module as a whole, so a helper that one area uses is no dead code.

pub mod cells;
pub mod golden;
pub mod python;
mod same;
pub mod samples;

pub use same::assert_same;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use warpline::device::MemoryPlan;
use warpline::{Batch, Column, ExecCtx};

/// The repository that the tests read their files from: where they run when that is known, as a shared target folder may
/// hold the binary of another clone and a binary may be carried to another machine; else where they were built.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| std::env::var_os("CARGO_MANIFEST_DIR").map_or(env!("CARGO_MANIFEST_DIR").into(), PathBuf::from))
}

/// The contexts that a test of an operator runs on: the host, and device 0 where there is one.
pub fn contexts() -> Vec<ExecCtx> {
    let host = ExecCtx::host(0).expect("a host context");
    std::iter::once(host).chain(device()).collect()
}

/// Device 0, the emulator's included; `None` where there is no driver.
///
/// `cargo xtask test` sets `REQUIRE_DEVICE`, so that no device is a failure there; with `REQUIRE_GPU` the emulator
/// does not count.
pub fn device() -> Option<ExecCtx> {
    let set = |name| std::env::var_os(name).is_some_and(|value| value != "0");
    if warpline::device::device_count() == 0 {
        assert!(!set("REQUIRE_DEVICE") && !set("REQUIRE_GPU"), "a device is required, and the driver offers none");
        return None;
    }
    let ctx = ExecCtx::cuda(0).expect("device 0 opens");
    let emulated = ctx.as_cuda().expect("a device context").info().emulated;
    assert!(!set("REQUIRE_GPU") || !emulated, "a GPU is required, and device 0 is the emulator");
    Some(ctx)
}

/// Runs a test that needs a device; without one it says so.
pub fn with_device(test: impl FnOnce(&ExecCtx)) {
    match device() {
        Some(ctx) => test(&ctx),
        None => eprintln!("skipped: no CUDA device; `cargo xtask test` runs this on the emulator"),
    }
}

/// How many random cases a property is tried with: `PROPTEST_CASES`, or else this many. Failing cases are printed, not
/// kept in files.
pub fn cases(default: u32) -> proptest::test_runner::Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    proptest::test_runner::Config { cases, failure_persistence: None, ..Default::default() }
}

/// Runs an operator over a batch and a column on the device, under a budget of exactly the inputs and the plan; gives the
/// peak beside the inputs.
pub fn peak_under_plan(
    ctx: &ExecCtx,
    inputs: (&Batch, &Column),
    plan: MemoryPlan,
    run: impl FnOnce(&ExecCtx, &Batch, &Column) -> warpline::Result<Batch>,
) -> u64 {
    let upload = |ctx: &ExecCtx| (inputs.0.to(ctx).expect("upload"), inputs.1.to(ctx).expect("upload"));
    let measure = ctx.with_budget(u64::MAX).expect("a budget");
    let held = upload(&measure);
    let before = measure.as_cuda().expect("a device").ledger().used();
    drop(held);
    let budget = before.saturating_add(plan.workspace + plan.output);
    let ctx = ctx.with_budget(budget).expect("a budget");
    let (batch, column) = upload(&ctx);
    let result = run(&ctx, &batch, &column).expect("the plan is enough");
    let ledger = ctx.as_cuda().expect("a device").ledger();
    assert!(ledger.used() - before <= plan.output, "{} bytes of {plan:?}", ledger.used() - before);
    drop(result);
    ledger.peak() - before
}
