import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type Builder,
  branch,
  emit,
  fold,
  foldBlocks,
  i32,
  lit,
  mesh,
  program,
  spec,
  tiles,
} from "../../compiler/core/build.ts";
import { check } from "../../compiler/core/check.ts";
import { EvaluationStopped, evaluate } from "../../compiler/core/eval.ts";
import type { Atom, Index, Program, Route, Selector } from "../../compiler/core/ir.ts";
import { type NDArray, ndarray, tabulate } from "../../compiler/core/ndarray.ts";
import { numbers, randomArray } from "./programs.ts";

const sp = spec(["sp"]);
/** A program from one float array split over `sp` to another. */
const split = (n: number, size: number, body: (b: Builder, x: Atom) => Atom): Program =>
  program(mesh({ sp: n }), [{ shape: [size], spec: sp }], [sp], (b, x) => [body(b, x!)]);
const counted = (n: number): NDArray => tabulate("f32", [n], (i) => i);
function run(p: Program, ...xs: NDArray[]): number[] {
  expect(check(p)).toEqual([]);
  return numbers(evaluate(p, xs)[0]);
}
const permute = (b: Builder, x: Atom, route: Route): Atom => emit(b, "ppermute", { axes: ["sp"], route }, x);

// ── Collectives ──────────────────────────────────────────────────────────────────────────────────────────────────

test("a shift moves each shard one further round", () => {
  const p = split(4, 8, (b, x) => permute(b, x, { kind: "shift", offset: 1 }));
  expect(run(p, counted(8))).toEqual([6, 7, 0, 1, 2, 3, 4, 5]);
});
test("a device that nobody sends to gets zeros", () => {
  const p = split(3, 3, (b, x) =>
    permute(b, x, {
      kind: "pairs",
      pairs: [
        [0, 1],
        [1, 2],
      ],
    }),
  );
  expect(run(p, counted(3))).toEqual([0, 0, 1]);
});
test("a route may depend on the step", () => {
  const p = split(
    4,
    4,
    (b, x) => fold(b, 3, [x], (b, step, [c]) => [permute(b, c!, { kind: "shift", offset: 1, step, perStep: 1 })])[0]!,
  );
  expect(run(p, counted(4))).toEqual([2, 3, 0, 1]); // 1 + 2 + 3 = 6, two on
});
test("sums, gathers, scatters and exchanges are JAX's", () => {
  const x = tabulate("f32", [4, 2], (i, j) => 10 * i + j);
  const io = { shape: [4, 2], spec: spec(["sp"], []) };
  const m = mesh({ sp: 2 });
  const axes = ["sp"];
  const gather = program(m, [io], [spec([], [])], (b, x) => [emit(b, "all_gather", { axes, dim: 1 }, x!)]);
  expect(evaluate(gather, [x])[0]).toEqual(
    tabulate("f32", [2, 4], (i, j) => 10 * (i + 2 * Math.floor(j / 2)) + (j % 2)),
  );
  const sum = program(m, [io], [spec([], [])], (b, x) => [emit(b, "psum", { axes }, x!)]);
  expect(numbers(evaluate(sum, [x])[0])).toEqual([20, 22, 40, 42]);
  const scatter = program(m, [io], [spec(["sp"], [])], (b, x) => [emit(b, "psum_scatter", { axes, dim: 0 }, x!)]);
  expect(numbers(evaluate(scatter, [x])[0])).toEqual([20, 22, 40, 42]);
  const exchange = program(m, [io], [spec([], ["sp"])], (b, x) => [
    emit(b, "all_to_all", { axes, split: 1, concat: 0 }, x!),
  ]);
  expect(evaluate(exchange, [x])[0]).toEqual(x);
});
test("a tuple of axes is one ring, its first axis major, whatever the mesh's order", () => {
  const m = mesh({ a: 2, b: 3 });
  const p = program(m, [], [spec(["a", "b"])], (b) => {
    const place = emit(b, "axis_index", { axes: ["b", "a"] });
    return [emit(b, "reshape", { shape: [1] }, place)];
  });
  expect(run(p)).toEqual([0, 2, 4, 1, 3, 5]);
});
test("what does not vary is computed once and counted once for each device", () => {
  const p = program(mesh({ sp: 4 }), [{ shape: [2], spec: spec([]) }], [spec([])], (b, x) => [
    emit(b, "psum", { axes: ["sp"] }, emit(b, "pvary", { axes: ["sp"] }, x!)),
  ]);
  expect(run(p, counted(2))).toEqual([0, 4]);
});

// ── Layouts ──────────────────────────────────────────────────────────────────────────────────────────────────────

test.each([
  ["contiguous", [0, 1, 2, 3, 4, 5, 6, 7]],
  ["striped", [0, 2, 4, 6, 1, 3, 5, 7]],
  ["zigzag", [0, 1, 6, 7, 2, 3, 4, 5]],
] as const)("%s rows", (layout, held) => {
  const io = [{ axes: ["sp"], layout }];
  const there = program(mesh({ sp: 2 }), [{ shape: [8], spec: io }], [sp], (_, x) => [x!]);
  expect(run(there, counted(8))).toEqual(held);
  const back = program(mesh({ sp: 2 }), [{ shape: [8], spec: sp }], [io], (_, x) => [x!]);
  expect(run(back, ndarray("f32", [8], held))).toEqual(numbers(counted(8)));
});
test("arrays come back as they went, on any spec", () => {
  const m = mesh({ a: 2, b: 3 });
  const layouts = fc.constantFrom("contiguous" as const, "striped" as const, "zigzag" as const);
  const specs = fc.tuple(fc.shuffledSubarray([["a"], ["b"], [], ["b", "a"], ["a", "b"]]), layouts, layouts);
  fc.assert(
    fc.property(specs, fc.nat(), ([[first = [], second = []], l1, l2], seed) => {
      const s = [
        { axes: first, layout: l1 },
        { axes: second.filter((a) => !first.includes(a)), layout: l2 },
        { axes: [], layout: l2 },
      ];
      const p = program(m, [{ shape: [24, 12, 2], spec: s }], [s], (_, x) => [x!]);
      const x = randomArray(seed, 24, 12, 2);
      expect(evaluate(p, [x])).toEqual([x]);
    }),
  );
});

