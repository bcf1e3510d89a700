// Filter: the rows that a mask selects, in their order, for any number of columns in two launches.
//
// Algorithm: (a) `filter_bases_bits` counts each warp's 1,024 rows and turns the counts into output positions in one
// pass by decoupled look-back (scan.cuh has the source). (b) `filter_compact_columns`, a row of blocks per column:
// each warp compacts its selected row numbers in shared memory, then moves values and validity by output position, so
// that writes are whole lines and reads touch only sectors with a selected row. Columns of variable length take the
// row numbers from a pseudo column (kMoveRowNumbers) and go through gather.cu.
// Buffers: mask and mask_validity (may be null), bitmaps of n bits; bases, ceil(n / 1,024) positions; count, the
// number of selected rows; scratch, zeroed, a ScanScratch with a state per 8,192 rows; columns, a table whose outputs
// hold count rows and whose bitmaps are zeroed.
// Nulls: a null in the mask selects nothing; values under null rows are copied as they are. NaN: bits are moved.
// Overflow: n is below 2^32, byte positions have 64 bits.
// Launch: 256 threads; (a) ceil(n / 8,192) blocks, (b) the same times one row of blocks per column.
// Bytes per row: (a) reads 1/8 for each bitmap, writes 4/1,024. (b) per column reads 1/8 for each mask bitmap and
// 4/1,024, and for each selected row reads and writes its width and 1/8 of validity; sectors (32 bytes) without a
// selected row are not read.
// Determinism: positions are prefix sums of the mask; every output word is written once, or or-ed into zeros by the two
// warps that share it.

#include <cstdint>

#include "include/bits.cuh"
#include "include/move.cuh"
#include "include/scan.cuh"

namespace {

using warpline::kFullWarp;
using warpline::lane_id;
using warpline::MoveColumn;

struct Policy {
    static constexpr int kThreads = 256;
    static constexpr int kWarps = kThreads / 32;
    static constexpr uint32_t kWarpRows = 1024;  // one mask word a lane
    static constexpr int kUnroll = 4;            // loads in flight per lane
};

// A warp's selected rows, by output position.
struct Selected {
    const uint16_t* rows;  // within the warp's rows
    uint64_t first_row;    // the warp's first row
    uint64_t base;         // output position of rows[0]
    uint32_t count;

