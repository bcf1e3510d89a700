// The proleptic Gregorian calendar, from the year -262143 to 262142 as chrono and so arrow-rs have it. Days by Hinnant,
// "chrono-Compatible Low-Level Date Algorithms".
#pragma once

#include <cstdint>

namespace warpline {

// A date: parts count from 1, but weekdays from Sunday, 0.
struct Civil {
    int32_t year;
    int32_t month;
    int32_t day;
    int32_t of_year;
};

// The proleptic Gregorian date of a day since 1970-01-01, by eras of 400 years that begin in March.
__device__ __forceinline__ Civil civil(int32_t days) {
    const int32_t z = days + 719468;
    const int32_t era = (z >= 0 ? z : z - 146096) / 146097;
    const int32_t of_era = z - era * 146097;
    const int32_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int32_t from_march = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int32_t month = (5 * from_march + 2) / 153;
    const int32_t before_march = month >= 10;
    const int32_t year = era * 400 + year_of_era + before_march;
    const int32_t leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return {year, month + (before_march ? -9 : 3), from_march - (153 * month + 2) / 5 + 1,
            before_march ? from_march - 305 : from_march + 60 + leap};
}

__device__ __forceinline__ uint32_t days_of_month(int64_t year, uint32_t month) {
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 ? 28 + leap : 30 + ((month + month / 8) & 1);
}

// The day since 1970-01-01 of a date; false for a date that there is not.
__device__ __forceinline__ bool day_of(int64_t year, uint32_t month, uint32_t day, int64_t& days) {
    if (month - 1 > 11 || day - 1 >= days_of_month(year, month)) {
        return false;
    }
    const int64_t from_march = month <= 2 ? year - 1 : year;
    const int64_t era = (from_march >= 0 ? from_march : from_march - 399) / 400;
    const int64_t of_era = from_march - era * 400;
    const int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    return true;
}

__device__ __forceinline__ int64_t floor_divide(int64_t value, int64_t divisor) {
    const int64_t quotient = value / divisor;
    return quotient - (value - quotient * divisor < 0);
}

// Whether the calendar holds a day since 1970-01-01.
__device__ __forceinline__ bool in_calendar(int64_t days) { return days >= -96465292 && days <= 95026236; }

// Whether it holds the second of UTC.
__device__ __forceinline__ bool second_in_calendar(int64_t second) {
    return second >= -8334601228800 && second <= 8210266876799;
}

// Moves a date by months, its day cut to the last of the new month; says whether the calendar holds the result. Without
// months it stays as it is, even off the calendar.
__device__ __forceinline__ bool add_months(int64_t& days, int64_t months) {
    if (months == 0) {
        return true;
    }
    const Civil date = civil(static_cast<int32_t>(days));
    const int64_t total = static_cast<int64_t>(date.year) * 12 + date.month - 1 + months;
    const int64_t year = floor_divide(total, 12);
    const uint32_t month = static_cast<uint32_t>(total - year * 12) + 1;
    const uint32_t last = days_of_month(year, month);
    const uint32_t day = static_cast<uint32_t>(date.day);
    return day_of(year, month, day < last ? day : last, days) && in_calendar(days);
}

}  // namespace warpline
