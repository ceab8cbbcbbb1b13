/** What a candidate takes: it is compiled as far as its schedule, and that is played on the machine. */
import { isError } from "../compiler/base/diagnostic.ts";
import { scheduleProgram } from "../compiler/compile.ts";
import type { Found } from "../compiler/core/elaborate/choices.ts";
import { elaborateEntry } from "../compiler/core/elaborate.ts";
import { largestTable } from "../compiler/schedule/durations.ts";
import { lacking, simulate } from "../compiler/schedule/simulate.ts";
import { type Candidate, choicesOf, type Outcome, type Question } from "./candidate.ts";

/** The size of a table of costs beyond which a mask on a mesh is not simulated. */
export const MOST_COSTS = 2 ** 24;

/** The program of a candidate, with what there is to choose, or why there is none. */
export function elaborated(q: Question, c: Candidate) {
  const { entry, dims } = q;
  const { program, found, diagnostics } = elaborateEntry(q.path, q.read, {
    entry,
    dims,
    meshSizes: c.mesh,
    choices: choicesOf(c, q),
  });
  return { program, found: found as Found | undefined, errors: diagnostics.filter(isError) };
}

export function evaluate(q: Question, candidate: Candidate): Outcome {
  const cannot = (why: string): Outcome => ({ kind: "cannot", candidate, why });
  const { program, errors } = elaborated(q, candidate);
  if (!program) return cannot(errors[0]?.message ?? "it cannot be compiled");
  const { schedule, diagnostics } = scheduleProgram(program, { machine: q.machine, memory: q.memory });
  if (!schedule) return cannot(diagnostics.find(isError)?.message ?? "it cannot be compiled");
  const missing = lacking(schedule, q.machine);
  if (missing !== undefined) return cannot(`the machine has no ${missing}`);
  if (largestTable(schedule) > MOST_COSTS) return cannot("masks on a mesh of this size are not simulated");
  const { seconds, busy, exposed, late } = simulate(schedule, q.machine);
  return { kind: "runs", candidate, seconds, busy, exposed, late, bytes: schedule.memory.bytes };
}
