//! Each opcode against a scalar model written for the purpose, on random and edge values, under random guards.

// Lane numbers index several arrays at once.
#![allow(clippy::needless_range_loop)]

use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use warpline_emulator::checks::Checks;
use warpline_emulator::exec::launch::{Launch, run};
use warpline_emulator::exec::pool::Pool;
use warpline_emulator::lower::{Symbols, lower};
use warpline_emulator::mem::{Arena, Kind};
use warpline_emulator::ptx::parse;

/// An opcode: its text, bits of the result and of the sources, and the model over zero-extended bits.
struct Op {
    text: &'static str,
    dst: u32,
    srcs: &'static [u32],
    model: fn(u64, u64, u64) -> u64,
}

/// A kernel that loads 32 lanes of each source and of a guard, runs the opcode, and stores the result.
fn kernel(op: &Op) -> String {
    let mut text = String::from(
        ".version 8.0\n.target sm_75\n.address_size 64\n.visible .entry k(.param .u64 p0, .param .u64 p1, \
         .param .u64 p2, .param .u64 pg, .param .u64 pd)\n{\n.reg .pred %p<2>;\n.reg .b32 %t;\n.reg .b64 %o, %a<6>;\n",
    );
    for (i, bits) in op.srcs.iter().chain([&op.dst]).enumerate() {
        text += &format!(".reg .b{bits} %v{i};\n");
    }
    text += "mov.u32 %t, %tid.x;\nmul.wide.u32 %o, %t, 8;\n";
    for (i, p) in ["p0", "p1", "p2", "pg", "pd"].iter().enumerate() {
        text += &format!("ld.param.u64 %a{i}, [{p}];\nadd.s64 %a{i}, %a{i}, %o;\n");
    }
    for (i, bits) in op.srcs.iter().enumerate() {
        text += &format!("ld.global.b{bits} %v{i}, [%a{i}];\n");
    }
    let d = op.srcs.len();
    let list: Vec<_> = (0..d).map(|i| format!("%v{i}")).collect();
    text += "ld.global.u32 %t, [%a3];\nsetp.ne.u32 %p1, %t, 0;\n";
    text += &format!("ld.global.b{} %v{d}, [%a4];\n@%p1 {} %v{d}, {};\n", op.dst, op.text, list.join(", "));
    text += &format!("st.global.b{} [%a4], %v{d};\nret;\n}}\n", op.dst);
    text
}

