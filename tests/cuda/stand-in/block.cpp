// The threads of a block are fibers: stacks of their own, switched by a few instructions. A thread runs until it waits
// for others; which goes on next is the schedule's choice.
#include "block.h"

#include <sys/mman.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <random>

namespace cpu {

unsigned schedule = 0;
const unsigned char* ownStack = nullptr;

namespace {

/// Turns in which nobody moved, after which all are said to wait for ever.
constexpr long patience = 100'000;

struct Fiber {
  Thread thread;
  void* sp;
  unsigned char* stack;
  bool done = false;
  const char* waits = "its start";
};

/// Threads of a warp that meet, by the mask of those who do. What they gave stays until all have come to the next meeting.
struct Meeting {
  unsigned mask = 0, here = 0;
  unsigned long count = 0;
  const char* what = nullptr;
  unsigned bytes = 0;
  alignas(16) unsigned char given[2][32 * 64];
  std::vector<int> waiting;
};
struct Barrier {
  std::vector<int> waiting;
  int count = 0;
  // Those who came by without waiting.
  int passed = 0;
};
struct Warp {
  std::deque<Meeting> meetings;
};

std::vector<Fiber> fibers;
std::vector<Warp> warps;
std::map<int, Barrier> barriers;
std::deque<int> ready;
std::mt19937 dice;
const Launch* launch;
Fiber* now = nullptr;
void* home;
int alive;
long stalled;
std::string fault;
unsigned char* dynamicShared = nullptr;
constexpr unsigned long dynamicBytes = 256 << 10;

}  // namespace

extern "C" {
Thread gyre_thread;
unsigned char* gyre_dynamic_shared = nullptr;
bool gyre_early = false;
void gyre_switch(void** from, void* to);
}

// Keeps what a call must keep: by System V (x86-64) and AAPCS64.
#if defined(__x86_64__)
asm(R"(
.text
.globl gyre_switch
.type gyre_switch, @function
gyre_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
constexpr int kept = 6;
#elif defined(__aarch64__)
asm(R"(
.text
.globl gyre_switch
.type gyre_switch, %function
gyre_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x2, sp
  str x2, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
#else
#error "the stand-in for CUDA switches stacks on x86-64 and on aarch64"
#endif

namespace {

void leave() { gyre_switch(&now->sp, home); }

[[noreturn]] void body() {
  launch->call(launch->params);
  now->done = true;
  alive--;
  // Those at a barrier wait for all that have not left.
  for (auto& [id, barrier] : barriers)
    if (barrier.count == 0 && !barrier.waiting.empty() && int(barrier.waiting.size()) == alive) {
      for (int i : barrier.waiting) ready.push_back(i);
      barrier.waiting.clear();
    }
  stalled = 0;
  for (;;) leave();
}

void begin(Fiber& f) {
  void** top = reinterpret_cast<void**>(f.stack + stackBytes);
#if defined(__x86_64__)
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(body);
  for (int i = 0; i < kept; i++) *--top = nullptr;
#else
  top -= 20;
  memset(top, 0, 160);
  top[11] = reinterpret_cast<void*>(body);
#endif
  f.sp = top;
}

void wake(std::vector<int>& who) {
  stalled = 0;
  if (schedule == 1)
    for (auto i = who.rbegin(); i != who.rend(); ++i) ready.push_front(*i);
  else
    ready.insert(ready.end(), who.begin(), who.end());
  who.clear();
}

int next() {
  if (schedule > 1) std::swap(ready[0], ready[dice() % ready.size()]);
  const int i = ready.front();
  ready.pop_front();
  return i;
}

std::string whereAllWait() {
  std::map<std::string, std::vector<int>> places;
  for (const Fiber& f : fibers)
    if (!f.done) places[f.waits].push_back(f.thread.index);
  std::string text;
  for (const auto& [place, who] : places) {
    text += text.empty() ? "" : "; ";
    text += who.size() == 1 ? "thread " : std::to_string(who.size()) + " threads, the first ";
    text += std::to_string(who[0]) + ", at " + place;
  }
  return text;
}

std::string runBlock(dim3 block) {
  const dim3 t = launch->threads;
  const int count = int(t.x * t.y * t.z);
  memset(launch->shared, 0xff, launch->sharedBytes);
  memset(dynamicShared, 0xff, launch->dynamicShared);
  forgetCopies();
  forgetWarpgroups();
  warps.assign((count + 31) / 32, {});
  barriers.clear();
  ready.clear();
  alive = count;
  stalled = 0;
  std::vector<int> all;
  for (int i = 0; i < count; i++) {
    Fiber& f = fibers[i];
    f.thread = {{i % t.x, i / t.x % t.y, i / (t.x * t.y)}, block, t, launch->blocks, i};
    f.done = false;
    f.waits = "its start";
    begin(f);
    all.push_back(i);
  }
  wake(all);
  while (!ready.empty() && fault.empty()) {
    now = &fibers[next()];
    ownStack = now->stack;
    gyre_thread = now->thread;
    gyre_switch(&home, now->sp);
  }
  now = nullptr;
  ownStack = nullptr;
  if (fault.empty() && alive > 0) fault = "deadlock: " + whereAllWait();
  if (const char* left = leftUnderWay(); fault.empty() && left) fault = left;
  if (fault.empty()) return "";
  char where[64];
  snprintf(where, sizeof where, " (block %u, %u, %u)", block.x, block.y, block.z);
  return launch->name + ": " + fault + where;
}

unsigned char* mapped(unsigned long bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<unsigned char*>(p);
}

}  // namespace

std::string run(const Launch& l) {
  launch = &l;
  fault.clear();
  dice.seed(schedule);
  gyre_early = (schedule & 1) != 0;
  if (!dynamicShared) dynamicShared = mapped(dynamicBytes);
  gyre_dynamic_shared = dynamicShared;
  const unsigned long count = l.threads.x * l.threads.y * l.threads.z;
  while (fibers.size() < count) {
    Fiber f{};
    f.stack = mapped(stackBytes);
    fibers.push_back(f);
  }
  for (unsigned z = 0; z < l.blocks.z; z++)
    for (unsigned y = 0; y < l.blocks.y; y++)
      for (unsigned x = 0; x < l.blocks.x; x++) {
        const std::string wrong = runBlock({x, y, z});
        if (!wrong.empty()) return wrong;
      }
  return "";
}

const Launch& launched() { return *launch; }
bool ofBlock(const void* p, unsigned long bytes) {
  const auto* at = static_cast<const unsigned char*>(p);
  if (!now) return false;
  if (at >= launch->shared && at + bytes <= launch->shared + launch->sharedBytes) return true;
  return at >= dynamicShared && at + bytes <= dynamicShared + launch->dynamicShared;
}

namespace {
Barrier& come(int id, int count) {
  Barrier& b = barriers[id];
  if (b.waiting.empty() && b.passed == 0) b.count = count;
  else if (b.count != count) gyre_fault("barrier %d is waited for by %d threads and by %d", id, b.count, count);
  return b;
}
}  // namespace

extern "C" {

void gyre_fault(const char* format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (fault.empty()) fault = "thread " + std::to_string(now->thread.index) + ": " + text;
  for (;;) leave();
}

const unsigned char* gyre_exchange(const char* what, unsigned mask, const void* mine, unsigned bytes) {
  const int lane = now->thread.index & 31, warp = now->thread.index >> 5;
  const int first = warp * 32;
  const long threads = long(launch->threads.x) * launch->threads.y * launch->threads.z;
  const unsigned there = threads - first >= 32 ? 0xffffffffu : (1u << (threads - first)) - 1u;
  if (mask == 0xffffffffu) mask = there;
  if (!((mask >> lane) & 1u)) gyre_fault("%s: lane %d is not in its own mask %#x", what, lane, mask);
  auto& meetings = warps[warp].meetings;
  Meeting* m = nullptr;
  for (Meeting& one : meetings)
    if (one.mask == mask) m = &one;
  if (!m) {
    m = &meetings.emplace_back();
    m->mask = mask;
  }
  if (m->here == 0) {
    m->what = what;
    m->bytes = bytes;
  } else if (strcmp(m->what, what) != 0 || m->bytes != bytes) {
    gyre_fault("lanes of a warp are at different instructions: %s and %s", m->what, what);
  }
  unsigned char* given = m->given[m->count & 1];
  memcpy(given + 64 * lane, mine, bytes);
  m->here |= 1u << lane;
  now->waits = what;
  if (m->here == mask) {
    m->here = 0;
    m->count++;
    wake(m->waiting);
  } else {
    m->waiting.push_back(now->thread.index);
    leave();
  }
  return given;
}

void gyre_copy(void* to, const void* from, unsigned bytes) { memcpy(to, from, bytes); }

void gyre_barrier(const char* what, int id, int count) {
  Barrier& b = come(id, count);
  now->waits = what;
  if (int(b.waiting.size()) + b.passed + 1 == (count == 0 ? alive : count)) {
    b.passed = 0;
    wake(b.waiting);
  } else {
    b.waiting.push_back(now->thread.index);
    leave();
  }
}

void gyre_pass_by(const char* what, int id, int count) {
  Barrier& b = come(id, count);
  now->waits = what;
  if (int(b.waiting.size()) + ++b.passed < count) return;
  b.passed = 0;
  wake(b.waiting);
}

void gyre_yield(const char* what) {
  now->waits = what;
  if (++stalled > patience) {
    fault = "deadlock: " + whereAllWait();
    for (;;) leave();
  }
  ready.push_back(now->thread.index);
  leave();
}

void gyre_moved() { stalled = 0; }

}  // extern "C"

}  // namespace cpu
