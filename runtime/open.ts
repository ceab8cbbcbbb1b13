/** From the name of a backend to devices, or to a sentence that says why there are none. */
import { availableParallelism } from "node:os";
import type { AdapterChoice } from "./adapters.ts";
import { findAdapters } from "./adapters.ts";
import type { Device, DeviceFeatures, DeviceLimits } from "./device.ts";
import { fail } from "./errors.ts";

export type OpenOptions = {
  /** How long a wait may last without progress, in milliseconds; 60 s when left out, `Infinity` for no limit. */
  readonly timeoutMs?: number;
  /** Which adapters count; when left out, the environment's `GYRE_ADAPTER`, else `auto`. */
  readonly adapter?: AdapterChoice;
  /**
   * Whether the devices of one adapter share a driver's device: kernels are compiled once instead of once for each, and
   * transfers are copies on the device; but nothing overlaps, for there is one queue. When left out: on hardware no; on a
   * software adapter there is a driver's device for each core, because more could not run beside each other, and its
   * compiler takes one kernel at a time.
   */
  readonly share?: boolean;
};

const TIMEOUT_MS = 60_000;

const driversFor = (software: boolean, share: boolean | undefined): number =>
  share ? 1 : share === undefined && software ? availableParallelism() : Number.POSITIVE_INFINITY;

/**
 * Opens `count` devices, one for each mesh position. `spec` is `auto`, `webgpu`, or with the adapters to use, numbered
 * as `gyre devices` lists them, `webgpu:0`, `webgpu:0-3`, `webgpu:0,2`. Devices are dealt to the adapters in turn;
 * several share an adapter where there are fewer adapters than devices. Errors: `no-device`, `input` (a bad `spec`).
 */
export async function openDevices(spec: string, count: number, options: OpenOptions = {}): Promise<readonly Device[]> {
  const { backend, picked } = parseSpec(spec);
  if (backend === "cuda") {
    fail("no-device", "the CUDA backend is not supported yet", "use `--backend webgpu`");
  }
  const { adapters, why } = await findAdapters(adapterChoice(options));
  if (adapters.length === 0) {
    fail("no-device", `no WebGPU adapter: ${why.join("; ")}`, "see `gyre devices`, or use `--backend reference`");
  }
  const chosen = (picked ?? adapters.map((_, i) => i)).map(
    (i) =>
      adapters[i] ??
      fail(
        "no-device",
        `'${spec}' asks for adapter ${i}, and there ${adapters.length === 1 ? "is 1" : `are ${adapters.length}`}`,
        "see `gyre devices`",
      ),
  );
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  // Position i is on adapter i mod n. Each group of positions below is one device of the driver.
  const positions = Array.from({ length: count }, (_, i) => i);
  const groups = chosen.flatMap((adapter, a) => {
    const here = positions.filter((i) => i % chosen.length === a);
    const drivers = Math.min(here.length, driversFor(adapter.software, options.share));
    // Neighbours on a ring are on different ones, so that transfers stay transfers.
    return Array.from({ length: drivers }, (_, d) => here.filter((_, k) => k % drivers === d));
  });
  const opened = await Promise.allSettled(
    groups.map((group) => {
      const names = group.map((i) => `webgpu:${i}`);
      return chosen[group[0]! % chosen.length]!.open(names, timeoutMs);
    }),
  );
  const devices: Device[] = [];
  opened.forEach((one, g) => {
    if (one.status === "rejected") return;
    for (const [k, device] of one.value.entries()) devices[groups[g]![k]!] = device;
  });
  const failed = opened.find((one) => one.status === "rejected");
  if (failed) {
    for (const device of devices) device?.close();
    throw failed.reason;
  }
  return devices;
}

export type ListedDevice = {
  readonly name: string;
  readonly software: boolean;
  readonly limits: DeviceLimits;
  readonly features: DeviceFeatures;
};

/** A backend, the devices it finds (as numbered in `openDevices`' spec), and why it finds no more. */
export type ListedBackend = {
  readonly backend: string;
  readonly devices: readonly ListedDevice[];
  readonly why: readonly string[];
};

/** What each backend finds on this machine, for `gyre devices`. Opens nothing and does not throw. */
export async function listDevices(options: OpenOptions = {}): Promise<readonly ListedBackend[]> {
  const { adapters, why } = await findAdapters(adapterChoice(options));
  return [
    { backend: "webgpu", devices: adapters.map(({ open: _, ...adapter }) => adapter), why },
    { backend: "cuda", devices: [], why: ["the CUDA backend is not supported yet"] },
  ];
}

function adapterChoice(options: OpenOptions): AdapterChoice {
  const named = options.adapter ?? process.env.GYRE_ADAPTER ?? "auto";
  if (named === "auto" || named === "hardware" || named === "software") return named;
  return fail("input", `GYRE_ADAPTER is '${named}'`, "use auto, hardware or software");
}

/** `webgpu:0-2,5` → `{ backend: "webgpu", picked: [0, 1, 2, 5] }`. */
export function parseSpec(spec: string): {
  readonly backend: "webgpu" | "cuda";
  readonly picked: readonly number[] | undefined;
} {
  const [, name, list] = /^(auto|webgpu|cuda)(?::(\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*))?$/.exec(spec) ?? [];
  if (name === undefined) {
    fail("input", `'${spec}' is no backend with devices`, "use auto, webgpu, or with adapters webgpu:0-3");
  }
  const picked = list?.split(",").flatMap((part) => {
    const [from, to] = part.split("-").map(Number) as [number, number | undefined];
    return Array.from({ length: Math.max(0, (to ?? from) - from + 1) }, (_, i) => from + i);
  });
  return { backend: name === "cuda" ? "cuda" : "webgpu", picked };
}
