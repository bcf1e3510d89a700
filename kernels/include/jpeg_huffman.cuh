// Huffman decoding of sequential scans, in parallel within a segment.
//
// Algorithm: self-synchronisation (Klein and Wiseman, "Parallel Huffman decoding with applications to JPEG files", 2003;
// Weissenberger and Schmidt, ICPP 2018). Every slot is decoded from a guess, then again from where the slot before it
// ended, until nothing changes; most slots reach the path of their first decode within a few hundred bits. Differences
// from the published form: states are kept for every quarter of a slot, so that a second decode stops at the first
// quarter where it agrees with the first; and the block within the MCU counts modulo the period of its tables, so that
// scans whose components share tables synchronise too. The true block follows from the prefix sum of blocks.
#pragma once

#include <cstdint>

#include "jpeg.cuh"
#include "scan.cuh"

namespace warpline {
namespace jpeg {

constexpr uint32_t kSlotThreads = 128;
constexpr uint32_t kQuarters = 4;
constexpr uint32_t kQuarterBits = kSlotBits / kQuarters;
constexpr uint32_t kNoSegment = 0xffffffffu;

// Natural order of each zigzag position.
__device__ __constant__ const uint8_t kNatural[kBlock] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

// Fills a table from its specification, which the host has checked to be a prefix code. One block.
__device__ __forceinline__ void derive_table(const TableSpec& spec, Table* table) {
    __shared__ int32_t first_code[17];
    __shared__ int32_t first_symbol[17];
    if (threadIdx.x == 0) {
        int32_t code = 0;
        int32_t symbol = 0;
        for (uint32_t length = 1; length <= 16; ++length) {
            const int32_t count = spec.counts[length - 1];
            first_code[length] = code;
            first_symbol[length] = symbol;
            table->max_code[length] = count > 0 ? code + count - 1 : -1;
            table->offset[length] = symbol - code;
            code = (code + count) << 1;
            symbol += count;
        }
        table->max_code[0] = -1;
        table->max_code[17] = -1;
        table->offset[0] = 0;
        table->offset[17] = 0;
    }
    __syncthreads();
    for (uint32_t look = threadIdx.x; look < 1u << kLook; look += blockDim.x) {
        uint32_t entry = 0;
        for (uint32_t length = 1; length <= kLook; ++length) {
            const int32_t code = static_cast<int32_t>(look >> (kLook - length));
            const int32_t index = code - first_code[length];
            if (index >= 0 && index < spec.counts[length - 1]) {
                entry = static_cast<uint32_t>(spec.symbols[first_symbol[length] + index]) << 8 | length;
                break;
            }
        }
        table->look[look] = static_cast<uint16_t>(entry);
    }
    for (uint32_t i = threadIdx.x; i < 256; i += blockDim.x) {
        table->symbols[i] = spec.symbols[i];
    }
}

// Reads a big-endian bit stream, 64 bits at hand.
struct Bits {
    const uint32_t* words;
    uint32_t at;    // word of `high`
    uint32_t bit;   // position
    uint32_t high;
    uint32_t low;

    // `base` lies on a word boundary.
    __device__ __forceinline__ Bits(const uint8_t* base, uint32_t position)
        : words(reinterpret_cast<const uint32_t*>(base)), at(position / 32), bit(position) {
        high = swapped(words[at]);
        low = swapped(words[at + 1]);
    }

    static __device__ __forceinline__ uint32_t swapped(uint32_t word) { return __byte_perm(word, 0, 0x0123); }

    __device__ __forceinline__ uint32_t peek() const { return __funnelshift_l(low, high, bit & 31); }

