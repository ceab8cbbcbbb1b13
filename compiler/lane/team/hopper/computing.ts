/**
 * What the warpgroups that compute do in loops, as order.ts says. A paired loop, of two warpgroups that take turns:
 *
 *   while there is a block {
 *     wait for its tiles; wait for the turn
 *     start its ready products, and the late ones of the block before; pass the turn on
 *     wait for the ready ones; compute with them, while the late ones run
 *     wait for the late ones; what their successors multiply becomes pairs, what they are added to is rescaled
 *   }
 *   the late products of the last block
 *
 * So one warpgroup multiplies while the other computes, and each multiplies while it computes itself.
 */
import { invariant } from "../../../base/invariant.ts";
import type { Fold, Value } from "../../../tile/ir.ts";
import { add, less, lit, ref } from "../../expr.ts";
import type { Expr, LaneStmt } from "../../ir.ts";
import { blocksOf, searchBlock } from "../blocks.ts";
import {
  type Context,
  declare,
  type Held,
  hintOf,
  hold,
  layoutFor,
  partOf,
  push,
  type Ways,
  within,
} from "../context.ts";
import { addends, begin, fetchedAhead, inPlace, knowFull, overBlocks, readsOf } from "../fold.ts";
import { isLoaded, type Product } from "../operands.ts";
import { openPairs, pack } from "../product.ts";
import { keep } from "../registers.ts";
import type { Staged } from "../staged.ts";
import { type Late, type Order, orderOf } from "./order.ts";
import { WARPGROUP } from "./plan.ts";
import { start } from "./products.ts";
import { awaitFull, type Barriers, goRound, openRing, type Ring, release, useStage } from "./rings.ts";

/** A paired loop while its body is written. */
type Paired = {
  readonly order: Extract<Order, { kind: "paired" }>;
  /** Where the late products' left factors become pairs. */
  readonly pairs: ReadonlyMap<Late, Held>;
  /** Waits for the late products of the block before, once. */
  readonly settle: () => void;
};

/** `top`: what comes before all loops. */
export function computing(barriers: Barriers, top: LaneStmt[]): Ways {
  const paired = new Map<number, Paired>();
  /** The paired loop whose body is being written. */
  let here: Paired | undefined;

  const startAll = (ctx: Context, products: readonly (() => void)[]): void => {
    push(ctx, { kind: "fence" });
    for (const p of products) p();
    push(ctx, { kind: "commitProducts" });
  };

  const openTurns = (warpgroups: number): void => {
    if (!top.some((s) => s.kind === "turn")) top.push({ kind: "turn", what: "open", warpgroups });
  };

  const multiply: Ways["multiply"] = (ctx, p, into) => {
    here?.settle();
    const packed = p.left.kind === "registers" && p.dtype !== "f32" ? pack(ctx, p, p.dtype) : undefined;
    startAll(ctx, [() => start(ctx, p, into, true, packed)]);
    push(ctx, { kind: "waitProducts", left: 0 });
  };

  /** A tile outside of loops: it is fetched once. */
  const stage: Ways["stage"] = (ctx, s) => awaitFull(ctx, barriers, s, lit(0), lit(0));

  const loop: Ways["overBlocks"] = (ctx, f, inside) => {
    const ahead = fetchedAhead(ctx, f);
    if (ahead.length === 0 || f.over.kind !== "blocks") {
      overBlocks(ctx, f, inside);
      return;
    }
    const { axis } = f.over;
    const order = orderOf(ctx, f);
    const behind = order.kind !== "one by one" && order.late.length > 0;
    const ring = openRing(ctx, ahead[0]!, axis.name, behind, top);
    const bounds = blocksOf(ctx, f, axis);
    const first = searchBlock(ctx, axis, bounds, `${axis.name}_first`, bounds.from);
    const started = behind ? ctx.fresh("started") : undefined;
    if (started) push(ctx, { kind: "var", name: started, type: "bool", width: 1, value: lit(0, "bool") });
    const ifStarted = (write: () => void): void => {
      if (started) push(ctx, { kind: "if", cond: ref(started, "bool"), then: within(ctx, write), else: [] });
    };
    const l: Loop = { ctx, f, ring, ahead, ifStarted, openTurns, barriers, startAll };
    const rest =
      order.kind === "stream"
        ? stream(l, order)
        : order.kind === "paired"
          ? pair(l, order, inside, (p) => {
              if (p) paired.set(f.id, p);
              here = p;
            })
          : oneByOne(l, inside);
    const body = within(ctx, () => {
      ctx.starts.set(axis.id, ref(first));
      for (const s of ahead) useStage(ctx, s, ref(ring.stage));
      knowFull(ctx, f);
      rest.body();
      goRound(ctx, ring);
      if (started) push(ctx, { kind: "set", name: started, value: lit(1, "bool") });
      const next = searchBlock(ctx, axis, bounds, `${axis.name}_next`, add(ref(first), lit(partOf(ctx, axis).block)));
      push(ctx, { kind: "set", name: first, value: ref(next) });
    });
    push(ctx, { kind: "while", cond: less(ref(first), bounds.below), body });
    rest.after();
  };

  const statement: Ways["statement"] = (ctx, v, fold, place) => {
    const p = paired.get(fold.id);
    return p !== undefined && inPair(ctx, p, v, fold, place);
  };
  return { multiply, stage, overBlocks: loop, statement };
}

