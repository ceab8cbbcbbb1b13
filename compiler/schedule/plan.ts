/** DeviceProgram → Schedule: the whole order of the passes. */
import { invariant } from "../base/invariant.ts";
import { launchSeconds, type Machine } from "../base/machine.ts";
import type { DeviceProgram } from "../tile/ir.ts";
import { kernelSeconds, linkSeconds } from "./cost.ts";
import { explain } from "./explain.ts";
import type { Flow } from "./flow.ts";
import { byBytes, fewest, late } from "./late.ts";
import { assignMemory } from "./memory.ts";
import { joinMessages } from "./messages.ts";
import { type FlowCosts, type Moves, overlap } from "./overlap.ts";
import type { Decision, Kernel, Schedule, SplitLoop } from "./schedule.ts";
import { sequential } from "./sequential.ts";
import { type Simple, simplify } from "./simplify.ts";
import { bytesOf } from "./values.ts";

export type PlanOptions = {
  /** Paths of inputs whose memory may be overwritten; an output may then take their place. */
  readonly donate?: readonly string[];
  /** `false`: every transfer is waited for as soon as it was started, and starts when all before it is done. */
  readonly overlap?: boolean;
  /** What the schedule's decisions are weighed on; without one, it tells none. */
  readonly machine?: Machine;
  /** Bytes that the schedule may take on each device, where it can. */
  readonly memory?: number;
  /** What was decided before there was a schedule. */
  readonly chosen?: readonly Decision[];
  readonly splits?: readonly SplitLoop[];
};

/**
 * Plans `program`. `kernels[k]` says how kernel k is launched (its text is the emitter's); the order is the program's.
 * Takes time linear in the program; sizes of mesh, arrays and loops do not enter.
 */
export function plan(program: DeviceProgram, kernels: readonly Kernel[], options: PlanOptions = {}): Schedule {
  invariant(
    kernels.length === program.kernels.length && kernels.every((k, i) => k.name === program.kernels[i]!.name),
    "plan: the kernels' meta data are not in the order of the program's kernels",
  );
  const donate = new Set(options.donate);
  const donated = new Set(program.inputs.filter((i) => donate.has(i.port.path)).map((i) => i.array));
  const simple = simplify(program, donated);
  const { machine, chosen = [], splits = [] } = options;
  const moves: Moves = new Map();
  const costs = machine && flowCosts(program, kernels, simple, machine);
  const ordered =
    options.overlap === false ? sequential(simple.steps) : overlap(simple.steps, { moves, ...(costs && { costs }) });
  const placed = (steps: readonly Flow[], standIn?: boolean): Schedule =>
    assignMemory(program, kernels, simple, steps, donate, standIn);
  const first = placed(ordered);
  const limit = options.memory;
  const schedule =
    limit === undefined || first.memory.bytes <= limit
      ? first
      : smaller(program, simple, ordered, placed, first, limit);
  const turns: Partial<Schedule> = {
    ...(options.overlap === false && { inTurn: true }),
    ...(splits.length > 0 && { splits }),
  };
  if (!machine) return { ...schedule, ...turns };
  const joined = joinMessages(schedule, machine);
  const made = [...alike(chosen), ...joined.made, ...explain(joined.schedule, moves, machine)].sort(
    (a, b) => worth(b) - worth(a),
  );
  return { ...joined.schedule, ...turns, decisions: { on: machine.name, made } };
}
/** The schedule with as few transfers late as it takes to stay under the limit, or as many as there are. */
function smaller(
  program: DeviceProgram,
  simple: Simple,
  ordered: readonly Flow[],
  placed: (steps: readonly Flow[], standIn?: boolean) => Schedule,
  first: Schedule,
  limit: number,
): Schedule {
  const starts = byBytes(ordered, bytesIn(program, simple));
  if (starts.length === 0) return first;
  const within = (standIn: boolean): { readonly count: number; readonly made: Schedule } => {
    const tried = new Map<number, Schedule>();
    const withLate = (count: number): Schedule => {
      const tokens = new Set(starts.slice(0, count).map((s) => s.token));
      const known = tried.get(count) ?? placed(late(ordered, tokens), standIn);
      tried.set(count, known);
      return known;
    };
    const count = fewest(starts.length, (n) => withLate(n).memory.bytes <= limit);
    return { count, made: withLate(count) };
  };
  const kept = within(true);
  const copied = kept.made.memory.bytes > limit ? within(false) : kept;
  const { count, made } = copied.made.memory.bytes < kept.made.memory.bytes ? copied : kept;
  if (made.memory.bytes >= first.memory.bytes) return first;
  return { ...made, memory: { ...made.memory, late: { transfers: count, without: first.memory.bytes } } };
}

/** Decisions that say the same of several things of one name are one. */
function alike(all: readonly Decision[]): readonly Decision[] {
  const found = new Map<string, Decision[]>();
  for (const d of all) {
    const key = `${d.about} ${d.what}`;
    found.set(key, [...(found.get(key) ?? []), d]);
  }
  return [...found.values()].map((ds): Decision => {
    const saves = ds.reduce((sum, d) => sum + worth(d), 0);
    return { about: ds[0]!.about, what: ds[0]!.what + (ds.length > 1 ? ` (${ds.length} of them)` : ""), saves };
  });
}
const worth = (d: Decision): number => ("hides" in d ? d.hides : d.saves);

function flowCosts(program: DeviceProgram, kernels: readonly Kernel[], simple: Simple, machine: Machine): FlowCosts {
  const seconds = kernelSeconds(kernels, program.mesh, program.steps, machine);
  const bytes = bytesIn(program, simple);
  return {
    kernel: (step) =>
      step.kind === "launch" ? seconds[step.kernel]! : launchSeconds(machine, 0, 2 * bytes(step.input)),
    transfer: ({ axes, route, input }) =>
      linkSeconds(machine, program.mesh, axes, route, bytes(input), JSON.stringify([axes, route])),
  };
}

/** Bytes of a local array, or of what it is a copy of. */
function bytesIn(program: DeviceProgram, { copies }: Simple): (array: number) => number {
  const arrays = new Map(program.arrays.map((a) => [a.id, a]));
  return (array) => {
    const { dtype, shape } = arrays.get(copies.get(array) ?? array)!;
    return bytesOf(dtype, shape);
  };
}
