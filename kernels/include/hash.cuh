// Hashes of rows, bit for bit those of the systems that the schemes are named after. src/ops/hash has the host twin.
//
// Sources: MurmurHash3 (Appleby, smhasher), XXH64 (Collet, xxHash specification 0.1.1), foldhash 0.2 `fast` (Peters),
// Spark's HashExpression (null skips, the next column's seed is the hash so far, a tail hashed byte by byte), Iceberg's
// specification, appendix B, DataFusion 55's hash_utils, and libcudf's hashing (combine is Boost's hash_combine).
#pragma once

#include <cstdint>

#include "keys.cuh"

namespace warpline {

// `HashScheme` of the host.
enum class Scheme : uint32_t {
    kDataFusion = 0,
    kSparkMurmur3 = 1,
    kSparkXxHash64 = 2,
    kXxHash64 = 3,
    kIceberg = 4,
    kCudf = 5,
};

// What a scheme makes of a value.
enum HashForm : uint32_t {
    kFormWord = 0,     // an integer of `out_width` bytes
    kFormFloat = 1,    // its bits; -0.0 as 0.0, and but for DataFusion one NaN for all
    kFormBytes = 2,    // bytes as they are
    kFormInteger = 3,  // the fewest bytes of the two's complement, most significant first
    kFormWide = 4,     // DataFusion: 16 or 32 bytes
    kFormBool = 5,     // DataFusion: bits
    kFormText = 6,     // DataFusion: a string
    kFormBinary = 7,   // DataFusion: bytes with their length
    kFormView = 8,     // DataFusion: an inline view as a number, others as binary
};

// Bytes to hash, from three places. `u32` and `u64` are little-endian and need no alignment.
struct MemorySource {
    const uint8_t* data;

    __device__ __forceinline__ uint8_t u8(uint64_t i) const { return data[i]; }
    __device__ __forceinline__ uint32_t u32(uint64_t i) const {
        if ((reinterpret_cast<uint64_t>(data + i) & 3) == 0) {
            return *reinterpret_cast<const uint32_t*>(data + i);
        }
        return data[i] | data[i + 1] << 8 | data[i + 2] << 16 | static_cast<uint32_t>(data[i + 3]) << 24;
    }
    __device__ __forceinline__ uint64_t u64(uint64_t i) const {
        return u32(i) | static_cast<uint64_t>(u32(i + 4)) << 32;
    }
};

struct ReversedSource {
    const uint8_t* data;
    uint64_t length;

    __device__ __forceinline__ uint8_t u8(uint64_t i) const { return data[length - 1 - i]; }
    __device__ __forceinline__ uint32_t u32(uint64_t i) const {
        return u8(i) | u8(i + 1) << 8 | u8(i + 2) << 16 | static_cast<uint32_t>(u8(i + 3)) << 24;
    }
    __device__ __forceinline__ uint64_t u64(uint64_t i) const {
        return u32(i) | static_cast<uint64_t>(u32(i + 4)) << 32;
    }
};

struct WordSource {
    uint64_t value;

