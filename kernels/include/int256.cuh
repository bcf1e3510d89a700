// 256-bit integers in two's complement, as Arrow's Decimal256 holds them: four 64-bit limbs, the lowest first.
#pragma once

#include <cstdint>

namespace warpline {

struct Int256 {
    uint64_t limb[4];

    __device__ __forceinline__ bool negative() const { return static_cast<int64_t>(limb[3]) < 0; }
};

// Sets x to x * factor + more, both sides read as unsigned; gives what passes 256 bits.
__device__ __forceinline__ uint64_t multiply_add(Int256& x, uint64_t factor, uint64_t more) {
    for (uint64_t& limb : x.limb) {
        const unsigned __int128 product = static_cast<unsigned __int128>(limb) * factor + more;
        limb = static_cast<uint64_t>(product);
        more = static_cast<uint64_t>(product >> 64);
    }
    return more;
}

// x + y, modulo 2^256.
__device__ __forceinline__ Int256 sum(const Int256& x, const Int256& y) {
    Int256 result;
    unsigned __int128 carry = 0;
    for (int i = 0; i < 4; ++i) {
        carry += x.limb[i];
        carry += y.limb[i];
        result.limb[i] = static_cast<uint64_t>(carry);
        carry >>= 64;
    }
    return result;
}

// -x, modulo 2^256.
__device__ __forceinline__ Int256 negated(const Int256& x) {
    return sum({{~x.limb[0], ~x.limb[1], ~x.limb[2], ~x.limb[3]}}, {{1, 0, 0, 0}});
}

}  // namespace warpline
