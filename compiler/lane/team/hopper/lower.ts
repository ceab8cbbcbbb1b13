/**
 * Tile -> Lane for warpgroups of Hopper GPUs (sm_90a): the last warpgroup fetches tiles for the others (TMA), which multiply
 * (wgmma) and compute. Layouts, reductions and results are those of every team; only how tiles come, how products are
 * made, and in which order, is Hopper's.
 */
import { lit } from "../../expr.ts";
import type { LaneProgram, LaneStmt, TensorMap } from "../../ir.ts";
import { type Context, within } from "../context.ts";
import { lowerBody } from "../fold.ts";
import { begin, boundNotes, lowerStores, placeTeam, signature } from "../lower.ts";
import type { Plan } from "../plan.ts";
import { depths } from "../roles.ts";
import { elementsOf } from "../shared.ts";
import { computing } from "./computing.ts";
import { fetching } from "./fetching.ts";
import { shares, WARPGROUP } from "./plan.ts";
import type { Barriers } from "./rings.ts";
import { mapOf } from "./tensors.ts";

/** Bytes at whose multiples exchanges of pieces begin again. */
const ALIGNED = 1024;

export function lowerWarpgroups(plan: Plan): LaneProgram {
  const { kernel } = plan;
  const threads = plan.warps * 32;
  const opened: LaneStmt[] = [];
  const rings: LaneStmt[] = [];
  const barriers = new Map<number, { readonly full: string; readonly free: string | undefined }>();
  const { names, scalars, ctx } = begin(plan, computing(barriers, rings));
  const { tensors, numbers } = openTiles(ctx, barriers, opened, names);
  const place = within(ctx, () => placeTeam(ctx));
  const fetch: Context = { ...ctx, top: [], out: [], held: new Map(), starts: new Map(ctx.starts), numbers: new Map() };
  const fetched = fetching(fetch, barriers, numbers);
  lowerBody(ctx, kernel.body);
  lowerStores(ctx);
  const isShared = (s: LaneStmt): boolean => s.kind === "shared";
  const { fetching: few, computing: many, resident } = shares[threads / WARPGROUP]!;
  return {
    ...signature(plan, names, scalars),
    tensors,
    threads: threads + WARPGROUP,
    resident,
    body: [
      ...opened,
      ...ctx.top.filter(isShared),
      ...place,
      {
        kind: "roles",
        fetching: fetched,
        computing: amongThem(threads, [...ctx.top.filter((s) => !isShared(s)), ...rings, ...ctx.out]),
        registers: { fetching: few, computing: many },
      },
    ],
    notes: [
      `${threads === WARPGROUP ? "a warpgroup computes" : `${threads / WARPGROUP} warpgroups compute`} (wgmma), and one thread fetches (TMA)`,
      ...plan.notes,
      ...boundNotes(plan),
    ],
  };
}

/** Opens the tiles, their barriers and their maps. */
function openTiles(
  ctx: Context,
  barriers: Map<number, Barriers extends ReadonlyMap<number, infer B> ? B : never>,
  opened: LaneStmt[],
  names: readonly string[],
): { readonly tensors: readonly TensorMap[]; readonly numbers: ReadonlyMap<number, number> } {
  const around = depths(ctx.kernel);
  const tensors: TensorMap[] = [];
  const numbers = new Map<number, number>();
  for (const s of ctx.plan.staged.values()) {
    const { id } = s.value;
    const { stages, dtype } = s.tile;
    const name = ctx.fresh(`${s.tile.name}_tile`);
    const inLoop = (around.get(id)?.length ?? 0) > 0;
    const count = inLoop ? stages : 1;
    opened.push({ kind: "shared", name, dtype, width: 1, size: elementsOf(s.tile) * count, aligned: ALIGNED });
    ctx.tiles.set(id, { tile: { ...s.tile, name }, base: lit(0) });
    const full = ctx.fresh(`${s.tile.name}_full`);
    const free = inLoop ? ctx.fresh(`${s.tile.name}_free`) : undefined;
    barriers.set(id, { full, free });
    const map = mapOf(ctx.kernel, ctx.dealt, s);
    const key = JSON.stringify(map);
    const known = tensors.findIndex(({ name: _, ...m }) => JSON.stringify(m) === key);
    if (known < 0) tensors.push({ ...map, name: ctx.fresh(`${names[map.buffer]}_boxes`) });
    numbers.set(id, known < 0 ? tensors.length - 1 : known);
  }
  // After the tiles, which begin at large multiples.
  for (const s of ctx.plan.staged.values()) {
    const { full, free } = barriers.get(s.value.id)!;
    opened.push({ kind: "mbarriers", name: full, count: free ? s.tile.stages : 1, arrivals: 1 });
    if (free) opened.push({ kind: "mbarriers", name: free, count: s.tile.stages, arrivals: ctx.plan.warps });
  }
  return { tensors, numbers };
}

/** Barriers of the threads that compute, without the one that fetches. */
function amongThem(threads: number, body: readonly LaneStmt[]): readonly LaneStmt[] {
  return body.map((s): LaneStmt => {
    switch (s.kind) {
      case "barrier":
        return { kind: "barrier", threads };
      case "for":
      case "while":
        return { ...s, body: amongThem(threads, s.body) };
      case "if":
        return { ...s, then: amongThem(threads, s.then), else: amongThem(threads, s.else) };
      default:
        return s;
    }
  });
}
