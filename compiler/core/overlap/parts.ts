/**
 * Parts of values along one dimension: of which ops the rows of the result are the same op of rows of the operands, so that
 * a value can be computed a part at a time.
 *
 *   rows of (a * b)         rows of a * rows of b          an operand without the dimension stays whole
 *   rows of transpose a     transpose of rows of a         along the dimension that they were before
 *   rows of einsum          einsum of rows of the operands that have the label
 */
import { type Dim, dimEqual, dimProduct } from "../../base/dim.ts";
import { type Builder, emit, i32 } from "../build.ts";
import type { Atom, Op, OpEqn, Ops, Var } from "../ir.ts";
import { isBinary, isUnary } from "../ops.ts";

/** For the dim `out` of an op's result: of each operand the dim that it comes from, null for an operand that stays whole. */
export type Cut = readonly (number | null)[];

const byName: ReadonlySet<Op> = new Set<Op>(["cast", "pvary", "stop_gradient", "optimization_barrier"]);

/** How the rows of a result along dim `out` come from rows of the operands; undefined where they don't. */
export function cutOf(e: OpEqn, out: number): Cut | undefined {
  const [x] = e.args;
  if (byName.has(e.op) || isUnary(e.op)) return [out];
  if (isBinary(e.op) || e.op === "select") return e.args.map((a) => broadcastDim(a, e.out, out));
  switch (e.op) {
    case "transpose":
      return [e.params.perm[out]!];
    case "broadcast": {
      const dim = broadcastDim(x!, e.out, out);
      return dim === null ? undefined : [dim];
    }
    case "reshape": {
      const dim = sameRows(e.out.type.shape, out, x!.type.shape);
      return dim === undefined ? undefined : [dim];
    }
    case "einsum": {
      const { ins, out: outs } = e.params;
      return ins.map((own, i) => labelled(own, outs[out]!, e.args[i]!));
    }
    default:
      return undefined;
  }
}

/** The dim of a result that rows of operand `place` along `dim` become: the other way round. */
export function rowsOfResult(e: OpEqn, place: number, dim: number): number | undefined {
  for (const out of e.out.type.shape.keys()) if (cutOf(e, out)?.[place] === dim) return out;
  return undefined;
}

/** The label of an einsum's operand at `dim`, where it stands there once in it and nowhere stretches. */
export function labelAt(e: OpEqn<"einsum">, place: number, dim: number): string | undefined {
  const own = e.params.ins[place]!;
  const label = own[dim]!;
  const once = own.filter((l) => l === label).length === 1;
  const fits = e.params.ins.every((ls, i) =>
    ls.every((l, d) => l !== label || dimEqual(e.args[i]!.type.shape[d]!, e.args[place]!.type.shape[dim]!)),
  );
  return once && fits ? label : undefined;
}
function labelled(own: readonly string[], label: string, a: Atom): number | null {
  const dim = own.indexOf(label);
  return dim < 0 || a.type.shape[dim] === 1 ? null : dim;
}

/** `e` of the rows of its operands that begin at `start`: `size` of them. `rows` gives those that are at hand. */
export function emitPart(b: Builder, e: OpEqn, out: number, size: number, rows: (a: Atom, dim: number) => Atom): Var {
  const cut = cutOf(e, out)!;
  const args = e.args.map((a, i) => (cut[i] === null ? a : rows(a, cut[i]!)));
  const shaped = e.op === "reshape" || e.op === "broadcast";
  const params = shaped ? { shape: e.params.shape.with(out, size) } : e.params;
  return emit({ ...b, ...(e.span && { span: e.span }) }, e.op, params as Ops[Op], ...args);
}

/** `size` rows of a whole value from `start` on. */
export const slice = (b: Builder, a: Atom, dim: number, size: number, start: Atom): Atom =>
  a.type.shape[dim] === size ? a : emit(b, "dynamic_slice", { dim, size }, a, start);

/** ((place + offset ± t) mod n) * size, an i32: where the part of that device begins. */
export function startOf(
  b: Builder,
  { axes, n }: { readonly axes: readonly string[]; readonly n: number },
  offset: number,
  size: number,
  t?: { readonly step: Var; readonly sign: 1 | -1 },
): Atom {
  const me = emit(b, "axis_index", { axes });
  const moved = t ? emit(b, t.sign > 0 ? "add" : "sub", {}, me, t.step) : me;
  const place = offset === 0 && !t ? moved : emit(b, "mod", {}, emit(b, "add", {}, moved, i32(offset)), i32(n));
  return emit(b, "mul", {}, place, i32(size));
}

const broadcastDim = (a: Atom, to: Var, out: number): number | null => {
  const dim = out - (to.type.shape.length - a.type.shape.length);
  return dim < 0 || !dimEqual(a.type.shape[dim]!, to.type.shape[out]!) ? null : dim;
};
/** The dim of another shape of the same elements that has the same rows. */
function sameRows(shape: readonly Dim[], dim: number, other: readonly Dim[]): number | undefined {
  const before = dimProduct(shape.slice(0, dim));
  const at = [...other.keys()].find(
    (d) => dimEqual(other[d]!, shape[dim]!) && dimEqual(dimProduct(other.slice(0, d)), before),
  );
  return at;
}
