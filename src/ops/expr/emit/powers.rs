//! Powers of ten, 128 bits of each, for printing and reading floats: see `kernels/include/format.cuh` and
//! `parse_float.cuh`.

use std::sync::LazyLock;

/// The powers that 64-bit floats need, from -342 to be read and up to 324 to be printed; `kLowestPower` of the kernels is
/// the first.
const POWERS: std::ops::RangeInclusive<i32> = -342..=324;

/// For each power 10^k, the least number of 128 bits that is not below 10^k / 2^e with the leading bit set, low half
/// first.
pub(super) static POWERS_OF_TEN: LazyLock<Vec<u8>> =
    LazyLock::new(|| POWERS.flat_map(|power| leading_bits(power).to_le_bytes()).collect());

fn leading_bits(power: i32) -> u128 {
    // A power of two first, so large that what is left of it after the divisions has more than 128 bits.
    let mut number = Big(vec![0; 44]);
    let start = if power < 0 { 43 } else { 0 };
    number.0[start] = 1;
    for _ in 0..power.unsigned_abs() {
        if power < 0 { number.divide() } else { number.multiply() }
    }
    number.leading(power < 0)
}

/// A natural number in words of 32 bits, the lowest first.
struct Big(Vec<u32>);

impl Big {
    /// Times ten.
    fn multiply(&mut self) {
        let mut carry = 0;
        for word in &mut self.0 {
            let product = u64::from(*word) * 10 + carry;
            *word = product as u32;
            carry = product >> 32;
        }
    }

    /// A tenth, cut.
    fn divide(&mut self) {
        let mut rest = 0;
        for word in self.0.iter_mut().rev() {
            let part = rest << 32 | u64::from(*word);
            *word = (part / 10) as u32;
            rest = part % 10;
        }
    }

    /// The leading 128 bits, one more where something follows; `cut` says that something does.
    fn leading(&self, cut: bool) -> u128 {
        let top = self.0.iter().rposition(|word| *word != 0).unwrap_or(0);
        let zeros = self.0[top].leading_zeros();
        let word = |at: usize| top.checked_sub(at).map_or(0, |at| u128::from(self.0[at]));
        let four = (0..4).fold(0, |bits, at| bits << 32 | word(at));
        let fifth = word(4);
        let bits = four << zeros | fifth >> (32 - zeros).min(127);
        let more = fifth << zeros & u128::from(u32::MAX) != 0 || (5..=top).any(|at| word(at) != 0);
        bits + u128::from(cut || more)
    }
}
