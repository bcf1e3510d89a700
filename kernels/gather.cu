// Gather: rows in the order that indices ask for.
//
// Algorithm: `gather_sources_*` turns indices of any type into u32 source rows, checked against the batch, none for a
// null. `gather_move_columns` moves fixed-width values, bits and validity of any number of columns (grid.y). Variable
// length: `gather_offsets_columns` sums the lengths of the gathered rows in one pass by decoupled look-back (scan.cuh
// has the source); `gather_bytes_columns` copies bytes balanced by output: each thread owns 16 aligned output bytes and
// finds their rows by binary search, so one long string costs as much as many short ones; `gather_items_*` and
// `gather_repeat_u32` give the source rows of a list's child, which is then gathered like any column.
// Buffers: sources, n rows or kNoSource; tables of columns with outputs of n rows (bitmaps need no zeroing, they are
// written whole); offsets tables with a total each and a zeroed ScanScratch of a state per 1,024 rows.
// Nulls: a null index gives zero bytes, an empty value and a null; values under null rows are copied as they are. NaN:
// bits are moved. Overflow: lengths sum in 64 bits, the host refuses totals that the offsets' type cannot hold.
// Launch: 256 threads, grid-stride over x, a column a row of blocks; `gather_offsets_columns` one block per 1,024 rows.
// Bytes per row: sources reads the index's width and 1/8 of validity, writes 4. move reads 4, the width and 1/8 of
// validity, writes the width and 1/8. offsets reads 4 and two offsets, writes one. bytes reads and writes each byte
// once, and for each row of it 4 and two offsets.
// Determinism: every output is written once, by a function of its position.

#include <cstdint>

#include "include/bits.cuh"
#include "include/grid.cuh"
#include "include/move.cuh"
#include "include/scan.cuh"
#include "include/strings.cuh"

