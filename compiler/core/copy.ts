/** Regions moved and copied: variables replaced, and copies of which every variable is new. */
import { type Dim, dimAtoms, dimVar, substituteDim } from "../base/dim.ts";
import type { Ids } from "./build.ts";
import type { Atom, Block, DerivativeEqn, Eqn, FoldEqn, Index, OpEqn, Type, Var } from "./ir.ts";
import { mapEqn } from "./walk.ts";

/** What stands for variables, by id. */
export type Names = Map<number, Atom>;

const lookUp = (names: ReadonlyMap<number, Atom>, a: Atom): Atom => {
  let at = a;
  for (;;) {
    const to: Atom | undefined = at.kind === "var" ? names.get(at.id) : undefined;
    if (!to) return at;
    at = to;
  }
};
export const renameAtom = lookUp;
/** The equation with other atoms in the place of variables, in its regions too. */
export function renameEqn(names: ReadonlyMap<number, Atom>, e: Eqn): Eqn {
  if (names.size === 0) return e;
  return mapEqn(
    e,
    (a) => lookUp(names, a),
    (b) => renameBlock(names, b),
  );
}
export const renameBlock = (names: ReadonlyMap<number, Atom>, b: Block): Block => ({
  eqns: b.eqns.map((e) => renameEqn(names, e)),
  results: b.results.map((a) => lookUp(names, a)),
});

/** A copy under way: new variables for those that the region binds, and new tile indices with block sizes of their own. */
type Copying = {
  readonly ids: Ids;
  readonly names: Names;
  readonly indices: Map<number, Index>;
  readonly sizes: Map<string, Dim>;
  readonly vjps: Map<number, number>;
  readonly retyped: (t: Type) => Type;
};

/**
 * A copy of a block that may stand beside it. `names` says what stands for variables of the block's surroundings,
 * `retyped` the types of the copy's variables (which may vary over more axes than they must).
 */
export function copyBlock(
  ids: Ids,
  b: Block,
  names: ReadonlyMap<number, Atom> = new Map(),
  retyped: (t: Type) => Type = (t) => t,
): Block {
  return block({ ids, names: new Map(names), indices: new Map(), sizes: new Map(), vjps: new Map(), retyped }, b);
}

const dim = (c: Copying, d: Dim): Dim =>
  c.sizes.size === 0 || typeof d === "number" || !dimAtoms(d).some((a) => c.sizes.has(a.key))
    ? d
    : substituteDim(d, (a) => c.sizes.get(a.key));
const type = (c: Copying, t: Type): Type => (c.sizes.size === 0 ? t : { ...t, shape: t.shape.map((d) => dim(c, d)) });
const bind = (c: Copying, v: Var): Var => bindAs(c, v, c.retyped(type(c, v.type)));
/** Steps and elements of indices are the same on all devices whatever else varies. */
const bindStep = (c: Copying, v: Var): Var => bindAs(c, v, v.type);
function bindAs(c: Copying, v: Var, type: Type): Var {
  const made: Var = { ...v, id: c.ids.next++, type };
  c.names.set(v.id, made);
  return made;
}
const atom = (c: Copying, a: Atom): Atom => lookUp(c.names, a);
function index(c: Copying, i: Index): Index {
  const id = c.ids.next++;
  let size = i.size;
  if (typeof size !== "number") {
    size = dimVar(i.name, `%${i.name}:${id}`);
    for (const a of dimAtoms(i.size)) c.sizes.set(a.key, size);
  }
  const made: Index = { ...i, id, size, ...(i.element && { element: bindStep(c, i.element) }) };
  c.indices.set(i.id, made);
  return made;
}
const known = (c: Copying, i: Index): Index => c.indices.get(i.id) ?? i;
function block(c: Copying, b: Block): Block {
  const eqns = b.eqns.map((e) => equation(c, e));
  return { eqns, results: b.results.map((a) => atom(c, a)) };
}

function equation(c: Copying, e: Eqn): Eqn {
  switch (e.kind) {
    case "op": {
      const renamed = mapEqn(
        e,
        (a) => atom(c, a),
        (b) => b,
      ) as OpEqn;
      return { ...renamed, params: params(c, renamed), out: bind(c, e.out) } as OpEqn;
    }
    case "fold":
      return fold(c, e);
    case "if": {
      const cond = atom(c, e.cond);
      return { ...e, cond, then: block(c, e.then), else: block(c, e.else), outs: e.outs.map((v) => bind(c, v)) };
    }
    case "tiles": {
      const indices = e.indices.map((i) => index(c, i));
      const into = e.into.map((p) =>
        p.map((d) => (d.kind === "index" ? { ...d, id: c.indices.get(d.id)?.id ?? d.id } : d)),
      );
      return { ...e, indices, into, body: block(c, e.body), outs: e.outs.map((v) => bind(c, v)) };
    }
    default:
      return derivative(c, e);
  }
}
function fold(c: Copying, e: FoldEqn): FoldEqn {
  const init = e.init.map((a) => atom(c, a));
  const over =
    e.over.kind === "steps"
      ? { ...e.over, step: bindStep(c, e.over.step) }
      : { ...e.over, index: index(c, e.over.index) };
  const carry = e.carry.map((v) => bind(c, v));
  return { ...e, over, carry, init, body: block(c, e.body), outs: e.outs.map((v) => bind(c, v)) };
}
function derivative(c: Copying, e: DerivativeEqn): Eqn {
  const bindAll = (vars: readonly Var[]): readonly Var[] => vars.map((v) => bind(c, v));
  if (e.kind === "checkpoint") return { ...e, body: block(c, e.body), outs: bindAll(e.outs) };
  const args = e.args.map((a) => atom(c, a));
  switch (e.kind) {
    case "vjp": {
      const id = c.ids.next++;
      c.vjps.set(e.id, id);
      return { ...e, id, args, params: bindAll(e.params), body: block(c, e.body), outs: bindAll(e.outs) };
    }
    case "pullback":
      return { ...e, of: c.vjps.get(e.of) ?? e.of, args, outs: bindAll(e.outs) };
    case "rule": {
      const primal = block(c, e.primal),
        forward = block(c, e.forward);
      const pullback = { params: bindAll(e.pullback.params), body: block(c, e.pullback.body) };
      return { ...e, args, primal, forward, pullback, outs: bindAll(e.outs) };
    }
  }
}
/** Parameters that mention tile indices or their block sizes. */
function params(c: Copying, e: OpEqn): unknown {
  switch (e.op) {
    case "iota":
    case "dynamic_slice":
      return { ...e.params, size: dim(c, e.params.size) };
    case "pos":
      return { index: known(c, e.params.index) };
    case "full":
    case "reshape":
    case "broadcast":
      return { shape: e.params.shape.map((d) => dim(c, d)) };
    case "index":
      return {
        selectors: e.params.selectors.map((s) => (s.kind === "block" ? { ...s, index: known(c, s.index) } : s)),
      };
    case "optimization_barrier":
      return { id: c.ids.next++ };
    default:
      return e.params;
  }
}
