// Join: a hash table over one side's keys, probed by rows of the other side.
//
// Algorithm: open addressing with linear probing at a load of at most a half, 16 bytes a slot: the row's code
// (equal.cuh), which is the key itself where that is one word, and the matches of that key. `join_codes_rows` makes codes
// of the built rows, `join_insert_rows` claims a slot for each different key by compare-and-swap and tells whether a key
// came twice. Where codes are keys, `join_codes_rows` also finds their range: keys no further apart than there are slots
// get a table by their distance from the lowest instead, of matches alone, in the same memory. If a key came twice, rows are sorted by slot, stably (radix.cuh): `join_digits_u32`, `join_sums_u32`,
// `join_scatter_u32` for each eight bits; `join_runs_slots` then gives each slot its run. Without duplicates a slot's
// only match is its row.
// Probing: `join_first_*` gives each row its first match, `join_select_*` the rows with or without one, `join_count_*`
// each row's matches and, by decoupled look-back (scan.cuh has the source), where they go, for `join_expand_rows`.
// They look rows up in the hash table (`table`), among pairs that met a condition (`pairs`, sorted by probe row), or, at
// the end, built rows in what was noted of matches (`bits` a row, `groups` a key).
// Buffers: probe and built, tables of KeyColumns (keys.cuh); range, zeroed, a KeyRange of the built keys, or null where
// codes are no keys; slots, zeroed, a power of two; order, the built rows sorted by slot, or null where slots hold rows; matched (may be null), a bit a built row; scratch, zeroed, a ScanScratch with
// a state per tile.
// Nulls: a null key matches nothing, or with kNullsEqual a null. NaN matches NaN and -0.0 0.0. Overflow: rows are below
// 2^31, positions of pairs have 64 bits.
// Launch: 256 threads; codes, insert and first grid-stride; select and count a block per 1,024 rows; expand a block per
// 1,024 pairs; digits and scatter a block per 2,048 rows, sums one per 1,024 counts.
// Bytes per row: codes reads the keys, writes 8 and 1/8; insert reads those, reads and writes a slot, writes 4. A
// probed row reads its keys and, where keys are one word, nothing if it is out of their range, else its place in a table
// of all keys or 1.5 slots on average at the highest load; other keys are compared with the built row's on top. first writes 4, select 4 or 8 a kept row, count 12. expand reads 12 and writes
// 8 a pair, and reads 4 of order.
// Determinism: which slot a key has depends on the schedule, what is found in it does not.

#include <cstdint>

#include "include/bits.cuh"
#include "include/equal.cuh"
#include "include/grid.cuh"
#include "include/move.cuh"
#include "include/radix.cuh"
#include "include/scan.cuh"

namespace {

using warpline::kFullWarp;
using warpline::KeyCode;
using warpline::KeyColumn;
using warpline::kNoSource;
using warpline::lane_id;
using warpline::ScanScratch;

struct Policy {
    static constexpr int kThreads = 256;
    static constexpr uint32_t kSteps = 4;  // rows a thread of select and count, pairs a thread of expand
    static constexpr uint32_t kWarpRows = 32 * kSteps;
    static constexpr uint32_t kTileRows = kThreads * kSteps;
};

// A flag beside EqualFlags: slots are the matches of each key from the lowest on.
constexpr uint32_t kDirect = 4;

// Positions of matches in `order`: [first, end), empty in a free slot and where nothing matches.
struct alignas(8) Matches {
    uint32_t first;
    uint32_t end;

    __device__ __forceinline__ bool any() const { return first != end; }
};

struct alignas(16) Slot {
    uint64_t code;
    Matches matches;
};
static_assert(sizeof(Slot) == 16, "slots are read as one vector");

__device__ __forceinline__ Slot read_slot(const Slot* __restrict__ slots, uint64_t i) {
    const ulonglong2 words = reinterpret_cast<const ulonglong2*>(slots)[i];
    return {words.x, {static_cast<uint32_t>(words.y), static_cast<uint32_t>(words.y >> 32)}};
}

// The matches of slot `i`, alone or behind a code.
__device__ __forceinline__ Matches* matches_at(Slot* slots, uint64_t i, bool direct) {
    return direct ? reinterpret_cast<Matches*>(slots) + i : &slots[i].matches;
}

// The range of codes as signed numbers, by what raises both words from zero: numbers of an order that does not have signs,
// the lowest complemented. Without codes it ranges over two numbers, which no key has then.
struct KeyRange {
    unsigned long long lowest;
    unsigned long long highest;

