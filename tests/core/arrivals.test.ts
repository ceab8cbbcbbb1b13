/** Sums that travel: taken apart where the link is the slower part, left in one kernel where it is not; the same numbers. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import type { Machine } from "../../compiler/base/machine.ts";
import { compile } from "../../compiler/compile.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import { wholeArray } from "./programs.ts";

/** Links of so many bytes a second, beside kernels that are always as fast. */
const machine = (bandwidth: number): Machine => ({
  name: "machine",
  peak: { f32: 1e12 },
  vector: 1e12,
  efficiency: { compute: 1, memory: 1, links: 1 },
  memory: { bytes: 1e9, bandwidth: 1e15 },
  launch: 0,
  devicesPerNode: 1,
  links: { between: { bandwidth, latency: 0, duplex: true, shared: true } },
});
const path = new URL("../programs/attention-backward.gyre", import.meta.url).pathname;
const read = (asked: string): string | undefined => (asked === path ? readFileSync(path, "utf8") : readSource(asked));
const made = (bandwidth: number) => {
  const dims = { B: 1, S: 64, G: 2, R: 2, D: 8, E: 4 };
  const { compiled } = compile(path, read, { entry: "contiguous", dims, machine: machine(bandwidth) });
  return compiled!;
};
const steps = (bandwidth: number): readonly string[] => {
  const loop = made(bandwidth).schedule.steps.find((s) => s.kind === "loop")!;
  const waitsAndKernels = loop.kind === "loop" ? loop.body.filter((s) => s.kind === "launch" || s.kind === "wait") : [];
  return waitsAndKernels.map((s) => s.label.replace(/(_\d+)?( \d+)?$/, "")).filter((l) => l !== "fill");
};

test("gradients that travel are added on arrival where the link is slow, in the kernel that makes them where it is not", () => {
  expect(steps(2.6e10)).toEqual([
    "dq",
    "dk_dv",
    "wait for dk",
    "add",
    "wait for dv",
    "add",
    "wait for k",
    "wait for v",
  ]);
  expect(steps(1e15)).toEqual(["dq", "wait for dk", "wait for dv", "dk_dv", "wait for k", "wait for v"]);
  expect(made(2.6e10).schedule.decisions!.made.filter((d) => d.what.includes("added on arrival"))).toHaveLength(2);
});

test("either way they are the same", () => {
  const { device: apart, program } = made(2.6e10);
  const { device: together } = made(1e15);
  const inputs = program.inputs.map(({ port }, i) => {
    const x = wholeArray(i, ...port.shape);
    return { ...x, data: x.data.map((v) => Math.sin(v)) };
  });
  const [a, b] = [evaluate(apart, inputs), evaluate(together, inputs)];
  a.forEach((x, k) => {
    expect(Math.max(...x.data.map((v, i) => Math.abs(v - b[k]!.data[i]!)))).toBeLessThan(1e-4);
  });
});
