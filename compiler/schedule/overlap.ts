/**
 * The order of the steps of a block: transfers start as soon as their operand is there and are waited for as late as can
 * be; meanwhile whatever does not need what is under way is done, in the order of the program.
 *
 *   before                          after
 *   start k → k'                    start k → k'
 *   launch use (k')                 launch other (x)
 *   launch other (x)                wait k'
 *                                   launch use (k')
 *
 * What is still under way at the end of a block (the carries of a ring) is waited for there. In a step of a loop, kernels that
 * make transfers ready go first, so that the others run beside those. Elsewhere, where memory might grow by that, they do so
 * if they take less than the transfers (weights that are cast before they are sent), where it is known what things take. What
 * came meanwhile is gone on with as soon as that lets another transfer begin.
 */
import { invariant } from "../base/invariant.ts";
import { type CopyFlow, type Flow, type LaunchFlow, makes, type StartFlow, uses, type WaitFlow } from "./flow.ts";

/** By token: the kernels that a transfer was moved before, or whose launches its wait was moved behind. */
export type Moves = Map<number, { readonly before: readonly number[]; readonly behind: readonly number[] }>;

/** Seconds of launches and copies, and of transfers on their port and after it. */
export type FlowCosts = {
  readonly kernel: (step: LaunchFlow | CopyFlow) => number;
  readonly transfer: (step: StartFlow) => { readonly port: string; readonly onLink: number; readonly latency: number };
};
export type OverlapOptions = {
  /** Is told what stands elsewhere now. */
  readonly moves?: Moves;
  readonly costs?: FlowCosts;
};

/** Orders `steps` and those of the loops in them, and adds the waits. Takes time linear in the steps and their operands. */
export function overlap(steps: readonly Flow[], options: OverlapOptions = {}): readonly Flow[] {
  return ordered(steps, options).steps;
}

