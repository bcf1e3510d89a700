//! Lane-instructions a second on one worker, with bounds checks only and with all checks.
//!
//! `SPEED_BEST=20 cargo bench -p warpline-emulator --bench speed` prints the best of 20 runs by the processor time of the
//! thread instead, which other work on the machine disturbs less; `-- --profile-time 5 idct/bounds` runs one workload for a profiler.

#[path = "speed/workloads.rs"]
mod workloads;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use warpline_emulator::checks::Checks;

const MODES: [(&str, Checks); 2] = [("bounds", Checks::NONE), ("all", Checks::ALL)];

/// Processor time of this thread.
fn processor() -> Duration {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the time to the place that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// Time since the first call.
fn wall() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn best(runs: u32) {
    println!("{:12} {:>12} {:>10} {:>10}   million lane-instructions/s", "workload", "lanes", "bounds", "all");
    for work in workloads::all() {
        let mut rates = Vec::new();
        let mut count = 0;
        for (_, checks) in MODES {
            let fastest = (0..runs).map(|_| work.run(checks, processor)).min().expect("at least one run");
            work.verify();
            count = fastest.1;
            rates.push(fastest.1 as f64 / fastest.0.as_secs_f64() / 1e6);
        }
        println!("{:12} {:>12} {:>10.0} {:>10.0}", work.name, count, rates[0], rates[1]);
    }
}

fn main() {
    if let Some(runs) = std::env::var("SPEED_BEST").ok().and_then(|v| v.parse().ok()) {
        return best(runs);
    }
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    for work in workloads::all() {
        let mut group = criterion.benchmark_group(work.name);
        for (mode, checks) in MODES {
            let (_, lanes) = work.run(checks, wall);
            work.verify();
            group.throughput(Throughput::Elements(lanes));
            group.bench_function(mode, |b| {
                b.iter_custom(|n| (0..n).map(|_| work.run(checks, wall).0).sum());
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
