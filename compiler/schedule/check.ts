/**
 * Proves of a schedule that it does what its values say, on every device of its mesh, for every timing:
 *
 * - every operand finds its value: nothing is read before it is written, after it was overwritten, or while it arrives;
 * - no buffer is written while a send may still read it or a receive write it;
 * - every send meets a receive of the same size on the device that its route leads to, and each is waited for once;
 * - nobody waits for what has not begun: all devices take the same steps and only a `wait` blocks, so there is no deadlock;
 * - buffers are as large as what they hold; inputs that were not donated stay as they are; every output is there.
 *
 * It walks the steps once with what each buffer holds in place of data. A loop is walked until what the buffers hold (by
 * name) repeats, then its last step: neither its count nor the size of the mesh matters.
 */
import { isHalf } from "../core/half.ts";
import { checkForm, elements } from "./form.ts";
import type { Loop, Route, Schedule, Step, Transfer, When } from "./schedule.ts";

/** What is wrong, a sentence each, in the order in which a run would meet it; empty where the schedule is right. */
export function checkSchedule(schedule: Schedule): readonly string[] {
  const malformed = checkForm(schedule);
  return malformed.length > 0 ? malformed : checkMeaning(schedule);
}

type Flight = {
  send?: { readonly step: Transfer; readonly slot: number };
  receive?: { readonly step: Transfer; readonly slot: number };
};

/** What is known at a place of the walk. A *slot* is memory; names of buffers stand for slots, and loops exchange them. */
type State = {
  readonly slotOf: number[];
  /** The values that each slot holds, by slot. */
  readonly holds: Set<number>[];
  readonly flights: Map<number, Flight>;
  /** Names that stand for another buffer, in the first step of a loop. */
  readonly aliases: Set<number>;
};
type Turn = { readonly first: boolean; readonly last: boolean };

