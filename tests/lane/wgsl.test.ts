/** Kernels as WGSL on the software adapter: arrays of every dtype, two elements to a word among them. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import { tabulate } from "../../compiler/core/ndarray.ts";
import { chooseMapping } from "../../compiler/lane/choose.ts";
import { lowerKernel } from "../../compiler/lane/lower.ts";
import { type MapTarget, softwareTarget } from "../../compiler/lane/map.ts";
import { deriveBounds } from "../../compiler/tile/bounds.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import { printKernel } from "../../compiler/tile/print.ts";
import type { Device } from "../../runtime/device.ts";
import { openDevices } from "../../runtime/open.ts";
import { random } from "../core/programs.ts";
import { launch } from "./device.ts";
import { randomKernel, randomTarget } from "./random.ts";

let device: Device;
beforeAll(async () => {
  [device] = (await openDevices("webgpu", 1, { adapter: "software" })) as [Device];
});
afterAll(() => device?.close());

/** The least that an adapter binds. */
const mostBuffers = 8;

async function expectKept(seed: number, size: number, target: MapTarget): Promise<void> {
  const { kernel, buffers, scalars } = randomKernel(seed, size, true);
  if (kernel.buffers.length > mostBuffers) return;
  const expected = evalKernel(kernel, buffers, scalars);
  const bounded = deriveBounds(kernel);
  const after = await launch(device, lowerKernel(bounded, chooseMapping(bounded, target)), buffers, scalars);
  const written = after.filter((_, k) => kernel.buffers[k]!.access !== "read");
  for (const [k, x] of written.entries())
    expect(
      [...x.data].map((n) => n + 0),
      `${x.dtype} ${JSON.stringify(target)}\n${printKernel(kernel)}`,
    ).toEqual([...expected[k]!.data].map((n) => n + 0));
}

/** Kernels of teams, as GPUs behind WebGPU get them: with and without threads that exchange values. */
const read = (p: string): string | undefined =>
  p.endsWith("team.gyre") ? readFileSync(new URL("team.gyre", import.meta.url), "utf8") : readSource(p);
test.each([
  ["product", { M: 17, N: 40, K: 24 }, false],
  ["transposed", { M: 19, N: 18, K: 21 }, false],
  ["packed_attention", { B: 1, S: 40, H: 1, D: 8 }, true],
] as const)("%s %o by a team, exchanges: %s", async (entry, dims, exchanges) => {
  const { compiled } = compile("team.gyre", read, { entry, dims, target: "gpu", subgroups: exchanges });
  let teams = 0;
  for (const [i, program] of compiled!.lanes.entries()) {
    const kernel = compiled!.tile.kernels[i]!;
    if (!program.notes[0]?.startsWith("teams")) continue;
    teams++;
    const next = random(i + 3);
    const one = (dtype: string): number =>
      dtype === "i32" ? Math.floor((next() + 0.5) * 3) : Math.round(next() * 8) / 8;
    const buffers = kernel.buffers.map((b) => tabulate(b.dtype, b.shape, () => one(b.dtype)));
    const scalars = kernel.scalars.map(() => 0);
    const expected = evalKernel(kernel, buffers, scalars);
    const after = await launch(device, program, buffers, scalars);
    const written = after.filter((_, k) => kernel.buffers[k]!.access !== "read");
    for (const [k, x] of written.entries()) {
      const bound = x.dtype === "f32" ? 1e-5 : 1e-2;
      const wrong = [...x.data].findIndex((v, at) => {
        const want = expected[k]!.data[at]!;
        return !(Math.abs(v - want) <= bound * (1 + Math.abs(want)));
      });
      expect(wrong, `element ${wrong} of result ${k}\n${program.notes.join("\n")}`).toBe(-1);
    }
  }
  expect(teams).toBeGreaterThan(0);
});

const runs = Number(process.env.LANE_RUNS ?? 40);
test("random kernels, as the software target maps them", async () => {
  for (let seed = 0; seed < runs; seed++) await expectKept(seed, 7, softwareTarget);
});
test("random kernels, as random machines would", async () => {
  for (let seed = 1000; seed < 1000 + runs; seed++) await expectKept(seed, 7, randomTarget(seed));
});
test("kernel 1076: what a hoisted index is made of", () => expectKept(1076, 10, softwareTarget));
