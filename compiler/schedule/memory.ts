/**
 * Flow → Schedule: every array gets a buffer, for as long as somebody needs the array; then those that are never in use at
 * the same time become one (share.ts). A loop's carries are moved on by renaming buffers, or stay in place.
 *
 *   carry k                        buffer of `inside`                     end of step
 *   init is dead after the loop's   init's own                             rotate with next's buffer
 *     beginning
 *   init lives on (an input, say)   one of its own; in the first step      rotate with next's buffer
 *                                   it stands for init's (`first`)
 *   the same, and the body updates  one of its own, a copy of init         nothing: next is in the same buffer
 *     it in place
 */
import { invariant } from "../base/invariant.ts";
import { bytesEach } from "../core/dtype.ts";
import type { DeviceProgram } from "../tile/ir.ts";
import { type CarryFlow, type Flow, type LaunchFlow, type LoopFlow, makes, outerUses, uses } from "./flow.ts";
import type {
  Arg,
  Buffer,
  Carry,
  Copy,
  DType,
  Kernel,
  Loop,
  Memory,
  Route,
  Schedule,
  Step,
  Value,
  When,
} from "./schedule.ts";
import { renameBuffers, shared, type Wanted } from "./share.ts";
import type { Simple } from "./simplify.ts";

/** Bytes of a local array: bool as u32; f16 and bf16 two to a word; at least one word. */
export function bytesOf(dtype: DType, shape: readonly number[]): number {
  const elements = shape.reduce((n, d) => n * d, 1);
  return Math.max(4, Math.ceil((elements * bytesEach(dtype)) / 4) * 4);
}

type Block = {
  readonly lastUse: ReadonlyMap<number, number>;
  /** Arrays that this block made, or was given to dispose of. */
  readonly own: Set<number>;
  /** Arrays that are read after the block. */
  readonly liveOut: ReadonlySet<number>;
  /** For the next carries: the carries' buffers that they may have if one is free by then, the best first. */
  readonly next: ReadonlyMap<number, readonly number[]>;
};

/**
 * Gives the steps of `simple` (in order, with their waits) buffers. `donated`: paths of inputs that may be overwritten.
 * `standIn`: whether a carry's buffer may stand for another in the first step. That saves a copy; without it, no buffer has
 * to keep what it holds, and one that was sent from can be where something else arrives.
 */
