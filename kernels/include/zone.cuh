// Time zones: how far clocks are ahead of UTC.
#pragma once

#include <cstdint>

#include "move.cuh"

namespace warpline {

// From which second of UTC on the clocks are so many seconds ahead.
struct Change {
    int64_t from;
    int64_t ahead;
};

// The last change up to a second of UTC; the first one is before all.
__device__ __forceinline__ uint64_t change_at(const Change* changes, uint64_t count, int64_t second) {
    uint64_t low = 0;
    uint64_t high = count;
    while (high - low > 1) {
        const uint64_t middle = low + (high - low) / 2;
        if (changes[middle].from <= second) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

// Sets how far the clocks are ahead when they show a second; false where they skip it or show it twice.
__device__ __forceinline__ bool ahead_when(const Change* changes, uint64_t count, int64_t local, int64_t& ahead) {
    constexpr int64_t kDay = 86400;
    const uint64_t last = change_at(changes, count, local > INT64_MAX - kDay ? local : local + kDay);
    int shown = 0;
    for (uint64_t i = change_at(changes, count, local < INT64_MIN + kDay ? local : local - kDay); i <= last; ++i) {
        const int64_t from = changes[i].from;
        const int64_t second = static_cast<int64_t>(static_cast<uint64_t>(local) - static_cast<uint64_t>(changes[i].ahead));
        if (second >= from && (i + 1 == count || second < changes[i + 1].from)) {
            ahead = changes[i].ahead;
            ++shown;
        }
    }
    return shown == 1;
}

// A zone by its changes, or by one offset, that stands in place of their number, where there are none.
struct Zone {
    const Change* changes;
    int64_t count;

    // `changes` are in global memory.
    __device__ __forceinline__ Zone(const Change* changes, int64_t count)
        : changes(changes == nullptr ? nullptr : warpline::global(changes)), count(count) {}

    __device__ __forceinline__ int64_t local(int64_t second) const {
        return second + (changes == nullptr ? count : changes[change_at(changes, count, second)].ahead);
    }

    // Sets the second of UTC at which the clocks show `local`, if there is one.
    __device__ __forceinline__ bool utc(int64_t local, int64_t& second) const {
        int64_t ahead = count;
        if (changes != nullptr && !ahead_when(changes, count, local, ahead)) {
            return false;
        }
        second = local - ahead;
        return true;
    }
};

}  // namespace warpline
