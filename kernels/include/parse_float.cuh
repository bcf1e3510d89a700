// Floats in text, correctly rounded, by the grammar of arrow-rs's casts (lexical-core 1): a sign, digits with a point
// before, among or behind them, an exponent; or nan, inf, infinity in any letter case.
//
// Sources: Lemire, "Number Parsing at a Gigabyte per Second", 2021: 19 digits times the leading 128 bits of a power of
// ten. Here both ends of what the cut digits and the cut power leave open are rounded; where they differ, the text is
// compared with the number halfway between (Clinger, "How to Read Floating Point Numbers Accurately", 1990).
#pragma once

#include <cstdint>

#include "format.cuh"
#include "parse.cuh"

namespace warpline {

// A format of floats by its bits.
struct FloatFormat {
    int32_t fraction_bits;
    int32_t bias;

    __device__ __forceinline__ uint64_t infinity() const { return static_cast<uint64_t>(2 * bias + 1) << fraction_bits; }
};

// w * power * 2^(exponent - 127) as the bits of the nearest float, of two the even one, for w > 0 and a power with the
// leading one of 128 bits set.
__device__ __forceinline__ uint64_t nearest(uint64_t w, unsigned __int128 power, int32_t exponent,
                                            const FloatFormat& format) {
    const int32_t zeros = __clzll(static_cast<long long>(w));
    w <<= zeros;
    const unsigned __int128 low = static_cast<unsigned __int128>(w) * static_cast<uint64_t>(power);
    unsigned __int128 top = static_cast<unsigned __int128>(w) * static_cast<uint64_t>(power >> 64) +
                            static_cast<uint64_t>(low >> 64);
    const bool short_one = top >> 127 == 0;
    top = short_one ? top << 1 | (static_cast<uint64_t>(low) >> 63) : top;
    const uint64_t leading = static_cast<uint64_t>(top >> 64);
    const bool more = (static_cast<uint64_t>(top) | (static_cast<uint64_t>(low) << short_one)) != 0;
    // The number is between 2^scale and twice that.
    const int32_t scale = exponent + 64 - zeros - short_one;
    if (scale > format.bias) {
        return format.infinity();
    }
    const int32_t below = 1 - format.bias - scale;
    const int32_t dropped = 63 - format.fraction_bits + (below > 0 ? below : 0);
    if (dropped > 64) {
        return 0;
    }
    const uint64_t kept = dropped == 64 ? 0 : leading >> dropped;
    const uint64_t half = 1ull << (dropped - 1);
    const bool past = more || (leading & (half - 1)) != 0;
    const bool up = (leading & half) != 0 && (past || (kept & 1) != 0);
    // A carry goes into the exponent.
    return (below > 0 ? 0 : static_cast<uint64_t>(scale + format.bias - 1) << format.fraction_bits) + kept + up;
}

// A natural number, in words of 32 bits, the lowest first.
class Natural {
   public:
    __device__ __forceinline__ explicit Natural(uint64_t value) : count_(0) {
        for (; value != 0; value >>= 32) {
            word_[count_++] = static_cast<uint32_t>(value);
        }
    }

    __device__ __forceinline__ void multiply_add(uint32_t factor, uint32_t more) {
        uint64_t carry = more;
        for (int32_t i = 0; i < count_; ++i) {
            carry += static_cast<uint64_t>(word_[i]) * factor;
            word_[i] = static_cast<uint32_t>(carry);
            carry >>= 32;
        }
        if (carry != 0 && count_ < kWords) {
            word_[count_++] = static_cast<uint32_t>(carry);
        }
    }

    // Times base^n, for a base of at most 5.
    __device__ __forceinline__ void multiply_power(uint32_t base, int64_t n) {
        while (n > 0) {
            uint32_t factor = 1;
            for (int step = 0; step < 13 && n > 0; ++step, --n) {
                factor *= base;
            }
            multiply_add(factor, 0);
        }
    }

    // Negative, zero or positive.
    __device__ __forceinline__ int compare(const Natural& other) const {
        if (count_ != other.count_) {
            return count_ - other.count_;
        }
        int32_t i = count_ - 1;
        while (i >= 0 && word_[i] == other.word_[i]) {
            --i;
        }
        return i < 0 ? 0 : word_[i] < other.word_[i] ? -1 : 1;
    }

   private:
    // 801 digits, and 55 bits times 5^1125, have less than 2,800 bits.
    static constexpr int32_t kWords = 96;

    uint32_t word_[kWords];
    int32_t count_;
};

// Digits, a point among them, and the power of ten that they are multiplied by.
struct DigitText {
    Chars text;
    uint64_t begin;
    uint64_t point;
    uint64_t end;
    int64_t power;

    // The power of ten that the digit at `i` counts.
    __device__ __forceinline__ int64_t place(uint64_t i) const {
        return power + static_cast<int64_t>(point) - static_cast<int64_t>(i) - (i < point);
    }

