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

// Stores the values of the quad at (x, y). Where a patch's side is a multiple of four, the quad lies in one patch and
// every four elements on a boundary of four.
template <typename Value>
__device__ __forceinline__ void store_patches(Value* image, const PatchOrder& order, uint32_t width, uint32_t x,
                                              uint32_t y, uint32_t count, const Value (&values)[12]) {
    const uint32_t inner_row = y % order.size * order.size;
    if (order.size % 4 == 0) {
        Value* patch = image + order.patch_start(x, y, width);
        const uint32_t inner = inner_row + x % order.size;
#pragma unroll
        for (uint32_t part = 0; part < 3; ++part) {
            // A third of the quad's values, or one channel of them.
            FourValues<Value> four;
#pragma unroll
            for (uint32_t i = 0; i < 4; ++i) {
                four.values[i] = order.channels_last ? values[part * 4 + i] : values[i * 3 + part];
            }
#pragma unroll 1
            for (uint32_t frame = 0; frame < order.temporal; ++frame) {
                const uint32_t at = order.channels_last ? order.element(inner, frame, 0) + part * 4
                                                        : order.element(inner, frame, part);
                *reinterpret_cast<FourValues<Value>*>(patch + at) = four;
            }
        }
        return;
    }
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
        if (i >= count) {
            continue;
        }
        Value* patch = image + order.patch_start(x + i, y, width);
        const uint32_t inner = inner_row + (x + i) % order.size;
#pragma unroll 1
        for (uint32_t frame = 0; frame < order.temporal; ++frame) {
#pragma unroll
            for (uint32_t channel = 0; channel < 3; ++channel) {
                patch[order.element(inner, frame, channel)] = values[i * 3 + channel];
            }
        }
    }
}

}  // namespace warpline
