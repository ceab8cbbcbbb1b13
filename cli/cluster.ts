/** A command that several processes run together: how they begin, what only one of them says, and how all end. */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Compiled } from "../compiler/compile.ts";
import { GyreRuntimeError } from "../runtime/errors.ts";
import type { TraceEvent } from "../runtime/trace.ts";
import { agree, type Cluster, type Facts, joinCluster } from "../runtime/transport/cluster.ts";
import type { Launch } from "../runtime/transport/launcher.ts";
import type { Roster } from "../runtime/transport/roster.ts";
import { type ExitCode, Stop, told } from "./exit.ts";
import type { Io } from "./io.ts";
import type { Progress } from "./progress.ts";
import type { ProgramFlags } from "./shared.ts";
import { version } from "./version.ts";

export type ClusterFlags = {
  readonly transport: "auto" | "mpi" | "tcp" | "nccl" | "none";
  readonly mpiLibrary?: string;
  readonly ncclLibrary?: string;
  /** Seconds. */
  readonly peerTimeout: number;
};

/**
 * How long an interrupted process waits to hear that another one is gone, which is why its launcher ends it; and how long
 * those that say nothing stay behind the one that does.
 */
const GRACE_MS = 300;

/**
 * Runs `action` with the other processes; rank 0 alone prints. Where one fails, all end: the first that failed says why,
 * with its rank.
 */
export async function together(
  launch: Launch,
  flags: ClusterFlags,
  io: Io,
  action: (cluster: Cluster, io: Io) => Promise<ExitCode>,
): Promise<ExitCode> {
  const interrupted = interruption(launch);
  const joining = joinCluster(launch, {
    // NCCL connects devices; what is in host memory goes as it would without it.
    transport: flags.transport === "mpi" || flags.transport === "tcp" ? flags.transport : "auto",
    limitMs: 1000 * flags.peerTimeout,
    ...(flags.mpiLibrary === undefined ? {} : { library: flags.mpiLibrary }),
  });
  const cluster = await Promise.race([joining, interrupted.happens]).catch((error) => {
    throw ofRank(error, launch.rank);
  });
  const { broken, fail } = cluster.roster;
  try {
    const own = launch.rank === 0 ? io : muted(io);
    // Whatever came of it: rank 0 has said it before a launcher sees the others end.
    const all = async () => {
      const code = await action(cluster, own);
      await cluster.leave();
      return code;
    };
    return await Promise.race([all(), broken, interrupted.happens]);
  } catch (error) {
    const mine = await fail();
    const isTold = error instanceof GyreRuntimeError && error.kind === "told";
    if (mine && !isTold) throw ofRank(error, launch.rank);
    // Launchers take the exit code of the first that ends: it is the one that says why.
    await sleep(GRACE_MS);
    throw isTold ? error : new GyreRuntimeError("told", told(error).message, "another rank tells it");
  } finally {
    interrupted.forget();
  }
}

/** Rejects when the process is told to end. */
function interruption({ rank }: Launch) {
  let listener: NodeJS.SignalsListener = () => {};
  const happens = new Promise<never>((_, reject) => {
    listener = (signal) => {
      const error = new Stop(3, `rank ${rank} was interrupted (${signal})`);
      setTimeout(() => reject(error), GRACE_MS);
    };
  });
  happens.catch(() => {});
  process.on("SIGINT", listener).on("SIGTERM", listener);
  return { happens, forget: () => process.off("SIGINT", listener).off("SIGTERM", listener) };
}

const muted = (io: Io): Io => ({ ...io, out: () => {}, err: () => {}, live: false });

/** The same error, as rank `rank` has it. */
function ofRank(error: unknown, rank: number): unknown {
  const name = `rank ${rank}`;
  if (error instanceof Stop && !error.message.startsWith(name))
    return new Stop(error.exitCode, `${name}: ${error.message}`, error.help);
  if (!(error instanceof GyreRuntimeError) || error.kind === "told") return error;
  if (error.kind !== "peer" || !/\brank \d/.test(error.message))
    return new GyreRuntimeError(error.kind, `${name}: ${error.message}`, error.help, { cause: error });
  return error;
}

export { agree };

/** `in 4 processes`. */
export const processes = ({ launch }: Cluster): string => `in ${launch.size} processes`;

/** What must be the same for all processes before they compile. */
export function factsOf(text: string, options: ProgramFlags & ClusterFlags): Facts {
  const { dims, mesh, entry, mpiLibrary: _m, ncclLibrary: _n, json: _j, ...others } = options;
  return {
    version: version(),
    program: `with the checksum ${checksum(text)}`,
    entry: entry ?? "left out",
    dims: printSizes(dims),
    mesh: printSizes(mesh),
    flags: JSON.stringify(others),
  };
}

/** What they compiled: kernels may differ where devices do, what is done with them may not. */
export function planned({ schedule: { mesh, values, buffers, steps, inputs, outputs } }: Compiled): Facts {
  const plan = { mesh, values, buffers, steps, inputs, outputs };
  return { schedule: `with the checksum ${checksum(JSON.stringify(plan))}` };
}

/** A progress line whose words the other processes know too. */
export const toldToAll = (line: Progress, roster: Roster): Progress => ({
  ...line,
  at: (what, share) => {
    if (share === undefined) roster.at(what);
    line.at(what, share);
  },
});

/** The events of all processes, on rank 0's clock; on other ranks nobody asks for them. */
export async function merged(events: readonly TraceEvent[], roster: Roster): Promise<TraceEvent[]> {
  const ahead = await roster.clock();
  const own = events.map((e) => ({ ...e, start: e.start + ahead, end: e.end + ahead }));
  return (await roster.exchange(own)).flat();
}

/** A short sum of a text, to see whether two are the same. */
const checksum = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 12);

/** `S=256,H=4`. */
const printSizes = (sizes: Readonly<Record<string, number>> = {}): string =>
  Object.entries(sizes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, size]) => `${name}=${size}`)
    .join(",") || "none";
