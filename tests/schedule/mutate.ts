/** Breaking schedules: copies of one with something changed. */
import type { Loop, Schedule, Step } from "../../compiler/schedule/schedule.ts";
import type { Random } from "./random.ts";

type Mutable<T> = T extends readonly (infer E)[]
  ? Mutable<E>[]
  : T extends object
    ? { -readonly [K in keyof T]: Mutable<T[K]> }
    : T;
export type MutableSchedule = Mutable<Schedule>;
export type MutableStep = Mutable<Step>;

/** A deep copy after `change`. */
export function changed(s: Schedule, change: (copy: MutableSchedule) => void): Schedule {
  const copy = JSON.parse(JSON.stringify(s)) as MutableSchedule;
  change(copy);
  return copy as unknown as Schedule;
}

/** The lists of steps: the schedule's own and those of its loops. */
export function blocks(steps: MutableStep[]): MutableStep[][] {
  return [steps, ...steps.flatMap((s) => (s.kind === "loop" ? blocks(s.body as MutableStep[]) : []))];
}
export const allSteps = (s: MutableSchedule): MutableStep[] => blocks(s.steps as MutableStep[]).flat();
export const loopsOf = (s: MutableSchedule): Mutable<Loop>[] =>
  allSteps(s).filter((x) => x.kind === "loop") as Mutable<Loop>[];

/** Takes out the first step that `is` says; false where there is none. */
export function drop(s: MutableSchedule, is: (step: MutableStep) => boolean): boolean {
  for (const block of blocks(s.steps as MutableStep[])) {
    const at = block.findIndex(is);
    if (at >= 0) return block.splice(at, 1).length > 0;
  }
  return false;
}

/** One random change to where and when things are done (what is computed stays), or `undefined` where it finds nothing. */
export function randomMutant(s: Schedule, random: Random): Schedule | undefined {
  const some = <T>(list: readonly T[]): T | undefined => list[random(Math.max(1, list.length))];
  let did = false;
  const mutant = changed(s, (m) => {
    const steps = allSteps(m);
    const otherBuffer = (b: number) => (b + 1 + random(Math.max(1, m.buffers.length - 1))) % m.buffers.length;
    switch (random(12)) {
      case 0: {
        const block = some(blocks(m.steps as MutableStep[]).filter((b) => b.length > 1));
        if (!block) return;
        const at = random(block.length - 1);
        [block[at], block[at + 1]] = [block[at + 1]!, block[at]!];
        break;
      }
      case 1: {
        const block = some(blocks(m.steps as MutableStep[]).filter((b) => b.length > 1));
        if (!block) return;
        const [step] = block.splice(random(block.length), 1);
        block.splice(random(block.length + 1), 0, step!);
        break;
      }
      case 2: {
        const step = some(steps.filter((x) => x.kind === "launch"));
        const arg = step?.kind === "launch" ? some(step.args) : undefined;
        if (!arg) return;
        arg.buffer = otherBuffer(arg.buffer);
        break;
      }
      case 3: {
        const step = some(steps.filter((x) => x.kind === "send" || x.kind === "receive"));
        if (step?.kind !== "send" && step?.kind !== "receive") return;
        step.buffer = otherBuffer(step.buffer);
        break;
      }
      case 4: {
        const step = some(steps.filter((x) => x.kind === "copy"));
        if (step?.kind !== "copy") return;
        if (random(2) === 0) step.from = otherBuffer(step.from);
        else step.to = otherBuffer(step.to);
        break;
      }
      case 5: {
        const loop = some(loopsOf(m).filter((l) => l.rotate.length > 0));
        if (!loop) return;
        const at = random(loop.rotate.length);
        if (random(2) === 0) loop.rotate.splice(at, 1);
        else loop.rotate[at]!.reverse();
        if (random(3) === 0) loop.rotate.push([random(m.buffers.length), random(m.buffers.length)]);
        break;
      }
      case 6: {
        const carry = some(loopsOf(m).flatMap((l) => l.carry));
        if (!carry) return;
        if (random(2) === 0) carry.buffer = otherBuffer(carry.buffer);
        else if (carry.first !== undefined) delete (carry as { first?: number }).first;
        else carry.first = random(m.buffers.length);
        break;
      }
      case 7: {
        const step = some(steps.filter((x) => x.when !== undefined));
        if (!step) return;
        delete (step as { when?: string }).when;
        break;
      }
      case 8: {
        const step = some(loopsOf(m).flatMap((l) => l.body as MutableStep[]));
        if (!step) return;
        (step as { when?: string }).when = some(["first", "last", "not-first", "not-last"])!;
        break;
      }
      case 9: {
        // Another neighbour, on one end only.
        const step = some(steps.filter((x) => x.kind === "send" || x.kind === "receive"));
        if ((step?.kind !== "send" && step?.kind !== "receive") || step.route.kind !== "shift") return;
        if (random(2) === 0) step.route.offset += 1;
        else if (step.route.within !== undefined) delete (step.route as { within?: number }).within;
        else step.route.within = 1;
        break;
      }
      case 10: {
        // Two waits change places.
        const waits = steps.filter((x) => x.kind === "wait");
        const [a, b] = [some(waits), some(waits)];
        if (a?.kind !== "wait" || b?.kind !== "wait") return;
        [a.token, b.token] = [b.token, a.token];
        break;
      }
      default: {
        const step = some(steps);
        if (!step) return;
        drop(m, (x) => x === step);
      }
    }
    did = true;
  });
  return did && JSON.stringify(mutant) !== JSON.stringify(s) ? mutant : undefined;
}
