/** All that is derived from the data once, and again for another machine. */
import type { Launch, Schedule, Step, Transfer } from "../../compiler/schedule/schedule.ts";
import type { PageData, Place } from "../data.ts";
import { deviceCount, receiverOf } from "./mesh.ts";
import { criticalPath, uncovered } from "./path.ts";
import { type Cost, type Played, play, type Span } from "./play.ts";
import { costs, fitted, MACHINES } from "./rates.ts";
import { type Run, type RunSpan, readRun, stepsOf, turnText } from "./run.ts";
import { type ListedStep, listSteps } from "./steps.ts";

/** A machine on which the schedule is played: one of given rates, or the one that it ran on. */
export type Machine = { readonly name: string; readonly note: string; readonly cost: Cost };

export type Model = {
  readonly data: PageData;
  readonly schedule: Schedule;
  readonly devices: number;
  readonly listed: readonly ListedStep[];
  readonly machine: Machine;
  readonly played: Played;
  /** Predicted spans of each stream, in order of time. */
  readonly lanes: readonly (readonly Span[])[];
  /** Numbers of predicted spans. */
  readonly path: ReadonlySet<number>;
  readonly run: Run | undefined;
  /** Numbers of measured spans. */
  readonly runPath: ReadonlySet<number>;
  readonly predictedAt: (step: number, turn: string) => Span | undefined;
};

/** The run's own times first, where there is a run. */
export function machinesOf(data: PageData): readonly Machine[] {
  const s = data.schedule;
  const known = MACHINES.map((rates) => ({ name: rates.name, note: rates.note, cost: costs(s, rates) }));
  if (!data.measured) return known;
  const own = fitted(s, listSteps(s), data.measured);
  return [{ name: "as in this run", note: "each step as long as its median in this run", cost: own }, ...known];
}

export function modelOf(data: PageData, machine: Machine): Model {
  const schedule = data.schedule;
  const listed = listSteps(schedule);
  const played = play(schedule, listed, machine.cost);
  const lanes = schedule.streams.map((_, i) => played.spans.filter((span) => span.stream === i));
  const devices = deviceCount(schedule.mesh);
  const run = data.measured && readRun(schedule, listed, played, data.measured, devices);
  const byKey = new Map(played.spans.map((p) => [`${p.step} ${turnText(p.turn)}`, p]));
  return {
    data,
    schedule,
    devices,
    listed,
    machine,
    played,
    lanes,
    run,
    path: new Set(criticalPath(played.spans, (i) => played.spans[i]!.needs)),
    runPath: new Set(run ? criticalPath(run.spans, run.needs) : []),
    predictedAt: (step, turn) => byKey.get(`${step} ${turn}`),
  };
}

/** A step in a turn of its loops on a device; whether it is looked at in the prediction or in the run. */
export type Selection = {
  readonly step: number;
  readonly turn: string;
  readonly device: number;
  readonly measured: boolean;
};

/** What a selected step has to do with: on which device, and which. */
export type Related = { readonly how: "needs" | "other end" | "needed by"; readonly to: Selection };

/** Those that it waited for, its transfer's other end, and those that waited for it. Worked out once for each selection. */
export function related(m: Model, at: Selection): readonly Related[] {
  const known = relations.get(m) ?? new Map<string, readonly Related[]>();
  relations.set(m, known);
  const key = keyOf(at);
  const found = known.get(key) ?? findRelated(m, at);
  known.set(key, found);
  return found;
}
const relations = new WeakMap<Model, Map<string, readonly Related[]>>();
/** One text for each selection. */
export const keyOf = (at: Selection): string => `${at.measured ? "m" : "p"} ${at.device} ${at.step} ${at.turn}`;

