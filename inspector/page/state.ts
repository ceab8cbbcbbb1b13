/** What the reader is looking at. One value, replaced as a whole; whoever shows a part of it listens. */
import type { Place } from "../data.ts";
import { foundAt, type Machine, type Model, modelOf, placeOf, type Selection } from "../model/model.ts";
import { clamp, type Range } from "../model/view.ts";

export const TABS = ["Timeline", "Code", "Memory", "Sharding", "Masks"] as const;
export type Tab = (typeof TABS)[number];

export type State = {
  readonly model: Model;
  readonly tab: Tab;
  readonly range: Range;
  readonly selection: Selection | null;
  readonly device: number;
  /** The place in a source that is looked at, and the kernel. */
  readonly focus: Place | null;
  readonly kernel: number;
  readonly path: boolean;
  readonly density: number;
};

export type Store = {
  readonly get: () => State;
  readonly set: (change: Partial<State>) => void;
  readonly listen: (heard: (now: State, before: State) => void) => void;
};

export function store(first: State): Store {
  let now = first;
  const listeners: ((now: State, before: State) => void)[] = [];
  return {
    get: () => now,
    set(change) {
      const before = now;
      now = { ...now, ...change };
      for (const heard of listeners) heard(now, before);
    },
    listen: (heard) => void listeners.push(heard),
  };
}

/** From the beginning to the later of the two ends, with a little room. */
export function wholeRange(m: Model): Range {
  const end = Math.max(m.played.end, m.forecast?.end ?? 0, m.run?.end ?? 0, 1e-3);
  return { from: 0, to: end * 1.01 };
}

/** Selects a step: its kernel and its place in the source are looked at as well. */
export function select(s: Store, wanted: Selection | null): void {
  const selection = wanted && foundAt(s.get().model, wanted);
  if (!selection) {
    s.set({ selection });
    return;
  }
  const { model, kernel } = s.get();
  const step = model.listed[selection.step]!.step;
  s.set({
    selection,
    device: selection.device,
    focus: placeOf(model, step),
    kernel: step.kind === "launch" ? step.kernel : kernel,
  });
}

/** Moves the range so that a stretch of time is on the screen. */
export function reveal(s: Store, start: number, end: number): void {
  const { range, model } = s.get();
  if (end > range.from && start < range.to) return;
  const width = Math.max(range.to - range.from, (end - start) * 1.5);
  const middle = (start + end) / 2;
  s.set({ range: clamp({ from: middle - width / 2, to: middle + width / 2 }, wholeRange(model)) });
}

/** Plays the schedule on another machine; the whole of it is shown. */
export function useMachine(s: Store, machine: Machine): void {
  const model = modelOf(s.get().model.data, machine);
  s.set({ model, range: wholeRange(model) });
}
