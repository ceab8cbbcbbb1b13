/**
 * A schedule played on one device: when each step begins and ends, and what it waited for. All devices run the same steps,
 * so that what a device receives took its neighbour as long as its own send does, and one device stands for all.
 *
 * A launch begins when the compute stream is free, all that was waited for is there, and its operands are; a transfer when
 * its stream is free and what it sends is there.
 */
import type { Copy, Launch, Loop, Schedule, Step, Transfer, When } from "../../compiler/schedule/schedule.ts";
import type { ListedStep } from "./steps.ts";

/** Microseconds. `turn`: the steps of the loops around it. */
export type Span = {
  readonly id: number;
  /** Its number in the list of steps. */
  readonly step: number;
  readonly turn: readonly number[];
  readonly stream: number;
  readonly start: number;
  readonly end: number;
  /** Whose ends it had to wait for: what made its operands, what was waited for, the one before it on its stream. */
  readonly needs: readonly number[];
};

/** What a buffer holds for a while; `from` and `to` are microseconds, `slot` the memory that names move over in loops. */
export type Hold = { readonly slot: number; readonly value: number; readonly from: number; readonly to: number };

export type Played = {
  readonly spans: readonly Span[];
  readonly holds: readonly Hold[];
  readonly end: number;
  /** Loops of which only the first steps and the last were played. */
  readonly shortened: readonly { readonly label: string; readonly count: number; readonly played: number }[];
};

/** Microseconds that a step takes. */
export type Cost = (step: Launch | Copy | Transfer) => number;

/** The most spans that are played. */
const MOST = 60_000;

/** Plays `s`; `listed` are its steps. Takes time linear in the spans. */
export function play(s: Schedule, listed: readonly ListedStep[], cost: Cost): Played {
  const numbers = new Map<Step, number>(listed.map((l) => [l.step, l.index]));
  const most = stepsOfLoops(s);
  const spans: Span[] = [];
  const shortened = new Map<string, Played["shortened"][number]>();
  const streams = new Map(s.streams.map((name, i) => [name, i]));
  const lastOn: number[] = s.streams.map(() => -1);
  const slotOf = s.buffers.map((b) => b.id);
  const madeBy: number[] = s.buffers.map(() => -1);
  const flights = new Map<number, { send: number; slot: number; value: number }>();
  const memory = holder(s);
  let joined: number[] = [];

  const begin = (step: Launch | Copy | Transfer, turn: readonly number[], made: readonly number[]): Span => {
    const stream = streams.get(step.stream) ?? 0;
    const needs = [...new Set([lastOn[stream]!, ...joined, ...made])].filter((n) => n >= 0);
    const start = needs.reduce((t, n) => Math.max(t, spans[n]!.end), 0);
    const span: Span = {
      id: spans.length,
      step: numbers.get(step)!,
      turn,
      stream,
      start,
      end: start + cost(step),
      needs,
    };
    spans.push(span);
    lastOn[stream] = span.id;
    return span;
  };

  const walk = (body: readonly Step[], at: { first: boolean; last: boolean }, turn: readonly number[]): void => {
    for (const step of body) {
      if (!happens(step.when, at)) continue;
      switch (step.kind) {
        case "launch": {
          const { bindings } = s.kernels[step.kernel]!;
          const slots = step.args.map((a) => slotOf[a.buffer]!);
          // What is only overwritten need not be there.
          const read = step.args.map((a, i) => bindings[i]!.access === "read" || a.from !== undefined);
          const makers = slots.flatMap((slot, i) => (read[i] ? [madeBy[slot]!] : []));
          const span = begin(step, turn, makers);
          step.args.forEach((a, i) => {
            const slot = slots[i]!;
            if (bindings[i]!.access === "read") memory.reads(slot, span.end);
            else {
              // What is turned into the new value in place is there until then.
              if (a.from !== undefined) memory.reads(slot, span.start);
              madeBy[slot] = span.id;
              memory.writes(slot, a.value, span.start, span.end);
            }
          });
          break;
        }
        case "copy": {
          const [from, to] = [slotOf[step.from]!, slotOf[step.to]!];
          const span = begin(step, turn, [madeBy[from]!]);
          madeBy[to] = span.id;
          memory.reads(from, span.end);
          memory.writes(to, step.value, span.start, span.end);
          break;
        }
        case "send": {
          const slot = slotOf[step.buffer]!;
          const span = begin(step, turn, [madeBy[slot]!]);
          memory.reads(slot, span.end);
          const flight = flights.get(step.token);
          if (flight) {
            flight.send = span.id;
            memory.writes(flight.slot, flight.value, span.start, span.end);
          } else flights.set(step.token, { send: span.id, slot: -1, value: -1 });
          break;
        }
        case "receive": {
          const [slot, { value }] = [slotOf[step.buffer]!, step];
          const flight = flights.get(step.token);
          if (flight) {
            flight.slot = slot;
            flight.value = value;
            memory.writes(slot, value, spans[flight.send]!.start, spans[flight.send]!.end);
          } else flights.set(step.token, { send: -1, slot, value });
          break;
        }
        case "wait": {
          const flight = flights.get(step.token);
          flights.delete(step.token);
          if (!flight || flight.send < 0) break;
          if (flight.slot >= 0) madeBy[flight.slot] = flight.send;
          joined = latest([...joined, flight.send], spans);
          break;
        }
        case "loop":
          walkLoop(step, turn);
      }
    }
  };
  const walkLoop = (loop: Loop, turn: readonly number[]): void => {
    const played = Math.min(loop.count, most);
    if (played < loop.count) shortened.set(loop.label, { label: loop.label, count: loop.count, played });
    for (let i = 0; i < loop.count; i++) {
      if (played < loop.count && i === played - 1) i = loop.count - 1;
      const firsts = i === 0 ? loop.carry.filter((c) => c.first !== undefined) : [];
      const own = firsts.map((c) => slotOf[c.buffer]!);
      for (const c of firsts) slotOf[c.buffer] = slotOf[c.first!]!;
      walk(loop.body, { first: i === 0, last: i === loop.count - 1 }, [...turn, i]);
      firsts.forEach((c, k) => {
        slotOf[c.buffer] = own[k]!;
      });
      for (const cycle of loop.rotate) {
        const slots = cycle.map((b) => slotOf[b]!);
        cycle.forEach((b, k) => {
          slotOf[b] = slots[(k + 1) % slots.length]!;
        });
      }
    }
  };
  for (const p of s.inputs) memory.writes(p.buffer, p.value, 0, 0);
  walk(s.steps, { first: false, last: false }, []);
  const end = spans.reduce((t, span) => Math.max(t, span.end), 0);
  for (const p of s.outputs) memory.reads(slotOf[p.buffer]!, end);
  return { spans, end, holds: memory.done(), shortened: [...shortened.values()] };
}

