/** Array code outside of tiles: what shares a kernel, and that it means the same. */
import { describe, expect, test } from "vitest";
import { type Builder, emit, fold, i32, lit, mesh, program, spec } from "../../compiler/core/build.ts";
import type { Atom, Program, Var } from "../../compiler/core/ir.ts";
import { check } from "../../compiler/tile/check.ts";
import { evalProgram } from "../../compiler/tile/eval.ts";
import { scatterIn } from "../../compiler/tile/hits.ts";
import { hoistFromLoops } from "../../compiler/tile/hoist.ts";
import type { DeviceProgram } from "../../compiler/tile/ir.ts";
import { print } from "../../compiler/tile/print.ts";
import { sumHits } from "../../compiler/tile/sumHits.ts";
import { valuesOf } from "../../compiler/tile/values.ts";
import { counts, expectSame, fused, inputsFor, matmul, one, whole } from "./support.ts";

/** A program on one device with inputs of the shapes. */
const on = (
  shapes: readonly (readonly number[])[],
  ranks: readonly number[],
  body: (b: Builder, ...xs: Var[]) => readonly Atom[],
): Program =>
  program(
    one,
    shapes.map((shape) => ({ shape, spec: whole(shape.length) })),
    ranks.map(whole),
    body,
  );
const rowMax = (b: Builder, x: Atom): Var => emit(b, "reduce", { kind: "max", dims: [1], keep: true }, x);
const rowSum = (b: Builder, x: Atom): Var => emit(b, "reduce", { kind: "sum", dims: [1], keep: true }, x);