    // At most 31 bits.
    __device__ __forceinline__ void skip(uint32_t count) {
        bit += count;
        if (bit / 32 != at) {
            ++at;
            high = low;
            low = swapped(words[at + 1]);
        }
    }
};

// A symbol and the length of its code; length 0 where no code fits.
struct Symbol {
    uint32_t value;
    uint32_t length;
};

__device__ __forceinline__ Symbol find_symbol(const Table& table, uint32_t bits) {
    const uint32_t entry = table.look[bits >> (32 - kLook)];
    if (entry != 0) {
        return {entry >> 8, entry & 0xff};
    }
    for (uint32_t length = kLook + 1; length <= 16; ++length) {
        const int32_t code = static_cast<int32_t>(bits >> (32 - length));
        if (code <= table.max_code[length]) {
            return {table.symbols[(code + table.offset[length]) & 0xff], length};
        }
    }
    return {0, 0};
}

// Sign extension of ITU-T T.81, Figure F.12, for the `size` bits behind the first `length` of `bits`.
__device__ __forceinline__ int32_t extend(uint32_t bits, uint32_t length, uint32_t size) {
    if (size == 0) {
        return 0;
    }
    const int32_t value = static_cast<int32_t>(bits << length >> (32 - size));
    return value < 1 << (size - 1) ? value - (1 << size) + 1 : value;
}

// Where a decoder stands between two symbols. As a word: bits past the border of a quarter, the unit modulo the period,
// the zigzag position, and the blocks that were completed in the quarter.
struct Place {
    uint32_t over;
    uint32_t unit;
    uint32_t k;

