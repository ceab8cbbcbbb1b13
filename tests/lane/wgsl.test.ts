/** Kernels as WGSL on the software adapter: arrays of every dtype, two elements to a word among them. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import { tabulate } from "../../compiler/core/ndarray.ts";
import { chooseMapping } from "../../compiler/lane/choose.ts";
import type { LaneProgram } from "../../compiler/lane/ir.ts";
import { lowerKernel } from "../../compiler/lane/lower.ts";
import { type MapTarget, softwareTarget } from "../../compiler/lane/map.ts";
import { lowerPlan } from "../../compiler/lane/team/lower.ts";
import { sumPlans } from "../../compiler/lane/team/sums.ts";
import { blockTarget, type TeamTarget } from "../../compiler/lane/team/target.ts";
import { deriveBounds } from "../../compiler/tile/bounds.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import type { Kernel } from "../../compiler/tile/ir.ts";
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

/** A kernel as threads that work alone do it, mapped for a target. */
const alone =
  (target: MapTarget) =>
  (k: Kernel): LaneProgram =>
    lowerKernel(k, chooseMapping(k, target));
/** As a team does it that deals out its axes; undefined where it has no rule. */
const together =
  (target: TeamTarget) =>
  (k: Kernel): LaneProgram | undefined => {
    const [first] = sumPlans(k, target).all;
    return first && lowerPlan(first);
  };

/** 1 where there is a program, and it keeps what the kernel means. */
async function expectKept(seed: number, size: number, lower: (k: Kernel) => LaneProgram | undefined): Promise<number> {
  const { kernel, buffers, scalars } = randomKernel(seed, size, true);
  const program = kernel.buffers.length > mostBuffers ? undefined : lower(deriveBounds(kernel));
  if (!program) return 0;
  const expected = evalKernel(kernel, buffers, scalars);
  const after = await launch(device, program, buffers, scalars);
  const written = after.filter((_, k) => kernel.buffers[k]!.access !== "read");
  for (const [k, x] of written.entries())
    expect(
      [...x.data].map((n) => n + 0),
      `${x.dtype} ${program.notes.join("\n")}\n${printKernel(kernel)}`,
    ).toEqual([...expected[k]!.data].map((n) => n + 0));
  return 1;
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
  for (let seed = 0; seed < runs; seed++) await expectKept(seed, 7, alone(softwareTarget));
});
test("random kernels, as random machines would", async () => {
  for (let seed = 1000; seed < 1000 + runs; seed++) await expectKept(seed, 7, alone(randomTarget(seed)));
});
test("random kernels, by teams, in subgroups and without", async () => {
  let made = 0;
  for (let seed = 0; seed < runs / 4; seed++)
    made += await expectKept(seed, 5, together({ ...blockTarget, exchange: seed % 2 === 0 ? 4 : 1 }));
  expect(made).toBeGreaterThan(runs / 8);
});
test("kernel 1076: what a hoisted index is made of", () => expectKept(1076, 10, alone(softwareTarget)));
