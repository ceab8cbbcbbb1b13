/**
 * Hopper's warpgroups on the stand-in: what its instructions mean and what it catches, and kernels that are made of them
 * under every schedule of threads, copies and products, with shared memory and accumulators that are NaN until somebody
 * has waited for them.
 */
import { readFileSync } from "node:fs";
import { describe, expect, onTestFinished, test } from "vitest";
import { compile } from "../../compiler/compile.ts";
import { tabulate } from "../../compiler/core/ndarray.ts";
import { check } from "../../compiler/lane/check.ts";
import type { LaneProgram, LaneStmt } from "../../compiler/lane/ir.ts";
import { hopperTarget } from "../../compiler/lane/team/target.ts";
import { lowerTeam } from "../../compiler/lane/team.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import type { Kernel } from "../../compiler/tile/ir.ts";
import type { KernelSource } from "../../runtime/device.ts";
import { targetFor } from "../../runtime/target.ts";
import { random } from "../core/programs.ts";
import { launch } from "../lane/device.ts";
import { devices, kernel, launched } from "./device.ts";
import { standIn } from "./stand-in.ts";

const missing = "why" in standIn;
const schedules = [0, 1, 2, 3];
const small = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => ((i * 7) % 13) - 6);

describe.skipIf(missing)("instructions", () => {
  // 64 x 16 times 16 x 32, of bf16; each factor as it lies and with k along its rows.
  test.each([32, 64, 128])("wgmma of factors with rows of %i bytes", async (span) => {
    // [rows][columns] in boxes of `span` bytes, pieces exchanged as SharedMatrix says.
    const wide = span / 2;
    const put = (side: number, turned: boolean, count: number, from: number): string => `
      for (int i = threadIdx.x; i < ${count} * 16; i += 128) {
        const int side = i / 16, k = i % 16;
        const int row = ${turned ? "k" : "side"}, column = ${turned ? "side" : "k"}, rows = ${turned ? 16 : count};
        int at = column / ${wide} * rows * ${span} + row * ${span} + column % ${wide} * 2;
        at ^= ((at >> 7) & ${span / 16 - 1}) << 4;
        *reinterpret_cast<unsigned short*>(shared_memory + ${from} + at) = f32_to_bf16(x[${side} + i]);
      }`;
    const matrix = (turned: boolean, from: number): string =>
      `matrix<${span}, ${8 * span}, ${turned ? 16 * span : 16}>(shared_memory + ${from})`;
    const ways = [false, true].flatMap((a) => [false, true].map((b) => [a, b] as const));
    const body = ways.map(
      ([a, b], way) => `__syncthreads();${put(0, a, 64, 0)}${put(1024, b, 32, 8192)}
      __syncthreads();
      for (int i = 0; i < 16; i++) d[i] = 1.0f;
      wgmma_fence();
      wgmma_bf16<32, ${Number(a)}, ${Number(b)}>(d, ${matrix(a, 0)}, ${matrix(b, 8192)}, true);
      wgmma_commit();
      wgmma_wait<0>();
      for (int i = 0; i < 16; i++) y[${2048 * way} + (row + 8 * (i / 2 % 2)) * 32 + column + i % 2 + 8 * (i / 4)] = d[i];`,
    );
    const own =
      "float d[16]; const int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4, column = threadIdx.x % 4 * 2;";
    const x = small(1024 + 512);
    for (const schedule of [0, 1]) {
      const [device] = await devices(1, { schedule });
      const source = kernel(own + body.join("\n"), { threads: 128, sharedBytes: 16384 });
      const y = await launched(device!, source, x, 4 * 2048);
      for (let at = 0; at < y.length; at++) {
        const [m, n] = [Math.floor((at % 2048) / 32), at % 32];
        let sum = 1;
        for (let k = 0; k < 16; k++) sum += x[16 * m + k]! * x[1024 + 16 * n + k]!;
        if (y[at] !== sum) expect(y[at], `${m}, ${n} of ${ways[Math.floor(at / 2048)]}`).toBe(sum);
      }
    }
  });

  // Boxes of x[10][16] in f32: 8 rows of 8, the last two of which are outside.
  const fetched = (wait: string): KernelSource => ({
    ...kernel("", {
      threads: 128,
      sharedBytes: 512,
      tensors: [{ binding: 0, dtype: "f32", shape: [10, 16], box: [8, 8], span: 32 }],
    }),
    text: `extern "C" __global__ void k(const float* x, float* y, const __grid_constant__ tensor_map map) {
      mbarrier* full = reinterpret_cast<mbarrier*>(shared_memory + 256);
      if (threadIdx.x == 0) mbarrier_open(full, 1);
      mbarriers_opened();
      __syncthreads();
      if (threadIdx.x == 0) {
        mbarrier_expect(full, 256);
        fetch(shared_memory, map, full, 8, 4);
      }
      ${wait}
      if (threadIdx.x < 64) y[threadIdx.x] = reinterpret_cast<float*>(shared_memory)[threadIdx.x];
      mbarrier_wait(full, 0);
    }\n`,
  });
  test("a box of an array: pieces exchanged, zeros outside", async () => {
    const x = small(160);
    for (const schedule of schedules) {
      const [device] = await devices(1, { schedule });
      const y = await launched(device!, fetched("mbarrier_wait(full, 0);"), x, 64);
      for (let r = 0; r < 8; r++)
        for (let c = 0; c < 8; c++) {
          const at = 8 * r + (c ^ (4 * (Math.floor(r / 4) % 2)));
          expect(y[at], `${r}, ${c}`).toBe(r + 4 < 10 ? x[16 * (r + 4) + 8 + c] : 0);
        }
    }
  });
  test("a copy that nobody waited for is NaN where it is late", async () => {
    const [device] = await devices(1, { schedule: 0 });
    expect((await launched(device!, fetched(""), small(160), 64)).some(Number.isNaN)).toBe(true);
  });

  const product = (before: string, after: string): KernelSource =>
    kernel(
      `for (int i = threadIdx.x; i < 1024; i += 128) reinterpret_cast<unsigned*>(shared_memory)[i] = 0x3f803f80u;
      __syncthreads();
      float d[8];
      ${before}
      wgmma_bf16<16, 0, 0>(d, matrix<32, 256, 16>(shared_memory), matrix<32, 256, 16>(shared_memory), false);
      wgmma_commit();
      ${after}
      y[threadIdx.x] = d[0];
      wgmma_wait<0>();`,
      { threads: 128, sharedBytes: 4096 },
    );
  test("accumulators are NaN until they are waited for", async () => {
    for (const schedule of schedules) {
      const [device] = await devices(1, { schedule });
      const run = (s: KernelSource) => launched(device!, s, small(1), 128);
      expect([...(await run(product("wgmma_fence();", "wgmma_wait<0>();")))].every((v) => v === 16)).toBe(true);
      expect([...(await run(product("wgmma_fence();", "wgmma_wait<1>();")))].every(Number.isNaN)).toBe(true);
    }
  });
  const wrong: readonly (readonly [string, KernelSource])[] = [
    ["a product without a fence before it", product("", "")],
    [
      "a wait for what nobody starts",
      kernel(
        "mbarrier* b = (mbarrier*)shared_memory; if (threadIdx.x == 0) mbarrier_open(b, 1); __syncthreads(); mbarrier_wait(b, 0);",
        { sharedBytes: 128 },
      ),
    ],
    ["a barrier that nobody opened", kernel("mbarrier_wait((mbarrier*)shared_memory, 0);", { sharedBytes: 128 })],
    ["more registers than there are", kernel("registers_more<256>();", { threads: 512 })],
    ["a turn that nobody passes on", kernel("meet(2, 128);")],
  ];
  test.each(wrong)("%s is told", async (_, source) => {
    const [device] = await devices(1, { quiet: true });
    await expect(launched(device!, source, small(1), 128)).rejects.toMatchObject({ kind: "device-lost" });
  });
});

