//! Settings, read once from the environment.

use crate::checks::Checks;

/// What the environment says.
#[derive(Debug, Clone)]
pub struct Config {
    /// `WARPLINE_EMULATOR_DEVICES`: number of devices, 1 by default, 0 for none.
    pub devices: u32,
    /// `WARPLINE_EMULATOR_MEMORY`: bytes of each device, with `K`, `M` or `G`; 16G by default.
    pub memory: u64,
    /// `WARPLINE_EMULATOR_CC`: compute capability such as `8.6`; 7.5 by default.
    pub cc: (u32, u32),
    /// `WARPLINE_EMULATOR_SEED`: shuffles the schedule; 0, the default, is plain order.
    pub seed: u64,
    /// `WARPLINE_EMULATOR_THREADS`: host threads that run blocks; all of the machine by default.
    pub threads: u32,
    /// `WARPLINE_EMULATOR_CHECKS`: `all` (default), `none`, or a list of `init`, `race`, `sync`, `leak`; and by name only
    /// `global` and `lint`.
    pub checks: Checks,
    /// `WARPLINE_EMULATOR_COUNTERS`: file to which each launch and copy adds a line of JSON.
    pub counters: Option<String>,
    /// `WARPLINE_EMULATOR_ABORT`: a finding ends the process, instead of being an error of later calls only.
    pub abort: bool,
    /// `WARPLINE_EMULATOR_SYNC`: `async` (default), `sync` to run everything at its call, `delay` for seeded waits.
    pub sync: Order,
}

/// How streams run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// On their own threads.
    Async,
    /// Each call returns when its work is done.
    AtOnce,
    /// As `Async`, with short waits drawn from the seed.
    Delay,
}

impl Config {
    /// Reads the settings through `get`.
    ///
    /// # Errors
    /// The variable and what it may hold.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Config, String> {
        let var = |name: &str| get(&format!("WARPLINE_EMULATOR_{name}")).filter(|v| !v.is_empty());
        fn number(name: &str, v: Option<String>, default: u64) -> Result<u64, String> {
            v.map_or(Ok(default), |v| v.parse().map_err(|_| format!("WARPLINE_EMULATOR_{name}={v}: not a number")))
        }
        let devices = number("DEVICES", var("DEVICES"), 1)?.min(16) as u32;
        let memory = match var("MEMORY") {
            Some(v) => size(&v).ok_or(format!("WARPLINE_EMULATOR_MEMORY={v}: not a size such as 512M or 16G"))?,
            None => 16 << 30,
        };
        let cc = match var("CC") {
            Some(v) => v
                .split_once('.')
                .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)))
                .ok_or(format!("WARPLINE_EMULATOR_CC={v}: not a compute capability such as 8.6"))?,
            None => (7, 5),
        };
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let threads = number("THREADS", var("THREADS"), cores)?.clamp(1, 256) as u32;
        let checks = match var("CHECKS") {
            Some(v) => Checks::parse(&v).map_err(|e| format!("WARPLINE_EMULATOR_CHECKS: {e}"))?,
            None => Checks::ALL,
        };
        let sync = match var("SYNC").as_deref() {
            None | Some("async") => Order::Async,
            Some("sync") => Order::AtOnce,
            Some("delay") => Order::Delay,
            Some(v) => return Err(format!("WARPLINE_EMULATOR_SYNC={v}: not async, sync or delay")),
        };
        let seed = number("SEED", var("SEED"), 0)?;
        let abort = var("ABORT").is_some_and(|v| v != "0");
        Ok(Config { devices, memory, cc, seed, threads, checks, counters: var("COUNTERS"), abort, sync })
    }
}

fn size(v: &str) -> Option<u64> {
    let digits = v.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match v[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return None,
    };
    let n: u64 = digits.parse().ok()?;
    n.checked_shl(unit).filter(|v| *v > 0 && *v <= 1 << 40 && v >> unit == n)
}
