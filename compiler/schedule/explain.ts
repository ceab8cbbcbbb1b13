/**
 * What the order of a schedule's steps hides, and what had to be moved for it: for each transfer, the kernels that run
 * before it is waited for, and the time of it that passes meanwhile.
 */
import type { Machine } from "../base/machine.ts";
import { type Costs, costsOf } from "./cost.ts";
import type { Moves } from "./overlap.ts";
import type { Decision, Loop, Schedule, Step, Transfer } from "./schedule.ts";

/** One decision for each transfer that hides something. `moves`: by token, what the transfer overtook. */
export function explain(s: Schedule, moves: Moves, machine: Machine): readonly Decision[] {
  const costs = costsOf(s, machine);
  const hidden = new Map<Transfer, Hidden>();
  played(s.steps, s, costs, 1, hidden);
  return [...hidden].flatMap(([send, { seconds, beside }]): readonly Decision[] => {
    if (seconds <= 0 || beside.size === 0) return [];
    const { before = [], behind = [] } = moves.get(send.token) ?? {};
    const names = (kernels: Iterable<number>): string => {
      const all = [...new Set([...kernels].map((k) => s.kernels[k]!.name))];
      return all.length > 3 ? `${all.slice(0, 2).join(", ")} and ${all.length - 2} more` : all.join(", ");
    };
    const moved = [
      ...(before.length > 0 ? [`moved before ${names(before)}`] : []),
      ...(behind.length > 0 ? [`its wait moved behind ${names(behind)}`] : []),
    ];
    return [{ about: send.label, what: moved.join(", ") || `beside ${names(beside)}`, hides: seconds }];
  });
}

type Hidden = { seconds: number; readonly beside: Set<number> };

/** Plays a block once as one device would: seconds of it. `times`: how often it runs. */
function played(
  steps: readonly Step[],
  s: Schedule,
  costs: Costs,
  times: number,
  hidden: Map<Transfer, Hidden>,
  loop?: Loop,
): number {
  let clock = 0;
  const ports = new Map<string, number>();
  type Flight = { send: Transfer; begins: number; end: number; beside: Set<number> };
  /** By token; those of one message are one. */
  const flights = new Map<number, Flight>();
  for (const step of steps) {
    // Steps with a guard count as the loop's others do; what happens in one step only is left out of long loops.
    if (loop && loop.count > 2 && (step.when === "first" || step.when === "last")) continue;
    switch (step.kind) {
      case "launch":
        clock += costs.launch(step);
        for (const f of flights.values()) f.beside.add(step.kernel);
        break;
      case "copy":
        clock += costs.copy(step);
        break;
      case "send": {
        const { port, onLink, latency, message } = costs.transfer(step);
        const joined = [...flights.values()].find((f) => step.message !== undefined && f.send.message === step.message);
        if (joined) {
          joined.end += onLink - message;
          ports.set(port, (ports.get(port) ?? 0) + onLink - message);
          flights.set(step.token, joined);
          break;
        }
        const begins = Math.max(clock, ports.get(port) ?? 0);
        ports.set(port, begins + onLink);
        flights.set(step.token, { send: step, begins, end: begins + onLink + latency, beside: new Set() });
        break;
      }
      case "wait": {
        const flight = flights.get(step.token);
        if (!flight) break;
        const { send, begins, end, beside } = flight;
        const often = loop && send.when !== undefined ? (times * (loop.count - 1)) / loop.count : times;
        const seconds = Math.max(0, Math.min(clock, end) - begins) * often;
        const known = hidden.get(send);
        hidden.set(send, { seconds: (known?.seconds ?? 0) + seconds, beside });
        clock = Math.max(clock, end);
        for (const [token, f] of [...flights]) if (f === flight) flights.delete(token);
        break;
      }
      case "loop": {
        const inside = played(step.body, s, costs, times * step.count, hidden, step);
        clock += step.count * inside;
        for (const f of flights.values()) for (const k of kernelsIn(step.body)) f.beside.add(k);
        break;
      }
      default:
    }
  }
  return clock;
}
const kernelsIn = (steps: readonly Step[]): readonly number[] =>
  steps.flatMap((x) => (x.kind === "launch" ? [x.kernel] : x.kind === "loop" ? kernelsIn(x.body) : []));
