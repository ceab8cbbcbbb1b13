/** The results and gradients of the reference implementation of ring attention, computed by Gyre programs. */
import { describe, expect, test } from "vitest";
import { backends } from "../support/backends.ts";
import { boundOf, readCases, runCase } from "./cases.ts";

const folder = new URL("data", import.meta.url).pathname;

for (const c of readCases(folder))
  describe(c.name, () => {
    for (const backend of backends)
      test.skipIf(!backend.ready)(backend.name, async () => {
        const errors = await runCase(folder, c, backend);
        expect([...errors.keys()]).toEqual(c.kind === "decode" ? ["out"] : ["out", "dq", "dk", "dv"]);
        for (const [result, error] of errors) expect(error, result).toBeLessThan(boundOf(c, result));
      });
  });
