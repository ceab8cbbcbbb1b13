/** Tile -> Lane for teams: writes what the threads of a workgroup do together, as planned. */

import { unionOf } from "../../tile/build.ts";
import type { Store } from "../../tile/ir.ts";
import { lit, mul, op, ref, unrounded } from "../expr.ts";
import { buffersInFours } from "../fours.ts";
import type { Expr, LaneProgram } from "../ir.ts";
import { unevenAxes } from "../order.ts";
import { namer } from "../scope.ts";
import { allExist, type Context, partOf, push, type Ways, within } from "./context.ts";
import { layoutOf, wide } from "./dealt.ts";
import { lowerBody, overBlocks } from "./fold.ts";
import { nestByFours, seenInFours, widthOf } from "./fours.ts";
import { withoutIdleBarriers } from "./idle.ts";
import { dealtOf, type Plan } from "./plan.ts";
import { multiply } from "./product.ts";
import { onlyFirst, prepare } from "./registers.ts";
import { openTile, stage } from "./stage.ts";
import { evaluate, offsetIn } from "./value.ts";

/** The plain ways: mma.sync, copies that threads start themselves, barriers of all. */
const plain: Ways = { multiply, stage, overBlocks };

export function lowerPlan(plan: Plan): LaneProgram {
  const { kernel } = plan;
  const { names, scalars, ctx } = begin(plan, plain);
  for (const s of plan.staged.values()) openTile(ctx, s);
  placeTeam(ctx);
  lowerBody(ctx, kernel.body);
  lowerStores(ctx);
  const body = withoutIdleBarriers([...ctx.top, ...ctx.out], kernel);
  const fours = plan.pattern === "blocks" ? buffersInFours(body) : new Set<number>();
  const { buffers, ...rest } = signature(plan, names, scalars);
  return {
    ...rest,
    buffers: buffers.map((b, k) => ({ ...b, vector: fours.has(k) })),
    threads: plan.warps * 32,
    ...(plan.pattern === "matrices" ? { mixed: true as const } : ctx.shuffles ? { seated: true as const } : {}),
    // Else ptxas may spill for more teams on a processor than shared memory has room for.
    ...(plan.pattern === "matrices" && plan.products.size > 0 ? { resident: 1 } : {}),
    body,
    notes: [...plan.notes, ...boundNotes(plan)],
  };
}

/** Names for what a kernel takes, and nothing written yet. */
export function begin(plan: Plan, ways: Ways) {
  const { kernel } = plan;
  const fresh = namer();
  const names = kernel.buffers.map((b) => fresh(b.name));
  const scalars = kernel.scalars.map((s) => ({
    ...s,
    name: fresh(s.kind === "axis_index" ? `index_${s.axes.join("_")}` : "step"),
  }));
  const ctx: Context = {
    ways,
    plan,
    dealt: dealtOf(plan),
    kernel,
    fresh,
    top: [],
    out: [],
    held: new Map(),
    tiles: new Map(),
    starts: new Map(),
    steps: new Map(),
    full: new Map(),
    scalars: scalars.map((s) => s.name),
    numbers: new Map(),
    meetings: new Map(),
    read: new Set(),
    shuffles: false,
    pending: false,
  };
  return { names, scalars, ctx };
}
export const signature = (plan: Plan, names: readonly string[], scalars: LaneProgram["scalars"]) => ({
  name: plan.kernel.name,
  buffers: plan.kernel.buffers.map((b, k) => ({
    name: names[k]!,
    dtype: b.dtype,
    shape: b.shape,
    access: b.access === "read" ? ("read" as const) : ("read_write" as const),
    vector: false,
  })),
  scalars,
  groups: plan.groups,
});
export function lowerStores(ctx: Context): void {
  const { buffers, stores } = ctx.kernel;
  // A thread may write over what another has read.
  if (buffers.some((b) => b.access === "update")) push(ctx, { kind: "barrier" });
  for (const s of stores) lowerStore(ctx, s);
}
export const boundNotes = (plan: Plan): readonly string[] =>
  plan.kernel.body.flatMap(function notes(s): readonly string[] {
    return s.kind === "fold" ? [...(s.bounds?.notes ?? []), ...s.body.flatMap(notes)] : [];
  });

/** Names the team's block along each grid axis, the last fastest. */
export function placeTeam(ctx: Context): void {
  const { grid } = ctx.kernel;
  let below = 1;
  const { groups } = ctx.plan;
  const uneven = unevenAxes(ctx.kernel, (a) => partOf(ctx, a).block);
  for (const axis of [...grid].reverse()) {
    const { block } = partOf(ctx, axis);
    const count = Math.ceil(axis.extent / block);
    if (count === 1) {
      ctx.starts.set(axis.id, lit(0));
      continue;
    }
    const shifted = below === 1 ? ref("group") : op("div", [ref("group"), lit(below)], "i32");
    const place: Expr = below * count === groups ? shifted : op("mod", [shifted, lit(count)], "i32");
    const turned = uneven.get(axis.id) === "last";
    const tile = turned ? op("sub", [lit(count - 1), place], "i32") : place;
    const name = ctx.fresh(block === 1 ? axis.name : `${axis.name}_first`);
    push(ctx, { kind: "let", name, value: mul(tile, lit(block)) });
    ctx.starts.set(axis.id, ref(name));
    below *= count;
  }
}

/** Writes one result, by the first of the threads that hold an element; neighbours at once where they are together. */
function lowerStore(ctx: Context, s: Store): void {
  const axes = unionOf(...[...s.index, s.value].map((v) => v.axes));
  const layout = layoutOf(ctx.dealt, axes);
  for (const v of [...s.index, s.value]) prepare(ctx, v, layout);
  const all = wide(ctx.dealt, axes);
  const width = seenInFours(ctx, s.buffer) ? widthOf(ctx, s) : 1;
  onlyFirst(ctx, layout, () =>
    nestByFours(
      ctx,
      layout,
      [...s.index, s.value],
      (at, others) => {
        const write = (): void => {
          const { dtype } = ctx.kernel.buffers[s.buffer]!;
          const args = [at, ...others].map((here) => unrounded(evaluate(ctx, s.value, here), dtype));
          const value: Expr = width === 1 ? args[0]! : { kind: "vec", args, type: args[0]!.type, width };
          push(ctx, { kind: "store", buffer: s.buffer, index: offsetIn(ctx, s.buffer, s.index, false, at), value });
        };
        const guard = allExist(ctx, at, all);
        if (guard) push(ctx, { kind: "if", cond: guard, then: within(ctx, write), else: [] });
        else write();
      },
      width,
    ),
  );
}