    __device__ __forceinline__ uint64_t end() const { return base + count; }
    // The first position of the output word that the warp's first row falls into: loops start there, so that 32 lanes
    // always write one aligned word of bits and one aligned run of values.
    __device__ __forceinline__ uint64_t aligned_begin() const { return base & ~31ull; }
    __device__ __forceinline__ bool holds(uint64_t position) const { return position >= base && position < end(); }
    __device__ __forceinline__ uint64_t source(uint64_t position) const { return first_row + rows[position - base]; }
};

__device__ __forceinline__ uint32_t mask_word(const uint32_t* __restrict__ mask,
                                              const uint32_t* __restrict__ mask_validity, uint64_t i, uint64_t n) {
    const uint32_t word = warpline::word_at(mask, i, n);
    return mask_validity == nullptr || word == 0 ? word : word & mask_validity[i];
}

// Row numbers of the set bits of the warp's 1,024, in order; returns their count.
__device__ __forceinline__ uint32_t select_rows(uint32_t word, uint16_t* rows) {
    const uint32_t count = __popc(word);
    const uint32_t inclusive = warpline::warp_inclusive_sum(count);
    const uint32_t below = (1u << lane_id()) - 1;
    for (uint32_t i = 0; i < 32; ++i) {
        const uint32_t bits = __shfl_sync(kFullWarp, word, i);
        const uint32_t first = __shfl_sync(kFullWarp, inclusive - count, i);
        if (bits >> lane_id() & 1) {
            rows[first + __popc(bits & below)] = static_cast<uint16_t>(i * 32 + lane_id());
        }
    }
    __syncwarp();
    return __shfl_sync(kFullWarp, inclusive, 31);
}

// One unit a row: each lane moves every 32nd selected row, kUnroll of them at a time.
template <typename Unit>
__device__ __forceinline__ void compact_values(const Unit* __restrict__ values, const Selected& selected,
                                               Unit* __restrict__ out) {
    for (uint64_t p = selected.aligned_begin() + lane_id(); p < selected.end(); p += 32 * Policy::kUnroll) {
        Unit held[Policy::kUnroll];
#pragma unroll
        for (int i = 0; i < Policy::kUnroll; ++i) {
            if (selected.holds(p + 32 * i)) {
                held[i] = values[selected.source(p + 32 * i)];
            }
        }
#pragma unroll
        for (int i = 0; i < Policy::kUnroll; ++i) {
            if (selected.holds(p + 32 * i)) {
                out[p + 32 * i] = held[i];
            }
        }
    }
}

// Several units a row: lanes share the units of all rows.
template <typename Unit>
__device__ __forceinline__ void compact_units(const Unit* __restrict__ values, const Selected& selected,
                                              uint32_t units, Unit* __restrict__ out) {
    const uint64_t total = static_cast<uint64_t>(selected.count) * units;
    for (uint64_t u = lane_id(); u < total; u += 32) {
        const uint32_t row = static_cast<uint32_t>(u / units);
        const uint32_t part = static_cast<uint32_t>(u - static_cast<uint64_t>(row) * units);
        out[selected.base * units + u] = values[(selected.first_row + selected.rows[row]) * units + part];
    }
}

template <typename Unit>
__device__ __forceinline__ void compact(const MoveColumn& column, const Selected& selected) {
    const Unit* values = static_cast<const Unit*>(column.values);
    Unit* out = static_cast<Unit*>(column.out);
    if (column.units == 1) {
        compact_values(values, selected, out);
    } else {
        compact_units(values, selected, column.units, out);
    }
}

// Bits: a ballot makes a whole output word; words at the ends may be shared with the neighbouring warps.
__device__ __forceinline__ void compact_bits(const uint32_t* __restrict__ bits, const Selected& selected,
                                             uint32_t* __restrict__ out) {
    for (uint64_t word = selected.aligned_begin(); word < selected.end(); word += 32) {
        const uint64_t p = word + lane_id();
        const bool bit = selected.holds(p) && warpline::bit_at(bits, selected.source(p));
        const uint32_t packed = __ballot_sync(kFullWarp, bit);
        if (lane_id() == 0) {
            if (word >= selected.base && word + 32 <= selected.end()) {
                out[word / 32] = packed;
            } else {
                atomicOr(&out[word / 32], packed);
            }
        }
    }
}

__device__ __forceinline__ void write_row_numbers(const Selected& selected, uint32_t* __restrict__ out) {
    for (uint32_t i = lane_id(); i < selected.count; i += 32) {
        out[selected.base + i] = static_cast<uint32_t>(selected.first_row + selected.rows[i]);
    }
}

__device__ __forceinline__ void compact_column(const MoveColumn& column, const Selected& selected) {
    if (column.out_validity != nullptr) {
        compact_bits(column.validity, selected, column.out_validity);
    }
    switch (column.kind) {
        case warpline::kMoveBits:
            compact_bits(static_cast<const uint32_t*>(column.values), selected, static_cast<uint32_t*>(column.out));
            break;
        case warpline::kMoveU8: compact<uint8_t>(column, selected); break;
        case warpline::kMoveU16: compact<uint16_t>(column, selected); break;
        case warpline::kMoveU32: compact<uint32_t>(column, selected); break;
        case warpline::kMoveU64: compact<uint64_t>(column, selected); break;
        case warpline::kMoveU128: compact<warpline::U128>(column, selected); break;
        case warpline::kMoveRowNumbers: write_row_numbers(selected, static_cast<uint32_t*>(column.out)); break;
        default: break;
    }
}

}  // namespace

// The output position of each warp's first selected row.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    filter_bases_bits(const uint32_t* mask, const uint32_t* mask_validity, uint64_t n, uint32_t* bases, uint64_t* count,
                      warpline::ScanScratch* scratch) {
    const uint32_t tile = warpline::take_tile(scratch);
    const uint64_t word = static_cast<uint64_t>(tile) * Policy::kThreads + threadIdx.x;
    const uint32_t selected = __popc(mask_word(mask, mask_validity, word, n));
    uint32_t tile_count;
    const uint32_t below = warpline::block_exclusive_sum<uint32_t, Policy::kThreads>(selected, &tile_count);
    const uint64_t prefix = warpline::block_tile_prefix(scratch, tile, tile_count);
    if (lane_id() == 0 && word * 32 < n) {
        bases[word / 32] = static_cast<uint32_t>(prefix + below);
    }
    if (threadIdx.x == 0 && tile + 1 == gridDim.x) {
        *count = prefix + tile_count;
    }
}

// Moves the selected rows of every column of the table.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    filter_compact_columns(const MoveColumn* columns, const uint32_t* mask, const uint32_t* mask_validity,
                           const uint32_t* bases, uint64_t n) {
    __shared__ uint16_t rows[Policy::kWarps][Policy::kWarpRows];
    const uint32_t warp_in_block = threadIdx.x / 32;
    const uint64_t warp = static_cast<uint64_t>(blockIdx.x) * Policy::kWarps + warp_in_block;
    const uint64_t first_row = warp * Policy::kWarpRows;
    const uint32_t word = mask_word(mask, mask_validity, warp * 32 + lane_id(), n);
    const uint32_t count = select_rows(word, rows[warp_in_block]);
    if (count == 0) {
        return;
    }
    const Selected selected{rows[warp_in_block], first_row, bases[warp], count};
    compact_column(warpline::read_column(columns, blockIdx.y), selected);
}
