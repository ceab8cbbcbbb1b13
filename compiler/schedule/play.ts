/**
 * The streams of all devices, step by step. A vector holds a time in seconds for each device (or class of devices).
 *
 *   launch, copy   begins when the compute stream is free and everything waited for is there
 *   transfer       begins when the sender has what it sends, the receiver's buffer is free, and so are the ports of both;
 *                  where everything goes in turn, no sooner than what both launched before is done; the transfers of one
 *                  message begin with the last of them and are there together
 *   wait           holds back whatever comes after it on its device
 */
import type { Link, Machine } from "./machine.ts";
import type { LaunchAt } from "./placed.ts";
import type { Copy, Launch, Loop, Schedule, Step, Transfer, When } from "./schedule.ts";

type Vector = Float64Array;

/** Of every device: whom it sends to and receives from (-1: nobody), and how far the latter is. */
export type Ways = { readonly to: Int32Array; readonly from: Int32Array; readonly far: readonly Distance[] };
/** The same device, the same node, another node. */
export type Distance = "here" | "inside" | "between";

/** What is to be played: `size` devices, their links, and what launches cost on each. */
export type Stage = {
  readonly schedule: Schedule;
  readonly machine: Machine;
  readonly size: number;
  readonly launches: LaunchAt;
  readonly ways: (step: Transfer, turns: ReadonlyMap<number, number>) => Ways;
  /** Devices whose spans are recorded. */
  readonly watch: ReadonlySet<number>;
};

/** A message over the run: what arrives with it, how often it was sent, its time on links, and how long compute stood still for it. */
export type Tally = {
  readonly parts: readonly Transfer[];
  count: number;
  readonly seconds: Vector;
  readonly exposed: Vector;
  readonly late: Vector;
};
export type Played = {
  /** When each device is done. */
  readonly end: Vector;
  readonly busy: Vector;
  readonly flops: Vector;
  readonly tallies: readonly Tally[];
  readonly spans: readonly {
    readonly device: number;
    readonly stream: string;
    readonly label: string;
    readonly start: number;
    readonly end: number;
  }[];
};

/** A message of which some ends, or all, have been begun. */
type Flight = {
  /** What arrives with it. */
  readonly parts: Transfer[];
  /** Ends that are still to be begun. */
  left: number;
  /** When the sender has what it sends, and when the receiver's buffers are free. */
  readonly sends: Vector;
  readonly receives: Vector;
  readonly slots: number[];
  /** All ends done: of each device, when both sides were there, and when the bytes were. */
  done?: { readonly met: Vector; readonly end: Vector };
};

