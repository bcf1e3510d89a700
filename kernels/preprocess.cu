// Preprocess: the last resize pass, crop or pad, flip, normalise, layout and cast of a ragged batch, in one launch.
//
// Algorithm: the pass is Pillow's (include/resample.cuh); a byte then becomes a number by a 3 x 256 table made on the
// host with torchvision's order of operations, so one entry serves all element types of a width, bit for bit.
// Buffers: pixels, RGB rows of the source images; between, the first pass's output, for images that need two; images,
// taps and weights as in include/resample.cuh; table, 3 x 256 values, channel by channel; out, n tensors. The entries
// for patches take their order (include/tensor.cuh) as four numbers.
// Nulls: a null image's row is zero. NaN: the table's own bits. Overflow: none for Pillow's filters.
// Launch: one dimension, 256 threads a block, as many blocks as the images' first_block fields count.
// Bytes per output pixel: reads 3 x taps (neighbouring rows share them in the caches), writes 3 x the width; a block
// reads the table once, 768 x the width.
// Determinism: every element is written once, from integers and the table.

#include "include/resample.cuh"
#include "include/tensor.cuh"

namespace {

constexpr int kBlockThreads = 256;

// Where a canvas's elements go: planes or interleaved pixels.
template <typename Layout>
struct GridPlaces {
    template <typename Value>
    __device__ __forceinline__ void store(const warpline::ImagePass& image, uint32_t x, uint32_t y, uint32_t count,
                                          const Value (&values)[12], Value* out) const {
        const uint64_t width = image.canvas_width;
        const bool fours = width % warpline::kQuad == 0;
        warpline::store_pixels<Layout>(out, y * width + x, width * image.canvas_height, count, fours, values);
    }
};

// Where a canvas's elements go: patch by patch.
struct PatchPlaces {
    warpline::PatchOrder order;

    template <typename Value>
    __device__ __forceinline__ void store(const warpline::ImagePass& image, uint32_t x, uint32_t y, uint32_t count,
                                          const Value (&values)[12], Value* out) const {
        warpline::store_patches(out, order, image.canvas_width, x, y, count, values);
    }
};

template <typename Places, typename Value>
struct TensorSink {
    const Value* cached;
    Value* out;
    Places places;

    __device__ __forceinline__ void put(const warpline::ImagePass& image, uint32_t x, uint32_t y, uint32_t count,
                                        const uint32_t (&bytes)[12]) const {
        Value values[12];
        warpline::look_up(cached, bytes, values);
        places.store(image, x, y, count, values, out + image.out);
    }

    __device__ __forceinline__ void zero(const warpline::ImagePass& image, uint32_t x, uint32_t y,
                                         uint32_t count) const {
        const Value values[12] = {};
        places.store(image, x, y, count, values, out + image.out);
    }
};

template <typename Places, typename Value>
__device__ __forceinline__ void preprocess(const warpline::PassInputs& in, const Value* table, uint32_t n,
                                           const Places& places, Value* out) {
    __shared__ Value cached[warpline::kTableEntries];
    warpline::load_table(table, cached);
    const warpline::ImagePass image = in.images[warpline::image_of_block(in.images, n, blockIdx.x)];
    warpline::resample_image(in, image, TensorSink<Places, Value>{cached, out, places});
}

}  // namespace

#define WARPLINE_PREPROCESS(LAYOUT_NAME, LAYOUT, VALUE_NAME, VALUE)                                                   \
    extern "C" __global__ void __launch_bounds__(kBlockThreads) preprocess_##LAYOUT_NAME##_##VALUE_NAME(               \
        const uint8_t* __restrict__ pixels, const uint8_t* __restrict__ between,                                      \
        const warpline::ImagePass* __restrict__ images, const warpline::Taps* __restrict__ taps,                      \
        const int32_t* __restrict__ weights, const VALUE* __restrict__ table, uint32_t n, VALUE* __restrict__ out) {  \
        preprocess({pixels, between, images, taps, weights}, table, n, GridPlaces<warpline::LAYOUT>{}, out);          \
    }

#define WARPLINE_PREPROCESS_LAYOUTS(VALUE_NAME, VALUE)             \
    WARPLINE_PREPROCESS(nchw, PlanarLayout, VALUE_NAME, VALUE)     \
    WARPLINE_PREPROCESS(nhwc, InterleavedLayout, VALUE_NAME, VALUE)

WARPLINE_PREPROCESS_LAYOUTS(u8, uint8_t)
WARPLINE_PREPROCESS_LAYOUTS(u16, uint16_t)
WARPLINE_PREPROCESS_LAYOUTS(u32, uint32_t)

#define WARPLINE_PREPROCESS_PATCHES(VALUE_NAME, VALUE)                                                                \
    extern "C" __global__ void __launch_bounds__(kBlockThreads) preprocess_patches_##VALUE_NAME(                       \
        const uint8_t* __restrict__ pixels, const uint8_t* __restrict__ between,                                      \
        const warpline::ImagePass* __restrict__ images, const warpline::Taps* __restrict__ taps,                      \
        const int32_t* __restrict__ weights, const VALUE* __restrict__ table, uint32_t n, uint32_t size,              \
        uint32_t merge, uint32_t temporal, uint32_t channels_last, VALUE* __restrict__ out) {                         \
        const PatchPlaces places{{size, merge, temporal, channels_last}};                                             \
        preprocess({pixels, between, images, taps, weights}, table, n, places, out);                                  \
    }

WARPLINE_PREPROCESS_PATCHES(u8, uint8_t)
WARPLINE_PREPROCESS_PATCHES(u16, uint16_t)
WARPLINE_PREPROCESS_PATCHES(u32, uint32_t)
