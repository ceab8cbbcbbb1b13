import { describe, expect, test } from "vitest";
import {
  blocksOnDevice,
  longerOnRing,
  machine,
  overlapInPaper,
  secondsByLayout,
  smallestBlock,
} from "../../bench/schedules/tables.ts";

describe("the Ring Attention paper", () => {
  test.each(overlapInPaper)("$title: the shortest sequence with hidden transfers, within 5 %", (row) => {
    const sequence = (6 * smallestBlock(machine(row.name))) / 1000;
    expect(Math.abs(sequence / row.sequence - 1)).toBeLessThan(0.05);
  });
  test("memory on each device does not grow with the ring, and so the context does", () => {
    expect(blocksOnDevice(1024)).toBe(blocksOnDevice(4));
    expect(longerOnRing(512, 32) / 512).toBeGreaterThan(0.85);
  });
});

test("zigzag is balanced: a contiguous causal ring takes 2 - 1/n times as long", () => {
  for (const n of [4, 8]) {
    const { contiguous, striped, zigzag } = secondsByLayout(n, 64);
    expect(contiguous / zigzag).toBeCloseTo(2 - 1 / n, 2);
    expect(contiguous / striped).toBeGreaterThan((2 * n) / (n + 1));
  }
});
