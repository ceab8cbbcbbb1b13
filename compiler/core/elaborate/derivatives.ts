/**
 * Derivatives as the source asks for them. `vjp` becomes a region of Core that can be pulled back, `grad` that and its
 * pullback, `checkpoint` a region that is computed again; a later pass puts plain equations in their place.
 *
 *   vjp(f, x)            (y) = vjp id (p = x) { f(p) }               the value, and a function:
 *   pullback(g)          (dx) = pullback id (g)
 *   grad(f)(x)           the pullback of 1
 */
import type { Span } from "../../base/span.ts";
import { isFloat } from "../dtype.ts";
import type { Atom } from "../ir.ts";
import { toAtom } from "./arithmetic.ts";
import { type Context, fail, freshVar, lit, poison, push, widen } from "./context.ts";
import { fitOrNot } from "./fit.ts";
import {
  type Argument,
  arrayOf,
  describe,
  errorValue,
  type FnValue,
  leafPaths,
  leaves,
  type PullbackFn,
  printType,
  refill,
  tupleOf,
  typeOfValue,
  type Value,
} from "./value.ts";

type GradFn = Extract<FnValue, { fn: "grad" }>;
type CheckpointFn = Extract<FnValue, { fn: "checkpoint" }>;

/** A context whose equations are a region of their own, of which `more` derivatives are taken than of what is around it. */
export const region = (c: Context, more: number): Context => ({
  ...c,
  eqns: [],
  differentiated: Math.max(0, c.differentiated + more),
});
/** Something among the leaves that is still open, as a carry is before its `fold` has found its type. */
function openLeaf(c: Context, v: Value, span: Span): Value | undefined {
  const open = leaves(v).find((x) => x.kind === "unknown");
  return open?.kind === "unknown" && open.fill ? fail(c, "GY3019", open.span ?? span, {}) : open;
}

/** What is differentiated: `f` of `args`, with respect to the first `count` of them. */
type Asked = { readonly name: string; readonly f: FnValue; readonly args: readonly Argument[]; readonly count: number };

/** The value of a function as a region, and what pulls it back. Another value where there is none: open, or an error. */
function differentiate(c: Context, k: Asked, span: Span): PullbackFn | Value {
  const by = k.args.slice(0, k.count);
  const given: Argument[] = [];
  for (const a of by) {
    const open = openLeaf(c, a.value, a.span);
    if (open) return open;
    const paths = leafPaths(a.value, "");
    const atoms = leaves(a.value).map((leaf, i) => floatAtom(c, k.name, leaf, paths[i]!, a.span));
    if (atoms.includes(poison)) return errorValue;
    given.push({ ...a, value: refill(a.value, atoms.map(arrayOf)) });
  }
  const inner = region(c, 1);
  const args = given.flatMap((a) => atomsOf(a.value));
  const params = args.map((a, i) =>
    freshVar(c, a.type, { from: [a], span: given[0]!.span }, a.kind === "var" ? a.name : `p${i}`),
  );
  let next = 0;
  const inside = given.map((a) => ({
    ...a,
    value: refill(
      a.value,
      leaves(a.value).map(() => arrayOf(params[next++]!)),
    ),
  }));
  const value = c.knot.call(inner, k.f, [...inside, ...k.args.slice(k.count)], span);
  const wrong = openLeaf(c, value, span) ?? notDifferentiable(c, k.name, value, span);
  if (wrong) return wrong;
  const results = leaves(value).map((v) => toAtom(inner, v, span));
  const outs = results.map((a) => freshVar(c, a.type, { from: [a], span }));
  const id = c.shared.nextId++;
  push(c, { kind: "vjp", id, params, args, body: { eqns: inner.eqns, results }, outs, span });
  return {
    kind: "fn",
    fn: "pullback",
    id,
    inTiles: c.outside !== undefined,
    args: given.map((a) => a.value),
    value: refill(value, outs.map(arrayOf)),
  };
}
const atomsOf = (v: Value): readonly Atom[] => leaves(v).flatMap((x) => (x.kind === "array" ? [x.atom] : []));
const isFloatLeaf = (v: Value): boolean => v.kind === "float" || (v.kind === "array" && isFloat(v.atom.type.dtype));
function floatAtom(c: Context, name: string, leaf: Value, path: string, span: Span): Atom {
  if (isFloatLeaf(leaf) || leaf.kind === "error") return toAtom(c, leaf, span);
  fail(c, "GY9001", span, { name, found: describe(leaf), path });
  return poison;
}
/** A value that `vjp` has no cotangents for, or `grad` no seed: anything but floats, anything but one number. */
function notDifferentiable(c: Context, name: string, value: Value, span: Span): Value | undefined {
  const found = leaves(value);
  if (found.some((v) => v.kind === "error")) return errorValue;
  if (name !== "vjp") {
    const number = isFloatLeaf(value) && !(value.kind === "array" && value.atom.type.shape.length > 0);
    return number ? undefined : fail(c, "GY9002", span, { name, found: describe(value) });
  }
  const odd = found.find((v) => !isFloatLeaf(v));
  return odd && fail(c, "GY9004", span, { found: describe(odd) });
}

