/**
 * Values on demand: an expression for one register of a value (or four neighbours), bound to a name in the outermost
 * scope where it can be, so that it is computed once.
 */
import { InvariantError, invariant } from "../base/invariant.ts";
import { isHalf } from "../core/half.ts";
import type { ReduceKind } from "../core/ir.ts";
import { operandsOf } from "../tile/build.ts";
import { inGroup } from "../tile/groups.ts";
import type { Axis, Value } from "../tile/ir.ts";
import { alignedToFour, evenStep, offsetOf, plusTerm, writeAffine } from "./address.ts";
import {
  bindIn,
  type Context,
  type Coords,
  dependsOn,
  groupOf,
  isWhole,
  keyOf,
  looped,
  mapOf,
  neighbours,
  nest,
  oneByOne,
  overruns,
  push,
  rawPosition,
  recast,
  registerName,
  registersOf,
  type Stored,
  show,
  splits,
  sum,
  vectorAxis,
  within,
} from "./context.ts";
import { add, and, cast, component, identity, joinOp, laneType, less, lit, min, mul, op, ref, vec } from "./expr.ts";
import type { Expr } from "./ir.ts";
import { isHeld, stepsAlong } from "./map.ts";
import { childScope, find, homeOf, openLoop } from "./scope.ts";
import { elementOf, rawLocal } from "./storage.ts";

export function evaluate(ctx: Context, v: Value, c: Coords, wanted: Axis | null): Expr {
  const d = v.def;
  if (d.kind === "const") return lit(d.value, laneType(v.dtype));
  const along = wanted && dependsOn(v, wanted) && mapOf(ctx, wanted).unroll > 1 ? wanted : null;
  const known = find(ctx.scope, keyOf(ctx, v, c, along)) ?? partOfKnown(ctx, v, c, along);
  if (known) return known;
  if (ctx.facts.stored.has(v.id) && !ctx.stored.has(v.id) && !ctx.filling.has(v.id)) {
    ctx.store(v);
    const written = find(ctx.scope, keyOf(ctx, v, c, along)) ?? partOfKnown(ctx, v, c, along);
    if (written) return written;
  }
  const kept = ctx.stored.get(v.id);
  if (kept && isWhole(ctx, kept))
    return recast(ctx, c, kept.vector, along, (cc, a) => bind(ctx, v, cc, a, () => elementOf(ctx, kept, cc, a)));
  switch (d.kind) {
    case "scalar":
      return ref(ctx.scalars[d.index]!);
    case "pos":
      return along
        ? vec(neighbours(c, along).map((n) => position(ctx, d.axis, n, v, true)))
        : position(ctx, d.axis, c, v);
    case "edge":
      return edge(ctx, d.axis, d.end);
    case "load":
      return load(ctx, v, d, c, along);
    case "map":
      if (d.op === "stop_gradient") return ctx.evaluate(d.args[0]!, c, along);
      // A cipher has no 4-wide form.
      if (d.op === "random_uniform" && along) return vec(neighbours(c, along).map((n) => ctx.evaluate(v, n, null)));
      if (d.op === "select" && ctx.full.has(v.id))
        return group(ctx, v, c, along, (native) => maskedSelect(ctx, v, native));
      return bind(ctx, v, c, along, () =>
        op(
          d.op as Exclude<typeof d.op, "stop_gradient">,
          d.args.map((a) => ctx.evaluate(a, c, along)),
          laneType(v.dtype),
          along ? 4 : 1,
        ),
      );
    case "cast": {
      const same = laneType(d.arg.dtype) === laneType(v.dtype) && !isHalf(v.dtype);
      // The same register, unless what it is of has none of its own.
      if (same && !ctx.facts.inlined.has(d.arg.id)) return ctx.evaluate(d.arg, c, along);
      return bind(ctx, v, c, along, () => cast(ctx.evaluate(d.arg, c, along), d.arg.dtype, v.dtype));
    }
    case "reduce":
      if (insideRounds(ctx, v, d.axis)) return fromStore(ctx, v, c, along);
      ctx.begun.add(v.id);
      return group(ctx, v, c, along, (native) =>
        d.op === "argmax" ? reduceArg(ctx, v, d.axis, d.arg) : reduce(ctx, v, d, native),
      );
    case "scan":
      return group(ctx, v, c, along, () => scan(ctx, v, d.axis, d.arg));
    case "at": {
      const arg = d.arg;
      if (along) return vec(neighbours(c, along).map((n) => ctx.evaluate(v, n, null)));
      if (d.bind.every((b) => isHeld(ctx.mapping, b))) return ctx.evaluate(arg, inGroups(d.bind, c), null);
      if (!ctx.stored.has(arg.id)) ctx.store(arg);
      const from = ctx.stored.get(arg.id)!;
      return bind(ctx, v, c, null, () => elementAt(ctx, from, d.bind, c));
    }
    case "step":
    case "carry":
    case "result":
      throw new InvariantError(
        `compiler bug: ${d.kind} ${v.name ?? v.id} of kernel ${ctx.kernel.name} is used outside its loop`,
      );
  }
}

