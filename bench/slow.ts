/** Who need not be tried: what a contender took for a smaller workload of the same kind tells what it would take. */
import type { Contender } from "./contenders/contender.ts";
import type { Results } from "./race.ts";
import { workloads } from "./workloads/table.ts";
import type { Workload } from "./workloads/workload.ts";

/** Why not, or `undefined` where it is to be tried. */
export function tooSlow(
  { name }: Contender,
  { problem, flops }: Workload,
  results: Results,
  patienceMs: number,
): string | undefined {
  const before = workloads.flatMap((w) => {
    const outcome = w.problem.kind === problem.kind && results.get(w.name)?.get(name);
    return outcome ? [{ outcome, flops: w.flops }] : [];
  });
  if (before.some(({ outcome }) => outcome.is === "failed" && outcome.why.startsWith("no answer"))) return "not tried";
  // The masked workloads of peers that hide nothing cost what full ones do: the least rate is too hopeful by no more than 2.
  const rates = before.flatMap(({ outcome, flops }) => (outcome.is === "measured" ? [flops / outcome.ms] : []));
  if (rates.length === 0) return undefined;
  const predicted = flops / Math.max(...rates);
  return predicted > patienceMs ? `not tried: about ${(predicted / 1000).toFixed(0)} s` : undefined;
}
