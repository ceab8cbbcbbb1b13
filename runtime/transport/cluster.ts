/** The processes of a run, from what their launcher says: who they are, how they reach each other, and that they agree. */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { hostname, networkInterfaces } from "node:os";
import { fail } from "../errors.ts";
import type { Launch } from "./launcher.ts";
import { host, join, listen } from "./meet.ts";
import { mpiTransport } from "./mpi.ts";
import type { Roster } from "./roster.ts";
import { tcpTransport } from "./tcp.ts";
import type { Transport } from "./transport.ts";

export type Cluster = {
  readonly launch: Launch;
  readonly roster: Roster;
  readonly transport: Transport;
  /** How many of the processes may run on this one's processors, itself among them. */
  readonly sharing: number;
  /** Ends it, once, when all ranks have called this. */
  readonly leave: () => Promise<void>;
};

export type ClusterOptions = {
  /** `auto`: MPI where its launcher was used, else TCP. */
  readonly transport: "auto" | "mpi" | "tcp";
  /** The MPI library, where it is not the launcher's own. */
  readonly library?: string;
  /** How long a silent process is waited for. */
  readonly limitMs: number;
};

/** Joins the other processes. All wait until everyone is there. Errors: `peer`, `input` (nobody says where rank 0 is). */
export async function joinCluster(launch: Launch, options: ClusterOptions): Promise<Cluster> {
  const { library, limitMs } = options;
  const byMpi = options.transport === "mpi" || (options.transport === "auto" && launch.mpi.length > 0);
  if (byMpi) {
    const mpi = await mpiTransport(
      { ...launch, mpi: launch.mpi.length > 0 ? launch.mpi : ["openmpi", "mpich"] },
      { startMs: limitMs, ...(library === undefined ? {} : { library }) },
    );
    const roster = await rosterByMpi(mpi, limitMs);
    return clusterOf(launch, roster, mpi);
  }
  const roster = await rosterByAddress(launch, limitMs);
  return clusterOf(launch, roster, await Promise.race([tcpTransport(roster), roster.broken]));
}

async function clusterOf(launch: Launch, roster: Roster, transport: Transport): Promise<Cluster> {
  const bound = await roster.exchange(processors());
  const sharing = bound.filter((them) => them === bound[launch.rank]).length;
  let left: Promise<void> | undefined;
  const end = async () => {
    await roster.leave();
    await transport.close();
  };
  return { launch, roster, transport, sharing, leave: () => (left ??= end()) };
}

/** The processors that this process may run on: launchers bind each to its own, or several to the same. */
function processors(): string {
  const allowed = existsSync(STATUS) ? /Cpus_allowed_list:\s*(.*)/.exec(readFileSync(STATUS, "utf8"))?.[1] : undefined;
  return `${hostname()} ${allowed ?? ""}`;
}
const STATUS = "/proc/self/status";

/** Rank 0 listens where the launcher says. */
async function rosterByAddress({ rank, size, master, launcher }: Launch, limitMs: number): Promise<Roster> {
  if (!master)
    return fail(
      "input",
      `${launcher} says that this is rank ${rank} of ${size}, and nobody says where rank 0 is`,
      "set MASTER_ADDR (a host name or address of rank 0) and MASTER_PORT for all processes",
    );
  // Anything may be said to a port that others know; this keeps runs apart, not attackers out.
  const options = { ...own(rank, size, limitMs), hosts: [master.host], port: master.port, key: `gyre ${size}` };
  const local = /^(localhost|127\.|::1)/.test(master.host);
  return rank === 0 ? host(options, await listen(local ? master.host : undefined, master.port)) : join(options);
}

const own = (rank: number, size: number, limitMs: number) => ({ rank, size, limitMs, hostName: hostname() });

/** Where rank 0 listens, in a message of this many bytes. */
const INVITATION = 1024;
const INVITATION_TAG = 1;

/** Rank 0 listens on any port, and tells the others by MPI. */
async function rosterByMpi(mpi: Transport, limitMs: number): Promise<Roster> {
  const { rank, size } = mpi;
  const memory = new Uint8Array(INVITATION);
  if (rank > 0) {
    await mpi.receive(0, INVITATION_TAG, memory);
    const said = JSON.parse(Buffer.from(memory).toString("utf8").replace(/\0+$/, "")) as Invitation;
    // On the same host the loopback always works.
    const hosts = said.name === hostname() ? ["127.0.0.1", ...said.hosts] : said.hosts;
    return join({ ...own(rank, size, limitMs), hosts, port: said.port, key: said.key });
  }
  const listening = await listen(undefined, 0);
  const key = randomBytes(16).toString("hex");
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  const hosts = addresses.filter((a) => !a.internal && !a.address.startsWith("fe80")).map((a) => a.address);
  const invitation: Invitation = { name: hostname(), hosts: hosts.slice(0, 8), port: listening.port, key };
  memory.set(Buffer.from(JSON.stringify(invitation)));
  const joined = host({ ...own(rank, size, limitMs), hosts: [], port: listening.port, key }, listening);
  await Promise.all(Array.from({ length: size - 1 }, (_, i) => mpi.send(i + 1, INVITATION_TAG, memory)));
  return joined;
}

type Invitation = {
  readonly name: string;
  readonly hosts: readonly string[];
  readonly port: number;
  readonly key: string;
};

// ---- agreement -------------------------------------------------------------------------------------------------------

/** What must be the same in all processes, by what messages call it. */
export type Facts = Readonly<Record<string, string>>;

/** Error (`peer`): the ranks do not agree; with the first difference. `what`: what they would run together. */
export async function agree(roster: Roster, what: string, facts: Facts): Promise<void> {
  const all = await roster.exchange(facts);
  const first = all[0]!;
  for (const [r, theirs] of all.entries())
    for (const name of new Set([...Object.keys(first), ...Object.keys(theirs)]))
      if (theirs[name] !== first[name])
        fail(
          roster.rank === 0 ? "peer" : "told",
          `the processes do not run the same ${what}: rank ${r} has ${name} ${theirs[name] ?? "none"}, and rank 0 has ${first[name] ?? "none"}`,
          "start all of them with the same command, files and version",
        );
}
