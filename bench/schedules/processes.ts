/**
 * Overlap between processes, measured: `mpirun -np 2 --bind-to none node --import tsx bench/schedules/processes.ts` runs programs
 * on devices that are threads of the CPU, one device in each process, and rank 0 writes PROCESSES.md. Everything compared runs
 * in turn. (Open MPI binds two processes to a core each by itself: there, what moves messages on takes turns with the device.)
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readSource } from "../../cli/sources.ts";
import { type Compiled, compile } from "../../compiler/compile.ts";
import { open } from "../../runtime/api.ts";
import type { DeviceArray } from "../../runtime/array.ts";
import type { DeviceInfo } from "../../runtime/device.ts";
import { elementCount } from "../../runtime/dtype.ts";
import { defaultInput } from "../../runtime/random.ts";
import { targetFor } from "../../runtime/target.ts";
import { type Cluster, joinCluster } from "../../runtime/transport/cluster.ts";
import { launchOf } from "../../runtime/transport/launcher.ts";
import type { Transport } from "../../runtime/transport/transport.ts";
import { machine, median } from "../machine.ts";
import { bytesSent } from "./sent.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const SAMPLES = 7;

type Row = { readonly what: string; readonly entry: string; readonly dims: Readonly<Record<string, number>> };
const rows: readonly Row[] = [
  { what: "ring attention", entry: "full", dims: { B: 1, S: 4096, H: 4, D: 64 } },
  { what: "causal, zigzag", entry: "zigzag", dims: { B: 1, S: 4096, H: 4, D: 64 } },
  { what: "forward and backward", entry: "gradients", dims: { B: 1, S: 2048, H: 4, D: 64 } },
];

/** How messages travel: by the transport itself, not at all (what arrives is what was there), or held up as on a link. */
type Way = "as it is" | "not at all" | { readonly bandwidth: number };

/** The transport with a way that can be changed. A process has one port out: messages leave after each other. */
function withWay(transport: Transport) {
  let way: Way = "as it is";
  let free = 0;
  const until = async (time: number): Promise<void> => {
    // Timers are late by up to a millisecond: the last one is spent in turns of the event loop.
    const sleep = time - performance.now() - 1;
    if (sleep > 0) await new Promise((resolve) => setTimeout(resolve, sleep));
    while (performance.now() < time) await new Promise((resolve) => setImmediate(resolve));
  };
  const changed: Transport = {
    ...transport,
    async send(to, tag, bytes) {
      if (way === "not at all") return;
      if (typeof way === "object") {
        free = Math.max(free, performance.now()) + (1000 * bytes.length) / way.bandwidth;
        await until(free);
      }
      await transport.send(to, tag, bytes);
    },
    receive: (from, tag, into) => (way === "not at all" ? Promise.resolve() : transport.receive(from, tag, into)),
  };
  return { changed, go: (next: Way): void => void (way = next) };
}

function compiledFor({ entry, dims }: Row, info: DeviceInfo, sp: number, overlap: boolean): Compiled {
  const options = { entry, dims, meshSizes: { sp }, ...targetFor(info), overlap };
  const { compiled, diagnostics } = compile(here("./overlap.gyre"), readSource, options);
  if (!compiled) throw new Error(diagnostics[0]?.message);
  return compiled;
}

type Kind = "compute" | "transfers" | "overlapped" | "sequential" | "free";

async function measure(row: Row, cluster: Cluster): Promise<{ readonly line: string; readonly device: string }> {
  const { size } = cluster.launch;
  const { changed, go } = withWay(cluster.transport);
  const session = await open({ backend: "cpu", devices: size, cluster: { ...cluster, transport: changed } });
  const runner = async (overlap: boolean) => {
    const compiled = compiledFor(row, session.devices[0]!.info, size, overlap);
    const program = await session.load(compiled);
    const held: Record<string, DeviceArray> = {};
    for (const { path, dtype, shape } of compiled.schedule.inputs)
      held[path] = await program.put(path, defaultInput(0, path, dtype, elementCount(shape)));
    /** The milliseconds until all processes are done. */
    const run = async (way: Way): Promise<number> => {
      go("as it is");
      await changed.barrier();
      go(way);
      const began = performance.now();
      const results = await program.run(held);
      const spent = performance.now() - began;
      for (const array of Object.values(results)) array.free();
      return Math.max(...(await cluster.roster.exchange(spent)));
    };
    return { run, sent: bytesSent(compiled.schedule.steps) };
  };
  const [both, inTurn] = [await runner(true), await runner(false)];
  const samples: Record<Kind, number>[] = [];
  for (let i = -1; i < SAMPLES; i++) {
    const compute = await both.run("not at all");
    // A ring of n has n kernels in a row and n - 1 transfers: each takes equally long.
    const transfers = (compute * (size - 1)) / size;
    const bandwidth = (1000 * both.sent) / transfers;
    const overlapped = await both.run({ bandwidth });
    const sequential = await inTurn.run({ bandwidth });
    const free = await both.run("as it is");
    if (i >= 0) samples.push({ compute, transfers, overlapped, sequential, free });
  }
  const device = session.devices[0]!.info.adapter;
  session.close();
  const middle = (of: (sample: Record<Kind, number>) => number): number => median(samples.map(of));
  const ms = (of: Kind) => `${middle((s) => s[of]).toFixed(0)} ms`;
  const dims = Object.entries(row.dims).map(([name, extent]) => `${name}=${extent}`);
  const cells = [
    `${row.what}, sp=${size}, ${dims.join(" ")}`,
    ms("compute"),
    ms("transfers"),
    ms("overlapped"),
    middle((s) => s.overlapped / Math.max(s.compute, s.transfers)).toFixed(2),
    ms("sequential"),
    middle((s) => s.sequential / (s.compute + s.transfers)).toFixed(2),
    ms("free"),
    middle((s) => s.free / s.compute).toFixed(2),
  ];
  return { line: `| ${cells.join(" | ")} |`, device };
}

const launch = launchOf(process.env);
if (!launch) {
  process.stderr.write(
    "start it in several processes: mpirun -np 2 --bind-to none node --import tsx bench/schedules/processes.ts\n",
  );
  process.exit(2);
}
const cluster = await joinCluster(launch, { transport: "auto", limitMs: 60_000 });
const measured: Awaited<ReturnType<typeof measure>>[] = [];
for (const row of rows) measured.push(await measure(row, cluster));
await cluster.leave();
const page = `# Overlap between processes, measured

\`mpirun -np ${launch.size} --bind-to none node --import tsx bench/schedules/processes.ts\` (${cluster.transport.name}), medians of ${SAMPLES} runs in turn. ${machine()}.

Each process has one device: ${measured[0]!.device}. *Transfers alone* is what they take on links on which a step's take
as long as its kernels: a message is held up in its sender until it would be there, and then goes by MPI. The overlapped schedule
should take as long as the longer of the two, the one in turn (\`--no-overlap\`) as both together. The last two columns are
MPI as it is, in shared memory: there a transfer is work of the same processors.

| program | compute alone | transfers alone | overlapped | of the longer | in turn | of the sum | MPI as it is | of compute |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
${measured.map(({ line }) => line).join("\n")}
`;
if (launch.rank === 0) {
  writeFileSync(here("./PROCESSES.md"), page);
  process.stdout.write(page);
}
process.exit(0);
