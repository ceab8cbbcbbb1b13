/**
 * Every way to attend over a split sequence: against the formula, its gradients against finite differences and against those
 * of ring attention on one device; on rings of 1 and 2, of odd and even sizes, in every layout.
 */
import { describe, expect, test } from "vitest";
import { evaluate } from "../../compiler/core/eval.ts";
import { attention, tabulate } from "../programs/harness.ts";
import { relativeError } from "../support/compare.ts";
import { expectFiniteDifferences, expectOnDevices, expectSame, opened } from "./gradients.ts";

const path = new URL("ways.gyre", import.meta.url).pathname;
const layouts = ["contiguous", "striped", "zigzag"] as const;

/** A way's name, what it calls its axes, and the meshes that it is tried on. Heads hold back those that exchange them. */
type Way = { readonly name: string; readonly axes: string; readonly meshes: readonly Mesh[] };
type Mesh = readonly [outer: number, inner: number];
const rings: readonly Mesh[] = [1, 2, 3, 4, 5, 6].map((n) => [1, n]);
const ways: readonly Way[] = [
  { name: "bidirectional_ring_attention", axes: "axis = (outer, inner)", meshes: [...rings, [2, 3]] },
  {
    name: "hierarchical_ring_attention",
    axes: "outer = outer, inner = inner",
    meshes: [
      [1, 1],
      [1, 3],
      [3, 1],
      [2, 2],
      [3, 2],
      [2, 3],
    ],
  },
  {
    name: "all_gather_attention",
    axes: "axis = (outer, inner)",
    meshes: [
      [1, 1],
      [1, 3],
      [2, 2],
    ],
  },
  {
    name: "ulysses_attention",
    axes: "axis = (outer, inner)",
    meshes: [
      [1, 1],
      [2, 1],
      [1, 2],
    ],
  },
  {
    name: "hybrid_attention",
    axes: "ring = outer, heads = inner",
    meshes: [
      [3, 1],
      [3, 2],
    ],
  },
];
const ring: Way = { name: "ring_attention", axes: "axis = (outer, inner)", meshes: rings };

const trialOf = (
  way: Way,
  [outer, inner]: Mesh,
  layout: (typeof layouts)[number],
  entry: string,
  dims: Readonly<Record<string, number>>,
) => ({
  path,
  entry,
  dims,
  mesh: { outer, inner },
  edits: {
    " ring_attention(": ` ${way.name}(`,
    "axis = (outer, inner)": way.axes,
    ...(layout === "contiguous" ? {} : { "@ P(_, (outer, inner), _, _)": `@ P(_, ${layout}((outer, inner)), _, _)` }),
  },
});

/** A sequence that every ring divides, twice over. */
const rows = ([outer, inner]: Mesh): number => 4 * outer * inner;
const heads = { B: 1, H: 4, G: 2, D: 3 };

for (const way of [ring, ...ways])
  describe(way.name, () => {
    for (const mesh of way.meshes)
      for (const layout of layouts)
        test(`on ${mesh.join(" x ")}, ${layout}`, async () => {
          const S = rows(mesh);
          const { core, inputs } = await opened(trialOf(way, mesh, layout, "attended", { ...heads, S }));
          const given = [...inputs({}).values()];
          const [out] = evaluate(
            core,
            given.map(({ dtype, shape, data }) => ({ dtype, shape, data: Float64Array.from(data) })),
          );
          const [q, k, v, slope] = given.map(({ shape, data }) => (...at: number[]): number => {
            return data[at.reduce((n, i, d) => n * shape[d]! + i, 0)]!;
          });
          const expected = attention(q!, k!, v!, {
            keys: S,
            width: heads.D,
            group: heads.H / heads.G,
            mask: (i, j) => i >= j,
            score: (s, i, j, _b, h) => s + slope!(h) * (j - i),
          });
          expect(relativeError(out!.data, tabulate(out!.shape, expected))).toBeLessThan(1e-12);
        });

    const dims = (mesh: Mesh) => ({ ...heads, E: 2, S: rows(mesh) });
    const last = way.meshes.at(-1)!;
    test("finite differences", () => expectFiniteDifferences(trialOf(way, last, "zigzag", "learned", dims(last))));
    const alone = (entry: string, dims: Readonly<Record<string, number>>) =>
      trialOf(ring, [1, 1], "contiguous", entry, dims);
    for (const [i, mesh] of way.meshes.entries())
      test(`the same gradients on ${mesh.join(" x ")}, ${layouts[i % 3]}`, () =>
        expectSame(trialOf(way, mesh, layouts[i % 3]!, "learned", dims(mesh)), alone("learned", dims(mesh))));
    test("of keys of another sequence", () => {
      const other = { ...heads, E: 2, Q: rows(last), K: 6 * last[0] * last[1] };
      return expectSame(trialOf(way, last, "striped", "crossed", other), alone("crossed", other));
    });
    // A window ends inside the own block, in the one before it, about half round the ring, at the end.
    for (const W of [1, 3, 10, 100])
      test(`with a window of ${W}`, () => {
        const windowed = { ...dims(last), W };
        return expectSame(trialOf(way, last, "contiguous", "windowed", windowed), alone("windowed", windowed));
      });
    test.skipIf(way === ring)("on devices", () =>
      expectOnDevices(trialOf(way, last, "contiguous", "learned", { ...dims(last), B: 1 })),
    );
  });
