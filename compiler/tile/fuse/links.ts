/**
 * How the dimensions of an op's operands and result hang together, one row for each kind of op: which of them run
 * along with each other, element by element. What is not listed is re-indexed by the op (rules.ts says how).
 */
import { type Dim, dimEqual, dimMul } from "../../base/dim.ts";
import type { Op, OpEqn, Ops, Type } from "../../core/ir.ts";
import { isBinary, isUnary } from "../../core/ops.ts";

/** Dimension `dim` of operand `arg` runs along with dimension `to` of the result, or with the reduced dimension named `to`. */
export type Link = { readonly arg: number; readonly dim: number; readonly to: number | string };

/** Ops that compute each element from elements at the same place. */
export const isElementwise = (op: Op): boolean =>
  isUnary(op) || isBinary(op) || op === "cast" || op === "select" || op === "random_uniform";
/** Ops whose elements each take work along a whole dimension. */
export const isHeavy = (op: Op): boolean => op === "reduce" || op === "einsum" || op === "argmax" || op === "cumsum";

/** The links of an equation. Dimensions of size 1 may be linked; they have no axis. */
export function linksOf(e: OpEqn): readonly Link[] {
  const shapes = e.args.map((a) => a.type.shape);
  const rank = e.out.type.shape.length;
  if (isElementwise(e.op)) return shapes.flatMap((s, arg) => aligned(s, arg, rank));
  switch (e.op) {
    case "broadcast":
      return aligned(shapes[0]!, 0, rank);
    case "transpose":
      return e.params.perm.map((dim, to) => ({ arg: 0, dim, to }));
    case "reshape":
      return passing(shapes[0]!, e.out.type.shape).map(([dim, to]) => ({ arg: 0, dim, to }));
    case "index":
      return indexLinks(
        e.params.selectors,
        e.args.map((a) => a.type),
      );
    case "concat":
      return shapes.flatMap((s, arg) => same(s, arg).filter((l) => l.dim !== e.params.dim));
    case "dynamic_slice":
      return same(shapes[0]!, 0).filter((l) => l.dim !== e.params.dim);
    case "dynamic_update":
      return [...same(shapes[0]!, 0), ...same(shapes[1]!, 1).filter((l) => l.dim !== e.params.dim)];
    case "reduce":
      return reduceLinks(shapes[0]!, e.params.dims, e.params.keep);
    case "argmax":
      return reduceLinks(shapes[0]!, [e.params.dim], e.params.keep);
    case "cumsum":
    case "optimization_barrier":
      return same(shapes[0]!, 0);
    case "einsum":
      return einsumLinks(e.params);
    default:
      return [];
  }
}
/** The names of an equation's reduced dimensions, with their sizes. */
export function reducedOf(e: OpEqn): readonly { readonly name: string; readonly size: Dim }[] {
  const shape = e.args[0]?.type.shape ?? [];
  if (e.op === "reduce") return e.params.dims.map((d) => ({ name: `r${d}`, size: shape[d]! }));
  if (e.op === "argmax") return [{ name: `r${e.params.dim}`, size: shape[e.params.dim]! }];
  if (e.op !== "einsum") return [];
  const sizes = new Map<string, Dim>();
  for (const [k, labels] of e.params.ins.entries())
    for (const [d, label] of labels.entries()) {
      const size = e.args[k]!.type.shape[d]!;
      if (!e.params.out.includes(label) && (sizes.get(label) ?? 1) === 1) sizes.set(label, size);
    }
  return [...sizes].map(([label, size]) => ({ name: label, size }));
}

const same = (shape: readonly Dim[], arg: number): readonly Link[] => shape.map((_, dim) => ({ arg, dim, to: dim }));
/** As broadcasting aligns: at the last dimension. */
const aligned = (shape: readonly Dim[], arg: number, rank: number): readonly Link[] =>
  shape.map((_, dim) => ({ arg, dim, to: dim + rank - shape.length }));
