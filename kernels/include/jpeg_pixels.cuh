// Samples to pixels: libjpeg-turbo's "fancy" upsampling, colour, orientation.
#pragma once

#include <cstdint>

#include "jpeg.cuh"

namespace warpline {
namespace jpeg {

constexpr uint32_t kPixelThreads = 256;
constexpr uint32_t kQuadPixels = 4;  // that a thread makes

// The value of a component at full size. Neighbours beyond the edge of the real samples are the edge itself.
__device__ __forceinline__ uint32_t sample_at(const Plane& plane, const uint8_t* planes, uint32_t x, uint32_t y) {
    const uint8_t* samples = planes + plane.samples;
    const uint64_t stride = plane.stride;
    switch (plane.filter) {
        case kCopy:
            return samples[y * stride + x];
        case kFancy2x1: {
            const uint8_t* row = samples + y * stride;
            const uint32_t i = x / 2;
            if ((x & 1) == 0) {
                return i == 0 ? row[0] : (row[i] * 3u + row[i - 1] + 1) >> 2;
            }
            return i + 1 == plane.width ? row[i] : (row[i] * 3u + row[i + 1] + 2) >> 2;
        }
        case kFancy1x2:
        case kFancy2x2: {
            const uint32_t line = y / 2;
            const uint32_t other = (y & 1) == 0 ? (line == 0 ? 0 : line - 1) : min(line + 1, plane.height - 1);
            const uint8_t* near = samples + line * stride;
            const uint8_t* far = samples + other * stride;
            if (plane.filter == kFancy1x2) {
                return (near[x] * 3u + far[x] + 1 + (y & 1)) >> 2;
            }
            const uint32_t i = x / 2;
            const uint32_t sum = near[i] * 3u + far[i];
            if ((x & 1) == 0) {
                return i == 0 ? (sum * 4 + 8) >> 4 : (sum * 3 + near[i - 1] * 3u + far[i - 1] + 8) >> 4;
            }
            return i + 1 == plane.width ? (sum * 4 + 7) >> 4 : (sum * 3 + near[i + 1] * 3u + far[i + 1] + 7) >> 4;
        }
        default:
            return samples[y / plane.ratio_y * stride + x / plane.ratio_x];
    }
}

// Four samples of a row that is twice as wide at full size: those of `i` and the one after it, with a neighbour on either
// side. `i` is even. At the edges a neighbour is the edge itself, which is what the filters make of no neighbour.
__device__ __forceinline__ void neighbours(const uint8_t* row, uint32_t i, uint32_t width, uint32_t (&out)[4]) {
    // Rows begin on multiples of eight and are padded to them.
    const uint32_t pair = *reinterpret_cast<const uint16_t*>(row + i);
    out[1] = pair & 0xff;
    out[0] = i > 0 ? row[i - 1] : out[1];
    out[2] = i + 1 < width ? pair >> 8 : out[1];
    out[3] = i + 2 < width ? row[i + 2] : out[2];
}

// The values of a component at x to x + 3 of an upright row, as `sample_at` has them; `x` is a multiple of four. Those
// beyond the row mean nothing.
__device__ __forceinline__ void samples_at(const Plane& plane, const uint8_t* planes, uint32_t x, uint32_t y,
                                           uint32_t (&out)[kQuadPixels]) {
    const uint8_t* samples = planes + plane.samples;
    const uint64_t stride = plane.stride;
    const uint32_t line = y / 2;
    const uint32_t other = (y & 1) == 0 ? (line == 0 ? 0 : line - 1) : min(line + 1, plane.height - 1);
    switch (plane.filter) {
        case kCopy: {
            const uint32_t word = *reinterpret_cast<const uint32_t*>(samples + y * stride + x);
#pragma unroll
            for (uint32_t i = 0; i < kQuadPixels; ++i) {
                out[i] = word >> (8 * i) & 0xff;
            }
            break;
        }
        case kFancy1x2: {
            const uint32_t near = *reinterpret_cast<const uint32_t*>(samples + line * stride + x);
            const uint32_t far = *reinterpret_cast<const uint32_t*>(samples + other * stride + x);
#pragma unroll
            for (uint32_t i = 0; i < kQuadPixels; ++i) {
                out[i] = ((near >> (8 * i) & 0xff) * 3 + (far >> (8 * i) & 0xff) + 1 + (y & 1)) >> 2;
            }
            break;
        }
        case kFancy2x1: {
            uint32_t s[4];
            neighbours(samples + y * stride, x / 2, plane.width, s);
            out[0] = (s[1] * 3 + s[0] + 1) >> 2;
            out[1] = (s[1] * 3 + s[2] + 2) >> 2;
            out[2] = (s[2] * 3 + s[1] + 1) >> 2;
            out[3] = (s[2] * 3 + s[3] + 2) >> 2;
            break;
        }
        case kFancy2x2: {
            uint32_t s[4], far[4];
            neighbours(samples + line * stride, x / 2, plane.width, s);
            neighbours(samples + other * stride, x / 2, plane.width, far);
#pragma unroll
            for (uint32_t i = 0; i < 4; ++i) {
                s[i] = s[i] * 3 + far[i];
            }
            out[0] = (s[1] * 3 + s[0] + 8) >> 4;
            out[1] = (s[1] * 3 + s[2] + 7) >> 4;
            out[2] = (s[2] * 3 + s[1] + 8) >> 4;
            out[3] = (s[2] * 3 + s[3] + 7) >> 4;
            break;
        }
        default: {
            // Beyond the row is padding.
            const uint8_t* row = samples + y / plane.ratio_y * stride;
#pragma unroll
            for (uint32_t i = 0; i < kQuadPixels; ++i) {
                out[i] = row[(x + i) / plane.ratio_x];
            }
        }
    }
}

__device__ __forceinline__ uint32_t clamp_byte(int32_t value) {
    return static_cast<uint32_t>(min(max(value, 0), 255));
}

// ITU-R BT.601 as JFIF has it, in 16-bit fixed point.
__device__ __forceinline__ void ycc_to_rgb(uint32_t (&c)[4]) {
    const int32_t y = static_cast<int32_t>(c[0]);
    const int32_t cb = static_cast<int32_t>(c[1]) - 128;
    const int32_t cr = static_cast<int32_t>(c[2]) - 128;
    c[0] = clamp_byte(y + ((91881 * cr + 32768) >> 16));
    c[1] = clamp_byte(y + ((-22554 * cb - 46802 * cr + 32768) >> 16));
    c[2] = clamp_byte(y + ((116130 * cb + 32768) >> 16));
}

// Pillow 12's CMYK to RGB; `black` is the sample as stored (src/image/jpeg_decode/color).
__device__ __forceinline__ uint32_t under_black(uint32_t ink, uint32_t black) {
    const uint32_t product = ink * black + 128;
    return clamp_byte(static_cast<int32_t>(black) - static_cast<int32_t>(((product >> 8) + product) >> 8));
}

__device__ __forceinline__ void convert(uint8_t model, uint32_t (&c)[4]) {
    switch (model) {
        case kGray:
            c[1] = c[0];
            c[2] = c[0];
            break;
        case kRgb:
            break;
        case kYCbCr:
            ycc_to_rgb(c);
            break;
        default: {
            if (model == kYcck) {
                ycc_to_rgb(c);
            } else {
                c[0] = 255 - c[0];
                c[1] = 255 - c[1];
                c[2] = 255 - c[2];
            }
#pragma unroll
            for (int i = 0; i < 3; ++i) {
                c[i] = under_black(c[i], c[3]);
            }
        }
    }
}

// Where the pixel at (x, y) of the upright image lies in the coded one.
__device__ __forceinline__ void turn(const Image& image, uint32_t& x, uint32_t& y) {
    const uint32_t right = image.width - 1;
    const uint32_t bottom = image.height - 1;
    const uint32_t to_x = x;
    const uint32_t to_y = y;
    switch (image.orientation) {
        case 2: x = right - to_x; break;
        case 3: x = right - to_x; y = bottom - to_y; break;
        case 4: y = bottom - to_y; break;
        case 5: x = to_y; y = to_x; break;
        case 6: x = to_y; y = bottom - to_x; break;
        case 7: x = right - to_y; y = bottom - to_x; break;
        case 8: x = right - to_y; y = to_x; break;
        default: break;
    }
}

// Makes this thread's four pixels of an image; a quad never crosses a row.
__device__ __forceinline__ void make_pixels(const Image& image, const uint8_t* planes, uint8_t* pixels) {
    const bool turned = image.orientation >= 5;
    const uint32_t width = turned ? image.height : image.width;
    const uint32_t height = turned ? image.width : image.height;
    const uint32_t quads = (width + kQuadPixels - 1) / kQuadPixels;
    const uint64_t item = static_cast<uint64_t>(blockIdx.x - image.first_block) * kPixelThreads + threadIdx.x;
    if (item >= static_cast<uint64_t>(quads) * height) {
        return;
    }
    // At most 2^32 / 4 quads: a side has at most 65,500 pixels.
    const uint32_t y = static_cast<uint32_t>(item) / quads;
    const uint32_t x = (static_cast<uint32_t>(item) - y * quads) * kQuadPixels;
    const uint32_t count = min(kQuadPixels, width - x);
    // Components, then pixels.
    uint32_t quad[kMaxComponents][kQuadPixels] = {};
#pragma unroll
    for (uint32_t component = 0; component < kMaxComponents; ++component) {
        if (component >= image.components) {
            continue;
        }
        const Plane& plane = image.plane[component];
        if (image.orientation == 1 || image.orientation == 4) {
            samples_at(plane, planes, x, image.orientation == 1 ? y : height - 1 - y, quad[component]);
            continue;
        }
#pragma unroll
        for (uint32_t i = 0; i < kQuadPixels; ++i) {
            uint32_t from_x = min(x + i, width - 1);
            uint32_t from_y = y;
            turn(image, from_x, from_y);
            quad[component][i] = sample_at(plane, planes, from_x, from_y);
        }
    }
    uint8_t bytes[3 * kQuadPixels];
#pragma unroll
    for (uint32_t i = 0; i < kQuadPixels; ++i) {
        uint32_t c[4] = {quad[0][i], quad[1][i], quad[2][i], quad[3][i]};
        convert(image.model, c);
#pragma unroll
        for (uint32_t channel = 0; channel < 3; ++channel) {
            bytes[3 * i + channel] = static_cast<uint8_t>(c[channel]);
        }
    }
    uint8_t* out = pixels + image.pixels + (static_cast<uint64_t>(y) * width + x) * 3;
    if (count == kQuadPixels && (reinterpret_cast<uintptr_t>(out) & 3) == 0) {
        uint32_t* words = reinterpret_cast<uint32_t*>(out);
#pragma unroll
        for (uint32_t i = 0; i < 3; ++i) {
            words[i] = bytes[4 * i] | bytes[4 * i + 1] << 8 | bytes[4 * i + 2] << 16 |
                       static_cast<uint32_t>(bytes[4 * i + 3]) << 24;
        }
        return;
    }
#pragma unroll
    for (uint32_t i = 0; i < 3 * kQuadPixels; ++i) {
        if (i < 3 * count) {
            out[i] = bytes[i];
        }
    }
}

}  // namespace jpeg
}  // namespace warpline
