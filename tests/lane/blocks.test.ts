/**
 * What GPUs behind WebGPU like of a team's kernel, by count: few reads of workgroup memory for each multiply-add, no bank
 * asked twice, groups of four, registers that every GPU has, and values exchanged in any subgroups.
 */
import { expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile, type Variants } from "../../compiler/compile.ts";
import { tabulate } from "../../compiler/core/ndarray.ts";
import { emitWgsl } from "../../compiler/emit/wgsl.ts";
import type { LaneProgram } from "../../compiler/lane/ir.ts";
import type { MappingChoice } from "../../compiler/lane/map.ts";
import { estimate } from "../../compiler/lane/team/cost.ts";
import { plansFor } from "../../compiler/lane/team/plan.ts";
import { splitLongSums } from "../../compiler/lane/team/split.ts";
import { blockTarget, type TeamTarget } from "../../compiler/lane/team/target.ts";
import { lowerTeam, teamsFor } from "../../compiler/lane/team.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import type { Kernel } from "../../compiler/tile/ir.ts";
import { random } from "../core/programs.ts";
import { interpret } from "./interpret.ts";
import { dice } from "./random.ts";

const source = `import { attention, causal } from "gyre/attention"
mesh one(x: 1)
export shard_map product<M, N, K>(a: T[M, K] @ P(_, _), b: T[K, N] @ P(_, _)) -> f32[M, N] @ P(_, _) on one { cast(a @ b, f32) }
export shard_map attend<S, D>(q: T[1, S, 1, D] @ P(_, _, _, _), k: T[1, S, 1, D] @ P(_, _, _, _), v: T[1, S, 1, D] @ P(_, _, _, _)) -> T[1, S, 1, D] @ P(_, _, _, _) on one {
  attention(q, k, v, mask = causal())
}`;
function kernelOf(entry: string, dims: Readonly<Record<string, number>>, dtype = "f32"): Kernel {
  const read = (p: string) => (p === "k.gyre" ? source.replace(/\bT\[/g, `${dtype}[`) : readSource(p));
  const { compiled, diagnostics } = compile("k.gyre", read, { entry, dims });
  expect(diagnostics).toEqual([]);
  return compiled!.tile.kernels[0]!;
}
const team = (k: Kernel, target: TeamTarget): LaneProgram => lowerTeam(k, target) as LaneProgram;
const buffersOf = (k: Kernel) => {
  const next = random(3);
  return k.buffers.map((b) => tabulate(b.dtype, b.shape, () => Math.round(8 * next()) / 4));
};

test.each([
  ["product", { M: 1024, N: 1024, K: 1024 }, 0.1, 128],
  ["attend", { S: 1024, D: 64 }, 0.17, 144],
] as const)("%s %o: reads of four elements for each multiply-add, and registers", (entry, dims, mostReads, most) => {
  const target = { ...blockTarget, sharedBytes: 32 * 1024 };
  const k = kernelOf(entry, dims);
  const all = [...plansFor(splitLongSums(k, target.sums), target).all].map((p) => estimate(p));
  const best = all.reduce((a, b) => (b.cycles < a.cycles ? b : a));
  expect(best.reads / best.multiplyAdds).toBeLessThan(mostReads);
  expect(best.registers).toBeLessThanOrEqual(most);
  const { text, sharedBytes } = emitWgsl(team(k, target));
  expect(sharedBytes).toBeLessThanOrEqual(target.sharedBytes);
  // Arrays are read, and the result is written, four elements at a time.
  for (const line of text.matchAll(/var<storage, \w+> (\w+): (.*);/g))
    expect(line[2], line[1]).toBe("array<vec4<f32>>");
});

test.each([
  ["product", { M: 64, N: 64, K: 32 }],
  ["attend", { S: 64, D: 16 }],
] as const)("%s %o: no bank of workgroup memory is asked twice", (entry, dims) => {
  const k = kernelOf(entry, dims);
  let asked = { conflicts: -1, reads: 0 };
  interpret(team(k, { ...blockTarget, exchange: 4 }), buffersOf(k), [], undefined, undefined, (shared) => {
    asked = shared;
  });
  expect(asked.reads).toBeGreaterThan(1000);
  expect(asked.conflicts).toBe(0);
});

test("16-bit numbers are stored as f16 where the device has it, and as words where not; tiles of them take half the memory", () => {
  const k = kernelOf("product", { M: 64, N: 64, K: 64 }, "f16");
  const native = emitWgsl(team(k, blockTarget), { f16: true });
  const words = emitWgsl(team(k, blockTarget));
  expect(native.text).toContain("enable f16;");
  expect(native.text).toMatch(/var<storage, read> a: array<vec4<f16>>/);
  expect(native.text).toMatch(/var<workgroup> a_tile: array<vec4<f16>/);
  expect(native.text).not.toMatch(/unpack2x16float/);
  expect(words.text).not.toContain("f16;");
  expect(native.sharedBytes).toBe(words.sharedBytes);
  expect(2 * words.sharedBytes).toBe(
    emitWgsl(team(kernelOf("product", { M: 64, N: 64, K: 64 }), { ...blockTarget, sums: 32 })).sharedBytes,
  );
});

test("shapes of teams, and threads alone, are mappings that can be asked for", () => {
  const read = (p: string) => (p === "k.gyre" ? source.replace(/\bT\[/g, "f32[") : readSource(p));
  const options = { entry: "product", dims: { M: 64, N: 64, K: 64 }, target: "gpu" } as const;
  const asked = (choice: MappingChoice, key: string) =>
    compile("k.gyre", read, { ...options, mappings: { [key]: choice } }).compiled!;
  const { compiled } = compile("k.gyre", read, options);
  const [{ key, all }] = compiled!.variants() as [Variants];
  expect(all[0]!.make().kernel.text).toBe(compiled!.kernels[0]!.text);
  const [other, alone] = [all[3]!, all.find(({ choice }) => choice.team === null)!];
  for (const variant of [other, alone]) {
    const made = asked(JSON.parse(JSON.stringify(variant.choice)), key);
    expect(made.mapped).toEqual([0]);
    expect(made.kernels[0]!.text).toBe(variant.make().kernel.text);
  }
  expect(other.make().kernel.text).not.toBe(compiled!.kernels[0]!.text);
  expect(alone.make().kernel.text).not.toContain("workgroupBarrier");
  // One that no plan has is left aside.
  const wrong = { ...other.choice, team: { ...other.choice.team!, rowBlock: 48 } };
  expect(asked(wrong, key).kernels[0]!.text).toBe(compiled!.kernels[0]!.text);
});

/** The numbers that threads go by who sit in subgroups of `size`, which begin in any order. */
function numbered(order: readonly number[], size: number, seed: number): readonly number[] {
  const d = dice(seed);
  const count = Math.ceil(order.length / size);
  const began = Array.from({ length: count }, (_, g) => ({ g, key: d.below(1e9) })).sort((a, b) => a.key - b.key);
  const first = new Map(began.map(({ g }, n) => [g, n * Math.min(size, order.length)]));
  return order.map((_, t) => {
    const seat = order.indexOf(t);
    return first.get(Math.floor(seat / size))! + (seat % size);
  });
}
test.each([4, 8, 16, 32, 64, 128])("subgroups of %i, however threads sit in them, change nothing", (size) => {
  const k = kernelOf("attend", { S: 16, D: 16 });
  const program = [...teamsFor(k, { ...blockTarget, exchange: 4 })].at(-1)!.program;
  const { text } = emitWgsl(program);
  expect(text).toContain("quadSwapX(");
  expect(text).toContain("subgroupExclusiveAdd");
  const buffers = buffersOf(k);
  const expected = evalKernel(k, buffers, [])[0]!.data;
  const d = dice(size);
  const any = Array.from({ length: program.threads }, (_, t) => ({ t, key: d.below(1e9) })).sort(
    (a, b) => a.key - b.key,
  );
  const order = any.map(({ t }) => t);
  const got = interpret(program, buffers, [], order, numbered(order, size, size)).at(-1)!.data;
  expect(Math.max(...got.map((x, i) => Math.abs(x - expected[i]!)))).toBeLessThan(1e-12);
});
test("without subgroups values are exchanged through memory", () => {
  const text = emitWgsl(team(kernelOf("attend", { S: 16, D: 16 }), blockTarget)).text;
  expect(text).not.toMatch(/quad|subgroup/);
});
