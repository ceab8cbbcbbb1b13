/**
 * What could pass beside a collective of a block: kernels that neither feed it nor wait for it. In the body of a loop, all
 * kernels of a step can pass beside a gather that the next step needs, where what is gathered hangs on the step alone.
 */
import { dimNumber } from "../../base/dim.ts";
import type { Machine } from "../../base/machine.ts";
import { bytesOf, secondsOf } from "../cost.ts";
import type { Block, Eqn, FoldEqn, Mesh, OpEqn, Var } from "../ir.ts";
import { isCollective } from "../meaning.ts";
import { ringSize } from "../mesh-layout.ts";
import { freeVars, outsOf } from "../walk.ts";
import { bestWay } from "./ways.ts";

/** A collective that other work can pass beside. */
export type Movable = OpEqn<"all_gather"> | OpEqn<"psum_scatter">;
export const isMovable = (e: Eqn): e is Movable =>
  e.kind === "op" && (e.op === "all_gather" || e.op === "psum_scatter");

/**
 * `saves`: seconds against a loop that everything waits for. `next`: the equations that make what is gathered, where it is
 * gathered a step ahead.
 */
export type Gain = { readonly saves: number; readonly next?: readonly OpEqn[] };

/** What is gained by each collective of a block in which others of it run meanwhile; nothing where the ring has one device. */
export function gainsOf(m: Machine, mesh: Mesh, b: Block, loop?: FoldEqn): (e: Movable) => Gain {
  const defs = new Map<number, Eqn>();
  const readers = new Map<Eqn, Eqn[]>();
  const reads = new Map<Eqn, readonly Eqn[]>();
  for (const e of b.eqns) {
    const from = [...freeVars({ eqns: [e], results: [] })].flatMap((v) => defs.get(v.id) ?? []);
    reads.set(e, from);
    for (const d of from) readers.set(d, [...(readers.get(d) ?? []), e]);
    for (const v of outsOf(e)) defs.set(v.id, e);
  }
  const seconds = new Map(b.eqns.map((e) => [e, secondsOf(m, e)]));
  const all = [...seconds.values()].reduce((a, x) => a + x, 0);
  const along = (e: Eqn, next: ReadonlyMap<Eqn, readonly Eqn[]>): number => {
    const seen = new Set<Eqn>([e]);
    for (const x of seen) for (const y of next.get(x) ?? []) seen.add(y);
    return [...seen].reduce((sum, x) => sum + seconds.get(x)!, 0);
  };
  let left = all;
  return (e) => {
    const { axes } = e.params;
    const n = ringSize(mesh, axes);
    if (n === 1) return { saves: 0 };
    const gather = e.op === "all_gather";
    const kind = gather ? "gather" : "scatter";
    const part = bytesOf(e.args[0]!.type) / (gather ? 1 : n);
    const waited = bestWay(m, mesh, kind, axes, part).seconds;
    const ahead = bestWay(m, mesh, kind, axes, part, true);
    const worth = (beside: number): number =>
      waited - ahead.seconds + Math.min(ahead.seconds - ahead.kernels, beside, left);
    const here = worth(all - along(e, readers) - along(e, reads));
    const next = gather && loop ? ofStep(e, loop, defs) : undefined;
    const there = next ? worth(all) : 0;
    // Gathered ahead, it takes memory for two steps.
    const chosen = next && there > 1.05 * here ? { saves: there, next } : { saves: here };
    left -= Math.max(0, Math.min(left, chosen.saves - waited + ahead.seconds));
    return chosen;
  };
}

/** What makes the operand of a gather, where that hangs on the step of the loop and on what is around it only. */
function ofStep(e: Movable, loop: FoldEqn, defs: ReadonlyMap<number, Eqn>): readonly OpEqn[] | undefined {
  if (loop.over.kind !== "steps" || (dimNumber(loop.over.count) ?? 0) < 2) return undefined;
  const carried = new Set(loop.carry.map((v) => v.id));
  const found: OpEqn[] = [];
  const visit = (v: Var): boolean => {
    if (carried.has(v.id)) return false;
    const d = defs.get(v.id);
    if (!d || found.includes(d as OpEqn)) return true;
    if (d.kind !== "op" || isCollective(d.op) || d.op === "einsum" || found.length > 12) return false;
    const fine = d.args.every((a) => a.kind === "lit" || visit(a));
    if (fine) found.push(d);
    return fine;
  };
  const x = e.args[0]!;
  return x.kind === "var" && visit(x) ? found : undefined;
}
