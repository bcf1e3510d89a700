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

// x - y, modulo 2^256.
__device__ __forceinline__ Int256 difference(const Int256& x, const Int256& y) {
    Int256 result;
    uint64_t borrow = 0;
    for (int i = 0; i < 4; ++i) {
        const unsigned __int128 part = static_cast<unsigned __int128>(x.limb[i]) - y.limb[i] - borrow;
        result.limb[i] = static_cast<uint64_t>(part);
        borrow = static_cast<uint64_t>(part >> 64) & 1;
    }
    return result;
}

// |x|, to be read as unsigned.
__device__ __forceinline__ Int256 magnitude(const Int256& x) { return x.negative() ? negated(x) : x; }

// Whether x < y, both read as unsigned.
__device__ __forceinline__ bool below(const Int256& x, const Int256& y) {
    bool less = false;
    for (int i = 0; i < 4; ++i) {
        less = x.limb[i] < y.limb[i] || (x.limb[i] == y.limb[i] && less);
    }
    return less;
}

// In the order of unsigned numbers.
__device__ __forceinline__ bool operator<(const Int256& x, const Int256& y) { return below(x, y); }

__device__ __forceinline__ bool operator==(const Int256& x, const Int256& y) {
    return x.limb[0] == y.limb[0] && x.limb[1] == y.limb[1] && x.limb[2] == y.limb[2] && x.limb[3] == y.limb[3];
}

__device__ __forceinline__ bool is_zero(const Int256& x) {
    return (x.limb[0] | x.limb[1] | x.limb[2] | x.limb[3]) == 0;
}

__device__ __forceinline__ int leading_zeros(const Int256& x) {
    for (int i = 3; i >= 0; --i) {
        if (x.limb[i] != 0) {
            return 64 * (3 - i) + __clzll(static_cast<long long>(x.limb[i]));
        }
    }
    return 256;
}

// x * 2^by for `by` from 0 to 255, modulo 2^256.
__device__ __forceinline__ Int256 shifted_left(Int256 x, int by) {
    for (; by >= 64; by -= 64) {
        x = {{0, x.limb[0], x.limb[1], x.limb[2]}};
    }
    if (by > 0) {
        for (int i = 3; i > 0; --i) {
            x.limb[i] = x.limb[i] << by | x.limb[i - 1] >> (64 - by);
        }
        x.limb[0] <<= by;
    }
    return x;
}

// x * y, both read as unsigned; `lost` says whether it passes 256 bits.
__device__ __forceinline__ Int256 product(const Int256& x, const Int256& y, bool& lost) {
    Int256 result = {{0, 0, 0, 0}};
    lost = false;
    for (int i = 0; i < 4; ++i) {
        uint64_t carry = 0;
        for (int j = 0; j < 4; ++j) {
            if (i + j >= 4) {
                lost |= x.limb[j] != 0 && y.limb[i] != 0;
                continue;
            }
            const unsigned __int128 part =
                static_cast<unsigned __int128>(x.limb[j]) * y.limb[i] + result.limb[i + j] + carry;
            result.limb[i + j] = static_cast<uint64_t>(part);
            carry = static_cast<uint64_t>(part >> 64);
        }
        lost |= carry != 0;
    }
    return result;
}

// x / y for y > 0, both read as unsigned, by long division: a bit a step, as many as the quotient has. Sets x to the
// remainder.
__device__ __forceinline__ Int256 divide(Int256& x, const Int256& y) {
    Int256 quotient = {{0, 0, 0, 0}};
    int step = leading_zeros(y) - leading_zeros(x);
    if (step < 0) {
        return quotient;
    }
    for (Int256 part = shifted_left(y, step); step >= 0; --step) {
        quotient = sum(quotient, quotient);
        if (!below(x, part)) {
            x = difference(x, part);
            quotient.limb[0] |= 1;
        }
        for (int i = 0; i < 3; ++i) {
            part.limb[i] = part.limb[i] >> 1 | part.limb[i + 1] << 63;
        }
        part.limb[3] >>= 1;
    }
    return quotient;
}

// Sets x, read as unsigned, to a tenth of it; gives the last digit.
__device__ __forceinline__ uint32_t take_digit(Int256& x) {
    uint64_t rest = 0;
    for (int i = 3; i >= 0; --i) {
        const uint64_t high = rest << 32 | x.limb[i] >> 32;
        const uint64_t low = high % 10 << 32 | (x.limb[i] & 0xffffffff);
        x.limb[i] = high / 10 << 32 | low / 10;
        rest = low % 10;
    }
    return static_cast<uint32_t>(rest);
}

}  // namespace warpline
