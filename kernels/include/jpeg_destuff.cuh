// Destuffing: entropy-coded data without the zero bytes behind FF and without restart markers.
//
// Three launches: count what every tile keeps, sum the tiles of each scan, write. A scan ends at its first marker that is
// no restart. Segments, the data between restarts, follow each other without gaps; `starts` says where each begins.
//
// Slots, the subsequences that are decoded in parallel, are laid out without knowing the segments' lengths: the first
// slot of segment s is start / kSlotBytes + s, which leaves each segment room enough, as (a + n) / k + 1 >=
// a / k + ceil(n / k).
#pragma once

#include <cstdint>

#include "jpeg.cuh"
#include "scan.cuh"

namespace warpline {
namespace jpeg {

constexpr uint32_t kTileThreads = 256;
constexpr uint32_t kThreadBytes = kTileBytes / kTileThreads;
constexpr uint32_t kNone = 0xffffffffu;

// What a tile holds before its end marker, if it has one.
struct TileCount {
    uint32_t kept;
    uint32_t restarts;
    uint32_t end;  // offset in the scan of the FF of the end marker, or kNone
};

// What lies before a tile in its scan; both are kNone for a tile behind the end.
struct TileBase {
    uint32_t kept;
    uint32_t restarts;
};

// What a byte is.
enum Role { kData, kDropped, kRestart, kEnd };

// The bytes of a thread, with one on either side. They are packed, so that they take five registers.
struct Window {
    uint32_t first;  // offset in the scan
    uint32_t count;  // bytes of it
    uint32_t words[kThreadBytes / 4 + 1];

    // Byte `i`; 0 is the one before the thread's first.
    __device__ __forceinline__ uint32_t byte(uint32_t i) const { return words[i / 4] >> (8 * (i % 4)) & 0xff; }
    __device__ __forceinline__ void put(uint32_t i, uint32_t byte) { words[i / 4] |= byte << (8 * (i % 4)); }

