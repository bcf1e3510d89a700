//! Directed rounding, which the host's arithmetic does not offer lane by lane. Sums and products are computed in f64
//! rounded to odd (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", IEEE TC 2008), from which one
//! more rounding to f32 in any direction is exact.

/// A rounding direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// To nearest, ties to even.
    Nearest,
    /// Towards zero.
    Zero,
    /// Towards minus infinity.
    Down,
    /// Towards plus infinity.
    Up,
}

impl Round {
    /// Reads `rn`, `rz`, `rm`, `rp`.
    pub fn parse(s: &str) -> Option<Round> {
        Some(match s {
            "rn" => Round::Nearest,
            "rz" => Round::Zero,
            "rm" => Round::Down,
            "rp" => Round::Up,
            _ => return None,
        })
    }
}

/// `v` with its last bit set when `err`, the exact value minus `v`, is not zero; towards zero first.
fn to_odd(v: f64, err: f64) -> f64 {
    if err == 0.0 || !v.is_finite() || err.is_nan() {
        return v;
    }
    let bits = v.to_bits();
    if bits & 1 != 0 {
        return v;
    }
    if v == 0.0 {
        return f64::from_bits(1).copysign(err);
    }
    // The exact value lies between v and its neighbour on the side of err, whose last bit is odd.
    let away = (err > 0.0) == (v > 0.0);
    f64::from_bits(if away { bits + 1 } else { bits - 1 })
}

/// The exact sum, rounded to odd (error by Knuth's two-sum).
fn add_odd(a: f64, b: f64) -> f64 {
    let s = a + b;
    let t = s - a;
    let err = (a - (s - t)) + (b - t);
    to_odd(s, err)
}

/// f64 to f32 in a direction.
pub(super) fn narrow(v: f64, round: Round) -> f32 {
    let n = v as f32;
    if v.is_nan() || n as f64 == v {
        return n;
    }
    let up = |x: f32| x.next_up();
    let down = |x: f32| x.next_down();
    let above = n as f64 > v;
    match round {
        Round::Nearest => n,
        Round::Up => {
            if above {
                n
            } else {
                up(n)
            }
        }
        Round::Down => {
            if above {
                down(n)
            } else {
                n
            }
        }
        Round::Zero => match (v > 0.0, above) {
            (true, true) => down(n),
            (false, false) => up(n),
            _ => n,
        },
    }
}

/// A zero sum of values of opposite sign is negative only when rounding down.
fn zero_sign(sum: f32, a: f64, b: f64, round: Round) -> f32 {
    if sum == 0.0 && a == -b && a != 0.0 || sum == 0.0 && a == 0.0 && b == 0.0 && a.signum() != b.signum() {
        return if round == Round::Down { -0.0 } else { 0.0 };
    }
    sum
}

pub(super) fn add(a: f32, b: f32, round: Round) -> f32 {
    zero_sign(narrow(add_odd(a as f64, b as f64), round), a as f64, b as f64, round)
}

pub(super) fn mul(a: f32, b: f32, round: Round) -> f32 {
    narrow(a as f64 * b as f64, round)
}

pub(super) fn fma(a: f32, b: f32, c: f32, round: Round) -> f32 {
    let p = a as f64 * b as f64;
    zero_sign(narrow(add_odd(p, c as f64), round), p, c as f64, round)
}

/// `a * b + c` rounded to odd, so that rounding it once more to fewer bits gives the result of a single rounding.
/// The product must be exact in f64, as it is for f32, and sums that cancel are exact.
pub(super) fn fma_odd(a: f32, b: f32, c: f32) -> f32 {
    let p = a as f64 * b as f64;
    let sum = add_odd(p, c as f64);
    let v = zero_sign(narrow(sum, Round::Zero), p, c as f64, Round::Nearest);
    if v as f64 == sum || v.is_nan() { v } else { f32::from_bits(v.to_bits() | 1) }
}

pub(super) fn div(a: f32, b: f32, round: Round) -> f32 {
    let (x, y) = (a as f64, b as f64);
    let q = x / y;
    if !q.is_finite() || q == 0.0 {
        return narrow(q, round);
    }
    // The sign of the remainder tells on which side of q the quotient lies.
    let rest = (-q).mul_add(y, x);
    narrow(to_odd(q, if rest == 0.0 { 0.0 } else { rest.signum() * y.signum() }), round)
}

pub(super) fn sqrt(a: f32, round: Round) -> f32 {
    let x = a as f64;
    let q = x.sqrt();
    if !q.is_finite() || q == 0.0 {
        return narrow(q, round);
    }
    narrow(to_odd(q, (-q).mul_add(q, x)), round)
}

/// Adds two f64 in a direction.
pub(super) fn add64(a: f64, b: f64, round: Round) -> f64 {
    let s = a + b;
    let t = s - a;
    let err = (a - (s - t)) + (b - t);
    if s == 0.0 && a == -b && (a != 0.0 || a.signum() != b.signum()) {
        return if round == Round::Down { -0.0 } else { 0.0 };
    }
    step64(s, err, round)
}

/// Moves a nearest result by what the error says.
fn step64(v: f64, err: f64, round: Round) -> f64 {
    if err == 0.0 || err.is_nan() || v.is_nan() {
        return v;
    }
    let exact_above = err > 0.0;
    match round {
        Round::Nearest => v,
        Round::Up => {
            if exact_above {
                v.next_up()
            } else {
                v
            }
        }
        Round::Down => {
            if exact_above {
                v
            } else {
                v.next_down()
            }
        }
        Round::Zero => match (v > 0.0, exact_above) {
            (true, false) => v.next_down(),
            (false, true) => v.next_up(),
            _ => v,
        },
    }
}

/// Multiplies two f64 in a direction; exact while the product's error is representable.
pub(super) fn mul64(a: f64, b: f64, round: Round) -> f64 {
    let p = a * b;
    step64(p, a.mul_add(b, -p), round)
}

/// Rounds to an integral value in a direction.
pub(super) fn integral(v: f64, round: Round) -> f64 {
    match round {
        Round::Nearest => v.round_ties_even(),
        Round::Zero => v.trunc(),
        Round::Down => v.floor(),
        Round::Up => v.ceil(),
    }
}

/// An integer as f32 in a direction.
pub(super) fn from_int32(v: i128, round: Round) -> f32 {
    let n = v as f32;
    let back = n as i128;
    if back == v {
        return n;
    }
    let above = back > v;
    match round {
        Round::Nearest => n,
        Round::Up => {
            if above {
                n
            } else {
                n.next_up()
            }
        }
        Round::Down => {
            if above {
                n.next_down()
            } else {
                n
            }
        }
        Round::Zero => match (v > 0, above) {
            (true, true) => n.next_down(),
            (false, false) => n.next_up(),
            _ => n,
        },
    }
}

/// An integer as f64 in a direction.
pub(super) fn from_int64(v: i128, round: Round) -> f64 {
    let n = v as f64;
    let back = n as i128;
    if back == v {
        return n;
    }
    step64(n, if back < v { 1.0 } else { -1.0 }, round)
}
