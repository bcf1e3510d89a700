// Intervals from text by arrow-rs's grammar, which follows PostgreSQL's: `1 year 2 months -3.5 days`, amounts with a unit
// behind them or as the next word, no unit twice, a last amount without one in the unit of the type. A fraction goes on to
// the units below: of months to days, of weeks and less to nanoseconds; of years and more it is cut to months.
#pragma once

#include <cstdint>

#include "bytes.cuh"
#include "parse.cuh"

namespace warpline {

// Units in arrow-rs's order.
enum IntervalUnit : uint32_t {
    kCentury,
    kDecade,
    kYear,
    kMonth,
    kWeek,
    kDay,
    kHour,
    kMinute,
    kSecond,
    kMillisecond,
    kMicrosecond,
    kNanosecond,
    kNoUnit,
};

// An amount in units and 10^-15ths of one, which have its sign.
struct IntervalAmount {
    int64_t whole;
    int64_t fraction;
};

// Months, days and nanoseconds.
struct IntervalParts {
    int32_t months;
    int32_t days;
    int64_t nanos;
};

// A sign and digits, as Rust reads i64. No digits are no number.
__device__ __forceinline__ bool parse_whole(const Chars& text, uint64_t from, uint64_t end, int64_t& value) {
    const bool negative = from < end && text[from] == '-';
    from += negative;
    uint64_t magnitude;
    const uint64_t most = static_cast<uint64_t>(INT64_MAX) + negative;
    if (!digits_between(text, from, end, most, magnitude)) {
        return false;
    }
    value = static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
    return true;
}

// `12`, `-1.5`, `.5`, `-.5`; up to 15 digits behind the point.
__device__ __forceinline__ bool parse_amount(const Chars& text, uint64_t from, uint64_t end, IntervalAmount& amount) {
    uint64_t point = from;
    while (point < end && text[point] != '.') {
        ++point;
    }
    amount = {0, 0};
    if (point == end) {
        return parse_whole(text, from, end, amount.whole);
    }
    const bool negative = point > from && text[from] == '-';
    if (point > from + negative && !parse_whole(text, from, point, amount.whole)) {
        return false;
    }
    const uint64_t places = end - point - 1;
    uint64_t digits;
    if (places > 15 || !digits_between(text, point + 1, end, INT64_MAX, digits)) {
        return false;
    }
    for (uint64_t i = places; i < 15; ++i) {
        digits *= 10;
    }
    amount.fraction = negative ? -static_cast<int64_t>(digits) : static_cast<int64_t>(digits);
    return true;
}

// The unit of this name in any letter case, with the sign of kelvin as a K.
__device__ __forceinline__ IntervalUnit unit_named(const Chars& text, uint64_t from, uint64_t end) {
    uint64_t word[2] = {0, 0};
    uint32_t letters = 0;
    for (uint64_t i = from; i < end; ++letters) {
        uint32_t c = text[i++];
        if (c == 0xe2 && text[i] == 0x84 && text[i + 1] == 0xaa) {
            c = 'k';
            i += 2;
        }
        if (letters >= 12 || c == 0 || c >= 0x80) {
            return kNoUnit;
        }
        word[letters / 8] |= static_cast<uint64_t>(ascii_lower(c)) << 8 * (letters % 8);
    }
    switch (word[0]) {
        case packed("centurie"):
            return word[1] == packed("s") ? kCentury : kNoUnit;
        case packed("millisec"):
            return word[1] == packed("ond") || word[1] == packed("onds") ? kMillisecond : kNoUnit;
        case packed("microsec"):
            return word[1] == packed("ond") || word[1] == packed("onds") ? kMicrosecond : kNoUnit;
        case packed("nanoseco"):
            return word[1] == packed("nd") || word[1] == packed("nds") ? kNanosecond : kNoUnit;
    }
    if (word[1] != 0) {
        return kNoUnit;
    }
    switch (word[0]) {
        case packed("c"):
        case packed("cent"):
        case packed("cents"):
        case packed("century"):
            return kCentury;
        case packed("dec"):
        case packed("decs"):
        case packed("decade"):
        case packed("decades"):
            return kDecade;
        case packed("y"):
        case packed("yr"):
        case packed("yrs"):
        case packed("year"):
        case packed("years"):
            return kYear;
        case packed("mon"):
        case packed("mons"):
        case packed("month"):
        case packed("months"):
            return kMonth;
        case packed("w"):
        case packed("week"):
        case packed("weeks"):
            return kWeek;
        case packed("d"):
        case packed("day"):
        case packed("days"):
            return kDay;
        case packed("h"):
        case packed("hr"):
        case packed("hrs"):
        case packed("hour"):
        case packed("hours"):
            return kHour;
        case packed("m"):
        case packed("min"):
        case packed("mins"):
        case packed("minute"):
        case packed("minutes"):
            return kMinute;
        case packed("s"):
        case packed("sec"):
        case packed("secs"):
        case packed("second"):
        case packed("seconds"):
            return kSecond;
        case packed("ms"):
        case packed("msec"):
        case packed("msecs"):
        case packed("msecond"):
        case packed("mseconds"):
            return kMillisecond;
        case packed("us"):
        case packed("usec"):
        case packed("usecs"):
        case packed("usecond"):
        case packed("useconds"):
            return kMicrosecond;
        default:
            return kNoUnit;
    }
}

// Adds `more` to a part; false where it does not hold the sum.
template <typename T>
__device__ __forceinline__ bool add_to_part(T& part, __int128 more) {
    const __int128 sum = part + more;
    part = static_cast<T>(sum);
    return sum == part;
}

// Adds an amount to the parts; false where one of them, or what it is computed from, passes its width.
__device__ __forceinline__ bool add_amount(IntervalParts& parts, const IntervalAmount& amount, IntervalUnit unit) {
    // What a unit is in months, days or nanoseconds, and the number of the latter in so many 10^-15ths.
    int64_t whole = 1;
    int64_t times = 1;
    int64_t of = 1000000000000000;
    switch (unit) {
        case kCentury:
        case kDecade:
        case kYear:
            whole = unit == kCentury ? 1200 : unit == kDecade ? 120 : 12;
            times = 12;
            of /= whole / 12;
            break;
        case kMonth:
            times = 3;
            of = 100000000000000;
            break;
        case kWeek:
        case kDay:
            whole = unit == kWeek ? 7 : 1;
            times = whole * 24 * 36;
            of = 10000;
            break;
        case kHour:
            whole = 3600000000000;
            times = 36;
            of = 10000;
            break;
        case kMinute:
            whole = 60000000000;
            times = 6;
            of = 100000;
            break;
        case kSecond:
            whole = 1000000000;
            of = 1000000;
            break;
        case kMillisecond:
            whole = 1000000;
            of = 1000000000;
            break;
        case kMicrosecond:
            whole = 1000;
            of = 1000000000000;
            break;
        default:
            break;
    }
    const __int128 first = static_cast<__int128>(amount.whole) * whole;
    const int64_t rest = amount.fraction * times / of;
    if (unit <= kYear) {
        // The product and the sum are of 64 bits, the months of 32.
        const __int128 months = first + rest;
        return first == static_cast<int64_t>(first) && months == static_cast<int32_t>(months) &&
               add_to_part(parts.months, months);
    }
    if (unit == kMonth) {
        return first == static_cast<int32_t>(first) && add_to_part(parts.months, first) && add_to_part(parts.days, rest);
    }
    if (unit <= kDay) {
        return first == static_cast<int32_t>(first) && add_to_part(parts.days, first) && add_to_part(parts.nanos, rest);
    }
    const __int128 nanos = first + rest;
    return first == static_cast<int64_t>(first) && nanos == static_cast<int64_t>(nanos) && add_to_part(parts.nanos, nanos);
}

// Where the word at `i` ends, which is before white space.
__device__ __forceinline__ uint64_t word_end(const Chars& text, uint64_t i) {
    while (i < text.length && text.space(i) == 0) {
        ++i;
    }
    return i;
}

// Where the amount at `i` ends.
__device__ __forceinline__ uint64_t amount_end(const Chars& text, uint64_t i, uint64_t end) {
    while (i < end && (text.is_digit(i) || text[i] == '.' || text[i] == '-')) {
        ++i;
    }
    return i;
}

// An interval; `last` is the unit of a last amount without one.
__device__ __forceinline__ bool parse_interval(const Chars& text, IntervalUnit last, IntervalParts& parts) {
    uint32_t seen = 0;
    parts = {0, 0, 0};
    for (uint64_t i = 0; i <= text.length;) {
        uint64_t end = word_end(text, i);
        const uint64_t split = amount_end(text, i, end);
        IntervalAmount amount;
        if (!parse_amount(text, i, split, amount)) {
            return false;
        }
        IntervalUnit unit = last;
        uint64_t from = split;
        if (split == end && end < text.length) {
            from = end + text.space(end);
            end = word_end(text, from);
        }
        if (from > split || split < end) {
            unit = unit_named(text, from, end);
        }
        if (unit == kNoUnit || (seen >> unit & 1) != 0 || !add_amount(parts, amount, unit)) {
            return false;
        }
        seen |= 1u << unit;
        // Behind the last word is no other, behind white space at the end there is an empty one.
        i = end < text.length ? end + text.space(end) : text.length + 1;
    }
    return true;
}

}  // namespace warpline
