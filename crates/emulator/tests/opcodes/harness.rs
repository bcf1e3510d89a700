//! Runs an opcode on 32 lanes, for every machine that handlers are written for, and compares with its model.

use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use warpline_emulator::checks::Checks;
use warpline_emulator::exec::launch::{Launch, run};
use warpline_emulator::exec::ops::Isa;
use warpline_emulator::exec::pool::Pool;
use warpline_emulator::lower::{Symbols, lower_for};
use warpline_emulator::mem::{Arena, Kind};
use warpline_emulator::ptx::parse;

/// Values of three sources for each lane.
pub type Lanes = [[u64; 3]; 32];

/// What the result is, from sources that are cut to their widths.
#[derive(Clone, Copy)]
pub enum Model {
    /// From the lane's own sources.
    Lane(fn(u64, u64, u64) -> u64),
    /// From those of all lanes; such opcodes run with all lanes.
    Warp(fn(&Lanes, usize) -> u64),
}

/// An opcode: its text, bits of the result and of the sources, and the model over zero-extended bits.
///
/// A text with a space is a body of its own, in which `{d}`, `{0}`, `{1}`, `{2}` stand for the registers, `%a0` to
/// `%a2` for the addresses of the lane's sources, `%b0` to `%b2` for those of lane 0, `%p1` for the guard, and `%x`,
/// `%y`, `%h`, `%q` with 0 to 3 are free, of 32, 64, 16 bits and predicates. `s` and `l` are shared and local arrays.
#[derive(Clone, Copy)]
pub struct Op {
    pub text: &'static str,
    pub dst: u32,
    pub srcs: &'static [u32],
    pub model: Model,
}

/// An [`Op`] with a model of one lane.
#[macro_export]
macro_rules! op {
    ($text:literal, $dst:literal <- [$($src:literal),+], $model:expr) => {
        $crate::harness::Op { text: $text, dst: $dst, srcs: &[$($src),+], model: $crate::harness::Model::Lane($model) }
    };
}

/// As `op!`, with a model that sees all lanes.
#[macro_export]
macro_rules! warp_op {
    ($text:literal, $dst:literal <- [$($src:literal),+], $model:expr) => {
        $crate::harness::Op { text: $text, dst: $dst, srcs: &[$($src),+], model: $crate::harness::Model::Warp($model) }
    };
}

/// A kernel that loads 32 lanes of each source and of a guard, runs the opcode, and stores the result.
fn kernel(op: &Op) -> String {
    let mut text = String::from(
        ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p0, .param .u64 p1, \
         .param .u64 p2, .param .u64 pg, .param .u64 pd)\n{\n.reg .pred %p<2>, %q<4>;\n.reg .b16 %h<4>;\n\
         .reg .b32 %t, %x<4>;\n.reg .b64 %o, %a<6>, %b<6>, %y<4>;\n.shared .align 16 .b8 s[1024];\n\
         .local .align 16 .b8 l[64];\n",
    );
    for (i, bits) in op.srcs.iter().chain([&op.dst]).enumerate() {
        text += &format!(".reg .b{bits} %v{i};\n");
    }
    text += "mov.u32 %t, %tid.x;\nmul.wide.u32 %o, %t, 8;\n";
    for (i, p) in ["p0", "p1", "p2", "pg", "pd"].iter().enumerate() {
        text += &format!("ld.param.u64 %b{i}, [{p}];\nadd.s64 %a{i}, %b{i}, %o;\n");
    }
    for (i, bits) in op.srcs.iter().enumerate() {
        text += &format!("ld.global.b{bits} %v{i}, [%a{i}];\n");
    }
    let d = op.srcs.len();
    text += "ld.global.u32 %t, [%a3];\nsetp.ne.u32 %p1, %t, 0;\n";
    text += &format!("ld.global.b{} %v{d}, [%a4];\n", op.dst);
    if op.text.contains(' ') {
        let mut body = op.text.replace("{d}", &format!("%v{d}"));
        for i in 0..d {
            body = body.replace(&format!("{{{i}}}"), &format!("%v{i}"));
        }
        text += &body;
    } else {
        let list: Vec<_> = (0..d).map(|i| format!("%v{i}")).collect();
        text += &format!("@%p1 {} %v{d}, {};", op.text, list.join(", "));
    }
    text += &format!("\nst.global.b{} [%a4], %v{d};\nret;\n}}\n", op.dst);
    text
}

