// Kernels whose counters can be worked out by hand.
#include <cstdint>

// One warp, 32 words in a row: 128 bytes, 4 sectors each way.
extern "C" __global__ void __launch_bounds__(32) row(const int* in, int* out) { out[threadIdx.x] = in[threadIdx.x]; }

// Words that are 64 bytes apart: a sector for each lane.
extern "C" __global__ void __launch_bounds__(32) apart(const int* in, int* out) { out[threadIdx.x] = in[threadIdx.x * 16]; }

// All lanes and all blocks read one word.
extern "C" __global__ void __launch_bounds__(32) one_word(const int* in, int* out) {
    out[blockIdx.x * 32 + threadIdx.x] = in[0];
}

// 32 words in a row that start in the middle of a sector: 5 sectors.
extern "C" __global__ void __launch_bounds__(32) shifted(const int* in, int* out) { out[threadIdx.x] = in[threadIdx.x + 4]; }

// The stride of 8 words makes four banks serve 32 lanes: 8 turns, 7 of them extra. Then a row, which has none.
extern "C" __global__ void __launch_bounds__(32) banks(const int* in, int* out) {
    __shared__ int s[256];
    s[threadIdx.x * 8] = in[threadIdx.x];
    __syncwarp();
    out[threadIdx.x] = s[threadIdx.x * 8];
}

// 16-byte accesses go by quarter warps, each of which has 32 banks for itself: no conflict.
extern "C" __global__ void __launch_bounds__(32) wide_banks(const int4* in, int4* out) {
    __shared__ int4 s[32];
    s[threadIdx.x] = in[threadIdx.x];
    __syncwarp();
    out[threadIdx.x] = s[threadIdx.x];
}

// A branch that parts the lanes once, in warp 0 alone; barriers twice; atomics of 10 lanes.
extern "C" __global__ void __launch_bounds__(64) mixed(const int* in, int* out) {
    __syncthreads();
    if (threadIdx.x < 10) {
        atomicAdd(&out[0], in[0]);
        __threadfence();
    }
    __syncthreads();
}

// Blocks loop as often as their number says.
extern "C" __global__ void __launch_bounds__(32) loops(const int* in, int* out) {
    int sum = 0;
#pragma unroll 1
    for (int i = 0; i < blockIdx.x * 100; i++) sum += in[sum & 1];
    out[threadIdx.x] = sum;
}
