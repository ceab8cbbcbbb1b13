/**
 * A reduction of many elements to few results would leave most of a device idle: it is done in two, partial results of
 * equal stretches first. The order of the additions depends on the sizes alone.
 *
 *   sum x[n]  =  sum over p of (sum over c of x[p·C + c]),  n = P·C
 */
import type { Atom, OpEqn, Type, Var } from "../../core/ir.ts";
import { reducedOf } from "./links.ts";

/** Results below which a reduction is split, and elements for each of them from which on. */
const fewResults = 256;
const manyElements = 4096;
/** Partial results to aim at, of all results together. */
const partialResults = 1024;

/** A new variable of a type. */
export type Fresh = (type: Type, name?: string) => Var;

/** The equations of a reduction in two steps; undefined where it is as well in one. Sizes are numbers. */
export function splitReduction(e: OpEqn, fresh: Fresh): readonly OpEqn[] | undefined {
  if (e.op !== "reduce" && e.op !== "einsum") return undefined;
  const outs = (e.out.type.shape as readonly number[]).reduce((n, m) => n * m, 1);
  const reduced = reducedOf(e) as readonly { readonly name: string; readonly size: number }[];
  const each = reduced.reduce((n, r) => n * r.size, 1);
  if (outs >= fewResults || outs === 0 || each < manyElements / Math.max(1, outs) || each < 1024) return undefined;
  // Of the outermost dim that has as many parts: what a part reads lies together then. Else of the largest.
  const many = reduced.find((r) => (divisorNear(r.size, partialResults / outs) ?? 0) * outs >= fewResults);
  const dim = many ?? [...reduced].sort((r, q) => q.size - r.size)[0];
  const parts = dim && divisorNear(dim.size, partialResults / outs);
  if (!dim || parts === undefined) return undefined;
  return e.op === "reduce"
    ? splitReduce(e, Number(dim.name.slice(1)), parts, fresh)
    : splitProduct(e, dim.name, parts, fresh);
}
/** The divisor of n that is nearest to `to`, in ratio; undefined where none leaves work on both sides. */
function divisorNear(n: number, to: number): number | undefined {
  let best: number | undefined;
  const far = (d: number): number => Math.abs(Math.log(d / to));
  for (let d = 2; d * d <= n; d++)
    if (n % d === 0) for (const c of [d, n / d]) if (best === undefined || far(c) < far(best)) best = c;
  return best !== undefined && best >= 8 ? best : undefined;
}

/** x with one of its dims as two. */
function unfold(x: Atom, dim: number, parts: number, fresh: Fresh): OpEqn {
  const shape = x.type.shape.toSpliced(dim, 1, parts, (x.type.shape[dim] as number) / parts);
  return { kind: "op", op: "reshape", params: { shape }, args: [x], out: fresh({ ...x.type, shape }) };
}
function splitReduce(e: Extract<OpEqn, { op: "reduce" }>, dim: number, parts: number, fresh: Fresh): readonly OpEqn[] {
  const { kind, dims, keep } = e.params;
  const split = unfold(e.args[0]!, dim, parts, fresh);
  const span = e.span ? { span: e.span } : {};
  // Every reduced dim but the stretches themselves, in the split shape.
  const first = dims.map((d) => (d >= dim ? d + 1 : d)).sort((a, b) => a - b);
  const shape = split.out.type.shape.filter((_, d) => !first.includes(d));
  const partial = fresh({ ...e.out.type, shape }, e.out.name && `${e.out.name}_parts`);
  const at = dim - first.filter((d) => d < dim).length;
  const whole = fresh({ ...e.out.type, shape: shape.toSpliced(at, 1) });
  const ends: readonly OpEqn[] = [
    split,
    { kind: "op", op: "reduce", params: { kind, dims: first, keep: false }, args: [split.out], out: partial, ...span },
  ];
  const last: OpEqn = {
    kind: "op",
    op: "reduce",
    params: { kind, dims: [at], keep: false },
    args: [partial],
    out: keep ? whole : e.out,
    ...span,
  };
  if (!keep) return [...ends, last];
  return [...ends, last, { kind: "op", op: "reshape", params: { shape: e.out.type.shape }, args: [whole], out: e.out }];
}
function splitProduct(
  e: Extract<OpEqn, { op: "einsum" }>,
  label: string,
  parts: number,
  fresh: Fresh,
): readonly OpEqn[] {
  const eqns: OpEqn[] = [];
  const part = `${label} part`;
  const args: Atom[] = [];
  const ins = e.params.ins.map((labels, k) => {
    const dim = labels.indexOf(label);
    const x = e.args[k]!;
    if (dim < 0 || x.type.shape[dim] === 1 || labels.indexOf(label, dim + 1) >= 0) {
      args.push(x);
      return labels;
    }
    const split = unfold(x, dim, parts, fresh);
    eqns.push(split);
    args.push(split.out);
    return labels.toSpliced(dim, 1, part, label);
  });
  const twice = e.params.ins.some((labels) => labels.indexOf(label) !== labels.lastIndexOf(label));
  if (twice) return [e];
  const partial = fresh({ ...e.out.type, shape: [parts, ...e.out.type.shape] }, e.out.name && `${e.out.name}_parts`);
  const span = e.span ? { span: e.span } : {};
  return [
    ...eqns,
    { kind: "op", op: "einsum", params: { ins, out: [part, ...e.params.out] }, args, out: partial, ...span },
    { kind: "op", op: "reduce", params: { kind: "sum", dims: [0], keep: false }, args: [partial], out: e.out, ...span },
  ];
}
