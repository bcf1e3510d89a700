//! candle's fill, unary, binary and sort kernels.

use cudarc::driver::{CudaSlice, LaunchConfig, PushKernelArg};
use half::{bf16, f16};

use super::elem::*;
use super::nvcc::compiled;
use crate::common::Gpu;
use crate::launch;

/// Rows and columns of the arrays; results have them the other way round when the input is strided.
const R: usize = 37;
const C: usize = 29;
const N: usize = R * C;

#[link(name = "m")]
unsafe extern "C" {
    safe fn erf(x: f64) -> f64;
}

/// Dimensions and strides of a transposed array, and where its elements lie.
fn transposed(gpu: &Gpu) -> (CudaSlice<u64>, impl Fn(usize) -> usize) {
    (up(gpu, &[C as u64, R as u64, 1, C as u64]), |i| i % R * C + i / R)
}

macro_rules! for_types {
    ($f:ident($gpu:expr): $($t:ty)*) => { $($f::<$t>($gpu);)* };
}

fn fill_of<E: Elem>(gpu: &Gpu) {
    let (value, n) = (E::of(7.0), N as u64);
    let mut out = zeros::<E>(gpu, N);
    launch!(gpu.stream, &gpu.kernel(&format!("fill_{}", E::NAME)), grid(), &mut out, &value, &n).unwrap();
    assert_same("fill", &down(gpu, &out), &[value; N]);
    // All rows but the last columns, into wider rows.
    let input = wholes::<E>(N, 100);
    let (din, mut out) = (up(gpu, &input), zeros::<E>(gpu, R * 40));
    let (d1, d2, from, to) = (R as u32, C as u32 - 3, C as u32, 40u32);
    let each = LaunchConfig { grid_dim: (N.div_ceil(128) as u32, 1, 1), ..grid() };
    launch!(gpu.stream, &gpu.kernel(&format!("copy2d_{}", E::NAME)), each, &din, &mut out, &d1, &d2, &from, &to)
        .unwrap();
    let mut want = vec![E::default(); R * 40];
    for r in 0..R {
        want[r * 40..][..C - 3].copy_from_slice(&input[r * C..][..C - 3]);
    }
    assert_same("copy2d", &down(gpu, &out), &want);
    // Every element of a view that skips every other one.
    let (info, dims, mut out) = (up(gpu, &[R as u64, C as u64, 2 * C as u64, 2]), 2u64, zeros::<E>(gpu, 2 * N));
    launch!(gpu.stream, &gpu.kernel(&format!("const_set_{}", E::NAME)), grid(), &n, &dims, &info, &value, &mut out)
        .unwrap();
    let want: Vec<E> = (0..2 * N).map(|i| if i % 2 == 0 { value } else { E::default() }).collect();
    assert_same("const_set", &down(gpu, &out), &want);
}

#[test]
fn fill() {
    compiled(
        "kernels::candle::fill",
        || candle("fill.cu"),
        |gpu, arch| {
            for_types!(fill_of(gpu): f32 f64 f16 u8 u32 i64);
            if arch >= 80 {
                fill_of::<bf16>(gpu);
            }
        },
    );
}

/// Runs a unary kernel over contiguous and over transposed input.
fn unary_case<E: Elem>(gpu: &Gpu, op: &str, input: &[E], param: Option<f64>, model: impl Fn(f64) -> f64) {
    let f = gpu.kernel(&format!("u{op}_{}", E::NAME));
    let (info, place) = transposed(gpu);
    let (din, n, dims, none) = (up(gpu, input), N as u64, 2u64, 0u64);
    for strided in [false, true] {
        let mut out = zeros::<E>(gpu, N);
        let param = param.map(E::of);
        match (&param, strided) {
            (None, false) => launch!(gpu.stream, &f, grid(), &n, &dims, &none, &din, &mut out),
            (None, true) => launch!(gpu.stream, &f, grid(), &n, &dims, &info, &din, &mut out),
            (Some(p), false) => launch!(gpu.stream, &f, grid(), &n, &dims, &none, p, &din, &mut out),
            (Some(p), true) => launch!(gpu.stream, &f, grid(), &n, &dims, &info, p, &din, &mut out),
        }
        .unwrap();
        let want: Vec<f64> = (0..N).map(|i| model(input[if strided { place(i) } else { i }].value())).collect();
        assert_close(&format!("u{op}_{}, strided {strided}", E::NAME), &down(gpu, &out), &want);
    }
}

