/**
 * What a way to deal out a kernel's axes costs, by counting: the 32-byte sectors that a warp's loads and stores touch, ops,
 * how long a thread waits for memory, and how often threads join what they have. Seconds on a GPU of the H100's size; meant
 * to rank ways to run one kernel, one thread for each result among them.
 */
import { operandsOf } from "../../tile/build.ts";
import type { Axis, Kernel, Stmt, Value } from "../../tile/ir.ts";
import { numberOf } from "../known.ts";
import { axesSeen, valuesOf } from "../map.ts";
import type { Part } from "./dealt.ts";
import { everywhere, sizeOf } from "./layout.ts";
import { bytesOf } from "./shared.ts";
import { type Slots, slotLayout, threadsAlong } from "./slots.ts";

/** A load or store: the axes that it is made for each element of, and how far apart its addresses are along them. */
export type Access = {
  readonly axes: readonly Axis[];
  readonly bytes: number;
  /** In bytes, by axis; NaN where it follows from data. */
  readonly strides: ReadonlyMap<number, number>;
  /** The axis along which elements lie side by side, in fours that begin at multiples of four. */
  readonly fours: Axis | undefined;
  readonly load: boolean;
  /** What is loaded or stored. */
  readonly value: Value;
  /** How many sums and stores need what is loaded: so often it is, where it is too much to be held. */
  readonly passes: number;
};

export function accessesOf(kernel: Kernel): readonly Access[] {
  const passes = passesOf(kernel);
  const access = (
    buffer: number,
    index: readonly Value[],
    axes: readonly Axis[],
    value: Value,
    load: boolean,
  ): Access => {
    const { shape, dtype } = kernel.buffers[buffer]!;
    const bytes = bytesOf(dtype);
    const place = (at: ReadonlyMap<number, number>): number =>
      index.reduce((n, i, k) => n * shape[k]! + numberOf(i, at), 0);
    const origin = place(new Map());
    const scattered = new Set(index.flatMap(axesOfLoads).map((a) => a.id));
    const strides = new Map(
      axes.map((a) => [a.id, scattered.has(a.id) ? Number.NaN : bytes * (place(new Map([[a.id, 1]])) - origin)]),
    );
    const last = index.at(-1)?.def;
    const axis = last?.kind === "pos" ? last.axis : undefined;
    const alone = axis && index.slice(0, -1).every((i) => !i.axes.some((a) => a.id === axis.id));
    const fours = alone && shape.at(-1)! % 4 === 0 && axis.extent % 4 === 0 ? axis : undefined;
    return { axes, bytes, strides, fours, load, value, passes: passes.get(value.id) ?? 1 };
  };
  return [
    ...valuesOf(kernel, false).flatMap((v) =>
      v.def.kind === "load" ? [access(v.def.buffer, v.def.index, v.axes, v, true)] : [],
    ),
    ...kernel.stores.map((s) => {
      const axes = new Map([...s.index, s.value].flatMap((v) => v.axes).map((a) => [a.id, a]));
      return access(s.buffer, s.index, [...axes.values()], s.value, false);
    }),
  ];
}
/** For each value, the sums and stores that it is computed for. */
function passesOf(kernel: Kernel): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  const pass = (v: Value, seen: Set<number>): void => {
    if (seen.has(v.id)) return;
    seen.add(v.id);
    found.set(v.id, (found.get(v.id) ?? 0) + 1);
    if (v.def.kind !== "reduce" && v.def.kind !== "scan") for (const a of operandsOf(v.def)) pass(a, seen);
  };
  for (const v of valuesOf(kernel, false))
    if (v.def.kind === "reduce" || v.def.kind === "scan") pass(v.def.arg, new Set());
  for (const s of kernel.stores) pass(s.value, new Set());
  return found;
}
/** The axes of what is loaded to say where something else is. */
const axesOfLoads = (v: Value): readonly Axis[] =>
  v.def.kind === "load"
    ? v.axes
    : v.def.kind === "map" || v.def.kind === "cast"
      ? (v.def.kind === "map" ? v.def.args : [v.def.arg]).flatMap(axesOfLoads)
      : v.def.kind === "pos" || v.def.kind === "const"
        ? []
        : v.axes;

/** A way to deal out a kernel's axes. */
export type Way = { readonly parts: ReadonlyMap<number, Part>; readonly slots: Slots };

const machine = {
  /** Warps' instructions a second, and bytes a second from memory. */
  processors: 132,
  clock: 1.7e9,
  bandwidth: 2.5e12,
  /** From asking memory to having it, and how many loads a thread has under way. */
  latency: 700e-9,
  ahead: 8,
  /** Threads and workgroups that a processor has at once. */
  resident: 1536,
  workgroups: 32,
  /** A shuffle, and a meeting of warps through shared memory. */
  shuffle: 20e-9,
  meeting: 150e-9,
} as const;

