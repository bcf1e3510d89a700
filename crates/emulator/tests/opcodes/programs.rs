//! Random programs of many registers, with branches and loops that each lane takes its own way through, against an
//! interpreter of one thread: what the allocation of registers and the scheduling of lane groups must not change.

use std::fmt::Write;

use proptest::prelude::*;
use warpline_emulator::exec::ops::Isa;

use crate::harness::*;

/// Registers of a program.
const REGISTERS: usize = 24;

#[derive(Debug, Clone)]
enum Stmt {
    /// `d = a op b`
    Set(usize, u8, usize, usize),
    /// `d = a + b` where the low bit of `c` is set.
    Guarded(usize, usize, usize, usize),
    /// By the low bit of a register.
    If(usize, Vec<Stmt>, Vec<Stmt>),
    /// As often as the two low bits of a register say.
    Loop(usize, Vec<Stmt>),
    /// A 64-bit product of two registers, its halves into two others.
    Wide(usize, usize, usize, usize),
}

fn program() -> impl Strategy<Value = Vec<Stmt>> {
    let reg = || 0..REGISTERS;
    let simple = prop_oneof![
        4 => (reg(), 0u8..6, reg(), reg()).prop_map(|(d, op, a, b)| Stmt::Set(d, op, a, b)),
        1 => (reg(), reg(), reg(), reg()).prop_map(|(d, a, b, c)| Stmt::Guarded(d, a, b, c)),
        1 => (reg(), reg(), reg(), reg()).prop_map(|(d, e, a, b)| Stmt::Wide(d, e, a, b)),
    ];
    let stmt = simple.prop_recursive(3, 48, 8, move |inner| {
        let block = || proptest::collection::vec(inner.clone(), 1..6);
        prop_oneof![
            2 => (reg(), block(), block()).prop_map(|(c, yes, no)| Stmt::If(c, yes, no)),
            2 => (reg(), block()).prop_map(|(c, body)| Stmt::Loop(c, body)),
            3 => inner.clone(),
        ]
    });
    proptest::collection::vec(stmt, 1..14)
}

/// One thread's run.
fn interpret(program: &[Stmt], r: &mut [u32; REGISTERS]) {
    for s in program {
        match s {
            Stmt::Set(d, op, a, b) => {
                let (a, b) = (r[*a], r[*b]);
                r[*d] = match op {
                    0 => a.wrapping_add(b),
                    1 => a.wrapping_sub(b),
                    2 => a ^ b,
                    3 => a & b,
                    4 => a.wrapping_mul(b),
                    _ => a.min(b),
                };
            }
            Stmt::Guarded(d, a, b, c) => {
                if r[*c] & 1 != 0 {
                    r[*d] = r[*a].wrapping_add(r[*b]);
                }
            }
            Stmt::If(c, yes, no) => interpret(if r[*c] & 1 != 0 { yes } else { no }, r),
            Stmt::Loop(c, body) => (0..r[*c] & 3).for_each(|_| interpret(body, r)),
            Stmt::Wide(d, e, a, b) => {
                let product = r[*a] as u64 * r[*b] as u64;
                r[*d] = product as u32;
                r[*e] = (product >> 32) as u32;
            }
        }
    }
}

/// Its text; every condition, counter and product has a register of its own.
fn write_text(program: &[Stmt], text: &mut String, fresh: &mut usize) {
    for s in program {
        *fresh += 1;
        let n = *fresh;
        let name = |op: &u8| ["add.u32", "sub.u32", "xor.b32", "and.b32", "mul.lo.u32", "min.u32"][*op as usize];
        let condition = |c: &usize| format!("and.b32 %k{n}, %g{c}, 1; setp.ne.u32 %c{n}, %k{n}, 0;");
        match s {
            Stmt::Set(d, op, a, b) => writeln!(text, "{} %g{d}, %g{a}, %g{b};", name(op)).expect("a string"),
            Stmt::Guarded(d, a, b, c) => {
                writeln!(text, "{} @%c{n} add.u32 %g{d}, %g{a}, %g{b};", condition(c)).expect("a string");
            }
            Stmt::If(c, yes, no) => {
                writeln!(text, "{} @%c{n} bra YES{n};", condition(c)).expect("a string");
                write_text(no, text, fresh);
                writeln!(text, "bra END{n};\nYES{n}:").expect("a string");
                write_text(yes, text, fresh);
                writeln!(text, "END{n}:").expect("a string");
            }
            Stmt::Loop(c, body) => {
                writeln!(text, "and.b32 %k{n}, %g{c}, 3;\nTOP{n}: setp.eq.u32 %c{n}, %k{n}, 0; @%c{n} bra OUT{n};")
                    .expect("a string");
                write_text(body, text, fresh);
                writeln!(text, "sub.u32 %k{n}, %k{n}, 1; bra TOP{n};\nOUT{n}:").expect("a string");
            }
            Stmt::Wide(d, e, a, b) => {
                writeln!(
                    text,
                    "mul.wide.u32 %w{n}, %g{a}, %g{b}; mov.b64 {{%g{d}, %k{n}}}, %w{n}; mov.u32 %g{e}, %k{n};"
                )
                .expect("a string");
            }
        }
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn random_programs(program in program(), lanes in lanes()) {
        let mut body = String::new();
        let mut fresh = 0;
        write_text(&program, &mut body, &mut fresh);
        let n = fresh + 1;
        let mut text = format!(".reg .b32 %g<{REGISTERS}>, %k<{n}>; .reg .pred %c<{n}>; .reg .b64 %w<{n}>;\n");
        for k in 0..REGISTERS {
            text += &format!("mad.lo.u32 %g{k}, {{{}}}, {}, {k};\n", k % 3, 2 * k + 1);
        }
        text += &body;
        text += "mov.u32 {d}, 0;\n";
        for k in 0..REGISTERS {
            text += &format!("mad.lo.u32 {{d}}, {{d}}, 31, %g{k};\n");
        }
        let text: &'static str = Box::leak(text.into_boxed_str());
        let op = Op { text, dst: 32, srcs: &[32, 32, 32], model: Model::Lane(|_, _, _| 0) };
        for isa in [Isa::detect(), Isa::Base] {
            let got = execute_for(isa, &op, &lanes, u32::MAX, 0);
            for l in 0..32 {
                let mut r: [u32; REGISTERS] =
                    std::array::from_fn(|k| (lanes[l][k % 3] as u32).wrapping_mul(2 * k as u32 + 1).wrapping_add(k as u32));
                interpret(&program, &mut r);
                let want = r.iter().fold(0u32, |sum, v| sum.wrapping_mul(31).wrapping_add(*v));
                prop_assert_eq!(got[l] as u32, want, "lane {}, {:?}\n{}", l, isa, text);
            }
        }
    }
}
