/** Every op of the table of ops as CUDA C++ on the stand-in, on every type that it takes, against the reference. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { Block, Op } from "../../compiler/core/ir.ts";
import { collectives, meanings } from "../../compiler/core/meaning.ts";
import { regionsOf } from "../../compiler/core/walk.ts";
import { onCuda, open, reference } from "../support/backends.ts";
import { relativeError } from "../support/compare.ts";

const path = new URL("operations.gyre", import.meta.url).pathname;
const text = readFileSync(path, "utf8");
const inputs = {
  x: (...i: number[]) => Math.round(Math.sin(3 * i.reduce((n, k) => 5 * n + k, 1)) * 24) / 8,
  y: (n?: number) => 0.25 + ((n! * 7) % 11) / 4,
  i: (...i: number[]) => ((i.reduce((n, k) => 5 * n + k, 1) * 7) % 11) - 4,
  a: (...i: number[]) => Number(i.reduce((n, k) => 5 * n + k, 1) % 3 > 0),
  b: (n?: number) => n! % 2,
  at: (n?: number) => (n! * 3) % 8,
  n: () => 5,
};
const wholes = { ...inputs, x: (n?: number) => (n! % 7) - 3, y: (n?: number) => (n! % 5) - 2 };
const signless = { ...inputs, x: (n?: number) => n! % 7, y: (n?: number) => n! % 5, i: inputs.at };

const seen = new Set<Op>();
function see(block: Block): void {
  for (const e of block.eqns) {
    if (e.kind === "op") seen.add(e.op);
    for (const region of regionsOf(e)) see(region);
  }
}
const cuda = onCuda();
const bounds = { f32: 1e-5, f16: 2e-3, bf16: 2e-2 };
type Types = { readonly Real?: keyof typeof bounds; readonly Whole?: "i32" | "u32" };

test.skipIf(!cuda.ready).each([
  ["floats", { N: 24 }, {}, inputs],
  ["floats", { N: 24 }, { Real: "f16" }, inputs],
  ["floats", { N: 24 }, { Real: "bf16" }, inputs],
  ["wholes", { N: 24 }, {}, wholes],
  ["wholes", { N: 24 }, { Whole: "u32" }, signless],
  ["truths", { N: 24 }, {}, inputs],
  ["casts", { N: 24 }, {}, inputs],
  ["casts", { N: 24 }, { Real: "bf16", Whole: "u32" }, signless],
  ["casts", { N: 24 }, { Real: "f16" }, inputs],
  ["reduced", { M: 8, N: 12 }, {}, inputs],
  ["moved", { M: 8, N: 12 }, {}, inputs],
  ["exchanged", { N: 8 }, {}, inputs],
  ["again", { N: 24 }, {}, inputs],
] as const)("%s %o %o", async (entry, dims, of, given) => {
  const { Real = "f32", Whole = "i32" }: Types = of;
  const source = text
    .replace("type F<N> = f32", `type F<N> = ${Real}`)
    .replace("type I<N> = i32", `type I<N> = ${Whole}`);
  const program = await open(path, source, { entry, dims });
  see(program.core.body);
  const arrays = program.inputs(given);
  const expected = await reference.run(program, arrays);
  for (const [name, { data }] of await cuda.run(program, arrays))
    expect(relativeError(data, Float64Array.from(expected.get(name)!.data)), name).toBeLessThan(bounds[Real]);
});

test.skipIf(!cuda.ready)("are all there are", () => {
  // Only passes make it: a gather of permutes ends with it.
  const inSources = [...Object.keys(meanings), ...Object.keys(collectives)].filter((op) => op !== "unvary");
  expect(inSources.filter((op) => !seen.has(op as Op))).toEqual([]);
});
