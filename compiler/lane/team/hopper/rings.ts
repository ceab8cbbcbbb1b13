/**
 * Who waits for whom. A tile of a loop has a ring of stages, each with two barriers: `full` when its bytes are there, `free`
 * when all warps are done with them. Which stage is next, and how often the ring has gone round, both sides count by
 * themselves. A tile outside of loops is filled once.
 */
import { lit, op, ref } from "../../expr.ts";
import type { Barrier, Expr, LaneStmt } from "../../ir.ts";
import { type Context, push } from "../context.ts";
import { elementsOf } from "../shared.ts";
import { tileOf } from "../stage.ts";
import type { Staged } from "../staged.ts";

/** The barriers of tiles, by the values that they hold. */
export type Barriers = ReadonlyMap<number, { readonly full: string; readonly free: string | undefined }>;

/** Names of variables: the stage of the block at hand and the parity of its phase; where asked for, those of the block before. */
export type Ring = {
  readonly stages: number;
  readonly stage: string;
  readonly phase: string;
  readonly before?: { readonly stage: string; readonly phase: string };
};

/** A ring's variables, which outlive all loops: `top` has them. `before`: whether the block before is asked for. */
export function openRing(ctx: Context, s: Staged, hint: string, before: boolean, top: LaneStmt[]): Ring {
  const counter = (what: string): string => {
    const name = ctx.fresh(`${hint}_${what}`);
    top.push({ kind: "var", name, type: "i32", width: 1, value: lit(0), counts: true });
    return name;
  };
  const ring = { stages: s.tile.stages, stage: counter("stage"), phase: counter("phase") };
  return before ? { ...ring, before: { stage: counter("stage_before"), phase: counter("phase_before") } } : ring;
}

/** The next block takes the next stage. */
export function goRound(ctx: Context, r: Ring): void {
  const set = (name: string, value: Expr): void => push(ctx, { kind: "set", name, value });
  if (r.before) {
    set(r.before.stage, ref(r.stage));
    set(r.before.phase, ref(r.phase));
  }
  const last = op("eq", [ref(r.stage), lit(r.stages - 1)], "bool");
  set(r.phase, op("xor", [ref(r.phase), op("select", [last, lit(1), lit(0)], "i32")], "i32"));
  set(r.stage, op("select", [last, lit(0), op("add", [ref(r.stage), lit(1)], "i32")], "i32"));
}

const at = (name: string, which: Expr): Barrier => ({ name, at: which });

export function awaitFull(ctx: Context, b: Barriers, s: Staged, stage: Expr, phase: Expr): void {
  push(ctx, { kind: "await", barrier: at(b.get(s.value.id)!.full, stage), parity: phase });
}
export function release(ctx: Context, b: Barriers, s: Staged, stage: Expr): void {
  push(ctx, { kind: "release", barrier: at(b.get(s.value.id)!.free!, stage) });
}
/** Until a stage is free: at first all are, as if a phase before the first had ended. */
export function awaitFree(ctx: Context, b: Barriers, s: Staged, r: Ring): void {
  const parity = op("xor", [ref(r.phase), lit(1)], "i32");
  push(ctx, { kind: "await", barrier: at(b.get(s.value.id)!.free!, ref(r.stage)), parity });
}

/** The tile at hand is that of a stage. */
export function useStage(ctx: Context, s: Staged, stage: Expr): void {
  const { tile } = tileOf(ctx, s.value);
  const base = op("mul", [stage, lit(elementsOf(tile))], "i32");
  ctx.tiles.set(s.value.id, { tile, base });
}
