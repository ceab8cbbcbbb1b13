/** The tables of the Ring Attention and Striped Attention papers, found by simulating the schedules that Gyre makes. */
import { fileURLToPath } from "node:url";
import { machineOf } from "../../cli/machines.ts";
import { readSource } from "../../cli/sources.ts";
import { compile, scheduleProgram } from "../../compiler/compile.ts";
import { elaborateEntry } from "../../compiler/core/elaborate.ts";
import type { CompileOptions } from "../../compiler/options.ts";
import type { Machine } from "../../compiler/schedule/machine.ts";
import type { Schedule } from "../../compiler/schedule/schedule.ts";
import { simulate } from "../../compiler/schedule/simulate.ts";

const program = fileURLToPath(new URL("./ring.gyre", import.meta.url));
const schedules = new Map<string, Schedule>();

/** The schedule of an entry of ring.gyre, with `tokens` on each of `devices`. */
export function ring(
  entry: string,
  devices: number,
  tokens: number,
  sizes: Readonly<Record<string, number>>,
): Schedule {
  const key = JSON.stringify([entry, devices, tokens, sizes]);
  const known = schedules.get(key);
  if (known) return known;
  const { compiled, diagnostics } = compile(program, readSource, {
    entry,
    dims: { S: devices * tokens, ...sizes },
    meshSizes: { sp: devices },
    target: "gpu",
  });
  if (!compiled) throw new Error(diagnostics.map((d) => d.message).join("; "));
  schedules.set(key, compiled.schedule);
  return compiled.schedule;
}

/** A machine of the package. */
export function machine(name: string): Machine {
  const { machine: found } = machineOf(name);
  if (!found) throw new Error(`machines/${name}.json is wrong`);
  return found;
}

// --- Overlap: Table 2 of the Ring Attention paper ----------------------------------------------------------------------

/** The rows of the paper, in thousands of tokens. */
export const overlapInPaper = [
  { name: "a100-nvlink", title: "A100, NVLink", block: 1.0, sequence: 6.2 },
  { name: "a100-infiniband", title: "A100, InfiniBand", block: 24.5, sequence: 149.5 },
  { name: "tpu-v3", title: "TPU v3", block: 1.1, sequence: 6.6 },
  { name: "tpu-v4", title: "TPU v4", block: 1.0, sequence: 6.2 },
  { name: "tpu-v5e", title: "TPU v5e", block: 1.1, sequence: 6.3 },
] as const;

/** Whether every transfer of a ring with `tokens` on each device is under way only while kernels run. */
export const hidden = (on: Machine, tokens: number): boolean => {
  const { exposed, seconds } = simulate(ring("full", 4, tokens, { H: 1, D: 128 }), on);
  return exposed.most <= 1e-6 * seconds;
};

/** The smallest number of tokens on each device with which all transfers are hidden, to about 1 %. */
export function smallestBlock(on: Machine): number {
  let most = 64;
  while (!hidden(on, most)) most *= 2;
  let least = most / 2;
  while (most - least > most / 96) {
    const middle = (least + most) / 2;
    if (hidden(on, middle)) most = middle;
    else least = middle;
  }
  return most;
}

// --- Memory: behind Table 3 of the Ring Attention paper ------------------------------------------------------------------

/** The rows of the paper, in thousands of tokens: the longest context by blocks on each device, and with the ring. */
export const contextInPaper = [
  { title: "8 × A100, NVLink", model: "3B", layers: 26, alone: 64, ring: 512 },
  { title: "8 × A100, NVLink", model: "7B", layers: 32, alone: 32, ring: 256 },
  { title: "8 × A100, NVLink", model: "13B", layers: 40, alone: 16, ring: 128 },
  { title: "32 × A100, InfiniBand", model: "7B", layers: 32, alone: 128, ring: 4096 },
  { title: "32 × A100, InfiniBand", model: "13B", layers: 40, alone: 64, ring: 2048 },
  { title: "TPUv3-512", model: "7B", layers: 32, alone: 8, ring: 2048 },
  { title: "TPUv3-512", model: "13B", layers: 40, alone: 8, ring: 1024 },
  { title: "TPUv4-1024", model: "3B", layers: 26, alone: 32, ring: 16384 },
  { title: "TPUv4-1024", model: "7B", layers: 32, alone: 16, ring: 8192 },
  { title: "TPUv4-1024", model: "13B", layers: 40, alone: 16, ring: 4096 },
  { title: "TPUv4-1024", model: "30B", layers: 60, alone: 8, ring: 2048 },
  { title: "TPUv5e-256", model: "3B", layers: 26, alone: 32, ring: 4096 },
  { title: "TPUv5e-256", model: "7B", layers: 32, alone: 16, ring: 2048 },
] as const;

