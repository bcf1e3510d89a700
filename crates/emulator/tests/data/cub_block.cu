// CUB's block-level primitives, one kernel for each algorithm that they offer. Compiled by tests/cub.rs while it runs.
#include <cub/block/block_discontinuity.cuh>
#include <cub/block/block_exchange.cuh>
#include <cub/block/block_histogram.cuh>
#include <cub/block/block_load.cuh>
#include <cub/block/block_merge_sort.cuh>
#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/block/block_store.cuh>
#include <cstdint>

constexpr int T = 96;  // three warps, so that nothing is a power of two by chance
constexpr int I = 5;
constexpr int N = T * I;

template <typename V>
__device__ void read(const V* in, V (&v)[I]) {
    for (int k = 0; k < I; k++) v[k] = in[threadIdx.x * I + k];
}
template <typename V>
__device__ void write(V* out, const V (&v)[I]) {
    for (int k = 0; k < I; k++) out[threadIdx.x * I + k] = v[k];
}

struct Max {
    template <typename V>
    __device__ V operator()(V a, V b) const { return a < b ? b : a; }
};
struct Carry {
    long long sum;
    __device__ long long operator()(long long total) {
        long long old = sum;
        sum += total;
        return old;
    }
};
struct Above {
    template <typename V>
    __device__ bool operator()(const V& a, const V& b) const { return a > b; }
};
struct Differ {
    template <typename V>
    __device__ bool operator()(const V& a, const V& b) const { return a != b; }
};

#define SCAN(NAME, ALGORITHM) \
    extern "C" __global__ void __launch_bounds__(T) NAME(const uint32_t* in, uint32_t* sums, uint32_t* maxima) { \
        using Scan = cub::BlockScan<uint32_t, T, ALGORITHM>; \
        __shared__ typename Scan::TempStorage temp; \
        uint32_t v[I], r[I]; \
        read(in, v); \
        Scan(temp).ExclusiveSum(v, r); \
        write(sums, r); \
        __syncthreads(); \
        Scan(temp).InclusiveScan(v, r, Max()); \
        write(maxima, r); \
    }
SCAN(scan_raking, cub::BLOCK_SCAN_RAKING)
SCAN(scan_raking_memoize, cub::BLOCK_SCAN_RAKING_MEMOIZE)
SCAN(scan_warp_scans, cub::BLOCK_SCAN_WARP_SCANS)

// Several tiles in one block, with the running total carried by a prefix callback.
extern "C" __global__ void __launch_bounds__(T) scan_tiles(const long long* in, long long* out, int tiles) {
    using Scan = cub::BlockScan<long long, T>;
    __shared__ typename Scan::TempStorage temp;
    Carry carry{0};
    for (int t = 0; t < tiles; t++) {
        long long v = in[t * T + threadIdx.x];
        Scan(temp).InclusiveSum(v, v, carry);
        out[t * T + threadIdx.x] = v;
        __syncthreads();
    }
}

#define REDUCE(NAME, ALGORITHM) \
    extern "C" __global__ void __launch_bounds__(T) NAME(const int* in, int valid, int* out) { \
        using Reduce = cub::BlockReduce<int, T, ALGORITHM>; \
        __shared__ typename Reduce::TempStorage temp; \
        int v[I]; \
        read(in, v); \
        int sum = Reduce(temp).Sum(v); \
        __syncthreads(); \
        int most = Reduce(temp).Reduce(v, Max()); \
        __syncthreads(); \
        int part = Reduce(temp).Sum(v[0], valid); \
        if (threadIdx.x == 0) { out[0] = sum; out[1] = most; out[2] = part; } \
    }
REDUCE(reduce_raking, cub::BLOCK_REDUCE_RAKING)
REDUCE(reduce_raking_commutative, cub::BLOCK_REDUCE_RAKING_COMMUTATIVE_ONLY)
REDUCE(reduce_warps, cub::BLOCK_REDUCE_WARP_REDUCTIONS)

#define SORT(NAME, KEY, METHOD) \
    extern "C" __global__ void __launch_bounds__(T) NAME(const KEY* keys, uint32_t* places, KEY* sorted) { \
        using Sort = cub::BlockRadixSort<KEY, T, I, uint32_t>; \
        __shared__ typename Sort::TempStorage temp; \
        KEY k[I]; \
        uint32_t p[I]; \
        read(keys, k); \
        for (int i = 0; i < I; i++) p[i] = threadIdx.x * I + i; \
        Sort(temp).METHOD(k, p); \
        write(sorted, k); \
        write(places, p); \
    }
SORT(sort_u8, uint8_t, Sort)
SORT(sort_u32, uint32_t, Sort)
SORT(sort_i64_descending, long long, SortDescending)
SORT(sort_f32, float, Sort)
SORT(sort_f64_descending, double, SortDescending)

// Only bits 4 to 11 count; what is equal in them keeps its order. Results are striped.
extern "C" __global__ void __launch_bounds__(T) sort_bits_striped(const uint32_t* keys, uint32_t* sorted) {
    using Sort = cub::BlockRadixSort<uint32_t, T, I>;
    __shared__ typename Sort::TempStorage temp;
    uint32_t k[I];
    read(keys, k);
    Sort(temp).SortBlockedToStriped(k, 4, 12);
    for (int i = 0; i < I; i++) sorted[i * T + threadIdx.x] = k[i];
}

