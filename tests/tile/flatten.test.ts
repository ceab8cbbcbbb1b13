/** Sums of sums as one: they mean what they meant, and are one where memory allows it. */
import { expect, test } from "vitest";
import { tabulate } from "../../compiler/core/ndarray.ts";
import { plus, times } from "../../compiler/tile/arithmetic.ts";
import {
  cast,
  constant,
  type KernelBuilder,
  kernelBuilder,
  load,
  newAxis,
  pos,
  rawMap,
  reduce,
} from "../../compiler/tile/build.ts";
import { check } from "../../compiler/tile/check.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import { flattenSums } from "../../compiler/tile/flatten.ts";
import type { Axis, BufferParam, Kernel, Value } from "../../compiler/tile/ir.ts";
import { printKernel } from "../../compiler/tile/print.ts";
import { randomKernel } from "../lane/random.ts";

const flat = (kernel: Kernel): Kernel =>
  flattenSums({
    name: "p",
    mesh: { name: "m", axes: [] },
    arrays: [],
    kernels: [kernel],
    inputs: [],
    outputs: [],
    steps: [],
  }).kernels[0]!;
/** The kernel flattened, which does the same; `sums` is how many reductions it has then. */
function expectKept(kernel: Kernel, scalars: readonly number[] = [], data?: Parameters<typeof evalKernel>[1]): number {
  const after = flat(kernel);
  expect(
    check({
      name: "",
      mesh: { name: "m", axes: [{ name: "sp", size: 4 }] },
      arrays: [],
      kernels: [after],
      inputs: [],
      outputs: [],
      steps: [],
    }),
  ).toEqual([]);
  const given =
    data ??
    kernel.buffers.map((b, k) =>
      tabulate(b.dtype, b.shape, (...i) => i.reduce((n, x) => (n * 5 + x * 3 + k) % 11, 1) - 5),
    );
  const numbers = (k: Kernel) =>
    evalKernel(
      k,
      given.map((x, n) => ({ ...x, shape: k.buffers[n]!.shape })),
      scalars,
    ).map((x) => [...x.data].map((n) => n + 0));
  expect(numbers(after), printKernel(after)).toEqual(numbers(kernel));
  return printKernel(after).split(/ (?:sum|max) /).length - 1;
}

/** A kernel of rows i with inner axes d: 2, e: 3, f: 4; `body` gives what is stored, along its axes. */
function kernelOf(
  body: (b: KernelBuilder, at: (name: string, ...axes: Axis[]) => Value, d: Axis, e: Axis, f: Axis) => Value,
): Kernel {
  const b = kernelBuilder();
  const i = newAxis(b, { name: "i", role: "grid", extent: 5, block: "auto" });
  const [d, e, f] = [2, 3, 4].map((n) => newAxis(b, { name: "def"[n - 2]!, role: "inner", extent: n, block: n }));
  const buffers: BufferParam[] = [];
  const at = (name: string, ...axes: Axis[]): Value => {
    const shape = [5, ...axes.map((a) => a.extent)];
    const known = buffers.findIndex((x) => x.name === name);
    const k = known >= 0 ? known : buffers.push({ name, dtype: "f32", shape, access: "read" }) - 1;
    return load(
      b,
      "f32",
      k,
      [i, ...axes].map((a) => pos(b, a)),
    );
  };
  const value = body(b, at, d!, e!, f!);
  const own = [i, ...value.axes.filter((a) => a.id !== i.id)];
  buffers.push({ name: "out", dtype: "f32", shape: own.map((a) => a.extent), access: "write" });
  const stores = [{ buffer: buffers.length - 1, index: own.map((a) => pos(b, a)), value }];
  return { name: "k", buffers, scalars: [], grid: [i], body: b.scopes[0]!.stmts, stores };
}
const sums = (b: KernelBuilder, v: Value, ...axes: Axis[]): Value => axes.reduce((x, a) => reduce(b, "sum", a, x), v);
const by = (b: KernelBuilder, x: Value, y: Value): Value => rawMap(b, "mul", [x, y], "f32");

test("a product over three dimensions is one sum, in whatever order they are summed", () => {
  expect(expectKept(kernelOf((b, at, d, e, f) => sums(b, by(b, at("x", d, e, f), at("y", d, e, f)), f, e, d)))).toBe(1);
  expect(expectKept(kernelOf((b, at, d, e, f) => sums(b, by(b, at("x", d, e, f), at("y", d, e, f)), d, e, f)))).toBe(1);
});
test("two that lie side by side are one, the third is summed by itself", () => {
  expect(expectKept(kernelOf((b, at, d, e, f) => sums(b, by(b, at("x", d, e, f), at("y", f, d, e)), e, d, f)))).toBe(2);
});
test("what is read in another order, in part, by its number, or joined along one of them otherwise, is not", () => {
  const two = (body: Parameters<typeof kernelOf>[0]): void =>
    void expect(expectKept(kernelOf(body))).toBeGreaterThan(1);
  two((b, at, d, e) => sums(b, by(b, at("x", d, e), at("y", e, d)), e, d));
  two((b, at, d, e) => sums(b, by(b, at("x", d, e), at("y", e)), e, d));
  two((b, at, d, e) => sums(b, by(b, at("x", d, e), cast(b, pos(b, e), "f32")), e, d));
  two((b, at, d, e) => sums(b, by(b, at("x", d, e), reduce(b, "max", e, at("x", d, e))), e, d));
  two((b, at, d, e) => reduce(b, "max", d, reduce(b, "sum", e, at("x", d, e))));
  two((b, at, d, e) => {
    const within = reduce(b, "sum", e, at("x", d, e));
    return rawMap(b, "add", [reduce(b, "sum", d, within), reduce(b, "max", d, within)], "f32");
  });
});
test("what is stored along them too is not", () => {
  const kernel = kernelOf((b, at, d, e) => rawMap(b, "sub", [at("x", d, e), sums(b, at("x", d, e), e, d)], "f32"));
  expect(expectKept(kernel)).toBe(2);
});
test("what is read by another index as well is read where it is now", () => {
  const body: Parameters<typeof kernelOf>[0] = (b, at, d, e) => {
    const one = at("x", d, e);
    const [i] = b.axes;
    const turned = [pos(b, i!), plus(b, times(b, pos(b, d), 0), 1), constant(b, 2, "i32")];
    return rawMap(b, "add", [sums(b, one, e, d), load(b, "f32", 0, turned)], "f32");
  };
  expect(expectKept(kernelOf(body))).toBe(1);
});
test("random kernels", () => {
  for (let seed = 0; seed < Number(process.env.TILE_RUNS ?? 60); seed++) {
    const { kernel, buffers, scalars } = randomKernel(seed, 4 + (seed % 9));
    expectKept(kernel, scalars, buffers);
  }
});
