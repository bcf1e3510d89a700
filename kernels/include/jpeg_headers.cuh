// Headers of files that are only on the device: what the host's parser needs of each goes into a slot of 2 KB, so that
// no pixels, thumbnails or profiles cross. What is out of the ordinary is left to the host, which then asks for the file.
// A warp walks a file: its lanes copy segments, and look together for the end of a scan where others follow.
//
// A slot begins with the segments kept, the entropy-coded data between them left out; from its end backwards it has two
// words for each scan, where its data begin and end in the file.
#pragma once

#include <cstdint>

#include "bits.cuh"

namespace warpline {
namespace jpeg {

constexpr uint32_t kHeaderSlot = 2048;
constexpr uint32_t kHeaderThreads = 128;
constexpr uint32_t kHeaderFiles = kHeaderThreads / 32;  // of a block
constexpr uint32_t kMaxMarkers = 256;  // of a file; more are out of the ordinary
constexpr uint32_t kScanStep = 8;      // bytes that a lane looks at in one step
constexpr uint32_t kNoEnd = 0xffffffffu;
constexpr uint32_t kNullRow = 0xffffffffu;

// Where a file is, and what was found: 24 bytes.
struct FileHeader {
    uint64_t start;
    uint32_t len;
    uint32_t scans;   // or kNullRow
    uint32_t kept;    // bytes of segments in its slot; 0: the host needs the whole file
    uint32_t buffer;  // of the column's, in which `start` counts
};
static_assert(sizeof(FileHeader) == 24, "the host reads these word by word");

enum class Segment { kKeep, kDrop, kScan, kStrange };

// What becomes of a segment with this marker and `size` bytes behind it, its length field included. Pillow's parser looks
// into profiles that are cut short and into Photoshop's resources, and only there can dropped segments make it refuse.
__device__ __forceinline__ Segment classify(const uint8_t* body, uint8_t marker, uint32_t size, bool exif) {
    switch (marker) {
        case 0xda: return Segment::kScan;
        case 0xc0:
        case 0xc1:
        case 0xc2:
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

// Where the marker is that ends the scan whose data begin at `at`, kNoEnd where none is.
__device__ __forceinline__ uint32_t end_of_scan(const uint8_t* file, uint32_t len, uint32_t at, bool restarts,
                                                uint32_t lane) {
    for (uint32_t first = at; first < len; first += 32 * kScanStep) {
        uint32_t found = kNoEnd;
        // Backwards, so that a lane's first marker stays.
#pragma unroll
        for (uint32_t step = kScanStep; step-- > 0;) {
            const uint32_t i = first + 32 * step + lane;
            if (i + 1 < len && file[i] == 0xff) {
                const uint8_t next = file[i + 1];
                if (next != 0 && !(restarts && (next & 0xf8) == 0xd0)) {
                    found = i;
                }
            }
        }
        if (__any_sync(kFullWarp, found != kNoEnd)) {
#pragma unroll
            for (uint32_t apart = 16; apart > 0; apart /= 2) {
                found = min(found, __shfl_xor_sync(kFullWarp, found, apart));
            }
            return found;
        }
    }
    return kNoEnd;
}

// What a walk over a file has kept.
struct HeaderSlot {
    uint8_t* bytes;
    uint32_t kept;
    uint32_t scans;

    __device__ __forceinline__ bool has_room(uint32_t more) const {
        return kept + more + 8 * scans <= kHeaderSlot;
    }

    __device__ __forceinline__ void keep(const uint8_t* from, uint32_t count, uint32_t lane) {
#pragma unroll 1
        for (uint32_t i = lane; i < count; i += 32) {
            bytes[kept + i] = from[i];
        }
        kept += count;
    }

    // There is room for two words.
    __device__ __forceinline__ void add_scan(uint32_t start, uint32_t end, uint32_t lane) {
        ++scans;
        if (lane == 0) {
            auto* words = reinterpret_cast<uint32_t*>(bytes + kHeaderSlot - 8 * scans);
            words[0] = start;
            words[1] = end;
        }
    }
};

// Copies the segments of a file that matter, up to its only scan or else to its end, and notes its scans. False for a
// strange file.
__device__ __forceinline__ bool copy_header(const uint8_t* file, uint32_t len, bool exif, uint32_t lane, HeaderSlot* slot) {
    if (len < 4 || len >> 31 != 0 || file[0] != 0xff || file[1] != 0xd8 || file[2] != 0xff) {
        return false;
    }
    slot->keep(file, 2, lane);
    uint32_t at = 2;
    bool sequential = false, restarts = false;
    uint32_t components = 0;
    for (uint32_t markers = 0; markers < kMaxMarkers && at + 2 <= len && file[at] == 0xff; ++markers) {
        const uint8_t marker = file[at + 1];
        if (marker == 0xd9 && slot->scans > 0 && slot->has_room(2)) {
            slot->keep(file + at, 2, lane);
            return true;
        }
        if (at + 4 > len) {
            return false;
        }
        const uint8_t* body = file + at + 2;
        const uint32_t size = static_cast<uint32_t>(body[0]) << 8 | body[1];
        if (size < 2 || size > len - at - 2) {
            return false;
        }
        const Segment segment = classify(body, marker, size, exif);
        // What is dropped behind a scan could be the marker that ends it.
        if (segment == Segment::kStrange || (segment == Segment::kDrop && slot->scans > 0)) {
            return false;
        }
        if (segment != Segment::kDrop) {
            if (!slot->has_room(2 + size + 8)) {
                return false;
            }
            slot->keep(file + at, 2 + size, lane);
        }
        at += 2 + size;
        if (marker >= 0xc0 && marker <= 0xc2 && size >= 8) {
            sequential = marker != 0xc2;
            components = body[7];
        } else if (marker == 0xdd && size >= 4) {
            restarts = (body[2] | body[3]) != 0;
        } else if (segment == Segment::kScan) {
            if (slot->scans == 0 && sequential && size >= 3 && body[2] == components) {
                slot->add_scan(at, len, lane);
                return true;
            }
            const uint32_t end = end_of_scan(file, len, at, restarts, lane);
            if (end == kNoEnd) {
                return false;
            }
            slot->add_scan(at, end + 2, lane);
            at = end;
        }
    }
    return false;
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

// The header of a row, by a warp.
template <typename Files>
__device__ __forceinline__ void read_header(const Files& files, const uint32_t* validity, uint32_t row, uint32_t lane,
                                            bool exif, FileHeader* headers, uint8_t* slots) {
    FileHeader header{0, 0, kNullRow, 0, 0};
    if (validity == nullptr || bit_at(validity, row)) {
        const File file = files.file(row);
        header = {file.start, static_cast<uint32_t>(file.len), 0, 0, file.buffer};
        // Files of 4 GB and more are refused by the host.
        if (file.len < kNullRow) {
            HeaderSlot slot{slots + static_cast<uint64_t>(row) * kHeaderSlot, 0, 0};
            if (copy_header(file.bytes, header.len, exif, lane, &slot)) {
                header.kept = slot.kept;
                header.scans = slot.scans;
            }
        } else {
            header.len = kNullRow;
        }
    }
    if (lane == 0) {
        headers[row] = header;
    }
}

}  // namespace jpeg
}  // namespace warpline
