/** One GPU: its primary context, what it can do, kernels that were loaded on it, and how work on it is waited for. */
import type { DeviceFeatures, DeviceLimits, KernelSource } from "../device.ts";
import { fail, GyreRuntimeError } from "../errors.ts";
import { once } from "../once.ts";
import { cubinOf } from "./cache.ts";
import type { Driver, Handle } from "./driver.ts";
import type { Failed } from "./refusals.ts";

export type GpuFacts = {
  readonly ordinal: number;
  readonly name: string;
  /** Which GPU of the host it is, whatever CUDA_VISIBLE_DEVICES says: `0000:3b:00.0`. */
  readonly busId: string;
  /** As nvcc spells it: `sm_80`, `sm_90a`. */
  readonly arch: string;
  readonly memoryBytes: number;
  readonly limits: DeviceLimits;
  readonly features: DeviceFeatures;
};

/** A GPU with its context, which all mesh positions on it share. */
export type Gpu = GpuFacts & {
  readonly driver: Driver;
  readonly context: Handle;
  /** Makes the context the one that calls are for. */
  readonly use: () => void;
  /** The entry of a kernel. Errors: kind `shader`. */
  readonly load: (source: KernelSource, about: (doing: string) => Failed) => Promise<Handle>;
  /** Whether copies go straight to the other; otherwise the driver stages them in pinned memory of the host. */
  readonly reaches: (other: Gpu) => boolean;
  /** One position less uses it: the last unloads the kernels and gives the context back. */
  readonly release: () => void;
};

const ATTRIBUTES = { threads: 1, blockX: 2, blockY: 3, blockZ: 4, gridX: 5, major: 75, minor: 76, sharedOptIn: 97 };

/** Kernels index elements of an array by 32-bit numbers: 2^31 elements of two bytes. */
const MOST_ARRAY_BYTES = 2 ** 32 - 4;
/** The driver of CUDA 12.0 encodes tensor maps. */
const FIRST_WITH_TENSOR_MAPS = 12_000;
/** Parameters of a kernel lie in 4 KiB. */
const MOST_BUFFERS = 256;

/** What a GPU is; opens nothing. */
export function factsOf(driver: Driver, ordinal: number): GpuFacts {
  const about: Failed = { device: `cuda:${ordinal}`, gpu: `GPU ${ordinal}`, doing: "asking what the GPU is" };
  const device = Number(driver.make(about, "cuDeviceGet", ordinal));
  const attribute = (which: number) => Number(driver.make(about, "cuDeviceGetAttribute", which, device));
  const text = (call: "cuDeviceGetName" | "cuDeviceGetPCIBusId"): string => {
    const bytes = Buffer.alloc(256);
    driver.call(about, call, bytes, bytes.length, device);
    return bytes.toString("utf8", 0, bytes.indexOf(0));
  };
  const name = text("cuDeviceGetName");
  const memoryBytes = Number(driver.make(about, "cuDeviceTotalMem", device));
  const [major, minor] = [attribute(ATTRIBUTES.major), attribute(ATTRIBUTES.minor)];
  const most = Math.min(memoryBytes, MOST_ARRAY_BYTES);
  // From 9.0 on, what is only in this one architecture (wgmma, TMA) is asked for by an `a`.
  const arch = `sm_${major}${minor}${major >= 9 ? "a" : ""}`;
  const version = Number(driver.make(about, "cuDriverGetVersion"));
  const warpgroups = arch === "sm_90a" && version >= FIRST_WITH_TENSOR_MAPS && process.env.GYRE_CUDA_WARPGROUPS !== "0";
  return {
    ordinal,
    name,
    busId: text("cuDeviceGetPCIBusId"),
    arch,
    memoryBytes,
    limits: {
      maxBufferBytes: most,
      maxBindingBytes: most,
      maxStorageBuffers: MOST_BUFFERS,
      maxWorkgroupInvocations: attribute(ATTRIBUTES.threads),
      maxWorkgroupsPerDimension: attribute(ATTRIBUTES.gridX),
      maxWorkgroupSize: [attribute(ATTRIBUTES.blockX), attribute(ATTRIBUTES.blockY), attribute(ATTRIBUTES.blockZ)],
      workgroupMemoryBytes: attribute(ATTRIBUTES.sharedOptIn),
    },
    features: { subgroups: { min: 32, max: 32 }, f16: true, timestamps: true, warpgroups },
  };
}

/** Opens a GPU for `positions` mesh positions. */
export function openGpu(driver: Driver, facts: GpuFacts, positions: number): Gpu {
  const about: Failed = { device: `cuda:${facts.ordinal}`, gpu: facts.name, doing: "opening the GPU" };
  const context = driver.make(about, "cuDevicePrimaryCtxRetain", facts.ordinal);
  const use = () => driver.call(about, "cuCtxSetCurrent", context);
  const modules = new Map<string, Promise<Handle>>();
  const loaded: Handle[] = [];
  const reached = new Map<Gpu, boolean>();
  let open = positions;

  const loadImage = (image: Uint8Array, f: Failed): Handle => {
    use();
    const module = driver.make(f, "cuModuleLoadData", image);
    loaded.push(module);
    return module;
  };
  /** What was compiled when the program was built; where that is for other GPUs, compiled here. */
  const makeModule = async (source: KernelSource, f: Failed): Promise<Handle> => {
    if (source.code) {
      try {
        return loadImage(source.code, f);
      } catch (error) {
        if (!(error instanceof GyreRuntimeError) || error.kind !== "shader") throw error;
      }
    }
    return loadImage(await cubinOf(source.text, facts.arch), f);
  };

  const gpu: Gpu = {
    ...facts,
    driver,
    context,
    use,
    async load(source, aboutDoing) {
      const { name, sharedBytes, text } = source;
      const f = aboutDoing(`loading kernel '${name}'`);
      const entry = await once(modules, text, () => makeModule(source, f));
      use();
      const kernel = driver.make(f, "cuModuleGetFunction", entry, source.entry);
      if (sharedBytes > facts.limits.workgroupMemoryBytes) {
        fail(
          "limit",
          `kernel '${name}' needs ${sharedBytes} bytes of shared memory; ${facts.name} has ${facts.limits.workgroupMemoryBytes} for a block`,
          "use smaller blocks in the program's `tiles`",
        );
      }
      // Beyond 48 KiB it has to be asked for. And a driver that loads kernels when they are first used does it now: later
      // it might wait for transfers that wait for other devices.
      driver.call(f, "cuFuncSetAttribute", kernel, MAX_DYNAMIC_SHARED, sharedBytes);
      return kernel;
    },
    reaches(other) {
      const known = reached.get(other);
      if (known !== undefined) return known;
      const f = { ...about, doing: `asking for access to GPU ${other.ordinal}` };
      const can = Number(driver.make(f, "cuDeviceCanAccessPeer", facts.ordinal, other.ordinal)) !== 0;
      use();
      const status = can ? driver.status("cuCtxEnablePeerAccess", other.context, 0) : ACCESS_UNSUPPORTED;
      const reaches = status === 0 || status === ACCESS_ENABLED;
      reached.set(other, reaches);
      return reaches;
    },
    release() {
      if (--open > 0) return;
      driver.status("cuCtxSetCurrent", context);
      for (const module of loaded) driver.status("cuModuleUnload", module);
      modules.clear();
      driver.status("cuDevicePrimaryCtxRelease", facts.ordinal);
    },
  };
  return gpu;
}

/** CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, and the statuses of peer access. */
const MAX_DYNAMIC_SHARED = 8;
const ACCESS_ENABLED = 704;
const ACCESS_UNSUPPORTED = 217;
