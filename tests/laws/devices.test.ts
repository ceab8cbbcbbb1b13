/** n devices = 1 device: a mesh says where, never what. */
import fc from "fast-check";
import { test } from "vitest";
import { cpu, reference, webgpu } from "../support/backends.ts";
import { expectSame, ids, maskImports, masks, results, tolerance } from "./laws.ts";

type Attention = {
  readonly call: "ring_attention" | "ulysses_attention";
  readonly layout: string;
  /** Keys need not lie as queries do. */
  readonly keyLayout: string;
  readonly mask: string;
  readonly bias: boolean;
  readonly chunks: readonly [number, number];
};
const attention = ({ call, layout, keyLayout, mask, bias, chunks }: Attention): string => `
import { ${call}, ${maskImports} } from "gyre/attention"
mesh pod(dp, sp)
export shard_map main<B, S, H, G, D>(
  q: f32[B, S, H, D] @ P(dp, ${layout}, _, _),
  k: f32[B, S, G, D] @ P(dp, ${keyLayout}, _, _),
  v: f32[B, S, G, D] @ P(dp, ${keyLayout}, _, _),
  ids: i32[B, S] @ P(dp, _),
) -> f32[B, S, H, D] @ P(dp, ${layout}, _, _) on pod {
  ${call}(q, k, v, axis = sp, mask = ${mask},
    ${bias ? "bias = |q, k, b, h| 0.1 * cast(k - q + h, f32)," : ""}
    query_chunk = ${chunks[0]}, key_chunk = ${chunks[1]})
}`;
/** 8 heads, so that 8 devices can share them; two or four query heads to a key head where the keys stay whole. */
const dims = (a: Attention, group: number) => ({
  B: 2,
  S: 32,
  H: 8,
  G: a.call === "ring_attention" ? 8 / group : 8,
  D: 3,
});

const layouts = fc.constantFrom("sp", "striped(sp)", "zigzag(sp)");
const attentions: fc.Arbitrary<Attention> = fc.record({
  call: fc.constantFrom("ring_attention", "ring_attention", "ulysses_attention"),
  layout: layouts,
  keyLayout: layouts,
  mask: masks,
  bias: fc.boolean(),
  chunks: fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 })),
});
const one = { dp: 1, sp: 1 };
const meshes = [
  { dp: 1, sp: 2 },
  { dp: 1, sp: 4 },
  { dp: 2, sp: 2 },
  { dp: 1, sp: 8 },
  { dp: 2, sp: 4 },
];

test("attention in any layout, with any mask", async () => {
  await fc.assert(
    fc.asyncProperty(
      attentions,
      fc.constantFrom(1, 2, 4),
      fc.shuffledSubarray(meshes, { minLength: 2, maxLength: 2 }),
      async (a, group, some) => {
        const text = attention(a);
        const run = (mesh: Record<string, number>) => results(reference, text, { dims: dims(a, group), mesh }, { ids });
        const alone = await run(one);
        for (const mesh of some) expectSame(await run(mesh), alone, tolerance(reference));
      },
    ),
    { numRuns: 10 },
  );
});

const causal = { mask: "causal()", bias: false, chunks: [8, 8] } as const;
test.each<Attention & { readonly sp: number }>([
  { ...causal, sp: 4, call: "ring_attention", layout: "zigzag(sp)", keyLayout: "striped(sp)" },
  {
    ...causal,
    sp: 2,
    call: "ring_attention",
    layout: "striped(sp)",
    keyLayout: "sp",
    mask: "any_of(prefix(5), all_of(causal(block = 3), same_segment(ids)))",
    bias: true,
    chunks: [5, 7],
  },
  { ...causal, sp: 8, call: "ulysses_attention", layout: "zigzag(sp)", keyLayout: "zigzag(sp)", bias: true },
])("attention on devices: $call, $layout, sp = $sp", async ({ sp, ...a }) => {
  const text = attention(a);
  const alone = await results(reference, text, { dims: dims(a, 2), mesh: one }, { ids });
  for (const device of [cpu, webgpu]) {
    const found = await results(device, text, { dims: dims(a, 2), mesh: { dp: 1, sp } }, { ids });
    expectSame(found, alone, tolerance(device));
  }
});

/** The two products of a layer that is split over devices, the two ways to share its operands, and collectives alone. */
const collectives = (layout: string): string => `
import { ring_matmul, all_gather_matmul, matmul_reduce_scatter } from "gyre/parallel"
mesh pod(sp)
export shard_map main<M, K, N>(
  x: f32[M, K] @ P(sp, _),
  w: f32[K, N] @ P(_, sp),
  u: f32[N, K] @ P(sp, _),
  y: f32[M, K] @ P(${layout}, _),
) -> {
  ring: f32[M, K] @ P(sp, _),
  gathered: f32[M, N] @ P(_, sp),
  layer: f32[M, K] @ P(sp, _),
  total: f32[K] @ P(_),
  product: f32[K, K] @ P(_, _),
  centred: f32[M, K] @ P(${layout}, _),
  exchanged: f32[M, K] @ P(${layout}, _),
} on pod {
  let place = cast(positions(y, 0), f32)
  let all = all_gather(y, sp, dim = 0)
  let places = all_gather(place, sp, dim = 0)
  {
    ring: ring_matmul(cast(x > 0, f32) @ all_gather(w, sp, dim = 1), u, sp),
    gathered: all_gather_matmul(x, w, sp),
    layer: matmul_reduce_scatter(tanh(all_gather_matmul(x, w, sp)), u, sp),
    total: psum(sum(y * place[:, None], dim = 0), sp) + pmax(max(y, dim = 0), sp),
    product: (all * places[:, None]).T @ all,
    centred: (y - psum(sum(y, dim = 0), sp) / M) * pmin(min(abs(y)), sp),
    exchanged: all_to_all(tanh(all_to_all(y, sp, split = 1, concat = 0)), sp, split = 0, concat = 1),
  }
}`;

test.each(["sp", "striped(sp)", "zigzag(sp)"])("products and collectives over %s", async (layout) => {
  const text = collectives(layout);
  await fc.assert(
    fc.asyncProperty(fc.nat(2), fc.nat(2), fc.nat(2), async (m, k, n) => {
      const sizes = { M: 16 * (m + 1), K: 8 * (k + 1), N: 8 * (n + 1) };
      const run = (sp: number) => results(reference, text, { dims: sizes, mesh: { sp } });
      const alone = await run(1);
      for (const sp of [2, 4, 8]) expectSame(await run(sp), alone, tolerance(reference));
    }),
    { numRuns: 4 },
  );
});

test.each([2, 4])("products and collectives on devices, sp = %d", async (sp) => {
  const text = collectives("zigzag(sp)");
  const sizes = { M: 16, K: 8, N: 24 };
  const alone = await results(reference, text, { dims: sizes, mesh: { sp: 1 } });
  for (const device of [cpu, webgpu])
    expectSame(await results(device, text, { dims: sizes, mesh: { sp } }), alone, tolerance(device));
});