    __device__ __forceinline__ uint64_t from() const { return ~lowest ^ kSign; }
    __device__ __forceinline__ uint64_t span() const { return highest - ~lowest; }

    static constexpr unsigned long long kSign = 1ull << 63;
};

template <typename T>
__device__ __forceinline__ T read_shared_by_blocks(const T* word) {
    return *const_cast<const volatile T*>(word);
}

// Raises a word to the largest of the warp's values, as other warps do with theirs. All lanes must call it.
template <typename T>
__device__ __forceinline__ void raise(unsigned long long* word, T value) {
#pragma unroll
    for (uint32_t step = 16; step > 0; step /= 2) {
        const T other = __shfl_xor_sync(kFullWarp, value, step);
        value = other > value ? other : value;
    }
    if (lane_id() == 0 && read_shared_by_blocks(word) < value) {
        atomicMax(word, static_cast<unsigned long long>(value));
    }
}

// Looks up rows of `probe` in a hash table over rows of `built`.
struct TableFinder {
    const KeyColumn* probe;
    const KeyColumn* built;
    uint32_t columns;
    uint32_t flags;
    const Slot* slots;
    uint64_t mask;
    uint64_t from;  // the lowest of the built codes and how far the highest is from it
    uint64_t span;
    const uint32_t* order;

    __device__ __forceinline__ uint32_t row(uint32_t position) const {
        return order == nullptr ? position : order[position];
    }