function ordered(
  steps: readonly Flow[],
  { moves, costs }: OverlapOptions,
  inLoop = false,
): { readonly steps: readonly Flow[]; readonly seconds: number } {
  const inner = new Map<Flow, number>();
  const todo = steps.map((step) => {
    if (step.kind !== "loop") return step;
    const { steps: body, seconds } = ordered(step.body, { ...(moves && { moves }), ...(costs && { costs }) }, true);
    const loop = { ...step, body };
    inner.set(loop, step.count * seconds);
    return loop;
  });
  const needs = todo.map(uses);
  const missing = new Set(todo.flatMap(makes));
  const flying = new Map<number, StartFlow>();
  const users = new Map<number, number[]>();
  // Of each step: how many of its operands are not made yet, and how many are on their way.
  const unmade = todo.map(() => 0);
  const underWay = todo.map(() => 0);
  for (const [i, arrays] of needs.entries()) {
    for (const a of arrays) {
      if (!missing.has(a)) continue;
      unmade[i]!++;
      const known = users.get(a);
      if (known) known.push(i);
      else users.set(a, [i]);
    }
  }
  // Steps by their place in the program: what can be done at once, transfers apart, and what only has to wait.
  const starts: number[] = [];
  const urgent: number[] = [];
  const others: number[] = [];
  const waiting: number[] = [];
  const listOf = (i: number): number[] => (todo[i]!.kind === "start" ? starts : isUrgent(i) ? urgent : others);
  const offer = (i: number) => {
    if (unmade[i]! > 0) return;
    insert(waiting, i);
    if (underWay[i] === 0) insert(listOf(i), i);
  };

  // What lets a transfer begin, as seen from the end.
  const leads = todo.map(() => false);
  for (let i = todo.length - 1; i >= 0; i--)
    leads[i] = makes(todo[i]!).some((a) => (users.get(a) ?? []).some((u) => todo[u]!.kind === "start" || leads[u]));

  // One device's time, as far as it is known.
  let clock = 0;
  const ports = new Map<string, number>();
  const ends = new Map<number, number>();
  const pass = (step: Flow) => {
    if (step.kind === "launch" || step.kind === "copy") clock += costs?.kernel(step) ?? 0;
    if (step.kind === "loop") clock += inner.get(step) ?? 0;
    if (step.kind !== "start" || !costs) return;
    const { port, onLink, latency } = costs.transfer(step);
    const free = Math.max(clock, ports.get(port) ?? 0) + onLink;
    ports.set(port, free);
    ends.set(step.output, free + latency);
  };
  /** When all that a step waits for is there. */
  const arrival = (i: number): number =>
    needs[i]!.reduce((t, a) => (flying.has(a) ? Math.max(t, ends.get(a) ?? Number.POSITIVE_INFINITY) : t), 0);
  /** Whether a launch makes a transfer ready and, outside of loops, takes less than that. */
  const isUrgent = (i: number): boolean => {
    const step = todo[i]!;
    if (step.kind !== "launch") return false;
    const readies = makes(step).flatMap((a) => users.get(a) ?? []);
    return readies.some((u) => {
      const start = todo[u]!;
      return start.kind === "start" && (inLoop || (costs && costs.kernel(step) < costs.transfer(start).onLink));
    });
  };
  const come = (): number | undefined => {
    if (!costs || flying.size === 0) return undefined;
    return waiting.find((i) => !done.has(i) && leads[i] && underWay[i]! > 0 && arrival(i) <= clock);
  };

  const order: Flow[] = [];
  const done = new Set<number>();
  const emit = (i: number) => {
    const step = todo[i]!;
    order.push(step);
    pass(step);
    done.add(i);
    for (const a of makes(step)) {
      if (step.kind === "start") flying.set(a, step);
      for (const user of users.get(a) ?? []) {
        unmade[user]!--;
        if (step.kind === "start") underWay[user]!++;
        offer(user);
      }
    }
  };
  const land = (start: StartFlow) => {
    clock = Math.max(clock, ends.get(start.output) ?? 0);
    order.push(waitFor(start));
    flying.delete(start.output);
    for (const user of users.get(start.output) ?? []) {
      underWay[user]!--;
      if (unmade[user] === 0 && underWay[user] === 0) insert(listOf(user), user);
    }
  };
  const first = (list: number[]): number | undefined => {
    while (list.length > 0 && done.has(list[0]!)) list.shift();
    return list[0];
  };

  for (const i of todo.keys()) offer(i);
  while (done.size < todo.length) {
    const next = first(starts) ?? come() ?? first(urgent) ?? first(others) ?? first(waiting);
    invariant(next !== undefined, "overlap: steps that wait for each other in a circle");
    for (const a of needs[next]!) {
      const start = flying.get(a);
      if (start) land(start);
    }
    emit(next);
  }
  for (const start of [...flying.values()]) land(start);
  if (moves) noteMoves(steps, todo, order, moves);
  return { steps: order, seconds: clock };
}

/** What transfers overtook: launches that stood before one in the program and come after its start, and the other way round. */
function noteMoves(steps: readonly Flow[], todo: readonly Flow[], order: readonly Flow[], moves: Moves): void {
  const was = new Map<Flow, number>(todo.map((step, i) => [step, i]));
  const begun = new Map<number, { readonly place: number; readonly since: number }>();
  order.forEach((step, i) => {
    if (step.kind === "start") begun.set(step.token, { place: was.get(step)!, since: i });
    const flight = step.kind === "wait" ? begun.get(step.token) : undefined;
    if (step.kind !== "wait" || !flight) return;
    const during = order.slice(flight.since, i);
    const kernels = (moved: (place: number) => boolean): readonly number[] =>
      during.flatMap((x) => (x.kind !== "start" && x.kind !== "wait" && moved(was.get(x)!) ? launched(x) : []));
    const users = steps.findIndex((x, k) => k > flight.place && uses(x).includes(step.output));
    const before = kernels((place) => place < flight.place);
    const behind = users < 0 ? [] : kernels((place) => place > users);
    moves.set(step.token, { before, behind });
  });
}
const launched = (step: Flow): readonly number[] =>
  step.kind === "launch" ? [step.kernel] : step.kind === "loop" ? step.body.flatMap(launched) : [];

/** Puts `i` into a list that goes up. */
function insert(list: number[], i: number): void {
  let at = list.length;
  while (at > 0 && list[at - 1]! > i) at--;
  list.splice(at, 0, i);
}

export const waitFor = (start: StartFlow): WaitFlow => ({
  kind: "wait",
  token: start.token,
  input: start.input,
  output: start.output,
  ...(start.still !== undefined ? { when: "not-first" } : start.when ? { when: start.when } : {}),
});
