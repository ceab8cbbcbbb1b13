/** The bench's own judgement: what it takes for wrong, who is too slow to be tried, what its flags and tables say. */
import { describe, expect, test } from "vitest";
import { contenders } from "../../bench/contenders/table.ts";
import { flagsOf } from "../../bench/flags.ts";
import { inputsOf } from "../../bench/inputs.ts";
import { modelOf } from "../../bench/onnx/models.ts";
import type { Outcome } from "../../bench/race.ts";
import { page } from "../../bench/report.ts";
import { tooSlow } from "../../bench/slow.ts";
import { relativeError } from "../../bench/workloads/float64.ts";
import { workloads } from "../../bench/workloads/table.ts";
import { pairs, WINDOW } from "../../bench/workloads/workload.ts";

const workload = (name: string) => workloads.find((w) => w.name === name)!;
const contender = (name: string) => contenders.find((c) => c.name === name)!;
const measured = (ms: number): Outcome => ({ is: "measured", ms, samples: 9, error: 1e-7, preparedMs: 1 });

describe("workloads", () => {
  test("names are different, and so are contenders'", () => {
    for (const names of [workloads, contenders].map((all) => all.map(({ name }) => name)))
      expect(new Set(names).size).toBe(names.length);
  });

  test("pairs are counted as masks hide them", () => {
    const length = WINDOW + 37;
    const seen = (sees: (q: number, k: number) => boolean) =>
      Array.from({ length: length * length }, (_, i) => sees(Math.floor(i / length), i % length)).filter(Boolean)
        .length;
    expect(pairs("causal", length)).toBe(seen((q, k) => k <= q));
    expect(pairs("window", length)).toBe(seen((q, k) => k <= q && q - k < WINDOW));
  });

  test("the oracle of a product", () => {
    const { samples, expected } = workload("matmul-512");
    const { a, b } = inputsOf(workload("matmul-512"));
    const [at, value] = [samples[0]!.at[700]!, expected({ a: a!, b: b! })[0]![700]!];
    let sum = 0;
    for (let k = 0; k < 512; k++) sum += a![Math.floor(at / 512) * 512 + k]! * b![k * 512 + (at % 512)]!;
    expect(value).toBeCloseTo(sum, 10);
  });

  test("weights of a query that sees all keys add up, whatever the values", () => {
    const { expected, inputs } = workload("attention-full-s512");
    const arrays = inputsOf(workload("attention-full-s512"));
    expect(inputs.map(({ name }) => name)).toEqual(["q", "k", "v"]);
    const ones = new Float32Array(arrays.v!.length).fill(1);
    for (const x of expected({ ...arrays, v: ones })[0]!) expect(x).toBeCloseTo(1, 12);
  });
});

test("an error that is not a number is no small error", () => {
  expect(relativeError([1, 2], [1, 2])).toBe(0);
  expect(relativeError([1, Number.NaN], [1, 2])).toBe(Number.POSITIVE_INFINITY);
  expect(relativeError([1], [1, 2])).toBe(Number.POSITIVE_INFINITY);
});

test("models name what they take and give", () => {
  const text = (name: string, formulation: "plain" | "fused") =>
    new TextDecoder("latin1").decode(modelOf(workload(name), formulation)!.bytes);
  expect(text("attention-causal-s512", "fused")).toContain("GroupQueryAttention");
  expect(text("attention-full-s512", "fused")).toContain("MultiHeadAttention");
  expect(text("attention-full-s512", "plain")).toContain("Softmax");
  expect(modelOf(workload("matmul-512"), "fused")).toBeUndefined();
});

describe("flags", () => {
  const names = { only: ["attention", "matmul"], contender: ["gyre-wgsl"] };

  test("take any number of names, or how they begin", () => {
    expect(flagsOf(["--only", "att", "matmul", "--quick", "--contender", "gyre"], names)).toMatchObject({
      only: ["att", "matmul"],
      contender: ["gyre"],
      quick: true,
      json: false,
      clock: "wall",
    });
  });

  test("say what is wrong with them", () => {
    expect(flagsOf(["--only", "conv"], names)).toContain("nothing is called conv");
    expect(flagsOf(["--fast"], names)).toContain("--fast");
  });
});

test("who would take too long is not tried", () => {
  const results = new Map([["attention-full-s1024", new Map([["tensorflow-webgpu", measured(9000)]])]]);
  const after = (name: string) => tooSlow(contender("tensorflow-webgpu"), workload(name), results, 15_000);
  expect(after("attention-full-s512")).toBeUndefined();
  expect(after("attention-full-s2048")).toBe("not tried: about 36 s");
  expect(after("matmul-1024")).toBeUndefined();
});

test("a wrong result has no time, and ratios are Gyre's", () => {
  const outcomes = new Map<string, Outcome>([
    ["gyre-wgsl", measured(100)],
    ["jaxjs-webgpu", measured(600)],
    ["onnx-web-webgpu-fused", { is: "wrong", error: 0.83 }],
  ]);
  const text = page(new Map([["attention-full-s1024", outcomes]]), [], undefined, "wall");
  expect(text).toContain("| jax-js | 600 ms (3.6) 6.00 × | 1.0e-7 |");
  expect(text).toContain("| onnxruntime-web, fused attention | **wrong**: 83 % |");
  expect(text).toMatch(/fastest right peer's time \/ Gyre's \| 6\.00 \| ≥ 5 \| yes/);
});