/** Seconds that a launch takes, roughly. */
export function secondsOf(kernel: Kernel, accesses: readonly Access[], { parts, slots }: Way): number {
  const threads = slots.slots.reduce((n, s) => n * s.count, 1);
  const groups = kernel.grid.reduce((n, a) => n * Math.ceil(a.extent / parts.get(a.id)!.block), 1);
  const warps = (groups * Math.max(32, threads)) / 32;
  const times = timesOf(kernel, parts);
  const perThread = (axes: readonly Axis[]): number =>
    axes.reduce((n, a) => n * (parts.get(a.id)!.cover / threadsAlong(slots, a.id)), 1);
  const often = (v: Value): number => times.get(v.id) ?? 1;
  let bytes = 0;
  let turns = 0;
  let loads = 0;
  for (const a of accesses) {
    const side = a.fours ? (slots.side.get(a.fours.id) ?? 1) : 1;
    const rounds = a.load && a.axes.some((x) => parts.get(x.id)!.rolled !== undefined) ? a.passes : 1;
    const count = (rounds * often(a.value) * perThread(a.axes)) / side;
    const sectors = sectorsOf(a, { parts, slots }, side);
    bytes += warps * count * sectors * 32;
    turns += warps * count * Math.max(1, sectors / 4);
    if (a.load) loads += count;
  }
  let ops = 0;
  let joins = 0;
  for (const v of valuesOf(kernel, false)) {
    const d = v.def;
    if (d.kind === "map" || d.kind === "cast") ops += often(v) * perThread(v.axes);
    if (d.kind !== "reduce" && d.kind !== "scan") continue;
    ops += often(v) * perThread(axesSeen(v));
    const along = threadsAlong(slots, d.axis.id);
    if (along === 1) continue;
    const within = withinWarp(slots, d.axis.id);
    const registers = d.kind === "scan" ? perThread(d.arg.axes) : perThread(v.axes);
    joins += often(v) * (Math.log2(within) * machine.shuffle * Math.sqrt(registers));
    if (within < along) joins += often(v) * machine.meeting * Math.sqrt(registers);
  }
  const rate = machine.processors * machine.clock;
  const resident = Math.min(machine.resident, machine.workgroups * threads);
  const waves = Math.max(1, (groups * threads) / (machine.processors * resident));
  const work = Math.max(bytes / machine.bandwidth, turns / rate, (warps * ops) / (4 * rate));
  // What one processor has to do, where there are fewer workgroups than processors.
  const alone = Math.min(1, groups / machine.processors);
  // A processor has only so many workgroups: small ones leave threads unused.
  const few = Math.max(1, machine.resident / (machine.workgroups * threads)) ** 0.25;
  return (few * work) / alone + Math.ceil(waves) * (Math.ceil(loads / machine.ahead) * machine.latency + joins);
}
/** Threads of a warp that count along an axis. */
function withinWarp(s: Slots, axis: number): number {
  let below = 1;
  let n = 1;
  for (const slot of s.slots) {
    if (slot.axes.includes(axis)) n *= Math.max(1, Math.min(slot.count, 32 / below));
    below *= slot.count;
    if (below >= 32) break;
  }
  return n;
}

/** Sectors that the threads of a warp touch, each with `side` elements side by side. */
function sectorsOf(a: Access, { parts, slots }: Way, side: number): number {
  const layout = slotLayout(
    slots,
    parts,
    a.axes.filter((x) => parts.get(x.id)!.cover > 1),
  );
  const found = new Set<number>();
  const threads = Math.min(32, sizeOf(layout.threads));
  for (let t = 0; t < threads; t++) {
    let left = t;
    let at = 0;
    for (const d of layout.threads) {
      const digit = left % d.count;
      left = Math.floor(left / d.count);
      if (d.axis === everywhere) continue;
      const stride = a.strides.get(d.axis) ?? 0;
      at += Number.isNaN(stride) ? digit * 999_983 * 32 : digit * d.stride * stride;
    }
    for (let b = 0; b < side * a.bytes; b += Math.min(32, a.bytes)) found.add(Math.floor((at + b) / 32));
  }
  return found.size;
}

/** Steps of the loops around each value. */
function timesOf(kernel: Kernel, parts: ReadonlyMap<number, Part>): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  const walk = (body: readonly Stmt[], times: number): void => {
    for (const s of body)
      if (s.kind === "let") found.set(s.value.id, times);
      else {
        const { over } = s;
        walk(
          s.body,
          times * (over.kind === "steps" ? over.count : Math.ceil(over.axis.extent / parts.get(over.axis.id)!.block)),
        );
      }
  };
  walk(kernel.body, 1);
  return found;
}
