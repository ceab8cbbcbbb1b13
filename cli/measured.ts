/** Times of kernels, as a run measured them: `run --measure` writes them, `simulate --measured` takes them in place of the model. */
import { existsSync } from "node:fs";
import type { Compiled } from "../compiler/compile.ts";
import { type Measured, meanShares } from "../compiler/schedule/durations.ts";
import type { Schedule, Step } from "../compiler/schedule/schedule.ts";
import { kernelKey } from "../compiler/tile/meaning.ts";
import type { TraceEvent } from "../runtime/trace.ts";
import { wrong } from "./exit.ts";
import { readJson, writeAtomic } from "./files.ts";

/**
 * A file of times. A kernel's key stands for what it computes, sizes included, and for no target. `seconds`: of a launch, the
 * mean over devices and steps; `share`: the mean share of its work that masks left, which is 1 without masks.
 */
type Times = {
  readonly kernels: {
    readonly [key: string]: {
      readonly name: string;
      readonly seconds: number;
      readonly launches: number;
      readonly share: number;
      readonly where: string;
    };
  };
};

/** Adds the times of a run to the file at `path`, which may be there already; gives the number of kernels. */
export function writeMeasured(path: string, compiled: Compiled, events: readonly TraceEvent[], where: string): number {
  const before = existsSync(path) ? readTimes(path).kernels : {};
  const now = [...kernelTimes(compiled.schedule, events)].map(([k, times]) => {
    const entry = { name: compiled.schedule.kernels[k]!.name, ...times, where };
    return [kernelKey(compiled.tile.kernels[k]!), entry] as const;
  });
  writeAtomic(path, `${JSON.stringify({ kernels: { ...before, ...Object.fromEntries(now) } }, null, 2)}\n`);
  return now.length;
}

/** What launches of each kernel took, by a run's trace. */
export function kernelTimes(
  schedule: Schedule,
  events: readonly TraceEvent[],
): ReadonlyMap<number, { readonly seconds: number; readonly launches: number; readonly share: number }> {
  const kernelOf = kernelsByLabel(schedule);
  const spent = new Map<number, number[]>();
  for (const { stream, name, start, end } of events) {
    const kernel = stream === "compute" ? kernelOf.get(name) : undefined;
    if (kernel !== undefined) spent.set(kernel, [...(spent.get(kernel) ?? []), Math.max(0, end - start) * 1e-6]);
  }
  const shares = meanShares(schedule);
  return new Map(
    [...spent].map(([k, seconds]) => {
      const masked = (schedule.kernels[k]!.work?.masked.length ?? 0) > 0;
      return [
        k,
        { seconds: masked ? mean(seconds) : median(seconds), launches: seconds.length, share: shares[k]! },
      ] as const;
    }),
  );
}

/** The times in the file at `path` of kernels that the program has. Stops (exit 1) where it is no such file. */
export function readMeasured(path: string, compiled: Compiled): Measured {
  const { kernels } = readTimes(path);
  return new Map(
    compiled.tile.kernels.flatMap((k, i) => {
      const found = kernels[kernelKey(k)];
      return found ? [[i, { seconds: found.seconds, share: found.share }] as const] : [];
    }),
  );
}

function readTimes(path: string): Times {
  const how = "`gyre run FILE --measure TIMES.json` writes one";
  const read = readJson(path, how);
  if (isTimes(read)) return read;
  throw wrong(`${path} is not a file of kernel times`, how);
}
const isTimes = (x: unknown): x is Times =>
  isRecord(x) &&
  isRecord(x.kernels) &&
  Object.values(x.kernels).every(
    (k) => isRecord(k) && isAmount(k.seconds) && isAmount(k.share) && typeof k.name === "string",
  );
const isRecord = (x: unknown): x is Readonly<Record<string, unknown>> =>
  typeof x === "object" && x !== null && !Array.isArray(x);
const isAmount = (x: unknown): boolean => typeof x === "number" && Number.isFinite(x) && x >= 0;

function kernelsByLabel(s: Schedule): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  const visit = (steps: readonly Step[]): void => {
    for (const step of steps) {
      if (step.kind === "launch") found.set(step.label, step.kernel);
      if (step.kind === "loop") visit(step.body);
    }
  };
  visit(s.steps);
  return found;
}

const mean = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0) / all.length;
const median = (all: readonly number[]): number => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)]!;
