// compute_80: barriers in shared memory, by libcu++ and by hand.
#include <cstdint>
#include <cuda/barrier>

#pragma nv_diag_suppress static_var_with_dynamic_init

using Barrier = cuda::barrier<cuda::thread_scope_block>;

// Three rounds in which each thread of 64 reads what another warp wrote, with waits at the same place.
extern "C" __global__ void __launch_bounds__(64) rounds(uint32_t* out) {
    __shared__ Barrier bar;
    __shared__ uint32_t tile[64];
    const uint32_t t = threadIdx.x;
    if (t == 0) init(&bar, 64);
    __syncthreads();
    uint32_t v = t;
    for (uint32_t round = 0; round < 3; round++) {
        tile[t] = v;
        bar.arrive_and_wait();
        v = 3 * tile[63 - t] + round;
        bar.arrive_and_wait();
    }
    out[t] = v;
}

// The second warp arrives and goes on; the first one waits for it.
extern "C" __global__ void __launch_bounds__(64) producer(uint32_t* out) {
    __shared__ Barrier bar;
    __shared__ uint32_t tile[32];
    const uint32_t t = threadIdx.x;
    if (t == 0) init(&bar, 64);
    __syncthreads();
    if (t >= 32) tile[t - 32] = 7 * t;
    auto token = bar.arrive();
    if (t >= 32) {
        out[t] = t;
    } else {
        bar.wait(std::move(token));
        out[t] = tile[31 - t];
    }
}

// What the second warp wrote is read without a wait.
extern "C" __global__ void __launch_bounds__(64) nobody_waits(uint32_t* out) {
    __shared__ Barrier bar;
    __shared__ uint32_t tile[32];
    const uint32_t t = threadIdx.x;
    if (t == 0) init(&bar, 64);
    if (t < 32) tile[t] = 0;
    __syncthreads();
    if (t >= 32) tile[t - 32] = 7 * t;
    if (t < 32) out[t] = tile[31 - t];
    (void)bar.arrive();
}

__device__ __forceinline__ uint32_t place(const uint64_t* bar) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(bar));
}

__device__ __forceinline__ uint64_t arrive(const uint64_t* bar, uint32_t count) {
    uint64_t state;
    asm volatile("mbarrier.arrive.noComplete.shared.b64 %0, [%1], %2;" : "=l"(state) : "r"(place(bar)), "r"(count) : "memory");
    return state;
}

__device__ __forceinline__ uint32_t over(const uint64_t* bar, uint64_t state) {
    uint32_t done;
    asm volatile("{ .reg .pred p; mbarrier.test_wait.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                 : "=r"(done)
                 : "r"(place(bar)), "l"(state)
                 : "memory");
    return done;
}

__device__ __forceinline__ uint32_t over_parity(const uint64_t* bar, uint32_t parity) {
    uint32_t done;
    asm volatile("{ .reg .pred p; mbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                 : "=r"(done)
                 : "r"(place(bar)), "r"(parity)
                 : "memory");
    return done;
}

__device__ __forceinline__ uint32_t left(uint64_t state) {
    uint32_t n;
    asm("mbarrier.pending_count.b64 %0, %1;" : "=r"(n) : "l"(state));
    return n;
}

// One thread goes through all operations; what each gives is in the reference's text.
extern "C" __global__ void __launch_bounds__(32) by_hand(uint32_t* out) {
    __shared__ uint64_t bar;
    if (threadIdx.x != 0) return;
    uint32_t k = 0;
    asm volatile("mbarrier.init.shared.b64 [%0], 5;" ::"r"(place(&bar)) : "memory");
    const uint64_t first = arrive(&bar, 3);
    out[k++] = left(first);                 // 5
    out[k++] = over(&bar, first);           // 0
    out[k++] = over_parity(&bar, 0);        // 0: phase 0 is not over
    out[k++] = over_parity(&bar, 1);        // 1: the one before counts as over
    uint64_t second;
    asm volatile("mbarrier.arrive.shared.b64 %0, [%1];" : "=l"(second) : "r"(place(&bar)) : "memory");
    out[k++] = left(second);                // 2
    // One leaves for good: the phase is over, and the next one waits for four.
    asm volatile("mbarrier.arrive_drop.shared.b64 _, [%0];" ::"r"(place(&bar)) : "memory");
    out[k++] = over(&bar, first);           // 1
    out[k++] = over(&bar, second);          // 1: the same phase
    out[k++] = over_parity(&bar, 0);        // 1
    out[k++] = over_parity(&bar, 1);        // 0
    const uint64_t third = arrive(&bar, 3);
    out[k++] = left(third);                 // 4
    out[k++] = over(&bar, third);           // 0
    uint64_t fourth;
    asm volatile("mbarrier.arrive.shared.b64 %0, [%1];" : "=l"(fourth) : "r"(place(&bar)) : "memory");
    out[k++] = left(fourth);                // 1
    out[k++] = over(&bar, third);           // 1
    // Copies are waited for by one arrival, which `.noinc` takes from those that are expected.
    asm volatile("cp.async.mbarrier.arrive.shared.b64 [%0];" ::"r"(place(&bar)) : "memory");
    out[k++] = over_parity(&bar, 0);        // 0
    for (int i = 0; i < 4; i++) {
        asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(place(&bar)) : "memory");
    }
    out[k++] = over_parity(&bar, 0);        // 1
    asm volatile("mbarrier.inval.shared.b64 [%0];" ::"r"(place(&bar)) : "memory");
}

// Six arrivals where five are expected.
extern "C" __global__ void __launch_bounds__(32) too_many(uint32_t* out) {
    __shared__ uint64_t bar;
    if (threadIdx.x != 0) return;
    asm volatile("mbarrier.init.shared.b64 [%0], 5;" ::"r"(place(&bar)) : "memory");
    out[0] = left(arrive(&bar, 6));
}

// A barrier that is none any more.
extern "C" __global__ void __launch_bounds__(32) after_inval(uint32_t* out) {
    __shared__ uint64_t bar;
    if (threadIdx.x != 0) return;
    asm volatile("mbarrier.init.shared.b64 [%0], 5;" ::"r"(place(&bar)) : "memory");
    asm volatile("mbarrier.inval.shared.b64 [%0];" ::"r"(place(&bar)) : "memory");
    out[0] = left(arrive(&bar, 1));
}
