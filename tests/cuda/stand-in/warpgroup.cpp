// What Hopper's asynchronous instructions do, by the PTX ISA: "Asynchronous warpgroup level matrix instructions" (fragments,
// descriptors, exchanges), "cp.async.bulk.tensor", "mbarrier", "setmaxnreg".
//
// Whoever does not wait is found out: what is copied into shared memory is NaN until its barrier's phase ends, and so are
// the accumulators of a product until its group is waited for. As the schedule has it, copies and products are done when
// they are asked for, or when they are waited for, and read their operands then.
#include "hopper.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <vector>

#include "block.h"
#include "memory.h"

namespace cpu {
namespace {

// ---- mbarriers, and copies that complete on them ----

struct Barrier64 {
  int expected, pending, bytes = 0;
  unsigned phase = 0;
};
struct Transfer {
  mbarrier* barrier;
  unsigned char* to;
  const TensorMap* map;
  int place[5];
  unsigned bytes;
};
std::map<mbarrier*, Barrier64> opened;
std::deque<Transfer> underWay;

Barrier64& find(mbarrier* b) {
  const auto found = opened.find(b);
  if (found == opened.end()) gyre_fault("an mbarrier is used that nobody opened");
  return found->second;
}
void look(Barrier64& b) {
  if (b.pending != 0 || b.bytes != 0) return;
  b.phase++;
  b.pending = b.expected;
  gyre_moved();
}

/// The exchange of 16-byte pieces, as a function of the address in shared memory: those of a row go by the row's number.
uintptr_t exchanged(uintptr_t at, int span) {
  const uintptr_t mask = span == 128 ? 7 : span == 64 ? 3 : span == 32 ? 1 : 0;
  return at ^ (((at >> 7) & mask) << 4);
}
uintptr_t inShared(const void* p) { return static_cast<const unsigned char*>(p) - gyre_dynamic_shared; }

void perform(const Transfer& t) {
  const TensorMap& m = *t.map;
  unsigned at[5] = {};
  const uintptr_t first = inShared(t.to);
  for (unsigned k = 0; k * m.elementBytes < t.bytes; k++) {
    bool inside = true;
    const unsigned char* from = m.base;
    for (int d = 0; d < m.rank; d++) {
      const long i = long(t.place[d]) + at[d];
      inside = inside && i >= 0 && i < long(m.dims[d]);
      from += i * long(m.strides[d]);
    }
    unsigned char* to = gyre_dynamic_shared + exchanged(first + k * m.elementBytes, m.span);
    if (inside) {
      askToRead(from, m.elementBytes);
      memcpy(to, from, m.elementBytes);
    } else {
      memset(to, 0, m.elementBytes);
    }
    for (int d = 0; d < m.rank && ++at[d] == m.box[d]; d++) at[d] = 0;
  }
  Barrier64& b = find(t.barrier);
  b.bytes -= int(t.bytes);
  look(b);
}

// ---- registers ----

std::vector<int> registersOf;  // of each warp
int registersAtStart() {
  const dim3 t = gyre_thread.threads;
  const int share = 65536 / launched().resident / int(t.x * t.y * t.z) / 8 * 8;
  return share > 255 ? 255 : share;
}

// ---- products ----

/// A product of a warpgroup: what its threads said of it, and whether it has been done.
struct Shared {
  Product product;
  int here = 0;
  bool done = false;
  struct {
    float* d;
    const unsigned* a;
    unsigned kept[4];
  } of[128] = {};
};
struct Warpgroup {
  std::deque<Shared> products;
};
struct InFlight {
  std::vector<float> values;
  size_t last;  // the product that changes them last
};
struct Issued {
  size_t count = 0, waited = 0;  // products
  std::vector<size_t> ends;  // of groups that nobody has waited for
  bool fenced = false;
  std::map<float*, InFlight> accumulators;
};
std::map<int, Warpgroup> warpgroups;
std::map<int, Issued> issuedBy;

Issued& mine() { return issuedBy[gyre_thread.index]; }

unsigned short element(unsigned long long matrix, bool turned, int side, int k) {
  const int span = (matrix >> 62) == 1 ? 128 : (matrix >> 62) == 2 ? 64 : 32;
  const uintptr_t begin = (matrix & 0x3fff) << 4, leading = ((matrix >> 16) & 0x3fff) << 4, stride = ((matrix >> 32) & 0x3fff) << 4;
  // As it lies, k is along the row: eight rows to a group. Turned round, the side is, a span of it after another.
  const int row = turned ? k : side, column = turned ? side : k, wide = span / 2;
  const uintptr_t at = begin + uintptr_t(row / 8) * stride + uintptr_t(row % 8) * span + uintptr_t(column / wide) * leading +
                       uintptr_t(column % wide) * 2;
  unsigned short bits;
  memcpy(&bits, gyre_dynamic_shared + exchanged(at, span), 2);
  return bits;
}

void perform(Shared& s, int warpgroup) {
  const Product& p = s.product;
  std::vector<float> b(16 * p.columns), a(64 * 16);
  for (int k = 0; k < 16; k++)
    for (int n = 0; n < p.columns; n++) b[k * p.columns + n] = p.value(element(p.b, p.turnedB, n, k));
  for (int m = 0; m < 64; m++)
    for (int k = 0; k < 16; k++) {
      if (!p.registers) {
        a[m * 16 + k] = p.value(element(p.a, p.turnedA, m, k));
        continue;
      }
      const int lane = (m % 8) * 4 + (k % 8) / 2, word = (m % 16) / 8 + 2 * (k / 8);
      const auto& of = s.of[(m / 16) * 32 + lane];
      const unsigned pair = gyre_early ? of.kept[word] : of.a[word];
      a[m * 16 + k] = p.value((unsigned short)(k & 1 ? pair >> 16 : pair));
    }
  for (int t = 0; t < 128; t++) {
    InFlight& f = issuedBy[warpgroup * 128 + t].accumulators.at(s.of[t].d);
    const int row = (t / 32) * 16 + (t % 32) / 4, column = (t % 4) * 2;
    for (int i = 0; i < p.columns / 2; i++) {
      const int m = row + 8 * ((i / 2) % 2), n = column + i % 2 + 8 * (i / 4);
      float sum = p.add ? f.values[i] : 0.0f;
      for (int k = 0; k < 16; k++) sum += a[m * 16 + k] * b[k * p.columns + n];
      f.values[i] = sum;
    }
  }
  s.done = true;
}

}  // namespace

void forgetWarpgroups() {
  opened.clear();
  underWay.clear();
  registersOf.clear();
  warpgroups.clear();
  issuedBy.clear();
}
const char* leftUnderWay() { return underWay.empty() ? nullptr : "the block ended before copies into its shared memory did"; }

extern "C" {

void gyre_mbarrier_open(mbarrier* b, int arrivals) {
  if (!ofBlock(b, 8) || reinterpret_cast<uintptr_t>(b) % 8) gyre_fault("an mbarrier takes 8 aligned bytes of shared memory");
  opened[b] = {arrivals, arrivals};
}
void gyre_mbarrier_arrive(mbarrier* b, int bytes) {
  Barrier64& at = find(b);
  if (at.pending == 0) gyre_fault("more arrive at an mbarrier than it expects, %d", at.expected);
  at.pending--;
  at.bytes += bytes;
  look(at);
}
void gyre_mbarrier_wait(mbarrier* b, int parity) {
  Barrier64& at = find(b);
  char what[80];
  snprintf(what, sizeof what, "mbarrier at byte %ld of shared memory, parity %d", long(inShared(b)), parity);
  while ((at.phase & 1) == unsigned(parity)) {
    bool moved = false;
    for (size_t k = 0; k < underWay.size() && !moved; k++)
      if (underWay[k].barrier == b) {
        const Transfer t = underWay[k];
        underWay.erase(underWay.begin() + long(k));
        perform(t);
        moved = true;
      }
    if (!moved) gyre_yield(what);
  }
}

void gyre_fetch(void* to, const tensor_map* map, mbarrier* b, const int* place, int rank) {
  const auto* m = reinterpret_cast<const TensorMap*>(map);
  if (m->mark != tensorMapMark || m->rank != rank) gyre_fault("no tensor map of %d dimensions", rank);
  Transfer t = {b, static_cast<unsigned char*>(to), m, {}, m->elementBytes};
  for (int d = 0; d < rank; d++) {
    t.place[d] = place[d];
    t.bytes *= m->box[d];
  }
  const unsigned long aligned = m->span ? 8ul * m->span : 128;
  if (!ofBlock(to, t.bytes)) gyre_fault("a copy of %u bytes goes past the shared memory of the block", t.bytes);
  if (inShared(to) % aligned) gyre_fault("a box with rows of %d bytes goes to shared memory at a multiple of %lu", m->span, aligned);
  if (place[0] * m->elementBytes % 16) gyre_fault("a box begins at element %d of its rows, not at 16 bytes", place[0]);
  find(b);
  if (gyre_early) {
    perform(t);
  } else {
    memset(to, 0xff, t.bytes);
    underWay.push_back(t);
  }
}

void gyre_registers(int count, bool more) {
  if (count % 8 || count < 24 || count > 256) gyre_fault("setmaxnreg takes 24 to 256 registers, by eights, not %d", count);
  const dim3 t = gyre_thread.threads;
  registersOf.resize(t.x * t.y * t.z / 32, registersAtStart());
  gyre_exchange("setmaxnreg", 0xffffffffu, &count, sizeof count);
  const int warp = gyre_thread.index / 32;
  if (more ? count < registersOf[warp] : count > registersOf[warp]) gyre_fault("setmaxnreg from %d to %d", registersOf[warp], count);
  const auto taken = [&] {
    int sum = 0;
    for (int n : registersOf) sum += 32 * n;
    return sum - 32 * registersOf[warp] + 32 * count;
  };
  while (more && registersOf[warp] < count && taken() > 65536 / launched().resident) gyre_yield("setmaxnreg.inc, for registers that others give back");
  registersOf[warp] = count;
  gyre_moved();
}

unsigned long long gyre_matrix(const void* p, int span, int stride, int leading) {
  if (!ofBlock(p, 16) || inShared(p) % 16) gyre_fault("a matrix begins at 16 bytes of shared memory");
  const unsigned long long exchange = span == 128 ? 1 : span == 64 ? 2 : 3;
  return (inShared(p) & 0x3ffff) >> 4 | (unsigned long long)(leading >> 4) << 16 | (unsigned long long)(stride >> 4) << 32 | exchange << 62;
}

void gyre_wgmma_fence() { mine().fenced = true; }

void gyre_wgmma(float* d, const Product& product) {
  Issued& me = mine();
  if (!me.fenced) gyre_fault("wgmma: its registers may have changed since the last wgmma.fence");
  const int warpgroup = gyre_thread.index / 128, t = gyre_thread.index % 128;
  auto& products = warpgroups[warpgroup].products;
  const size_t number = me.count++;
  if (products.size() <= number) products.emplace_back().product = product;
  Shared& s = products[number];
  const Product& p = s.product;
  if (p.columns != product.columns || p.turnedA != product.turnedA || p.turnedB != product.turnedB || p.add != product.add ||
      !p.registers != !product.registers || p.a != product.a || p.b != product.b)
    gyre_fault("wgmma: the threads of a warpgroup are at different products");
  s.of[t].d = d;
  s.of[t].a = product.registers;
  if (product.registers) memcpy(s.of[t].kept, product.registers, 16);
  auto [at, begun] = me.accumulators.try_emplace(d);
  if (begun) {
    at->second.values.assign(d, d + p.columns / 2);
    for (int i = 0; i < p.columns / 2; i++) d[i] = NAN;
  }
  if (at->second.values.size() != size_t(p.columns / 2)) gyre_fault("wgmma: products of other shapes are under way on these registers");
  at->second.last = number;
  if (++s.here == 128 && gyre_early) perform(s, warpgroup);
}

void gyre_wgmma_commit() { mine().ends.push_back(mine().count); }

void gyre_wgmma_wait(int left) {
  Issued& me = mine();
  const int warpgroup = gyre_thread.index / 128;
  me.fenced = false;
  if (int(me.ends.size()) <= left) return;
  const size_t end = me.ends[me.ends.size() - 1 - left];
  me.ends.erase(me.ends.begin(), me.ends.end() - left);
  auto& products = warpgroups[warpgroup].products;
  for (; me.waited < end; me.waited++) {
    while (products[me.waited].here < 128) gyre_yield("wgmma.wait_group, for the other warps of the warpgroup");
    if (Shared& s = products[me.waited]; !s.done) perform(s, warpgroup);
  }
  gyre_moved();
  for (auto f = me.accumulators.begin(); f != me.accumulators.end();) {
    if (f->second.last >= end) {
      ++f;
      continue;
    }
    memcpy(f->first, f->second.values.data(), 4 * f->second.values.size());
    f = me.accumulators.erase(f);
  }
}

}  // extern "C"

}  // namespace cpu
