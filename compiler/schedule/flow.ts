/**
 * Flow: a device program on its way to a schedule. Arrays are written once and have no place yet; every transfer has two
 * steps, its start and its wait. The passes: simplify.ts (HostSteps → Flow), overlap.ts (order), memory.ts (→ Schedule).
 *
 *   flow ::= launch kernel (array…) | start token | wait token | copy | loop count with carry { flow* }
 */
import type { Route, When } from "./schedule.ts";

export type Flow = LaunchFlow | StartFlow | WaitFlow | CopyFlow | LoopFlow;

/** `arrays[k]` for the kernel's buffer k. `reads` and `writes` list them once each; `updates.from` is among `reads`. */
export type LaunchFlow = {
  readonly kind: "launch";
  readonly when?: When;
  readonly kernel: number;
  readonly arrays: readonly number[];
  readonly reads: readonly number[];
  readonly writes: readonly number[];
  /** `array`, an output, starts as the contents of `from`. */
  readonly updates: readonly { readonly array: number; readonly from: number }[];
};
export type StartFlow = {
  readonly kind: "start";
  readonly when?: When;
  readonly token: number;
  readonly input: number;
  readonly output: number;
  readonly axes: readonly string[];
  readonly route: Route;
  /** In the first step nothing is sent: this kernel makes what would arrive. Then `when` is absent. */
  readonly still?: number;
};
export type WaitFlow = {
  readonly kind: "wait";
  readonly when?: When;
  readonly token: number;
  readonly input: number;
  readonly output: number;
};
/** `output`: another array with the same contents. */
export type CopyFlow = { readonly kind: "copy"; readonly when?: When; readonly input: number; readonly output: number };
export type LoopFlow = {
  readonly kind: "loop";
  readonly when?: When;
  readonly id: number;
  readonly count: number;
  readonly carry: readonly CarryFlow[];
  readonly body: readonly Flow[];
};
export type CarryFlow = {
  readonly init: number;
  readonly inside: number;
  readonly next: number;
  readonly out: number | null;
};

/** The arrays that a step reads (a wait touches both ends of its transfer; a loop, what its body takes from outside). */
export function uses(step: Flow): readonly number[] {
  switch (step.kind) {
    case "launch":
      return step.reads;
    case "start":
    case "copy":
      return [step.input];
    case "wait":
      return [step.input, step.output];
    case "loop":
      return [...new Set([...step.carry.map((c) => c.init), ...outerUses(step)])];
  }
}

/** The arrays that a step makes, as seen by the steps beside it. */
export function makes(step: Flow): readonly number[] {
  switch (step.kind) {
    case "launch":
      return step.writes;
    case "start":
    case "copy":
      return [step.output];
    case "wait":
      return [];
    case "loop":
      return step.carry.flatMap((c) => (c.out === null ? [] : [c.out]));
  }
}

/** What a loop's body, or its next carry, takes from outside of the loop. */
export function outerUses(loop: LoopFlow): readonly number[] {
  const inner = new Set([...loop.body.flatMap(makes), ...loop.carry.map((c) => c.inside)]);
  const used = new Set([...loop.body.flatMap(uses), ...loop.carry.map((c) => c.next)]);
  return [...used].filter((a) => !inner.has(a));
}

/** The same step with its arrays renamed, loops all the way down. */
export function renameArrays(step: Flow, to: (array: number) => number): Flow {
  switch (step.kind) {
    case "launch":
      return {
        ...step,
        arrays: step.arrays.map(to),
        reads: [...new Set(step.reads.map(to))],
        writes: step.writes.map(to),
        updates: step.updates.map((u) => ({ array: to(u.array), from: to(u.from) })),
      };
    case "start":
    case "wait":
    case "copy":
      return { ...step, input: to(step.input), output: to(step.output) };
    case "loop":
      return {
        ...step,
        carry: step.carry.map((c) => ({
          init: to(c.init),
          inside: to(c.inside),
          next: to(c.next),
          out: c.out === null ? null : to(c.out),
        })),
        body: step.body.map((s) => renameArrays(s, to)),
      };
  }
}
