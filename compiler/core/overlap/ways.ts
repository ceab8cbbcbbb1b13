/**
 * Ways round a ring: how a gather or a scattered sum goes on a machine, in seconds, and the best of them.
 *
 *   one way      n - 1 transfers of a part, each to the next device
 *   both ways    half as much in each direction at once: where each direction has a link of its own. A gather takes half as
 *                many transfers, a sum halves of parts
 *   doubling     log n transfers, each of twice as much as the one before: where latency counts for more than the copies
 *   by nodes     first round the n / g devices with the same place in their nodes, then round the g devices of a node: of
 *                what a node needs, everything comes into it once
 */
import { launchSeconds, type Machine } from "../../base/machine.ts";
import { placesInNode, transferSeconds } from "../cost.ts";
import type { Mesh } from "../ir.ts";
import { ringSize } from "../mesh-layout.ts";

export type Kind = "gather" | "scatter";
export type Round = "one way" | "both ways" | "doubling";
/** `nodes`: where it goes by nodes, how many places of the ring are in each; `round` is then between them, `inside` within. */
export type RingWay = {
  readonly seconds: number;
  /** How much of that kernels take. */
  readonly kernels: number;
  readonly nodes?: number;
  readonly round: Round;
  readonly inside: Round;
};

/**
 * Gathering parts of `bytes` from all devices, or scattering the sum of everyone's, a part of `bytes` to each. `ahead`: only
 * without loops, so that kernels can pass beside it.
 */
export function bestWay(
  m: Machine,
  mesh: Mesh,
  kind: Kind,
  axes: readonly string[],
  bytes: number,
  ahead = false,
): RingWay {
  const n = ringSize(mesh, axes);
  const nodes = placesInNode(m, mesh, axes);
  const best = (r: Part, part: number): Taken =>
    roundsOf(r.count, ahead)
      .map((round) => taken(m, mesh, kind, round, r, part))
      .reduce((a, b) => (b.seconds < a.seconds ? b : a));
  const flat = best({ axes, count: n }, bytes);
  const whole: RingWay = { ...flat, inside: flat.round };
  if (nodes === 1 || nodes >= n || n % nodes !== 0) return whole;
  const between = best({ axes, count: n / nodes }, bytes);
  const within = best({ axes, within: nodes, count: nodes }, (bytes * n) / nodes);
  // What arrives by nodes lies in another order.
  const order = launchSeconds(m, 0, 2 * n * bytes);
  const seconds = between.seconds + within.seconds + order;
  const kernels = between.kernels + within.kernels + order;
  return seconds < flat.seconds ? { seconds, kernels, nodes, round: between.round, inside: within.round } : whole;
}

/** A loop of one step is none. */
const roundsOf = (count: number, ahead: boolean): readonly Round[] =>
  ahead ? [count <= 2 ? "one way" : "doubling"] : ["one way", "both ways", "doubling"];

/** The same one way round the whole ring. */
export const plainSeconds = (m: Machine, mesh: Mesh, kind: Kind, axes: readonly string[], bytes: number): number =>
  taken(m, mesh, kind, "one way", { axes, count: ringSize(mesh, axes) }, bytes).seconds;

type Part = { readonly axes: readonly string[]; readonly within?: number; readonly count: number };
type Taken = { readonly seconds: number; readonly kernels: number; readonly round: Round };
function taken(m: Machine, mesh: Mesh, kind: Kind, round: Round, { count, ...way }: Part, bytes: number): Taken {
  const { onLink, latency, bothWays } = transferSeconds(m, mesh, way, bytes);
  const moved = (count - 1) * onLink;
  const passes = (n: number): number => launchSeconds(m, 0, n * bytes);
  // A gather puts a part in its place while the next one comes; a sum has to be there before it goes on.
  if (round === "doubling") {
    const steps = Math.ceil(Math.log2(count));
    const kernels = passes(2 * count) + (steps - 1) * m.launch + passes((kind === "gather" ? 4 : 3) * count);
    return { round, kernels, seconds: moved + steps * latency + kernels };
  }
  const halves = round === "both ways" ? 2 : 1;
  if (halves > bothWays) return { round, kernels: 0, seconds: Number.POSITIVE_INFINITY };
  if (kind === "gather") {
    const steps = Math.ceil((count - 1) / halves);
    return { round, kernels: passes(2), seconds: steps * (onLink + latency) + passes(2) };
  }
  const kernels = (count - 1) * passes(3);
  return { round, kernels, seconds: moved / halves + (count - 1) * latency + kernels };
}