    __device__ __forceinline__ Matches find(uint64_t probe_row) const {
        const KeyCode code = warpline::key_code(probe, columns, flags, probe_row);
        if (!code.comparable || code.word - from > span) {
            return {0, 0};
        }
        if ((flags & kDirect) != 0) {
            return reinterpret_cast<const Matches*>(slots)[code.word - from];
        }
        for (uint64_t i = warpline::mixed(code.word) & mask;; i = (i + 1) & mask) {
            const Slot slot = read_slot(slots, i);
            if (!slot.matches.any()) {
                return slot.matches;
            }
            if (slot.code == code.word &&
                ((flags & warpline::kCodeIsKey) != 0 ||
                 warpline::keys_equal(probe, probe_row, built, row(slot.matches.first), columns))) {
                return slot.matches;
            }
        }
    }
};

// The first place of `values`, which ascend, that is not below `value`.
template <typename T>
__device__ __forceinline__ uint64_t lower_bound(const T* __restrict__ values, uint64_t n, uint64_t value) {
    uint64_t low = 0;
    while (n > 0) {
        const uint64_t half = n / 2;
        if (values[low + half] < value) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return low;
}

// Pairs that met a condition: probe rows ascend, and a position of `right` is a match.
struct PairFinder {
    const uint32_t* left;
    const uint32_t* right;
    uint64_t pairs;

    __device__ __forceinline__ uint32_t row(uint32_t position) const { return right[position]; }

    __device__ __forceinline__ Matches find(uint64_t probe_row) const {
        const uint64_t first = lower_bound(left, pairs, probe_row);
        const uint64_t end = first + lower_bound(left + first, pairs - first, probe_row + 1);
        return {static_cast<uint32_t>(first), static_cast<uint32_t>(end)};
    }
};

// Built rows that have matched.
struct BitFinder {
    const uint32_t* bits;

    __device__ __forceinline__ uint32_t row(uint32_t) const { return kNoSource; }

    __device__ __forceinline__ Matches find(uint64_t row) const { return {0, warpline::bit_at(bits, row)}; }
};

// Built rows whose key has matched, which is noted at the key's first row.
struct GroupFinder {
    TableFinder table;
    const uint32_t* bits;

    __device__ __forceinline__ uint32_t row(uint32_t) const { return kNoSource; }

    __device__ __forceinline__ Matches find(uint64_t row) const {
        const Matches own = table.find(row);
        return {0, own.any() && warpline::bit_at(bits, table.row(own.first))};
    }
};

__device__ __forceinline__ void set_bit(uint32_t* bits, uint32_t i) {
    const uint32_t bit = 1u << (i & 31);
    // A hot key is noted once.
    if ((read_shared_by_blocks(&bits[i >> 5]) & bit) == 0) {
        atomicOr(&bits[i >> 5], bit);
    }
}

// Each row's first match, and for whole words of `mark` whether there is one.
template <typename Finder>
__device__ __forceinline__ void first_matches(const Finder& finder, uint64_t n, uint32_t* matched,
                                              uint32_t* __restrict__ right, uint32_t* __restrict__ mark) {
    // Lanes of a warp stay together to the last word of the bitmap.
    for (uint64_t word = warpline::grid_thread() & ~31ull; word < n; word += warpline::grid_threads()) {
        const uint64_t row = word + lane_id();
        Matches matches{0, 0};
        if (row < n) {
            matches = finder.find(row);
            uint32_t first = kNoSource;
            if (matches.any() && (matched != nullptr || right != nullptr)) {
                first = finder.row(matches.first);
            }
            if (right != nullptr) {
                right[row] = first;
            }
            if (matched != nullptr && matches.any()) {
                set_bit(matched, first);
            }
        }
        if (mark != nullptr) {
            const uint32_t has = __ballot_sync(kFullWarp, matches.any());
            if (lane_id() == 0) {
                mark[word / 32] = has;
            }
        }
    }
}

// The first row of this warp's part of a tile.
__device__ __forceinline__ uint64_t warp_begin(uint32_t tile) {
    return static_cast<uint64_t>(tile) * Policy::kTileRows + threadIdx.x / 32 * Policy::kWarpRows;
}

// Where the output of this warp begins, after it has made `count` rows; the last tile tells the total.
__device__ __forceinline__ uint64_t warp_base(ScanScratch* scratch, uint32_t tile, uint64_t count, uint64_t* total) {
    uint64_t tile_count;
    const uint64_t own = lane_id() == 0 ? count : 0;
    const uint64_t below = warpline::block_exclusive_sum<uint64_t, Policy::kThreads>(own, &tile_count);
    const uint64_t prefix = warpline::block_tile_prefix(scratch, tile, tile_count);
    if (threadIdx.x == 0 && tile + 1 == gridDim.x) {
        *total = prefix + tile_count;
    }
    return prefix + __shfl_sync(kFullWarp, below, 0);
}

// The array without its first element and with another last one. A loop that fills an array so, and is not unrolled, keeps
// it in registers.
template <typename T>
__device__ __forceinline__ void push(T (&values)[Policy::kSteps], T value) {
#pragma unroll
    for (uint32_t s = 1; s < Policy::kSteps; ++s) {
        values[s - 1] = values[s];
    }
    values[Policy::kSteps - 1] = value;
}

// The rows that have a match or, unless `want`, have none; in `right` their first match.
template <typename Finder>
__device__ __forceinline__ void select_rows(const Finder& finder, uint64_t n, bool want, uint32_t* matched,
                                            uint32_t* __restrict__ left, uint32_t* __restrict__ right, uint64_t* total,
                                            ScanScratch* scratch) {
    const uint32_t tile = warpline::take_tile(scratch);
    const uint64_t begin = warp_begin(tile) + lane_id();
    uint32_t kept[Policy::kSteps] = {};
    uint32_t first[Policy::kSteps] = {};
    uint32_t count = 0;
#pragma unroll 1
    for (uint32_t s = 0; s < Policy::kSteps; ++s) {
        bool keep = false;
        uint32_t row = kNoSource;
        if (begin + 32 * s < n) {
            const Matches matches = finder.find(begin + 32 * s);
            keep = matches.any() == want;
            if (matches.any() && (matched != nullptr || right != nullptr)) {
                row = finder.row(matches.first);
            }
            if (matched != nullptr && matches.any()) {
                set_bit(matched, row);
            }
        }
        push(first, row);
        push(kept, __ballot_sync(kFullWarp, keep));
        count += __popc(kept[Policy::kSteps - 1]);
    }
    uint64_t to = warp_base(scratch, tile, count, total);
    const uint32_t below = (1u << lane_id()) - 1;
#pragma unroll
    for (uint32_t s = 0; s < Policy::kSteps; ++s) {
        if (kept[s] >> lane_id() & 1) {
            left[to + __popc(kept[s] & below)] = static_cast<uint32_t>(begin + 32 * s);
            if (right != nullptr) {
                right[to + __popc(kept[s] & below)] = first[s];
            }
        }
        to += __popc(kept[s]);
    }
}

// Each row's first match and where its output begins; with `outer` a row without a match has one row of output.
template <typename Finder>
__device__ __forceinline__ void count_matches(const Finder& finder, uint64_t n, bool outer, uint32_t* matched,
                                              uint32_t* __restrict__ starts, uint64_t* __restrict__ offsets,
                                              unsigned long long* most, uint64_t* total, ScanScratch* scratch) {
    const uint32_t tile = warpline::take_tile(scratch);
    const uint64_t begin = warp_begin(tile) + lane_id();
    uint64_t below[Policy::kSteps] = {};
    uint64_t count = 0;
    uint32_t largest = 0;
#pragma unroll 1
    for (uint32_t s = 0; s < Policy::kSteps; ++s) {
        uint32_t own = 0;
        if (begin + 32 * s < n) {
            const Matches matches = finder.find(begin + 32 * s);
            starts[begin + 32 * s] = matches.any() ? matches.first : kNoSource;
            own = matches.any() ? matches.end - matches.first : outer;
            if (matched != nullptr && matches.any()) {
                set_bit(matched, finder.row(matches.first));
            }
        }
        largest = own > largest ? own : largest;
        const uint64_t inclusive = warpline::warp_inclusive_sum<uint64_t>(own);
        push(below, count + inclusive - own);
        count += __shfl_sync(kFullWarp, inclusive, 31);
    }
    raise(most, largest);
    const uint64_t base = warp_base(scratch, tile, count, total);
#pragma unroll
    for (uint32_t s = 0; s < Policy::kSteps; ++s) {
        if (begin + 32 * s < n) {
            offsets[begin + 32 * s] = base + below[s];
        }
    }
}

// The last row in [low, high] whose output begins at or before `position`; `low`'s does.
__device__ __forceinline__ uint64_t row_at(const uint64_t* __restrict__ offsets, uint64_t low, uint64_t high,
                                           uint64_t position) {
    while (low < high) {
        const uint64_t middle = high - (high - low) / 2;
        if (offsets[middle] <= position) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

}  // namespace

// Codes of rows, which of them are comparable, and their range.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    join_codes_rows(const KeyColumn* table, uint32_t columns, uint32_t flags, uint64_t n, uint64_t* codes,
                    uint32_t* comparable, KeyRange* range) {
    KeyRange own{0, 0};
    for (uint64_t word = warpline::grid_thread() & ~31ull; word < n; word += warpline::grid_threads()) {
        const uint64_t row = word + lane_id();
        KeyCode code{0, false};
        if (row < n) {
            code = warpline::key_code(table, columns, flags, row);
            codes[row] = code.word;
        }
        if (code.comparable) {
            const unsigned long long biased = code.word ^ KeyRange::kSign;
            own.lowest = ~biased > own.lowest ? ~biased : own.lowest;
            own.highest = biased > own.highest ? biased : own.highest;
        }
        const uint32_t packed = __ballot_sync(kFullWarp, code.comparable);
        if (lane_id() == 0) {
            comparable[word / 32] = packed;
        }
    }
    if (range == nullptr) {
        return;
    }
    raise(&range->lowest, own.lowest);
    raise(&range->highest, own.highest);
}

// The slot of each row's key, kNoSource for none; `twice` becomes 1 when a key has two rows. A slot's key is the row that
// claimed it; its code and its only match are written for the case that no key has two.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    join_insert_rows(const KeyColumn* table, uint32_t columns, uint32_t flags, const uint64_t* codes,
                     const uint32_t* comparable, const KeyRange* range, uint64_t n, uint64_t mask, Slot* slots,
                     uint32_t* slot_of_row, uint32_t* twice) {
    const uint64_t from = range == nullptr ? 0 : range->from();
    const bool direct = range != nullptr && range->span() <= mask;
    for (uint64_t row = warpline::grid_thread(); row < n; row += warpline::grid_threads()) {
        if (!warpline::bit_at(comparable, row)) {
            slot_of_row[row] = kNoSource;
            continue;
        }
        const uint64_t code = codes[row];
        uint64_t i = direct ? code - from : warpline::mixed(code) & mask;
        for (;; i = (i + 1) & mask) {
            Matches* const matches = matches_at(slots, i, direct);
            uint32_t end = read_shared_by_blocks(&matches->end);
            if (end == 0) {
                end = atomicCAS(&matches->end, 0u, static_cast<uint32_t>(row + 1));
            }
            if (end == 0) {
                if (!direct) {
                    slots[i].code = code;
                }
                matches->first = static_cast<uint32_t>(row);
                break;
            }
            if (codes[end - 1] == code && ((flags & warpline::kCodeIsKey) != 0 ||
                                           warpline::keys_equal(table, row, table, end - 1, columns))) {
                if (read_shared_by_blocks(twice) == 0) {
                    atomicExch(twice, 1u);
                }
                break;
            }
        }
        slot_of_row[row] = static_cast<uint32_t>(i);
    }
}

// Digits of each tile's keys.
extern "C" __global__ void __launch_bounds__(warpline::Radix::kThreads)
    join_digits_u32(const uint32_t* keys, uint64_t n, uint32_t shift, uint32_t* counts) {
    warpline::count_digits(keys, n, shift, counts);
}

// Counts become the sums of all counts before them.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    join_sums_u32(uint32_t* counts, uint64_t n, ScanScratch* scratch) {
    const uint32_t tile = warpline::take_tile(scratch);
    const uint64_t first = static_cast<uint64_t>(tile) * Policy::kTileRows + threadIdx.x * Policy::kSteps;
    uint32_t own[Policy::kSteps];
    uint32_t sum = 0;
#pragma unroll
    for (uint32_t s = 0; s < Policy::kSteps; ++s) {
        own[s] = first + s < n ? counts[first + s] : 0;
        sum += own[s];
    }
    uint32_t tile_sum;
    uint32_t below = warpline::block_exclusive_sum<uint32_t, Policy::kThreads>(sum, &tile_sum);
    below += static_cast<uint32_t>(warpline::block_tile_prefix(scratch, tile, tile_sum));
#pragma unroll
    for (uint32_t s = 0; s < Policy::kSteps; ++s) {
        if (first + s < n) {
            counts[first + s] = below;
        }
        below += own[s];
    }
}

