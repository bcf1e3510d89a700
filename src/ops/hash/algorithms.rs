//! The hashes over bytes; `kernels/include/hash.cuh` names their sources and computes the same.

/// A word of up to 8 little-endian bytes.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn murmur3_scramble(k: u32) -> u32 {
    k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

fn murmur3_mix(h: u32, k: u32) -> u32 {
    (h ^ murmur3_scramble(k)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

/// MurmurHash3_x86_32; with `spark_tail` each byte past the last whole word is mixed in as a signed word.
pub(super) fn murmur3(bytes: &[u8], seed: u32, spark_tail: bool) -> u32 {
    let (words, tail) = bytes.as_chunks::<4>();
    let mut h = words.iter().fold(seed, |h, &word| murmur3_mix(h, u32::from_le_bytes(word)));
    if spark_tail {
        h = tail.iter().fold(h, |h, &byte| murmur3_mix(h, byte as i8 as u32));
    } else if !tail.is_empty() {
        h ^= murmur3_scramble(word(tail) as u32);
    }
    h ^= bytes.len() as u32;
    h = (h ^ h >> 16).wrapping_mul(0x85eb_ca6b);
    h = (h ^ h >> 13).wrapping_mul(0xc2b2_ae35);
    h ^ h >> 16
}

const XX: [u64; 5] =
    [0x9e37_79b1_85eb_ca87, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0x85eb_ca77_c2b2_ae63, 0x27d4_eb2f_1656_67c5];

fn xx_round(lane: u64, input: u64) -> u64 {
    lane.wrapping_add(input.wrapping_mul(XX[1])).rotate_left(31).wrapping_mul(XX[0])
}

pub(in crate::ops) fn xxhash64(bytes: &[u8], seed: u64) -> u64 {
    let (stripes, rest) = bytes.as_chunks::<32>();
    let mut h = seed.wrapping_add(XX[4]);
    if !stripes.is_empty() {
        let start = seed.wrapping_add(XX[0]);
        let mut lanes = [start.wrapping_add(XX[1]), seed.wrapping_add(XX[1]), seed, seed.wrapping_sub(XX[0])];
        for stripe in stripes {
            for (lane, input) in lanes.iter_mut().zip(stripe.chunks(8)) {
                *lane = xx_round(*lane, word(input));
            }
        }
        h = lanes.iter().zip([1, 7, 12, 18]).fold(0, |h, (lane, by)| h.wrapping_add(lane.rotate_left(by)));
        for lane in lanes {
            h = (h ^ xx_round(0, lane)).wrapping_mul(XX[0]).wrapping_add(XX[3]);
        }
    }
    h = h.wrapping_add(bytes.len() as u64);
    let (words, mut rest) = rest.as_chunks::<8>();
    for input in words {
        h = (h ^ xx_round(0, word(input))).rotate_left(27).wrapping_mul(XX[0]).wrapping_add(XX[3]);
    }
    if let Some((half, tail)) = rest.split_at_checked(4) {
        h = (h ^ word(half).wrapping_mul(XX[0])).rotate_left(23).wrapping_mul(XX[1]).wrapping_add(XX[2]);
        rest = tail;
    }
    for &byte in rest {
        h = (h ^ u64::from(byte).wrapping_mul(XX[4])).rotate_left(11).wrapping_mul(XX[0]);
    }
    h = (h ^ h >> 33).wrapping_mul(XX[1]);
    h = (h ^ h >> 29).wrapping_mul(XX[2]);
    h ^ h >> 32
}

/// foldhash: what it xors into the seed of a hasher.
pub(super) const FOLD_START: u64 = 0x082e_fa98_ec4e_6c89;
/// Its fixed shared seeds.
const FOLD: [u64; 6] = [
    0xc0ac_29b7_c97c_50dd,
    0x3f84_d5b5_b547_0917,
    0x9216_d5d9_8979_fb1b,
    0xd131_0ba6_98df_b5ac,
    0x2ffd_72db_d01a_dfb7,
    0xb8e1_afed_6a26_7e96,
];

fn fold(x: u64, y: u64) -> u64 {
    let full = u128::from(x) * u128::from(y);
    full as u64 ^ (full >> 64) as u64
}

/// A hasher that was given 16 bytes as two words and is finished.
pub(super) fn fold_words(state: u64, low: u64, high: u64) -> u64 {
    fold(low ^ state, high ^ FOLD[0])
}

/// The state after bytes.
pub(super) fn fold_bytes(state: u64, bytes: &[u8]) -> u64 {
    let state = state.rotate_right(bytes.len() as u32 & 63);
    if bytes.len() > 16 {
        return fold_long(state, bytes);
    }
    let (low, high) = match bytes {
        [] => (0, 0),
        [first, .., last] if bytes.len() < 4 => {
            (u64::from(*first), u64::from(*last) << 8 | u64::from(bytes[bytes.len() / 2]))
        }
        [byte] => (u64::from(*byte), u64::from(*byte) << 8 | u64::from(*byte)),
        _ => {
            let n = if bytes.len() >= 8 { 8 } else { 4 };
            (word(&bytes[..n]), word(&bytes[bytes.len() - n..]))
        }
    };
    fold(state ^ low, FOLD[1] ^ high)
}

/// More than 16 bytes: six lanes while more than 256 are left, four while more than 128, then two from both ends.
fn fold_long(state: u64, mut bytes: &[u8]) -> u64 {
    let mut lanes = [state; 6];
    for (lane, seed) in lanes.iter_mut().zip(FOLD).skip(1) {
        *lane = lane.wrapping_add(seed);
    }
    let step = |lane: &mut u64, bytes: &[u8], low: usize, high: usize| {
        *lane = fold(word(&bytes[low..][..8]) ^ *lane, word(&bytes[high..][..8]) ^ FOLD[0]);
    };
    let whole = bytes.len();
    for (count, least) in [(6, 256), (4, 128)] {
        if whole <= least {
            continue;
        }
        loop {
            for (i, lane) in lanes[..count].iter_mut().enumerate() {
                step(lane, bytes, 8 * i, 8 * (count + i));
            }
            bytes = &bytes[16 * count..];
            if bytes.len() <= least {
                break;
            }
        }
        lanes[0] ^= lanes[count - 2];
        lanes[1] ^= lanes[count - 1];
    }
    let left = bytes.len();
    for done in [0, 16, 32, 48] {
        if done == 0 || left >= 2 * done {
            step(&mut lanes[0], bytes, done, left - done - 16);
            step(&mut lanes[1], bytes, done + 8, left - done - 8);
        }
    }
    lanes[0] ^ lanes[1]
}

/// DataFusion's way to put two hashes together.
pub(super) fn combine(left: u64, right: u64) -> u64 {
    left.wrapping_add(17 * 37).wrapping_mul(37).wrapping_add(right)
}

/// libcudf's way to put two hashes together, which is Boost's.
pub(super) fn cudf_combine(left: u32, right: u32) -> u32 {
    left ^ right.wrapping_add(0x9e37_79b9).wrapping_add(left << 6).wrapping_add(left >> 2)
}
