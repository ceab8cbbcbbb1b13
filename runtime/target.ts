/** What the compiler is told of a device: how kernels are mapped and spelled for it, and how many buffers one may bind. */
import type { CompileOptions } from "../compiler/compile.ts";
import type { DeviceInfo, Dialect } from "./device.ts";

export type Target = Pick<
  CompileOptions,
  "target" | "subgroups" | "f16" | "workgroupMemory" | "maxBuffers" | "relaxedSimd"
>;

/** The dialect that a backend's devices run. */
export const dialects: Readonly<Record<DeviceInfo["backend"], Dialect>> = { webgpu: "wgsl", cuda: "cuda", cpu: "wasm" };

/** How kernels are made for a device. */
export const targetFor = (device: Pick<DeviceInfo, "backend" | "software" | "limits" | "features">): Target => ({
  target: device.backend === "webgpu" ? (device.software ? "software" : "gpu") : device.backend,
  subgroups: device.features.subgroups !== false && device.features.subgroups.min >= 4,
  f16: device.features.f16,
  workgroupMemory: device.limits.workgroupMemoryBytes,
  maxBuffers: device.limits.maxStorageBuffers,
  relaxedSimd: device.features.relaxedSimd === true,
});
