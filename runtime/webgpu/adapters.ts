/** Finds WebGPU adapters: those of the machine, and the bundled software one where it has none. */
import { availableParallelism } from "node:os";
import {
  type AdapterChoice,
  allOrNone,
  type Backend,
  type Found,
  type FoundDevice,
  type OpenOptions,
  TIMEOUT_MS,
} from "../backend.ts";
import type { Device, DeviceFeatures, DeviceInfo, DeviceLimits } from "../device.ts";
import { fail, GyreRuntimeError } from "../errors.ts";
import { firstLine } from "../refusals.ts";
import { webGpuDevices } from "./device.ts";
import { backOff } from "./poll.ts";
import { loadSoftwareDriver, softwareDriverLoaded } from "./swiftshader.ts";

/** WebGPU through Dawn: an adapter of the machine is a device, and several mesh positions may share it. */
export const webgpu: Backend = {
  name: "webgpu",
  noun: "WebGPU adapter",
  find: (options) => findAdapters(adapterChoice(options)),
};

function adapterChoice(options: OpenOptions): AdapterChoice {
  const named = options.adapter ?? process.env.GYRE_ADAPTER ?? "auto";
  if (named === "auto" || named === "hardware" || named === "software") return named;
  return fail("input", `GYRE_ADAPTER is '${named}'`, "use auto, hardware or software");
}

/** An instance of Dawn sees the Vulkan drivers that there were when it was made: one is kept for each set of drivers. */
const instances = new Map<string, GPU>();

const driversFor = (software: boolean, share: boolean | undefined): number =>
  share ? 1 : share === undefined && software ? availableParallelism() : Number.POSITIVE_INFINITY;

const TOGGLES = ["disable-dawn-features=timestamp_quantization"];

type WebGpuPackage = { readonly create: (options: string[]) => GPU };

async function webGpuPackage(): Promise<WebGpuPackage> {
  try {
    return (await import("webgpu")) as WebGpuPackage;
  } catch (cause) {
    return fail(
      "no-device",
      `the package webgpu has no build for ${process.platform} ${process.arch} (${firstLine(cause)})`,
      "use `--backend reference`, or install again with `npm ci`",
      cause,
    );
  }
}

/** Looks for adapters. Never throws for want of one: `why` says what was missing. */
async function findAdapters(choice: AdapterChoice): Promise<Found> {
  const why: string[] = [];
  if (choice !== "software") {
    const devices = await attempt(why, () => (native ??= nativeAdapters()));
    if (devices.length > 0) return { devices, why };
  }
  if (choice !== "hardware") {
    const devices = await attempt(why, async () => {
      await loadSoftwareDriver();
      const found = await adaptersOf("software");
      if (found.length === 0) why.push("Dawn does not accept the bundled software adapter");
      return found;
    });
    return { devices, why };
  }
  return { devices: [], why };
}

async function attempt(why: string[], look: () => Promise<readonly FoundDevice[]>): Promise<readonly FoundDevice[]> {
  try {
    return await look();
  } catch (error) {
    why.push(error instanceof GyreRuntimeError ? error.message : firstLine(error));
    return [];
  }
}

/** Looked for once, and before the bundled driver is loaded: from then on it is the only one that Dawn sees. */
let native: Promise<readonly FoundDevice[]> | undefined;

async function nativeAdapters(): Promise<readonly FoundDevice[]> {
  if (softwareDriverLoaded()) {
    return fail("no-device", "this process uses the bundled software adapter", "start another process");
  }
  if (process.platform === "linux" && !(await hasVulkanLoader())) {
    return fail("no-device", "this machine has no Vulkan driver (libvulkan.so.1)", "install the GPU's Vulkan driver");
  }
  const found = await adaptersOf("native");
  if (found.length === 0) fail("no-device", "Dawn finds no adapter in this machine", "install the GPU's driver");
  return found;
}

/** Asked before Dawn is, which would complain on standard error. */
async function hasVulkanLoader(): Promise<boolean> {
  try {
    const koffi = await import("koffi");
    koffi.load("libvulkan.so.1");
    return true;
  } catch {
    return false;
  }
}

