//! A seed shuffles blocks, warps, time slices and groups of lanes: kernels that depend on one of these orders give
//! different results, correct ones do not.

use std::collections::BTreeSet;

use cudarc::driver::{LaunchConfig, PushKernelArg};

use crate::common::{Gpu, emulated_with, in_child};
use crate::launch;

const PTX: &str = include_str!("../data/schedule.ptx");

/// The results of a kernel under eight seeds and in plain order, each from a process of its own.
fn outcomes(name: &str, kernel: &str, blocks: u32, threads: u32) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for seed in 0..=8 {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let seed = seed.to_string();
        let path = file.path().to_str().expect("a path in UTF-8");
        // One thread, so that only the seed decides.
        let env = [("WARPLINE_EMULATOR_SEED", &*seed), ("WARPLINE_EMULATOR_THREADS", "1"), ("OUTCOME", path)];
        let body = || {
            let gpu = Gpu::new(PTX);
            let mut out = gpu.stream.alloc_zeros::<u32>(64).unwrap();
            let mut ticket = gpu.stream.alloc_zeros::<u32>(1).unwrap();
            let config = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 };
            launch!(gpu.stream, &gpu.kernel(kernel), config, &mut out, &mut ticket).unwrap();
            let text =
                format!("{:?} {:?}", gpu.stream.clone_dtoh(&out).unwrap(), gpu.stream.clone_dtoh(&ticket).unwrap());
            std::fs::write(std::env::var("OUTCOME").expect("the parent has set it"), text).expect("written");
        };
        emulated_with(name, &env, body);
        if in_child() {
            break;
        }
        seen.insert(std::fs::read_to_string(path).expect("the child has written it"));
    }
    seen
}

macro_rules! orders {
    ($($kernel:ident: $blocks:literal, $threads:literal;)*) => { $(
        #[test]
        fn $kernel() {
            let name = concat!("driver::schedules::", stringify!($kernel));
            let seen = outcomes(name, stringify!($kernel), $blocks, $threads);
            // Nine runs; at least half of them differ, for a shuffle that gives one of two results would be none.
            assert!(in_child() || seen.len() >= 5, "{} results: {seen:#?}", seen.len());
        }
    )* };
}
orders! {
    order_of_blocks: 16, 32;
    order_of_warps: 1, 512;
    order_of_lanes: 1, 32;
    order_of_slices: 1, 64;
    order_of_straight_slices: 1, 64;
}

#[test]
fn order_does_not_matter() {
    let seen = outcomes("driver::schedules::order_does_not_matter", "order_does_not_matter", 40, 64);
    assert!(in_child() || seen.len() == 1, "{seen:#?}");
}

/// A seed is a schedule that can be run again.
#[test]
fn seeds_repeat() {
    let twice = [(); 2].map(|()| outcomes("driver::schedules::seeds_repeat", "order_of_slices", 1, 64));
    assert_eq!(twice[0], twice[1]);
}
