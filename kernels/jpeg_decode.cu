// JPEG decode: a ragged batch of baseline, extended sequential and progressive files to RGB, bit for bit as libjpeg-turbo.
//
// Algorithm: destuffing (include/jpeg_destuff.cuh), self-synchronising Huffman decoding (jpeg_huffman.cuh), DC sums and
// the `islow` inverse DCT (jpeg_idct.cuh), upsampling and colour (jpeg_pixels.cuh). Sources are named there.
// Buffers: encoded, the files' bytes; scans, images and tables as the host laid them out (jpeg.cuh); what the stages
// hand on. Everything else is scratch of this operator.
// Nulls: a null row has no scan. Corrupt data: the scan is marked in `status`, its pixels mean nothing, and the host
// decodes the file by the serial path. Overflow: DC sums wrap to 16 bits, as libjpeg's coefficients do.
// Launch: one dimension; every stage is one grid over the whole batch, so the number of launches is fixed.
// Bytes for a byte of entropy-coded data: destuffing reads 2 and writes 1; decoding reads about 3 (once from a guess,
// once for what changes, once to write); for a pixel at 4:2:0: 3 of coefficients written and read, 1.5 of samples
// written and read, 3 of pixels written.
// Determinism: the decode that every thread ends with is the serial one; no result depends on the schedule.

#include "include/jpeg_destuff.cuh"
#include "include/jpeg_headers.cuh"
#include "include/jpeg_huffman.cuh"
#include "include/jpeg_idct.cuh"
#include "include/jpeg_pixels.cuh"
#include "include/jpeg_progressive.cuh"

using namespace warpline;

// Headers of files on the device, a warp for each, by how the column says where they are.
#define WARPLINE_JPEG_HEADERS(NAME, FILES, PLACE, DATA)                                                             \
    extern "C" __global__ void __launch_bounds__(jpeg::kHeaderThreads)                                              \
        jpeg_decode_headers_##NAME(const PLACE* places, const uint32_t* validity, const DATA* data, uint32_t n,     \
                                   uint32_t exif, jpeg::FileHeader* headers, uint8_t* slots) {                      \
        const uint32_t row = blockIdx.x * jpeg::kHeaderFiles + threadIdx.x / 32;                                    \
        const uint32_t lane = threadIdx.x % 32;                                                                     \
        if (row < n) {                                                                                              \
            jpeg::read_header(FILES{places, data}, validity, row, lane, exif != 0, headers, slots);                 \
        }                                                                                                           \
    }

WARPLINE_JPEG_HEADERS(i32, jpeg::OffsetFiles<int32_t>, int32_t, uint8_t)
WARPLINE_JPEG_HEADERS(i64, jpeg::OffsetFiles<int64_t>, int64_t, uint8_t)
WARPLINE_JPEG_HEADERS(views, jpeg::ViewFiles, uint32_t, uint64_t)

// Lookup tables from the files' tables, one block each.
extern "C" __global__ void __launch_bounds__(128)
    jpeg_decode_tables(const jpeg::TableSpec* specs, jpeg::Table* tables) {
    jpeg::derive_table(specs[blockIdx.x], &tables[blockIdx.x]);
}

// What every tile keeps.
extern "C" __global__ void __launch_bounds__(jpeg::kTileThreads)
    jpeg_decode_count(const jpeg::Scan* scans, uint32_t n, const uint8_t* encoded, jpeg::TileCount* counts) {
    const uint32_t number =
        owner(scans, n, blockIdx.x, [](const jpeg::Scan& scan) { return scan.first_tile; });
    const jpeg::Scan& scan = scans[number];
    jpeg::count_tile(scan, encoded, blockIdx.x - scan.first_tile, &counts[blockIdx.x]);
}

// What lies before every tile, and whether the scan ends as it should. One block for each scan.
extern "C" __global__ void __launch_bounds__(jpeg::kTileThreads)
    jpeg_decode_tiles(const jpeg::Scan* scans, const uint8_t* encoded, const jpeg::TileCount* counts,
                      jpeg::TileBase* bases, uint8_t* plain, uint32_t* starts, uint32_t* status) {
    const jpeg::Scan& scan = scans[blockIdx.x];
    jpeg::sum_tiles(scan, encoded, counts + scan.first_tile, bases + scan.first_tile, plain,
                    starts + scan.first_segment, &status[blockIdx.x]);
}