/** Plays the whole schedule. */
export function play(stage: Stage): Played {
  const { schedule: s, machine, size, launches, watch } = stage;
  const vector = (): Vector => new Float64Array(size);
  const [compute, gate, busy, flops] = [vector(), vector(), vector(), vector()];
  const slotOf = s.buffers.map((b) => b.id);
  /** When what a memory slot holds is there, and until when it is in use. */
  const ready = s.buffers.map(vector);
  const used = s.buffers.map(vector);
  const ports = new Map<string, Vector>();
  const messages = messagesOf(s.steps);
  /** By the lowest token of the message. */
  const flights = new Map<number, Flight>();
  const tallies = new Map<string, Tally>();
  const turns = new Map<number, number>();
  const spans: Played["spans"][number][] = [];
  const watched = watch.size > 0;

  const record = (step: Launch | Copy | Transfer, device: number, start: number, end: number): void => {
    if (spans.length < MOST_SPANS) spans.push({ device, stream: step.stream, label: step.label, start, end });
  };
  /** The parts of a message are on their way one after another. */
  const recordParts = (parts: readonly Transfer[], device: number, start: number, end: number): void => {
    const all = parts.reduce((sum, part) => sum + part.bytes, 0);
    let from = start;
    for (const part of parts) {
      const to = from + ((end - start) * part.bytes) / all;
      record(part, device, from, to);
      from = to;
    }
  };
  const port = (name: string): Vector => {
    const known = ports.get(name) ?? vector();
    ports.set(name, known);
    return known;
  };
  /**
   * The ports that a transfer goes through, and for how long. Shared links have one port a device, others one for each
   * stream. Where a link is not duplex, what comes in and what goes out have half of the rate each.
   */
  const way = (kind: "inside" | "between", step: Transfer, bytes: number) => {
    const link: Link = machine.links[kind] ?? FREE;
    const name = link.shared ? kind : `${kind} ${step.stream}`;
    const rate = link.bandwidth * machine.efficiency.links * (link.duplex ? 1 : 0.5);
    const seconds = (link.message ?? 0) + bytes / rate;
    return { output: port(`${name} out`), input: port(`${name} in`), seconds, latency: link.latency };
  };
  const tallyOf = (parts: readonly Transfer[]): Tally => {
    const [transfer] = parts as [Transfer];
    const known = tallies.get(transfer.label);
    if (known) return known;
    const made = { parts, count: 0, seconds: vector(), exposed: vector(), late: vector() };
    tallies.set(transfer.label, made);
    return made;
  };

  const run = (step: Launch | Copy): void => {
    const cost = step.kind === "launch" ? launches(step.kernel, turns) : undefined;
    const copying = step.kind === "copy" ? machine.launch + localSeconds(machine, step.bytes) : 0;
    const uses = (step.kind === "copy" ? [step.from, step.to] : step.args.map((a) => a.buffer)).map((b) => slotOf[b]!);
    const makes = (step.kind === "copy" ? [step.to] : writtenBy(s, step)).map((b) => slotOf[b]!);
    for (let c = 0; c < size; c++) {
      const start = Math.max(compute[c]!, gate[c]!);
      const seconds = cost ? cost.seconds[c]! : copying;
      compute[c] = start + seconds;
      busy[c] = busy[c]! + seconds;
      if (cost) flops[c] = flops[c]! + cost.flops[c]!;
      if (watched && watch.has(c)) record(step, c, start, start + seconds);
    }
    for (const slot of uses) used[slot]!.set(compute);
    for (const slot of makes) ready[slot]!.set(compute);
  };

  /** One end of a transfer; with the last of a message, the bytes go. */
  const begin = (step: Transfer): void => {
    const slot = slotOf[step.buffer]!;
    const since = step.kind === "send" ? ready[slot]! : used[slot]!;
    const { key, parts } = messages.get(step.token)!;
    let flight = flights.get(key);
    if (!flight || flight.done) {
      flight = { parts: [], left: 2 * parts, sends: vector(), receives: vector(), slots: [] };
      flights.set(key, flight);
    }
    const can = step.kind === "send" ? flight.sends : flight.receives;
    for (let c = 0; c < size; c++) can[c] = Math.max(can[c]!, gate[c]!, since[c]!, s.inTurn ? compute[c]! : 0);
    if (step.kind === "receive") {
      flight.parts.push(step);
      flight.slots.push(slot);
    }
    if (--flight.left === 0) fly(flight);
  };

  const fly = (flight: Flight): void => {
    const { parts, sends, receives } = flight;
    const step = parts[0]!;
    const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
    const { to, from, far } = stage.ways(step, turns);
    const tally = tallyOf(parts);
    tally.count++;
    // Times of the receiving ends; -1 where nobody sends.
    const [met, end, starts, leaves] = [vector().fill(-1), vector().fill(-1), vector(), vector()];
    const ways = { inside: way("inside", step, bytes), between: way("between", step, bytes) };
    const arrivals = flight.slots.map((slot) => ready[slot]!);
    for (let c = 0; c < size; c++) {
      const peer = from[c]!;
      const distance = far[c]!;
      if (peer < 0) {
        for (const arrives of arrivals) arrives[c] = receives[c]!;
        continue;
      }
      met[c] = Math.max(sends[peer]!, receives[c]!);
      if (distance === "here") {
        starts[c] = met[c]!;
        end[c] = met[c]! + localSeconds(machine, bytes);
      } else {
        const { output, input, seconds, latency } = ways[distance];
        starts[c] = Math.max(met[c]!, output[peer]!, input[c]!);
        leaves[c] = starts[c]! + seconds;
        end[c] = leaves[c]! + latency;
        tally.seconds[c] = tally.seconds[c]! + seconds + latency;
      }
      for (const arrives of arrivals) arrives[c] = end[c]!;
    }
    const both = { met: vector(), end: vector() };
    for (let c = 0; c < size; c++) {
      const distance = far[c]!;
      if (from[c]! >= 0 && distance !== "here") {
        ways[distance].input[c] = leaves[c]!;
        ways[distance].output[from[c]!] = leaves[c]!;
      }
      // Of its two ends, a device waits for the later one.
      const there = to[c]!;
      const later = there >= 0 && end[there]! > end[c]! ? there : c;
      both.met[c] = met[later]!;
      both.end[c] = end[later]!;
      if (watched && watch.has(c) && end[c]! >= 0) recordParts(parts, c, starts[c]!, end[c]!);
    }
    flight.done = both;
  };

  const wait = (token: number): void => {
    const flight = flights.get(messages.get(token)?.key ?? -1);
    if (!flight?.done) return;
    const { met, end } = flight.done;
    const tally = tallyOf(flight.parts);
    for (let c = 0; c < size; c++) {
      const idle = end[c]! - Math.max(compute[c]!, gate[c]!);
      if (idle > 0) {
        const late = Math.min(idle, Math.max(0, idle - (end[c]! - met[c]!)));
        tally.late[c] = tally.late[c]! + late;
        tally.exposed[c] = tally.exposed[c]! + idle - late;
      }
      gate[c] = Math.max(gate[c]!, end[c]!);
    }
  };

  const walk = (body: readonly Step[], turn: Turn): void => {
    for (const step of body) {
      if (!happens(step.when, turn)) continue;
      switch (step.kind) {
        case "launch":
        case "copy":
          run(step);
          break;
        case "send":
        case "receive":
          begin(step);
          break;
        case "wait":
          wait(step.token);
          break;
        case "loop":
          loop(step);
      }
    }
  };

  const loop = (step: Loop): void => {
    for (let i = 0; i < step.count; i++) {
      turns.set(step.id, i);
      const firsts = i === 0 ? step.carry.filter((c) => c.first !== undefined) : [];
      const own = firsts.map((c) => [c.buffer, slotOf[c.buffer]!] as const);
      for (const c of firsts) slotOf[c.buffer] = slotOf[c.first!]!;
      walk(step.body, { first: i === 0, last: i === step.count - 1 });
      for (const [name, slot] of own) slotOf[name] = slot;
      for (const cycle of step.rotate) {
        const slots = cycle.map((b) => slotOf[b]!);
        cycle.forEach((b, k) => {
          slotOf[b] = slots[(k + 1) % slots.length]!;
        });
      }
    }
    turns.delete(step.id);
  };

  walk(s.steps, { first: false, last: false });
  const end = vector();
  for (let c = 0; c < size; c++) end[c] = Math.max(compute[c]!, gate[c]!);
  return { end, busy, flops, tallies: [...tallies.values()], spans };
}

