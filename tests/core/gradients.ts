/**
 * For tests of derivatives: functions on the devices of a mesh as equations, their gradients by the rules of ops alone,
 * and by finite differences.
 *
 * An array that varies over axes is one array with a leading dimension for the places along them, so that what is the
 * same on all devices is one array here too; a gradient is that of the sum of all results times their cotangents.
 */
import { expect } from "vitest";
import { type Dim, dimNumber } from "../../compiler/base/dim.ts";
import { type Builder, builder, emit, fresh, program, sameType, spec, typed } from "../../compiler/core/build.ts";
import { check } from "../../compiler/core/check.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import { rules } from "../../compiler/core/grad/rules.ts";
import {
  contribute,
  isFloatType,
  isReached,
  type OpRule,
  sweep,
  takeCotangent,
  zerosOf,
} from "../../compiler/core/grad/transpose.ts";
import { grad } from "../../compiler/core/grad.ts";
import type { Atom, Eqn, Mesh, Program, Type, Var } from "../../compiler/core/ir.ts";
import { ringSize } from "../../compiler/core/mesh-layout.ts";
import { type NDArray, tabulate } from "../../compiler/core/ndarray.ts";
import type { TypingContext } from "../../compiler/core/typing.ts";
import { random } from "./programs.ts";

/** An operand: its type on a device, and its numbers from random ones in [-0.5, 0.5). */
export type Input = { readonly type: Type; readonly value: (random: number) => number };
/** What every device does; the results may be of any type. */
export type Fn = {
  readonly inputs: readonly Input[];
  readonly build: (b: Builder, ...xs: Var[]) => readonly Atom[];
};

export const float = (...shape: Dim[]): Input => ({ type: typed("f32", ...shape), value: (r) => 4 * r });
export const positive = (...shape: Dim[]): Input => ({ type: typed("f32", ...shape), value: (r) => r + 1 });
/** Whole numbers of -2 … n+1: some of them out of range of n. */
export const places = (n: number, ...shape: Dim[]): Input => ({
  type: typed("i32", ...shape),
  value: (r) => Math.floor((r + 0.5) * (n + 4)) - 2,
});
export const flags = (...shape: Dim[]): Input => ({ type: typed("bool", ...shape), value: (r) => (r > 0 ? 1 : 0) });
export const over = (axes: readonly string[], i: Input): Input => ({ ...i, type: { ...i.type, varying: axes } });
export const as = (dtype: Type["dtype"], i: Input): Input => ({ ...i, type: { ...i.type, dtype } });

/** The equations of a function, and the types of its results. */
export function traced(f: Fn, context: TypingContext) {
  const b = builder(context);
  const xs = f.inputs.map((i) => fresh(b.ids, i.type));
  const results = f.build(b, ...xs);
  return { b, xs, results };
}

/** As a program from and to global arrays with a leading dimension for the places along the varying axes. */
export function programOf(mesh: Mesh, f: Fn): Program {
  const { results } = traced(f, { axes: mesh.axes });
  const global = ({ shape, varying, dtype }: Type) => ({
    dtype,
    shape: [ringSize(mesh, varying), ...shape.map((d) => dimNumber(d)!)],
    spec: spec(varying, ...shape.map(() => [])),
  });
  const inputs = f.inputs.map((i) => global(i.type));
  const outputs = results.map((a) => global(a.type).spec);
  return program(mesh, inputs, outputs, (b, ...locals) => {
    const xs = locals.map((x) => emit(b, "reshape", { shape: x.type.shape.slice(1) }, x));
    return f.build(b, ...xs).map((a) => emit(b, "reshape", { shape: [1, ...a.type.shape] }, a));
  });
}

/** Cotangents of `xs` from those of the results of equations that are all ops, each by its rule. */
export function pulledBack(
  b: Builder,
  eqns: readonly Eqn[],
  results: readonly Atom[],
  cts: readonly Atom[],
  xs: readonly Var[],
): readonly Atom[] {
  const active = new Set(xs.map((x) => x.id));
  const isActive = (a: Atom): boolean => a.kind === "var" && active.has(a.id) && isFloatType(a.type);
  for (const e of eqns)
    if (e.kind === "op" && rules[e.op] !== null && e.args.some(isActive) && isFloatType(e.out.type))
      active.add(e.out.id);
  const s = sweep(b);
  for (const [i, r] of results.entries()) if (isActive(r)) contribute(s, r, cts[i]!);
  for (const e of eqns.toReversed()) {
    if (e.kind !== "op" || !isReached(s, e.out)) continue;
    const ct = takeCotangent(s, e.out)!;
    const wants = e.args.map(isActive);
    const rule = rules[e.op] as OpRule;
    const shares = rule({ b, args: e.args, params: e.params, out: e.out, ct, wants });
    for (const [i, share] of shares.entries()) {
      expect(share !== undefined, `${e.op} has a share for operand ${i}`).toBe(wants[i]);
      if (share) contribute(s, e.args[i]!, share);
    }
  }
  return xs.map((x) => takeCotangent(s, x) ?? zerosOf(b, x.type));
}

