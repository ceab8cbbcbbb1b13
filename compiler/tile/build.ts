/**
 * Building kernels: values are made one by one, and equal ones once. A value is let in the outermost fold that knows all
 * of its operands, so what a loop does not change is computed before it. arithmetic.ts makes integers short.
 */
import { invariant } from "../base/invariant.ts";
import type { Span } from "../base/span.ts";
import type { DType, ReduceKind } from "../core/ir.ts";
import type { Axis, Def, Fold, MapOp, Stmt, Value } from "./ir.ts";

/** A kernel's body, or that of a fold in it, under construction. */
type Scope = { readonly stmts: Stmt[]; readonly known: Map<string, Value> };
/** The sum `constant + Σ by·value`. */
export type Affine = {
  readonly constant: number;
  readonly terms: ReadonlyMap<number, { readonly value: Value; readonly by: number }>;
};
/** Least and largest, inclusive. */
export type Range = readonly [low: number, high: number];

/** A kernel under construction. `depth`: the number of folds around a value or an axis. */
export type KernelBuilder = {
  readonly scopes: Scope[];
  readonly depth: Map<number, number>;
  readonly axisDepth: Map<number, number>;
  readonly foldDepth: Map<number, number>;
  readonly axes: Axis[];
  /** What is known of i32 values. */
  readonly affine: Map<number, Affine>;
  readonly range: Map<number, Range>;
  readonly scalarRange: (index: number) => Range | undefined;
  nextValue: number;
  nextFold: number;
};

export const kernelBuilder = (scalarRange: (index: number) => Range | undefined = () => undefined): KernelBuilder => ({
  scopes: [{ stmts: [], known: new Map() }],
  depth: new Map(),
  axisDepth: new Map(),
  foldDepth: new Map(),
  axes: [],
  affine: new Map(),
  range: new Map(),
  scalarRange,
  nextValue: 0,
  nextFold: 0,
});

/** A new axis. One of role "fold" belongs to the fold that is about to be opened. */
export function newAxis(b: KernelBuilder, a: Omit<Axis, "id">): Axis {
  const axis: Axis = { id: b.axes.length, ...a };
  b.axes.push(axis);
  b.axisDepth.set(axis.id, a.role === "fold" ? b.scopes.length : 0);
  return axis;
}

/** The union, sorted by id. */
export const unionOf = (...sets: readonly (readonly Axis[])[]): readonly Axis[] => {
  const all: Axis[] = [];
  for (const set of sets)
    for (const axis of set) {
      let at = all.length;
      while (at > 0 && all[at - 1]!.id > axis.id) at--;
      if (at === 0 || all[at - 1]!.id !== axis.id) all.splice(at, 0, axis);
      else all[at - 1] = axis;
    }
  return all;
};
/** The axes without some. */
const withoutAxes = (axes: readonly Axis[], gone: readonly Axis[]): readonly Axis[] =>
  axes.filter((a) => !gone.some((g) => g.id === a.id));

/** The values that a definition is computed from. */
export function operandsOf(d: Def): readonly Value[] {
  switch (d.kind) {
    case "load":
      return d.index;
    case "map":
      return d.args;
    case "cast":
    case "reduce":
    case "scan":
      return [d.arg];
    case "at":
      return [d.arg, ...d.bind.map((x) => x.index)];
    default:
      return [];
  }
}

/** The axes that a definition depends on; those of carries and results are their fold's to say. */
export function axesOf(d: Def): readonly Axis[] {
  switch (d.kind) {
    case "pos":
      return [d.axis];
    case "reduce":
      return withoutAxes(d.arg.axes, [d.axis]);
    case "scan":
      return unionOf(d.arg.axes, [d.axis]);
    case "at": {
      const bound = d.bind.map((x) => x.axis);
      return unionOf(withoutAxes(d.arg.axes, bound), ...d.bind.map((x) => x.index.axes));
    }
    default:
      return unionOf(...operandsOf(d).map((v) => v.axes));
  }
}

