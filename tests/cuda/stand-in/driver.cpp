// The CUDA driver API, as far as Gyre's runtime calls it, on the stand-in. Work on streams is put off as a driver may put it
// off: until somebody waits, at once, or at random (GYRE_CUDA_SCHEDULE, as in block.h). Failures can be asked for:
// GYRE_CUDA_FAULT=cuMemAlloc_v2=2@3 lets the third call of a function give 2, and later ones too where the number has a `+`.
// GYRE_CUDA_RECORD names a file for launches, events and waits, and what other libraries put on streams (stream.h).
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <unistd.h>

#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "block.h"
#include "hopper.h"
#include "memory.h"
#include "stream.h"

namespace {

using cpu::allocationOf;

enum Status {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NOT_INITIALIZED = 3,
  NO_DEVICE = 100,
  INVALID_DEVICE = 101,
  INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201,
  PEER_ACCESS_ALREADY_ENABLED = 704,
  NO_BINARY_FOR_GPU = 209,
  PEER_ACCESS_UNSUPPORTED = 217,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500,
  NOT_READY = 600,
  ILLEGAL_ADDRESS = 700,
  LAUNCH_OUT_OF_RESOURCES = 701,
};

long setting(const char* name, long otherwise) {
  const char* text = getenv(name);
  return text && *text ? atol(text) : otherwise;
}
int gpus() { return int(setting("GYRE_CUDA_GPUS", 2)); }
size_t capacity() { return size_t(setting("GYRE_CUDA_MEMORY", 1L << 30)); }
bool peers() { return setting("GYRE_CUDA_PEERS", 1) != 0; }

double micros() {
  using namespace std::chrono;
  return duration<double, std::micro>(steady_clock::now().time_since_epoch()).count();
}

// ---- failures -------------------------------------------------------------------------------------------------------

std::map<std::string, long> calls;
/// What a launch did wrong: every later call gives it, as after a real fault.
Status sticky = SUCCESS;

Status injected(const char* name) {
  const char* asked = getenv("GYRE_CUDA_FAULT");
  if (!asked || strncmp(asked, name, strlen(name)) != 0 || asked[strlen(name)] != '=') return SUCCESS;
  int code = 0, at = 1;
  char more = 0;
  sscanf(asked + strlen(name) + 1, "%d@%d%c", &code, &at, &more);
  const long call = ++calls[asked];
  return call == at || (more == '+' && call > at) ? Status(code) : SUCCESS;
}

// ---- streams and events ---------------------------------------------------------------------------------------------

struct Context {
  int device;
};
struct Event {
  unsigned long recorded = 0, done = 0;
  double time = 0;
};
struct Op {
  std::function<Status()> act;
  /// Not before the record number `generation` of an event is done.
  std::shared_ptr<Event> after;
  unsigned long generation = 0;
  /// Asked until it gives a status.
  cpu::Poll poll = nullptr;
};
struct Stream {
  Context* context;
  std::deque<Op> ops;
};

std::vector<std::unique_ptr<Context>> contexts;
Context* current = nullptr;
int retained = 0;
std::set<Stream*> streams;
std::map<void*, std::shared_ptr<Event>> events;
std::map<void*, size_t> pinned;
std::mt19937 dice{1};

bool ready(Stream& s) {
  if (s.ops.empty()) return false;
  Op& op = s.ops.front();
  if (op.after && op.after->done < op.generation) return false;
  if (!op.poll) return true;
  const int status = sticky == SUCCESS ? op.poll() : SUCCESS;
  if (status == -1) return false;
  op.poll = nullptr;
  op.act = [=] { return Status(status); };
  return true;
}
/// Whether some stream is at what only others can end.
bool waitsOutside() {
  for (Stream* s : streams)
    if (!s->ops.empty() && s->ops.front().poll) return true;
  return false;
}
bool stepAny(Stream* not_this = nullptr);
/// What the driver does where it waits for all work: for ever, if others never come. Here that is an error.
void waitForAll(const char* name) {
  const double until = micros() + 1e6 * double(setting("GYRE_CUDA_PATIENCE", 20));
  for (;;) {
    while (stepAny()) {}
    if (!waitsOutside() || sticky != SUCCESS) return;
    if (micros() > until) {
      fprintf(stderr, "stand-in: %s waits for ever, for work that only others can end\n", name);
      abort();
    }
    usleep(100);
  }
}
void step(Stream& s) {
  Op op = std::move(s.ops.front());
  s.ops.pop_front();
  if (!op.act || sticky != SUCCESS) return;
  const Status status = op.act();
  if (status != SUCCESS) sticky = status;
}
/// Lets some stream go on; false where none can.
bool stepAny(Stream* not_this) {
  std::vector<Stream*> able;
  for (Stream* s : streams)
    if (s != not_this && ready(*s)) able.push_back(s);
  if (able.empty()) return false;
  step(*able[dice() % able.size()]);
  return true;
}
/// Lets a stream run dry; others only as far as it waits for them.
Status drain(Stream& s) {
  while (!s.ops.empty()) {
    if (ready(s)) step(s);
    else if (!stepAny(&s)) {
      if (!waitsOutside()) return sticky = LAUNCH_OUT_OF_RESOURCES;  // waits for what never comes
      waitForAll("a stream");
    }
  }
  return sticky;
}
Status enqueue(Stream* s, Op op) {
  if (!streams.count(s)) return INVALID_HANDLE;
  s->ops.push_back(std::move(op));
  const long schedule = setting("GYRE_CUDA_SCHEDULE", 0);
  cpu::schedule = unsigned(schedule);
  if (schedule == 1) while (stepAny()) {}
  if (schedule > 1) while (dice() % 2 == 0 && stepAny()) {}
  return sticky;
}

// ---- modules --------------------------------------------------------------------------------------------------------

struct Module {
  void* handle;
  unsigned char* shared;
  unsigned char* sharedEnd;
};
struct Function {
  void (*call)(void**);
  const unsigned* sizes;
  Module* module;
  std::string name;
  int resident;
  int dynamicShared = 48 << 10;
};
std::set<Module*> modules;
std::set<Function*> functions;

/// Where the file of a shared object ends: after its section headers.
size_t elfBytes(const void* image) {
  const auto* e = static_cast<const Elf64_Ehdr*>(image);
  return e->e_shoff + size_t(e->e_shnum) * e->e_shentsize;
}

Status copyNow(void* to, const void* from, size_t bytes) {
  memcpy(to, from, bytes);
  return SUCCESS;
}
bool inside(const void* p, size_t bytes) {
  const auto* a = allocationOf(p);
  return a && static_cast<const unsigned char*>(p) + bytes <= a->base + a->bytes;
}
bool isPinned(const void* p) {
  auto after = pinned.upper_bound(const_cast<void*>(p));
  if (after == pinned.begin()) return false;
  --after;
  return static_cast<const char*>(p) < static_cast<const char*>(after->first) + after->second;
}

}  // namespace

