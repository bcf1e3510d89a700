// Normalise: RGB bytes of images of one size to tensors, each value looked up by (channel, byte).
//
// Algorithm: ToTensor followed by Normalize, rescaling and the cast to the output type are together a function of the
// channel and the byte, so the host computes a 3 x 256 table with the reference's order of operations and the device
// only moves. That makes every output type bit-identical to the reference, and one entry serves all types of a width.
// Buffers: pixels, RGB triples of all images; starts, each image's first byte, or -1; table, 3 x 256 values, channel by
// channel; out, n x 3 x `plane` (nchw) or n x `plane` x 3 (nhwc) values, `plane` being an image's number of pixels.
// Nulls: an image that starts at -1 is zero. NaN: the table's own bits. Overflow: none, places have 64 bits.
// Launch: one dimension, 256 threads a block, blocks_per_image x n blocks; a thread makes four pixels.
// Bytes per pixel: reads 3, writes 3 x the width; a block reads the table once, 768 x the width.
// Determinism: every output is written once, by a function of its own input byte.

#include "include/tensor.cuh"

namespace {

constexpr int kBlockThreads = 256;

// Twelve bytes on a word boundary are three loads.
__device__ __forceinline__ void load_pixels(const uint8_t* at, uint32_t count, uint32_t (&bytes)[12]) {
    if (count == 4 && (reinterpret_cast<uintptr_t>(at) & 3) == 0) {
        const uint32_t* words = reinterpret_cast<const uint32_t*>(at);
#pragma unroll
        for (uint32_t word = 0; word < 3; ++word) {
            const uint32_t four = words[word];
#pragma unroll
            for (uint32_t byte = 0; byte < 4; ++byte) {
                bytes[word * 4 + byte] = (four >> (8 * byte)) & 0xff;
            }
        }
        return;
    }
#pragma unroll
    for (uint32_t i = 0; i < 12; ++i) {
        bytes[i] = i < count * 3 ? at[i] : 0;
    }
}

template <typename Layout, typename Value>
__device__ __forceinline__ void normalize(const uint8_t* pixels, const int64_t* starts, const Value* table,
                                          uint32_t blocks_per_image, uint64_t plane, Value* out) {
    __shared__ Value cached[warpline::kTableEntries];
    warpline::load_table(table, cached);

    const uint32_t image = blockIdx.x / blocks_per_image;
    const uint32_t block = blockIdx.x - image * blocks_per_image;
    const uint64_t pixel = (static_cast<uint64_t>(block) * blockDim.x + threadIdx.x) * 4;
    if (pixel >= plane) {
        return;
    }
    const uint32_t count = static_cast<uint32_t>(min(plane - pixel, static_cast<uint64_t>(4)));
    const int64_t start = starts[image];
    Value values[12] = {};
    if (start >= 0) {
        uint32_t bytes[12];
        load_pixels(pixels + start + pixel * 3, count, bytes);
        warpline::look_up(cached, bytes, values);
    }
    warpline::store_pixels<Layout>(out + image * 3 * plane, pixel, plane, count, plane % 4 == 0, values);
}

}  // namespace

#define WARPLINE_NORMALIZE(LAYOUT_NAME, LAYOUT, VALUE_NAME, VALUE)                                             \
    extern "C" __global__ void __launch_bounds__(kBlockThreads) normalize_##LAYOUT_NAME##_##VALUE_NAME(         \
        const uint8_t* __restrict__ pixels, const int64_t* __restrict__ starts, const VALUE* __restrict__ table, \
        uint32_t blocks_per_image, uint64_t plane, VALUE* __restrict__ out) {                                  \
        normalize<warpline::LAYOUT, VALUE>(pixels, starts, table, blocks_per_image, plane, out);               \
    }

#define WARPLINE_NORMALIZE_LAYOUTS(VALUE_NAME, VALUE)                   \
    WARPLINE_NORMALIZE(nchw, PlanarLayout, VALUE_NAME, VALUE)           \
    WARPLINE_NORMALIZE(nhwc, InterleavedLayout, VALUE_NAME, VALUE)

WARPLINE_NORMALIZE_LAYOUTS(u8, uint8_t)
WARPLINE_NORMALIZE_LAYOUTS(u16, uint16_t)
WARPLINE_NORMALIZE_LAYOUTS(u32, uint32_t)