/** What attention takes on each device, in blocks: a block is what q takes there, in bf16. */
export function blocksOnDevice(devices: number): number {
  const s = ring("full", devices, 1024, { H: 1, D: 128 });
  return s.memory.bytes / s.values[s.inputs[0]!.value]!.bytes;
}

/**
 * How much longer a context may be on a ring of `devices`, in the same memory on each. A device keeps the input of each
 * layer (one block, all else is computed again) and what one layer's attention takes; each device has 1/n of the context.
 */
export const longerOnRing = (devices: number, layers: number): number =>
  (devices * (layers + blocksOnDevice(1))) / (layers + blocksOnDevice(devices));

// --- Balance: the Striped Attention paper ------------------------------------------------------------------------------

const LAYOUTS = ["contiguous", "striped", "zigzag"] as const;
/** Links that never hold anything back, so that only the work counts. */
const free: Machine = {
  name: "free links",
  peak: { bf16: 1e15 },
  vector: 1e15,
  efficiency: { compute: 1, memory: 1, links: 1 },
  memory: { bytes: 1e12, bandwidth: 1e18 },
  launch: 0,
  devicesPerNode: 1,
  links: { between: { bandwidth: 1e18, latency: 0, duplex: true, shared: true } },
};

/** Causal ring attention in each layout on `devices`, `blocks` blocks of queries and of keys on each: seconds. */
export function secondsByLayout(devices: number, blocks: number): Readonly<Record<(typeof LAYOUTS)[number], number>> {
  const C = 64;
  const of = (layout: string): number => simulate(ring(layout, devices, C * blocks, { H: 1, D: 128, C }), free).seconds;
  return { contiguous: of("contiguous"), striped: of("striped"), zigzag: of("zigzag") };
}

// --- What the passes hide ------------------------------------------------------------------------------------------------

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
/** Programs, each on a machine and at sizes at which it has something to hide. */
export const hiding = [
  {
    title: "four layers of a transformer and their gradients, 32 devices in 4 nodes",
    path: file("./layers.gyre"),
    on: "h100-nvlink8",
    options: { dims: { L: 4, B: 8, S: 8192, E: 4096, H: 32, G: 8, D: 128, F: 14336 } },
  },
  {
    title: "ring attention (example 05), 8 nodes",
    path: file("../../examples/05-ring-attention.gyre"),
    on: "a100-infiniband",
    options: { dims: { B: 1, S: 524288, H: 8, D: 128 }, meshSizes: { sp: 8 } },
  },
  {
    title: "gradients of causal attention round a ring, 8 nodes",
    path: file("../../tests/programs/attention-backward.gyre"),
    on: "a100-infiniband",
    options: { entry: "contiguous", dims: { B: 1, S: 65536, G: 8, R: 4, D: 128, E: 128 }, meshSizes: { sp: 8 } },
  },
  {
    title: "a gathered and a scattered product, 8 devices",
    path: file("../../tests/programs/tensor-parallel.gyre"),
    on: "h100-nvlink8",
    options: { entry: "plain", dims: { S: 16384, E: 8192, F: 28672 }, meshSizes: { tp: 8 } },
  },
] as const;

const every = ["ways round", "collect ahead", "ring products", "add on arrival"] as const;
/** What is done more, one after the other. */
export const stages: readonly {
  readonly name: string;
  readonly options: Pick<CompileOptions, "overlap" | "without">;
}[] = [
  { name: "one after another", options: { overlap: false, without: every } },
  { name: "order", options: { without: every } },
  ...every.map((name, i) => ({ name: `+ ${name}`, options: { without: every.slice(i + 1) } })),
];

/** Seconds of a program at each stage, and in how many of them compute stands still for transfers, on average. */
export function hiddenBy({ path, on, options }: (typeof hiding)[number]) {
  const { program, diagnostics } = elaborateEntry(path, readSource, options);
  if (!program) throw new Error(diagnostics.map((d) => d.message).join("; "));
  return stages.map((stage) => {
    const { schedule } = scheduleProgram(program, { machine: machine(on), ...stage.options });
    if (!schedule) throw new Error(`${path} has no schedule`);
    const { seconds, exposed } = simulate(schedule, machine(on));
    return { seconds, exposed: exposed.mean };
  });
}

// --- Weak scaling: docs/guide/cluster.md ---------------------------------------------------------------------------------

/** Causal ring attention, zigzag, bf16, with as many tokens on each device, however many there are: simulated. */
export const weakScaling = (devices: number, tokens: number) =>
  simulate(ring("zigzag", devices, tokens, { H: 32, D: 128, C: 1024 }), machine("h100-nvlink8"));