/** Leaves stand by themselves: they are not let. */
export const isLeaf = (d: Def): boolean =>
  ["const", "scalar", "step", "pos", "edge", "carry", "result"].includes(d.kind);

/** What makes two definitions the same. */
function keyOf(dtype: DType, d: Def): string {
  const ids = (vs: readonly Value[]): string => vs.map((v) => v.id).join();
  switch (d.kind) {
    case "const":
      return `${dtype} ${Object.is(d.value, -0) ? "-0" : d.value}`;
    case "scalar":
      return `scalar ${d.index}`;
    case "step":
      return `step ${d.fold}`;
    case "pos":
      return `pos ${d.axis.id}`;
    case "edge":
      return `edge ${d.axis.id} ${d.end}`;
    case "load":
      return `load ${d.buffer} ${d.clamp} ${ids(d.index)}`;
    case "map":
      return `${d.op} ${dtype} ${ids(d.args)}`;
    case "cast":
      return `cast ${dtype} ${d.arg.id}`;
    case "reduce":
    case "scan":
      return `${d.kind} ${d.op} ${d.axis.id} ${d.arg.id}`;
    case "at":
      return `at ${d.arg.id} ${d.bind.map((x) => `${x.axis.id}:${x.index.id}`).join()}`;
    case "carry":
    case "result":
      return `${d.kind} ${d.fold} ${d.place}`;
  }
}

/** The number of folds in which a definition must stand. */
function depthOf(b: KernelBuilder, d: Def): number {
  const own =
    d.kind === "carry" || d.kind === "step"
      ? b.foldDepth.get(d.fold)!
      : d.kind === "result"
        ? b.foldDepth.get(d.fold)! - 1
        : d.kind === "pos" || d.kind === "edge" || d.kind === "reduce" || d.kind === "scan"
          ? b.axisDepth.get(d.axis.id)!
          : 0;
  return operandsOf(d).reduce((n, v) => Math.max(n, b.depth.get(v.id)!), own);
}

/** The value of a definition; one that is there already where it is the same. `axes` for carries and results. */
export function make(b: KernelBuilder, dtype: DType, def: Def, axes: readonly Axis[] = axesOf(def)): Value {
  const depth = depthOf(b, def);
  const scope = b.scopes[depth];
  invariant(scope, "a value is made inside the folds that it depends on");
  const key = keyOf(dtype, def);
  const old = scope.known.get(key);
  if (old) return old;
  const value: Value = { id: b.nextValue++, dtype, axes, def };
  b.depth.set(value.id, depth);
  scope.known.set(key, value);
  if (!isLeaf(def)) scope.stmts.push({ kind: "let", value });
  const range = leafRange(b, def);
  if (range) b.range.set(value.id, range);
  return value;
}
function leafRange(b: KernelBuilder, d: Def): Range | undefined {
  if (d.kind === "pos" || d.kind === "edge") return [0, Math.max(0, d.axis.extent - 1)];
  if (d.kind === "scalar") return b.scalarRange(d.index);
  if (d.kind === "reduce" && d.op === "argmax") return [0, Math.max(0, d.axis.extent - 1)];
  if (d.kind === "cast" && d.arg.dtype === "bool") return [0, 1];
  return undefined;
}

/** Gives a value the name and place by which readers know it, where it has none yet. */
export function named(v: Value, name: string | undefined, span?: Span): Value {
  if (isLeaf(v.def)) return v;
  const open = v as { name?: string; span?: Span };
  if (name !== undefined) open.name ??= name;
  if (span) open.span ??= span;
  return v;
}

export const constant = (b: KernelBuilder, value: number, dtype: DType): Value =>
  make(b, dtype, { kind: "const", value });
/** The element along an axis; there is but one of an axis of extent 1. */
export const pos = (b: KernelBuilder, axis: Axis): Value =>
  axis.extent === 1 ? constant(b, 0, "i32") : make(b, "i32", { kind: "pos", axis });
export const edge = (b: KernelBuilder, axis: Axis, end: "first" | "last"): Value =>
  make(b, "i32", { kind: "edge", axis, end });