    // Gives a function the digits and where they are, from the first that is not zero.
    template <typename Use>
    __device__ __forceinline__ void each_digit(Use use) const {
        bool leading = true;
        for (uint64_t i = begin; i < end; ++i) {
            leading = leading && (i == point || text.digit(i) == 0);
            if (!leading && i != point) {
                use(i, text.digit(i));
            }
        }
    }
};

// Whether the number is below, at or above the one halfway between a float and the next.
__device__ __forceinline__ int compare_with_half(const DigitText& number, uint64_t bits, const FloatFormat& format) {
    // No number halfway between two doubles has more than 768 digits: of those behind these, only whether there are any
    // matters.
    constexpr int32_t kDigits = 800;
    Natural digits(0);
    int32_t count = 0;
    int64_t place = 0;
    bool more = false;
    number.each_digit([&](uint64_t i, uint32_t digit) {
        if (count < kDigits) {
            digits.multiply_add(10, digit);
            place = number.place(i);
            ++count;
        } else {
            more |= digit != 0;
        }
    });
    if (more) {
        digits.multiply_add(10, 1);
        --place;
    }
    const int32_t exponent = static_cast<int32_t>(bits >> format.fraction_bits);
    const uint64_t hidden = 1ull << format.fraction_bits;
    const uint64_t fraction = (bits & (hidden - 1)) | (exponent == 0 ? 0 : hidden);
    Natural half(2 * fraction + 1);
    const int64_t scale = (exponent == 0 ? 1 : exponent) - format.bias - format.fraction_bits - 1;
    if (place < 0) {
        half.multiply_power(5, -place);
    } else {
        digits.multiply_power(5, place);
    }
    if (place < scale) {
        half.multiply_power(2, scale - place);
    } else {
        digits.multiply_power(2, place - scale);
    }
    return digits.compare(half);
}

// The bits of the float nearest to a number, of two the even one.
__device__ __forceinline__ uint64_t nearest(const DigitText& number, const FloatFormat& format, const uint64_t* powers) {
    uint64_t w = 0;
    int32_t count = 0;
    int64_t place = 0;
    bool more = false;
    number.each_digit([&](uint64_t i, uint32_t digit) {
        if (count < 19) {
            w = w * 10 + digit;
            place = number.place(i);
            ++count;
        } else {
            more |= digit != 0;
        }
    });
    // 10^19 * 10^-343 is less than half of the least double.
    if (w == 0 || place < kLowestPower) {
        return 0;
    }
    if (place > 308) {
        return format.infinity();
    }
    const int32_t k = static_cast<int32_t>(place);
    const uint64_t* power = powers + 2 * (k - kLowestPower);
    const unsigned __int128 most = static_cast<unsigned __int128>(power[1]) << 64 | power[0];
    // 5^55 is the last power that 128 bits hold; the others are rounded up.
    const bool rounded = k < 0 || k > 55;
    const int32_t exponent = log2_of_power(k);
    const uint64_t below = nearest(w, most - rounded, exponent, format);
    const uint64_t above = nearest(w + more, most, exponent, format);
    if (below == above) {
        return below;
    }
    const int order = compare_with_half(number, below, format);
    return order < 0 || (order == 0 && (below & 1) == 0) ? below : above;
}

// The bits of what a text without white space around it says.
__device__ __forceinline__ bool parse_float(const Chars& text, const FloatFormat& format, const uint64_t* powers,
                                            uint64_t& bits) {
    const bool negative = text[0] == '-';
    const uint64_t begin = negative || text[0] == '+';
    const uint64_t sign = static_cast<uint64_t>(negative) << (format.fraction_bits + (format.bias > 127 ? 11 : 8));
    const auto skip_digits = [&](uint64_t i) {
        while (text.is_digit(i)) {
            ++i;
        }
        return i;
    };
    const uint64_t point = skip_digits(begin);
    const bool pointed = text[point] == '.';
    const uint64_t end = pointed ? skip_digits(point + 1) : point;
    if (end - begin == pointed) {
        const auto says = [&](const char* word, uint64_t length) {
            bool same = text.length == begin + length;
            for (uint64_t i = 0; i < length; ++i) {
                same = same && (text[begin + i] | 32) == word[i];
            }
            return same;
        };
        if (says("nan", 3)) {
            bits = format.infinity() | 1ull << (format.fraction_bits - 1);
            return true;
        }
        bits = sign | format.infinity();
        return says("inf", 3) || says("infinity", 8);
    }
    int64_t power = 0;
    uint64_t last = end;
    if ((text[end] | 32) == 'e') {
        const bool down = text[end + 1] == '-';
        const uint64_t first = end + 1 + (down || text[end + 1] == '+');
        last = skip_digits(first);
        for (uint64_t i = first; i < last && power < 0x10000000; ++i) {
            power = power * 10 + text.digit(i);
        }
        power = down ? -power : power;
        if (last == first) {
            return false;
        }
    }
    if (last != text.length) {
        return false;
    }
    bits = sign | nearest({text, begin, point, end, power}, format, powers);
    return true;
}

}  // namespace warpline
