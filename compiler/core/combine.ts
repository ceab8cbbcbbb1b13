/**
 * Small sums over the same devices become one: what goes round a ring costs as much for its steps as for its bytes.
 *
 *   a' = psum a                 ab = concat (flat a) (flat b)
 *   b' = psum b        →        s = psum ab
 *                               a' = s[0 ..], b' = s[n ..], in their shapes
 *
 * A sum waits until something reads it, or one that it waits with.
 */
import { dimMul, dimNumber } from "../base/dim.ts";
import { type Builder, builder, emit, type Ids } from "./build.ts";
import type { Block, Eqn, OpEqn, Program } from "./ir.ts";
import { freeVars, mapEqn, nextId } from "./walk.ts";

/** Elements of a sum that waits for others, and of what they come to together. */
const small = 1 << 16;
const full = 1 << 20;

export function combine(p: Program): Program {
  return { ...p, body: combineBlock({ mesh: p.mesh, ids: { next: nextId(p) } }, p.body) };
}
type Combining = { readonly mesh: Program["mesh"]; readonly ids: Ids };
type Sum = OpEqn<"psum">;
type Waiting = Map<string, Sum[]>;

function combineBlock(c: Combining, b: Block): Block {
  const to = builder({ axes: c.mesh.axes }, c.ids);
  const waiting: Waiting = new Map();
  const flush = (key: string): void => {
    emitSums(to, waiting.get(key) ?? []);
    waiting.delete(key);
  };
  for (const old of b.eqns) {
    const e = mapEqn(
      old,
      (a) => a,
      (region) => combineBlock(c, region),
    );
    const reads = freeVars({ eqns: [e], results: [] });
    for (const [key, sums] of [...waiting]) if (sums.some((s) => reads.has(s.out))) flush(key);
    const key = e.kind === "op" && e.op === "psum" && sizeOf(e) <= small ? keyOf(e) : undefined;
    if (key === undefined) {
      to.eqns.push(e);
      continue;
    }
    const group = waiting.get(key) ?? [];
    if (group.reduce((n, s) => n + sizeOf(s), sizeOf(e as Sum)) > full) flush(key);
    waiting.set(key, [...(waiting.get(key) ?? []), e as Sum]);
  }
  for (const key of [...waiting.keys()]) flush(key);
  return { eqns: to.eqns, results: b.results };
}
const sizeOf = (e: Sum): number => dimNumber(e.args[0]!.type.shape.reduce(dimMul, 1)) ?? Number.POSITIVE_INFINITY;
/** Sums of one kind: over the same axes, of values that vary alike. */
const keyOf = ({ params, args }: Sum): string =>
  [args[0]!.type.dtype, params.axes.join(), args[0]!.type.varying.join()].join(" ");

function emitSums(b: Builder, sums: readonly Sum[]): void {
  if (sums.length < 2) {
    b.eqns.push(...sums);
    return;
  }
  const flat = sums.map((s) => emit(b, "reshape", { shape: [sizeOf(s)] }, s.args[0]!));
  const total = emit(b, "psum", sums[0]!.params, emit(b, "concat", { dim: 0 }, ...flat));
  let start = 0;
  for (const { out } of sums) {
    const size = dimNumber(out.type.shape.reduce(dimMul, 1))!;
    const part = emit(b, "index", { selectors: [{ kind: "slice", start, size }] }, total);
    start += size;
    const reshaped: Eqn = { kind: "op", op: "reshape", params: { shape: out.type.shape }, args: [part], out };
    b.eqns.push(reshaped);
  }
}
