/**
 * How a team computes a kernel that has no products of matrices, and joins things along axes: sums and maxima of rows, running
 * sums, the place of the largest; or whose arrays lie across each other in memory. Threads are dealt first to an axis along which
 * memory lies side by side, four elements each, so that a warp's loads are whole sectors; then to one other axis, which may be
 * summed over too. What several threads have of a sum they join (join.ts). Loops whose blocks are free are shared out among
 * warps (share.ts).
 *
 * All ways to do that are weighed (traffic.ts), against what single threads would do (../lower.ts).
 */
import { operandsOf } from "../../tile/build.ts";
import type { Axis, Kernel, Value } from "../../tile/ir.ts";
import { valuesOf } from "../../tile/values.ts";
import { meetingAxes } from "../allowed.ts";
import { axesOf, axesSeen, type Mapping, type SlotChoice } from "../map.ts";
import { type Dealt, layoutOf, type Part, partWith, roundUp } from "./dealt.ts";
import { sizeOf } from "./layout.ts";
import { groupsOf, type Plan } from "./plan.ts";
import { rolesOf, usesOf } from "./roles.ts";
import { NoRule } from "./rule.ts";
import { blockOf } from "./shapes.ts";
import { shareFolds } from "./share.ts";
import { roundOf, type Slot, type Slots, threadsAlong } from "./slots.ts";
import type { TeamTarget } from "./target.ts";
import { type Access, accessesOf, scalesFor, type Way, type Weighed } from "./traffic.ts";
import { uniteAxes } from "./unite.ts";

/** Elements of a value that a thread may hold, and that are written out one by one. */
const HELD = 32;
const WRITTEN = 128;
/** Elements that it may hold where there is no other way. */
const SPILT = 256;
/** Of an axis that is too long for that, those of one round. */
const AT_ONCE = 4;
/** Where nothing is joined, teams are for what single threads do much worse. */
const CLEARLY = 0.75;
/** Warps that share out a loop, and elements of a block for each. */
const SHARING = { parts: 8, step: 16 } as const;

/** A plan for a team without products: how it deals out axes, and how long that may take. */
export type SumPlan = Plan & { readonly choice: SlotChoice; readonly seconds: number };
/** Those of a kernel, the fastest first, made as they are asked for; `reason` says, after the last, what had no rule. */
export type SumPlans = { readonly all: Iterable<SumPlan>; readonly reason: () => string };

export function sumPlans(kernel: Kernel, target: TeamTarget): SumPlans {
  let reason = "no way to deal out its axes";
  function* all(): Generator<SumPlan> {
    let some = false;
    // What has to be held, and is too long for it, may spill: better than single threads.
    for (const room of [HELD, SPILT]) {
      for (const { kernel: k, way, seconds } of some ? [] : rankedWays(kernel, target, room)) {
        const plan = planFor(k, target, way, room > HELD);
        if (typeof plan === "string") reason = plan;
        else {
          some = true;
          yield { ...plan, choice: way.choice, seconds };
        }
      }
    }
  }
  return { all: all(), reason: () => reason };
}

/**
 * Seconds that a team has to stay below for a kernel that single threads would do as `alone` says: 0 where nothing is joined, and
 * they take most of what they touch.
 */
export function toBeat(kernel: Kernel, target: TeamTarget, alone: () => Mapping): number {
  const joins = valuesOf(kernel, false).some((v) => v.def.kind === "reduce" || v.def.kind === "scan");
  const { seconds, wastes } = scalesFor(kernel, accessesOf(kernel), target);
  const way = wayOf(alone());
  if (joins) return seconds(way);
  return wastes(way) ? CLEARLY * seconds(way) : 0;
}

/**
 * The ways for teams, the fastest first, with loops shared out and as they are. `room`: elements of a value that a thread may
 * hold; for more than usual, by as many threads as there may be.
 */
export function rankedWays(kernel: Kernel, target: Weighed, room: number = HELD): readonly Ranked[] {
  const one = uniteAxes(kernel);
  const shared = shareFolds(one, SHARING);
  const known = new Set(axesOf(one).map((a) => a.id));
  return (shared === one ? [one] : [shared, one])
    .flatMap((k) => {
      const accesses = accessesOf(k);
      const { seconds } = scalesFor(k, accesses, target);
      const part = axesOf(k).find((a) => a.role === "inner" && !known.has(a.id));
      const eights = target.pattern === "matrices";
      const ways = waysOf(k, accesses, { most: target.threads, eights, room, shared: k === one ? 0 : 1, part });
      return ways.map((way) => ({ kernel: k, way, seconds: seconds(way) }));
    })
    .sort((a, b) => a.seconds - b.seconds);
}
type Ranked = { readonly kernel: Kernel; readonly way: TeamWay; readonly seconds: number };
type TeamWay = Way & { readonly choice: SlotChoice };

