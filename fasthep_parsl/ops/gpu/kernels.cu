// CUDA kernels of the ops, compiled together. Each kernel loops over n entries with any number of blocks and threads, so
// it also runs as plain C++ with one of each.

typedef long long i64;
typedef unsigned long long u64;

#define FOR_EACH(i, n)                                                     \
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < (n); i += (i64)gridDim.x * blockDim.x)

// Maximum number of bins that each block sums in shared memory.
#define SLOTS 1024

// Entry i of one of several types as float64, like NumPy's astype.
__device__ __forceinline__ double number(const void* entries, int type, i64 i) {
    switch (type) {
        case 0: return ((const unsigned char*)entries)[i] != 0;
        case 1: return ((const signed char*)entries)[i];
        case 2: return ((const unsigned char*)entries)[i];
        case 3: return ((const short*)entries)[i];
        case 4: return ((const unsigned short*)entries)[i];
        case 5: return ((const int*)entries)[i];
        case 6: return ((const unsigned int*)entries)[i];
        case 7: return (double)((const i64*)entries)[i];
        case 8: return (double)((const u64*)entries)[i];
        case 9: return ((const float*)entries)[i];
        default: return ((const double*)entries)[i];
    }
}

// Add the number of true values to `out`.
extern "C" __global__ void count_true(const unsigned char* mask, i64 n, u64* out) {
    __shared__ u64 sum;
    if (threadIdx.x == 0) sum = 0;
    __syncthreads();
    u64 mine = 0;
    FOR_EACH(i, n) mine += mask[i] != 0;
    if (mine) atomicAdd(&sum, mine);
    __syncthreads();
    if (threadIdx.x == 0 && sum) atomicAdd(out, sum);
}

// Add the bins of a regular axis, by the rule of boost-histogram, as the last index of `flat`. NaN goes to overflow.
extern "C" __global__ void regular_bins(
    const void* entries, int type, i64 n, double low, double width, i64 bins, i64 extent, i64* flat) {
    FOR_EACH(i, n) {
        double z = (number(entries, type, i) - low) / width;
        i64 bin = bins + 1;
        if (z < 1) bin = z >= 0 ? (i64)(z * (double)bins) + 1 : 0;
        flat[i] = flat[i] * extent + bin;
    }
}

// Add the bins of an axis with `edges`: the number of edges <= the entry. NaN goes to overflow.
extern "C" __global__ void variable_bins(
    const void* entries, int type, i64 n, const double* edges, i64 number_of_edges, i64 extent, i64* flat) {
    FOR_EACH(i, n) {
        double x = number(entries, type, i);
        i64 first = 0, last = number_of_edges;
        if (x != x) first = last;
        while (first < last) {
            i64 middle = (first + last) / 2;
            if (edges[middle] <= x) first = middle + 1;
            else last = middle;
        }
        flat[i] = flat[i] * extent + first;
    }
}

// Add the number of entries per bin to `counts`. All of `flat` must be in [0, size).
extern "C" __global__ void count_bins(const i64* flat, i64 n, i64 size, u64* counts) {
    __shared__ u64 own[SLOTS];
    u64* to = size <= SLOTS ? own : counts;
    if (to == own) {
        for (i64 slot = threadIdx.x; slot < size; slot += blockDim.x) own[slot] = 0;
        __syncthreads();
    }
    FOR_EACH(i, n) atomicAdd(&to[flat[i]], (u64)1);
    if (to == own) {
        __syncthreads();
        for (i64 slot = threadIdx.x; slot < size; slot += blockDim.x)
            if (own[slot]) atomicAdd(&counts[slot], own[slot]);
    }
}

// Add the weights per bin to `sums`. If `squares` is set, the sums of squares follow the sums.
extern "C" __global__ void sum_bins(
    const i64* flat, const double* weights, i64 n, i64 size, int squares, double* sums) {
    __shared__ double own[2 * SLOTS];
    i64 all = squares ? 2 * size : size;
    double* to = size <= SLOTS ? own : sums;
    if (to == own) {
        for (i64 slot = threadIdx.x; slot < all; slot += blockDim.x) own[slot] = 0;
        __syncthreads();
    }
    FOR_EACH(i, n) {
        double weight = weights[i];
        atomicAdd(&to[flat[i]], weight);
        if (squares) atomicAdd(&to[size + flat[i]], weight * weight);
    }
    if (to == own) {
        __syncthreads();
        for (i64 slot = threadIdx.x; slot < all; slot += blockDim.x)
            if (own[slot] != 0) atomicAdd(&sums[slot], own[slot]);
    }
}

// Write all pairs of objects of each event: the event and the positions of both objects.
extern "C" __global__ void list_pairs(
    const i64* offsets, const i64* pair_offsets, i64 n, i64* events, i64* first, i64* second) {
    FOR_EACH(i, n) {
        i64 k = pair_offsets[i];
        for (i64 a = offsets[i]; a < offsets[i + 1]; ++a)
            for (i64 b = a + 1; b < offsets[i + 1]; ++b, ++k) {
                events[k] = i;
                first[k] = a;
                second[k] = b;
            }
    }
}

// The same steps as fasthep_parsl.kernels.physics.mass_of_two.
__device__ double mass_of_two(
    double pt_1, double eta_1, double phi_1, double mass_1, double pt_2, double eta_2, double phi_2, double mass_2) {
    double exp_1 = exp(eta_1), exp_2 = exp(eta_2), half = 0.5 * (eta_1 - eta_2), sinh2;
    if (fabs(half) < 0.005) {
        double square = half * half;
        half *= 1.0 + square * (1.0 / 6.0 + square / 120.0);
        sinh2 = half * half;
    } else {
        sinh2 = (exp_1 - exp_2) * (exp_1 - exp_2) / (4.0 * exp_1 * exp_2);
    }
    double sine = sin(0.5 * (phi_1 - phi_2)), square_1 = mass_1 * mass_1, square_2 = mass_2 * mass_2;
    double total = square_1 + square_2 + 4.0 * pt_1 * pt_2 * (sinh2 + sine * sine);
    if (square_1 > 0.0 || square_2 > 0.0) {
        double p_1 = 0.5 * pt_1 * (exp_1 + 1.0 / exp_1), p_2 = 0.5 * pt_2 * (exp_2 + 1.0 / exp_2);
        double p2_1 = p_1 * p_1, p2_2 = p_2 * p_2;
        double below = sqrt((p2_1 + square_1) * (p2_2 + square_2)) + p_1 * p_2;
        if (below != 0.0) total += 2.0 * (square_1 * p2_2 + square_2 * p2_1 + square_1 * square_2) / below;
    }
    if (total < 0.0) total = 0.0;
    return sqrt(total);
}

// Write the masses of the pairs of objects at `first` and `second`. Columns may have any type.
extern "C" __global__ void pair_mass(
    const i64* first, const i64* second, i64 n, const void* pt, int pt_type, const void* eta, int eta_type,
    const void* phi, int phi_type, const void* mass, int mass_type, double* out) {
    FOR_EACH(k, n) {
        i64 a = first[k], b = second[k];
        out[k] = mass_of_two(
            number(pt, pt_type, a), number(eta, eta_type, a), number(phi, phi_type, a), number(mass, mass_type, a),
            number(pt, pt_type, b), number(eta, eta_type, b), number(phi, phi_type, b), number(mass, mass_type, b));
    }
}
