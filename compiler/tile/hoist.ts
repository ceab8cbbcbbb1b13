/**
 * What a loop of the program computes anew in each step, and always the same, is computed once before it.
 *
 *   loop × n { launch k (w) -> u;  launch m (x, u) -> y }      becomes      launch k (w) -> u;  loop × n { launch m (x, u) -> y }
 *
 * What the loop writes over stays in it, and so do kernels that read nothing: it is quicker to make such an array again than
 * to keep one and copy it.
 */
import type { DeviceProgram, HostStep, Kernel } from "./ir.ts";

type Launch = Extract<HostStep, { readonly kind: "launch" }>;
type Loop = Extract<HostStep, { readonly kind: "loop" }>;

/** The program with such launches before their loops, as far out as they can go. Takes time linear in its size. */
export function hoistFromLoops(p: DeviceProgram): DeviceProgram {
  const outwards = (steps: readonly HostStep[]): readonly HostStep[] =>
    steps.flatMap((s) => (s.kind === "loop" ? taken({ ...s, body: outwards(s.body) }, p.kernels) : [s]));
  return { ...p, steps: outwards(p.steps) };
}

/** What can be taken out of a loop, in its order, and the loop without it. */
function taken(loop: Loop, kernels: readonly Kernel[]): readonly HostStep[] {
  if (loop.count < 2) return [loop];
  const made = new Set([...loop.carry.map((c) => c.inside), ...loop.body.flatMap((s) => madeBy(s, kernels))]);
  const written = new Set([...loop.carry.map((c) => c.next), ...loop.body.flatMap(overwrittenBy)]);
  const before: Launch[] = [];
  const body: HostStep[] = [];
  for (const s of loop.body) {
    if (s.kind !== "launch" || !isSame(s, kernels, loop.id, made, written)) body.push(s);
    else {
      before.push(s);
      for (const array of madeBy(s, kernels)) made.delete(array);
    }
  }
  return [...before, { ...loop, body }];
}
/** Whether a launch does the same in each step. */
function isSame(
  s: Launch,
  kernels: readonly Kernel[],
  loop: number,
  made: ReadonlySet<number>,
  written: ReadonlySet<number>,
): boolean {
  const { buffers, scalars } = kernels[s.kernel]!;
  const reads = s.buffers.filter((_, k) => buffers[k]!.access === "read");
  return (
    s.updates.length === 0 &&
    reads.length > 0 &&
    !reads.some((array) => made.has(array)) &&
    !madeBy(s, kernels).some((array) => written.has(array)) &&
    !scalars.some((x) => x.kind === "step" && x.loop === loop)
  );
}

/** The arrays that a step makes. */
function madeBy(s: HostStep, kernels: readonly Kernel[]): readonly number[] {
  switch (s.kind) {
    case "launch":
      return s.buffers.filter((_, k) => kernels[s.kernel]!.buffers[k]!.access !== "read");
    case "permute":
      return [s.output];
    case "loop":
      return s.carry.flatMap((c) => (c.out === null ? [] : [c.out]));
  }
}
/** The arrays in whose place a step may put others. */
function overwrittenBy(s: HostStep): readonly number[] {
  switch (s.kind) {
    case "launch":
      return s.updates.map((u) => u.from);
    case "permute":
      return [];
    case "loop":
      return [...s.carry.map((c) => c.init), ...s.body.flatMap(overwrittenBy)];
  }
}
