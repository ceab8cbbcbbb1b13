/** All that is derived from the data once, and again for another machine. */

import type { Machine as MachineFile } from "../../compiler/schedule/machine.ts";
import type { Launch, Schedule, Step, Transfer } from "../../compiler/schedule/schedule.ts";
import { lacking } from "../../compiler/schedule/simulate.ts";
import type { PageData, Place } from "../data.ts";
import { forecast } from "./forecast.ts";
import { deviceCount, receiverOf } from "./mesh.ts";
import { criticalPath, uncovered } from "./path.ts";
import { type Cost, type Played, play, type Span } from "./play.ts";
import { costs, fitted } from "./rates.ts";
import { happenedIn, type Run, type RunSpan, runOf, stepsOf, turnText } from "./run.ts";
import { type ListedStep, listSteps } from "./steps.ts";

/** A machine on which the schedule is predicted: one that can be simulated, or the one that it ran on. */
export type Machine = {
  readonly name: string;
  readonly note: string;
  readonly cost: Cost;
  readonly simulated?: MachineFile;
};

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
  /** Predictions of every device, where they are told apart; each transfer is on the device where it arrives. */
  readonly forecast: Run | undefined;
  readonly forecastPath: ReadonlySet<number>;
  readonly predictedAt: (step: number, turn: string) => Span | undefined;
};

/** The run's own times first, where there is a run. */
export function machinesOf(data: PageData): readonly Machine[] {
  const known = machines.get(data) ?? findMachines(data);
  machines.set(data, known);
  return known;
}
const machines = new WeakMap<PageData, readonly Machine[]>();

function findMachines(data: PageData): readonly Machine[] {
  const s = data.schedule;
  const fit = data.machines.filter((m) => lacking(s, m) === undefined);
  // Any schedule runs somewhere: a machine without the links that it needs is better than none.
  const known = (fit.length > 0 ? fit : data.machines).map(
    (m): Machine => ({
      name: m.name,
      note: m.about ?? m.name,
      cost: costs(s, m),
      ...(fit.length > 0 ? { simulated: m } : {}),
    }),
  );
  if (!data.measured) return known;
  const note = "each step as long as its median in this run";
  return [{ name: "as in this run", note, cost: fitted(listSteps(s), data.measured) }, ...known];
}

export function modelOf(data: PageData, machine: Machine): Model {
  const schedule = data.schedule;
  const listed = listSteps(schedule);
  const played = play(schedule, listed, machine.cost);
  const lanes = schedule.streams.map((_, i) => played.spans.filter((span) => span.stream === i));
  const devices = deviceCount(schedule.mesh);
  const run = data.measured && runOf(schedule, listed, played, happenedIn(data.measured), devices);
  const guess = machine.simulated && forecast(schedule, listed, played, machine.simulated, devices);
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
    forecast: guess,
    forecastPath: new Set(guess ? criticalPath(guess.spans, guess.needs) : []),
    predictedAt: (step, turn) => byKey.get(`${step} ${turn}`),
  };
}

/** False where there are too many devices to tell them apart, though masks or links may make them differ. */
export const apart = (m: Model): boolean => m.machine.simulated === undefined || m.forecast !== undefined;

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
  const run = at.measured ? m.run : m.forecast;
  if (run) {
    const span = run.find(at.device, at.step, at.turn);
    if (!span) return [];
    const { measured } = at;
    const to = (s: RunSpan): Selection => ({ step: s.step, turn: s.turn, device: s.device, measured });
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
  return m.forecast ? runSummary(m.forecast) : summary(m.played.end, compute, transfers.flat());
}

export const measuredSummary = (m: Model): Summary | undefined =>
  m.run && m.run.spans.length > 0 ? runSummary(m.run) : undefined;

/** The mean of its devices. */
function runSummary({ lanes, end }: Run): Summary {
  const all = lanes.map(([compute, ...rest]) =>
    summary(
      end,
      compute?.work ?? [],
      rest.flatMap((l) => l.work),
    ),
  );
  const mean = (of: (s: Summary) => number): number => all.reduce((t, s) => t + of(s), 0) / all.length;
  return { end, busy: mean((s) => s.busy), transfer: mean((s) => s.transfer), exposed: mean((s) => s.exposed) };
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

/**
 * Where a selection is found: what is sent is predicted where it arrives, on the device that it goes to, if devices are
 * told apart.
 */
export function foundAt(m: Model, at: Selection): Selection {
  const { step } = m.listed[at.step]!;
  if (at.measured || !m.forecast || step.kind !== "send") return at;
  const other = m.listed.find((l) => l.step.kind === "receive" && l.step.token === step.token);
  const device = receiverFor(m, at);
  return other && device !== undefined ? { ...at, step: other.index, device } : at;
}

/** The span of a selection: a predicted one, or that of the run. */
export function spanOf(m: Model, at: Selection): { readonly start: number; readonly end: number } | undefined {
  if (at.measured) return m.run?.find(at.device, at.step, at.turn);
  const there = foundAt(m, at);
  if (m.forecast) return m.forecast.find(there.device, there.step, there.turn);
  const span = m.predictedAt(at.step, at.turn);
  if (span) return span;
  // A receive is its neighbour's send, which is as long as its own.
  const { step } = m.listed[at.step]!;
  const send =
    step.kind === "receive" ? m.listed.find((l) => l.step.kind === "send" && l.step.token === step.token) : undefined;
  return send && m.predictedAt(send.index, at.turn);
}

/** Whether a selection is on the critical path. */
export function onPath(m: Model, at: Selection): boolean {
  const { device, step, turn } = foundAt(m, at);
  if (at.measured) return m.runPath.has(m.run?.find(device, step, turn)?.id ?? -1);
  if (m.forecast) return m.forecastPath.has(m.forecast.find(device, step, turn)?.id ?? -1);
  return m.path.has(m.predictedAt(step, turn)?.id ?? -1);
}
