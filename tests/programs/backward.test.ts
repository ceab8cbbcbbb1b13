/** Kernels as derivatives are made of them: products of blocks turned round, accumulators that come from elsewhere. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import type { Step } from "../../compiler/schedule/schedule.ts";
import type { Fold, Stmt } from "../../compiler/tile/ir.ts";
import { backends, open, reference } from "../support/backends.ts";
import { type Results, relativeError } from "../support/compare.ts";
import { array, type Element, once, range, sum, trial } from "./harness.ts";

const sizes = { B: 1, S: 64, G: 2, R: 2, D: 8, E: 4 };
const inputs = { q: undefined, k: undefined, v: undefined, g: undefined, lse: undefined, delta: undefined };
type Mask = (q: number, k: number) => boolean;
const causal =
  (block = 1): Mask =>
  (q, k) =>
    Math.floor(q / block) >= Math.floor(k / block);
const near =
  (width: number): Mask =>
  (q, k) =>
    Math.abs(q - k) < width;
const masks: Readonly<Record<string, Mask>> = {
  contiguous: causal(),
  blocks: causal(8),
  window: (q, k) => causal()(q, k) && near(12)(q, k),
  prefixed: (q, k) => causal()(q, k) || k < 10,
  zigzagged: causal(),
  zigzagged_window: (q, k) => causal(4)(q, k) && near(12)(q, k),
  striped_blocks: causal(8),
  striped_window: (q, k) => causal()(q, k) && near(24)(q, k),
  arrived: causal(),
};

/** The gradients of queries, keys and values, element by element. */
function gradients({ q, k, v, g, lse, delta }: Readonly<Record<keyof typeof inputs, Element>>, mask: Mask) {
  const { S, R, D, E } = sizes;
  const n = (h: number): number => Math.floor(h / R);
  const p = once((i, j, h) => {
    if (!mask(i!, j!)) return 0;
    return Math.exp(sum(D, (d) => q(0, i!, h!, d) * k(0, j!, n(h!), d)) / Math.sqrt(D) - lse(0, i!, h!));
  });
  const ds = once((i, j, h) => {
    const dp = sum(E, (e) => g(0, i!, h!, e) * v(0, j!, n(h!), e));
    return (p(i!, j!, h!) * (dp - delta(0, i!, h!))) / Math.sqrt(D);
  });
  const heads = (of: number): number[] => range(R).map((r) => of * R + r);
  const over = (of: number, f: (h: number) => number): number => heads(of).reduce((all, h) => all + f(h), 0);
  return {
    dq: ((_b, i, h, d) => sum(S, (j) => ds(i!, j, h!) * k(0, j, n(h!), d!))) as Element,
    dk: ((_b, j, m, d) => over(m!, (h) => sum(S, (i) => ds(i, j!, h) * q(0, i, h, d!)))) as Element,
    dv: ((_b, j, m, e) => over(m!, (h) => sum(S, (i) => p(i, j!, h) * g(0, i, h, e!)))) as Element,
  };
}

const { S, G, R, D, E } = sizes;
for (const entry of ["contiguous", "window", "zigzagged_window", "striped_blocks"])
  trial(`gradients of attention round a ring: ${entry}`, {
    program: "programs/attention-backward",
    entry,
    dims: sizes,
    inputs,
    expect: (given) => {
      const { dq, dk, dv } = gradients(given, masks[entry]!);
      return { 0: array([1, S, G * R, D], dq), 1: array([1, S, G, D], dk), 2: array([1, S, G, E], dv) };
    },
  });
trial("gradients that are added to what arrived", {
  program: "programs/attention-backward",
  entry: "arrived",
  dims: sizes,
  mesh: { sp: 1 },
  inputs: { ...inputs, dk: undefined, dv: undefined },
  expect: (given) => {
    const { dk, dv } = gradients(given, masks.arrived!);
    return {
      0: array([1, S, G, D], (...at) => dk(...at) + given.dk(...at)),
      1: array([1, S, G, E], (...at) => dv(...at) + given.dv(...at)),
    };
  },
});

const foldsOf = (body: readonly Stmt[]): readonly Fold[] =>
  body.flatMap((s) => (s.kind === "fold" ? [s, ...foldsOf(s.body)] : []));
test.each(Object.keys(masks))(
  "blocks under which nothing is seen are skipped, in kernels of queries and of keys: %s",
  (entry) => {
    const path = new URL("attention-backward.gyre", import.meta.url).pathname;
    const read = (asked: string): string | undefined =>
      asked === path ? readFileSync(path, "utf8") : readSource(asked);
    const { compiled } = compile(path, read, { entry, dims: sizes });
    const loops = compiled!.tile.kernels.flatMap((k) => foldsOf(k.body)).filter((f) => f.over.kind === "blocks");
    expect(loops.map((f) => f.over.kind === "blocks" && f.over.axis.name)).toEqual(
      entry === "arrived" ? ["i"] : ["j", "i"],
    );
    for (const f of loops) {
      expect(f.bounds?.run).toBeDefined();
      expect(f.bounds?.full.length).toBe(1);
    }
  },
);

describe("layers and their gradients", () => {
  const dims = { L: 3, N: 16, E: 8, F: 32 };
  const path = new URL("layers-backward.gyre", import.meta.url).pathname;
  const text = readFileSync(path, "utf8");
  test("collected and gathered in place: nothing is copied", () => {
    const { compiled } = compile(path, (asked) => (asked === path ? text : readSource(asked)), {
      dims,
      meshSizes: { data: 1 },
    });
    const kinds = (steps: readonly Step[]): string[] =>
      steps.flatMap((s) => [s.kind, ...(s.kind === "loop" ? kinds(s.body) : [])]);
    expect(kinds(compiled!.schedule.steps)).not.toContain("copy");
  });
  test("are the same on every backend, over one device and two", async () => {
    const all: Results[] = [];
    for (const mesh of [{ data: 1 }, { data: 2 }])
      for (const b of new Set([reference, ...backends])) {
        const program = await open(path, text, { dims, mesh });
        all.push(await b.run(program, program.inputs({})));
      }
    for (const [name, { data }] of all[0]!)
      for (const other of all) expect(relativeError(other.get(name)!.data, data)).toBeLessThan(1e-5);
  });
});

test("gradients that travel move while queries get theirs, and not while they are zeros", () => {
  const path = new URL("attention-backward.gyre", import.meta.url).pathname;
  const read = (asked: string): string | undefined => (asked === path ? readFileSync(path, "utf8") : readSource(asked));
  const { compiled } = compile(path, read, { entry: "contiguous", dims: sizes });
  const loop = compiled!.schedule.steps.find((s) => s.kind === "loop")!;
  const steps = loop.kind === "loop" ? loop.body.filter((s) => s.kind !== "receive") : [];
  expect(steps.map((s) => [s.label.replace(/(_\d+)?( \d+| on sp\+1)?$/, ""), s.when])).toEqual([
    ["fill", "first"],
    ["send dk", "not-first"],
    ["fill", "first"],
    ["send dv", "not-first"],
    ["send k", "not-last"],
    ["send v", "not-last"],
    ["dq", undefined],
    ["wait for dk", "not-first"],
    ["wait for dv", "not-first"],
    ["dk_dv", undefined],
    ["wait for k", "not-last"],
    ["wait for v", "not-last"],
  ]);
});
