/** Gathers and scattered sums that other kernels pass beside: the same bits, and in loops a step before they are needed. */
import { expect, test } from "vitest";
import { type Machine, usualMachine } from "../../compiler/base/machine.ts";
import { type Builder, emit, fold, mesh, program, spec } from "../../compiler/core/build.ts";
import { check } from "../../compiler/core/check.ts";
import { decompose } from "../../compiler/core/decompose.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import type { Atom, FoldEqn, Program } from "../../compiler/core/ir.ts";
import { collectAhead } from "../../compiler/core/overlap/ahead.ts";
import { simplify } from "../../compiler/core/simplify.ts";
import { wholeArray } from "./programs.ts";

const machine: Machine = {
  ...usualMachine,
  peak: { f32: 1e6 },
  vector: 1e6,
  memory: { bytes: 1e9, bandwidth: 1e12 },
  launch: 0,
  links: { inside: { bandwidth: 1e6, latency: 0, duplex: true, shared: true } },
};
const product = (b: Builder, x: Atom, w: Atom): Atom =>
  emit(
    b,
    "einsum",
    {
      ins: [
        ["m", "k"],
        ["k", "n"],
      ],
      out: ["m", "n"],
    },
    x,
    w,
  );
const layer = (b: Builder, w: Atom, at: Atom): Atom =>
  emit(b, "index", { selectors: [{ kind: "at", arg: 1 }, { kind: "all" }, { kind: "all" }] }, w, at);

/** Three layers, of which each gathers its weights; `of`: what they hang on besides the step. */
const layers = (n: number, hangs: boolean): Program =>
  program(
    mesh({ a: n }),
    [
      { shape: [2 * n, 4 * n], spec: spec(["a"], []) },
      { shape: [3, 4 * n, 4 * n], spec: spec([], ["a"], []) },
    ],
    [spec(["a"], [])],
    (b, x, w) =>
      fold(b, 3, [x!], (b, step, [x]) => {
        const own = layer(b, w!, step);
        const scaled = hangs
          ? emit(b, "mul", {}, own, emit(b, "reduce", { kind: "max", dims: [0, 1], keep: false }, x!))
          : own;
        const y = product(b, x!, emit(b, "all_gather", { axes: ["a"], dim: 0 }, scaled));
        return [emit(b, "tanh", {}, product(b, y, layer(b, emit(b, "all_gather", { axes: ["a"], dim: 1 }, w!), step)))];
      }),
  );
const foldOf = (p: Program): FoldEqn => p.body.eqns.find((e) => e.kind === "fold") as FoldEqn;

test.each([2, 3, 4, 8])("what hangs on the step alone is gathered a step ahead: on %i", (n) => {
  const p = simplify(layers(n, false));
  const { program: q, choices } = collectAhead(p, machine);
  expect(check(q)).toEqual([]);
  expect(foldOf(q).carry.length).toBe(foldOf(p).carry.length + 1);
  expect(choices.some((c) => c.what.includes("of the next step"))).toBe(true);
  const device = simplify(decompose(q, machine).program);
  expect(check(device)).toEqual([]);
  const inputs = p.inputs.map(({ port }, i) => wholeArray(i, ...port.shape));
  expect(evaluate(device, inputs)).toEqual(evaluate(p, inputs));
});

test("what hangs on what a step makes is not", () => {
  const { program: q } = collectAhead(simplify(layers(4, true)), machine);
  expect(foldOf(q).carry.length).toBe(1);
});