namespace {

using warpline::kFullWarp;
using warpline::kNoSource;
using warpline::lane_id;
using warpline::MoveColumn;
using warpline::Offsets;

struct Policy {
    static constexpr int kThreads = 256;
    static constexpr int kRowsPerThread = 4;
    static constexpr uint32_t kTileRows = kThreads * kRowsPerThread;
};

// A column of variable length whose gathered offsets are wanted.
struct OffsetsColumn {
    const void* offsets;
    void* out_offsets;
    uint64_t* total;
    warpline::ScanScratch* scratch;
    uint64_t wide;  // 1 for 64-bit offsets
};
static_assert(sizeof(OffsetsColumn) == 40, "the host writes these as five 8-byte words");

// A column of strings or binary whose bytes are to be copied.
struct BytesColumn {
    const uint8_t* bytes;
    const void* offsets;
    const void* out_offsets;
    uint8_t* out;
    uint64_t source_bytes;
    uint64_t out_bytes;
    uint64_t wide;
};
static_assert(sizeof(BytesColumn) == 56, "the host writes these as seven 8-byte words");

// Source rows out of indices: an index below `rows` is one, anything else (a negative index is a large unsigned one)
// is none and, when `status` is wanted, a failure of its row.
template <typename Index>
__device__ __forceinline__ void find_sources(const Index* __restrict__ indices, const uint32_t* __restrict__ validity,
                                             uint64_t n, uint64_t rows, uint32_t* __restrict__ sources,
                                             unsigned long long* status) {
    for (uint64_t i = warpline::grid_thread(); i < n; i += warpline::grid_threads()) {
        uint32_t source = kNoSource;
        if (validity == nullptr || warpline::bit_at(validity, i)) {
            const Index index = indices[i];
            if (index < rows) {
                source = static_cast<uint32_t>(index);
            } else if (status != nullptr) {
                atomicMin(status, static_cast<unsigned long long>(i));
            }
        }
        sources[i] = source;
    }
}

template <typename Unit>
__device__ __forceinline__ Unit zero() {
    return Unit{};
}

// One unit a row: a warp moves kRowsPerThread runs of 32 rows at a time.
template <typename Unit>
__device__ __forceinline__ void move_values(const Unit* __restrict__ values, const uint32_t* __restrict__ sources,
                                            uint64_t n, Unit* __restrict__ out) {
    constexpr uint64_t kTile = Policy::kTileRows;
    for (uint64_t tile = blockIdx.x * kTile; tile < n; tile += gridDim.x * kTile) {
        Unit held[Policy::kRowsPerThread];
#pragma unroll
        for (int i = 0; i < Policy::kRowsPerThread; ++i) {
            const uint64_t row = tile + i * Policy::kThreads + threadIdx.x;
            const uint32_t source = row < n ? sources[row] : kNoSource;
            held[i] = source == kNoSource ? zero<Unit>() : values[source];
        }
#pragma unroll
        for (int i = 0; i < Policy::kRowsPerThread; ++i) {
            const uint64_t row = tile + i * Policy::kThreads + threadIdx.x;
            if (row < n) {
                out[row] = held[i];
            }
        }
    }
}

// Several units a row: threads share the units of all rows, so that rows of any size spread over the grid.
template <typename Unit>
__device__ __forceinline__ void move_units(const Unit* __restrict__ values, const uint32_t* __restrict__ sources,
                                           uint64_t n, uint64_t units, Unit* __restrict__ out) {
    for (uint64_t u = warpline::grid_thread(); u < n * units; u += warpline::grid_threads()) {
        const uint64_t row = u / units;
        const uint32_t source = sources[row];
        out[u] = source == kNoSource ? zero<Unit>() : values[source * units + (u - row * units)];
    }
}

template <typename Unit>
__device__ __forceinline__ void move(const MoveColumn& column, const uint32_t* sources, uint64_t n) {
    const Unit* values = static_cast<const Unit*>(column.values);
    Unit* out = static_cast<Unit*>(column.out);
    if (column.units == 1) {
        move_values(values, sources, n, out);
    } else {
        move_units(values, sources, n, column.units, out);
    }
}

// Bits of the source rows, 0 where there is none; without `bits`, whether there is one. Whole words, by ballot.
__device__ __forceinline__ void move_bits(const uint32_t* __restrict__ bits, const uint32_t* __restrict__ sources,
                                          uint64_t n, uint32_t* __restrict__ out) {
    const uint64_t step = warpline::grid_threads();
    // Lanes of a warp stay together to the last word: the loop runs over the first row of each word.
    for (uint64_t word = warpline::grid_thread() & ~31ull; word < n; word += step) {
        const uint64_t row = word + lane_id();
        const uint32_t source = row < n ? sources[row] : kNoSource;
        const bool bit = source != kNoSource && (bits == nullptr || warpline::bit_at(bits, source));
        const uint32_t packed = __ballot_sync(kFullWarp, bit);
        if (lane_id() == 0) {
            out[word / 32] = packed;
        }
    }
}

__device__ __forceinline__ void move_column(const MoveColumn& column, const uint32_t* sources, uint64_t n) {
    if (column.out_validity != nullptr) {
        move_bits(column.validity, sources, n, column.out_validity);
    }
    switch (column.kind) {
        case warpline::kMoveBits:
            move_bits(static_cast<const uint32_t*>(column.values), sources, n, static_cast<uint32_t*>(column.out));
            break;
        case warpline::kMoveU8: move<uint8_t>(column, sources, n); break;
        case warpline::kMoveU16: move<uint16_t>(column, sources, n); break;
        case warpline::kMoveU32: move<uint32_t>(column, sources, n); break;
        case warpline::kMoveU64: move<uint64_t>(column, sources, n); break;
        case warpline::kMoveU128: move<warpline::U128>(column, sources, n); break;
        default: break;
    }
}

// Offsets of the gathered rows from 0.
template <typename Offset>
__device__ __forceinline__ void sum_lengths(const OffsetsColumn& column, const uint32_t* __restrict__ sources,
                                            uint64_t n) {
    const Offset* offsets = static_cast<const Offset*>(column.offsets);
    warpline::sum_lengths<Policy::kThreads, Policy::kRowsPerThread>(
        static_cast<Offset*>(column.out_offsets), column.total, column.scratch, n, [&](uint64_t row) -> uint64_t {
            const uint32_t source = sources[row];
            return source == kNoSource ? 0 : offsets[source + 1ull] - offsets[source];
        });
}

// Where the bytes of a gathered row are.
struct GatheredBytes {
    const uint8_t* bytes;
    const uint8_t* end;
    Offsets offsets;
    const uint32_t* sources;

