/**
 * Kernels for teams of threads mean what they meant, and their threads never meet in shared memory without a barrier
 * (workgroup.ts tells). What must be a team's kernel is one.
 */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { compile } from "../../compiler/compile.ts";
import { elements, tabulate } from "../../compiler/core/ndarray.ts";
import { emitCuda } from "../../compiler/emit/cuda.ts";
import { check } from "../../compiler/lane/check.ts";
import { chooseMapping } from "../../compiler/lane/choose.ts";
import type { LaneProgram, LaneStmt } from "../../compiler/lane/ir.ts";
import { gpuTarget } from "../../compiler/lane/map.ts";
import { multiplyLate } from "../../compiler/lane/team/late.ts";
import { blockTarget, type TeamTarget, tensorTarget } from "../../compiler/lane/team/target.ts";
import { lowerTeam as lowerFor } from "../../compiler/lane/team.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import type { Kernel } from "../../compiler/tile/ir.ts";
import { printKernel } from "../../compiler/tile/print.ts";
import { random } from "../core/programs.ts";
import { interpret, stored } from "./interpret.ts";

const path = new URL("team.gyre", import.meta.url).pathname;
const read = (p: string): string =>
  readFileSync(p.startsWith("gyre/") ? new URL(`../../stdlib/${p.slice(5)}.gyre`, import.meta.url) : p, "utf8");
/** The same programs in f32. */
const inF32 = (p: string): string => (p === path ? read(p).replace(/\b(bf16|f16)\b/g, "f32") : read(p));

const lowerTeam = (k: Kernel, target: TeamTarget) => lowerFor(k, target, undefined, () => chooseMapping(k, gpuTarget));
type Dims = Readonly<Record<string, number>>;
function kernelsOf(entry: string, dims: Dims, from = read): readonly Kernel[] {
  const { compiled, diagnostics } = compile(path, from, { entry, dims });
  expect(diagnostics).toEqual([]);
  return compiled!.tile.kernels;
}
function buffersOf(k: Kernel) {
  const next = random(7);
  const one = (dtype: string) => (dtype === "i32" ? Math.floor((next() + 0.5) * 3) : next() * 2);
  return k.buffers.map((b) =>
    tabulate(b.dtype, b.shape, () => (b.access === "write" ? Number.NaN : stored(one(b.dtype), b.dtype))),
  );
}
/** The kernel's program for a team, if there is one; its results are those of the kernel. */
function asTeam(k: Kernel, target: TeamTarget): LaneProgram | string {
  const program = lowerTeam(k, target);
  if ("reason" in program) return program.reason;
  expect(check(program), printKernel(k)).toEqual([]);
  const buffers = buffersOf(k);
  const scalars = k.scalars.map(() => 0);
  const expected = evalKernel(k, buffers, scalars);
  const after = interpret(program, buffers, scalars).filter((_, i) => k.buffers[i]!.access !== "read");
  after.forEach((x, i) => {
    const wrong = [...x.data].findIndex((v, at) => !(Math.abs(v - stored(expected[i]!.data[at]!, x.dtype)) <= 1e-9));
    expect(wrong, `element ${wrong} of result ${i} of ${elements(x.shape)}\n${program.notes.join("\n")}`).toBe(-1);
  });
  return program;
}

/** Loops of several rounds on small arrays. */
const inSixteens: TeamTarget = { ...tensorTarget, blocks: [16] };

/** Small shapes, so that a block is full, partial, or more than one. */
const cases: readonly (readonly [entry: string, dims: Dims, alone: readonly string[]])[] = [
  ["product", { M: 32, N: 32, K: 144 }, []],
  ["product", { M: 17, N: 40, K: 24 }, []],
  ["transposed", { M: 24, N: 40, K: 32 }, []],
  // Rows of odd length: element by element.
  ["transposed", { M: 19, N: 18, K: 21 }, []],
  ["heads", { B: 2, S: 24, H: 3, D: 16, E: 32 }, []],
  ["feedforward", { B: 1, S: 24, E: 80, F: 32 }, []],
  ["causal_attention", { B: 1, S: 24, H: 2, G: 1, D: 16 }, ["lse_1", "cast", "cast_1", "cast_2"]],
  ["packed_attention", { B: 1, S: 40, H: 2, D: 24 }, []],
  ["sigmoid_weights", { B: 1, S: 56, H: 1, D: 16 }, []],
  ["retention", { B: 1, S: 40, H: 1, D: 16 }, []],
];
test.each(cases)("%s %o", (entry, dims, alone) => {
  const made = kernelsOf(entry, dims).map((k) => [k.name, asTeam(k, inSixteens)] as const);
  expect(made.flatMap(([name, p]) => (typeof p === "string" ? [name] : []))).toEqual(alone);
});