/** The plan of a way, or what has no rule. */
export function planFor(
  kernel: Kernel,
  { pattern, exchange }: TeamTarget,
  { parts, slots }: Way,
  spills = false,
): Plan | string {
  const warps = slots.slots.reduce((n, s) => n * s.count, 1) / 32;
  const dealt: Dealt = { parts, by: slots, warps, pattern };
  const none = new Map<number, never>();
  const uses = usesOf(kernel, none);
  try {
    return {
      kernel,
      warps,
      pattern,
      exchange,
      groups: groupsOf(kernel, parts),
      parts,
      by: slots,
      products: none,
      staged: none,
      ...rolesOf(kernel, dealt, none, uses),
      uses,
      sharedBytes: 0,
      accumulators: 0,
      ...(spills ? { spills: true as const } : {}),
      notes: notesOf(kernel, dealt, slots),
    };
  } catch (e) {
    if (!(e instanceof NoRule)) throw e;
    return e.message;
  }
}

/**
 * Threads at most, whether they load eight elements of 16 bits at once, elements that one may hold, and the axis of parts that a loop
 * is shared out among, a warp for each.
 */
type Room = {
  readonly most: number;
  readonly eights: boolean;
  readonly room: number;
  readonly shared: 0 | 1;
  readonly part: Axis | undefined;
};

/** All ways worth weighing: threads along an axis that lies side by side in memory, and along one other. */
function waysOf(
  kernel: Kernel,
  accesses: readonly Access[],
  { most, eights, room, shared, part }: Room,
): readonly TeamWay[] {
  const axes = axesOf(kernel);
  const values = valuesOf(kernel);
  const meet = meetingsOf(values);
  const work: Work = { axes, meeting: meetingAxes(kernel), values: heldValues(values, room) };
  const open = axes.filter((a) => a !== part && a.extent > 1);
  /** An axis, and others that no value has beside it, which the same threads can count along. */
  const family = (first: Axis, like: (a: Axis) => boolean): readonly Axis[] => {
    const found = [first];
    for (const a of open) if (!found.some((f) => f === a || meet(f, a)) && like(a)) found.push(a);
    return found;
  };
  const sideBySide = new Map<Axis, number>();
  for (const x of accesses)
    for (const a of x.axes) {
      if (x.strides.get(a.id) !== x.bytes && x.fours?.id !== a.id) continue;
      const mine = open.find((o) => o.id === a.id);
      if (mine) sideBySide.set(mine, (sideBySide.get(mine) ?? 0) + amountOf(x));
    }
  const along = [...sideBySide].sort(([, x], [, y]) => y - x).map(([a]) => a);
  const found: TeamWay[] = [];
  for (const first of along.length > 0 ? along.slice(0, 2) : open.slice(0, 1)) {
    const fast = family(first, (a) => sideBySide.has(a));
    const side = new Map(
      fast.flatMap((a) => {
        const beside = accesses.filter((x) => x.fours?.id === a.id);
        if (beside.length === 0 || a.extent % 4 !== 0) return [];
        return [[a.id, eights && a.extent % 8 === 0 && byEights(beside) ? 8 : 4] as const];
      }),
    );
    const across = room > HELD ? [] : open.filter((a) => !fast.includes(a) && fast.every((f) => meet(f, a)));
    const others = [undefined, ...across];
    for (const other of others) {
      const slow = other ? family(other, (a) => a.role === other.role && !fast.includes(a)) : [];
      const counts = room > HELD ? [most] : [32, 64, 128, 256, 512].filter((n) => n <= most);
      for (const threads of part ? [32] : counts)
        for (let n = 1; n <= threads; n *= 2) {
          if (!other && n < threads && n * 2 <= longest(fast, side)) continue;
          if (n > 1 && n / 2 >= longest(fast, side)) break;
          if (other && threads / n > 2 * other.extent) continue;
          const slots: Slot[] = [
            { count: n, axes: fast.map((a) => a.id) },
            { count: threads / n, axes: slow.map((a) => a.id) },
            ...(part ? [{ count: part.extent, axes: [part.id] }] : []),
          ];
          const way = dealtTo(work, { slots, side });
          const choice: SlotChoice = {
            along: axes.indexOf(first),
            alongThreads: n,
            across: other ? axes.indexOf(other) : -1,
            acrossThreads: threads / n,
            shared,
          };
          if (way) found.push({ ...way, choice });
        }
    }
  }
  return found;
}
/** Bytes of all that is loaded or stored. */
const amountOf = ({ axes, bytes }: Access): number => axes.reduce((n, a) => n * a.extent, bytes);
/** Whether most of what lies side by side does in eights of 16 bits, and the rest in fours of 32. */
function byEights(beside: readonly Access[]): boolean {
  const amount = (wide: boolean): number => beside.reduce((n, x) => n + (x.eights === wide ? amountOf(x) : 0), 0);
  return beside.every((x) => x.eights || x.bytes === 4) && amount(true) >= amount(false);
}
/** Threads that the longest of some axes has elements for. */
const longest = (axes: readonly Axis[], side: ReadonlyMap<number, number>): number =>
  Math.max(...axes.map((a) => a.extent / (side.get(a.id) ?? 1)));

