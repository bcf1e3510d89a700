// One resampling pass over a ragged batch of RGB images: descriptors, work split and the integer sums.
//
// A pass resamples along one axis, or copies, a window of an image, and puts it on a canvas of the image's own size and
// colour, which may then be turned round. A thread makes a quad: four neighbouring pixels of a row of the result, 12
// sums. Which quad is a function of the block and the thread alone, so any schedule gives the same result.
#pragma once

#include <cstdint>

#include "grid.cuh"

namespace warpline {

constexpr int kPrecisionBits = 32 - 8 - 2;
constexpr int32_t kRound = 1 << (kPrecisionBits - 1);
constexpr uint32_t kQuad = 4;

// What a pass does with an image. The host writes these numbers (src/image/resize/cuda.rs).
enum PassKind : uint32_t {
    kNull = 0,        // no image: the sink's zero everywhere
    kCopy = 1,        // source pixels as they are
    kHorizontal = 2,  // weighted sums along rows
    kVertical = 3,    // weighted sums along columns
    kPassMask = 3,
};

// What else the word of the PassKind holds; red, green and blue of the canvas are its upper three bytes.
constexpr uint32_t kBetween = 1 << 2;  // the source is the buffer between the passes
constexpr uint32_t kFlipX = 1 << 3;    // the canvas is mirrored left to right
constexpr uint32_t kFlipY = 1 << 4;    // the canvas is mirrored top to bottom
constexpr uint32_t kFillShift = 8;

// One image of a pass, 64 bytes.
struct alignas(16) ImagePass {
    uint64_t source;         // first byte of the source window
    uint64_t out;            // first element of the canvas
    uint32_t source_row;     // bytes from one source row to the next
    uint32_t out_row;        // elements from one canvas row to the next
    uint32_t taps;           // entry of the window's first pixel along the resampled axis
    uint32_t kind;           // a PassKind, the bits above and the canvas's colour
    uint32_t canvas_width;   // pixels
    uint32_t canvas_height;
    uint32_t left;           // where the window lies on the canvas before any flip
    uint32_t top;
    uint32_t width;          // the window's size on the canvas
    uint32_t height;
    uint32_t first_block;    // first block of the grid that works on this image
    uint32_t tile;           // columns of a staged tile, or 0: resize.cu
};

// The source pixels of one output pixel along the resampled axis, 16 bytes.
struct alignas(16) Taps {
    uint32_t start;
    uint32_t count;
    uint32_t weights;  // entry of the first weight
    uint32_t unused;
};

// All inputs of a pass.
struct PassInputs {
    const uint8_t* pixels;
    const uint8_t* between;
    const ImagePass* images;
    const Taps* taps;
    const int32_t* weights;
};

__device__ __forceinline__ uint32_t to_byte(int32_t sum) {
    return static_cast<uint32_t>(min(max(sum >> kPrecisionBits, 0), 255));
}

// The image that a block works on: the last one whose first block is not past it. Images without blocks share their
// first block with the next one and are passed over.
__device__ __forceinline__ uint32_t image_of_block(const ImagePass* images, uint32_t n, uint32_t block) {
    return owner(images, n, block, [](const ImagePass& image) { return image.first_block; });
}

// Adds `weight` times each of the 12 bytes at a word boundary to the sums.
__device__ __forceinline__ void add_words(int32_t (&sums)[12], const uint8_t* bytes, int32_t weight) {
    const uint32_t* words = reinterpret_cast<const uint32_t*>(bytes);
#pragma unroll
    for (uint32_t word = 0; word < 3; ++word) {
        const uint32_t four = words[word];
#pragma unroll
        for (uint32_t byte = 0; byte < 4; ++byte) {
            sums[word * 4 + byte] += static_cast<int32_t>((four >> (8 * byte)) & 0xff) * weight;
        }
    }
}

// One pixel of the window: its taps are `step` bytes apart.
__device__ __forceinline__ void make_pixel(const PassInputs& in, const ImagePass& image, const uint8_t* source,
                                           uint32_t x, uint32_t y, uint32_t (&rgb)[3]) {
    const uint64_t row = image.source_row;
    const uint32_t kind = image.kind & kPassMask;
    const bool horizontal = kind == kHorizontal;
    if (kind == kCopy) {
        const uint8_t* at = source + y * row + static_cast<uint64_t>(x) * 3;
        rgb[0] = at[0];
        rgb[1] = at[1];
        rgb[2] = at[2];
        return;
    }
    const Taps taps = in.taps[image.taps + (horizontal ? x : y)];
    const uint64_t step = horizontal ? 3 : row;
    const uint8_t* at = source + taps.start * step + (horizontal ? y * row : static_cast<uint64_t>(x) * 3);
    int32_t red = kRound;
    int32_t green = kRound;
    int32_t blue = kRound;
#pragma unroll 1
    for (uint32_t i = 0; i < taps.count; ++i, at += step) {
        const int32_t weight = in.weights[taps.weights + i];
        red += static_cast<int32_t>(at[0]) * weight;
        green += static_cast<int32_t>(at[1]) * weight;
        blue += static_cast<int32_t>(at[2]) * weight;
    }
    rgb[0] = to_byte(red);
    rgb[1] = to_byte(green);
    rgb[2] = to_byte(blue);
}

// The bytes of the result's quad at (x, y); the canvas's colour where the window does not cover it.
__device__ __forceinline__ void make_quad(const PassInputs& in, const ImagePass& image, uint32_t x, uint32_t y,
                                          uint32_t count, uint32_t (&bytes)[12]) {
    const uint8_t* source = ((image.kind & kBetween) ? in.between : in.pixels) + image.source;
    const uint64_t row = image.source_row;
    // The quad's place on the canvas before a flip, from the window's corner on. Unsigned: left of and above the window
    // wraps to a large number.
    const bool mirrored = (image.kind & kFlipX) != 0;
    const uint32_t window_x = (mirrored ? image.canvas_width - count - x : x) - image.left;
    const uint32_t window_y = ((image.kind & kFlipY) ? image.canvas_height - 1 - y : y) - image.top;
    const bool inside = count == kQuad && window_x < image.width && image.width - window_x >= kQuad &&
                        window_y < image.height;
    if (inside && (image.kind & kPassMask) == kVertical) {
        const Taps taps = in.taps[image.taps + window_y];
        const uint8_t* at = source + taps.start * row + static_cast<uint64_t>(window_x) * 3;
        if (((reinterpret_cast<uintptr_t>(at) | row) & 3) == 0) {
            int32_t sums[12];
#pragma unroll
            for (uint32_t i = 0; i < 12; ++i) {
                sums[i] = kRound;
            }
            for (uint32_t i = 0; i < taps.count; ++i, at += row) {
                add_words(sums, at, in.weights[taps.weights + i]);
            }
#pragma unroll
            for (uint32_t i = 0; i < 12; ++i) {
                const uint32_t turned = (kQuad - 1 - i / 3) * 3 + i % 3;
                bytes[i] = to_byte(mirrored ? sums[turned] : sums[i]);
            }
            return;
        }
    }
#pragma unroll
    for (uint32_t pixel = 0; pixel < kQuad; ++pixel) {
        uint32_t rgb[3];
#pragma unroll
        for (uint32_t channel = 0; channel < 3; ++channel) {
            rgb[channel] = image.kind >> (kFillShift + 8 * channel) & 0xff;
        }
        const uint32_t pixel_x = window_x + (mirrored ? count - 1 - pixel : pixel);
        if (pixel < count && pixel_x < image.width && window_y < image.height) {
            make_pixel(in, image, source, pixel_x, window_y, rgb);
        }
#pragma unroll
        for (uint32_t channel = 0; channel < 3; ++channel) {
            bytes[pixel * 3 + channel] = rgb[channel];
        }
    }
}

// Makes this thread's quad of an image and hands it to the sink: `sink.put(image, x, y, count, bytes)`, or
// `sink.zero(image, x, y, count)` for a null image.
template <typename Sink>
__device__ __forceinline__ void resample_image(const PassInputs& in, const ImagePass& image, const Sink& sink) {
    const uint32_t quads = (image.canvas_width + kQuad - 1) / kQuad;
    const uint64_t item = static_cast<uint64_t>(blockIdx.x - image.first_block) * blockDim.x + threadIdx.x;
    if (item >= static_cast<uint64_t>(quads) * image.canvas_height) {
        return;
    }
    // At most 2^32 quads: the host bounds pixels.
    const uint32_t y = static_cast<uint32_t>(item) / quads;
    const uint32_t x = (static_cast<uint32_t>(item) - y * quads) * kQuad;
    const uint32_t count = min(kQuad, image.canvas_width - x);
    if ((image.kind & kPassMask) == kNull) {
        sink.zero(image, x, y, count);
        return;
    }
    uint32_t bytes[12];
    make_quad(in, image, x, y, count, bytes);
    sink.put(image, x, y, count, bytes);
}

}  // namespace warpline
