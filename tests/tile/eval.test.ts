/** The meaning of kernels, on kernels written by hand. */
import { expect, test } from "vitest";
import { tabulate } from "../../compiler/core/ndarray.ts";
import {
  at,
  constant,
  fold,
  kernelBuilder,
  load,
  make,
  newAxis,
  pos,
  rawMap,
  reduce,
  scan,
} from "../../compiler/tile/build.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import type { Kernel, Value } from "../../compiler/tile/ir.ts";
import { numbers } from "../core/programs.ts";

const x = tabulate("f32", [5], (i) => i + 1); // 1 … 5
const out = tabulate("f32", [5], () => Number.NaN);
/** A kernel over blocks of 2 of one axis of 5 elements, and what it makes of `x`. */
function run(body: (b: ReturnType<typeof kernelBuilder>, i: ReturnType<typeof newAxis>) => Value): number[] {
  const b = kernelBuilder();
  const i = newAxis(b, { name: "i", role: "grid", extent: 5, block: 2 });
  const value = body(b, i);
  const kernel: Kernel = {
    name: "k",
    buffers: [
      { name: "x", dtype: "f32", shape: [5], access: "read" },
      { name: "y", dtype: "f32", shape: [5], access: "write" },
    ],
    scalars: [],
    grid: [i],
    body: b.scopes[0]!.stmts,
    stores: [{ buffer: 1, index: [pos(b, i)], value }],
  };
  return numbers(evalKernel(kernel, [x, out], [])[0]);
}

test("a reduction over a block leaves out what does not exist", () =>
  expect(run((b, i) => reduce(b, "sum", i, load(b, "f32", 0, [pos(b, i)])))).toEqual([3, 3, 7, 7, 5]));
test("a running sum begins anew in each block", () =>
  expect(run((b, i) => scan(b, i, load(b, "f32", 0, [pos(b, i)])))).toEqual([1, 3, 3, 7, 5]));
test("first and last elements of a block", () =>
  expect(
    run((b, i) => {
      const [first, last] = (["first", "last"] as const).map((end) => make(b, "i32", { kind: "edge", axis: i, end }));
      return make(b, "f32", { kind: "cast", arg: rawMap(b, "add", [first!, last!], "i32") });
    }),
  ).toEqual([1, 1, 5, 5, 8]));
test("a value at another element of the block", () =>
  expect(
    run((b, i) => {
      const first = make(b, "i32", { kind: "edge", axis: i, end: "first" });
      return at(b, load(b, "f32", 0, [pos(b, i)]), [{ axis: i, index: first }]);
    }),
  ).toEqual([1, 1, 3, 3, 5]));
test("a fold over blocks, and one over steps inside it", () =>
  expect(
    run((b, i) => {
      const j = newAxis(b, { name: "j", role: "fold", extent: 5, block: 3 });
      const zero = constant(b, 0, "f32");
      // Σ over blocks of (3 · Σ of the block) · (i + 1)
      const [total] = fold(b, { over: j, init: [zero], axes: [[i]] }, ([acc]) => {
        const [thrice] = fold(b, { over: 3, init: [zero], axes: [[]] }, ([t]) => {
          const block = reduce(b, "sum", j, load(b, "f32", 0, [pos(b, j)]));
          return [rawMap(b, "add", [t!, block], "f32")];
        });
        const mine = rawMap(b, "mul", [thrice!, load(b, "f32", 0, [pos(b, i)])], "f32");
        return [rawMap(b, "add", [acc!, mine], "f32")];
      });
      return total!;
    }),
  ).toEqual([45, 90, 135, 180, 225]));
