// Arrow's bitmaps: bit i of word i / 32, least significant first. Buffers are padded to 64 bytes, so whole words of a
// bitmap may be read and written; bits past the end are zero.
#pragma once

#include <cstdint>

namespace warpline {

constexpr uint32_t kFullWarp = 0xffffffffu;

__device__ __forceinline__ uint32_t lane_id() { return threadIdx.x & 31; }

__device__ __forceinline__ bool bit_at(const uint32_t* __restrict__ bits, uint64_t i) {
    return bits[i >> 5] >> (i & 31) & 1;
}

// Word `i` of a bitmap of `n` bits, with the bits past the end cleared whatever memory holds there.
__device__ __forceinline__ uint32_t word_at(const uint32_t* __restrict__ bits, uint64_t i, uint64_t n) {
    const uint64_t first = i * 32;
    if (first >= n) {
        return 0;
    }
    const uint32_t word = bits[i];
    return n - first >= 32 ? word : word & ((1u << (n - first)) - 1);
}

}  // namespace warpline