type Loop = {
  readonly ctx: Context;
  readonly f: Fold;
  readonly ring: Ring;
  readonly ahead: readonly Staged[];
  readonly barriers: Barriers;
  readonly ifStarted: (write: () => void) => void;
  readonly openTurns: (warpgroups: number) => void;
  readonly startAll: (ctx: Context, products: readonly (() => void)[]) => void;
};
/** A loop's body, and what follows it. */
type Written = { readonly body: () => void; readonly after: () => void };

function oneByOne({ ctx, f, ring, ahead, barriers }: Loop, inside: (f: Fold) => void): Written {
  return {
    body() {
      for (const s of ahead) awaitFull(ctx, barriers, s, ref(ring.stage), ref(ring.phase));
      inside(f);
      for (const s of ahead) release(ctx, barriers, s, ref(ring.stage));
    },
    after() {},
  };
}

/** The products of a block start while those of the block before run. */
function stream(l: Loop, order: Extract<Order, { kind: "stream" }>): Written {
  const { ctx, f, ring, ahead, barriers } = l;
  const done = (): void => {
    for (const s of ahead) release(ctx, barriers, s, ref(ring.before!.stage));
  };
  return {
    body() {
      for (const s of ahead) awaitFull(ctx, barriers, s, ref(ring.stage), ref(ring.phase));
      const intoCarry =
        ({ product, carry }: Late) =>
        () =>
          start(ctx, product, carryHeld(ctx, f, carry), true);
      l.startAll(ctx, order.late.map(intoCarry));
      push(ctx, { kind: "waitProducts", left: 1 });
      l.ifStarted(done);
    },
    after() {
      push(ctx, { kind: "waitProducts", left: 0 });
      l.ifStarted(done);
    },
  };
}
const carryHeld = (ctx: Context, f: Fold, carry: number): Held => {
  const held = ctx.held.get(f.carry[carry]!.id)?.[0];
  invariant(held, `the carries of a loop of kernel ${ctx.kernel.name} are held`);
  return held;
};