/** `vjp(f, x, y, …)`: the value, and the function that gives the arguments' cotangents from the value's. */
export function vjp(c: Context, f: FnValue, args: readonly Argument[], span: Span): Value {
  const d = differentiate(c, { name: "vjp", f, args, count: args.length }, span);
  return isPullback(d) ? tupleOf([d.value, d]) : d;
}
const isPullback = (v: Value): v is PullbackFn => v.kind === "fn" && v.fn === "pullback";

/** `grad(f)(x, …)`: how the sum of f's value over all devices that have a value of their own changes with x. */
export function callGrad(c: Context, g: GradFn, args: readonly Argument[], span: Span): Value {
  const name = g.withValue ? "value_and_grad" : "grad";
  const first = g.of.fn === "decl" ? g.of.decl.params[0]?.name.name : undefined;
  const by = args.find((a) => !a.name || a.name.name === first);
  if (!by) return fail(c, "GY3027", span, { missing: [first ?? "x"], of: name });
  const d = differentiate(c, { name, f: g.of, args: [by, ...args.filter((a) => a !== by)], count: 1 }, span);
  if (!isPullback(d)) return d;
  const { type } = atomsOf(d.value)[0]!;
  const seed = widen(c, lit(1, type.dtype), type.varying, span);
  const gradient = pullBack(c, d, [seed], span)[0]!;
  return g.withValue ? tupleOf([d.value, gradient]) : gradient;
}

/** Calls what `vjp` gave: a cotangent like the value; gives one like each argument. */
export function callPullback(c: Context, f: PullbackFn, args: readonly Argument[], span: Span): Value {
  const named = args.find((a) => a.name);
  if (named?.name) return fail(c, "GY3025", named.name.span, { name: named.name.name, of: "a pullback" });
  if (args.length !== 1) return fail(c, "GY3009", span, { of: "a pullback", wants: 1, found: args.length });
  if (c.outside !== undefined && !f.inTiles) return fail(c, "GY9007", span, {});
  const given = args[0]!;
  const before = c.diagnostics.length;
  const fitted = fitOrNot(c, typeOfValue(f.value), given.value, given.span);
  if (!fitted && c.diagnostics.length === before)
    fail(c, "GY9005", given.span, { wants: printType(typeOfValue(f.value)), found: describe(given.value) });
  if (!fitted || leaves(fitted).some((v) => v.kind === "error")) return errorValue;
  const values = atomsOf(f.value);
  const cotangents = atomsOf(fitted).map((a, i) => cotangentOf(c, a, values[i]!, given.span));
  if (cotangents.includes(poison)) return errorValue;
  const results = pullBack(c, f, cotangents, span);
  return results.length === 1 ? results[0]! : tupleOf(results);
}
/** A cotangent varies as the value does. */
function cotangentOf(c: Context, a: Atom, of: Atom, span: Span): Atom {
  const axis = a.type.varying.find((x) => !of.type.varying.includes(x));
  if (axis === undefined) return widen(c, a, of.type.varying, span);
  fail(c, "GY9006", span, { axis });
  return poison;
}
/** A cotangent for each argument, from one for each leaf of the value. */
function pullBack(c: Context, f: PullbackFn, cotangents: readonly Atom[], span: Span): readonly Value[] {
  const outs = f.args.flatMap(atomsOf).map((a) => freshVar(c, a.type, { from: [a, ...cotangents], span }));
  push(c, { kind: "pullback", of: f.id, args: cotangents, outs, span });
  let next = 0;
  return f.args.map((x) =>
    refill(
      x,
      leaves(x).map(() => arrayOf(outs[next++]!)),
    ),
  );
}

/** A checkpointed function: itself, and where a derivative may be taken of it, a region. */
export function callCheckpoint(c: Context, f: CheckpointFn, args: readonly Argument[], span: Span): Value {
  // In a derivative rule the numbers for functions are differentiated, and which these are is known at the end.
  const inner = c.differentiated > 0 || c.calls.some((k) => k.decl.kind === "derivative") ? region(c, 0) : c;
  const value = c.knot.call(inner, f.of, args, span);
  if (leaves(value).some((v) => v.kind === "fn")) return fail(c, "GY9009", span, { what: "a checkpointed function" });
  if (inner === c) return value;
  const results = atomsOf(value);
  const outs = results.map((a) => freshVar(c, a.type, { from: [a], span }));
  push(c, { kind: "checkpoint", policy: f.policy, body: { eqns: inner.eqns, results }, outs, span });
  let next = 0;
  return refill(
    value,
    leaves(value).map((v) => (v.kind === "array" ? arrayOf(outs[next++]!) : v)),
  );
}