function checkMeaning(s: Schedule): readonly string[] {
  const wrong = new Set<string>();
  const kept = new Set(s.inputs.filter((i) => !i.donated).map((i) => i.buffer));
  const state: State = {
    slotOf: s.buffers.map((b) => b.id),
    holds: s.buffers.map(() => new Set()),
    flights: new Map(),
    aliases: new Set(),
  };
  for (const input of s.inputs) state.holds[input.buffer]!.add(input.value);

  const buffer = (b: number) => `buffer '${s.buffers[b]!.name}'`;
  const value = (v: number) => `'${s.values[v]!.name}'`;
  const flightAt = (slot: number, end: "send" | "receive") =>
    [...state.flights.values()].find((f) => f[end]?.slot === slot)?.[end];

  const read = (it: string, name: number, wanted: number) => {
    const slot = state.slotOf[name]!;
    const arriving = flightAt(slot, "receive");
    const held = [...state.holds[slot]!];
    if (arriving)
      wrong.add(`${it} reads ${value(wanted)} from ${buffer(name)} while '${arriving.step.label}' is under way`);
    else if (held.length === 0)
      wrong.add(`${it} reads ${value(wanted)} from ${buffer(name)}, which has not been written`);
    else if (!held.includes(wanted))
      wrong.add(`${it} reads ${value(wanted)} from ${buffer(name)}, which holds ${held.map(value).join(" = ")}`);
  };
  const write = (it: string, name: number, written: number, bytes = s.values[written]!.bytes) => {
    const slot = state.slotOf[name]!;
    const going = flightAt(slot, "send") ?? flightAt(slot, "receive");
    if (going) wrong.add(`${it} writes ${buffer(name)} while '${going.step.label}' is under way`);
    if (kept.has(slot)) wrong.add(`${it} writes ${buffer(name)}, an input that was not donated`);
    if (state.aliases.has(name)) wrong.add(`${it} writes ${buffer(name)} while it stands for another buffer`);
    if (bytes > s.buffers[slot]!.bytes)
      wrong.add(`${it} writes ${bytes} bytes to ${buffer(name)}, which has ${s.buffers[slot]!.bytes}`);
    state.holds[slot] = new Set([written]);
  };

  const walk = (steps: readonly Step[], turn: Turn): void => {
    for (const step of steps) {
      if (!happens(step.when, turn)) continue;
      const it = `'${step.label}'`;
      switch (step.kind) {
        case "launch": {
          const { bindings } = s.kernels[step.kernel]!;
          const writes = step.args.filter((_, k) => bindings[k]!.access !== "read");
          for (const [k, arg] of step.args.entries()) {
            const binding = bindings[k]!;
            const { dtype, bytes } = s.values[arg.value]!;
            const half = isHalf(binding.dtype);
            const size = Math.max(4, Math.ceil((elements(binding.shape) * (half ? 2 : 4)) / 4) * 4);
            if (dtype !== binding.dtype || bytes !== size) {
              wrong.add(
                `${it} passes ${value(arg.value)} for '${binding.name}': ${binding.dtype}[${binding.shape.join(", ")}], which has another size or dtype`,
              );
            }
            if (binding.access === "read") read(it, arg.buffer, arg.value);
            else if (arg.from !== undefined) read(it, arg.buffer, arg.from);
            else if (binding.access === "update")
              wrong.add(`${it} updates ${buffer(arg.buffer)} and does not say what it held`);
          }
          for (const arg of writes) {
            const slot = state.slotOf[arg.buffer]!;
            if (step.args.filter((a) => state.slotOf[a.buffer] === slot).length > 1)
              wrong.add(`${it} passes ${buffer(arg.buffer)} twice and writes it`);
            write(it, arg.buffer, arg.value);
          }
          break;
        }
        case "copy": {
          read(it, step.from, step.value);
          if (step.bytes !== s.values[step.value]!.bytes)
            wrong.add(
              `${it} copies ${step.bytes} bytes of ${value(step.value)}, which has ${s.values[step.value]!.bytes}`,
            );
          if (state.slotOf[step.from] === state.slotOf[step.to])
            wrong.add(`${it} copies ${buffer(step.from)} to itself`);
          write(it, step.to, step.value, step.bytes);
          break;
        }
        case "send":
        case "receive":
          begin(it, step);
          break;
        case "wait":
          land(it, step.token);
          break;
        case "loop":
          walkLoop(step);
      }
    }
  };

  const begin = (it: string, step: Transfer) => {
    const flight = state.flights.get(step.token) ?? {};
    if (flight[step.kind as "send"]) wrong.add(`${it} begins while the one before it is under way`);
    if (step.bytes !== s.values[step.value]!.bytes)
      wrong.add(`${it} moves ${step.bytes} bytes of ${value(step.value)}, which has ${s.values[step.value]!.bytes}`);
    const end = { step, slot: state.slotOf[step.buffer]! };
    if (step.kind === "send") {
      read(it, step.buffer, step.value);
      flight.send = end;
    } else {
      write(it, step.buffer, step.value);
      state.holds[end.slot] = new Set();
      flight.receive = end;
    }
    state.flights.set(step.token, flight);
    if (flight.send && flight.receive) {
      const [a, b] = [flight.send.step, flight.receive.step];
      if (!sameRoute(a, b))
        wrong.add(`'${a.label}' goes ${routeText(a)} and '${b.label}' comes ${routeText(b)}: they do not meet`);
      if (a.bytes !== b.bytes) wrong.add(`'${a.label}' sends ${a.bytes} bytes and '${b.label}' takes ${b.bytes}`);
    }
  };

  const land = (it: string, token: number) => {
    const flight = state.flights.get(token);
    for (const end of ["send", "receive"] as const) {
      if (!flight?.[end]) wrong.add(`${it} would wait for ever: transfer ${token} has begun no ${end}`);
    }
    state.flights.delete(token);
    if (flight?.receive) state.holds[flight.receive.slot] = new Set([flight.receive.step.value]);
  };

  const walkLoop = (loop: Loop) => {
    const it = `'${loop.label}'`;
    const local = localValues(loop, s);
    const before = new Set(state.flights.keys());
    const enter = (name: number, as: number) => state.holds[state.slotOf[name]!]!.add(as);
    for (const c of loop.carry) {
      read(it, c.first ?? c.buffer, c.init);
      enter(c.first ?? c.buffer, c.inside);
    }
    const seen = new Map<string, number>();
    for (let i = 0; i < loop.count; i++) {
      const turn = { first: i === 0, last: i === loop.count - 1 };
      const stands = turn.first ? loop.carry.filter((c) => c.first !== undefined) : [];
      const own = stands.map((c) => [c.buffer, state.slotOf[c.buffer]!] as const);
      const to = stands.map((c) => state.slotOf[c.first!]!);
      own.forEach(([name], k) => {
        state.slotOf[name] = to[k]!;
        state.aliases.add(name);
      });
      walk(loop.body, turn);
      for (const [name, slot] of own) {
        state.slotOf[name] = slot;
        state.aliases.delete(name);
      }
      for (const [token, { send, receive }] of state.flights) {
        if (before.has(token)) continue;
        wrong.add(`${it} ends a step while '${(send ?? receive)!.step.label}' is under way: nothing waits for it`);
        state.flights.delete(token);
      }
      for (const cycle of loop.rotate) {
        const first = state.slotOf[cycle[0]!]!;
        cycle.forEach((name, k) => {
          state.slotOf[name] = k + 1 < cycle.length ? state.slotOf[cycle[k + 1]!]! : first;
        });
      }
      const arrived = loop.carry.filter((c) => {
        if (turn.last && c.out === null) return false;
        read(`the end of ${it}`, c.buffer, c.next);
        return true;
      });
      for (const held of state.holds) for (const v of held) if (local.has(v)) held.delete(v);
      for (const c of arrived) enter(c.buffer, turn.last ? c.out! : c.inside);

      const key = state.slotOf.map((slot) => [...state.holds[slot]!].sort((a, b) => a - b).join("=")).join(" ");
      const same = seen.get(key);
      if (same === undefined) seen.set(key, i);
      else i += Math.max(0, Math.floor((loop.count - 2 - i) / (i - same))) * (i - same);
    }
  };

  walk(s.steps, { first: false, last: false });
  for (const { send, receive } of state.flights.values()) {
    wrong.add(`the end comes while '${(send ?? receive)!.step.label}' is under way: nothing waits for it`);
  }
  for (const output of s.outputs) read(`the output '${output.path || "result"}'`, output.buffer, output.value);
  return [...wrong];
}