    static __device__ __forceinline__ Place of(uint32_t state) {
        return {state & 31, state >> 5 & 15, state >> 9 & 63};
    }
    __device__ __forceinline__ uint32_t state(uint32_t blocks) const {
        return over | unit << 5 | k << 9 | blocks << 15;
    }
};
constexpr uint32_t kPlaceBits = (1u << 15) - 1;
__device__ __forceinline__ uint32_t blocks_of(uint32_t state) { return state >> 15; }

// The slot that a thread works on.
struct Slot {
    uint32_t scan;
    uint32_t segment;     // kNoSegment: nothing to do
    uint32_t number;      // in its segment
    uint32_t first;       // global number of the segment's first slot
    uint32_t begin;       // bits of the scan's plain data: the slot,
    uint32_t segment_end; // and the end of the segment
};

__device__ __forceinline__ uint32_t first_slot(const uint32_t* starts, uint32_t segment) {
    return starts[segment] / kSlotBytes + segment;
}

// Finds the segment of a slot. Slots that the layout left empty, and those of irregular scans, have none.
__device__ __forceinline__ Slot find_slot(const Scan* scans, uint32_t n, const uint32_t* all_starts,
                                          const uint32_t* status, uint32_t slot) {
    Slot found{0, kNoSegment, 0, 0, 0, 0};
    found.scan = owner(scans, n, slot, [](const Scan& scan) { return scan.first_slot; });
    const Scan& scan = scans[found.scan];
    if ((status[found.scan] & kIrregular) != 0) {
        return found;
    }
    const uint32_t* starts = all_starts + scan.first_segment;
    const uint32_t number = slot - scan.first_slot;
    uint32_t low = 0;
    uint32_t high = scan.segments;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (first_slot(starts, middle) <= number) {
            low = middle;
        } else {
            high = middle;
        }
    }
    const uint32_t in_segment = number - first_slot(starts, low);
    const uint32_t begin = starts[low] + in_segment * kSlotBytes;
    if (begin >= starts[low + 1]) {
        return found;
    }
    found.segment = low;
    found.number = in_segment;
    found.first = slot - in_segment;
    found.begin = begin * 8;
    found.segment_end = starts[low + 1] * 8;
    return found;
}

// Decodes from `place` to the end of the quarter that begins at `border`, or of the segment, counting blocks. What is no
// code counts as sixteen bits of nothing: any rule will do, as long as all decodes follow it.
__device__ __forceinline__ uint32_t walk_quarter(const Scan& scan, const Table* tables, const uint8_t* plain,
                                                 uint32_t border, uint32_t segment_end, Place place) {
    const uint32_t end = min(border + kQuarterBits, segment_end);
    if (border + place.over >= end) {
        // Only at the end of a segment: a symbol is shorter than a quarter.
        return Place{0, place.unit, place.k}.state(0);
    }
    Bits bits(plain, border + place.over);
    uint32_t blocks = 0;
    uint32_t unit = place.unit;
    uint32_t k = place.k;
    const Table* dc = tables + scan.unit[unit].dc;
    const Table* ac = tables + scan.unit[unit].ac;
    while (bits.bit < end) {
        const uint32_t next = bits.peek();
        const Symbol symbol = find_symbol(k == 0 ? *dc : *ac, next);
        const uint32_t size = symbol.value & 15;
        const uint32_t run = symbol.value >> 4;
        bits.skip(symbol.length == 0 ? 16 : symbol.length + size);
        // A DC symbol has no run; an AC symbol without bits ends the block unless it is a run of sixteen.
        k = k == 0 ? 1 : size != 0 ? k + run + 1 : run == 15 ? k + 16 : kBlock;
        if (k >= kBlock) {
            k = 0;
            ++blocks;
            unit = unit + 1 == scan.period ? 0 : unit + 1;
            dc = tables + scan.unit[unit].dc;
            ac = tables + scan.unit[unit].ac;
        }
    }
    const uint32_t over = bits.bit - border >= kQuarterBits ? bits.bit - border - kQuarterBits : 0;
    return Place{over, unit, k}.state(blocks);
}

// The states of a slot's quarters, and the state with which it was entered.
struct SlotStates {
    uint32_t entry;
    uint32_t quarter[kQuarters];
};

// Decodes a slot again from another entry, until it agrees with what is there. `fresh`: nothing is there yet.
__device__ __forceinline__ void walk_slot(const Scan& scan, const Table* tables, const uint8_t* plain,
                                          const Slot& slot, uint32_t entry, bool fresh, SlotStates& states) {
    states.entry = entry & kPlaceBits;
    Place place = Place::of(entry);
    bool agrees = false;
#pragma unroll
    for (uint32_t q = 0; q < kQuarters; ++q) {
        if (!agrees) {
            const uint32_t border = slot.begin + q * kQuarterBits;
            const uint32_t state = walk_quarter(scan, tables, plain, border, slot.segment_end, place);
            agrees = !fresh && ((state ^ states.quarter[q]) & kPlaceBits) == 0;
            states.quarter[q] = state;
            place = Place::of(state);
        }
    }
}

// Decodes the slots of a block until each begins where the one before it ends, in at most `kRepeats` turns.
constexpr uint32_t kRepeats = 24;

struct SyncInputs {
    const Scan* scans;
    uint32_t n;
    uint32_t slots;
    const uint32_t* starts;
    const uint32_t* status;
    const Table* tables;
    const uint8_t* plain;
};

__device__ __forceinline__ void synchronize_block(const SyncInputs& in, bool first_round, const uint32_t* exits_before,
                                                  SlotStates* all_states, uint32_t* exits) {
    __shared__ uint32_t shared_exits[kSlotThreads];
    const uint32_t index = blockIdx.x * kSlotThreads + threadIdx.x;
    Slot slot{0, kNoSegment, 0, 0, 0, 0};
    if (index < in.slots) {
        slot = find_slot(in.scans, in.n, in.starts, in.status, index);
    }
    const bool live = slot.segment != kNoSegment;
    const Scan& scan = in.scans[slot.scan];
    const uint8_t* plain = in.plain + scan.plain;
    SlotStates states{};
    if (live && first_round) {
        walk_slot(scan, in.tables, plain, slot, 0, true, states);
    } else if (live) {
        states = all_states[index];
    }
    for (uint32_t turn = 0; turn < kRepeats; ++turn) {
        shared_exits[threadIdx.x] = states.quarter[kQuarters - 1] & kPlaceBits;
        __syncthreads();
        uint32_t entry = states.entry;
        if (live && slot.number > 0) {
            if (threadIdx.x > 0) {
                entry = shared_exits[threadIdx.x - 1];
            } else if (!first_round) {
                entry = exits_before[blockIdx.x - 1];
            }
        }
        const bool changed = entry != states.entry;
        if (changed) {
            walk_slot(scan, in.tables, plain, slot, entry, false, states);
        }
        if (!__syncthreads_or(changed)) {
            break;
        }
    }
    if (index < in.slots) {
        all_states[index] = states;
    }
    if (threadIdx.x == kSlotThreads - 1) {
        exits[blockIdx.x] = states.quarter[kQuarters - 1] & kPlaceBits;
    }
}

// Notes the first slot of a segment that does not begin where the one before it ends: its complement, as zero is none.
__device__ __forceinline__ void check_slot(const SyncInputs& in, const SlotStates* states, uint32_t index,
                                           uint32_t* broken) {
    const Slot slot = find_slot(in.scans, in.n, in.starts, in.status, index);
    if (slot.segment == kNoSegment || slot.number == 0) {
        return;
    }
    const uint32_t exit = states[index - 1].quarter[kQuarters - 1] & kPlaceBits;
    if (states[index].entry != exit) {
        atomicMax(&broken[in.scans[slot.scan].first_segment + slot.segment], ~index);
    }
}

// Decodes what is left of a segment from its first broken slot on, one slot after the other.
__device__ __forceinline__ void repair_segment(const SyncInputs& in, uint32_t entry_index, SlotStates* states,
                                               const uint32_t* broken) {
    if (broken[entry_index] == 0) {
        return;
    }
    const uint32_t first = ~broken[entry_index];
    const Slot slot = find_slot(in.scans, in.n, in.starts, in.status, first);
    const Scan& scan = in.scans[slot.scan];
    Slot at = slot;
    for (uint32_t index = first; at.begin < slot.segment_end; ++index, at.begin += kSlotBits) {
        const uint32_t exit = states[index - 1].quarter[kQuarters - 1] & kPlaceBits;
        SlotStates own = states[index];
        if (own.entry != exit) {
            walk_slot(scan, in.tables, in.plain + scan.plain, at, exit, false, own);
            states[index] = own;
        }
    }
}

// Decodes a slot once more, from its true place, and writes coefficients: DC as differences.
__device__ __forceinline__ void write_slot(const SyncInputs& in, const SlotStates* states, const uint32_t* blocks_before,
                                           uint32_t index, const uint8_t* natural, uint32_t* status,
                                           int16_t* coefficients) {
    const Slot slot = find_slot(in.scans, in.n, in.starts, in.status, index);
    if (slot.segment == kNoSegment) {
        return;
    }
    const Scan& scan = in.scans[slot.scan];
    const uint32_t first_mcu = slot.segment * scan.segment_mcus;
    const uint32_t blocks = min(scan.segment_mcus, scan.mcus - first_mcu) * scan.units;
    uint32_t block = blocks_before[index] - blocks_before[slot.first];
    if (block >= blocks) {
        return;
    }
    const Place place = Place::of(slot.number == 0 ? 0 : states[index - 1].quarter[kQuarters - 1]);
    uint32_t k = place.k;
    uint32_t unit = block % scan.units;
    int16_t* out = coefficients + (static_cast<uint64_t>(scan.first_block) + first_mcu * scan.units + block) * kBlock;
    const uint32_t end = min(slot.begin + kSlotBits, slot.segment_end);
    bool regular = true;
    Bits bits(in.plain + scan.plain, slot.begin + place.over);
    while (bits.bit < end) {
        const uint32_t next = bits.peek();
        const Table& table = in.tables[k == 0 ? scan.unit[unit].dc : scan.unit[unit].ac];
        const Symbol symbol = find_symbol(table, next);
        const uint32_t size = symbol.value & 15;
        const uint32_t run = symbol.value >> 4;
        if (symbol.length == 0) {
            regular = false;
            break;
        }
        bits.skip(symbol.length + size);
        const int32_t value = extend(next, symbol.length, size);
        if (k == 0) {
            out[0] = static_cast<int16_t>(value);
            k = 1;
        } else if (size != 0) {
            k += run;
            if (k >= kBlock) {
                regular = false;
                break;
            }
            out[natural[k++]] = static_cast<int16_t>(value);
        } else {
            k = run == 15 ? k + 16 : kBlock;
        }
        if (bits.bit > slot.segment_end) {
            regular = false;
            break;
        }
        if (k >= kBlock) {
            k = 0;
            out += kBlock;
            unit = unit + 1 == scan.units ? 0 : unit + 1;
            if (++block == blocks) {
                // Whole bytes left over are a matter for the serial path.
                regular = slot.segment_end - bits.bit < 8;
                if (regular) {
                    atomicAdd(&status[slot.scan], 1u);
                }
                break;
            }
        }
    }
    if (!regular) {
        atomicOr(&status[slot.scan], kIrregular);
    }
}

}  // namespace jpeg
}  // namespace warpline
