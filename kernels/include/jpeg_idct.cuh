// Coefficients to samples: DC differences to values, dequantisation, libjpeg-turbo's `islow` inverse DCT.
//
// A block's DC is the sum of all differences of its component since the last restart, modulo 2^16. The sums of the four
// components of an MCU travel as one word of four lanes, and a plain prefix sum over all MCUs of the batch serves:
// what lies before the restart is subtracted again.
//
// The transform has the wrap-around of libjpeg-turbo's x86 SIMD code, as the host's (src/image/jpeg_decode/idct).
#pragma once

#include <cstdint>

#include "jpeg.cuh"
#include "scan.cuh"

namespace warpline {
namespace jpeg {

constexpr uint32_t kMcuThreads = 256;
constexpr uint32_t kIdctBlocks = 32;  // of a thread block; eight threads for each

// Adds four 16-bit lanes.
__device__ __forceinline__ uint64_t add_lanes(uint64_t a, uint64_t b) {
    constexpr uint64_t kTop = 0x8000800080008000ull;
    return ((a & ~kTop) + (b & ~kTop)) ^ ((a ^ b) & kTop);
}

struct AddLanes {
    __device__ __forceinline__ uint64_t operator()(uint64_t a, uint64_t b) const { return add_lanes(a, b); }
};

// Sum over all threads below this one, and over the block.
__device__ __forceinline__ uint64_t block_exclusive_lanes(uint64_t value, uint64_t* block_total) {
    return block_exclusive_sum<uint64_t, kMcuThreads, AddLanes>(value, block_total);
}

// The DC differences of an MCU, summed by component.
__device__ __forceinline__ uint64_t mcu_difference(const Scan& scan, uint32_t mcu, const int16_t* coefficients) {
    const int16_t* block = coefficients + (static_cast<uint64_t>(scan.first_block) + mcu * scan.units) * kBlock;
    uint64_t sum = 0;
    for (uint32_t unit = 0; unit < scan.units; ++unit, block += kBlock) {
        const uint64_t difference = static_cast<uint16_t>(*block);
        sum = add_lanes(sum, difference << (16 * scan.unit[unit].component));
    }
    return sum;
}

// One pass down eight values: the plain definition is the host's portable.rs.
template <int kShift>
__device__ __forceinline__ void idct_pass(int32_t (&v)[8]) {
    const auto wrap = [](int32_t x) { return static_cast<int32_t>(static_cast<int16_t>(x)); };
    const int32_t even = v[2] * (4433 + 6270) + v[6] * 4433;
    const int32_t even2 = v[2] * 4433 + v[6] * (4433 - 15137);
    const int32_t sum = wrap(v[0] + v[4]) << 13;
    const int32_t difference = wrap(v[0] - v[4]) << 13;
    const int32_t z3 = wrap(v[7] + v[3]);
    const int32_t z4 = wrap(v[5] + v[1]);
    const int32_t y3 = z3 * (9633 - 16069) + z4 * 9633;
    const int32_t y4 = z3 * 9633 + z4 * (9633 - 3196);
    const int32_t odds[4] = {
        v[7] * -7373 + v[1] * (12299 - 7373) + y4,
        v[5] * -20995 + v[3] * (25172 - 20995) + y3,
        v[5] * (16819 - 20995) + v[3] * -20995 + y4,
        v[7] * (2446 - 7373) + v[1] * -7373 + y3,
    };
    const int32_t evens[4] = {sum + even, difference + even2, difference - even2, sum - even};
    const auto descale = [](int32_t x) { return min(max((x + (1 << (kShift - 1))) >> kShift, -32768), 32767); };
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        v[i] = descale(evens[i] + odds[i]);
        v[7 - i] = descale(evens[i] - odds[i]);
    }
}

struct IdctInputs {
    const Scan* scans;
    uint32_t n;
    uint32_t blocks;
    const uint16_t* quants;  // 64 for each table, in natural order
    const uint64_t* local;   // sum of differences before each MCU in its tile
    const uint64_t* tiles;   // and before each tile
};

// The DC differences before an MCU, from the first MCU of the batch on.
__device__ __forceinline__ uint64_t before_mcu(const IdctInputs& in, uint32_t mcu) {
    return add_lanes(in.tiles[mcu / kMcuThreads], in.local[mcu]);
}

// The DC value of a unit's block.
__device__ __forceinline__ int16_t dc_value(const IdctInputs& in, const Scan& scan, uint32_t mcu, uint32_t unit,
                                            const int16_t* coefficients) {
    const uint32_t component = scan.unit[unit].component;
    const uint32_t restart = mcu / scan.segment_mcus * scan.segment_mcus;
    const uint64_t here = before_mcu(in, scan.first_mcu + mcu) >> (16 * component);
    const uint64_t start = before_mcu(in, scan.first_mcu + restart) >> (16 * component);
    uint32_t value = static_cast<uint32_t>(here - start);
    const int16_t* block = coefficients + (static_cast<uint64_t>(scan.first_block) + mcu * scan.units) * kBlock;
    for (uint32_t other = 0; other <= unit; ++other, block += kBlock) {
        if (scan.unit[other].component == component) {
            value += static_cast<uint16_t>(*block);
        }
    }
    return static_cast<int16_t>(value);
}

// Transforms kIdctBlocks blocks from the `first` on. Eight threads share a block: each takes a row of coefficients, then
// a column, then a row of samples.
__device__ __forceinline__ void transform_blocks(const IdctInputs& in, const int16_t* coefficients, uint32_t first,
                                                 uint8_t* planes) {
    // A row of nine words keeps the columns in different banks.
    __shared__ int16_t tile[kIdctBlocks][8][10];
    __shared__ uint32_t first_scan;
    if (threadIdx.x == 0) {
        first_scan = owner(in.scans, in.n, first, [](const Scan& scan) { return scan.first_block; });
    }
    __syncthreads();
    const uint32_t lane = threadIdx.x % 8;
    const uint32_t place = threadIdx.x / 8;
    const uint32_t block = first + place;
    const bool live = block < in.blocks;
    uint32_t number = first_scan;
    while (live && number + 1 < in.n && in.scans[number + 1].first_block <= block) {
        ++number;
    }
    const Scan& scan = in.scans[number];
    const uint32_t relative = live ? block - scan.first_block : 0;
    const uint32_t mcu = relative / scan.units;
    const uint32_t unit = relative - mcu * scan.units;
    const ScanComponent& component = scan.component[scan.unit[unit].component];

    int32_t v[8] = {};
    bool nonzero = false;
    if (live) {
        const uint4 row = *reinterpret_cast<const uint4*>(coefficients + static_cast<uint64_t>(block) * kBlock + lane * 8);
        const uint4 scale = *reinterpret_cast<const uint4*>(in.quants + component.quant * kBlock + lane * 8);
        const uint32_t pairs[4] = {row.x, row.y, row.z, row.w};
        const uint32_t scales[4] = {scale.x, scale.y, scale.z, scale.w};
        nonzero = lane > 0 && (row.x | row.y | row.z | row.w) != 0;
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            const int shift = (i & 1) * 16;
            int32_t coefficient = static_cast<int16_t>(pairs[i / 2] >> shift);
            if (i == 0 && lane == 0 && (scan.flags & kFinished) == 0) {
                coefficient = dc_value(in, scan, mcu, unit, coefficients);
            }
            v[i] = static_cast<int16_t>(coefficient * static_cast<int16_t>(scales[i / 2] >> shift));
        }
    }
    const uint32_t group = 0xffu << (lane_id() & 24);
    const bool only_first_row = (__ballot_sync(kFullWarp, nonzero) & group) == 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        tile[place][lane][i] = static_cast<int16_t>(v[i]);
    }
    __syncwarp();
    int32_t column[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        column[i] = tile[place][i][lane];
    }
    if (only_first_row) {
        const int32_t flat = static_cast<int16_t>(column[0] << 2);
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            column[i] = flat;
        }
    } else {
        idct_pass<11>(column);
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        tile[place][i][lane] = static_cast<int16_t>(column[i]);
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        v[i] = tile[place][lane][i];
    }
    idct_pass<18>(v);
    const uint32_t x = mcu % scan.mcus_x * component.step_x + scan.unit[unit].dx;
    const uint32_t y = mcu / scan.mcus_x * component.step_y + scan.unit[unit].dy;
    if (!live || x >= component.blocks_x || y >= component.blocks_y) {
        return;
    }
    uint2 samples = {0, 0};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        samples.x |= static_cast<uint32_t>(min(max(v[i], -128), 127) + 128) << (8 * i);
        samples.y |= static_cast<uint32_t>(min(max(v[i + 4], -128), 127) + 128) << (8 * i);
    }
    const uint64_t at = component.plane + (static_cast<uint64_t>(y) * 8 + lane) * component.stride + x * 8;
    *reinterpret_cast<uint2*>(planes + at) = samples;
}

}  // namespace jpeg
}  // namespace warpline
