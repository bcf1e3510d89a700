// Kernels whose results depend on an order that nothing guarantees, each on one kind of order; and correct ones.

// out[ticket] = block: the order in which blocks start.
extern "C" __global__ void __launch_bounds__(32) order_of_blocks(int* out, int* ticket) {
    if (threadIdx.x == 0) out[atomicAdd(ticket, 1)] = blockIdx.x;
}

// The order in which the warps of a block come.
extern "C" __global__ void __launch_bounds__(1024) order_of_warps(int* out, int* ticket) {
    if (threadIdx.x % 32 == 0) out[atomicAdd(ticket, 1)] = threadIdx.x / 32;
}

// The order of lanes that have parted: each takes its own way through the switch.
extern "C" __global__ void __launch_bounds__(32) order_of_lanes(int* out, int* ticket) {
    int v = 0;
    switch (threadIdx.x) {
        case 0: v = atomicAdd(ticket, 1); break;
        case 1: v = atomicAdd(ticket, 1) + 100; break;
        case 2: v = atomicAdd(ticket, 1) + 200; break;
        case 3: v = atomicAdd(ticket, 1) + 300; break;
        case 4: v = atomicAdd(ticket, 1) + 400; break;
        case 5: v = atomicAdd(ticket, 1) + 500; break;
        case 6: v = atomicAdd(ticket, 1) + 600; break;
        default: break;
    }
    out[threadIdx.x] = v;
}

// Where two warps stand when they are interrupted: which of them takes each ticket.
extern "C" __global__ void __launch_bounds__(64) order_of_slices(int* out, int* ticket) {
    if (threadIdx.x % 32 == 0)
#pragma unroll 1
        for (int i = 0; i < 32; i++) out[atomicAdd(ticket, 1)] = threadIdx.x / 32;
}

// The same within straight code, which no loop cuts.
extern "C" __global__ void __launch_bounds__(64) order_of_straight_slices(int* out, int* ticket) {
    if (threadIdx.x % 32 == 0) {
        volatile int* to = out;
#pragma unroll
        for (int i = 0; i < 32; i++) to[atomicAdd(ticket, 1)] = threadIdx.x / 32;
    }
}

// Adds are in any order; the sums are not.
extern "C" __global__ void __launch_bounds__(64) order_does_not_matter(int* out, int* ticket) {
    int t = blockIdx.x * 64 + threadIdx.x;
    atomicAdd(&out[t % 61], t);
    atomicMax(ticket, t);
}
