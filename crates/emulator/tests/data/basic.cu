// Kernels that cover the common path: elementwise work, shared memory, warp operations, atomics.
#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

extern "C" __global__ void __launch_bounds__(256) add_f32(const float* a, const float* b, float* out, uint64_t n) {
    uint64_t i = blockIdx.x * uint64_t(blockDim.x) + threadIdx.x;
    if (i < n) out[i] = a[i] + b[i];
}

__constant__ float table[4] = {1.f, 2.f, 3.f, 4.f};
__device__ int counter = 5;

extern "C" __global__ void __launch_bounds__(256) convert(const uint8_t* in, __half* h, __nv_bfloat16* b, uint32_t n) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        float x = in[i] * table[i & 3];
        h[i] = __float2half(x);
        b[i] = __float2bfloat16(x * 1.1f);
    }
}

// Reverses each tile of 256 values through shared memory.
extern "C" __global__ void __launch_bounds__(256) reverse(const int* in, int* out) {
    __shared__ int tile[256];
    uint32_t t = threadIdx.x, base = blockIdx.x * 256;
    tile[t] = in[base + t];
    __syncthreads();
    out[base + t] = tile[255 - t];
}

// Stable compaction of the values above a limit, one block, by ballots and a scan in dynamic shared memory.
extern "C" __global__ void __launch_bounds__(1024) compact(const int* in, int limit, int* out, int* count) {
    extern __shared__ int sums[];
    uint32_t t = threadIdx.x, lane = t & 31, warp = t >> 5, warps = blockDim.x >> 5;
    bool keep = in[t] > limit;
    uint32_t votes = __ballot_sync(~0u, keep);
    if (lane == 0) sums[warp] = __popc(votes);
    __syncthreads();
    if (warp == 0) {
        int v = lane < warps ? sums[lane] : 0;
        for (int d = 1; d < 32; d *= 2) {
            int up = __shfl_up_sync(~0u, v, d);
            if (lane >= d) v += up;
        }
        if (lane < warps) sums[lane] = v;
    }
    __syncthreads();
    int before = warp == 0 ? 0 : sums[warp - 1];
    if (keep) out[before + __popc(votes & ((1u << lane) - 1))] = in[t];
    if (t == 0) *count = sums[warps - 1];
}

extern "C" __global__ void __launch_bounds__(256) histogram(const uint8_t* in, uint32_t n, uint32_t* bins) {
    __shared__ uint32_t local[256];
    local[threadIdx.x] = 0;
    __syncthreads();
    for (uint32_t i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) atomicAdd(&local[in[i]], 1u);
    __syncthreads();
    atomicAdd(&bins[threadIdx.x], local[threadIdx.x]);
    if (threadIdx.x == 0) atomicAdd(&counter, 1);
}

// Inclusive sums over blocks by decoupled look-back: state word = flag << 32 | value.
extern "C" __global__ void __launch_bounds__(128)
    lookback(const uint32_t* in, uint32_t* out, unsigned long long* state, uint32_t* ticket) {
    __shared__ uint32_t tile, prefix, partial[4];
    uint32_t t = threadIdx.x, lane = t & 31, warp = t >> 5;
    if (t == 0) tile = atomicAdd(ticket, 1u);
    __syncthreads();
    uint32_t b = tile, v = in[b * 128 + t];
    for (int d = 1; d < 32; d *= 2) {
        uint32_t up = __shfl_up_sync(~0u, v, d);
        if (lane >= d) v += up;
    }
    if (lane == 31) partial[warp] = v;
    __syncthreads();
    for (uint32_t w = 0; w < warp; w++) v += partial[w];
    if (t == 127) {
        uint32_t before = 0;
        if (b == 0) {
            atomicExch(&state[b], 2ull << 32 | v);
        } else {
            atomicExch(&state[b], 1ull << 32 | v);
            for (int k = int(b) - 1; k >= 0;) {
                unsigned long long s = *(volatile unsigned long long*)&state[k];
                if (s >> 32 == 0) continue;
                before += uint32_t(s);
                if (s >> 32 == 2) break;
                k--;
            }
            __threadfence();
            atomicExch(&state[b], 2ull << 32 | uint32_t(before + v));
        }
        prefix = before;
    }
    __syncthreads();
    out[b * 128 + t] = v + prefix;
}

// Lanes that part and meet again, a return under divergence, and a loop of different lengths.
extern "C" __global__ void __launch_bounds__(32) diverge(const int* in, int* out) {
    int t = threadIdx.x, v = in[t];
    if (v < 0) {
        out[t] = -1;
        if (v == -7) return;
    }
    uint32_t m = __activemask();
    int sum = 0;
    for (int i = 0; i < (v & 15); i++) sum += i * v;
    __syncwarp(m);
    out[t] = sum + __popc(m & 0);
}

// A lock within a warp: needs independent progress of lanes.
extern "C" __global__ void __launch_bounds__(64) locked(int* lock, int* value) {
    bool done = false;
    while (!done) {
        if (atomicCAS(lock, 0, 1) == 0) {
            *(volatile int*)value += 1;
            __threadfence();
            atomicExch(lock, 0);
            done = true;
        }
    }
}

__device__ __noinline__ int square(int x) { return x * x + 1; }
__device__ __noinline__ float scaled(float x, int k) { return x * float(square(k)); }

extern "C" __global__ void __launch_bounds__(64) calls(const float* in, float* out) {
    int t = threadIdx.x;
    out[t] = t % 3 == 0 ? scaled(in[t], t) : float(square(t));
}

// A local array, indexed at run time.
extern "C" __global__ void __launch_bounds__(64) local_array(const uint32_t* in, uint32_t* out) {
    uint32_t a[16];
    for (int i = 0; i < 16; i++) a[(in[threadIdx.x] + i) & 15] = i * 3 + threadIdx.x;
    out[threadIdx.x] = a[in[threadIdx.x + 1] & 15];
}
