import { defineConfig } from "vitest/config";

/** `npm run test:mpi`: several processes, started by the mpirun of Open MPI and of MPICH, and by hand. */
export default defineConfig({
  root: new URL("../..", import.meta.url).pathname,
  test: {
    include: ["tests/mpi/*.test.ts"],
    globalSetup: "tests/mpi/setup.ts",
    testTimeout: 120_000,
    pool: "forks",
    maxWorkers: 1,
    reporters: ["default", "./tests/reporter.ts"],
  },
});
