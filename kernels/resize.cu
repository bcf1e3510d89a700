// Resize: one pass of a two-pass resize with Pillow's 8-bit arithmetic, over a ragged batch of RGB images.
//
// Algorithm: Pillow's ImagingResample (src/libImaging/Resample.c): weights with 22 fraction bits, computed on the host;
// the sum of weight x byte plus a half, shifted, clipped to a byte. Two launches with bytes between them make a resize.
// Buffers: pixels, RGB rows of the source images; between, the first pass's output where a second pass reads it, else
// null; images, taps and weights as in include/resample.cuh; out, RGB rows.
// Nulls: null images have no blocks. Overflow: none for Pillow's filters, whose absolute weights sum to less than 2.
// Launch: one dimension, 256 threads a block, as many blocks as the images' first_block fields count.
// Bytes per output pixel: reads 3 x taps (neighbouring pixels share them in the caches), writes 3.
// Determinism: every output byte is written once, from integers.

#include "include/resample.cuh"

namespace {

constexpr int kBlockThreads = 256;

// Interleaved bytes, rows `out_row` bytes apart.
struct RgbSink {
    uint8_t* out;

    __device__ __forceinline__ void put(const warpline::ImagePass& image, uint32_t x, uint32_t y, uint32_t count,
                                        const uint32_t (&bytes)[12]) const {
        uint8_t* at = out + image.out + static_cast<uint64_t>(y) * image.out_row + static_cast<uint64_t>(x) * 3;
        if (count == warpline::kQuad && (reinterpret_cast<uintptr_t>(at) & 3) == 0) {
            uint32_t* words = reinterpret_cast<uint32_t*>(at);
#pragma unroll
            for (int i = 0; i < 3; ++i) {
                words[i] = bytes[4 * i] | bytes[4 * i + 1] << 8 | bytes[4 * i + 2] << 16 | bytes[4 * i + 3] << 24;
            }
            return;
        }
#pragma unroll
        for (uint32_t i = 0; i < 12; ++i) {
            if (i < count * 3) {
                at[i] = static_cast<uint8_t>(bytes[i]);
            }
        }
    }

    __device__ __forceinline__ void zero(const warpline::ImagePass&, uint32_t, uint32_t, uint32_t) const {}
};

}  // namespace

extern "C" __global__ void __launch_bounds__(kBlockThreads)
    resize_pass_u8(const uint8_t* __restrict__ pixels, const uint8_t* __restrict__ between,
                   const warpline::ImagePass* __restrict__ images, const warpline::Taps* __restrict__ taps,
                   const int32_t* __restrict__ weights, uint32_t n, uint8_t* __restrict__ out) {
    warpline::resample_pass({pixels, between, images, taps, weights}, n, RgbSink{out});
}
