/** Derivatives of reductions z = reduce(x), and of running sums. `dz` is the cotangent of the result. */
import { type Dim, dimProduct } from "../../base/dim.ts";
import { bug } from "../../base/invariant.ts";
import { type Builder, emit } from "../build.ts";
import type { Atom, Ops } from "../ir.ts";
import { counting, inverse, on, reshaped, transposed, withNew } from "./terms.ts";
import { dimLit, type RuleCall, type Rules } from "./transpose.ts";

/** A reduction's result with its reduced dimensions back, of size 1; a scalar stretches as it is. */
const kept = (b: Builder, z: Atom, { dims, keep }: Ops["reduce"], x: Atom): Atom =>
  keep || z.type.shape.length === 0
    ? z
    : withNew(
        b,
        z,
        x.type.shape.map((_, d) => dims.includes(d)),
      );

/** dx = dz / n where x = z, n the number of such elements; 0 elsewhere */
function extreme({ b, args, params, out, ct }: RuleCall<"reduce">): Atom {
  const x = args[0]!;
  const { eq, cast, where, div } = on(b);
  const taken = eq(x, kept(b, out, params, x));
  const count = emit(b, "reduce", { kind: "sum", dims: params.dims, keep: true }, cast(taken, x.type.dtype));
  return where(taken, div(kept(b, ct, params, x), count), 0);
}

/** dx[i] = dz Π_{j ≠ i} x[j]: no division, so any element may be 0 */
function product({ b, args, params, ct }: RuleCall<"reduce">): Atom {
  const x = args[0]!;
  const { shape } = x.type;
  const { eq, mul, where } = on(b);
  // The reduced dimensions last, as one.
  const left = shape.flatMap((_, d) => (params.dims.includes(d) ? [] : [d]));
  const order = [...left, ...params.dims];
  const sizes = left.map((d) => shape[d]!),
    n = dimProduct(params.dims.map((d) => shape[d]!));
  const rows = reshaped(b, transposed(b, x, order), [...sizes, n]);
  const itself = eq(counting(b, n, 0, 2), counting(b, n, 1, 2));
  const others = where(itself, 1, withNew(b, rows, [...sizes.map(() => false), true, false]));
  const dims = [sizes.length + 1];
  const rest = emit(b, "reduce", { kind: "prod", dims, keep: false }, others);
  const dx = mul(reshaped(b, ct, [...sizes, 1]), rest);
  const apart = reshaped(
    b,
    dx,
    order.map((d) => shape[d]!),
  );
  return transposed(b, apart, inverse(order));
}

/** x[n-1-i] along a dimension. */
function flipped(b: Builder, x: Atom, dim: number): Atom {
  const n: Dim = x.type.shape[dim]!;
  const back = on(b).sub(dimLit(n, "i32"), on(b).add(emit(b, "iota", { size: n }), 1));
  const selectors = x.type.shape.map((_, d) =>
    d === dim ? ({ kind: "gather", arg: 1 } as const) : ({ kind: "all" } as const),
  );
  return emit(b, "index", { selectors }, x, back);
}

export const reduceRules: Rules<"reduce" | "argmax" | "cumsum"> = {
  reduce: (r) => {
    const { b, args, params, ct } = r;
    const x = args[0]!;
    switch (params.kind) {
      // dx = dz everywhere
      case "sum":
        return [emit(b, "broadcast", { shape: x.type.shape }, kept(b, ct, params, x))];
      case "max":
      case "min":
        return [extreme(r)];
      case "prod":
        return [product(r)];
      default:
        return bug(`${params.kind} is of booleans`);
    }
  },
  argmax: null,
  // dx[i] = Σ_{j ≥ i} dz[j]
  cumsum: ({ b, params: { dim }, ct }) => [flipped(b, emit(b, "cumsum", { dim }, flipped(b, ct, dim)), dim)],
};
