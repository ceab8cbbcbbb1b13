/**
 * `npm run cuda:estimate`: what kernels of few tiles and long loops are in parts, by blocks and bytes (few.ts), and what attention
 * could reach on GPUs that are not at hand, from the instructions of its inner loops.
 * Counts the PTX of the loop that holds most products, and weighs it by what a quarter of a multiprocessor issues:
 *
 *     products     mma.m16n8k16 in so many cycles of the tensor core; wgmma.m64nNk16 in N / 2, in each of the four quarters
 *     others       one instruction in a cycle; a multiplication that only a sum needs is one with it
 *     rescaling    what is done only where a running maximum changed; not among the others
 *     exponentials 32 lanes at four in a cycle
 *
 * Products of warpgroups read their factors from shared memory, 128 bytes in a cycle of the multiprocessor.
 * At most: all of them run beside each other. At least: products and others after each other. Neither knows of memory.
 */
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import { emitCudaModule } from "../../compiler/emit/cuda.ts";
import { nvcc, nvccPath } from "../../runtime/cuda/nvcc.ts";
import { fewTiles } from "./few.ts";

/**
 * Peak of mma.sync in bf16, TFLOP/s, and cycles of one in a quarter. A100: its data sheet. H100: mma.sync reaches about 0.63 of
 * the data sheet's 989, which are wgmma's (Luo et al., "Benchmarking and Dissecting the Nvidia Hopper GPU Architecture", 2024).
 */
const GPUS = [
  { name: "A100", peak: 312, cycles: 8 },
  { name: "H100", peak: 623, cycles: 6.4 },
];
/** wgmma: of the data sheet's 1024 operations in a cycle of a quarter, 512 for each column. */
const HOPPER = { name: "H100", peak: 989, cycles: 0.5 };
const EXPONENTIAL_CYCLES = 8;

fewTiles();

const path = await nvccPath();
if (path === undefined) {
  console.log("skipped: there is no nvcc. Install NVIDIA's CUDA toolkit (12 or later), or name its nvcc in GYRE_NVCC");
  process.exit(0);
}
const table = (first: string, columns: readonly string[]): void => {
  console.log(`| ${first} | ${columns.join(" | ")} |`);
  console.log(`| --- |${" ---: |".repeat(columns.length)}`);
};
/** TFLOP/s from products and others after each other to all beside each other. */
const range = (
  peak: number,
  tensor: number,
  issued: number,
  others: number,
  exponentials: number,
  shared = 0,
): string => {
  const most = tensor / Math.max(tensor, issued, exponentials * EXPONENTIAL_CYCLES, shared);
  return `${Math.round((peak * tensor) / (tensor + others))} to ${Math.round(peak * most)}`;
};

const counts = ["others", "of them exponentials", "rescaling"];
table("kernel, mma.sync", ["products", ...counts, ...GPUS.map((g) => `${g.name}, TFLOP/s`)]);
for (const { title, loops } of await attention("cuda", "sm_80"))
  for (const { name, mma, others, exponentials, rescaling } of loops) {
    const cells = GPUS.map(({ peak, cycles }) => range(peak, mma * cycles, mma + others, others, exponentials));
    console.log(`| ${title}: ${name} | ${mma} | ${others} | ${exponentials} | ${rescaling} | ${cells.join(" | ")} |`);
  }
console.log("");
table("kernel, wgmma", ["cycles of products", "of shared memory", ...counts, `${HOPPER.name}, TFLOP/s`]);
for (const { title, loops } of await attention("hopper", "sm_90a"))
  for (const { name, columns, bytes, others, exponentials, rescaling } of loops) {
    const [tensor, shared] = [columns * HOPPER.cycles, bytes / 128];
    const reached = range(HOPPER.peak, tensor, others, others, exponentials, shared);
    const cells = [tensor, shared, others, exponentials, rescaling, reached];
    console.log(`| ${title}: ${name} | ${cells.join(" | ")} |`);
  }

/** The inner loops of attention, forward and backward, as nvcc has them in PTX. */
async function attention(target: "cuda" | "hopper", arch: string) {
  const found: { readonly title: string; readonly loops: readonly Loop[] }[] = [];
  for (const D of [64, 128])
    for (const entry of ["forward", "gradients"]) {
      const { compiled } = compile("bench/cuda/attention.gyre", readSource, {
        entry,
        dims: { B: 1, S: 16384, H: 2048 / D, G: 2048 / D, D },
        target,
      });
      const { made } = await nvcc(path!, emitCudaModule(compiled!.lanes), arch, [], "ptx");
      found.push({ title: `${entry}, D ${D}`, loops: kernelsOf(Buffer.from(made).toString()) });
    }
  return found;
}

