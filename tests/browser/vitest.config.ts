import { defineConfig } from "vitest/config";

/** `npm run test:browser`: what only a browser can show. Apart from `npm test`, since it needs a browser on the machine. */
export default defineConfig({
  root: new URL("../..", import.meta.url).pathname,
  test: {
    include: ["tests/browser/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: "forks",
    maxWorkers: 1,
    reporters: ["default", "./tests/reporter.ts"],
  },
});
