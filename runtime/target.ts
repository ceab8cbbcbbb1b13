/** What the compiler is told of a device: how kernels are mapped and spelled for it, and how many buffers one may bind. */
import type { CompileOptions } from "../compiler/options.ts";
import type { DeviceInfo, Dialect } from "./device.ts";

export type Target = Pick<
  CompileOptions,
  "target" | "subgroups" | "f16" | "workgroupMemory" | "maxBuffers" | "relaxedSimd"
>;

/** The dialect that a backend's devices run. */
export const dialects: Readonly<Record<DeviceInfo["backend"], Dialect>> = { webgpu: "wgsl", cuda: "cuda", cpu: "wasm" };

type Facts = Pick<DeviceInfo, "backend" | "software" | "limits" | "features">;
const targetNames: Readonly<Record<DeviceInfo["backend"], (device: Facts) => NonNullable<Target["target"]>>> = {
  webgpu: (device) => (device.software ? "software" : "gpu"),
  cuda: (device) => (device.features.warpgroups ? "hopper" : "cuda"),
  cpu: () => "cpu",
};
/** What kernels in CUDA C++ are made for, by the architecture that they are compiled for. */
export const targetOfArch = (arch: string): "cuda" | "hopper" => (arch === "sm_90a" ? "hopper" : "cuda");

/** How kernels are made for a device. */
export const targetFor = (device: Facts): Target => ({
  target: targetNames[device.backend](device),
  subgroups: device.features.subgroups !== false && device.features.subgroups.min >= 4 && device.features.subgroups.min,
  f16: device.features.f16,
  workgroupMemory: device.limits.workgroupMemoryBytes,
  maxBuffers: device.limits.maxStorageBuffers,
  relaxedSimd: device.features.relaxedSimd === true,
});