#define ENTER(name) \
  if (const Status wrong = injected(#name); wrong != SUCCESS) return wrong
#define ALIVE(name) \
  ENTER(name); \
  if (sticky != SUCCESS) return sticky; \
  if (contexts.empty()) return NOT_INITIALIZED

extern "C" {

// ---- for other libraries (stream.h) ----------------------------------------------------------------------------------

int gyre_current_device() { return current ? current->device : -1; }
bool gyre_on_device(const void* p, size_t bytes, int device) { return inside(p, bytes) && allocationOf(p)->device == device; }
int gyre_enqueue(Stream* s, int device, const cpu::Poll* poll) {
  if (!streams.count(s) || s->context->device != device) return INVALID_VALUE;
  return enqueue(s, {nullptr, nullptr, 0, *poll});
}
int gyre_injected(const char* name) { return injected(name); }
int gyre_number(const char* kind, const void* what) {
  static std::map<std::string, std::map<const void*, int>> numbers;
  auto& mine = numbers[kind];
  return mine.emplace(what, int(mine.size())).first->second;
}
void gyre_record(const char* format, ...) {
  const char* path = getenv("GYRE_CUDA_RECORD");
  if (!path || !*path) return;
  FILE* file = fopen(path, "a");
  if (!file) return;
  va_list args;
  va_start(args, format);
  vfprintf(file, format, args);
  va_end(args);
  fputc('\n', file);
  fclose(file);
}

int cuInit(unsigned) {
  ENTER(cuInit);
  if (gpus() == 0) return NO_DEVICE;
  while (int(contexts.size()) < gpus()) contexts.push_back(std::make_unique<Context>(Context{int(contexts.size())}));
  return SUCCESS;
}
int cuDriverGetVersion(int* version) {
  ENTER(cuDriverGetVersion);
  *version = int(setting("GYRE_CUDA_VERSION", 13000));
  return SUCCESS;
}
int cuDeviceGetCount(int* count) {
  ENTER(cuDeviceGetCount);
  *count = gpus();
  return SUCCESS;
}
int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return ordinal >= 0 && ordinal < gpus() ? SUCCESS : INVALID_DEVICE;
}
int cuDeviceGetName(char* name, int length, int device) {
  snprintf(name, size_t(length), "Stand-in GPU %d", device);
  return SUCCESS;
}
int cuDeviceGetPCIBusId(char* id, int length, int device) {
  snprintf(id, size_t(length), "0000:%02x:00.0", device + 1);
  return SUCCESS;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
  *bytes = capacity();
  return SUCCESS;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
  switch (attribute) {
    case 1: *value = 1024; return SUCCESS;                                          // threads of a block
    case 2: case 3: *value = 1024; return SUCCESS;                                  // along x, y
    case 4: *value = 64; return SUCCESS;                                            // along z
    case 5: *value = 2147483647; return SUCCESS;                                    // blocks along x
    case 75: *value = int(setting("GYRE_CUDA_ARCH", 80)) / 10; return SUCCESS;      // compute capability
    case 76: *value = int(setting("GYRE_CUDA_ARCH", 80)) % 10; return SUCCESS;
    case 97: *value = 227 << 10; return SUCCESS;                                    // shared memory, opted in
    default: return INVALID_VALUE;
  }
}
int cuDevicePrimaryCtxRetain(void** context, int device) {
  ENTER(cuDevicePrimaryCtxRetain);
  if (device < 0 || device >= int(contexts.size())) return INVALID_DEVICE;
  *context = contexts[device].get();
  retained++;
  return SUCCESS;
}
int cuDevicePrimaryCtxRelease_v2(int) {
  if (retained == 0) return INVALID_CONTEXT;
  // Contexts that nobody holds are gone, and what went wrong in them.
  if (--retained == 0) {
    sticky = SUCCESS;
    calls.clear();
  }
  return SUCCESS;
}
int cuCtxSetCurrent(void* context) {
  current = static_cast<Context*>(context);
  return SUCCESS;
}
int cuMemGetInfo_v2(size_t* free, size_t* total) {
  if (!current) return INVALID_CONTEXT;
  *total = capacity();
  *free = *total - cpu::used(current->device);
  return SUCCESS;
}

int cuMemAlloc_v2(void** p, size_t bytes) {
  ALIVE(cuMemAlloc_v2);
  if (!current) return INVALID_CONTEXT;
  if (bytes == 0) return INVALID_VALUE;
  *p = cpu::allocate(current->device, bytes, capacity());
  return *p ? SUCCESS : OUT_OF_MEMORY;
}
int cuMemFree_v2(void* p) {
  ALIVE(cuMemFree_v2);
  waitForAll("cuMemFree");  // as the driver does: all work that may use it is done first
  return cpu::release(p) ? SUCCESS : INVALID_VALUE;
}
int cuMemHostAlloc(void** p, size_t bytes, unsigned) {
  ALIVE(cuMemHostAlloc);
  *p = malloc(bytes);
  memset(*p, 0xff, bytes);
  pinned[*p] = bytes;
  return SUCCESS;
}
int cuMemFreeHost(void* p) {
  if (!pinned.erase(p)) return INVALID_VALUE;
  free(p);
  return SUCCESS;
}

int cuMemcpyHtoDAsync_v2(void* to, const void* from, size_t bytes, Stream* s) {
  ALIVE(cuMemcpyHtoDAsync_v2);
  if (!inside(to, bytes)) return INVALID_VALUE;
  // Memory that is not pinned is read before the call returns.
  if (isPinned(from)) return enqueue(s, {[=] { return copyNow(to, from, bytes); }, nullptr, 0});
  auto kept = std::make_shared<std::string>(static_cast<const char*>(from), bytes);
  return enqueue(s, {[=] { return copyNow(to, kept->data(), bytes); }, nullptr, 0});
}
int cuMemcpyDtoHAsync_v2(void* to, const void* from, size_t bytes, Stream* s) {
  ALIVE(cuMemcpyDtoHAsync_v2);
  if (!inside(from, bytes)) return INVALID_VALUE;
  return enqueue(s, {[=] { return copyNow(to, from, bytes); }, nullptr, 0});
}
int cuMemcpyDtoDAsync_v2(void* to, const void* from, size_t bytes, Stream* s) {
  ALIVE(cuMemcpyDtoDAsync_v2);
  if (!inside(from, bytes) || !inside(to, bytes)) return INVALID_VALUE;
  return enqueue(s, {[=] { return copyNow(to, from, bytes); }, nullptr, 0});
}
int cuMemcpyPeerAsync(void* to, void* toContext, const void* from, void* fromContext, size_t bytes, Stream* s) {
  ALIVE(cuMemcpyPeerAsync);
  if (!inside(from, bytes) || !inside(to, bytes)) return INVALID_VALUE;
  if (allocationOf(to)->device != static_cast<Context*>(toContext)->device) return INVALID_CONTEXT;
  if (allocationOf(from)->device != static_cast<Context*>(fromContext)->device) return INVALID_CONTEXT;
  return enqueue(s, {[=] { return copyNow(to, from, bytes); }, nullptr, 0});
}
int cuMemsetD8Async(void* p, unsigned char value, size_t bytes, Stream* s) {
  ALIVE(cuMemsetD8Async);
  if (!inside(p, bytes)) return INVALID_VALUE;
  return enqueue(s, {[=] {
                       memset(p, value, bytes);
                       return SUCCESS;
                     },
                     nullptr, 0});
}
int cuDeviceCanAccessPeer(int* can, int, int) {
  *can = peers();
  return SUCCESS;
}
int cuCtxEnablePeerAccess(void*, unsigned) { return peers() ? SUCCESS : PEER_ACCESS_UNSUPPORTED; }

int cuStreamCreate(Stream** s, unsigned) {
  ALIVE(cuStreamCreate);
  streams.insert(*s = new Stream{current, {}});
  return SUCCESS;
}
int cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return SUCCESS;
}
int cuStreamCreateWithPriority(Stream** s, unsigned flags, int priority) {
  return priority > 0 || priority < -5 ? INVALID_VALUE : cuStreamCreate(s, flags);
}
int cuStreamDestroy_v2(Stream* s) {
  if (!streams.count(s)) return INVALID_HANDLE;
  while (stepAny()) {}
  if (!s->ops.empty() && sticky == SUCCESS) return SUCCESS;  // it goes when its work is done
  streams.erase(s);
  delete s;
  return SUCCESS;
}
int cuStreamSynchronize(Stream* s) {
  ALIVE(cuStreamSynchronize);
  return streams.count(s) ? drain(*s) : INVALID_HANDLE;
}
int cuStreamWaitEvent(Stream* s, void* event, unsigned) {
  ALIVE(cuStreamWaitEvent);
  if (!events.count(event)) return INVALID_HANDLE;
  const auto& e = events[event];
  gyre_record("cuStreamWaitEvent stream=%d event=%d.%lu", gyre_number("stream", s), gyre_number("event", event), e->recorded);
  return enqueue(s, {nullptr, e, e->recorded});
}

int cuEventCreate(void** event, unsigned) {
  ALIVE(cuEventCreate);
  auto e = std::make_shared<Event>();
  *event = e.get();
  events[*event] = e;
  return SUCCESS;
}
int cuEventDestroy_v2(void* event) { return events.erase(event) ? SUCCESS : INVALID_HANDLE; }
int cuEventRecord(void* event, Stream* s) {
  ALIVE(cuEventRecord);
  if (!events.count(event)) return INVALID_HANDLE;
  auto e = events[event];
  const unsigned long generation = ++e->recorded;
  gyre_record("cuEventRecord stream=%d event=%d.%lu", gyre_number("stream", s), gyre_number("event", event), generation);
  return enqueue(s, {[=] {
                       e->done = generation;
                       e->time = micros();
                       return SUCCESS;
                     },
                     nullptr, 0});
}
int cuEventQuery(void* event) {
  ALIVE(cuEventQuery);
  if (!events.count(event)) return INVALID_HANDLE;
  auto e = events[event];
  if (e->done < e->recorded) stepAny();
  if (sticky != SUCCESS) return sticky;
  return e->done < e->recorded ? NOT_READY : SUCCESS;
}
int cuEventSynchronize(void* event) {
  ALIVE(cuEventSynchronize);
  if (!events.count(event)) return INVALID_HANDLE;
  auto e = events[event];
  while (e->done < e->recorded && stepAny()) {}
  return sticky;
}
int cuEventElapsedTime(float* milliseconds, void* from, void* to) {
  ALIVE(cuEventElapsedTime);
  if (!events.count(from) || !events.count(to)) return INVALID_HANDLE;
  if (events[from]->done < events[from]->recorded || events[to]->done < events[to]->recorded) return NOT_READY;
  *milliseconds = float((events[to]->time - events[from]->time) / 1000);
  return SUCCESS;
}

int cuModuleLoadData(Module** module, const void* image) {
  ALIVE(cuModuleLoadData);
  if (memcmp(image, ELFMAG, SELFMAG) != 0) return INVALID_IMAGE;
  if (static_cast<const Elf64_Ehdr*>(image)->e_type != ET_DYN) return NO_BINARY_FOR_GPU;
  const char* temporary = getenv("TMPDIR");
  std::string path = std::string(temporary && *temporary ? temporary : "/tmp") + "/gyre-module-XXXXXX";
  const int file = mkstemp(path.data());
  const size_t bytes = elfBytes(image);
  const bool written = file >= 0 && write(file, image, bytes) == ssize_t(bytes);
  if (file >= 0) close(file);
  void* handle = written ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
  unlink(path.c_str());
  if (!handle) {
    fprintf(stderr, "stand-in: %s\n", dlerror());
    return INVALID_IMAGE;
  }
  auto* m = new Module{handle, static_cast<unsigned char*>(dlsym(handle, "gyre_shared_begin")), nullptr};
  m->sharedEnd = static_cast<unsigned char*>(dlsym(handle, "gyre_shared_end"));
  if (m->shared) {
    // The two are pointers to the ends of the section.
    m->shared = *reinterpret_cast<unsigned char**>(m->shared);
    m->sharedEnd = *reinterpret_cast<unsigned char**>(m->sharedEnd);
  }
  // Constants are where the module is.
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* name) {
        if (strcmp(info->dlpi_name, static_cast<const char*>(name)) != 0) return 0;
        for (int i = 0; i < info->dlpi_phnum; i++)
          if (info->dlpi_phdr[i].p_type == PT_LOAD && !(info->dlpi_phdr[i].p_flags & PF_W)) {
            const char* at = reinterpret_cast<const char*>(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
            cpu::allowReads(at, at + info->dlpi_phdr[i].p_memsz);
          }
        return 1;
      },
      path.data());
  modules.insert(*module = m);
  return SUCCESS;
}
int cuModuleUnload(Module* module) {
  if (!modules.erase(module)) return INVALID_HANDLE;
  while (stepAny()) {}
  delete module;  // its code stays: a fiber may have its address
  return SUCCESS;
}
int cuModuleGetFunction(Function** function, Module* module, const char* name) {
  ALIVE(cuModuleGetFunction);
  if (!modules.count(module)) return INVALID_HANDLE;
  auto* call = reinterpret_cast<void (*)(void**)>(dlsym(module->handle, (std::string(name) + "__call").c_str()));
  auto* sizes = reinterpret_cast<const unsigned* (*)()>(dlsym(module->handle, (std::string(name) + "__params").c_str()));
  if (!call || !sizes) return NOT_FOUND;
  const auto* resident = static_cast<const int*>(dlsym(module->handle, (std::string(name) + "__resident").c_str()));
  functions.insert(*function = new Function{call, sizes(), module, name, resident ? *resident : 1});
  return SUCCESS;
}
int cuFuncSetAttribute(Function* function, int attribute, int value) {
  if (!functions.count(function)) return INVALID_HANDLE;
  if (attribute == 8) {
    if (value > 227 << 10) return INVALID_VALUE;
    function->dynamicShared = value;
  }
  return SUCCESS;
}

