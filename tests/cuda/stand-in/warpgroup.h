// Hopper's instructions under the names by which kernels call them: products of warpgroups (wgmma), copies of boxes (TMA),
// barriers in shared memory (mbarrier), registers handed over (setmaxnreg), named barriers. What they do: warpgroup.cpp.
#pragma once
#include "hopper.h"

inline void mbarrier_open(mbarrier* b, int arrivals) { cpu::gyre_mbarrier_open(b, arrivals); }
inline void mbarriers_opened() {}
inline void mbarrier_release(mbarrier* b) {
  cpu::gyre_exchange("__syncwarp", 0xffffffffu, "", 0);
  if (cpu::lane() == 0) cpu::gyre_mbarrier_arrive(b, 0);
}
inline void mbarrier_expect(mbarrier* b, int bytes) { cpu::gyre_mbarrier_arrive(b, bytes); }
inline void mbarrier_wait(mbarrier* b, int parity) { cpu::gyre_mbarrier_wait(b, parity); }

template <class... Places> inline void fetch(void* to, const tensor_map& map, mbarrier* b, Places... places) {
  const int all[] = {places...};
  cpu::gyre_fetch(to, &map, b, all, sizeof...(Places));
}

template <int N> inline void registers_fewer() { cpu::gyre_registers(N, false); }
template <int N> inline void registers_more() { cpu::gyre_registers(N, true); }
inline void meet(int id, int threads) { cpu::gyre_barrier("bar.sync", id, threads); }
inline void pass_by(int id, int threads) { cpu::gyre_pass_by("bar.arrive", id, threads); }

template <int SPAN, int STRIDE, int LEADING> inline unsigned long long matrix(const void* p) {
  return cpu::gyre_matrix(p, SPAN, STRIDE, LEADING);
}
inline void wgmma_fence() { cpu::gyre_wgmma_fence(); }
inline void wgmma_commit() { cpu::gyre_wgmma_commit(); }
template <int N> inline void wgmma_wait() { cpu::gyre_wgmma_wait(N); }

template <int N, int A, int B>
inline void wgmma_bf16(float* d, unsigned long long a, unsigned long long b, bool add) {
  cpu::gyre_wgmma(d, {N, A != 0, B != 0, add, nullptr, a, b, bf16_to_f32});
}
template <int N, int B> inline void wgmma_bf16(float* d, const unsigned* a, unsigned long long b, bool add) {
  cpu::gyre_wgmma(d, {N, false, B != 0, add, a, 0, b, bf16_to_f32});
}
template <int N, int A, int B> inline void wgmma_f16(float* d, unsigned long long a, unsigned long long b, bool add) {
  cpu::gyre_wgmma(d, {N, A != 0, B != 0, add, nullptr, a, b, f16_to_f32});
}
template <int N, int B> inline void wgmma_f16(float* d, const unsigned* a, unsigned long long b, bool add) {
  cpu::gyre_wgmma(d, {N, false, B != 0, add, a, 0, b, f16_to_f32});
}
