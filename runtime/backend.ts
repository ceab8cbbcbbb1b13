/** What a backend is to those who open devices: a name, and what it finds on this machine. */
import type { Device, DeviceFeatures, DeviceInfo, DeviceLimits } from "./device.ts";

/**
 * Which adapters of WebGPU count: `auto` takes the machine's own, else the bundled software one; `hardware` never the
 * bundled one; `software` only that one.
 */
export type AdapterChoice = "auto" | "hardware" | "software";

export type OpenOptions = {
  /** How long a wait may last without progress, in milliseconds; 60 s when left out, `Infinity` for no limit. */
  readonly timeoutMs?: number;
  /** Which adapters of WebGPU count; when left out, the environment's `GYRE_ADAPTER`, else `auto`. */
  readonly adapter?: AdapterChoice;
  /**
   * Whether the devices of one adapter share a driver's device: kernels are compiled once instead of once for each, and
   * transfers are copies on the device; but nothing overlaps, for there is one queue. When left out: on hardware no; on a
   * software adapter there is a driver's device for each core, because more could not run beside each other, and its
   * compiler takes one kernel at a time.
   */
  readonly share?: boolean;
  /**
   * Where other processes of this host open devices too: the mesh positions of this one's, how many devices those before it
   * take, so that each gets its own, and how many processes may run on the same processors, itself among them.
   */
  readonly among?: { readonly positions: readonly number[]; readonly before: number; readonly processes: number };
};

export type ListedDevice = {
  readonly name: string;
  readonly software: boolean;
  readonly limits: DeviceLimits;
  readonly features: DeviceFeatures;
};

/** A device of the machine. `open` makes of it one device for each of the names, which are of mesh positions. */
export type FoundDevice = ListedDevice & {
  readonly open: (names: readonly string[], options: OpenOptions) => Promise<readonly Device[]>;
};

/** `why` says for each place that was looked at and holds no device what is missing. */
export type Found = { readonly devices: readonly FoundDevice[]; readonly why: readonly string[] };

export type Backend = {
  readonly name: DeviceInfo["backend"];
  /** What `gyre devices` and errors call one of its devices: `WebGPU adapter`. */
  readonly noun: string;
  /** Looks for devices; does not throw for want of one. */
  readonly find: (options: OpenOptions) => Promise<Found>;
};

export const TIMEOUT_MS = 60_000;

/** All of several openings; where one fails, those that succeeded are closed. */
export async function allOrNone(
  openings: readonly Promise<readonly Device[]>[],
): Promise<readonly (readonly Device[])[]> {
  const settled = await Promise.allSettled(openings);
  const opened = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const failed = settled.find((one) => one.status === "rejected");
  if (!failed) return opened;
  for (const device of opened.flat()) device.close();
  throw failed.reason;
}
