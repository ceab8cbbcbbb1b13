/**
 * Loops. Carries are registers. A loop over blocks goes from one block that does something to the next; the tiles that
 * its products read are fetched some blocks ahead, into a ring of stages:
 *
 *   fetch the first blocks
 *   while there is a block { wait for it; barrier; fetch the one some blocks ahead; compute; go on }
 *
 * One barrier a round is enough: whoever passes it is done with the block before, whose stage is fetched into next.
 */

import { operandsOf } from "../../tile/build.ts";
import type { Fold, Stmt, Value } from "../../tile/ir.ts";
import { add, laneType, less, lit, mul, op, ref } from "../expr.ts";
import type { Expr } from "../ir.ts";
import { blocksOf, searchBlock } from "./blocks.ts";
import {
  type At,
  bind,
  type Context,
  declare,
  type Held,
  heldFor,
  hintOf,
  hold,
  initial,
  isArray,
  layoutFor,
  nest,
  nowhere,
  partOf,
  push,
  readHeld,
  within,
  writeHeld,
} from "./context.ts";
import { largest, picked, runningSum } from "./picks.ts";
import { keep, prepare, reduce } from "./registers.ts";
import { addedTo, goesOnFrom } from "./roles.ts";
import { elementsOf } from "./shared.ts";
import { copyPieces, tileOf } from "./stage.ts";
import type { Staged } from "./staged.ts";
import { evaluate } from "./value.ts";

/** Writes statements in order. `fold`: the loop whose body they are. */
export function lowerBody(ctx: Context, body: readonly Stmt[], fold?: Fold): void {
  const ahead = new Set(fold ? fetchedAhead(ctx, fold).map((s) => s.value.id) : []);
  body.forEach((s, place) => {
    if (s.kind === "fold") {
      lowerFold(ctx, s, fold);
      return;
    }
    const v = s.value;
    const { plan, ways } = ctx;
    if (fold && ways.statement?.(ctx, v, fold, place)) return;
    if (plan.kept.has(v.id)) {
      const product = plan.products.get(v.id);
      const into = fold ? inPlace(ctx, fold, v, place) : undefined;
      if (product) {
        const user = addedTo(v, body, plan.products);
        if (!user || !plan.kept.has(user.id)) {
          const held = zeros(ctx, v);
          ways.multiply(ctx, product, held);
          hold(ctx, v, held);
        }
      } else if (v.def.kind === "reduce") v.def.op === "argmax" ? largest(ctx, v) : reduce(ctx, v);
      else if (v.def.kind === "scan") runningSum(ctx, v);
      else if (v.def.kind === "at") picked(ctx, v);
      else {
        const added = addends(ctx, v, body);
        if (added) {
          const held = begin(ctx, v, added.other, into);
          ways.multiply(ctx, added.product, held);
        } else keep(ctx, v, into);
      }
    }
    const staged = plan.staged.get(v.id);
    if (staged && !ahead.has(v.id)) ways.stage(ctx, staged);
  });
}
/** x + product: the accumulators begin as x. */
export function addends(ctx: Context, v: Value, body: readonly Stmt[]) {
  if (v.def.kind !== "map" || v.def.op !== "add") return undefined;
  const [x, y] = v.def.args as [Value, Value];
  for (const [part, other] of [
    [y, x],
    [x, y],
  ] as const) {
    const product = ctx.plan.products.get(part.id);
    if (product && addedTo(part, body, ctx.plan.products)?.id === v.id) return { product, other };
  }
  return undefined;
}
function zeros(ctx: Context, v: Value): Held {
  return initial(ctx, hintOf(v), "f32", layoutFor(ctx, v), () => lit(0, "f32"));
}
export function begin(ctx: Context, v: Value, first: Value, into: Held | undefined): Held {
  const layout = layoutFor(ctx, v);
  prepare(ctx, first, layout);
  const held = into ?? declare(ctx, hintOf(v), "f32", layout);
  // What it begins as may be there already.
  if (!(into && ctx.held.get(first.id)?.[0]?.name === into.name)) {
    const write = (): void => nest(ctx, layout, (at) => writeHeld(ctx, held, at, evaluate(ctx, first, at)));
    const factor = into && rescaledBy(ctx, first, into);
    const changed = factor && isChanged(ctx, factor);
    if (changed) push(ctx, { kind: "if", cond: changed, then: within(ctx, write), else: [] });
    else write();
  }
  if (into) ctx.held.set(v.id, [held]);
  else hold(ctx, v, held);
  return held;
}