int cuTensorMapEncodeTiled(void* map, int type, unsigned rank, void* base, const unsigned long long* dims,
                           const unsigned long long* strides, const unsigned* box, const unsigned* steps, int interleave, int swizzle,
                           int, int) {
  ALIVE(cuTensorMapEncodeTiled);
  // CUtensorMapDataType: bytes of an element.
  const std::map<int, int> bytes = {{6, 2}, {7, 4}, {9, 2}};
  const auto size = bytes.find(type);
  if (size == bytes.end() || rank < 1 || rank > 5 || interleave != 0 || swizzle < 0 || swizzle > 3) return INVALID_VALUE;
  if (reinterpret_cast<uintptr_t>(map) % 64 || reinterpret_cast<uintptr_t>(base) % 16) return INVALID_VALUE;
  cpu::TensorMap m = {};
  m.mark = cpu::tensorMapMark;
  m.elementBytes = static_cast<unsigned char>(size->second);
  m.rank = static_cast<unsigned char>(rank);
  m.span = static_cast<unsigned short>(swizzle == 0 ? 0 : 16 << swizzle);
  m.base = static_cast<unsigned char*>(base);
  for (unsigned d = 0; d < rank; d++) {
    m.strides[d] = d == 0 ? m.elementBytes : strides[d - 1];
    m.dims[d] = static_cast<unsigned>(dims[d]);
    m.box[d] = box[d];
    if (dims[d] == 0 || dims[d] > 1ull << 32 || box[d] == 0 || box[d] > 256 || steps[d] != 1) return INVALID_VALUE;
    if (d > 0 && (m.strides[d] % 16 || m.strides[d] >= 1ull << 40)) return INVALID_VALUE;
  }
  const unsigned row = m.box[0] * m.elementBytes;
  if (row % 16 || (m.span && row > m.span)) return INVALID_VALUE;
  memset(map, 0, 128);
  memcpy(map, &m, sizeof m);
  return SUCCESS;
}

