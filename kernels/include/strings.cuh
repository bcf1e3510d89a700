// Strings and binary of a result: offsets by a scan over lengths, and bytes copied balanced by output, 16 aligned bytes
// a thread, whose rows are found by binary search, so that one long string costs as much as many short ones.
#pragma once

#include <cstdint>

#include "bytes.cuh"
#include "grid.cuh"
#include "scan.cuh"

namespace warpline {

// Offsets of either width, read as 64 bits.
struct Offsets {
    const void* values;
    bool wide;

    __device__ __forceinline__ uint64_t operator[](uint64_t i) const {
        return wide ? static_cast<const uint64_t*>(values)[i] : static_cast<const uint32_t*>(values)[i];
    }
};

// Offsets of n rows from 0, and their total; `length` gives each row's. Each thread owns kRows neighbouring rows of its
// block's tile; `scratch` is zeroed, with a state for each tile.
template <int kThreads, int kRows, typename Offset, typename Length>
__device__ __forceinline__ void sum_lengths(Offset* out, uint64_t* total, ScanScratch* scratch, uint64_t n,
                                            Length length) {
    const uint32_t tile = take_tile(scratch);
    const uint64_t first = (static_cast<uint64_t>(tile) * kThreads + threadIdx.x) * kRows;
    uint64_t ends[kRows];
    uint64_t sum = 0;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
        if (first + i < n) {
            sum += length(first + i);
        }
        ends[i] = sum;
    }
    uint64_t tile_sum;
    const uint64_t below = block_exclusive_sum<uint64_t, kThreads>(sum, &tile_sum);
    const uint64_t start = block_tile_prefix(scratch, tile, tile_sum) + below;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
        if (first + i < n) {
            out[first + i + 1] = static_cast<Offset>(start + ends[i]);
        }
    }
    if (threadIdx.x == 0 && tile == 0) {
        out[0] = 0;
    }
    if (threadIdx.x == 0 && tile + 1 == gridDim.x) {
        *total = start + tile_sum;
    }
}

// The last row at or after `row` that starts at or before `position`: of several that start there, the one that is not
// empty. Doubling steps find near rows fast and far ones in logarithmic time.
__device__ __forceinline__ uint64_t find_row(const Offsets& offsets, uint64_t row, uint64_t n, uint64_t position) {
    uint64_t step = 1;
    while (row + step < n && offsets[row + step] <= position) {
        row += step;
        step *= 2;
    }
    // The answer is in [row, row + step).
    for (uint64_t high = row + step < n ? row + step : n; high - row > 1;) {
        const uint64_t middle = row + (high - row) / 2;
        if (offsets[middle] <= position) {
            row = middle;
        } else {
            high = middle;
        }
    }
    return row;
}

// The 16 output bytes from `position` on; bytes past `out_bytes` are zero. `source` gives where a row's bytes begin, and
// whether the words around 16 of them may be read.
template <typename Source>
__device__ __forceinline__ void copy_segment(const Source& source, const Offsets& out_offsets, uint64_t n,
                                             uint64_t out_bytes, uint64_t position, uint4* stage) {
    const uint64_t end = position + 16 < out_bytes ? position + 16 : out_bytes;
    uint64_t row = find_row(out_offsets, 0, n, position);
    const uint8_t* from = source.row(row) + (position - out_offsets[row]);
    if (position + 16 <= out_offsets[row + 1] && source.has_words(from)) {
        *stage = load_unaligned(from);
        return;
    }
    *stage = {0, 0, 0, 0};
    uint8_t* target = reinterpret_cast<uint8_t*>(stage);
    for (uint64_t at = position;;) {
        const uint64_t row_end = out_offsets[row + 1] < end ? out_offsets[row + 1] : end;
        while (at < row_end) {
            *target++ = *from++;
            ++at;
        }
        if (at == end) {
            break;
        }
        row = find_row(out_offsets, row + 1, n, at);
        from = source.row(row);
    }
}

// Shared memory of a segment for each thread; apart from kernels, in whose symbols nvcc would put its process's number.
template <int kThreads>
__device__ __forceinline__ uint4* segments_of_block() {
    __shared__ uint4 segments[kThreads];
    return segments;
}

// All bytes of a column.
template <int kThreads, typename Source>
__device__ __forceinline__ void copy_strings(const Source& source, const Offsets& out_offsets, uint64_t n,
                                             uint64_t out_bytes, uint8_t* out) {
    uint4* stage = segments_of_block<kThreads>() + threadIdx.x;
    for (uint64_t segment = grid_thread(); segment * 16 < out_bytes; segment += grid_threads()) {
        copy_segment(source, out_offsets, n, out_bytes, segment * 16, stage);
        reinterpret_cast<uint4*>(out)[segment] = *stage;
    }
}

}  // namespace warpline