export function assignMemory(
  program: DeviceProgram,
  kernels: readonly Kernel[],
  simple: Simple,
  steps: readonly Flow[],
  donated: ReadonlySet<string>,
  standIn = true,
): Schedule {
  // ---- values: an array and its copies are one value -----------------------------------------------------------------
  const info = new Map(program.arrays.map((a) => [a.id, a]));
  const original = (array: number) => simple.copies.get(array) ?? array;
  const values: Value[] = [];
  const valueIds = new Map<number, number>();
  const valueNames = uniqueNames();
  const valueId = (array: number): number => {
    const from = original(array);
    const known = valueIds.get(from);
    if (known !== undefined) return known;
    const a = info.get(from);
    invariant(a, `array ${from} is used and not declared`);
    const id = values.length;
    const name = valueNames(a.name || `a${from}`);
    values.push({ id, name, dtype: a.dtype, shape: a.shape, bytes: bytesOf(a.dtype, a.shape) });
    valueIds.set(from, id);
    return id;
  };
  const value = (array: number): Value => values[valueId(array)]!;

  // ---- buffers -------------------------------------------------------------------------------------------------------
  const buffers: { bytes: number; role: Buffer["role"]; exact: boolean; inUse: { from: number; to: number }[] }[] = [];
  const holds: number[][] = [];
  const bufferOf = new Map<number, number>();
  /** Counts the steps as they are written. */
  let clock = 0;
  const isFree = (buffer: number): boolean => buffers[buffer]!.inUse.at(-1)!.to < Number.POSITIVE_INFINITY;
  const take = (buffer: number) => {
    if (isFree(buffer)) buffers[buffer]!.inUse.push({ from: clock, to: Number.POSITIVE_INFINITY });
  };
  const release = (buffer: number) => {
    if (!isFree(buffer)) buffers[buffer]!.inUse.at(-1)!.to = clock;
  };
  /** Buffers whose contents must stay: inputs, and carries that stand for another buffer in the first step. */
  const fixed = new Set<number>();
  const newBuffer = (bytes: number, role: Buffer["role"]): number => {
    holds.push([]);
    return buffers.push({ bytes, role, exact: false, inUse: [{ from: clock, to: Number.POSITIVE_INFINITY }] }) - 1;
  };
  const put = (array: number, buffer: number) => {
    bufferOf.set(array, buffer);
    holds[buffer]!.push(valueId(array));
  };
  const at = (array: number): number => {
    const buffer = bufferOf.get(array);
    invariant(buffer !== undefined, `array ${array} is read and has no buffer`);
    return buffer;
  };
  /** Gives an array the first of some buffers that is free, or a new one. */
  const place = (array: number, among: readonly number[] = []) => {
    const { bytes } = value(array);
    const found = among.find((b) => isFree(b) && buffers[b]!.bytes === bytes);
    if (found !== undefined) take(found);
    put(array, found ?? newBuffer(bytes, "temp"));
  };

  // ---- steps ---------------------------------------------------------------------------------------------------------
  const labels = uniqueNames(" ");
  const streams = ["compute"];
  const emit = (step: Flow, block: Block, into: Step[]) => {
    const when = step.when ? { when: step.when } : {};
    switch (step.kind) {
      case "launch": {
        const from = new Map(step.updates.map((u) => [u.array, u.from]));
        for (const array of step.writes) {
          const old = from.get(array);
          if (old !== undefined && mayTakeOver(old, step, block)) {
            block.own.delete(old);
            put(array, at(old));
          } else {
            place(array, block.next.get(array));
            if (old !== undefined) into.push(copy(old, at(old), at(array), step.when));
          }
          block.own.add(array);
        }
        const args = step.arrays.map((a): Arg => {
          const old = from.get(a);
          return { buffer: at(a), value: valueId(a), ...(old === undefined ? {} : { from: valueId(old) }) };
        });
        const label = labels(program.kernels[step.kernel]!.name);
        into.push({ kind: "launch", label, ...when, stream: "compute", kernel: step.kernel, args });
        return;
      }
      case "copy":
        place(step.output, block.next.get(step.output));
        block.own.add(step.output);
        into.push(copy(step.input, at(step.input), at(step.output), step.when));
        return;
      case "start": {
        place(step.output, block.next.get(step.output));
        block.own.add(step.output);
        const stream = streamName(step.axes, step.route);
        if (!streams.includes(stream)) streams.push(stream);
        const end = (kind: "send" | "receive", array: number, label: string): Step => ({
          kind,
          label: labels(label),
          ...(step.still === undefined ? when : { when: "not-first" }),
          stream,
          token: step.token,
          buffer: at(array),
          value: valueId(array),
          bytes: value(array).bytes,
          axes: step.axes,
          route: step.route,
        });
        if (step.still !== undefined) {
          const label = labels(program.kernels[step.still]!.name);
          const args = [{ buffer: at(step.output), value: valueId(step.output) }];
          into.push({ kind: "launch", label, when: "first", stream: "compute", kernel: step.still, args });
        }
        into.push(end("receive", step.output, `receive ${value(step.output).name} on ${stream}`));
        into.push(end("send", step.input, `send ${value(step.input).name} on ${stream}`));
        return;
      }
      case "wait":
        into.push({ kind: "wait", label: labels(`wait for ${value(step.output).name}`), ...when, token: step.token });
        return;
      case "loop":
        into.push(emitLoop(step, block, into));
    }
  };

  const copy = (array: number, from: number, to: number, when: When | undefined): Copy => ({
    kind: "copy",
    label: labels(`copy ${value(array).name}`),
    ...(when ? { when } : {}),
    stream: "compute",
    value: valueId(array),
    from,
    to,
    bytes: value(array).bytes,
  });

  /** Whether nobody needs `array` after `step` except `step` itself, and its buffer is ours to write. */
  const isSpent = (array: number, step: Flow, block: Block): boolean =>
    block.own.has(array) &&
    !block.liveOut.has(array) &&
    block.lastUse.get(array) === positions.get(step) &&
    !fixed.has(at(array));
  const mayTakeOver = (old: number, step: LaunchFlow, block: Block): boolean =>
    isSpent(old, step, block) && !step.arrays.includes(old) && step.updates.filter((u) => u.from === old).length === 1;

  /** Where each step of a block stands in it. */
  const positions = new Map<Flow, number>();
  const emitBlock = (
    body: readonly Flow[],
    own: readonly number[],
    liveOut: ReadonlySet<number>,
    next: Block["next"],
  ): Step[] => {
    const lastUse = new Map<number, number>();
    body.forEach((step, i) => {
      positions.set(step, i);
      for (const a of [...makes(step), ...uses(step)]) lastUse.set(a, i);
    });
    const block: Block = { lastUse, own: new Set(own), liveOut, next };
    const out: Step[] = [];
    body.forEach((step, i) => {
      clock++;
      emit(step, block, out);
      for (const a of [...new Set([...makes(step), ...uses(step)])]) {
        if (lastUse.get(a) !== i || !block.own.has(a) || liveOut.has(a)) continue;
        block.own.delete(a);
        if (!fixed.has(at(a))) release(at(a));
      }
    });
    return out;
  };

  const emitLoop = (loop: LoopFlow, block: Block, into: Step[]): Loop => {
    const outside = new Set(outerUses(loop));
    const nexts = new Set(loop.carry.map((c) => c.next));
    const inits = loop.carry.map((c) => c.init);
    const nowFixed: number[] = [];
    const carries = loop.carry.map((c, k): Carry => {
      const { bytes } = value(c.inside);
      const spent =
        isSpent(c.init, loop, block) &&
        !outside.has(c.init) &&
        inits.indexOf(c.init) === k &&
        buffers[at(c.init)]!.bytes === bytes;
      let first: number | undefined;
      if (spent) {
        block.own.delete(c.init);
        put(c.inside, at(c.init));
      } else {
        const alias = standIn && !nexts.has(c.inside) && !takesInPlace(loop, c) && !inits.slice(0, k).includes(c.init);
        place(c.inside);
        if (alias) {
          first = at(c.init);
          fixed.add(at(c.inside));
          nowFixed.push(at(c.inside));
        } else into.push(copy(c.init, at(c.init), at(c.inside), loop.when));
      }
      return {
        buffer: at(c.inside),
        ...(first === undefined ? {} : { first }),
        init: valueId(c.init),
        inside: valueId(c.inside),
        next: valueId(c.next),
        out: c.out === null ? null : valueId(c.out),
      };
    });

    const began = clock;
    const own = loop.carry.map((c) => at(c.inside));
    const next = new Map(loop.carry.map((c) => [c.next, [at(c.inside), ...own]]));
    const label = labels(`loop ${loop.id}`);
    const body = emitBlock(
      loop.body,
      loop.carry.map((c) => c.inside),
      nexts,
      next,
    );
    clock++;
    const rotate = cycles(loop.carry.map((c, k) => [carries[k]!.buffer, at(c.next)]));
    for (const b of rotate.flat()) {
      buffers[b]!.exact = true;
      buffers[b]!.inUse.unshift({ from: began, to: clock });
    }

    for (const b of nowFixed) fixed.delete(b);
    const held = new Set<number>();
    loop.carry.forEach((c, k) => {
      if (c.out === null) return;
      put(c.out, carries[k]!.buffer);
      held.add(carries[k]!.buffer);
      block.own.add(c.out);
    });
    const done = [...carries.map((c) => c.buffer), ...loop.carry.map((c) => at(c.next))];
    for (const b of done) held.has(b) ? take(b) : release(b);
    return {
      kind: "loop",
      label,
      ...(loop.when ? { when: loop.when } : {}),
      id: loop.id,
      count: loop.count,
      carry: carries,
      body,
      rotate,
    };
  };

  // ---- the whole -----------------------------------------------------------------------------------------------------
  const given: number[] = [];
  const inputs = program.inputs.map(({ port, array }) => {
    const buffer = newBuffer(value(array).bytes, "input");
    put(array, buffer);
    const isDonated = donated.has(port.path);
    if (isDonated) given.push(array);
    else fixed.add(buffer);
    return { ...port, value: valueId(array), buffer, donated: isDonated };
  });
  const body = emitBlock(steps, given, new Set(simple.outputs), new Map());
  const { all, of } = merged(buffers, holds, values);
  const outputs = program.outputs.map(({ port }, k) => {
    const array = simple.outputs[k]!;
    const buffer = all[of(at(array))]!;
    if (buffer.role === "temp") buffer.role = "output";
    return { ...port, value: valueId(array), buffer: buffer.id };
  });
  return {
    version: 1,
    name: program.name,
    mesh: program.mesh,
    values,
    buffers: all.map(({ id, name, bytes, role }) => ({ id, name, bytes, role })),
    kernels,
    streams,
    inputs: inputs.map((i) => ({ ...i, buffer: of(i.buffer) })),
    outputs,
    steps: body.map((s) => renameBuffers(s, of)),
    memory: memoryOf(all),
  };
}