/** Whether the loop over `axis` is open where `v`, made of all its elements, would be computed. */
function insideRounds(ctx: Context, v: Value, axis: Axis): boolean {
  const axes = looped(ctx, v.axes).map((a) => a.id);
  return openLoop(homeOf(ctx.scope, axes, ctx.facts.depth.get(v.id) ?? 0), axis.id) !== undefined;
}
/** Keeps a value in an array, all of it, and reads one element. */
function fromStore(ctx: Context, v: Value, c: Coords, along: Axis | null): Expr {
  ctx.store(v);
  const kept = ctx.stored.get(v.id);
  invariant(kept, `${nameOf(v)} of kernel ${ctx.kernel.name} is kept in an array`);
  return recast(ctx, c, kept.vector, along, (cc, a) => bind(ctx, v, cc, a, () => elementOf(ctx, kept, cc, a)));
}

/** A scalar out of four that are known, or four out of known scalars' group. */
function partOfKnown(ctx: Context, v: Value, c: Coords, along: Axis | null): Expr | undefined {
  for (const a of v.axes) {
    if (a.id === along?.id || !mapOf(ctx, a).vector) continue;
    const whole = find(ctx.scope, keyOf(ctx, v, groupOf(c, a), a));
    if (!whole) continue;
    if (!along) return component(whole, (c.get(a.id) ?? 0) % 4);
    return vec(neighbours(c, along).map((n) => ctx.evaluate(v, n, null)));
  }
  if (along) {
    const scalars = neighbours(c, along).map((n) => find(ctx.scope, keyOf(ctx, v, n, null)));
    if (scalars.every((s) => s !== undefined)) return vec(scalars as Expr[]);
  }
  return undefined;
}

/** Binds what `make` gives where it can be reused, or leaves it in the one expression that uses it. */
function bind(ctx: Context, v: Value, c: Coords, along: Axis | null, make: () => Expr): Expr {
  if (ctx.facts.inlined.has(v.id)) return make();
  const home = homeOf(
    ctx.scope,
    looped(ctx, v.axes).map((a) => a.id),
    ctx.facts.depth.get(v.id) ?? 0,
  );
  const value = within(ctx, home, make);
  return bindIn(ctx, home, keyOf(ctx, v, c, along), () => registerName(ctx, nameOf(v), v, c), value);
}

export const nameOf = (v: Value): string =>
  v.name ??
  (v.def.kind === "reduce" ? v.def.op : v.def.kind === "map" ? v.def.op : v.def.kind === "load" ? "x" : v.def.kind);

/** Computes all registers of a value together, then gives the one that was asked for. */
function group(ctx: Context, v: Value, c: Coords, along: Axis | null, write: (native: Axis | null) => void): Expr {
  const native =
    v.def.kind === "reduce" && v.def.op === "argmax" ? null : v.def.kind === "scan" ? null : vectorAxis(ctx, v);
  const home = homeOf(
    ctx.scope,
    looped(ctx, v.axes).map((a) => a.id),
    ctx.facts.depth.get(v.id) ?? 0,
  );
  within(ctx, home, () => write(native));
  return recast(ctx, c, native, along, (cc, a) => {
    const hit = find(ctx.scope, keyOf(ctx, v, cc, a));
    invariant(hit, `${nameOf(v)} of kernel ${ctx.kernel.name} was not computed where it is used`);
    return hit;
  });
}
export const settle = (ctx: Context, v: Value, c: Coords, along: Axis | null, value: Expr): Expr =>
  bindIn(ctx, ctx.scope, keyOf(ctx, v, c, along), () => registerName(ctx, nameOf(v), v, c), value);

