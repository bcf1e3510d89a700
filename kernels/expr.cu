// Expressions: what the kernels that src/ops/expr/emit writes at run time call. No kernel of its own: each function is
// prepended, as PTX text, to the modules that use it.
//
// Algorithm: text is compared byte by byte (text.cuh has LIKE); remainders of floats and 128- and 256-bit quotients by long
// division, a bit a step, which is exact; the base of each warp's rows by decoupled look-back (scan.cuh has the source);
// dates by calendar.cuh.
// Buffers: text as address and length; sets as sorted arrays, which the host makes.
// Nulls: callers leave null rows out. NaN: a remainder with NaN, of infinity or by zero is NaN.
// Overflow: lengths and positions have 64 bits; 128- and 256-bit results say whether they fit.
// Launch: called by blocks of 256 threads; the two functions of the look-back by all of them.
// Bytes per row: those of the texts.
// Determinism: functions of their arguments; the look-back's sums are of integers.

#include <cstdint>

#include "include/bits.cuh"
#include "include/calendar.cuh"
#include "include/decimal.cuh"
#include "include/format.cuh"
#include "include/int256.cuh"
#include "include/interval.cuh"
#include "include/move.cuh"
#include "include/parse.cuh"
#include "include/parse_float.cuh"
#include "include/parse_interval.cuh"
#include "include/scan.cuh"
#include "include/text.cuh"
#include "include/zone.cuh"

