/**
 * Kernels of few tiles and long loops, whole and in parts: blocks, waves of them on an H100, bytes, and what these numbers allow.
 * A launch takes as long as its bytes or its flops do: bytes at what all blocks have under way in the time that memory takes to
 * answer, or at memory's speed; flops at the share of the tensor cores that have a block. Needs no GPU and no nvcc.
 */
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import type { CompileOptions } from "../../compiler/options.ts";

/** H100 SXM: two blocks on each of 132 processors at once; of a block, 32 KiB are under way, for 0.7 us. */
const GPU = {
  processors: 132,
  resident: 2,
  bytes: 3.35e12,
  underWay: (32 * 1024) / 0.7e-6,
  flops: 623e12,
  launch: 4e-6,
};

const cases = [
  ["one query, 8 heads of 128, 65536 keys, bf16", "decode", { B: 1, K: 65536, G: 8, H: 8, D: 128 }],
  ["four queries, 8 heads of 128, 8192 keys, bf16", "decode", { B: 4, K: 8192, G: 8, H: 8, D: 128 }],
  ["x.T @ dy, 65536 x 256 each, bf16", "weight", { B: 1, T: 65536, M: 256, N: 256 }],
  ["the same of 8 sequences, 1024 x 1024", "weight", { B: 8, T: 4096, M: 1024, N: 1024 }],
  ["gradient of a bias, 65536 x 1024, f32", "bias", { T: 65536, N: 1024 }],
  ["running sum of 1,048,576 in a row, f32", "running", { B: 1, V: 1 << 20 }],
  ["gradients of 32 heads on 4, 1024 keys, causal, bf16", "gradients_causal", { B: 1, S: 1024, H: 32, G: 4, D: 128 }],
] as const;

/** Prints a row for each case. */
export function fewTiles(): void {
  const columns = ["blocks", "waves", "MB", "at least, us", "in parts: blocks", "waves", "MB", "at least, us"];
  console.log(`| few tiles, long loops | ${columns.join(" | ")} |`);
  console.log(`| --- |${" ---: |".repeat(columns.length)}`);
  for (const [title, entry, dims] of cases) {
    const cells = [true, false].flatMap((whole) => counted(entry, dims, whole));
    console.log(`| ${title} | ${cells.join(" | ")} |`);
  }
  console.log("");
}

/** The blocks and waves of the kernel that does most, the bytes of all, and the time that they take. */
function counted(entry: string, dims: Readonly<Record<string, number>>, whole: boolean): readonly (number | string)[] {
  const options: CompileOptions = { entry, dims, target: "cuda", without: whole ? ["split-k"] : [] };
  const { compiled, diagnostics } = compile(
    `bench/cuda/${entry.startsWith("gradients") ? "attention" : "few"}.gyre`,
    readSource,
    options,
  );
  if (!compiled) throw new Error(diagnostics.map((d) => d.message).join("; "));
  const all = compiled.schedule.kernels.map(({ name, groups, cost }) => {
    const blocks = groups.reduce((n, m) => n * m, 1);
    const rate = Math.min(GPU.bytes, blocks * GPU.underWay);
    const flops = cost!.flops / (GPU.flops * Math.min(1, blocks / GPU.processors));
    return { name, blocks, bytes: cost!.bytes, seconds: GPU.launch + Math.max(cost!.bytes / rate, flops) };
  });
  // Of gradients, that of the keys: it has the fewest blocks.
  const most = all.find((k) => /^dk_dv(_parts)?$/.test(k.name)) ?? all.reduce((a, b) => (b.bytes > a.bytes ? b : a));
  const sum = (of: (k: (typeof all)[number]) => number): number => all.reduce((n, k) => n + of(k), 0);
  const waves = most.blocks / (GPU.processors * GPU.resident);
  return [
    most.blocks,
    waves.toFixed(2),
    (sum((k) => k.bytes) / 1e6).toFixed(1),
    Math.round(sum((k) => k.seconds) * 1e6),
  ];
}
