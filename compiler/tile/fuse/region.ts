/** A region of array code as planning sees it: what defines each variable, where, and who reads it. */
import type { Atom, Eqn, OpEqn, Var } from "../../core/ir.ts";
import { bindersOf, freeVars, operandsOf, outsOf, regionsOf } from "../../core/walk.ts";

/** What is known of the variables from around a region. */
export type Outer = {
  readonly isArray: (v: Var) => boolean;
  readonly isInline: (v: Var) => boolean;
  /** Whether a kernel may hold a value and what is made of groups of its neighbours. */
  readonly groups: boolean;
};

export type Region = {
  readonly eqns: readonly Eqn[];
  readonly results: readonly Atom[];
  readonly outer: Outer;
  readonly defs: ReadonlyMap<number, Eqn>;
  readonly consumers: ReadonlyMap<number, readonly Eqn[]>;
};

export function regionOf(eqns: readonly Eqn[], results: readonly Atom[], outer: Outer): Region {
  const defs = new Map<number, Eqn>();
  const consumers = new Map<number, Eqn[]>();
  for (const e of eqns) {
    for (const v of outsOf(e)) defs.set(v.id, e);
    for (const a of readsOf(e)) consumers.set(a.id, [...(consumers.get(a.id) ?? []), e]);
  }
  return { eqns, results, outer, defs, consumers };
}
/** Every variable that an equation reads, inside its regions too, each once. */
export function readsOf(e: Eqn): readonly Var[] {
  const found = new Set<Var>();
  for (const a of operandsOf(e)) if (a.kind === "var") found.add(a);
  const bound = new Set(bindersOf(e).map((v) => v.id));
  for (const region of regionsOf(e)) for (const v of freeVars(region)) if (!bound.has(v.id)) found.add(v);
  const byId = new Map([...found].map((v) => [v.id, v]));
  return [...byId.values()];
}
/** The equation of a value that kernels compute; undefined where a permute, tiles or a loop gives it, or it is from around. */
export const opOf = (r: Region, v: Var): OpEqn | undefined => {
  const e = r.defs.get(v.id);
  return e?.kind === "op" && e.op !== "ppermute" ? e : undefined;
};
