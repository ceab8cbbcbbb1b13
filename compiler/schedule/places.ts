/** Where devices stand in a mesh, who sends to whom, and which of them need not be told apart. */
import { placeAfter } from "../base/ring.ts";
import type { Mesh, Route, Schedule, Step } from "./schedule.ts";

/** The number of devices. */
export const devicesOf = (mesh: Mesh): number => mesh.axes.reduce((n, a) => n * a.size, 1);

/** Of every position, its place along `axes`, flattened, the first of them running slowest. */
export function indexAlong(mesh: Mesh, axes: readonly string[]): Int32Array {
  const index = new Int32Array(devicesOf(mesh));
  for (const name of axes) {
    const at = mesh.axes.findIndex((a) => a.name === name);
    const { size } = mesh.axes[at]!;
    const stride = mesh.axes.slice(at + 1).reduce((n, a) => n * a.size, 1);
    for (let p = 0; p < index.length; p++) index[p] = index[p]! * size + (Math.floor(p / stride) % size);
  }
  return index;
}

/** Of every position, the one that it sends to and the one that it receives from; -1 for nobody. */
export type Peers = { readonly to: Int32Array; readonly from: Int32Array };

/** The peers of a route round the ring of `axes`, in step `step` of the loop that it hangs on. */
export function peersOf(mesh: Mesh, axes: readonly string[], route: Route, step: number): Peers {
  const along = indexAlong(mesh, axes);
  const ring = axes.reduce((n, name) => n * mesh.axes.find((a) => a.name === name)!.size, 1);
  const target = (index: number): number => {
    if (route.kind === "shift") {
      const shift = route.offset + (route.perStep ?? 0) * step;
      return placeAfter(index, shift, ring, route.within);
    }
    return route.pairs.find(([from]) => from === index)?.[1] ?? -1;
  };
  const targets = Int32Array.from({ length: ring }, (_, i) => target(i));
  // On each ring (positions that differ along `axes` only), the position with a given index.
  const others = mesh.axes.map((a) => a.name).filter((name) => !axes.includes(name));
  const rest = indexAlong(mesh, others);
  const at = new Int32Array(along.length);
  along.forEach((index, p) => {
    at[rest[p]! * ring + index] = p;
  });
  const to = new Int32Array(along.length).fill(-1);
  const from = new Int32Array(along.length).fill(-1);
  along.forEach((index, p) => {
    const there = targets[index]!;
    if (there < 0) return;
    to[p] = at[rest[p]! * ring + there]!;
    from[to[p]!] = p;
  });
  return { to, from };
}

/** All the peers that devices have in a run, each once. */
export function allPeers(s: Schedule): readonly Peers[] {
  const found = new Map<string, Peers>();
  const counts = new Map<number, number>();
  const visit = (steps: readonly Step[]): void => {
    for (const step of steps) {
      if (step.kind === "loop") {
        counts.set(step.id, step.count);
        visit(step.body);
      }
      if (step.kind !== "send") continue;
      const { route, axes } = step;
      const turns = route.kind === "shift" && route.loop !== undefined ? (counts.get(route.loop) ?? 1) : 1;
      for (let t = 0; t < turns; t++) {
        const key = peersKey(axes, route, t);
        if (!found.has(key)) found.set(key, peersOf(s.mesh, axes, route, t));
      }
    }
  };
  visit(s.steps);
  return [...found.values()];
}

/** Equal for equal peers. */
export const peersKey = (axes: readonly string[], route: Route, step: number): string =>
  route.kind === "shift"
    ? `${axes.join()} ${route.offset + (route.perStep ?? 0) * step} ${route.within ?? ""}`
    : `${axes.join()} ${JSON.stringify(route.pairs)}`;

/** Devices of one class do the same at the same times. `members[k]` of them; the first is `first[k]`. */
export type Classes = {
  readonly of: Int32Array;
  readonly first: readonly number[];
  readonly members: readonly number[];
};

/** Every device by itself. */
export const allApart = (devices: number): Classes => ({
  of: Int32Array.from({ length: devices }, (_, p) => p),
  first: Array.from({ length: devices }, (_, p) => p),
  members: Array<number>(devices).fill(1),
});

/**
 * The coarsest classes such that devices of one class have the same work, and links of the same kind to and from devices
 * of the same classes. Such devices can't come apart: what one does when, all do. `work` and `link` are numbers that are
 * equal for equal things; `link(p, q)` is that of the way from p to q.
 */
export function classesOf(
  devices: number,
  work: (position: number) => string,
  peers: readonly Peers[],
  link: (from: number, to: number) => string | number,
): Classes {
  let classes = numbered(devices, work);
  for (;;) {
    const { of } = classes;
    const end = (p: number, q: number, from: boolean) => (q < 0 ? "" : `${of[q]}:${from ? link(q, p) : link(p, q)}`);
    const finer = numbered(
      devices,
      (p) => `${of[p]};${peers.map((x) => `${end(p, x.to[p]!, false)},${end(p, x.from[p]!, true)}`).join(";")}`,
    );
    if (finer.first.length === classes.first.length) return finer;
    classes = finer;
  }
}

/** Classes of positions with equal keys, in order of their first members. */
function numbered(devices: number, key: (position: number) => string): Classes {
  const known = new Map<string, number>();
  const of = new Int32Array(devices);
  const first: number[] = [];
  const members: number[] = [];
  for (let p = 0; p < devices; p++) {
    const k = key(p);
    let at = known.get(k);
    if (at === undefined) {
      at = first.push(p) - 1;
      known.set(k, at);
      members.push(0);
    }
    of[p] = at;
    members[at]!++;
  }
  return { of, first, members };
}
