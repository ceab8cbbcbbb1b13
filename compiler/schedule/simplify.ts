/**
 * HostSteps → Flow, and away with what need not be done:
 *
 * - what is the same array gets one name: a permute by 0, a loop of 0 steps, a carry that never changes;
 * - what nobody reads is not made, carries included;
 * - in a loop's last step nothing is made that only the next step would read: of n transfers round a ring, n - 1;
 * - every `next` of a loop is an array of its own, made in the body, or the `inside` of another carry: memory.ts can then
 *   move carries on by renaming buffers. Where a program has it otherwise, a copy comes in.
 */
import { invariant } from "../base/invariant.ts";
import type { DeviceProgram, HostRoute, HostStep } from "../tile/ir.ts";
import { type CarryFlow, type CopyFlow, type Flow, type LoopFlow, makes, renameArrays, uses } from "./flow.ts";
import type { Mesh, Route } from "./schedule.ts";

/** `outputs[k]`: the array of the program's output k; they differ from each other and from inputs that must stay. */
export type Simple = {
  readonly steps: readonly Flow[];
  readonly outputs: readonly number[];
  /** Arrays from here on are copies that were added; `copies.get(a)` is what `a` is a copy of. */
  readonly copies: ReadonlyMap<number, number>;
};

/** `donated`: the input arrays that may be overwritten, and so may be an output as they are. */
export function simplify(program: DeviceProgram, donated: ReadonlySet<number>): Simple {
  const same = new Map<number, number>();
  const find = (array: number): number => {
    const to = same.get(array);
    return to === undefined ? array : find(to);
  };
  const renamed = (steps: readonly Flow[]) => steps.map((s) => renameArrays(s, find));

  let steps = renamed(toFlow(program, same, find));
  const live = new Set(program.outputs.map((o) => find(o.array)));
  steps = renamed(prune(steps, live));

  const copies = new Map<number, number>();
  let nextArray = 1 + program.arrays.reduce((most, a) => Math.max(most, a.id), -1);
  const copyOf = (array: number): CopyFlow => {
    const output = nextArray++;
    copies.set(output, copies.get(array) ?? array);
    return { kind: "copy", input: array, output };
  };
  steps = steps.map((s) => separateCarries(s, copyOf));

  const kept = new Set(program.inputs.map((i) => i.array).filter((a) => !donated.has(a)));
  const outputs: number[] = [];
  for (const output of program.outputs) {
    const array = find(output.array);
    if (!kept.has(array) && !outputs.includes(array)) outputs.push(array);
    else {
      const copy = copyOf(array);
      steps = [...steps, copy];
      outputs.push(copy.output);
    }
  }
  return { steps, outputs, copies };
}

/** The number of devices on the ring of `axes`. */
function ringSize(mesh: Mesh, axes: readonly string[]): number {
  return axes.reduce((n, name) => {
    const axis = mesh.axes.find((a) => a.name === name);
    invariant(axis, `a permute over axis '${name}', which mesh ${mesh.name} does not have`);
    return n * axis.size;
  }, 1);
}

/** Shifts are taken round the shorter way: 3 of 4 is -1. `null`: every device sends to itself. */
function normalRoute(route: HostRoute, ring: number): Route | null {
  if (route.kind === "pairs") {
    const still = route.pairs.length === ring && route.pairs.every(([from, to]) => from === to);
    return still ? null : route;
  }
  const round = route.within ?? ring;
  const within = round === ring ? {} : { within: round };
  const short = (shift: number) => {
    const positive = ((shift % round) + round) % round;
    return positive * 2 > round ? positive - round : positive;
  };
  const offset = short(route.offset);
  const perStep = route.loop === undefined ? 0 : short(route.perStep ?? 1);
  if (perStep !== 0) return { kind: "shift", offset, loop: route.loop!, perStep, ...within };
  return offset === 0 ? null : { kind: "shift", offset, ...within };
}

