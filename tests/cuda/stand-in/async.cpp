// cp.async: copies complete at once or when they are waited for, as the schedule has it. The first shows who overwrites
// what others still read, the second who reads before it waited.
#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "block.h"
#include "memory.h"

namespace cpu {
namespace {

struct Copy {
  void* to;
  const void* from;
  unsigned bytes, valid;
};
struct Copies {
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> groups;
};
std::vector<Copies> copies;

void perform(const Copy& c) {
  memset(c.to, 0, c.bytes);
  memcpy(c.to, c.from, c.valid);
}
Copies& mine() {
  if (copies.size() <= size_t(gyre_thread.index)) copies.resize(gyre_thread.index + 1);
  return copies[gyre_thread.index];
}

}  // namespace

void forgetCopies() { copies.clear(); }

extern "C" {


void gyre_copy_begin(void* to, const void* from, unsigned bytes, unsigned valid) {
  if ((reinterpret_cast<uintptr_t>(to) | (valid ? reinterpret_cast<uintptr_t>(from) : 0)) % bytes)
    gyre_fault("cp.async of %u bytes at an address that is no multiple of it", bytes);
  if (!ofBlock(to, bytes)) gyre_fault("cp.async to what is not shared memory of the block");
  if (valid) askToRead(from, valid);
  const Copy c = {to, from, bytes, valid};
  if (gyre_early) perform(c);
  else mine().open.push_back(c);
}
void gyre_copy_commit() {
  Copies& m = mine();
  m.groups.push_back(std::move(m.open));
  m.open.clear();
}
void gyre_copy_wait(int left) {
  Copies& m = mine();
  for (; int(m.groups.size()) > left; m.groups.pop_front())
    for (const Copy& c : m.groups.front()) perform(c);
}
}

}  // namespace cpu