/**
 * Element number of a register; past the end of a partial block it is the last element that exists. Four neighbours of which
 * some exist are `loose` where they are: the others are of no use, but may be asked for.
 */
function position(ctx: Context, a: Axis, c: Coords, v: Value, loose = false): Expr {
  const m = mapOf(ctx, a);
  const u = c.get(a.id) ?? 0;
  const raw = rawPosition(ctx, a, u);
  if (!overruns(ctx, a)) return sum(raw.refs, raw.constant);
  const place = m.vector ? u % 4 : 0;
  const first = m.vector ? rawPosition(ctx, a, u - place) : raw;
  const home = homeOf(
    ctx.scope,
    looped(ctx, [a]).map((x) => x.id),
    ctx.facts.depth.get(v.id) ?? 0,
  );
  const key = `inside ${a.id} ${u - place}`;
  const last = lit(m.vector ? a.extent - 1 - ((a.extent - 1) % 4) : a.extent - 1);
  const inside =
    find(ctx.scope, key) ??
    bindIn(ctx, home, key, () => ctx.fresh(a.name), min(sum(first.refs, first.constant), last), m.vector ? 4 : 1);
  const at = add(inside, lit(place));
  return loose || !splits(ctx, a) ? at : min(at, lit(a.extent - 1));
}

/** Whether a register's element exists; undefined where it always does. */
export function inRange(ctx: Context, a: Axis, u: number): Expr | undefined {
  if (!overruns(ctx, a)) return undefined;
  const raw = rawPosition(ctx, a, u);
  if (raw.refs.length > 0) return less(sum(raw.refs, raw.constant), lit(a.extent));
  return raw.constant < a.extent ? undefined : lit(0, "bool");
}
/** The same of each of four neighbours. */
function fourInRange(ctx: Context, a: Axis, u: number): Expr | undefined {
  const first = inRange(ctx, a, u);
  if (!first || first.kind === "lit" || !splits(ctx, a)) return first && vec([first, first, first, first]);
  const raw = rawPosition(ctx, a, u);
  const base = bindIn(ctx, ctx.scope, `raw ${a.id} ${u}`, () => ctx.fresh(a.name), sum(raw.refs, raw.constant));
  const end = lit(a.extent);
  return op("lt", [vec([0, 1, 2, 3].map((k) => add(base, lit(k)))), vec([end, end, end, end])], "bool", 4);
}

function edge(ctx: Context, a: Axis, end: "first" | "last"): Expr {
  const m = mapOf(ctx, a);
  const start = ctx.starts.get(a.id) ?? lit(0);
  if (end === "first") return start;
  const last = add(start, lit(m.block - 1));
  return m.ragged ? min(last, lit(a.extent - 1)) : last;
}

type Load = Extract<Value["def"], { kind: "load" }>;
function load(ctx: Context, v: Value, d: Load, c: Coords, along: Axis | null): Expr {
  const side = sideBySide(ctx, v, d, c);
  if (along && side?.id !== along.id) return vec(neighbours(c, along).map((n) => ctx.evaluate(v, n, null)));
  const buffer = ctx.kernel.buffers[d.buffer]!;
  const type = laneType(buffer.dtype);
  if (side) {
    const first = groupOf(c, side);
    const whole =
      spread(ctx, v, d, first, side) ??
      bind(ctx, v, first, side, () => ({
        kind: "load",
        buffer: d.buffer,
        index: writeAffine(ctx, offsetOf(ctx, d.index, buffer.shape, first)),
        type,
        width: 4,
      }));
    return along
      ? whole
      : component(whole.kind === "load" ? keep(ctx, v, first, side, whole) : whole, (c.get(side.id) ?? 0) % 4);
  }
  const shared = d.clamp ? undefined : spread(ctx, v, d, c, null);
  if (shared) return shared;
  return bind(ctx, v, c, null, () => {
    // Of four neighbours of which some exist, the others may have been computed too.
    const loose = d.index.some((i) => i.def.kind !== "pos" && i.axes.some((a) => splits(ctx, a)));
    const index =
      d.clamp || loose
        ? clampedOffset(ctx, d.index, buffer.shape, c)
        : writeAffine(ctx, offsetOf(ctx, d.index, buffer.shape, c));
    return { kind: "load", buffer: d.buffer, index, type, width: 1 };
  });
}
/**
 * Four threads that need the same four rows load one each and hand them round: a load costs far more than a broadcast
 * where the target says so. The rows are registers of an axis along which the address rises evenly.
 */