describe("kernels of array code", () => {
  test("what is written out over and over is cut, however long: pointwise work, and kernels in a row", () => {
    const rounds = (n: number, next: (b: Builder, y: Var, w: Var) => Var) =>
      on(
        [
          [3, 3],
          [3, 3],
        ],
        [2],
        (b, x, w) => [
          Array(n)
            .fill(0)
            .reduce((y: Var) => next(b, y, w!), x!),
        ],
      );
    const pointwise = rounds(1500, (b, y, w) => emit(b, "add", {}, emit(b, "mul", {}, y, lit(0.5)), w));
    expect(counts(expectSame(pointwise)).kernels).toBe(12);
    const products = rounds(400, (b, y, w) => emit(b, "tanh", {}, matmul(b, y, w)));
    expect(counts(fused(products)).kernels).toBe(400);
  });
  test("a product takes its bias and its activation along", () => {
    const p = on([[6, 5], [5, 7], [7]], [2], (b, x, w, c) => [
      emit(b, "max", {}, emit(b, "add", {}, matmul(b, x!, w!), c!), lit(0)),
    ]);
    expect(counts(expectSame(p)).kernels).toBe(1);
  });
  test("two products that meet elementwise are one kernel", () => {
    const p = on(
      [
        [6, 5],
        [5, 7],
        [5, 7],
      ],
      [2],
      (b, x, w1, w3) => {
        const gate = matmul(b, x!, w1!);
        return [emit(b, "mul", {}, emit(b, "mul", {}, gate, emit(b, "sigmoid", {}, gate)), matmul(b, x!, w3!))];
      },
    );
    expect(counts(expectSame(p)).kernels).toBe(1);
  });
  test("a product of a product is two kernels", () => {
    const p = on(
      [
        [6, 5],
        [5, 7],
        [7, 3],
      ],
      [2],
      (b, x, w1, w2) => [matmul(b, matmul(b, x!, w1!), w2!)],
    );
    expect(counts(expectSame(p)).kernels).toBe(2);
  });
  test("a row-wise normalisation is one kernel", () => {
    const p = on([[6, 5]], [2], (b, x) => {
      const e = emit(b, "exp", {}, emit(b, "sub", {}, x!, rowMax(b, x!)));
      return [emit(b, "div", {}, e, rowSum(b, e))];
    });
    const { kernels } = expectSame(p);
    expect(kernels.length).toBe(1);
    expect(kernels[0]!.grid.map((a) => a.extent)).toEqual([6]);
  });
  test("normalised products: the product is in memory first", () => {
    const p = on(
      [
        [6, 5],
        [5, 7],
      ],
      [2],
      (b, x, w) => {
        const s = matmul(b, x!, w!);
        const e = emit(b, "exp", {}, emit(b, "sub", {}, s, rowMax(b, s)));
        return [emit(b, "div", {}, e, rowSum(b, e))];
      },
    );
    expect(counts(expectSame(p)).kernels).toBe(2);
  });
  test("x @ x.T reads one array at two places", () => {
    const p = on([[6, 5]], [2], (b, x) => [matmul(b, x!, emit(b, "transpose", { perm: [1, 0] }, x!))]);
    expect(counts(expectSame(p)).kernels).toBe(1);
  });
  test("x + x.T of something computed", () => {
    const p = on([[5, 5]], [2], (b, x) => {
      const s = matmul(b, x!, x!);
      return [emit(b, "add", {}, s, emit(b, "transpose", { perm: [1, 0] }, s))];
    });
    expect(counts(expectSame(p)).kernels).toBe(2);
  });
  test("what two results share is computed once, in the kernel of both", () => {
    const p = on([[6, 5]], [2, 2], (b, x) => {
      const e = emit(b, "exp", {}, x!);
      return [emit(b, "add", {}, e, x!), emit(b, "mul", {}, e, e)];
    });
    expect(expectSame(p).kernels.map((k) => k.stores.length)).toEqual([2]);
  });
  test("what a product and a pointwise value share is stored on the way to that", () => {
    const shared = (first: boolean) =>
      on(
        [
          [6, 5],
          [5, 7],
          [6, 5],
        ],
        [2, 2],
        (b, x, w, y) => {
          const t = emit(b, "tanh", {}, x!);
          const pointwise = () => emit(b, "mul", {}, emit(b, "add", {}, t, y!), y!);
          const product = () => matmul(b, t, w!);
          // In either order of the results; where the product comes first it does not wait for the other.
          if (first) return [pointwise(), product()];
          const p = product();
          return [p, emit(b, "add", {}, pointwise(), rowSum(b, p))];
        },
      );
    expect(counts(expectSame(shared(true))).kernels).toBe(2);
    expect(counts(expectSame(shared(false))).kernels).toBe(3);
  });
  test("a reshape is no kernel", () => {
    const p = on([[6, 5]], [1], (b, x) => [emit(b, "reshape", { shape: [30] }, x!)]);
    expect(counts(expectSame(p)).kernels).toBe(0);
    const q = on(
      [
        [6, 5],
        [5, 4],
      ],
      [3],
      (b, x, w) => [emit(b, "reshape", { shape: [2, 3, 4] }, matmul(b, x!, w!))],
    );
    expect(counts(expectSame(q)).kernels).toBe(1);
  });
  test("the same input may be two outputs", () => {
    const p = on([[3]], [1, 1, 1], (b, x) => [x!, emit(b, "neg", {}, x!), x!]);
    expect(counts(expectSame(p)).kernels).toBe(1);
  });
  test("literals and indices as results", () => {
    const p = on([[3]], [0, 1, 1], (b) => [
      lit(2),
      emit(b, "iota", { size: 4 }),
      emit(b, "full", { shape: [3] }, lit(1)),
    ]);
    expectSame(p);
  });
  test("running sums, largest, and what is left of a sum of nothing", () => {
    const p = on([[4, 6]], [2, 1, 1], (b, x) => {
      const c = emit(b, "cumsum", { dim: 1 }, x!);
      const scaled = emit(b, "div", {}, c, emit(b, "reduce", { kind: "sum", dims: [1], keep: true }, x!));
      return [
        scaled,
        emit(b, "argmax", { dim: 0, keep: false }, c),
        emit(b, "reduce", { kind: "prod", dims: [0], keep: false }, x!),
      ];
    });
    expectSame(p);
  });
  test("slices, gathers, joins and windows are index arithmetic", () => {
    const p = on([[6, 5]], [2, 3, 2], (b, x) => {
      const y = emit(b, "mul", {}, x!, lit(2));
      const part = emit(b, "index", { selectors: [{ kind: "slice", start: 1, size: 3 }, { kind: "all" }] }, y);
      const rows = emit(b, "mod", {}, emit(b, "mul", {}, emit(b, "iota", { size: 4 }), i32(3)), i32(7));
      const taken = emit(
        b,
        "index",
        { selectors: [{ kind: "gather", arg: 1 }, { kind: "new" }, { kind: "all" }] },
        y,
        rows,
      );
      const joined = emit(b, "concat", { dim: 0 }, part, y);
      const window = emit(b, "dynamic_slice", { dim: 1, size: 2 }, joined, i32(9));
      return [joined, taken, window];
    });
    expectSame(p);
  });
  test("interleaving by concat and reshape", () => {
    const p = on([[3, 8]], [2], (b, x) => {
      const pairs = emit(b, "reshape", { shape: [3, 4, 2] }, x!);
      const half = (k: number): Var =>
        emit(
          b,
          "index",
          { selectors: [{ kind: "all" }, { kind: "all" }, { kind: "slice", start: k, size: 1 }] },
          pairs,
        );
      const turned = emit(b, "concat", { dim: 2 }, emit(b, "neg", {}, half(1)), half(0));
      return [emit(b, "reshape", { shape: [3, 8] }, turned)];
    });
    expect(counts(expectSame(p)).kernels).toBe(1);
  });
  test.each([false, true])(
    "pairs of a product's neighbours are combined where it is computed; rounded: %s",
    (rounded) => {
      const p = on(
        [
          [3, 5],
          [5, 8],
        ],
        [2],
        (b, x, w) => {
          const product = emit(
            b,
            "einsum",
            {
              ins: [
                ["m", "k"],
                ["k", "n"],
              ],
              out: ["m", "n"],
            },
            x!,
            w!,
          );
          const few = rounded ? emit(b, "cast", { dtype: "bf16" }, product) : product;
          const split = emit(b, "reshape", { shape: [3, 4, 2] }, few);
          const pairs = rounded ? emit(b, "cast", { dtype: "f32" }, split) : split;
          const half = (k: number): Var =>
            emit(
              b,
              "index",
              { selectors: [{ kind: "all" }, { kind: "all" }, { kind: "slice", start: k, size: 1 }] },
              pairs,
            );
          const turned = emit(
            b,
            "concat",
            { dim: 2 },
            emit(b, "neg", {}, half(1)),
            emit(b, "mul", {}, half(0), half(1)),
          );
          return [emit(b, "reshape", { shape: [3, 8] }, turned)];
        },
      );
      expect(counts(expectSame(p)).kernels).toBe(1);
    },
  );
  test("what is computed of a product in groups, and put together again as it was", () => {
    const p = on(
      [
        [3, 5],
        [5, 8],
      ],
      [2],
      (b, x, w) => {
        const [m, k, n] = ["m", "k", "n"];
        const product = emit(
          b,
          "einsum",
          {
            ins: [
              [m!, k!],
              [k!, n!],
            ],
            out: [m!, n!],
          },
          x!,
          w!,
        );
        const pairs = emit(b, "neg", {}, emit(b, "reshape", { shape: [3, 4, 2] }, product));
        const first = emit(
          b,
          "index",
          { selectors: [{ kind: "all" }, { kind: "all" }, { kind: "slice", start: 0, size: 1 }] },
          pairs,
        );
        return [emit(b, "reshape", { shape: [3, 8] }, emit(b, "mul", {}, pairs, first))];
      },
    );
    expectSame(p);
  });
  test("a few new rows go into an old array in place", () => {
    const p = on(
      [
        [8, 3],
        [2, 3],
      ],
      [2],
      (b, x, rows) => [emit(b, "dynamic_update", { dim: 0 }, x!, rows!, i32(7))],
    );
    const { kernels } = expectSame(p);
    expect(kernels.map((k) => k.buffers.map((u) => u.access))).toEqual([["read", "update"]]);
  });
  test("rows computed from the array that they go into", () => {
    const p = on([[8, 3]], [2], (b, x) => {
      const row = emit(b, "dynamic_slice", { dim: 0, size: 1 }, x!, i32(2));
      return [emit(b, "dynamic_update", { dim: 0 }, x!, emit(b, "mul", {}, row, lit(3)), i32(4))];
    });
    expectSame(p);
  });
});

