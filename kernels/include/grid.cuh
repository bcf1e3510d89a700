// Where a thread stands in a one-dimensional launch, in 64 bits: columns outgrow 32-bit indices.
#pragma once

#include <cstdint>

namespace warpline {

// This thread's number in the grid.
__device__ __forceinline__ uint64_t grid_thread() {
    return static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// All threads of the grid: the step of a grid-stride loop.
__device__ __forceinline__ uint64_t grid_threads() {
    return static_cast<uint64_t>(gridDim.x) * blockDim.x;
}

// The last element whose `first` is not past `at`; elements without work share it with their successors.
template <typename T, typename First>
__device__ __forceinline__ uint32_t owner(const T* items, uint32_t n, uint32_t at, First first) {
    uint32_t low = 0;
    uint32_t high = n;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (first(items[middle]) <= at) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

}  // namespace warpline
