// Planted defects of memory accesses, and clean twins.
#include <cstdint>

extern "C" __global__ void before_start(int* out) { out[int(threadIdx.x) - 1] = 1; }
extern "C" __global__ void inside(int* out) { out[threadIdx.x] = 1; }
extern "C" __global__ void atomic_past_end(int* out) { atomicAdd(&out[threadIdx.x * 3], 1); }
extern "C" __global__ void vector_misaligned(int* out) {
    int4* to = (int4*)(out + 1);
    if (threadIdx.x == 0) to[0] = make_int4(1, 2, 3, 4);
}
extern "C" __global__ void vector_aligned(int* out) {
    if (threadIdx.x < 16) ((int4*)out)[threadIdx.x] = make_int4(1, 2, 3, 4);
}

// An atomic reads what nothing wrote; an exchange does not care.
extern "C" __global__ void adds_to_unwritten(const int*, int* scratch) { atomicAdd(&scratch[threadIdx.x], 1); }
extern "C" __global__ void exchanges_unwritten(int* out, int* scratch) {
    atomicExch(&scratch[threadIdx.x], 7);
    out[threadIdx.x] = scratch[threadIdx.x];
}

// Bytes 0 to 2 of each word are written, the word is read.
extern "C" __global__ void reads_a_byte_too_many(int* out, uint8_t* scratch) {
    for (int k = 0; k < 3; k++) scratch[threadIdx.x * 4 + k] = k;
    out[threadIdx.x] = ((int*)scratch)[threadIdx.x];
}
extern "C" __global__ void reads_what_it_wrote(int* out, uint8_t* scratch) {
    for (int k = 0; k < 4; k++) scratch[threadIdx.x * 4 + k] = k;
    out[threadIdx.x] = ((int*)scratch)[threadIdx.x];
}
