/** A sequential loop of a kernel: carries kept in registers or arrays, blocks that change nothing skipped. */
import { operandsOf } from "../tile/build.ts";
import type { Axis, Fold, Stmt, Value } from "../tile/ir.ts";
import { changedRounds } from "./changed.ts";
import {
  type Context,
  type Coords,
  keyOf,
  looped,
  mapOf,
  push,
  type Rounds,
  registerName,
  registersOf,
  type Stored,
  show,
  vectorAxis,
  within,
} from "./context.ts";
import { endsOf } from "./ends.ts";
import { and, laneType, op, ref, vec } from "./expr.ts";
import { fill } from "./fill.ts";
import type { Expr } from "./ir.ts";
import { foldsOf } from "./map.ts";
import { childScope } from "./scope.ts";
import { allocate } from "./storage.ts";

/** Where a carry lives: an array, or a `var` for each register. */
type Place =
  | { readonly kind: "array"; readonly stored: Stored }
  | {
      readonly kind: "registers";
      readonly all: readonly { readonly c: Coords; readonly name: string }[];
      readonly along: Axis | null;
    };

export function lowerBody(ctx: Context, body: readonly Stmt[]): void {
  for (const s of body) if (s.kind === "fold") lowerFold(ctx, s);
}

function lowerFold(ctx: Context, f: Fold): void {
  const places = f.carry.map((carry, k) => openPlace(ctx, carry, f.init[k]!, f.results[k]!));
  const depth = ctx.regions.length;
  const body = childScope(ctx.scope, depth);
  ctx.regions.push(body);
  const counter = loopHeader(ctx, f, body);
  const around = ctx.scope;
  const ends = within(ctx, body, () => {
    for (const [k, p] of places.entries()) openTo(ctx, f.carry[k]!, p);
    const found = endsOf(ctx, f.bounds?.run, counter, around);
    applyBounds(ctx, f, found.besides);
    lowerBody(ctx, f.body);
    update(ctx, f, places);
    return found;
  });
  ctx.regions.pop();
  push(ctx, {
    kind: "for",
    name: counter.name,
    from: ends.from,
    below: ends.below,
    step: counter.step,
    body: body.stmts,
  });
  for (const [k, p] of places.entries()) openTo(ctx, f.results[k]!, p);
}

function loopHeader(
  ctx: Context,
  f: Fold,
  body: ReturnType<typeof childScope>,
): { readonly name: string; readonly below: number; readonly step: number } {
  if (f.over.kind === "steps") {
    const name = ctx.fresh(f.over.step.name ?? "step");
    show(ctx, body, keyOf(ctx, f.over.step, new Map(), null), ref(name));
    return { name, below: f.over.count, step: 1 };
  }
  const axis = f.over.axis;
  const m = mapOf(ctx, axis);
  const name = ctx.fresh(`${axis.name}0`);
  ctx.names.set(name, { level: body.level, multiple: m.block });
  ctx.starts.set(axis.id, ref(name));
  return { name, below: axis.extent, step: m.block };
}

/** What a reader would call a carry: its own name, or that of the result it ends in. */
function hintOf(ctx: Context, carry: Value, result: Value): string {
  const store = ctx.kernel.stores.find((s) => s.value.id === result.id);
  return carry.name ?? result.name ?? (store ? ctx.kernel.buffers[store.buffer]!.name : "carry");
}

/** Declares a carry and gives it its first value. */
function openPlace(ctx: Context, carry: Value, init: Value, result: Value): Place {
  const hint = hintOf(ctx, carry, result);
  const array =
    looped(ctx, carry.axes).length > 0 || ctx.facts.addressed.has(carry.id) || ctx.facts.addressed.has(result.id);
  if (array) {
    const around = inPlace(ctx, carry, init, result);
    if (around) return { kind: "array", stored: around };
    const stored = allocate(ctx, carry, hint);
    fill(ctx, stored, init, carry.axes);
    return { kind: "array", stored };
  }
  const along = vectorAxis(ctx, carry);
  const all = registersOf(ctx, carry.axes, along).map((c) => {
    const name = registerName(ctx, hint, carry, c);
    push(ctx, {
      kind: "var",
      name,
      type: laneType(carry.dtype),
      width: along ? 4 : 1,
      value: wide(ctx.evaluate(init, c, along), along),
    });
    return { c, name };
  });
  return { kind: "registers", all, along };
}
/**
 * The array of the carry around a carry that goes on from it, where the carry around is read by nobody else and goes on
 * from the result: a fold in a fold then works on one array.
 */
function inPlace(ctx: Context, carry: Value, init: Value, result: Value): Stored | undefined {
  const stored = ctx.stored.get(init.id);
  if (init.def.kind !== "carry" || !stored || (ctx.facts.uses.get(init.id) ?? 0) !== 1) return undefined;
  const { fold, place } = init.def;
  const around = foldsOf(ctx.kernel.body).find((f) => f.id === fold);
  const same = carry.axes.length === init.axes.length && carry.axes.every((a, k) => a.id === init.axes[k]!.id);
  return same && around?.next[place]?.id === result.id ? stored : undefined;
}
const wide = (e: Expr, along: Axis | null): Expr => (along && e.width === 1 ? vec([e, e, e, e]) : e);

/** Lets a value be read from a place. */
function openTo(ctx: Context, v: Value, p: Place): void {
  if (p.kind === "array") ctx.stored.set(v.id, p.stored);
  else
    for (const { c, name } of p.all)
      show(ctx, ctx.scope, keyOf(ctx, v, c, p.along), ref(name, laneType(v.dtype), p.along ? 4 : 1));
}