fn unary_of<E: Elem>(gpu: &Gpu) {
    let any = reals::<E>(N);
    let positive: Vec<E> = any.iter().map(|v| E::of(v.value().abs() + 0.1)).collect();
    let normal = |x: f64| 0.5 * (1.0 + erf(x / 2f64.sqrt()));
    let case = |op: &str, f: &dyn Fn(f64) -> f64| unary_case(gpu, op, &any, None, f);
    let case_of_positive = |op: &str, f: &dyn Fn(f64) -> f64| unary_case(gpu, op, &positive, None, f);
    case("copy", &|x| x);
    case("neg", &|x| -x);
    case_of_positive("recip", &|x| 1.0 / x);
    case("exp", &f64::exp);
    case_of_positive("log", &f64::ln);
    case("sin", &f64::sin);
    case("cos", &f64::cos);
    case("tanh", &f64::tanh);
    case("erf", &|x| erf(x));
    case("ceil", &f64::ceil);
    case("floor", &f64::floor);
    case("round", &f64::round);
    case("normcdf", &normal);
    case("abs", &f64::abs);
    case("sqr", &|x| x * x);
    case_of_positive("sqrt", &f64::sqrt);
    let inner = |x: f64| (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    case("gelu", &|x| 0.5 * x * (1.0 + inner(x).tanh()));
    case("gelu_erf", &|x| x * normal(x));
    case("relu", &|x| x.max(0.0));
    case("silu", &|x| x / (1.0 + (-x).exp()));
    case("sign", &|x| (x > 0.0) as i32 as f64 - (x < 0.0) as i32 as f64);
    case("sigmoid", &|x| 1.0 / (1.0 + (-x).exp()));
    let (alpha, power) = (E::of(1.25).value(), E::of(2.5).value());
    unary_case(gpu, "elu", &any, Some(alpha), |x| if x > 0.0 { x } else { alpha * x.exp_m1() });
    unary_case(gpu, "powf", &positive, Some(power), |x| x.powf(power));
}

#[test]
fn unary() {
    compiled(
        "kernels::candle::unary",
        || candle("unary.cu"),
        |gpu, arch| {
            for_types!(unary_of(gpu): f32 f64 f16);
            if arch >= 80 {
                unary_of::<bf16>(gpu);
            }
            unary_case(gpu, "copy", &wholes::<u8>(N, 200), None, |x| x);
            unary_case(gpu, "copy", &wholes::<u32>(N, 1 << 20), None, |x| x);
            unary_case(gpu, "copy", &wholes::<i64>(N, 1 << 20), None, |x| x);
            // Angles that need the slow reduction, with its local array and carries.
            let far: Vec<f32> = noise(N).map(|v| v as f32 * 3.7 - 1e9).collect();
            unary_case(gpu, "sin", &far, None, f64::sin);
            unary_case(gpu, "cos", &far, None, f64::cos);
            let far: Vec<f64> = noise(N).map(|v| v as f64 * 1e7).collect();
            unary_case(gpu, "sin", &far, None, f64::sin);
            unary_case(gpu, "cos", &far, None, f64::cos);
        },
    );
}

/// How an operand lies: contiguous, transposed, or one row for all.
const LAYOUTS: [[u64; 2]; 3] = [[R as u64, 1], [1, C as u64], [0, 1]];

fn offset(strides: [u64; 2], i: usize) -> usize {
    i / R * strides[0] as usize + i % R * strides[1] as usize
}

/// Runs a binary kernel over several layouts of its operands.
fn binary_case<E: Elem, O: Elem>(gpu: &Gpu, name: &str, (x, y): (&[E], &[E]), model: impl Fn(E, E) -> O) {
    let f = gpu.kernel(&format!("{name}_{}", E::NAME));
    let (dx, dy, n, dims, none) = (up(gpu, x), up(gpu, y), N as u64, 2u64, 0u64);
    let check = |what: &str, out: &CudaSlice<O>, [a, b]: [[u64; 2]; 2]| {
        let want: Vec<O> = (0..N).map(|i| model(x[offset(a, i)], y[offset(b, i)])).collect();
        let got = down(gpu, out);
        // A quotient of halves may be off by its last bit, since it is no single operation of the device.
        if name == "bdiv" {
            let want: Vec<f64> = want.iter().map(|v| v.value()).collect();
            return assert_close(what, &got, &want);
        }
        assert_same(what, &got, &want);
    };
    let mut out = zeros::<O>(gpu, N);
    launch!(gpu.stream, &f, grid(), &n, &dims, &none, &dx, &dy, &mut out).unwrap();
    check(&format!("{name}_{}", E::NAME), &out, [LAYOUTS[0]; 2]);
    for a in LAYOUTS {
        for b in LAYOUTS {
            let info = up(gpu, &[C as u64, R as u64, a[0], a[1], b[0], b[1]]);
            let mut out = zeros::<O>(gpu, N);
            launch!(gpu.stream, &f, grid(), &n, &dims, &info, &dx, &dy, &mut out).unwrap();
            check(&format!("{name}_{} of strides {a:?} and {b:?}", E::NAME), &out, [a, b]);
        }
    }
}

fn comparisons<E: Elem>(gpu: &Gpu, v: (&[E], &[E])) {
    binary_case(gpu, "eq", v, |a, b| (a == b) as u8);
    binary_case(gpu, "ne", v, |a, b| (a != b) as u8);
    binary_case(gpu, "lt", v, |a, b| (a < b) as u8);
    binary_case(gpu, "le", v, |a, b| (a <= b) as u8);
    binary_case(gpu, "gt", v, |a, b| (a > b) as u8);
    binary_case(gpu, "ge", v, |a, b| (a >= b) as u8);
    binary_case(gpu, "bmaximum", v, |a, b| if a > b { a } else { b });
    binary_case(gpu, "bminimum", v, |a, b| if a < b { a } else { b });
}

fn binary_of_reals<E: Elem>(gpu: &Gpu) {
    let x = reals::<E>(N);
    let mut y: Vec<E> = x.iter().rev().copied().collect();
    // Some equal ones, for the comparisons.
    (0..N).step_by(3).for_each(|i| y[i] = x[i]);
    let v = (&x[..], &y[..]);
    comparisons(gpu, v);
    binary_case(gpu, "badd", v, |a, b| E::of(a.value() + b.value()));
    binary_case(gpu, "bsub", v, |a, b| E::of(a.value() - b.value()));
    binary_case(gpu, "bmul", v, |a, b| E::of(a.value() * b.value()));
    binary_case(gpu, "bdiv", v, |a, b| E::of(a.value() / b.value()));
}

macro_rules! binary_of_wholes {
    ($gpu:expr, $t:ty, $from:expr) => {{
        let x: Vec<$t> = noise(N).map($from).collect();
        let mut y: Vec<$t> = x.iter().rev().map(|v| (*v).max(1)).collect();
        (0..N).step_by(3).for_each(|i| y[i] = x[i].max(1));
        let v = (&x[..], &y[..]);
        comparisons($gpu, v);
        binary_case($gpu, "badd", v, |a, b| a.wrapping_add(b));
        binary_case($gpu, "bsub", v, |a, b| a.wrapping_sub(b));
        binary_case($gpu, "bmul", v, |a, b| a.wrapping_mul(b));
        binary_case($gpu, "bdiv", v, |a, b| a / b);
    }};
}

#[test]
fn binary() {
    compiled(
        "kernels::candle::binary",
        || candle("binary.cu"),
        |gpu, arch| {
            for_types!(binary_of_reals(gpu): f32 f64 f16);
            if arch >= 80 {
                binary_of_reals::<bf16>(gpu);
            }
            binary_of_wholes!(gpu, u8, |v| v as u8);
            binary_of_wholes!(gpu, u32, |v| v);
            binary_of_wholes!(gpu, i64, |v| v as i32 as i64 * 5_000_000_011);
        },
    );
}

fn sort_of<E: Elem>(gpu: &Gpu) {
    for (rows, columns) in [(1usize, 1usize), (3, 100), (2, 256)] {
        let pad = columns.next_power_of_two();
        // Distinct within a row, and exact in every type: 83 has no factor in common with the columns.
        let keys: Vec<E> = (0..rows * columns).map(|i| E::of((i % columns * 83 % columns) as f64)).collect();
        let din = up(gpu, &keys);
        for (order, down_first) in [("asc", false), ("desc", true)] {
            let mut out = zeros::<u32>(gpu, keys.len());
            let config =
                LaunchConfig { grid_dim: (rows as u32, 1, 1), block_dim: (64, 1, 1), shared_mem_bytes: pad as u32 * 4 };
            let f = gpu.kernel(&format!("asort_{order}_{}", E::NAME));
            let (n, padded) = (columns as i32, pad as i32);
            launch!(gpu.stream, &f, config, &din, &mut out, &n, &padded).unwrap();
            let mut want = Vec::new();
            for row in keys.chunks(columns) {
                let mut places: Vec<u32> = (0..columns as u32).collect();
                places.sort_by(|a, b| row[*a as usize].partial_cmp(&row[*b as usize]).expect("no NaN"));
                if down_first {
                    places.reverse();
                }
                want.extend(places);
            }
            assert_same(&format!("asort_{order}_{} of {columns}", E::NAME), &down(gpu, &out), &want);
        }
    }
}

#[test]
fn sort() {
    compiled(
        "kernels::candle::sort",
        || candle("sort.cu"),
        |gpu, arch| {
            for_types!(sort_of(gpu): f32 f64 f16 u8 u32 i64);
            if arch >= 80 {
                sort_of::<bf16>(gpu);
            }
        },
    );
}
