/** Long loops in parts: programs give what the reference gives, and GPUs are filled where there were few workgroups. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import type { CompileOptions } from "../../compiler/options.ts";
import { type Choices, onCpu, onCuda, onWebGPU, open, reference } from "../support/backends.ts";
import { relativeError } from "../support/compare.ts";

/** The gradients of a layer, one of them of a bias; and of rows one that is as long as a vocabulary. */
const source = `import { decode_attention } from "gyre/attention"
mesh one(sp: 1)

export shard_map weights<B, T, M, N>(w: f32[M, N] @ P(_, _), bias: f32[N] @ P(_), x: bf16[B, T, M] @ P(_, _, _), y: bf16[B, T, N] @ P(_, _, _))
-> (f32[M, N] @ P(_, _), f32[N] @ P(_)) on one {
  let loss = |p| {
    let (w, bias) = p
    let e = cast(x @ cast(w, bf16), f32) + bias[None, None, :] - cast(y, f32)
    sum(e * e)
  }
  grad(loss)((w, bias))
}

export shard_map entropy<B, V>(logits: f32[B, V] @ P(_, _), t: f32[B, V] @ P(_, _)) -> f32[B] @ P(_) on one {
  let s = logits - max(logits, dim = 1)[:, None]
  log(sum(exp(s), dim = 1)) - sum(t * s, dim = 1)
}

export shard_map running<B, V>(x: f32[B, V] @ P(_, _)) -> f32[B, V] @ P(_, _) on one {
  cumsum(x * x, dim = 1) / sum(x * x, dim = 1)[:, None]
}

export shard_map decode<B, K, G, H, D>(q: bf16[B, 1, H, D] @ P(_, _, _, _), k: bf16[B, K, G, D] @ P(_, sp, _, _), v: bf16[B, K, G, D] @ P(_, sp, _, _), at: i32 @ P())
-> bf16[B, 1, H, D] @ P(_, _, _, _) on one {
  decode_attention(q, k, v, at, axis = sp)
}

export shard_map product<T, M, N>(x: bf16[T, M] @ P(_, _), dy: bf16[T, N] @ P(_, _)) -> f32[M, N] @ P(_, _) on one { x.T @ dy }
`;
const here = "splitk.gyre";

describe("in parts, whatever that costs", () => {
  const ring = new URL("../../examples/05-ring-attention.gyre", import.meta.url).pathname;
  const trials: readonly (readonly [string, string, Choices, number, number])[] = [
    ["a ring whose steps go on from each other", ring, { dims: { B: 1, S: 52, H: 2, D: 8 }, mesh: { sp: 2 } }, 2, 2e-6],
    [
      "a cache that is filled in part",
      here,
      { entry: "decode", dims: { B: 1, K: 396, G: 2, H: 2, D: 8 }, mesh: { sp: 2 } },
      3,
      1e-2,
    ],
    [
      "sums of sums, and what is done with them",
      here,
      { entry: "weights", dims: { B: 3, T: 20, M: 5, N: 6 } },
      4,
      1e-2,
    ],
    ["sums that wait for each other, and do not divide", here, { entry: "entropy", dims: { B: 2, V: 203 } }, 5, 2e-6],
    ["running sums, and the sums of all", here, { entry: "running", dims: { B: 3, V: 240 } }, 5, 2e-6],
  ];
  test.each(trials)("%s", async (_, path, choices, parts, bound) => {
    const program = await open(path, path === here ? source : readFileSync(path, "utf8"), choices);
    const inputs = program.inputs({ at: () => 150 });
    const expected = await reference.run(program, inputs);
    const on = [
      onCpu({ parts }),
      onWebGPU({ parts }),
      ...(["decode", "running"].includes(choices.entry ?? "") ? [onCuda({ parts })] : []),
    ];
    for (const device of on.filter((d) => d.ready)) {
      const got = await device.run(program, inputs);
      for (const [name, { data }] of expected)
        expect(relativeError(got.get(name)!.data, data), `${name} on ${device.name}`).toBeLessThan(bound);
    }
  });
});

type Sizes = Readonly<Record<string, number>>;
function kernelsFor(entry: string, dims: Sizes, options: CompileOptions) {
  const read = (path: string): string | undefined => (path === here ? source : readSource(path));
  const { compiled, diagnostics } = compile(here, read, { entry, dims, ...options });
  if (!compiled) throw new Error(diagnostics.map((d) => d.message).join("\n"));
  const { kernels, splits = [], memory } = compiled.schedule;
  const groups = (name: string): number => kernels.find((k) => k.name === name)!.groups.reduce((n, m) => n * m, 1);
  return {
    groups,
    names: kernels.map((k) => k.name),
    lanes: compiled.lanes,
    kernels,
    splits: splits.map((s) => [s.kernel, s.parts]),
    bytes: memory.bytes,
  };
}
const cache = { B: 1, K: 65536, G: 8, H: 8, D: 128 };
const long = { T: 65536, M: 256, N: 256 };