function spread(ctx: Context, v: Value, d: Load, c: Coords, side: Axis | null): Expr | undefined {
  if (!ctx.mapping.spread || v.axes.some((a) => mapOf(ctx, a).lanes > 1)) return undefined;
  const rows = v.axes.find((a) => a.id !== side?.id && mapOf(ctx, a).unroll % 4 === 0 && !mapOf(ctx, a).ragged);
  if (!rows) return undefined;
  const shape = ctx.kernel.buffers[d.buffer]!.shape;
  const home = homeOf(
    ctx.scope,
    looped(ctx, v.axes).map((a) => a.id),
    ctx.facts.depth.get(v.id) ?? 0,
  );
  const first = groupOf(c, rows);
  const four = neighbours(first, rows);
  const offsets = within(ctx, home, () => four.map((n) => offsetOf(ctx, d.index, shape, n)));
  const step = evenStep(offsets);
  if (step === undefined) return undefined;
  const type = laneType(ctx.kernel.buffers[d.buffer]!.dtype);
  const width = side ? 4 : 1;
  const mine = within(ctx, home, () => {
    const index = writeAffine(ctx, plusTerm(offsets[0]!, ref("quad"), step));
    const name = registerName(ctx, `${nameOf(v)}_mine`, v, first);
    push(ctx, { kind: "let", name, value: { kind: "load", buffer: d.buffer, index, type, width } });
    for (const [k, n] of four.entries()) {
      const given = op("quad_broadcast", [ref(name, type, width), lit(k)], type, width);
      bindIn(ctx, home, keyOf(ctx, v, n, side), () => registerName(ctx, nameOf(v), v, n), given);
    }
    return find(home, keyOf(ctx, v, c, side));
  });
  return mine;
}

function keep(ctx: Context, v: Value, c: Coords, along: Axis, value: Expr): Expr {
  return settle(ctx, v, c, along, value);
}
/** The axis along which four elements can be loaded at once: it alone moves the last index, and groups of four are aligned. */
function sideBySide(ctx: Context, v: Value, d: Load, c: Coords): Axis | null {
  const last = d.index.at(-1);
  if (d.clamp || !last) return null;
  const axis = nextTo(ctx, last, v.axes);
  if (!axis || d.index.slice(0, -1).some((i) => dependsOn(i, axis))) return null;
  if (ctx.mapping.simd) return axis;
  const shape = ctx.kernel.buffers[d.buffer]!.shape;
  return shape.at(-1)! % 4 === 0 && alignedToFour(ctx, offsetOf(ctx, d.index, shape, groupOf(c, axis))) ? axis : null;
}
/** The axis held by fours along which a last index moves by one; with SIMD four may begin anywhere. */
export function nextTo(ctx: Context, last: Value, axes: readonly Axis[]): Axis | undefined {
  const { simd } = ctx.mapping;
  const moves = (a: Axis): boolean =>
    simd ? a.id === simd.axis && stepsAlong(last, a) : last.def.kind === "pos" && last.def.axis.id === a.id;
  return axes.find((a) => mapOf(ctx, a).vector && moves(a));
}
function clampedOffset(ctx: Context, index: readonly Value[], shape: readonly number[], c: Coords): Expr {
  let offset: Expr = lit(0);
  index.forEach((i, k) => {
    const at = ctx.evaluate(i, c, null);
    const inside =
      at.kind === "lit"
        ? lit(Math.max(0, Math.min(at.value, shape[k]! - 1)))
        : op("max", [min(at, lit(shape[k]! - 1)), lit(0)], "i32");
    offset = add(mul(offset, lit(shape[k]!)), inside);
  });
  return offset;
}

