/**
 * Flow → Schedule: every array gets a buffer. A buffer is handed on as soon as nobody needs the array in it (linear scan;
 * the smallest free one that is large enough); a loop's carries are moved on by renaming buffers, or stay in place.
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
import type { Simple } from "./simplify.ts";

/** Bytes of a local array: bool as u32; f16 and bf16 two to a word; at least one word. */
export function bytesOf(dtype: DType, shape: readonly number[]): number {
  const elements = shape.reduce((n, d) => n * d, 1);
  const each = dtype === "f16" || dtype === "bf16" ? 2 : 4;
  return Math.max(4, Math.ceil((elements * each) / 4) * 4);
}

type Block = {
  readonly lastUse: ReadonlyMap<number, number>;
  /** Arrays that this block made, or was given to dispose of. */
  readonly own: Set<number>;
  /** Arrays that are read after the block. */
  readonly liveOut: ReadonlySet<number>;
  /** For the next carries: the exact size that their buffer must have, and the buffer that they would best have. */
  readonly exact: ReadonlyMap<number, { readonly bytes: number; readonly best: number }>;
};

/** Gives the steps of `simple` (in order, with their waits) buffers. `donated`: paths of inputs that may be overwritten. */
export function assignMemory(
  program: DeviceProgram,
  kernels: readonly Kernel[],
  simple: Simple,
  steps: readonly Flow[],
  donated: ReadonlySet<string>,
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
  const buffers: { id: number; name: string; bytes: number; role: Buffer["role"] }[] = [];
  const holds: Set<number>[] = [];
  const bufferNames = uniqueNames();
  const free = new Set<number>();
  const bufferOf = new Map<number, number>();
  /** Buffers whose contents must stay: inputs, and carries that stand for another buffer in the first step. */
  const fixed = new Set<number>();
  const newBuffer = (name: string, bytes: number, role: Buffer["role"]): number => {
    const id = buffers.length;
    buffers.push({ id, name: bufferNames(name), bytes, role });
    holds.push(new Set());
    return id;
  };
  const put = (array: number, buffer: number) => {
    bufferOf.set(array, buffer);
    holds[buffer]!.add(valueId(array));
  };
  const at = (array: number): number => {
    const buffer = bufferOf.get(array);
    invariant(buffer !== undefined, `array ${array} is read and has no buffer`);
    return buffer;
  };
  /** A free buffer, or a new one. `exact`: of exactly these bytes. */
  const place = (array: number, exact?: { readonly bytes: number; readonly best: number }) => {
    const { name, bytes } = value(array);
    const fitting = [...free].filter((b) => (exact ? buffers[b]!.bytes === exact.bytes : buffers[b]!.bytes >= bytes));
    const size = (b: number) => (b === exact?.best ? -1 : buffers[b]!.bytes);
    const found = fitting.reduce<number | undefined>(
      (a, b) => (a === undefined || size(b) < size(a) ? b : a),
      undefined,
    );
    if (found !== undefined) free.delete(found);
    put(array, found ?? newBuffer(name, exact?.bytes ?? bytes, "temp"));
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
            place(array, block.exact.get(array));
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
        place(step.output, block.exact.get(step.output));
        block.own.add(step.output);
        into.push(copy(step.input, at(step.input), at(step.output), step.when));
        return;
      case "start": {
        place(step.output, block.exact.get(step.output));
        block.own.add(step.output);
        const stream = streamName(step.axes, step.route);
        if (!streams.includes(stream)) streams.push(stream);
        const end = (kind: "send" | "receive", array: number, label: string): Step => ({
          kind,
          label: labels(label),
          ...when,
          stream,
          token: step.token,
          buffer: at(array),
          value: valueId(array),
          bytes: value(array).bytes,
          axes: step.axes,
          route: step.route,
        });
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
    isSpent(old, step, block) &&
    !step.arrays.includes(old) &&
    step.updates.filter((u) => u.from === old).length === 1 &&
    step.updates.every((u) => {
      const exact = block.exact.get(u.array);
      return u.from !== old || exact === undefined || buffers[at(old)]!.bytes === exact.bytes;
    });

  /** Where each step of a block stands in it. */
  const positions = new Map<Flow, number>();
  const emitBlock = (
    body: readonly Flow[],
    own: readonly number[],
    liveOut: ReadonlySet<number>,
    exact: Block["exact"],
  ): Step[] => {
    const lastUse = new Map<number, number>();
    body.forEach((step, i) => {
      positions.set(step, i);
      for (const a of [...makes(step), ...uses(step)]) lastUse.set(a, i);
    });
    const block: Block = { lastUse, own: new Set(own), liveOut, exact };
    const out: Step[] = [];
    body.forEach((step, i) => {
      emit(step, block, out);
      for (const a of [...new Set([...makes(step), ...uses(step)])]) {
        if (lastUse.get(a) !== i || !block.own.has(a) || liveOut.has(a)) continue;
        block.own.delete(a);
        if (!fixed.has(at(a))) free.add(at(a));
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
        const alias = !nexts.has(c.inside) && !takesInPlace(loop, c) && !inits.slice(0, k).includes(c.init);
        place(c.inside, { bytes, best: -1 });
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

    const exact = new Map(loop.carry.map((c) => [c.next, { bytes: buffers[at(c.inside)]!.bytes, best: at(c.inside) }]));
    const label = labels(`loop ${loop.id}`);
    const body = emitBlock(
      loop.body,
      loop.carry.map((c) => c.inside),
      nexts,
      exact,
    );
    const rotate = cycles(loop.carry.map((c, k) => [carries[k]!.buffer, at(c.next)]));

    for (const b of nowFixed) fixed.delete(b);
    const held = new Set<number>();
    loop.carry.forEach((c, k) => {
      if (c.out === null) return;
      put(c.out, carries[k]!.buffer);
      held.add(carries[k]!.buffer);
      block.own.add(c.out);
    });
    const done = [...carries.map((c) => c.buffer), ...loop.carry.map((c) => at(c.next))];
    for (const b of done) held.has(b) ? free.delete(b) : free.add(b);
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
    const buffer = newBuffer(info.get(array)?.name || port.path, value(array).bytes, "input");
    put(array, buffer);
    const isDonated = donated.has(port.path);
    if (isDonated) given.push(array);
    else fixed.add(buffer);
    return { ...port, value: valueId(array), buffer, donated: isDonated };
  });
  const body = emitBlock(steps, given, new Set(simple.outputs), new Map());
  const outputs = program.outputs.map(({ port }, k) => {
    const array = simple.outputs[k]!;
    const buffer = at(array);
    if (buffers[buffer]!.role === "temp") buffers[buffer]!.role = "output";
    return { ...port, value: valueId(array), buffer };
  });
  return {
    version: 1,
    name: program.name,
    mesh: program.mesh,
    values,
    buffers,
    kernels,
    streams,
    inputs,
    outputs,
    steps: body,
    memory: memoryOf(buffers, holds),
  };
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

function memoryOf(buffers: readonly Buffer[], holds: readonly ReadonlySet<number>[]): Memory {
  const parts = buffers.map((b) => ({ buffer: b.id, bytes: b.bytes, holds: [...holds[b.id]!] }));
  return { bytes: buffers.reduce((sum, b) => sum + b.bytes, 0), parts: parts.sort((a, b) => b.bytes - a.bytes) };
}

/** `sp+1`, `dp,sp-1`, `sp+1+step`, `sp pairs`: a ring and the way round it. */
function streamName(axes: readonly string[], route: Route): string {
  const ring = axes.join(",");
  if (route.kind === "pairs") return `${ring} pairs`;
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