// The data without stuffing, and where segments start.
extern "C" __global__ void __launch_bounds__(jpeg::kTileThreads)
    jpeg_decode_destuff(const jpeg::Scan* scans, uint32_t n, const uint8_t* encoded, const jpeg::TileCount* counts,
                        const jpeg::TileBase* bases, uint8_t* plain, uint32_t* starts, uint32_t* status) {
    const uint32_t number =
        owner(scans, n, blockIdx.x, [](const jpeg::Scan& scan) { return scan.first_tile; });
    const jpeg::Scan& scan = scans[number];
    jpeg::write_tile(scan, encoded, blockIdx.x - scan.first_tile, counts[blockIdx.x], bases[blockIdx.x], plain,
                     starts + scan.first_segment, &status[number]);
}

// One round of synchronisation; the first decodes every slot from a guess.
extern "C" __global__ void __launch_bounds__(jpeg::kSlotThreads)
    jpeg_decode_synchronize(const jpeg::Scan* scans, uint32_t n, uint32_t slots, const uint32_t* starts,
                            const uint32_t* status, const jpeg::Table* tables, const uint8_t* plain,
                            const uint32_t* exits_before, jpeg::SlotStates* states, uint32_t* exits) {
    const jpeg::SyncInputs in{scans, n, slots, starts, status, tables, plain};
    jpeg::synchronize_block(in, exits_before == nullptr, exits_before, states, exits);
}

// Finds segments that are not synchronised.
extern "C" __global__ void __launch_bounds__(jpeg::kSlotThreads)
    jpeg_decode_check(const jpeg::Scan* scans, uint32_t n, uint32_t slots, const uint32_t* starts,
                      const uint32_t* status, const jpeg::SlotStates* states, uint32_t* broken) {
    const uint32_t index = blockIdx.x * jpeg::kSlotThreads + threadIdx.x;
    if (index < slots) {
        jpeg::check_slot({scans, n, slots, starts, status, nullptr, nullptr}, states, index, broken);
    }
}

// Decodes those serially.
extern "C" __global__ void __launch_bounds__(jpeg::kSlotThreads)
    jpeg_decode_repair(const jpeg::Scan* scans, uint32_t n, uint32_t slots, const uint32_t* starts,
                       const uint32_t* status, const jpeg::Table* tables, const uint8_t* plain,
                       const uint32_t* broken, uint32_t entries, jpeg::SlotStates* states) {
    const uint32_t entry = blockIdx.x * jpeg::kSlotThreads + threadIdx.x;
    if (entry < entries) {
        jpeg::repair_segment({scans, n, slots, starts, status, tables, plain}, entry, states, broken);
    }
}

// Blocks completed before every slot.
extern "C" __global__ void __launch_bounds__(jpeg::kTileThreads)
    jpeg_decode_blocks(uint32_t slots, const jpeg::SlotStates* states, uint32_t* blocks_before, ScanScratch* scratch) {
    const uint32_t tile = take_tile(scratch);
    const uint32_t index = tile * jpeg::kTileThreads + threadIdx.x;
    uint32_t blocks = 0;
    if (index < slots) {
#pragma unroll
        for (uint32_t q = 0; q < jpeg::kQuarters; ++q) {
            blocks += jpeg::blocks_of(states[index].quarter[q]);
        }
    }
    uint32_t total;
    const uint32_t below = block_exclusive_sum<uint32_t, jpeg::kTileThreads>(blocks, &total);
    const uint64_t prefix = block_tile_prefix(scratch, tile, total);
    if (index < slots) {
        blocks_before[index] = static_cast<uint32_t>(prefix) + below;
    }
}

// Coefficients, DC as differences.
extern "C" __global__ void __launch_bounds__(jpeg::kSlotThreads)
    jpeg_decode_coefficients(const jpeg::Scan* scans, uint32_t n, uint32_t slots, const uint32_t* starts,
                             const jpeg::Table* tables, const uint8_t* plain, const jpeg::SlotStates* states,
                             const uint32_t* blocks_before, uint32_t* status, int16_t* coefficients) {
    __shared__ uint8_t natural[jpeg::kBlock];
    if (threadIdx.x < jpeg::kBlock) {
        natural[threadIdx.x] = jpeg::kNatural[threadIdx.x];
    }
    __syncthreads();
    const uint32_t index = blockIdx.x * jpeg::kSlotThreads + threadIdx.x;
    if (index < slots) {
        jpeg::write_slot({scans, n, slots, starts, status, tables, plain}, states, blocks_before, index, natural,
                         status, coefficients);
    }
}

