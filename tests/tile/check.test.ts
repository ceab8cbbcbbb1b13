/** Broken kernels and programs are found out. */
import { expect, test } from "vitest";
import { emit, mesh, program, spec } from "../../compiler/core/build.ts";
import { check } from "../../compiler/tile/check.ts";
import type { DeviceProgram, Kernel, Stmt } from "../../compiler/tile/ir.ts";
import { fused } from "./support.ts";

const good: DeviceProgram = fused(
  program(mesh({ device: 1 }), [{ shape: [4, 3], spec: spec([], []) }], [spec([])], (b, x) => [
    emit(b, "reduce", { kind: "sum", dims: [1], keep: false }, x!),
  ]),
);
const [kernel] = good.kernels as readonly [Kernel];
const withKernel = (change: Partial<Kernel>): DeviceProgram => ({ ...good, kernels: [{ ...kernel, ...change }] });
/** The kernel's values with the last one changed. */
const lastValue = (change: object): readonly Stmt[] => {
  const last = kernel.body.at(-1)!;
  return last.kind === "let" ? [...kernel.body.slice(0, -1), { kind: "let", value: { ...last.value, ...change } }] : [];
};

test("a good one", () => expect(check(good)).toEqual([]));
test("a value that is not let", () =>
  expect(check(withKernel({ body: kernel.body.slice(1) })).join()).toContain("is used before it is let"));
test("axes that do not follow from the definition", () =>
  expect(check(withKernel({ body: lastValue({ axes: [] }) })).join()).toContain("depends on (i) and says ()"));
test("a store of the wrong rank, and an output without one", () => {
  const [store] = kernel.stores;
  expect(check(withKernel({ stores: [{ ...store!, index: [] }] })).join()).toContain(
    "has 1 dimensions, and is stored to by 0",
  );
  expect(check(withKernel({ stores: [] })).join()).toContain("is never stored to");
});
test("arrays read before they are written, and written twice", () => {
  expect(check({ ...good, steps: [] }).join()).toContain("the result reads");
  expect(check({ ...good, steps: [...good.steps, ...good.steps] }).join()).toContain("is written twice");
});
test("an array that does not fit its buffer", () => {
  const arrays = good.arrays.map((a) => ({ ...a, shape: [5] }));
  expect(check({ ...good, arrays }).join()).toContain("does not fit");
});
