/** What a schedule sends. */
import type { Step, Transfer } from "../../compiler/schedule/schedule.ts";

/** Bytes that one device sends in a run, to others. */
export function bytesSent(steps: readonly Step[]): number {
  const times = (t: Transfer, count: number) =>
    t.when === undefined ? count : t.when.startsWith("not") ? count - 1 : 1;
  const within = (body: readonly Step[], count: number): number =>
    body.reduce((sum, step) => {
      if (step.kind === "loop") return sum + count * within(step.body, step.count);
      return step.kind === "send" ? sum + step.bytes * times(step, count) : sum;
    }, 0);
  return within(steps, 1);
}
