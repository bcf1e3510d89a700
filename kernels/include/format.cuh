// Numbers as text, written from its end.
#pragma once

#include <cstdint>

#include "move.cuh"

namespace warpline {

// Text that grows towards lower addresses, from a multiple of 4.
class Backwards {
   public:
    __device__ __forceinline__ explicit Backwards(uint8_t* end) : at_(global(end)) {}

    __device__ __forceinline__ void put(char c) { *--at_ = static_cast<uint8_t>(c); }

    // The last `count` digits, with zeros before them.
    __device__ __forceinline__ void digits(uint64_t value, uint32_t count) {
        for (; count > 0; --count) {
            const uint64_t rest = value / 10;
            put(static_cast<char>('0' + (value - rest * 10)));
            value = rest;
        }
    }

    // All digits, at least one.
    __device__ __forceinline__ void number(uint64_t value) {
        do {
            digits(value, 1);
            value /= 10;
        } while (value != 0);
    }

    // Where the text begins. What lies before it in its first word becomes zero, since copies read whole words.
    __device__ __forceinline__ uint8_t* finish() {
        for (uint8_t* before = at_; reinterpret_cast<uint64_t>(before) % 4 != 0;) {
            *--before = 0;
        }
        return at_;
    }

   private:
    uint8_t* at_;
};

}  // namespace warpline
