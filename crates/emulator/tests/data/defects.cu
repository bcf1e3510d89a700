// Kernels with one planted defect each, and clean twins.
#include <cstdint>

extern "C" __global__ void past_end(int* out, uint32_t n) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i <= n) out[i] = i;
}

extern "C" __global__ void misaligned(uint8_t* out) {
    *(uint32_t*)(out + 4 * threadIdx.x + (threadIdx.x == 5)) = 1;
}

extern "C" __global__ void reads_unwritten(const int* in, int* out) { out[threadIdx.x] = in[threadIdx.x]; }

extern "C" __global__ void shared_unwritten(int* out) {
    __shared__ int s[64];
    if (threadIdx.x != 9) s[threadIdx.x] = threadIdx.x;
    __syncthreads();
    out[threadIdx.x] = s[63 - threadIdx.x];
}

extern "C" __global__ void shared_past_end(int* out) {
    extern __shared__ int d[];
    d[threadIdx.x + 1] = threadIdx.x;
    __syncthreads();
    out[threadIdx.x] = d[threadIdx.x + 1];
}

extern "C" __global__ void __launch_bounds__(64) missing_syncthreads(int* out) {
    __shared__ int s[64];
    s[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = s[63 - threadIdx.x];
}

extern "C" __global__ void __launch_bounds__(32) missing_syncwarp(int* out) {
    __shared__ int s[32];
    s[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = s[31 - threadIdx.x];
}

extern "C" __global__ void __launch_bounds__(32) with_syncwarp(int* out) {
    __shared__ int s[32];
    s[threadIdx.x] = threadIdx.x;
    __syncwarp();
    out[threadIdx.x] = s[31 - threadIdx.x];
    __syncwarp();
    s[threadIdx.x] = 1;
}

extern "C" __global__ void __launch_bounds__(64) reuse_without_barrier(int* out) {
    __shared__ int s[64];
    for (int i = 0; i < 2; i++) {
        s[threadIdx.x] = i;
        __syncthreads();
        out[threadIdx.x] = s[63 - threadIdx.x];
    }
}

extern "C" __global__ void __launch_bounds__(64) reuse_with_barrier(int* out) {
    __shared__ int s[64];
    for (int i = 0; i < 2; i++) {
        s[threadIdx.x] = i;
        __syncthreads();
        out[threadIdx.x] = s[63 - threadIdx.x];
        __syncthreads();
    }
}

// Bytes of one word written by different threads are no race.
extern "C" __global__ void __launch_bounds__(64) bytes_of_words(uint32_t* out) {
    __shared__ uint8_t s[64];
    s[threadIdx.x] = threadIdx.x;
    __syncthreads();
    if (threadIdx.x < 16) out[threadIdx.x] = ((uint32_t*)s)[threadIdx.x];
}

// All threads store the same value: no race that matters.
extern "C" __global__ void __launch_bounds__(64) same_value(int* out) {
    __shared__ int flag[2];
    int k = out[0] & 1;
    flag[k] = 7;
    __syncthreads();
    out[threadIdx.x] = flag[k];
}

extern "C" __global__ void __launch_bounds__(64) divergent_barrier(int* out) {
    if (threadIdx.x < 16) {
        out[threadIdx.x] = 1;
        __syncthreads();
        out[threadIdx.x] = 2;
    } else {
        out[threadIdx.x] = 3;
        __syncthreads();
        out[threadIdx.x] = 5;
    }
}

extern "C" __global__ void __launch_bounds__(64) lost_lane(int* out) {
    if (threadIdx.x != 3) __syncwarp(0xffffffff);
    out[threadIdx.x] = 1;
    if (threadIdx.x == 3) __syncthreads();
}

extern "C" __global__ void traps(int* out) {
    if (threadIdx.x == 40) __trap();
    out[threadIdx.x] = 1;
}

extern "C" __global__ void spins_past_free(const int* in, int* out) { out[threadIdx.x] = in[threadIdx.x] + 1; }

// Threads store different values to one place.
extern "C" __global__ void __launch_bounds__(64) different_values(int* out) {
    __shared__ int flag[2];
    int k = out[0] & 1;
    flag[k] = threadIdx.x;
    __syncthreads();
    out[threadIdx.x] = flag[k];
}
