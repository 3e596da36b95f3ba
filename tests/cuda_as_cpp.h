// CUDA's words for a compiler of plain C++: blocks one after the other, their threads at once, as threads.
#include <algorithm>
#include <atomic>
#include <barrier>
#include <cmath>
#include <functional>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static

struct Dim3 { unsigned int x; };
static Dim3 gridDim, blockDim, blockIdx;
static thread_local Dim3 threadIdx;
static std::barrier<>* meeting;

static void __syncthreads() { meeting->arrive_and_wait(); }

template <class T> static void atomicAdd(T* to, T value) { std::atomic_ref<T>(*to).fetch_add(value); }

static void launch(int blocks, int threads, const std::function<void()>& kernel) {
    gridDim.x = blocks;
    blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) {
        std::barrier<> here(threads);
        meeting = &here;
        std::vector<std::thread> all;
        for (int t = 0; t < threads; ++t)
            all.emplace_back([&kernel, t] { threadIdx.x = t; kernel(); });
        for (auto& thread : all) thread.join();
    }
}
