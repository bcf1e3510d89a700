// Numbers as text, written from its end.
//
// Source of the shortest decimals: Giulietti, "The Schubfach way to render doubles", 2021.
#pragma once

#include <cstdint>

#include "move.cuh"

namespace warpline {

// Text that grows towards lower addresses, from a multiple of 4.
class Backwards {
   public:
    __device__ __forceinline__ explicit Backwards(uint8_t* end) : at_(global(end)) {}

    __device__ __forceinline__ void put(char c) { *--at_ = static_cast<uint8_t>(c); }

    // The last `count` digits, with zeros before them.
    __device__ __forceinline__ void digits(uint64_t value, uint32_t count) {
        for (; count > 0; --count) {
            const uint64_t rest = value / 10;
            put(static_cast<char>('0' + (value - rest * 10)));
            value = rest;
        }
    }

    // All digits, at least one.
    __device__ __forceinline__ void number(uint64_t value) {
        do {
            digits(value, 1);
            value /= 10;
        } while (value != 0);
    }

    __device__ __forceinline__ void signed_number(int64_t value) {
        number(value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value));
        if (value < 0) {
            put('-');
        }
    }

    // Where the text begins. What lies before it in its first word becomes zero, since copies read whole words.
    __device__ __forceinline__ uint8_t* finish() {
        for (uint8_t* before = at_; reinterpret_cast<uint64_t>(before) % 4 != 0;) {
            *--before = 0;
        }
        return at_;
    }

    // So many zeros.
    __device__ __forceinline__ void zeros(int32_t count) {
        for (; count > 0; --count) {
            put('0');
        }
    }

   private:
    uint8_t* at_;
};

// A number of few digits, the last of which counts 10^exponent.
struct Decimal {
    uint64_t digits;
    int32_t exponent;
};

// The first power of the table.
constexpr int32_t kLowestPower = -342;

// floor(log2(10^k)).
__device__ __forceinline__ int32_t log2_of_power(int32_t k) { return (k * 1741647) >> 19; }

// floor(log10(2^q)), or of three quarters of it.
__device__ __forceinline__ int32_t log10_of_power(int32_t q, bool three_quarters) {
    return (q * 1262611 - (three_quarters ? 524031 : 0)) >> 22;
}

// floor(power * x / 2^128), the lowest bit set where something was cut; the power is at most one too large.
__device__ __forceinline__ uint64_t scaled_to_odd(uint64_t low, uint64_t high, uint64_t x) {
    const uint64_t middle = high * x;
    const uint64_t sum = middle + __umul64hi(low, x);
    return (__umul64hi(high, x) + (sum < middle)) | (sum > 1);
}

// The shortest decimal that reads back as c * 2^q, of these the nearest, of two the even one, or with `ties_up` the higher.
// `lopsided`: the next lower float is half as far as the next higher one. `powers`: the leading 128 bits of powers of ten,
// low half first.
__device__ __forceinline__ Decimal shortest(uint64_t c, int32_t q, bool lopsided, bool ties_up,
                                            const uint64_t* powers) {
    const int32_t k = log10_of_power(q, lopsided);
    const int32_t shift = q + log2_of_power(-k) + 1;
    const uint64_t* power = powers + 2 * (-k - kLowestPower);
    const uint64_t low = power[0];
    const uint64_t high = power[1];
    // The number and the ends of what reads back as it, in quarters of 10^k.
    const uint64_t open = c & 1;
    const uint64_t value = scaled_to_odd(low, high, 4 * c << shift);
    const uint64_t least = scaled_to_odd(low, high, (4 * c - 2 + lopsided) << shift) + open;
    const uint64_t most = scaled_to_odd(low, high, (4 * c + 2) << shift) - open;
    Decimal found{value / 4, k};
    const uint64_t tenth = found.digits / 10;
    const bool tenth_below = found.digits >= 10 && least <= 40 * tenth;
    const bool tenth_above = found.digits >= 10 && 40 * tenth + 40 <= most;
    if (tenth_below != tenth_above) {
        found = {tenth + tenth_above, k + 1};
    } else {
        const bool below = least <= 4 * found.digits;
        const bool above = 4 * found.digits + 4 <= most;
        const uint64_t half = 4 * found.digits + 2;
        const bool up = below != above ? above : value > half || (value == half && (ties_up || (found.digits & 1) != 0));
        found.digits += up;
    }
    while (found.digits % 10 == 0) {
        found = {found.digits / 10, found.exponent + 1};
    }
    return found;
}

// A format of floats, and how its numbers are written.
struct FloatStyle {
    uint32_t fraction_bits;
    uint32_t exponent_bits;
    // Digits before the point, and zeros behind it, beyond which an exponent is written.
    int32_t most_digits;
    int32_t most_zeros;
    // Whether a whole number has a point.
    bool pointed;
    bool ties_up;
};

__device__ __forceinline__ void put_decimal(Backwards& text, const Decimal& number, const FloatStyle& style) {
    int32_t length = 1;
    for (uint64_t rest = number.digits; rest >= 10; rest /= 10) {
        ++length;
    }
    const int32_t whole = length + number.exponent;  // digits before the point
    if (whole > style.most_digits || whole < -style.most_zeros) {
        const int32_t power = whole - 1;
        text.number(power < 0 ? -power : power);
        if (power < 0) {
            text.put('-');
        }
        text.put('e');
        if (length > 1) {
            text.digits(number.digits, length - 1);
            text.put('.');
        }
        uint64_t first = number.digits;
        while (first >= 10) {
            first /= 10;
        }
        text.digits(first, 1);
        return;
    }
    if (number.exponent >= 0) {
        if (style.pointed) {
            text.put('0');
            text.put('.');
        }
        text.zeros(number.exponent);
        text.number(number.digits);
        return;
    }
    uint64_t rest = number.digits;
    for (int32_t i = number.exponent; i < 0; ++i) {
        text.digits(rest, 1);
        rest /= 10;
    }
    text.put('.');
    text.number(rest);
}

// The bits of a float of this format.
__device__ __forceinline__ void put_float(Backwards& text, uint64_t bits, const FloatStyle& style,
                                          const uint64_t* powers) {
    const uint64_t fraction = bits & ((1ull << style.fraction_bits) - 1);
    const uint32_t top = (1u << style.exponent_bits) - 1;
    const uint32_t exponent = static_cast<uint32_t>(bits >> style.fraction_bits) & top;
    const bool negative = (bits >> (style.fraction_bits + style.exponent_bits) & 1) != 0;
    if (exponent == top && fraction != 0) {
        text.put('N');
        text.put('a');
        text.put('N');
        return;
    }
    if (exponent == top) {
        text.put('f');
        text.put('n');
        text.put('i');
    } else if (exponent == 0 && fraction == 0) {
        put_decimal(text, {0, 0}, style);
    } else {
        const int32_t bias = static_cast<int32_t>(top / 2 + style.fraction_bits);
        const uint64_t c = exponent == 0 ? fraction : fraction | 1ull << style.fraction_bits;
        const int32_t q = static_cast<int32_t>(exponent == 0 ? 1 : exponent) - bias;
        put_decimal(text, shortest(c, q, fraction == 0 && exponent > 1, style.ties_up, powers), style);
    }
    if (negative) {
        text.put('-');
    }
}

}  // namespace warpline
