/** Puts numbers for dims: after it, only the sizes of tile blocks are names. */
import { type Dim, dimAtoms, evalDim, substituteDim } from "../../base/dim.ts";
import { invariant } from "../../base/invariant.ts";
import type { Atom, Block, DerivativeEqn, Eqn, Index, OpEqn, Type, Var } from "../ir.ts";
import { isBlockKey } from "./value.ts";

type Maps = {
  readonly sizes: ReadonlyMap<string, number>;
  readonly vars: Map<number, Var>;
  readonly indices: Map<number, Index>;
};

/** The same block at numeric shapes. All sizes are known: the elaborator has seen to it. */
export function resolveBlock(
  b: Block,
  params: readonly Var[],
  sizes: ReadonlyMap<string, number>,
): { readonly block: Block; readonly params: readonly Var[] } {
  const m: Maps = { sizes, vars: new Map(), indices: new Map() };
  const resolved = params.map((v) => variable(m, v));
  return { params: resolved, block: block(m, b) };
}

function dim(m: Maps, d: Dim): Dim {
  if (typeof d === "number") return d;
  if (dimAtoms(d).some((a) => isBlockKey(a.key))) return substituteDim(d, (a) => m.sizes.get(a.key));
  const v = evalDim(d, (a) => m.sizes.get(a.key));
  invariant(v.kind === "value", `a dimension has no size: ${v.kind}`);
  return v.value;
}
const type = (m: Maps, t: Type): Type => ({ ...t, shape: t.shape.map((d) => dim(m, d)) });
function variable(m: Maps, v: Var): Var {
  const old = m.vars.get(v.id);
  if (old) return old;
  const made: Var = { ...v, type: type(m, v.type) };
  m.vars.set(v.id, made);
  return made;
}
const atom = (m: Maps, a: Atom): Atom => (a.kind === "var" ? variable(m, a) : a);
function index(m: Maps, i: Index): Index {
  const old = m.indices.get(i.id);
  if (old) return old;
  const made: Index = {
    ...i,
    extent: dim(m, i.extent),
    block: i.block === null || i.block === "auto" ? i.block : dim(m, i.block),
    ...(i.element && { element: variable(m, i.element) }),
  };
  m.indices.set(i.id, made);
  return made;
}
const block = (m: Maps, b: Block): Block => ({
  eqns: b.eqns.map((e) => equation(m, e)),
  results: b.results.map((a) => atom(m, a)),
});

function equation(m: Maps, e: Eqn): Eqn {
  switch (e.kind) {
    case "op":
      return { ...e, params: params(m, e), args: e.args.map((a) => atom(m, a)), out: variable(m, e.out) } as OpEqn;
    case "if":
      return {
        ...e,
        cond: atom(m, e.cond),
        then: block(m, e.then),
        else: block(m, e.else),
        outs: e.outs.map((v) => variable(m, v)),
      };
    case "fold":
      return {
        ...e,
        over:
          e.over.kind === "steps"
            ? { ...e.over, count: dim(m, e.over.count), step: variable(m, e.over.step) }
            : { ...e.over, index: index(m, e.over.index) },
        init: e.init.map((a) => atom(m, a)),
        carry: e.carry.map((v) => variable(m, v)),
        body: block(m, e.body),
        outs: e.outs.map((v) => variable(m, v)),
      };
    case "tiles":
      return {
        ...e,
        indices: e.indices.map((i) => index(m, i)),
        body: block(m, e.body),
        outs: e.outs.map((v) => variable(m, v)),
      };
    case "vjp":
    case "pullback":
    case "rule":
    case "checkpoint":
      return derivative(m, e);
  }
}
function derivative(m: Maps, e: DerivativeEqn): Eqn {
  const outs = e.outs.map((v) => variable(m, v));
  if (e.kind === "checkpoint") return { ...e, body: block(m, e.body), outs };
  const args = e.args.map((a) => atom(m, a));
  const params = (vars: readonly Var[]) => vars.map((v) => variable(m, v));
  switch (e.kind) {
    case "vjp":
      return { ...e, args, params: params(e.params), body: block(m, e.body), outs };
    case "pullback":
      return { ...e, args, outs };
    case "rule": {
      const pullback = { params: params(e.pullback.params), body: block(m, e.pullback.body) };
      return { ...e, args, primal: block(m, e.primal), forward: block(m, e.forward), pullback, outs };
    }
  }
}
function params(m: Maps, e: OpEqn): unknown {
  switch (e.op) {
    case "iota":
    case "dynamic_slice":
      return { ...e.params, size: dim(m, e.params.size) };
    case "pos":
      return { index: index(m, e.params.index) };
    case "full":
    case "reshape":
    case "broadcast":
      return { shape: e.params.shape.map((d) => dim(m, d)) };
    case "index":
      return {
        selectors: e.params.selectors.map((s) =>
          s.kind === "slice"
            ? { ...s, start: dim(m, s.start), size: dim(m, s.size) }
            : s.kind === "block"
              ? { ...s, index: index(m, s.index) }
              : s,
        ),
      };
    case "ppermute": {
      const { route } = e.params;
      return route.kind === "shift" && route.step
        ? { ...e.params, route: { ...route, step: variable(m, route.step) } }
        : e.params;
    }
    default:
      return e.params;
  }
}