// Keys and rows in the order of a digit.
extern "C" __global__ void __launch_bounds__(warpline::Radix::kThreads)
    join_scatter_u32(const uint32_t* keys, const uint32_t* rows, uint64_t n, uint32_t shift, const uint32_t* counts,
                     uint32_t* out_keys, uint32_t* out_rows) {
    warpline::scatter_digits(keys, rows, n, shift, counts, out_keys, out_rows);
}

// The run of each slot among the sorted slots of rows.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    join_runs_slots(const uint32_t* sorted, uint64_t n, uint32_t flags, Slot* slots) {
    const bool direct = (flags & kDirect) != 0;
    for (uint64_t i = warpline::grid_thread(); i < n; i += warpline::grid_threads()) {
        const uint32_t slot = sorted[i];
        if (slot == kNoSource) {
            continue;
        }
        if (i == 0 || sorted[i - 1] != slot) {
            matches_at(slots, slot, direct)->first = static_cast<uint32_t>(i);
        }
        if (i + 1 == n || sorted[i + 1] != slot) {
            matches_at(slots, slot, direct)->end = static_cast<uint32_t>(i + 1);
        }
    }
}

// The rows of both sides of pairs `from` to `from + count`.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    join_expand_rows(const uint64_t* offsets, const uint32_t* starts, const uint32_t* order, uint64_t n, uint64_t from,
                     uint64_t count, uint32_t* left, uint32_t* right) {
    __shared__ uint64_t edges[2];
    const uint64_t begin = static_cast<uint64_t>(blockIdx.x) * Policy::kTileRows;
    if (threadIdx.x < 2) {
        const uint64_t last = begin + Policy::kTileRows < count ? begin + Policy::kTileRows : count;
        edges[threadIdx.x] = row_at(offsets, 0, n - 1, from + (threadIdx.x == 0 ? begin : last - 1));
    }
    __syncthreads();
    for (uint64_t i = begin + threadIdx.x; i < begin + Policy::kTileRows && i < count; i += Policy::kThreads) {
        const uint64_t row = row_at(offsets, edges[0], edges[1], from + i);
        const uint32_t start = starts[row];
        left[i] = static_cast<uint32_t>(row);
        if (start == kNoSource) {
            right[i] = kNoSource;
        } else {
            const uint64_t position = start + (from + i - offsets[row]);
            right[i] = order == nullptr ? static_cast<uint32_t>(position) : order[position];
        }
    }
}

