/**
 * What a way to deal out a kernel's axes costs, by counting: the sectors of memory that a warp's loads and stores touch, ops,
 * how long a thread waits for memory, and how often threads join what they have. Seconds on the target's GPU; meant to rank
 * ways to run one kernel, one thread for each result among them.
 */
import { bytesEach } from "../../core/dtype.ts";
import { operandsOf } from "../../tile/build.ts";
import type { Axis, Kernel, Stmt, Value } from "../../tile/ir.ts";
import { valuesOf } from "../../tile/values.ts";
import { meetingAxes } from "../allowed.ts";
import { numberOf } from "../known.ts";
import { axesSeen } from "../map.ts";
import { besideAlong } from "./beside.ts";
import type { Part } from "./dealt.ts";
import { joinsOf, readsIn } from "./join.ts";
import { everywhere } from "./layout.ts";
import { blockOf } from "./shapes.ts";
import { type Slots, slotLayout, threadsAlong } from "./slots.ts";
import type { TeamTarget } from "./target.ts";

/** A load or store: the axes that it is made for each element of, and how far apart its addresses are along them. */
export type Access = {
  readonly axes: readonly Axis[];
  readonly bytes: number;
  /** In bytes, by axis; NaN where it follows from data. */
  readonly strides: ReadonlyMap<number, number>;
  /** The axis along which elements lie side by side, in fours that begin at multiples of four. */
  readonly fours: Axis | undefined;
  /** So do eights of 16 bits. */
  readonly eights: boolean;
  readonly load: boolean;
  /** What is loaded or stored. */
  readonly value: Value;
  /** How many sums and stores need what is loaded: so often it is, where it is too much to be held. */
  readonly passes: number;
};

