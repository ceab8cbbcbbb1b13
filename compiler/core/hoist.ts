/**
 * Moves work that is the same in every step out of loops over time.
 *
 * What moves: scalars, and what costs more than a pass over memory (products, reductions, tiles, collectives), with
 * whatever those need. Other elementwise work stays: it costs nothing once it is fused with what reads it, and outside
 * it would have to be kept in memory. Loops inside tiles stay as they are.
 */
import type { Block, Eqn, Op, Program } from "./ir.ts";
import { isCollective } from "./meaning.ts";
import { bindersOf, freeVars, mapEqn, outsOf } from "./walk.ts";

export const hoist = (p: Program): Program => ({ ...p, body: hoistBlock(p.body) });

function hoistBlock(b: Block): Block {
  const eqns = b.eqns.flatMap((old): readonly Eqn[] => {
    if (old.kind === "op" || old.kind === "tiles") return [old];
    const e = mapEqn(old, (a) => a, hoistBlock);
    if (e.kind !== "fold") return [e];
    const [out, body] = invariant(e.body, new Set(bindersOf(e).map((v) => v.id)));
    return [...out, { ...e, body }];
  });
  return { ...b, eqns };
}

const heavy: ReadonlySet<Op> = new Set<Op>(["einsum", "reduce", "argmax", "cumsum"]);
const worthMoving = (e: Eqn): boolean =>
  e.kind !== "op" || heavy.has(e.op) || isCollective(e.op) || e.out.type.shape.length === 0;

/** The equations of a loop's body that move out of it, and the body without them. */
function invariant(b: Block, bound: Set<number>): [readonly Eqn[], Block] {
  const varies = new Set(bound);
  const same: Eqn[] = [];
  for (const e of b.eqns) {
    const reads = freeVars({ eqns: [e], results: [] });
    if ([...reads].some((v) => varies.has(v.id))) for (const v of outsOf(e)) varies.add(v.id);
    else same.push(e);
  }
  const moves = new Set<Eqn>();
  const needed = new Set<number>();
  for (const e of same.reverse()) {
    if (!worthMoving(e) && !outsOf(e).some((v) => needed.has(v.id))) continue;
    moves.add(e);
    for (const v of freeVars({ eqns: [e], results: [] })) needed.add(v.id);
  }
  return [b.eqns.filter((e) => moves.has(e)), { ...b, eqns: b.eqns.filter((e) => !moves.has(e)) }];
}