describe("loops of array code", () => {
  test("stay loops; unread carries go", () => {
    const p = on([[4]], [1], (b, x) => {
      const [sum] = fold(b, 5, [x!, x!, x!], (c, step, [s, y, unused]) => {
        const scaled = emit(c, "mul", {}, y!, emit(c, "cast", { dtype: "f32" }, step));
        return [emit(c, "add", {}, s!, scaled), emit(c, "neg", {}, y!), emit(c, "exp", {}, unused!)];
      });
      return [sum!];
    });
    const q = expectSame(p);
    expect(q.steps.flatMap((s) => (s.kind === "loop" ? [s.carry.map((c) => c.out !== null)] : []))).toEqual([
      [true, false],
    ]);
  });
  test("collect rows into a stack", () => {
    const p = on(
      [[4]],
      [1, 2],
      (b, x) => fold(b, 3, [x!], (c, _, [y]) => [emit(c, "mul", {}, y!, lit(2)), emit(c, "neg", {}, y!)]) as Var[],
    );
    expectSame(p);
  });
  test("carries that change places, and carries that stay", () => {
    const p = on(
      [[4], [4]],
      [1, 1, 1],
      (b, x, y) => fold(b, 3, [x!, y!, y!], (c, _, [u, v, w]) => [v!, emit(c, "add", {}, u!, v!), w!]) as Var[],
    );
    expectSame(p);
  });
  for (const n of [1, 2, 3, 4])
    test(`a ring of ${n}`, () => {
      const sharded = spec(["sp"]);
      const p = program(mesh({ sp: n }), [{ shape: [4 * n], spec: sharded }], [sharded, spec([])], (b, x) => {
        const [sum] = fold(b, n, [x!, x!], (c, _, [s, y]) => {
          const moved = emit(c, "ppermute", { axes: ["sp"], route: { kind: "shift", offset: 1 } }, y!);
          return [emit(c, "add", {}, s!, emit(c, "mul", {}, moved, lit(0.5))), moved];
        });
        return [sum!, emit(b, "all_gather", { axes: ["sp"], dim: 0 }, emit(b, "neg", {}, sum!))];
      });
      expectSame(p);
    });
});

