/** A command that several processes run together: how they begin, what only one of them says, and how all end. */
import { createHash } from "node:crypto";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Compiled } from "../compiler/compile.ts";
import type { Program } from "../compiler/core/ir.ts";
import { print } from "../compiler/core/print.ts";
import { fail, GyreRuntimeError } from "../runtime/errors.ts";
import type { TraceEvent } from "../runtime/trace.ts";
import { agree, type Cluster, type Facts, joinCluster } from "../runtime/transport/cluster.ts";
import { endsAll, type Launch } from "../runtime/transport/launcher.ts";
import type { Roster } from "../runtime/transport/roster.ts";
import { type ExitCode, Stop, told, wrong } from "./exit.ts";
import { draftOf, openFile, writing } from "./files.ts";
import type { InFlag } from "./flags.ts";
import { beatForParent, ENDING, tellParent } from "./guard.ts";
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
/** Before the processes know each other, a rank waits so long for each one below it, up to some, before it says what is wrong. */
const TURN_MS = 3000;
const MOST_TURNS = 4;

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
  const limitMs = 1000 * flags.peerTimeout;
  beatForParent(limitMs);
  const interrupted = interruption(launch);
  const joining = joinCluster(launch, {
    // NCCL connects devices; what is in host memory goes as it would without it.
    transport: flags.transport === "mpi" || flags.transport === "tcp" ? flags.transport : "auto",
    limitMs,
    ...(flags.mpiLibrary === undefined ? {} : { library: flags.mpiLibrary }),
  });
  const cluster = await Promise.race([joining, interrupted.happens]).catch(async (error) => {
    throw await early(error, launch, io.env, interrupted);
  });
  void tellParent({ kind: "joined" });
  const { roster } = cluster;
  try {
    const own = launch.rank === 0 ? io : muted(io);
    // Whatever came of it: rank 0 has said it before a launcher sees the others end.
    const all = async () => {
      const code = await action(cluster, own);
      // All is said. Some launchers end the others when one ends with another code than 0.
      interrupted.forget();
      await cluster.leave();
      return code;
    };
    return await Promise.race([all(), roster.broken, interrupted.happens]);
  } catch (error) {
    const mine = await roster.fail();
    const isTold = error instanceof GyreRuntimeError && error.kind === "told";
    if (mine && !isTold) throw ofRank(error, launch.rank);
    // Launchers take the exit code of the first that ends: it is the one that says why.
    await sleep(GRACE_MS);
    throw isTold ? error : silent(error);
  } finally {
    interrupted.forget();
  }
}

/** Rejects when the process is told to end. */
function interruption({ rank }: Launch) {
  let listener: NodeJS.SignalsListener = () => {};
  let by: NodeJS.Signals | undefined;
  const happens = new Promise<never>((_, reject) => {
    listener = (signal) => {
      by = signal;
      const error = new Stop(3, `rank ${rank} was interrupted (${signal})`);
      setTimeout(() => reject(error), GRACE_MS);
    };
  });
  happens.catch(() => {});
  for (const signal of ENDING) process.on(signal, listener);
  const forget = (): void => {
    for (const signal of ENDING) process.off(signal, listener);
  };
  return { happens, by: () => by, forget };
}

const silent = (error: unknown) => new GyreRuntimeError("told", told(error).message, "another process tells it");

/**
 * What a process says that fails before it knows the others. Mostly all fail, for one reason: they say it in turn, and
 * launchers end the others when the first has; where they do not, that somebody did not come is said once on a host. MPI's
 * launchers say themselves why they end processes.
 */
async function early(error: unknown, launch: Launch, env: Io["env"], { happens, by }: ReturnType<typeof interruption>) {
  const { rank, localRank = 0, mpi } = launch;
  const kind = error instanceof GyreRuntimeError ? error.kind : undefined;
  if (kind === "told") return error;
  if (kind === "timeout" && rank > 0 && localRank > 0 && !endsAll(launch, env)) return silent(error);
  if (!by()) await Promise.race([sleep(TURN_MS * Math.min(rank, MOST_TURNS)), happens.catch(() => {})]);
  const signal = by();
  if (!signal) return ofRank(error, rank);
  if (rank > 0 || (signal === "SIGTERM" && mpi.length > 0)) return silent(error);
  return new Stop(3, `rank 0 was interrupted (${signal}) while it waited for the other processes`);
}