/** where(c, a, b) of a block on which c may hold everywhere: then `a` as it is. */
function maskedSelect(ctx: Context, v: Value, native: Axis | null): void {
  invariant(v.def.kind === "map", "a select is a map");
  const [cond, a, b] = v.def.args;
  const all = registersOf(ctx, v.axes, native);
  const names = all.map((c) => {
    const name = registerName(ctx, nameOf(v), v, c);
    const known = ctx.evaluate(a!, c, native);
    const value = native && known.width === 1 ? vec([known, known, known, known]) : known;
    push(ctx, { kind: "var", name, type: laneType(v.dtype), width: native ? 4 : 1, value });
    return name;
  });
  const masked = childScope(ctx.scope, ctx.scope.region, undefined, true);
  within(ctx, masked, () =>
    all.forEach((c, k) => {
      const value = ref(names[k]!, laneType(v.dtype), native ? 4 : 1);
      const chosen = op(
        "select",
        [ctx.evaluate(cond!, c, native), value, ctx.evaluate(b!, c, native)],
        laneType(v.dtype),
        native ? 4 : 1,
      );
      push(ctx, { kind: "set", name: names[k]!, value: chosen });
    }),
  );
  push(ctx, { kind: "if", cond: op("not", [ctx.full.get(v.id)!], "bool"), then: masked.stmts, else: [] });
  all.forEach((c, k) => {
    show(ctx, ctx.scope, keyOf(ctx, v, c, native), ref(names[k]!, laneType(v.dtype), native ? 4 : 1));
  });
}

type Reduce = Extract<Value["def"], { kind: "reduce" }>;
/** acc = acc ⊕ (x₀ ⊕ x₁ ⊕ …), the unrolled elements of a round joined first, so that `acc` changes once a round. */
function reduce(ctx: Context, v: Value, d: Reduce, native: Axis | null): void {
  if (d.op === "argmax") return;
  const kind = d.op;
  const type = laneType(v.dtype);
  const all = registersOf(ctx, v.axes, native);
  const join = (a: Expr, b: Expr): Expr => op(joinOp(kind), [a, b], type, native ? 4 : undefined);
  const round = (c: Coords): Expr => {
    const part = roundOf(ctx, d.axis, d.arg, c, native, identity(kind, type), join, kind === "sum");
    return native || part.width === 1 ? part : joinFour(ctx, part, kind);
  };
  if (mapOf(ctx, d.axis).loop === 1) {
    for (const c of all) settle(ctx, v, c, native, round(c));
    return;
  }
  const loop = ctx.facts.loopOf.get(v.id);
  if (loop) {
    ctx.runLoop(loop);
    return;
  }
  const total = openSum(ctx, v, d);
  const rounds = (): void => nest(ctx, [d.axis], total.round);
  if (isOfLoads(d.arg)) oneByOne(ctx, d.axis, rounds);
  else rounds();
  total.close();
}
/** Whether nothing has to be summed up before a value can be computed. */
const isOfLoads = (v: Value): boolean =>
  v.def.kind !== "reduce" && v.def.kind !== "scan" && v.def.kind !== "at" && operandsOf(v.def).every(isOfLoads);

/** A reduction over rounds: its registers, declared here; what a round does to them; and letting them be read. */
export function openSum(ctx: Context, v: Value, d: Reduce) {
  const along = vectorAxis(ctx, v);
  const type = laneType(v.dtype);
  const across = acrossSimd(ctx, d.axis, along);
  const width = along || across ? 4 : 1;
  const kind = d.op as ReduceKind;
  const none = identity(kind, type);
  const start = lit(none, type);
  const all = registersOf(ctx, v.axes, along).map((c) => ({ c, name: registerName(ctx, nameOf(v), v, c) }));
  for (const { name } of all)
    push(ctx, { kind: "var", name, type, width, value: width === 4 ? vec([start, start, start, start]) : start });
  const join = (a: Expr, b: Expr): Expr => op(joinOp(kind), [a, b], type, width);
  return {
    round: () => {
      for (const { c, name } of all) {
        const value = roundOnto(ctx, ref(name, type, width), d.axis, d.arg, c, along, none, join, kind === "sum");
        push(ctx, { kind: "set", name, value });
      }
    },
    close: () => {
      for (const { c, name } of all) {
        const total = ref(name, type, width);
        if (across) settle(ctx, v, c, null, joinFour(ctx, total, kind));
        else show(ctx, ctx.scope, keyOf(ctx, v, c, along), total);
      }
    },
  };
}

