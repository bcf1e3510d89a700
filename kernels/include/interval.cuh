// Intervals: what they add to a date, and their text as arrow-rs prints it.
#pragma once

#include <cstdint>

#include "format.cuh"

namespace warpline {

// What an interval adds. Seconds and nanoseconds are one number, the nanoseconds not below zero.
struct Span {
    int64_t months;
    int64_t days;
    int64_t seconds;
    int64_t nanoseconds;
};

// Months in the low half of a word and days in the high one, as Arrow's month-day-nano intervals lie in memory. The
// opposite for `back`.
__device__ __forceinline__ Span span(uint64_t months_days, int64_t nanoseconds, bool back) {
    const int64_t sign = back ? -1 : 1;
    const int64_t months = static_cast<int32_t>(months_days);
    const int64_t days = static_cast<int64_t>(months_days) >> 32;
    int64_t seconds = nanoseconds / 1000000000;
    int64_t rest = (nanoseconds - seconds * 1000000000) * sign;
    seconds *= sign;
    return {months * sign, days * sign, seconds - (rest < 0), rest < 0 ? rest + 1000000000 : rest};
}

// A word before what is there, and a number before it; nothing for zero.
template <int kLength>
__device__ __forceinline__ void put_part(Backwards& text, int64_t value, const char (&word)[kLength], bool& rest) {
    if (value == 0) {
        return;
    }
    if (rest) {
        text.put(' ');
    }
    rest = true;
#pragma unroll
    for (int i = kLength - 2; i >= 0; --i) {
        text.put(word[i]);
    }
    text.put(' ');
    text.signed_number(value);
}

// `1 mons 2 days 3 hours -4 mins -5.000000006 secs`, of the parts that are not zero; `digits` of a second's fraction.
__device__ __forceinline__ void put_interval(Backwards& text, int64_t months, int64_t days, int64_t nanoseconds,
                                             uint32_t digits) {
    const int64_t seconds = nanoseconds / 1000000000;
    const int64_t minutes = seconds / 60;
    const int64_t in_minute = nanoseconds - minutes * 60000000000;
    bool rest = false;
    if (in_minute != 0 || (months | days | nanoseconds) == 0) {
        for (const char c : {'s', 'c', 'e', 's', ' '}) {
            text.put(c);
        }
        rest = true;
    }
    if (in_minute != 0) {
        const uint64_t part = in_minute < 0 ? -in_minute : in_minute;
        const uint64_t fraction = part % 1000000000;
        text.digits(digits == 9 ? fraction : fraction / 1000000, digits);
        text.put('.');
        text.number(part / 1000000000);
        if (in_minute < 0) {
            text.put('-');
        }
    } else if (rest) {
        text.put('0');
    }
    put_part(text, minutes % 60, "mins", rest);
    put_part(text, minutes / 60, "hours", rest);
    put_part(text, days, "days", rest);
    put_part(text, months, "mons", rest);
}

// `-1 years 11 mons`: the months are not below zero.
__device__ __forceinline__ void put_months(Backwards& text, int32_t months) {
    const int32_t years = months / 12 - (months % 12 < 0);
    for (const char c : {'s', 'n', 'o', 'm', ' '}) {
        text.put(c);
    }
    text.number(months - years * 12);
    for (const char c : {' ', 's', 'r', 'a', 'e', 'y', ' '}) {
        text.put(c);
    }
    text.signed_number(years);
}

// ISO 8601's `PT1.5S` with a sign; what chrono's TimeDelta does not hold is invalid.
__device__ __forceinline__ void put_duration(Backwards& text, int64_t value, int64_t units) {
    constexpr int64_t kMostSeconds = INT64_MAX / 1000;
    if ((units == 1 && (value > kMostSeconds || value < -kMostSeconds)) || (units == 1000 && value == INT64_MIN)) {
        for (const char c : {'>', 'd', 'i', 'l', 'a', 'v', 'n', 'i', '<'}) {
            text.put(c);
        }
        return;
    }
    const uint64_t magnitude = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    if (magnitude == 0) {
        for (const char c : {'D', '0', 'P'}) {
            text.put(c);
        }
        return;
    }
    text.put('S');
    uint64_t fraction = magnitude % units;
    uint32_t digits = units == 1000 ? 3 : units == 1000000 ? 6 : 9;
    if (fraction != 0) {
        for (; fraction % 10 == 0; fraction /= 10) {
            --digits;
        }
        text.digits(fraction, digits);
        text.put('.');
    }
    text.number(magnitude / units);
    text.put('T');
    text.put('P');
    if (value < 0) {
        text.put('-');
    }
}

}  // namespace warpline
