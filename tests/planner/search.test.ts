/** The planner on programs whose best way is known. */
import { describe, expect, test } from "vitest";
import { exchangeableGroups, readSource } from "../../cli/sources.ts";
import { type Machine, usualMachine } from "../../compiler/base/machine.ts";
import type { Question } from "../../planner/candidate.ts";
import { sameResults } from "../../planner/same.ts";
import { search } from "../../planner/search.ts";

const effort = { limit: 60_000, told: 100, progress: () => {} };
const ask = (text: string, q: Partial<Question>): Question => ({
  path: "main.gyre",
  read: (path) => (path === "main.gyre" ? text : readSource(path)),
  dims: {},
  devices: 4,
  mesh: {},
  fixed: {},
  exchangeable: exchangeableGroups(),
  machine: usualMachine,
  memory: 80e9,
  ...q,
});
const attention = `
import { ring_attention, causal } from "gyre/attention"
mesh pod(tp: 1, sp: 4)
export shard_map attend<B, S, H, D>(
  q: bf16[B, S, H, D] @ P(_, sp, tp, _),
  k: bf16[B, S, H, D] @ P(_, sp, tp, _),
  v: bf16[B, S, H, D] @ P(_, sp, tp, _),
) -> bf16[B, S, H, D] @ P(_, sp, tp, _) on pod {
  ring_attention(q, k, v, axis = sp, mask = causal())
}`;

describe("attention", () => {
  const dims = { B: 1, S: 32768, H: 6, D: 128 };
  test("a causal ring lies zigzag or striped; what cannot be used has its reason", async () => {
    const { best, ran, cannot, found } = await search(ask(attention, { dims, mesh: { tp: 1 } }), effort);
    expect(best[0]!.candidate.layouts.S).toMatch(/zigzag|striped/);
    const contiguous = ran.find((o) => Object.keys({ ...o.candidate.layouts, ...o.candidate.exchanges }).length === 0)!;
    expect(contiguous.seconds / best[0]!.seconds).toBeGreaterThan(1.5);
    expect(found?.calls).toMatchObject([{ name: "ring_attention", axes: ["sp"] }]);
    const ulysses = cannot.filter((o) => o.candidate.exchanges.ring_attention === "ulysses_attention");
    expect(ulysses.map((o) => o.why).join()).toMatch(/not a whole number/);
    expect(new Set(ran.map((o) => JSON.stringify(o.candidate))).size).toBe(ran.length);
  });

  test("sizes that are given stay, those that are not are dealt out", async () => {
    const { ran, cannot } = await search(ask(attention, { dims }), effort);
    const meshes = new Set([...ran, ...cannot].map((o) => JSON.stringify(o.candidate.mesh)));
    expect([...meshes].sort()).toEqual(['{"tp":1,"sp":4}', '{"tp":2,"sp":2}', '{"tp":4,"sp":1}']);
    expect(cannot.find((o) => o.candidate.mesh.tp === 4)?.why).toMatch(/not a multiple of 4/);
  });

  test("what does not fit is left out, with numbers", async () => {
    const { best, cannot } = await search(ask(attention, { dims, memory: 50e6 }), effort);
    expect(best).toEqual([]);
    expect(cannot[0]!.why).toMatch(/does not fit: needs .* MiB of 47.7 MiB/);
  });

  test("links between nodes that are slow are taken once for each round of a node", async () => {
    const slow: Machine = {
      ...usualMachine,
      devicesPerNode: 2,
      links: { ...usualMachine.links, between: { ...usualMachine.links.inside!, bandwidth: 2e9 } },
    };
    const { best } = await search(ask(attention, { dims, machine: slow, mesh: { tp: 1 } }), effort);
    const flat = best.find((o) => Object.keys(o.candidate.exchanges).length === 0);
    expect(best[0]!.candidate.exchanges.ring_attention).toMatch(/hierarchical|hybrid/);
    expect(best[0]!.candidate.splits.sp).toEqual([2, 2]);
    expect(best[0]!.seconds).toBeLessThan(flat!.seconds);
  });
});

describe("other programs", () => {
  test("without anything exchangeable, meshes are ranked; axes that nothing differs over get one device", async () => {
    const text = `
mesh grid(rows: 2, columns: 2, idle: 1)
export shard_map product<M, K, N>(a: f32[M, K] @ P(rows, _), b: f32[K, N] @ P(_, columns)) -> f32[M, N] @ P(rows, columns) on grid {
  a @ b
}`;
    const { best } = await search(ask(text, { dims: { M: 4096, K: 512, N: 4096 } }), effort);
    expect(best.map((o) => o.candidate.mesh.idle)).toEqual([1, 1, 1]);
    expect(best[0]!.candidate.mesh).toEqual({ rows: 2, columns: 2, idle: 1 });
  });

  test("a layout that would change the result is not taken", () => {
    const text = `
mesh pod(sp: 4)
export shard_map first<S>(x: f32[S] @ P(sp)) -> f32[S] @ P(sp) on pod {
  cast(positions(x, 0), f32) * 0 + x * cast(axis_index(sp), f32)
}`;
    const q = ask(text, { dims: { S: 64 } });
    const written = { mesh: { sp: 4 }, splits: {}, layouts: {}, exchanges: {} };
    const until = performance.now() + 10_000;
    expect(sameResults(q, written, { ...written, layouts: { S: "zigzag" } }, until)).toBe("different");
    expect(sameResults(q, written, { ...written, splits: { sp: [2, 2] } }, until)).toBe("same");
  });
});
