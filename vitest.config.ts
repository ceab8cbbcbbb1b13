import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    // Need a browser, and MPI: npm run test:browser, npm run test:mpi.
    exclude: ["tests/browser/**", "tests/mpi/**"],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    pool: "forks",
    maxWorkers: 2,
    reporters: ["default", "./tests/reporter.ts"],
  },
});
