/**
 * The operations of a transport by NCCL's own collectives: host memory goes through the memory of each process's first GPU.
 * Messages with tags stay with the transport under it, which NCCL has none of.
 */
import { bytesOf } from "../collectives.ts";
import type { Transport } from "../transport.ts";
import type { Communicators } from "./communicators.ts";
import { type Communicator, FLOAT32, SUM, UINT8 } from "./library.ts";
import type { Watch } from "./watch.ts";

/** Sums are NCCL's: the same on every rank, in an order that hangs on how the GPUs are connected. */
export function ncclTransport(under: Transport, communicators: Communicators, watch: Watch): Transport {
  const { rank, size } = under;
  const { library, members } = communicators;
  const { device, streams } = members[0]!;
  const STREAM = "nccl collectives";

  /** `start` on device memory: `input` is there at first, and its `bytes` bytes of result come back. */
  const onDevice = async (
    name: string,
    input: Uint8Array,
    bytes: number,
    start: (doing: string, from: bigint, to: bigint, on: Communicator, stream: bigint) => void,
  ): Promise<Uint8Array> => {
    const { handles } = await communicators.processes();
    const on = handles[0]!;
    const doing = `${name} on rank ${rank}`;
    const [from, to] = [device.alloc(input.length, `${name} from`), device.alloc(bytes, `${name} to`)];
    const padded = new Uint8Array(from.bytes);
    padded.set(input);
    device.write(from, 0, padded);
    const stream = streams.stream(STREAM);
    const before = streams.mark(undefined);
    streams.after(stream, before);
    streams.drop(before);
    streams.use();
    library.group(doing, () =>
      start(doing, streams.address(from, from.bytes, name), streams.address(to, to.bytes, name), on, stream),
    );
    await communicators.settled([on], doing);
    const mark = streams.mark(stream);
    await watch({ doing, streams, communicators: [on], marks: [mark] });
    streams.after(undefined, mark);
    streams.drop(mark);
    const out = new Uint8Array(bytes);
    await device.readInto(to, 0, to.bytes, (mapped) => out.set(new Uint8Array(mapped, 0, bytes)));
    device.free(from);
    device.free(to);
    return out;
  };

  return {
    ...under,
    name: `${library.name} and ${under.name}`,
    async permute(to, bytes, from, into) {
      const got = await onDevice("permute", bytes, into.length, (doing, source, target, on, stream) => {
        library.call(doing, "ncclSend", source, bytes.length, UINT8, to, on, stream);
        library.call(doing, "ncclRecv", target, into.length, UINT8, from, on, stream);
      });
      into.set(got);
    },
    async allGather(mine, all) {
      const got = await onDevice("all_gather", mine, all.length, (doing, from, to, on, stream) =>
        library.call(doing, "ncclAllGather", from, to, mine.length, UINT8, on, stream),
      );
      all.set(got);
    },
    async reduceScatter(values, mine) {
      const got = await onDevice("reduce_scatter", bytesOf(values), mine.byteLength, (doing, from, to, on, stream) =>
        library.call(doing, "ncclReduceScatter", from, to, mine.length, FLOAT32, SUM, on, stream),
      );
      bytesOf(mine).set(got);
    },
    async allReduce(values) {
      const got = await onDevice("all_reduce", bytesOf(values), values.byteLength, (doing, from, to, on, stream) =>
        library.call(doing, "ncclAllReduce", from, to, values.length, FLOAT32, SUM, on, stream),
      );
      bytesOf(values).set(got);
    },
    async allToAll(bytes, into) {
      const each = bytes.length / size;
      const got = await onDevice("all_to_all", bytes, into.length, (doing, from, to, on, stream) => {
        for (let peer = 0; peer < size; peer++) {
          const at = BigInt(peer * each);
          library.call(doing, "ncclSend", from + at, each, UINT8, peer, on, stream);
          library.call(doing, "ncclRecv", to + at, each, UINT8, peer, on, stream);
        }
      });
      into.set(got);
    },
    async barrier() {
      await onDevice("barrier", new Uint8Array(4), 4, (doing, from, to, on, stream) =>
        library.call(doing, "ncclAllReduce", from, to, 1, FLOAT32, SUM, on, stream),
      );
    },
  };
}
