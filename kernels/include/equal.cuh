// Equality of keys over any number of columns, as joining and grouping compare them: NaN with NaN, -0.0 with 0.0, strings
// by their bytes whatever lays them out, integers by their value whatever their width. src/ops/join/cuda fills the tables.
#pragma once

#include <cstdint>

#include "hash.cuh"
#include "keys.cuh"

namespace warpline {

// The `form` of a KeyColumn that is compared.
enum EqualForm : uint32_t {
    kEqualWord = 0,         // a word as it is
    kEqualFloat = 1,        // its bits, with one zero and one NaN
    kEqualNonNegative = 2,  // a signed integer beside an unsigned one of 64 bits: a negative one equals nothing there
    kEqualBytes = 3,
};

// How rows are compared.
enum EqualFlags : uint32_t {
    kCodeIsKey = 1,   // one column of words: equal codes are equal keys
    kNullsEqual = 2,  // a null equals a null; without it a row with a null equals nothing
};

// A row's keys as one word: their hash, or the key itself. Rows that can equal no row are not `comparable`.
struct KeyCode {
    uint64_t word;
    bool comparable;
};

// MurmurHash3's finalizer (Appleby, smhasher): every bit of the word reaches the low ones.
__device__ __forceinline__ uint64_t mixed(uint64_t word) {
    word = (word ^ word >> 33) * 0xff51afd7ed558ccdull;
    word = (word ^ word >> 33) * 0xc4ceb9fe1a85ec53ull;
    return word ^ word >> 33;
}

// A value that is a word; false for one that equals nothing.
__device__ __forceinline__ bool comparable_word(const KeyColumn& column, uint64_t at, uint64_t* word) {
    if (column.form == kEqualFloat) {
        *word = float_bits<true>(column, at);
        return true;
    }
    *word = key_word(column, at);
    return column.form != kEqualNonNegative || static_cast<int64_t>(*word) >= 0;
}

// The hash of a row's keys. A call, as it is long and the kernels that probe look up several rows a thread.
__device__ __noinline__ KeyCode key_hash(const KeyColumn* table, uint32_t columns, uint32_t flags, uint64_t row) {
    uint64_t hash = 0;
    for (uint32_t i = 0; i < columns; ++i) {
        const KeyColumn& column = table[i];
        uint64_t at = 0;
        uint64_t word = 0;
        if (!find_key(column, row, &at)) {
            if ((flags & kNullsEqual) == 0) {
                return {0, false};
            }
            word = kXxPrime5;
        } else if (column.form == kEqualBytes) {
            const KeyBytes bytes = key_bytes(table, column, at);
            word = xxhash64(MemorySource{bytes.data}, bytes.length, 0);
        } else if (!comparable_word(column, at, &word)) {
            return {0, false};
        }
        hash = mixed(hash * kXxPrime1 + word);
    }
    return {hash, true};
}

__device__ __forceinline__ KeyCode key_code(const KeyColumn* table, uint32_t columns, uint32_t flags, uint64_t row) {
    if ((flags & kCodeIsKey) == 0) {
        return key_hash(table, columns, flags, row);
    }
    KeyCode code{0, false};
    uint64_t at;
    if (find_key(table[0], row, &at)) {
        code.comparable = comparable_word(table[0], at, &code.word);
    }
    return code;
}

__device__ __forceinline__ bool bytes_equal(const KeyBytes& a, const KeyBytes& b) {
    if (a.length != b.length) {
        return false;
    }
    const MemorySource left{a.data};
    const MemorySource right{b.data};
    uint64_t i = 0;
    for (; i + 8 <= a.length; i += 8) {
        if (left.u64(i) != right.u64(i)) {
            return false;
        }
    }
    for (; i < a.length; ++i) {
        if (left.u8(i) != right.u8(i)) {
            return false;
        }
    }
    return true;
}

// Whether two comparable rows of two tables have equal keys. Nulls that meet here are equal. A call, as `key_hash` is.
__device__ __noinline__ bool keys_equal(const KeyColumn* a, uint64_t a_row, const KeyColumn* b, uint64_t b_row,
                                        uint32_t columns) {
    for (uint32_t i = 0; i < columns; ++i) {
        uint64_t a_at = 0;
        uint64_t b_at = 0;
        const bool valid = find_key(a[i], a_row, &a_at);
        if (valid != find_key(b[i], b_row, &b_at)) {
            return false;
        }
        if (!valid) {
            continue;
        }
        if (a[i].form == kEqualBytes) {
            if (!bytes_equal(key_bytes(a, a[i], a_at), key_bytes(b, b[i], b_at))) {
                return false;
            }
            continue;
        }
        uint64_t a_word = 0;
        uint64_t b_word = 0;
        comparable_word(a[i], a_at, &a_word);
        comparable_word(b[i], b_at, &b_word);
        if (a_word != b_word) {
            return false;
        }
    }
    return true;
}

}  // namespace warpline
