// Bytes: at any address, read in aligned words, and as letters.
#pragma once

#include <cstdint>

namespace warpline {

// Sixteen bytes from any address. Words are read only where one of the bytes lies, so that nothing is read past the last
// word of the buffer.
__device__ __forceinline__ uint4 load_unaligned(const uint8_t* bytes) {
    const uint64_t address = reinterpret_cast<uint64_t>(bytes);
    const uint32_t* words = reinterpret_cast<const uint32_t*>(bytes - address % 4);
    const uint32_t shift = static_cast<uint32_t>(address % 4) * 8;
    const uint32_t a = words[0], b = words[1], c = words[2], d = words[3];
    const uint32_t e = shift == 0 ? 0 : words[4];
    return {__funnelshift_r(a, b, shift), __funnelshift_r(b, c, shift), __funnelshift_r(c, d, shift),
            __funnelshift_r(d, e, shift)};
}

// An ASCII letter as a small one; anything else as it is.
__device__ __forceinline__ uint32_t ascii_lower(uint32_t c) { return c - 'A' < 26u ? c + 32 : c; }

}  // namespace warpline
