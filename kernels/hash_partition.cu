// Hash partition: each row's partition by the hash of its keys, and the rows of any number of columns in the order of
// their partitions, each partition's rows in the order that they came in.
//
// Algorithm: `hash_partition_ids` hashes a row a thread (include/hash.cuh), takes the scheme's remainder and counts the
// rows of each partition. `hash_partition_move_columns` is one stable pass of a radix sort whose digit is the partition,
// or some bits of it (Adinets and Merrill, "Onesweep", arXiv 2206.01784): a block takes a tile of 8,192 rows, ranks
// them by matches within its warps, learns by decoupled look-back, a chain for each digit, how many rows of the digit
// lie in lower tiles, and moves the rows of every column out of the tile in the order of their digits, so that each
// digit's rows are written as one run. The first tile's chains begin at the sums of the counts.
// Buffers: table as in hash.cu; ids, n partitions; counts (may be null), zeroed, a word for each partition; columns, a
// table of `count` columns whose outputs hold n rows and whose bitmaps are zeroed; digit_counts, rows of each digit;
// scratch, zeroed, a ticket of 8 bytes and a state of 4 for each tile and digit.
// Nulls: a null key hashes as the scheme has it, in Iceberg's to 0; values under null rows are copied as they are. NaN:
// bits are moved. Overflow: n is below 2^31, so that a state holds every prefix; byte positions have 64 bits.
// Launch: 256 threads. ids grid-stride; move_columns a block for each 8,192 rows, with dynamic shared memory of
// 32 KB and 6 bytes for each digit, of which there are at most 4,096.
// Bytes per row: ids reads the keys, writes 4. move_columns reads 4, reads and writes each column's width and 1/8 of
// validity, and for each digit 8/8,192 bytes of states.
// Determinism: a row's target is a function of the ids; bits are or-ed into zeros.

#include <cstdint>

#include "include/bits.cuh"
#include "include/grid.cuh"
#include "include/hash.cuh"
#include "include/move.cuh"
#include "include/scan.cuh"

namespace {

using warpline::KeyColumn;
using warpline::kFullWarp;
using warpline::lane_id;
using warpline::MoveColumn;
using warpline::Scheme;

struct Policy {
    static constexpr int kThreads = 256;
    static constexpr uint32_t kWarps = kThreads / 32;
    static constexpr int kItems = 32;  // rows of a thread
    static constexpr uint32_t kWarpRows = 32 * kItems;
    static constexpr uint32_t kTileRows = kThreads * kItems;
    static constexpr uint32_t kMostDigits = 4096;
    static constexpr int kBytes = 32;  // that a thread has on their way at a time
    static constexpr int kBlocks = 3;  // that share a multiprocessor, for their registers
};

// The scheme's partition of a hash: Spark's is the positive remainder of a signed number, Iceberg's that of the hash
// without its sign, the others' that of an unsigned number. `reciprocal` is (2^64 - 1) / partitions, rounded down.
__device__ __forceinline__ uint32_t partition_of(Scheme scheme, uint64_t hash, uint32_t partitions,
                                                 uint64_t reciprocal) {
    if (scheme == Scheme::kSparkMurmur3) {
        hash = static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(hash)));
    } else if (scheme == Scheme::kIceberg) {
        hash &= 0x7fffffff;
    }
    const bool is_signed = scheme == Scheme::kSparkMurmur3 || scheme == Scheme::kSparkXxHash64;
    const bool negative = is_signed && static_cast<int64_t>(hash) < 0;
    // The positive remainder of a negative h is as far below the divisor as that of -1 - h is above -1.
    const uint64_t value = negative ? ~hash : hash;
    // The quotient is at most one too small.
    uint64_t rest = value - __umul64hi(value, reciprocal) * partitions;
    rest -= rest >= partitions ? partitions : 0;
    return static_cast<uint32_t>(negative ? partitions - 1 - rest : rest);
}

// Adds the warp's rows to their counts in device memory, those of one partition at once, so that equal keys do not
// queue. The whole warp must call it.
__device__ __forceinline__ void count_rows(uint32_t* counts, uint32_t id, bool has_row) {
    const uint32_t peers = __match_any_sync(kFullWarp, has_row ? id : ~0u);
    if (has_row && lane_id() == __ffs(peers) - 1) {
        atomicAdd(&counts[id], __popc(peers));
    }
}

// A tile's state of one digit is one word: 0 for unknown, one more than the tile's own rows, or, with the top bit, the
// rows of all tiles up to and with this one, behind those of all lower digits.
constexpr uint32_t kPrefix = 1u << 31;

__device__ __forceinline__ void publish(uint32_t* state, uint32_t value) {
    *const_cast<volatile uint32_t*>(state) = value;
}

