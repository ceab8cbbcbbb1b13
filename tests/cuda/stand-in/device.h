// CUDA C++ as a CPU reads it: what a kernel's text takes for granted. Included before the text; compiled by g++ with the
// hooks of its kernel address sanitizer, so that every access to memory is asked about (memory.cpp).
//
// The instructions that Gyre's kernels write as PTX under `#ifdef __CUDACC__` have their meaning here, by the fragment
// layouts that the PTX ISA documents (warp.h; Hopper's: warpgroup.h).
#pragma once
#include "thread.h"

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
// One section, so that it can be poisoned before each block.
#define __shared__ static __attribute__((section("gyre_shared")))

/// What the driver finds of a kernel: how to call it, the sizes of its parameters, 0 at the end, and how many of its blocks
/// are to have room on a multiprocessor.
#define GYRE_KERNEL(name, blocks) \
  extern "C" const int name##__resident = blocks; \
  extern "C" void name##__call(void** params) { cpu::call(name, params); } \
  extern "C" const unsigned* name##__params() { return cpu::sizesOf(name); }

#define threadIdx (cpu::gyre_thread.place)
#define blockIdx (cpu::gyre_thread.block)
#define blockDim (cpu::gyre_thread.threads)
#define gridDim (cpu::gyre_thread.blocks)

// ---- arithmetic ----

extern "C" {
float expf(float), exp2f(float), logf(float), log2f(float), sqrtf(float), floorf(float), tanhf(float), sinf(float);
float cosf(float), truncf(float), rintf(float), fabsf(float), powf(float, float), fmaxf(float, float);
float fminf(float, float), fmaf(float, float, float);
}
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }

template <class To, class From> inline To __bits(From x) {
  To y;
  __builtin_memcpy(&y, &x, sizeof(To));
  return y;
}
inline float __int_as_float(int x) { return __bits<float>(x); }
inline float __uint_as_float(unsigned x) { return __bits<float>(x); }
inline int __float_as_int(float x) { return __bits<int>(x); }
inline unsigned __float_as_uint(float x) { return __bits<unsigned>(x); }
inline int __float2int_rz(float x) {
  return x != x ? 0 : x >= 2147483648.0f ? 2147483647 : x < -2147483648.0f ? -2147483647 - 1 : int(x);
}
inline unsigned __float2uint_rz(float x) {
  return x != x || x <= -1.0f ? 0u : x >= 4294967296.0f ? 4294967295u : unsigned(x);
}

// max.NaN.f32, min.NaN.f32
inline float maximum(float a, float b) { return a != a ? a : b != b ? b : a > b ? a : b; }
inline float minimum(float a, float b) { return a != a ? a : b != b ? b : a < b ? a : b; }
// cvt.rn.f16.f32, cvt.f32.f16; cvt.rn.bf16.f32: to the nearest, ties to even.
inline float f16_to_f32(unsigned short bits) { return float(__bits<_Float16>(bits)); }
inline unsigned short f32_to_f16(float x) { return __bits<unsigned short>(_Float16(x)); }
inline float bf16_to_f32(unsigned short bits) { return __uint_as_float(unsigned(bits) << 16); }
inline unsigned short f32_to_bf16(float x) {
  const unsigned bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return (unsigned short)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// ---- memory that threads share ----

template <class T> inline T atomicAdd(T* p, T x) {
  const T before = *p;
  *p = before + x;
  return before;
}
template <class T> inline T atomicMax(T* p, T x) {
  const T before = *p;
  *p = before > x ? before : x;
  return before;
}
template <class T> inline T __ldg(const T* p) { return *p; }

#define __syncthreads() cpu::gyre_barrier("__syncthreads", 0, 0)
inline void __syncwarp(unsigned mask = 0xffffffffu) { cpu::gyre_exchange("__syncwarp", mask, "", 0); }
#define __threadfence_block() ((void)0)
#define __threadfence() ((void)0)

// ---- a warp's threads hand values to each other ----

template <class T> inline T __shfl_sync(unsigned mask, T x, int from, int width = 32) {
  const int lane = cpu::lane();
  return cpu::take("__shfl_sync", mask, x, (lane & ~(width - 1)) | (from & (width - 1)));
}
template <class T> inline T __shfl_xor_sync(unsigned mask, T x, int by, int width = 32) {
  const int lane = cpu::lane(), other = lane ^ by;
  return cpu::take("__shfl_xor_sync", mask, x, (other & ~(width - 1)) > (lane & ~(width - 1)) ? lane : other);
}
template <class T> inline T __shfl_down_sync(unsigned mask, T x, unsigned by, int width = 32) {
  const int lane = cpu::lane(), other = lane + int(by);
  return cpu::take("__shfl_down_sync", mask, x, other > (lane | (width - 1)) ? lane : other);
}
template <class T> inline T __shfl_up_sync(unsigned mask, T x, unsigned by, int width = 32) {
  const int lane = cpu::lane(), other = lane - int(by);
  return cpu::take("__shfl_up_sync", mask, x, other < (lane & ~(width - 1)) ? lane : other);
}
inline unsigned __ballot_sync(unsigned mask, int yes) {
  const unsigned char mine = yes != 0;
  const unsigned char* all = cpu::gyre_exchange("__ballot_sync", mask, &mine, 1);
  unsigned votes = 0;
  for (int i = 0; i < 32; i++)
    if ((mask >> i) & 1u) votes |= unsigned(cpu::given<unsigned char>(all, i)) << i;
  return votes;
}
inline int __any_sync(unsigned mask, int yes) { return __ballot_sync(mask, yes) != 0; }
inline int __all_sync(unsigned mask, int yes) { return __ballot_sync(mask, yes) == mask; }

#include "warp.h"
#include "warpgroup.h"
