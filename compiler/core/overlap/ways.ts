/**
 * Ways round a ring: how a gather or a scattered sum goes on a machine, in seconds, and the best of them.
 *
 *   one way         n - 1 transfers of a part, each to the next device
 *   both ways       half as much in each direction at once: where each direction has a link of its own. A gather takes
 *                   half as many transfers, a sum halves of parts
 *   by nodes        first round the n / g devices with the same place in their nodes, then round the g devices of a node:
 *                   of what a node needs, everything comes into it once
 */
import type { Machine } from "../../base/machine.ts";
import { launchSeconds } from "../../base/machine.ts";
import { placesInNode, transferSeconds } from "../cost.ts";
import type { Mesh } from "../ir.ts";
import { ringSize } from "../mesh-layout.ts";

/** `nodes`: where it goes by nodes, how many places of the ring are in each. */
export type RingWay = {
  readonly seconds: number;
  readonly nodes?: number;
  readonly both: boolean;
  /** Within nodes, where it goes by nodes. */
  readonly bothInside: boolean;
};

type Kind = "gather" | "scatter";

/** Gathering parts of `bytes` from all devices, or scattering the sum of everyone's, a part of `bytes` to each. */
export function bestWay(m: Machine, mesh: Mesh, kind: Kind, axes: readonly string[], bytes: number): RingWay {
  const n = ringSize(mesh, axes);
  const inside = placesInNode(m, mesh, axes);
  const flat = round(m, mesh, kind, { axes, count: n }, bytes);
  if (inside === 1 || inside >= n || n % inside !== 0) return { ...flat, bothInside: false };
  const between = round(m, mesh, kind, { axes, count: n / inside }, bytes);
  const within = round(m, mesh, kind, { axes, within: inside, count: inside }, (bytes * n) / inside);
  // What arrives by nodes lies in another order.
  const seconds = between.seconds + within.seconds + launchSeconds(m, 0, 2 * n * bytes);
  return seconds < flat.seconds
    ? { seconds, nodes: inside, both: between.both, bothInside: within.both }
    : { ...flat, bothInside: false };
}

/** The same one way round the whole ring. */
export const plainSeconds = (m: Machine, mesh: Mesh, axes: readonly string[], bytes: number): number =>
  oneWay(m, mesh, { axes, count: ringSize(mesh, axes) }, bytes).seconds;

type Round = { readonly axes: readonly string[]; readonly within?: number; readonly count: number };
function round(m: Machine, mesh: Mesh, kind: Kind, r: Round, bytes: number) {
  const { seconds, onLink, latency, bothWays } = oneWay(m, mesh, r, bytes);
  const hops = kind === "gather" ? Math.ceil((r.count - 1) / 2) : r.count - 1;
  const two = hops * ((kind === "gather" ? onLink : onLink / 2) + latency);
  return bothWays > 1 && two < seconds ? { seconds: two, both: true } : { seconds, both: false };
}
function oneWay(m: Machine, mesh: Mesh, { count, ...way }: Round, bytes: number) {
  const link = transferSeconds(m, mesh, way, bytes);
  return { ...link, seconds: (count - 1) * (link.onLink + link.latency) };
}