/** What registers are multiplied by in place: a factor of rows that is often 1, as where a running maximum stays what it was. */
function rescaledBy(ctx: Context, v: Value, into: Held): Value | undefined {
  if (v.def.kind !== "map" || v.def.op !== "mul") return undefined;
  const [x, y] = v.def.args as [Value, Value];
  const isIn = (a: Value): boolean => ctx.held.get(a.id)?.[0]?.name === into.name;
  const factor = isIn(x) ? y : isIn(y) ? x : undefined;
  const d = factor?.def;
  if (!factor || d?.kind !== "map" || factor.axes.length >= v.axes.length || !ctx.held.has(factor.id)) return undefined;
  const isOne = (a: Value): boolean => a.def.kind === "const" && a.def.value === 1;
  return d.op === "exp" || (d.op === "select" && d.args.some(isOne)) ? factor : undefined;
}
/** Whether any of a thread's elements of a factor is not 1. */
function isChanged(ctx: Context, factor: Value): Expr {
  const layout = layoutFor(ctx, factor);
  const held = heldFor(ctx, factor, layout)!;
  const differs = (at: At): Expr => op("ne", [readHeld(held, at), lit(1, "f32")], "bool");
  if (!isArray(held)) return differs(nowhere());
  const name = ctx.fresh("changed");
  push(ctx, { kind: "var", name, type: "bool", width: 1, value: lit(0, "bool") });
  const changed = ref(name, "bool");
  nest(ctx, layout, (at) => push(ctx, { kind: "set", name, value: op("or", [changed, differs(at)], "bool") }));
  return changed;
}

/** The carry that a value takes the place of, by its number: nothing reads the carry after it. */
export function carryOf(ctx: Context, f: Fold, v: Value, place: number): number | undefined {
  const k = f.next.findIndex((n) => n.id === v.id);
  if (k < 0 || f.next.filter((n) => n.id === v.id).length > 1 || ctx.full.has(v.id)) return undefined;
  const carry = f.carry[k]!;
  if (carry.axes.length !== v.axes.length) return undefined;
  const later = f.body.slice(place + 1).some((s) => readsOf(ctx, s).has(carry.id));
  const handedOn = f.next.some((n, i) => i !== k && reaching(ctx, n, new Set()).has(carry.id));
  // A product that is added here is written after what it is added to: its factors must not need the carry.
  const added = addends(ctx, v, f.body);
  const factors = added
    ? [added.product.a, added.product.b].some((x) => reaching(ctx, x, new Set()).has(carry.id))
    : false;
  return later || handedOn || factors ? undefined : k;
}
export function inPlace(ctx: Context, f: Fold, v: Value, place: number): Held | undefined {
  const k = carryOf(ctx, f, v, place);
  return k === undefined ? undefined : ctx.held.get(f.carry[k]!.id)?.[0];
}
/** What the expressions of a statement read: values that are held, and carries. */
export function readsOf(ctx: Context, s: Stmt): ReadonlySet<number> {
  const found = new Set<number>();
  if (s.kind === "let") {
    if (ctx.plan.kept.has(s.value.id) || ctx.plan.staged.has(s.value.id)) {
      const product = ctx.plan.products.get(s.value.id);
      for (const a of product ? [product.a, product.b] : operandsOf(s.value.def)) reaching(ctx, a, found);
    }
    return found;
  }
  for (const v of [...s.init, ...s.next]) reaching(ctx, v, found);
  for (const inner of s.body) for (const id of readsOf(ctx, inner)) found.add(id);
  return found;
}
function reaching(ctx: Context, v: Value, found: Set<number>): Set<number> {
  if (found.has(v.id)) return found;
  found.add(v.id);
  if (!ctx.plan.kept.has(v.id)) for (const a of operandsOf(v.def)) reaching(ctx, a, found);
  return found;
}