// ── Regions ──────────────────────────────────────────────────────────────────────────────────────────────────────

test("a fold collects what each step gives", () => {
  const p = program(mesh({ sp: 1 }), [], [spec(), spec([])], (b) =>
    fold(b, 4, [i32(1)], (b, step, [c]) => [emit(b, "mul", {}, c!, i32(2)), emit(b, "add", {}, c!, step)]),
  );
  expect(evaluate(p, []).map(numbers)).toEqual([[16], [1, 3, 6, 11]]);
});
test("each device takes its own branch", () => {
  const p = split(4, 4, (b, x) => {
    const me = emit(b, "axis_index", { axes: ["sp"] });
    const low = emit(b, "lt", {}, me, i32(2));
    return branch(
      b,
      low,
      (b) => [emit(b, "neg", {}, x)],
      (b) => [emit(b, "mul", {}, x, x)],
    )[0]!;
  });
  expect(run(p, counted(4))).toEqual([-0, -1, 4, 9]);
});

const all: Selector = { kind: "all" };
const rows = (index: Index): Selector => ({ kind: "block", index });
/** x @ y.T in blocks of any size. */
const blocked = (m: number, n: number, k: number, bm: number, bn: number, bk: number): Program => {
  const shape = (...s: number[]) => ({ shape: s, spec: spec([], []) });
  return program(mesh({ sp: 1 }), [shape(m, k), shape(n, k)], [spec([], [])], (b, x, y) =>
    tiles(
      b,
      [
        { name: "i", extent: m, block: bm },
        { name: "j", extent: n, block: bn },
      ],
      [[0, 1]],
      (b, i, j) => {
        const zero = emit(b, "full", { shape: [i!.size, j!.size] }, lit(0));
        return foldBlocks(b, { name: "k", extent: k, block: bk }, [zero], (b, kk, [acc]) => {
          const xs = emit(b, "index", { selectors: [rows(i!), rows(kk)] }, x!);
          const ys = emit(b, "index", { selectors: [rows(j!), rows(kk)] }, y!);
          return [
            emit(
              b,
              "add",
              {},
              acc!,
              emit(
                b,
                "einsum",
                {
                  ins: [
                    ["i", "k"],
                    ["j", "k"],
                  ],
                  out: ["i", "j"],
                },
                xs,
                ys,
              ),
            ),
          ];
        });
      },
    ),
  );
};
test("tiles and blocked folds mean the same at any block size, ragged ones too", () => {
  const size = fc.integer({ min: 1, max: 7 });
  fc.assert(
    fc.property(fc.tuple(size, size, size), fc.tuple(size, size, size), ([m, n, k], [bm, bn, bk]) => {
      const p = blocked(m, n, k, bm, bn, bk);
      const [x, y] = [randomArray(1, m, k), randomArray(2, n, k)];
      expect(check(p)).toEqual([]);
      const [z] = evaluate(p, [x, y]);
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let q = 0; q < k; q++) sum += x.data[i * k + q]! * y.data[j * k + q]!;
          expect(z!.data[i * n + j]).toBeCloseTo(sum, 12);
        }
    }),
    { numRuns: 60 },
  );
});
test("a pattern puts tiles where it says: elements, blocks and whole dims in any order", () => {
  const p = program(
    mesh({ sp: 1 }),
    [{ shape: [2, 5, 3], spec: spec([], [], []) }],
    [spec([], [], []), spec([], [])],
    (b, x) =>
      tiles(
        b,
        [
          { name: "h", extent: 2, block: null },
          { name: "i", extent: 5, block: 2 },
        ],
        [
          [1, 0, ":"],
          [0, 1],
        ],
        (b, h, i) => {
          const xs = emit(b, "index", { selectors: [{ kind: "at", arg: 1 }, rows(i!), all] }, x!, h!.element!);
          return [xs, emit(b, "mul", {}, emit(b, "pos", { index: i! }), h!.element!)];
        },
      ),
  );
  expect(check(p)).toEqual([]);
  const x = randomArray(3, 2, 5, 3);
  const [moved, places] = evaluate(p, [x]);
  expect(moved).toEqual(tabulate("f32", [5, 2, 3], (i, h, d) => x.data[(h * 5 + i) * 3 + d]!));
  expect(places).toEqual(tabulate("i32", [2, 5], (h, i) => h * i));
});
test("evaluation tells its steps, and stops when asked", () => {
  const p = split(2, 4, (b, x) => fold(b, 10, [x], (b, _, [c]) => [emit(b, "neg", {}, c!)])[0]!);
  const seen: number[] = [];
  evaluate(p, [counted(4)], { onStep: (done) => seen.push(done) });
  expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(() => evaluate(p, [counted(4)], { shouldStop: () => true })).toThrow(EvaluationStopped);
});
