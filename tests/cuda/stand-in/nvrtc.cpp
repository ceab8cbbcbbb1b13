// NVRTC on the stand-in: a "cubin" is a shared object, made by g++.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace {

struct Program {
  std::string text, log, cubin;
};

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream all;
  all << in.rdbuf();
  return all.str();
}

/// The text, and for each kernel how it is called by the addresses of its parameters.
std::string translated(const std::string& text) {
  const std::string mark = "__global__ void";
  std::string out = text;
  for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at)) {
    at += mark.size();
    // __launch_bounds__(threads) or (threads, resident blocks), where it stands there.
    int threads = 0, resident = 1, read = 0;
    sscanf(text.c_str() + at, " __launch_bounds__(%d , %d", &threads, &resident);
    sscanf(text.c_str() + at, " __launch_bounds__(%*[^)])%n", &read);
    char name[256] = "";
    if (sscanf(text.c_str() + at + read, " %255[A-Za-z0-9_] (", name) == 1)
      out += "GYRE_KERNEL(" + std::string(name) + ", " + std::to_string(resident) + ")\n";
  }
  out +=
      "extern \"C\" __attribute__((weak, visibility(\"hidden\"))) unsigned char __start_gyre_shared[], __stop_gyre_shared[];\n"
      "extern \"C\" unsigned char* const gyre_shared_begin = __start_gyre_shared;\n"
      "extern \"C\" unsigned char* const gyre_shared_end = __stop_gyre_shared;\n";
  return out;
}

/// Runs a command to its end, what it says on standard error in a file. Its status, or -1.
int run(const std::vector<std::string>& command, const std::string& said) {
  std::vector<char*> args;
  for (const std::string& a : command) args.push_back(const_cast<char*>(a.c_str()));
  args.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 2, said.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, args[0], &files, nullptr, args.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  int status = 0;
  if (failed || waitpid(child, &status, 0) < 0) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

extern "C" {

int nvrtcVersion(int* major, int* minor) {
  *major = 13;
  *minor = 0;
  return 0;
}
int nvrtcCreateProgram(Program** program, const char* text, const char*, int, const void*, const void*) {
  *program = new Program{text, "", ""};
  return 0;
}
int nvrtcDestroyProgram(Program** program) {
  delete *program;
  *program = nullptr;
  return 0;
}
int nvrtcCompileProgram(Program* p, int, const char**) {
  const char* temporary = getenv("TMPDIR");
  std::string folder = std::string(temporary && *temporary ? temporary : "/tmp") + "/gyre-nvrtc-XXXXXX";
  if (!mkdtemp(folder.data())) return 1;
  const std::string at = folder, source = at + "/kernels.cpp", out = at + "/kernels.so", said = at + "/said";
  std::ofstream(source) << "#include \"device.h\"\n#line 1 \"kernels.cu\"\n" << translated(p->text);
  const int code = run({"g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-w", "-fno-exceptions", "-fno-rtti", "-fno-gnu-unique",
                        "-ffp-contract=off", "-fno-math-errno",
                        "-fsanitize=kernel-address", "--param", "asan-instrumentation-with-call-threshold=0", "--param",
                        "asan-stack=0", "--param", "asan-globals=0", "-I", GYRE_HEADERS, "-o", out, source, GYRE_LIBRARY},
                       said);
  p->log = contents(said);
  if (code == 0) p->cubin = contents(out);
  for (const std::string& f : {source, out, said}) unlink(f.c_str());
  rmdir(folder.c_str());
  return code == 0 ? 0 : 6;
}
int nvrtcGetProgramLogSize(Program* p, size_t* size) {
  *size = p->log.size() + 1;
  return 0;
}
int nvrtcGetProgramLog(Program* p, char* log) {
  memcpy(log, p->log.c_str(), p->log.size() + 1);
  return 0;
}
int nvrtcGetCUBINSize(Program* p, size_t* size) {
  *size = p->cubin.size();
  return 0;
}
int nvrtcGetCUBIN(Program* p, char* cubin) {
  memcpy(cubin, p->cubin.data(), p->cubin.size());
  return 0;
}
}
