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

// Values that are stored at once.
template <typename Value, uint32_t kCount>
struct alignas(kCount * sizeof(Value)) Run {
    Value values[kCount];
};

// Stores a run as one word where it is one: the compiler stores two halves one by one otherwise.
template <typename Value, uint32_t kCount>
__device__ __forceinline__ void store_run(Value* at, const Run<Value, kCount>& run) {
    if constexpr (kCount == 2 && sizeof(Value) == 2) {
        *reinterpret_cast<uint32_t*>(at) = run.values[0] | static_cast<uint32_t>(run.values[1]) << 16;
    } else {
        *reinterpret_cast<Run<Value, kCount>*>(at) = run;
    }
}

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
            Run<Value, 4> four;
#pragma unroll
            for (uint32_t i = 0; i < 4; ++i) {
                four.values[i] = values[Layout::kInterleaved ? part * 4 + i : i * 3 + part];
            }
            const uint64_t at = Layout::kInterleaved ? pixel * 3 + part * 4 : Layout::at(pixel, plane, part);
            *reinterpret_cast<Run<Value, 4>*>(image + at) = four;
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

// The order of patches and of their elements: src/image/tensor.rs, `Patches`.
struct PatchOrder {
    uint32_t size;
    uint32_t merge;
    uint32_t temporal;
    uint32_t channels_last;

    // Element of an image of this width where the patch begins that holds the pixel (x, y).
    __device__ __forceinline__ uint64_t patch_start(uint32_t x, uint32_t y, uint32_t width) const {
        const uint32_t column = x / size;
        const uint32_t row = y / size;
        const uint32_t block = row / merge * (width / size / merge) + column / merge;
        const uint32_t patch = (block * merge + row % merge) * merge + column % merge;
        return static_cast<uint64_t>(patch) * 3 * temporal * size * size;
    }

    // Element of a patch where a channel of a frame of its pixel `inner` lies.
    __device__ __forceinline__ uint32_t element(uint32_t inner, uint32_t frame, uint32_t channel) const {
        const uint32_t area = size * size;
        return channels_last ? (frame * area + inner) * 3 + channel : (channel * temporal + frame) * area + inner;
    }
};

// Stores the quad at (x, y) in runs of kRun pixels. A patch's side must be a multiple of it: then a run lies in one
// patch, and every kRun elements on a boundary of as many.
template <uint32_t kRun, typename Value>
__device__ __forceinline__ void store_runs(Value* image, const PatchOrder& order, uint32_t width, uint32_t x,
                                           uint32_t y, uint32_t count, const Value (&values)[12]) {
#pragma unroll
    for (uint32_t first = 0; first < 4; first += kRun) {
        if (first >= count) {
            continue;
        }
        Value* patch = image + order.patch_start(x + first, y, width);
        const uint32_t inner = y % order.size * order.size + (x + first) % order.size;
#pragma unroll
        for (uint32_t part = 0; part < 3; ++part) {
            // A third of the run's values, or one channel of them.
            Run<Value, kRun> run;
#pragma unroll
            for (uint32_t i = 0; i < kRun; ++i) {
                run.values[i] =
                    order.channels_last ? values[first * 3 + part * kRun + i] : values[(first + i) * 3 + part];
            }
#pragma unroll 1
            for (uint32_t frame = 0; frame < order.temporal; ++frame) {
                const uint32_t at = order.channels_last ? order.element(inner, frame, 0) + part * kRun
                                                        : order.element(inner, frame, part);
                store_run(patch + at, run);
            }
        }
    }
}

// Stores the values of the quad at (x, y) in the longest runs that patches of this side allow.
template <typename Value>
__device__ __forceinline__ void store_patches(Value* image, const PatchOrder& order, uint32_t width, uint32_t x,
                                              uint32_t y, uint32_t count, const Value (&values)[12]) {
    if (order.size % 4 == 0) {
        store_runs<4>(image, order, width, x, y, count, values);
    } else if (order.size % 2 == 0) {
        store_runs<2>(image, order, width, x, y, count, values);
    } else {
        store_runs<1>(image, order, width, x, y, count, values);
    }
}

}  // namespace warpline
