/**
 * `if`: the branch that was taken is run once more, and back. The cotangents of what either branch reads are the results
 * of an `if` on the same condition; the branch that does not read it gives zeros.
 */
import { fresh } from "../build.ts";
import { copyBlock } from "../copy.ts";
import type { Atom, Block, Eqn, IfEqn, Type, Var } from "../ir.ts";
import { unionAxes } from "../typing.ts";
import { freeVars } from "../walk.ts";
import { blockBuilder, type Grad, type Pull, within } from "./context.ts";
import { plainEqn } from "./plain.ts";
import { contribute, isFloatType, isReached, origin, sweep, takeCotangent, widened, zerosOf } from "./transpose.ts";

/** A branch gone back through: its equations, and the parts of cotangents that come out, by variable and varying axes. */
type Back = { readonly eqns: Eqn[]; readonly parts: ReadonlyMap<number, ReadonlyMap<string, Atom>> };

export function linearizeIf(g: Grad, e: IfEqn, active: Set<number>, to: Eqn[]): Pull | undefined {
  const reads = [...freeVars(e.then), ...freeVars(e.else)]
    .filter((v) => active.has(v.id))
    .map((v) => origin(g.aliases, v))
    .filter((a, i, all): a is Var => a.kind === "var" && all.indexOf(a) === i);
  const outs = e.outs.filter((v) => isFloatType(v.type));
  if (reads.length === 0 || outs.length === 0) return undefined;
  plainEqn(g, e, to);
  for (const v of outs) active.add(v.id);
  // Devices that do not take a branch have no part in its sums: all in it varies as the condition does, and is summed outside.
  const apart = (t: Type): Type => ({ ...t, varying: unionAxes(g.typing, t.varying, e.cond.type.varying) });
  return (s) => {
    const cts = e.outs.map((v) => (isReached(s, v) ? takeCotangent(s, v) : undefined));
    if (cts.every((ct) => ct === undefined)) return;
    const back = (branch: Block): Back => {
      const b = blockBuilder(g);
      const through = g.linearize(g, copyBlock(g.ids, branch, new Map(), apart), active);
      b.eqns.push(...through.eqns);
      const inside = sweep(b, g.aliases);
      for (const [i, ct] of cts.entries()) if (ct) contribute(inside, through.results[i]!, ct);
      through.pull(inside);
      return { eqns: b.eqns, parts: inside.pending };
    };
    const then = back(e.then),
      other = back(e.else);
    const found = reads.flatMap((v) => {
      const keys = new Set([...(then.parts.get(v.id)?.keys() ?? []), ...(other.parts.get(v.id)?.keys() ?? [])]);
      return [...keys].map((key) => ({ v, key }));
    });
    if (found.length === 0) return;
    const result = (side: Back, at: (typeof found)[number], type: Type): Atom => {
      const b = { ...blockBuilder(g), eqns: side.eqns };
      const part = side.parts.get(at.v.id)?.get(at.key);
      return part ? widened(b, part, type.varying) : zerosOf(b, type);
    };
    const types = found.map(({ v, key }): Type => {
      const axes = key === "" ? [] : key.split(",");
      return { ...v.type, varying: unionAxes(g.typing, v.type.varying, axes, e.cond.type.varying) };
    });
    const sums = types.map((t) => fresh(g.ids, t));
    s.b.eqns.push({
      ...e,
      outs: sums,
      then: { eqns: then.eqns, results: found.map((at, i) => result(then, at, types[i]!)) },
      else: { eqns: other.eqns, results: found.map((at, i) => result(other, at, types[i]!)) },
    });
    for (const [i, at] of found.entries()) contribute({ ...s, b: within(s.b, e) }, at.v, sums[i]!);
  };
}
