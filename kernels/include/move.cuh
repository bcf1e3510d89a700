// What filter and gather know of a column that they move: pointers and a width, never a type. The host fills a table of
// these in device memory, one entry a column, and launches one row of blocks (grid.y) for each.
#pragma once

#include <cstdint>

#include "bits.cuh"

namespace warpline {

// How wide the units are that a row's values consist of.
enum MoveKind : uint32_t {
    kMoveNothing = 0,  // validity alone
    kMoveBits = 1,
    kMoveU8 = 2,
    kMoveU16 = 3,
    kMoveU32 = 4,
    kMoveU64 = 5,
    kMoveU128 = 6,
    kMoveRowNumbers = 7,  // no input: the output is the source row's number as u32
};

// A row's values are `units` units of `kind`. A null `validity` means that all rows are valid; a null `out_validity`
// that the output's validity is not wanted.
struct MoveColumn {
    const void* values;
    const uint32_t* validity;
    void* out;
    uint32_t* out_validity;
    uint32_t kind;
    uint32_t units;
};
static_assert(sizeof(MoveColumn) == 40, "the host writes these as five 8-byte words");

// A pointer out of a table, which the compiler could not otherwise know to point to global memory.
template <typename T>
__device__ __forceinline__ T* global(T* pointer) {
    __builtin_assume(__isGlobal(pointer));
    return pointer;
}

// A column of the table, its pointers known to be global.
__device__ __forceinline__ MoveColumn read_column(const MoveColumn* columns, uint32_t i) {
    MoveColumn column = columns[i];
    column.values = global(column.values);
    column.validity = global(column.validity);
    column.out = global(column.out);
    column.out_validity = global(column.out_validity);
    return column;
}

// Sixteen bytes that move as one.
struct alignas(16) U128 {
    uint32_t parts[4];
};

// Row of a null index.
constexpr uint32_t kNoSource = 0xffffffffu;

}  // namespace warpline
