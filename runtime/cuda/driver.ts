/** The CUDA driver API through koffi: as much of it as the runtime calls, each call checked. */
import { loadLibrary } from "../library.ts";
import { type Failed, statusError } from "./refusals.ts";

/** Handles and addresses of memory on a GPU. */
export type Handle = bigint;

/** The calls by name, with their C types. What a call gives by pointer comes back in an array of one. */
const SIGNATURES = {
  cuInit: "int cuInit(unsigned int flags)",
  cuDriverGetVersion: "int cuDriverGetVersion(_Out_ int *version)",
  cuDeviceGetCount: "int cuDeviceGetCount(_Out_ int *count)",
  cuDeviceGet: "int cuDeviceGet(_Out_ int *device, int ordinal)",
  cuDeviceGetName: "int cuDeviceGetName(void *name, int length, int device)",
  cuDeviceGetPCIBusId: "int cuDeviceGetPCIBusId(void *id, int length, int device)",
  cuDeviceTotalMem: "int cuDeviceTotalMem_v2(_Out_ size_t *bytes, int device)",
  cuDeviceGetAttribute: "int cuDeviceGetAttribute(_Out_ int *value, int attribute, int device)",
  cuDevicePrimaryCtxRetain: "int cuDevicePrimaryCtxRetain(_Out_ uint64_t *context, int device)",
  cuDevicePrimaryCtxRelease: "int cuDevicePrimaryCtxRelease_v2(int device)",
  cuCtxSetCurrent: "int cuCtxSetCurrent(uint64_t context)",
  cuMemGetInfo: "int cuMemGetInfo_v2(_Out_ size_t *free, _Out_ size_t *total)",
  cuMemAlloc: "int cuMemAlloc_v2(_Out_ uint64_t *address, size_t bytes)",
  cuMemFree: "int cuMemFree_v2(uint64_t address)",
  cuMemHostAlloc: "int cuMemHostAlloc(_Out_ uint64_t *address, size_t bytes, unsigned int flags)",
  cuMemFreeHost: "int cuMemFreeHost(uint64_t address)",
  cuMemcpyHtoD: "int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, uint64_t stream)",
  cuMemcpyDtoH: "int cuMemcpyDtoHAsync_v2(uint64_t to, uint64_t from, size_t bytes, uint64_t stream)",
  cuMemcpyDtoD: "int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, uint64_t stream)",
  cuMemcpyPeer:
    "int cuMemcpyPeerAsync(uint64_t to, uint64_t toContext, uint64_t from, uint64_t fromContext, size_t bytes, uint64_t stream)",
  cuMemsetD8: "int cuMemsetD8Async(uint64_t address, uint8_t value, size_t bytes, uint64_t stream)",
  cuDeviceCanAccessPeer: "int cuDeviceCanAccessPeer(_Out_ int *can, int device, int peer)",
  cuCtxEnablePeerAccess: "int cuCtxEnablePeerAccess(uint64_t peer, unsigned int flags)",
  cuStreamCreate: "int cuStreamCreate(_Out_ uint64_t *stream, unsigned int flags)",
  cuCtxGetStreamPriorityRange: "int cuCtxGetStreamPriorityRange(_Out_ int *least, _Out_ int *greatest)",
  cuStreamCreateWithPriority:
    "int cuStreamCreateWithPriority(_Out_ uint64_t *stream, unsigned int flags, int priority)",
  cuStreamDestroy: "int cuStreamDestroy_v2(uint64_t stream)",
  cuStreamWaitEvent: "int cuStreamWaitEvent(uint64_t stream, uint64_t event, unsigned int flags)",
  cuEventCreate: "int cuEventCreate(_Out_ uint64_t *event, unsigned int flags)",
  cuEventDestroy: "int cuEventDestroy_v2(uint64_t event)",
  cuEventRecord: "int cuEventRecord(uint64_t event, uint64_t stream)",
  cuEventQuery: "int cuEventQuery(uint64_t event)",
  cuEventElapsedTime: "int cuEventElapsedTime(_Out_ float *milliseconds, uint64_t from, uint64_t to)",
  cuModuleLoadData: "int cuModuleLoadData(_Out_ uint64_t *module, const void *image)",
  cuModuleUnload: "int cuModuleUnload(uint64_t module)",
  cuModuleGetFunction: "int cuModuleGetFunction(_Out_ uint64_t *function, uint64_t module, const char *name)",
  cuFuncSetAttribute: "int cuFuncSetAttribute(uint64_t function, int attribute, int value)",
  cuTensorMapEncodeTiled:
    "int cuTensorMapEncodeTiled(uint64_t map, int type, unsigned int rank, uint64_t base, const void *dims, const void *strides, const void *box, const void *steps, int interleave, int swizzle, int promotion, int fill)",
  cuLaunchKernel:
    "int cuLaunchKernel(uint64_t function, unsigned int bx, unsigned int by, unsigned int bz, unsigned int tx, unsigned int ty, unsigned int tz, unsigned int shared, uint64_t stream, void *params, void *extra)",
  cuGetErrorName: "int cuGetErrorName(int status, _Out_ const char **name)",
  cuGetErrorString: "int cuGetErrorString(int status, _Out_ const char **text)",
} as const;
type Name = keyof typeof SIGNATURES;

