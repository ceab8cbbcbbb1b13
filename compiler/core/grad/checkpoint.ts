/**
 * checkpoint(f): forward f itself; backward f once more, from what it reads, and then back through that copy. What lies
 * between is not kept. Barriers keep the copy from being merged with the original.
 *
 *   nothing_saveable      the copy begins with what f reads
 *   dots_saveable         … and takes the results of products from the original
 *   everything_saveable   there is no copy
 */
import { emit } from "../build.ts";
import { copyBlock, renameAtom } from "../copy.ts";
import type { Atom, Block, CheckpointEqn, Eqn, Var } from "../ir.ts";
import { freeVars } from "../walk.ts";
import { alias, type Grad, isActive, type Linear, type Pull } from "./context.ts";
import { plainEqn } from "./plain.ts";
import { contribute, isFloatType, isReached, type Sweep, takeCotangent } from "./transpose.ts";

export function linearizeCheckpoint(g: Grad, e: CheckpointEqn, active: Set<number>, to: Eqn[]): Pull | undefined {
  const reads = [...freeVars(e.body)];
  if (!reads.some((v) => active.has(v.id))) return undefined;
  if (e.policy === "everything_saveable") {
    const through = g.linearize(g, e.body, active);
    to.push(...through.eqns);
    bindOuts(e, through.results, to);
    return markOuts(e, active, (s) => goBack(s, e, through));
  }
  for (const eqn of e.body.eqns) plainEqn(g, eqn, to);
  bindOuts(
    e,
    e.body.results.map((a) => renameAtom(g.names, a)),
    to,
  );
  const saved = new Set(e.policy === "dots_saveable" ? products(e.body) : []);
  return markOuts(e, active, (s) => {
    const barriers: Eqn[] = [];
    const names = new Map<number, Atom>();
    for (const v of reads)
      if (isFloatType(v.type) && v.type.shape.length > 0)
        names.set(v.id, emit({ ...s.b, eqns: barriers }, "optimization_barrier", { id: g.ids.next++ }, v));
    const copy = copyBlock(g.ids, e.body, names);
    const through = g.linearize(g, { ...copy, eqns: [...barriers, ...copy.eqns] }, active);
    s.b.eqns.push(...withSaved(e.body, copy, through.eqns, saved));
    goBack(s, e, through);
  });
}
const bindOuts = (e: CheckpointEqn, results: readonly Atom[], to: Eqn[]): void => {
  for (const [i, out] of e.outs.entries()) to.push(alias(out, results[i]!));
};
function markOuts(e: CheckpointEqn, active: Set<number>, pull: Pull): Pull {
  const floats = e.outs.filter((v) => isFloatType(v.type));
  for (const v of floats) active.add(v.id);
  return (s) => {
    if (floats.some((v) => isReached(s, v))) pull(s);
  };
}
/** From the cotangents of the checkpoint's results back through its body. */
function goBack(s: Sweep, e: CheckpointEqn, through: Linear): void {
  for (const [i, out] of e.outs.entries()) {
    const ct = takeCotangent(s, out);
    if (ct && isActive(through.active, through.results[i]!)) contribute(s, through.results[i]!, ct);
  }
  through.pull(s);
}

const products = (b: Block): readonly number[] =>
  b.eqns.flatMap((e) => (e.kind === "op" && e.op === "einsum" ? [e.out.id] : []));
/** The copy's equations, with the original's value where it was kept. */
function withSaved(original: Block, copy: Block, eqns: readonly Eqn[], saved: ReadonlySet<number>): readonly Eqn[] {
  if (saved.size === 0) return eqns;
  const kept = new Map<number, Var>();
  for (const [i, e] of original.eqns.entries()) {
    const twin = copy.eqns[i]!;
    if (e.kind === "op" && twin.kind === "op" && saved.has(e.out.id)) kept.set(twin.out.id, e.out);
  }
  return eqns.map((e) => {
    const value = e.kind === "op" ? kept.get(e.out.id) : undefined;
    return e.kind === "op" && value ? alias(e.out, value) : e;
  });
}
