// Hopper's asynchronous instructions: what warpgroup.cpp offers to the text of a kernel.
#pragma once
#include "thread.h"

// The 128 bytes that cuTensorMapEncodeTiled writes.
struct alignas(64) tensor_map {
  unsigned long long words[16];
};
using mbarrier = unsigned long long;

namespace cpu {
/// One wgmma: where a comes from, the matrix of b (a descriptor), and what is transposed.
struct Product {
  int columns;
  bool turnedA, turnedB, add;
  const unsigned* registers;  // of the thread; null: a is a matrix too
  unsigned long long a, b;
  float (*value)(unsigned short);
};
extern "C" {
void gyre_mbarrier_open(mbarrier* b, int arrivals);
void gyre_mbarrier_arrive(mbarrier* b, int bytes);
void gyre_mbarrier_wait(mbarrier* b, int parity);
void gyre_fetch(void* to, const tensor_map* map, mbarrier* b, const int* place, int rank);
void gyre_registers(int count, bool more);
/// Comes to barrier `id` without waiting for it.
void gyre_pass_by(const char* what, int id, int count);
unsigned long long gyre_matrix(const void* p, int span, int stride, int leading);
void gyre_wgmma(float* d, const Product& product);
void gyre_wgmma_fence();
void gyre_wgmma_commit();
void gyre_wgmma_wait(int left);
}
}  // namespace cpu

namespace cpu {

/// What the stand-in's cuTensorMapEncodeTiled writes into a tensor map, and its copies read.
constexpr unsigned tensorMapMark = 0x70616d74u;

struct TensorMap {
  unsigned mark;
  unsigned char elementBytes, rank;
  unsigned short span;  // bytes of a row of the box that lie side by side in the exchange: 0, 32, 64 or 128
  const unsigned char* base;
  unsigned dims[5], box[5];
  unsigned long long strides[5];  // in bytes
};
static_assert(sizeof(TensorMap) <= 128, "a tensor map has 128 bytes");

}  // namespace cpu
