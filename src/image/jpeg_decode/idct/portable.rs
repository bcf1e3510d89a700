//! The transform in plain integers, lane by lane; the definition that the others are tested against.

use super::super::sequential::Block;
use super::constants::*;

pub(super) fn inverse(block: &Block, multipliers: &Block, plane: &mut [u8], at: usize, stride: usize) {
    let mut rows = [[0i16; 8]; 8];
    for (i, (&coefficient, &multiplier)) in block.iter().zip(multipliers).enumerate() {
        rows[i / 8][i % 8] = coefficient.wrapping_mul(multiplier);
    }
    let columns = if only_first_row(block) {
        let first = rows[0].map(|dc| dc.wrapping_shl(2));
        [first; 8]
    } else {
        pass::<11>(rows)
    };
    let samples = transpose(pass::<18>(transpose(columns)));
    for (row, samples) in samples.iter().enumerate() {
        let target = &mut plane[at + row * stride..][..8];
        for (sample, &value) in target.iter_mut().zip(samples) {
            *sample = (value.clamp(-128, 127) + 128) as u8;
        }
    }
}

/// Whether rows 1 to 7 of a block are zero.
fn only_first_row(block: &Block) -> bool {
    block[8..].iter().fold(0, |any, &c| any | c) == 0
}

fn transpose(m: [[i16; 8]; 8]) -> [[i16; 8]; 8] {
    std::array::from_fn(|i| std::array::from_fn(|j| m[j][i]))
}

/// One pass down the columns of `v`, all lanes at once.
fn pass<const SHIFT: u32>(v: [[i16; 8]; 8]) -> [[i16; 8]; 8] {
    let mut out = [[0i16; 8]; 8];
    for lane in 0..8 {
        let [x0, x1, x2, x3, x4, x5, x6, x7]: [i16; 8] = std::array::from_fn(|i| v[i][lane]);
        let m = |a: i16, b: i16| i32::from(a) * i32::from(b);
        let even = m(x2, C1_306) + m(x6, C0_541);
        let even2 = m(x2, C0_541) + m(x6, M1_306);
        let sum = i32::from(x0.wrapping_add(x4)) << 13;
        let difference = i32::from(x0.wrapping_sub(x4)) << 13;
        let (z3, z4) = (x7.wrapping_add(x3), x5.wrapping_add(x1));
        let y3 = m(z3, M0_785) + m(z4, C1_175);
        let y4 = m(z3, C1_175) + m(z4, C0_785);
        let odd = [
            m(x7, M0_899) + m(x1, C0_601) + y4,
            m(x5, M2_562) + m(x3, C0_509) + y3,
            m(x5, M0_509) + m(x3, M2_562) + y4,
            m(x7, M0_601) + m(x1, M0_899) + y3,
        ];
        let even = [sum + even, difference + even2, difference - even2, sum - even];
        for i in 0..4 {
            out[i][lane] = descale::<SHIFT>(even[i] + odd[i]);
            out[7 - i][lane] = descale::<SHIFT>(even[i] - odd[i]);
        }
    }
    out
}

/// Rounds half up and saturates to 16 bits.
fn descale<const SHIFT: u32>(x: i32) -> i16 {
    ((x + (1 << (SHIFT - 1))) >> SHIFT).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}