    __device__ __forceinline__ const uint8_t* row(uint64_t row) const { return bytes + offsets[sources[row]]; }

    __device__ __forceinline__ bool has_words(const uint8_t* from) const {
        return from - reinterpret_cast<uint64_t>(from) % 4 + 20 <= end;
    }
};

// Source rows of a list's child: output item j of row r is item j - out_offsets[r] of its source.
__device__ __forceinline__ void find_items(const Offsets& offsets, const Offsets& out_offsets,
                                           const uint32_t* __restrict__ sources, uint64_t n, uint64_t items,
                                           uint32_t* __restrict__ out) {
    for (uint64_t j = warpline::grid_thread(); j < items; j += warpline::grid_threads()) {
        const uint64_t row = warpline::find_row(out_offsets, 0, n, j);
        out[j] = static_cast<uint32_t>(offsets[sources[row]] + (j - out_offsets[row]));
    }
}

}  // namespace

#define WARPLINE_GATHER_SOURCES(TYPE_NAME, INDEX)                                                                 \
    extern "C" __global__ void __launch_bounds__(Policy::kThreads) gather_sources_##TYPE_NAME(                    \
        const INDEX* indices, const uint32_t* validity, uint64_t n, uint64_t rows, uint32_t* sources,             \
        unsigned long long* status) {                                                                             \
        find_sources<INDEX>(indices, validity, n, rows, sources, status);                                         \
    }

WARPLINE_GATHER_SOURCES(u32, uint32_t)
WARPLINE_GATHER_SOURCES(u64, uint64_t)

// Moves values, bits and validity of every column of the table.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    gather_move_columns(const MoveColumn* columns, const uint32_t* sources, uint64_t n) {
    move_column(warpline::read_column(columns, blockIdx.y), sources, n);
}

// Offsets of the gathered rows of every column of the table.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    gather_offsets_columns(const OffsetsColumn* columns, const uint32_t* sources, uint64_t n) {
    OffsetsColumn column = columns[blockIdx.y];
    column.offsets = warpline::global(column.offsets);
    column.out_offsets = warpline::global(column.out_offsets);
    column.total = warpline::global(column.total);
    column.scratch = warpline::global(column.scratch);
    if (column.wide != 0) {
        sum_lengths<uint64_t>(column, sources, n);
    } else {
        sum_lengths<uint32_t>(column, sources, n);
    }
}

// Bytes of the gathered rows of every column of the table.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    gather_bytes_columns(const BytesColumn* columns, const uint32_t* sources, uint64_t n) {
    BytesColumn column = columns[blockIdx.y];
    column.bytes = warpline::global(column.bytes);
    column.out = warpline::global(column.out);
    const Offsets offsets{warpline::global(column.offsets), column.wide != 0};
    const Offsets out_offsets{warpline::global(column.out_offsets), column.wide != 0};
    const GatheredBytes source{column.bytes, column.bytes + column.source_bytes, offsets, sources};
    warpline::copy_strings<Policy::kThreads>(source, out_offsets, n, column.out_bytes, column.out);
}

#define WARPLINE_GATHER_ITEMS(TYPE_NAME, OFFSET, WIDE)                                                              \
    extern "C" __global__ void __launch_bounds__(Policy::kThreads) gather_items_##TYPE_NAME(                        \
        const OFFSET* offsets, const OFFSET* out_offsets, const uint32_t* sources, uint64_t n, uint64_t items,      \
        uint32_t* out) {                                                                                            \
        find_items(Offsets{offsets, WIDE}, Offsets{out_offsets, WIDE}, sources, n, items, out);                     \
    }

WARPLINE_GATHER_ITEMS(u32, uint32_t, false)
WARPLINE_GATHER_ITEMS(u64, uint64_t, true)

// Source rows of a fixed-size list's child: each source as its `size` items.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    gather_repeat_u32(const uint32_t* sources, uint64_t n, uint64_t size, uint32_t* out) {
    for (uint64_t j = warpline::grid_thread(); j < n * size; j += warpline::grid_threads()) {
        const uint64_t row = j / size;
        const uint32_t source = sources[row];
        out[j] = source == kNoSource ? kNoSource : static_cast<uint32_t>(source * size + (j - row * size));
    }
}
