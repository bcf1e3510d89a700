//! Lane-instructions a second on one worker, with bounds checks only and with all checks.
//!
//! `SPEED_BEST=20 cargo bench -p warpline-emulator --bench speed` prints the best of 20 runs instead, which a loaded
//! machine disturbs less; `-- --profile-time 5 idct/bounds` runs one workload for a profiler.

#[path = "speed/workloads.rs"]
mod workloads;

use std::time::Duration;

use criterion::{Criterion, Throughput};
use warpline_emulator::checks::Checks;

const MODES: [(&str, Checks); 2] = [("bounds", Checks::NONE), ("all", Checks::ALL)];

fn best(runs: u32) {
    println!("{:12} {:>12} {:>10} {:>10}   million lane-instructions/s", "workload", "lanes", "bounds", "all");
    for work in workloads::all() {
        let mut rates = Vec::new();
        let mut count = 0;
        for (_, checks) in MODES {
            let fastest = (0..runs).map(|_| work.run(checks)).min().expect("at least one run");
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
            let (_, lanes) = work.run(checks);
            work.verify();
            group.throughput(Throughput::Elements(lanes));
            group.bench_function(mode, |b| {
                b.iter_custom(|n| (0..n).map(|_| work.run(checks).0).sum());
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
