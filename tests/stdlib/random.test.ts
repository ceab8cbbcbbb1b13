/** gyre/random against its formulas, on several meshes. */
import { expect, test } from "vitest";
import { randomUniform } from "../../compiler/core/threefry.ts";
import { array, range, sum, trial } from "../programs/harness.ts";

const draw = (i: number, j: number): number => {
  const [u, v] = [0, 1].map((k) => randomUniform(5, [i, j, 0, 0, k]));
  return Math.sqrt(-2 * Math.log(1 - u!)) * Math.cos(2 * Math.PI * v!);
};

for (const mesh of [
  { dp: 2, fsdp: 2, sp: 2, tp: 1 },
  { dp: 1, fsdp: 2, sp: 1, tp: 4 },
  { dp: 1, fsdp: 1, sp: 1, tp: 1 },
])
  trial(`draws do not depend on the mesh, ${JSON.stringify(mesh)}`, {
    program: "stdlib/random",
    dims: { M: 8, N: 24 },
    mesh,
    inputs: {},
    expect: () => ({
      0: array([8, 24], (i, j) => draw(i!, j!)),
      1: array([24], (i) => -2 + 5 * randomUniform(6, [i!, 0, 0, 0])),
      2: array([8], (i) => i!),
    }),
  });

test("what is drawn is normal: its moments", () => {
  const n = 4096;
  const x = range(n).map((i) => draw(i, 3));
  const moment = (k: number): number => sum(n, (i) => x[i]! ** k) / n;
  expect(Math.abs(moment(1))).toBeLessThan(0.05);
  expect(Math.abs(moment(2) - 1)).toBeLessThan(0.1);
  expect(Math.abs(moment(4) - 3)).toBeLessThan(0.5);
});