export function accessesOf(kernel: Kernel): readonly Access[] {
  const passes = passesOf(kernel);
  const meeting = meetingAxes(kernel);
  // Of what may be dealt out freely, whatever is wanted.
  const block = (a: Axis): number => (a.role === "grid" && !meeting.has(a.id) ? 0 : blockOf(a));
  const access = (
    buffer: number,
    index: readonly Value[],
    axes: readonly Axis[],
    value: Value,
    load: boolean,
    clamp: boolean,
  ): Access => {
    const { shape, dtype } = kernel.buffers[buffer]!;
    const bytes = bytesEach(dtype);
    const place = (at: ReadonlyMap<number, number>): number =>
      index.reduce((n, i, k) => n * shape[k]! + numberOf(i, at), 0);
    const origin = place(new Map());
    const scattered = new Set(index.flatMap(axesOfLoads).map((a) => a.id));
    const strides = new Map(
      axes.map((a) => [a.id, scattered.has(a.id) ? Number.NaN : bytes * (place(new Map([[a.id, 1]])) - origin)]),
    );
    const fours = besideAlong(4, shape, index, clamp, block);
    const eights = bytes === 2 && fours !== undefined && besideAlong(8, shape, index, clamp, block)?.id === fours.id;
    return { axes, bytes, strides, fours, eights, load, value, passes: passes.get(value.id) ?? 1 };
  };
  return [
    ...valuesOf(kernel, false).flatMap((v) =>
      v.def.kind === "load" ? [access(v.def.buffer, v.def.index, v.axes, v, true, v.def.clamp)] : [],
    ),
    ...kernel.stores.map((s) => {
      const axes = new Map([...s.index, s.value].flatMap((v) => v.axes).map((a) => [a.id, a]));
      return access(s.buffer, s.index, [...axes.values()], s.value, false, false);
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

/** What of a target matters here. */
export type Weighed = Pick<TeamTarget, "pattern" | "exchange" | "threads" | "sharedBytes" | "machine">;

/** Bytes that a processor loads or stores at once. */
const TURN = 128;

/** How ways to run a kernel are weighed, and what of memory each touches. */
export type Scales = {
  /** Seconds that a launch takes, roughly; infinitely many where threads would exchange more than there is memory for. */
  readonly seconds: (way: Way) => number;
  /** Whether some access touches sectors of which it does not take half. */
  readonly wastes: (way: Way) => boolean;
};
export function scalesFor(
  kernel: Kernel,
  accesses: readonly Access[],
  { exchange, sharedBytes, machine }: Weighed,
): Scales {
  const computed = valuesOf(kernel, false).filter(({ def }) => COMPUTED.has(def.kind));
  const known = new Map<string, Touched>();
  const touchedBy = (a: Access, way: Way, side = sideOf(a, way)): Touched => {
    const digits = digitsOf(a, way, machine.sector);
    const key = `${side} ${a.bytes} ${digits.map((d) => `${d.count}:${d.stride}`).join(" ")}`;
    let found = known.get(key);
    if (!found) known.set(key, (found = touched(digits, side, a.bytes, machine.sector)));
    return found;
  };
  const seconds = (way: Way): number => {
    const { parts, slots } = way;
    const threads = slots.slots.reduce((n, s) => n * s.count, 1);
    const groups = kernel.grid.reduce((n, a) => n * Math.ceil(a.extent / parts.get(a.id)!.block), 1);
    const warps = (groups * Math.max(32, threads)) / 32;
    const times = timesOf(kernel, parts);
    const each = new Map([...parts].map(([id, { cover }]) => [id, cover / threadsAlong(slots, id)]));
    const perThread = (axes: readonly Axis[]): number => axes.reduce((n, a) => n * each.get(a.id)!, 1);
    const often = (v: Value): number => times.get(v.id) ?? 1;
    let bytes = 0;
    let turns = 0;
    let loads = 0;
    for (const a of accesses) {
      const rounds = a.load && a.axes.some((x) => parts.get(x.id)!.rolled !== undefined) ? a.passes : 1;
      const count = (rounds * often(a.value) * perThread(a.axes)) / sideOf(a, way);
      const { sectors } = touchedBy(a, way);
      bytes += warps * count * sectors * machine.sector;
      turns += warps * count * Math.max(1, (sectors * machine.sector) / TURN);
      if (a.load) loads += count;
    }
    let ops = 0;
    let joins = 0;
    for (const v of computed) {
      const d = v.def;
      if (d.kind !== "reduce" && d.kind !== "scan") {
        ops += often(v) * perThread(v.axes);
        continue;
      }
      ops += often(v) * perThread(axesSeen(v));
      const { shuffles, meetings } = joinsOf(bitsAlong(slots, d.axis.id), exchange);
      const registers =
        d.kind === "scan" ? perThread(d.arg.axes) / (slots.side.get(d.axis.id) ?? 1) : perThread(v.axes);
      if (meetings.some(({ same }) => (threads / same) * registers * 4 > sharedBytes)) return Number.POSITIVE_INFINITY;
      const once = shuffles.length * machine.shuffle + meetings.length * machine.meeting;
      joins += often(v) * once * Math.sqrt(registers);
      turns += meetings.reduce((n, m) => n + readsIn(m), 0) * warps * often(v) * registers;
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
  };
  const wastes = (way: Way): boolean =>
    accesses.some((a) => {
      // What a thread takes one by one of neighbours is in the same sectors.
      const beside = a.axes.find((x) => a.strides.get(x.id) === a.bytes);
      const { sectors, bytes } = touchedBy(a, way, beside ? (way.slots.side.get(beside.id) ?? 1) : 1);
      return sectors > 1 && bytes < (sectors * machine.sector) / 2;
    });
  return { seconds, wastes };
}
const COMPUTED: ReadonlySet<Value["def"]["kind"]> = new Set(["map", "cast", "reduce", "scan"]);

/** The bits of threads' numbers that count along an axis. */
function bitsAlong(s: Slots, axis: number): readonly number[] {
  const found: number[] = [];
  let bit = 1;
  for (const { count, axes } of s.slots)
    for (let n = 1; n < count; n *= 2, bit *= 2) if (axes.includes(axis)) found.push(bit);
  return found;
}

/** Elements that a thread loads or stores at once. */
const sideOf = (a: Access, { slots }: Way): number => (a.fours ? (slots.side.get(a.fours.id) ?? 1) : 1);
type Strided = { readonly count: number; readonly stride: number };
/** The digits of a thread's number, and how far apart in memory what they count is: anywhere, where it follows from data. */
function digitsOf(a: Access, { parts, slots }: Way, sector: number): readonly Strided[] {
  const axes = a.axes.filter((x) => parts.get(x.id)!.cover > 1);
  return slotLayout(slots, parts, axes).threads.map(({ axis, stride, count }) => {
    const apart = axis === everywhere ? 0 : (a.strides.get(axis) ?? 0);
    return { count, stride: Number.isNaN(apart) ? 999_983 * sector : stride * apart };
  });
}
/** The sectors that the threads of a warp touch, and the bytes that they take of them. */
type Touched = { readonly sectors: number; readonly bytes: number };
function touched(digits: readonly Strided[], side: number, size: number, sector: number): Touched {
  const sectors = new Set<number>();
  const elements = new Set<number>();
  const threads = Math.min(
    32,
    digits.reduce((n, d) => n * d.count, 1),
  );
  for (let t = 0; t < threads; t++) {
    let left = t;
    let at = 0;
    for (const { count, stride } of digits) {
      at += (left % count) * stride;
      left = Math.floor(left / count);
    }
    for (let b = 0; b < side * size; b += size) {
      elements.add(at + b);
      sectors.add(Math.floor((at + b) / sector));
    }
  }
  return { sectors: sectors.size, bytes: elements.size * size };
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