/** The distinct adapters of the drivers that are loaded now, the most powerful first. */
async function adaptersOf(drivers: "native" | "software"): Promise<readonly FoundDevice[]> {
  backOff();
  const { create } = await webGpuPackage();
  const instance = (adapter?: string): GPU => {
    const key = `${drivers} ${adapter ?? ""}`;
    const known = instances.get(key);
    if (known) return known;
    const made = create(adapter === undefined ? TOGGLES : [...TOGGLES, `adapter=${adapter}`]);
    instances.set(key, made);
    return made;
  };
  const first = await instance().requestAdapter({ powerPreference: "high-performance" });
  if (!first) return [];
  const found: FoundDevice[] = [];
  for (const listed of await listedNames(create)) {
    const gpu = instance(listed);
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
    if (adapter) found.push(adapterOf(gpu, adapter, listed));
  }
  if (found.length > 0) return found;
  return [adapterOf(instance(), first, first.info.description || first.info.device || "adapter")];
}

/**
 * WebGPU cannot enumerate adapters, but node-webgpu, asked for one of an impossible name, names those there are. Equal
 * names cannot be told apart and count once, and a CPU's adapter counts only where there is no other.
 */
async function listedNames(create: WebGpuPackage["create"]): Promise<readonly string[]> {
  try {
    await create(["adapter=?"]).requestAdapter();
    return [];
  } catch (error) {
    const names = [...String(error).matchAll(/backend: '(\w+)', name: '([^']+)'/g)]
      .filter(([, backend]) => backend !== "opengl" && backend !== "opengles" && backend !== "null")
      .map(([, , name]) => name!);
    const distinct = [...new Set(names)];
    const hardware = distinct.filter((name) => !isSoftware(name));
    return hardware.length > 0 ? hardware : distinct;
  }
}

const isSoftware = (name: string) => /swiftshader|llvmpipe|lavapipe|basic render/i.test(name);

function adapterOf(gpu: GPU, adapter: GPUAdapter, name: string): FoundDevice {
  const limits = limitsOf(adapter.limits);
  const features = featuresOf(adapter);
  const software = isSoftware(name) || adapter.info.isFallbackAdapter === true;
  const openDriver = async (names: readonly string[], timeoutMs: number): Promise<readonly Device[]> => {
    const deviceName = names.join(" ");
    // An adapter object gives one device only.
    const fresh = await gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!fresh) return fail("no-device", `${name} does not answer any more`, "see `gyre devices`");
    const wanted: GPUFeatureName[] = ["subgroups", "shader-f16", "timestamp-query"];
    try {
      const device = await fresh.requestDevice({
        label: deviceName,
        requiredFeatures: wanted.filter((feature) => fresh.features.has(feature)),
        requiredLimits: Object.fromEntries(LIMITS.map((limit) => [limit, fresh.limits[limit]])),
      });
      const info: DeviceInfo = { backend: "webgpu", name: deviceName, adapter: name, software, limits, features };
      return webGpuDevices(device, info, names, timeoutMs);
    } catch (cause) {
      return fail("no-device", `${name} gave no device: ${firstLine(cause)}`, "see `gyre devices`", cause);
    }
  };
  const open = async (names: readonly string[], options: OpenOptions): Promise<readonly Device[]> => {
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    const drivers = Math.min(names.length, driversFor(software, options.share));
    // Neighbours on a ring are on different ones, so that transfers stay transfers.
    const groups = Array.from({ length: drivers }, (_, d) => names.filter((_, k) => k % drivers === d));
    const opened = await allOrNone(groups.map((group) => openDriver(group, timeoutMs)));
    return names.map((_, k) => opened[k % drivers]![Math.floor(k / drivers)]!);
  };
  return { name, software, limits, features, open };
}

/** The limits that are asked for when a device is opened: without asking, a device has small defaults. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupStorageSize",
  "maxComputeWorkgroupsPerDimension",
] as const;

function limitsOf(limits: GPUSupportedLimits): DeviceLimits {
  return {
    maxBufferBytes: limits.maxBufferSize,
    maxBindingBytes: limits.maxStorageBufferBindingSize,
    maxStorageBuffers: limits.maxStorageBuffersPerShaderStage,
    maxWorkgroupInvocations: limits.maxComputeInvocationsPerWorkgroup,
    maxWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    maxWorkgroupSize: [
      limits.maxComputeWorkgroupSizeX,
      limits.maxComputeWorkgroupSizeY,
      limits.maxComputeWorkgroupSizeZ,
    ],
    workgroupMemoryBytes: limits.maxComputeWorkgroupStorageSize,
  };
}

function featuresOf(adapter: GPUAdapter): DeviceFeatures {
  const { subgroupMinSize: min, subgroupMaxSize: max } = adapter.info;
  return {
    subgroups: adapter.features.has("subgroups") && min && max ? { min, max } : false,
    f16: adapter.features.has("shader-f16"),
    timestamps: adapter.features.has("timestamp-query"),
  };
}
