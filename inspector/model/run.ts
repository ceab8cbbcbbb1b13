/** A measured run, read back from its columns and tied to the steps of the schedule. */
import type { Schedule, Transfer } from "../../compiler/schedule/schedule.ts";
import type { Measured } from "../data.ts";
import { senderOf } from "./mesh.ts";
import type { Played } from "./play.ts";
import type { ListedStep } from "./steps.ts";

/** `step` is a number in the list of steps, `turn` as in the trace: `0.3`. */
export type RunSpan = {
  readonly id: number;
  readonly device: number;
  readonly step: number;
  readonly turn: string;
  /** Launches, copies and sends are work; a receive arrives; a wait is the host's. */
  readonly kind: "work" | "arrival" | "wait";
  /** Of the schedule; of a wait 0. */
  readonly stream: number;
  readonly start: number;
  readonly end: number;
};

export type Run = {
  readonly spans: readonly RunSpan[];
  readonly end: number;
  /** `lanes[device][stream]`, in order of time. */
  readonly lanes: readonly (readonly {
    readonly work: readonly RunSpan[];
    /** Arrivals; on the compute stream the host's waits. */
    readonly thin: readonly RunSpan[];
  }[])[];
  readonly find: (device: number, step: number, turn: string) => RunSpan | undefined;
  /** Numbers of the spans whose ends span i had to wait for, on any device. */
  readonly needs: (i: number) => readonly number[];
};

export const turnText = (turn: readonly number[]): string => turn.join(".");

/** What happened, by the name of the step. */
export type Happened = {
  readonly device: number;
  readonly label: string;
  readonly turn: string;
  readonly start: number;
  readonly end: number;
};

/** The events of a trace. */
export const happenedIn = (m: Measured): readonly Happened[] =>
  m.name.map((n, i) => ({
    device: m.device[i]!,
    label: m.names[n]!,
    turn: m.turns[m.turn[i]!]!,
    start: m.start[i]!,
    end: m.start[i]! + m.length[i]!,
  }));

/** Events of steps that the schedule does not have are left out. `arrivals`: what a receive counts as. */
export function runOf(
  s: Schedule,
  listed: readonly ListedStep[],
  played: Played,
  happened: readonly Happened[],
  devices: number,
  arrivals: "arrival" | "work" = "arrival",
): Run {
  const byLabel = new Map(listed.map((l) => [l.step.label, l]));
  const streamOf = new Map(s.streams.map((name, i) => [name, i]));
  const spans: RunSpan[] = [];
  const keys = new Map<string, number>();
  for (const { device, label, turn, start, end } of happened) {
    const listedStep = byLabel.get(label);
    if (!listedStep) continue;
    const { step, index } = listedStep;
    const kind = step.kind === "wait" ? "wait" : step.kind === "receive" ? arrivals : "work";
    const stream = "stream" in step ? (streamOf.get(step.stream) ?? 0) : 0;
    keys.set(`${device} ${index} ${turn}`, spans.length);
    spans.push({ id: spans.length, device, step: index, turn, kind, stream, start, end });
  }
  const lanes = Array.from({ length: devices }, () =>
    s.streams.map(() => ({ work: [] as RunSpan[], thin: [] as RunSpan[] })),
  );
  for (const span of spans) {
    const lane = lanes[span.device]?.[span.stream];
    if (lane) (span.kind === "work" ? lane.work : lane.thin).push(span);
  }
  for (const lane of lanes.flat()) for (const list of [lane.work, lane.thin]) list.sort((a, b) => a.start - b.start);

  const idOf = (device: number, step: number, turn: string): number | undefined =>
    keys.get(`${device} ${step} ${turn}`);
  const predicted = new Map(played.spans.map((p) => [`${p.step} ${turnText(p.turn)}`, p]));
  const receives = new Map(
    listed.flatMap((l) => (l.step.kind === "receive" ? [[l.step.token, l.index] as const] : [])),
  );
  const sends = new Map(listed.flatMap((l) => (l.step.kind === "send" ? [[l.step.token, l.index] as const] : [])));
  /** On a device, what the played step `n` is; of a transfer both ends. */
  const both = (device: number, n: number): readonly (number | undefined)[] => {
    const need = played.spans[n]!;
    const [needed, at] = [listed[need.step]!.step, turnText(need.turn)];
    const arrived = needed.kind === "send" ? idOf(device, receives.get(needed.token) ?? -1, at) : undefined;
    return [idOf(device, need.step, at), arrived];
  };
  const playedNeeds = (step: number, turn: string): readonly number[] => predicted.get(`${step} ${turn}`)?.needs ?? [];
  /** Of what arrives: its send; where sends are not told apart from it, what the send had to wait for. */
  const needsOfArrival = (device: number, step: number, turn: string): readonly (number | undefined)[] => {
    const transfer = listed[step]!.step as Transfer;
    const from = senderOf(s.mesh, transfer.axes, transfer.route, device, stepsOf(listed[step]!, turn));
    const send = sends.get(transfer.token) ?? -1;
    if (from === undefined) return [];
    const sent = idOf(from, send, turn);
    if (sent !== undefined) return [sent];
    return playedNeeds(send, turn).flatMap((n) => [
      ...both(from, n),
      ...(played.spans[n]!.stream > 0 ? both(device, n) : []),
    ]);
  };
  const needs = (i: number): readonly number[] => {
    const { device, step, turn } = spans[i]!;
    const what = listed[step]!.step;
    const found =
      what.kind === "wait"
        ? [idOf(device, receives.get(what.token) ?? -1, turn), idOf(device, sends.get(what.token) ?? -1, turn)]
        : what.kind === "receive"
          ? needsOfArrival(device, step, turn)
          : playedNeeds(step, turn).flatMap((n) => both(device, n));
    return [...new Set(found)].filter((f) => f !== undefined && f !== i) as number[];
  };
  return {
    spans,
    lanes,
    needs,
    end: spans.reduce((t, span) => Math.max(t, span.end), 0),
    find: (device, step, turn) => spans[idOf(device, step, turn) ?? -1],
  };
}

/** The step that each loop around a listed step is in. */
export function stepsOf(l: ListedStep, turn: string): (loop: number) => number {
  const at = turn.split(".").map(Number);
  return (loop) => at[l.loops.indexOf(loop)] ?? 0;
}