const muted = (io: Io): Io => ({ ...io, out: () => {}, err: () => {}, live: false });

/** The same error, as rank `rank` has it. */
function ofRank(error: unknown, rank: number): unknown {
  const name = `rank ${rank}`;
  if (error instanceof Stop && !error.message.startsWith(name))
    return new Stop(error.exitCode, `${name}: ${error.message}`, error.help);
  if (!(error instanceof GyreRuntimeError) || error.kind === "told") return error;
  if (error.message.startsWith(name)) return error;
  if (error.kind !== "peer" || !/\brank \d/.test(error.message))
    return new GyreRuntimeError(error.kind, `${name}: ${error.message}`, error.help, { cause: error });
  return error;
}

export { agree };

/** `in 4 processes`. */
export const processes = ({ launch }: Cluster): string => `in ${launch.size} processes`;

/** What must be the same for all processes before they compile. */
export function factsOf(
  text: string,
  options: ProgramFlags & ClusterFlags & { readonly in?: readonly InFlag[] },
): Facts {
  const { dims, mesh, entry, mpiLibrary: _m, ncclLibrary: _n, json: _j, ...others } = options;
  const files = (options.in ?? []).map(({ file }) => [file, `with the checksum ${sampleOf(file)}`]);
  return {
    version: version(),
    program: `with the checksum ${checksum(text)}`,
    entry: entry ?? "left out",
    dims: printSizes(dims),
    mesh: printSizes(mesh),
    flags: JSON.stringify(others),
    ...Object.fromEntries(files),
  };
}

/**
 * A short sum of a file's size and of pieces of it, evenly spread: each process may have a copy, and each reads but its part of
 * what may be large. Errors (exit 1): it cannot be read, or not by several.
 */
function sampleOf(path: string): string {
  const { isFile, size, read } = openFile(path);
  if (!isFile) throw wrong(`${path} is no file that every process can read`, "write it into one first");
  const hash = createHash("sha256").update(`${size}`);
  const last = Math.max(0, size - PIECE);
  for (let i = 0; i < PIECES; i++) hash.update(read(Math.floor((i * last) / (PIECES - 1)), PIECE));
  return hash.digest("hex").slice(0, 12);
}
const PIECES = 64;
const PIECE = 4096;

/** Makes sure before long work that all write into the same folder. Error (exit 3): it is on a disk that not all see. */
export async function shareFolder(folder: string, { rank, hostNames, exchange }: Roster): Promise<void> {
  const made = rank === 0 ? mark(folder) : "";
  const [path] = await exchange(made);
  const blind = (await exchange(existsSync(path!))).indexOf(false);
  if (rank === 0) rmSync(made);
  if (blind >= 0)
    fail(
      rank === 0 ? "peer" : "told",
      `rank ${blind} on ${hostNames[blind]} does not see what rank 0 on ${hostNames[0]} writes into ${folder}`,
      "give --out a folder on a disk that all hosts share",
    );
}
function mark(folder: string): string {
  const path = draftOf(resolve(folder, "seen"));
  return writing(path, () => {
    writeFileSync(path, "");
    return path;
  });
}

/**
 * What they compiled, with all that the program imports: kernels may differ where devices do, what they mean and what is done
 * with them may not.
 */
export function planned(program: Program, compiled: Compiled): Facts {
  const { mesh, values, buffers, steps, inputs, outputs } = compiled.schedule;
  const plan = { mesh, values, buffers, steps, inputs, outputs };
  return {
    "program with its imports": `with the checksum ${checksum(print(program))}`,
    schedule: `with the checksum ${checksum(JSON.stringify(plan))}`,
  };
}

/** A progress line whose words the other processes know too. */
export const toldToAll = (line: Progress, roster: Roster): Progress => ({
  ...line,
  at: (what, share) => {
    if (share === undefined) roster.at(what, true);
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
