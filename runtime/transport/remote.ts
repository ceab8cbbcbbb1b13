/**
 * Transfers between devices of several processes: those within one go directly, others through host memory. Reading,
 * travelling and writing of a transfer run beside the kernels, and beside each other transfer.
 */
import type { Step } from "../../compiler/schedule/schedule.ts";
import { fail } from "../errors.ts";
import { inProcess } from "./local.ts";
import type { Carried, Carrier, Part, TransferEnd, Transfers } from "./transfers.ts";
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

/** MPI promises tags up to 2¹⁵; the libraries that there are have at least 2²⁸. */
const MOST_TAGS = 2 ** 28;

export const acrossProcesses =
  (transport: Transport, places: Places, local: (run: Carried) => Transfers = inProcess()): Carrier =>
  (run) => {
    const { deviceAt, stopped, schedule } = run;
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

    const idle = new Map<number, Uint8Array[]>();
    const take = (bytes: number): Uint8Array => idle.get(bytes)?.pop() ?? new Uint8Array(new ArrayBuffer(bytes));
    const give = (memory: Uint8Array): void => {
      const list = idle.get(memory.length);
      if (list) list.push(memory);
      else idle.set(memory.length, [memory]);
    };
    const isHere = ({ peer }: TransferEnd): boolean => rankOf.get(peer) === transport.rank;

    return {
      async send(end) {
        if (isHere(end)) return here.send(end);
        const { position, peer, token, bytes } = end;
        const memory = take(bytes);
        const device = deviceAt(position);
        await Promise.all(
          placed(end).map(({ buffer, bytes, at }) =>
            device.readInto(buffer, 0, bytes, (mapped) => memory.set(new Uint8Array(mapped), at)),
          ),
        );
        if (stopped()) return;
        await transport.send(rankOf.get(peer)!, tagOf(position, peer, token), memory);
        give(memory);
      },
      async receive(end) {
        if (isHere(end)) return here.receive(end);
        const { position, peer, token, bytes } = end;
        const memory = take(bytes);
        await transport.receive(rankOf.get(peer)!, tagOf(peer, position, token), memory);
        if (stopped()) return;
        for (const { buffer, bytes, at } of placed(end))
          deviceAt(position).write(buffer, 0, memory.subarray(at, at + bytes));
        give(memory);
      },
    };
  };

/** Where each part of a message lies in it. */
function placed({ parts }: TransferEnd): readonly (Part & { readonly at: number })[] {
  let end = 0;
  return parts.map((part) => {
    end += part.bytes;
    return { ...part, at: end - part.bytes };
  });
}

/** One more than the largest token. */
const tokenCount = (steps: readonly Step[]): number =>
  steps.reduce(
    (most, step) => Math.max(most, step.kind === "loop" ? tokenCount(step.body) : "token" in step ? step.token + 1 : 0),
    0,
  );
