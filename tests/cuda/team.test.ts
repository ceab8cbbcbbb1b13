/**
 * Kernels for teams of threads as CUDA C++, on the stand-in, against what they mean: under every schedule of threads, copies
 * early and late, shared memory that begins as NaN. Few and small ones; all of wide.ts, also with tiles as in large arrays and
 * for warpgroups, with `npm run test:cuda -- --stand-in`.
 */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { compile } from "../../compiler/compile.ts";
import { tabulate } from "../../compiler/core/ndarray.ts";
import { emitCuda } from "../../compiler/emit/cuda.ts";
import type { LaneProgram } from "../../compiler/lane/ir.ts";
import { hopperTarget, tensorTarget } from "../../compiler/lane/team/target.ts";
import { lowerTeam } from "../../compiler/lane/team.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import type { Kernel } from "../../compiler/tile/ir.ts";
import { random } from "../core/programs.ts";
import { launch } from "../lane/device.ts";
import { devices } from "./device.ts";
import { standIn } from "./stand-in.ts";
import { type Case, few, wide } from "./wide.ts";

const read = (p: string): string =>
  readFileSync(p.startsWith("gyre/") ? new URL(`../../stdlib/${p.slice(5)}.gyre`, import.meta.url) : p, "utf8");
const schedules = [0, 1, 2, 3];

function compiled({ file, entry, dims, mesh, dtype }: Case) {
  const path = new URL(`../../${file}`, import.meta.url).pathname;
  const from = (p: string): string =>
    dtype === "f32" && p === path ? read(p).replace(/\b(bf16|f16)\b/g, "f32") : read(p);
  const { compiled, diagnostics } = compile(path, from, { entry, dims, meshSizes: mesh ?? {}, target: "cuda" });
  expect(diagnostics).toEqual([]);
  return compiled!;
}

/** A kernel as it is made for arrays of this size; and as for large ones, for `mma.sync` and for warpgroups. Each text once. */
function programsOf(k: Kernel, chosen: LaneProgram, asForLarge: boolean): readonly LaneProgram[] {
  const large = [tensorTarget, hopperTarget].map((target) => lowerTeam(k, { ...target, groups: 1 }));
  const all = [chosen, ...(asForLarge ? large : [])].flatMap((p) =>
    "reason" in p || p.notes.some((n) => n.startsWith("each thread alone")) ? [] : [p],
  );
  return [...new Map(all.map((p) => [emitCuda(p).text, p])).values()];
}

/** The largest error of each result of each kernel, as a part of its largest number. */
async function errors(c: Case, asForLarge: boolean) {
  const { tile, lanes } = compiled(c);
  const found: { readonly of: string; readonly error: number }[] = [];
  for (const [i, k] of tile.kernels.entries()) {
    const programs = programsOf(k, lanes[i]!, asForLarge);
    if (programs.length === 0) continue;
    const next = random(11);
    // Eighths: exact in 16 bits. What a launch writes begins as zeros.
    const one = (dtype: string): number =>
      dtype === "bool" ? +(next() > 0) : dtype === "i32" ? Math.floor((next() + 0.5) * 3) : Math.round(next() * 16) / 8;
    const buffers = k.buffers.map((b) => tabulate(b.dtype, b.shape, () => (b.access === "read" ? one(b.dtype) : 0)));
    const scalars = k.scalars.map(() => 0);
    const expected = evalKernel(k, buffers, scalars);
    for (const program of programs)
      for (const schedule of schedules) {
        const [device] = await devices(1, { schedule, arch: 90 });
        const after = await launch(device!, program, buffers, scalars);
        const written = after.filter((_, b) => k.buffers[b]!.access !== "read");
        for (const [r, { data }] of written.entries())
          found.push({
            of: `result ${r} of ${k.name}, schedule ${schedule}\n${program.notes.join("\n")}`,
            error: worst(data, expected[r]!.data),
          });
      }
  }
  expect(found.length).toBeGreaterThan(0);
  return found;
}
/** NaN where numbers are not finite, and not the same. */
function worst(x: Float64Array, expected: Float64Array): number {
  const largest = expected.reduce((n, e) => (Number.isFinite(e) ? Math.max(n, Math.abs(e)) : n), 1e-30);
  let worst = 0;
  x.forEach((v, at) => {
    const e = expected[at]!;
    const error = Object.is(v + 0, e + 0) ? 0 : Math.abs(v - e) / largest;
    if (!(error <= worst)) worst = error;
  });
  return worst;
}

const bounds = { "16 bits": 1e-2, f32: 3e-5 } as const;
const all = process.env.GYRE_WIDE === "1";
test
  .skipIf("why" in standIn)
  .each([...few, ...(all ? wide : [])].map((c) => [c.file, c.entry, c.dims, c.dtype, c] as const))(
  "%s %s %o in %s",
  async (_file, _entry, _dims, dtype, c) => {
    for (const { of, error } of await errors(c, all)) expect(error, of).toBeLessThan(bounds[dtype]);
  },
  600_000,
);
