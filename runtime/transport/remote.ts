/**
 * Transfers between devices of several processes: those within one go directly, others as messages of a transport
 * (`post.ts`). Reading, travelling and writing of a transfer run beside the kernels, and beside each other transfer.
 */
import type { Step } from "../../compiler/schedule/schedule.ts";
import { fail } from "../errors.ts";
import { inProcess } from "./local.ts";
import { postOf } from "./post.ts";
import type { Carried, Carrier, TransferEnd, Transfers } from "./transfers.ts";
import { FIRST_FREE_TAG, type Transport } from "./transport.ts";

/** Which mesh positions each rank holds, by rank; all of one mesh, each once. */
export type Places = readonly (readonly number[])[];

/** Deals the positions of a mesh to ranks in order, as evenly as can be: neighbours on the last axis stay together. */
export const dealt = (positions: number, ranks: number): Places =>
  Array.from({ length: ranks }, (_, r) => {
    const first = Math.floor((r * positions) / ranks);
    const end = Math.floor(((r + 1) * positions) / ranks);
    return Array.from({ length: end - first }, (_, i) => first + i);
  });

/**
 * How many devices of its host the processes before `rank` take: those are the ranks before it on the same host, unless its
 * launcher says another place among them.
 */
export function devicesBefore(places: Places, rank: number, hostNames: readonly string[], localRank?: number): number {
  const before = places.filter((_, r) => r < rank && hostNames[r] === hostNames[rank]);
  if (localRank !== undefined && localRank !== before.length) return localRank * places[rank]!.length;
  return before.reduce((sum, positions) => sum + positions.length, 0);
}

/** MPI promises tags up to 2¹⁵; the libraries that there are have at least 2²⁸. */
const MOST_TAGS = 2 ** 28;

export const acrossProcesses =
  (transport: Transport, places: Places, local: (run: Carried) => Transfers = inProcess()): Carrier =>
  (run) => {
    const { deviceAt, schedule } = run;
    const tokens = tokenCount(schedule.steps);
    const here = local(run);
    const rankOf = new Map(places.flatMap((positions, rank) => positions.map((p) => [p, rank] as const)));
    const indexOf = new Map(places.flatMap((positions) => positions.map((p, i) => [p, i] as const)));
    const most = Math.max(...places.map((positions) => positions.length));
    if (FIRST_FREE_TAG + most * most * tokens > MOST_TAGS)
      fail(
        "limit",
        `${most} devices in a process have too many transfers for ${transport.name}`,
        "start more processes",
      );
    const tagOf = (from: number, to: number, token: number): number =>
      FIRST_FREE_TAG + (indexOf.get(from)! * most + indexOf.get(to)!) * tokens + token;

    const isHere = ({ peer }: TransferEnd): boolean => rankOf.get(peer) === transport.rank;
    const own = places[transport.rank]!.flatMap((position) => deviceAt(position) ?? []);
    const post = postOf(transport, run, own);

    return {
      async send(end) {
        if (isHere(end)) return here.send(end);
        const { position, peer, token } = end;
        return post(position).send(end, rankOf.get(peer)!, tagOf(position, peer, token));
      },
      async receive(end) {
        if (isHere(end)) return here.receive(end);
        const { position, peer, token } = end;
        return post(position).receive(end, rankOf.get(peer)!, tagOf(peer, position, token));
      },
    };
  };

/** One more than the largest token. */
const tokenCount = (steps: readonly Step[]): number =>
  steps.reduce(
    (most, step) => Math.max(most, step.kind === "loop" ? tokenCount(step.body) : "token" in step ? step.token + 1 : 0),
    0,
  );
