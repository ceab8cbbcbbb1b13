/** What the thread that fetches does: the same loops as those that compute, and in them copies of boxes into free stages. */
import type { Fold, Stmt } from "../../../tile/ir.ts";
import { add, less, lit, mul, ref } from "../../expr.ts";
import type { Expr, LaneStmt } from "../../ir.ts";
import { blocksOf, searchBlock } from "../blocks.ts";
import { type Context, partOf, push, within } from "../context.ts";
import { fetchedAhead } from "../fold.ts";
import { bytesOf, elementsOf } from "../shared.ts";
import { tileOf } from "../stage.ts";
import type { Staged } from "../staged.ts";
import { awaitFree, type Barriers, goRound, openRing, type Ring } from "./rings.ts";
import { boxElements, boxesOf, placeOf } from "./tensors.ts";

/** `tensors`: the numbers of the tiles' maps. */
export function fetching(ctx: Context, barriers: Barriers, tensors: ReadonlyMap<number, number>): readonly LaneStmt[] {
  const rings: LaneStmt[] = [];
  const fetch = (s: Staged, stage: Expr): void => {
    const { tile } = tileOf(ctx, s.value);
    const barrier = { name: barriers.get(s.value.id)!.full, at: stage };
    push(ctx, { kind: "expect", barrier, bytes: elementsOf(tile) * bytesOf(tile.dtype) });
    for (let part = 0; part < boxesOf(tile).count; part++)
      push(ctx, {
        kind: "fetch",
        tensor: tensors.get(s.value.id)!,
        place: placeOf(ctx, s.value, tile, part),
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
    const ring: Ring | undefined = ahead[0] && openRing(ctx, f, ahead[0].tile.stages, (s) => rings.push(s));
    const bounds = blocksOf(ctx, f, axis);
    const first = searchBlock(ctx, axis, bounds, `${axis.name}_first`, bounds.from);
    const body = within(ctx, () => {
      ctx.starts.set(axis.id, ref(first));
      for (const s of inOrder(ctx, ahead)) {
        awaitFree(ctx, barriers, s, ring!);
        fetch(s, ref(ring!.stage));
      }
      walk(f.body, true);
      if (ring) goRound(ctx, ring, false);
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
