// Resize: one pass of a two-pass resize with Pillow's 8-bit arithmetic, over a ragged batch of RGB images.
//
// Algorithm: Pillow's ImagingResample (src/libImaging/Resample.c): weights with 22 fraction bits, computed on the host;
// the sum of weight x byte plus a half, shifted, clipped to a byte. Two launches with bytes between them make a resize.
// Buffers: pixels, RGB rows of the source images; between, the first pass's output where a second pass reads it, else
// null; images, taps and weights as in include/resample.cuh; out, RGB rows.
// Staging: a horizontal pass reads every source pixel for several outputs, and its threads stand several pixels apart. A
// block therefore copies the source pixels of a tile to shared memory first, a word each. Images whose tiles do not fit
// (shrinking about 28 times and more), and vertical passes, read global memory.
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

constexpr uint32_t kTileRows = 8;
constexpr uint32_t kStagedPixels = 512;  // of a row

// Three bytes of a word, red lowest.
using Staged = uint32_t[kTileRows][kStagedPixels];

// Copies `count` pixels from `at` on. Four pixels are three words when the row starts on a word boundary, and parts of
// four words otherwise; no word is read that holds no byte of them.
__device__ __forceinline__ void stage_four(const uint8_t* at, uint32_t count, uint32_t* staged) {
    if (count < 4) {
        for (uint32_t i = 0; i < count; ++i) {
            staged[i] = at[3 * i] | at[3 * i + 1] << 8 | at[3 * i + 2] << 16;
        }
        return;
    }
    const uint32_t shift = (reinterpret_cast<uintptr_t>(at) & 3) * 8;
    const uint32_t* words = reinterpret_cast<const uint32_t*>(at - shift / 8);
    const uint64_t low = words[0] | static_cast<uint64_t>(words[1]) << 32;
    const uint64_t high = words[2] | static_cast<uint64_t>(shift > 0 ? words[3] : 0) << 32;
    const uint64_t first = shift > 0 ? low >> shift | high << (64 - shift) : low;
    const uint32_t last = static_cast<uint32_t>(high >> shift);
    staged[0] = static_cast<uint32_t>(first) & 0xffffff;
    staged[1] = static_cast<uint32_t>(first >> 24) & 0xffffff;
    staged[2] = static_cast<uint32_t>(first >> 48) | (last & 0xff) << 16;
    staged[3] = last >> 8;
}

// A tile of a horizontal pass: `image.tile` columns of up to kTileRows rows.
__device__ __forceinline__ void horizontal_tile(const warpline::PassInputs& in, const warpline::ImagePass& image,
                                                Staged& staged, uint8_t* out) {
    const uint32_t tiles = (image.width + image.tile - 1) / image.tile;
    const uint32_t block = blockIdx.x - image.first_block;
    const uint32_t first_y = block / tiles * kTileRows;
    const uint32_t first_x = (block - block / tiles * tiles) * image.tile;
    const uint32_t rows = min(kTileRows, image.height - first_y);
    const uint32_t columns = min(image.tile, image.width - first_x);

    const warpline::Taps* taps = in.taps + image.taps + first_x;
    const uint32_t start = taps[0].start;
    const uint32_t pixels = taps[columns - 1].start + taps[columns - 1].count - start;
    const uint8_t* source = in.pixels + image.source + static_cast<uint64_t>(start) * 3;
    const uint32_t fours = (pixels + 3) / 4;
    for (uint32_t i = threadIdx.x; i < fours * rows; i += blockDim.x) {
        const uint32_t row = i / fours;
        const uint32_t x = (i - row * fours) * 4;
        const uint8_t* at = source + static_cast<uint64_t>(first_y + row) * image.source_row + x * 3;
        stage_four(at, min(4u, pixels - x), &staged[row][x]);
    }
    __syncthreads();

    for (uint32_t i = threadIdx.x; i < image.tile * rows; i += blockDim.x) {
        const uint32_t row = i / image.tile;
        const uint32_t x = i - row * image.tile;
        if (x >= columns) {
            continue;
        }
        const warpline::Taps tap = taps[x];
        const uint32_t* window = &staged[row][tap.start - start];
        int32_t red = warpline::kRound;
        int32_t green = warpline::kRound;
        int32_t blue = warpline::kRound;
        for (uint32_t t = 0; t < tap.count; ++t) {
            const int32_t weight = in.weights[tap.weights + t];
            const uint32_t pixel = window[t];
            red += static_cast<int32_t>(pixel & 0xff) * weight;
            green += static_cast<int32_t>(pixel >> 8 & 0xff) * weight;
            blue += static_cast<int32_t>(pixel >> 16) * weight;
        }
        uint8_t* to = out + image.out + static_cast<uint64_t>(first_y + row) * image.out_row +
                      static_cast<uint64_t>(first_x + x) * 3;
        to[0] = static_cast<uint8_t>(warpline::to_byte(red));
        to[1] = static_cast<uint8_t>(warpline::to_byte(green));
        to[2] = static_cast<uint8_t>(warpline::to_byte(blue));
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kBlockThreads)
    resize_pass_u8(const uint8_t* __restrict__ pixels, const uint8_t* __restrict__ between,
                   const warpline::ImagePass* __restrict__ images, const warpline::Taps* __restrict__ taps,
                   const int32_t* __restrict__ weights, uint32_t n, uint8_t* __restrict__ out) {
    __shared__ Staged staged;
    const warpline::PassInputs in{pixels, between, images, taps, weights};
    const warpline::ImagePass image = images[warpline::image_of_block(images, n, blockIdx.x)];
    if (image.tile > 0) {
        horizontal_tile(in, image, staged, out);
    } else {
        warpline::resample_image(in, image, RgbSink{out});
    }
}
