// How RGB pixels become elements of a tensor: a table for the values, a layout for the places, four pixels at a time.
#pragma once

#include <cstdint>

namespace warpline {

// Values by channel and byte.
constexpr uint32_t kTableEntries = 3 * 256;

// Where a channel of a pixel lies within its image when the three planes follow each other.
struct PlanarLayout {
    static constexpr bool kInterleaved = false;
    static __device__ __forceinline__ uint64_t at(uint64_t pixel, uint64_t plane, uint32_t channel) {
        return channel * plane + pixel;
    }
};

// Where a channel of a pixel lies within its image when the three channels of a pixel follow each other.
struct InterleavedLayout {
    static constexpr bool kInterleaved = true;
    static __device__ __forceinline__ uint64_t at(uint64_t pixel, uint64_t, uint32_t channel) {
        return pixel * 3 + channel;
    }
};

// Four values that are stored at once.
template <typename Value>
struct alignas(4 * sizeof(Value)) FourValues {
    Value values[4];
};

// The block's copy of the table.
template <typename Value>
__device__ __forceinline__ void load_table(const Value* __restrict__ table, Value (&cached)[kTableEntries]) {
    for (uint32_t i = threadIdx.x; i < kTableEntries; i += blockDim.x) {
        cached[i] = table[i];
    }
    __syncthreads();
}

// The values of four pixels' bytes, pixel by pixel.
template <typename Value>
__device__ __forceinline__ void look_up(const Value* cached, const uint32_t (&bytes)[12], Value (&values)[12]) {
#pragma unroll
    for (uint32_t i = 0; i < 12; ++i) {
        values[i] = cached[i % 3 * 256 + bytes[i]];
    }
}

// Stores the values of `count` pixels from `pixel` on. Where an image's pixels are a multiple of four, so is `count`,
// and every four elements lie on a boundary of four.
template <typename Layout, typename Value>
__device__ __forceinline__ void store_pixels(Value* image, uint64_t pixel, uint64_t plane, uint32_t count, bool fours,
                                             const Value (&values)[12]) {
#pragma unroll
    for (uint32_t part = 0; part < 3; ++part) {
        if (fours) {
            // Planar: a channel of four pixels; interleaved: a third of their values.
            FourValues<Value> four;
#pragma unroll
            for (uint32_t i = 0; i < 4; ++i) {
                four.values[i] = values[Layout::kInterleaved ? part * 4 + i : i * 3 + part];
            }
            const uint64_t at = Layout::kInterleaved ? pixel * 3 + part * 4 : Layout::at(pixel, plane, part);
            *reinterpret_cast<FourValues<Value>*>(image + at) = four;
        } else {
#pragma unroll
            for (uint32_t i = 0; i < 4; ++i) {
                if (i < count) {
                    image[Layout::at(pixel + i, plane, part)] = values[i * 3 + part];
                }
            }
        }
    }
}

}  // namespace warpline
