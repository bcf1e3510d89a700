// What benches/speed.rs measures: the kinds of kernels that the library is made of.
#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_scan.cuh>
#include <cstdint>

// Exclusive sums of each tile of 1,024 values.
extern "C" __global__ void __launch_bounds__(256) speed_scan(const uint32_t* in, uint32_t* out, uint32_t* totals) {
    using Scan = cub::BlockScan<uint32_t, 256>;
    __shared__ typename Scan::TempStorage temp;
    const uint4 a = reinterpret_cast<const uint4*>(in)[blockIdx.x * 256 + threadIdx.x];
    uint32_t v[4] = {a.x, a.y, a.z, a.w}, sum;
    Scan(temp).ExclusiveSum(v, v, sum);
    reinterpret_cast<uint4*>(out)[blockIdx.x * 256 + threadIdx.x] = make_uint4(v[0], v[1], v[2], v[3]);
    if (threadIdx.x == 0) totals[blockIdx.x] = sum;
}

// Sorts each tile of 512 values.
extern "C" __global__ void __launch_bounds__(128) speed_sort(const uint32_t* in, uint32_t* out) {
    using Sort = cub::BlockRadixSort<uint32_t, 128, 4>;
    __shared__ typename Sort::TempStorage temp;
    const uint32_t base = blockIdx.x * 512 + threadIdx.x * 4;
    uint32_t v[4];
    for (int k = 0; k < 4; k++) v[k] = in[base + k];
    Sort(temp).Sort(v);
    for (int k = 0; k < 4; k++) out[base + k] = v[k];
}

struct Taps {
    uint32_t start, count;
};

// A horizontal pass over interleaved RGB bytes with weights of 22 fraction bits: a block a row.
extern "C" __global__ void __launch_bounds__(128)
    speed_resize(const uint8_t* in, const Taps* taps, const int32_t* weights, uint8_t* out, uint32_t width,
                 uint32_t out_width, uint32_t most) {
    const uint8_t* row = in + static_cast<uint64_t>(blockIdx.x) * width * 3;
    for (uint32_t x = threadIdx.x; x < out_width; x += blockDim.x) {
        const Taps t = taps[x];
        const uint8_t* at = row + t.start * 3;
        int32_t red = 1 << 21, green = 1 << 21, blue = 1 << 21;
        for (uint32_t k = 0; k < t.count; k++) {
            const int32_t weight = weights[x * most + k];
            red += at[3 * k] * weight;
            green += at[3 * k + 1] * weight;
            blue += at[3 * k + 2] * weight;
        }
        uint8_t* to = out + (static_cast<uint64_t>(blockIdx.x) * out_width + x) * 3;
        to[0] = min(max(red >> 22, 0), 255);
        to[1] = min(max(green >> 22, 0), 255);
        to[2] = min(max(blue >> 22, 0), 255);
    }
}

// One pass of the accurate integer inverse DCT (Loeffler, Ligtenberg and Moschytz, ICASSP 1989, with 11 multiplies a
// row) in 13-bit fixed point; `shift` bits are dropped at the end.
__device__ __forceinline__ void inverse(int32_t (&v)[8], int shift) {
    const int32_t z1 = (v[2] + v[6]) * 4433, t2 = z1 - v[6] * 15137, t3 = z1 + v[2] * 6270;
    const int32_t t0 = (v[0] + v[4]) << 13, t1 = (v[0] - v[4]) << 13;
    const int32_t e[4] = {t0 + t3, t1 + t2, t1 - t2, t0 - t3};
    const int32_t a1 = v[7] + v[1], a2 = v[5] + v[3], a3 = v[7] + v[3], a4 = v[5] + v[1], a5 = (a3 + a4) * 9633;
    const int32_t b3 = a5 - a3 * 16069, b4 = a5 - a4 * 3196;
    const int32_t o[4] = {v[1] * 12299 - a1 * 7373 + b4, v[3] * 25172 - a2 * 20995 + b3,
                          v[5] * 16819 - a2 * 20995 + b4, v[7] * 2446 - a1 * 7373 + b3};
    const int32_t half = 1 << (shift - 1);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[i] = (e[i] + o[i] + half) >> shift;
        v[7 - i] = (e[i] - o[i] + half) >> shift;
    }
}

// A thread a block of 8x8 coefficients.
extern "C" __global__ void __launch_bounds__(128)
    speed_idct(const int16_t* coefficients, const uint16_t* steps, uint8_t* out, uint32_t n) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int32_t m[8][8];
#pragma unroll
    for (int y = 0; y < 8; y++) {
#pragma unroll
        for (int x = 0; x < 8; x++) m[y][x] = coefficients[i * 64 + y * 8 + x] * steps[y * 8 + x];
    }
#pragma unroll
    for (int x = 0; x < 8; x++) {
        int32_t v[8];
#pragma unroll
        for (int y = 0; y < 8; y++) v[y] = m[y][x];
        inverse(v, 11);
#pragma unroll
        for (int y = 0; y < 8; y++) m[y][x] = v[y];
    }
#pragma unroll
    for (int y = 0; y < 8; y++) {
        inverse(m[y], 18);
        uint32_t word[2] = {0, 0};
#pragma unroll
        for (int x = 0; x < 8; x++) word[x / 4] |= uint32_t(min(max(m[y][x] + 128, 0), 255)) << (x % 4 * 8);
        reinterpret_cast<uint2*>(out)[i * 8 + y] = make_uint2(word[0], word[1]);
    }
}

// A serial decoder a thread: prefix codes of at most 8 bits, a table of (length << 8 | symbol), big-endian bits.
extern "C" __global__ void __launch_bounds__(64)
    speed_bits(const uint8_t* streams, uint32_t stride, const uint16_t* table, uint8_t* out, uint32_t symbols) {
    __shared__ uint16_t local[256];
    for (uint32_t k = threadIdx.x; k < 256; k += blockDim.x) local[k] = table[k];
    __syncthreads();
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    const uint8_t* at = streams + static_cast<uint64_t>(i) * stride;
    uint64_t window = 0;
    uint32_t have = 0;
    for (uint32_t s = 0; s < symbols; s++) {
        while (have < 8) {
            window = window << 8 | *at++;
            have += 8;
        }
        const uint32_t code = local[window >> (have - 8) & 255];
        have -= code >> 8;
        out[static_cast<uint64_t>(i) * symbols + s] = code & 255;
    }
}

__device__ __forceinline__ uint64_t mix(uint64_t h) {
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdull;
    h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53ull;
    return h ^ (h >> 33);
}

// Open addressing with linear probing; keys are not zero.
extern "C" __global__ void __launch_bounds__(128)
    speed_build(const unsigned long long* keys, uint32_t n, unsigned long long* table, uint32_t* rows, uint32_t mask) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const unsigned long long key = keys[i];
    for (uint32_t at = mix(key) & mask;; at = (at + 1) & mask) {
        const unsigned long long old = atomicCAS(&table[at], 0ull, key);
        if (old == 0 || old == key) {
            rows[at] = i;
            return;
        }
    }
}

extern "C" __global__ void __launch_bounds__(128)
    speed_probe(const unsigned long long* keys, uint32_t n, const unsigned long long* table, const uint32_t* rows,
                uint32_t mask, uint32_t* out) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const unsigned long long key = keys[i];
    uint32_t found = 0xffffffffu;
    for (uint32_t at = mix(key) & mask;; at = (at + 1) & mask) {
        const unsigned long long held = table[at];
        if (held == key) {
            found = rows[at];
            break;
        }
        if (held == 0) break;
    }
    out[i] = found;
}
