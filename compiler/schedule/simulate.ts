/**
 * What a schedule takes on a machine that one does not have: every stream of every device, every transfer, every wait.
 *
 * All devices run the same steps, so the steps are played once, in order (play.ts), and the times of each are computed for
 * all devices together. That loses nothing: what a step waits for (its stream, what it reads, the other end of a transfer,
 * a token) stands before it in the schedule. Devices that cannot come apart are played as one (places.ts), so a ring of
 * 1024 whose devices do alike takes as long as one device.
 */
import { type Machine, peakOf } from "../base/machine.ts";
import { launchCosts, type Measured } from "./durations.ts";
import { launchesAt, workKeys } from "./placed.ts";
import { allApart, allPeers, type Classes, classesOf, devicesOf, peersKey, peersOf } from "./places.ts";
import { type Distance, type Played, play, type Stage, type Ways } from "./play.ts";
import type { DType, Schedule, Transfer } from "./schedule.ts";
import { totalOps } from "./work.ts";

export type SimulateOptions = {
  /** false: every device by itself, which takes longer and gives the same. */
  readonly symmetric?: boolean;
  /** Kernels whose times are known. */
  readonly measured?: Measured;
  /** Positions whose spans are recorded. */
  readonly watch?: readonly number[];
};

/** All times in seconds. */
export type Simulation = {
  readonly seconds: number;
  readonly devices: number;
  /** How many devices were told apart. */
  readonly classes: number;
  /** Time in kernels and copies. */
  readonly busy: Spread;
  /** Time in which compute stands still while bytes are under way to the device, or queue for a link. */
  readonly exposed: Spread;
  /** Time in which compute stands still because the device at the other end has not come so far yet. */
  readonly late: Spread;
  /** Flops in sums of products on all devices, masked blocks left out. */
  readonly flops: number;
  /** Flops, as a share of what all devices together could have done in `seconds`, at the peak of the dtype used most. */
  readonly utilisation: number;
  readonly transfers: readonly TransferTime[];
  readonly spans: readonly WatchedSpan[];
};
/** Over the devices. `at`: the first position where it is most. */
export type Spread = { readonly least: number; readonly mean: number; readonly most: number; readonly at: number };
/** A message of the schedule, over the run; `bytes`: of all that is in it. `seconds`: on links, all times together, where it is most. */
export type TransferTime = {
  readonly label: string;
  readonly stream: string;
  readonly bytes: number;
  readonly count: number;
  readonly seconds: number;
  readonly exposed: Spread;
  readonly late: Spread;
};
export type WatchedSpan = {
  readonly position: number;
  readonly stream: string;
  readonly label: string;
  readonly start: number;
  readonly end: number;
};

/** The field of the machine that is missing to run the schedule; undefined where nothing is. */
export function lacking(s: Schedule, machine: Machine): string | undefined {
  const distance = distanceOn(machine);
  for (const { to } of allPeers(s))
    for (const [p, q] of to.entries()) {
      const kind = q < 0 ? "here" : distance(p, q);
      if (kind !== "here" && !machine.links[kind]) return `links.${kind}`;
    }
  return undefined;
}

/** Plays `s` on `machine`, which has every link that is needed (`lacking`). */
export function simulate(s: Schedule, machine: Machine, options: SimulateOptions = {}): Simulation {
  const costs = launchCosts(s, machine, options.measured);
  const devices = devicesOf(s.mesh);
  const distance = distanceOn(machine);
  const keys = options.symmetric === false ? [] : workKeys(s, costs);
  const classes =
    options.symmetric === false ? allApart(devices) : classesOf(devices, (p) => keys[p]!, allPeers(s), distance);
  const watch = (options.watch ?? []).filter((p) => p < devices);
  const played = play({
    schedule: s,
    machine,
    size: classes.first.length,
    launches: launchesAt(s, costs, classes.first),
    ways: waysOf(s, classes, distance),
    watch: new Set(watch.map((p) => classes.of[p]!)),
  });
  return summary(s, machine, classes, played, watch);
}

