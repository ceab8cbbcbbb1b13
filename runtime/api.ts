/**
 * The API of the package, on the running side:
 *
 *   const session = await open({ devices: 4 });
 *   const attention = await session.load(compiled);
 *   const { "": out } = await attention.run({ q, k, v });
 *   const { data } = await out.read();
 *   session.close();
 */
import type { AdapterChoice } from "./backend.ts";
import type { Device } from "./device.ts";
import { fail } from "./errors.ts";
import { openDevices } from "./open.ts";
import { type Session, sessionOn } from "./session.ts";
import type { Cluster } from "./transport/cluster.ts";
import { type Links, linkModel } from "./transport/link.ts";
import { inProcess } from "./transport/local.ts";
import { dealt } from "./transport/remote.ts";

export type OpenSessionOptions = {
  /** `auto`, `webgpu`, or with the adapters to use, as `gyre devices` numbers them: `webgpu:0-3`. */
  readonly backend?: string;
  /** How many, one for each mesh position (1 when neither this nor `mesh` is given); or devices that are open. */
  readonly devices?: number | readonly Device[];
  /** Instead of `devices`: sizes of mesh axes, as in `{ sp: 4, tp: 2 }`. */
  readonly mesh?: Readonly<Record<string, number>>;
  /** How long a wait may last without progress, in milliseconds. */
  readonly timeoutMs?: number;
  readonly adapter?: AdapterChoice;
  /** Transfers take as long as on these links: to measure overlap where there are none. */
  readonly links?: Links;
  /** The other processes of the run: `devices` or `mesh` then says what all have together. */
  readonly cluster?: Pick<Cluster, "launch" | "transport">;
};

/** Opens devices. Errors: `no-device`, `input` (a bad backend), as GyreRuntimeError. */
export async function open(options: OpenSessionOptions = {}): Promise<Session> {
  const { backend = "auto", devices, mesh, timeoutMs, adapter, links, cluster } = options;
  const carrier = inProcess(links && linkModel(links));
  if (typeof devices === "object") return sessionOn(devices, { carrier });
  const count = devices ?? Object.values(mesh ?? {}).reduce((n, size) => n * size, 1);
  const openOptions = {
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(adapter === undefined ? {} : { adapter }),
  };
  if (!cluster) return sessionOn(await openDevices(backend, count, openOptions), { carrier });
  const { launch, transport } = cluster;
  if (count < launch.size)
    fail(
      "input",
      `${launch.size} processes were started for a mesh of ${count} devices`,
      `start at most ${count}, or use a larger --mesh`,
    );
  const places = dealt(count, launch.size);
  const positions = places[launch.rank]!;
  const among = { positions, before: launch.localRank * positions.length };
  const opened = await openDevices(backend, positions.length, { ...openOptions, among });
  return sessionOn(opened, { carrier, shared: { transport, places } });
}
