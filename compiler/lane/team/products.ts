/**
 * Which sums are products of matrices: sums of products of two factors, each with an axis that the other has not. Where
 * the factors are 16-bit numbers in the program (or cast to them), the tensor cores compute it, adding in f32; factors
 * that are f32 in the program stay f32, and threads multiply and add.
 *
 *   p(m, n) = sum k a(m, k) · b(k, n)                              a, b: f32
 *   p(m, n) = sum k (cast f32 a)(m, k) · (cast f32 b)(k, n)        a, b: both f16, or both bf16
 */
import type { Half } from "../../core/half.ts";
import { isHalf } from "../../core/half.ts";
import type { Axis, Kernel, Value } from "../../tile/ir.ts";
import { valuesOf } from "../../tile/values.ts";

/** `a` and `b` are the factors, in `dtype`; a 16-bit factor's cast and the product under the sum are no values of their own. */
export type Factors = {
  readonly sum: Value;
  readonly a: Value;
  readonly b: Value;
  readonly k: Axis;
  readonly dtype: Half | "f32";
};

export function factorsOf(v: Value): Factors | undefined {
  const d = v.def;
  if (d.kind !== "reduce" || d.op !== "sum" || v.dtype !== "f32") return undefined;
  if (d.arg.def.kind !== "map" || d.arg.def.op !== "mul") return undefined;
  const [x, y] = d.arg.def.args as [Value, Value];
  const along = (f: Value, g: Value): boolean => f.axes.some((a) => !g.axes.some((b) => b.id === a.id));
  const summed = [x, y].every((f) => f.axes.some((a) => a.id === d.axis.id));
  if (!summed || !along(x, y) || !along(y, x)) return undefined;
  const [a, b] = [halfOf(x), halfOf(y)];
  const half = a && b && a.dtype === b.dtype;
  return half ? { sum: v, a, b, k: d.axis, dtype: a.dtype as Half } : { sum: v, a: x, b: y, k: d.axis, dtype: "f32" };
}
/** The 16-bit value that an f32 factor is exactly. */
function halfOf(v: Value): Value | undefined {
  if (v.def.kind !== "cast" || v.dtype !== "f32") return undefined;
  const { arg } = v.def;
  return isHalf(arg.dtype) ? arg : undefined;
}

export const allFactors = (kernel: Kernel): readonly Factors[] =>
  valuesOf(kernel, false).flatMap((v) => factorsOf(v) ?? []);