    __device__ __forceinline__ uint8_t u8(uint64_t i) const { return static_cast<uint8_t>(value >> (8 * i)); }
    __device__ __forceinline__ uint32_t u32(uint64_t i) const { return static_cast<uint32_t>(value >> (8 * i)); }
    __device__ __forceinline__ uint64_t u64(uint64_t) const { return value; }
};

template <typename T>
__device__ __forceinline__ T rotate_left(T value, uint32_t by) {
    return value << by | value >> (8 * sizeof(T) - by);
}

__device__ __forceinline__ uint32_t murmur3_scramble(uint32_t k) {
    return rotate_left(k * 0xcc9e2d51u, 15) * 0x1b873593u;
}

__device__ __forceinline__ uint32_t murmur3_mix(uint32_t h, uint32_t k) {
    return rotate_left(h ^ murmur3_scramble(k), 13) * 5 + 0xe6546b64u;
}

// MurmurHash3_x86_32; with `kSparkTail` each byte past the last whole word is mixed in as a signed word.
template <bool kSparkTail, typename Source>
__device__ __forceinline__ uint32_t murmur3(const Source& source, uint64_t length, uint32_t seed) {
    uint32_t h = seed;
    const uint64_t whole = length & ~3ull;
    for (uint64_t i = 0; i < whole; i += 4) {
        h = murmur3_mix(h, source.u32(i));
    }
    if (kSparkTail) {
        for (uint64_t i = whole; i < length; ++i) {
            h = murmur3_mix(h, static_cast<uint32_t>(static_cast<int32_t>(static_cast<int8_t>(source.u8(i)))));
        }
    } else if (whole < length) {
        uint32_t k = 0;
        for (uint64_t i = length; i > whole; --i) {
            k = k << 8 | source.u8(i - 1);
        }
        h ^= murmur3_scramble(k);
    }
    h ^= static_cast<uint32_t>(length);
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

constexpr uint64_t kXxPrime1 = 0x9e3779b185ebca87ull;
constexpr uint64_t kXxPrime2 = 0xc2b2ae3d27d4eb4full;
constexpr uint64_t kXxPrime3 = 0x165667b19e3779f9ull;
constexpr uint64_t kXxPrime4 = 0x85ebca77c2b2ae63ull;
constexpr uint64_t kXxPrime5 = 0x27d4eb2f165667c5ull;

__device__ __forceinline__ uint64_t xx_round(uint64_t lane, uint64_t input) {
    return rotate_left(lane + input * kXxPrime2, 31) * kXxPrime1;
}

__device__ __forceinline__ uint64_t xx_merge(uint64_t h, uint64_t lane) {
    return (h ^ xx_round(0, lane)) * kXxPrime1 + kXxPrime4;
}

template <typename Source>
__device__ __forceinline__ uint64_t xxhash64(const Source& source, uint64_t length, uint64_t seed) {
    uint64_t h = seed + kXxPrime5;
    uint64_t i = 0;
    if (length >= 32) {
        uint64_t a = seed + kXxPrime1 + kXxPrime2, b = seed + kXxPrime2, c = seed, d = seed - kXxPrime1;
        for (; i + 32 <= length; i += 32) {
            a = xx_round(a, source.u64(i));
            b = xx_round(b, source.u64(i + 8));
            c = xx_round(c, source.u64(i + 16));
            d = xx_round(d, source.u64(i + 24));
        }
        h = rotate_left(a, 1) + rotate_left(b, 7) + rotate_left(c, 12) + rotate_left(d, 18);
        h = xx_merge(xx_merge(xx_merge(xx_merge(h, a), b), c), d);
    }
    h += length;
    for (; i + 8 <= length; i += 8) {
        h = rotate_left(h ^ xx_round(0, source.u64(i)), 27) * kXxPrime1 + kXxPrime4;
    }
    if (i + 4 <= length) {
        h = rotate_left(h ^ source.u32(i) * kXxPrime1, 23) * kXxPrime2 + kXxPrime3;
        i += 4;
    }
    for (; i < length; ++i) {
        h = rotate_left(h ^ source.u8(i) * kXxPrime5, 11) * kXxPrime1;
    }
    h = (h ^ h >> 33) * kXxPrime2;
    h = (h ^ h >> 29) * kXxPrime3;
    return h ^ h >> 32;
}

// foldhash: its fixed shared seeds, digits of pi, and what it xors into the seed of a hasher.
constexpr uint64_t kFoldStart = 0x082efa98ec4e6c89ull;
constexpr uint64_t kFoldSeed0 = 0xc0ac29b7c97c50ddull;
constexpr uint64_t kFoldSeed1 = 0x3f84d5b5b5470917ull;
constexpr uint64_t kFoldSeed2 = 0x9216d5d98979fb1bull;
constexpr uint64_t kFoldSeed3 = 0xd1310ba698dfb5acull;
constexpr uint64_t kFoldSeed4 = 0x2ffd72dbd01adfb7ull;
constexpr uint64_t kFoldSeed5 = 0xb8e1afed6a267e96ull;

__device__ __forceinline__ uint64_t fold(uint64_t x, uint64_t y) { return (x * y) ^ __umul64hi(x, y); }

// A hasher that was given 16 bytes as two words and is finished.
__device__ __forceinline__ uint64_t fold_words(uint64_t state, uint64_t low, uint64_t high) {
    return fold(low ^ state, high ^ kFoldSeed0);
}

__device__ __forceinline__ uint64_t fold_short(uint64_t s0, const MemorySource& source, uint64_t length) {
    uint64_t s1 = kFoldSeed1;
    if (length >= 8) {
        s0 ^= source.u64(0);
        s1 ^= source.u64(length - 8);
    } else if (length >= 4) {
        s0 ^= source.u32(0);
        s1 ^= source.u32(length - 4);
    } else if (length > 0) {
        s0 ^= source.u8(0);
        s1 ^= static_cast<uint64_t>(source.u8(length - 1)) << 8 | source.u8(length / 2);
    }
    return fold(s0, s1);
}

// More than 16 bytes: six lanes while more than 256 are left, four while more than 128, then two from both ends.
__device__ inline uint64_t fold_long(uint64_t s0, const MemorySource& source, uint64_t length) {
    uint64_t at = 0;
    const auto step = [&](uint64_t& state, uint64_t low, uint64_t high) {
        state = fold(source.u64(at + low) ^ state, source.u64(at + high) ^ kFoldSeed0);
    };
    uint64_t s1 = s0 + kFoldSeed1;
    if (length > 128) {
        uint64_t s2 = s0 + kFoldSeed2;
        uint64_t s3 = s0 + kFoldSeed3;
        if (length > 256) {
            uint64_t s4 = s0 + kFoldSeed4;
            uint64_t s5 = s0 + kFoldSeed5;
            do {
                step(s0, 0, 48);
                step(s1, 8, 56);
                step(s2, 16, 64);
                step(s3, 24, 72);
                step(s4, 32, 80);
                step(s5, 40, 88);
                at += 96;
            } while (length - at > 256);
            s0 ^= s4;
            s1 ^= s5;
        }
        do {
            step(s0, 0, 32);
            step(s1, 8, 40);
            step(s2, 16, 48);
            step(s3, 24, 56);
            at += 64;
        } while (length - at > 128);
        s0 ^= s2;
        s1 ^= s3;
    }
    const uint64_t left = length - at;
    step(s0, 0, left - 16);
    step(s1, 8, left - 8);
    for (uint64_t done = 16; done <= 48 && left >= 2 * done; done += 16) {
        step(s0, done, left - done - 16);
        step(s1, done + 8, left - done - 8);
    }
    return s0 ^ s1;
}

// The state after bytes.
__device__ __forceinline__ uint64_t fold_bytes(uint64_t state, const uint8_t* data, uint64_t length) {
    const uint32_t by = length & 63;
    state = by == 0 ? state : state >> by | state << (64 - by);
    const MemorySource source{data};
    return length <= 16 ? fold_short(state, source, length) : fold_long(state, source, length);
}

__device__ __forceinline__ uint64_t combine(uint64_t left, uint64_t right) {
    return (17 * 37 + left) * 37 + right;
}

// The bits of a float; a zero without its sign, and with `kOneNan` any NaN as Java's.
template <bool kOneNan>
__device__ __forceinline__ uint64_t float_bits(const KeyColumn& column, uint64_t at) {
    const uint64_t bits = read_unsigned(column.values, column.width, at);
    const uint64_t magnitude = bits & ((1ull << (8 * column.width - 1)) - 1);
    const uint64_t infinity = column.width == 2 ? 0x7c00 : column.width == 4 ? 0x7f800000 : 0x7ff0000000000000ull;
    if (magnitude == 0) {
        return 0;
    }
    if (kOneNan && magnitude > infinity) {
        return infinity | (infinity & -infinity) >> 1;
    }
    return bits;
}

// A value hashed by DataFusion. `first` is its first column, or a dictionary's value by itself; what another column's
// hash goes into depends on the type.
__device__ __forceinline__ uint64_t data_fusion_value(const KeyColumn* table, const KeyColumn& column, uint64_t at,
                                                      bool first, uint64_t h) {
    const uint64_t seeded = first ? kFoldStart : h ^ kFoldStart;
    const auto joined = [&](uint64_t one) { return first ? one : combine(one, h); };
    switch (column.form) {
        case kFormWord: return fold_words(seeded, key_word(column, at), 0);
        case kFormBool: return joined(fold_words(kFoldStart, key_word(column, at), 0));
        case kFormFloat: {
            const uint64_t bits = float_bits<false>(column, at);
            if (first) {
                return fold_words(seeded, bits, 0);
            }
            const uint64_t rotated = seeded >> column.width | seeded << (64 - column.width);
            if (column.width == 2) {  // its first byte, and the last one twice
                return fold(rotated ^ (bits & 0xff), kFoldSeed1 ^ (bits & 0xff00) ^ bits >> 8);
            }
            return fold(rotated ^ bits, kFoldSeed1 ^ bits);
        }
        case kFormWide: {
            const auto* words = static_cast<const uint64_t*>(column.values) + at * (column.width / 8);
            const uint64_t low = fold_words(seeded, words[0], words[1]);
            return column.width == 16 ? low : fold_words(low, words[2], words[3]);
        }
        case kFormView: {
            const auto* view = static_cast<const uint64_t*>(column.values) + 2 * at;
            if (static_cast<uint32_t>(view[0]) <= 12) {
                return fold_words(seeded, view[0], view[1]);
            }
            const KeyBytes bytes = key_bytes(table, column, at);
            return fold_words(fold_bytes(seeded, bytes.data, bytes.length), bytes.length, 0);
        }
        default: {
            const KeyBytes bytes = key_bytes(table, column, at);
            const uint64_t end = column.form == kFormText ? 0xff : bytes.length;
            return joined(fold_words(fold_bytes(kFoldStart, bytes.data, bytes.length), end, 0));
        }
    }
}

template <Scheme kScheme, typename Source>
__device__ __forceinline__ uint64_t hash_source(const Source& source, uint64_t length, uint64_t seed) {
    if constexpr (kScheme == Scheme::kSparkMurmur3 || kScheme == Scheme::kIceberg || kScheme == Scheme::kCudf) {
        return murmur3<kScheme == Scheme::kSparkMurmur3>(source, length, static_cast<uint32_t>(seed));
    } else {
        return xxhash64(source, length, seed);
    }
}

// A value hashed by any other scheme, from the hash so far.
template <Scheme kScheme>
__device__ __forceinline__ uint64_t seeded_value(const KeyColumn* table, const KeyColumn& column, uint64_t at,
                                                 uint64_t seed) {
    if (column.form == kFormWord || column.form == kFormFloat) {
        const bool word = column.form == kFormWord;
        const WordSource source{word ? key_word(column, at) : float_bits<true>(column, at)};
        return hash_source<kScheme>(source, column.out_width, seed);
    }
    KeyBytes bytes = key_bytes(table, column, at);
    if (column.form == kFormBytes) {
        return hash_source<kScheme>(MemorySource{bytes.data}, bytes.length, seed);
    }
    const uint8_t sign = bytes.data[bytes.length - 1] & 0x80;
    const uint8_t fill = sign == 0 ? 0 : 0xff;
    while (bytes.length > 1 && bytes.data[bytes.length - 1] == fill && (bytes.data[bytes.length - 2] & 0x80) == sign) {
        --bytes.length;
    }
    return hash_source<kScheme>(ReversedSource{bytes.data, bytes.length}, bytes.length, seed);
}

__device__ __forceinline__ uint32_t cudf_combine(uint32_t left, uint32_t right) {
    return left ^ (right + 0x9e3779b9u + (left << 6) + (left >> 2));
}

template <Scheme kScheme>
__device__ __forceinline__ uint64_t hash_row(const KeyColumn* table, uint32_t columns, uint64_t row, bool* any) {
    constexpr bool kSpark = kScheme == Scheme::kSparkMurmur3 || kScheme == Scheme::kSparkXxHash64;
    uint64_t h = kSpark ? 42 : 0;
    for (uint32_t i = 0; i < columns; ++i) {
        const KeyColumn& column = table[i];
        uint64_t at = 0;
        if (find_key(column, row, &at)) {
            *any = true;
            if constexpr (kScheme == Scheme::kDataFusion) {
                const bool dictionary = column.keys != nullptr;
                const uint64_t value = data_fusion_value(table, column, at, i == 0 || dictionary, h);
                h = dictionary && i > 0 ? combine(value, h) : value;
            } else if constexpr (kScheme == Scheme::kCudf) {
                h = cudf_combine(h, seeded_value<kScheme>(table, column, at, 0));
            } else {
                h = seeded_value<kScheme>(table, column, at, h);
            }
        } else if (kScheme == Scheme::kDataFusion && column.kind == kKeyNull) {
            const uint64_t one = fold_words(kFoldStart, 1, 0);
            h = i == 0 ? one : combine(one, h);
        } else if (kScheme == Scheme::kCudf) {
            h = cudf_combine(h, 0xffffffff);
        }
    }
    return h;
}

// The row's hash; `any` becomes true when one of its keys is not null.
__device__ __forceinline__ uint64_t hash_row(Scheme scheme, const KeyColumn* table, uint32_t columns, uint64_t row,
                                             bool* any) {
    switch (scheme) {
        case Scheme::kDataFusion: return hash_row<Scheme::kDataFusion>(table, columns, row, any);
        case Scheme::kSparkMurmur3: return hash_row<Scheme::kSparkMurmur3>(table, columns, row, any);
        case Scheme::kSparkXxHash64: return hash_row<Scheme::kSparkXxHash64>(table, columns, row, any);
        case Scheme::kXxHash64: return hash_row<Scheme::kXxHash64>(table, columns, row, any);
        case Scheme::kIceberg: return hash_row<Scheme::kIceberg>(table, columns, row, any);
        default: return hash_row<Scheme::kCudf>(table, columns, row, any);
    }
}

}  // namespace warpline