// Rows of the digit in the lower tiles, behind those of all lower digits. It waits for lower tiles only, whose blocks
// already run.
__device__ __forceinline__ uint32_t look_back(const uint32_t* states, uint32_t tile, uint32_t digits, uint32_t digit) {
    uint32_t prefix = 0;
    for (uint64_t at = static_cast<uint64_t>(tile) * digits + digit;;) {
        at -= digits;
        uint32_t state;
        do {
            state = *const_cast<const volatile uint32_t*>(&states[at]);
        } while (state == 0);
        if (state & kPrefix) {
            return prefix + (state & ~kPrefix);
        }
        prefix += state - 1;
    }
}

// Each value becomes the sum of those before it. All threads of the block must call it.
template <typename T>
__device__ __forceinline__ void exclusive_sums(T* values, uint32_t n) {
    const uint32_t own = (n + Policy::kThreads - 1) / Policy::kThreads;
    const uint32_t first = threadIdx.x * own < n ? threadIdx.x * own : n;
    const uint32_t last = first + own < n ? first + own : n;
    uint32_t sum = 0;
    for (uint32_t i = first; i < last; ++i) {
        sum += values[i];
    }
    uint32_t total;
    uint32_t below = warpline::block_exclusive_sum<uint32_t, Policy::kThreads>(sum, &total);
    for (uint32_t i = first; i < last; ++i) {
        const uint32_t value = values[i];
        values[i] = static_cast<T>(below);
        below += value;
    }
}

// What the threads of a block share; the last member is their ranks, and then the order.
struct Shared {
    uint32_t* targets;  // of each digit: what is added to a position in the order to get the row's target
    uint16_t* starts;   // of each digit: its first position in the order
    uint16_t* ranks;    // of each digit, for each array of ranks: rows so far, then positions in the order
    uint32_t* order;    // by position: the digit in the high half, the row of the tile in the low one
};

__device__ __forceinline__ Shared share(uint32_t digits) {
    extern __shared__ uint32_t memory[];
    uint32_t* rest = memory + digits;
    // The digits' starts fill whole words, for an odd number of digits as well.
    uint32_t* region = rest + (digits + 1) / 2;
    return {memory, reinterpret_cast<uint16_t*>(rest), reinterpret_cast<uint16_t*>(region), region};
}

// A tile whose order is known.
struct Tile {
    const uint32_t* order;
    const uint32_t* targets;
    uint64_t first_row;
    uint32_t rows;

    __device__ __forceinline__ uint32_t target(uint32_t position) const {
        return position + targets[order[position] >> 16];
    }
    __device__ __forceinline__ uint64_t source(uint32_t position) const {
        return first_row + (order[position] & 0xffff);
    }
};

constexpr uint32_t kNoRow = ~0u;

// The digits of the thread's rows in the high halves of `held`, and in the low ones how many rows of the digit the
// warps of its array of ranks have before it. A row past the end is kNoRow. The whole warp must call it.
__device__ __forceinline__ void rank_rows(uint32_t (&held)[Policy::kItems], uint16_t* ranks) {
    const uint32_t below = (1u << lane_id()) - 1;
#pragma unroll
    for (int i = 0; i < Policy::kItems; ++i) {
        const bool has_row = held[i] != kNoRow;
        const uint32_t digit = held[i] >> 16;
        const uint32_t peers = __match_any_sync(kFullWarp, digit);
        const uint32_t before = has_row ? ranks[digit] : 0;
        __syncwarp();
        if (has_row && (peers & below) == 0) {
            ranks[digit] = static_cast<uint16_t>(before + __popc(peers));
        }
        __syncwarp();
        held[i] |= before + __popc(peers & below);
    }
}