/** Whether a reduction runs along the axis that is held by fours: four partial results are then kept, and joined at the end. */
const acrossSimd = (ctx: Context, axis: Axis, native: Axis | null): boolean =>
  !native && ctx.mapping.simd?.axis === axis.id && mapOf(ctx, axis).unroll > 1;

/** The four partial results of a reduction as one. */
function joinFour(ctx: Context, four: Expr, kind: ReduceKind): Expr {
  const { type } = four;
  const held = four.kind === "ref" ? four : ref(ctx.fresh("four"), type, 4);
  if (held !== four && held.kind === "ref") push(ctx, { kind: "let", name: held.name, value: four });
  const pair = (a: number, b: number): Expr => op(joinOp(kind), [component(held, a), component(held, b)], type, 1);
  return op(joinOp(kind), [pair(0, 1), pair(2, 3)], type, 1);
}

type Join = (a: Expr, b: Expr) => Expr;
/** `onto` and the unrolled elements along `axis`. With SIMD one after another: a multiply-add each where they are products. */
export function roundOnto(
  ctx: Context,
  onto: Expr,
  axis: Axis,
  arg: Value,
  c: Coords,
  native: Axis | null,
  none: number,
  join: Join,
  dots: boolean,
): Expr {
  const parts = partsOf(ctx, axis, arg, c, native, none, dots);
  if (ctx.mapping.simd && !acrossSimd(ctx, axis, native)) return parts.reduce(join, onto);
  const part = parts.reduce((a, b) => (a.width > onto.width ? op("add", [a, b], a.type) : join(a, b)));
  return join(onto, part.width > onto.width ? joinFour(ctx, part, "sum") : part);
}

/** The unrolled elements along `axis`, joined; missing ones of a partial block count as `none`. */
export const roundOf = (
  ctx: Context,
  axis: Axis,
  arg: Value,
  c: Coords,
  native: Axis | null,
  none: number,
  join: Join,
  dots: boolean,
): Expr => partsOf(ctx, axis, arg, c, native, none, dots).reduce(join);

function partsOf(
  ctx: Context,
  axis: Axis,
  arg: Value,
  c: Coords,
  native: Axis | null,
  none: number,
  dots: boolean,
): readonly Expr[] {
  const m = mapOf(ctx, axis);
  const across = acrossSimd(ctx, axis, native);
  const natural = ctx.facts.natural.get(arg.id)?.has(axis.id) === true && laneType(arg.dtype) === "f32";
  const four = across ? "kept" : !native && dots && m.vector && natural ? "joined" : undefined;
  const parts: Expr[] = [];
  for (let u = 0; u < m.unroll; u += four ? 4 : 1) parts.push(partOf(ctx, axis, arg, c, native, none, u, four, dots));
  return parts;
}

/** Element `u`, or four from there: kept apart, or joined. */
function partOf(
  ctx: Context,
  axis: Axis,
  arg: Value,
  c: Coords,
  native: Axis | null,
  none: number,
  u: number,
  four: "kept" | "joined" | undefined,
  dots: boolean,
): Expr {
  const e = ctx.evaluate(arg, new Map(c).set(axis.id, u), four ? axis : native);
  const part = four === "kept" ? (e.width === 1 ? vec([e, e, e, e]) : e) : four === "joined" ? acrossFour(e) : e;
  const exists = four === "kept" ? fourInRange(ctx, axis, u) : inRange(ctx, axis, u);
  if (!exists) return part;
  const where = (x: Expr, none: number): Expr => {
    const asWide = (y: Expr): Expr => (x.width === 4 && y.width === 1 ? vec([y, y, y, y]) : y);
    return op("select", [asWide(exists), x, asWide(lit(none, x.type))], x.type, x.width);
  };
  // Of a product one factor, so that it stays a multiply-add: the other is that of the last element, which takes part itself.
  if (ctx.mapping.simd && dots && !four && part.kind === "op" && part.op === "mul") {
    const [a, b] = part.args as [Expr, Expr];
    const args = a.kind === "load" ? [a, where(b, 0)] : [where(a, 0), b];
    return { ...part, args };
  }
  return where(part, none);
}
function acrossFour(e: Expr): Expr {
  if (e.width === 1) return op("mul", [e, lit(4, e.type)], e.type);
  if (e.kind === "op" && e.op === "mul" && e.args.every((a) => a.width === 4)) return op("dot", e.args, e.type, 1);
  const one = lit(1, e.type);
  return op("dot", [e, vec([one, one, one, one])], e.type, 1);
}

