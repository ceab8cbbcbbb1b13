/**
 * Tile -> Lane for sums whose terms are each added at one place (tile/hits.ts): a thread owns a part of the places and some
 * elements side by side at each, makes them 0, and goes over the terms in order.
 *
 *   y[own] = 0
 *   for t { at = place(t);  if at is own and the term counts { y[at, e…] += x(t, e…) } }
 *
 * What a thread adds to is its own, so results are the same bits each time, and nothing has to be atomic.
 */
import { bug } from "../base/invariant.ts";
import { operandsOf } from "../tile/build.ts";
import { type ScatterKernel, scatterIn } from "../tile/hits.ts";
import type { Axis, Kernel, Value } from "../tile/ir.ts";
import type { Pays } from "../tile/sumHits.ts";
import { add, and, cast, laneType, less, lit, min, mul, op, ref, vec } from "./expr.ts";
import { buffersInFours } from "./fours.ts";
import type { Expr, LaneProgram, LaneStmt } from "./ir.ts";
import { stepsAlong } from "./map.ts";
import { namer } from "./scope.ts";

export type ScatterTarget = {
  /** Threads of a workgroup, each for other elements; how many an instruction adds, and how many a thread owns at most. */
  readonly threads: number;
  readonly width: 1 | 4;
  readonly own: number;
  /** Workgroups to aim at. */
  readonly groups: number;
  /** Places, times the elements at each, from which on the work saved is worth going over the terms one after another. */
  readonly least: number;
};

export const paysOn =
  (t: ScatterTarget): Pays =>
  ({ hits }, result) => {
    const places = hits.reduce((n, h) => n * h.axis.extent, 1);
    const others = result.axes.filter((a) => !hits.some((h) => h.axis.id === a.id));
    const beside = others.reduce((n, a) => Math.max(n, a.extent), 1);
    return places >= 16 && places * beside >= t.least && 2 * beside >= t.threads;
  };

/** The program of a kernel that does nothing but add at places, where that pays. */
export function lowerScatter(kernel: Kernel, target: ScatterTarget): LaneProgram | undefined {
  const scatter = scatterIn(kernel);
  if (!scatter || !paysOn(target)(scatter, scatter.store.value)) return undefined;
  const fresh = namer();
  const names = kernel.buffers.map((b) => fresh(b.name));
  const scalars = kernel.scalars.map((x) => ({
    ...x,
    name: fresh(x.kind === "axis_index" ? `index_${x.axes.join("_")}` : "step"),
  }));
  const body: LaneStmt[] = [];
  const w: Writer = { kernel, scatter, fresh, scalars: scalars.map((x) => x.name), wide: target.width === 4 };
  const deal = dealt(w, target, body);
  const top: Env = { into: body, at: deal.at, known: new Map(), four: undefined };
  writeZeros(
    w,
    deal,
    top,
    scatter.hits.map((h) => h.axis),
  );
  writeTerms(w, deal, top);
  const fours = buffersInFours(body);
  return {
    name: kernel.name,
    buffers: kernel.buffers.map(({ dtype, shape, access }, k) => ({
      name: names[k]!,
      dtype,
      shape,
      access: access === "read" ? "read" : "read_write",
      vector: fours.has(k),
    })),
    scalars,
    threads: deal.threads,
    groups: deal.groups,
    ...(w.wide ? { unaligned: true as const } : {}),
    body,
    notes: deal.notes,
  };
}

type Writer = {
  readonly kernel: Kernel;
  readonly scatter: ScatterKernel;
  readonly fresh: (hint: string) => string;
  readonly scalars: readonly string[];
  readonly wide: boolean;
};
/** Where statements go, the element at hand of each axis, what has a name already, and the axis of which four are at hand. */
type Env = {
  readonly into: LaneStmt[];
  readonly at: ReadonlyMap<number, Expr>;
  readonly known: ReadonlyMap<number, Expr>;
  readonly four: Axis | undefined;
};
const runs = (v: Value, a: Axis | undefined): boolean => a !== undefined && v.axes.some((x) => x.id === a.id);

function named({ fresh }: Writer, into: LaneStmt[], hint: string, value: Expr): Expr {
  if (value.kind === "lit" || value.kind === "ref") return value;
  const name = fresh(hint);
  into.push({ kind: "let", name, value });
  return ref(name, value.type, value.width);
}

