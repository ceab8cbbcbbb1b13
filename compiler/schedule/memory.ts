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
import type { DeviceProgram } from "../tile/ir.ts";
import {
  type CarryFlow,
  type Flow,
  type LaunchFlow,
  type LoopFlow,
  makes,
  outerUses,
  type StartFlow,
  uses,
} from "./flow.ts";
import { streamName, uniqueNames } from "./names.ts";
import type { Arg, Carry, Copy, Kernel, Loop, Memory, Schedule, Step, When } from "./schedule.ts";
import { renameBuffers, type SharedBuffer, share } from "./share.ts";
import { emptyShelf, keepExact, newBuffer, place, placeOf, put, release, type Shelf, take } from "./shelf.ts";
import type { Simple } from "./simplify.ts";
import { type Values, valuesOf } from "./values.ts";

type Context = {
  readonly program: DeviceProgram;
  readonly values: Values;
  readonly shelf: Shelf;
  readonly standIn: boolean;
  readonly streams: string[];
  /** Gives each label once. */
  readonly label: (wanted: string) => string;
};

type Block = {
  /** Where each array is made or read for the last time. */
  readonly lastUse: ReadonlyMap<number, Flow>;
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
  const values = valuesOf(program, simple.copies);
  const shelf = emptyShelf();
  const ctx: Context = { program, values, shelf, standIn, streams: ["compute"], label: uniqueNames(" ") };
  const given: number[] = [];
  const inputs = program.inputs.map(({ port, array }) => {
    const value = values.of(array);
    const buffer = newBuffer(shelf, value.bytes, "input");
    put(shelf, array, value, buffer);
    const isDonated = donated.has(port.path);
    if (isDonated) given.push(array);
    else shelf.fixed.add(buffer);
    return { ...port, value: value.id, buffer, donated: isDonated };
  });
  const body = emitBlock(ctx, steps, given, new Set(simple.outputs), new Map());

  const { buffers, of } = share(shelf.buffers, values.all);
  const outputs = program.outputs.map(({ port }, k) => {
    const array = simple.outputs[k]!;
    return { ...port, value: values.of(array).id, buffer: of(placeOf(shelf, array)) };
  });
  const leave = new Set(outputs.map((o) => o.buffer));
  return {
    version: 1,
    name: program.name,
    mesh: program.mesh,
    values: values.all,
    buffers: buffers.map(({ id, name, bytes, role }) => ({
      id,
      name,
      bytes,
      role: role === "temp" && leave.has(id) ? "output" : role,
    })),
    kernels,
    streams: ctx.streams,
    inputs: inputs.map((i) => ({ ...i, buffer: of(i.buffer) })),
    outputs,
    steps: body.map((s) => renameBuffers(s, of)),
    memory: memoryOf(buffers),
  };
}

/** Whether nobody needs `array` after `step` except `step` itself, and its buffer is ours to write. */
const isSpent = ({ shelf }: Context, array: number, step: Flow, block: Block): boolean =>
  block.own.has(array) &&
  !block.liveOut.has(array) &&
  block.lastUse.get(array) === step &&
  !shelf.fixed.has(placeOf(shelf, array));

// ---- blocks ------------------------------------------------------------------------------------------------------------

function emitBlock(
  ctx: Context,
  body: readonly Flow[],
  own: readonly number[],
  liveOut: ReadonlySet<number>,
  next: Block["next"],
): Step[] {
  const touched = (step: Flow): ReadonlySet<number> => new Set([...makes(step), ...uses(step)]);
  const lastUse = new Map(body.flatMap((step) => [...touched(step)].map((a) => [a, step] as const)));
  const block: Block = { lastUse, own: new Set(own), liveOut, next };
  const { shelf } = ctx;
  return body.flatMap((step) => {
    shelf.clock++;
    const emitted = emit(ctx, step, block);
    for (const a of touched(step)) {
      if (lastUse.get(a) !== step || !block.own.has(a) || liveOut.has(a)) continue;
      block.own.delete(a);
      if (!shelf.fixed.has(placeOf(shelf, a))) release(shelf, placeOf(shelf, a));
    }
    return emitted;
  });
}

function emit(ctx: Context, step: Flow, block: Block): readonly Step[] {
  switch (step.kind) {
    case "launch":
      return emitLaunch(ctx, step, block);
    case "start":
      return emitStart(ctx, step, block);
    case "loop":
      return emitLoop(ctx, step, block);
    case "copy":
      placeNew(ctx, step.output, block);
      return [copy(ctx, step.input, step.output, step.when)];
    case "wait": {
      const label = ctx.label(`wait for ${ctx.values.of(step.output).name}`);
      return [{ kind: "wait", label, ...during(step.when), token: step.token }];
    }
  }
}

const during = (when: When | undefined) => (when ? { when } : {});

/** A place for an array that the block makes. */
function placeNew({ shelf, values }: Context, array: number, block: Block): void {
  place(shelf, array, values.of(array), block.next.get(array));
  block.own.add(array);
}

function copy({ shelf, values, label }: Context, from: number, to: number, when: When | undefined): Copy {
  const value = values.of(from);
  return {
    kind: "copy",
    label: label(`copy ${value.name}`),
    ...during(when),
    stream: "compute",
    value: value.id,
    from: placeOf(shelf, from),
    to: placeOf(shelf, to),
    bytes: value.bytes,
  };
}

