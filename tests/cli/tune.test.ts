/** `gyre tune`: the search, what is kept on disk, and that `gyre run` takes it. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { search } from "../../cli/tuner.ts";
import type { Variant, Variants } from "../../compiler/compile.ts";
import { file, folder, gyreWith } from "./gyre.ts";

describe("search", () => {
  const variants = (n: number): Variants => ({
    key: "k",
    name: "k",
    all: Array.from({ length: n }, (_, i) => ({
      choice: { axes: [{ axis: "i", block: i, lanes: 1, unroll: 1 }], spread: false },
      make: () => {
        throw new Error("nothing is made here");
      },
    })),
  });
  const number = (v: Variant): number => v.choice.axes[0]!.block;
  const times = (all: readonly (number | undefined)[]) => {
    const measured: number[] = [];
    const measure = async (v: Variant): Promise<number | undefined> => {
      measured.push(number(v));
      return all[number(v)];
    };
    return { measured, measure };
  };
  const limits = { tries: 10, patience: 3 };

  test("the fastest is found, and how much it gains", async () => {
    const { measure } = times([10, 12, 6, 8]);
    const found = await search(variants(4), measure, limits);
    expect(found).toMatchObject({ ms: 6, before: 10, tried: 4 });
    expect(number(found!.variant)).toBe(2);
  });
  test("it ends after as many tries as were allowed, or as many without a gain", async () => {
    const few = times([10, 9, 8, 7, 6]);
    await search(variants(5), few.measure, { tries: 3, patience: 9 });
    expect(few.measured).toEqual([0, 1, 2]);
    const idle = times([10, 5, 6, 6, 6, 1]);
    await search(variants(6), idle.measure, limits);
    expect(idle.measured).toEqual([0, 1, 2, 3, 4]);
  });
  test("a gain within the clock's noise is none", async () => {
    const found = await search(variants(2), times([10, 9.9]).measure, limits);
    expect(number(found!.variant)).toBe(0);
  });
  test("what the device refuses is passed over; a default that it refuses leaves nothing to compare with", async () => {
    expect(number((await search(variants(3), times([10, undefined, 5]).measure, limits))!.variant)).toBe(2);
    expect(await search(variants(2), times([undefined, 5]).measure, limits)).toBeUndefined();
  });
});

const product = `mesh one(x: 1)
export shard_map product<M, K, N>(a: f32[M, K] @ P(_, _), b: f32[K, N] @ P(_, _)) -> f32[M, N] @ P(_, _) on one { a @ b }
`;
test("what is tuned is kept, used by run, and left aside where it is damaged or of another version", async () => {
  const cache = folder();
  const program = file(product);
  const io = { env: { GYRE_CACHE: cache } };
  const sizes = ["--dims", "M=32,K=16,N=32"];
  const run = (...more: readonly string[]) => gyreWith(io, "run", program, ...sizes, "--verify", ...more);

  expect((await run()).err).not.toContain("tuned");
  const tuned = await gyreWith(io, "tune", program, ...sizes, "--tries", "3", "--json");
  expect(tuned.code, tuned.err).toBe(0);
  const told = JSON.parse(tuned.out);
  expect(told.kernels).toMatchObject([{ kernel: "product", tried: expect.any(Number), known: false }]);
  expect(told.kernels[0].ms).toBeLessThanOrEqual(told.kernels[0].before);

  const after = await run();
  expect(after.code, after.err).toBe(0);
  expect(after.err).toContain("1 of 1 kernel mapped as tuned");
  expect((await run("--no-tuned")).err).not.toContain("tuned");
  expect((await gyreWith(io, "tune", program, ...sizes)).out).toContain("tuned before");

  const path = join(cache, "tuned", readdirSync(join(cache, "tuned"))[0]!);
  const text = readFileSync(path, "utf8");
  writeFileSync(path, text.replace(/"compiler": "[^"]*"/, '"compiler": "0.0.0"'));
  expect((await run()).err).not.toContain("mapped as tuned");
  // A mapping that is not legal for the kernel is not used.
  writeFileSync(path, text.replace(/"unroll": \d+/, '"unroll": 7'));
  expect((await run()).err).not.toContain("mapped as tuned");
  writeFileSync(path, text.slice(0, 40));
  const damaged = await run();
  expect(damaged.code).toBe(0);
  expect(damaged.err).toMatch(/note: .* is damaged and left aside; `gyre tune` writes it anew/);
}, 60_000);

test("there is nothing to tune on the reference interpreter", async () => {
  const { code, err } = await gyreWith({}, "tune", file(product), "--backend", "reference");
  expect(code).toBe(2);
  expect(err).toContain("nothing to tune");
});
