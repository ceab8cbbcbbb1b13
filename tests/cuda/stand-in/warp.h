// The instructions that the threads of a warp execute together, and copies into shared memory, under the names by which
// kernels call them. What they do: warp.cpp, async.cpp.
#pragma once
#include "thread.h"

// The dynamic shared memory of the block.
#define shared_memory (cpu::gyre_dynamic_shared)

// ex2.approx.ftz.f32: what is too small for a normal number is 0.
inline float exp2_approx(float x) { return x < -126.0f ? 0.0f : exp2f(x); }

// cvt.rn.bf16x2.f32, cvt.rn.f16x2.f32
inline unsigned pack_bf16(float low, float high) { return f32_to_bf16(low) | unsigned(f32_to_bf16(high)) << 16; }
inline unsigned pack_f16(float low, float high) { return f32_to_f16(low) | unsigned(f32_to_f16(high)) << 16; }

namespace cpu {
extern "C" {
/// c += a b in f32, of what `value` makes of the 16 bits of an element (warp.cpp).
void gyre_mma(const char* what, float* c, const unsigned* a, const unsigned* b, float (*value)(unsigned short));
/// Lane 8 m + r says where row r of matrix m is; a lane gets two neighbours of row lane / 4 of each.
void gyre_matrices(unsigned* to, const void* row, bool transposed);
}
}  // namespace cpu

inline void mma_bf16(float* c, const unsigned* a, const unsigned* b) { cpu::gyre_mma("mma.bf16", c, a, b, bf16_to_f32); }
inline void mma_f16(float* c, const unsigned* a, const unsigned* b) { cpu::gyre_mma("mma.f16", c, a, b, f16_to_f32); }
inline void matrices(unsigned* to, const void* row) { cpu::gyre_matrices(to, row, false); }
inline void matrices_transposed(unsigned* to, const void* row) { cpu::gyre_matrices(to, row, true); }

// cp.async: zeros where not valid.
template <int N> inline void copy_async(void* to, const void* from, bool valid = true) {
  static_assert(N == 4 || N == 8 || N == 16, "cp.async copies 4, 8 or 16 bytes");
  cpu::gyre_copy_begin(to, from, N, valid ? N : 0);
}
inline void copy_commit() { cpu::gyre_copy_commit(); }
template <int N> inline void copy_wait() { cpu::gyre_copy_wait(N); }
