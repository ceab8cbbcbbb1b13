/** What is kept for the way back shows in the schedule's memory; what is computed again gives the same gradients. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { compileProgram } from "../../compiler/compile.ts";
import { backends, open } from "../support/backends.ts";
import { relativeError } from "../support/compare.ts";

const path = new URL("remat.gyre", import.meta.url).pathname;
const policies = ["nothing", "dots", "everything"] as const;
type Policy = (typeof policies)[number];
const size = { E: 8, F: 32 };
const opened = (entry: Policy, L: number, N: number) =>
  open(path, readFileSync(path, "utf8"), { entry, dims: { L, N, ...size } });

/** Rows so many that a layer's activations are larger than its weights. */
const rows = 1024;
async function peak(entry: Policy, L: number): Promise<number> {
  const { core } = await opened(entry, L, 2 * rows);
  return compileProgram(core).compiled!.schedule.memory.bytes;
}
/** Bytes that a layer more takes on each device, beside its weights and their gradients. */
async function perLayer(entry: Policy): Promise<number> {
  const weights = 4 * 2 * size.E * size.F;
  return ((await peak(entry, 12)) - (await peak(entry, 8))) / 4 - 2 * weights;
}
const activation = 4 * rows * size.E;
const hidden = 4 * rows * size.F;

test("nothing_saveable keeps one activation for each layer, dots_saveable the products too", async () => {
  expect(await perLayer("nothing")).toBe(activation);
  expect(await perLayer("dots")).toBe(activation + hidden + activation);
  expect(await perLayer("everything")).toBeGreaterThan(activation + hidden + activation);
});

describe("every policy gives the same gradients", () => {
  for (const backend of backends)
    test.skipIf(!backend.ready)(backend.name, async () => {
      const results = [];
      for (const policy of policies) {
        const program = await opened(policy, 3, 16);
        results.push(await backend.run(program, program.inputs({})));
      }
      const [first, ...others] = results;
      for (const other of others)
        for (const [name, { data }] of first!)
          expect(relativeError(other.get(name)!.data, Float64Array.from(data)), name).toBeLessThan(1e-6);
    });
});
