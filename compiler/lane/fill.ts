/** Computing a whole value into an array: loops over its rounds, or sums that run over the blocks of a product. */
import type { Axis, Value } from "../tile/ir.ts";
import { dependsOn } from "../tile/values.ts";
import { nameOf, settle } from "./bind.ts";
import {
  type Context,
  type Coords,
  homeFor,
  keyOf,
  looped,
  mapOf,
  nest,
  push,
  type Rounds,
  registersOf,
  type Stored,
  within,
} from "./context.ts";
import { laneType, lit, op, ref, vec } from "./expr.ts";
import type { Expr } from "./ir.ts";
import { stepsAlong } from "./map.ts";
import { openSum, type Round, roundOnto } from "./reduce.ts";
import { find, openLoop, type Scope } from "./scope.ts";
import { allocate, elementOf, memoryOrder, setElement } from "./storage.ts";

/** Gives a value an array of its own: filled as the loop at hand goes, or where the value's region begins to need it. */
export function storeValue(ctx: Context, v: Value): void {
  const reader = ctx.facts.firstReader.get(v.id);
  if (reader && !ctx.begun.has(reader.id)) {
    ctx.evaluate(reader, new Map(reader.axes.map((a) => [a.id, 0])), null);
    if (ctx.stored.has(v.id)) return;
  }
  const depth = ctx.facts.depth.get(v.id) ?? 0;
  const region = ctx.regions[depth]!;
  const target = allocate(ctx, v, nameOf(v));
  ctx.filling.add(v.id);
  const home = homeFor(ctx, v);
  // Filled as the loop goes, it is whole only after it: too late where other elements than the loop's own are read.
  const elsewhere = v.def.kind === "scan" || ctx.facts.addressed.has(v.id);
  const alongLoop = !elsewhere && loopsAre(home, region, looped(ctx, v.axes));
  if (alongLoop) {
    within(ctx, home, () => {
      for (const c of registersOf(ctx, v.axes, target.vector)) {
        const value = ctx.evaluate(v, c, target.vector);
        settle(
          ctx,
          v,
          c,
          target.vector,
          target.vector && value.width === 1 ? vec([value, value, value, value]) : value,
        );
        push(ctx, setElement(ctx, target, c, find(ctx.scope, keyOf(ctx, v, c, target.vector))!));
      }
    });
  } else within(ctx, region, () => fill(ctx, target, v));
  ctx.filling.delete(v.id);
  ctx.stored.set(v.id, alongLoop ? { ...target, filledIn: home } : target);
}
/** Whether just these loops are open between a region and a scope in it that always runs. */
function loopsAre(scope: Scope, region: Scope, axes: readonly Axis[]): boolean {
  const open: number[] = [];
  for (let s: Scope | null = scope; s && s !== region; s = s.parent) {
    if (s.barrier || s.region !== region.region) return false;
    if (s.loop) open.push(s.loop.axis);
  }
  return open.length === axes.length && axes.length > 0 && axes.every((a) => open.includes(a.id));
}

/** One loop for all reductions of a stage, and for the sums that are added to arrays meanwhile. */
export function runLoop(ctx: Context, name: string): void {
  const members = ctx.facts.loops.get(name) ?? [];
  for (const m of members) ctx.begun.add(m.id);
  const pending = ctx.pending.get(name) ?? [];
  const first = members[0] ?? pending[0]!.sum;
  if (first.def.kind !== "reduce") return;
  const axis = first.def.axis;
  const region = ctx.regions[ctx.facts.depth.get(first.id) ?? 0]!;
  within(ctx, region, () => {
    for (const p of pending) fillEach(ctx, p.target, p.sum.axes, p.base);
    const sums = members.flatMap((v) =>
      v.def.kind === "reduce" && v.def.op !== "argmax" ? [openSum(ctx, v, v.def)] : [],
    );
    nest(ctx, [axis], () => {
      for (const s of sums) s.round();
      for (const p of pending) addRound(ctx, p.target, p.sum);
    });
    for (const s of sums) s.close();
  });
  ctx.pending.delete(name);
}
/** target += one round of the sum. */
function addRound(ctx: Context, target: Stored, sum: Value): void {
  if (sum.def.kind !== "reduce") return;
  const { axis, arg } = sum.def;
  const type = laneType(sum.dtype);
  const width = target.vector ? 4 : 1;
  const join = (a: Expr, b: Expr): Expr => op("add", [a, b], type, width);
  const round: Round = { axis, arg, native: target.vector, none: 0, join, dots: true };
  nest(ctx, sum.axes, () => {
    for (const c of registersOf(ctx, sum.axes, target.vector)) {
      const before = elementOf(ctx, target, c, target.vector);
      push(ctx, setElement(ctx, target, c, roundOnto(ctx, before, round, c)));
    }
  });
}

