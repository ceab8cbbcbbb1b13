/** What an equation binds, reads and contains: the few facts that every pass over Core needs. */
import type { Atom, Block, Eqn, Program, Route, Var } from "./ir.ts";

/** What the rest of its block sees of an equation. */
export const outsOf = (e: Eqn): readonly Var[] => (e.kind === "op" ? [e.out] : e.outs);

/** The regions inside an equation. */
export function regionsOf(e: Eqn): readonly Block[] {
  switch (e.kind) {
    case "op":
      return [];
    case "if":
      return [e.then, e.else];
    case "fold":
    case "tiles":
    case "vjp":
    case "checkpoint":
      return [e.body];
    case "pullback":
      return [];
    case "rule":
      return [e.primal, e.forward, e.pullback.body];
  }
}

/** What a region of an equation finds bound besides what is around it: steps, elements of indices, carries. */
export function bindersOf(e: Eqn): readonly Var[] {
  switch (e.kind) {
    case "fold":
      return [
        ...(e.over.kind === "steps" ? [e.over.step] : e.over.index.element ? [e.over.index.element] : []),
        ...e.carry,
      ];
    case "tiles":
      return e.indices.flatMap((i) => (i.element ? [i.element] : []));
    case "vjp":
      return e.params;
    case "rule":
      return e.pullback.params;
    default:
      return [];
  }
}

const routeStep = (r: Route): readonly Var[] => (r.kind === "shift" && r.step ? [r.step] : []);

/** The atoms that an equation itself reads, what its regions read left out. */
export function operandsOf(e: Eqn): readonly Atom[] {
  switch (e.kind) {
    case "op":
      return e.op === "ppermute" ? [...e.args, ...routeStep(e.params.route)] : e.args;
    case "fold":
      return e.init;
    case "if":
      return [e.cond];
    case "vjp":
    case "pullback":
    case "rule":
      return e.args;
    case "tiles":
    case "checkpoint":
      return [];
  }
}

/** Calls `f` for every equation of a block, those of inner regions before the equation that holds them. */
export function eachEqn(b: Block, f: (e: Eqn) => void): void {
  for (const e of b.eqns) {
    for (const r of regionsOf(e)) eachEqn(r, f);
    f(e);
  }
}

/** The variables that a block reads and does not bind. */
export function freeVars(b: Block, into: Set<Var> = new Set()): Set<Var> {
  const bound = new Set<number>();
  visitFree(b, bound, into);
  return into;
}
function visitFree(b: Block, bound: Set<number>, into: Set<Var>): void {
  const read = (a: Atom): void => {
    if (a.kind === "var" && !bound.has(a.id)) into.add(a);
  };
  for (const e of b.eqns) {
    for (const a of operandsOf(e)) read(a);
    for (const v of bindersOf(e)) bound.add(v.id);
    for (const r of regionsOf(e)) visitFree(r, bound, into);
    for (const v of outsOf(e)) bound.add(v.id);
  }
  b.results.forEach(read);
}

/** The equation with its own atoms and regions replaced; what it binds stays. */
export function mapEqn(e: Eqn, atom: (a: Atom) => Atom, region: (b: Block) => Block): Eqn {
  switch (e.kind) {
    case "op": {
      const args = e.args.map(atom);
      if (e.op !== "ppermute" || e.params.route.kind === "pairs" || !e.params.route.step) return { ...e, args } as Eqn;
      const by = atom(e.params.route.step);
      const { step: _, perStep = 1, offset, within } = e.params.route;
      const route: Route =
        by.kind === "var"
          ? { ...e.params.route, step: by }
          : { kind: "shift", offset: offset + perStep * by.value, ...(within && { within }) };
      return { ...e, args, params: { ...e.params, route } };
    }
    case "fold":
      return { ...e, init: e.init.map(atom), body: region(e.body) };
    case "if":
      return { ...e, cond: atom(e.cond), then: region(e.then), else: region(e.else) };
    case "tiles":
    case "checkpoint":
      return { ...e, body: region(e.body) };
    case "vjp":
      return { ...e, args: e.args.map(atom), body: region(e.body) };
    case "pullback":
      return { ...e, args: e.args.map(atom) };
    case "rule": {
      const { params, body } = e.pullback;
      const regions = {
        primal: region(e.primal),
        forward: region(e.forward),
        pullback: { params, body: region(body) },
      };
      return { ...e, args: e.args.map(atom), ...regions };
    }
  }
}

/** An id that the program does not use, and neither any after it: tile indices share the ids of variables. */
export function nextId(p: Program): number {
  let top = -1;
  const see = (id: number): void => {
    top = Math.max(top, id);
  };
  for (const { local } of p.inputs) see(local.id);
  eachEqn(p.body, (e) => {
    for (const v of [...outsOf(e), ...bindersOf(e)]) see(v.id);
    if (e.kind === "tiles") for (const i of e.indices) see(i.id);
    if (e.kind === "vjp") see(e.id);
    if (e.kind === "fold" && e.over.kind === "blocks") see(e.over.index.id);
  });
  return top + 1;
}