// Ranks the tile's rows, finds the targets of its digits and puts the order into shared memory.
__device__ __forceinline__ Tile order_tile(const uint32_t* __restrict__ ids, uint64_t n, uint32_t shift,
                                           uint32_t digits, const uint32_t* __restrict__ digit_counts,
                                           warpline::ScanScratch* scratch) {
    const uint32_t tile = warpline::take_tile(scratch);
    uint32_t* states = reinterpret_cast<uint32_t*>(scratch->states);
    const Shared shared = share(digits);
    const uint64_t first_row = static_cast<uint64_t>(tile) * Policy::kTileRows;
    const uint32_t rows = n - first_row < Policy::kTileRows ? static_cast<uint32_t>(n - first_row) : Policy::kTileRows;
    // Where there are many digits, two neighbouring warps take turns at one array of ranks, so that all arrays fit.
    const uint32_t turns = digits > Policy::kMostDigits / 2 ? 2 : 1;
    const uint32_t arrays = Policy::kWarps / turns;
    const uint32_t warp = threadIdx.x / 32;
    uint16_t* ranks = shared.ranks + warp / turns * digits;

    uint32_t held[Policy::kItems];
    const uint32_t own = warp * Policy::kWarpRows + lane_id();
#pragma unroll
    for (int i = 0; i < Policy::kItems; ++i) {
        const uint32_t row = own + 32 * i;
        held[i] = row < rows ? (ids[first_row + row] >> shift & (Policy::kMostDigits - 1)) << 16 : kNoRow;
    }
    for (uint32_t i = threadIdx.x; i < arrays * digits; i += Policy::kThreads) {
        shared.ranks[i] = 0;
    }
    if (tile == 0) {
        for (uint32_t digit = threadIdx.x; digit < digits; digit += Policy::kThreads) {
            shared.targets[digit] = digit_counts[digit];
        }
        __syncthreads();
        exclusive_sums(shared.targets, digits);
    }
    __syncthreads();
    for (uint32_t turn = 0; turn < turns; ++turn) {
        if (warp % turns == turn) {
            rank_rows(held, ranks);
        }
        __syncthreads();
    }

    for (uint32_t digit = threadIdx.x; digit < digits; digit += Policy::kThreads) {
        uint32_t sum = 0;
        for (uint32_t i = 0; i < arrays; ++i) {
            const uint32_t count = shared.ranks[i * digits + digit];
            shared.ranks[i * digits + digit] = static_cast<uint16_t>(sum);
            sum += count;
        }
        shared.starts[digit] = static_cast<uint16_t>(sum);
        uint32_t* state = &states[static_cast<uint64_t>(tile) * digits + digit];
        if (tile == 0) {
            publish(state, kPrefix | (shared.targets[digit] + sum));
        } else {
            publish(state, sum + 1);
        }
    }
    __syncthreads();
    exclusive_sums(shared.starts, digits);
    __syncthreads();
    for (uint32_t digit = threadIdx.x; digit < digits; digit += Policy::kThreads) {
        const uint32_t start = shared.starts[digit];
        for (uint32_t i = 0; i < arrays; ++i) {
            shared.ranks[i * digits + digit] += static_cast<uint16_t>(start);
        }
        uint32_t prefix = shared.targets[digit];
        if (tile > 0) {
            prefix = look_back(states, tile, digits, digit);
            uint32_t* state = &states[static_cast<uint64_t>(tile) * digits + digit];
            publish(state, kPrefix | (prefix + *state - 1));
        }
        shared.targets[digit] = prefix - start;
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < Policy::kItems; ++i) {
        if (held[i] != kNoRow) {
            held[i] += ranks[held[i] >> 16];
        }
    }
    __syncthreads();  // the order takes the place of the ranks
#pragma unroll
    for (int i = 0; i < Policy::kItems; ++i) {
        if (held[i] != kNoRow) {
            shared.order[held[i] & 0xffff] = (held[i] & 0xffff0000) | (own + 32 * i);
        }
    }
    __syncthreads();
    return {shared.order, shared.targets, first_row, rows};
}

// One unit a row: each thread moves every 256th position, several of them at a time.
template <typename Unit>
__device__ __forceinline__ void move_values(const Unit* __restrict__ values, const Tile& tile,
                                            Unit* __restrict__ out) {
    constexpr int kUnroll = sizeof(Unit) <= 4 ? 8 : Policy::kBytes / sizeof(Unit);
    for (uint32_t p = threadIdx.x; p < tile.rows; p += Policy::kThreads * kUnroll) {
        Unit held[kUnroll];
#pragma unroll
        for (int i = 0; i < kUnroll; ++i) {
            if (p + Policy::kThreads * i < tile.rows) {
                held[i] = values[tile.source(p + Policy::kThreads * i)];
            }
        }
#pragma unroll
        for (int i = 0; i < kUnroll; ++i) {
            if (p + Policy::kThreads * i < tile.rows) {
                out[tile.target(p + Policy::kThreads * i)] = held[i];
            }
        }
    }
}

// Several units a row: threads share the units of all rows.
template <typename Unit>
__device__ __forceinline__ void move_units(const Unit* __restrict__ values, const Tile& tile, uint32_t units,
                                           Unit* __restrict__ out) {
    for (uint32_t u = threadIdx.x; u < tile.rows * units; u += Policy::kThreads) {
        const uint32_t p = u / units;
        const uint32_t part = u - p * units;
        out[static_cast<uint64_t>(tile.target(p)) * units + part] = values[tile.source(p) * units + part];
    }
}

template <typename Unit>
__device__ __forceinline__ void move(const MoveColumn& column, const Tile& tile) {
    const Unit* values = static_cast<const Unit*>(column.values);
    Unit* out = static_cast<Unit*>(column.out);
    if (column.units == 1) {
        move_values(values, tile, out);
    } else {
        move_units(values, tile, column.units, out);
    }
}

