// Decimals: 128-bit numbers beside int256.cuh's, their digits, and both as text.
#pragma once

#include <cstdint>

#include "format.cuh"
#include "int256.cuh"

namespace warpline {

// 128-bit results as the emitted code reads them.
struct Wide {
    uint64_t low;
    uint64_t high;
    uint64_t bad;
};

__device__ __forceinline__ unsigned __int128 join(uint64_t low, uint64_t high) {
    return static_cast<unsigned __int128>(high) << 64 | low;
}

__device__ __forceinline__ unsigned __int128 magnitude(unsigned __int128 value) {
    return static_cast<__int128>(value) < 0 ? -value : value;
}

__device__ __forceinline__ Wide split(unsigned __int128 value, bool bad) {
    return {static_cast<uint64_t>(value), static_cast<uint64_t>(value >> 64), bad};
}

__device__ __forceinline__ int leading_zeros(unsigned __int128 value) {
    const uint64_t high = static_cast<uint64_t>(value >> 64);
    return high != 0 ? __clzll(static_cast<long long>(high)) : 64 + __clzll(static_cast<long long>(value));
}

// x / y for y > 0 by long division, a bit a step, as many as the quotient has; the compiler's own starts from an
// approximate reciprocal. Sets x to the remainder.
__device__ __forceinline__ unsigned __int128 divide(unsigned __int128& x, unsigned __int128 y) {
    if (static_cast<uint64_t>(x >> 64) == 0 && static_cast<uint64_t>(y >> 64) == 0) {
        const uint64_t a = static_cast<uint64_t>(x);
        const uint64_t quotient = a / static_cast<uint64_t>(y);
        x = a - quotient * static_cast<uint64_t>(y);
        return quotient;
    }
    unsigned __int128 quotient = 0;
    for (int step = leading_zeros(y) - leading_zeros(x); step >= 0; --step) {
        const unsigned __int128 part = y << step;
        quotient <<= 1;
        if (x >= part) {
            x -= part;
            quotient |= 1;
        }
    }
    return quotient;
}

constexpr unsigned __int128 kLowest = static_cast<unsigned __int128>(1) << 127;

// Sets x to a tenth of it; gives the last digit.
__device__ __forceinline__ uint32_t take_digit(unsigned __int128& x) {
    const unsigned __int128 tenth = divide(x, 10);
    const uint32_t digit = static_cast<uint32_t>(x);
    x = tenth;
    return digit;
}

// How many digits x has, at least one.
__device__ __forceinline__ uint32_t count_digits(unsigned __int128 x) {
    uint32_t digits = 1;
    for (unsigned __int128 power = 10; digits < 39 && x >= power; power *= 10) {
        ++digits;
    }
    return digits;
}

__device__ __forceinline__ uint32_t count_digits(const Int256& x) {
    uint32_t digits = 1;
    for (Int256 power = {{10, 0, 0, 0}}; digits < 78 && !below(x, power); multiply_add(power, 10, 0)) {
        ++digits;
    }
    return digits;
}

// 256-bit results as the emitted code reads them.
struct Huge {
    Int256 value;
    uint64_t bad;
};

// A number of this magnitude and sign, and whether there is none: 2^255 has to be negative.
__device__ __forceinline__ Huge with_sign(const Int256& magnitude, bool negative, bool bad) {
    const Int256 value = negative ? negated(magnitude) : magnitude;
    return {value, bad || (value.negative() != negative && !is_zero(value))};
}

// a / b, and what is left, with the sign of a; bad for a divisor of zero, whose `rest` is zero.
__device__ __forceinline__ Huge quotient(const Int256& a, const Int256& b, Int256& rest) {
    rest = magnitude(a);
    if (is_zero(b)) {
        rest = b;
        return {b, true};
    }
    const Int256 value = divide(rest, magnitude(b));
    if (a.negative()) {
        rest = negated(rest);
    }
    return with_sign(value, a.negative() != b.negative(), false);
}

// The first `precision` digits, of which the last `scale` follow a point; a scale below zero adds zeros.
template <typename Number>
__device__ __forceinline__ uint8_t* format_decimal(uint8_t* end, Number rest, bool negative, uint32_t precision,
                                                   int32_t scale) {
    uint32_t digits = count_digits(rest);
    const bool below_one = scale > 0 && digits <= static_cast<uint32_t>(scale);
    for (; digits > precision; --digits) {
        take_digit(rest);
    }
    Backwards text(end);
    text.zeros(-scale);
    const uint32_t fraction = scale > 0 ? scale : 0;
    const uint32_t written = below_one ? fraction : digits;
    for (uint32_t i = 0; i < written; ++i) {
        if (i == fraction && i > 0) {
            text.put('.');
        }
        text.put(static_cast<char>('0' + take_digit(rest)));
    }
    if (written == fraction && fraction > 0) {
        text.put('.');
        if (below_one) {
            text.put('0');
        }
    }
    if (negative) {
        text.put('-');
    }
    return text.finish();
}

}  // namespace warpline