function reduceLinks(shape: readonly Dim[], dims: readonly number[], keep: boolean): readonly Link[] {
  let to = 0;
  return shape.map((_, dim) => {
    if (!dims.includes(dim)) return { arg: 0, dim, to: to++ };
    if (keep) to++;
    return { arg: 0, dim, to: `r${dim}` };
  });
}
const einsumLinks = ({ ins, out }: Ops["einsum"]): readonly Link[] =>
  ins.flatMap((labels, arg) =>
    labels.map((label, dim) => ({ arg, dim, to: out.includes(label) ? out.indexOf(label) : label })),
  );

/** Where the dims of an indexing's result come from: a dim of x, a dim of the gathered group, or nowhere. */
export type Place =
  | { readonly kind: "x"; readonly dim: number }
  | { readonly kind: "group"; readonly dim: number }
  | { readonly kind: "new" };
export function placesOf(
  selectors: Ops["index"]["selectors"],
  args: readonly Type[],
): { readonly places: readonly Place[]; readonly group: number } {
  const group = selectors.reduce((n, s) => (s.kind === "gather" ? Math.max(n, args[s.arg]!.shape.length) : n), 0);
  const places: Place[] = [];
  let dim = 0;
  let gathered = false;
  for (const s of selectors) {
    if (s.kind === "new") {
      places.push({ kind: "new" });
      continue;
    }
    if (s.kind === "gather" && !gathered) {
      for (let d = 0; d < group; d++) places.push({ kind: "group", dim: d });
      gathered = true;
    }
    if (s.kind === "all" || s.kind === "slice" || s.kind === "block") places.push({ kind: "x", dim });
    dim++;
  }
  return { places, group };
}
function indexLinks(selectors: Ops["index"]["selectors"], args: readonly Type[]): readonly Link[] {
  const { places, group } = placesOf(selectors, args);
  const taking = selectors.filter((s) => s.kind !== "new");
  return places.flatMap((p, to): readonly Link[] => {
    if (p.kind === "x") return taking[p.dim]!.kind === "all" ? [{ arg: 0, dim: p.dim, to }] : [];
    if (p.kind === "new") return [];
    return taking.flatMap((s) => {
      if (s.kind !== "gather") return [];
      const dim = p.dim - (group - args[s.arg]!.shape.length);
      return dim >= 0 ? [{ arg: s.arg, dim, to }] : [];
    });
  });
}

/** Groups of a reshape: neighbouring dims with as many elements before as after. Dims of size 1 are left out. */
export type Group = { readonly from: readonly number[]; readonly to: readonly number[] };
export function groupsOf(from: readonly Dim[], to: readonly Dim[]): readonly Group[] {
  const a = from.flatMap((d, i) => (d === 1 ? [] : [i]));
  const b = to.flatMap((d, i) => (d === 1 ? [] : [i]));
  const groups: Group[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const start = [i, j] as const;
    const end = firstMatch(
      a.slice(i).map((k) => from[k]!),
      b.slice(j).map((k) => to[k]!),
    );
    i += end[0];
    j += end[1];
    groups.push({ from: a.slice(start[0], i), to: b.slice(start[1], j) });
  }
  return groups;
}
/** The shortest leading parts, in all, with equal products; everything where there are none. */
function firstMatch(a: readonly Dim[], b: readonly Dim[]): readonly [number, number] {
  for (let total = 2; total < a.length + b.length; total++)
    for (let m = 1; m < total; m++) {
      const n = total - m;
      if (m > a.length || n > b.length) continue;
      if (dimEqual(a.slice(0, m).reduce(dimMul, 1), b.slice(0, n).reduce(dimMul, 1))) return [m, n];
    }
  return [a.length, b.length];
}
/** The dims that pass a reshape as they are. */
const passing = (from: readonly Dim[], to: readonly Dim[]): readonly (readonly [number, number])[] =>
  groupsOf(from, to).flatMap((g) =>
    g.from.length === 1 && g.to.length === 1 ? [[g.from[0]!, g.to[0]!] as const] : [],
  );
