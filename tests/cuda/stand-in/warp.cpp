// What the threads of a warp do together: products and loads of matrices, by the fragments that the PTX ISA lays out ("Matrix
// fragments for mma.m16n8k16", "ldmatrix"). Here, and not in the kernels' text, where every access would be asked about.
#include <cstdint>
#include <cstring>

#include "block.h"

namespace cpu {
namespace {

/// What a lane gives to a product: its elements of a (16 x 16) and of b (16 x 8), as numbers.
struct Fragments {
  float a[8], b[4];
};
static_assert(sizeof(Fragments) <= 64, "an exchange has 64 bytes for each lane");

}  // namespace

extern "C" {

void gyre_mma(const char* what, float* c, const unsigned* a, const unsigned* b, float (*value)(unsigned short)) {
  Fragments mine;
  for (int i = 0; i < 8; i++) mine.a[i] = value((unsigned short)(a[i / 2] >> 16 * (i % 2)));
  for (int i = 0; i < 4; i++) mine.b[i] = value((unsigned short)(b[i / 2] >> 16 * (i % 2)));
  const unsigned char* all = gyre_exchange(what, 0xffffffffu, &mine, sizeof mine);
  const auto of = [all](int lane) { return reinterpret_cast<const Fragments*>(all + 64 * lane); };
  // A lane holds rows g and g + 8 of a and c, two neighbouring columns of c, and column g of b, for g = lane / 4.
  const int row = lane() >> 2, column = (lane() & 3) * 2;
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++) {
      float sum = c[i * 2 + j];
      for (int k = 0; k < 16; k++) {
        const int from = (k & 7) >> 1, upper = k >> 3;
        sum += of(row * 4 + from)->a[(i + 2 * upper) * 2 + (k & 1)] * of((column + j) * 4 + from)->b[upper * 2 + (k & 1)];
      }
      c[i * 2 + j] = sum;
    }
}

void gyre_matrices(unsigned* to, const void* row, bool transposed) {
  if (reinterpret_cast<uintptr_t>(row) & 15) gyre_fault("ldmatrix: the row of lane %d is not at a multiple of 16 bytes", lane());
  if (!ofBlock(row, 16)) gyre_fault("ldmatrix: the row of lane %d is not in the shared memory of the block", lane());
  const unsigned char* all = gyre_exchange(transposed ? "ldmatrix.trans" : "ldmatrix", 0xffffffffu, &row, sizeof row);
  for (int m = 0; m < 4; m++) {
    unsigned short pair[2];
    for (int h = 0; h < 2; h++) {
      const int i = lane() >> 2, j = (lane() & 3) * 2 + h;
      memcpy(&pair[h], given<const unsigned char*>(all, m * 8 + (transposed ? j : i)) + 2 * (transposed ? i : j), 2);
    }
    to[m] = pair[0] | unsigned(pair[1]) << 16;
  }
  // Nobody changes the rows before all have read them.
  gyre_exchange("ldmatrix", 0xffffffffu, "", 0);
}
}

}  // namespace cpu
