/** From the equations of a kernel to its axes: which dimensions run along with which. */
import { type Dim, evalDim } from "../../base/dim.ts";
import { invariant } from "../../base/invariant.ts";
import type { Span } from "../../base/span.ts";
import type { Atom, Eqn, Index, OpEqn, Var } from "../../core/ir.ts";
import type { Axis } from "../ir.ts";
import { isElementwise, isHeavy, linksOf, placesOf, reducedOf } from "./links.ts";
import type { KernelSpec } from "./spec.ts";
import { axisNode, classesOf, find, join, markReduced, node, type Unifier, unifier } from "./unify.ts";
import { NotSupported } from "./unsupported.ts";

/** The name of a tile index's axis. */
export const indexKey = (i: Index): string => `index ${i.id}`;

/** The tile indices of a kernel, by the names of their axes, and by the atoms that stand for their blocks in types. */
export type Indices = { readonly byKey: Map<string, Index>; readonly byAtom: Map<string, Index> };
function addIndex(all: Indices, i: Index): void {
  all.byKey.set(indexKey(i), i);
  const atom = atomKey(i.size);
  if (i.block !== null && atom !== undefined) all.byAtom.set(atom, i);
}
/** The key of a dim that is one atom. */
function atomKey(d: Dim): string | undefined {
  if (typeof d === "number" || d.terms.length !== 1) return undefined;
  const [t] = d.terms;
  const [p] = t!.powers;
  return t!.num === 1 && t!.den === 1 && t!.powers.length === 1 && p!.exp === 1 ? p!.atom.key : undefined;
}
function collectIndices(eqns: readonly Eqn[], all: Indices): void {
  for (const e of eqns) {
    if (e.kind !== "fold") continue;
    if (e.over.kind === "blocks") addIndex(all, e.over.index);
    collectIndices(e.body.eqns, all);
  }
}

/** Every index of a kernel. */
export function indicesOf(spec: KernelSpec): Indices {
  const all: Indices = { byKey: new Map(), byAtom: new Map() };
  for (const i of spec.indices) addIndex(all, i);
  collectIndices(spec.body, all);
  return all;
}
/** The index whose block a dim is. */
export const indexOfDim = (all: Indices, d: Dim): Index | undefined => all.byAtom.get(atomKey(d) ?? "");

/** A size as a number: blocks count where they divide their dimension, so that each is whole. */
export function numericSize(indices: Indices, d: Dim, span: Span | undefined): number {
  if (typeof d === "number") return d;
  const value = evalDim(d, (atom) => {
    const i = indices.byAtom.get(atom.key);
    if (!i) return undefined;
    const { block, extent } = i;
    if (typeof block !== "number" || typeof extent !== "number")
      throw new NotSupported(`re-arranging a block of \`${i.name}\`, whose size is the compiler's to choose,`, span);
    if (block >= extent) return extent;
    if (extent % block !== 0)
      throw new NotSupported(`re-arranging blocks of \`${i.name}\` where ${block} does not divide ${extent}`, span);
    return block;
  });
  invariant(value.kind === "value", "sizes in a kernel are numbers");
  return value.value;
}

/** `dims`: every node there is, with its size. */
export type Relations = { readonly unifier: Unifier; readonly dims: ReadonlyMap<string, Dim> };