// Notes built rows as matched.
extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    join_mark_rows(const uint32_t* rows, uint64_t n, uint32_t* matched) {
    for (uint64_t i = warpline::grid_thread(); i < n; i += warpline::grid_threads()) {
        set_bit(matched, rows[i]);
    }
}

// The probes, by what they look rows up in.
#define WARPLINE_JOIN_PROBES(NAME, FINDER, ...)                                                                    \
    extern "C" __global__ void __launch_bounds__(Policy::kThreads)                                                 \
        join_first_##NAME(__VA_ARGS__, uint64_t n, uint32_t* matched, uint32_t* right, uint32_t* mark) {           \
        first_matches(FINDER, n, matched, right, mark);                                                            \
    }                                                                                                              \
    extern "C" __global__ void __launch_bounds__(Policy::kThreads)                                                 \
        join_count_##NAME(__VA_ARGS__, uint64_t n, uint32_t outer, uint32_t* matched, uint32_t* starts,            \
                          uint64_t* offsets, unsigned long long* most, uint64_t* total, ScanScratch* scratch) {    \
        count_matches(FINDER, n, outer != 0, matched, starts, offsets, most, total, scratch);                      \
    }

#define WARPLINE_JOIN_SELECT(NAME, FINDER, ...)                                                                    \
    extern "C" __global__ void __launch_bounds__(Policy::kThreads)                                                 \
        join_select_##NAME(__VA_ARGS__, uint64_t n, uint32_t want, uint32_t* matched, uint32_t* left,              \
                           uint32_t* right, uint64_t* total, ScanScratch* scratch) {                               \
        select_rows(FINDER, n, want != 0, matched, left, right, total, scratch);                                   \
    }

