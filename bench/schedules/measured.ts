/**
 * Overlap, measured: `npx tsx bench/schedules/measured.ts` runs programs on devices of this machine with links on which a
 * step's transfers take as long as its kernels, and writes MEASURED.md. Everything compared runs in turn.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { kernelTimes } from "../../cli/measured.ts";
import { readSource } from "../../cli/sources.ts";
import type { Machine } from "../../compiler/base/machine.ts";
import { type Compiled, compile } from "../../compiler/compile.ts";
import type { Measured } from "../../compiler/schedule/durations.ts";
import type { Schedule } from "../../compiler/schedule/schedule.ts";
import { simulate } from "../../compiler/schedule/simulate.ts";
import type { DeviceArray } from "../../runtime/array.ts";
import type { Device } from "../../runtime/device.ts";
import { elementCount } from "../../runtime/dtype.ts";
import { openDevices } from "../../runtime/open.ts";
import { defaultInput } from "../../runtime/random.ts";
import { sessionOn } from "../../runtime/session.ts";
import { targetFor } from "../../runtime/target.ts";
import type { TraceEvent } from "../../runtime/trace.ts";
import { type LinkModel, linkModel } from "../../runtime/transport/link.ts";
import { inProcess } from "../../runtime/transport/local.ts";
import type { Carrier } from "../../runtime/transport/transfers.ts";
import { machine, median } from "../machine.ts";
import { bytesSent } from "./sent.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const SAMPLES = 7;

type Row = {
  readonly what: string;
  readonly entry: string;
  readonly dims: Readonly<Record<string, number>>;
  readonly sp: number;
};
const backends = [
  ["cpu", "Devices that are threads of the CPU", 1],
  ["webgpu", "WebGPU, on a software adapter", 2],
] as const;
type BackendName = (typeof backends)[number][0];
/** With two processors, two devices run beside each other; four take turns, and wait for each other. */
const rows: readonly Row[] = [
  { what: "ring attention", entry: "full", dims: { B: 1, S: 4096, H: 4, D: 64 }, sp: 2 },
  { what: "causal, zigzag", entry: "zigzag", dims: { B: 1, S: 4096, H: 4, D: 64 }, sp: 2 },
  { what: "forward and backward", entry: "gradients", dims: { B: 1, S: 2048, H: 4, D: 64 }, sp: 2 },
  { what: "ring attention", entry: "full", dims: { B: 1, S: 4096, H: 4, D: 64 }, sp: 4 },
];

function compiledFor({ entry, dims, sp }: Row, device: Device, overlap: boolean): Compiled {
  const { compiled, diagnostics } = compile(here("./overlap.gyre"), readSource, {
    entry,
    dims,
    meshSizes: { sp },
    ...targetFor(device.info),
    overlap,
  });
  if (!compiled) throw new Error(diagnostics[0]?.message);
  return compiled;
}

const inputsOf = ({ inputs }: Schedule) =>
  Object.fromEntries(inputs.map((p) => [p.path, defaultInput(0, p.path, p.dtype, elementCount(p.shape))]));

/** The links of a run; without a bandwidth, whatever is sent is there at once. */
const linksOf = (bandwidth = Number.POSITIVE_INFINITY) => ({
  devicesPerNode: 1,
  links: { between: { bandwidth, latency: 0, duplex: true, shared: true } },
});

/**
 * The milliseconds that a schedule should take on links of `bandwidth`, by simulation: its kernels in proportion to what they
 * took in a run, so that without links it comes to `compute`.
 */
function predicted(schedule: Schedule, events: readonly TraceEvent[], compute: number, bandwidth: number): number {
  const machineOn = (between?: number): Machine => ({
    name: "this machine",
    peak: {},
    vector: 1e12,
    efficiency: { compute: 1, memory: 1, links: 1 },
    memory: { bytes: 1e12, bandwidth: 1e12 },
    launch: 0,
    ...linksOf(between),
  });
  const times = kernelTimes(schedule, events);
  const slower = compute / (1000 * simulate(schedule, machineOn(), { measured: times }).seconds);
  const measured: Measured = new Map([...times].map(([k, t]) => [k, { ...t, seconds: slower * t.seconds }]));
  return 1000 * simulate(schedule, machineOn(bandwidth), { measured }).seconds;
}

