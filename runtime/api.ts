/**
 * The API of the package, on the running side:
 *
 *   const session = await open({ devices: 4 });
 *   const attention = await session.load(compiled);
 *   const { "": out } = await attention.run({ q, k, v });
 *   const { data } = await out.read();
 *   session.close();
 */
import { type AdapterChoice, TIMEOUT_MS } from "./backend.ts";
import type { Device } from "./device.ts";
import { fail } from "./errors.ts";
import { openDevices } from "./open.ts";
import { type Session, sessionOn } from "./session.ts";
import type { Cluster } from "./transport/cluster.ts";
import { type Links, linkModel } from "./transport/link.ts";
import { inProcess } from "./transport/local.ts";
import type { NcclChoice } from "./transport/nccl/open.ts";
import { gpuMessages } from "./transport/post.ts";
import { acrossProcesses, dealt, devicesBefore, type Places } from "./transport/remote.ts";

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
  readonly cluster?: Pick<Cluster, "launch" | "transport" | "roster" | "sharing">;
  /** Whether GPUs are connected by NCCL; when left out, only those of several processes, where all can. */
  readonly nccl?: NcclChoice;
};

/** Opens devices. Errors: `no-device`, `input` (a bad backend), as GyreRuntimeError. */
export async function open(options: OpenSessionOptions = {}): Promise<Session> {
  const { backend = "auto", devices, mesh, timeoutMs, adapter, links, cluster } = options;
  const direct = inProcess(links && linkModel(links));
  if (typeof devices === "object") return sessionOn(devices, { carrier: direct });
  const count = devices ?? Object.values(mesh ?? {}).reduce((n, size) => n * size, 1);
  const { rank, size, localRank } = cluster?.launch ?? { rank: 0, size: 1 };
  if (count < size)
    fail(
      "input",
      `${size} processes were started for a mesh of ${count} devices`,
      `start at most ${count}, or use a larger --mesh`,
    );
  const places = dealt(count, size);
  const positions = places[rank]!;
  const among = cluster && {
    positions,
    before: devicesBefore(places, rank, cluster.roster.hostNames, localRank),
    processes: cluster.sharing,
  };
  const opened = await openDevices(backend, positions.length, {
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(adapter === undefined ? {} : { adapter }),
    ...(among ? { among } : {}),
  });
  try {
    return await connected(opened, options, places, direct);
  } catch (error) {
    for (const device of opened) device.close();
    throw error;
  }
}

/** A session on devices with the ways between them. */
async function connected(
  devices: readonly Device[],
  { cluster, nccl = { use: cluster ? "auto" : "never" }, links, timeoutMs = TIMEOUT_MS }: OpenSessionOptions,
  places: Places,
  direct: ReturnType<typeof inProcess>,
): Promise<Session> {
  const choice: NcclChoice = links ? { use: "never" } : nccl;
  const rank = cluster?.launch.rank ?? 0;
  const { connectNccl } = await import("./transport/nccl/open.ts");
  const made = await connectNccl({ choice, devices, places, rank, cluster, limitMs: timeoutMs });
  if ("without" in made) {
    if (!cluster) return sessionOn(devices, { carrier: direct });
    const { transport } = cluster;
    const carrier = acrossProcesses(transport, places, direct);
    const gpus = choice.use !== "never" && devices.every(({ streams }) => streams !== undefined);
    const memory = gpuMessages(transport, devices) ? "GPUs'" : "hosts'";
    const way = gpus ? `${transport.name} and the ${memory} memory (no NCCL: ${made.without})` : transport.name;
    return sessionOn(devices, { carrier, shared: { transport, places }, way });
  }
  const { carrier, transport, name, close } = made;
  const way = transport?.name ?? name;
  return sessionOn(devices, { carrier, onClose: close, way, ...(transport ? { shared: { transport, places } } : {}) });
}
