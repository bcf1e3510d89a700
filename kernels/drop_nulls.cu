// Drop nulls: the mask of the rows in which no column is null, in one launch; filter.cu then takes it.
//
// Algorithm: a thread a row, and a ballot makes a word of the mask. include/keys.cuh says where a row is null: by its
// column's bitmap, or by that of its dictionary.
// Buffers: table, a KeyColumn for each column; mask, a bitmap that is written whole.
// Nulls: a column without bitmaps has none, one of type Null has nothing else. NaN and overflow: nothing is computed.
// Launch: 256 threads, grid-stride.
// Bytes per row: 1/8 for each bitmap, a dictionary's keys; 1/8 written.
// Determinism: every word is a function of its rows.

#include <cstdint>

#include "include/bits.cuh"
#include "include/grid.cuh"
#include "include/keys.cuh"

namespace {

struct Policy {
    static constexpr int kThreads = 256;
};

}  // namespace

extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    drop_nulls_mask(const warpline::KeyColumn* __restrict__ table, uint32_t columns, uint64_t n,
                    uint32_t* __restrict__ mask) {
    // Lanes of a warp stay together to the last word of the bitmap.
    for (uint64_t word = warpline::grid_thread() & ~31ull; word < n; word += warpline::grid_threads()) {
        const uint64_t row = word + warpline::lane_id();
        bool valid = row < n;
        for (uint32_t column = 0; column < columns && valid; ++column) {
            uint64_t at;
            valid = warpline::find_key(table[column], row, &at);
        }
        const uint32_t bits = __ballot_sync(warpline::kFullWarp, valid);
        if (warpline::lane_id() == 0) {
            mask[word / 32] = bits;
        }
    }
}
