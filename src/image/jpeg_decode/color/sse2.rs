//! Colour conversion with SSE2, 16 pixels at a time. The arithmetic is that of [`super::ycc`]: the factors 91881, 46802
//! and 116130 do not fit 16 bits, so their whole multiples of 65536 are added apart, which no shift can change.

use safe_arch::*;

/// Converts whole groups of 16 pixels and returns how many pixels that were.
pub(super) fn ycc_rows(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) -> usize {
    let groups = y.as_chunks::<16>().0.iter().zip(cb.as_chunks::<16>().0).zip(cr.as_chunks::<16>().0);
    let mut pixels = 0;
    for (((y, cb), cr), out) in groups.zip(out.as_chunks_mut::<48>().0) {
        let [r, g, b] = ycc(m128i::from(*y), m128i::from(*cb), m128i::from(*cr));
        interleave(r, g, b, out);
        pixels += 16;
    }
    pixels
}

/// Interleaves whole groups of 16 pixels and returns how many pixels that were.
pub(super) fn interleave_rows(r: &[u8], g: &[u8], b: &[u8], out: &mut [u8]) -> usize {
    let groups = r.as_chunks::<16>().0.iter().zip(g.as_chunks::<16>().0).zip(b.as_chunks::<16>().0);
    let mut pixels = 0;
    for (((r, g), b), out) in groups.zip(out.as_chunks_mut::<48>().0) {
        interleave(m128i::from(*r), m128i::from(*g), m128i::from(*b), out);
        pixels += 16;
    }
    pixels
}

#[inline(always)]
fn ycc(y: m128i, cb: m128i, cr: m128i) -> [m128i; 3] {
    let zero = zeroed_m128i();
    let low = ycc_half([y, cb, cr].map(|x| unpack_low_i8_m128i(x, zero)));
    let high = ycc_half([y, cb, cr].map(|x| unpack_high_i8_m128i(x, zero)));
    std::array::from_fn(|i| pack_i16_to_u8_m128i(low[i], high[i]))
}

/// Eight pixels of 16 bits a sample; the results may lie outside 0..=255.
#[inline(always)]
fn ycc_half([y, cb, cr]: [m128i; 3]) -> [m128i; 3] {
    let center = set_splat_i16_m128i(128);
    let (cb, cr) = (sub_i16_m128i(cb, center), sub_i16_m128i(cr, center));
    let two = set_splat_i16_m128i(2);
    let red = scaled(cr, two, 26_345, 16_384);
    let green = scaled_rounded(cb, cr, -22_554, 18_734);
    let blue = scaled(cb, two, -14_942, 16_384);
    [
        add_i16_m128i(add_i16_m128i(y, cr), red),
        add_i16_m128i(sub_i16_m128i(y, cr), green),
        add_i16_m128i(add_i16_m128i(y, add_i16_m128i(cb, cb)), blue),
    ]
}

/// `(a * ka + b * kb) >> 16`.
#[inline(always)]
fn scaled(a: m128i, b: m128i, ka: i16, kb: i16) -> m128i {
    let [low, high] = products(a, b, ka, kb).map(shr_imm_i32_m128i::<16>);
    pack_i32_to_i16_m128i(low, high)
}

/// `(a * ka + b * kb + 32768) >> 16`.
#[inline(always)]
fn scaled_rounded(a: m128i, b: m128i, ka: i16, kb: i16) -> m128i {
    let half = set_splat_i32_m128i(32_768);
    let [low, high] = products(a, b, ka, kb).map(|x| shr_imm_i32_m128i::<16>(add_i32_m128i(x, half)));
    pack_i32_to_i16_m128i(low, high)
}

#[inline(always)]
fn products(a: m128i, b: m128i, ka: i16, kb: i16) -> [m128i; 2] {
    let k = m128i::from([ka, kb, ka, kb, ka, kb, ka, kb]);
    let (low, high) = (unpack_low_i16_m128i(a, b), unpack_high_i16_m128i(a, b));
    [mul_i16_horizontal_add_m128i(low, k), mul_i16_horizontal_add_m128i(high, k)]
}

/// Writes r, g, b of 16 pixels in turn.
#[inline(always)]
fn interleave(r: m128i, g: m128i, b: m128i, out: &mut [u8; 48]) {
    let zero = zeroed_m128i();
    let (rg_low, rg_high) = (unpack_low_i8_m128i(r, g), unpack_high_i8_m128i(r, g));
    let (b_low, b_high) = (unpack_low_i8_m128i(b, zero), unpack_high_i8_m128i(b, zero));
    let fours = [
        unpack_low_i16_m128i(rg_low, b_low),
        unpack_high_i16_m128i(rg_low, b_low),
        unpack_low_i16_m128i(rg_high, b_high),
        unpack_high_i16_m128i(rg_high, b_high),
    ];
    let [p0, p1, p2, p3] = fours.map(squeeze);
    let stored = [
        p0 | byte_shl_imm_u128_m128i::<12>(p1),
        byte_shr_imm_u128_m128i::<4>(p1) | byte_shl_imm_u128_m128i::<8>(p2),
        byte_shr_imm_u128_m128i::<8>(p2) | byte_shl_imm_u128_m128i::<4>(p3),
    ];
    for (chunk, value) in out.as_chunks_mut::<16>().0.iter_mut().zip(stored) {
        *chunk = value.into();
    }
}

/// Four pixels of four bytes, the last of them zero, to twelve bytes and four zeros.
#[inline(always)]
fn squeeze(pixels: m128i) -> m128i {
    let even = set_splat_i64_m128i(0x0000_0000_00ff_ffff);
    let pairs = (pixels & even) | (shr_imm_u64_m128i::<8>(pixels) & set_splat_i64_m128i(0x0000_ffff_ff00_0000));
    let low = m128i::from([-1i32, -1, 0, 0]);
    let high = m128i::from([0i32, 0, -1, -1]);
    (pairs & low) | byte_shr_imm_u128_m128i::<2>(pairs & high)
}
