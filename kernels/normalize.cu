// Normalise: RGB bytes to a tensor, each value looked up by (channel, byte).
//
// Algorithm: ToTensor followed by Normalize, rescaling and the cast to the output type are together a function of the
// channel and the byte, so the host computes a 3 x 256 table with the reference's order of operations and the device
// only moves. That makes every output type bit-identical to the reference, and one entry serves all types of a width.
// Buffers: src, n images of `pixels` RGB triples, interleaved; table, 3 x 256 values, channel by channel; out, n x 3 x
// pixels (nchw) or n x pixels x 3 (nhwc) values.
// Nulls: none here; the caller skips or zeroes the rows that are null. NaN: the table's own bits. Overflow: none, all
// indices have 64 bits.
// Launch: one dimension, up to 256 threads a block, any grid (grid-stride over pixels).
// Bytes per pixel: reads 3, writes 3 x the width; a block reads the table once, 768 x the width.
// Determinism: every output is written once, by a function of its own input byte.

#include <cstdint>

#include "include/grid.cuh"

namespace {

constexpr uint32_t kChannels = 3;
constexpr uint32_t kTableEntries = kChannels * 256;
constexpr int kBlockThreads = 256;

// Index of a channel of a pixel when the three planes of an image follow each other.
struct PlanarLayout {
    static __device__ __forceinline__ uint64_t at(uint64_t pixel, uint64_t pixels_per_image, uint32_t channel) {
        const uint64_t image = pixel / pixels_per_image;
        return (image * kChannels + channel) * pixels_per_image + (pixel - image * pixels_per_image);
    }
};

// Index of a channel of a pixel when the three channels of a pixel follow each other.
struct InterleavedLayout {
    static __device__ __forceinline__ uint64_t at(uint64_t pixel, uint64_t, uint32_t channel) {
        return pixel * kChannels + channel;
    }
};

template <typename Layout, typename Value>
__device__ __forceinline__ void normalize(const uint8_t* __restrict__ src, const Value* __restrict__ table, uint64_t n,
                                          uint64_t pixels, Value* __restrict__ out) {
    __shared__ Value cached[kTableEntries];
    for (uint32_t i = threadIdx.x; i < kTableEntries; i += blockDim.x) {
        cached[i] = table[i];
    }
    __syncthreads();

    const uint64_t total = n * pixels;
    for (uint64_t pixel = warpline::grid_thread(); pixel < total; pixel += warpline::grid_threads()) {
#pragma unroll
        for (uint32_t channel = 0; channel < kChannels; ++channel) {
            const uint32_t byte = src[pixel * kChannels + channel];
            out[Layout::at(pixel, pixels, channel)] = cached[channel * 256 + byte];
        }
    }
}

}  // namespace

#define WARPLINE_NORMALIZE(LAYOUT_NAME, LAYOUT, VALUE_NAME, VALUE)                                             \
    extern "C" __global__ void __launch_bounds__(kBlockThreads) normalize_##LAYOUT_NAME##_##VALUE_NAME(         \
        const uint8_t* src, const VALUE* table, uint64_t n, uint64_t pixels, VALUE* out) {                     \
        normalize<LAYOUT, VALUE>(src, table, n, pixels, out);                                                  \
    }

#define WARPLINE_NORMALIZE_LAYOUTS(VALUE_NAME, VALUE)                   \
    WARPLINE_NORMALIZE(nchw, PlanarLayout, VALUE_NAME, VALUE)           \
    WARPLINE_NORMALIZE(nhwc, InterleavedLayout, VALUE_NAME, VALUE)

WARPLINE_NORMALIZE_LAYOUTS(u8, uint8_t)
WARPLINE_NORMALIZE_LAYOUTS(u16, uint16_t)
WARPLINE_NORMALIZE_LAYOUTS(u32, uint32_t)
