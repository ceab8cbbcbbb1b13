/**
 * The order of the steps of a block: transfers start as soon as their operand is there and are waited for as late as can
 * be; meanwhile whatever does not need what is under way is done, in the order of the program.
 *
 *   before                          after
 *   start k → k'                    start k → k'
 *   launch use (k')                 launch other (x)
 *   launch other (x)                wait k'
 *                                   launch use (k')
 *
 * What is still under way at the end of a block (the carries of a ring) is waited for there.
 */
import { invariant } from "../base/invariant.ts";
import { type Flow, makes, type StartFlow, uses, type WaitFlow } from "./flow.ts";

/** Orders `steps` and those of the loops in them, and adds the waits. */
export function overlap(steps: readonly Flow[]): readonly Flow[] {
  const ordered: Flow[] = [];
  const missing = new Set(steps.flatMap(makes));
  const flying = new Map<number, StartFlow>();
  let left = steps.map((step) => (step.kind === "loop" ? { ...step, body: overlap(step.body) } : step));

  const emit = (step: Flow) => {
    ordered.push(step);
    for (const a of makes(step)) missing.delete(a);
    if (step.kind === "start") flying.set(step.output, step);
  };
  const land = (start: StartFlow) => {
    ordered.push(waitFor(start));
    flying.delete(start.output);
  };
  const needs = new Map<Flow, readonly number[]>(left.map((step) => [step, uses(step)]));
  const made = (step: Flow) => needs.get(step)!.every((a) => !missing.has(a));
  const landed = (step: Flow) => needs.get(step)!.every((a) => !flying.has(a));
  const ready = (step: Flow) => made(step) && landed(step);

  while (left.length > 0) {
    const next = left.find((s) => s.kind === "start" && ready(s)) ?? left.find(ready) ?? left.find(made);
    invariant(next, "overlap: steps that wait for each other in a circle");
    for (const a of needs.get(next)!) {
      const start = flying.get(a);
      if (start) land(start);
    }
    emit(next);
    left = left.filter((s) => s !== next);
  }
  for (const start of [...flying.values()]) land(start);
  return ordered;
}

const waitFor = (start: StartFlow): WaitFlow => ({
  kind: "wait",
  token: start.token,
  input: start.input,
  output: start.output,
  ...(start.when ? { when: start.when } : {}),
});
