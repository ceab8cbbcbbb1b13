import { expect, test } from "vitest";
import { emit, lit, mesh, program, spec } from "../../compiler/core/build.ts";
import { check } from "../../compiler/core/check.ts";
import { combine } from "../../compiler/core/combine.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import type { Program } from "../../compiler/core/ir.ts";
import { eachEqn } from "../../compiler/core/walk.ts";
import { wholeArray } from "./programs.ts";

const sums = (p: Program): number => {
  let n = 0;
  eachEqn(p.body, (e) => {
    if (e.kind === "op" && e.op === "psum") n++;
  });
  return n;
};
function expectSame(p: Program, count: number): void {
  const q = combine(p);
  expect(check(q)).toEqual([]);
  expect(sums(q)).toBe(count);
  const inputs = p.inputs.map(({ port }, i) => wholeArray(i + 3, ...port.shape));
  expect(evaluate(q, inputs)).toEqual(evaluate(p, inputs));
}

const ports = [
  { shape: [8, 3], spec: spec(["sp"], []) },
  { shape: [4, 2, 2], spec: spec(["sp"], [], []) },
  { shape: [4], spec: spec(["sp"]) },
];

test("sums that nobody waits for become one", () => {
  const p = program(mesh({ sp: 4 }), ports, [spec([], []), spec([], [], []), spec([])], (b, ...xs) =>
    xs.map((x) => emit(b, "psum", { axes: ["sp"] }, x)),
  );
  expectSame(p, 1);
});

test("a sum that another one reads comes before it", () => {
  const p = program(mesh({ sp: 4 }), ports, [spec([], []), spec([])], (b, x, _, y) => {
    const first = emit(b, "psum", { axes: ["sp"] }, y!);
    const scaled = emit(b, "mul", {}, x!, emit(b, "reduce", { kind: "sum", dims: [0], keep: false }, first));
    return [emit(b, "psum", { axes: ["sp"] }, scaled), first];
  });
  expectSame(p, 2);
});

test("sums over other axes, and large ones, stay as they are", () => {
  const two = mesh({ dp: 2, sp: 2 });
  const port = { shape: [2, 2, 3], spec: spec(["dp"], ["sp"], []) };
  const p = program(two, [port, port], [spec([], ["sp"], []), spec(["dp"], [], [])], (b, x, y) => [
    emit(b, "psum", { axes: ["dp"] }, x!),
    emit(b, "psum", { axes: ["sp"] }, y!),
  ]);
  expectSame(p, 2);
  const large = program(mesh({ sp: 2 }), [{ shape: [2, 1], spec: spec(["sp"], []) }], [spec([]), spec([])], (b, x) => {
    const wide = emit(b, "broadcast", { shape: [1, 70_000] }, x!);
    const flat = emit(b, "reshape", { shape: [70_000] }, wide);
    return [
      emit(b, "psum", { axes: ["sp"] }, flat),
      emit(b, "psum", { axes: ["sp"] }, emit(b, "mul", {}, flat, lit(2))),
    ];
  });
  expectSame(large, 2);
});
