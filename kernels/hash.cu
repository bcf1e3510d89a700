// Hash: a hash of each row over any number of key columns, in one launch.
//
// Algorithm: a thread a row; include/hash.cuh has the hashes and their sources, include/keys.cuh how values are read.
// Buffers: table, a KeyColumn for each column and the addresses of views' data buffers behind them; out, n hashes of 8
// bytes, or of 4 for the schemes of murmur3; out_validity (may be null), a bitmap that is written whole.
// Nulls: a null key leaves the hash so far as it is, but in libcudf's scheme; a row of out_validity is valid when one of its keys is. NaN: as the
// scheme has it. Overflow: all arithmetic is modulo 2^32 or 2^64.
// Launch: 256 threads, grid-stride.
// Bytes per row: each key's value and 1/8 of validity, and 8 or 4 written.
// Determinism: every output is a function of its row.

#include <cstdint>

#include "include/bits.cuh"
#include "include/grid.cuh"
#include "include/hash.cuh"

namespace {

using warpline::KeyColumn;
using warpline::Scheme;

struct Policy {
    static constexpr int kThreads = 256;
};

}  // namespace

extern "C" __global__ void __launch_bounds__(Policy::kThreads)
    hash_rows(const KeyColumn* __restrict__ table, uint32_t columns, uint32_t scheme, uint64_t n, void* out,
              uint32_t* __restrict__ out_validity) {
    const auto by = static_cast<Scheme>(scheme);
    const bool narrow = by == Scheme::kSparkMurmur3 || by == Scheme::kIceberg || by == Scheme::kCudf;
    // Lanes of a warp stay together to the last word of the bitmap.
    for (uint64_t word = warpline::grid_thread() & ~31ull; word < n; word += warpline::grid_threads()) {
        const uint64_t row = word + warpline::lane_id();
        bool any = false;
        if (row < n) {
            const uint64_t hash = warpline::hash_row(by, table, columns, row, &any);
            if (narrow) {
                static_cast<uint32_t*>(out)[row] = static_cast<uint32_t>(hash);
            } else {
                static_cast<uint64_t*>(out)[row] = hash;
            }
        }
        if (out_validity != nullptr) {
            const uint32_t valid = __ballot_sync(warpline::kFullWarp, any);
            if (warpline::lane_id() == 0) {
                out_validity[word / 32] = valid;
            }
        }
    }
}