    // The byte at `i` of the thread's. A restart is seen at its FF; its second byte is dropped.
    __device__ __forceinline__ Role role(const Scan& scan, uint32_t i) const {
        const uint32_t before = byte(i);
        const uint32_t own = byte(i + 1);
        const uint32_t after = byte(i + 2);
        if (own == 0xff) {
            const bool last = first + i + 1 >= scan.raw_len;
            if (!last && after == 0) {
                return kData;
            }
            return !last && (scan.flags & kRestarts) != 0 && (after & 0xf8) == 0xd0 ? kRestart : kEnd;
        }
        const bool second = before == 0xff && (own == 0 || (own & 0xf8) == 0xd0);
        return second ? kDropped : kData;
    }
};

// Reads the thread's part of a tile. The byte before a scan's first is no FF to it.
__device__ __forceinline__ Window read_window(const Scan& scan, const uint8_t* encoded, uint32_t tile) {
    Window window{};
    window.first = tile * kTileBytes + threadIdx.x * kThreadBytes;
    window.count = window.first < scan.raw_len ? min(kThreadBytes, scan.raw_len - window.first) : 0;
    const uint8_t* raw = encoded + scan.raw + window.first;
    window.put(0, window.first > 0 && window.count > 0 ? raw[-1] : 0);
#pragma unroll
    for (uint32_t i = 0; i <= kThreadBytes; ++i) {
        window.put(i + 1, i < window.count || (i == window.count && window.first + i < scan.raw_len) ? raw[i] : 0);
    }
    return window;
}

// Counts a thread's kept bytes (low half) and restarts (high half) before `end`.
__device__ __forceinline__ uint64_t count_window(const Scan& scan, const Window& window, uint32_t end) {
    uint32_t kept = 0;
    uint32_t restarts = 0;
#pragma unroll
    for (uint32_t i = 0; i < kThreadBytes; ++i) {
        if (i < window.count && window.first + i < end) {
            const Role role = window.role(scan, i);
            kept += role == kData;
            restarts += role == kRestart;
        }
    }
    return static_cast<uint64_t>(restarts) << 32 | kept;
}

// The offset in the scan of the first end marker that a thread of the block sees; kNone without one.
__device__ __forceinline__ uint32_t block_end(const Scan& scan, const Window& window) {
    __shared__ uint32_t found;
    if (threadIdx.x == 0) {
        found = kNone;
    }
    __syncthreads();
    uint32_t own = kNone;
#pragma unroll
    for (uint32_t i = 0; i < kThreadBytes; ++i) {
        if (i < window.count && window.role(scan, i) == kEnd) {
            own = min(own, window.first + i);
        }
    }
    if (own != kNone) {
        atomicMin(&found, own);
    }
    __syncthreads();
    return found;
}

__device__ __forceinline__ void count_tile(const Scan& scan, const uint8_t* encoded, uint32_t tile, TileCount* out) {
    const Window window = read_window(scan, encoded, tile);
    const uint32_t end = block_end(scan, window);
    uint64_t total;
    block_exclusive_sum<uint64_t, kTileThreads>(count_window(scan, window, end), &total);
    if (threadIdx.x == 0) {
        *out = {static_cast<uint32_t>(total), static_cast<uint32_t>(total >> 32), end};
    }
}

// Sums the tiles of a scan and checks its end.
__device__ __forceinline__ void sum_tiles(const Scan& scan, const uint8_t* encoded, const TileCount* counts,
                                          TileBase* bases, uint8_t* plain, uint32_t* starts, uint32_t* status) {
    __shared__ uint32_t chunk_end;
    if ((scan.flags & kFinished) != 0) {
        if (threadIdx.x == 0) {
            *status = 0;
        }
        return;
    }
    const uint32_t tiles = (scan.raw_len + kTileBytes - 1) / kTileBytes;
    uint64_t before = 0;
    uint32_t end = kNone;
    for (uint32_t first = 0; first < tiles; first += kTileThreads) {
        const uint32_t tile = first + threadIdx.x;
        if (threadIdx.x == 0) {
            chunk_end = kNone;
        }
        __syncthreads();
        const TileCount count = tile < tiles ? counts[tile] : TileCount{0, 0, kNone};
        if (count.end != kNone) {
            atomicMin(&chunk_end, count.end);
        }
        __syncthreads();
        // Tiles behind the one with the end hold nothing.
        const bool live = tile < tiles && end == kNone && tile * kTileBytes <= chunk_end;
        const uint64_t own = live ? static_cast<uint64_t>(count.restarts) << 32 | count.kept : 0;
        uint64_t total;
        const uint64_t base = before + block_exclusive_sum<uint64_t, kTileThreads>(own, &total);
        if (tile < tiles) {
            bases[tile] = live ? TileBase{static_cast<uint32_t>(base), static_cast<uint32_t>(base >> 32)}
                               : TileBase{kNone, kNone};
        }
        before += total;
        end = min(end, chunk_end);
        __syncthreads();
    }
    const uint32_t kept = static_cast<uint32_t>(before);
    const uint32_t restarts = static_cast<uint32_t>(before >> 32);
    const bool regular = end != kNone && end + 1 < scan.raw_len && encoded[scan.raw + end + 1] == scan.end_marker &&
                         restarts + 1 == scan.segments;
    if (threadIdx.x == 0) {
        starts[0] = 0;
        starts[scan.segments] = kept;
        *status = regular ? 0 : kIrregular;
    }
    // Decoding looks up to 27 bytes ahead.
    if (threadIdx.x < 32) {
        plain[scan.plain + kept + threadIdx.x] = 0;
    }
}

__device__ __forceinline__ void write_tile(const Scan& scan, const uint8_t* encoded, uint32_t tile,
                                           const TileCount& count, const TileBase& base, uint8_t* plain,
                                           uint32_t* starts, uint32_t* status) {
    if (base.kept == kNone || (*status & kIrregular) != 0) {
        return;
    }
    const Window window = read_window(scan, encoded, tile);
    uint64_t total;
    const uint64_t below =
        block_exclusive_sum<uint64_t, kTileThreads>(count_window(scan, window, count.end), &total);
    uint32_t kept = base.kept + static_cast<uint32_t>(below);
    uint32_t restarts = base.restarts + static_cast<uint32_t>(below >> 32);
    uint8_t* out = plain + scan.plain;
#pragma unroll
    for (uint32_t i = 0; i < kThreadBytes; ++i) {
        if (i >= window.count || window.first + i >= count.end) {
            break;
        }
        const Role role = window.role(scan, i);
        if (role == kData) {
            out[kept++] = static_cast<uint8_t>(window.byte(i + 1));
        } else if (role == kRestart) {
            if (window.byte(i + 2) != (0xd0 | (restarts & 7))) {
                atomicOr(status, kIrregular);
            }
            starts[++restarts] = kept;
        }
    }
}

}  // namespace jpeg
}  // namespace warpline
