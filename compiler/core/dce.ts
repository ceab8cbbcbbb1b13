/** Drops what nobody reads: equations, carries that only feed themselves, and results of regions. */
import type { Atom, Block, Eqn, FoldEqn, Program } from "./ir.ts";
import { operandsOf } from "./walk.ts";

export const dce = (p: Program): Program => ({ ...p, body: prune(p.body, new Set()) });

/** The block without its dead equations; ids that it reads from around it are added to `live`. One backward walk: ANF binds before use. */
function prune(b: Block, live: Set<number>): Block {
  const kept: Eqn[] = [];
  mark(b.results, live);
  for (let i = b.eqns.length - 1; i >= 0; i--) {
    const e = pruneEqn(b.eqns[i]!, live);
    if (e) kept.push(e);
  }
  return { eqns: kept.reverse(), results: b.results };
}
function mark(atoms: readonly Atom[], live: Set<number>): void {
  for (const a of atoms) if (a.kind === "var") live.add(a.id);
}

function pruneEqn(e: Eqn, live: Set<number>): Eqn | undefined {
  if (e.kind === "op") {
    if (!live.has(e.out.id)) return undefined;
    mark(operandsOf(e), live);
    return e;
  }
  const needed = e.outs.map((v) => live.has(v.id));
  if (!needed.includes(true)) return undefined;
  const wanted = <T>(xs: readonly T[]): T[] => xs.filter((_, i) => needed[i]);
  switch (e.kind) {
    case "fold":
      return pruneFold(e, needed, live);
    case "if": {
      mark([e.cond], live);
      const [then, otherwise] = [e.then, e.else].map((b) => prune({ ...b, results: wanted(b.results) }, live)) as [
        Block,
        Block,
      ];
      return { ...e, outs: wanted(e.outs), then, else: otherwise };
    }
    case "tiles": {
      const body = prune({ ...e.body, results: wanted(e.body.results) }, live);
      return { ...e, outs: wanted(e.outs), into: wanted(e.into), body };
    }
  }
}

/** A carry lives if its last value is read, or if a result that lives reads it in the body: grown until nothing is added. */
function pruneFold(e: FoldEqn, needed: readonly boolean[], live: Set<number>): Eqn {
  const alive = [...needed];
  for (;;) {
    const inside = new Set<number>();
    const body = prune({ ...e.body, results: e.body.results.filter((_, i) => alive[i]) }, inside);
    const reborn = e.carry.flatMap((v, i) => (!alive[i] && inside.has(v.id) ? [i] : []));
    for (const i of reborn) alive[i] = true;
    if (reborn.length > 0) continue;
    for (const id of inside) live.add(id);
    const init = e.init.filter((_, i) => alive[i]);
    mark(init, live);
    return { ...e, body, init, carry: e.carry.filter((_, i) => alive[i]), outs: e.outs.filter((_, i) => alive[i]) };
  }
}
