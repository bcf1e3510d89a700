//! Counters against figures that were worked out by hand, from the file that `WARPLINE_EMULATOR_COUNTERS` names.

use cudarc::driver::{LaunchConfig, PushKernelArg};
use serde_json::Value;

use crate::common::{Gpu, emulated_with, in_child};
use crate::launch;

const PTX: &str = include_str!("../data/counters.ptx");

/// Launches a kernel from 1024 to 1024 words and gives all lines of the file.
fn count(name: &str, kernel: &str, blocks: u32, threads: u32) -> Vec<Value> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let env = [("WARPLINE_EMULATOR_COUNTERS", file.path().to_str().expect("a path in UTF-8"))];
    emulated_with(name, &env, || {
        let gpu = Gpu::new(PTX);
        let input = gpu.stream.clone_htod(&vec![0u32; 1024]).unwrap();
        let mut out = gpu.stream.alloc_zeros::<u32>(1024).unwrap();
        let config = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 };
        launch!(gpu.stream, &gpu.kernel(kernel), config, &input, &mut out).unwrap();
        gpu.stream.clone_dtoh(&out).unwrap();
    });
    let text = std::fs::read_to_string(file.path()).expect("the file is there");
    text.lines().map(|l| serde_json::from_str(l).expect("a line of JSON")).collect()
}

/// The counters of the one launch.
fn launch_of(lines: &[Value]) -> &Value {
    let launches: Vec<_> = lines.iter().filter(|l| l["kernel"].is_string()).collect();
    assert_eq!(launches.len(), 1);
    &launches[0]["counters"]
}

macro_rules! by_hand {
    ($($kernel:ident: $blocks:literal x $threads:literal, { $($counter:ident: $want:literal),* $(,)? };)*) => { $(
        #[test]
        fn $kernel() {
            let lines = count(concat!("driver::counters::", stringify!($kernel)), stringify!($kernel), $blocks, $threads);
            if in_child() {
                return;
            }
            let c = launch_of(&lines);
            $(assert_eq!(c[stringify!($counter)], $want, "{} in {c}", stringify!($counter));)*
        }
    )* };
}
by_hand! {
    // Eleven instructions of one warp.
    row: 1 x 32, {
        instructions: 11, lane_instructions: 352, busiest_block: 11,
        bytes_loaded: 128, bytes_stored: 128, sectors_loaded: 4, sectors_stored: 4, distinct_loaded: 4, distinct_stored: 4,
        shared_accesses: 0, bank_conflicts: 0, divergent_branches: 0, atomics: 0, barriers: 0,
    };
    apart: 1 x 32, { bytes_loaded: 128, sectors_loaded: 32, distinct_loaded: 32, sectors_stored: 4 };
    // Eight blocks ask for 32 times 4 bytes each, a sector each time, and it is always the same one.
    one_word: 8 x 32, {
        bytes_loaded: 1024, sectors_loaded: 8, distinct_loaded: 1, bytes_stored: 1024, distinct_stored: 32,
    };
    shifted: 1 x 32, { bytes_loaded: 128, sectors_loaded: 5, distinct_loaded: 5 };
    // A store and a load in shared memory, each of eight turns.
    banks: 1 x 32, { shared_accesses: 2, bank_conflicts: 14, bytes_loaded: 128 };
    wide_banks: 1 x 32, { shared_accesses: 2, bank_conflicts: 0, bytes_loaded: 512, sectors_loaded: 16 };
    // Only warp 0 parts; its ten lanes load one word and add to one word, which counts as read and written.
    mixed: 1 x 64, {
        divergent_branches: 1, barriers: 2, atomics: 10, shared_atomics: 0, bytes_loaded: 40, sectors_loaded: 1,
        bytes_stored: 40, sectors_stored: 1, distinct_loaded: 2, distinct_stored: 1,
    };
}

/// Block b goes 100 b times around a loop of nine instructions.
#[test]
fn loops() {
    let name = "driver::counters::loops";
    let one = count(name, "loops", 1, 32);
    if in_child() {
        // The child runs the launch that its parent wants, which tells by the file.
        return;
    }
    let number = |c: &Value, name: &str| c[name].as_u64().expect("a number");
    let alone = number(launch_of(&one), "instructions");
    let name = "driver::counters::loops_of_three";
    let three = count(name, "loops", 3, 32);
    let c = launch_of(&three);
    let (all, most) = (number(c, "instructions"), number(c, "busiest_block"));
    // Blocks 1 and 2 have a prelude in common, so twice the busiest less all leaves 900 less the first block.
    assert_eq!(2 * most + alone - all, 900, "{c}");
    // A load of one word by 32 lanes, 300 times.
    assert_eq!(number(c, "bytes_loaded"), 300 * 128);
    assert_eq!(number(c, "sectors_loaded"), 300);
    assert_eq!(number(c, "distinct_loaded"), 1);
}

/// The second launch of [`loops`].
#[test]
fn loops_of_three() {
    count("driver::counters::loops_of_three", "loops", 3, 32);
}

/// Copies have a direction each; fills are apart.
#[test]
fn copies_by_direction() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let env = [("WARPLINE_EMULATOR_COUNTERS", file.path().to_str().expect("a path in UTF-8"))];
    emulated_with("driver::counters::copies_by_direction", &env, || {
        let gpu = Gpu::new(PTX);
        let a = gpu.stream.clone_htod(&vec![1u32; 100]).unwrap();
        let mut b = gpu.stream.alloc_zeros::<u32>(100).unwrap();
        gpu.stream.memcpy_dtod(&a, &mut b).unwrap();
        assert_eq!(gpu.stream.clone_dtoh(&b).unwrap(), [1; 100]);
    });
    if in_child() {
        return;
    }
    let text = std::fs::read_to_string(file.path()).expect("the file is there");
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).expect("a line of JSON")).collect();
    for direction in ["htod", "dtod", "dtoh"] {
        let bytes: Vec<_> = lines.iter().filter(|l| l["copy"] == direction).map(|l| &l["bytes"]).collect();
        assert_eq!(bytes, [&Value::from(400)], "{direction} in {text}");
    }
    assert!(lines.iter().any(|l| l["fill"] == 400), "{text}");
}