// Bits: neighbouring positions that go to one word of the output go there together.
__device__ __forceinline__ void move_bits(const uint32_t* __restrict__ bits, const Tile& tile,
                                          uint32_t* __restrict__ out) {
    // Lanes of a warp stay together to the last position.
    for (uint32_t first = threadIdx.x & ~31u; first < tile.rows; first += Policy::kThreads) {
        const uint32_t p = first + lane_id();
        const bool has_row = p < tile.rows;
        const uint32_t to = has_row ? tile.target(p) : 0;
        const uint32_t set = __ballot_sync(kFullWarp, has_row && warpline::bit_at(bits, tile.source(p)));
        const uint32_t before = __shfl_up_sync(kFullWarp, to, 1);
        const bool begins = lane_id() == 0 || to != before + 1 || to % 32 == 0;
        const uint32_t above = __ballot_sync(kFullWarp, begins) >> lane_id() >> 1;
        if (begins) {
            const uint32_t length = above == 0 ? 32 - lane_id() : __ffs(above);
            const uint32_t run = set >> lane_id() & (kFullWarp >> (32 - length));
            if (run != 0) {
                atomicOr(&out[to / 32], run << (to % 32));
            }
        }
    }
}

__device__ __forceinline__ void write_row_numbers(const Tile& tile, uint32_t* __restrict__ out) {
    for (uint32_t p = threadIdx.x; p < tile.rows; p += Policy::kThreads) {
        out[tile.target(p)] = static_cast<uint32_t>(tile.source(p));
    }
}

__device__ __forceinline__ void move_column(const MoveColumn& column, const Tile& tile) {
    if (column.out_validity != nullptr) {
        move_bits(column.validity, tile, column.out_validity);
    }
    switch (column.kind) {
        case warpline::kMoveBits:
            move_bits(static_cast<const uint32_t*>(column.values), tile, static_cast<uint32_t*>(column.out));
            break;
        case warpline::kMoveU8: move<uint8_t>(column, tile); break;
        case warpline::kMoveU16: move<uint16_t>(column, tile); break;
        case warpline::kMoveU32: move<uint32_t>(column, tile); break;
        case warpline::kMoveU64: move<uint64_t>(column, tile); break;
        case warpline::kMoveU128: move<warpline::U128>(column, tile); break;
        case warpline::kMoveRowNumbers: write_row_numbers(tile, static_cast<uint32_t*>(column.out)); break;
        default: break;
    }
}

}  // namespace

// The partition of each row, and how many rows each has.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    hash_partition_ids(const KeyColumn* __restrict__ table, uint32_t columns, uint32_t scheme, uint64_t n,
                       uint32_t partitions, uint64_t reciprocal, uint32_t* __restrict__ ids, uint32_t* counts) {
    __shared__ uint32_t bins[Policy::kMostDigits];
    const bool few = counts != nullptr && partitions <= Policy::kMostDigits;
    if (few) {
        for (uint32_t i = threadIdx.x; i < partitions; i += Policy::kThreads) {
            bins[i] = 0;
        }
        __syncthreads();
    }
    const auto by = static_cast<Scheme>(scheme);
    // Lanes of a warp stay together to the last row.
    for (uint64_t word = warpline::grid_thread() & ~31ull; word < n; word += warpline::grid_threads()) {
        const uint64_t row = word + lane_id();
        uint32_t id = 0;
        if (row < n) {
            bool any = false;
            const uint64_t hash = warpline::hash_row(by, table, columns, row, &any);
            id = partition_of(by, hash, partitions, reciprocal);
            ids[row] = id;
        }
        if (few) {
            if (row < n) {
                atomicAdd(&bins[id], 1u);  // of equal addresses the hardware makes one addition
            }
        } else if (counts != nullptr) {
            count_rows(counts, id, row < n);
        }
    }
    if (few) {
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < partitions; i += Policy::kThreads) {
            if (bins[i] != 0) {
                atomicAdd(&counts[i], bins[i]);
            }
        }
    }
}

// Moves the rows of every column of the table into the order of `digits` digits of the ids, from bit `shift` on.
extern "C" __global__ void __launch_bounds__(Policy::kThreads, Policy::kBlocks)
    hash_partition_move_columns(const MoveColumn* columns, uint32_t count, const uint32_t* ids, uint64_t n,
                                uint32_t shift, uint32_t digits, const uint32_t* digit_counts,
                                warpline::ScanScratch* scratch) {
    const Tile tile = order_tile(ids, n, shift, digits, digit_counts, scratch);
    for (uint32_t i = 0; i < count; ++i) {
        move_column(warpline::read_column(columns, i), tile);
    }
}
