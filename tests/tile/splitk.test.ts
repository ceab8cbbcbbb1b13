/** Long loops in parts: that kernels mean what they meant. Where it is done is in tests/programs/splitk.test.ts. */
import { describe, expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import { type NDArray, ndarray } from "../../compiler/core/ndarray.ts";
import { cast, kernelBuilder, load, newAxis, pos, rawMap, reduce, scan } from "../../compiler/tile/build.ts";
import { check } from "../../compiler/tile/check.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import type { DeviceProgram, Kernel } from "../../compiler/tile/ir.ts";
import { print } from "../../compiler/tile/print.ts";
import { splitLongLoops } from "../../compiler/tile/splitk.ts";
import { randomNormal } from "../../runtime/random.ts";
import { randomKernel } from "../lane/random.ts";

const elements = (shape: readonly number[]): number => shape.reduce((n, m) => n * m, 1);

/** A program that launches a kernel once, in parts where it has loops that can be. */
function inParts(kernel: Kernel, parts: number, maxBuffers = 64): DeviceProgram {
  const arrays = kernel.buffers.map(({ name, dtype, shape }, id) => ({ id, name, dtype, shape }));
  const ports = (reads: boolean): DeviceProgram["inputs"] =>
    arrays.flatMap(({ id, name: path, dtype, shape }) =>
      (kernel.buffers[id]!.access === "read") === reads
        ? [
            {
              port: { path, dtype, shape, spec: shape.map(() => ({ axes: [], layout: "contiguous" })), written: [] },
              array: id,
            },
          ]
        : [],
    );
  const whole: DeviceProgram = {
    name: kernel.name,
    mesh: { name: "one", axes: [{ name: "sp", size: 4 }] },
    arrays,
    kernels: [kernel],
    inputs: ports(true),
    outputs: ports(false),
    steps: [{ kind: "launch", kernel: 0, buffers: arrays.map((a) => a.id), updates: [] }],
  };
  const { program } = splitLongLoops(whole, { parts }, maxBuffers);
  expect(check(program), print(program)).toEqual([]);
  return program;
}
/** The arrays that a program of launches writes over those given. */
function run(p: DeviceProgram, buffers: readonly NDArray[], scalars: readonly number[]): readonly NDArray[] {
  const arrays = [...buffers];
  for (const s of p.steps) {
    if (s.kind !== "launch") throw new Error(`a ${s.kind}`);
    const kernel = p.kernels[s.kernel]!;
    const given = kernel.buffers.map(({ dtype, shape }, k) =>
      ndarray(dtype, shape, arrays[s.buffers[k]!]?.data ?? new Float64Array(elements(shape)).fill(Number.NaN)),
    );
    // The first parameter of a random kernel is the only one.
    const outs = [...evalKernel(kernel, given, scalars)];
    kernel.buffers.forEach((b, k) => {
      if (b.access !== "read") arrays[s.buffers[k]!] = outs.shift()!;
    });
  }
  return p.outputs.map((o) => arrays[o.array]!);
}

const runs = Number(process.env.TILE_RUNS ?? 100);
test("random kernels", () => {
  let split = 0;
  for (let seed = 0; seed < runs; seed++) {
    const { kernel, buffers, scalars } = randomKernel(seed, 4 + (seed % 9));
    const program = inParts(kernel, 2 + (seed % 3));
    if (program.kernels.length === 1) continue;
    split++;
    const expected = evalKernel(kernel, buffers, scalars).map((x) => [...x.data].map((n) => n + 0));
    const got = run(program, buffers, scalars).map((x) => [...x.data].map((n) => n + 0));
    expect(got, `seed ${seed}\n${print(program)}`).toEqual(expected);
  }
  expect(split).toBeGreaterThan(runs / 16);
});

/** A kernel of queries `q` over keys `k` and values `v`, by blocks of 4; `body` is the loop. */
function kernelOf(body: string, dims: Readonly<Record<string, number>>): Kernel {
  const text = `mesh one(x: 1)
export shard_map f<S, T, D>(
  q: f32[S, D] @ P(_, _), k: f32[T, D] @ P(_, _), v: f32[T, D] @ P(_, _), m: f32[S] @ P(_), l: f32[S] @ P(_), at: i32 @ P(),
) -> f32[S, D] @ P(_, _) on one {
  tiles i in S by 4 into [i, :] {
    let q = q[i, :]
    ${body}
  }
}`;
  const read = (path: string): string | undefined => (path === "k.gyre" ? text : readSource(path));
  const { compiled, diagnostics } = compile("k.gyre", read, { dims });
  if (!compiled) throw new Error(diagnostics.map((d) => d.message).join("\n"));
  return compiled.tile.kernels.at(-1)!;
}
const softmax = (begin: string): string => `let (m, l, o) = fold j in T by 4 with (m, l, o) = ${begin} {
      let s = where(pos(i)[:, None] + at >= pos(j)[None, :], q @ k[j, :].T, -inf)
      let top = max(m, max(s, dim = 1))
      let keep = where(m == top, 1, exp(m - top))
      let p = exp(s - where(top == -inf, 0, top)[:, None])
      (top, keep * l + sum(p, dim = 1), keep[:, None] * o + p @ v[j, :])
    }
    o / where(l == 0, 1, l)[:, None]`;

describe("folds whose merge is proven", () => {
  const loops = {
    "sums relative to a running maximum, masked": softmax("(full(-inf), zeros, zeros)"),
    "the same, going on from what was seen": softmax("(m[i], l[i], 0.5 * q)"),
    "a sum of products": "fold j in T by 4 with o = q { o + q @ k[j, :].T @ v[j, :] }",
    "a running minimum": "fold j in T by 4 with o = q { min(o, min(v[j, :], dim = 0)[None, :]) }",
  };
  test.each(
    Object.entries(loops).flatMap(([name, body]) =>
      [
        [24, 2],
        [24, 3],
        [22, 3],
        [17, 4],
      ].map(([keys, parts]) => [name, keys!, parts!, body] as const),
    ),
  )("%s over %i keys in %i parts", (_, T, parts, body) => {
    expectKept(kernelOf(body, { S: 6, T, D: 4 }), parts, [0, 9, T]);
  });
  function expectKept(kernel: Kernel, parts: number, places: readonly number[]): void {
    const program = inParts(kernel, parts);
    expect(program.kernels).toHaveLength(2);
    for (const at of places) {
      const buffers = kernel.buffers.map(({ name, dtype, shape }) =>
        ndarray(dtype, shape, dtype === "i32" ? [at] : Float64Array.from(randomNormal(at, name, elements(shape)))),
      );
      const [expected] = evalKernel(kernel, buffers, []);
      const [got] = run(program, buffers, []);
      for (const [n, x] of expected!.data.entries()) expect(got!.data[n]).toBeCloseTo(x, 9);
    }
  }
  const steps = `let (m, l, o) = fold r in 4 with (m, l, o) = (m[i], l[i], 0.5 * q) {
      fold j in T by 4 with (m, l, o) = (m, l, o) {
        let s = where(pos(i)[:, None] + at >= pos(j)[None, :], cast(1 + r, f32) * (q @ k[j, :].T), -inf)
        let top = max(m, max(s, dim = 1))
        let keep = where(m == top, 1, exp(m - top))
        let p = exp(s - where(top == -inf, 0, top)[:, None])
        (top, keep * l + sum(p, dim = 1), keep[:, None] * o + p @ v[j, :])
      }
    }
    o / where(l == 0, 1, l)[:, None]`;
  test.each([4, 2])("steps that go on by such a fold, in %i parts", (parts) => {
    expectKept(kernelOf(steps, { S: 6, T: 16, D: 4 }), parts, [0, 9]);
    const other = steps.replace("0.5 * q) {", "0.5 * q) {\n let o = 0.9 * o");
    expect(inParts(kernelOf(other, { S: 6, T: 16, D: 4 }), parts).kernels).toHaveLength(1);
  });
  test("is not done where it is not", () => {
    const kernel = kernelOf("fold j in T by 4 with o = q { 0.5 * o + q @ k[j, :].T @ v[j, :] }", { S: 6, T: 24, D: 4 });
    expect(inParts(kernel, 2).kernels).toHaveLength(1);
  });
  test("is not done where a device would bind too many arrays", () => {
    const kernel = kernelOf(loops["sums relative to a running maximum, masked"], { S: 6, T: 24, D: 4 });
    expect(inParts(kernel, 2, 6).kernels).toHaveLength(1);
  });
});

test("running sums go on from the parts before them, beside what is done with each element and with all of them", () => {
  const scans = (rows: number | undefined, length: number): Kernel => {
    const b = kernelBuilder();
    const i = newAxis(b, { name: "i", role: "grid", extent: 3, block: rows ?? "auto" });
    const d = newAxis(b, { name: "d", role: "inner", extent: length, block: length });
    const here = [pos(b, i), pos(b, d)];
    const x = load(b, "f32", 0, here);
    const square = rawMap(b, "mul", [x, x], "f32");
    const all = reduce(b, "sum", d, square);
    const numbered = rawMap(b, "add", [scan(b, d, square), rawMap(b, "mul", [x, all], "f32")], "f32");
    const value = rawMap(b, "add", [numbered, scan(b, d, cast(b, pos(b, d), "f32"))], "f32");
    const shape = [3, length];
    return {
      name: "k",
      buffers: [
        { name: "x", dtype: "f32", shape, access: "read" },
        { name: "y", dtype: "f32", shape, access: "write" },
      ],
      scalars: [],
      grid: [i],
      body: b.scopes[0]!.stmts,
      stores: [{ buffer: 1, index: here, value }],
    };
  };
  for (const [rows, length, parts] of [
    [undefined, 24, 4],
    [2, 30, 3],
    [1, 35, 5],
  ] as const) {
    const kernel = scans(rows, length);
    const program = inParts(kernel, parts);
    // Parts of the sum, parts of the running sums, and what comes of both; once more where those are long.
    expect(program.kernels.length).toBeGreaterThan(2);
    expect(program.kernels.at(-1)!.grid.map((a) => a.extent)).toContain(parts);
    const x = ndarray(
      "f32",
      [3, length],
      Float64Array.from({ length: 3 * length }, (_, n) => ((n * 7) % 11) - 5),
    );
    const [expected] = evalKernel(kernel, [x, x], []);
    expect([...run(program, [x, x], [])[0]!.data]).toEqual([...expected!.data]);
  }
});