describe("where there are few workgroups", () => {
  test("one query of eight heads over 65536 keys takes 256, not 8", () => {
    const { groups, splits, kernels } = kernelsFor("decode", cache, { target: "cuda" });
    expect(splits).toEqual([["out_lse", 32]]);
    expect([groups("out_lse_parts"), groups("out_lse")]).toEqual([256, 8]);
    // What it comes to: two numbers and a row of 128 for each head and part, of a cache of 256 MiB.
    const parts = kernels[kernels.findIndex((k) => k.name === "out_lse_parts")]!.bindings.filter(
      (b) => b.access === "write",
    );
    expect(parts.reduce((n, b) => n + b.shape.reduce((m, d) => m * d, 4), 0)).toBe(8 * 32 * (2 + 128) * 4);
  });
  test.each(["cuda", "hopper", "gpu"] as const)("x.T @ dy of 65536 rows, for %s", (target) => {
    const { groups, splits, names } = kernelsFor("product", long, { target });
    expect(splits).toHaveLength(1);
    expect(names).toEqual(["product_parts", "product"]);
    expect(groups("product_parts")).toBeGreaterThanOrEqual(64);
    expect(kernelsFor("product", long, { target, without: ["split-k"] }).groups("product")).toBeLessThanOrEqual(64);
  });
  test("the gradient of a weight over sequences and their tokens is one product, on tensor cores", () => {
    const { splits, lanes } = kernelsFor("weights", { B: 8, T: 8192, M: 256, N: 256 }, { target: "cuda" });
    expect(splits.map(([kernel]) => kernel)).toContain("product");
    const parts = lanes.find((l) => l.name === "product_parts")!;
    expect(parts.groups).toBeGreaterThanOrEqual(128);
    expect(parts.notes.join("\n")).toContain("over d_e: tensor cores, bf16");
  });
  test("a running sum of one row of a million takes 256 teams, not one thread", () => {
    const { groups } = kernelsFor("running", { B: 1, V: 1 << 20 }, { target: "cuda" });
    expect([groups("running_sum_parts"), groups("running_sum")]).toEqual([256, 256]);
    const whole = kernelsFor("running", { B: 1, V: 1 << 20 }, { target: "cuda", without: ["split-k"] });
    expect(whole.groups("running_sum")).toBe(1);
  });
  test("gradients of keys that several heads share are summed over those heads in parts", () => {
    const dims = { B: 1, S: 1024, H: 32, G: 4, D: 128 };
    const options = { entry: "gradients_causal", dims, target: "cuda" } as const;
    const { compiled } = compile("bench/cuda/attention.gyre", readSource, options);
    expect(compiled!.schedule.splits!.map((s) => [s.kernel, s.parts])).toEqual([["dk_dv", 4]]);
    const parts = compiled!.lanes.find((l) => l.name === "dk_dv_parts")!;
    expect(parts.groups).toBe(256);
    expect(parts.notes.filter((n) => n.includes("tensor cores"))).toHaveLength(4);
  });
  test("not where there are many, where loops are short, or on the cores of a CPU", () => {
    expect(kernelsFor("decode", { ...cache, B: 40 }, { target: "cuda" }).splits).toEqual([]);
    expect(kernelsFor("decode", { ...cache, K: 256 }, { target: "cuda" }).splits).toEqual([]);
    expect(kernelsFor("product", { ...long, T: 256 }, { target: "cuda" }).splits).toEqual([]);
    expect(kernelsFor("product", { T: 256, M: 4096, N: 4096 }, { target: "cuda" }).splits).toEqual([]);
    for (const target of ["cpu", "software"] as const) {
      expect(kernelsFor("decode", cache, { target }).splits).toEqual([]);
      expect(kernelsFor("product", long, { target }).splits).toEqual([]);
    }
  });
  test("not where a limit of memory has no room for it", () => {
    const free = kernelsFor("product", long, { target: "cuda" });
    const bound = kernelsFor("product", long, { target: "cuda", memory: free.bytes - 1 });
    expect(bound.splits).toEqual([]);
    expect(bound.bytes).toBeLessThan(free.bytes);
  });
});
