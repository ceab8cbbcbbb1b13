// The memory of the GPUs, and who may touch it.
#pragma once
#include <stddef.h>

namespace cpu {

struct Allocation {
  unsigned char* base = nullptr;
  size_t bytes = 0;
  int device = 0;
};

/// Memory on a device, its contents NaN; null where the device has no more.
void* allocate(int device, size_t bytes, size_t capacity);
bool release(void* p);
size_t used(int device);
/// The allocation that an address is in.
const Allocation* allocationOf(const void* p);
/// Memory from which kernels may read besides: the constants of a module.
void allowReads(const void* from, const void* to);
/// Faults where the running kernel may not read.
void askToRead(const void* p, unsigned long bytes);
/// The device whose kernel runs.
extern int runningDevice;

}  // namespace cpu