export type Driver = {
  /** Calls; what the driver says, 0 where all is well. */
  readonly status: (name: Name, ...args: readonly unknown[]) => number;
  /** Calls; throws what went wrong, in words. */
  readonly call: (about: Failed, name: Name, ...args: readonly unknown[]) => void;
  /** Calls what gives a handle, an address or a size by its first parameter. */
  readonly make: (about: Failed, name: Name, ...args: readonly unknown[]) => Handle;
  readonly error: (about: Failed, status: number) => Error;
  /** Where memory of this process lies, and the memory that lies at an address. */
  readonly addressOf: (memory: ArrayBufferView) => Handle;
  readonly memoryAt: (address: Handle, bytes: number) => ArrayBuffer;
};

/** `GYRE_CUDA_DRIVER` names the driver's library; else the system's loader finds it. */
const PATHS: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  linux: ["libcuda.so.1", "libcuda.so", "/usr/lib/wsl/lib/libcuda.so.1"],
  win32: ["nvcuda.dll"],
};

const drivers = new Map<string, Promise<Driver>>();

/** The driver's library, loaded once; throws why there is none. */
export function loadDriver(): Promise<Driver> {
  const key = process.env.GYRE_CUDA_DRIVER ?? "";
  const made = drivers.get(key) ?? load();
  drivers.set(key, made);
  made.catch(() => drivers.delete(key));
  return made;
}

async function load(): Promise<Driver> {
  const { GYRE_CUDA_DRIVER } = process.env;
  const paths = GYRE_CUDA_DRIVER ? [GYRE_CUDA_DRIVER] : (PATHS[process.platform] ?? []);
  let why: unknown = new Error(`there is no CUDA driver for ${process.platform}`);
  for (const path of paths) {
    try {
      const { lib, koffi } = await loadLibrary(path);
      const functions = new Map<Name, (...args: unknown[]) => number>();
      const find = (name: Name) => {
        const made = functions.get(name) ?? (lib.func(SIGNATURES[name]) as (...args: unknown[]) => number);
        functions.set(name, made);
        return made;
      };
      find("cuInit");
      return {
        ...checkedCalls(find),
        addressOf: (memory) => koffi.address(memory),
        memoryAt: (address, bytes) => koffi.view(address, bytes),
      };
    } catch (error) {
      why = error;
    }
  }
  throw why;
}

function checkedCalls(find: (name: Name) => (...args: unknown[]) => number) {
  const status: Driver["status"] = (name, ...args) => find(name)(...args);
  const text = (name: "cuGetErrorName" | "cuGetErrorString", code: number): string => {
    const out: [string | null] = [null];
    return status(name, code, out) === 0 && out[0] ? out[0] : "";
  };
  const error: Driver["error"] = (about, code) =>
    statusError(about, code, text("cuGetErrorName", code), text("cuGetErrorString", code));
  const call: Driver["call"] = (about, name, ...args) => {
    const code = status(name, ...args);
    if (code !== 0) throw error({ call: name, ...about }, code);
  };
  const make: Driver["make"] = (about, name, ...args) => {
    const out: [bigint | number] = [0];
    call(about, name, out, ...args);
    return BigInt(out[0]);
  };
  return { status, error, call, make };
}
