/** Regions that only derivatives need, where there is none: a function with a rule is the function, checkpoint(f) is f. */
import { renameAtom, renameEqn } from "../copy.ts";
import type { Block, Eqn, Var } from "../ir.ts";
import { mapEqn } from "../walk.ts";
import { bindOut, type Grad } from "./context.ts";

export function plainBlock(g: Grad, b: Block): Block {
  const eqns: Eqn[] = [];
  for (const e of b.eqns) plainEqn(g, e, eqns);
  return { eqns, results: b.results.map((a) => renameAtom(g.names, a)) };
}
/** The equation, or the function's own equations in its place. */
export function plainEqn(g: Grad, old: Eqn, to: Eqn[]): void {
  const e = renameEqn(g.names, old);
  if (e.kind === "rule") inline(g, e.primal, e.outs, to);
  else if (e.kind === "checkpoint") inline(g, e.body, e.outs, to);
  else
    to.push(
      mapEqn(
        e,
        (a) => a,
        (b) => plainBlock(g, b),
      ),
    );
}
function inline(g: Grad, b: Block, outs: readonly Var[], to: Eqn[]): void {
  for (const e of b.eqns) plainEqn(g, e, to);
  for (const [i, out] of outs.entries()) bindOut(g, to, out, b.results[i]!);
}
