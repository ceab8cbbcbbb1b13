// The thread at hand, and how it meets others: what block.cpp offers to the text of a kernel.
#pragma once
#include <stdint.h>

struct dim3 {
  unsigned x, y, z;
};

namespace cpu {

// ---- the thread at hand (block.cpp) ----

struct Thread {
  dim3 place, block, threads, blocks;
  int index;
};
extern "C" {
extern Thread gyre_thread;
extern unsigned char* gyre_dynamic_shared;
/// Whether copies complete as soon as they are asked for; otherwise when they are waited for.
extern bool gyre_early;
/// Gives up the launch: an error of the kernel. Does not return.
[[noreturn]] void gyre_fault(const char* format, ...) __attribute__((format(printf, 1, 2)));
/// Waits until all lanes of `mask` gave `bytes` bytes; then `all[lane * 64]` is what each gave, until the next exchange.
const unsigned char* gyre_exchange(const char* what, unsigned mask, const void* mine, unsigned bytes);
/// A copy that is not asked about.
void gyre_copy(void* to, const void* from, unsigned bytes);
/// Waits for `count` threads of the block at barrier `id`; count 0: for all that have not left.
void gyre_barrier(const char* what, int id, int count);
/// cp.async, cp.async.commit_group, cp.async.wait_group (async.cpp).
void gyre_copy_begin(void* to, const void* from, unsigned bytes, unsigned valid);
void gyre_copy_commit();
void gyre_copy_wait(int left);
/// Lets the other threads go on; `what` is waited for. Faults when nothing moved for long.
void gyre_yield(const char* what);
/// Something that others wait for has happened.
void gyre_moved();
}
inline int lane() { return gyre_thread.index & 31; }

/// What a lane gave to the exchange that returned `all`.
template <class T> inline T given(const unsigned char* all, int lane) {
  T theirs;
  gyre_copy(&theirs, all + 64 * lane, sizeof(T));
  return theirs;
}

/// What lane `from` of `mask` gave.
template <class T> inline T take(const char* what, unsigned mask, T mine, int from) {
  static_assert(sizeof(T) <= 8, "shuffles move four or eight bytes");
  return given<T>(gyre_exchange(what, mask, &mine, sizeof(T)), from);
}

// ---- entries: parameters as cuLaunchKernel gives them ----

// The parameters lie in memory of the driver, about which nobody is asked.
#define GYRE_UNASKED __attribute__((no_sanitize("kernel-address")))
template <int... I> struct Places {};
template <class... A, int... I> GYRE_UNASKED inline void call(void (*kernel)(A...), void** params, Places<I...>) {
  kernel(*static_cast<A*>(params[I])...);
}
template <class... A> GYRE_UNASKED inline void call(void (*kernel)(A...), void** params) {
  call(kernel, params, Places<__integer_pack(sizeof...(A))...>());
}
template <class... A> inline const unsigned* sizesOf(void (*)(A...)) {
  static const unsigned sizes[] = {unsigned(sizeof(A))..., 0};
  return sizes;
}

}  // namespace cpu