/** Buffers that are never in use at the same time become one, named after the first value in it. `of`: which one. */
function merged(
  wanted: readonly (Omit<Wanted, "given"> & { readonly role: Buffer["role"] })[],
  holds: readonly (readonly number[])[],
  values: readonly Value[],
) {
  const first = shared(wanted.map((b) => ({ ...b, given: b.role === "input" })));
  const numbers = new Map([...new Set(first)].sort((a, b) => a - b).map((b, id) => [b, id]));
  const names = uniqueNames();
  const all = [...numbers].map(([b, id]): { -readonly [K in keyof Buffer]: Buffer[K] } & { holds: number[] } => {
    const members = [...wanted.keys()].filter((m) => first[m] === b);
    const bytes = Math.max(...members.map((m) => wanted[m]!.bytes));
    const held = [...new Set(members.flatMap((m) => holds[m]!))];
    const role = members.some((m) => wanted[m]!.role === "input") ? "input" : "temp";
    return { id, name: names(values[held[0]!]!.name), bytes, role, holds: held };
  });
  return { all, of: (buffer: number): number => numbers.get(first[buffer]!)! };
}

/** Whether the body turns a carry into its next value in place, in a kernel of its own or of a loop inside. */
function takesInPlace(loop: LoopFlow, carry: CarryFlow): boolean {
  const step = loop.body.filter((s) => uses(s).includes(carry.inside)).at(-1);
  if (step?.kind === "launch") {
    return step.updates.some((u) => u.from === carry.inside) && !step.arrays.includes(carry.inside);
  }
  if (step?.kind !== "loop") return false;
  const inner = step.carry.find((c) => c.init === carry.inside);
  return inner !== undefined && !outerUses(step).includes(carry.inside) && takesInPlace(step, inner);
}

