/** What the thread that fetches does: the same loops as those that compute, and in them copies of boxes into free stages. */
import { bytesEach } from "../../../core/dtype.ts";
import type { Axis, Fold, Stmt, Value } from "../../../tile/ir.ts";
import { add, less, lit, min, mul, op, ref } from "../../expr.ts";
import type { Expr, LaneStmt } from "../../ir.ts";
import { blocksOf, searchBlock } from "../blocks.ts";
import { type Context, nowhere, partOf, push, startOf, within } from "../context.ts";
import { wide } from "../dealt.ts";
import { fetchedAhead } from "../fold.ts";
import { elementsOf, type SharedTile } from "../shared.ts";
import { tileOf } from "../stage.ts";
import type { Staged } from "../staged.ts";
import { evaluate } from "../value.ts";
import { awaitFree, type Barriers, goRound, openRing, type Ring } from "./rings.ts";
import { boxElements, boxesOf } from "./tensors.ts";

/** `tensors`: the numbers of the tiles' maps. */
export function fetching(ctx: Context, barriers: Barriers, tensors: ReadonlyMap<number, number>): readonly LaneStmt[] {
  const rings: LaneStmt[] = [];
  const fetch = (s: Staged, stage: Expr): void => {
    const { tile } = tileOf(ctx, s.value);
    const barrier = { name: barriers.get(s.value.id)!.full, at: stage };
    push(ctx, { kind: "expect", barrier, bytes: elementsOf(tile) * bytesEach(tile.dtype) });
    const place = placeOf(ctx, s.value, tile);
    for (let part = 0; part < boxesOf(tile).count; part++)
      push(ctx, {
        kind: "fetch",
        tensor: tensors.get(s.value.id)!,
        place: place(part),
        shared: tile.name,
        at: add(mul(stage, lit(elementsOf(tile))), lit(part * boxElements(tile))),
        barrier,
      });
  };
  const loop = (f: Fold): void => {
    if (f.over.kind === "steps") {
      const name = ctx.fresh("step");
      ctx.steps.set(f.id, ref(name));
      const body = within(ctx, () => walk(f.body, true));
      push(ctx, { kind: "for", name, from: lit(0), below: lit(f.over.count), step: 1, body });
      return;
    }
    const { axis } = f.over;
    const ahead = fetchedAhead(ctx, f);
    const ring: Ring | undefined = ahead[0] && openRing(ctx, ahead[0], axis.name, false, rings);
    const bounds = blocksOf(ctx, f, axis);
    const first = searchBlock(ctx, axis, bounds, `${axis.name}_first`, bounds.from);
    const body = within(ctx, () => {
      ctx.starts.set(axis.id, ref(first));
      for (const s of inOrder(ctx, ahead)) {
        awaitFree(ctx, barriers, s, ring!);
        fetch(s, ref(ring!.stage));
      }
      walk(f.body, true);
      if (ring) goRound(ctx, ring);
      const next = searchBlock(ctx, axis, bounds, `${axis.name}_next`, add(ref(first), lit(partOf(ctx, axis).block)));
      push(ctx, { kind: "set", name: first, value: ref(next) });
    });
    push(ctx, { kind: "while", cond: less(ref(first), bounds.below), body });
  };
  /** Tiles that are let in a loop are fetched at its begin. */
  const walk = (body: readonly Stmt[], inside: boolean): void => {
    for (const s of body) {
      if (s.kind === "fold") {
        if (fetches(ctx, s)) loop(s);
        continue;
      }
      const staged = ctx.plan.staged.get(s.value.id);
      if (staged && !inside) fetch(staged, lit(0));
    }
  };
  const body = within(ctx, () => walk(ctx.kernel.body, false));
  return [...ctx.top, ...rings, ...body];
}

const fetches = (ctx: Context, f: Fold): boolean =>
  f.body.some((s) => (s.kind === "fold" ? fetches(ctx, s) : ctx.plan.staged.has(s.value.id)));

/** First what a product needs that starts with its block: both factors are tiles. */
export function inOrder(ctx: Context, ahead: readonly Staged[]): readonly Staged[] {
  const early = new Set(
    [...ctx.plan.products.values()].flatMap((p) =>
      p.left.kind === "shared" ? [p.left.value.id, p.right.value.id] : [],
    ),
  );
  const isEarly = (s: Staged): boolean => early.has(s.value.id);
  return [...ahead.filter(isEarly), ...ahead.filter((s) => !isEarly(s))];
}

/** Where each of a tile's boxes begins in memory, the last dimension first. */
function placeOf(ctx: Context, v: Value, tile: SharedTile): (part: number) => readonly Expr[] {
  if (v.def.kind !== "load") return () => [];
  const { index, clamp, buffer } = v.def;
  const { shape } = ctx.kernel.buffers[buffer]!;
  const places = index.map((i, k): ((part: number) => Expr) => {
    const axis = wide(ctx.dealt, i.axes)[0];
    if (axis) return (part) => along(ctx, axis, tile, part);
    const e = evaluate(ctx, i, nowhere());
    const inside = clamp && e.kind !== "lit" ? op("max", [min(e, lit(shape[k]! - 1)), lit(0)], "i32") : e;
    return () => inside;
  });
  return (part) => places.map((at) => at(part)).reverse();
}
function along(ctx: Context, axis: Axis, tile: SharedTile, part: number): Expr {
  const start = startOf(ctx, partOf(ctx, axis).axis);
  if (axis.id !== tile.columns.axis || part === 0) return start;
  return add(start, lit(part * boxesOf(tile).columns));
}
