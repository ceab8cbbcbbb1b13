/**
 * `npm run cuda:estimate`: what attention could reach on GPUs that are not at hand, from the instructions of its inner loops.
 * Counts the PTX of the loop that holds most products, and weighs it by what a quarter of a multiprocessor issues:
 *
 *     products     mma.m16n8k16 in so many cycles of the tensor core
 *     others       one instruction in a cycle
 *     exponentials 32 lanes at four in a cycle
 *
 * At most: all three run beside each other. At least: products and others after each other. Neither knows of memory.
 */
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import { emitCudaModule } from "../../compiler/emit/cuda.ts";
import { nvcc, nvccPath } from "../../runtime/cuda/nvcc.ts";

/**
 * Peak of mma.sync in bf16, TFLOP/s, and cycles of one in a quarter. A100: its data sheet. H100: mma.sync reaches about 0.63 of
 * the data sheet's 989, which are wgmma's (Luo et al., "Benchmarking and Dissecting the Nvidia Hopper GPU Architecture", 2024).
 */
const GPUS = [
  { name: "A100", peak: 312, cycles: 8 },
  { name: "H100", peak: 623, cycles: 6.4 },
];
const EXPONENTIAL_CYCLES = 8;

const path = await nvccPath();
if (path === undefined) {
  console.log("skipped: there is no nvcc. Install NVIDIA's CUDA toolkit (12 or later), or name its nvcc in GYRE_NVCC");
  process.exit(0);
}
console.log(
  `| kernel | products | others | of them exponentials | ${GPUS.map((g) => `${g.name}, TFLOP/s`).join(" | ")} |`,
);
console.log(`| --- | ---: | ---: | ---: |${" ---: |".repeat(GPUS.length)}`);
for (const D of [64, 128])
  for (const entry of ["forward", "gradients"]) {
    const { compiled } = compile("bench/cuda/attention.gyre", readSource, {
      entry,
      dims: { B: 1, S: 16384, H: 2048 / D, G: 2048 / D, D },
      target: "cuda",
    });
    const { made } = await nvcc(path, emitCudaModule(compiled!.lanes), "sm_80", [], "ptx");
    for (const kernel of kernelsOf(Buffer.from(made).toString())) {
      const { mma, others, exponentials } = kernel;
      const cells = GPUS.map(({ peak, cycles }) => {
        const tensor = mma * cycles;
        const most = tensor / Math.max(tensor, mma + others, exponentials * EXPONENTIAL_CYCLES);
        return `${Math.round((peak * tensor) / (tensor + others))} to ${Math.round(peak * most)}`;
      });
      console.log(`| ${entry}, D ${D}: ${kernel.name} | ${mma} | ${others} | ${exponentials} | ${cells.join(" | ")} |`);
    }
  }

type Loop = { readonly name: string; readonly mma: number; readonly others: number; readonly exponentials: number };

/** The loop of each kernel that holds most products; kernels without products are left out. */
function kernelsOf(ptx: string): readonly Loop[] {
  return [...ptx.matchAll(/\.entry (\w+)_kernel\([\s\S]*?\n\{([\s\S]*?)\n\}/g)].flatMap(([, name, body]): Loop[] => {
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
      const mma = count(loop, /^mma\./);
      // What moves between virtual registers is nothing on the chip.
      const all = count(loop, /^(@!?%p\d+\s+)?(?!mov\b)[a-z][\w.]*\s/);
      return { name: name!, mma, others: all - mma, exponentials: count(loop, /^ex2\./) };
    });
    const best = found.reduce<Loop | undefined>((a, b) => (a && a.mma >= b.mma ? a : b), undefined);
    return best && best.mma > 0 ? [best] : [];
  });
}