/// Runs an opcode on 32 lanes; lanes whose guard is zero keep `old`.
fn execute(op: &Op, lanes: &[[u64; 3]; 32], guards: u32, old: u64) -> [u64; 32] {
    let module = parse(&kernel(op)).unwrap_or_else(|e| panic!("{}: {e}", op.text));
    let program =
        lower(&module, &module.functions[0], &Symbols::default()).unwrap_or_else(|e| panic!("{}: {e:?}", op.text));
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

fn mask(bits: u32) -> u64 {
    if bits == 64 { u64::MAX } else { (1 << bits) - 1 }
}

fn check(ops: &[Op], lanes: &[[u64; 3]; 32], guards: u32, old: u64) {
    for op in ops {
        let got = execute(op, lanes, guards, old);
        for l in 0..32 {
            let s: Vec<u64> = (0..3).map(|i| lanes[l][i] & mask(op.srcs.get(i).copied().unwrap_or(64))).collect();
            let new = (op.model)(s[0], s[1], s[2]) & mask(op.dst);
            let want = if (guards >> l) & 1 != 0 { new } else { old & mask(op.dst) };
            assert_eq!(
                got[l] & mask(op.dst),
                want,
                "{} of {:#x}, {:#x}, {:#x} in lane {l}, guards {guards:#010x}",
                op.text,
                s[0],
                s[1],
                s[2]
            );
        }
    }
}

/// Values that reach the edges of all widths and of floats.
fn value() -> impl Strategy<Value = u64> {
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

fn lanes() -> impl Strategy<Value = [[u64; 3]; 32]> {
    proptest::collection::vec([value(), value(), value()], 32).prop_map(|v| v.try_into().expect("32 lanes"))
}

fn guards() -> impl Strategy<Value = u32> {
    prop_oneof![Just(u32::MAX), any::<u32>()]
}

macro_rules! op {
    ($text:literal, $dst:literal <- [$($src:literal),+], $model:expr) => {
        Op { text: $text, dst: $dst, srcs: &[$($src),+], model: $model }
    };
}

fn f(v: u64) -> f32 {
    f32::from_bits(v as u32)
}

fn d(v: u64) -> f64 {
    f64::from_bits(v)
}

/// Bits of an f32 result with the canonical NaN.
fn r(v: f32) -> u64 {
    if v.is_nan() { 0x7fff_ffff } else { v.to_bits() as u64 }
}

fn bits_of(v: u64, from: u64, count: u64, width: u64, signed: bool) -> u64 {
    // The bit-by-bit definition in the PTX ISA.
    let (from, count) = (from & 255, count & 255);
    let bit = |i: u64| if i < width { (v >> i) & 1 } else { 0 };
    let sign = if !signed || count == 0 { 0 } else { bit((from + count - 1).min(width - 1)) };
    (0..width).fold(0, |out, i| out | (if i < count && from + i < width { bit(from + i) } else { sign }) << i)
}

fn permute(a: u64, b: u64, s: u64) -> u64 {
    let bytes: Vec<u8> = (a as u32).to_le_bytes().into_iter().chain((b as u32).to_le_bytes()).collect();
    (0..4).fold(0, |out, i| {
        let sel = (s >> (4 * i)) & 15;
        let byte = bytes[(sel & 7) as usize];
        let byte = if sel < 8 {
            byte
        } else if byte & 0x80 != 0 {
            0xff
        } else {
            0
        };
        out | (byte as u64) << (8 * i)
    })
}

fn clamp_int(v: f64, least: f64, most: f64) -> f64 {
    if v.is_nan() { 0.0 } else { v.max(least).min(most) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn integers(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        check(&[
            op!("add.s32", 32 <- [32, 32], |a, b, _| a + b),
            op!("add.s64", 64 <- [64, 64], |a, b, _| a.wrapping_add(b)),
            op!("add.u16", 16 <- [16, 16], |a, b, _| a + b),
            op!("sub.s32", 32 <- [32, 32], |a, b, _| a.wrapping_sub(b)),
            op!("sub.s64", 64 <- [64, 64], |a, b, _| a.wrapping_sub(b)),
            op!("mul.lo.s32", 32 <- [32, 32], |a, b, _| a.wrapping_mul(b)),
            op!("mul.lo.s64", 64 <- [64, 64], |a, b, _| a.wrapping_mul(b)),
            op!("mul.lo.s16", 16 <- [16, 16], |a, b, _| a * b),
            op!("mul.hi.u32", 32 <- [32, 32], |a, b, _| (a * b) >> 32),
            op!("mul.hi.s32", 32 <- [32, 32], |a, b, _| ((a as i32 as i64 * b as i32 as i64) >> 32) as u64),
            op!("mul.hi.u64", 64 <- [64, 64], |a, b, _| ((a as u128 * b as u128) >> 64) as u64),
            op!("mul.hi.s64", 64 <- [64, 64], |a, b, _| ((a as i64 as i128 * b as i64 as i128) >> 64) as u64),
            op!("mul.wide.u32", 64 <- [32, 32], |a, b, _| a * b),
            op!("mul.wide.s32", 64 <- [32, 32], |a, b, _| (a as i32 as i64 * b as i32 as i64) as u64),
            op!("mul.wide.s16", 32 <- [16, 16], |a, b, _| (a as i16 as i32 * b as i16 as i32) as u64),
            op!("mad.lo.s32", 32 <- [32, 32, 32], |a, b, c| a.wrapping_mul(b).wrapping_add(c)),
            op!("mad.wide.u32", 64 <- [32, 32, 64], |a, b, c| (a * b).wrapping_add(c)),
            op!("div.u32", 32 <- [32, 32], |a, b, _| a.checked_div(b).unwrap_or(u64::MAX)),
            op!("div.s64", 64 <- [64, 64], |a, b, _| if b == 0 { u64::MAX } else { (a as i64).wrapping_div(b as i64) as u64 }),
            op!("rem.u32", 32 <- [32, 32], |a, b, _| a.checked_rem(b).unwrap_or(a)),
            op!("rem.s32", 32 <- [32, 32], |a, b, _| if b == 0 { a } else { (a as i32).wrapping_rem(b as i32) as u64 }),
            op!("min.s32", 32 <- [32, 32], |a, b, _| (a as i32).min(b as i32) as u64),
            op!("max.u32", 32 <- [32, 32], |a, b, _| a.max(b)),
            op!("max.s64", 64 <- [64, 64], |a, b, _| (a as i64).max(b as i64) as u64),
            op!("min.s16", 16 <- [16, 16], |a, b, _| (a as i16).min(b as i16) as u64),
            op!("abs.s32", 32 <- [32], |a, _, _| (a as i32).wrapping_abs() as u64),
            op!("neg.s64", 64 <- [64], |a, _, _| (a as i64).wrapping_neg() as u64),
            op!("sad.s32", 32 <- [32, 32, 32], |a, b, c| (a as i32 as i64).abs_diff(b as i32 as i64).wrapping_add(c)),
            op!("dp4a.u32.s32", 32 <- [32, 32, 32], |a, b, c| (0..4).fold(c as i64, |s, i| {
                s + ((a >> (8 * i)) as u8 as i64) * ((b >> (8 * i)) as i8 as i64)
            }) as u64),
        ], &lanes, guards, old);
    }

    #[test]
    fn bits(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        check(&[
            op!("and.b32", 32 <- [32, 32], |a, b, _| a & b),
            op!("or.b64", 64 <- [64, 64], |a, b, _| a | b),
            op!("xor.b16", 16 <- [16, 16], |a, b, _| a ^ b),
            op!("not.b32", 32 <- [32], |a, _, _| !a),
            op!("shl.b32", 32 <- [32, 32], |a, b, _| if b < 32 { a << b } else { 0 }),
            op!("shl.b64", 64 <- [64, 32], |a, b, _| if b < 64 { a << b } else { 0 }),
            op!("shr.u32", 32 <- [32, 32], |a, b, _| if b < 32 { a >> b } else { 0 }),
            op!("shr.s32", 32 <- [32, 32], |a, b, _| (a as i32 >> b.min(31)) as u64),
            op!("shr.s64", 64 <- [64, 32], |a, b, _| (a as i64 >> b.min(63)) as u64),
            op!("shr.u64", 64 <- [64, 32], |a, b, _| if b < 64 { a >> b } else { 0 }),
            op!("shr.s16", 16 <- [16, 32], |a, b, _| (a as i16 >> b.min(15)) as u64),
            op!("shr.u16", 16 <- [16, 32], |a, b, _| if b < 16 { a >> b } else { 0 }),
            op!("shf.l.wrap.b32", 32 <- [32, 32, 32], |a, b, c| ((b << 32 | a) << (c & 31)) >> 32),
            op!("shf.r.wrap.b32", 32 <- [32, 32, 32], |a, b, c| (b << 32 | a) >> (c & 31)),
            op!("shf.r.clamp.b32", 32 <- [32, 32, 32], |a, b, c| (b << 32 | a) >> c.min(32)),
            op!("popc.b32", 32 <- [32], |a, _, _| (0..32).map(|i| (a >> i) & 1).sum()),
            op!("popc.b64", 32 <- [64], |a, _, _| (0..64).map(|i| (a >> i) & 1).sum()),
            op!("clz.b32", 32 <- [32], |a, _, _| (0..32).rev().take_while(|i| (a >> i) & 1 == 0).count() as u64),
            op!("brev.b32", 32 <- [32], |a, _, _| (0..32).fold(0, |o, i| o | ((a >> i) & 1) << (31 - i))),
            op!("bfind.u32", 32 <- [32], |a, _, _| (0..32).rev().find(|i| (a >> i) & 1 != 0).unwrap_or(u64::MAX)),
            op!("bfind.s32", 32 <- [32], |a, _, _| {
                let a = if a >> 31 != 0 { !a } else { a };
                (0..32).rev().find(|i| (a >> i) & 1 != 0).unwrap_or(u64::MAX)
            }),
            op!("bfe.u32", 32 <- [32, 32, 32], |a, b, c| bits_of(a, b, c, 32, false)),
            op!("bfe.s32", 32 <- [32, 32, 32], |a, b, c| bits_of(a, b, c, 32, true)),
            op!("bfe.u64", 64 <- [64, 32, 32], |a, b, c| bits_of(a, b, c, 64, false)),
            op!("bfe.s64", 64 <- [64, 32, 32], |a, b, c| bits_of(a, b, c, 64, true)),
            op!("prmt.b32", 32 <- [32, 32, 32], permute),
            op!("bmsk.clamp.b32", 32 <- [32, 32], |a, b, _| (0..32).filter(|i| *i >= a && *i - a < b).fold(0, |o, i| o | 1 << i)),
            op!("mov.b64", 64 <- [64], |a, _, _| a),
        ], &lanes, guards, old);
    }

    #[test]
    fn floats(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        check(&[
            op!("add.rn.f32", 32 <- [32, 32], |a, b, _| r(f(a) + f(b))),
            op!("sub.rn.f32", 32 <- [32, 32], |a, b, _| r(f(a) - f(b))),
            op!("mul.rn.f32", 32 <- [32, 32], |a, b, _| r(f(a) * f(b))),
            op!("div.rn.f32", 32 <- [32, 32], |a, b, _| r(f(a) / f(b))),
            op!("fma.rn.f32", 32 <- [32, 32, 32], |a, b, c| r(f(a).mul_add(f(b), f(c)))),
            op!("sqrt.rn.f32", 32 <- [32], |a, _, _| r(f(a).sqrt())),
            op!("rcp.rn.f32", 32 <- [32], |a, _, _| r(1.0 / f(a))),
            op!("abs.f32", 32 <- [32], |a, _, _| a & 0x7fff_ffff),
            op!("neg.f32", 32 <- [32], |a, _, _| a ^ 0x8000_0000),
            op!("min.f32", 32 <- [32, 32], |a, b, _| match (f(a).is_nan(), f(b).is_nan()) {
                (true, _) => r(f(b)),
                (_, true) => a,
                _ if f(a) == f(b) => a | b,
                _ => if f(a) < f(b) { a } else { b },
            }),
            op!("max.f32", 32 <- [32, 32], |a, b, _| match (f(a).is_nan(), f(b).is_nan()) {
                (true, _) => r(f(b)),
                (_, true) => a,
                _ if f(a) == f(b) => a & b,
                _ => if f(a) > f(b) { a } else { b },
            }),
            op!("cvt.rn.f32.s32", 32 <- [32], |a, _, _| r(a as i32 as f32)),
            op!("cvt.rn.f32.u64", 32 <- [64], |a, _, _| r(a as f32)),
            op!("cvt.rn.f64.s64", 64 <- [64], |a, _, _| (a as i64 as f64).to_bits()),
            op!("cvt.rn.f32.u8", 32 <- [16], |a, _, _| r((a & 255) as f32)),
            op!("cvt.rzi.s32.f32", 32 <- [32], |a, _, _| clamp_int((f(a) as f64).trunc(), -2147483648.0, 2147483647.0) as i64 as u64),
            op!("cvt.rni.s32.f32", 32 <- [32], |a, _, _| clamp_int((f(a) as f64).round_ties_even(), -2147483648.0, 2147483647.0) as i64 as u64),
            op!("cvt.rmi.s32.f32", 32 <- [32], |a, _, _| clamp_int((f(a) as f64).floor(), -2147483648.0, 2147483647.0) as i64 as u64),
            op!("cvt.rzi.u32.f32", 32 <- [32], |a, _, _| clamp_int((f(a) as f64).trunc(), 0.0, 4294967295.0) as u64),
            op!("cvt.rni.u16.f32", 16 <- [32], |a, _, _| clamp_int((f(a) as f64).round_ties_even(), 0.0, 65535.0) as u64),
            op!("cvt.f64.f32", 64 <- [32], |a, _, _| (f(a) as f64).to_bits()),
            op!("cvt.rn.f32.f64", 32 <- [64], |a, _, _| r(d(a) as f32)),
        ], &lanes, guards, old);
    }

    #[test]
    fn conversions(lanes in lanes(), guards in guards(), old in any::<u64>()) {
        check(&[
            op!("cvt.u64.u32", 64 <- [32], |a, _, _| a),
            op!("cvt.s64.s32", 64 <- [32], |a, _, _| a as i32 as i64 as u64),
            op!("cvt.u32.u64", 32 <- [64], |a, _, _| a),
            op!("cvt.u16.u32", 16 <- [32], |a, _, _| a),
            op!("cvt.u32.u16", 32 <- [16], |a, _, _| a),
            op!("cvt.s32.s16", 32 <- [16], |a, _, _| a as i16 as i32 as u64),
            op!("cvt.s16.s8", 16 <- [16], |a, _, _| a as i8 as i16 as u64),
            op!("cvt.u32.u8", 32 <- [16], |a, _, _| a & 255),
            op!("cvt.s32.s8", 32 <- [32], |a, _, _| a as i8 as i32 as u64),
            op!("cvt.s64.s16", 64 <- [16], |a, _, _| a as i16 as i64 as u64),
            op!("cvt.u64.s8", 64 <- [16], |a, _, _| a as i8 as i64 as u64),
            op!("cvt.u16.u64", 16 <- [64], |a, _, _| a),
            op!("cvt.sat.u8.s32", 16 <- [32], |a, _, _| (a as i32).clamp(0, 255) as u64),
            op!("cvt.sat.s16.s32", 16 <- [32], |a, _, _| (a as i32).clamp(-32768, 32767) as u64),
            op!("cvt.sat.s32.s64", 32 <- [64], |a, _, _| (a as i64).clamp(i32::MIN as i64, i32::MAX as i64) as u64),
        ], &lanes, guards, old);
    }

    /// Directed rounding: the result is the float next to the exact value on the side that the mode names. Inputs are
    /// limited so that f64 holds the exact value.
    #[test]
    fn directed_rounding(a in -1e6f32..1e6, b in prop_oneof![1e-2f32..1e4, -1e4f32..-1e-2]) {
        for (name, exact) in [("add", a as f64 + b as f64), ("sub", a as f64 - b as f64), ("mul", a as f64 * b as f64)] {
            for mode in ["rz", "rm", "rp"] {
                let text: &'static str = Box::leak(format!("{name}.{mode}.f32").into_boxed_str());
                let op = Op { text, dst: 32, srcs: &[32, 32], model: |_, _, _| 0 };
                let lanes = [[a.to_bits() as u64, b.to_bits() as u64, 0]; 32];
                let got = f(execute(&op, &lanes, u32::MAX, 0)[7]);
                let down = mode == "rm" || mode == "rz" && exact > 0.0;
                prop_assume!(a.abs() > 1e-2 || a == 0.0);
                if got as f64 != exact {
                    if down {
                        prop_assert!((got as f64) < exact && got.next_up() as f64 > exact, "{text} {a} {b}: {got}");
                    } else {
                        prop_assert!((got as f64) > exact && (got.next_down() as f64) < exact, "{text} {a} {b}: {got}");
                    }
                }
            }
        }
    }

    /// Rounding to f16 and back: no other f16 is nearer, and ties go to the even one.
    #[test]
    fn halves(v in prop_oneof![-70000f32..70000.0, -1f32..1.0, -1e-6f32..1e-6]) {
        let to = op!("cvt.rn.f16.f32", 16 <- [32], |_, _, _| 0);
        let back = op!("cvt.f32.f16", 32 <- [16], |_, _, _| 0);
        let h = execute(&to, &[[v.to_bits() as u64, 0, 0]; 32], u32::MAX, 0)[0] & 0xffff;
        let value = |h: u64| f(execute(&back, &[[h, 0, 0]; 32], u32::MAX, 0)[0]) as f64;
        prop_assert_eq!(h >> 15, (v.to_bits() >> 31) as u64);
        if h & 0x7fff == 0x7c00 {
            // Halfway between the greatest f16 and the next power of two rounds up.
            prop_assert!(v.abs() >= 65520.0);
        } else {
            let error = (value(h) - v as f64).abs();
            for other in [h.wrapping_sub(1), h + 1].into_iter().filter(|o| o & 0x7fff < 0x7c00) {
                let theirs = (value(other) - v as f64).abs();
                prop_assert!(error < theirs || error == theirs && h & 1 == 0, "{v} {h:#x} {other:#x}");
            }
        }
    }

    /// No text makes the parser fail in another way than by an error.
    #[test]
    fn parser_takes_any_text(cut in 0usize..20_000, with in "[ -~\n]{0,8}") {
        let text = include_str!("data/basic.ptx");
        let cut = cut.min(text.len());
        let _ = parse(&format!("{}{with}{}", &text[..cut], &text[(cut + with.len()).min(text.len())..]));
        let _ = parse(&format!(".version 8.0\n.target sm_75\n.address_size 64\n{with}"));
    }
}
