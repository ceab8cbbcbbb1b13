/** The steps of a schedule as a list, with what a reader asks of each. */
import type { Schedule, Step } from "../../compiler/schedule/schedule.ts";

/** `index` is its place in the list; `depth` the number of loops around it; `loops` their ids, the outer first. */
export type ListedStep = {
  readonly index: number;
  readonly depth: number;
  readonly loops: readonly number[];
  readonly step: Step;
};

/** All steps in the order in which they are written, a loop before its body. */
export function listSteps(s: Schedule): readonly ListedStep[] {
  const found: ListedStep[] = [];
  const walk = (steps: readonly Step[], loops: readonly number[]): void => {
    for (const step of steps) {
      found.push({ index: found.length, depth: loops.length, loops, step });
      if (step.kind === "loop") walk(step.body, [...loops, step.id]);
    }
  };
  walk(s.steps, []);
  return found;
}

/** `out_lse(seen_lse, q) → out, lse`, `send k_1`, `wait for k_2`, `loop 0 × 4`. */
export function describe(s: Schedule, step: Step): string {
  const name = (value: number): string => s.values[value]?.name ?? "?";
  switch (step.kind) {
    case "launch": {
      const { name: kernel, bindings } = s.kernels[step.kernel]!;
      const list = (read: boolean): string =>
        step.args
          .filter((_, i) => (bindings[i]?.access === "read") === read)
          .map((a) => name(a.value))
          .join(", ");
      return `${kernel}(${list(true)}) → ${list(false)}`;
    }
    case "loop":
      return `${step.label} × ${step.count}`;
    default:
      return step.label;
  }
}

/** In words, when a step of a loop is done; empty for always. */
export const WHEN = {
  first: "only in the first step",
  last: "only in the last step",
  "not-first": "not in the first step",
  "not-last": "not in the last step",
} as const;

/** `f32[1, 64, 4]` */
export const typeText = (v: { readonly dtype: string; readonly shape: readonly number[] }): string =>
  v.shape.length === 0 ? v.dtype : `${v.dtype}[${v.shape.join(", ")}]`;
