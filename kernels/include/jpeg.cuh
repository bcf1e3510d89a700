// What the stages of JPEG decoding share: descriptors that the host writes, and the sizes of their work units.
//
// The host parses headers and lays everything out; a batch is one array of scans and one of images, and every stage is
// one grid over the whole batch. A scan that turns out to break the format is marked in `status`; the later stages
// pass over it, and the host decodes that image by the serial path.
#pragma once

#include <cstdint>

#include "grid.cuh"

namespace warpline {
namespace jpeg {

constexpr uint32_t kMaxUnits = 10;       // blocks in an MCU
constexpr uint32_t kMaxComponents = 4;
constexpr uint32_t kSlotBytes = 128;     // a subsequence: 1,024 bits
constexpr uint32_t kSlotBits = kSlotBytes * 8;
constexpr uint32_t kTileBytes = 4096;    // entropy-coded bytes that a block destuffs
constexpr uint32_t kBlock = 64;          // coefficients

// A scan's status counts the segments that ended as they should; this bit says that something was not as it should be.
constexpr uint32_t kIrregular = 1u << 31;

// A block of the MCU.
struct Unit {
    uint8_t component;
    uint8_t dx;  // where in the MCU, in blocks
    uint8_t dy;
    uint8_t unused;
    uint16_t dc;  // Huffman tables
    uint16_t ac;
};

// A component of a scan: where its blocks go. In a progressive scan that is into the coefficients: `plane` is the
// component's first block and `stride` counts blocks.
struct ScanComponent {
    uint64_t plane;     // first byte in the planes
    uint32_t stride;    // bytes from row to row: 8 x the real blocks
    uint32_t blocks_x;  // real blocks; others complete the last MCU and are dropped
    uint32_t blocks_y;
    uint16_t quant;     // quantisation table
    uint8_t step_x;     // blocks from one MCU to the next
    uint8_t step_y;
};

// Bits of a scan's flags.
constexpr uint8_t kRestarts = 1;  // restart markers are expected
constexpr uint8_t kFinished = 2;  // no data: the coefficients of a component that other scans make, DC values included

// One scan, 240 bytes. Progressive ones have neither slots nor blocks.
struct Scan {
    uint64_t raw;             // first entropy-coded byte in the encoded bytes, modulo 2^64
    uint64_t plain;           // first byte of its destuffed data
    uint32_t raw_len;         // up to the end of what may belong to it, its end marker included
    uint32_t first_tile;      // of the destuffing grid
    uint32_t first_slot;
    uint32_t first_segment;   // in the array of segment starts, which has one more entry than segments for each scan
    uint32_t segments;        // that restarts make
    uint32_t segment_mcus;    // MCUs of each but the last
    uint32_t mcus;
    uint32_t mcus_x;
    uint32_t first_mcu;
    uint32_t first_block;     // of its coefficients
    uint8_t units;
    uint8_t period;           // units i and i + period use equal tables
    uint8_t end_marker;       // the marker that must end it
    uint8_t flags;
    uint8_t band_start;       // of a progressive scan: its coefficients
    uint8_t band_end;
    uint8_t high;             // the bit before those that it codes, 0 in a first scan
    uint8_t low;
    Unit unit[kMaxUnits];
    ScanComponent component[kMaxComponents];
};
static_assert(sizeof(Scan) == 240, "the host writes these field by field");

// How a component reaches the full size.
enum Filter : uint8_t {
    kCopy = 0,
    kFancy2x1 = 1,
    kFancy1x2 = 2,
    kFancy2x2 = 3,
    kReplicate = 4,
};

// A component of an image: where its samples are.
struct Plane {
    uint64_t samples;
    uint32_t stride;
    uint32_t width;   // real samples
    uint32_t height;
    uint8_t filter;
    uint8_t ratio_x;  // pixels for a sample
    uint8_t ratio_y;
    uint8_t unused;
};

enum Model : uint8_t {
    kGray = 0,
    kYCbCr = 1,
    kRgb = 2,
    kCmyk = 3,
    kYcck = 4,
};

// One image, 120 bytes.
struct Image {
    uint64_t pixels;       // first byte of its RGB rows
    uint32_t width;        // as coded, before it is turned
    uint32_t height;
    uint32_t first_block;  // of the grid that makes pixels
    uint8_t model;
    uint8_t components;
    uint8_t orientation;   // 1 to 8 as in EXIF
    uint8_t unused;
    Plane plane[kMaxComponents];
};
static_assert(sizeof(Image) == 120, "the host writes these field by field");

// A Huffman table as the file gives it.
struct TableSpec {
    uint8_t counts[16];  // codes of each length from 1 on
    uint8_t symbols[256];
};

constexpr uint32_t kLook = 10;  // bits that the table looks at

// A Huffman table ready for decoding. An entry of `look` is symbol << 8 | length, or 0 for a longer or no code.
struct Table {
    uint16_t look[1 << kLook];
    int32_t max_code[18];  // largest code of each length, -1 for none
    int32_t offset[18];    // index of the first symbol of a length, minus its code
    uint8_t symbols[256];
};
static_assert(sizeof(Table) == 2448, "the host allocates them");

}  // namespace jpeg
}  // namespace warpline