/** `columns`, `bytes`: of all products of warpgroups together, and what they read of shared memory. */
type Loop = {
  readonly name: string;
  readonly mma: number;
  readonly columns: number;
  readonly bytes: number;
  readonly others: number;
  readonly exponentials: number;
  readonly rescaling: number;
};

/** The loop of each kernel that holds most products; kernels without products are left out. */
function kernelsOf(ptx: string): readonly Loop[] {
  return [...ptx.matchAll(/\.entry (\w+)_kernel\(([\s\S]*?)(?=\.entry|$)/g)].flatMap(([, name, body]): Loop[] => {
    const lines = body!.split("\n").map((line) => line.trim());
    const labels = new Map(
      lines.flatMap((line, i) => (/^\$\w+:$/.test(line) ? [[line.slice(0, -1), i] as const] : [])),
    );
    const loops = lines.flatMap((line, end) => {
      const begin = labels.get(/bra(?:\.uni)?\s+(\$\w+)/.exec(line)?.[1] ?? "");
      return begin !== undefined && begin < end ? [lines.slice(begin, end + 1)] : [];
    });
    const count = (loop: readonly string[], op: RegExp): number => loop.filter((line) => op.test(line)).length;
    const found = loops.map((loop): Loop => {
      const mma = count(loop, /^(wg)?mma\.(mma_async\.)?sync/);
      const products = loop.flatMap((line) => {
        const [, n, left] = /^wgmma\.mma_async.*m64n(\d+)k16.*?\}, (.)/.exec(line) ?? [];
        // 16 of k in 16 bits; 64 rows of a left factor that is no registers.
        return n ? [{ columns: Number(n), bytes: 32 * (Number(n) + (left === "{" ? 0 : 64)) }] : [];
      });
      const columns = products.reduce((n, p) => n + p.columns, 0);
      const bytes = products.reduce((n, p) => n + p.bytes, 0);
      // What moves between virtual registers is nothing on the chip, nor is a predicate of constants.
      const all = count(loop, /^(@!?%p\d+\s+)?(?!mov\b|setp\.ne\.b32 p, \d+, 0)[a-z][\w.]*\s/);
      const rescaling = rescalingIn(loop);
      const others = all - mma - rescaling - fused(loop);
      return { name: name!, mma, columns, bytes, others, exponentials: count(loop, /^ex2\./), rescaling };
    });
    const best = found.reduce<Loop | undefined>((a, b) => (a && a.mma >= b.mma ? a : b), undefined);
    return best && best.mma > 0 ? [best] : [];
  });
}

/** Multiplications that branches pass over, where they are all that stands there. */
function rescalingIn(loop: readonly string[]): number {
  return loop.reduce((n, line, at) => {
    const label = /^@!?%p\d+\s+bra\s+(\$\w+)/.exec(line)?.[1];
    const end = loop.indexOf(`${label}:`, at);
    const passed = loop.slice(at + 1, Math.max(end, at + 1)).filter((l) => l !== "");
    const multiplied = passed.filter((l) => /^mul\.f32\b/.test(l)).length;
    return multiplied > 0 && passed.every((l) => /^(mul\.f32|mov\.f32|\$\w+:|bra\.uni)\b/.test(l)) ? n + multiplied : n;
  }, 0);
}

/** Multiplications whose only use is a sum or a difference: ptxas makes one instruction of the two. */
function fused(loop: readonly string[]): number {
  const made = new Set(loop.flatMap((line) => /^mul\.f32\s+(%f\d+)/.exec(line)?.[1] ?? []));
  const uses = new Map<string, number>();
  for (const line of loop)
    for (const [name] of line.slice(line.indexOf(",")).matchAll(/%f\d+/g)) uses.set(name, (uses.get(name) ?? 0) + 1);
  const isOnly = (name: string | undefined): boolean => name !== undefined && made.has(name) && uses.get(name) === 1;
  return loop.filter((line) => {
    const [, a, b] = /^(?:add|sub)\.f32\s+%f\d+, (%f\d+), (%f\d+)/.exec(line) ?? [];
    return isOnly(a) || isOnly(b);
  }).length;
}