// Coefficients of progressive images, a thread for each chain of scans. `chains` holds where each begins in `members`, and
// where the last ends; a member is a scan.
extern "C" __global__ void __launch_bounds__(jpeg::kChainThreads)
    jpeg_decode_progressive(const jpeg::Scan* scans, const uint32_t* chains, uint32_t n, const uint32_t* members,
                            const uint32_t* starts, const jpeg::Table* tables, const uint8_t* plain, uint32_t* status,
                            int16_t* coefficients) {
    __shared__ uint8_t natural[jpeg::kBlock];
    for (uint32_t i = threadIdx.x; i < jpeg::kBlock; i += blockDim.x) {
        natural[i] = jpeg::kNatural[i];
    }
    __syncthreads();
    const uint32_t chain = blockIdx.x * jpeg::kChainThreads + threadIdx.x;
    if (chain >= n) {
        return;
    }
    for (uint32_t i = chains[chain]; i < chains[chain + 1]; ++i) {
        const uint32_t number = members[i];
        if ((status[number] & jpeg::kIrregular) != 0) {
            return;
        }
        const jpeg::Scan& scan = scans[number];
        jpeg::progressive_scan(scan, tables, natural, plain, starts + scan.first_segment, &status[number],
                               coefficients);
    }
}

// DC differences before every MCU of a tile, and of the tile.
extern "C" __global__ void __launch_bounds__(jpeg::kMcuThreads)
    jpeg_decode_differences(const jpeg::Scan* scans, uint32_t n, uint32_t mcus, const int16_t* coefficients,
                            uint64_t* local, uint64_t* tiles) {
    const uint32_t mcu = blockIdx.x * jpeg::kMcuThreads + threadIdx.x;
    uint64_t own = 0;
    if (mcu < mcus) {
        const uint32_t number = owner(scans, n, mcu, [](const jpeg::Scan& scan) { return scan.first_mcu; });
        own = jpeg::mcu_difference(scans[number], mcu - scans[number].first_mcu, coefficients);
    }
    uint64_t total;
    const uint64_t below = jpeg::block_exclusive_lanes(own, &total);
    if (mcu < mcus) {
        local[mcu] = below;
    }
    if (threadIdx.x == 0) {
        tiles[blockIdx.x] = total;
    }
}

// DC differences before every tile, in place. One block.
extern "C" __global__ void __launch_bounds__(jpeg::kMcuThreads)
    jpeg_decode_predictors(uint32_t n, uint64_t* tiles) {
    uint64_t before = 0;
    for (uint32_t first = 0; first < n; first += jpeg::kMcuThreads) {
        const uint32_t tile = first + threadIdx.x;
        const uint64_t own = tile < n ? tiles[tile] : 0;
        uint64_t total;
        const uint64_t below = jpeg::block_exclusive_lanes(own, &total);
        if (tile < n) {
            tiles[tile] = jpeg::add_lanes(before, below);
        }
        before = jpeg::add_lanes(before, total);
    }
}

// Samples.
extern "C" __global__ void __launch_bounds__(jpeg::kIdctBlocks * 8)
    jpeg_decode_samples(const jpeg::Scan* scans, uint32_t n, uint32_t blocks, const uint16_t* quants,
                        const uint64_t* local, const uint64_t* tiles, const int16_t* coefficients, uint8_t* planes) {
    jpeg::transform_blocks({scans, n, blocks, quants, local, tiles}, coefficients, blockIdx.x * jpeg::kIdctBlocks,
                           planes);
}

// Pixels.
extern "C" __global__ void __launch_bounds__(jpeg::kPixelThreads)
    jpeg_decode_pixels(const jpeg::Image* images, uint32_t n, const uint8_t* planes, uint8_t* pixels) {
    const uint32_t number =
        owner(images, n, blockIdx.x, [](const jpeg::Image& image) { return image.first_block; });
    jpeg::make_pixels(images[number], planes, pixels);
}
