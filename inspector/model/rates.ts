/** What steps cost on a machine of given rates, and the rates of a run. */

import type { Schedule } from "../../compiler/schedule/schedule.ts";
import { estimate } from "../../compiler/schedule/timeline.ts";
import type { Measured } from "../data.ts";
import type { Cost } from "./play.ts";
import type { ListedStep } from "./steps.ts";

/** Operations and bytes per microsecond; microseconds that a launch and a transfer take at least. */
export type Rates = {
  readonly name: string;
  readonly note: string;
  readonly flops: number;
  readonly memory: number;
  readonly link: number;
  readonly launch: number;
  readonly latency: number;
};

/** Round numbers for kinds of machines; the shape of a timeline depends on their ratios. */
export const MACHINES: readonly Rates[] = [
  {
    name: "GPU, fast links",
    note: "20 Tflop/s, 2 TB/s, links of 200 GB/s",
    flops: 20e6,
    memory: 2e6,
    link: 200e3,
    launch: 3,
    latency: 4,
  },
  {
    name: "GPU, slow links",
    note: "20 Tflop/s, 2 TB/s, links of 10 GB/s",
    flops: 20e6,
    memory: 2e6,
    link: 10e3,
    launch: 3,
    latency: 10,
  },
  {
    name: "CPU, software adapter",
    note: "5 Gflop/s, 10 GB/s, copies of 5 GB/s",
    flops: 5e3,
    memory: 10e3,
    link: 5e3,
    launch: 20,
    latency: 50,
  },
];

export function costs(s: Schedule, rates: Rates): Cost {
  const { of } = estimate(s, rates);
  return (step) => (step.kind === "send" || step.kind === "receive" ? rates.latency : rates.launch) + of(step);
}

/** The median time of each step of a run, by its name; where a step was not timed, what the nearest machine says. */
export function fitted(s: Schedule, listed: readonly ListedStep[], m: Measured): Cost {
  const times = new Map<string, number[]>();
  m.name.forEach((n, i) => {
    const name = m.names[n]!;
    const known = times.get(name);
    if (known) known.push(m.length[i]!);
    else times.set(name, [m.length[i]!]);
  });
  const medians = new Map([...times].map(([name, all]) => [name, median(all)]));
  const guess = costs(s, MACHINES.at(-1)!);
  const labels = new Set(listed.map((l) => l.step.label));
  return (step) => (labels.has(step.label) ? medians.get(step.label) : undefined) ?? guess(step);
}

function median(all: readonly number[]): number {
  const sorted = all.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}