// ---- kernels ---------------------------------------------------------------------------------------------------------

const path = new URL("../lane/team.gyre", import.meta.url).pathname;
const read = (p: string): string =>
  readFileSync(p.startsWith("gyre/") ? new URL(`../../stdlib/${p.slice(5)}.gyre`, import.meta.url) : p, "utf8");
type Dims = Readonly<Record<string, number>>;

function kernelsOf(entry: string, dims: Dims): readonly Kernel[] {
  return compile(path, read, { entry, dims, target: "hopper" }).compiled!.tile.kernels;
}
/** With tiles that are as large as they would be in large arrays. */
function forWarpgroups(k: Kernel): LaneProgram | undefined {
  const program = lowerTeam(k, { ...hopperTarget, groups: 1, blocks: [64, 32] });
  if ("reason" in program || !program.body.some((s) => s.kind === "roles")) return undefined;
  expect(check(program)).toEqual([]);
  return program;
}
/** The largest error of each kernel for warpgroups against what it means, under any schedule, as a part of its result's largest number. */
async function errors(entry: string, dims: Dims): Promise<Readonly<Record<string, number>>> {
  const found: Record<string, number> = {};
  for (const k of kernelsOf(entry, dims)) {
    const program = forWarpgroups(k);
    if (!program) continue;
    const next = random(11);
    // Eighths: exact in 16 bits.
    const one = (dtype: string): number =>
      dtype === "i32" ? Math.floor((next() + 0.5) * 3) : Math.round(next() * 16) / 8;
    const buffers = k.buffers.map((b) => tabulate(b.dtype, b.shape, () => (b.access === "read" ? one(b.dtype) : 0)));
    const scalars = k.scalars.map(() => 0);
    const expected = evalKernel(k, buffers, scalars);
    found[k.name] = 0;
    for (const schedule of schedules) {
      const [device] = await devices(1, { schedule });
      const after = await launch(device!, program, buffers, scalars);
      for (const [r, { data }] of after.filter((_, b) => k.buffers[b]!.access !== "read").entries()) {
        const largest = expected[r]!.data.reduce((n, e) => Math.max(n, Math.abs(e)), 0);
        data.forEach((v, at) => {
          const error = Math.abs(v - expected[r]!.data[at]!) / largest;
          if (!(error <= found[k.name]!)) found[k.name] = error;
        });
      }
    }
  }
  return found;
}

