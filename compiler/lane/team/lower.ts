/** Tile -> Lane for teams: writes what the threads of a workgroup do together, as planned. */

import { unionOf } from "../../tile/build.ts";
import type { Store } from "../../tile/ir.ts";
import { lit, mul, op, ref } from "../expr.ts";
import type { Expr, LaneProgram } from "../ir.ts";
import { unevenAxes } from "../order.ts";
import { namer } from "../scope.ts";
import { type At, allExist, type Context, nest, partOf, push, within } from "./context.ts";
import { layoutOf, wide } from "./dealt.ts";
import { lowerBody } from "./fold.ts";
import type { Layout } from "./layout.ts";
import { dealtOf, type Plan } from "./plan.ts";
import { onlyFirst, prepare } from "./registers.ts";
import { openTile } from "./stage.ts";
import { evaluate, offsetIn } from "./value.ts";

export function lowerPlan(plan: Plan): LaneProgram {
  const { kernel } = plan;
  const fresh = namer();
  const names = kernel.buffers.map((b) => fresh(b.name));
  const scalars = kernel.scalars.map((s) => ({
    ...s,
    name: fresh(s.kind === "axis_index" ? `index_${s.axes.join("_")}` : "step"),
  }));
  const ctx: Context = {
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
    pending: false,
  };
  for (const s of plan.staged.values()) openTile(ctx, s);
  placeTeam(ctx);
  lowerBody(ctx, kernel.body);
  // A thread may write over what another has read.
  if (kernel.buffers.some((b) => b.access === "update")) push(ctx, { kind: "barrier" });
  for (const s of kernel.stores) lowerStore(ctx, s);
  return {
    name: kernel.name,
    buffers: kernel.buffers.map((b, k) => ({
      name: names[k]!,
      dtype: b.dtype,
      shape: b.shape,
      access: b.access === "read" ? "read" : "read_write",
      vector: false,
    })),
    scalars,
    threads: plan.warps * 32,
    groups: plan.groups,
    body: [...ctx.top, ...ctx.out],
    notes: [...plan.notes, ...boundNotes(plan)],
  };
}
const boundNotes = (plan: Plan): readonly string[] =>
  plan.kernel.body.flatMap(function notes(s): readonly string[] {
    return s.kind === "fold" ? [...(s.bounds?.notes ?? []), ...s.body.flatMap(notes)] : [];
  });

/** Names the team's block along each grid axis, the last fastest. */
function placeTeam(ctx: Context): void {
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

/** Writes one result, by the first of the threads that hold an element; two neighbours at once where they are together. */
function lowerStore(ctx: Context, s: Store): void {
  const axes = unionOf(...[...s.index, s.value].map((v) => v.axes));
  const layout = layoutOf(ctx.dealt, axes);
  for (const v of [...s.index, s.value]) prepare(ctx, v, layout);
  const all = wide(ctx.dealt, axes);
  const together = inPairs(ctx, s, layout);
  onlyFirst(ctx, layout, () =>
    nest(
      ctx,
      layout,
      (at) => {
        const one = (bit: number): Expr => evaluate(ctx, s.value, together ? withBit(at, bit) : at);
        const first = together ? withBit(at, 0) : at;
        const write = (): void => {
          const low = one(0);
          const value: Expr = together ? { kind: "vec", args: [low, one(1)], type: low.type, width: 2 } : low;
          push(ctx, { kind: "store", buffer: s.buffer, index: offsetIn(ctx, s.buffer, s.index, false, first), value });
        };
        const guard = allExist(ctx, first, all);
        if (guard) push(ctx, { kind: "if", cond: guard, then: within(ctx, write), else: [] });
        else write();
      },
      together ? 1 : 0,
    ),
  );
}
const withBit = (at: At, bit: number): At => ({ ...at, digits: [lit(bit), ...at.digits.slice(1)], memo: new Map() });
/** Whether a thread's two registers of the fastest digit go to neighbouring elements, the first at an even place. */
function inPairs(ctx: Context, s: Store, layout: Layout): boolean {
  const digit = layout.registers[0];
  const last = s.index.at(-1)?.def;
  if (digit?.stride !== 1 || digit.count !== 2 || last?.kind !== "pos" || last.axis.id !== digit.axis) return false;
  const part = partOf(ctx, last.axis);
  const alone = s.index.slice(0, -1).every((i) => !i.axes.some((a) => a.id === digit.axis));
  const even =
    ctx.kernel.buffers[s.buffer]!.shape.at(-1)! % 2 === 0 && part.block % 2 === 0 && last.axis.extent % 2 === 0;
  return alone && even && ctx.kernel.buffers[s.buffer]!.dtype !== "bool";
}
