/** Whether derivatives could flow from a variable to a block's results: along floats, through every kind of region. */
import type { Atom, Block, Eqn, Var } from "../ir.ts";
import { bindersOf, freeVars, outsOf, regionsOf } from "../walk.ts";
import { rules } from "./rules.ts";
import { isFloatType } from "./transpose.ts";

export function reaches(b: Block, from: Var): boolean {
  const flows = new Set([from.id]);
  visit(b, flows);
  return carries(b, flows);
}
const has = (flows: ReadonlySet<number>, a: Atom): boolean => a.kind === "var" && flows.has(a.id);
const carries = (b: Block, flows: ReadonlySet<number>): boolean => b.results.some((a) => has(flows, a));

function visit(b: Block, flows: Set<number>): void {
  for (const e of b.eqns) if (passes(e, flows)) for (const v of outsOf(e)) if (isFloatType(v.type)) flows.add(v.id);
}
/** Marks what flows inside an equation; whether anything comes out. Which of several results it is in is not told apart. */
function passes(e: Eqn, flows: Set<number>): boolean {
  if (e.kind === "op") return rules[e.op] !== null && e.args.some((a) => has(flows, a));
  if (![...freeVars({ eqns: [e], results: [] })].some((v) => flows.has(v.id))) return false;
  if (e.kind === "pullback" || e.kind === "rule") return true;
  if (e.kind === "fold" || e.kind === "vjp") for (const v of bindersOf(e)) if (isFloatType(v.type)) flows.add(v.id);
  const regions = regionsOf(e);
  for (const r of regions) visit(r, flows);
  return regions.some((r) => carries(r, flows));
}
