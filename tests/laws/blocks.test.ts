/** Any size of block = any other: blocks say how a kernel is cut, never what it computes. */
import fc from "fast-check";
import { test } from "vitest";
import { cpu, reference, webgpu } from "../support/backends.ts";
import { expectSame, ids, maskImports, masks, results, tolerance } from "./laws.ts";

const one = { device: 1 };
/** Blocks as `by` takes them: of one element, some that do not divide, as long as the dimension, longer. */
const blocks = fc.oneof(fc.constantFrom(1, 2, 64, 1000), fc.integer({ min: 1, max: 30 }));

// --- Attention -------------------------------------------------------------------------------------------------------

const attention = (mask: string): string => `
import { attention, ${maskImports} } from "gyre/attention"
mesh single(device: 1)
export shard_map main<B, Q, K, H, G, D, I, J>(
  q: f32[B, Q, H, D] @ P(_, _, _, _),
  k: f32[B, K, G, D] @ P(_, _, _, _),
  v: f32[B, K, G, D] @ P(_, _, _, _),
  ids: i32[B, 40] @ P(_, _),
) -> f32[B, Q, H, D] @ P(_, _, _, _) on single {
  attention(q, k, v, mask = ${mask}, query_chunk = I, key_chunk = J)
}`;
const sizes = fc.record({ Q: fc.integer({ min: 1, max: 24 }), K: fc.integer({ min: 1, max: 24 }) });
const shape = { B: 2, H: 4, G: 2, D: 3 };

test("attention in any chunks", async () => {
  await fc.assert(
    fc.asyncProperty(
      masks,
      sizes,
      fc.array(fc.tuple(blocks, blocks), { minLength: 3, maxLength: 3 }),
      async (mask, size, cuts) => {
        const text = attention(mask);
        const run = (I: number, J: number) =>
          results(reference, text, { dims: { ...shape, ...size, I, J }, mesh: one }, { ids });
        const whole = await run(24, 24);
        for (const [I, J] of cuts) expectSame(await run(I, J), whole, tolerance(reference));
      },
    ),
    { numRuns: 10 },
  );
});

test.each([
  [1, 24, "causal()"],
  [7, 5, "all_of(causal(), same_segment(ids))"],
  [64, 1, "all_of(sliding_window(6), negate(prefix(3)))"],
  [10, 1000, "any_of(prefix(2), causal(block = 4))"],
])("attention on devices in chunks of %d and %d, %s", async (I, J, mask) => {
  const text = attention(mask);
  const size = { ...shape, Q: 19, K: 23 };
  const whole = await results(reference, text, { dims: { ...size, I: 24, J: 24 }, mesh: one }, { ids });
  for (const device of [cpu, webgpu]) {
    const found = await results(device, text, { dims: { ...size, I, J }, mesh: one }, { ids });
    expectSame(found, whole, tolerance(device));
  }
});

// --- A product, with things that partial blocks could spoil: maxima of negatives, products, positions ----------------

const product = `
mesh single(device: 1)
export shard_map main<M, K, N, I, J, L>(
  a: f32[M, K] @ P(_, _),
  b: f32[K, N] @ P(_, _),
) -> {
  product: f32[M, N] @ P(_, _),
  top: f32[M] @ P(_),
  least: f32[M] @ P(_),
  odd: f32[N, M] @ P(_, _),
} on single {
  let (top, least) = tiles i in M by I into ([i], [i]) {
    fold l in K by L with (top, least) = (full(-inf), full(inf)) {
      let x = a[i, l] - 10
      (max(top, max(x, dim = 1)), min(least, min(-x, dim = 1)))
    }
  }
  {
    product: tiles i in M by I, j in N by J into [i, j] {
      fold l in K by L with sum = zeros { sum + a[i, l] @ b[l, j] }
    },
    top: top,
    least: least,
    odd: tiles j in N by J, i in M by I into [j, i] {
      fold l in K by L with total = zeros {
        let weight = where(pos(l) % 2 == 1, 1.0, cast(pos(l), f32))
        total + (a[i, l] * weight[None, :] + 1) @ exp(b[l, j]) + sum(cos(b[l, j]), dim = 0)[None, :]
      }.T + cast(pos(j)[:, None] - pos(i)[None, :], f32)
    },
  }
}`;
const lengths = fc.record({
  M: fc.integer({ min: 1, max: 24 }),
  K: fc.integer({ min: 1, max: 24 }),
  N: fc.integer({ min: 1, max: 24 }),
});

test("products and reductions in any blocks", async () => {
  await fc.assert(
    fc.asyncProperty(
      lengths,
      fc.array(fc.record({ I: blocks, J: blocks, L: blocks }), { minLength: 2, maxLength: 2 }),
      async (length, cuts) => {
        const run = (cut: Record<string, number>) =>
          results(reference, product, { dims: { ...length, ...cut }, mesh: one });
        const whole = await run({ I: 24, J: 24, L: 24 });
        for (const cut of cuts) expectSame(await run(cut), whole, tolerance(reference));
      },
    ),
    { numRuns: 25 },
  );
});

test.each([
  [1, 1, 1],
  [5, 7, 3],
  [64, 3, 1000],
])("products and reductions on devices in blocks of %d, %d and %d", async (I, J, L) => {
  const length = { M: 19, K: 23, N: 17 };
  const whole = await results(reference, product, { dims: { ...length, I: 24, J: 24, L: 24 }, mesh: one });
  for (const device of [cpu, webgpu])
    expectSame(await results(device, product, { dims: { ...length, I, J, L }, mesh: one }), whole, tolerance(device));
});