#define WARPLINE_TABLE_FINDER TableFinder{probe, built, columns, flags, slots, mask, from, span, order}
#define WARPLINE_TABLE_ARGUMENTS                                                                                   \
    const KeyColumn *probe, const KeyColumn *built, uint32_t columns, uint32_t flags, const Slot *slots,           \
        uint64_t mask, uint64_t from, uint64_t span, const uint32_t *order
#define WARPLINE_PAIR_FINDER PairFinder{left_pairs, right_pairs, pairs}
#define WARPLINE_PAIR_ARGUMENTS const uint32_t *left_pairs, const uint32_t *right_pairs, uint64_t pairs
#define WARPLINE_GROUP_FINDER GroupFinder{WARPLINE_TABLE_FINDER, bits}

// clang-format off
WARPLINE_JOIN_PROBES(table, (WARPLINE_TABLE_FINDER), WARPLINE_TABLE_ARGUMENTS)
WARPLINE_JOIN_PROBES(pairs, (WARPLINE_PAIR_FINDER), WARPLINE_PAIR_ARGUMENTS)
WARPLINE_JOIN_SELECT(table, (WARPLINE_TABLE_FINDER), WARPLINE_TABLE_ARGUMENTS)
WARPLINE_JOIN_SELECT(pairs, (WARPLINE_PAIR_FINDER), WARPLINE_PAIR_ARGUMENTS)
WARPLINE_JOIN_SELECT(bits, BitFinder{bits}, const uint32_t *bits)
WARPLINE_JOIN_SELECT(groups, (WARPLINE_GROUP_FINDER), WARPLINE_TABLE_ARGUMENTS, const uint32_t *bits)
// clang-format on