/** The tiles that a loop fetches ahead: copies of what its own body loads. */
export function fetchedAhead(ctx: Context, f: Fold): readonly Staged[] {
  if (f.over.kind !== "blocks") return [];
  return f.body.flatMap((s) => {
    const staged = s.kind === "let" ? ctx.plan.staged.get(s.value.id) : undefined;
    return staged?.how === "copy" ? [staged] : [];
  });
}

/** `around`: the loop whose body it is in. */
function lowerFold(ctx: Context, f: Fold, around?: Fold): void {
  const carries = f.carry.map((c, k) => {
    const same = goesOnFrom(around, f, k, ctx.plan.uses);
    if (same) return ctx.held.get(same.id)![0]!;
    const layout = layoutFor(ctx, c);
    prepare(ctx, f.init[k]!, layout);
    const first = (at: At): Expr => evaluate(ctx, f.init[k]!, at);
    return initial(ctx, hintOfCarry(ctx, c, f.results[k]!), laneType(c.dtype), layout, first);
  });
  const before = new Map(ctx.held);
  f.carry.forEach((c, k) => {
    ctx.held.set(c.id, [carries[k]!]);
  });
  const inside = (g: Fold): void => {
    f.carry.forEach((c, k) => {
      ctx.held.set(c.id, [carries[k]!]);
    });
    lowerBody(ctx, g.body, g);
    goOn(ctx, g, carries);
    ctx.held.clear();
    for (const [id, h] of before) ctx.held.set(id, h);
  };
  if (f.over.kind === "steps") {
    const name = ctx.fresh(f.over.step.name ?? "step");
    ctx.steps.set(f.id, ref(name));
    const pending = ctx.pending;
    const body = within(ctx, () => inside(f));
    ctx.pending ||= pending;
    push(ctx, { kind: "for", name, from: lit(0), below: lit(f.over.count), step: 1, body });
  } else ctx.ways.overBlocks(ctx, f, inside);
  f.results.forEach((r, k) => {
    ctx.held.set(r.id, [carries[k]!]);
  });
}
/** What a reader would call a carry: its own name, or that of the result it ends in. */
function hintOfCarry(ctx: Context, carry: Value, result: Value): string {
  const store = ctx.kernel.stores.find((s) => s.value.id === result.id);
  return carry.name ?? result.name ?? (store ? ctx.kernel.buffers[store.buffer]!.name : "carry");
}

/** The carries become the next ones: all are known before the first changes. */
function goOn(ctx: Context, f: Fold, carries: readonly Held[]): void {
  const changes = f.next.flatMap((n, k) => {
    const held = ctx.held.get(n.id)?.[0];
    return held?.name === carries[k]!.name ? [] : [{ n, to: carries[k]! }];
  });
  const others = new Set(f.carry.map((c) => c.id));
  const values = changes.map(({ n, to }) => {
    const layout = to.layout;
    prepare(ctx, n, layout);
    const direct = ctx.plan.kept.has(n.id) || ![...reaching(ctx, n, new Set())].some((id) => others.has(id));
    if (direct) return { to, read: n };
    return { to, temp: initial(ctx, `next_${to.name}`, to.type, layout, (at) => evaluate(ctx, n, at), true) };
  });
  for (const { to, read, temp } of values)
    nest(ctx, to.layout, (at) => writeHeld(ctx, to, at, temp ? readHeld(temp, at) : evaluate(ctx, read!, at)));
}

/** Which selects need no mask in the block at hand. */
export function knowFull(ctx: Context, f: Fold): void {
  for (const { select, when } of f.bounds?.full ?? []) ctx.full.set(select.id, evaluate(ctx, when, nowhere()));
}

/** The stages next to one in a ring. */
const stageAfter = (stage: Expr, stages: number): Expr =>
  op("select", [op("eq", [stage, lit(stages - 1)], "bool"), lit(0), add(stage, lit(1))], "i32");
const stageBefore = (stage: Expr, stages: number): Expr =>
  op("select", [op("eq", [stage, lit(0)], "bool"), lit(stages - 1), add(stage, lit(-1))], "i32");

