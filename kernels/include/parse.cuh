// Values in text, by the grammars of arrow-rs's casts (arrow-cast 59, `parse` and `cast::string`; those of zones in
// arrow-array's `timezone`), which are not ISO 8601's: a date may have a month or a day of one digit, a moment ends in any
// offset of less than a day, the 60th second is taken in every minute. Each function says whether the text is in its
// grammar; what it writes is of no use otherwise.
#pragma once

#include <cstdint>

#include "bytes.cuh"
#include "calendar.cuh"
#include "int256.cuh"
#include "zone.cuh"

namespace warpline {

// Text by position; past its end are zeros, which are in no grammar.
struct Chars {
    const uint8_t* at;
    uint64_t length;

    __device__ __forceinline__ uint8_t operator[](uint64_t i) const { return i < length ? at[i] : 0; }

    // The digit at `i`, or more than 9.
    __device__ __forceinline__ uint32_t digit(uint64_t i) const { return static_cast<uint32_t>((*this)[i]) - '0'; }

    __device__ __forceinline__ bool is_digit(uint64_t i) const { return digit(i) < 10; }

    // The number of `digits` digits at `i`.
    __device__ __forceinline__ bool number(uint64_t i, int digits, uint32_t& value) const {
        value = 0;
        for (const uint64_t end = i + digits; i < end; ++i) {
            if (!is_digit(i)) {
                return false;
            }
            value = value * 10 + digit(i);
        }
        return true;
    }

    // Bytes of the white space at `i` (Unicode's White_Space), none where there is another character.
    __device__ __forceinline__ uint64_t space(uint64_t i) const {
        const uint32_t a = (*this)[i], b = (*this)[i + 1], c = (*this)[i + 2];
        if (a < 0x80) {
            return a == ' ' || a - '\t' < 5u;
        }
        if (a == 0xc2) {
            return b == 0x85 || b == 0xa0 ? 2 : 0;
        }
        const uint32_t three = a << 16 | b << 8 | c;
        const bool known = three == 0xe19a80 || three - 0xe28080u < 11 || three == 0xe280a8 || three == 0xe280a9 ||
                           three == 0xe280af || three == 0xe2819f || three == 0xe38080;
        return known ? 3 : 0;
    }

    // Bytes of the white space that the text ends with.
    __device__ __forceinline__ uint64_t last_space() const {
        for (uint64_t bytes = 1; bytes <= 3 && bytes <= length; ++bytes) {
            if (space(length - bytes) == bytes) {
                return bytes;
            }
        }
        return 0;
    }

