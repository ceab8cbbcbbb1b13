/** Which folds may have blocks of any size, told from their bodies alone. */
import { describe, expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import { ndarray } from "../../compiler/core/ndarray.ts";
import { allowedOf, choiceOf, mappingOf } from "../../compiler/lane/allowed.ts";
import { checkMapping } from "../../compiler/lane/checkMapping.ts";
import { lowerKernel } from "../../compiler/lane/lower.ts";
import { foldsOf } from "../../compiler/lane/map.ts";
import type { Kernel } from "../../compiler/tile/ir.ts";
import { blocksAreFree } from "../../compiler/tile/reblock.ts";
import { randomNormal } from "../../runtime/random.ts";
import { interpret } from "../lane/interpret.ts";

const header = "mesh one(x: 1)\n";
/** A kernel of queries `q` over keys `k` and values `v`, by blocks of 8; `body` is the loop. */
const over = (body: string): string => `${header}
export shard_map f<S, D>(q: f32[S, D] @ P(_, _), k: f32[S, D] @ P(_, _), v: f32[S, D] @ P(_, _)) -> f32[S, D] @ P(_, _) on one {
  tiles i in S by 4 into [i, :] {
    let q = q[i, :]
    ${body}
  }
}`;
function kernelOf(text: string): Kernel {
  const read = (path: string): string | undefined => (path === "k.gyre" ? text : readSource(path));
  const { compiled, diagnostics } = compile("k.gyre", read, { dims: { S: 24, D: 4 } });
  if (!compiled) throw new Error(diagnostics.map((d) => d.message).join("\n"));
  return compiled.tile.kernels.at(-1)!;
}
const free = (text: string): boolean => foldsOf(kernelOf(text).body).every(blocksAreFree);

const softmax = (s: string, guard: boolean): string =>
  over(`let (m, l, o) = fold j in S by 8 with (m, l, o) = (full(-inf), zeros, zeros) {
      let s = ${s}
      let top = max(m, max(s, dim = 1))
      let keep = ${guard ? "where(m == top, 1, exp(m - top))" : "exp(m - top)"}
      let p = exp(s - ${guard ? "where(top == -inf, 0, top)" : "top"}[:, None])
      (top, keep * l + sum(p, dim = 1), keep[:, None] * o + p @ v[j, :])
    }
    o / l[:, None]`);
const scores = "q @ k[j, :].T";
const masked = `where(pos(i)[:, None] >= pos(j)[None, :], ${scores}, -inf)`;
const loop = (next: string): string => over(`fold j in S by 8 with o = 0.0 * q { ${next} }`);

describe("blocks may be of any size", () => {
  test.each([
    ["a sum of products", loop("o + q @ k[j, :].T @ v[j, :]")],
    [
      "two sums and a constant factor of the elements",
      loop("o + (2 * (q @ k[j, :].T)) @ v[j, :] + sum(v[j, :], dim = 0)[None, :]"),
    ],
    ["a running maximum", loop("max(o, max(v[j, :], dim = 0)[None, :])")],
    ["sums kept relative to a running maximum", softmax(scores, false)],
    ["the same under a mask, where nothing may have been seen", softmax(masked, true)],
  ])("%s", (_, text) => {
    expect(free(text)).toBe(true);
  });
});
describe("blocks are what the program says", () => {
  test.each([
    ["an average of the blocks", loop("0.5 * o + q @ k[j, :].T @ v[j, :]")],
    ["what is done with a block's own sum", loop("o + exp(sum(v[j, :], dim = 0))[None, :]")],
    ["what the carry decides", loop("o + where(o > 1, 0.0, 1.0) * sum(v[j, :], dim = 0)[None, :]")],
    ["the number of blocks", loop("o + 1.0")],
    ["a rescaling that is none", softmax(scores, false).replace("exp(m - top)", "exp(0.5 * (m - top))")],
    [
      "a rescaling that is wrong beyond a point",
      softmax(scores, false).replace("exp(m - top)", "where(m > 3, 1, exp(m - top))"),
    ],
    ["what an array adds, which may be an infinity", softmax(`${scores} + v[j, 0][None, :]`, false)],
    ["where nothing seen gives NaN, and smaller blocks may see nothing", softmax(masked, false)],
  ])("%s", (_, text) => {
    expect(free(text)).toBe(false);
  });
});

test.each([1, 2, 3, 6, 24])("by blocks of %i, sums relative to a maximum are the same", (block) => {
  const kernel = kernelOf(softmax(masked, true));
  const allowed = allowedOf(kernel);
  const at = (size: number) => {
    const base = choiceOf(mappingOf(allowed, { axes: allowed.axes.map((a) => one(a, size)), spread: false }));
    const mapping = mappingOf(allowed, base);
    expect(checkMapping(allowed, mapping)).toEqual([]);
    const arrays = kernel.buffers.map((b) =>
      ndarray(
        b.dtype,
        b.shape,
        Float64Array.from(
          randomNormal(
            1,
            b.name,
            b.shape.reduce((n, m) => n * m, 1),
          ),
        ),
      ),
    );
    return interpret(lowerKernel(kernel, mapping), arrays, []).at(-1)!.data;
  };
  const one = (a: (typeof allowed.axes)[number], size: number) =>
    a.role === "grid"
      ? { axis: a.name, block: 1, lanes: 1, unroll: 1 }
      : { axis: a.name, block: a.role === "fold" ? size : a.extent, lanes: 1, unroll: 1 };
  const [expected, got] = [at(8), at(block)];
  for (const [n, x] of expected.entries()) expect(got[n]).toBeCloseTo(x, 5);
});
