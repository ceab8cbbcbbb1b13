// Every access of a kernel to memory comes here first: g++ calls these hooks of its kernel address sanitizer. What a kernel
// may touch is its own stack, the shared memory of its block, and the allocations of its device.
#include "memory.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

#include "block.h"

namespace cpu {

int runningDevice = 0;

namespace {
std::map<const unsigned char*, Allocation> live;
std::vector<std::pair<const unsigned char*, const unsigned char*>> constants;
const Allocation* last = nullptr;
}  // namespace

void* allocate(int device, size_t bytes, size_t capacity) {
  if (used(device) + bytes > capacity) return nullptr;
  const size_t size = (bytes + 255) / 256 * 256;
  auto* p = static_cast<unsigned char*>(aligned_alloc(256, size));
  if (!p) return nullptr;
  memset(p, 0xff, size);
  live[p] = {p, bytes, device};
  return p;
}

bool release(void* p) {
  last = nullptr;
  const auto found = live.find(static_cast<unsigned char*>(p));
  if (found == live.end()) return false;
  live.erase(found);
  free(p);
  return true;
}

size_t used(int device) {
  size_t sum = 0;
  for (const auto& [p, a] : live)
    if (a.device == device) sum += a.bytes;
  return sum;
}

const Allocation* allocationOf(const void* p) {
  const auto* at = static_cast<const unsigned char*>(p);
  auto after = live.upper_bound(at);
  if (after == live.begin()) return nullptr;
  const Allocation& a = (--after)->second;
  return at < a.base + a.bytes ? &a : nullptr;
}

void allowReads(const void* from, const void* to) {
  constants.emplace_back(static_cast<const unsigned char*>(from), static_cast<const unsigned char*>(to));
}

namespace {

/// What device.h itself reads.
template <class T> bool within(const unsigned char* at, const T& what) {
  const auto* from = reinterpret_cast<const unsigned char*>(&what);
  return at >= from && at < from + sizeof(T);
}

void ask(const void* p, unsigned long bytes, bool write) {
  if (ofThread(p, bytes) || !running()) return;
  const auto* at = static_cast<const unsigned char*>(p);
  if (last && at >= last->base && at + bytes <= last->base + last->bytes) return;
  if (ofBlock(p, bytes)) return;
  if (const Allocation* a = allocationOf(p)) {
    if (a->device != runningDevice)
      gyre_fault("touches memory of device %d from a kernel on device %d", a->device, runningDevice);
    if (at + bytes <= a->base + a->bytes) {
      last = a;
      return;
    }
    gyre_fault("%s of %lu bytes at byte %ld of an array of %zu", write ? "write" : "read", bytes, long(at - a->base), a->bytes);
  }
  if (!write && (within(at, gyre_thread) || within(at, gyre_dynamic_shared) || within(at, gyre_early))) return;
  if (!write)
    for (const auto& [from, to] : constants)
      if (at >= from && at + bytes <= to) return;
  // The nearest array before it tells most: an index that ran past its end.
  const Allocation* near = nullptr;
  for (const auto& [base, a] : live)
    if (base <= at) near = &a;
  if (near)
    gyre_fault("%s of %lu bytes at byte %ld of an array of %zu", write ? "write" : "read", bytes, long(at - near->base), near->bytes);
  gyre_fault("%s of %lu bytes outside of all memory", write ? "write" : "read", bytes);
}

}  // namespace

void askToRead(const void* p, unsigned long bytes) { ask(p, bytes, false); }

}  // namespace cpu

extern "C" {
#define GYRE_HOOK(bytes) \
  void __asan_load##bytes##_noabort(void* p) { cpu::ask(p, bytes, false); } \
  void __asan_store##bytes##_noabort(void* p) { cpu::ask(p, bytes, true); }
GYRE_HOOK(1) GYRE_HOOK(2) GYRE_HOOK(4) GYRE_HOOK(8) GYRE_HOOK(16)
void __asan_loadN_noabort(void* p, unsigned long bytes) { cpu::ask(p, bytes, false); }
void __asan_storeN_noabort(void* p, unsigned long bytes) { cpu::ask(p, bytes, true); }
void __asan_handle_no_return() {}
}
