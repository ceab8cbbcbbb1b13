/**
 * Who started this process, beside which others: read from the environment that launchers set.
 *
 *     Open MPI     OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK
 *     MPICH        PMI_RANK, PMI_SIZE, MPI_LOCALRANKID         and its relatives: Intel MPI, MVAPICH, Cray MPICH; srun --mpi=pmi2
 *     torchrun     RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT        or anybody who sets these
 *     SLURM        SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID, SLURM_STEP_NODELIST     srun; PMIx says the rank too
 *
 * The first row that is there counts, so srun with PMI is a launcher of MPI. A batch script outside of srun is one process.
 */
import { fail } from "../errors.ts";

export type Launch = {
  readonly launcher: string;
  readonly rank: number;
  readonly size: number;
  /** The place among the processes of this host, if the launcher says so. */
  readonly localRank?: number;
  /** The families of MPI libraries that this launcher starts; none: it knows nothing of MPI. */
  readonly mpi: readonly MpiFamily[];
  /** Where rank 0 can be reached before anything is known, if the launcher says so. */
  readonly master?: Address;
};
export type MpiFamily = "openmpi" | "mpich";
export type Address = { readonly host: string; readonly port: number };

type Environment = Readonly<Record<string, string | undefined>>;
type Row = {
  readonly launcher: string;
  readonly rank: readonly string[];
  readonly size: readonly string[];
  readonly localRank: readonly string[];
  readonly mpi: readonly MpiFamily[];
};

const rows: readonly Row[] = [
  {
    launcher: "Open MPI",
    rank: ["OMPI_COMM_WORLD_RANK"],
    size: ["OMPI_COMM_WORLD_SIZE"],
    localRank: ["OMPI_COMM_WORLD_LOCAL_RANK"],
    mpi: ["openmpi"],
  },
  {
    launcher: "MPICH",
    rank: ["PMI_RANK"],
    size: ["PMI_SIZE"],
    localRank: ["MPI_LOCALRANKID", "PALS_LOCAL_RANKID", "SLURM_LOCALID"],
    mpi: ["mpich"],
  },
  {
    launcher: "srun with PMIx",
    rank: ["PMIX_RANK"],
    size: ["SLURM_STEP_NUM_TASKS"],
    localRank: ["SLURM_LOCALID"],
    mpi: ["openmpi", "mpich"],
  },
  { launcher: "torchrun", rank: ["RANK"], size: ["WORLD_SIZE"], localRank: ["LOCAL_RANK"], mpi: [] },
  { launcher: "srun", rank: ["SLURM_PROCID"], size: ["SLURM_STEP_NUM_TASKS"], localRank: ["SLURM_LOCALID"], mpi: [] },
];

/** What the environment says; undefined where this process was started alone. Error (`input`): it says nonsense. */
export function launchOf(env: Environment): Launch | undefined {
  const first = (names: readonly string[]): string | undefined => names.map((n) => env[n]).find((v) => v !== undefined);
  for (const row of rows) {
    const [rank, size] = [first(row.rank), first(row.size)];
    if (rank === undefined || size === undefined) continue;
    const localRank = first(row.localRank);
    const launch = {
      ...{ rank: Number(rank), size: Number(size) },
      ...(localRank === undefined ? {} : { localRank: Number(localRank) }),
    };
    const natural = Object.values(launch).every((n) => Number.isSafeInteger(n) && n >= 0);
    if (!natural || launch.rank >= launch.size)
      fail(
        "input",
        `the environment says rank ${rank} of ${size} processes (${row.rank[0]}, ${row.size[0]})`,
        "a rank is a whole number from 0 on, less than the number of processes",
      );
    if (launch.size === 1) return undefined;
    const master = masterOf(env);
    return { launcher: row.launcher, ...launch, mpi: row.mpi, ...(master ? { master } : {}) };
  }
  return undefined;
}

/** Whether a launcher ends all processes as soon as one has ended otherwise than it should: `mpirun` does, others give them time. */
export const endsAll = ({ mpi }: Launch, env: Environment): boolean => mpi.length > 0 && env.SLURM_PROCID === undefined;

function masterOf(env: Environment): Address | undefined {
  const nodes = env.SLURM_STEP_NODELIST ?? env.SLURM_JOB_NODELIST;
  const host = env.MASTER_ADDR ?? (nodes === undefined ? undefined : firstNode(nodes));
  if (host === undefined) return undefined;
  const port = Number(env.MASTER_PORT ?? 20_000 + (Number(env.SLURM_JOB_ID ?? 0) % 20_000));
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    fail("input", `MASTER_PORT is '${env.MASTER_PORT}'`, "a port is a number from 1 to 65535");
  return { host, port };
}

/** The first host of a SLURM node list: `gpu[03-06,9],login1` → `gpu03`. */
export function firstNode(list: string): string {
  const [, before = "", ranges, after = ""] = /^([^[,]*)(?:\[([^\]]*)\]([^,[]*))?/.exec(list.trim()) ?? [];
  const first = ranges?.split(/[-,]/)[0] ?? "";
  return `${before}${first}${after}`;
}
