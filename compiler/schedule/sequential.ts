/**
 * The order of the program, every transfer waited for as soon as it was started: with `inTurn`, nothing overlaps. It is what
 * overlap.ts is measured against.
 */
import type { Flow } from "./flow.ts";
import { waitFor } from "./overlap.ts";

export const sequential = (steps: readonly Flow[]): readonly Flow[] =>
  steps.flatMap((step): readonly Flow[] => {
    if (step.kind === "loop") return [{ ...step, body: sequential(step.body) }];
    return step.kind === "start" ? [step, waitFor(step)] : [step];
  });