const kernels: readonly (readonly [entry: string, dims: Dims, kernels: readonly string[]])[] = [
  ["causal_attention", { B: 1, S: 208, H: 2, G: 1, D: 64 }, ["lse", "dq", "dk_dv"]],
  ["transposed", { M: 64, N: 72, K: 80 }, ["product"]],
  ["packed_attention", { B: 1, S: 144, H: 2, D: 24 }, ["tiles_b_h_i"]],
  ["sigmoid_weights", { B: 1, S: 64, H: 1, D: 16 }, ["o"]],
  ["sigmoid_weights", { B: 1, S: 160, H: 1, D: 128 }, ["o"]],
  ["retention", { B: 1, S: 144, H: 1, D: 64 }, ["o"]],
  ["product", { M: 160, N: 256, K: 320 }, ["product"]],
  ["heads", { B: 1, S: 128, H: 3, D: 64, E: 128 }, ["product"]],
  ["feedforward", { B: 1, S: 128, E: 192, F: 128 }, ["product_1", "product"]],
];
describe.skipIf(missing)("kernels", () => {
  test.each(kernels)("%s %o: %j", async (entry, dims, names) => {
    const found = await errors(entry, dims);
    expect(Object.keys(found)).toEqual(names);
    for (const [name, e] of Object.entries(found)) expect(e, name).toBeLessThan(1e-2);
  });
});

test.skipIf(missing)("a GPU of sm_90a gets kernels for warpgroups, unless it is not to; others do not", async () => {
  const target = async (arch: number) => targetFor((await devices(1, { arch }))[0]!.info).target;
  expect([await target(90), await target(80), await target(100)]).toEqual(["hopper", "cuda", "cuda"]);
  process.env.GYRE_CUDA_WARPGROUPS = "0";
  onTestFinished(() => {
    delete process.env.GYRE_CUDA_WARPGROUPS;
  });
  expect(await target(90)).toBe("cuda");
});

/** How often each statement of warpgroups stands in a program. */
function counted(p: LaneProgram): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  const walk = (body: readonly LaneStmt[]): void => {
    for (const s of body) {
      if (["fetch", "wgmma", "matrices", "mma", "copy", "barrier", "turn"].includes(s.kind))
        counts[s.kind] = (counts[s.kind] ?? 0) + 1;
      if (s.kind === "for" || s.kind === "while") walk(s.body);
      if (s.kind === "if") [s.then, s.else].forEach(walk);
      if (s.kind === "roles") [s.fetching, s.computing].forEach(walk);
    }
  };
  walk(p.body);
  return counts;
}
test("two warpgroups take turns where products wait for what is computed; one that only adds up does not", () => {
  const [attention] = kernelsOf("causal_attention", { B: 1, S: 256, H: 1, G: 1, D: 128 });
  const p = forWarpgroups(attention!)!;
  // Two boxes for each of q, k and v; the scores, and their product with v in the loop and after it.
  expect(counted(p)).toEqual({ fetch: 6, wgmma: 3, turn: 3 });
  expect([p.threads, p.resident]).toEqual([384, 1]);
  const [product] = kernelsOf("product", { M: 256, N: 256, K: 256 });
  expect(counted(forWarpgroups(product!)!)).toEqual({ fetch: 5, wgmma: 1 });
});
test("a kernel for which warpgroups have no rule is one for mma.sync, and says why", () => {
  const [k] = kernelsOf("transposed", { M: 64, N: 18, K: 21 });
  const program = lowerTeam(k!, { ...hopperTarget, groups: 1 }) as LaneProgram;
  expect(counted(program)).toMatchObject({ mma: 2 });
  expect(program.notes.at(-1)).toMatch(/^not for warpgroups: /);
});