/** Which part of the places of one axis, which elements side by side, and which element of other axes a thread has. */
type Deal = {
  readonly at: ReadonlyMap<number, Expr>;
  readonly parted: Axis;
  readonly places: readonly [from: Expr, below: Expr];
  readonly along: Axis | undefined;
  readonly elements: readonly [from: Expr, below: Expr];
  readonly threads: number;
  readonly groups: number;
  readonly notes: readonly string[];
};
function dealt(w: Writer, target: ScatterTarget, into: LaneStmt[]): Deal {
  const { hits, store, over } = w.scatter;
  const isHit = (a: Axis): boolean => hits.some((h) => h.axis.id === a.id);
  const last = store.index.findLast((i) => i.def.kind === "pos")?.axes[0];
  const along = last && !isHit(last) && !hits.some((h) => runs(h.place, last)) ? last : undefined;
  const parted = hits.map((h) => h.axis).reduce((a, b) => (b.extent > a.extent ? b : a));
  const outer = w.kernel.grid.filter((a) => a.extent > 1 && !isHit(a) && a.id !== along?.id);
  const own = along ? Math.min(target.own, along.extent) : 1;
  const threads = along ? Math.min(target.threads, Math.ceil(along.extent / own)) : 1;
  const sides = along ? Math.ceil(along.extent / (own * threads)) : 1;
  const others = outer.reduce((n, a) => n * a.extent, 1);
  const parts = Math.max(1, Math.min(Math.ceil(target.groups / (sides * others)), Math.ceil(parted.extent / 8)));
  const each = Math.ceil(parted.extent / parts);
  // The number of a workgroup in mixed radix, sides fastest.
  let left: Expr = ref("group");
  const digit = (count: number, hint: string): Expr => {
    if (count === 1) return lit(0);
    const here = named(w, into, hint, op("mod", [left, lit(count)], "i32"));
    left = named(w, into, "rest", op("div", [left, lit(count)], "i32"));
    return here;
  };
  const side = digit(sides, "side");
  const part = digit(parts, "part");
  const at = new Map([...outer].reverse().map((a) => [a.id, digit(a.extent, a.name)] as const));
  const stretch = (name: string, number: Expr, size: number, extent: number): readonly [Expr, Expr] => {
    const from = named(w, into, `${name}_first`, mul(number, lit(size)));
    return [from, named(w, into, `${name}_end`, min(add(from, lit(size)), lit(extent)))];
  };
  const thread = add(mul(side, lit(threads)), threads > 1 ? ref("lane") : lit(0));
  return {
    at,
    parted,
    places: stretch(parted.name, part, each, parted.extent),
    along,
    elements: along ? stretch(along.name, thread, own, along.extent) : [lit(0), lit(1)],
    threads,
    groups: sides * parts * others,
    notes: [
      `${parted.name}: ${parted.extent} grid, by ${each}, added to at places`,
      ...(along ? [`${along.name}: ${along.extent} grid, by ${own}, side by side`] : []),
      ...over.map((a) => `${a.name}: ${a.extent} terms, one after another`),
    ],
  };
}

const offsetIn = (shape: readonly number[], index: readonly Expr[]): Expr =>
  index.reduce((sum, x, k) => add(mul(sum, lit(shape[k]!)), x), lit(0) as Expr);
/** Where the first of the elements side by side lies in the result. */
function rowOf(w: Writer, { into, at }: Env): Expr {
  const { index, buffer } = w.scatter.store;
  const places = index.map((i): Expr => (i.def.kind === "pos" ? (at.get(i.def.axis.id) ?? lit(0)) : lit(0)));
  return named(w, into, "row", offsetIn(w.kernel.buffers[buffer]!.shape, places));
}
/** What is done with the elements side by side that a thread owns: by fours where `wide`, then one by one what is left. */
function besides(
  w: Writer,
  { along, elements }: Deal,
  env: Env,
  wide: boolean,
  write: (env: Env, e: Expr) => void,
): void {
  if (!along) {
    write(env, lit(0));
    return;
  }
  const loop = (from: Expr, below: Expr, step: 1 | 4): void => {
    const name = w.fresh(along.name);
    const body: LaneStmt[] = [];
    const at = new Map(env.at).set(along.id, ref(name));
    write({ ...env, into: body, at, four: step === 4 ? along : undefined }, ref(name));
    env.into.push({ kind: "for", name, from, below, step, body });
  };
  const [from, below] = elements;
  if (!wide) {
    loop(from, below, 1);
    return;
  }
  const fours = op("and", [op("sub", [below, from], "i32", 1), lit(-4)], "i32", 1);
  const whole = named(w, env.into, "whole", add(from, fours));
  loop(from, whole, 4);
  if (along.extent % 4 !== 0) loop(whole, below, 1);
}
const spread = (x: Expr, { four }: Env): Expr => (four && x.width === 1 ? vec([x, x, x, x]) : x);

function writeZeros(w: Writer, deal: Deal, env: Env, [axis, ...rest]: readonly Axis[]): void {
  const { buffer, value } = w.scatter.store;
  if (!axis) {
    const row = rowOf(w, env);
    besides(w, deal, env, w.wide, (inside, e) => {
      const zero = spread(lit(0, laneType(value.dtype)), inside);
      inside.into.push({ kind: "store", buffer, index: add(row, e), value: zero });
    });
    return;
  }
  const name = w.fresh(axis.name);
  const body: LaneStmt[] = [];
  writeZeros(w, deal, { ...env, into: body, at: new Map(env.at).set(axis.id, ref(name)) }, rest);
  const [from, below] = axis.id === deal.parted.id ? deal.places : [lit(0), lit(axis.extent)];
  env.into.push({ kind: "for", name, from, below, step: 1, body });
}

