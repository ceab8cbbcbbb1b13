/**
 * Overlap, measured: `npx tsx bench/schedules/measured.ts` runs programs on devices of this machine with links on which a
 * step's transfers take as long as its kernels, and writes MEASURED.md. Everything compared runs in turn.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readSource } from "../../cli/sources.ts";
import { type Compiled, compile } from "../../compiler/compile.ts";
import type { Schedule, Step, Transfer } from "../../compiler/schedule/schedule.ts";
import type { DeviceArray } from "../../runtime/array.ts";
import type { Device } from "../../runtime/device.ts";
import { elementCount } from "../../runtime/dtype.ts";
import { openDevices } from "../../runtime/open.ts";
import { defaultInput } from "../../runtime/random.ts";
import { sessionOn } from "../../runtime/session.ts";
import { type LinkModel, linkModel } from "../../runtime/transport/link.ts";
import { inProcess } from "../../runtime/transport/local.ts";
import type { Carrier } from "../../runtime/transport/transfers.ts";
import { machine, median } from "../machine.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const SAMPLES = 7;

type Row = {
  readonly what: string;
  readonly entry: string;
  readonly dims: Readonly<Record<string, number>>;
  readonly sp: number;
};
/** With two processors, two devices run beside each other; four take turns, and wait for each other. */
const rows: readonly Row[] = [
  { what: "ring attention", entry: "full", dims: { B: 1, S: 4096, H: 4, D: 64 }, sp: 2 },
  { what: "causal, zigzag", entry: "zigzag", dims: { B: 1, S: 4096, H: 4, D: 64 }, sp: 2 },
  { what: "forward and backward", entry: "gradients", dims: { B: 1, S: 2048, H: 4, D: 64 }, sp: 2 },
  { what: "ring attention", entry: "full", dims: { B: 1, S: 4096, H: 4, D: 64 }, sp: 4 },
];

/** Bytes that one device sends in a run, to others. */
function bytesSent(steps: readonly Step[]): number {
  const times = (t: Transfer, count: number) =>
    t.when === undefined ? count : t.when.startsWith("not") ? count - 1 : 1;
  const within = (body: readonly Step[], count: number): number =>
    body.reduce((sum, step) => {
      if (step.kind === "loop") return sum + count * within(step.body, step.count);
      return step.kind === "send" ? sum + step.bytes * times(step, count) : sum;
    }, 0);
  return within(steps, 1);
}

function compiledFor({ entry, dims, sp }: Row, device: Device, overlap: boolean): Compiled {
  const { compiled, diagnostics } = compile(here("./overlap.gyre"), readSource, {
    entry,
    dims,
    meshSizes: { sp },
    target: device.info.software ? "software" : "gpu",
    overlap,
  });
  if (!compiled) throw new Error(diagnostics[0]?.message);
  return compiled;
}

const inputsOf = ({ inputs }: Schedule) =>
  Object.fromEntries(inputs.map((p) => [p.path, defaultInput(0, p.path, p.dtype, elementCount(p.shape))]));

/** A function that runs the program on links of `bandwidth`, its inputs in place, and gives the milliseconds. */
async function runner(devices: readonly Device[], compiled: Compiled) {
  let links: LinkModel | undefined;
  const carrier: Carrier = (run) => inProcess(links)(run);
  const program = await sessionOn(devices, { carrier }).load(compiled);
  const held: Record<string, DeviceArray> = {};
  for (const [path, value] of Object.entries(inputsOf(compiled.schedule))) held[path] = await program.put(path, value);
  return async (bandwidth?: number) => {
    const between = { bandwidth: bandwidth ?? 0, latency: 0, duplex: true, shared: true };
    links = bandwidth === undefined ? undefined : linkModel({ devicesPerNode: 1, links: { between } });
    const began = performance.now();
    const results = await program.run(held);
    const spent = performance.now() - began;
    for (const array of Object.values(results)) array.free();
    return spent;
  };
}

async function measure(row: Row): Promise<string> {
  const devices = await openDevices("auto", row.sp, { share: false });
  const overlapped = compiledFor(row, devices[0]!, true);
  const both = await runner(devices, overlapped);
  const inTurn = await runner(devices, compiledFor(row, devices[0]!, false));
  const sent = bytesSent(overlapped.schedule.steps);
  const samples: (readonly [compute: number, transfers: number, overlapped: number, sequential: number])[] = [];
  await both();
  await inTurn();
  for (let i = 0; i < SAMPLES; i++) {
    const compute = await both();
    // A ring of n has n kernels in a row and n - 1 transfers: each takes equally long.
    const transfers = (compute * (row.sp - 1)) / row.sp;
    const bandwidth = (1000 * sent) / transfers;
    samples.push([compute, transfers, await both(bandwidth), await inTurn(bandwidth)]);
  }
  for (const device of devices) device.close();
  const middle = (of: (sample: (typeof samples)[number]) => number): number => median(samples.map(of));
  const ms = (x: number) => `${x.toFixed(0)} ms`;
  const sizes = Object.entries(row.dims)
    .map(([k, v]) => `${k}=${v}`)
    .join(" ");
  return `| ${[
    `${row.what}, sp=${row.sp}, ${sizes}`,
    ms(middle(([compute]) => compute)),
    ms(middle(([, transfers]) => transfers)),
    ms(middle(([, , over]) => over)),
    middle(([compute, transfers, over]) => over / Math.max(compute, transfers)).toFixed(2),
    ms(middle(([, , , sequential]) => sequential)),
    middle(([compute, transfers, , sequential]) => sequential / (compute + transfers)).toFixed(2),
  ].join(" | ")} |`;
}

const lines = [
  "# Overlap, measured",
  "",
  `\`npx tsx bench/schedules/measured.ts\`, medians of ${SAMPLES} runs in turn. ${machine()}.`,
  "",
  "Links are a model (`gyre run --link`), and every device has a queue of its own. In each sample the bandwidth is such that a",
  "step's transfers take as long as its kernels. The overlapped schedule should take as long as the longer of the two, the",
  "sequential one (`--no-overlap`) as both together.",
  "",
  "| program | compute alone | transfers alone | overlapped | of the longer | sequential | of the sum |",
  "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
];
for (const row of rows) lines.push(await measure(row));
const page = `${lines.join("\n")}\n`;
writeFileSync(here("./MEASURED.md"), page);
process.stdout.write(page);
process.exit(0);
