// Key columns: what hashing and partitioning know of a column whose values they read row by row. The host fills a table
// of these, the addresses of views' data buffers behind them, and says in each how its values are read.
#pragma once

#include <cstdint>

#include "bits.cuh"

namespace warpline {

// How a value lies in memory.
enum KeyKind : uint32_t {
    kKeyNull = 0,      // no buffers: every row is null
    kKeyBits = 1,
    kKeyUnsigned = 2,  // `width` bytes, at most 8 of them read, zero-extended
    kKeySigned = 3,    // the same, sign-extended
    kKeyFixed = 4,     // `width` bytes
    kKeyBytes32 = 5,   // 32-bit offsets, bytes
    kKeyBytes64 = 6,   // 64-bit offsets, bytes
    kKeyViews = 7,     // 16-byte views; `bytes` is the index of the table's word with the first data buffer's address
};

// A dictionary column has `keys`, and the other pointers are its dictionary's. Null bitmaps mean that all is valid.
struct KeyColumn {
    const void* values;
    uint64_t bytes;
    const uint32_t* validity;
    const void* keys;
    const uint32_t* key_validity;
    uint32_t kind;
    uint32_t width;
    uint32_t key_width;
    uint32_t form;       // what the scheme makes of a value: HashForm in hash.cuh
    uint64_t out_width;  // bytes of a word that are hashed
};
static_assert(sizeof(KeyColumn) == 64, "the host writes these as eight 8-byte words");

// The unsigned integer of `width` bytes, at most eight, at `row`.
__device__ __forceinline__ uint64_t read_unsigned(const void* values, uint32_t width, uint64_t row) {
    switch (width) {
        case 1: return static_cast<const uint8_t*>(values)[row];
        case 2: return static_cast<const uint16_t*>(values)[row];
        case 4: return static_cast<const uint32_t*>(values)[row];
        // Of a wider integer the low word.
        default: return static_cast<const uint64_t*>(values)[row * (width / 8)];
    }
}

// Where the row's value lies among the values; false for a null.
__device__ __forceinline__ bool find_key(const KeyColumn& column, uint64_t row, uint64_t* at) {
    if (column.kind == kKeyNull) {
        return false;
    }
    if (column.keys != nullptr) {
        if (column.key_validity != nullptr && !bit_at(column.key_validity, row)) {
            return false;
        }
        row = read_unsigned(column.keys, column.key_width, row);
    }
    *at = row;
    return column.validity == nullptr || bit_at(column.validity, row);
}

// A value of bits or of an integer, as 64 bits.
__device__ __forceinline__ uint64_t key_word(const KeyColumn& column, uint64_t at) {
    if (column.kind == kKeyBits) {
        return bit_at(static_cast<const uint32_t*>(column.values), at);
    }
    const uint64_t value = read_unsigned(column.values, column.width, at);
    if (column.kind != kKeySigned || column.width >= 8) {
        return value;
    }
    const uint32_t unused = 64 - 8 * column.width;
    return static_cast<uint64_t>(static_cast<int64_t>(value << unused) >> unused);
}

// Bytes of a value in memory.
struct KeyBytes {
    const uint8_t* data;
    uint64_t length;
};

// A value of fixed width, a string or binary.
__device__ __forceinline__ KeyBytes key_bytes(const KeyColumn* table, const KeyColumn& column, uint64_t at) {
    const auto* values = static_cast<const uint8_t*>(column.values);
    if (column.kind == kKeyViews) {
        const auto* view = reinterpret_cast<const uint32_t*>(values + 16 * at);
        const uint32_t length = view[0];
        if (length <= 12) {
            return {reinterpret_cast<const uint8_t*>(view + 1), length};
        }
        const uint64_t address = reinterpret_cast<const uint64_t*>(table)[column.bytes + view[2]];
        return {reinterpret_cast<const uint8_t*>(address) + view[3], length};
    }
    if (column.kind == kKeyFixed) {
        return {values + at * column.width, column.width};
    }
    const auto* bytes = reinterpret_cast<const uint8_t*>(column.bytes);
    if (column.kind == kKeyBytes64) {
        const auto* offsets = static_cast<const uint64_t*>(column.values);
        return {bytes + offsets[at], offsets[at + 1] - offsets[at]};
    }
    const auto* offsets = static_cast<const uint32_t*>(column.values);
    return {bytes + offsets[at], offsets[at + 1] - offsets[at]};
}

}  // namespace warpline
