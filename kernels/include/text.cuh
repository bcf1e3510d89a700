// Text: its order, and LIKE with three notions of equal characters.
//
// LIKE is matched greedily, going back to the last `%` at a mismatch (Krauss, "Matching Wildcards: An Empirical Way to Tame
// an Algorithm", Dr. Dobb's, 2014).
#pragma once

#include <cstdint>

#include "bytes.cuh"
#include "move.cuh"

namespace warpline {

// Text in global memory.
struct Text {
    const uint8_t* at;
    uint64_t length;

    __device__ __forceinline__ Text(const uint8_t* at, uint64_t length)
        : at(warpline::global(at)), length(length) {}
};

__device__ __forceinline__ bool equal(const uint8_t* a, const uint8_t* b, uint64_t length) {
    for (uint64_t i = 0; i < length; ++i) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

// Negative, zero or positive, as memcmp and then the lengths say.
__device__ __forceinline__ int order(const Text& a, const Text& b) {
    const uint64_t common = a.length < b.length ? a.length : b.length;
    for (uint64_t i = 0; i < common; ++i) {
        const int difference = static_cast<int>(a.at[i]) - static_cast<int>(b.at[i]);
        if (difference != 0) {
            return difference;
        }
    }
    return a.length == b.length ? 0 : a.length < b.length ? -1 : 1;
}

// Bytes of the UTF-8 character that starts with this one.
__device__ __forceinline__ uint32_t character_bytes(uint8_t first) {
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

struct Exact {
    // Whether the characters at both places are equal; moves past them.
    __device__ __forceinline__ bool operator()(const Text& text, uint64_t& t, const Text& pattern, uint64_t& p) const {
        return text.at[t++] == pattern.at[p++];
    }
};

// Letter case ignored, for patterns of ASCII. Of other characters, only the long s and the Kelvin sign fold to ASCII
// (Unicode 15, CaseFolding.txt, status C).
struct IgnoreCase {
    __device__ __forceinline__ bool operator()(const Text& text, uint64_t& t, const Text& pattern, uint64_t& p) const {
        const uint32_t c = text.at[t];
        uint32_t folded = ascii_lower(c);
        uint32_t bytes = 1;
        if (c == 0xc5 && t + 1 < text.length && text.at[t + 1] == 0xbf) {
            folded = 's';
            bytes = 2;
        } else if (c == 0xe2 && t + 2 < text.length && text.at[t + 1] == 0x84 && text.at[t + 2] == 0xaa) {
            folded = 'k';
            bytes = 3;
        }
        t += bytes;
        return folded == ascii_lower(pattern.at[p++]);
    }
};

// Letter case ignored by Unicode's simple case folding: `folds` are characters beyond ASCII, in order, each with the lowest
// one that it is equal to.
struct FoldCase {
    const uint2* folds;
    uint64_t n;

    __device__ __forceinline__ bool operator()(const Text& text, uint64_t& t, const Text& pattern, uint64_t& p) const {
        return fold(next(text, t)) == fold(next(pattern, p));
    }

    // The character at a place, which is moved past it.
    static __device__ __forceinline__ uint32_t next(const Text& text, uint64_t& at) {
        const uint32_t first = text.at[at];
        const uint32_t bytes = character_bytes(first);
        uint32_t character = bytes == 1 ? first : first & (0x7f >> bytes);
        for (uint64_t i = at + 1; i < at + bytes && i < text.length; ++i) {
            character = character << 6 | (text.at[i] & 0x3f);
        }
        at += bytes;
        return character;
    }

    __device__ __forceinline__ uint32_t fold(uint32_t c) const {
        if (c < 0x80) {
            return c - 'a' < 26u ? c - 32 : c;
        }
        uint64_t low = 0;
        uint64_t high = n;
        while (low < high) {
            const uint64_t middle = low + (high - low) / 2;
            if (folds[middle].x < c) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low < n && folds[low].x == c ? folds[low].y : c;
    }
};

template <typename Same>
__device__ __forceinline__ bool like(const Text& text, const Text& pattern, Same same) {
    constexpr uint64_t kNone = ~0ull;
    uint64_t t = 0;
    uint64_t p = 0;
    uint64_t after_percent = kNone;  // where the pattern goes on after the last `%`
    uint64_t retry = 0;              // where the text that this `%` takes ends
    while (t < text.length || p < pattern.length) {
        if (p < pattern.length) {
            const uint8_t c = pattern.at[p];
            if (c == '%') {
                after_percent = ++p;
                retry = t;
                if (p == pattern.length) {
                    return true;
                }
                continue;
            }
            if (t < text.length) {
                if (c == '_') {
                    t += character_bytes(text.at[t]);
                    ++p;
                    continue;
                }
                // A backslash quotes what follows it; the last one stands for itself.
                uint64_t next = p + (c == '\\' && p + 1 < pattern.length ? 1 : 0);
                uint64_t end = t;
                if (same(text, end, pattern, next)) {
                    t = end;
                    p = next;
                    continue;
                }
            }
        }
        if (after_percent == kNone || retry >= text.length) {
            return false;
        }
        retry += character_bytes(text.at[retry]);
        t = retry;
        p = after_percent;
    }
    return true;
}

}  // namespace warpline
