/**
 * Collectives from sends and receives, as rings: rank r gives to r + 1 and takes from r - 1.
 *
 *     all_gather       n - 1 steps, each passes on the stretch that arrived last
 *     reduce_scatter   a stretch's sum starts one after its owner, and arrives there complete, so that the order of every
 *                      sum is fixed: owner + 1, owner + 2, …, owner
 *     all_reduce       one after the other, with stretches padded to equal length
 */
import { COLLECTIVE_TAG, type Collectives, type PointToPoint } from "./transport.ts";

/** The collectives of a transport that has none of its own. */
export function ringCollectives({ rank, size, send, receive }: PointToPoint): Collectives {
  const wrap = (r: number) => ((r % size) + size) % size;
  const next = wrap(rank + 1);
  const before = wrap(rank - 1);

  const permute: Collectives["permute"] = async (to, bytes, from, into) => {
    if (to === rank && from === rank) return into.set(bytes);
    await Promise.all([send(to, COLLECTIVE_TAG, bytes), receive(from, COLLECTIVE_TAG, into)]);
  };

  const allGather: Collectives["allGather"] = async (mine, all) => {
    const stretch = (r: number) => all.subarray(wrap(r) * mine.length, (wrap(r) + 1) * mine.length);
    stretch(rank).set(mine);
    for (let step = 0; step < size - 1; step++)
      await permute(next, stretch(rank - step), before, stretch(rank - step - 1));
  };

  const reduceScatter: Collectives["reduceScatter"] = async (values, mine) => {
    const stretch = (r: number) => values.subarray(wrap(r) * mine.length, (wrap(r) + 1) * mine.length);
    let sum = stretch(rank - 1).slice();
    for (let step = 0; step < size - 1; step++) {
      const arrived = new Float32Array(mine.length);
      await permute(next, bytesOf(sum), before, bytesOf(arrived));
      const own = stretch(rank - step - 2);
      for (let i = 0; i < arrived.length; i++) arrived[i] = arrived[i]! + own[i]!;
      sum = arrived;
    }
    mine.set(sum);
  };

  return {
    permute,
    allGather,
    reduceScatter,
    async allReduce(values) {
      const each = Math.ceil(values.length / size);
      const padded = new Float32Array(each * size);
      padded.set(values);
      const mine = new Float32Array(each);
      await reduceScatter(padded, mine);
      await allGather(bytesOf(mine), bytesOf(padded));
      values.set(padded.subarray(0, values.length));
    },
    async allToAll(bytes, into) {
      const each = bytes.length / size;
      const stretch = (array: Uint8Array, r: number) => array.subarray(r * each, (r + 1) * each);
      stretch(into, rank).set(stretch(bytes, rank));
      for (let step = 1; step < size; step++) {
        const [to, from] = [wrap(rank + step), wrap(rank - step)];
        await permute(to, stretch(bytes, to), from, stretch(into, from));
      }
    },
    async barrier() {
      // What a rank gets in the second round has been round by all.
      for (let round = 0; round < 2; round++) await allGather(new Uint8Array(1), new Uint8Array(size));
    },
  };
}

export const bytesOf = (view: ArrayBufferView): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