/** First index of the largest. */
function reduceArg(ctx: Context, v: Value, axis: Axis, arg: Value): void {
  const type = laneType(arg.dtype);
  const all = registersOf(ctx, v.axes, null);
  const best = all.map(() => ctx.fresh("best"));
  const index = all.map(() => ctx.fresh(nameOf(v)));
  all.forEach((_, k) => {
    push(ctx, { kind: "var", name: best[k]!, type, width: 1, value: lit(identity("max", type), type) });
    push(ctx, { kind: "var", name: index[k]!, type: "i32", width: 1, value: lit(0) });
  });
  nest(ctx, [axis], () => {
    for (const [k, c] of all.entries())
      for (let u = 0; u < mapOf(ctx, axis).unroll; u++) {
        const value = ctx.evaluate(arg, new Map(c).set(axis.id, u), null);
        const larger = op("gt", [value, ref(best[k]!, type)], "bool", 1);
        const exists = inRange(ctx, axis, u);
        const raw = rawPosition(ctx, axis, u);
        const at = sum(raw.refs, raw.constant);
        push(ctx, {
          kind: "if",
          cond: exists ? and(larger, exists) : larger,
          then: [
            { kind: "set", name: best[k]!, value },
            { kind: "set", name: index[k]!, value: at },
          ],
          else: [],
        });
      }
  });
  for (const [k, c] of all.entries()) show(ctx, ctx.scope, keyOf(ctx, v, c, null), ref(index[k]!));
}

/** Running sum over registers alone (a scan with rounds is kept in an array: storage.ts). */
function scan(ctx: Context, v: Value, axis: Axis, arg: Value): void {
  const others = v.axes.filter((a) => a.id !== axis.id);
  for (const c of registersOf(ctx, others, null)) {
    let running: Expr | undefined;
    for (let u = 0; u < mapOf(ctx, axis).unroll; u++) {
      const cc = new Map(c).set(axis.id, u);
      const x = ctx.evaluate(arg, cc, null);
      running = running ? op("add", [running, x], laneType(v.dtype), 1) : x;
      running = settle(ctx, v, cc, null, running);
    }
  }
}

type Bind = Extract<Value["def"], { kind: "at" }>["bind"];
/** The registers that indices mean which pick among a group of neighbours. */
function inGroups(bind: Bind, c: Coords): Coords {
  const to = new Map(c);
  for (const b of bind) {
    const { of, at } = inGroup(b)!;
    const u = c.get(b.axis.id) ?? 0;
    to.set(b.axis.id, u - (u % of) + at);
  }
  return to;
}
/** An element of a kept array at other element numbers, which are computed. */
function elementAt(ctx: Context, from: Stored, binds: Bind, c: Coords): Expr {
  let index: Expr = lit(0);
  let place: Expr = lit(0);
  for (const { axis, stride } of from.axes) {
    const by = binds.find((b) => b.axis.id === axis.id);
    let local: Expr;
    if (by) {
      const start = ctx.starts.get(axis.id);
      const at = ctx.evaluate(by.index, c, null);
      local = start ? op("sub", [at, start], "i32") : at;
    } else {
      local = rawLocal(ctx, axis, c.get(axis.id) ?? 0);
    }
    if (from.vector?.id === axis.id) place = local;
    else index = add(index, mul(local, lit(stride)));
  }
  if (!from.vector) return { kind: "elem", array: from.array, index, type: from.type, width: 1 };
  const group = place.kind === "lit" ? lit(place.value - (place.value % 4)) : place;
  const whole: Expr = { kind: "elem", array: from.array, index: add(index, group), type: from.type, width: 4 };
  return {
    kind: "component",
    arg: whole,
    at: place.kind === "lit" ? place.value % 4 : op("mod", [place, lit(4)], "i32"),
    type: whole.type,
    width: 1,
  };
}
