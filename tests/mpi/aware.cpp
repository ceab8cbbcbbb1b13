// A CUDA-aware MPI, for tests: the library under it (whose memory the stand-in's GPUs are for it), and a record of the
// messages that begin or end in a GPU's.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

namespace {
template <class F> F next(const char* name) { return reinterpret_cast<F>(dlsym(RTLD_NEXT, name)); }
bool onGpu(const void* p, int bytes) {
  static void* cuda = dlopen(getenv("GYRE_CUDA_DRIVER"), RTLD_NOW);
  static auto* asked = reinterpret_cast<bool (*)(const void*, size_t, int)>(dlsym(cuda, "gyre_on_device"));
  for (int device = 0; device < 4; device++)
    if (asked(p, size_t(bytes), device)) return true;
  return false;
}
void record(const char* call, const void* p, int bytes) {
  FILE* file = fopen(getenv("GYRE_AWARE_RECORD"), "a");
  fprintf(file, "%s %s\n", call, onGpu(p, bytes) ? "GPU" : "host");
  fclose(file);
}
}  // namespace

extern "C" {
int MPIX_Query_cuda_support() { return 1; }
int MPI_Isend(void* p, int n, void* type, int to, int tag, void* comm, void* request) {
  record("MPI_Isend", p, n);
  return next<int (*)(void*, int, void*, int, int, void*, void*)>("MPI_Isend")(p, n, type, to, tag, comm, request);
}
int MPI_Irecv(void* p, int n, void* type, int from, int tag, void* comm, void* request) {
  record("MPI_Irecv", p, n);
  return next<int (*)(void*, int, void*, int, int, void*, void*)>("MPI_Irecv")(p, n, type, from, tag, comm, request);
}
}
