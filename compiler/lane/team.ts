/**
 * Tile -> Lane, for targets whose threads are many and quick to meet: a team of threads (a workgroup, a thread block)
 * owns a tile together. Which thread holds which elements is a layout (team/layout.ts), chosen by rules: of kernels with
 * products of matrices in team/plan.ts, of others that sum along axes in team/sums.ts. Products go to tensor cores, operands
 * through shared memory (team/shared.ts), fetched while others are in use (team/fold.ts). What has no rule, or would not be
 * faster, is left to lower.ts, where each thread works alone.
 */
import type { Kernel } from "../tile/ir.ts";
import type { LaneProgram } from "./ir.ts";
import type { Mapping, TeamChoice } from "./map.ts";
import { estimate } from "./team/cost.ts";
import { lowerWarpgroups } from "./team/hopper/lower.ts";
import { lowerPlan } from "./team/lower.ts";
import { type Plans, type ProductPlan, plansFor } from "./team/plan.ts";
import { allFactors } from "./team/products.ts";
import { sharedBytesIn } from "./team/shared.ts";
import { splitLongSums } from "./team/split.ts";
import { planSums } from "./team/sums.ts";
import type { TeamTarget } from "./team/target.ts";

/** A kernel for a team, and the choice that made it. */
export type TeamProgram = { readonly program: LaneProgram; readonly choice: TeamChoice };

/**
 * The kernel's programs for teams that multiply matrices, best first, made as they are asked for. Where warpgroups have no
 * rule for it, those of the GPU's other ways, and a note says why.
 */
export function* teamsFor(kernel: Kernel, target: TeamTarget, plans = plansOf(kernel, target)): Generator<TeamProgram> {
  let some = false;
  for (const plan of target.pattern === "blocks" ? ranked(plans.all) : plans.all) {
    const program = target.otherwise ? lowerWarpgroups(plan) : lowerPlan(plan);
    if (sharedBytesIn(program.body) > target.sharedBytes) continue;
    some = true;
    yield { program, choice: plan.choice };
  }
  if (some || !target.otherwise) return;
  const why = `not for warpgroups: ${plans.reason()}`;
  for (const { program, choice } of teamsFor(kernel, target.otherwise))
    yield { program: { ...program, notes: [...program.notes, why] }, choice };
}
const plansOf = (kernel: Kernel, target: TeamTarget): Plans => plansFor(splitLongSums(kernel, target.sums), target);
/** What tensor cores multiply comes in order of the shapes; what threads multiply is weighed. */
const ranked = (plans: Iterable<ProductPlan>): readonly ProductPlan[] =>
  [...plans]
    .map((plan) => ({ plan, cycles: estimate(plan).cycles }))
    .sort((a, b) => a.cycles - b.cycles || a.plan.sharedBytes - b.plan.sharedBytes)
    .map(({ plan }) => plan);

/**
 * The kernel for the team that is chosen, or the best where the choice is not legal; or why each thread has to work alone, as
 * `alone` would have it.
 */
export function lowerTeam(
  kernel: Kernel,
  target: TeamTarget,
  choice?: TeamChoice,
  alone?: () => Mapping,
): LaneProgram | { readonly reason: string } {
  const plans = plansOf(kernel, target);
  let best: LaneProgram | undefined;
  for (const made of teamsFor(kernel, target, plans)) {
    if (!choice || sameChoice(made.choice, choice)) return made.program;
    best ??= made.program;
  }
  if (best) return best;
  if (target.otherwise) return lowerTeam(kernel, target.otherwise, choice, alone);
  const products = { reason: plans.reason() };
  // What threads have of a sum they join by shuffles.
  if (target.exchange < 32) return products;
  const sums = planSums(kernel, target, alone);
  if ("reason" in sums) return allFactors(kernel).length > 0 ? products : sums;
  const program = lowerPlan(sums);
  const bytes = sharedBytesIn(program.body);
  return bytes <= target.sharedBytes ? program : { reason: `what threads exchange takes ${bytes} bytes` };
}
const sameChoice = (a: TeamChoice, b: TeamChoice): boolean =>
  (Object.keys(a) as (keyof TeamChoice)[]).every((k) => a[k] === b[k]);
