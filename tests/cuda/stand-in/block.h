// Runs the blocks of a launch on one thread of the CPU.
#pragma once
#include <string>
#include <vector>

#include "thread.h"

namespace cpu {

struct Launch {
  void (*call)(void**);
  void** params;
  dim3 blocks, threads;
  unsigned dynamicShared;
  // The static shared memory of the kernel's module.
  unsigned char* shared;
  unsigned long sharedBytes;
  std::string name;
  // Blocks that are to have room on a multiprocessor, and share its registers.
  int resident = 1;
};
/// The launch that runs.
const Launch& launched();

/// In which order threads go on, and when copies complete. 0: in order, copies complete late; 1: a thread runs as far ahead as
/// it can, the last first, copies complete early; others: at random, odd ones with early copies.
extern unsigned schedule;

/// Runs all blocks, one after another. What went wrong, or "".
std::string run(const Launch& launch);

/// The stack of the thread that runs; null while none does.
extern const unsigned char* ownStack __attribute__((visibility("hidden")));
constexpr unsigned long stackBytes = 512 << 10;
inline bool running() { return ownStack != nullptr; }
inline bool ofThread(const void* p, unsigned long bytes) {
  return static_cast<unsigned long>(static_cast<const unsigned char*>(p) - ownStack) <= stackBytes - bytes;
}
/// Whether it is shared memory of the block.
bool ofBlock(const void* p, unsigned long bytes);
/// Forgets the asynchronous copies of the block before (async.cpp), and what its warpgroups had under way (warpgroup.cpp).
void forgetCopies();
void forgetWarpgroups();
/// What a block may not leave under way, in words; null where there is none.
const char* leftUnderWay();

}  // namespace cpu
