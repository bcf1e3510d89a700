// Pieces: ranges of columns' buffers put one behind the other into new buffers. A slice is one piece of each buffer, a
// concatenation many.
//
// Algorithm: `pieces_read_ends` reads the first and the last offset of every piece of variable length, which say what
// of the bytes or of the child it covers. `pieces_move` then moves all pieces of all buffers in one launch: the pieces'
// tiles are numbered through, and a block finds the piece of its tile by binary search, so that one large piece costs as
// much as many small ones. Bytes of any alignment go by aligned output segments of 16; bits by output words, each
// funnelled out of two source words; offsets and dictionary keys move with a number added, and so do the buffer numbers
// in views.
// Buffers: a table of pieces; outputs of bits are zeroed.
// Nulls: a piece without a bitmap is all valid; what lies under nulls moves as it is. NaN: bits are moved. Overflow: the
// host refuses sums that offsets or keys cannot hold; under null rows keys wrap.
// Launch: 256 threads; `pieces_read_ends` a thread for each piece, `pieces_move` a block for each tile.
// Bytes per row: each output byte is read and written once, and a table entry of 40 bytes for each tile.
// Determinism: every output is written once, or or-ed into zeros by the two pieces that share a word of bits.

#include <cstdint>

#include "include/bits.cuh"
#include "include/bytes.cuh"
#include "include/grid.cuh"
#include "include/move.cuh"

namespace {

struct Policy {
    static constexpr int kThreads = 256;
    static constexpr int kItems = 4;                            // items of a thread: segments, words or values
    static constexpr uint64_t kTileItems = kThreads * kItems;
};

// A piece of offsets whose ends are wanted.
struct EndsPiece {
    const void* offsets;
    uint64_t first;  // the piece's first row, and the row behind its last
    uint64_t last;
    uint64_t wide;  // 1 for 64-bit offsets
};
static_assert(sizeof(EndsPiece) == 32, "the host writes these as four 8-byte words");

// What moves, and what happens to it.
enum PieceKind : uint32_t {
    kPieceBytes = 0,
    kPieceBits = 1,
    kPieceAddU8 = 2,
    kPieceAddU16 = 3,
    kPieceAddU32 = 4,
    kPieceAddU64 = 5,
    kPieceViews = 6,
    kPieceMapU8 = 7,
    kPieceMapU16 = 8,
    kPieceMapU32 = 9,
    kPieceMapU64 = 10,
};

// `count` bytes, bits or values. Of bits, `delta` holds where they begin in the first word of the source (low half) and
// of the output (high half), and no source means ones; of views it is added to the buffers' numbers, of others to the
// values; of dictionary keys that are mapped it is the address of a KeyMap.
struct Piece {
    const void* source;
    void* out;
    uint64_t count;
    uint64_t delta;
    uint32_t kind;
    uint32_t first_tile;
};
static_assert(sizeof(Piece) == 40, "the host writes these as five 8-byte words");

// The items of a thread in its tile: calls `each` with the number of each below `items`.
template <typename Each>
__device__ __forceinline__ void for_items(uint64_t first, uint64_t items, Each each) {
#pragma unroll
    for (int i = 0; i < Policy::kItems; ++i) {
        const uint64_t item = first + i * Policy::kThreads + threadIdx.x;
        if (item < items) {
            each(i, item);
        }
    }
}

__device__ __forceinline__ void move_bytes(const Piece& piece, uint64_t first) {
    const uint8_t* __restrict__ source = static_cast<const uint8_t*>(piece.source);
    uint8_t* __restrict__ out = static_cast<uint8_t*>(piece.out);
    // Segments begin at aligned addresses: the first and the last may be cut off.
    const int64_t skew = reinterpret_cast<uint64_t>(out) % 16;
    const int64_t count = piece.count;
    const uint64_t segments = (skew + count + 15) / 16;
    const auto whole = [&](int64_t at) { return at >= 0 && at + 16 <= count; };
    const bool aligned = reinterpret_cast<uint64_t>(source - skew) % 16 == 0;
    uint4 held[Policy::kItems];
    for_items(first, segments, [&](int i, uint64_t segment) {
        const int64_t at = static_cast<int64_t>(segment) * 16 - skew;
        if (whole(at)) {
            held[i] = aligned ? *reinterpret_cast<const uint4*>(source + at) : warpline::load_unaligned(source + at);
        }
    });
    for_items(first, segments, [&](int i, uint64_t segment) {
        const int64_t at = static_cast<int64_t>(segment) * 16 - skew;
        if (whole(at)) {
            *reinterpret_cast<uint4*>(out + at) = held[i];
            return;
        }
        const int64_t end = at + 16 < count ? at + 16 : count;
        for (int64_t byte = at > 0 ? at : 0; byte < end; ++byte) {
            out[byte] = source[byte];
        }
    });
}

__device__ __forceinline__ void move_bits(const Piece& piece, uint64_t first) {
    const uint32_t* __restrict__ source = static_cast<const uint32_t*>(piece.source);
    uint32_t* __restrict__ out = static_cast<uint32_t*>(piece.out);
    const uint32_t source_bit = static_cast<uint32_t>(piece.delta);
    const int64_t out_bit = static_cast<int64_t>(piece.delta >> 32);
    const int64_t count = piece.count;
    for_items(first, (out_bit + count + 31) / 32, [&](int, uint64_t word) {
        // The piece's bits of this word are `begin` to `end`.
        const int64_t at = static_cast<int64_t>(word) * 32 - out_bit;
        const int64_t begin = at > 0 ? at : 0;
        const int64_t end = at + 32 < count ? at + 32 : count;
        const uint32_t bits = static_cast<uint32_t>(end - begin);
        const uint32_t mask = bits == 32 ? ~0u : (1u << bits) - 1;
        uint32_t value = mask;
        if (source != nullptr) {
            const uint64_t from = source_bit + begin;
            const uint32_t shift = from % 32;
            const uint32_t low = source[from / 32];
            const uint32_t high = shift + bits > 32 ? source[from / 32 + 1] : 0;
            value &= __funnelshift_r(low, high, shift);
        }
        if (bits == 32) {
            out[word] = value;
        } else {
            atomicOr(&out[word], value << (begin - at));
        }
    });
}

template <typename Value>
__device__ __forceinline__ void move_adding(const Piece& piece, uint64_t first) {
    const Value* __restrict__ source = static_cast<const Value*>(piece.source);
    Value* __restrict__ out = static_cast<Value*>(piece.out);
    Value held[Policy::kItems];
    for_items(first, piece.count, [&](int i, uint64_t item) { held[i] = source[item]; });
    for_items(first, piece.count, [&](int i, uint64_t item) { out[item] = static_cast<Value>(held[i] + piece.delta); });
}

// What the keys of a dictionary become; those past its end, which only null rows have, become 0.
struct KeyMap {
    uint64_t count;
    uint64_t keys[1];
};

template <typename Key>
__device__ __forceinline__ void move_mapping(const Piece& piece, uint64_t first) {
    const Key* __restrict__ source = static_cast<const Key*>(piece.source);
    Key* __restrict__ out = static_cast<Key*>(piece.out);
    const KeyMap* __restrict__ map = warpline::global(reinterpret_cast<const KeyMap*>(piece.delta));
    for_items(first, piece.count, [&](int, uint64_t item) {
        const uint64_t key = source[item];
        out[item] = static_cast<Key>(key < map->count ? map->keys[key] : 0);
    });
}

// A view is its length, then 12 bytes of text, or 4 bytes of it, a buffer's number and an offset.
__device__ __forceinline__ void move_views(const Piece& piece, uint64_t first) {
    const uint8_t* __restrict__ source = static_cast<const uint8_t*>(piece.source);
    uint4* __restrict__ out = static_cast<uint4*>(piece.out);
    for_items(first, piece.count, [&](int, uint64_t item) {
        uint4 view = warpline::load_unaligned(source + item * 16);
        view.z += view.x > 12 ? static_cast<uint32_t>(piece.delta) : 0;
        out[item] = view;
    });
}

}  // namespace

