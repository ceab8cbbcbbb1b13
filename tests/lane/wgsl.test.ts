/** Kernels as WGSL on the software adapter: arrays of every dtype, two elements to a word among them. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { chooseMapping } from "../../compiler/lane/choose.ts";
import { lowerKernel } from "../../compiler/lane/lower.ts";
import { type MapTarget, softwareTarget } from "../../compiler/lane/map.ts";
import { deriveBounds } from "../../compiler/tile/bounds.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import { printKernel } from "../../compiler/tile/print.ts";
import type { Device } from "../../runtime/device.ts";
import { openDevices } from "../../runtime/open.ts";
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

const runs = Number(process.env.LANE_RUNS ?? 40);
test("random kernels, as the software target maps them", async () => {
  for (let seed = 0; seed < runs; seed++) await expectKept(seed, 7, softwareTarget);
});
test("random kernels, as random machines would", async () => {
  for (let seed = 1000; seed < 1000 + runs; seed++) await expectKept(seed, 7, randomTarget(seed));
});
test("kernel 1076: what a hoisted index is made of", () => expectKept(1076, 10, softwareTarget));
