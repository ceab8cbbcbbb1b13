/**
 * What runs beside what on one device: the schedule played on streams that each do one thing after another.
 *
 * A launch begins when the compute stream is free and everything waited for is done; a transfer when its stream is free
 * and what it sends is there. How long things take is the caller's estimate; left out, everything takes one unit. Of a
 * loop of many steps the first ones and the last are played.
 */
import type { Copy, Launch, Loop, Schedule, Step, Transfer, When } from "./schedule.ts";

export type Costs = { readonly of: (step: Launch | Copy | Transfer) => number };
/** `steps`: the steps that the loops around it are in, the outer first. Times are in the unit of the costs. */
export type Span = {
  readonly label: string;
  readonly stream: string;
  readonly start: number;
  readonly end: number;
  readonly steps: readonly number[];
};
export type Timeline = {
  readonly spans: readonly Span[];
  /** Loops that were played in part. */
  readonly shortened: readonly { readonly label: string; readonly count: number; readonly played: number }[];
};

/**
 * Costs from sizes, in microseconds: a launch takes as long as its arithmetic or its memory traffic, whichever is longer;
 * copies and transfers their bytes. Rates are in operations and bytes per microsecond.
 */
export function estimate(
  s: Schedule,
  rates: { readonly flops: number; readonly memory: number; readonly link: number },
): Costs {
  return {
    of(step) {
      if (step.kind === "copy") return (2 * step.bytes) / rates.memory;
      if (step.kind !== "launch") return step.bytes / rates.link;
      const bytes = step.args.reduce((sum, a) => sum + s.values[a.value]!.bytes, 0);
      const cost = s.kernels[step.kernel]!.cost ?? { flops: 0, bytes };
      return Math.max(cost.flops / rates.flops, cost.bytes / rates.memory);
    },
  };
}

const UNIT: Costs = { of: () => 1 };

/** `most`: how many steps of a loop are played (at least 2); `Infinity` for all. */
export function timeline(s: Schedule, costs: Costs = UNIT, most = 4): Timeline {
  const spans: Span[] = [];
  const shortened = new Map<string, { label: string; count: number; played: number }>();
  const free = new Map<string, number>(s.streams.map((name) => [name, 0]));
  /** When what a buffer's memory holds is there, and until when it is read; names of buffers move on in loops. */
  const slotOf = s.buffers.map((b) => b.id);
  const ready = s.buffers.map(() => 0);
  const flights = new Map<number, number>();
  let joined = 0;

  const play = (step: Launch | Copy | Transfer, from: number, steps: readonly number[]): number => {
    const start = Math.max(from, free.get(step.stream) ?? 0);
    const end = start + costs.of(step);
    free.set(step.stream, end);
    spans.push({ label: step.label, stream: step.stream, start, end, steps });
    return end;
  };
  const walk = (body: readonly Step[], turn: { first: boolean; last: boolean }, steps: readonly number[]): void => {
    for (const step of body) {
      if (!happens(step.when, turn)) continue;
      switch (step.kind) {
        case "launch":
        case "copy": {
          const buffers = step.kind === "copy" ? [step.from, step.to] : step.args.map((a) => a.buffer);
          const end = play(step, Math.max(joined, ...buffers.map((b) => ready[slotOf[b]!]!)), steps);
          for (const b of step.kind === "copy" ? [step.to] : buffers) ready[slotOf[b]!] = end;
          break;
        }
        case "send": {
          const end = play(step, Math.max(joined, ready[slotOf[step.buffer]!]!), steps);
          flights.set(step.token, Math.max(flights.get(step.token) ?? 0, end));
          break;
        }
        case "receive":
          break; // the other end of a neighbour's send, which is as long
        case "wait":
          joined = Math.max(joined, flights.get(step.token) ?? 0);
          break;
        case "loop":
          walkLoop(step, steps);
      }
    }
  };
  const walkLoop = (loop: Loop, steps: readonly number[]) => {
    const skipped = loop.count > most;
    if (skipped) shortened.set(loop.label, { label: loop.label, count: loop.count, played: most });
    for (let i = 0; i < loop.count; i++) {
      if (skipped && i === most - 1) i = loop.count - 1;
      const own =
        i === 0
          ? loop.carry.filter((c) => c.first !== undefined).map((c) => [c.buffer, slotOf[c.buffer]!] as const)
          : [];
      if (i === 0) for (const c of loop.carry) if (c.first !== undefined) slotOf[c.buffer] = slotOf[c.first]!;
      walk(loop.body, { first: i === 0, last: i === loop.count - 1 }, [...steps, i]);
      for (const [name, slot] of own) slotOf[name] = slot;
      for (const cycle of loop.rotate) {
        const slots = cycle.map((b) => slotOf[b]!);
        cycle.forEach((b, k) => {
          slotOf[b] = slots[(k + 1) % slots.length]!;
        });
      }
    }
  };
  walk(s.steps, { first: false, last: false }, []);
  return { spans, shortened: [...shortened.values()] };
}

/**
 * The timeline as rows of text, one for each stream, time to the right.
 *
 *   compute  │ fill      │ add 0     │ add 1     │ add 2     │ add 3     │
 *   sp+1     │           │ send cur 0│ send cur 1│ send cur 2│           │
 */
export function printTimeline(s: Schedule, costs?: Costs, width = 100): string {
  const { spans, shortened } = timeline(s, costs);
  const end = Math.max(...spans.map((p) => p.end), 1);
  const gutter = Math.max(...s.streams.map((name) => name.length)) + 2;
  const shortest = Math.min(...spans.map((p) => p.end - p.start).filter((t) => t > 0), end);
  // Wide enough for the shortest span to be readable, in as many bands of rows as that takes.
  const perUnit = Math.max((width - gutter - 1) / end, 14 / shortest);
  const column = (time: number) => Math.round(time * perUnit);
  const rows = new Map(s.streams.map((name) => [name, [] as string[]]));
  const total = column(end) + 1;
  for (const name of s.streams)
    rows.set(
      name,
      Array.from({ length: total }, () => " "),
    );
  for (const span of spans) {
    const row = rows.get(span.stream);
    if (!row) continue;
    const [from, to] = [column(span.start), column(span.end)];
    const label = `${span.label.replace(` on ${span.stream}`, "")}${span.steps.length > 0 ? ` ${span.steps.join(".")}` : ""}`;
    const text = ` ${label}`.slice(0, Math.max(0, to - from - 1)).padEnd(Math.max(0, to - from - 1));
    row[from] = "│";
    for (const [i, c] of [...text].entries()) row[from + 1 + i] = c;
    row[to] = "│";
  }
  const band = Math.max(20, width - gutter);
  const bands: string[] = [];
  for (let from = 0; from < total; from += band) {
    const lines = s.streams
      .map(
        (name) =>
          name.padEnd(gutter) +
          rows
            .get(name)!
            .slice(from, from + band)
            .join(""),
      )
      .map((line) => line.trimEnd());
    bands.push(lines.join("\n"));
  }
  const notes = shortened.map(
    (l) => `${l.label}: ${l.played} of its ${l.count} steps are shown, the first ones and the last`,
  );
  return [...bands, ...notes].join("\n\n");
}

function happens(when: When | undefined, { first, last }: { first: boolean; last: boolean }): boolean {
  if (when === undefined) return true;
  return { first, last, "not-first": !first, "not-last": !last }[when];
}