function writeTerms(w: Writer, deal: Deal, top: Env): void {
  const { over, hits, term, store } = w.scatter;
  const { along } = deal;
  const type = laneType(store.value.dtype);
  let env = top;
  for (const a of over) {
    const name = w.fresh(a.name);
    const body: LaneStmt[] = [];
    env.into.push({ kind: "for", name, from: lit(0), below: lit(a.extent), step: 1, body });
    env = { ...env, into: body, at: new Map(env.at).set(a.id, ref(name)) };
  }
  const places = hits.map(({ axis, place }) => {
    const at = valueIn(w, env, place);
    const [from, below] = axis.id === deal.parted.id ? deal.places : [lit(0), lit(axis.extent)];
    return { axis, at, own: and(op("le", [from, at], "bool", 1), less(at, below)) };
  });
  env = inside(
    env,
    places.map((p) => p.own),
  );
  env = { ...env, at: new Map([...env.at, ...places.map(({ axis, at }) => [axis.id, at] as const)]) };
  const holds = term.conds.filter((c) => !runs(c, along)).map((c) => valueIn(w, env, c));
  env = inside(env, holds);
  const known = new Map(term.factors.flatMap((v) => (runs(v, along) ? [] : [[v.id, valueIn(w, env, v)] as const])));
  env = { ...env, known };
  const row = rowOf(w, env);
  const wide = w.wide && [...term.factors, ...term.conds].every((v) => !runs(v, along) || liesAlong(v, along));
  besides(w, deal, env, wide, (here, e) => {
    const index = add(row, e);
    const width = here.four ? 4 : 1;
    const [first, ...others] = term.factors.map((v) => spread(valueIn(w, here, v), here));
    const product = others.reduce((x, y) => op("mul", [x, y], type, width), first ?? spread(lit(1, type), here));
    const none = spread(lit(0, type), here);
    const amount = term.conds
      .filter((c) => runs(c, along))
      .reduce((x, c) => op("select", [spread(valueIn(w, here, c), here), x, none], type, width), product);
    const before: Expr = { kind: "load", buffer: store.buffer, index, type, width };
    here.into.push({ kind: "store", buffer: store.buffer, index, value: op("add", [before, amount], type, width) });
  });
}
/** Where all conditions hold. */
function inside(env: Env, [first, ...rest]: readonly Expr[]): Env {
  if (!first) return env;
  const then: LaneStmt[] = [];
  env.into.push({ kind: "if", cond: rest.reduce(and, first), then, else: [] });
  return { ...env, into: then };
}

/** Whether four neighbours of a value are computed as quickly as one: all that it reads along an axis lies side by side. */
function liesAlong(v: Value, axis: Axis | undefined): boolean {
  const d = v.def;
  if (!axis || !runs(v, axis)) return true;
  if (d.kind === "map" && d.op === "random_uniform") return false;
  if (d.kind !== "load") return operandsOf(d).every((x) => liesAlong(x, axis));
  const last = d.index.at(-1);
  return !d.clamp && !!last && stepsAlong(last, axis) && !d.index.slice(0, -1).some((i) => runs(i, axis));
}

/** The value of the element at hand, or of four from there on. */
function valueIn(w: Writer, env: Env, v: Value): Expr {
  return env.known.get(v.id) ?? named(w, env.into, v.name ?? "x", defined(w, env, v));
}
function defined(w: Writer, env: Env, v: Value): Expr {
  const d = v.def;
  const width = env.four && runs(v, env.four) ? 4 : 1;
  switch (d.kind) {
    case "const":
      return lit(d.value, laneType(v.dtype));
    case "scalar":
      return ref(w.scalars[d.index]!);
    case "pos": {
      const x = env.at.get(d.axis.id)!;
      return width === 4 ? vec([0, 1, 2, 3].map((k) => add(x, lit(k)))) : x;
    }
    case "load": {
      const { shape, dtype } = w.kernel.buffers[d.buffer]!;
      // Of four neighbours the first says where they are.
      const at = d.index.map((i) => valueIn(w, { ...env, four: undefined }, i));
      const index = d.clamp ? at.map((x, k) => op("max", [min(x, lit(shape[k]! - 1)), lit(0)], "i32", 1)) : at;
      return { kind: "load", buffer: d.buffer, index: offsetIn(shape, index), type: laneType(dtype), width };
    }
    case "map":
      if (d.op === "stop_gradient") return valueIn(w, env, d.args[0]!);
      return op(
        d.op,
        d.args.map((x) => valueIn(w, env, x)),
        laneType(v.dtype),
        width,
      );
    case "cast":
      return cast(valueIn(w, env, d.arg), d.arg.dtype, v.dtype);
    default:
      return bug(`${d.kind} is not made element by element`);
  }
}
