/**
 * Transfers between devices of several processes: those within one go directly, others through host memory, or, where the
 * transport reads and writes that of devices (CUDA-aware MPI), from one device's memory into the other's, as soon as the
 * kernels before are done. Reading, travelling and writing of a transfer run beside the kernels, and beside each other
 * transfer.
 */
import type { Step } from "../../compiler/schedule/schedule.ts";
import type { Device } from "../device.ts";
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

    const own = places[transport.rank]!.flatMap((position) => deviceAt(position) ?? []);
    const onGpu = gpuMessages(transport, own);
    type Move = (address: bigint, bytes: number) => Promise<void>;
    /** The parts, each a message of its own, once the kernels before are done. */
    const directly = async ({ position, parts }: TransferEnd, use: string, move: Move): Promise<void> => {
      const device = deviceAt(position);
      const streams = device.streams!;
      const all = parts.map(({ buffer, bytes }) => [streams.address(buffer, bytes, use), bytes] as const);
      await device.idle();
      streams.use();
      if (!stopped()) await Promise.all(all.map(([address, bytes]) => move(address, bytes)));
    };
    /** What travels of host memory as one: the other side may take the parts into a device's. */
    const letters = (end: TransferEnd, memory: Uint8Array): readonly Uint8Array[] =>
      transport.onDevice ? placed(end).map(({ at, bytes }) => memory.subarray(at, at + bytes)) : [memory];

    return {
      async send(end) {
        if (isHere(end)) return here.send(end);
        const { position, peer, token, bytes } = end;
        const [rank, tag] = [rankOf.get(peer)!, tagOf(position, peer, token)];
        if (onGpu) return directly(end, "send", (address, count) => onGpu.send(rank, tag, address, count));
        const memory = take(bytes);
        const device = deviceAt(position);
        await Promise.all(
          placed(end).map(({ buffer, bytes, at }) =>
            device.readInto(buffer, 0, bytes, (mapped) => memory.set(new Uint8Array(mapped), at)),
          ),
        );
        if (stopped()) return;
        await Promise.all(letters(end, memory).map((letter) => transport.send(rank, tag, letter)));
        give(memory);
      },
      async receive(end) {
        if (isHere(end)) return here.receive(end);
        const { position, peer, token, bytes } = end;
        const [rank, tag] = [rankOf.get(peer)!, tagOf(peer, position, token)];
        if (onGpu) return directly(end, "receive", (address, count) => onGpu.receive(rank, tag, address, count));
        const memory = take(bytes);
        await Promise.all(letters(end, memory).map((letter) => transport.receive(rank, tag, letter)));
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

/** Messages of the devices' own memory, where the transport has them, and all `devices` are on one GPU. */
export const gpuMessages = ({ onDevice }: Transport, devices: readonly Device[]): Transport["onDevice"] => {
  const gpus = new Set(devices.map(({ streams }) => streams?.gpu));
  return gpus.size === 1 && !gpus.has(undefined) ? onDevice : undefined;
};

/** One more than the largest token. */
const tokenCount = (steps: readonly Step[]): number =>
  steps.reduce(
    (most, step) => Math.max(most, step.kind === "loop" ? tokenCount(step.body) : "token" in step ? step.token + 1 : 0),
    0,
  );
