/** The results of the reference implementation of ring attention, computed by Gyre programs. */
import { describe, expect, test } from "vitest";
import { backends } from "../support/backends.ts";
import { bounds, readCases, runCase } from "./cases.ts";

const folder = new URL("data", import.meta.url).pathname;

for (const c of readCases(folder))
  describe(c.name, () => {
    for (const backend of backends)
      test.skipIf(!backend.ready)(backend.name, async () => {
        expect(await runCase(folder, c, backend)).toBeLessThan(bounds[c.dtype]);
      });
  });
