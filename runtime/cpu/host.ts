/** The CPU as a device that was found: what Node and browsers say of it in the same way. */
import { type Found, TIMEOUT_MS } from "../backend.ts";
import type { DeviceLimits } from "../device.ts";
import { cpuDevices } from "./device.ts";
import { hasRelaxedSimd, hasSimd } from "./engine.ts";
import type { Spawn } from "./pool.ts";

/** All that a WebAssembly memory of 32-bit addresses can have, less what a device keeps for itself. */
const most = 2 ** 32 - 2 ** 26;
const limits: DeviceLimits = {
  maxBufferBytes: most,
  maxBindingBytes: most,
  maxStorageBuffers: 64,
  maxWorkgroupInvocations: 1,
  maxWorkgroupsPerDimension: 2 ** 31 - 1,
  maxWorkgroupSize: [1, 1, 1],
  workgroupMemoryBytes: 0,
};

/**
 * `arenas`: the most memories that are made, of at most `pages` of 64 KiB each; mesh positions beyond share them.
 * `name` is for people.
 */
export type Host = {
  readonly name: string;
  readonly threads: number;
  readonly arenas: number;
  readonly pages: number;
  readonly spawn: Spawn;
};

export function cpuOf({ name, spawn, ...sizes }: Host): Found {
  if (!hasSimd()) return { devices: [], why: ["this engine has no WebAssembly SIMD"] };
  const features = { subgroups: false, f16: true, timestamps: true, relaxedSimd: hasRelaxedSimd() } as const;
  const info = { backend: "cpu" as const, adapter: name, software: true, limits, features };
  return {
    devices: [
      {
        name,
        software: true,
        limits,
        features,
        open: async (names, { timeoutMs = TIMEOUT_MS }) => cpuDevices(names, { ...sizes, spawn, info, timeoutMs }),
      },
    ],
    why: [],
  };
}
