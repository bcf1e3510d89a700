// Headers of files that are only on the device: what the host's parser needs of each goes into a slot of 2 KB, so that
// no pixels, thumbnails or profiles cross. What is out of the ordinary is left to the host, which then asks for the file.
#pragma once

#include <cstdint>

#include "bits.cuh"

namespace warpline {
namespace jpeg {

constexpr uint32_t kHeaderSlot = 2048;
constexpr uint32_t kHeaderThreads = 64;
constexpr uint32_t kMaxMarkers = 256;  // of a header; more are out of the ordinary
constexpr uint32_t kNullRow = 0xffffffffu;

// Where a file is, and what was found: 24 bytes.
struct FileHeader {
    uint64_t start;
    uint32_t len;
    uint32_t scan;  // where its entropy-coded data begin, or kNullRow
    uint32_t kept;  // bytes in its slot; 0: the host needs the whole file
    uint32_t buffer;  // of the column's, in which `start` counts
};
static_assert(sizeof(FileHeader) == 24, "the host reads these word by word");

enum class Segment { kKeep, kDrop, kLast, kStrange };

// What becomes of a segment with this marker and `size` bytes behind it, its length field included. Pillow's parser looks
// into profiles that are cut short and into Photoshop's resources, and only there can dropped segments make it refuse.
__device__ __forceinline__ Segment classify(const uint8_t* body, uint8_t marker, uint32_t size, bool exif) {
    switch (marker) {
        case 0xda: return Segment::kLast;
        case 0xc0:
        case 0xc1:
        case 0xc4:
        case 0xdb:
        case 0xdd:
        case 0xe0:
        case 0xee: return Segment::kKeep;
        case 0xe1: return exif ? Segment::kKeep : Segment::kDrop;
        case 0xe2: return size < 16 ? Segment::kStrange : Segment::kDrop;
        case 0xed: return size >= 3 && body[2] == 'P' ? Segment::kStrange : Segment::kDrop;
        case 0xfe: return Segment::kDrop;
        default: return marker > 0xe2 && marker < 0xf0 ? Segment::kDrop : Segment::kStrange;
    }
}

// Copies the segments of a file that matter, up to its first scan, and returns their bytes; 0 for a strange file.
__device__ __forceinline__ uint32_t copy_header(const uint8_t* file, uint32_t len, bool exif, uint8_t* slot,
                                                uint32_t* scan) {
    if (len < 4 || file[0] != 0xff || file[1] != 0xd8 || file[2] != 0xff) {
        return 0;
    }
    slot[0] = 0xff;
    slot[1] = 0xd8;
    uint32_t kept = 2;
    uint32_t at = 2;
    for (uint32_t markers = 0; markers < kMaxMarkers && at + 4 <= len && file[at] == 0xff; ++markers) {
        const uint8_t marker = file[at + 1];
        const uint32_t size = static_cast<uint32_t>(file[at + 2]) << 8 | file[at + 3];
        if (size < 2 || size > len - at - 2) {
            return 0;
        }
        const Segment segment = classify(file + at + 2, marker, size, exif);
        if (segment == Segment::kStrange) {
            return 0;
        }
        if (segment != Segment::kDrop) {
            if (kept + 2 + size > kHeaderSlot) {
                return 0;
            }
            for (uint32_t i = 0; i < 2 + size; ++i) {
                slot[kept++] = file[at + i];
            }
        }
        at += 2 + size;
        if (segment == Segment::kLast) {
            *scan = at;
            return kept;
        }
    }
    return 0;
}

// A file in one of the column's buffers.
struct File {
    const uint8_t* bytes;
    uint64_t start;
    uint64_t len;
    uint32_t buffer;
};

// A column of offsets, then bytes.
template <typename Offset>
struct OffsetFiles {
    const Offset* offsets;
    const uint8_t* data;

    __device__ __forceinline__ File file(uint32_t row) const {
        const uint64_t start = static_cast<uint64_t>(offsets[row]);
        return {data + start, start, static_cast<uint64_t>(offsets[row + 1]) - start, 1};
    }
};

// A column of views; `addresses` are those of all its buffers. Files of up to 12 bytes lie in the views themselves.
struct ViewFiles {
    const uint32_t* views;
    const uint64_t* addresses;

    __device__ __forceinline__ File file(uint32_t row) const {
        const uint32_t* view = views + 4 * static_cast<uint64_t>(row);
        const uint32_t len = view[0];
        if (len <= 12) {
            return {reinterpret_cast<const uint8_t*>(view + 1), 16 * static_cast<uint64_t>(row) + 4, len, 0};
        }
        const uint32_t buffer = 1 + view[2];
        return {reinterpret_cast<const uint8_t*>(addresses[buffer]) + view[3], view[3], len, buffer};
    }
};

template <typename Files>
__device__ __forceinline__ void read_header(const Files& files, const uint32_t* validity, uint32_t row, bool exif,
                                            FileHeader* headers, uint8_t* slots) {
    FileHeader header{0, 0, kNullRow, 0, 0};
    if (validity == nullptr || bit_at(validity, row)) {
        const File file = files.file(row);
        header = {file.start, static_cast<uint32_t>(file.len), 0, 0, file.buffer};
        // Files of 4 GB and more are refused by the host.
        if (file.len < kNullRow) {
            uint8_t* slot = slots + static_cast<uint64_t>(row) * kHeaderSlot;
            header.kept = copy_header(file.bytes, header.len, exif, slot, &header.scan);
        } else {
            header.len = kNullRow;
        }
    }
    headers[row] = header;
}

}  // namespace jpeg
}  // namespace warpline
