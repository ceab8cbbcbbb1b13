/** Bodies of tiles: one kernel each, whatever the blocks are. */
import { describe, expect, test } from "vitest";
import { type Builder, emit, fold, foldBlocks, i32, lit, program, tiles } from "../../compiler/core/build.ts";
import type { Atom, Index, Program, Selector, Type, Var } from "../../compiler/core/ir.ts";
import { fuse } from "../../compiler/tile/fuse.ts";
import { counts, expectSame, matmul, one, whole } from "./support.ts";

type Input = { readonly shape: readonly number[]; readonly dtype?: Type["dtype"] };
const on = (
  inputs: readonly Input[],
  ranks: readonly number[],
  body: (b: Builder, ...xs: Var[]) => readonly Atom[],
): Program =>
  program(
    one,
    inputs.map((i) => ({ ...i, spec: whole(i.shape.length) })),
    ranks.map(whole),
    body,
  );

/** `x[…]`: an index's block or element, or ":". */
function at(b: Builder, x: Atom, ...by: readonly (Index | ":" | "new")[]): Var {
  const args: Atom[] = [x];
  const selectors = by.map((s): Selector => {
    if (s === ":") return { kind: "all" };
    if (s === "new") return { kind: "new" };
    if (s.block !== null) return { kind: "block", index: s };
    args.push(s.element!);
    return { kind: "at", arg: args.length - 1 };
  });
  return emit(b, "index", { selectors }, ...args);
}
const full = (b: Builder, value: number, ...shape: Type["shape"][number][]): Var =>
  emit(b, "full", { shape }, lit(value));
const transposed = (b: Builder, x: Atom): Var => emit(b, "transpose", { perm: [1, 0] }, x);
const reduce = (b: Builder, kind: "sum" | "max", dim: number, x: Atom): Var =>
  emit(b, "reduce", { kind, dims: [dim], keep: false }, x);
const column = (b: Builder, x: Atom): Var => emit(b, "index", { selectors: [{ kind: "all" }, { kind: "new" }] }, x);

