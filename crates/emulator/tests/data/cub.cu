// CUB's block primitives and a mix of instructions that nvcc emits for them.
#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#include <cstdint>

extern "C" __global__ void __launch_bounds__(128) block_scan(const uint32_t* in, uint32_t* out, uint32_t* total) {
    using Scan = cub::BlockScan<uint32_t, 128>;
    __shared__ typename Scan::TempStorage temp;
    uint32_t v[4], sum;
    for (int k = 0; k < 4; k++) v[k] = in[threadIdx.x * 4 + k];
    Scan(temp).ExclusiveSum(v, v, sum);
    for (int k = 0; k < 4; k++) out[threadIdx.x * 4 + k] = v[k];
    if (threadIdx.x == 0) *total = sum;
}

extern "C" __global__ void __launch_bounds__(128) block_sort(const uint32_t* in, uint32_t* out) {
    using Sort = cub::BlockRadixSort<uint32_t, 128, 4>;
    __shared__ typename Sort::TempStorage temp;
    uint32_t v[4];
    for (int k = 0; k < 4; k++) v[k] = in[threadIdx.x * 4 + k];
    Sort(temp).Sort(v);
    for (int k = 0; k < 4; k++) out[threadIdx.x * 4 + k] = v[k];
}

extern "C" __global__ void __launch_bounds__(128) block_reduce(const int64_t* in, int64_t* out) {
    using Reduce = cub::BlockReduce<int64_t, 128>;
    __shared__ typename Reduce::TempStorage temp;
    int64_t v = Reduce(temp).Sum(in[threadIdx.x]);
    if (threadIdx.x == 0) *out = v;
}
