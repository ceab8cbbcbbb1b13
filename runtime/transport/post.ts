/**
 * How what a device sends to another process, or receives from one, becomes messages. There are three ways:
 *
 *     between GPUs   messages of their own memory, where the transport reads and writes it (CUDA-aware MPI)
 *     in place       where devices' memory is this process's: the transport reads and writes that, and nobody copies
 *     copied         read into host memory, sent, received into host memory, written
 *
 * Parts that travel as one are one message, but for transports that know of devices' memory: the other side may be a GPU.
 */
import type { Device, Mark } from "../device.ts";
import type { Carried, Part, TransferEnd } from "./transfers.ts";
import type { Transport } from "./transport.ts";

/** To or from process `rank`, in messages of `tag`: what `Transfers` promises. */
type Posting = (end: TransferEnd, rank: number, tag: number) => Promise<void>;
export type Post = { readonly send: Posting; readonly receive: Posting };

/** The post of each device of this process, by its mesh position. */
export function postOf(transport: Transport, run: Carried, devices: readonly Device[]): (position: number) => Post {
  const messages = gpuMessages(transport, devices);
  if (messages) {
    const all = betweenGpus(messages, run);
    return () => all;
  }
  const [lying, copying] = [inPlace(transport, run), copied(transport, run)];
  return (position) => (run.deviceAt(position).direct?.view ? lying : copying);
}

/** Messages of the devices' own memory, where the transport has them, and all `devices` are on one GPU. */
export const gpuMessages = ({ onDevice }: Transport, devices: readonly Device[]): Transport["onDevice"] => {
  const gpus = new Set(devices.map(({ streams }) => streams?.gpu));
  return gpus.size === 1 && !gpus.has(undefined) ? onDevice : undefined;
};

/** The parts, each a message of its own, once the kernels before are done. */
function betweenGpus(messages: NonNullable<Transport["onDevice"]>, { deviceAt, stopped }: Carried): Post {
  type Move = (address: bigint, bytes: number) => Promise<void>;
  const each = async ({ position, parts }: TransferEnd, use: string, move: Move): Promise<void> => {
    const device = deviceAt(position);
    const streams = device.streams!;
    const all = parts.map(({ buffer, bytes }) => [streams.address(buffer, bytes, use), bytes] as const);
    await device.idle();
    streams.use();
    if (!stopped()) await Promise.all(all.map(([address, bytes]) => move(address, bytes)));
  };
  return {
    send: (end, rank, tag) => each(end, "send", (address, bytes) => messages.send(rank, tag, address, bytes)),
    receive: (end, rank, tag) => each(end, "receive", (address, bytes) => messages.receive(rank, tag, address, bytes)),
  };
}

/** The memory of the parts, once the device has come to `marks`. Several that travel as one are gathered, and dealt out. */
function inPlace(transport: Transport, { deviceAt, stopped }: Carried): Post {
  const memory = pieces();
  const marked = ({ position, parts }: TransferEnd, to: Parameters<Direct["mark"]>[1]): readonly Mark[] =>
    parts.map(({ buffer }) => deviceAt(position).direct!.mark(buffer, to));
  const views = ({ position, parts }: TransferEnd): readonly Uint8Array[] =>
    parts.map(({ buffer, bytes }) => deviceAt(position).direct!.view!(buffer, bytes));
  const come = (position: number, marks: readonly Mark[]) =>
    Promise.all(marks.map((mark) => deviceAt(position).direct!.come(mark)));
  return {
    async send(end, rank, tag) {
      await come(end.position, marked(end, "read"));
      if (stopped()) return;
      const lying = views(end);
      if (lying.length === 1 || transport.onDevice)
        return void (await Promise.all(lying.map((bytes) => transport.send(rank, tag, bytes))));
      const letter = memory.take(end.bytes);
      for (const [i, { at }] of placed(end).entries()) letter.set(lying[i]!, at);
      await transport.send(rank, tag, letter);
      memory.give(letter);
    },
    async receive(end, rank, tag) {
      await come(end.position, marked(end, "read_write"));
      if (stopped()) return;
      const lying = views(end);
      if (lying.length === 1 || transport.onDevice)
        return void (await Promise.all(lying.map((into) => transport.receive(rank, tag, into))));
      const letter = memory.take(end.bytes);
      await transport.receive(rank, tag, letter);
      if (stopped()) return;
      for (const [i, { at, bytes }] of placed(end).entries()) lying[i]!.set(letter.subarray(at, at + bytes));
      memory.give(letter);
    },
  };
}

type Direct = NonNullable<Device["direct"]>;

/** Through host memory. */
function copied(transport: Transport, { deviceAt, stopped }: Carried): Post {
  const memory = pieces();
  const letters = (end: TransferEnd, all: Uint8Array): readonly Uint8Array[] =>
    transport.onDevice ? placed(end).map(({ at, bytes }) => all.subarray(at, at + bytes)) : [all];
  return {
    async send(end, rank, tag) {
      const all = memory.take(end.bytes);
      const device = deviceAt(end.position);
      await Promise.all(
        placed(end).map(({ buffer, bytes, at }) =>
          device.readInto(buffer, 0, bytes, (mapped) => all.set(new Uint8Array(mapped), at)),
        ),
      );
      if (stopped()) return;
      await Promise.all(letters(end, all).map((letter) => transport.send(rank, tag, letter)));
      memory.give(all);
    },
    async receive(end, rank, tag) {
      const all = memory.take(end.bytes);
      await Promise.all(letters(end, all).map((letter) => transport.receive(rank, tag, letter)));
      if (stopped()) return;
      for (const { buffer, bytes, at } of placed(end))
        deviceAt(end.position).write(buffer, 0, all.subarray(at, at + bytes));
      memory.give(all);
    },
  };
}

/** Where each part of a message lies in it. */
function placed({ parts }: TransferEnd): readonly (Part & { readonly at: number })[] {
  let end = 0;
  return parts.map((part) => {
    end += part.bytes;
    return { ...part, at: end - part.bytes };
  });
}

/** Host memory for messages, kept for the next of the same size. */
function pieces() {
  const idle = new Map<number, Uint8Array[]>();
  return {
    take: (bytes: number): Uint8Array => idle.get(bytes)?.pop() ?? new Uint8Array(new ArrayBuffer(bytes)),
    give(memory: Uint8Array): void {
      const list = idle.get(memory.length);
      if (list) list.push(memory);
      else idle.set(memory.length, [memory]);
    },
  };
}