describe("what a loop computes always the same", () => {
  /** y <- tanh(y @ (sigmoid(w) * w + u)), n times; `u` the loop's own where it is asked for. */
  const layers = (n: number, own: boolean): Program =>
    on(
      [
        [6, 6],
        [6, 6],
      ],
      [2, 2],
      (b, x, w) => {
        const [y, u] = fold(b, n, [x!, x!], (c, _, [y, u]) => {
          const gate = emit(c, "mul", {}, emit(c, "sigmoid", {}, w!), own ? u! : w!);
          return [emit(c, "tanh", {}, matmul(c, y!, gate)), emit(c, "neg", {}, u!)];
        });
        return [y!, u!];
      },
    );
  const shapeOf = (p: DeviceProgram): readonly unknown[] =>
    p.steps.map((s) => (s.kind === "loop" ? [s.body.length] : s.kind));
  test("is computed before it", () => {
    const p = layers(3, false);
    const before = expectSame(p);
    const after = hoistFromLoops(before);
    expect([shapeOf(before), shapeOf(after)]).toEqual([[[3]], ["launch", [2]]]);
    expect(check(after)).toEqual([]);
    expect(evalProgram(after, inputsFor(p))).toEqual(evalProgram(before, inputsFor(p)));
  });
  test("but not where the loop changes what it is made of, nor before a loop of one step", () => {
    for (const p of [layers(3, true), layers(1, false)]) {
      const before = fused(p);
      expect(hoistFromLoops(before)).toEqual(before);
    }
  });
});

