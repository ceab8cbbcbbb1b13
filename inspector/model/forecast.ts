/** What a run on a machine would be: the simulator's spans of every device, tied to the steps of the schedule. */
import type { Machine } from "../../compiler/schedule/machine.ts";
import type { Schedule } from "../../compiler/schedule/schedule.ts";
import { simulate } from "../../compiler/schedule/simulate.ts";
import type { Played } from "./play.ts";
import { type Happened, type Run, runOf, turnText } from "./run.ts";
import type { ListedStep } from "./steps.ts";

/** The most spans that are simulated for all devices; beyond them one device stands for all. */
const MOST = 60_000;

/**
 * Undefined where there would be too many spans. The simulator gives them in the order in which they are done on each device,
 * and `played` knows in which turn of its loops each one is.
 */
export function forecast(
  s: Schedule,
  listed: readonly ListedStep[],
  played: Played,
  machine: Machine,
  devices: number,
): Run | undefined {
  if (played.shortened.length > 0 || played.spans.length * devices > MOST) return undefined;
  const { spans } = simulate(s, machine, { watch: Array.from({ length: devices }, (_, p) => p) });
  const turns = turnsOf(listed, played);
  const next = new Map<string, number>();
  const happened: Happened[] = [];
  for (const { position, label, start, end } of spans) {
    const key = `${position} ${label}`;
    const turn = turns.get(label)?.[next.get(key) ?? 0];
    if (turn === undefined) return undefined;
    next.set(key, (next.get(key) ?? 0) + 1);
    happened.push({ device: position, label, turn, start: start * 1e6, end: end * 1e6 });
  }
  return runOf(s, listed, played, happened, devices, "work");
}

/** The turns in which each step is done, in order; those of a receive are its send's. */
function turnsOf(listed: readonly ListedStep[], played: Played): ReadonlyMap<string, readonly string[]> {
  const receives = new Map(listed.flatMap(({ step }) => (step.kind === "receive" ? [[step.token, step.label]] : [])));
  const found = new Map<string, string[]>();
  for (const span of played.spans) {
    const { step } = listed[span.step]!;
    const label = step.kind === "send" ? (receives.get(step.token) ?? step.label) : step.label;
    const turns = found.get(label) ?? [];
    found.set(label, turns);
    turns.push(turnText(span.turn));
  }
  return found;
}
