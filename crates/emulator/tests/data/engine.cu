// Calls, tables of functions, recursion, output and the instructions that only compute_80 has.
#include <cstdint>
#include <cstdio>
#include <cassert>

__device__ __noinline__ int twice(int x) { return 2 * x; }
__device__ __noinline__ int square(int x) { return x * x; }
__device__ __noinline__ int negate(int x) { return -x; }
typedef int (*Unary)(int);
__device__ Unary functions[3] = {twice, square, negate};
__constant__ Unary fixed[2] = {negate, square};

extern "C" __global__ void __launch_bounds__(64) table_of_functions(const int* in, int* out) {
    const int t = threadIdx.x;
    out[t] = functions[t % 3](in[t]) + fixed[t & 1](t);
}

struct Shape {
    __device__ virtual int area() const { return 0; }
};
struct Box : Shape {
    int w, h;
    __device__ Box(int w, int h) : w(w), h(h) {}
    __device__ int area() const override { return w * h; }
};
struct Disc : Shape {
    int r;
    __device__ Disc(int r) : r(r) {}
    __device__ int area() const override { return 3 * r * r; }
};
extern "C" __global__ void __launch_bounds__(64) virtual_calls(const int* in, int* out) {
    const int t = threadIdx.x;
    Box b(in[t], 3);
    Disc d(in[t]);
    const Shape* s = in[t] & 1 ? static_cast<const Shape*>(&b) : &d;
    out[t] = s->area();
}

// Ackermann's function, which no compiler turns into a loop.
__device__ __noinline__ int ackermann(int m, int n) {
    if (m == 0) return n + 1;
    if (n == 0) return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}
extern "C" __global__ void __launch_bounds__(64) recursion(int* out) {
    const int t = threadIdx.x;
    out[t] = ackermann(t % 3, t % 5);
}

__device__ __noinline__ int depth(int n, int* trace) {
    int local[4] = {n, n + 1, n + 2, n + 3};
    trace[n & 3] = local[n & 3];
    if (n <= 0) return 0;
    return local[trace[0] & 3] + depth(n - 1, local) + local[n & 3];
}
extern "C" __global__ void __launch_bounds__(64) recursion_with_arrays(int* out) {
    int trace[4] = {0, 0, 0, 0};
    out[threadIdx.x] = depth(threadIdx.x % 7, trace) + trace[0];
}

extern "C" __global__ void __launch_bounds__(32) prints(const float* in, const char* text) {
    if (threadIdx.x < 2) {
        printf("thread %d of %u: %5.2f|%-6d|%+d|%#x|%lld|%s|%c|%%|%e\n", threadIdx.x, blockDim.x, in[threadIdx.x],
               -7, 3, 255u, 1234567890123ll, "text", 'z', 12345.678);
    }
    if (threadIdx.x == 5) printf("no arguments\n");
}

extern "C" __global__ void __launch_bounds__(32) asserts(const int* in) {
    assert(in[threadIdx.x] != 7);
}

extern "C" __global__ void __launch_bounds__(128) votes_of_block(const int* in, int* out) {
    const int t = threadIdx.x;
    const int count = __syncthreads_count(in[t] > 0);
    const int all = __syncthreads_and(in[t] > -100);
    const int any = __syncthreads_or(in[t] > 90);
    out[t] = count * 4 + (all != 0) * 2 + (any != 0);
}

extern "C" __global__ void __launch_bounds__(64) clocks(uint64_t* out) {
    const uint64_t a = clock64();
    const uint32_t c = clock();
    __nanosleep(100);
    uint64_t g, h;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(g));
    __nanosleep(100);
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(h));
    out[threadIdx.x] = (clock64() >= a) + (g <= h) * 2 + (clock() - c < (1u << 31)) * 4;
}

extern "C" __global__ void __launch_bounds__(64) big_switch(const int* in, int* out) {
    int v = in[threadIdx.x], r = 0;
    for (int k = 0; k < 3; k++) {
        switch (v % 23) {
            case 0: r += v * 3; break;
            case 1: r ^= 0x55; break;
            case 2: r = r * 7 + 1; break;
            case 3: r -= v; break;
            case 5: r += 11; break;
            case 6: r <<= 1; break;
            case 7: r |= v; break;
            case 8: r &= ~v; break;
            case 9: r += __popc(v); break;
            case 10: r += __clz(v); break;
            case 13: r = -r; break;
            case 17: r += 1000; break;
            case 19: r += r / 3; break;
            case 21: r %= 77; break;
            case 22: r += v % 5; break;
            default: r += 1;
        }
        v = v / 2 + 1;
    }
    out[threadIdx.x] = r;
}

extern "C" __global__ void __launch_bounds__(64) wide_moves(const double2* in, double2* out, const int4* a, int4* b) {
    out[threadIdx.x] = in[63 - threadIdx.x];
    int4 v = a[threadIdx.x];
    b[63 - threadIdx.x] = make_int4(v.w, v.z, v.y, v.x);
}
extern "C" __global__ void __launch_bounds__(64) spins(volatile int* flag, int* out) {
    if (threadIdx.x == 3) while (*flag == 0) {}
    __syncthreads();
    out[threadIdx.x] = 1;
}