namespace {

using warpline::Backwards;
using warpline::Change;
using warpline::Civil;
using warpline::Huge;
using warpline::Int256;
using warpline::Span;
using warpline::Text;
using warpline::Wide;
using warpline::character_bytes;
using warpline::civil;
using warpline::divide;
using warpline::format_decimal;
using warpline::join;
using warpline::equal;
using warpline::kLowest;
using warpline::lane_id;
using warpline::like;
using warpline::magnitude;
using warpline::order;
using warpline::split;

constexpr int kThreads = 256;
constexpr uint32_t kWarps = kThreads / 32;
// Rows of a warp of the emitted kernels, and those that share a base in filter.cu.
constexpr uint32_t kWarpRows = 256;
constexpr uint32_t kBaseRows = 1024;

// The first of `n` sorted keys that is not below.
template <typename Key>
__device__ __forceinline__ bool holds(const Key* keys, uint64_t n, Key key) {
    uint64_t low = 0;
    uint64_t high = n;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (keys[middle] < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < n && keys[low] == key;
}

}  // namespace

extern "C" {

__device__ uint32_t expr_equal(const uint8_t* a, const uint8_t* b, uint64_t length) {
    return equal(warpline::global(a), warpline::global(b), length);
}

__device__ uint32_t expr_less(const uint8_t* a, uint64_t a_length, const uint8_t* b, uint64_t b_length) {
    return order(Text(a, a_length), Text(b, b_length)) < 0;
}

__device__ uint32_t expr_starts_with(const uint8_t* a, uint64_t a_length, const uint8_t* b, uint64_t b_length) {
    return b_length <= a_length && equal(warpline::global(a), warpline::global(b), b_length);
}

__device__ uint32_t expr_ends_with(const uint8_t* a, uint64_t a_length, const uint8_t* b, uint64_t b_length) {
    return b_length <= a_length && equal(warpline::global(a) + (a_length - b_length), warpline::global(b), b_length);
}

__device__ uint32_t expr_contains(const uint8_t* a, uint64_t a_length, const uint8_t* b, uint64_t b_length) {
    const uint8_t* text = warpline::global(a);
    const uint8_t* part = warpline::global(b);
    for (uint64_t i = 0; i + b_length <= a_length; ++i) {
        if (equal(text + i, part, b_length)) {
            return 1;
        }
    }
    return 0;
}

__device__ uint32_t expr_like(const uint8_t* a, uint64_t a_length, const uint8_t* b, uint64_t b_length) {
    return like(Text(a, a_length), Text(b, b_length), warpline::Exact{});
}

__device__ uint32_t expr_ilike(const uint8_t* a, uint64_t a_length, const uint8_t* b, uint64_t b_length) {
    return like(Text(a, a_length), Text(b, b_length), warpline::IgnoreCase{});
}

// With patterns beyond ASCII; see `FoldCase`.
__device__ uint32_t expr_ilike_folded(const uint8_t* a, uint64_t a_length, const uint8_t* b, uint64_t b_length,
                                      const uint2* folds, uint64_t n) {
    return like(Text(a, a_length), Text(b, b_length), warpline::FoldCase{warpline::global(folds), n});
}

// Characters of UTF-8 text: bytes that do not continue one.
__device__ uint64_t expr_characters(const uint8_t* a, uint64_t length) {
    const uint8_t* text = warpline::global(a);
    uint64_t count = 0;
    for (uint64_t i = 0; i < length; ++i) {
        count += (text[i] & 0xc0) != 0x80;
    }
    return count;
}

__device__ uint32_t expr_in_words(const uint64_t* keys, uint64_t n, uint64_t key) {
    return holds(warpline::global(keys), n, key);
}

// Keys as low and high halves, in the order of the unsigned 128-bit numbers.
__device__ uint32_t expr_in_wide(const uint64_t* keys, uint64_t n, uint64_t key_low, uint64_t key_high) {
    const uint64_t* halves = warpline::global(keys);
    const unsigned __int128 key = join(key_low, key_high);
    uint64_t low = 0;
    uint64_t high = n;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        const unsigned __int128 at = join(halves[2 * middle], halves[2 * middle + 1]);
        if (at == key) {
            return 1;
        }
        if (at < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return 0;
}

// Keys as four words, the lowest first, in the order of the unsigned 256-bit numbers.
__device__ uint32_t expr_in_huge(const Int256* keys, uint64_t n, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3) {
    return holds(warpline::global(keys), n, Int256{{a0, a1, a2, a3}});
}

// `set` holds n + 1 positions from its own start, then the texts, in the order of their bytes.
__device__ uint32_t expr_in_texts(const uint64_t* set, uint64_t n, const uint8_t* a, uint64_t length) {
    const uint64_t* positions = warpline::global(set);
    const uint8_t* start = reinterpret_cast<const uint8_t*>(positions);
    const Text key(a, length);
    uint64_t low = 0;
    uint64_t high = n;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        const Text at(start + positions[middle], positions[middle + 1] - positions[middle]);
        const int way = order(at, key);
        if (way == 0) {
            return 1;
        }
        if (way < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return 0;
}

// The remainder of a / b with the sign of a, as C's fmod.
__device__ double expr_remainder(double a, double b) {
    constexpr uint64_t kSign = 1ull << 63;
    constexpr uint64_t kInfinity = 0x7ffull << 52;
    const uint64_t bits = static_cast<uint64_t>(__double_as_longlong(a));
    uint64_t x = bits & ~kSign;
    const uint64_t y = static_cast<uint64_t>(__double_as_longlong(b)) & ~kSign;
    if (y == 0 || x >= kInfinity || y > kInfinity) {
        return __longlong_as_double(0x7ff8000000000000ll);
    }
    if (x < y) {
        return a;
    }
    // Significands with their leading bit at 52, subnormal ones shifted up.
    const auto normal = [](uint64_t v, int& exponent, uint64_t& significand) {
        exponent = static_cast<int>(v >> 52);
        significand = v & ((1ull << 52) - 1);
        if (exponent == 0) {
            const int shift = __clzll(static_cast<long long>(significand)) - 11;
            significand <<= shift;
            exponent = 1 - shift;
        } else {
            significand |= 1ull << 52;
        }
    };
    int ex, ey;
    uint64_t mx, my;
    normal(x, ex, mx);
    normal(y, ey, my);
    for (; ex > ey; --ex) {
        mx = (mx >= my ? mx - my : mx) << 1;
    }
    mx = mx >= my ? mx - my : mx;
    if (mx == 0) {
        x = 0;
    } else {
        const int shift = __clzll(static_cast<long long>(mx)) - 11;
        mx <<= shift;
        ex -= shift;
        x = ex > 0 ? (mx & ((1ull << 52) - 1)) | static_cast<uint64_t>(ex) << 52 : mx >> (1 - ex);
    }
    return __longlong_as_double(static_cast<long long>(x | (bits & kSign)));
}

__device__ Wide expr_wide_multiply(uint64_t a_low, uint64_t a_high, uint64_t b_low, uint64_t b_high) {
    const unsigned __int128 a = join(a_low, a_high);
    const unsigned __int128 b = join(b_low, b_high);
    const unsigned __int128 x = magnitude(a);
    const unsigned __int128 y = magnitude(b);
    const bool negative = (static_cast<int64_t>(a_high) < 0) != (static_cast<int64_t>(b_high) < 0);
    const uint64_t x_high = static_cast<uint64_t>(x >> 64);
    const uint64_t y_high = static_cast<uint64_t>(y >> 64);
    // Cross products: at most one high half may be set, and what it contributes must fit 64 bits.
    const unsigned __int128 low = static_cast<unsigned __int128>(static_cast<uint64_t>(x)) * static_cast<uint64_t>(y);
    const unsigned __int128 cross = x_high != 0 ? static_cast<unsigned __int128>(x_high) * static_cast<uint64_t>(y)
                                                : static_cast<unsigned __int128>(y_high) * static_cast<uint64_t>(x);
    const unsigned __int128 magnitude = low + (cross << 64);
    const bool lost = (x_high != 0 && y_high != 0) || cross >> 64 != 0 || magnitude < low;
    const bool bad = lost || magnitude > kLowest || (magnitude == kLowest && !negative);
    return split(negative ? -magnitude : magnitude, bad);
}

// `bad` where the divisor is zero or the quotient does not fit; then the quotient is zero.
__device__ Wide expr_wide_divide(uint64_t a_low, uint64_t a_high, uint64_t b_low, uint64_t b_high) {
    const unsigned __int128 a = join(a_low, a_high);
    const unsigned __int128 b = join(b_low, b_high);
    if (b == 0 || (a == kLowest && ~b == 0)) {
        return split(0, true);
    }
    unsigned __int128 rest = magnitude(a);
    const unsigned __int128 quotient = divide(rest, magnitude(b));
    return split((static_cast<int64_t>(a_high) < 0) != (static_cast<int64_t>(b_high) < 0) ? -quotient : quotient, false);
}

__device__ Wide expr_wide_remainder(uint64_t a_low, uint64_t a_high, uint64_t b_low, uint64_t b_high) {
    const unsigned __int128 a = join(a_low, a_high);
    const unsigned __int128 b = join(b_low, b_high);
    if (b == 0) {
        return split(0, true);
    }
    unsigned __int128 remainder = magnitude(a);
    divide(remainder, magnitude(b));
    return split(static_cast<int64_t>(a_high) < 0 ? -remainder : remainder, false);
}

struct Rounded {
    uint64_t low;
    uint64_t high;
};

// a / b for an even b > 0, rounded half away from zero.
__device__ Rounded expr_wide_round(uint64_t a_low, uint64_t a_high, uint64_t b_low, uint64_t b_high) {
    const unsigned __int128 divisor = join(b_low, b_high);
    unsigned __int128 rest = magnitude(join(a_low, a_high)) + (divisor >> 1);
    const unsigned __int128 quotient = divide(rest, divisor);
    const Wide result = split(static_cast<int64_t>(a_high) < 0 ? -quotient : quotient, false);
    return {result.low, result.high};
}

// The nearest double, ties to even.
__device__ double expr_wide_to_double(uint64_t low, uint64_t high) {
    const unsigned __int128 x = magnitude(join(low, high));
    const uint64_t top = static_cast<uint64_t>(x >> 64);
    double value;
    if (top == 0) {
        value = __ull2double_rn(static_cast<uint64_t>(x));
    } else {
        // The leading 64 bits, the lowest of which says whether anything follows; scaling is exact.
        const int shift = 64 - __clzll(static_cast<long long>(top));
        const uint64_t leading = static_cast<uint64_t>(x >> shift);
        const bool more = (x & ((static_cast<unsigned __int128>(1) << shift) - 1)) != 0;
        const uint64_t scale = static_cast<uint64_t>(1023 + shift) << 52;
        value = __ull2double_rn(leading | more) * __longlong_as_double(static_cast<long long>(scale));
    }
    return static_cast<int64_t>(high) < 0 ? -value : value;
}

__device__ Huge expr_huge_multiply(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t b0, uint64_t b1,
                                   uint64_t b2, uint64_t b3) {
    const Int256 a = {{a0, a1, a2, a3}};
    const Int256 b = {{b0, b1, b2, b3}};
    bool lost;
    const Int256 value = product(magnitude(a), magnitude(b), lost);
    return with_sign(value, a.negative() != b.negative(), lost);
}

// `bad` where the divisor is zero or the quotient does not fit.
__device__ Huge expr_huge_divide(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t b0, uint64_t b1,
                                 uint64_t b2, uint64_t b3) {
    Int256 rest;
    return warpline::quotient({{a0, a1, a2, a3}}, {{b0, b1, b2, b3}}, rest);
}

// `bad`, as arrow-rs has it, where the quotient is.
__device__ Huge expr_huge_remainder(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t b0, uint64_t b1,
                                    uint64_t b2, uint64_t b3) {
    Int256 rest;
    const uint64_t bad = warpline::quotient({{a0, a1, a2, a3}}, {{b0, b1, b2, b3}}, rest).bad;
    return {rest, bad};
}

// a / b for an even b > 0, rounded half away from zero.
__device__ Int256 expr_huge_round(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t b0, uint64_t b1,
                                  uint64_t b2, uint64_t b3) {
    const Int256 a = {{a0, a1, a2, a3}};
    const Int256 b = {{b0, b1, b2, b3}};
    const Int256 half = {{b0 >> 1 | b1 << 63, b1 >> 1 | b2 << 63, b2 >> 1 | b3 << 63, b3 >> 1}};
    Int256 rest = sum(magnitude(a), half);
    const Int256 quotient = divide(rest, b);
    return a.negative() ? negated(quotient) : quotient;
}

// As arrow-rs has it: the leading 64 bits, cut, then rounded to the nearest double, ties to even.
__device__ double expr_huge_to_double(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3) {
    const Int256 a = {{a0, a1, a2, a3}};
    const Int256 sign_removed = a.negative() ? Int256{{~a0, ~a1, ~a2, ~a3}} : a;
    // Bits that only repeat the sign.
    const int spare = leading_zeros(sign_removed) - 1;
    const int64_t leading = static_cast<int64_t>(shifted_left(a, spare).limb[3]);
    const uint64_t scale = static_cast<uint64_t>(1023 + 192 - spare) << 52;
    return __ll2double_rn(leading) * __longlong_as_double(static_cast<long long>(scale));
}

// The nearest integer, half away from zero; `bad` where 256 bits do not hold it, and for NaN.
__device__ Huge expr_double_to_huge(double value) {
    const uint64_t bits = static_cast<uint64_t>(__double_as_longlong(value));
    const int exponent = static_cast<int>(bits >> 52 & 0x7ff) - 1075;
    const uint64_t significand = (bits & ((1ull << 52) - 1)) | 1ull << 52;
    Int256 magnitude = {{0, 0, 0, 0}};
    bool lost = false;
    if (exponent >= 0) {
        lost = exponent > 255 - 53 + 1;
        magnitude = shifted_left(Int256{{significand, 0, 0, 0}}, lost ? 0 : exponent);
    } else if (exponent >= -53) {
        magnitude.limb[0] = (significand + (1ull << (-exponent - 1))) >> -exponent;
    }
    return with_sign(magnitude, static_cast<int64_t>(bits) < 0, lost);
}

// A part of a date, numbered as DatePart in src/ops/expr/function.rs. A week belongs to the year of its Thursday.
__device__ int32_t expr_date_part(int32_t days, uint32_t part) {
    const int32_t from_thursday = days % 7;
    const int32_t weekday = (from_thursday + 4 + 7) % 7;
    const Civil date = civil(part == 3 ? days - (weekday + 6) % 7 + 3 : days);
    switch (part) {
        case 0:
            return date.year;
        case 1:
            return (date.month + 2) / 3;
        case 2:
            return date.month;
        case 3:
            return (date.of_year + 6) / 7;
        case 4:
            return date.day;
        case 5:
            return weekday;
        default:
            return date.of_year;
    }
}

using warpline::Verdict;

// A value, and a `Verdict`, or whether the text is bad.
struct Parsed {
    uint64_t value;
    uint64_t bad;
};

struct ParsedInterval {
    uint64_t word;
    uint64_t nanos;
    uint64_t bad;
};

__device__ __forceinline__ bool is_space(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

__device__ __forceinline__ warpline::Chars chars(const uint8_t* at, uint64_t length) {
    return {warpline::global(at), length};
}

// Without ASCII's white space at both ends.
__device__ __forceinline__ warpline::Chars trimmed(const uint8_t* a, uint64_t length) {
    warpline::Chars text = chars(a, length);
    while (is_space(text[0])) {
        text = {text.at + 1, text.length - 1};
    }
    while (text.length > 0 && is_space(text[text.length - 1])) {
        --text.length;
    }
    return text;
}

__device__ __forceinline__ Parsed parsed(int64_t value, bool good) { return {static_cast<uint64_t>(value), !good}; }

// A whole number: an optional sign, digits. Up to `most`, and down to minus `least`.
__device__ __forceinline__ Parsed whole(const warpline::Chars& text, uint64_t most, uint64_t least) {
    const bool negative = text[0] == '-';
    uint64_t value;
    const bool good = warpline::digits_between(text, negative || text[0] == '+', text.length, negative ? least : most, value);
    return {negative ? 0 - value : value, !good};
}

// A whole number between white space.
__device__ Parsed expr_parse_integer(const uint8_t* a, uint64_t length, uint64_t most, uint64_t least) {
    return whole(trimmed(a, length), most, least);
}

// A date of the calendar moved by months, days and whole days of nanoseconds, in that order; `bad` where one step leaves it.
__device__ Parsed expr_shift_date(int64_t days, uint64_t months_days, int64_t nanoseconds, uint64_t back) {
    const Span span = warpline::span(months_days, nanoseconds, back != 0);
    bool good = warpline::in_calendar(days) && warpline::add_months(days, span.months);
    days += span.days;
    good = good && warpline::in_calendar(days);
    days += (back != 0 ? -1 : 1) * (nanoseconds / 86400000000000);
    return parsed(days, good && warpline::in_calendar(days));
}

// A moment in units of a second moved by months and days of its zone's calendar, then by nanoseconds; `bad` where one step
// leaves the calendar, meets no or two moments of the zone's clocks, or the result does not fit. `changes` and `count`: see
// `Zone`.
__device__ Parsed expr_shift_moment(int64_t value, int64_t units, const Change* changes, int64_t count,
                                    uint64_t months_days, int64_t nanoseconds, uint64_t back) {
    const Span span = warpline::span(months_days, nanoseconds, back != 0);
    const warpline::Zone zone(changes, count);
    const int64_t unit = 1000000000 / units;
    int64_t second = warpline::floor_divide(value, units);
    int64_t fraction = (value - second * units) * unit;
    if (!warpline::second_in_calendar(second)) {
        return parsed(0, false);
    }
    bool good = true;
    for (int step = 0; step < 2; ++step) {
        if ((step == 0 ? span.months : span.days) == 0) {
            continue;
        }
        const int64_t local = zone.local(second);
        int64_t days = warpline::floor_divide(local, 86400);
        const int64_t in_day = local - days * 86400;
        if (step == 0) {
            good = good && warpline::add_months(days, span.months);
        } else {
            days += span.days;
        }
        good = good && warpline::in_calendar(days) && zone.utc(days * 86400 + in_day, second) &&
               warpline::second_in_calendar(second);
    }
    second += span.seconds;
    fraction += span.nanoseconds;
    second += fraction >= 1000000000;
    fraction -= fraction >= 1000000000 ? 1000000000 : 0;
    good = good && warpline::second_in_calendar(second);
    const __int128 moved = static_cast<__int128>(second) * units + fraction / unit;
    return parsed(static_cast<int64_t>(moved), good && moved == static_cast<int64_t>(moved));
}

// Seconds that a zone is ahead at a second of UTC.
__device__ int64_t expr_zone_ahead(const Change* changes, uint64_t count, int64_t second) {
    const Change* all = warpline::global(changes);
    return all[warpline::change_at(all, count, second)].ahead;
}

// The same when its clocks show this second; `bad` where they never or twice do.
__device__ Parsed expr_zone_when(const Change* changes, uint64_t count, int64_t local) {
    int64_t ahead = 0;
    const bool good = warpline::ahead_when(warpline::global(changes), count, local, ahead);
    return parsed(ahead, good);
}

__device__ Parsed expr_parse_truth(const uint8_t* a, uint64_t length) {
    bool truth;
    const bool good = warpline::parse_truth(chars(a, length), truth);
    return parsed(truth, good);
}

__device__ Parsed expr_parse_date(const uint8_t* a, uint64_t length) {
    int64_t days;
    const Verdict found = warpline::parse_date(chars(a, length), days);
    return {static_cast<uint64_t>(days), static_cast<uint64_t>(found)};
}

// A moment as so many units of a second, of which a nanosecond's fraction is cut. `changes` and `count`: a Zone.
__device__ Parsed expr_parse_moment(const uint8_t* a, uint64_t length, const Change* changes, int64_t count,
                                    int64_t units) {
    const warpline::Zone zone(changes, count);
    int64_t second = 0;
    uint32_t nanos;
    const Verdict found = warpline::parse_moment(chars(a, length), zone, second, nanos);
    // Leap seconds count in fractions only.
    const __int128 value = static_cast<__int128>(second) * units + (units == 1 ? 0 : nanos / (1000000000 / units));
    const bool fits = found != Verdict::kGood || value == static_cast<int64_t>(value);
    return {static_cast<uint64_t>(value), static_cast<uint64_t>(fits ? found : Verdict::kBad)};
}

// Milliseconds of a date or a moment.
__device__ Parsed expr_parse_date64(const uint8_t* a, uint64_t length) {
    if (length > 10) {
        return expr_parse_moment(a, length, nullptr, 0, 1000);
    }
    int64_t days;
    const Verdict found = warpline::parse_date(chars(a, length), days);
    return {static_cast<uint64_t>(days * 86400000), static_cast<uint64_t>(found)};
}

// A time of the day in units of so many nanoseconds, or else the number of units itself, up to `most`.
__device__ Parsed expr_parse_clock(const uint8_t* a, uint64_t length, int64_t unit, uint64_t most) {
    int64_t nanoseconds;
    const warpline::Chars text = chars(a, length);
    return warpline::parse_clock(text, nanoseconds) ? parsed(nanoseconds / unit, true) : whole(text, most, most + 1);
}

// The bits of a float of 64 bits, or of 32 ones, between white space. `powers`: see format.cuh.
__device__ Parsed expr_parse_float(const uint8_t* a, uint64_t length, const uint64_t* powers, uint32_t wide) {
    const warpline::FloatFormat format = {wide != 0 ? 52 : 23, wide != 0 ? 1023 : 127};
    uint64_t bits = 0;
    const bool good = warpline::parse_float(trimmed(a, length), format, warpline::global(powers), bits);
    return {bits, !good};
}

// An interval of months (`type` 0), of days and milliseconds (1) or of months and days, and nanoseconds (2).
__device__ ParsedInterval expr_parse_interval(const uint8_t* a, uint64_t length, uint64_t type) {
    const warpline::IntervalUnit last = type == 0 ? warpline::kYear : type == 1 ? warpline::kDay : warpline::kMonth;
    warpline::IntervalParts parts;
    bool good = warpline::parse_interval(chars(a, length), last, parts);
    uint32_t low = parts.months;
    uint32_t high = parts.days;
    if (type == 0) {
        good = good && parts.days == 0 && parts.nanos == 0;
        high = 0;
    } else if (type == 1) {
        const int64_t months = 30ll * parts.months;
        const int64_t days = months + parts.days;
        const int64_t milliseconds = parts.nanos / 1000000;
        good = good && months == static_cast<int32_t>(months) && days == static_cast<int32_t>(days) &&
               milliseconds == static_cast<int32_t>(milliseconds) && milliseconds * 1000000 == parts.nanos;
        low = static_cast<uint32_t>(days);
        high = static_cast<uint32_t>(milliseconds);
    }
    return {low | static_cast<uint64_t>(high) << 32, static_cast<uint64_t>(parts.nanos), !good};
}

__device__ Huge expr_parse_decimal(const uint8_t* a, uint64_t length, uint64_t scale) {
    Huge result = {{{0, 0, 0, 0}}, 0};
    result.bad = !warpline::parse_decimal(chars(a, length), scale, result.value);
    return result;
}

// Whether bytes are UTF-8: no character in more bytes than it needs, no surrogate, none past U+10FFFF.
__device__ uint32_t expr_is_utf8(const uint8_t* a, uint64_t length) {
    const uint8_t* text = warpline::global(a);
    for (uint64_t i = 0; i < length;) {
        const uint8_t first = text[i++];
        if (first < 0x80) {
            continue;
        }
        const uint32_t more = character_bytes(first) - 1;
        if (first < 0xc2 || first > 0xf4 || length - i < more) {
            return 0;
        }
        const uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        const uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        if (text[i] < low || text[i] > high) {
            return 0;
        }
        for (uint32_t j = 1; j < more; ++j) {
            if ((text[i + j] & 0xc0) != 0x80) {
                return 0;
            }
        }
        i += more;
    }
    return 1;
}

// The functions that print write text from its end backwards, a multiple of 4, and give where it begins.

__device__ uint8_t* expr_format_integer(uint8_t* end, uint64_t value, uint32_t is_signed) {
    Backwards text(end);
    const bool negative = is_signed != 0 && static_cast<int64_t>(value) < 0;
    text.number(negative ? 0 - value : value);
    if (negative) {
        text.put('-');
    }
    return text.finish();
}

// A float of 64 or 32 bits as Rust's ryu prints it, or one of 32 bits as Rust itself does: `style` 2, 1 and 0.
__device__ uint8_t* expr_format_float(uint8_t* end, uint64_t bits, const uint64_t* powers, uint32_t style) {
    Backwards text(end);
    const bool plain = style == 0;
    const warpline::FloatStyle wide{52, 11, 16, 4, true, false};
    const warpline::FloatStyle narrow{23, 8, plain ? 1000 : 13, plain ? 1000 : 5, !plain, plain};
    warpline::put_float(text, bits, style == 2 ? wide : narrow, warpline::global(powers));
    return text.finish();
}

// See `format_decimal`.
__device__ uint8_t* expr_format_decimal(uint8_t* end, uint64_t low, uint64_t high, uint32_t precision, int32_t scale) {
    const unsigned __int128 value = join(low, high);
    return format_decimal(end, magnitude(value), static_cast<int64_t>(high) < 0, precision, scale);
}

__device__ uint8_t* expr_format_huge(uint8_t* end, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
                                     uint32_t precision, int32_t scale) {
    const Int256 value = {{a0, a1, a2, a3}};
    return format_decimal(end, magnitude(value), value.negative(), precision, scale);
}

// Years of more than four digits, and those before 0, have a sign.
__device__ __forceinline__ void put_date(Backwards& text, int32_t days) {
    const Civil date = civil(days);
    text.digits(date.day, 2);
    text.put('-');
    text.digits(date.month, 2);
    text.put('-');
    const uint32_t year = date.year < 0 ? -date.year : date.year;
    if (year < 10000) {
        text.digits(year, 4);
    } else {
        text.number(year);
    }
    if (date.year < 0 || year > 9999) {
        text.put(date.year < 0 ? '-' : '+');
    }
}

// A fraction of a second has as few digits as it needs, in threes.
__device__ __forceinline__ void put_time(Backwards& text, uint32_t second, uint32_t nanosecond) {
    if (nanosecond % 1000 != 0) {
        text.digits(nanosecond, 9);
    } else if (nanosecond % 1000000 != 0) {
        text.digits(nanosecond / 1000, 6);
    } else if (nanosecond != 0) {
        text.digits(nanosecond / 1000000, 3);
    }
    if (nanosecond != 0) {
        text.put('.');
    }
    text.digits(second % 60, 2);
    text.put(':');
    text.digits(second / 60 % 60, 2);
    text.put(':');
    text.digits(second / 3600, 2);
}

__device__ uint8_t* expr_format_date(uint8_t* end, int32_t days) {
    Backwards text(end);
    put_date(text, days);
    return text.finish();
}

__device__ uint8_t* expr_format_time(uint8_t* end, uint32_t second, uint32_t nanosecond) {
    Backwards text(end);
    put_time(text, second, nanosecond);
    return text.finish();
}

// What a clock shows that is `zone` seconds ahead of UTC, rounded to minutes; INT32_MIN for none that is told.
__device__ uint8_t* expr_format_moment(uint8_t* end, int64_t second, uint32_t nanosecond, int32_t zone) {
    constexpr int64_t kDay = 86400;
    Backwards text(end);
    if (zone == 0) {
        text.put('Z');
    } else if (zone != INT32_MIN) {
        const uint32_t minutes = ((zone < 0 ? -zone : zone) + 30) / 60;
        text.digits(minutes % 60, 2);
        text.put(':');
        text.digits(minutes / 60, 2);
        text.put(zone < 0 ? '-' : '+');
    }
    const int64_t days = (second >= 0 ? second : second - (kDay - 1)) / kDay;
    put_time(text, static_cast<uint32_t>(second - days * kDay), nanosecond);
    text.put('T');
    put_date(text, static_cast<int32_t>(days));
    return text.finish();
}

__device__ uint8_t* expr_format_duration(uint8_t* end, int64_t value, int64_t units) {
    Backwards text(end);
    warpline::put_duration(text, value, units);
    return text.finish();
}

__device__ uint8_t* expr_format_months(uint8_t* end, int32_t months) {
    Backwards text(end);
    warpline::put_months(text, months);
    return text.finish();
}

__device__ uint8_t* expr_format_interval(uint8_t* end, uint64_t months_days, int64_t nanoseconds, uint32_t digits) {
    Backwards text(end);
    const int64_t days = static_cast<int64_t>(months_days) >> 32;
    warpline::put_interval(text, static_cast<int32_t>(months_days), days, nanoseconds, digits);
    return text.finish();
}

// Copies the bytes of a value of fixed size, by words where both ends allow it; writes zeros for none.
__device__ void expr_store_bytes(uint8_t* to, const uint8_t* from, uint64_t width) {
    uint8_t* target = warpline::global(to);
    const uint8_t* source = warpline::global(from);
    const bool words = (reinterpret_cast<uint64_t>(to) | reinterpret_cast<uint64_t>(from) | width) % 4 == 0;
    for (uint64_t i = 0; words && i < width; i += 4) {
        const uint32_t word = from == nullptr ? 0 : *reinterpret_cast<const uint32_t*>(source + i);
        *reinterpret_cast<uint32_t*>(target + i) = word;
    }
    for (uint64_t i = 0; !words && i < width; ++i) {
        target[i] = from == nullptr ? 0 : source[i];
    }
}

// The number of the tile that this block works on.
__device__ uint32_t expr_take_tile(warpline::ScanScratch* scratch) { return warpline::take_tile(warpline::global(scratch)); }

// Writes the output position of each 1,024 rows' first selected one, and after the last tile how many there are.
// `selected`: rows that this thread's mask word selects.
__device__ void expr_write_bases(warpline::ScanScratch* scratch, uint32_t tile, uint32_t selected, uint64_t n,
                                 uint32_t* bases, uint64_t* count) {
    uint32_t tile_count;
    const uint32_t below = warpline::block_exclusive_sum<uint32_t, kThreads>(selected, &tile_count);
    const uint64_t prefix = warpline::block_tile_prefix(warpline::global(scratch), tile, tile_count);
    const uint64_t row = (static_cast<uint64_t>(tile) * kWarps + threadIdx.x / 32) * kWarpRows;
    if (lane_id() == 0 && row % kBaseRows == 0 && row < n) {
        warpline::global(bases)[row / kBaseRows] = static_cast<uint32_t>(prefix + below);
    }
    if (threadIdx.x == 0 && tile + 1 == gridDim.x) {
        *warpline::global(count) = prefix + tile_count;
    }
}

}  // extern "C"