/** What goes on from an array takes over its buffer where that is spent; else it begins with a copy. */
function emitLaunch(ctx: Context, step: LaunchFlow, block: Block): readonly Step[] {
  const { shelf, values } = ctx;
  const from = new Map(step.updates.map((u) => [u.array, u.from]));
  const mayTakeOver = (old: number): boolean =>
    isSpent(ctx, old, step, block) &&
    !step.arrays.includes(old) &&
    step.updates.filter((u) => u.from === old).length === 1;
  const copies: Step[] = [];
  for (const array of step.writes) {
    const old = from.get(array);
    if (old !== undefined && mayTakeOver(old)) {
      block.own.delete(old);
      put(shelf, array, values.of(array), placeOf(shelf, old));
      block.own.add(array);
    } else {
      placeNew(ctx, array, block);
      if (old !== undefined) copies.push(copy(ctx, old, array, step.when));
    }
  }
  const args = step.arrays.map((a): Arg => {
    const old = from.get(a);
    return { ...argOf(ctx, a), ...(old === undefined ? {} : { from: values.of(old).id }) };
  });
  return [...copies, launch(ctx, step.kernel, args, step.when)];
}
const argOf = ({ shelf, values }: Context, array: number): Arg => ({
  buffer: placeOf(shelf, array),
  value: values.of(array).id,
});
function launch({ program, label }: Context, kernel: number, args: readonly Arg[], when: When | undefined): Step {
  const called = label(program.kernels[kernel]!.name);
  return { kind: "launch", label: called, ...during(when), stream: "compute", kernel, args };
}

function emitStart(ctx: Context, step: StartFlow, block: Block): readonly Step[] {
  const { streams, values } = ctx;
  placeNew(ctx, step.output, block);
  const stream = streamName(step.axes, step.route);
  if (!streams.includes(stream)) streams.push(stream);
  const end = (kind: "send" | "receive", array: number): Step => {
    const { name, bytes } = values.of(array);
    return {
      kind,
      label: ctx.label(`${kind} ${name} on ${stream}`),
      ...during(step.still === undefined ? step.when : "not-first"),
      stream,
      token: step.token,
      ...argOf(ctx, array),
      bytes,
      axes: step.axes,
      route: step.route,
    };
  };
  const still = step.still === undefined ? [] : [launch(ctx, step.still, [argOf(ctx, step.output)], "first")];
  return [...still, end("receive", step.output), end("send", step.input)];
}

// ---- loops -------------------------------------------------------------------------------------------------------------

function emitLoop(ctx: Context, loop: LoopFlow, block: Block): readonly Step[] {
  const { shelf, values } = ctx;
  const nexts = new Set(loop.carry.map((c) => c.next));
  const began = loop.carry.map((c) => beginCarry(ctx, loop, c, block));
  const carries = began.map((b) => b.carry);
  const from = shelf.clock;
  const own = carries.map((c) => c.buffer);
  const label = ctx.label(`loop ${loop.id}`);
  const body = emitBlock(
    ctx,
    loop.body,
    loop.carry.map((c) => c.inside),
    nexts,
    new Map(loop.carry.map((c, k) => [c.next, [own[k]!, ...own]])),
  );
  shelf.clock++;
  const last = loop.carry.map((c) => placeOf(shelf, c.next));
  const rotate = cycles(own.map((buffer, k) => [buffer, last[k]!]));
  for (const b of rotate.flat()) keepExact(shelf, b, { from, to: shelf.clock });

  for (const { carry } of began) if (carry.first !== undefined) shelf.fixed.delete(carry.buffer);
  const held = new Set<number>();
  loop.carry.forEach((c, k) => {
    if (c.out === null) return;
    put(shelf, c.out, values.of(c.out), own[k]!);
    held.add(own[k]!);
    block.own.add(c.out);
  });
  for (const b of [...own, ...last]) held.has(b) ? take(shelf, b) : release(shelf, b);
  const { id, count, when } = loop;
  const made: Loop = { kind: "loop", label, ...during(when), id, count, carry: carries, body, rotate };
  return [...began.flatMap((b) => b.copies), made];
}

/** Where a carry is as the loop begins, and the copy that brings it there. */
function beginCarry(
  ctx: Context,
  loop: LoopFlow,
  c: CarryFlow,
  block: Block,
): { readonly carry: Carry; readonly copies: readonly Step[] } {
  const { shelf, values } = ctx;
  const before = loop.carry.slice(0, loop.carry.indexOf(c)).map((other) => other.init);
  const inside = values.of(c.inside);
  const isOurs =
    isSpent(ctx, c.init, loop, block) &&
    !outerUses(loop).includes(c.init) &&
    !before.includes(c.init) &&
    shelf.buffers[placeOf(shelf, c.init)]!.bytes === inside.bytes;
  const standsIn =
    !isOurs &&
    ctx.standIn &&
    !loop.carry.some((other) => other.next === c.inside) &&
    !takesInPlace(loop, c) &&
    !before.includes(c.init);
  if (isOurs) {
    block.own.delete(c.init);
    put(shelf, c.inside, inside, placeOf(shelf, c.init));
  } else place(shelf, c.inside, inside);
  const buffer = placeOf(shelf, c.inside);
  if (standsIn) shelf.fixed.add(buffer);
  const carry = {
    buffer,
    ...(standsIn ? { first: placeOf(shelf, c.init) } : {}),
    init: values.of(c.init).id,
    inside: inside.id,
    next: values.of(c.next).id,
    out: c.out === null ? null : values.of(c.out).id,
  };
  return { carry, copies: isOurs || standsIn ? [] : [copy(ctx, c.init, c.inside, loop.when)] };
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

function memoryOf(buffers: readonly SharedBuffer[]): Memory {
  const parts = buffers.map((b) => ({ buffer: b.id, bytes: b.bytes, holds: b.holds }));
  return { bytes: buffers.reduce((sum, b) => sum + b.bytes, 0), parts: parts.sort((a, b) => b.bytes - a.bytes) };
}
