/** What steps cost: on a machine, where one device stands for all, or in a run. */
import { launchCosts } from "../../compiler/schedule/durations.ts";
import type { Machine } from "../../compiler/schedule/machine.ts";
import type { Schedule } from "../../compiler/schedule/schedule.ts";
import type { Measured } from "../data.ts";
import type { Cost } from "./play.ts";
import type { ListedStep } from "./steps.ts";

/** Microseconds. Launches cost the mean over the mesh and over the steps; transfers go over the slowest link that there is. */
export function costs(s: Schedule, machine: Machine): Cost {
  // Tables over all devices and steps: made when they are asked for.
  let launches: readonly number[] | undefined;
  const means = (): readonly number[] => {
    launches ??= launchCosts(s, machine).map(({ seconds }) => seconds.reduce((a, b) => a + b, 0) / seconds.length);
    return launches;
  };
  const devices = s.mesh.axes.reduce((n, a) => n * a.size, 1);
  const { inside, between } = machine.links;
  const link = (devices > machine.devicesPerNode ? between : inside) ?? inside ?? between;
  const rate = (link?.bandwidth ?? Number.POSITIVE_INFINITY) * machine.efficiency.links;
  const copies = machine.memory.bandwidth * machine.efficiency.memory;
  return (step) => {
    if (step.kind === "launch") return 1e6 * means()[step.kernel]!;
    if (step.kind === "copy") return 1e6 * (machine.launch + (2 * step.bytes) / copies);
    return 1e6 * ((link?.latency ?? 0) + (link?.message ?? 0) + step.bytes / rate);
  };
}

/** The median time of each step of a run, by its name; what was not timed takes no time. */
export function fitted(listed: readonly ListedStep[], m: Measured): Cost {
  const times = new Map<string, number[]>(listed.map((l) => [l.step.label, []]));
  m.name.forEach((n, i) => {
    times.get(m.names[n]!)?.push(m.length[i]!);
  });
  const medians = new Map([...times].map(([name, all]) => [name, median(all)]));
  return (step) => medians.get(step.label) ?? 0;
}

function median(all: readonly number[]): number {
  return all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0;
}