export function overBlocks(ctx: Context, f: Fold, inside: (f: Fold) => void): void {
  if (f.over.kind !== "blocks") return;
  const { axis } = f.over;
  const { block } = partOf(ctx, axis);
  const ahead = fetchedAhead(ctx, f);
  const stages = ahead[0]?.tile.stages ?? 1;
  const pending = ctx.pending;
  const useBounds = (): void => knowFull(ctx, f);
  if (ahead.length === 0 && !f.bounds?.run) {
    const name = ctx.fresh(`${axis.name}_first`);
    ctx.starts.set(axis.id, ref(name));
    const body = within(ctx, () => {
      useBounds();
      inside(f);
    });
    ctx.pending ||= pending;
    push(ctx, { kind: "for", name, from: lit(0), below: lit(axis.extent), step: block, body });
    return;
  }
  const bounds = blocksOf(ctx, f, axis);
  const { from, below } = bounds;
  const search = (hint: string, first: Expr): string => searchBlock(ctx, axis, bounds, hint, first);
  /** Starts copying the tiles of the block at `first` into the stage `slot`, if there is one, which may be `certain`. */
  const fetch = (first: string, slot: Expr, certain = false): void => {
    if (ahead.length === 0) return;
    const before = ctx.starts.get(axis.id);
    ctx.starts.set(axis.id, ref(first));
    const then = within(ctx, () => {
      for (const s of ahead) copyPieces(ctx, s, mul(slot, lit(elementsOf(s.tile))));
    });
    if (certain) push(ctx, ...then, { kind: "commit" });
    else push(ctx, { kind: "if", cond: less(ref(first), below), then, else: [] }, { kind: "commit" });
    if (before) ctx.starts.set(axis.id, before);
  };
  const blocks: string[] = [search(`${axis.name}_first`, from)];
  // With one stage there is nothing to be ahead of: each block is fetched when its turn comes.
  const distance = ahead.length > 0 ? Math.max(stages - 1, 0) : 0;
  for (let k = 1; k < distance; k++) blocks.push(search(`${axis.name}_ahead`, add(ref(blocks[k - 1]!), lit(block))));
  if (ahead.length > 0) push(ctx, { kind: "barrier" });
  for (let k = 0; k < distance; k++) fetch(blocks[k]!, lit(k));
  const slot = ahead.length > 0 && stages > 1 ? ctx.fresh("stage") : undefined;
  if (slot) push(ctx, { kind: "var", name: slot, type: "i32", width: 1, value: lit(0), counts: true });
  const body = within(ctx, () => {
    const here = ref(blocks[0]!);
    let next: string;
    if (ahead.length > 0 && distance > 0) {
      push(ctx, { kind: "wait", left: distance - 1 }, { kind: "barrier" });
      next = search(`${axis.name}_next`, add(ref(blocks.at(-1)!), lit(block)));
      fetch(next, bind(ctx, "stage_free", stageBefore(ref(slot!), stages)));
    } else {
      if (ahead.length > 0) {
        push(ctx, { kind: "barrier" });
        fetch(blocks[0]!, lit(0), true);
        push(ctx, { kind: "wait", left: 0 }, { kind: "barrier" });
      }
      next = search(`${axis.name}_next`, add(ref(blocks.at(-1)!), lit(block)));
    }
    ctx.pending = ahead.length > 0 ? false : ctx.pending;
    ctx.starts.set(axis.id, here);
    for (const s of ahead) {
      const t = tileOf(ctx, s.value);
      ctx.tiles.set(s.value.id, { tile: t.tile, base: slot ? mul(ref(slot), lit(elementsOf(s.tile))) : lit(0) });
    }
    useBounds();
    inside(f);
    blocks.forEach((name, k) => {
      push(ctx, { kind: "set", name, value: ref(blocks[k + 1] ?? next) });
    });
    if (slot) push(ctx, { kind: "set", name: slot, value: stageAfter(ref(slot), stages) });
  });
  push(ctx, { kind: "while", cond: less(ref(blocks[0]!), below), body });
  if (ahead.length > 0) push(ctx, { kind: "wait", left: 0 }, { kind: "barrier" });
  else ctx.pending ||= pending;
}
