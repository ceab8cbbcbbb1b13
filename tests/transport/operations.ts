/** Every operation of a transport, on one rank of it; wrong results throw. */
import assert from "node:assert/strict";
import { FIRST_FREE_TAG, type Transport } from "../../runtime/transport/transport.ts";

const numbers = (count: number, of: (i: number) => number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => of(i));

export async function checkOperations(t: Transport): Promise<void> {
  const { rank, size } = t;
  const [next, before] = [(rank + 1) % size, (rank + size - 1) % size];

  // Messages of any size, in order, and two tags at once.
  for (const length of [1, 8, 63, 4096, 5_000_000]) {
    const [a, b] = [new Uint8Array(length).fill(rank + 1), new Uint8Array(length).fill(rank + 101)];
    const [x, y] = [new Uint8Array(length), new Uint8Array(length)];
    await Promise.all([
      t.receive(before, FIRST_FREE_TAG + 1, y),
      t.send(next, FIRST_FREE_TAG, a),
      t.send(next, FIRST_FREE_TAG + 1, b),
      t.receive(before, FIRST_FREE_TAG, x),
    ]);
    assert(x.every((v) => v === before + 1) && y.every((v) => v === before + 101), `messages of ${length} bytes`);
  }
  // Messages with one tag are matched in order; which of them is known first to be complete is open.
  const matched = await Promise.all(
    [0, 1, 2].map(async (i) => {
      const into = new Uint8Array(4);
      await Promise.all([
        t.send(next, FIRST_FREE_TAG + 2, new Uint8Array(4).fill(i)),
        t.receive(before, FIRST_FREE_TAG + 2, into),
      ]);
      return into[0];
    }),
  );
  assert.deepEqual(matched, [0, 1, 2]);

  const moved = new Uint8Array(3);
  await t.permute(next, new Uint8Array(3).fill(rank), before, moved);
  assert.deepEqual([...moved], [before, before, before]);

  const all = new Uint8Array(2 * size);
  await t.allGather(Uint8Array.of(rank, 2 * rank), all);
  assert.deepEqual([...all], Array.from({ length: size }, (_, r) => [r, 2 * r]).flat());

  const mine = new Float32Array(5);
  await t.reduceScatter(
    numbers(5 * size, (i) => i + 1000 * rank),
    mine,
  );
  const ranks = (size * (size - 1)) / 2;
  assert.deepEqual(
    [...mine],
    Array.from({ length: 5 }, (_, i) => size * (5 * rank + i) + 1000 * ranks),
  );

  const sums = numbers(7, (i) => i * (rank + 1));
  await t.allReduce(sums);
  assert.deepEqual(
    [...sums],
    Array.from({ length: 7 }, (_, i) => i * (ranks + size)),
  );

  const exchanged = new Uint8Array(2 * size);
  await t.allToAll(
    Uint8Array.from({ length: 2 * size }, (_, i) => 10 * rank + (i >> 1)),
    exchanged,
  );
  assert.deepEqual(
    [...exchanged],
    Array.from({ length: 2 * size }, (_, i) => 10 * (i >> 1) + rank),
  );

  await t.barrier();
}
