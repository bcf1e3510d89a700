// Progressive scans (ITU-T T.81, Annex G), each serially: a refining scan cannot be entered in the middle, since what a
// symbol covers depends on the coefficients so far. Parallel are the chains of the batch: the DC scans of an image, and
// the AC scans of each of its components, which touch different coefficients.
#pragma once

#include <cstdint>

#include "jpeg_huffman.cuh"

namespace warpline {
namespace jpeg {

constexpr uint32_t kChainThreads = 32;

// Takes up to 16 bits.
__device__ __forceinline__ uint32_t take(Bits& bits, uint32_t count) {
    if (count == 0) {
        return 0;
    }
    const uint32_t value = bits.peek() >> (32 - count);
    bits.skip(count);
    return value;
}

// Moves a coefficient away from zero by a bit, once.
__device__ __forceinline__ void correct(Bits& bits, int16_t* coefficient, int32_t one) {
    const int32_t value = *coefficient;
    if (take(bits, 1) != 0 && (value & one) == 0) {
        *coefficient = static_cast<int16_t>(value >= 0 ? value + one : value - one);
    }
}

// What a segment's blocks share.
struct Progress {
    int64_t predictor[kMaxComponents];
    uint32_t end_run;  // blocks still without coefficients, or without new ones
    uint32_t end;      // of the segment, in bits: looked at for every symbol, so that no read goes far past it
};

// A DC coefficient; false where the data are not as they should be.
__device__ __forceinline__ bool progressive_dc(const Scan& scan, const Unit& unit, const Table* tables, Bits& bits,
                                               Progress& progress, int16_t* block) {
    if (scan.high != 0) {
        block[0] = static_cast<int16_t>(block[0] | static_cast<int32_t>(take(bits, 1) << scan.low));
        return true;
    }
    const uint32_t next = bits.peek();
    const Symbol symbol = find_symbol(tables[unit.dc], next);
    if (symbol.length == 0) {
        return false;
    }
    bits.skip(symbol.length + symbol.value);
    int64_t& predictor = progress.predictor[unit.component];
    predictor += extend(next, symbol.length, symbol.value);
    block[0] = static_cast<int16_t>(predictor << scan.low);
    return predictor == static_cast<int32_t>(predictor);
}

// Section G.1.2.2: the first scan of a band.
__device__ __forceinline__ bool first_band(const Scan& scan, const Table& table, const uint8_t* natural, Bits& bits,
                                           Progress& progress, int16_t* block) {
    if (progress.end_run > 0) {
        --progress.end_run;
        return true;
    }
    for (uint32_t k = scan.band_start; k <= scan.band_end; ++k) {
        const uint32_t next = bits.peek();
        const Symbol symbol = find_symbol(table, next);
        const uint32_t run = symbol.value >> 4;
        const uint32_t size = symbol.value & 15;
        if (symbol.length == 0 || bits.bit > progress.end) {
            return false;
        }
        if (size != 0) {
            bits.skip(symbol.length + size);
            k += run;
            if (k > scan.band_end) {
                return false;
            }
            block[natural[k]] = static_cast<int16_t>(extend(next, symbol.length, size) * (1 << scan.low));
        } else if (run == 15) {
            bits.skip(symbol.length);
            k += 15;
        } else {
            bits.skip(symbol.length);
            progress.end_run = (1u << run) + take(bits, run) - 1;
            break;
        }
    }
    return true;
}

// Section G.1.2.3: one more bit of each nonzero coefficient of a band, and coefficients that become nonzero.
__device__ __forceinline__ bool refine_band(const Scan& scan, const Table& table, const uint8_t* natural, Bits& bits,
                                            Progress& progress, int16_t* block) {
    const int32_t one = 1 << scan.low;
    uint32_t k = scan.band_start;
    while (progress.end_run == 0 && k <= scan.band_end) {
        const Symbol symbol = find_symbol(table, bits.peek());
        uint32_t run = symbol.value >> 4;
        const uint32_t size = symbol.value & 15;
        if (symbol.length == 0 || size > 1 || bits.bit > progress.end) {
            return false;
        }
        bits.skip(symbol.length);
        int32_t value = 0;
        if (size != 0) {
            value = take(bits, 1) != 0 ? one : -one;
        } else if (run != 15) {
            progress.end_run = (1u << run) + take(bits, run);
            break;
        }
        // Nonzero coefficients are corrected on the way, until `run` zeros have been passed.
        for (; k <= scan.band_end; ++k) {
            int16_t* coefficient = block + natural[k];
            if (*coefficient != 0) {
                correct(bits, coefficient, one);
            } else if (run == 0) {
                break;
            } else {
                --run;
            }
        }
        if (value != 0) {
            if (k > scan.band_end) {
                return false;
            }
            block[natural[k]] = static_cast<int16_t>(value);
        }
        ++k;
    }
    if (progress.end_run > 0) {
        for (; k <= scan.band_end; ++k) {
            int16_t* coefficient = block + natural[k];
            if (*coefficient != 0) {
                correct(bits, coefficient, one);
            }
        }
        --progress.end_run;
    }
    return true;
}

// The blocks of an MCU.
__device__ __forceinline__ bool progressive_mcu(const Scan& scan, const Table* tables, const uint8_t* natural,
                                                uint32_t mcu, Bits& bits, Progress& progress, int16_t* coefficients) {
    const uint32_t row = mcu / scan.mcus_x;
    const uint32_t column = mcu - row * scan.mcus_x;
    for (uint32_t i = 0; i < scan.units; ++i) {
        const Unit unit = scan.unit[i];
        const ScanComponent& component = scan.component[unit.component];
        const uint64_t x = column * component.step_x + unit.dx;
        const uint64_t y = row * component.step_y + unit.dy;
        int16_t* block = coefficients + (component.plane + y * component.stride + x) * kBlock;
        bool regular;
        if (scan.band_start == 0) {
            regular = progressive_dc(scan, unit, tables, bits, progress, block);
        } else if (scan.high == 0) {
            regular = first_band(scan, tables[unit.ac], natural, bits, progress, block);
        } else {
            regular = refine_band(scan, tables[unit.ac], natural, bits, progress, block);
        }
        if (!regular || bits.bit > progress.end) {
            return false;
        }
    }
    return true;
}

// Decodes a scan; what is irregular ends it.
__device__ __forceinline__ void progressive_scan(const Scan& scan, const Table* tables, const uint8_t* natural,
                                                 const uint8_t* plain, const uint32_t* starts, uint32_t* status,
                                                 int16_t* coefficients) {
    for (uint32_t segment = 0; segment < scan.segments; ++segment) {
        Bits bits(plain + scan.plain, starts[segment] * 8);
        const uint32_t end = starts[segment + 1] * 8;
        Progress progress{{}, 0, end};
        const uint32_t first = segment * scan.segment_mcus;
        const uint32_t last = min(first + scan.segment_mcus, scan.mcus);
        bool regular = true;
        for (uint32_t mcu = first; mcu < last && regular; ++mcu) {
            regular = progressive_mcu(scan, tables, natural, mcu, bits, progress, coefficients);
        }
        // Whole bytes left over are a matter for the serial path of the host.
        if (!regular || end - bits.bit >= 8) {
            atomicOr(status, kIrregular);
            return;
        }
        atomicAdd(status, 1u);
    }
}

}  // namespace jpeg
}  // namespace warpline
