/**
 * Less overlap for less memory: transfers that begin only where they are waited for, so that what arrives takes its place
 * no earlier than it must.
 *
 *   before                 late
 *   start w → w'           launch use (x)
 *   launch use (x)         start w → w'
 *   wait w'                wait w'
 *
 * What is sent stays until the wait in both; so nothing needs more memory than before. Of several transfers that end together
 * one follows the other, and the second may arrive where the first came from.
 */
import type { Flow, StartFlow } from "./flow.ts";

/** The same steps, loops all the way down, with the starts of `tokens` right before their waits. */
export function late(steps: readonly Flow[], tokens: ReadonlySet<number>): readonly Flow[] {
  const held = new Map<number, StartFlow>();
  return steps.flatMap((step): readonly Flow[] => {
    if (step.kind === "loop") return [{ ...step, body: late(step.body, tokens) }];
    if (step.kind === "start" && tokens.has(step.token)) {
      held.set(step.token, step);
      return [];
    }
    const start = step.kind === "wait" ? held.get(step.token) : undefined;
    return start ? [start, step] : [step];
  });
}

/** All transfers, those first that bring most bytes; of equals the last, which can arrive where those before it came from. */
export function byBytes(steps: readonly Flow[], bytes: (array: number) => number): readonly StartFlow[] {
  const starts = (all: readonly Flow[]): readonly StartFlow[] =>
    all.flatMap((s) => (s.kind === "loop" ? starts(s.body) : s.kind === "start" ? [s] : []));
  return [...starts(steps)].reverse().sort((a, b) => bytes(b.output) - bytes(a.output));
}

/**
 * The least number of them, the first ones first, that must be late so that it fits; all, where it never does. `fits` is asked
 * a few times: for 1, 2, 4, … and then between two of these.
 */
export function fewest(count: number, fits: (late: number) => boolean): number {
  let [low, high] = [0, 1];
  while (high < count && !fits(high)) [low, high] = [high, 2 * high];
  high = Math.min(high, count);
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (fits(middle)) high = middle;
    else low = middle;
  }
  return high;
}
