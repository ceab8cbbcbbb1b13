/**
 * The derivative of an einsum: each operand's cotangent is the einsum of the result's with the other operands.
 *
 *   z[m, n] = Σ_k x[m, k] y[k, n]      dx[m, k] = Σ_n dz[m, n] y[k, n]      dy[k, n] = Σ_m x[m, k] dz[m, n]
 */
import { dimsEqual } from "../../base/dim.ts";
import { type Builder, emit } from "../build.ts";
import type { Atom, Ops } from "../ir.ts";
import { counting, on, transposed, withNew } from "./terms.ts";
import type { Rules } from "./transpose.ts";

export const productRules: Rules<"einsum"> = {
  einsum: ({ b, args, params, ct, wants }) =>
    args.map((_, k) => (wants[k] ? operandCotangent(b, k, args, params, ct) : undefined)),
};

function operandCotangent(b: Builder, k: number, args: readonly Atom[], { ins, out }: Ops["einsum"], ct: Atom): Atom {
  const { dtype, shape } = args[k]!.type;
  const others = args.flatMap((a, i) => (i === k ? [] : [{ a, labels: ins[i]! }]));
  const factors = [{ a: on(b).cast(ct, dtype), labels: out }, ...others];
  // Of a label that stands twice the first dimension counts; one of size 1 was stretched; one that is in nothing else was summed.
  const labels = ins[k]!.map((l, d) => (shape[d] === 1 ? undefined : l));
  const found = labels.map(
    (l, d) => l !== undefined && labels.indexOf(l) === d && factors.some((f) => f.labels.includes(l)),
  );
  const kept = labels.filter((_, d) => found[d]) as readonly string[];
  const { eq, where } = on(b);
  let dx = withNew(
    b,
    contracted(b, factors, kept),
    found.map((f) => !f),
  );
  // A diagonal: dx[i, j] = d[i] where i = j, else 0.
  for (const [d, l] of labels.entries()) {
    const first = labels.indexOf(l);
    if (l === undefined || first === d) continue;
    const [i, j] = [first, d].map((at) => counting(b, shape[at]!, at, shape.length));
    dx = where(eq(i!, j!), dx, 0);
  }
  return dimsEqual(dx.type.shape, shape) ? dx : emit(b, "broadcast", { shape }, dx);
}

/** The sum of products as an einsum; one factor with nothing to sum is only transposed. */
function contracted(
  b: Builder,
  factors: readonly { readonly a: Atom; readonly labels: readonly string[] }[],
  out: readonly string[],
): Atom {
  const [only, ...more] = factors;
  if (only && more.length === 0 && only.labels.length === out.length)
    return transposed(
      b,
      only.a,
      out.map((l) => only.labels.indexOf(l)),
    );
  return emit(b, "einsum", { ins: factors.map((f) => f.labels), out }, ...factors.map((f) => f.a));
}