function pair(
  l: Loop,
  order: Extract<Order, { kind: "paired" }>,
  inside: (f: Fold) => void,
  enter: (p: Paired | undefined) => void,
): Written {
  const { ctx, f, ring, ahead, barriers } = l;
  const warpgroups = (ctx.plan.warps * 32) / WARPGROUP;
  const tilesOf = (products: readonly Product[]): ReadonlySet<number> =>
    new Set(products.flatMap((p) => [p.left.value.id, p.right.value.id]));
  const [early, late] = [tilesOf(order.ready), tilesOf(order.late.map((x) => x.product))];
  const lateTiles = ahead.filter((s) => late.has(s.value.id));
  const onlyEarly = ahead.filter((s) => early.has(s.value.id) && !late.has(s.value.id));
  // What the threads read themselves.
  const others = ahead.filter((s) => !early.has(s.value.id) && !late.has(s.value.id));
  const pairs = new Map(
    order.late.filter((x) => x.product.left.kind === "registers").map((x) => [x, openPairs(ctx, x.product)]),
  );
  const into = new Map(order.late.map((x) => [x, carryHeld(ctx, f, x.carry)]));
  const before = (what: "stage" | "phase"): Expr => ref(ring.before![what]);
  /** Starts the late products of the block before. */
  const startLate = (): void => {
    for (const s of lateTiles) {
      if (!early.has(s.value.id)) awaitFull(ctx, barriers, s, before("stage"), before("phase"));
      useStage(ctx, s, before("stage"));
    }
    push(ctx, { kind: "fence" });
    for (const x of order.late) start(ctx, x.product, into.get(x)!, true, pairs.get(x));
    for (const s of lateTiles) useStage(ctx, s, ref(ring.stage));
  };
  const done = (): void => {
    for (const s of lateTiles) release(ctx, barriers, s, before("stage"));
  };
  const takesTurns = warpgroups > 1;
  // Once: the last turn of a loop that is passed on is the first of the next.
  if (takesTurns) l.openTurns(warpgroups);
  return {
    body() {
      for (const s of ahead) if (early.has(s.value.id)) awaitFull(ctx, barriers, s, ref(ring.stage), ref(ring.phase));
      const results = order.ready.map((p) => declare(ctx, hintOf(p.sum), "f32", layoutFor(ctx, p.sum)));
      if (takesTurns) push(ctx, { kind: "turn", what: "take", warpgroups });
      l.startAll(
        ctx,
        order.ready.map((p, k) => () => start(ctx, p, results[k]!, false)),
      );
      if (order.late.length > 0) {
        l.ifStarted(startLate);
        push(ctx, { kind: "commitProducts" });
      }
      if (takesTurns) push(ctx, { kind: "turn", what: "pass", warpgroups });
      for (const v of loadedBy(ctx, order.fold)) keep(ctx, v);
      push(ctx, { kind: "waitProducts", left: order.late.length > 0 ? 1 : 0 });
      for (const s of onlyEarly) release(ctx, barriers, s, ref(ring.stage));
      for (const s of others) awaitFull(ctx, barriers, s, ref(ring.stage), ref(ring.phase));
      for (const [k, p] of order.ready.entries()) hold(ctx, p.sum, results[k]!);
      let settled = order.late.length === 0;
      const settle = (): void => {
        if (settled) return;
        settled = true;
        push(ctx, { kind: "waitProducts", left: 0 });
        l.ifStarted(done);
      };
      enter({ order, pairs, settle });
      inside(order.fold);
      settle();
      enter(undefined);
      for (const s of others) release(ctx, barriers, s, ref(ring.stage));
    },
    after() {
      if (order.late.length === 0) return;
      l.ifStarted(() => {
        startLate();
        push(ctx, { kind: "commitProducts" }, { kind: "waitProducts", left: 0 });
        done();
      });
    },
  };
}

/** What threads load themselves: they do before they wait for products. */
const loadedBy = (ctx: Context, f: Fold): readonly Value[] =>
  f.body.flatMap((s) =>
    s.kind === "let" && ctx.plan.kept.has(s.value.id) && !ctx.full.has(s.value.id) && isLoaded(s.value)
      ? [s.value]
      : [],
  );

/** Writes a statement of a paired loop that has to do with its products; false where it is as any other. */
function inPair(ctx: Context, p: Paired, v: Value, fold: Fold, place: number): boolean {
  const { ready, late } = p.order;
  if (ready.some((r) => r.sum.id === v.id) || loadedBy(ctx, fold).includes(v)) return true;
  const mine = late.find((x) => x.user.id === v.id);
  if (mine) {
    p.settle();
    const { product, other } = mine;
    const pairs = p.pairs.get(mine);
    if (pairs && product.dtype !== "f32") pack(ctx, product, product.dtype, pairs);
    begin(ctx, v, other, inPlace(ctx, fold, v, place));
    return true;
  }
  const reads = readsOf(ctx, { kind: "let", value: v });
  if (late.some((x) => reads.has(fold.carry[x.carry]!.id))) p.settle();
  // A sum with a ready product is one of elements: the product is there.
  if (!ctx.plan.kept.has(v.id) || !ready.some((r) => addends(ctx, v, fold.body)?.product === r)) return false;
  keep(ctx, v, inPlace(ctx, fold, v, place));
  return true;
}