/** Rounds in which not all of `run` holds are skipped. */
function applyBounds(ctx: Context, f: Fold, run: readonly Value[]): void {
  if (!f.bounds) return;
  const conds = run.map((v) => ctx.evaluate(v, new Map(), null));
  if (conds.length > 0)
    push(ctx, {
      kind: "if",
      cond: op("not", [conds.reduce(and)], "bool"),
      then: [{ kind: "continue" }],
      else: [],
    });
  for (const { select, when } of f.bounds.full) ctx.full.set(select.id, ctx.evaluate(when, new Map(), null));
}

/** All next values are computed from the old carries; then the carries change. */
function update(ctx: Context, f: Fold, places: readonly Place[]): void {
  for (const [k, p] of places.entries()) {
    const sum = ctx.facts.accumulated.get(f.carry[k]!.id);
    if (!sum || p.kind !== "array") continue;
    ctx.pending.set(sum.loop, [...(ctx.pending.get(sum.loop) ?? []), { target: p.stored, ...sum }]);
  }
  const unchanged = (k: number): boolean => {
    const [next, p] = [f.next[k]!, places[k]!];
    return next.id === f.carry[k]!.id || (p.kind === "array" && ctx.stored.get(next.id)?.array === p.stored.array);
  };
  const registers = places.flatMap((p, k) => {
    if (p.kind !== "registers" || unchanged(k)) return [];
    return p.all.map(({ c, name }) => ({ name, value: wide(ctx.evaluate(f.next[k]!, c, p.along), p.along) }));
  });
  const held = registers.map(({ name, value }) => {
    if (value.kind === "lit") return { name, value };
    const temp = ctx.fresh(`next_${name}`);
    push(ctx, { kind: "let", name: temp, value });
    return { name, value: ref(temp, value.type, value.width) };
  });
  for (const name of [...ctx.pending.keys()]) ctx.runLoop(name);
  const accumulated = (k: number): boolean => ctx.facts.accumulated.has(f.carry[k]!.id);
  const arrays = places.flatMap((p, k) =>
    p.kind === "array" && !unchanged(k) && !accumulated(k) ? [{ k, stored: p.stored }] : [],
  );
  const copies: (() => void)[] = [];
  for (const { k, stored, ownTemp } of arrayOrder(ctx, f, arrays)) {
    const [next, { axes }] = [f.next[k]!, f.carry[k]!];
    const some = changedRounds(ctx, f.carry[k]!, next);
    if (!ownTemp) {
      fill(ctx, stored, next, axes, some);
      continue;
    }
    const temp = allocate(ctx, f.carry[k]!, `next_${stored.array}`);
    fill(ctx, temp, next, axes, some);
    const done: Value = { ...f.carry[k]!, id: -1 - k - 1000 * f.id, def: { kind: "const", value: 0 } };
    copies.push(() => copyArray(ctx, temp, stored, done, some));
  }
  for (const copy of copies) copy();
  push(ctx, ...held.map(({ name, value }) => ({ kind: "set", name, value }) as const));
}

function copyArray(ctx: Context, from: Stored, to: Stored, shape: Value, some: Rounds | undefined): void {
  const source: Value = { ...shape, def: { kind: "scalar", index: 0 } };
  // It is read where it was written: in the body of the loop, not before it.
  ctx.facts.depth.set(source.id, ctx.scope.region);
  ctx.stored.set(source.id, from);
  fill(ctx, to, source, source.axes, some);
  ctx.stored.delete(source.id);
}

/**
 * The order in which arrays can be overwritten, readers of an old carry before its writer. A carry that is read at other
 * elements than the one being written, or that readers wait for in a circle, is computed beside the old one first.
 */
function arrayOrder(ctx: Context, f: Fold, arrays: readonly { readonly k: number; readonly stored: Stored }[]) {
  const reads = new Map(arrays.map(({ k }) => [k, carriesRead(ctx, f, f.next[k]!, k)]));
  const order: { k: number; stored: Stored; ownTemp: boolean }[] = [];
  let left = [...arrays];
  while (left.length > 0) {
    const free = left.find(({ k }) => left.every((o) => o.k === k || !reads.get(o.k)!.has(k)));
    const pick = free ?? left[0]!;
    const elsewhere = reads.get(pick.k)!.get(pick.k) === "elsewhere";
    order.push({ ...pick, ownTemp: elsewhere || !free });
    left = left.filter((a) => a !== pick);
  }
  return order;
}
/** Which carries (by place) a next value reads, through values that are not kept; and whether at other elements than its own. */
function carriesRead(ctx: Context, f: Fold, next: Value, own: number): ReadonlyMap<number, "same" | "elsewhere"> {
  const found = new Map<number, "same" | "elsewhere">();
  const ownAxes = looped(ctx, f.carry[own]!.axes).map((a) => a.id);
  const visit = (v: Value, elsewhere: boolean): void => {
    const place = f.carry.findIndex((c) => c.id === v.id);
    if (place >= 0) {
      if (elsewhere || found.get(place) === undefined) found.set(place, elsewhere ? "elsewhere" : "same");
      return;
    }
    if (ctx.stored.has(v.id)) return;
    if (ctx.facts.stored.has(v.id)) ctx.store(v);
    if (ctx.stored.has(v.id)) return;
    const d = v.def;
    const moves =
      (d.kind === "reduce" || d.kind === "scan") &&
      (ownAxes.includes(d.axis.id) ||
        (ownAxes.length > 0 && f.carry.some((c) => c.axes.some((a) => a.id === d.axis.id))));
    for (const a of operandsOf(v.def)) visit(a, elsewhere || moves || d.kind === "at");
  };
  visit(next, false);
  return found;
}
