/** Sums along axes and their kin, and running sums: over registers, and over rounds of them. */
import type { ReduceKind } from "../core/ir.ts";
import { operandsOf } from "../tile/build.ts";
import type { Axis, Value } from "../tile/ir.ts";
import { nameOf, settle } from "./bind.ts";
import {
  type Context,
  type Coords,
  keyOf,
  mapOf,
  nest,
  oneByOne,
  push,
  rawPosition,
  registerName,
  registersOf,
  show,
  sum,
  vectorAxis,
} from "./context.ts";
import { and, component, identity, joinOp, laneType, lit, op, ref, vec } from "./expr.ts";
import type { Expr } from "./ir.ts";
import { fourInRange, inRange } from "./position.ts";

type Reduce = Extract<Value["def"], { kind: "reduce" }>;
/** acc = acc ⊕ (x₀ ⊕ x₁ ⊕ …), the unrolled elements of a round joined first, so that `acc` changes once a round. */
export function reduce(ctx: Context, v: Value, d: Reduce, native: Axis | null): void {
  if (d.op === "argmax") return;
  const kind = d.op;
  const type = laneType(v.dtype);
  const all = registersOf(ctx, v.axes, native);
  const join = (a: Expr, b: Expr): Expr => op(joinOp(kind), [a, b], type, native ? 4 : undefined);
  const of: Round = { axis: d.axis, arg: d.arg, native, none: identity(kind, type), join, dots: kind === "sum" };
  const round = (c: Coords): Expr => {
    const part = partsOf(ctx, of, c).reduce(join);
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
  const of: Round = { axis: d.axis, arg: d.arg, native: along, none, join, dots: kind === "sum" };
  return {
    round: () => {
      for (const { c, name } of all)
        push(ctx, { kind: "set", name, value: roundOnto(ctx, ref(name, type, width), of, c) });
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

/**
 * What a round joins: the unrolled elements of `arg` along `axis`, as they are held along `native`. Missing ones of a partial block
 * count as `none`; `dots`: it is a sum, perhaps of products.
 */
export type Round = {
  readonly axis: Axis;
  readonly arg: Value;
  readonly native: Axis | null;
  readonly none: number;
  readonly join: (a: Expr, b: Expr) => Expr;
  readonly dots: boolean;
};
/** `onto` and a round's elements. With SIMD one after another: a multiply-add each where they are products. */
export function roundOnto(ctx: Context, onto: Expr, r: Round, c: Coords): Expr {
  const { join } = r;
  const parts = partsOf(ctx, r, c);
  if (ctx.mapping.simd && !acrossSimd(ctx, r.axis, r.native)) return parts.reduce(join, onto);
  const part = parts.reduce((a, b) => (a.width > onto.width ? op("add", [a, b], a.type) : join(a, b)));
  return join(onto, part.width > onto.width ? joinFour(ctx, part, "sum") : part);
}

function partsOf(ctx: Context, r: Round, c: Coords): readonly Expr[] {
  const { axis, arg, native } = r;
  const m = mapOf(ctx, axis);
  const across = acrossSimd(ctx, axis, native);
  const natural = ctx.facts.natural.get(arg.id)?.has(axis.id) === true && laneType(arg.dtype) === "f32";
  const four = across ? "kept" : !native && r.dots && m.vector && natural ? "joined" : undefined;
  const parts: Expr[] = [];
  for (let u = 0; u < m.unroll; u += four ? 4 : 1) parts.push(partOf(ctx, r, c, u, four));
  return parts;
}

/** Element `u`, or four from there: kept apart, or joined. */
function partOf(ctx: Context, r: Round, c: Coords, u: number, four: "kept" | "joined" | undefined): Expr {
  const { axis } = r;
  const e = ctx.evaluate(r.arg, new Map(c).set(axis.id, u), four ? axis : r.native);
  const part = four === "kept" ? (e.width === 1 ? vec([e, e, e, e]) : e) : four === "joined" ? acrossFour(e) : e;
  const exists = four === "kept" ? fourInRange(ctx, axis, u) : inRange(ctx, axis, u);
  if (!exists) return part;
  const where = (x: Expr, none: number): Expr => {
    const asWide = (y: Expr): Expr => (x.width === 4 && y.width === 1 ? vec([y, y, y, y]) : y);
    return op("select", [asWide(exists), x, asWide(lit(none, x.type))], x.type, x.width);
  };
  // Of a product one factor, so that it stays a multiply-add: the other is that of the last element, which takes part itself.
  if (ctx.mapping.simd && r.dots && !four && part.kind === "op" && part.op === "mul") {
    const [a, b] = part.args as [Expr, Expr];
    const args = a.kind === "load" ? [a, where(b, 0)] : [where(a, 0), b];
    return { ...part, args };
  }
  return where(part, r.none);
}
function acrossFour(e: Expr): Expr {
  if (e.width === 1) return op("mul", [e, lit(4, e.type)], e.type);
  if (e.kind === "op" && e.op === "mul" && e.args.every((a) => a.width === 4)) return op("dot", e.args, e.type, 1);
  const one = lit(1, e.type);
  return op("dot", [e, vec([one, one, one, one])], e.type, 1);
}

/** First index of the largest. */
export function reduceArg(ctx: Context, v: Value, axis: Axis, arg: Value): void {
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
export function scan(ctx: Context, v: Value, axis: Axis, arg: Value): void {
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
