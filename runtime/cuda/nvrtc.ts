/** NVRTC, the toolkit's compiler as a library: CUDA C++ to a cubin, in this process and without a driver. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fail } from "../errors.ts";
import { loadLibrary } from "../library.ts";
import { type CudaCompiler, refused } from "./refusals.ts";

const MAJORS = [13, 12, 11];

/** `GYRE_NVRTC` names it; else what the system's loader finds, and where the toolkit goes by custom. */
function candidates(): readonly string[] {
  const { GYRE_NVRTC, CUDA_HOME, CUDA_PATH } = process.env;
  if (GYRE_NVRTC) return [GYRE_NVRTC];
  const windows = process.platform === "win32";
  const leaves = windows
    ? ["nvrtc64_130_0.dll", "nvrtc64_120_0.dll", "nvrtc64_112_0.dll"]
    : [...MAJORS.map((major) => `libnvrtc.so.${major === 11 ? "11.2" : major}`), "libnvrtc.so"];
  const homes = [CUDA_HOME, CUDA_PATH, "/usr/local/cuda"].filter((home) => home !== undefined && home !== "");
  const folders = homes.flatMap((home) =>
    windows ? [join(home!, "bin")] : [join(home!, "lib64"), join(home!, "lib")],
  );
  return [...leaves, ...folders.flatMap((folder) => leaves.map((leaf) => join(folder, leaf)).filter(existsSync))];
}

type Nvrtc = Awaited<ReturnType<typeof load>>;

async function load(path: string) {
  // Lies beside it, and is looked for by name only when the first program is compiled.
  const builtins = join(dirname(path), "libnvrtc-builtins.so");
  const { lib } = await loadLibrary(path, existsSync(builtins) ? [builtins] : []);
  return {
    version: lib.func("int nvrtcVersion(_Out_ int *major, _Out_ int *minor)"),
    create: lib.func(
      "int nvrtcCreateProgram(_Out_ void **program, const char *text, const char *name, int headers, const void *a, const void *b)",
    ),
    compile: lib.func("int nvrtcCompileProgram(void *program, int count, const char **options)"),
    destroy: lib.func("int nvrtcDestroyProgram(void **program)"),
    logSize: lib.func("int nvrtcGetProgramLogSize(void *program, _Out_ size_t *size)"),
    log: lib.func("int nvrtcGetProgramLog(void *program, void *log)"),
    cubinSize: lib.func("int nvrtcGetCUBINSize(void *program, _Out_ size_t *size)"),
    cubin: lib.func("int nvrtcGetCUBIN(void *program, void *cubin)"),
  };
}

/** The first library that loads. */
export async function findNvrtc(): Promise<CudaCompiler | undefined> {
  for (const path of candidates()) {
    try {
      const nvrtc = await load(path);
      const [major, minor] = [[0], [0]];
      if (nvrtc.version(major, minor) !== 0) continue;
      return { name: `NVRTC ${major[0]}.${minor[0]}`, compile: (text, arch) => compile(nvrtc, text, arch) };
    } catch {
      // not this one
    }
  }
  return undefined;
}

async function compile(nvrtc: Nvrtc, text: string, arch: string): Promise<Uint8Array> {
  const handle: [unknown] = [null];
  check(nvrtc.create(handle, text, "kernels.cu", 0, null, null), "nvrtcCreateProgram");
  const program = handle[0];
  try {
    const options = [`--gpu-architecture=${arch}`, "-std=c++17"];
    // On another thread: the devices go on meanwhile.
    const status = await new Promise<number>((resolve, reject) => {
      nvrtc.compile.async(program, options.length, options, (error: unknown, code: number) =>
        error ? reject(error) : resolve(code),
      );
    });
    if (status === COMPILATION)
      return refused("NVRTC", arch, sized(nvrtc.logSize, nvrtc.log, program).toString(), text);
    check(status, "nvrtcCompileProgram");
    return sized(nvrtc.cubinSize, nvrtc.cubin, program);
  } finally {
    nvrtc.destroy(handle);
  }
}

type Call = (...args: unknown[]) => number;

/** Bytes whose size is asked first. */
function sized(sizeOf: Call, bytesOf: Call, program: unknown): Buffer {
  const size = [0];
  check(sizeOf(program, size), "NVRTC");
  const bytes = Buffer.alloc(Number(size[0]));
  check(bytesOf(program, bytes), "NVRTC");
  return bytes;
}

const COMPILATION = 6;
const ERRORS = [
  "success",
  "out of memory",
  "program creation failure",
  "invalid input",
  "invalid program",
  "invalid option (this NVRTC does not know the GPU's architecture)",
  "compilation",
  "builtin operation failure (libnvrtc-builtins is missing)",
];

function check(status: number, what: string): void {
  if (status === 0) return;
  fail(
    "shader",
    `${what} failed: ${ERRORS[status] ?? `NVRTC error ${status}`}`,
    "use the NVRTC of a newer CUDA toolkit (GYRE_NVRTC names the library), or nvcc (GYRE_NVCC)",
  );
}
