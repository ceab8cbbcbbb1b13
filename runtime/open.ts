/** From the name of a backend to devices, or to a sentence that says why there are none. */

import {
  allOrNone,
  type Backend,
  type Found,
  type FoundDevice,
  type ListedDevice,
  type OpenOptions,
} from "./backend.ts";
import { cpu } from "./cpu/node.ts";
import { cuda } from "./cuda/backend.ts";
import type { Device } from "./device.ts";
import { fail, GyreRuntimeError } from "./errors.ts";
import { webgpu } from "./webgpu/adapters.ts";

/** In the order in which `auto` would have them. */
const backends: readonly Backend[] = [cuda, webgpu, cpu];

/**
 * Opens `count` devices, one for each mesh position. `spec` is `auto` or the name of a backend, or with the devices to
 * use, numbered as `gyre devices` lists them, `webgpu:0`, `webgpu:0-3`, `webgpu:0,2`. Mesh positions are dealt to the
 * devices in turn; several share one where there are fewer. Errors: `no-device`, `input` (a bad `spec`).
 */
export async function openDevices(spec: string, count: number, options: OpenOptions = {}): Promise<readonly Device[]> {
  const { backend, picked } = parseSpec(spec);
  const { row, devices } = await findFor(backend, options);
  const chosen = (picked ?? devices.map((_, i) => i)).map(
    (i) =>
      devices[i] ??
      fail(
        "no-device",
        `'${spec}' asks for ${row.noun} ${i}, and there ${devices.length === 1 ? "is 1" : `are ${devices.length}`}`,
        "see `gyre devices`",
      ),
  );
  // The i-th position is on device i mod n.
  const positions = Array.from({ length: count }, (_, i) => i);
  const names = options.among?.positions ?? positions;
  const first = (options.among?.before ?? 0) % chosen.length;
  const used = [...chosen.slice(first), ...chosen.slice(0, first)].slice(0, count);
  const opened = await allOrNone(
    used.map((device, d) =>
      device.open(
        positions.filter((i) => i % used.length === d).map((i) => `${row.name}:${names[i]}`),
        options,
      ),
    ),
  );
  return positions.map((i) => opened[i % used.length]![Math.floor(i / used.length)]!);
}

type Choice = { readonly row: Backend; readonly devices: readonly FoundDevice[] };

/** The backend that a name means, with its devices: for `auto` the first that has hardware, else the last that has any. */
async function findFor(name: BackendName, options: OpenOptions): Promise<Choice> {
  const rows = name === "auto" ? backends : backends.filter((b) => b.name === name);
  const found: (Choice & Pick<Found, "why">)[] = [];
  for (const row of rows) {
    const { devices, why } = await row.find(options);
    if (devices.some((d) => !d.software)) return { row, devices };
    found.push({ row, devices, why });
  }
  const last = found.findLast((f) => f.devices.length > 0);
  if (last) return last;
  const reasons = found.map(({ row, why }) => `no ${row.noun}: ${why.join("; ")}`);
  return fail("no-device", reasons.join("; "), "see `gyre devices`, or use `--backend reference`");
}

/** A backend, the devices it finds (as numbered in `openDevices`' spec), and why it finds no more. */
export type ListedBackend = {
  readonly backend: string;
  readonly devices: readonly ListedDevice[];
  readonly why: readonly string[];
};

/** What each backend finds on this machine, for `gyre devices`. Opens nothing and does not throw. */
export async function listDevices(options: OpenOptions = {}): Promise<readonly ListedBackend[]> {
  const listed: ListedBackend[] = [];
  for (const row of backends) {
    const { devices, why } = await row.find(options);
    listed.push({ backend: row.name, devices: devices.map(({ open: _, ...device }) => device), why });
  }
  return listed;
}

/** The device that `openDevices` would open first for `spec`, with its backend; undefined where there is none. */
export async function firstDevice(
  spec: string,
  options: OpenOptions = {},
): Promise<(ListedDevice & { readonly backend: Backend["name"] }) | undefined> {
  const { backend, picked } = parseSpec(spec);
  try {
    const { row, devices } = await findFor(backend, options);
    const device = devices[picked?.[0] ?? 0];
    return device && { ...device, backend: row.name };
  } catch (error) {
    if (error instanceof GyreRuntimeError && error.kind === "no-device") return undefined;
    throw error;
  }
}

type BackendName = "auto" | Backend["name"];

/** `webgpu:0-2,5` → `{ backend: "webgpu", picked: [0, 1, 2, 5] }`. */
export function parseSpec(spec: string): {
  readonly backend: BackendName;
  readonly picked: readonly number[] | undefined;
} {
  const [, name, list] = /^(auto|webgpu|cuda|cpu)(?::(\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*))?$/.exec(spec) ?? [];
  if (name === undefined) {
    fail("input", `'${spec}' is no backend with devices`, "use auto, webgpu, cuda or cpu, or with devices webgpu:0-3");
  }
  const picked = list?.split(",").flatMap((part) => {
    const [from, to] = part.split("-").map(Number) as [number, number | undefined];
    return Array.from({ length: Math.max(0, (to ?? from) - from + 1) }, (_, i) => from + i);
  });
  return { backend: name as BackendName, picked };
}
