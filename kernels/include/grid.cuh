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

}  // namespace warpline
