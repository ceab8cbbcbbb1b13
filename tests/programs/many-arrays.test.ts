/** Kernels of many arrays on adapters that bind few: with some of them joined they give what the reference gives. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { compileProgram } from "../../compiler/compile.ts";
import { type Choices, devicesWith, type Inputs, open, reference } from "../support/backends.ts";
import { relativeError } from "../support/compare.ts";

const path = new URL("many-arrays.gyre", import.meta.url).pathname;
const source = readFileSync(path, "utf8");

async function expectWithin(maxBuffers: number, choices: Choices, given: Inputs): Promise<void> {
  const program = await open(path, source, choices);
  const all = compileProgram(program.core, { maxBuffers: 1000 }).compiled!;
  expect(Math.max(...all.kernels.map((k) => k.access.length))).toBeGreaterThan(maxBuffers);
  const { kernels } = compileProgram(program.core, { maxBuffers }).compiled!;
  expect(Math.max(...kernels.map((k) => k.access.length))).toBeLessThanOrEqual(maxBuffers);

  const inputs = program.inputs(given);
  const expected = await reference.run(program, inputs);
  for (const device of devicesWith({ maxBuffers })) {
    const got = await device.run(program, inputs);
    for (const [name, { data }] of expected)
      expect(relativeError(got.get(name)!.data, data), `relative error of ${name}`).toBeLessThan(2e-5);
  }
}

describe("eight arrays to a kernel", () => {
  test("a kernel that closes over sixteen", () =>
    expectWithin(
      8,
      { entry: "mixed", dims: { N: 22, D: 4, R: 5 } },
      {
        order: (d) => (d * 3) % 4,
        "first.bin": (r) => r * 2,
        "second.bin": (r) => (r * r) % 5,
        turn: () => 2,
        on: (r) => (r === 3 ? 0 : 1),
        floor: () => -0.7,
        ceiling: () => 0.8,
      },
    ));
  test("attention with learned arrays and its gradients, on a ring", () =>
    expectWithin(
      8,
      { entry: "learned", dims: { B: 1, S: 32, H: 4, G: 2, D: 4, R: 6 }, mesh: { sp: 4 } },
      { ids: (_, s) => s!, "operands.p.cap": () => 1.5, "operands.p.temperature": (h) => 1 + h! / 3 },
    ));
});
