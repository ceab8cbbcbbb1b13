/**
 * Derivatives of collectives. The cotangent of a value that is the same along an axis is the same too, so what it adds
 * to the cotangent of one that varies is widened, and what varies is summed where it is to be the same: by `contribute`
 * and `takeCotangent`, so that here `psum` and `pvary` give the cotangent as it is.
 */
import { emit } from "../build.ts";
import type { Route } from "../ir.ts";
import type { Collective } from "../meaning.ts";
import { devices, on, through } from "./terms.ts";
import { dimLit, type OpRule, type Rules } from "./transpose.ts";

/** The way back. */
const reversed = (route: Route): Route => {
  if (route.kind === "pairs") return { kind: "pairs", pairs: route.pairs.map(([from, to]) => [to, from] as const) };
  const offset = 0 - route.offset;
  return route.step === undefined ? { ...route, offset } : { ...route, offset, perStep: 0 - (route.perStep ?? 1) };
};

/** dx = dz / n on the n devices where x = z, 0 on the others */
const extreme: OpRule<"pmax" | "pmin"> = ({ b, args, params: { axes }, out, ct }) => {
  const x = args[0]!;
  const { eq, cast, where, div } = on(b);
  const taken = eq(x, out);
  const count = emit(b, "psum", { axes }, cast(taken, x.type.dtype));
  return [where(taken, div(ct, count), 0)];
};

export const collectiveRules: Rules<Collective | "pvary" | "axis_index"> = {
  // dx = dz; it varies over more axes than x: summed over them
  pvary: through,
  // dx = dz on every device
  psum: through,
  pmax: extreme,
  pmin: extreme,
  // dx = dz, sent back
  ppermute: ({ b, params: { axes, route }, ct }) => [emit(b, "ppermute", { axes, route: reversed(route) }, ct)],
  // dx = the device's own piece of dz
  all_gather: ({ b, args, params: { axes, dim }, ct }) => {
    const size = args[0]!.type.shape[dim]!;
    const start = on(b).mul(emit(b, "axis_index", { axes }), dimLit(size, "i32"));
    return [emit(b, "dynamic_slice", { dim, size }, ct, start)];
  },
  // dx = everyone's dz
  psum_scatter: ({ b, params, ct }) => [emit(b, "all_gather", params, ct)],
  // dx = dz, cut where pieces were joined and joined where x was cut
  all_to_all: ({ b, params: { axes, split, concat }, ct }) => [
    emit(b, "all_to_all", { axes, split: concat, concat: split }, ct),
  ],
  // dx = dz / n on each of n devices, for each of them has z
  unvary: ({ b, params: { axes }, ct }) => [on(b).div(ct, dimLit(devices(b, axes), ct.type.dtype))],
  axis_index: null,
};