/** The values that a loop's body makes anew in each step. */
function localValues(loop: Loop, s: Schedule): ReadonlySet<number> {
  const made = new Set<number>();
  const collect = (steps: readonly Step[]) => {
    for (const step of steps) {
      if (step.kind === "launch") {
        const { bindings } = s.kernels[step.kernel]!;
        for (const [k, a] of step.args.entries()) if (bindings[k]!.access !== "read") made.add(a.value);
      } else if (step.kind === "receive") made.add(step.value);
      else if (step.kind === "loop") {
        for (const c of step.carry) if (c.out !== null) made.add(c.out);
        for (const v of localValues(step, s)) made.add(v);
      }
    }
  };
  collect(loop.body);
  for (const c of loop.carry) made.add(c.inside);
  return made;
}

/** Whether a step with this guard is done; outside of loops all are. */
function happens(when: When | undefined, { first, last }: Turn): boolean {
  switch (when) {
    case undefined:
      return true;
    case "first":
      return first;
    case "not-first":
      return !first;
    case "last":
      return last;
    case "not-last":
      return !last;
  }
}

function sameRoute(a: Transfer, b: Transfer): boolean {
  return a.axes.join(",") === b.axes.join(",") && routeKey(a.route) === routeKey(b.route);
}
const routeKey = (route: Route): string =>
  route.kind === "pairs"
    ? route.pairs
        .map((p) => p.join(">"))
        .sort()
        .join(" ")
    : `${route.offset} ${route.loop === undefined ? "" : `${route.loop} ${route.perStep ?? 1}`} ${route.within ?? ""}`;
const routeText = (t: Transfer): string => {
  const ring = `round ${t.axes.join(", ")}`;
  if (t.route.kind === "pairs") return `${ring} by ${t.route.pairs.map((p) => p.join("→")).join(" ")}`;
  const within = t.route.within === undefined ? "" : ` within each ${t.route.within}`;
  return `${ring} by ${t.route.offset}${t.route.loop === undefined ? "" : ` and ${t.route.perStep ?? 1} each step`}${within}`;
};
