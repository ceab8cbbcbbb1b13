// The instructions that the threads of a warp execute together, and copies into shared memory, under the names by which
// kernels call them. Fragments are laid out as the PTX ISA says: "Matrix fragments for mma.m16n8k16", "ldmatrix".
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

/// What a lane gives to a product: its parts of a (16 x 16) and of b (16 x 8), two elements to a word.
struct Fragments {
  unsigned a[4], b[2];
};

/// c += a b in f32. A lane holds rows g and g + 8 of a and c, and column g of b, for g = lane / 4.
template <float (*value)(unsigned short)> inline void mma(const char* what, float* c, const unsigned* a, const unsigned* b) {
  const Fragments mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  const unsigned char* all = gyre_exchange(what, 0xffffffffu, &mine, sizeof(mine));
  const int row = lane() >> 2, column = (lane() & 3) * 2;
  const auto half = [](unsigned word, int k) { return value((unsigned short)(k & 1 ? word >> 16 : word)); };
  Fragments rows[4], columns[2][4];
  for (int i = 0; i < 4; i++) {
    rows[i] = given<Fragments>(all, row * 4 + i);
    for (int j = 0; j < 2; j++) columns[j][i] = given<Fragments>(all, (column + j) * 4 + i);
  }
  for (int i = 0; i < 2; i++)    // rows g and g + 8
    for (int j = 0; j < 2; j++)  // two neighbouring columns
      for (int k = 0; k < 16; k++) {
        const int from = (k & 7) >> 1, upper = k >> 3;
        c[i * 2 + j] += half(rows[from].a[i + 2 * upper], k) * half(columns[j][from].b[upper], k);
      }
}

/// Lane 8 m + r says where row r of matrix m is; a lane gets two neighbours of row lane / 4 of each.
inline void loadMatrices(unsigned* to, const void* row, bool transposed) {
  if (reinterpret_cast<uintptr_t>(row) & 15) gyre_fault("ldmatrix: the row of lane %d is not at a multiple of 16 bytes", lane());
  if (!gyre_is_shared(row, 16)) gyre_fault("ldmatrix: the row of lane %d is not in the shared memory of the block", lane());
  const unsigned char* all = gyre_exchange(transposed ? "ldmatrix.trans" : "ldmatrix", 0xffffffffu, &row, sizeof(row));
  for (int m = 0; m < 4; m++) {
    unsigned short pair[2];
    for (int h = 0; h < 2; h++) {
      const int i = lane() >> 2, j = (lane() & 3) * 2 + h;
      const auto* from = given<const unsigned short*>(all, m * 8 + (transposed ? j : i));
      gyre_copy(&pair[h], from + (transposed ? i : j), 2);
    }
    to[m] = pair[0] | unsigned(pair[1]) << 16;
  }
  // Nobody changes the rows before all have read them.
  gyre_exchange("ldmatrix", 0xffffffffu, "", 0);
}

}  // namespace cpu

inline void mma_bf16(float* c, const unsigned* a, const unsigned* b) { cpu::mma<bf16_to_f32>("mma.bf16", c, a, b); }
inline void mma_f16(float* c, const unsigned* a, const unsigned* b) { cpu::mma<f16_to_f32>("mma.f16", c, a, b); }
inline void matrices(unsigned* to, const void* row) { cpu::loadMatrices(to, row, false); }
inline void matrices_transposed(unsigned* to, const void* row) { cpu::loadMatrices(to, row, true); }

// cp.async: zeros where not valid.
template <int N> inline void copy_async(void* to, const void* from, bool valid = true) {
  static_assert(N == 4 || N == 8 || N == 16, "cp.async copies 4, 8 or 16 bytes");
  cpu::gyre_copy_begin(to, from, N, valid ? N : 0);
}
inline void copy_commit() { cpu::gyre_copy_commit(); }
template <int N> inline void copy_wait() { cpu::gyre_copy_wait(N); }
