/** Derivatives of every operation on devices are those of the reference interpreter, which are finite differences. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { devices, open, reference } from "../support/backends.ts";
import { relativeError } from "../support/compare.ts";

const path = new URL("derivatives.gyre", import.meta.url).pathname;
const text = readFileSync(path, "utf8");
const inputs = {
  table: (n: number) => [5, 1, 5, 2, 9, 0][n % 6]!,
  at: (n: number) => (3 * n + 1) % 7,
};

test.each<[string, Record<string, number>, bound?: number]>([
  ["elementwise", { S: 8, E: 6 }],
  ["moved", { S: 8, E: 6, N: 4 }],
  ["reduced", { S: 8, E: 6 }],
  ["looped", { S: 8, E: 6, L: 3 }],
  ["exchanged", { S: 8, E: 4 }],
  ["halves", { S: 8, E: 6 }, 1e-2],
  ["chosen", { S: 8 }],
])("%s", async (entry, dims, bound = 2e-5) => {
  const program = await open(path, text, { entry, dims });
  const given = program.inputs(inputs);
  const wanted = await reference.run(program, given);
  for (const device of devices)
    for (const [name, { data }] of await device.run(program, given))
      expect(relativeError(data, wanted.get(name)!.data), `'${name}' on ${device.name}`).toBeLessThan(bound);
});