/** Joins what the equations of a kernel, and what it stores, tie together. */
export function relate(spec: KernelSpec, indices: Indices): Relations {
  const u = unifier(new Set(spec.wholeGrid ? spec.grid.map((g) => g.key) : []));
  const dims = new Map<string, Dim>();
  /** Results of reductions and products, and what is computed of them element by element. */
  const reductions = new Set<number>();
  const declare = (value: number, shape: readonly Dim[]): void => {
    for (const [d, size] of shape.entries())
      if (size !== 1) {
        dims.set(node(value, d), size);
        find(u, node(value, d));
      }
  };
  const joinDims = (a: Atom, v: Var): void => {
    if (a.kind === "lit") return;
    for (const d of v.type.shape.keys()) joinNodes(node(a.id, d), node(v.id, d));
  };
  const joinNodes = (m: string, n: string): void => {
    if (dims.has(m) && dims.has(n)) join(u, m, n);
  };
  const isIndex = (n: string, i: Index): void => {
    if (dims.has(n)) join(u, n, axisNode(u, indexKey(i)));
  };
  const op = (e: OpEqn): void => {
    declare(e.out.id, e.out.type.shape);
    for (const { name, size } of reducedOf(e))
      if (size !== 1) {
        dims.set(node(e.out.id, name), size);
        markReduced(u, node(e.out.id, name));
      }
    if (e.op === "cumsum" && e.out.type.shape[e.params.dim] !== 1) markReduced(u, node(e.out.id, e.params.dim));
    if (e.op === "pos" && e.params.index.block !== null) isIndex(node(e.out.id, 0), e.params.index);
    if (e.op === "index") {
      const taking = e.params.selectors.filter((s) => s.kind !== "new");
      for (const [to, q] of placesOf(
        e.params.selectors,
        e.args.map((a) => a.type),
      ).places.entries()) {
        const s = q.kind === "x" ? taking[q.dim]! : undefined;
        if (s?.kind === "block" && s.index.block !== null) isIndex(node(e.out.id, to), s.index);
      }
    }
    // What hangs on a reduction is computed where its result is; operands that do not can be computed anywhere.
    const hangs = (a: Atom): boolean => a.kind === "var" && reductions.has(a.id);
    const links = linksOf(e).map((link) => ({ ...link, of: e.args[link.arg]! }));
    for (const { of, dim, to } of [...links.filter((l) => hangs(l.of)), ...links.filter((l) => !hangs(l.of))])
      if (of.kind === "var" && of.type.shape[dim] !== 1) joinNodes(node(of.id, dim), node(e.out.id, to));
    if (isHeavy(e.op) || (isElementwise(e.op) && e.args.some(hangs))) reductions.add(e.out.id);
  };
  const eqns = (all: readonly Eqn[]): void => {
    for (const e of all) {
      if (e.kind === "op") op(e);
      else {
        invariant(e.kind === "fold", `${e.kind} inside a kernel`);
        for (const v of [...e.carry, ...e.outs]) declare(v.id, v.type.shape);
        for (const [k, v] of e.carry.entries()) joinDims(e.init[k]!, v);
        eqns(e.body.eqns);
        e.carry.forEach((v, k) => {
          joinDims(e.body.results[k]!, v);
          joinDims(v, e.outs[k]!);
        });
      }
    }
  };
  // What is stored first: its dims along the grid are the grid's.
  for (const [k, s] of spec.stores.entries()) {
    for (const [d, dim] of s.dims.entries()) {
      if (dim.size === 1 && !dim.grid) continue;
      dims.set(node(-1 - k, d), dim.size);
      find(u, node(-1 - k, d));
      if (dim.grid) join(u, node(-1 - k, d), axisNode(u, dim.grid));
    }
  }
  for (const { value, dim, grid } of spec.pins) join(u, node(value, dim), axisNode(u, grid));
  eqns(spec.body);
  for (const [k, s] of spec.stores.entries())
    for (const [d, dim] of s.dims.entries())
      if (s.value.kind === "var" && dim.value !== undefined) joinNodes(node(-1 - k, d), node(s.value.id, dim.value));
  // Blocks that no relation tied to their index.
  for (const c of classesOf(u)) {
    if (c.fixed !== undefined) continue;
    const index = indices.byAtom.get(atomKey(dims.get(c.nodes[0]!) ?? 0) ?? "");
    if (index) join(u, c.nodes[0]!, axisNode(u, indexKey(index)));
  }
  return { unifier: u, dims };
}

/** For each variable, the axes of single elements that it depends on other than by its dims; they make carries' axes whole. */
export function elementDeps(spec: KernelSpec, axes: ReadonlyMap<string, Axis>): (v: Var) => readonly Axis[] {
  const deps = new Map<number, ReadonlySet<string>>();
  const elements = new Map<number, string>();
  for (const i of spec.indices) if (i.element) elements.set(i.element.id, indexKey(i));
  const of = (a: Atom): ReadonlySet<string> => {
    if (a.kind === "lit") return new Set();
    const own = elements.get(a.id);
    return own ? new Set([own]) : (deps.get(a.id) ?? new Set());
  };
  const union = (sets: readonly ReadonlySet<string>[]): ReadonlySet<string> => new Set(sets.flatMap((s) => [...s]));
  const direct = (e: OpEqn): ReadonlySet<string> => {
    if (e.op === "pos" && e.params.index.block === null) return new Set([indexKey(e.params.index)]);
    if (e.op !== "index") return new Set();
    return new Set(
      e.params.selectors.flatMap((s) => (s.kind === "block" && s.index.block === null ? [indexKey(s.index)] : [])),
    );
  };
  const walk = (eqns: readonly Eqn[]): void => {
    for (const e of eqns) {
      if (e.kind === "op") deps.set(e.out.id, union([direct(e), ...e.args.map(of)]));
      else if (e.kind === "fold") {
        const own = e.over.kind === "blocks" ? e.over.index : undefined;
        if (own?.element) elements.set(own.element.id, indexKey(own));
        e.carry.forEach((v, k) => {
          deps.set(v.id, of(e.init[k]!));
        });
        for (let changed = true; changed; ) {
          changed = false;
          walk(e.body.eqns);
          for (const [k, v] of e.carry.entries()) {
            const all = new Set([...of(v), ...of(e.body.results[k]!)]);
            if (own) all.delete(indexKey(own));
            if (all.size > of(v).size) changed = true;
            deps.set(v.id, all);
          }
        }
        e.outs.forEach((v, k) => {
          deps.set(v.id, of(e.carry[k]!));
        });
      }
    }
  };
  walk(spec.body);
  return (v) => [...of(v)].map((k) => axes.get(k)!);
}
