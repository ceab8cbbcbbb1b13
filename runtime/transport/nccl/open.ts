/** Whether the devices of a run are connected by NCCL, which all its processes decide together, and the way there. */
import { hostname } from "node:os";
import type { Device } from "../../device.ts";
import { fail, GyreRuntimeError } from "../../errors.ts";
import type { Places } from "../remote.ts";
import type { Roster } from "../roster.ts";
import type { Carrier } from "../transfers.ts";
import type { Transport } from "../transport.ts";
import { ncclCarrier } from "./carrier.ts";
import { ncclTransport } from "./collectives.ts";
import { communicatorsOf, type Member } from "./communicators.ts";
import { loadNccl, type NcclLibrary } from "./library.ts";
import { watchOf } from "./watch.ts";

export type NcclChoice = {
  /** `never`; `auto`: where all processes can; `always`: an error where they cannot. */
  readonly use: "auto" | "always" | "never";
  /** The library's path, where it is not found. */
  readonly library?: string;
};

export type Connected = {
  /** `NCCL 2.21.5`. */
  readonly name: string;
  readonly carrier: Carrier;
  /** The same as the run's own, with NCCL's collectives; undefined in a run of one process. */
  readonly transport: Transport | undefined;
  readonly close: () => void;
};

export type Connecting = {
  readonly choice: NcclChoice;
  readonly devices: readonly Device[];
  /** The mesh positions of each process's devices, and of this process's. */
  readonly places: Places;
  readonly rank: number;
  readonly cluster: { readonly roster: Roster; readonly transport: Transport } | undefined;
  /** How long nothing may move. */
  readonly limitMs: number;
};

const HELP = "use a larger number of GPUs or a smaller --mesh, or --transport mpi or tcp";

/** The devices connected by NCCL, or why they are not. Errors: `unsupported` where they must be and cannot. */
export async function connectNccl(connecting: Connecting): Promise<Connected | { readonly without: string }> {
  const { choice, devices, places, rank, cluster, limitMs } = connecting;
  const members = devices.flatMap((device, i): Member[] =>
    device.streams ? [{ position: places[rank]![i]!, device, streams: device.streams }] : [],
  );
  if (choice.use === "never") return { without: "it is not asked for" };
  const mine = await own(members.length === devices.length, choice);
  const exchange = cluster ? cluster.roster.exchange : async <T>(value: T): Promise<readonly T[]> => [value];
  const said = await exchange({
    name: "library" in mine ? mine.library.name : undefined,
    why: "why" in mine ? mine.why : undefined,
    help: "why" in mine ? mine.help : undefined,
    host: hostname(),
    gpus: members.map(({ streams }) => streams.gpu),
  });
  const against = reason(said, places);
  if (against) {
    if (choice.use === "always") fail("unsupported", against.why, against.help);
    return { without: against.why };
  }
  const { library } = mine as { readonly library: NcclLibrary };
  const communicators = communicatorsOf({ library, members, places, rank, exchange, limitMs });
  // Where somebody is gone, what is on the devices would wait for ever.
  cluster?.roster.broken.catch((error) => communicators.abort(error));
  await communicators.world();
  const watch = watchOf(communicators, limitMs);
  return {
    name: library.name,
    carrier: ncclCarrier(communicators, watch),
    transport: cluster && ncclTransport(cluster.transport, communicators, watch),
    close: communicators.close,
  };
}

type Own = { readonly library: NcclLibrary } | { readonly why: string; readonly help: string };

async function own(onGpus: boolean, { library }: NcclChoice): Promise<Own> {
  if (!onGpus) return { why: "NCCL connects NVIDIA GPUs, and the devices are others", help: "use --backend cuda" };
  try {
    return { library: await loadNccl(library) };
  } catch (error) {
    if (error instanceof GyreRuntimeError) return { why: error.message, help: error.help };
    throw error;
  }
}

type Said = {
  readonly name: string | undefined;
  readonly why: string | undefined;
  readonly help: string | undefined;
  readonly host: string;
  readonly gpus: readonly string[];
};

/** What is against it, the same for all processes. */
function reason(said: readonly Said[], places: Places): { readonly why: string; readonly help: string } | undefined {
  const of = (rank: number): string => (said.length > 1 ? `rank ${rank}: ` : "");
  const unable = said.findIndex(({ why }) => why !== undefined);
  if (unable >= 0) return { why: `${of(unable)}${said[unable]!.why}`, help: said[unable]!.help ?? HELP };
  const other = said.findIndex(({ name }) => name !== said[0]!.name);
  if (other >= 0)
    return {
      why: `rank ${other} has ${said[other]!.name}, and rank 0 has ${said[0]!.name}`,
      help: "use the same NCCL everywhere; --nccl-library says where it is",
    };
  const first = new Map<string, number>();
  for (const [rank, { host, gpus }] of said.entries())
    for (const [i, gpu] of gpus.entries()) {
      const position = places[rank]![i]!;
      const before = first.get(`${host} ${gpu}`);
      if (before !== undefined)
        return {
          why: `NCCL wants a GPU for each mesh position, and ${before} and ${position} are both on GPU ${gpu} of ${host}`,
          help: HELP,
        };
      first.set(`${host} ${gpu}`, position);
    }
  return undefined;
}
