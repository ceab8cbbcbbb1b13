/** Chooses a kernel's mapping: the cheapest of the candidates whose bodies and arrays the target takes. Deterministic. */
import type { Kernel } from "../tile/ir.ts";
import { allowedOf, mappingOf } from "./allowed.ts";
import { candidatesOf } from "./candidates.ts";
import { type Estimate, estimator } from "./cost.ts";
import type { Mapping, MapTarget } from "./map.ts";

export function chooseMapping(kernel: Kernel, target: MapTarget): Mapping {
  const allowed = allowedOf(kernel);
  const estimate = estimator(kernel, target);
  let best: { readonly mapping: Mapping; readonly score: number } | undefined;
  for (const choice of candidatesOf(allowed, target)) {
    const mapping = mappingOf(allowed, choice);
    const score = scoreOf(estimate(mapping), target);
    if (!best || score < best.score) best = { mapping, score };
  }
  return best!.mapping;
}

/** Time until the last of the launches that one compilation serves; too long a body, or too large an array, counts as many times worse. */
function scoreOf(e: Estimate, target: MapTarget): number {
  const over = Math.max(1, e.body / target.body) * Math.max(1, e.array / target.array);
  return (e.compile + e.run * target.costs.launches) * over ** 3;
}