const distanceOn =
  ({ devicesPerNode }: Machine) =>
  (p: number, q: number): Distance =>
    p === q ? "here" : Math.floor(p / devicesPerNode) === Math.floor(q / devicesPerNode) ? "inside" : "between";

/** The ways of transfers between classes, each worked out once. */
function waysOf(s: Schedule, classes: Classes, distance: (p: number, q: number) => Distance): Stage["ways"] {
  const known = new Map<string, Ways>();
  return ({ axes, route }, turns) => {
    const turn = route.kind === "shift" && route.loop !== undefined ? (turns.get(route.loop) ?? 0) : 0;
    const key = peersKey(axes, route, turn);
    const old = known.get(key);
    if (old) return old;
    const peers = peersOf(s.mesh, axes, route, turn);
    const classOf = (p: number): number => (p < 0 ? -1 : classes.of[p]!);
    const made: Ways = {
      to: Int32Array.from(classes.first, (p) => classOf(peers.to[p]!)),
      from: Int32Array.from(classes.first, (p) => classOf(peers.from[p]!)),
      far: classes.first.map((p) => (peers.from[p]! < 0 ? "here" : distance(peers.from[p]!, p))),
    };
    known.set(key, made);
    return made;
  };
}

// --- What came of it -------------------------------------------------------------------------------------------------

function summary(
  s: Schedule,
  machine: Machine,
  classes: Classes,
  { end, busy, flops, tallies, spans }: Played,
  watch: readonly number[],
): Simulation {
  const devices = devicesOf(s.mesh);
  const spread = (v: Float64Array): Spread => spreadOf(v, classes);
  const added = (of: (t: Played["tallies"][number]) => Float64Array): Float64Array =>
    tallies.reduce((sum, t) => sum.map((x, c) => x + of(t)[c]!), new Float64Array(end.length));
  const seconds = end.reduce((most, x) => Math.max(most, x), 0);
  const total = flops.reduce((sum, x, c) => sum + x * classes.members[c]!, 0);
  return {
    seconds,
    devices,
    classes: classes.first.length,
    busy: spread(busy),
    exposed: spread(added((t) => t.exposed)),
    late: spread(added((t) => t.late)),
    flops: total,
    utilisation: seconds === 0 ? 0 : total / (devices * seconds * peakOf(machine, mainDtype(s))),
    transfers: tallies.map((t) => ({
      label: labelOf(t.parts),
      stream: t.parts[0]!.stream,
      bytes: t.parts.reduce((sum, part) => sum + part.bytes, 0),
      count: t.count,
      seconds: t.seconds.reduce((most, x) => Math.max(most, x), 0),
      exposed: spread(t.exposed),
      late: spread(t.late),
    })),
    spans: watch.flatMap((position) =>
      spans
        .filter((x) => x.device === classes.of[position]!)
        .map(({ stream, label, start, end: to }) => ({ position, stream, label, start, end: to })),
    ),
  };
}

function spreadOf(v: Float64Array, { members, first }: Classes): Spread {
  const devices = members.reduce((a, b) => a + b, 0);
  const most = v.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return {
    least: v.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
    mean: v.reduce((sum, x, c) => sum + x * members[c]!, 0) / devices,
    most,
    at: first[v.indexOf(most)]!,
  };
}

/** The dtype that most products are of. */
function mainDtype(s: Schedule): DType {
  const flops = new Map<DType, number>();
  for (const { work } of s.kernels)
    for (const [dtype, n] of Object.entries(work ? totalOps(work).products : {}) as [DType, number][])
      flops.set(dtype, (flops.get(dtype) ?? 0) + n);
  return [...flops].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "f32";
}

/** `k_2, v_2 on sp+1`, of the receives of a message. */
function labelOf(parts: readonly Transfer[]): string {
  const names = parts.map((part) => part.label.replace(/^receive /, "").replace(` on ${part.stream}`, ""));
  return `${names.join(", ")} on ${parts[0]!.stream}`;
}
