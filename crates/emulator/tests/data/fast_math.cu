// nvcc: -use_fast_math
// What the compiler makes of float arithmetic with `-use_fast_math`: `.ftz` everywhere, and approximations.

extern "C" __global__ void __launch_bounds__(64) exact(const float* a, const float* b, float* out, int n) {
    const int i = blockIdx.x * 64 + threadIdx.x;
    if (i >= n) return;
    const float x = a[i], y = b[i];
    int k = 0;
    auto put = [&](float v) { out[k++ * n + i] = v; };
    put(x + y);
    put(x - y);
    put(x * y);
    put(fmaf(x, y, x));
    put(fminf(x, y));
    put(fmaxf(x, y));
    put(x < y ? 1.f : 2.f);
    put(x == y ? 1.f : 2.f);
    put(__saturatef(x));
    put(floorf(x));
    put(rintf(x));
    put(static_cast<float>(__float2int_ru(x)));
    put(static_cast<float>(static_cast<double>(x) * 0.5));
}

extern "C" __global__ void __launch_bounds__(64) close(const float* a, const float* b, float* out, int n) {
    const int i = blockIdx.x * 64 + threadIdx.x;
    if (i >= n) return;
    const float x = a[i], y = b[i];
    int k = 0;
    auto put = [&](float v) { out[k++ * n + i] = v; };
    put(x / y);
    put(sqrtf(x));
    put(rsqrtf(x));
    put(sinf(x));
    put(cosf(x));
    put(log2f(x));
    put(exp2f(x));
    put(expf(x));
}
