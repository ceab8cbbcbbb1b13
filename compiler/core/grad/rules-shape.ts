/** Derivatives of what moves elements about: the cotangent moves back. `dz` is the cotangent of the result. */
import { type Dim, dimAdd } from "../../base/dim.ts";
import { type Builder, emit } from "../build.ts";
import type { Atom, Selector } from "../ir.ts";
import { inverse, reshaped, through, transposed, wanted } from "./terms.ts";
import type { Rules } from "./transpose.ts";

/** Rows start … start+size-1 of dimension `dim`. */
function rowsOf(b: Builder, x: Atom, dim: number, start: Dim, size: Dim): Atom {
  const selectors = x.type.shape.map(
    (_, i): Selector => (i === dim ? { kind: "slice", start, size } : { kind: "all" }),
  );
  return emit(b, "index", { selectors }, x);
}

export const shapeRules: Rules<
  "full" | "reshape" | "transpose" | "broadcast" | "concat" | "iota" | "pos" | "optimization_barrier"
> = {
  // dx = dz, summed over what it was stretched along
  full: through,
  broadcast: through,
  // dx = dz in x's shape
  reshape: ({ b, args, ct }) => [reshaped(b, ct, args[0]!.type.shape)],
  // dx = dz by the inverse permutation
  transpose: ({ b, params, ct }) => [transposed(b, ct, inverse(params.perm))],
  // each operand's own rows of dz
  concat: (r) => {
    const { dim } = r.params;
    let end: Dim = 0;
    const parts = r.args.map((a) => {
      const start = end,
        size = a.type.shape[dim]!;
      end = dimAdd(start, size);
      return () => rowsOf(r.b, r.ct, dim, start, size);
    });
    return wanted(r, ...parts);
  },
  iota: null,
  pos: null,
  // dx = dz
  optimization_barrier: through,
};