/**
 * The renaming after which each `to` names what its `from` named, completed to a permutation and written in cycles.
 * Each `to` and each `from` stands once.
 */
function cycles(moves: readonly (readonly [to: number, from: number])[]): number[][] {
  const from = new Map(moves);
  const taken = new Set(moves.map(([, b]) => b));
  const seen = new Set<number>();
  const found: number[][] = [];
  const follow = (start: number) => {
    const cycle = [start];
    for (let b = from.get(start); b !== undefined && b !== start; b = from.get(b)) cycle.push(b);
    for (const b of cycle) seen.add(b);
    if (cycle.length > 1) found.push(cycle);
  };
  for (const [to] of moves) if (!taken.has(to)) follow(to); // paths, closed to cycles
  for (const [to] of moves) if (!seen.has(to)) follow(to); // cycles as they are
  return found;
}

function memoryOf(buffers: readonly (Buffer & { readonly holds: readonly number[] })[]): Memory {
  const parts = buffers.map((b) => ({ buffer: b.id, bytes: b.bytes, holds: b.holds }));
  return { bytes: buffers.reduce((sum, b) => sum + b.bytes, 0), parts: parts.sort((a, b) => b.bytes - a.bytes) };
}

/** `sp+1`, `dp,sp-1`, `sp+1+step`, `sp/8+1`, `sp pairs`: a ring, or the parts of it, and the way round. */
function streamName(axes: readonly string[], route: Route): string {
  if (route.kind === "pairs") return `${axes.join(",")} pairs`;
  const ring = axes.join(",") + (route.within === undefined ? "" : `/${route.within}`);
  const signed = (n: number) => (n < 0 ? `${n}` : `+${n}`);
  if (route.loop === undefined) return ring + signed(route.offset);
  const step = route.perStep === 1 ? "+step" : route.perStep === -1 ? "-step" : `${signed(route.perStep ?? 1)}step`;
  return ring + (route.offset === 0 ? "" : signed(route.offset)) + step;
}

/** Gives each name once: the second `k` is `k 2` (with `between` " "). */
function uniqueNames(between = "."): (wanted: string) => string {
  const taken = new Set<string>();
  const last = new Map<string, number>();
  return (wanted) => {
    let n = last.get(wanted) ?? 1;
    let name = n === 1 ? wanted : `${wanted}${between}${n}`;
    while (taken.has(name)) name = `${wanted}${between}${++n}`;
    last.set(wanted, n);
    taken.add(name);
    return name;
  };
}
