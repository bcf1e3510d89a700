//! The transform with SSE2, which every x86-64 has: eight columns at once, products in pairs by `pmaddwd`.

use safe_arch::*;

use super::super::sequential::Block;
use super::constants::*;

#[inline(always)]
fn rows(block: &Block) -> [m128i; 8] {
    let (rows, _) = block.as_chunks::<8>();
    std::array::from_fn(|i| m128i::from(rows[i]))
}

#[inline]
pub(super) fn inverse(block: &Block, multipliers: &Block, plane: &mut [u8], at: usize, stride: usize) {
    let (rows, multipliers) = (rows(block), rows(multipliers));
    let rest = rows[1..].iter().fold(zeroed_m128i(), |any, &row| any | row);
    let only_first = move_mask_i8_m128i(cmp_eq_mask_i8_m128i(rest, zeroed_m128i())) == 0xffff;
    let columns = if only_first {
        [shl_imm_u16_m128i::<2>(mul_i16_keep_low_m128i(rows[0], multipliers[0])); 8]
    } else {
        pass::<11>(std::array::from_fn(|i| mul_i16_keep_low_m128i(rows[i], multipliers[i])))
    };
    let samples = transpose(pass::<18>(transpose(columns)));
    let center = set_splat_i8_m128i(-128);
    for pair in 0..4 {
        let packed = add_i8_m128i(pack_i16_to_i8_m128i(samples[pair * 2], samples[pair * 2 + 1]), center);
        let first = get_i64_from_m128i_s(packed).to_le_bytes();
        let second = get_i64_from_m128i_s(unpack_high_i64_m128i(packed, packed)).to_le_bytes();
        plane[at + pair * 2 * stride..][..8].copy_from_slice(&first);
        plane[at + (pair * 2 + 1) * stride..][..8].copy_from_slice(&second);
    }
}

#[inline(always)]
fn transpose(v: [m128i; 8]) -> [m128i; 8] {
    let low16 = |i: usize| unpack_low_i16_m128i(v[i], v[i + 1]);
    let high16 = |i: usize| unpack_high_i16_m128i(v[i], v[i + 1]);
    let a = [low16(0), high16(0), low16(2), high16(2), low16(4), high16(4), low16(6), high16(6)];
    let low32 = |i: usize| unpack_low_i32_m128i(a[i], a[i + 2]);
    let high32 = |i: usize| unpack_high_i32_m128i(a[i], a[i + 2]);
    let b = [low32(0), high32(0), low32(1), high32(1), low32(4), high32(4), low32(5), high32(5)];
    let low64 = |i: usize| unpack_low_i64_m128i(b[i], b[i + 4]);
    let high64 = |i: usize| unpack_high_i64_m128i(b[i], b[i + 4]);
    [low64(0), high64(0), low64(1), high64(1), low64(2), high64(2), low64(3), high64(3)]
}

/// Lanes 0..4 and 4..8 as 32 bits.
type Wide = [m128i; 2];

/// `a * ka + b * kb`.
#[inline(always)]
fn products(a: m128i, b: m128i, ka: i16, kb: i16) -> Wide {
    let k = m128i::from([ka, kb, ka, kb, ka, kb, ka, kb]);
    let (low, high) = (unpack_low_i16_m128i(a, b), unpack_high_i16_m128i(a, b));
    [mul_i16_horizontal_add_m128i(low, k), mul_i16_horizontal_add_m128i(high, k)]
}

#[inline(always)]
fn add(a: Wide, b: Wide) -> Wide {
    [add_i32_m128i(a[0], b[0]), add_i32_m128i(a[1], b[1])]
}

#[inline(always)]
fn sub(a: Wide, b: Wide) -> Wide {
    [sub_i32_m128i(a[0], b[0]), sub_i32_m128i(a[1], b[1])]
}

/// `a << 13`, widened.
#[inline(always)]
fn scale(a: m128i) -> Wide {
    let wide = [unpack_low_i16_m128i(zeroed_m128i(), a), unpack_high_i16_m128i(zeroed_m128i(), a)];
    wide.map(shr_imm_i32_m128i::<3>)
}

/// Rounds half up and saturates to 16 bits.
#[inline(always)]
fn descale<const SHIFT: i32>(a: Wide) -> m128i {
    let half = set_splat_i32_m128i(1 << (SHIFT - 1));
    let [low, high] = a.map(|x| shr_imm_i32_m128i::<SHIFT>(add_i32_m128i(x, half)));
    pack_i32_to_i16_m128i(low, high)
}

#[inline(always)]
fn pass<const SHIFT: i32>(x: [m128i; 8]) -> [m128i; 8] {
    let even = products(x[2], x[6], C1_306, C0_541);
    let even2 = products(x[2], x[6], C0_541, M1_306);
    let sum = scale(add_i16_m128i(x[0], x[4]));
    let difference = scale(sub_i16_m128i(x[0], x[4]));
    let (z3, z4) = (add_i16_m128i(x[7], x[3]), add_i16_m128i(x[5], x[1]));
    let y3 = products(z3, z4, M0_785, C1_175);
    let y4 = products(z3, z4, C1_175, C0_785);
    let odd = [
        add(products(x[7], x[1], M0_899, C0_601), y4),
        add(products(x[5], x[3], M2_562, C0_509), y3),
        add(products(x[5], x[3], M0_509, M2_562), y4),
        add(products(x[7], x[1], M0_601, M0_899), y3),
    ];
    let even = [add(sum, even), add(difference, even2), sub(difference, even2), sub(sum, even)];
    let low: [m128i; 4] = std::array::from_fn(|i| descale::<SHIFT>(add(even[i], odd[i])));
    let high: [m128i; 4] = std::array::from_fn(|i| descale::<SHIFT>(sub(even[i], odd[i])));
    [low[0], low[1], low[2], low[3], high[3], high[2], high[1], high[0]]
}
