/** Random kernels as CUDA C++, arrays of every dtype among them, each schedule of threads and copies in turn. */
import { expect, test } from "vitest";
import { chooseMapping } from "../../compiler/lane/choose.ts";
import { lowerKernel } from "../../compiler/lane/lower.ts";
import { gpuTarget, type MapTarget } from "../../compiler/lane/map.ts";
import { deriveBounds } from "../../compiler/tile/bounds.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import { printKernel } from "../../compiler/tile/print.ts";
import { launch } from "../lane/device.ts";
import { randomKernel, randomTarget } from "../lane/random.ts";
import { devices } from "./device.ts";
import { standIn } from "./stand-in.ts";

const runs = Number(process.env.LANE_RUNS ?? 12);

async function expectKept(seed: number, target: MapTarget): Promise<void> {
  const { kernel, buffers, scalars } = randomKernel(seed, 7, true);
  const expected = evalKernel(kernel, buffers, scalars);
  const bounded = deriveBounds(kernel);
  const program = lowerKernel(bounded, chooseMapping(bounded, target));
  const [device] = await devices(1, { schedule: seed % 4 });
  const after = await launch(device!, program, buffers, scalars);
  const written = after.filter((_, k) => kernel.buffers[k]!.access !== "read");
  for (const [k, x] of written.entries())
    expect(
      [...x.data].map((n) => n + 0),
      `${x.dtype} ${JSON.stringify(target)}\n${printKernel(kernel)}`,
    ).toEqual([...expected[k]!.data].map((n) => n + 0));
}

test.skipIf("why" in standIn)("random kernels, as GPUs are mapped", async () => {
  for (let seed = 0; seed < runs; seed++) await expectKept(seed, gpuTarget);
});
test.skipIf("why" in standIn)("random kernels, as random machines would be", async () => {
  for (let seed = 3000; seed < 3000 + runs; seed++) await expectKept(seed, randomTarget(seed));
});