describe("factors of products", () => {
  const gated = (columns: number): Program =>
    on(
      [
        [4, 5],
        [4, 5],
        [5, columns],
      ],
      [2],
      (b, x, y, w) => [matmul(b, emit(b, "mul", {}, emit(b, "add", {}, x!, lit(1)), y!), w!)],
    );
  test("that take some ops and are read often are in memory", () => {
    expect(counts(expectSame(gated(16))).kernels).toBe(1);
    expect(counts(expectSame(gated(64))).kernels).toBe(2);
  });
});

describe("sums with one-hot vectors", () => {
  /** (place = column) for each of `rows` numbers and `columns`, as f32. */
  const oneHot = (b: Builder, place: Atom, rows: number, columns: number): Var => {
    const at = emit(b, "broadcast", { shape: [rows, columns] }, emit(b, "reshape", { shape: [rows, 1] }, place));
    const own = emit(b, "broadcast", { shape: [rows, columns] }, emit(b, "iota", { size: columns }));
    return emit(b, "cast", { dtype: "f32" }, emit(b, "eq", {}, at, own));
  };
  const [rows, columns] = [9, 20];
  const picks = (turned: boolean): Program =>
    program(
      one,
      [
        { shape: [rows], dtype: "i32", spec: whole(1) },
        { shape: [turned ? rows : columns, 4], spec: whole(2) },
      ],
      [whole(2)],
      (b, place, x) => {
        const hot = oneHot(b, place!, rows, columns);
        const left = turned ? emit(b, "transpose", { perm: [1, 0] }, hot) : hot;
        return [emit(b, "tanh", {}, matmul(b, left, x!))];
      },
    );
  const sums = (p: DeviceProgram): number =>
    p.kernels.flatMap((k) => valuesOf(k)).filter((v) => v.def.kind === "reduce").length;
  test("that one element decides are that element", () => {
    const [p, before] = [picks(false), expectSame(picks(false))];
    const after = sumHits(before, () => false);
    expect([sums(before), sums(after)]).toEqual([1, 0]);
    expect(check(after)).toEqual([]);
    expect(evalProgram(after, inputsFor(p))).toEqual(evalProgram(before, inputsFor(p)));
  });
  test("whose terms each go to one place have a kernel of their own, where that pays", () => {
    const [p, before] = [picks(true), expectSame(picks(true))];
    expect(sumHits(before, () => false).kernels).toHaveLength(1);
    const after = sumHits(before, () => true);
    expect(after.kernels.map((k) => scatterIn(k) !== undefined)).toEqual([true, false]);
    expect(check(after)).toEqual([]);
    expect(evalProgram(after, inputsFor(p))).toEqual(evalProgram(before, inputsFor(p)));
  });
});