/** From a function's operands and cotangents of its float results, the cotangents of its float operands. */
export function gradientOf(f: Fn, context: TypingContext): Fn {
  const { results } = traced(f, context);
  const floats = results.flatMap((r, i) => (isFloatType(r.type) ? [i] : []));
  const cts = floats.map((i): Input => ({ type: results[i]!.type, value: (r) => 2 * r }));
  return {
    inputs: [...f.inputs, ...cts],
    build: (b, ...all) => {
      const xs = all.slice(0, f.inputs.length);
      const before = b.eqns.length;
      const ys = f.build(b, ...xs);
      const wrt = xs.filter((x) => isFloatType(x.type));
      const found = pulledBack(
        b,
        b.eqns.slice(before),
        floats.map((i) => ys[i]!),
        all.slice(xs.length),
        wrt,
      );
      for (const [i, d] of found.entries()) {
        expect(sameType(d.type, wrt[i]!.type), "a cotangent has the type of its primal").toBe(true);
        expect(d.type.varying).toEqual(wrt[i]!.type.varying);
      }
      return found;
    },
  };
}

/** Σ x·w over all elements of all arrays. */
const dot = (xs: readonly NDArray[], ws: readonly NDArray[]): number =>
  xs.reduce((total, x, i) => x.data.reduce((t, v, k) => t + v * ws[i]!.data[k]!, total), 0);
const magnitude = (x: NDArray): NDArray => ({ ...x, data: x.data.map(Math.abs) });
/** x + h·v */
const moved = (x: NDArray, v: NDArray, h: number): NDArray => ({
  ...x,
  data: x.data.map((a, k) => a + h * v.data[k]!),
});

/** Random arrays for a function's operands. */
export function inputsOf(mesh: Mesh, f: Fn, seed: number): readonly NDArray[] {
  const next = random(seed);
  return f.inputs.map(({ type, value }) => {
    const shape = [ringSize(mesh, type.varying), ...type.shape.map((d) => dimNumber(d)!)];
    return tabulate(type.dtype, shape, () => value(next()));
  });
}

/** That a function's gradient, as {@link gradientOf} gives it, is what finite differences say along random directions. */
export function expectGradient(mesh: Mesh, f: Fn, seed = 1, gradient = gradientOf(f, { axes: mesh.axes })): void {
  const forward = grad(programOf(mesh, f)),
    backward = grad(programOf(mesh, gradient));
  expect(check(backward)).toEqual([]);
  const all = inputsOf(mesh, gradient, seed);
  const xs = all.slice(0, f.inputs.length),
    cts = all.slice(f.inputs.length);
  const floats = (ys: readonly NDArray[]): readonly NDArray[] => ys.filter((y) => isFloatType({ ...y, varying: [] }));
  const loss = (at: readonly NDArray[]): number => dot(floats(evaluate(forward, at, { exact: true })), cts);
  const grads = evaluate(backward, all, { exact: true });
  const wrt = f.inputs.flatMap((i, k) => (isFloatType(i.type) ? [k] : []));
  const next = random(seed + 1);
  for (const [i, k] of wrt.entries())
    for (let trial = 0; trial < 2; trial++) {
      const v = tabulate("f32", xs[k]!.shape, () => 2 * next());
      const along = (h: number): number => {
        const at = (step: number): number => loss(xs.with(k, moved(xs[k]!, v, step)));
        return (at(h) - at(-h)) / (2 * h);
      };
      const found = dot([grads[i]!], [v]);
      const bound = 1e-6 * Math.max(1, dot([magnitude(grads[i]!)], [magnitude(v)]));
      // A larger step may meet a kink, a smaller one is less exact.
      const near = Math.abs(found - along(1e-5)) <= bound || Math.abs(found - along(1e-7)) <= 10 * bound;
      expect(near, `operand ${k}: ${found}, finite differences say ${along(1e-5)}`).toBe(true);
    }
}
