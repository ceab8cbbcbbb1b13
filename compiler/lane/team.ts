/**
 * Tile -> Lane, for targets whose threads are many and quick to meet: a team of threads (a workgroup, a thread block)
 * owns a tile together. Which thread holds which elements is a layout (team/layout.ts), chosen by rules (team/plan.ts);
 * products go to tensor cores, operands through shared memory (team/shared.ts), fetched while others are in use
 * (team/fold.ts). What has no rule yet is left to lower.ts, where each thread works alone.
 */
import type { Kernel } from "../tile/ir.ts";
import type { LaneProgram } from "./ir.ts";
import { lowerPlan } from "./team/lower.ts";
import { planTeam, type TeamTarget } from "./team/plan.ts";
import { sharedBytesIn } from "./team/shared.ts";
import { splitLongSums } from "./team/split.ts";

/** The kernel for teams, or why each thread has to work alone. */
export function lowerTeam(kernel: Kernel, target: TeamTarget): LaneProgram | { readonly reason: string } {
  const plan = planTeam(splitLongSums(kernel, target.sums), target);
  if ("reason" in plan) return plan;
  const program = lowerPlan(plan);
  const bytes = sharedBytesIn(program.body);
  return bytes <= target.sharedBytes ? program : { reason: `what threads exchange takes ${bytes} bytes` };
}