int cuLaunchKernel(Function* function, unsigned bx, unsigned by, unsigned bz, unsigned tx, unsigned ty, unsigned tz,
                   unsigned shared, Stream* s, void** params, void**) {
  ALIVE(cuLaunchKernel);
  if (!functions.count(function)) return INVALID_HANDLE;
  if (bx * by * bz == 0 || tx * ty * tz == 0 || tx * ty * tz > 1024 || by > 65535 || bz > 65535) return INVALID_VALUE;
  if (int(shared) > function->dynamicShared) return INVALID_VALUE;
  // The parameters are taken now; the kernel runs when the stream comes to it.
  auto kept = std::make_shared<std::vector<std::vector<unsigned char>>>();
  for (const unsigned* size = function->sizes; *size; size++) {
    const auto* from = static_cast<const unsigned char*>(params[size - function->sizes]);
    kept->emplace_back(from, from + *size);
  }
  Context* context = current;
  gyre_record("cuLaunchKernel %s stream=%d", function->name.c_str(), gyre_number("stream", s));
  return enqueue(s, {[=] {
                       std::vector<void*> pointers;
                       for (auto& p : *kept) pointers.push_back(p.data());
                       cpu::runningDevice = context->device;
                       const Module& m = *function->module;
                       const std::string wrong = cpu::run({function->call, pointers.data(), {bx, by, bz}, {tx, ty, tz}, shared, m.shared,
                                             static_cast<unsigned long>(m.sharedEnd - m.shared), function->name, function->resident});
                       if (wrong.empty()) return SUCCESS;
                       // Where a test expects it, GYRE_CUDA_TELL=0 keeps it quiet.
                       if (setting("GYRE_CUDA_TELL", 1)) fprintf(stderr, "stand-in: %s\n", wrong.c_str());
                       return ILLEGAL_ADDRESS;
                     },
                     nullptr, 0});
}

