/** What the environments of launchers say. */
import { expect, test } from "vitest";
import { firstNode, launchOf } from "../../runtime/transport/launcher.ts";

test("mpirun of Open MPI", () => {
  const env = { OMPI_COMM_WORLD_RANK: "3", OMPI_COMM_WORLD_SIZE: "8", OMPI_COMM_WORLD_LOCAL_RANK: "1", PMIX_RANK: "3" };
  expect(launchOf(env)).toEqual({ launcher: "Open MPI", rank: 3, size: 8, localRank: 1, mpi: ["openmpi"] });
});

test("mpirun of MPICH", () => {
  const env = { PMI_RANK: "1", PMI_SIZE: "2", MPI_LOCALRANKID: "1" };
  expect(launchOf(env)).toEqual({ launcher: "MPICH", rank: 1, size: 2, localRank: 1, mpi: ["mpich"] });
});

test("torchrun", () => {
  const env = { RANK: "5", WORLD_SIZE: "16", LOCAL_RANK: "5", MASTER_ADDR: "node1", MASTER_PORT: "29500" };
  const master = { host: "node1", port: 29500 };
  expect(launchOf(env)).toEqual({ launcher: "torchrun", rank: 5, size: 16, localRank: 5, mpi: [], master });
});

const slurm = { SLURM_PROCID: "6", SLURM_LOCALID: "2", SLURM_STEP_NODELIST: "gpu[03-04]", SLURM_JOB_ID: "41007" };

test("srun, with the first node of the list as master; with PMI it is a launcher of MPI", () => {
  const step = { ...slurm, SLURM_STEP_NUM_TASKS: "8" };
  const place = { rank: 6, size: 8, localRank: 2, master: { host: "gpu03", port: 21007 } };
  expect(launchOf(step)).toEqual({ launcher: "srun", ...place, mpi: [] });
  expect(launchOf({ ...step, PMI_RANK: "6", PMI_SIZE: "8" })?.mpi).toEqual(["mpich"]);
  expect(launchOf({ ...step, PMIX_RANK: "6" })?.mpi).toEqual(["openmpi", "mpich"]);
});

test("a batch script is one process, and so is what nobody launched, and a world of one", () => {
  expect(launchOf({ ...slurm, SLURM_PROCID: "0", SLURM_NTASKS: "8" })).toBeUndefined();
  expect(launchOf({})).toBeUndefined();
  expect(launchOf({ RANK: "0", WORLD_SIZE: "1" })).toBeUndefined();
});

test("nonsense is told", () => {
  expect(() => launchOf({ RANK: "4", WORLD_SIZE: "4" })).toThrow("rank 4 of 4 processes (RANK, WORLD_SIZE)");
  expect(() => launchOf({ RANK: "x", WORLD_SIZE: "4" })).toThrow("rank x of 4");
  expect(() => launchOf({ RANK: "1", WORLD_SIZE: "4", MASTER_ADDR: "a", MASTER_PORT: "no" })).toThrow("MASTER_PORT");
});

test.each([
  ["node7", "node7"],
  ["gpu[03-06,9],login1", "gpu03"],
  ["a,b", "a"],
  ["rack[1-2]n[3]", "rack1n"],
])("the first of %s", (list, first) => expect(firstNode(list)).toBe(first));
