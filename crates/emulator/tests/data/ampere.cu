// compute_80: instructions that devices have from there on.
#include <cstdint>
#include <cuda_fp16.h>
#include <cuda_pipeline.h>
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cooperative_groups/reduce.h>

namespace cg = cooperative_groups;

extern "C" __global__ void __launch_bounds__(64) copies(const int4* in, int4* out, const int* small, int* small_out) {
    __shared__ int4 tile[64];
    __shared__ int s[64];
    __pipeline_memcpy_async(&tile[threadIdx.x], &in[threadIdx.x], 16);
    __pipeline_memcpy_async(&s[threadIdx.x], &small[threadIdx.x], 4);
    __pipeline_commit();
    __pipeline_wait_prior(0);
    __syncthreads();
    out[threadIdx.x] = tile[63 - threadIdx.x];
    small_out[threadIdx.x] = s[63 - threadIdx.x];
}

extern "C" __global__ void __launch_bounds__(64) zfill(const int4* in, int4* out) {
    __shared__ int4 tile[64];
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(&tile[threadIdx.x]));
    // The last bytes of a copy are zero where the source is shorter; a length in a register and one in the text.
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(&in[threadIdx.x]), "r"(threadIdx.x % 17));
    asm volatile("cp.async.wait_all;");
    out[threadIdx.x] = tile[threadIdx.x];
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, 3;" ::"r"(at), "l"(&in[threadIdx.x]));
    asm volatile("cp.async.wait_all;");
    out[64 + threadIdx.x] = tile[threadIdx.x];
}

extern "C" __global__ void __launch_bounds__(64) group_copy(const int* in, int* out) {
    __shared__ int tile[256];
    auto block = cg::this_thread_block();
    cg::memcpy_async(block, tile, in, sizeof(tile));
    cg::wait(block);
    for (int i = threadIdx.x; i < 256; i += 64) out[i] = tile[255 - i];
    auto warp = cg::tiled_partition<32>(block);
    int sum = cg::reduce(warp, tile[threadIdx.x], cg::plus<int>());
    if (warp.thread_rank() == 0) out[256 + threadIdx.x / 32] = sum;
}

extern "C" __global__ void __launch_bounds__(64) redux(const unsigned* in, unsigned* out) {
    const unsigned v = in[threadIdx.x], m = 0xffffffffu;
    unsigned r = __reduce_add_sync(m, v) ^ __reduce_min_sync(m, v) ^ __reduce_max_sync(m, v);
    r ^= __reduce_and_sync(m, v) ^ __reduce_or_sync(m, v) ^ __reduce_xor_sync(m, v);
    r ^= __reduce_min_sync(m, (int)v) ^ __reduce_max_sync(m, (int)v);
    out[threadIdx.x] = r;
}

extern "C" __global__ void __launch_bounds__(64)
    halves(const __half2* a, const __half2* b, __half2* sat, __half2* relu, __half2* less) {
    const int t = threadIdx.x;
    sat[t] = __hfma2_sat(a[t], b[t], __hadd2_sat(a[t], b[t]));
    relu[t] = __hfma2_relu(a[t], b[t], a[t]);
    less[t] = __hlt2(a[t], b[t]);
}