/** Whether some value has two axes. */
function meetingsOf(values: readonly Value[]): (a: Axis, b: Axis) => boolean {
  const pairs = new Set<string>();
  for (const v of values) for (const a of axesSeen(v)) for (const b of axesSeen(v)) pairs.add(`${a.id} ${b.id}`);
  return (a, b) => pairs.has(`${a.id} ${b.id}`);
}

/** What is dealt out: axes, those of the grid along which elements meet, and of each value how much of it a thread may have at once. */
type Work = {
  readonly axes: readonly Axis[];
  readonly meeting: ReadonlySet<number>;
  readonly values: readonly { readonly axes: readonly Axis[]; readonly most: number }[];
};
/** What is used once is not held, if it is computed where it is used. */
function heldValues(values: readonly Value[], room: number): Work["values"] {
  const uses = new Map<number, number>();
  for (const v of values) for (const a of new Set(operandsOf(v.def))) uses.set(a.id, (uses.get(a.id) ?? 0) + 1);
  return values.flatMap(({ id, def, axes }) => {
    if (def.kind === "pos") return [];
    const inPlace = def.kind === "load" || def.kind === "map" || def.kind === "cast";
    return [{ axes, most: inPlace && (uses.get(id) ?? 0) <= 1 ? Math.max(WRITTEN, room) : room }];
  });
}

/** How much of each axis a team then has; undefined where a thread would have too much to do at once. */
function dealtTo({ axes, meeting, values }: Work, slots: Slots): Way | undefined {
  const parts = new Map<number, Part>();
  const along = new Map(axes.map((a) => [a.id, threadsAlong(slots, a.id)]));
  for (const axis of axes) {
    const round = roundOf(slots, axis.id);
    const free = axis.role === "grid" && !meeting.has(axis.id);
    const block = free ? Math.min(round, axis.extent) : blockOf(axis);
    const cover = block === 1 && round === 1 ? 1 : roundUp(block, round);
    parts.set(axis.id, partWith(axis, block, cover));
  }
  const isRolled = (a: Axis): boolean => parts.get(a.id)!.rolled !== undefined;
  const registers = (of: readonly Axis[]): number =>
    of.reduce((n, a) => {
      const { cover, rolled = cover } = parts.get(a.id)!;
      return (n * Math.min(rolled, cover)) / along.get(a.id)!;
    }, 1);
  const tooMuch = () => values.find((v) => registers(v.axes) > (v.axes.some(isRolled) ? WRITTEN : v.most));
  // Long inner axes are gone over in rounds.
  for (let v = tooMuch(); v; v = tooMuch()) {
    const longest = v.axes
      .filter((a) => a.role === "inner" && !isRolled(a))
      .sort((a, b) => parts.get(b.id)!.cover / roundOf(slots, b.id) - parts.get(a.id)!.cover / roundOf(slots, a.id))[0];
    if (!longest) return undefined;
    const part = parts.get(longest.id)!;
    const rolled = Math.min(AT_ONCE * roundOf(slots, longest.id), part.cover);
    const cover = roundUp(part.block, rolled);
    parts.set(longest.id, { ...partWith(longest, part.block, cover), rolled });
  }
  return { parts, slots };
}

/** What single threads do, as a way: nothing but the grid is dealt out. */
function wayOf(mapping: Mapping): Way {
  const slots: Slot[] = [];
  const side = new Map<number, number>();
  const parts = new Map<number, Part>();
  for (const m of [...mapping.axes.values()].reverse()) {
    if (m.lanes > 1) slots.push({ count: m.lanes, axes: [m.axis.id] });
    if (m.vector) side.set(m.axis.id, 4);
  }
  if (slots.length === 0) slots.push({ count: 1, axes: [] });
  for (const m of mapping.axes.values()) {
    const cover = roundUp(m.block, m.lanes * (m.vector ? 4 : 1));
    parts.set(m.axis.id, partWith(m.axis, m.block, cover));
  }
  return { parts, slots: { slots, side } };
}

function notesOf(kernel: Kernel, d: Dealt, slots: Slots): readonly string[] {
  const name = (id: number): string => d.parts.get(id)!.axis.name;
  const along = slots.slots.filter((s) => s.count > 1 && s.axes.length > 0);
  const dealt = along.map((s) => `${s.count} along ${s.axes.map(name).join(" or ")}`).join(", ");
  const rolled = [...d.parts.values()].filter((p) => p.rolled !== undefined);
  const most = Math.max(1, ...valuesOf(kernel).map((v) => sizeOf(layoutOf(d, v.axes).registers)));
  return [
    `teams of ${d.warps * 32} threads: ${dealt || "all do the same"}; of the largest value each has ${most} elements`,
    ...[...slots.side].map(([id, n]) => `${name(id)} by ${n}s, side by side in memory`),
    ...rolled.map((p) => `${p.axis.name} in rounds of ${p.rolled}: it is too long to be held`),
  ];
}
