/** Kernels that do the same are one. */
import { expect, test } from "vitest";
import { emit, lit, program } from "../../compiler/core/build.ts";
import type { Atom, Program } from "../../compiler/core/ir.ts";
import { check } from "../../compiler/tile/check.ts";
import { evalProgram } from "../../compiler/tile/eval.ts";
import { mergeKernels } from "../../compiler/tile/merge.ts";
import { fused, inputsFor, matmul, one, whole } from "./support.ts";

/** `count` layers x = max(x w, floor), the floors given. */
function layers(floors: readonly number[]): Program {
  const shapes = [[8, 4], ...floors.map(() => [4, 4])];
  return program(
    one,
    shapes.map((shape) => ({ shape, spec: whole(2) })),
    [whole(2)],
    (b, x, ...ws) => [ws.reduce<Atom>((y, w, l) => emit(b, "max", {}, matmul(b, y, w), lit(floors[l]!)), x!)],
  );
}

test("layers written out are launches of one kernel", () => {
  const before = fused(layers([0, 0, 0, 0]));
  const after = mergeKernels(before);
  expect([before.kernels.length, after.kernels.length]).toEqual([4, 1]);
  expect(check(after)).toEqual([]);
  const inputs = inputsFor(layers([0, 0, 0, 0]));
  expect(evalProgram(after, inputs)).toEqual(evalProgram(before, inputs));
});

test("what differs in anything but names stays apart", () => {
  expect(mergeKernels(fused(layers([0, 1, 0, -0]))).kernels.length).toBe(3);
  const other = program(one, [{ shape: [8, 4], spec: whole(2) }], [whole(2), whole(2)], (b, x) => {
    const up = emit(b, "exp", {}, x!);
    const turned = emit(b, "transpose", { perm: [1, 0] }, matmul(b, emit(b, "transpose", { perm: [1, 0] }, x!), x!));
    return [matmul(b, up, turned), emit(b, "exp", {}, matmul(b, x!, turned))];
  });
  const { kernels } = fused(other);
  expect(mergeKernels(fused(other)).kernels.length).toBe(kernels.length);
});