/** Writes every element of `v` to `target`. An element is written after the last read of it, so `v` may read the target's old elements in place. `axes`: the target's, where `v` does not depend on all of them; `some`: the rounds in which it is another than the target. */
export function fill(ctx: Context, target: Stored, v: Value, axes: readonly Axis[] = v.axes, some?: Rounds): void {
  const split = sumOverRounds(ctx, v);
  if (!axes.every((a) => dependsOn(v, a))) fillEach(ctx, target, axes, v);
  else if (v.def.kind === "scan" && looped(ctx, v.axes).length > 0 && !target.vector)
    fillScan(ctx, target, v, v.def.axis, v.def.arg);
  else if (split) fillByRounds(ctx, target, v, split);
  else if (ctx.mapping.simd && v.def.kind === "load") copyPanel(ctx, target, v, v.def.index.at(-1));
  else fillEach(ctx, target, v.axes, v, some);
}

/** What is only laid together is copied in its own order, by fours where four lie side by side: whatever it is used by. */
function copyPanel(ctx: Context, target: Stored, v: Value, last: Value | undefined): void {
  const { mapping } = ctx;
  const axes = memoryOrder(v);
  const axis = axes.at(-1);
  const m = axis && mapOf(ctx, axis);
  const by = [16, 4].find((u) => m && m.block % u === 0 && !m.ragged && !ctx.bases.has(m.axis.id));
  if (!axis || !m || !by || target.vector || !last || !stepsAlong(last, axis) || openLoop(ctx.scope, axis.id)) {
    fillEach(ctx, target, axes, v);
    return;
  }
  const fours = { ...m, unroll: by, loop: m.block / by, vector: true };
  ctx.mapping = { ...mapping, simd: { axis: axis.id }, axes: new Map(mapping.axes).set(axis.id, fours) };
  nest(ctx, axes, () => {
    for (const c of registersOf(ctx, axes, axis)) push(ctx, setElement(ctx, target, c, ctx.evaluate(v, c, axis)));
  });
  ctx.mapping = mapping;
}

/** target = base; then, round by round of the sum's axis: target = target ⊕ (that round's part). */
function fillByRounds(ctx: Context, target: Stored, v: Value, split: SumOverRounds): void {
  const { base, sum } = split;
  if (base) fillEach(ctx, target, v.axes, base);
  else fillWith(ctx, target, v.axes, () => lit(0, laneType(v.dtype)));
  if (sum.def.kind === "reduce") nest(ctx, [sum.def.axis], () => addRound(ctx, target, sum));
}

function fillEach(ctx: Context, target: Stored, axes: readonly Axis[], v: Value, some?: Rounds): void {
  const value = (c: Coords): Expr => {
    const e = ctx.evaluate(v, c, target.vector);
    return target.vector && e.width === 1 ? vec([e, e, e, e]) : e;
  };
  fillWith(ctx, target, axes, value, some);
}
function fillWith(
  ctx: Context,
  target: Stored,
  axes: readonly Axis[],
  value: (c: Coords) => Expr,
  some?: Rounds,
): void {
  const write = (): void => {
    for (const c of registersOf(ctx, axes, target.vector)) {
      const e = value(c);
      push(ctx, setElement(ctx, target, c, target.vector && e.width === 1 ? vec([e, e, e, e]) : e));
    }
  };
  nest(ctx, axes, write, some);
}

type SumOverRounds = { readonly base: Value | null; readonly sum: Value };
/** `base + Σ` or `Σ` alone, where both the sum's axis and the result have rounds: the sum is then the outer loop. */
function sumOverRounds(ctx: Context, v: Value): SumOverRounds | undefined {
  if (looped(ctx, v.axes).length === 0) return undefined;
  const asSum = (x: Value): SumOverRounds | undefined =>
    x.def.kind === "reduce" && x.def.op === "sum" && mapOf(ctx, x.def.axis).loop > 1
      ? { base: null, sum: x }
      : undefined;
  const alone = asSum(v);
  if (alone) return alone;
  if (v.def.kind !== "map" || v.def.op !== "add") return undefined;
  const [a, b] = v.def.args;
  for (const [x, y] of [
    [a!, b!],
    [b!, a!],
  ] as const) {
    const s = asSum(x);
    if (
      s &&
      !ctx.facts.stored.has(x.id) &&
      (ctx.facts.uses.get(x.id) ?? 0) === 1 &&
      v.axes.every((ax) => dependsOn(x, ax))
    )
      return { ...s, base: y };
  }
  return undefined;
}

function fillScan(ctx: Context, target: Stored, v: Value, axis: Axis, arg: Value): void {
  const others = v.axes.filter((a) => a.id !== axis.id);
  nest(ctx, others, () => {
    const all = registersOf(ctx, others, null);
    const names = all.map(() => ctx.fresh("running"));
    const type = laneType(v.dtype);
    for (const name of names) push(ctx, { kind: "var", name, type, width: 1, value: lit(0, type) });
    nest(ctx, [axis], () => {
      for (const [k, c] of all.entries())
        for (let u = 0; u < mapOf(ctx, axis).unroll; u++) {
          const cc = new Map(c).set(axis.id, u);
          push(ctx, {
            kind: "set",
            name: names[k]!,
            value: op("add", [ref(names[k]!, type), ctx.evaluate(arg, cc, null)], type, 1),
          });
          push(ctx, setElement(ctx, target, cc, ref(names[k]!, type)));
        }
    });
  });
}
