// Planted defects and clean twins for what threads owe each other: order in shared memory within a warp and between
// warps, order in device memory between blocks, and masks that tell the truth. Each kernel is named for its case.
#include <cstdint>

constexpr unsigned LOW = 0x0000ffffu, HIGH = 0xffff0000u;

// ---- shared memory, within a warp

// Each half meets by itself, then reads what the other half wrote.
extern "C" __global__ void __launch_bounds__(32) halves_apart(int* out) {
    __shared__ int s[32];
    int t = threadIdx.x;
    s[t] = t;
    __syncwarp(t < 16 ? LOW : HIGH);
    out[t] = s[31 - t];
}

// The same, but each half reads only what it wrote itself.
extern "C" __global__ void __launch_bounds__(32) halves_alone(int* out) {
    __shared__ int s[32];
    int t = threadIdx.x;
    s[t] = t;
    __syncwarp(t < 16 ? LOW : HIGH);
    out[t] = s[t ^ 15];
}

// Lane 0 meets lane 1, then lane 1 meets lane 2: what lane 0 wrote is known to lane 2.
extern "C" __global__ void __launch_bounds__(32) meetings_in_a_chain(int* out) {
    __shared__ int s[32];
    int t = threadIdx.x;
    if (t == 0) s[out[5]] = 5;
    if (t < 2) __syncwarp(3);
    if (t == 1 || t == 2) __syncwarp(6);
    if (t == 2) out[0] = s[out[6]];
}

// Lane 2 meets lane 1 before lane 0 does, so it knows nothing.
extern "C" __global__ void __launch_bounds__(32) chain_the_wrong_way(int* out) {
    __shared__ int s[32];
    int t = threadIdx.x;
    if (t == 0) s[out[5]] = 5;
    if (t == 1 || t == 2) __syncwarp(6);
    if (t < 2) __syncwarp(3);
    if (t == 2) out[0] = s[out[6]];
}

// A tree over shared memory as it was written before Volta, without meeting points.
extern "C" __global__ void __launch_bounds__(32) tree_without_syncwarp(int* out) {
    __shared__ int s[32];
    int t = threadIdx.x;
    s[t] = t;
    for (int d = 16; d > 0; d /= 2)
        if (t < d) s[t] += s[t + d];
    if (t == 0) out[0] = s[0];
}

extern "C" __global__ void __launch_bounds__(32) tree_with_syncwarp(int* out) {
    __shared__ int s[32];
    int t = threadIdx.x;
    s[t] = t;
    for (int d = 16; d > 0; d /= 2) {
        __syncwarp();
        if (t < d) s[t] += s[t + d];
    }
    if (t == 0) out[0] = s[0];
}

// ---- shared memory, between warps

// An atomic does not order the plain read behind it.
extern "C" __global__ void __launch_bounds__(64) counts_too_early(int* out) {
    __shared__ int n;
    if (threadIdx.x == 0) n = 0;
    __syncthreads();
    atomicAdd(&n, 1);
    out[threadIdx.x] = n;
}

extern "C" __global__ void __launch_bounds__(64) counts(int* out) {
    __shared__ int n;
    if (threadIdx.x == 0) n = 0;
    __syncthreads();
    atomicAdd(&n, 1);
    __syncthreads();
    out[threadIdx.x] = n;
}

// One warp hands over to the other by a named barrier.
extern "C" __global__ void __launch_bounds__(64) producer_and_consumer(int* out) {
    __shared__ int s[32];
    int t = threadIdx.x;
    if (t < 32) {
        s[t] = t;
        asm volatile("bar.arrive 1, 64;" ::: "memory");
    } else {
        asm volatile("bar.sync 1, 64;" ::: "memory");
        out[t - 32] = s[63 - t];
    }
}

// ---- device memory, between blocks

// Block b + 1 reads what block b writes.
extern "C" __global__ void __launch_bounds__(32) neighbours(int* out) {
    int b = blockIdx.x;
    if (threadIdx.x == 0) out[b + 1] = b;
    if (threadIdx.x == 1) out[40 + b] = out[b];
}

// Each block keeps to its own words; all store the same flag.
extern "C" __global__ void __launch_bounds__(32) own_words(int* out) {
    int b = blockIdx.x;
    if (threadIdx.x == 0) out[b] = b;
    __syncthreads();
    if (threadIdx.x == 1) out[40 + b] = out[b];
    if (threadIdx.x == 2) out[63] = 1;
}

