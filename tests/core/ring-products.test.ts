/** Collectives taken apart beside products: the same results, whatever is gathered or scattered, multiplied and in between. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Machine } from "../../compiler/base/machine.ts";
import { type Builder, emit, lit, mesh, program, spec } from "../../compiler/core/build.ts";
import { check } from "../../compiler/core/check.ts";
import { decompose } from "../../compiler/core/decompose.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import type { Atom, Program } from "../../compiler/core/ir.ts";
import { ringProducts } from "../../compiler/core/overlap/products.ts";
import { simplify } from "../../compiler/core/simplify.ts";
import { eachEqn } from "../../compiler/core/walk.ts";
import { wholeArray } from "./programs.ts";

/** Kernels and links as fast as each other, launches free: parts always pay. */
const even = (shared: boolean): Machine => {
  const link = { bandwidth: 1e6, latency: 0, duplex: true, shared };
  return {
    name: "even",
    peak: { f32: 1e6 },
    vector: 1e6,
    efficiency: { compute: 1, memory: 1, links: 1 },
    memory: { bytes: 1e9, bandwidth: 1e12 },
    launch: 0,
    devicesPerNode: 1,
    links: { between: link },
  };
};
const ops = (p: Program): string[] => {
  const found: string[] = [];
  eachEqn(p.body, (e) => e.kind === "op" && found.push(e.op));
  return found;
};

/** Rewritten and taken apart, it gives the same up to the order of sums; `gone`: this collective is no more. */
function expectRings(p: Program, machine: Machine, gone: string): void {
  expect(check(p)).toEqual([]);
  const { program: rings, choices } = ringProducts(simplify(p), machine);
  expect(check(rings)).toEqual([]);
  expect(choices.length).toBeGreaterThan(0);
  expect(ops(rings)).not.toContain(gone);
  const device = simplify(decompose(rings).program);
  expect(check(device)).toEqual([]);
  const inputs = p.inputs.map(({ port }, i) => wholeArray(i + 3, ...port.shape));
  const [was, is] = [evaluate(p, inputs), evaluate(device, inputs)];
  was.forEach((x, k) => {
    const most = x.data.reduce((m, v) => Math.max(m, Math.abs(v)), 1);
    x.data.forEach((v, i) => {
      expect(Math.abs(v - is[k]!.data[i]!) / most).toBeLessThan(1e-5);
    });
  });
}

/** Work on rows between a collective and a product. */
const chains: Readonly<Record<string, (b: Builder, x: Atom) => Atom>> = {
  nothing: (_, x) => x,
  tanh: (b, x) => emit(b, "tanh", {}, x),
  "a scalar": (b, x) => emit(b, "mul", {}, x, lit(3)),
  "x * sigmoid x": (b, x) => emit(b, "mul", {}, x, emit(b, "sigmoid", {}, x)),
  "turned twice": (b, x) =>
    emit(b, "transpose", { perm: [1, 0] }, emit(b, "transpose", { perm: [1, 0] }, emit(b, "neg", {}, x))),
};

test("a gather before products becomes a ring, whichever dimension it is of and whatever the product does with it", () => {
  const cases = fc.record({
    n: fc.constantFrom(2, 3, 4, 5, 8),
    shared: fc.boolean(),
    dim: fc.nat(1),
    summed: fc.boolean(),
    products: fc.integer({ min: 1, max: 2 }),
    chain: fc.constantFrom(...Object.keys(chains)),
  });
  fc.assert(
    fc.property(cases, ({ n, shared, dim, summed, products, chain }) => {
      const m = mesh({ a: n, z: 2 });
      // x is [4, 6] on each device, gathered along dim; w meets it along the gathered dimension, or along the other.
      const x = { shape: dim === 0 ? [4 * n, 6] : [4, 6 * n], spec: dim === 0 ? spec(["a"], []) : spec([], ["a"]) };
      const met = (dim === 0) === summed ? 0 : 1;
      const w = { shape: [2 * 5 * n, x.shape[met]!], spec: spec(["z", "a"], []) };
      const p = program(
        m,
        [x, w],
        Array.from({ length: products }, () => spec(["z", "a"], [])),
        (b, x, w) => {
          const whole = chains[chain]!(b, emit(b, "all_gather", { axes: ["a"], dim }, x!));
          return Array.from({ length: products }, (_, k) => {
            const side = k === 0 ? w! : emit(b, "tanh", {}, w!);
            const ins =
              met === 0
                ? [
                    ["k", "f"],
                    ["m", "k"],
                  ]
                : [
                    ["f", "k"],
                    ["m", "k"],
                  ];
            return emit(b, "einsum", { ins, out: ["m", "f"] }, whole, side);
          });
        },
      );
      expectRings(p, even(shared), "all_gather");
    }),
    { numRuns: 60 },
  );
});

test("a product whose sum over devices is scattered, or wanted everywhere, becomes a ring", () => {
  const cases = fc.record({
    n: fc.constantFrom(2, 3, 4, 5),
    dim: fc.nat(1),
    everywhere: fc.boolean(),
    chain: fc.constantFrom("nothing", "a scalar", "turned twice", "two"),
  });
  fc.assert(
    fc.property(cases, ({ n, dim, everywhere, chain }) => {
      const m = mesh({ a: n });
      const [rows, cols] = everywhere ? [60 * 2, 60 * 3] : [2 * n, 3 * n];
      const x = { shape: [rows, 4 * n], spec: spec([], ["a"]) };
      const w = { shape: [4 * n, cols], spec: spec(["a"], []) };
      const out = everywhere ? spec([], []) : dim === 0 ? spec(["a"], []) : spec([], ["a"]);
      const p = program(m, [x, w], [out], (b, x, w) => {
        const product = emit(
          b,
          "einsum",
          {
            ins: [
              ["i", "k"],
              ["k", "j"],
            ],
            out: ["i", "j"],
          },
          x!,
          w!,
        );
        const second = (): Atom =>
          emit(
            b,
            "einsum",
            {
              ins: [
                ["i", "k"],
                ["k", "j"],
              ],
              out: ["i", "j"],
            },
            emit(b, "neg", {}, x!),
            emit(b, "mul", {}, w!, lit(0.5)),
          );
        const z = chain === "two" ? emit(b, "add", {}, product, second()) : chains[chain]!(b, product);
        return [everywhere ? emit(b, "psum", { axes: ["a"] }, z) : emit(b, "psum_scatter", { axes: ["a"], dim }, z)];
      });
      expectRings(p, even(true), everywhere ? "psum" : "psum_scatter");
    }),
    { numRuns: 40 },
  );
});