    // Without white space at both ends.
    __device__ __forceinline__ Chars trimmed() const {
        Chars text = *this;
        while (const uint64_t bytes = text.space(0)) {
            text = {text.at + bytes, text.length - bytes};
        }
        while (const uint64_t bytes = text.last_space()) {
            text.length -= bytes;
        }
        return text;
    }
};

// The digits from `i` to before `end`, at least one, at most as much as `most`.
__device__ __forceinline__ bool digits_between(const Chars& text, uint64_t i, uint64_t end, uint64_t most, uint64_t& value) {
    bool good = i < end;
    value = 0;
    for (; i < end && good; ++i) {
        const uint64_t digit = text.digit(i);
        // Neither product nor sum passes the limit.
        good = digit < 10 && digit <= most && value <= (most - digit) / 10;
        value = value * 10 + digit;
    }
    return good;
}

// `2024-02-29`, `2024-2-9`, `20240229`, in at most 10 bytes. A byte that is no digit may follow a day of one digit.
__device__ __forceinline__ bool parse_short_date(const Chars& text, int64_t& days) {
    uint32_t year, month, day;
    if (!text.number(0, 4, year)) {
        return false;
    }
    if (text[4] != '-') {
        return text.length == 8 && text.number(4, 2, month) && text.number(6, 2, day) && day_of(year, month, day, days);
    }
    const int month_digits = text.is_digit(6) ? 2 : 1;
    const uint64_t at = 6 + month_digits;
    const int day_digits = text.is_digit(at + 1) ? 2 : 1;
    const bool more = at + day_digits < 10 && text.is_digit(9);
    return !more && text[at - 1] == '-' && text.number(5, month_digits, month) && text.number(at, day_digits, day) &&
           day_of(year, month, day, days);
}

// `+10999-12-31`: a sign and a year of four digits or more. Month and day may have a plus sign, and zeros before them.
__device__ __forceinline__ bool parse_signed_date(const Chars& text, int64_t& days) {
    const auto hyphen = [&](uint64_t i) {
        while (i < text.length && text.at[i] != '-') {
            ++i;
        }
        return i;
    };
    const bool negative = text[0] == '-';
    const uint64_t first = hyphen(1);
    const uint64_t second = hyphen(first + 1);
    uint64_t year, month, day;
    const auto plus = [&](uint64_t i) { return i + (text[i] == '+'); };
    const bool good = first >= 5 && second < text.length &&
                      digits_between(text, 1, first, (1ull << 31) - !negative, year) &&
                      digits_between(text, plus(first + 1), second, 12, month) &&
                      digits_between(text, plus(second + 1), text.length, 31, day);
    return good && day_of(negative ? -static_cast<int64_t>(year) : static_cast<int64_t>(year),
                          static_cast<uint32_t>(month), static_cast<uint32_t>(day), days);
}

// Nanoseconds of the digits from `i` on; those after the ninth say nothing.
__device__ __forceinline__ uint32_t parse_nanos(const Chars& text, uint64_t i) {
    uint32_t nanos = 0;
    for (uint32_t unit = 100000000; unit > 0 && text.is_digit(i); ++i, unit /= 10) {
        nanos += text.digit(i) * unit;
    }
    return nanos;
}

// `+05:30`, `+0530` or `-05` as seconds ahead of UTC, from `i` to the end.
__device__ __forceinline__ bool parse_offset(const Chars& text, uint64_t i, int64_t& seconds) {
    const uint64_t bytes = text.length - i;
    const bool colon = bytes == 6 && text[i + 3] == ':';
    uint32_t hours, minutes = 0;
    const bool good = (text[i] == '+' || text[i] == '-') && (colon || bytes == 5 || bytes == 3) &&
                      text.number(i + 1, 2, hours) && (bytes == 3 || text.number(i + 3 + colon, 2, minutes));
    if (!good) {
        return false;
    }
    seconds = hours * 3600 + minutes * 60;
    const bool within = seconds < 86400;
    seconds = text[i] == '-' ? -seconds : seconds;
    return within;
}

// What a text turned out to be. Only the host knows the names of zones.
enum class Verdict : uint64_t { kGood, kBad, kMayNameZone };

__device__ __forceinline__ Verdict verdict(bool good) { return good ? Verdict::kGood : Verdict::kBad; }

// `2024-02-29`, or that and after `T`, `t` or a space a time, `09:26:56`, `09:26:56.123` or `092656`, and a zone's offset
// or `Z`. `zone`: the one that text without one is in. Seconds since the epoch, and nanoseconds, which in the 60th second
// pass a second.
__device__ __forceinline__ Verdict parse_moment(const Chars& text, const Zone& zone, int64_t& second, uint32_t& nanos) {
    uint32_t year, month, day;
    int64_t days;
    if (!text.number(0, 4, year) || text[4] != '-' || !text.number(5, 2, month) || text[7] != '-' ||
        !text.number(8, 2, day) || !day_of(year, month, day, days)) {
        return Verdict::kBad;
    }
    int64_t local = days * 86400;
    nanos = 0;
    if (text.length == 10) {
        return verdict(zone.utc(local, second));
    }
    if (text[10] != 'T' && text[10] != 't' && text[10] != ' ') {
        return Verdict::kBad;
    }
    const bool colons = text[13] == ':';
    uint32_t hour, minute, seconds;
    if (!text.number(11, 2, hour) || !text.number(13 + colons, 2, minute) ||
        !text.number(15 + 2 * colons, 2, seconds)) {
        return Verdict::kBad;
    }
    uint64_t end = colons ? 19 : 17;
    if (colons ? text[16] != ':' : text.is_digit(17) || text.is_digit(18)) {
        return Verdict::kBad;
    }
    if (colons && text[19] == '.') {
        if (!text.is_digit(20)) {
            return Verdict::kBad;
        }
        nanos = parse_nanos(text, 20);
        for (end = 20; text.is_digit(end); ++end) {
        }
    }
    if (hour > 23 || minute > 59 || seconds > 60) {
        return Verdict::kBad;
    }
    nanos += seconds == 60 ? 1000000000 : 0;
    local += hour * 3600 + minute * 60 + (seconds == 60 ? 59 : seconds);
    if (end >= text.length) {
        return verdict(zone.utc(local, second));
    }
    int64_t other = 0;
    if (end + 1 != text.length || (text[end] | 32) != 'z') {
        while (const uint64_t bytes = text.space(end)) {
            end += bytes;
        }
        if (!parse_offset(text, end, other)) {
            return (text[end] | 32) - 'a' < 26u ? Verdict::kMayNameZone : Verdict::kBad;
        }
    }
    second = local - other;
    return Verdict::kGood;
}

// The day of a date, or of a moment in UTC.
__device__ __forceinline__ Verdict parse_date(const Chars& text, int64_t& days) {
    if (text[0] == '+' || text[0] == '-') {
        return verdict(parse_signed_date(text, days) && days == static_cast<int32_t>(days));
    }
    if (text.length <= 10) {
        return verdict(parse_short_date(text, days));
    }
    int64_t second;
    uint32_t nanos;
    const Verdict found = parse_moment(text, Zone(nullptr, 0), second, nanos);
    days = (second >= 0 ? second : second - 86399) / 86400;
    return found;
}

// `9:26`, `09:26:56`, `09:26:56.123`, `09:26:56 PM`, in nanoseconds since midnight.
__device__ __forceinline__ bool parse_clock(Chars text, int64_t& nanoseconds) {
    if (text.length < 4) {
        return false;
    }
    const uint64_t last = text.length - 3;
    const uint8_t half = text[last + 1] | 32;
    const bool halved = text[last] == ' ' && (half == 'a' || half == 'p') && (text[last + 2] | 32) == 'm';
    text.length -= halved ? 3 : 0;
    const int hour_digits = text[1] == ':' ? 1 : 2;
    const uint64_t at = hour_digits + 1;
    uint32_t hour, minute, second = 0, nanos = 0;
    if (text.length < 4 || text[at - 1] != ':' || !text.number(0, hour_digits, hour) || !text.number(at, 2, minute)) {
        return false;
    }
    if (text.length > at + 2) {
        if (text[at + 2] != ':' || !text.number(at + 3, 2, second)) {
            return false;
        }
        if (text.length > at + 5) {
            uint64_t end = at + 6;
            nanos = parse_nanos(text, end);
            while (text.is_digit(end)) {
                ++end;
            }
            if (text[at + 5] != '.' || end == at + 6 || end != text.length) {
                return false;
            }
        }
    }
    if (halved) {
        if (hour - 1 > 11) {
            return false;
        }
        hour = hour % 12 + (half == 'p' ? 12 : 0);
    }
    nanos += second == 60 ? 1000000000 : 0;
    nanoseconds = (hour * 3600 + minute * 60 + (second == 60 ? 59 : second)) * 1000000000ll + nanos;
    return hour < 24 && minute < 60 && second <= 60;
}

// Up to eight letters in one word, the first one lowest.
__device__ constexpr uint64_t packed(const char* letters) {
    uint64_t word = 0;
    for (int i = 0; letters[i] != 0; ++i) {
        word |= static_cast<uint64_t>(letters[i]) << 8 * i;
    }
    return word;
}

// The beginnings of `true`, `yes`, `false` and `no`, and `on`, `off`, `of`, `1`, `0`, in any letter case.
__device__ __forceinline__ bool parse_truth(const Chars& all, bool& truth) {
    const Chars text = all.trimmed();
    uint64_t word = 0;
    for (uint64_t i = 0; i < text.length && i < 6; ++i) {
        word |= static_cast<uint64_t>(ascii_lower(text[i])) << 8 * i;
    }
    const auto begins = [&](uint64_t letters, uint64_t least, uint64_t most) {
        return text.length >= least && text.length <= most && word == (letters & ((1ull << 8 * text.length) - 1));
    };
    truth = begins(packed("true"), 1, 4) || begins(packed("yes"), 1, 3) || begins(packed("on"), 2, 2) ||
            begins(packed("1"), 1, 1);
    return truth || begins(packed("false"), 1, 5) || begins(packed("no"), 1, 2) || begins(packed("off"), 2, 3) ||
           begins(packed("0"), 1, 1);
}

// A sign, digits, a point, digits, as an integer after `scale` places, rounded half away from zero. Up to 2^255 - 1, but
// when there are more places than `scale`, for then arrow-rs lets the whole part pass 256 bits, and so is done here.
__device__ __forceinline__ bool parse_decimal(const Chars& all, uint64_t scale, Int256& value) {
    Chars text = all.trimmed();
    const bool negative = text[0] == '-';
    if (negative || text[0] == '+') {
        text = {text.at + 1, text.length - 1};
    }
    Int256 whole = {{0, 0, 0, 0}};
    Int256 places = whole;
    bool passed = false;
    const auto append = [&](Int256& number, uint32_t digit) {
        passed |= multiply_add(number, 10, digit) != 0 || number.negative();
    };
    uint64_t i = 0;
    for (; text.is_digit(i); ++i) {
        append(whole, text.digit(i));
    }
    const uint64_t before = i;
    const uint64_t point = i + (text[i] == '.');
    const uint64_t count = text.length - point;
    const bool rounds = count > scale;
    for (i = point; text.is_digit(i); ++i) {
        if (rounds) {
            append(places, text.digit(i));
        } else {
            append(whole, text.digit(i));
        }
    }
    if (i != text.length || before + count == 0 || passed || (rounds && count - scale > 76)) {
        return false;
    }
    if (!rounds) {
        for (i = count; i < scale; ++i) {
            append(whole, 0);
        }
        value = negative ? negated(whole) : whole;
        return !passed;
    }
    places = {{0, 0, 0, 0}};
    for (i = 0; i < scale; ++i) {
        multiply_add(whole, 10, 0);
        multiply_add(places, 10, text.digit(point + i));
    }
    multiply_add(places, 1, text.digit(point + scale) >= 5);
    value = sum(whole, places);
    const bool two_signs = negative && value.negative();
    value = negative ? negated(value) : value;
    return !two_signs;
}

}  // namespace warpline