// Bytes of one word written by different blocks are no race.
extern "C" __global__ void __launch_bounds__(32) own_bytes(uint8_t* out) {
    if (threadIdx.x == 0) out[blockIdx.x] = blockIdx.x;
}

template <bool FENCED>
__device__ void last_block_sums(int* out) {
    __shared__ bool last;
    int b = blockIdx.x, n = gridDim.x;
    if (threadIdx.x == 0) out[b] = b;
    if (FENCED) __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicAdd(&out[63], 1) == n - 1;
    __syncthreads();
    if (last && threadIdx.x == 0) {
        int sum = 0;
        for (int k = 0; k < n; k++) sum += out[k];
        out[62] = sum;
    }
}
extern "C" __global__ void __launch_bounds__(32) last_block_without_fence(int* out) { last_block_sums<false>(out); }
extern "C" __global__ void __launch_bounds__(32) last_block_with_fence(int* out) { last_block_sums<true>(out); }

// A barrier over the grid, as cooperative groups make it: everything before it happens before everything behind it.
extern "C" __global__ void __launch_bounds__(32) grid_barrier(int* out) {
    int b = blockIdx.x, n = gridDim.x;
    if (threadIdx.x == 0) out[b] = b;
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        atomicAdd(&out[63], 1);
        while (*(volatile int*)&out[63] < n) {}
        __threadfence();
    }
    __syncthreads();
    if (threadIdx.x == 0) out[32 + b] = out[(b + 1) % n];
}

// A plain read beside atomics on the same word: no race, since only this block reads what it has added itself; but the
// lint tells.
extern "C" __global__ void __launch_bounds__(32) reads_its_counter(int* out) {
    if (threadIdx.x == 0) {
        atomicAdd(&out[blockIdx.x], 1);
        out[32 + blockIdx.x] = out[blockIdx.x];
    }
}

// ---- operations between lanes

extern "C" __global__ void __launch_bounds__(32) lane_not_in_mask(int* out) {
    __syncwarp(threadIdx.x < 16 ? LOW : LOW | 1u << 20);
    out[threadIdx.x] = 1;
}

// Lanes that name different partners wait for ever.
extern "C" __global__ void __launch_bounds__(32) masks_disagree(int* out) {
    if (threadIdx.x < 2) __syncwarp(threadIdx.x == 0 ? 3u : 7u);
    if (threadIdx.x == 2) __syncwarp(4u);
    out[threadIdx.x] = 1;
}

// Lane 15 reads from lane 16, which does not take part.
extern "C" __global__ void __launch_bounds__(32) shuffle_from_idle_lane(int* out) {
    int t = threadIdx.x;
    if (t < 16) out[t] = __shfl_down_sync(LOW, t, 1);
}

extern "C" __global__ void __launch_bounds__(32) shuffle_among_active(int* out) {
    int t = threadIdx.x;
    if (t < 16) out[t] = __shfl_down_sync(LOW, t, 1, 16);
}

// A sum over the lanes that are left, each reading only from lanes that are.
extern "C" __global__ void __launch_bounds__(32) shuffle_after_exit(int* out) {
    int t = threadIdx.x;
    if (t >= 24) return;
    int v = __shfl_sync(0xffffffu, t, (t + 1) % 24);
    out[t] = v;
}

// Forty threads are no whole number of warps.
extern "C" __global__ void __launch_bounds__(64) barrier_of_forty(int* out) {
    asm volatile("bar.sync 1, 40;" ::: "memory");
    out[threadIdx.x] = 1;
}

// Half of a warp waits at a barrier that the other half never comes to.
extern "C" __global__ void __launch_bounds__(64) half_at_the_barrier(int* out) {
    if (threadIdx.x % 32 < 16) {
        asm volatile("bar.sync 1;" ::: "memory");
    } else {
        asm volatile("bar.sync 2;" ::: "memory");
    }
    out[threadIdx.x] = 1;
}

// Threads that have ended are not waited for.
extern "C" __global__ void __launch_bounds__(64) barrier_after_exit(int* out) {
    if (threadIdx.x >= 40) return;
    __syncthreads();
    out[threadIdx.x] = 1;
}