/** A function that runs the program on links of `bandwidth`, its inputs in place, and gives the milliseconds. */
async function runner(devices: readonly Device[], compiled: Compiled) {
  let links: LinkModel | undefined;
  const carrier: Carrier = (run) => inProcess(links)(run);
  const program = await sessionOn(devices, { carrier }).load(compiled);
  const held: Record<string, DeviceArray> = {};
  for (const [path, value] of Object.entries(inputsOf(compiled.schedule))) held[path] = await program.put(path, value);
  return async (bandwidth?: number, trace?: (event: TraceEvent) => void) => {
    links = bandwidth === undefined ? undefined : linkModel(linksOf(bandwidth));
    const began = performance.now();
    const results = await program.run(held, trace && { trace });
    const spent = performance.now() - began;
    for (const array of Object.values(results)) array.free();
    return spent;
  };
}

type Sample = Readonly<
  Record<"compute" | "transfers" | "overlapped" | "foreseen" | "sequential" | "foreseenInTurn", number>
>;

async function measure(row: Row, backend: BackendName): Promise<string> {
  const devices = await openDevices(backend, row.sp, { share: false });
  const [overlapped, sequential] = [true, false].map((overlap) => compiledFor(row, devices[0]!, overlap));
  const both = await runner(devices, overlapped!);
  const inTurn = await runner(devices, sequential!);
  const sent = bytesSent(overlapped!.schedule.steps);
  const samples: Sample[] = [];
  await inTurn();
  const events: TraceEvent[] = [];
  await both();
  await both(undefined, (event) => events.push(event));
  for (let i = 0; i < SAMPLES; i++) {
    const compute = await both();
    // A ring of n has n kernels in a row and n - 1 transfers: each takes equally long.
    const transfers = (compute * (row.sp - 1)) / row.sp;
    const bandwidth = (1000 * sent) / transfers;
    samples.push({
      compute,
      transfers,
      overlapped: await both(bandwidth),
      foreseen: predicted(overlapped!.schedule, events, compute, bandwidth),
      sequential: await inTurn(bandwidth),
      foreseenInTurn: predicted(sequential!.schedule, events, compute, bandwidth),
    });
  }
  for (const device of devices) device.close();
  const middle = (of: (sample: Sample) => number): number => median(samples.map(of));
  const ms = (of: keyof Sample) => `${middle((s) => s[of]).toFixed(0)} ms`;
  const ofLonger = (of: keyof Sample) => middle((s) => s[of] / Math.max(s.compute, s.transfers)).toFixed(2);
  const ofSum = (of: keyof Sample) => middle((s) => s[of] / (s.compute + s.transfers)).toFixed(2);
  const sizes = Object.entries(row.dims)
    .map(([k, v]) => `${k}=${v}`)
    .join(" ");
  return `| ${[
    `${row.what}, sp=${row.sp}, ${sizes}`,
    ms("compute"),
    ms("transfers"),
    ms("overlapped"),
    ofLonger("overlapped"),
    ofLonger("foreseen"),
    ms("sequential"),
    ofSum("sequential"),
    ofSum("foreseenInTurn"),
  ].join(" | ")} |`;
}

const header = [
  "",
  "| program | compute alone | transfers alone | overlapped | of the longer | foreseen | in turn | of the sum | foreseen |",
  "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
];
const lines = [
  "# Overlap, measured",
  "",
  `\`npx tsx bench/schedules/measured.ts\`, medians of ${SAMPLES} runs in turn. ${machine()}.`,
  "",
  "Links are a model (`gyre run --link`), and every device has a queue of its own. In each sample the bandwidth is such that a",
  "step's transfers take as long as its kernels. The overlapped schedule should take as long as the longer of the two, the",
  "one in turn (`--no-overlap`) as both together. *Foreseen* is what the simulator says of the same schedules, from times that",
  "the kernels took in a run without links.",
];
const wanted = process.argv[2];
for (const [backend, name, shorter] of backends) {
  if (wanted && wanted !== backend) continue;
  lines.push("", `## ${name}`, ...header);
  for (const { dims, ...row } of rows) {
    lines.push(await measure({ ...row, dims: { ...dims, S: dims.S! / shorter } }, backend));
    console.error(lines.at(-1));
  }
}
const page = `${lines.join("\n")}\n`;
if (!wanted) writeFileSync(here("./MEASURED.md"), page);
process.stdout.write(page);
process.exit(0);
