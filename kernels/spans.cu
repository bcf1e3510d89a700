// Spans: text and binary that lie anywhere in device memory, an address and a length for each row, as columns.
//
// Algorithm: `spans_offsets_columns` sums the lengths in one pass by decoupled look-back (scan.cuh has the source);
// `spans_bytes_columns` copies bytes balanced by output (strings.cuh); `spans_view_columns` writes views, of which those
// of more than 12 bytes point into what was copied.
// Buffers: tables of columns, a row of blocks each; spans of n rows; offsets of n + 1 rows, a total each and a zeroed
// ScanScratch of a state per 1,024 rows; bytes padded to whole 16.
// Nulls: are empty, their views zero. NaN: there are none. Overflow: lengths sum in 64 bits, the host refuses totals that
// the offsets cannot hold.
// Launch: 256 threads, grid-stride over x; `spans_offsets_columns` one block per 1,024 rows.
// Bytes per row: offsets reads the span of 16 and writes an offset. bytes reads and writes each byte once, and for each
// row of it the span and two offsets. views reads the span, an offset and 4 to 12 bytes, and writes 16.
// Determinism: every output is written once, by a function of its position.

#include <cstdint>

#include "include/grid.cuh"
#include "include/move.cuh"
#include "include/scan.cuh"
#include "include/strings.cuh"

namespace {

using warpline::Offsets;

struct Policy {
    static constexpr int kThreads = 256;
    static constexpr int kRowsPerThread = 4;
};

// A row's bytes.
struct alignas(16) Span {
    const uint8_t* at;
    uint64_t length;
};

// Bytes that a view holds itself.
constexpr uint64_t kInline = 12;

// What becomes of a column.
enum SpanKind : uint64_t {
    kSpanOffsets32 = 0,
    kSpanOffsets64 = 1,
    kSpanViews = 2,  // 32-bit offsets of what views do not hold
};

// A column whose offsets are wanted.
struct OffsetsColumn {
    const Span* spans;
    void* out_offsets;
    uint64_t* total;
    warpline::ScanScratch* scratch;
    uint64_t kind;
};
static_assert(sizeof(OffsetsColumn) == 40, "the host writes these as five 8-byte words");

// A column whose bytes are to be copied.
struct BytesColumn {
    const Span* spans;
    const void* out_offsets;
    uint8_t* out;
    uint64_t out_bytes;
    uint64_t kind;
};
static_assert(sizeof(BytesColumn) == 40, "the host writes these as five 8-byte words");

// A column whose views are wanted.
struct ViewsColumn {
    const Span* spans;
    const uint32_t* offsets;
    uint4* out;
};
static_assert(sizeof(ViewsColumn) == 24, "the host writes these as three 8-byte words");

// Where the bytes of a row are: columns, literals and workspace are padded, so that their words may be read.
struct SpannedBytes {
    const Span* spans;

    __device__ __forceinline__ const uint8_t* row(uint64_t row) const { return warpline::global(spans[row].at); }

    __device__ __forceinline__ bool has_words(const uint8_t*) const { return true; }
};

template <typename Offset, typename Length>
__device__ __forceinline__ void sum_lengths(const OffsetsColumn& column, uint64_t n, Length length) {
    warpline::sum_lengths<Policy::kThreads, Policy::kRowsPerThread>(
        static_cast<Offset*>(column.out_offsets), column.total, column.scratch, n,
        [&](uint64_t row) { return length(column.spans[row].length); });
}

// Length, then the text of up to 12 bytes, or its first 4, the number of the only data buffer and the place in it.
__device__ __forceinline__ uint4 view_of(const Span& span, const uint32_t* offset) {
    const uint8_t* text = warpline::global(span.at);
    const uint64_t held = span.length > kInline ? 4 : span.length;
    uint32_t words[kInline / 4] = {0, 0, 0};
#pragma unroll
    for (uint32_t i = 0; i < kInline; ++i) {
        if (i < held) {
            words[i / 4] |= static_cast<uint32_t>(text[i]) << (i % 4 * 8);
        }
    }
    const uint32_t place = span.length > kInline ? *offset : words[2];
    return {static_cast<uint32_t>(span.length), words[0], words[1], place};
}

}  // namespace

// Offsets of every column of the table.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    spans_offsets_columns(const OffsetsColumn* columns, uint64_t n) {
    OffsetsColumn column = columns[blockIdx.y];
    column.spans = warpline::global(column.spans);
    column.out_offsets = warpline::global(column.out_offsets);
    column.total = warpline::global(column.total);
    column.scratch = warpline::global(column.scratch);
    switch (column.kind) {
        case kSpanOffsets32:
            sum_lengths<uint32_t>(column, n, [](uint64_t length) { return length; });
            break;
        case kSpanOffsets64:
            sum_lengths<uint64_t>(column, n, [](uint64_t length) { return length; });
            break;
        default:
            sum_lengths<uint32_t>(column, n, [](uint64_t length) { return length > kInline ? length : 0; });
            break;
    }
}

// Bytes of every column of the table.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    spans_bytes_columns(const BytesColumn* columns, uint64_t n) {
    const BytesColumn column = columns[blockIdx.y];
    const Offsets out_offsets{warpline::global(column.out_offsets), column.kind == kSpanOffsets64};
    const SpannedBytes source{warpline::global(column.spans)};
    warpline::copy_strings<Policy::kThreads>(source, out_offsets, n, column.out_bytes, warpline::global(column.out));
}

// Views of every column of the table.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    spans_view_columns(const ViewsColumn* columns, uint64_t n) {
    const ViewsColumn column = columns[blockIdx.y];
    const Span* spans = warpline::global(column.spans);
    const uint32_t* offsets = warpline::global(column.offsets);
    uint4* out = warpline::global(column.out);
    for (uint64_t row = warpline::grid_thread(); row < n; row += warpline::grid_threads()) {
        out[row] = view_of(spans[row], offsets + row);
    }
}