function findRelated(m: Model, at: Selection): readonly Related[] {
  const { step } = m.listed[at.step]!;
  if (at.measured && m.run) {
    const { run } = m;
    const span = run.find(at.device, at.step, at.turn);
    if (!span) return [];
    const to = (s: RunSpan): Selection => ({ step: s.step, turn: s.turn, device: s.device, measured: true });
    const users = run.spans.filter((s) => s.end >= span.start && run.needs(s.id).includes(span.id)).slice(0, 12);
    return [
      ...run.needs(span.id).map((n) => ({ how: "needs" as const, to: to(run.spans[n]!) })),
      ...users.map((s) => ({ how: s.kind === "arrival" ? ("other end" as const) : ("needed by" as const), to: to(s) })),
    ];
  }
  const span = m.predictedAt(at.step, at.turn);
  if (!span) return [];
  const here = (s: Span, device = at.device): Selection => ({
    step: s.step,
    turn: turnText(s.turn),
    device,
    measured: false,
  });
  const users = m.played.spans.filter((s) => s.needs.includes(span.id)).slice(0, 12);
  const needs = span.needs.map((n): Related => ({ how: "needs", to: here(m.played.spans[n]!) }));
  if (step.kind !== "send") return [...needs, ...users.map((u): Related => ({ how: "needed by", to: here(u) }))];
  const to = receiverFor(m, at);
  const other = m.listed.find((l) => l.step.kind === "receive" && l.step.token === step.token);
  const end: readonly Related[] =
    to === undefined || !other
      ? []
      : [{ how: "other end", to: { step: other.index, turn: at.turn, device: to, measured: false } }];
  // What arrives is used on the other device by the steps that here use what arrived here.
  return [
    ...needs,
    ...end,
    ...users.map(
      (u): Related => ({ how: "needed by", to: here(u, u.stream === span.stream ? at.device : (to ?? at.device)) }),
    ),
  ];
}

/** The device that a selected send goes to. */
export function receiverFor(m: Model, at: Selection): number | undefined {
  const l = m.listed[at.step]!;
  if (l.step.kind !== "send") return undefined;
  return receiverOf(m.schedule.mesh, l.step.axes, l.step.route, at.device, stepsOf(l, at.turn));
}

/** Where in the source a step was asked for. */
export function placeOf(m: Model, step: Step): Place | null {
  if (step.kind === "launch") return m.data.kernels[step.kernel]?.place ?? null;
  return "token" in step ? (m.data.transfers[step.token] ?? null) : null;
}

/** What a step does, where that is known: operations and bytes. */
export function workOf(m: Model, step: Launch | Transfer | Step): { readonly flops?: number; readonly bytes?: number } {
  if (step.kind === "launch") return m.schedule.kernels[step.kernel]!.cost ?? {};
  return "bytes" in step ? { bytes: step.bytes } : {};
}

/** A time in numbers: how long it all takes, how long the first stream is busy, and how long transfers are seen. */
export type Summary = {
  readonly end: number;
  readonly busy: number;
  readonly transfer: number;
  readonly exposed: number;
};

export function predictedSummary(m: Model): Summary {
  const [compute = [], ...transfers] = m.lanes;
  return summary(m.played.end, compute, transfers.flat());
}

/** Of the devices of the run, the mean. */
export function measuredSummary(m: Model): Summary | undefined {
  const { run } = m;
  if (!run || run.spans.length === 0) return undefined;
  const all = run.lanes.map(([compute, ...rest]) =>
    summary(
      run.end,
      compute?.work ?? [],
      rest.flatMap((l) => l.work),
    ),
  );
  const mean = (of: (s: Summary) => number): number => all.reduce((t, s) => t + of(s), 0) / all.length;
  return {
    end: run.end,
    busy: mean((s) => s.busy),
    transfer: mean((s) => s.transfer),
    exposed: mean((s) => s.exposed),
  };
}

type Timed = { readonly start: number; readonly end: number };
function summary(end: number, compute: readonly Timed[], transfers: readonly Timed[]): Summary {
  return {
    end,
    busy: uncovered(compute, []),
    transfer: uncovered(transfers, []),
    exposed: uncovered(transfers, compute),
  };
}

/** The span of a selection: a predicted one, or that of the run. */
export function spanOf(m: Model, at: Selection): { readonly start: number; readonly end: number } | undefined {
  if (at.measured) return m.run?.find(at.device, at.step, at.turn);
  const span = m.predictedAt(at.step, at.turn);
  if (span) return span;
  // A receive is its neighbour's send, which is as long as its own.
  const step = m.listed[at.step]!.step;
  const send =
    step.kind === "receive" ? m.listed.find((l) => l.step.kind === "send" && l.step.token === step.token) : undefined;
  return send && m.predictedAt(send.index, at.turn);
}