describe("limits", () => {
  const total = (b: Builder, x: Atom): Var => emit(b, "reduce", { kind: "sum", dims: [0, 1], keep: false }, x);
  test("a sum of very many elements is a sum of partial sums", () => {
    const p = on([[64, 96]], [0], (b, x) => [total(b, emit(b, "mul", {}, x!, x!))]);
    const { kernels } = expectSame(p);
    expect(kernels.length).toBe(2);
    expect(kernels[0]!.grid.map((a) => a.extent)).toEqual([48]);
  });
  test("of whole rows, where there are as many", () => {
    const rows = fused(on([[512, 2048]], [0], (b, x) => [total(b, x!)]));
    expect(print(rows)).toMatch(/\(i, d, e\) = load \w+ \[v1, e\]/);
    const few = fused(on([[8, 65536]], [0], (b, x) => [total(b, x!)]));
    expect(few.kernels[0]!.grid.map((a) => a.extent)).toEqual([1024]);
  });
  test("and so is a product with few results", () => {
    const p = on([[2, 4096], [4096]], [1], (b, x, y) => [
      emit(b, "einsum", { ins: [["m", "k"], ["k"]], out: ["m"] }, x!, y!),
    ]);
    expect(expectSame(p).kernels.map((k) => k.grid.length)).toEqual([2, 1]);
  });
  test("a kernel that would read too many arrays is cut in two", () => {
    const shapes = Array.from({ length: 10 }, () => [5]);
    const p = on(shapes, [1], (b, ...xs) => [
      xs.reduce((x, y) => emit(b, "add", {}, emit(b, "mul", {}, x, lit(0.5)), y)),
    ]);
    for (const maxBuffers of [4, 8, 11]) {
      const { kernels } = expectSame(p, { maxBuffers });
      expect(Math.max(...kernels.map((k) => k.buffers.length))).toBeLessThanOrEqual(maxBuffers);
      if (maxBuffers === 11) expect(kernels.length).toBe(1);
    }
  });
  test("initial values of one size are filled by one kernel", () => {
    const zero = (b: Builder): Var => emit(b, "full", { shape: [4] }, lit(0));
    const p = on([[4]], [1, 1], (b, x) =>
      fold(b, 2, [zero(b), emit(b, "full", { shape: [4] }, lit(-1))], (c, _, [u, v]) => [
        emit(c, "add", {}, u!, x!),
        emit(c, "max", {}, v!, u!),
      ]),
    );
    expect(expectSame(p).steps.filter((s) => s.kind === "launch").length).toBe(1);
  });
});

describe("recomputation", () => {
  const twice = (barrier: boolean): Program =>
    on(
      [
        [6, 5],
        [5, 7],
        [7, 3],
      ],
      [2, 2],
      (b, x, w1, w2) => {
        const h = matmul(b, x!, w1!);
        const again = barrier ? emit(b, "optimization_barrier", { id: 0 }, h) : h;
        return [matmul(b, emit(b, "exp", {}, h), w2!), emit(b, "exp", {}, again)];
      },
    );
  test("what is behind a barrier is computed anew, in kernels of its own", () => {
    expect(counts(expectSame(twice(false))).kernels).toBe(2);
    expect(counts(expectSame(twice(true))).kernels).toBe(3);
  });
  test("a barrier is no kernel, and on an array or a row of one it says nothing", () => {
    const p = on([[6, 5]], [1], (b, x) => {
      const all = emit(b, "optimization_barrier", { id: 0 }, x!);
      const row = emit(b, "index", { selectors: [{ kind: "at", arg: 1 }, { kind: "all" }] }, all, i32(2));
      return [emit(b, "exp", {}, emit(b, "optimization_barrier", { id: 1 }, row))];
    });
    expect(counts(expectSame(p)).kernels).toBe(1);
  });
});

test("each link of a chain of sums is stored where its last term is computed, not summed up again by its readers", () => {
  const links = 6;
  const p = on([[8, 4], ...Array.from({ length: links }, () => [4, 4])], [2], (b, x, ...ws) => {
    const chain = ws.reduce<Atom>((sum, w) => emit(b, "add", {}, sum, matmul(b, sum, w)), x!);
    return [chain];
  });
  const { kernels } = expectSame(p);
  expect(kernels.map((k) => k.buffers.length)).toEqual(Array.from({ length: links }, () => 3));
});

test("results come in the order of the program, and what they need just before them", () => {
  // x1 = x w0, x2 = x1 w1, …; then from the last to the first y = xi y', each a result.
  const p = on(
    [
      [4, 4],
      [4, 4],
      [4, 4],
      [4, 4],
    ],
    [2, 2, 2],
    (b, x, ...ws) => {
      const xs = [x!];
      for (const w of ws) xs.push(matmul(b, xs.at(-1)!, w));
      const back: Var[] = [];
      for (let y = xs[3]!, i = 2; i >= 0; i--) {
        y = matmul(b, xs[i]!, y);
        back.unshift(y);
      }
      return back;
    },
  );
  const { steps, outputs } = expectSame(p);
  const order = steps.flatMap((s) => (s.kind === "launch" ? [s.buffers.at(-1)!] : []));
  expect(outputs.map((o) => order.indexOf(o.array))).toEqual([5, 4, 3]);
});

