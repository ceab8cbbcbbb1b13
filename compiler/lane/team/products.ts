/**
 * Which sums the tensor cores compute: those of products of two 16-bit numbers, added up in f32. The rule is the
 * program's own types: factors that the program has (or casts to) as f16 or bf16 go there, f32 factors never do.
 *
 *   p(m, n) = sum k (cast f32 a)(m, k) · (cast f32 b)(k, n)      a, b: both f16, or both bf16
 */
import type { Axis, Kernel, Value } from "../../tile/ir.ts";
import type { Half } from "../ir.ts";
import { valuesOf } from "../map.ts";

/** `a` and `b` are the 16-bit factors; `cast` and the product itself are never values of their own. */
export type Factors = {
  readonly sum: Value;
  readonly a: Value;
  readonly b: Value;
  readonly k: Axis;
  readonly dtype: Half;
};

export function factorsOf(v: Value): Factors | undefined {
  const d = v.def;
  if (d.kind !== "reduce" || d.op !== "sum" || v.dtype !== "f32") return undefined;
  if (d.arg.def.kind !== "map" || d.arg.def.op !== "mul") return undefined;
  const [a, b] = d.arg.def.args.map(halfOf);
  if (!a || !b || a.dtype !== b.dtype) return undefined;
  return { sum: v, a, b, k: d.axis, dtype: a.dtype as Half };
}
/** The 16-bit value that an f32 factor is exactly. */
function halfOf(v: Value): Value | undefined {
  if (v.def.kind !== "cast" || v.dtype !== "f32") return undefined;
  const { arg } = v.def;
  return arg.dtype === "bf16" || arg.dtype === "f16" ? arg : undefined;
}

export const allFactors = (kernel: Kernel): readonly Factors[] =>
  valuesOf(kernel, false).flatMap((v) => factorsOf(v) ?? []);
