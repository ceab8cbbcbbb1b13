import { describe, expect, test } from "vitest";
import { machine, ring } from "../../bench/schedules/tables.ts";
import { launchCosts } from "../../compiler/schedule/durations.ts";
import type { Machine } from "../../compiler/schedule/machine.ts";
import { plan } from "../../compiler/schedule/plan.ts";
import { runningShare } from "../../compiler/schedule/running.ts";
import type { Schedule } from "../../compiler/schedule/schedule.ts";
import { lacking, simulate } from "../../compiler/schedule/simulate.ts";
import { totalOps } from "../../compiler/schedule/work.ts";
import { metaOf, ringSum } from "./programs.ts";

/** One flop takes a second, 32 bytes over a link take `link` seconds, memory takes none. */
const slow = (link: number, more: Partial<Machine["links"]["inside"]> = {}): Machine => ({
  name: "slow",
  peak: { f32: 1 },
  vector: 1,
  efficiency: { compute: 1, memory: 1, links: 1 },
  memory: { bytes: 1000, bandwidth: Number.POSITIVE_INFINITY },
  launch: 0,
  devicesPerNode: 100,
  links: { inside: { bandwidth: 32 / link, latency: 0, duplex: true, shared: true, ...more } },
});
/** The sum round a ring of n: fill takes nothing, and each of n additions `seconds`. */
function sums(n: number, seconds: number): Schedule {
  const program = ringSum(n);
  const [fill, add] = metaOf(program);
  return plan(program, [
    { ...fill!, cost: { flops: 0, bytes: 0 } },
    { ...add!, cost: { flops: seconds, bytes: 0 } },
  ]);
}
const sizes = { H: 2, D: 64 };
const layouts = ["contiguous", "striped", "zigzag"] as const;
const h100 = machine("h100-nvlink8");

describe("a ring, by hand", () => {
  test("transfers that are shorter than the kernels are hidden", () => {
    const { seconds, exposed, busy, classes } = simulate(sums(4, 3), slow(2));
    expect({ seconds, exposed: exposed.most, busy: busy.most, classes }).toEqual({
      seconds: 12,
      exposed: 0,
      busy: 12,
      classes: 1,
    });
  });
  test("those that are longer show by the difference, n - 1 times", () => {
    const { seconds, exposed, late } = simulate(sums(4, 3), slow(5));
    expect([seconds, exposed.most, late.most]).toEqual([3 * 5 + 3, 3 * 2, 0]);
  });
  test("latency counts for each, and half duplex halves the rate", () => {
    expect(simulate(sums(4, 3), slow(2, { latency: 3 })).exposed.most).toBe(3 * 2);
    expect(simulate(sums(4, 3), slow(2, { duplex: false })).exposed.most).toBe(3 * 1);
  });
  test("a schedule survives JSON, and so does what it takes", () => {
    const s = ring("zigzag", 4, 512, { ...sizes, C: 64 });
    expect(simulate(JSON.parse(JSON.stringify(s)), h100)).toEqual(simulate(s, h100));
  });
});

describe("masks", () => {
  test("work hangs on place and step, exactly as blocks are skipped", () => {
    const s = ring("contiguous", 4, 1024, { ...sizes, C: 64 });
    const masked = s.kernels.flatMap((k) => k.work?.masked ?? []);
    expect(masked).toHaveLength(1);
    const share = runningShare(masked[0]!);
    const diagonal = (16 * 17) / 2 / 16 ** 2;
    expect([0, 1, 2, 3].map((step) => share([2, step]))).toEqual([diagonal, 1, 1, 0]);
  });
  test("what is estimated is near what is", () => {
    for (const layout of layouts) {
      const [masked] = ring(layout, 4, 8192, { ...sizes, C: 64 }).kernels.flatMap((k) => k.work?.masked ?? []);
      const share = runningShare(masked!);
      for (const place of [0, 3]) {
        expect(Math.abs(share([place, 1], 96) - share([place, 1], 1e6))).toBeLessThan(0.01);
      }
    }
  });
  test("products count twice for each element, in the dtype of their factors", () => {
    const s = ring("full", 4, 512, sizes);
    const products = s.kernels.map((k) => totalOps(k.work!).products.bf16 ?? 0);
    expect(products.reduce((a, b) => a + b)).toBe(4 * sizes.H * sizes.D * 512 ** 2);
  });
  test("more places and steps than are worked out one by one come to the same work", () => {
    for (const layout of layouts) {
      const cost = launchCosts(ring(layout, 128, 256, { ...sizes, C: 64 }), h100);
      const flops = cost.reduce((sum, k) => sum + (k.coordinates.length > 0 ? k.flops.reduce((a, b) => a + b) : 0), 0);
      const blocks = (128 * 4 * (128 * 4 + 1)) / 2;
      const all = layout === "striped" ? 128 ** 2 * 10 : blocks;
      expect(flops / (4 * sizes.H * sizes.D * 64 ** 2 * all)).toBeCloseTo(1, 1);
    }
  });
});

describe("devices that do alike are played as one", () => {
  test.each(layouts)("%s: with the same result as all by themselves", (layout) => {
    for (const [n, perNode] of [
      [4, 8],
      [8, 4],
      [8, 3],
    ] as const) {
      const s = ring(layout, n, 256, { ...sizes, C: 64 });
      const on = { ...h100, devicesPerNode: perNode };
      const { classes: few, ...alike } = simulate(s, on, { watch: [0, n - 1] });
      const { classes: all, ...apart } = simulate(s, on, { watch: [0, n - 1], symmetric: false });
      expect(few).toBeLessThanOrEqual(all);
      expect(rounded(alike)).toEqual(rounded(apart));
    }
  });
  test("a ring of 1024 in nodes of 8 has as many classes as a node has devices", () => {
    const began = performance.now();
    const { classes, devices } = simulate(ring("full", 1024, 4096, sizes), h100);
    expect([devices, classes]).toEqual([1024, 8]);
    expect(performance.now() - began).toBeLessThan(5000);
  });
});

test("a link that the machine file lacks is named", () => {
  const s = ring("full", 16, 256, sizes);
  expect(lacking(s, h100)).toBe(undefined);
  expect(lacking(s, machine("a100-nvlink"))).toBe("links.between");
});

/** Sums over devices round differently. */
const rounded = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value), (_, x) => (typeof x === "number" ? Number(x.toPrecision(9)) : x));