describe("a product with comparisons, as gathers give when they are turned round", () => {
  /** [n, size]: 1 where the n-th index is the second coordinate. */
  const hits = (b: Builder, ids: Atom, size: number): Var => {
    const column = emit(b, "reshape", { shape: [ids.type.shape[0]!, 1] }, ids);
    return emit(b, "cast", { dtype: "f32" }, emit(b, "eq", {}, column, emit(b, "iota", { size })));
  };
  const whole1 = { spec: whole(1), dtype: "i32" } as const;
  for (const n of [40, 8192])
    test(`of one index array of ${n} is one kernel that stores no comparison`, () => {
      const p = program(
        one,
        [
          { shape: [n], ...whole1 },
          { shape: [n, 3], spec: whole(2) },
        ],
        [whole(2)],
        (b, ids, ct) => {
          const ins = [
            ["n", "v"],
            ["n", "e"],
          ];
          return [emit(b, "einsum", { ins, out: ["v", "e"] }, hits(b, ids!, 9), emit(b, "neg", {}, ct!))];
        },
      );
      const { kernels } = expectSame(p);
      const stored = kernels.flatMap((k) => k.stores.map((s) => k.buffers[s.buffer]!.shape.reduce((m, d) => m * d, 1)));
      expect(Math.max(...stored)).toBeLessThanOrEqual(n === 40 ? 27 : 1024);
    });
  test("of two index arrays at once", () => {
    const p = program(
      one,
      [
        { shape: [30], ...whole1 },
        { shape: [30], ...whole1 },
        { shape: [30, 5], spec: whole(2) },
      ],
      [whole(3)],
      (b, i, j, ct) => {
        const ins = [
          ["n", "a"],
          ["n", "b"],
          ["n", "e"],
        ];
        return [emit(b, "einsum", { ins, out: ["a", "b", "e"] }, hits(b, i!, 7), hits(b, j!, 6), ct!)];
      },
    );
    expect(expectSame(p).kernels.length).toBe(1);
  });
});

test("what a loop collects is written there by the kernel that computes it", () => {
  const p = on(
    [
      [6, 5],
      [5, 5],
    ],
    [2, 3],
    (b, x, w) =>
      fold(b, 4, [x!], (inside, _, [y]) => {
        const h = emit(inside, "exp", {}, emit(inside, "neg", {}, emit(inside, "abs", {}, matmul(inside, y!, w!))));
        return [matmul(inside, h, w!), h];
      }),
  );
  const { kernels, steps } = expectSame(p);
  const [loop] = steps.filter((s) => s.kind === "loop");
  const inside =
    loop?.kind === "loop" ? loop.body.flatMap((s) => (s.kind === "launch" ? [kernels[s.kernel]!] : [])) : [];
  expect(inside.map((k) => k.buffers.map((b) => b.access))).toEqual([
    ["read", "read", "write", "update"],
    ["read", "read", "write"],
  ]);
});

test("a loop in a loop reads its part of a stack where it lies", () => {
  const p = on(
    [
      [4, 5],
      [3, 5, 5],
    ],
    [2],
    (b, x, ws) =>
      fold(b, 3, [x!], (outer, l, [y]) => {
        const w = emit(
          outer,
          "index",
          { selectors: [{ kind: "at", arg: 1 }, { kind: "all" }, { kind: "all" }] },
          ws!,
          l,
        );
        return fold(outer, 2, [y!], (inner, _, [z]) => [emit(inner, "max", {}, matmul(inner, z!, w), lit(0))]);
      }),
  );
  expect(expectSame(p).kernels.length).toBe(1);
});
