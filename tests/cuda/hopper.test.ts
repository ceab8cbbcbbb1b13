/**
 * Kernels for Hopper's warpgroups as CUDA C++, on the stand-in: products and copies that are late and early, shared memory
 * and accumulators that are NaN until they are waited for, every schedule of threads.
 */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { compile } from "../../compiler/compile.ts";
import { tabulate } from "../../compiler/core/ndarray.ts";
import { check } from "../../compiler/lane/check.ts";
import type { LaneProgram } from "../../compiler/lane/ir.ts";
import { hopperTarget } from "../../compiler/lane/team/target.ts";
import { lowerTeam } from "../../compiler/lane/team.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import { random } from "../core/programs.ts";
import { launch } from "../lane/device.ts";
import { devices } from "./device.ts";
import { standIn } from "./stand-in.ts";

const path = new URL("../lane/team.gyre", import.meta.url).pathname;
const read = (p: string): string =>
  readFileSync(p.startsWith("gyre/") ? new URL(`../../stdlib/${p.slice(5)}.gyre`, import.meta.url) : p, "utf8");

const isForWarpgroups = (p: LaneProgram): boolean => p.body.some((s) => s.kind === "roles");

/** The largest error of the results of each kernel for warpgroups, as a part of its largest number. */
async function errors(entry: string, dims: Readonly<Record<string, number>>, schedule: number) {
  const { compiled } = compile(path, read, { entry, dims, target: "hopper" });
  const [device] = await devices(1, { schedule });
  const found: (readonly [kernel: string, error: number])[] = [];
  for (const k of compiled!.tile.kernels) {
    const program = lowerTeam(k, { ...hopperTarget, groups: 1 });
    if ("reason" in program || !isForWarpgroups(program)) continue;
    expect(check(program)).toEqual([]);
    const next = random(11);
    const one = (dtype: string): number =>
      dtype === "i32" ? Math.floor((next() + 0.5) * 3) : Math.round(next() * 16) / 8;
    const buffers = k.buffers.map((b) => tabulate(b.dtype, b.shape, () => (b.access === "read" ? one(b.dtype) : 0)));
    const scalars = k.scalars.map(() => 0);
    const expected = evalKernel(k, buffers, scalars);
    const after = (await launch(device!, program, buffers, scalars)).filter((_, b) => k.buffers[b]!.access !== "read");
    for (const [r, x] of after.entries()) {
      const largest = Math.max(...[...expected[r]!.data].map(Math.abs));
      let worst = 0;
      x.data.forEach((v, at) => {
        const error = Math.abs(v - expected[r]!.data[at]!) / largest;
        if (!(error <= worst)) worst = error;
      });
      found.push([k.name, worst]);
    }
  }
  return found;
}

const cases: readonly (readonly [entry: string, dims: Readonly<Record<string, number>>, kernels: readonly string[]])[] = [
  ["product", { M: 128, N: 128, K: 320 }, ["matmul"]],
  ["causal_attention", { B: 1, S: 144, H: 2, G: 1, D: 64 }, []],
];
test.skipIf("why" in standIn).each(cases.map((c, k) => [...c, k % 4] as const))(
  "%s %o: %j, schedule %i",
  async (entry, dims, kernels, schedule) => {
    const found = await errors(entry, dims, schedule);
    console.log(found);
    for (const [name, e] of found) expect(e, name).toBeLessThan(1e-2);
    expect([...new Set(found.map(([name]) => name))]).toEqual(kernels);
  },
  60000,
);
