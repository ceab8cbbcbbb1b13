/**
 * Tile -> Lane, for targets whose threads are many and quick to meet: a team of threads (a workgroup, a thread block)
 * owns a tile together. Which thread holds which elements is a layout (team/layout.ts), chosen by rules: of kernels with
 * products of matrices in team/plan.ts, of others that sum along axes, or read across memory, in team/sums.ts. Products go to tensor cores, operands
 * through shared memory (team/shared.ts), fetched while others are in use (team/fold.ts). What has no rule, or would not be
 * faster, is left to lower.ts, where each thread works alone.
 */
import type { Kernel } from "../tile/ir.ts";
import type { LaneProgram } from "./ir.ts";
import type { Mapping, TeamChoice } from "./map.ts";
import { estimate } from "./team/cost.ts";
import { lowerWarpgroups } from "./team/hopper/lower.ts";
import { lowerPlan } from "./team/lower.ts";
import { type Plan, type Plans, type ProductPlan, plansFor } from "./team/plan.ts";
import { allFactors } from "./team/products.ts";
import { sharedBytesOf } from "./team/shared.ts";
import { splitLongSums } from "./team/split.ts";
import { sumPlans, toBeat } from "./team/sums.ts";
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
    if (sharedBytesOf(program) > target.sharedBytes) continue;
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

/** The programs worth measuring: of teams that multiply matrices, or else the first that deal out axes without. */
export function* variantsFor(kernel: Kernel, target: TeamTarget): Generator<TeamProgram> {
  const plans = plansOf(kernel, target);
  let count = 0;
  for (const made of teamsFor(kernel, target, plans)) {
    count++;
    yield made;
  }
  if (count > 0 || plans.tooLarge()) return;
  for (const plan of sumPlans(kernel, target.otherwise ?? target).all) {
    const program = lowerSums(plan, target);
    if (program) yield { program, choice: plan.choice };
    if (program && ++count === MEASURED) return;
  }
}
/** Ways of one kernel without products that a tuner tries. */
const MEASURED = 8;
function lowerSums(plan: Plan, target: TeamTarget): LaneProgram | undefined {
  const program = lowerPlan(plan);
  return sharedBytesOf(program) <= target.sharedBytes ? program : undefined;
}

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
  if (plans.tooLarge()) return { reason: plans.reason() };
  const sums = withoutProducts(kernel, target, choice, alone);
  return "reason" in sums && allFactors(kernel).length > 0 ? { reason: plans.reason() } : sums;
}
function withoutProducts(
  kernel: Kernel,
  target: TeamTarget,
  choice: TeamChoice | undefined,
  alone: (() => Mapping) | undefined,
): LaneProgram | { readonly reason: string } {
  if (choice)
    for (const plan of sumPlans(kernel, target).all)
      if (sameChoice(plan.choice, choice)) {
        const program = lowerSums(plan, target);
        if (program) return program;
      }
  const most = alone ? toBeat(kernel, target, alone) : Number.POSITIVE_INFINITY;
  if (most === 0) return { reason: "nothing is joined along an axis" };
  const sums = sumPlans(kernel, target);
  for (const plan of sums.all) {
    if (plan.seconds >= most) return { reason: "no team would be faster" };
    const program = lowerSums(plan, target);
    if (program) return program;
  }
  return { reason: sums.reason() };
}
const sameChoice = (a: TeamChoice, b: TeamChoice): boolean => {
  const [x, y] = [a, b] as Readonly<Record<string, number>>[];
  return Object.keys({ ...x, ...y }).every((k) => x![k] === y![k]);
};