describe("kernels of tiles", () => {
  for (const [m, n, k] of [
    [4, 4, 4],
    [5, 3, 2],
    [64, 64, 64],
    [1, 1, 1],
  ] as const)
    test(`a product in blocks of ${m}, ${n} and ${k}`, () => {
      const p = on([{ shape: [10, 7] }, { shape: [7, 9] }], [2], (b, x, y) =>
        tiles(
          b,
          [
            { name: "i", extent: 10, block: m },
            { name: "j", extent: 9, block: n },
          ],
          [[0, 1]],
          (c, i, j) =>
            foldBlocks(c, { name: "r", extent: 7, block: k }, [full(c, 0, i!.size, j!.size)], (d, r, [acc]) => [
              emit(d, "add", {}, acc!, matmul(d, at(d, x!, i!, r), at(d, y!, r, j!))),
            ]),
        ),
      );
      expect(counts(expectSame(p)).kernels).toBe(1);
    });

  for (const [rows, keys] of [
    [4, 4],
    [5, 3],
    [64, 64],
    ["auto", 2],
  ] as const)
    test(`a weighted mean in one pass over blocks of ${keys}, rows by ${rows}`, () => {
      const shapes = [{ shape: [2, 10, 4] }, { shape: [2, 7, 4] }, { shape: [2, 7, 3] }];
      const p = on(shapes, [3, 2], (b, q, k, v) =>
        tiles(
          b,
          [
            { name: "b", extent: 2, block: null },
            { name: "i", extent: 10, block: rows },
          ],
          [
            [0, 1, ":"],
            [0, 1],
          ],
          (c, bb, i) => {
            const qi = emit(c, "mul", {}, at(c, q!, bb!, i!, ":"), lit(0.5));
            const start = [full(c, Number.NEGATIVE_INFINITY, i!.size), full(c, 0, i!.size), full(c, 0, i!.size, 3)];
            const [top, sum, o] = foldBlocks(c, { name: "j", extent: 7, block: keys }, start, (d, j, [m, l, acc]) => {
              const s = matmul(d, qi, transposed(d, at(d, k!, bb!, j, ":")));
              const seen = emit(d, "ge", {}, column(d, emit(d, "pos", { index: i! })), emit(d, "pos", { index: j }));
              const masked = emit(d, "select", {}, seen, s, lit(Number.NEGATIVE_INFINITY));
              const next = emit(d, "max", {}, m!, reduce(d, "max", 1, masked));
              const p = emit(d, "exp", {}, emit(d, "sub", {}, masked, column(d, next)));
              const keep = emit(d, "exp", {}, emit(d, "sub", {}, m!, next));
              return [
                next,
                emit(d, "add", {}, emit(d, "mul", {}, keep, l!), reduce(d, "sum", 1, p)),
                emit(d, "add", {}, emit(d, "mul", {}, column(d, keep), acc!), matmul(d, p, at(d, v!, bb!, j, ":"))),
              ];
            });
            return [emit(c, "div", {}, o!, column(c, sum!)), emit(c, "add", {}, top!, emit(c, "log", {}, sum!))];
          },
        ),
      );
      const { kernels } = expectSame(p);
      expect(kernels.map((kernel) => kernel.stores.length)).toEqual([2]);
    });

  test("folds in folds, one over single elements", () => {
    const p = on([{ shape: [6, 3] }, { shape: [4, 5, 3] }], [1], (b, x, keys) =>
      tiles(b, [{ name: "i", extent: 6, block: 4 }], [[0]], (c, i) =>
        foldBlocks(c, { name: "r", extent: 4, block: null }, [full(c, 0, i!.size)], (d, r, [total]) => {
          const [best] = foldBlocks(d, { name: "j", extent: 5, block: 2 }, [full(d, -9, i!.size)], (e, j, [m]) => [
            emit(
              e,
              "max",
              {},
              m!,
              reduce(e, "max", 1, matmul(e, at(e, x!, i!, ":"), transposed(e, at(e, keys!, r, j, ":")))),
            ),
          ]);
          return [emit(d, "add", {}, total!, best!)];
        }),
      ),
    );
    expectSame(p);
  });

  test("a plain loop in a kernel", () => {
    const p = on([{ shape: [6] }], [1], (b, x) =>
      tiles(b, [{ name: "i", extent: 6, block: 4 }], [[0]], (c, i) =>
        fold(c, 5, [at(c, x!, i!)], (d, step, [y]) => [
          emit(d, "add", {}, y!, emit(d, "cast", { dtype: "f32" }, step)),
        ]),
      ),
    );
    expectSame(p);
  });

  test("a block with itself: both dims of xi @ xi.T are rows of x", () => {
    const p = on([{ shape: [8, 3] }], [1], (b, x) =>
      tiles(b, [{ name: "i", extent: 8, block: 4 }], [[0]], (c, i) => {
        const xi = at(c, x!, i!, ":");
        return [reduce(c, "max", 1, matmul(c, xi, transposed(c, xi)))];
      }),
    );
    expectSame(p);
  });
  test("two indices of one array, and a diagonal", () => {
    const p = on([{ shape: [7, 3] }], [2], (b, x) =>
      tiles(
        b,
        [
          { name: "i", extent: 7, block: 4 },
          { name: "j", extent: 7, block: 3 },
        ],
        [[1, 0]],
        (c, i, j) => [transposed(c, matmul(c, at(c, x!, i!, ":"), transposed(c, at(c, x!, j!, ":"))))],
      ),
    );
    expectSame(p);
  });
  test("a reduction over the block at hand", () => {
    const p = on([{ shape: [7] }], [1], (b, x) =>
      tiles(b, [{ name: "i", extent: 7, block: 3 }], [[0]], (c, i) => {
        const xi = at(c, x!, i!);
        return [emit(c, "sub", {}, xi, reduce(c, "max", 0, xi))];
      }),
    );
    expectSame(p);
  });
  test("places in a block: argmax and iota count from its beginning", () => {
    const p = on([{ shape: [7, 2] }], [1, 1], (b, x) =>
      tiles(b, [{ name: "i", extent: 7, block: 3 }], [[0], [0]], (c, i) => {
        const largest = emit(c, "argmax", { dim: 0, keep: false }, at(c, x!, i!, ":"));
        const total = emit(c, "reduce", { kind: "sum", dims: [0], keep: false }, largest);
        const here = emit(c, "iota", { size: i!.size });
        return [emit(c, "add", {}, here, total), emit(c, "pos", { index: i! })];
      }),
    );
    expectSame(p);
  });
  test("gathers by data, clamped, and captured positions", () => {
    const p = on([{ shape: [6, 3] }, { shape: [8], dtype: "i32" }], [2], (b, table, ids) => {
      const shifted = emit(b, "add", {}, emit(b, "iota", { size: 8 }), i32(5));
      return tiles(b, [{ name: "i", extent: 8, block: 4 }], [[0, ":"]], (c, i) => {
        const rows = emit(
          c,
          "index",
          { selectors: [{ kind: "gather", arg: 1 }, { kind: "all" }] },
          table!,
          at(c, ids!, i!),
        );
        return [emit(c, "mul", {}, rows, emit(c, "cast", { dtype: "f32" }, column(c, at(c, shifted, i!))))];
      });
    });
    const { kernels } = expectSame(p);
    // The positions are part of the kernel, not an array.
    expect(kernels.map((k) => k.buffers.length)).toEqual([3]);
  });
  test("one array at both sides of a product, twice", () => {
    const p = on([{ shape: [6, 4] }, { shape: [4, 4] }], [2], (b, x, w) =>
      tiles(b, [{ name: "i", extent: 6, block: 4 }], [[0, ":"]], (c, i) => [
        matmul(c, matmul(c, at(c, x!, i!, ":"), w!), w!),
      ]),
    );
    expectSame(p);
  });
  test("running sums and re-arranged rows of something computed", () => {
    const p = on([{ shape: [6, 4] }, { shape: [4, 4] }], [2, 2], (b, x, w) =>
      tiles(
        b,
        [{ name: "i", extent: 6, block: 4 }],
        [
          [0, ":"],
          [0, ":"],
        ],
        (c, i) => {
          const y = matmul(c, at(c, x!, i!, ":"), w!);
          const back = emit(c, "sub", {}, i32(3), emit(c, "iota", { size: 4 }));
          const turned = emit(c, "index", { selectors: [{ kind: "all" }, { kind: "gather", arg: 1 }] }, y, back);
          return [emit(c, "cumsum", { dim: 1 }, y), emit(c, "mul", {}, turned, y)];
        },
      ),
    );
    expectSame(p);
  });
  test("captured scalars: an input, and one made of others", () => {
    const p = on([{ shape: [6] }, { shape: [] }], [1], (b, x, scale) => {
      const twice = emit(b, "mul", {}, scale!, lit(2));
      return tiles(b, [{ name: "i", extent: 6, block: 4 }], [[0]], (c, i) => [
        emit(c, "mul", {}, at(c, x!, i!), twice),
      ]);
    });
    expect(counts(expectSame(p)).kernels).toBe(1);
  });
});

test("what cannot be done yet is said", () => {
  const p = on([{ shape: [7, 2] }], [1], (b, x) =>
    tiles(b, [{ name: "i", extent: 7, block: 3 }], [[0]], (c, i) => {
      const xi = at(c, x!, i!, ":");
      return [reduce(c, "max", 1, matmul(c, xi, transposed(c, xi)))];
    }),
  );
  expect(fuse(p).diagnostics.map((d) => d.message)).toEqual([
    "re-arranging blocks of `i` where 3 does not divide 7 is not supported yet",
  ]);
});