// Merge sort wants a power of two.
extern "C" __global__ void __launch_bounds__(64)
    merge_sort(const int* keys, int valid, int* sorted, uint32_t* places, int* part) {
    using Sort = cub::BlockMergeSort<int, 64, I, uint32_t>;
    using Keys = cub::BlockMergeSort<int, 64, I>;
    __shared__ union {
        typename Sort::TempStorage pairs;
        typename Keys::TempStorage keys;
    } temp;
    int k[I];
    uint32_t p[I];
    read(keys, k);
    for (int i = 0; i < I; i++) p[i] = threadIdx.x * I + i;
    Sort(temp.pairs).StableSort(k, p, Above());
    write(sorted, k);
    write(places, p);
    __syncthreads();
    for (int i = 0; i < I; i++) {
        int at = threadIdx.x * I + i;
        k[i] = at < valid ? keys[at] : INT_MIN;
    }
    Keys(temp.keys).Sort(k, Above(), valid, INT_MIN);
    for (int i = 0; i < I; i++) {
        int at = threadIdx.x * I + i;
        if (at < valid) part[at] = k[i];
    }
}

// mode: 0 blocked to striped, 1 striped to blocked, 2 blocked to warp-striped, 3 warp-striped to blocked,
// 4 scatter to blocked, 5 scatter to striped. Scatters use the given ranks.
template <bool SLICED>
__device__ void exchange(const uint32_t* in, const int* ranks, uint32_t* out, int mode) {
    using Exchange = cub::BlockExchange<uint32_t, T, I, SLICED>;
    __shared__ typename Exchange::TempStorage temp;
    uint32_t v[I];
    int r[I];
    read(in, v);
    read(ranks, r);
    Exchange e(temp);
    switch (mode) {
        case 0: e.BlockedToStriped(v, v); break;
        case 1: e.StripedToBlocked(v, v); break;
        case 2: e.BlockedToWarpStriped(v, v); break;
        case 3: e.WarpStripedToBlocked(v, v); break;
        case 4: e.ScatterToBlocked(v, v, r); break;
        default: e.ScatterToStriped(v, v, r); break;
    }
    write(out, v);
}
extern "C" __global__ void __launch_bounds__(T)
    exchange_whole(const uint32_t* in, const int* ranks, uint32_t* out, int mode) { exchange<false>(in, ranks, out, mode); }
extern "C" __global__ void __launch_bounds__(T)
    exchange_sliced(const uint32_t* in, const int* ranks, uint32_t* out, int mode) { exchange<true>(in, ranks, out, mode); }

#define HISTOGRAM(NAME, ALGORITHM) \
    extern "C" __global__ void __launch_bounds__(T) NAME(const uint8_t* in, uint32_t* bins) { \
        using Histogram = cub::BlockHistogram<uint8_t, T, I, 256, ALGORITHM>; \
        __shared__ typename Histogram::TempStorage temp; \
        __shared__ uint32_t counts[256]; \
        uint8_t v[I]; \
        read(in, v); \
        Histogram(temp).Histogram(v, counts); \
        __syncthreads(); \
        read(in + N, v); \
        Histogram(temp).Composite(v, counts); \
        __syncthreads(); \
        for (int b = threadIdx.x; b < 256; b += T) bins[b] = counts[b]; \
    }
HISTOGRAM(histogram_atomic, cub::BLOCK_HISTO_ATOMIC)
HISTOGRAM(histogram_sort, cub::BLOCK_HISTO_SORT)

extern "C" __global__ void __launch_bounds__(T) discontinuity(const uint32_t* in, int* heads, int* tails, int* both) {
    using Flags = cub::BlockDiscontinuity<uint32_t, T>;
    __shared__ typename Flags::TempStorage temp;
    uint32_t v[I];
    int h[I], t[I];
    read(in + 1, v);
    // The value before the tile and the one behind it stand beside it in memory.
    Flags(temp).FlagHeads(h, v, Differ(), in[0]);
    write(heads, h);
    __syncthreads();
    Flags(temp).FlagTails(t, v, Differ(), in[N + 1]);
    write(tails, t);
    __syncthreads();
    Flags(temp).FlagHeadsAndTails(h, t, v, Differ());
    for (int k = 0; k < I; k++) h[k] = h[k] * 2 + t[k];
    write(both, h);
}

#define MOVE(NAME, ITEM, KIND) \
    extern "C" __global__ void __launch_bounds__(T) NAME(const ITEM* in, ITEM* out, int valid) { \
        using Load = cub::BlockLoad<ITEM, T, 4, cub::BLOCK_LOAD_##KIND>; \
        using Store = cub::BlockStore<ITEM, T, 4, cub::BLOCK_STORE_##KIND>; \
        __shared__ typename Load::TempStorage load; \
        __shared__ typename Store::TempStorage store; \
        constexpr int TILE = T * 4; \
        ITEM v[4]; \
        int base = blockIdx.x * TILE; \
        if (base + TILE <= valid) { \
            Load(load).Load(in + base, v); \
            for (int k = 0; k < 4; k++) v[k] = v[k] + 1; \
            Store(store).Store(out + base, v); \
        } else { \
            Load(load).Load(in + base, v, valid - base, static_cast<ITEM>(7)); \
            for (int k = 0; k < 4; k++) v[k] = v[k] + 1; \
            Store(store).Store(out + base, v, valid - base); \
        } \
    }
MOVE(move_direct, uint16_t, DIRECT)
MOVE(move_striped, uint32_t, STRIPED)
MOVE(move_vectorize, uint32_t, VECTORIZE)
MOVE(move_transpose, uint32_t, TRANSPOSE)
MOVE(move_warp_transpose, unsigned long long, WARP_TRANSPOSE)
MOVE(move_warp_transpose_timesliced, uint32_t, WARP_TRANSPOSE_TIMESLICED)