// The first and the last offset of every piece.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    pieces_read_ends(const EndsPiece* pieces, uint64_t n, uint64_t* ends) {
    for (uint64_t i = warpline::grid_thread(); i < n; i += warpline::grid_threads()) {
        const EndsPiece piece = pieces[i];
        const void* offsets = warpline::global(piece.offsets);
        const auto at = [&](uint64_t row) -> uint64_t {
            return piece.wide != 0 ? static_cast<const uint64_t*>(offsets)[row]
                                   : static_cast<const uint32_t*>(offsets)[row];
        };
        ends[2 * i] = at(piece.first);
        ends[2 * i + 1] = at(piece.last);
    }
}

// Moves the tile's part of its piece.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    pieces_move(const Piece* pieces, uint32_t n) {
    Piece piece = pieces[warpline::owner(pieces, n, blockIdx.x, [](const Piece& piece) { return piece.first_tile; })];
    piece.source = warpline::global(piece.source);
    piece.out = warpline::global(piece.out);
    const uint64_t first = (blockIdx.x - piece.first_tile) * Policy::kTileItems;
    switch (piece.kind) {
        case kPieceBytes: move_bytes(piece, first); break;
        case kPieceBits: move_bits(piece, first); break;
        case kPieceAddU8: move_adding<uint8_t>(piece, first); break;
        case kPieceAddU16: move_adding<uint16_t>(piece, first); break;
        case kPieceAddU32: move_adding<uint32_t>(piece, first); break;
        case kPieceAddU64: move_adding<uint64_t>(piece, first); break;
        case kPieceViews: move_views(piece, first); break;
        case kPieceMapU8: move_mapping<uint8_t>(piece, first); break;
        case kPieceMapU16: move_mapping<uint16_t>(piece, first); break;
        case kPieceMapU32: move_mapping<uint32_t>(piece, first); break;
        case kPieceMapU64: move_mapping<uint64_t>(piece, first); break;
        default: break;
    }
}