/// Runs an opcode on 32 lanes; lanes whose guard is zero keep `old`.
pub fn execute_for(isa: Isa, op: &Op, lanes: &Lanes, guards: u32, old: u64) -> [u64; 32] {
    let module = parse(&kernel(op)).unwrap_or_else(|e| panic!("{}: {e}", op.text));
    let program = lower_for(isa, &module, &module.functions[0], &Symbols::default())
        .unwrap_or_else(|e| panic!("{}: {e:?}", op.text));
    let arena = Arc::new(Arena::new(1, 1 << 20).expect("address space"));
    let mut params = Vec::new();
    let mut out = 0;
    for column in 0..5 {
        let at = arena.alloc(0, 256, Kind::Device).expect("memory");
        for l in 0..32 {
            let value = match column {
                0..3 => lanes[l][column],
                3 => ((guards >> l) & 1) as u64,
                _ => old,
            };
            // SAFETY: the allocation has 32 words.
            unsafe { (at as *mut u64).add(l).write(value) };
        }
        arena.define(at, 256);
        params.extend(at.to_le_bytes());
        out = at;
    }
    let launch = Launch {
        program: Arc::new(program),
        arena: arena.clone(),
        grid: [1; 3],
        block: [32, 1, 1],
        dynamic_shared: 0,
        params,
        checks: Checks::ALL,
        count: false,
        sectors: None,
        seed: 0,
        cooperative: false,
        workers: 1,
        started: Instant::now(),
    };
    let (_, failure) = run(launch, &Pool::new(1));
    assert!(failure.is_none(), "{}: {failure:?}", op.text);
    // SAFETY: as above.
    std::array::from_fn(|l| unsafe { (out as *const u64).add(l).read() })
}

/// As [`execute_for`] for this machine.
pub fn execute(op: &Op, lanes: &Lanes, guards: u32, old: u64) -> [u64; 32] {
    execute_for(Isa::detect(), op, lanes, guards, old)
}

pub fn mask(bits: u32) -> u64 {
    if bits == 64 { u64::MAX } else { (1 << bits) - 1 }
}

/// Compares every opcode with its model, lane by lane, with the handlers for this machine and with those for any.
pub fn check(ops: &[Op], lanes: &Lanes, guards: u32, old: u64) {
    for op in ops {
        let cut: Lanes = lanes.map(|s| std::array::from_fn(|i| s[i] & mask(op.srcs.get(i).copied().unwrap_or(64))));
        let guards = if let Model::Warp(_) = op.model { u32::MAX } else { guards };
        for isa in [Isa::detect(), Isa::Base] {
            let got = execute_for(isa, op, lanes, guards, old);
            for l in 0..32 {
                let s = cut[l];
                let new = match op.model {
                    Model::Lane(f) => f(s[0], s[1], s[2]),
                    Model::Warp(f) => f(&cut, l),
                };
                let want = if (guards >> l) & 1 != 0 { new } else { old } & mask(op.dst);
                let got = got[l] & mask(op.dst);
                assert_eq!(got, want, "{} of {s:#x?} in lane {l}, guards {guards:#010x}, {isa:?}", op.text);
            }
        }
    }
}

/// So many cases, the same ones in each run, so that [COVERAGE.md] can be compared; `PROPTEST_RNG_SEED=N` draws others.
///
/// [COVERAGE.md]: ../../COVERAGE.md
pub fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0x5eed);
    }
    config
}

/// Values that reach the edges of all widths and of floats.
pub fn value() -> impl Strategy<Value = u64> {
    let edges = vec![
        0,
        1,
        2,
        31,
        32,
        33,
        63,
        64,
        0x7f,
        0x80,
        0xff,
        0x7fff,
        0x8000,
        0xffff,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        1 << 63,
        u64::MAX >> 1,
        u64::MAX,
        0x3f80_0000,
        0x7f80_0000,
        0xff80_0000,
        0x7fc0_0000,
        0x8000_0001,
        0x3ff0_0000_0000_0000,
        0x7ff0_0000_0000_0000,
        0x7ff8_0000_0000_0000,
    ];
    prop_oneof![
        3 => any::<u64>(),
        2 => proptest::sample::select(edges),
        2 => 0u64..100,
        // Floats of everyday size, so that sums and conversions do not all overflow.
        3 => (-1000.0f32..1000.0).prop_map(|v| v.to_bits() as u64),
        2 => (-1e6f64..1e6).prop_map(f64::to_bits),
    ]
}

pub fn lanes() -> impl Strategy<Value = Lanes> {
    proptest::collection::vec([value(), value(), value()], 32).prop_map(|v| v.try_into().expect("32 lanes"))
}

pub fn guards() -> impl Strategy<Value = u32> {
    prop_oneof![Just(u32::MAX), any::<u32>()]
}

/// Bits as f32.
pub fn f(v: u64) -> f32 {
    f32::from_bits(v as u32)
}

/// Bits as f64.
pub fn d(v: u64) -> f64 {
    f64::from_bits(v)
}

/// Bits of an f32 result with the canonical NaN.
pub fn r(v: f32) -> u64 {
    if v.is_nan() { 0x7fff_ffff } else { v.to_bits() as u64 }
}