int cuGetErrorName(int status, const char** name) {
  static const std::map<int, const char*> names = {
      {1, "CUDA_ERROR_INVALID_VALUE"},   {2, "CUDA_ERROR_OUT_OF_MEMORY"}, {3, "CUDA_ERROR_NOT_INITIALIZED"},
      {100, "CUDA_ERROR_NO_DEVICE"},     {101, "CUDA_ERROR_INVALID_DEVICE"}, {200, "CUDA_ERROR_INVALID_IMAGE"},
      {209, "CUDA_ERROR_NO_BINARY_FOR_GPU"}, {214, "CUDA_ERROR_ECC_UNCORRECTABLE"}, {400, "CUDA_ERROR_INVALID_HANDLE"},
      {500, "CUDA_ERROR_NOT_FOUND"},     {700, "CUDA_ERROR_ILLEGAL_ADDRESS"}, {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
      {702, "CUDA_ERROR_LAUNCH_TIMEOUT"}, {719, "CUDA_ERROR_LAUNCH_FAILED"},
  };
  const auto found = names.find(status);
  if (found == names.end()) return INVALID_VALUE;
  *name = found->second;
  return SUCCESS;
}
int cuGetErrorString(int status, const char** text) { return cuGetErrorName(status, text); }

}  // extern "C"