/** Translates, and notes in `same` which arrays are others by another name. */
function toFlow(program: DeviceProgram, same: Map<number, number>, find: (a: number) => number): readonly Flow[] {
  let token = 0;
  const translate = (step: HostStep): readonly Flow[] => {
    switch (step.kind) {
      case "launch": {
        const { buffers } = program.kernels[step.kernel]!;
        invariant(buffers.length === step.buffers.length, `kernel ${step.kernel} is launched with too few arrays`);
        const updates = step.updates.map((u) => ({ array: step.buffers[u.buffer]!, from: u.from }));
        const reads = step.buffers.filter((_, k) => buffers[k]!.access === "read");
        const writes = step.buffers.filter((_, k) => buffers[k]!.access !== "read");
        return [
          {
            kind: "launch",
            kernel: step.kernel,
            arrays: step.buffers,
            reads: [...new Set([...reads, ...updates.map((u) => u.from)])],
            writes,
            updates,
          },
        ];
      }
      case "permute": {
        const route = normalRoute(step.route, ringSize(program.mesh, step.axes));
        if (route === null) {
          same.set(step.output, step.input);
          return [];
        }
        const { input, output, axes, still } = step;
        return [
          { kind: "start", token: token++, input, output, axes, route, ...(still === undefined ? {} : { still }) },
        ];
      }
      case "loop": {
        if (step.count === 0) {
          for (const c of step.carry) if (c.out !== null) same.set(c.out, c.init);
          return [];
        }
        const body = step.body.flatMap(translate);
        let carry = step.carry;
        for (;;) {
          // A carry that never changes is what it was at first.
          const still = carry.filter((c) => find(c.next) === find(c.inside));
          if (still.length === 0) break;
          for (const c of still) {
            same.set(find(c.inside), find(c.init));
            if (c.out !== null) same.set(c.out, c.init);
          }
          carry = carry.filter((c) => !still.includes(c));
        }
        return [{ kind: "loop", id: step.id, count: step.count, carry, body }];
      }
    }
  };
  return program.steps.flatMap(translate);
}

/** The steps that lead to what is in `live`; on return `live` is what they need from before. */
function prune(steps: readonly Flow[], live: Set<number>): readonly Flow[] {
  const kept: Flow[] = [];
  for (const step of [...steps].reverse()) {
    const needed = step.kind === "loop" ? pruneLoop(step, live) : step;
    if (needed === undefined || !makes(needed).some((a) => live.has(a))) continue;
    for (const a of makes(needed)) live.delete(a);
    for (const a of uses(needed)) live.add(a);
    kept.push(needed);
  }
  return kept.reverse();
}

function pruneLoop(loop: LoopFlow, live: ReadonlySet<number>): LoopFlow | undefined {
  const read = (c: CarryFlow) => c.out !== null && live.has(c.out);
  let carry = loop.carry.filter(read);
  if (carry.length === 0) return undefined;
  let body: readonly Flow[];
  for (;;) {
    // A carry is needed where its last value is, or where the body reads it on the way to one that is.
    const inner = new Set(carry.map((c) => c.next));
    body = prune(loop.body, inner);
    const more = loop.carry.filter((c) => carry.includes(c) || inner.has(c.inside));
    if (more.length === carry.length) break;
    carry = more;
  }
  const last = new Set(carry.filter(read).map((c) => c.next));
  body = markLast(body, last);
  if (loop.count === 1) {
    // The only step is the last: its idle steps never happen, and carries that only they feed stay as they are.
    body = body.filter((s) => s.when !== "not-last").map(made);
    const first = new Map(carry.filter((c) => !read(c)).map((c) => [c.inside, c.init]));
    carry = carry.filter(read);
    const named = renameArrays({ ...loop, carry, body }, (a) => first.get(a) ?? a);
    invariant(named.kind === "loop", "a renamed loop is a loop");
    return named;
  }
  return { ...loop, carry: carry.map((c) => (read(c) ? c : { ...c, out: null })), body };
}

/** Says of each step whether the last step of the loop needs it, where only `live` is read afterwards. */
function markLast(body: readonly Flow[], live: Set<number>): readonly Flow[] {
  return [...body]
    .reverse()
    .map((step): Flow => {
      if (!makes(step).some((a) => live.has(a))) return notLast(step);
      for (const a of uses(step)) live.add(a);
      return step;
    })
    .reverse();
}

/** The step of a loop of one step: what nobody has to send is made. */
function made(step: Flow): Flow {
  if (step.kind !== "start" || step.still === undefined) return step;
  const arrays = [step.output];
  return { kind: "launch", kernel: step.still, arrays, reads: [], writes: arrays, updates: [] };
}
function notLast(step: Flow): Flow {
  // A transfer that would be left out at both ends is left out at one.
  if (step.kind === "start") {
    const { still: _, ...moving } = step;
    return { ...moving, when: "not-last" };
  }
  return { ...step, when: "not-last" };
}

function separateCarries(step: Flow, copyOf: (array: number) => CopyFlow): Flow {
  if (step.kind !== "loop") return step;
  const body = step.body.map((s) => separateCarries(s, copyOf));
  const made = new Set(body.flatMap(makes));
  const insides = new Set(step.carry.map((c) => c.inside));
  const claimed = new Set<number>();
  const carry = step.carry.map((c) => {
    const own = !claimed.has(c.next) && c.next !== c.inside && (made.has(c.next) || insides.has(c.next));
    const copy = own ? undefined : copyOf(c.next);
    if (copy) body.push(c.out === null ? { ...copy, when: "not-last" } : copy);
    const next = copy ? copy.output : c.next;
    claimed.add(next);
    return { ...c, next };
  });
  return { ...step, carry, body };
}