export const load = (b: KernelBuilder, dtype: DType, buffer: number, index: readonly Value[]): Value =>
  make(b, dtype, { kind: "load", buffer, index, clamp: false });
export const cast = (b: KernelBuilder, arg: Value, dtype: DType): Value =>
  arg.dtype === dtype ? arg : make(b, dtype, { kind: "cast", arg });
/** An op as it stands; arithmetic.ts has the one that simplifies. */
export const rawMap = (b: KernelBuilder, op: MapOp, args: readonly Value[], dtype: DType): Value =>
  make(b, dtype, { kind: "map", op, args });
export const reduce = (b: KernelBuilder, op: ReduceKind | "argmax", axis: Axis, arg: Value): Value =>
  make(b, op === "argmax" ? "i32" : arg.dtype, { kind: "reduce", op, axis, arg });
export const scan = (b: KernelBuilder, axis: Axis, arg: Value): Value =>
  make(b, arg.dtype, { kind: "scan", op: "sum", axis, arg });

/** The value elsewhere: axes that it does not depend on are left out. */
export function at(
  b: KernelBuilder,
  arg: Value,
  bind: readonly { readonly axis: Axis; readonly index: Value }[],
): Value {
  const real = bind.filter(({ axis, index }) => {
    // An axis of extent 1 has no elsewhere.
    const same = axis.extent === 1 || (index.def.kind === "pos" && index.def.axis.id === axis.id);
    return !same && arg.axes.some((a) => a.id === axis.id);
  });
  return real.length === 0 ? arg : make(b, arg.dtype, { kind: "at", arg, bind: real });
}

/** What a fold is opened with, besides its body. */
export type FoldShape = {
  /** The axis of the blocks, or the number of plain steps. */
  readonly over: Axis | number;
  readonly init: readonly Value[];
  /** The axes of each carry. */
  readonly axes: readonly (readonly Axis[])[];
};
/** A fold: `body` gets the carries (and the step) and gives what replaces them. Returns the results. */
export function fold(
  b: KernelBuilder,
  { over, init, axes }: FoldShape,
  body: (carry: readonly Value[], step: Value | undefined) => readonly Value[],
): readonly Value[] {
  const id = b.nextFold++;
  const stmts: Stmt[] = [];
  b.scopes.push({ stmts, known: new Map() });
  b.foldDepth.set(id, b.scopes.length - 1);
  const carry = init.map((v, place) => make(b, v.dtype, { kind: "carry", fold: id, place }, axes[place]!));
  const step = typeof over === "number" ? make(b, "i32", { kind: "step", fold: id }) : undefined;
  if (step) b.range.set(step.id, [0, Math.max(0, (over as number) - 1)]);
  const next = body(carry, step);
  b.scopes.pop();
  const results = init.map((v, place) => make(b, v.dtype, { kind: "result", fold: id, place }, axes[place]!));
  const loop: Fold["over"] = step
    ? { kind: "steps", count: over as number, step }
    : { kind: "blocks", axis: over as Axis };
  b.scopes.at(-1)!.stmts.push({ kind: "fold", id, over: loop, carry, init, body: stmts, next, results });
  return results;
}

/** The statements without those that nothing leads to. `live`: what is stored. */
export function livingStmts(body: readonly Stmt[], live: readonly Value[]): readonly Stmt[] {
  const seen = new Set<number>();
  const see = (v: Value): void => {
    if (seen.has(v.id)) return;
    seen.add(v.id);
    operandsOf(v.def).forEach(see);
  };
  live.forEach(see);
  const keep = (stmts: readonly Stmt[]): readonly Stmt[] => {
    const kept: Stmt[] = [];
    for (const s of [...stmts].reverse()) {
      if (s.kind === "let") {
        if (seen.has(s.value.id)) kept.push(s);
        continue;
      }
      if (!s.results.some((r) => seen.has(r.id))) continue;
      s.next.forEach(see);
      const inside = keep(s.body);
      s.init.forEach(see);
      kept.push({ ...s, body: inside });
    }
    return kept.reverse();
  };
  return keep(body);
}
