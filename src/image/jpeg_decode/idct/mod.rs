//! The inverse DCT of libjpeg-turbo's `islow`, with the wrap-around of its x86 SIMD code.
//!
//! Loeffler, Ligtenberg and Moschytz's 11-multiplication DCT (ICASSP 1989) with 13 constant bits and two extra bits
//! between the passes. On sane files every variant agrees; on overshoot (corrupt data, extreme tables) the SIMD code of
//! libjpeg-turbo, which nearly every user runs, differs from its C code, and is what is repeated here: coefficient x
//! quantiser wraps to 16 bits, so do the four sums that feed multiplications, both passes saturate to 16 bits, and a
//! block whose rows 1 to 7 are zero takes a first pass that wraps instead.

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable;
#[cfg(target_arch = "x86_64")]
mod sse2;

use super::sequential::Block;

/// round(k * 2^13) of the constants, combined as the SIMD code combines them.
mod constants {
    pub const C0_541: i16 = 4433;
    pub const C1_306: i16 = 4433 + 6270;
    pub const M1_306: i16 = 4433 - 15137;
    pub const M0_785: i16 = 9633 - 16069;
    pub const C1_175: i16 = 9633;
    pub const C0_785: i16 = 9633 - 3196;
    pub const M0_601: i16 = 2446 - 7373;
    pub const M0_899: i16 = -7373;
    pub const M0_509: i16 = 16819 - 20995;
    pub const M2_562: i16 = -20995;
    pub const C0_509: i16 = 25172 - 20995;
    pub const C0_601: i16 = 12299 - 7373;
}

/// Dequantises and transforms a block (natural order) into 8 rows of `plane`, the first at `at`, `stride` apart.
///
/// `last` is the highest zigzag position that may be nonzero: 0 takes a short cut.
///
/// # Panics
/// When the block does not fit in the plane.
#[inline]
pub(crate) fn inverse(block: &Block, multipliers: &Block, last: usize, plane: &mut [u8], at: usize, stride: usize) {
    if last == 0 {
        fill(plane, at, stride, flat(block[0], multipliers[0]));
        return;
    }
    #[cfg(target_arch = "x86_64")]
    sse2::inverse(block, multipliers, plane, at, stride);
    #[cfg(not(target_arch = "x86_64"))]
    portable::inverse(block, multipliers, plane, at, stride);
}

/// The one sample of a block that has only a DC coefficient.
fn flat(coefficient: i16, multiplier: i16) -> u8 {
    let dc = coefficient.wrapping_mul(multiplier).wrapping_shl(2);
    (((i32::from(dc) + 16) >> 5).clamp(-128, 127) + 128) as u8
}

fn fill(plane: &mut [u8], at: usize, stride: usize, sample: u8) {
    for row in 0..8 {
        plane[at + row * stride..][..8].fill(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_both(block: &Block, multipliers: &Block) -> ([u8; 64], [u8; 64]) {
        let (mut fast, mut plain) = ([0u8; 64], [0u8; 64]);
        let last = if block[1..].iter().all(|&c| c == 0) { 0 } else { 63 };
        inverse(block, multipliers, last, &mut fast, 0, 8);
        portable::inverse(block, multipliers, &mut plain, 0, 8);
        (fast, plain)
    }

    proptest! {
        #[test]
        fn variants_agree(
            values in proptest::collection::vec(any::<i16>(), 64),
            table in proptest::collection::vec(any::<i16>(), 64),
            shift in 0u32..16,
            kept in 1usize..=64,
        ) {
            let mut block = [0i16; 64];
            let mut multipliers = [0i16; 64];
            for i in 0..64 {
                block[i] = if i < kept { values[i] >> shift } else { 0 };
                multipliers[i] = table[i] >> shift;
            }
            let (fast, plain) = by_both(&block, &multipliers);
            prop_assert_eq!(fast, plain);
        }
    }
}
