/** Chooses a kernel's mapping: the cheapest of the candidates whose bodies and arrays the target takes. Deterministic. */
import { invariant } from "../base/invariant.ts";
import type { Kernel } from "../tile/ir.ts";
import { allowedOf, mappingOf } from "./allowed.ts";
import { candidatesOf } from "./candidates.ts";
import { checkMapping } from "./checkMapping.ts";
import { type Estimate, estimator } from "./cost.ts";
import type { Mapping, MappingChoice, MapTarget } from "./map.ts";

export function chooseMapping(kernel: Kernel, target: MapTarget): Mapping {
  const allowed = allowedOf(kernel);
  const best = rankMappings(kernel, target, allowed)[0]!;
  const wrong = checkMapping(allowed, best, target.maxThreads);
  invariant(wrong.length === 0, `the mapping of kernel ${kernel.name} is not legal: ${wrong.join("; ")}`);
  return best;
}

/** The mapping that a choice makes; undefined where there is none, or where it is not legal for this kernel and target. */
export function givenMapping(
  kernel: Kernel,
  choice: MappingChoice | undefined,
  target: MapTarget,
): Mapping | undefined {
  if (!choice) return undefined;
  const allowed = allowedOf(kernel);
  if (choice.axes.length !== allowed.axes.length || (choice.spread && !target.spread)) return undefined;
  const mapping = mappingOf(allowed, choice);
  return checkMapping(allowed, mapping, target.maxThreads).length === 0 ? mapping : undefined;
}

/** All candidates, the one that should be fastest first. */
export function rankMappings(kernel: Kernel, target: MapTarget, allowed = allowedOf(kernel)): readonly Mapping[] {
  const estimate = estimator(kernel, target);
  return candidatesOf(allowed, target)
    .map((choice) => mappingOf(allowed, choice))
    .map((mapping) => ({ mapping, score: scoreOf(estimate(mapping), mapping, target) }))
    .sort((a, b) => a.score - b.score)
    .map(({ mapping }) => mapping);
}

/** Time until the last of the launches that one compilation serves; too long a body, or too large an array, counts as many times worse. */
function scoreOf(e: Estimate, mapping: Mapping, target: MapTarget): number {
  const over =
    Math.max(1, e.body / (mapping.written ? target.written : target.body)) * Math.max(1, e.array / target.array);
  return (e.compile + e.run * target.costs.launches) * over ** 3;
}
