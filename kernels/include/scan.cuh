// Sums within a warp and a block, and a single-pass scan over tiles by decoupled look-back.
//
// Source: Merrill and Garland, "Single-pass Parallel Prefix Scan with Decoupled Look-back", NVIDIA NVR-2016-002.
#pragma once

#include <cstdint>

#include "bits.cuh"

namespace warpline {

// The sum that is meant where nothing else is said. Any other must be associative and have zero as its neutral element.
struct Plus {
    template <typename T>
    __device__ __forceinline__ T operator()(T a, T b) const {
        return a + b;
    }
};

// Sum over this lane and all lower ones.
template <typename T, typename Add = Plus>
__device__ __forceinline__ T warp_inclusive_sum(T value) {
#pragma unroll
    for (uint32_t step = 1; step < 32; step *= 2) {
        const T lower = __shfl_up_sync(kFullWarp, value, step);
        if (lane_id() >= step) {
            value = Add{}(value, lower);
        }
    }
    return value;
}

// Sum over all threads below this one, and over the block. All threads of the block must call it.
template <typename T, int kThreads, typename Add = Plus>
__device__ __forceinline__ T block_exclusive_sum(T value, T* block_total) {
    constexpr int kWarps = kThreads / 32;
    static_assert(kWarps <= 32, "one warp sums the warps");
    __shared__ T warp_sums[kWarps];
    const T inclusive = warp_inclusive_sum<T, Add>(value);
    const T lower = __shfl_up_sync(kFullWarp, inclusive, 1);
    const uint32_t warp = threadIdx.x / 32;
    if (lane_id() == 31) {
        warp_sums[warp] = inclusive;
    }
    __syncthreads();
    T below = lane_id() == 0 ? 0 : lower;
    T total = 0;
#pragma unroll
    for (uint32_t i = 0; i < kWarps; ++i) {
        if (i < warp) {
            below = Add{}(below, warp_sums[i]);
        }
        total = Add{}(total, warp_sums[i]);
    }
    __syncthreads();  // the next call may overwrite the sums
    *block_total = total;
    return below;
}

// Scratch of one scan, zeroed before the launch: a ticket, then a state for each tile.
struct ScanScratch {
    unsigned long long ticket;
    unsigned long long states[1];
};

// A tile's state is one word, so that it is read and written whole: two bits that say what the other 62 hold.
constexpr unsigned long long kTileSum = 1ull << 62;     // the tile's own sum
constexpr unsigned long long kTilePrefix = 2ull << 62;  // the sum of all tiles up to and with this one
constexpr unsigned long long kTileValue = kTileSum - 1;

// The number of the tile to work on: tickets make lower tiles start first, whatever order blocks run in.
__device__ __forceinline__ uint32_t take_tile(ScanScratch* scratch) {
    __shared__ uint32_t tile;
    if (threadIdx.x == 0) {
        tile = static_cast<uint32_t>(atomicAdd(&scratch->ticket, 1ull));
    }
    __syncthreads();
    return tile;
}

__device__ __forceinline__ unsigned long long read_state(const unsigned long long* state) {
    return *const_cast<const volatile unsigned long long*>(state);
}

// Publishes this tile's sum and returns the sum of all lower tiles. One whole warp must call it. It waits for lower
// tiles only, whose blocks already run.
__device__ __forceinline__ uint64_t tile_prefix(ScanScratch* scratch, uint32_t tile, uint64_t sum) {
    unsigned long long* states = scratch->states;
    if (tile == 0) {
        if (lane_id() == 0) {
            atomicExch(&states[0], kTilePrefix | sum);
        }
        return 0;
    }
    if (lane_id() == 0) {
        atomicExch(&states[tile], kTileSum | sum);
    }
    uint64_t prefix = 0;
    for (int64_t end = tile;; end -= 32) {
        // Lane 0 looks at the nearest tile, lane 31 at the farthest; there is nothing before the first tile.
        const int64_t at = end - 1 - lane_id();
        unsigned long long state = kTilePrefix;
        do {
            if (at >= 0) {
                state = read_state(&states[at]);
            }
        } while (__any_sync(kFullWarp, state < kTileSum));
        const uint32_t complete = __ballot_sync(kFullWarp, state >= kTilePrefix);
        const uint32_t last = complete == 0 ? 31 : __ffs(complete) - 1;
        const uint64_t value = lane_id() <= last ? state & kTileValue : 0;
        prefix += __shfl_sync(kFullWarp, warp_inclusive_sum(value), 31);
        if (complete != 0) {
            break;
        }
    }
    if (lane_id() == 0) {
        atomicExch(&states[tile], kTilePrefix | (prefix + sum));
    }
    return prefix;
}

// [`tile_prefix`] for a block whose threads all call it.
__device__ __forceinline__ uint64_t block_tile_prefix(ScanScratch* scratch, uint32_t tile, uint64_t sum) {
    __shared__ uint64_t prefix;
    if (threadIdx.x < 32) {
        const uint64_t lower = tile_prefix(scratch, tile, sum);
        if (threadIdx.x == 0) {
            prefix = lower;
        }
    }
    __syncthreads();
    return prefix;
}

}  // namespace warpline
