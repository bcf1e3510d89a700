// One pass of a stable radix sort of 32-bit keys with their rows, eight bits at a time: count the digits of each tile, sum
// the counts by digit and tile, scatter.
//
// Source: Merrill and Grimshaw, "High Performance and Scalable Radix Sorting", Parallel Processing Letters 21 (2011).
#pragma once

#include <cstdint>

#include "bits.cuh"

namespace warpline {

struct Radix {
    static constexpr int kThreads = 256;  // a thread a digit where digits are summed
    static constexpr int kWarps = kThreads / 32;
    static constexpr uint32_t kDigits = 256;
    static constexpr uint32_t kItems = 8;  // a thread
    static constexpr uint32_t kWarpItems = 32 * kItems;
    static constexpr uint32_t kTileItems = kThreads * kItems;
};

__device__ __forceinline__ uint32_t digit_of(uint32_t key, uint32_t shift) {
    return key >> shift & (Radix::kDigits - 1);
}

// How often each digit is in this block's tile, at [digit][tile].
__device__ __forceinline__ void count_digits(const uint32_t* __restrict__ keys, uint64_t n, uint32_t shift,
                                             uint32_t* __restrict__ counts) {
    __shared__ uint32_t seen[Radix::kDigits];
    seen[threadIdx.x] = 0;
    __syncthreads();
    const uint64_t first = static_cast<uint64_t>(blockIdx.x) * Radix::kTileItems;
    for (uint32_t i = threadIdx.x; i < Radix::kTileItems; i += Radix::kThreads) {
        if (first + i < n) {
            atomicAdd(&seen[digit_of(keys[first + i], shift)], 1u);
        }
    }
    __syncthreads();
    counts[static_cast<uint64_t>(threadIdx.x) * gridDim.x + blockIdx.x] = seen[threadIdx.x];
}

// Moves this block's tile to where `counts`, which are sums now, say. Without `rows` a key's row is its place.
__device__ __forceinline__ void scatter_digits(const uint32_t* __restrict__ keys, const uint32_t* __restrict__ rows,
                                               uint64_t n, uint32_t shift, const uint32_t* __restrict__ counts,
                                               uint32_t* __restrict__ out_keys, uint32_t* __restrict__ out_rows) {
    __shared__ uint32_t seen[Radix::kWarps][Radix::kDigits];
    const uint32_t warp = threadIdx.x / 32;
    for (uint32_t i = threadIdx.x; i < Radix::kWarps * Radix::kDigits; i += Radix::kThreads) {
        seen[i / Radix::kDigits][i % Radix::kDigits] = 0;
    }
    __syncthreads();
    const uint64_t first = static_cast<uint64_t>(blockIdx.x) * Radix::kTileItems + warp * Radix::kWarpItems + lane_id();
    const uint32_t below = (1u << lane_id()) - 1;
    uint32_t key[Radix::kItems];
    uint32_t rank[Radix::kItems];
#pragma unroll
    for (uint32_t s = 0; s < Radix::kItems; ++s) {
        const bool there = first + 32 * s < n;
        key[s] = there ? keys[first + 32 * s] : 0;
        const uint32_t digit = there ? digit_of(key[s], shift) : Radix::kDigits;
        const uint32_t peers = __match_any_sync(kFullWarp, digit);
        const uint32_t earlier = there ? seen[warp][digit] : 0;
        rank[s] = earlier + __popc(peers & below);
        __syncwarp();
        if (there && (peers & below) == 0) {
            seen[warp][digit] = earlier + __popc(peers);
        }
        __syncwarp();
    }
    __syncthreads();
    uint32_t place = counts[static_cast<uint64_t>(threadIdx.x) * gridDim.x + blockIdx.x];
    for (uint32_t w = 0; w < Radix::kWarps; ++w) {
        const uint32_t own = seen[w][threadIdx.x];
        seen[w][threadIdx.x] = place;
        place += own;
    }
    __syncthreads();
#pragma unroll
    for (uint32_t s = 0; s < Radix::kItems; ++s) {
        const uint64_t at = first + 32 * s;
        if (at < n) {
            const uint32_t to = seen[warp][digit_of(key[s], shift)] + rank[s];
            out_keys[to] = key[s];
            out_rows[to] = rows == nullptr ? static_cast<uint32_t>(at) : rows[at];
        }
    }
}

}  // namespace warpline
