/**
 * Copying values of a kernel, and what they hang on, into another kernel: loads, positions and some values may be others
 * there. What nobody asks for is not copied.
 */
import { invariant } from "../base/invariant.ts";
import { add, map } from "./arithmetic.ts";
import {
  at,
  cast,
  constant,
  edge,
  fold,
  type KernelBuilder,
  make,
  named,
  newAxis,
  operandsOf,
  pos,
  reduce,
  scan,
  unionOf,
} from "./build.ts";
import type { Axis, Def, Fold, Kernel, Stmt, Value } from "./ir.ts";

type Load = Extract<Def, { readonly kind: "load" }>;

export type Copy = {
  readonly b: KernelBuilder;
  /** What stands for values, by the old ones' numbers; those to be others are here before they are copied. */
  readonly values: Map<number, Value>;
  /** The loops that are to be copied, by number. */
  readonly folds: ReadonlySet<number>;
  readonly axes: Map<number, Axis>;
  /** The position along an old axis, where it is another than that along its copy. */
  readonly pos: (a: Axis) => Value | undefined;
  /** The new kernel's buffer for a load, and how it is indexed. */
  readonly load: (d: Load, copy: (v: Value) => Value) => { readonly buffer: number; readonly index: readonly Value[] };
  /** The number of a parameter in the new kernel. */
  readonly scalar: (index: number) => number;
  /** What stands for a value that is computed in another way. */
  readonly other?: (v: Value, copy: (v: Value) => Value) => Value | undefined;
};

/** The copy of an axis, made when it is first asked for; that of a loop just before the loop is opened. */
export function axisIn(c: Copy, a: Axis): Axis {
  const known = c.axes.get(a.id);
  if (known) return known;
  const { id, ...like } = a;
  const made = newAxis(c.b, like);
  c.axes.set(id, made);
  return made;
}

export function copyValue(c: Copy, v: Value): Value {
  const known = c.values.get(v.id);
  if (known) return known;
  const made = c.other?.(v, (x) => copyValue(c, x)) ?? defined(c, v);
  const value = named(made, v.name, v.span);
  c.values.set(v.id, value);
  return value;
}

function defined(c: Copy, v: Value): Value {
  const { b } = c;
  const d = v.def;
  const copy = (x: Value): Value => copyValue(c, x);
  switch (d.kind) {
    case "const":
      return constant(b, d.value, v.dtype);
    case "scalar":
      return make(b, "i32", { kind: "scalar", index: c.scalar(d.index) });
    case "pos":
      return c.pos(d.axis) ?? pos(b, axisIn(c, d.axis));
    case "load":
      return make(b, v.dtype, { ...d, ...c.load(d, copy) });
    case "map":
      return map(b, d.op, d.args.map(copy), v.dtype);
    case "cast":
      return cast(b, copy(d.arg), v.dtype);
    case "reduce":
      return reduce(b, d.op, axisIn(c, d.axis), copy(d.arg));
    case "scan":
      return scan(b, axisIn(c, d.axis), copy(d.arg));
    case "at": {
      const bind = d.bind.map((x) => ({ axis: axisIn(c, x.axis), index: copy(x.index) }));
      return at(b, copy(d.arg), bind);
    }
    case "edge":
      return edge(b, axisIn(c, d.axis), d.end);
    case "step":
    case "carry":
    case "result":
      invariant(false, `a ${d.kind} is copied before what it belongs to`);
  }
}

/**
 * Copies a loop; its results stand for the old ones afterwards. `init`: what it begins with; `also`: more axes of its carries;
 * `some`: of a loop over plain steps only so many, from that one on.
 */
export function copyFold(
  c: Copy,
  f: Fold,
  init: readonly Value[] = f.init.map((v) => copyValue(c, v)),
  also: readonly Axis[] = [],
  some?: { readonly count: number; readonly from: Value },
): void {
  const over = f.over.kind === "blocks" ? axisIn(c, f.over.axis) : (some?.count ?? f.over.count);
  const axes = f.carry.map((v, k) =>
    unionOf(
      v.axes.map((a) => axisIn(c, a)),
      init[k]!.axes,
      also,
    ),
  );
  const results = fold(c.b, { over, init, axes }, (carry, step) => {
    f.carry.forEach((v, k) => void c.values.set(v.id, carry[k]!));
    if (f.over.kind === "steps") c.values.set(f.over.step.id, some ? add(c.b, some.from, step!) : step!);
    copyFolds(c, f.body);
    return f.next.map((v) => copyValue(c, v));
  });
  f.results.forEach((v, k) => void c.values.set(v.id, results[k]!));
}

/** Copies the loops among statements that are to be copied. All else comes when it is asked for. */
export function copyFolds(c: Copy, body: readonly Stmt[]): void {
  for (const s of body) if (s.kind === "fold" && c.folds.has(s.id)) copyFold(c, s);
}

/** All of a kernel, as its copy in the builder of `c`. */
export function copyKernel(c: Copy, kernel: Kernel): Kernel {
  const grid = kernel.grid.map((a) => axisIn(c, a));
  copyFolds(c, kernel.body);
  const stores = kernel.stores.map((s) => ({
    ...s,
    index: s.index.map((v) => copyValue(c, v)),
    value: copyValue(c, s.value),
  }));
  return { ...kernel, grid, body: c.b.scopes[0]!.stmts, stores };
}

/** The loops, at any depth, that values hang on; what is in `given` hangs on nothing. */
export function foldsUnder(
  body: readonly Stmt[],
  values: readonly Value[],
  given: ReadonlySet<number> = new Set(),
): ReadonlySet<number> {
  const all = new Map<number, Fold>();
  const note = (stmts: readonly Stmt[]): void => {
    for (const s of stmts)
      if (s.kind === "fold") {
        all.set(s.id, s);
        note(s.body);
      }
  };
  note(body);
  const found = new Set<number>();
  const seen = new Set<number>(given);
  const see = (v: Value): void => {
    if (seen.has(v.id)) return;
    seen.add(v.id);
    operandsOf(v.def).forEach(see);
    if (v.def.kind !== "result" || found.has(v.def.fold)) return;
    found.add(v.def.fold);
    const { init, next } = all.get(v.def.fold)!;
    [...init, ...next].forEach(see);
  };
  values.forEach(see);
  return found;
}
