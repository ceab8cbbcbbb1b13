/** Programs of Core, fused, against what they mean. */
import { expect } from "vitest";
import { type Builder, emit, mesh, spec } from "../../compiler/core/build.ts";
import { decompose } from "../../compiler/core/decompose.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import type * as Core from "../../compiler/core/ir.ts";
import { type NDArray, tabulate } from "../../compiler/core/ndarray.ts";
import { simplify } from "../../compiler/core/simplify.ts";
import { check } from "../../compiler/tile/check.ts";
import { evalProgram } from "../../compiler/tile/eval.ts";
import { type FuseOptions, fuse } from "../../compiler/tile/fuse.ts";
import type { DeviceProgram, HostStep } from "../../compiler/tile/ir.ts";
import { print } from "../../compiler/tile/print.ts";
import { random } from "../core/programs.ts";

/** A mesh of one device, and the spec of an array that is not split. */
export const one = mesh({ device: 1 });
export const whole = (rank: number): Core.Spec => spec(...Array.from({ length: rank }, () => []));

export function matmul(b: Builder, x: Core.Atom, y: Core.Atom): Core.Var {
  const ins = [
    ["m", "k"],
    ["k", "n"],
  ];
  return emit(b, "einsum", { ins, out: ["m", "n"] }, x, y);
}

/** An array for each input: numbers in [-1, 1), or whole numbers from 0 to 9. */
export function inputsFor(p: Core.Program, seed = 1): readonly NDArray[] {
  const next = random(seed);
  return p.inputs.map(({ port }) => {
    const whole = port.dtype === "i32" || port.dtype === "u32";
    const one = (): number =>
      whole ? Math.floor((next() + 0.5) * 10) : port.dtype === "bool" ? Number(next() > 0) : next() * 2;
    return tabulate(port.dtype, port.shape, one);
  });
}

/** Fuses what `compile` would, and expects a well-formed program. */
export function fused(p: Core.Program, options: FuseOptions = {}): DeviceProgram {
  const { program, diagnostics } = fuse(simplify(decompose(simplify(p)).program), options);
  expect(diagnostics.map((d) => d.message)).toEqual([]);
  expect(check(program), print(program)).toEqual([]);
  return program;
}

/** Fuses, and expects that the kernels mean what the program means, whatever blocks the mapping chooses. */
export function expectSame(p: Core.Program, options: FuseOptions = {}): DeviceProgram {
  const program = fused(p, options);
  const inputs = inputsFor(p);
  const expected = evaluate(p, inputs);
  for (const autoBlock of [2, 64]) {
    const got = evalProgram(program, inputs, { autoBlock });
    got.forEach((x, k) => {
      expect(x.shape).toEqual(expected[k]!.shape);
      expect(distance(x, expected[k]!), print(program)).toBeLessThan(1e-9);
    });
  }
  return program;
}
/** Largest difference, relative to the largest number; infinite where one has a NaN or an infinity and the other not. */
function distance(x: NDArray, y: NDArray): number {
  let most = 0;
  let scale = 1;
  for (let i = 0; i < y.data.length; i++) {
    const a = x.data[i]!;
    const b = y.data[i]!;
    if (Object.is(a, b) || a === b) continue;
    if (!Number.isFinite(a) || !Number.isFinite(b)) return Number.POSITIVE_INFINITY;
    most = Math.max(most, Math.abs(a - b));
    scale = Math.max(scale, Math.abs(b));
  }
  return most / scale;
}

/** How much there is of each kind of step, loops not unrolled. */
export function counts(p: DeviceProgram): { kernels: number; launches: number; permutes: number } {
  const count = (steps: readonly HostStep[], kind: HostStep["kind"]): number =>
    steps.reduce((n, s) => n + (s.kind === kind ? 1 : 0) + (s.kind === "loop" ? count(s.body, kind) : 0), 0);
  return { kernels: p.kernels.length, launches: count(p.steps, "launch"), permutes: count(p.steps, "permute") };
}