const FREE: Link = { bandwidth: Number.POSITIVE_INFINITY, latency: 0, duplex: true, shared: true };
/** Enough for a picture. */
const MOST_SPANS = 100_000;

/** Of each token, the lowest in its message, and how many transfers that has. */
function messagesOf(steps: readonly Step[]): ReadonlyMap<number, { readonly key: number; readonly parts: number }> {
  const sends: Transfer[] = [];
  const visit = (body: readonly Step[]): void => {
    for (const step of body) {
      if (step.kind === "send") sends.push(step);
      if (step.kind === "loop") visit(step.body);
    }
  };
  visit(steps);
  const together = new Map<number | string, number[]>();
  for (const { message, token } of sends) {
    const key = message === undefined ? `${token}` : message;
    together.set(key, [...(together.get(key) ?? []), token]);
  }
  return new Map(
    [...together.values()].flatMap((tokens) =>
      tokens.map((token) => [token, { key: Math.min(...tokens), parts: tokens.length }] as const),
    ),
  );
}

type Turn = { readonly first: boolean; readonly last: boolean };
function happens(when: When | undefined, { first, last }: Turn): boolean {
  switch (when) {
    case undefined:
      return true;
    case "first":
      return first;
    case "last":
      return last;
    case "not-first":
      return !first;
    case "not-last":
      return !last;
  }
}

const writtenBy = (s: Schedule, step: Launch): readonly number[] =>
  step.args.filter((_, k) => s.kernels[step.kernel]!.bindings[k]!.access !== "read").map((a) => a.buffer);

/** Reading and writing so many bytes in a device's own memory. */
const localSeconds = ({ memory, efficiency }: Machine, bytes: number): number =>
  (2 * bytes) / (memory.bandwidth * efficiency.memory);