/** How many steps of each loop may be played so that all spans are at most {@link MOST}. */
function stepsOfLoops(s: Schedule): number {
  const spansWith = (most: number): number => {
    const count = (steps: readonly Step[]): number =>
      steps.reduce((n, step) => n + (step.kind === "loop" ? Math.min(step.count, most) * count(step.body) : 1), 0);
    return count(s.steps);
  };
  let most = Number.POSITIVE_INFINITY;
  if (spansWith(most) <= MOST) return most;
  for (most = 4096; most > 4 && spansWith(most) > MOST; ) most = Math.floor(most / 2);
  return most;
}

/** Of spans that were waited for, the last to end on each stream: the others make no difference any more. */
function latest(ids: readonly number[], spans: readonly Span[]): number[] {
  const best = new Map<number, number>();
  for (const id of ids) {
    const { stream, end } = spans[id]!;
    const other = best.get(stream);
    if (other === undefined || spans[other]!.end <= end) best.set(stream, id);
  }
  return [...best.values()];
}

/** Keeps account of what memory holds: from when a value is written until it is read for the last time. */
function holder(s: Schedule) {
  const now: ({ value: number; from: number; to: number } | undefined)[] = s.buffers.map(() => undefined);
  const done: Hold[] = [];
  const close = (slot: number): void => {
    const held = now[slot];
    if (held && held.to > held.from) done.push({ slot, ...held });
  };
  return {
    writes(slot: number, value: number, from: number, to: number): void {
      if (slot < 0) return;
      const held = now[slot];
      if (held && held.value === value && held.to >= from) held.to = Math.max(held.to, to);
      else {
        close(slot);
        now[slot] = { value, from, to };
      }
    },
    reads(slot: number, to: number): void {
      const held = now[slot];
      if (held) held.to = Math.max(held.to, to);
    },
    done(): readonly Hold[] {
      s.buffers.forEach((b) => {
        close(b.id);
      });
      return done;
    },
  };
}

function happens(when: When | undefined, { first, last }: { first: boolean; last: boolean }): boolean {
  return when === undefined || { first, last, "not-first": !first, "not-last": !last }[when];
}