test.each([
  ["product", { M: 17, N: 24, K: 36 }],
  ["transposed", { M: 19, N: 18, K: 21 }],
  ["heads", { B: 1, S: 24, H: 2, D: 16, E: 32 }],
  ["causal_attention", { B: 1, S: 16, H: 1, G: 1, D: 16 }],
  ["packed_attention", { B: 1, S: 24, H: 1, D: 12 }],
])("%s %o in f32", (entry, dims) => {
  const made = kernelsOf(entry, dims, inF32).map((k) => [k.name, asTeam(k, inSixteens)] as const);
  const teams = made.flatMap(([, p]) => (typeof p === "string" ? [] : [p]));
  expect(teams.length).toBeGreaterThan(0);
  for (const p of teams) expect(JSON.stringify(p.body)).not.toContain('"kind":"mma"');
});

/** As a GPU behind WebGPU would: 16-bit numbers too are multiplied and added by the threads, by blocks of registers. */
const blocks: TeamTarget = { ...blockTarget, blocks: [16] };
test.each(cases.filter(([, dims]) => dims.M !== 24 && dims.E !== 80))(
  "%s %o by blocks of registers",
  (entry, dims, alone) => {
    const made = kernelsOf(entry, dims).map((k) => [k.name, asTeam(k, blocks)] as const);
    expect(made.flatMap(([name, p]) => (typeof p === "string" ? [name] : []))).toEqual(alone);
    for (const [, p] of made)
      if (typeof p !== "string") expect(JSON.stringify(p.body)).not.toMatch(/"kind":"(mma|matrices)"|shuffle_xor/);
  },
);

test("several warps along rows and columns, and tiles of all sizes", () => {
  const [k] = kernelsOf("product", { M: 128, N: 128, K: 16 });
  const small = asTeam(k!, tensorTarget) as LaneProgram;
  const large = lowerTeam(k!, { ...tensorTarget, groups: 1 }) as LaneProgram;
  expect([small.threads, small.groups]).toEqual([128, 4]);
  expect([large.threads, large.groups]).toEqual([128, 1]);
  asTeam(k!, { ...tensorTarget, groups: 1 });
}, 30_000);

test("scores are scaled after their maximum, and sums rescaled where it changed", () => {
  const kernels = kernelsOf("causal_attention", { B: 1, S: 24, H: 2, G: 1, D: 16 });
  const forward = kernels.find((k) => k.name === "lse")!;
  const { text } = emitCuda(lowerTeam(forward, inSixteens) as LaneProgram);
  expect(text.match(/.*0\.25f.*/g)).toEqual([expect.stringMatching(/maximum\(\w+\[i8\], \w+\[i8\] \* 0\.25f\)/)]);
  expect(text).toMatch(/exp2_approx\(s\[.*\] \* 0\.360673755f - /);
  expect(text).toMatch(/if \(changed\) \{\n( *(#pragma|for).*\n)+ *carry\w* ?\[.*\] = keep\[i8\] \* /);
  // What nobody takes the exponential of stays as it is.
  const [product] = kernelsOf("product", { M: 32, N: 32, K: 16 });
  expect(multiplyLate(product!)).toBe(product);
});

// ---- what the interpreter would tell ---------------------------------------------------------------------------------

/** The program without its statements of a kind inside loops. */
function without(p: LaneProgram, kind: LaneStmt["kind"]): LaneProgram {
  const drop = (body: readonly LaneStmt[], inside: boolean): readonly LaneStmt[] =>
    body.flatMap((s): readonly LaneStmt[] => {
      if (s.kind === kind && inside) return [];
      if (s.kind === "while" || s.kind === "for") return [{ ...s, body: drop(s.body, true) }];
      return [s];
    });
  return { ...p, body: drop(p.body, false) };
}
test.each(["barrier", "wait"] as const)("a missing %s shows", (kind) => {
  const [k] = kernelsOf("product", { M: 32, N: 32, K: 256 });
  const program = lowerTeam(k!, tensorTarget) as LaneProgram;
  const buffers = buffersOf(k!);
  expect(() => interpret(program, buffers, [])).not.toThrow();
  expect(() => interpret(without(program, kind), buffers, [])).toThrow(/compiler bug/);
});
