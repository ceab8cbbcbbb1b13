/**
 * `npm run bench`: a table of medians and ratios, each ratio from one run on one machine; also written to RESULTS.md.
 *
 * `--quick` takes fewer samples; `--only compile|check|kernel|demo|accuracy` one part (nothing is written then).
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readSource } from "../cli/sources.ts";
import { compile } from "../compiler/compile.ts";
import { open } from "../runtime/api.ts";
import type { Device } from "../runtime/device.ts";
import { openDevices } from "../runtime/open.ts";
import { randomNormal } from "../runtime/random.ts";
import { accuracy } from "./accuracy.ts";
import { attentionRows, handwrittenAttention, handwrittenGroups } from "./handwritten.ts";
import { machine, median, timed } from "./machine.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const root = here("../");
const { values: flags } = parseArgs({ options: { quick: { type: "boolean" }, only: { type: "string" } } });
const samples = flags.quick ? 3 : 9;

type Row = { readonly what: string; readonly value: string; readonly wanted?: string };
type Part = () => Promise<readonly Row[]>;

const ms = (x: number): string =>
  x < 1000 ? `${Number(x.toPrecision(3))} ms` : `${Number((x / 1000).toPrecision(3))} s`;

/** Source to kernels and schedule in a warm process, by the built package; the size of the mesh must not matter. */
const compileTimes: Part = async () => {
  const { compile, readSource } = (await import(here("../dist/index.js"))) as typeof import("../index.ts");
  const rows: Row[] = [];
  for (const [program, what] of [
    ["ring", "ring attention"],
    ["ring-gradients", "ring attention, forward and backward"],
  ])
    for (const sp of [4, 1024]) {
      const options = { dims: { B: 1, S: 1024 * sp, H: 8, D: 64 }, meshSizes: { sp } };
      const once = () => {
        const { compiled, diagnostics } = compile(here(`programs/${program}.gyre`), readSource, options);
        if (!compiled) throw new Error(diagnostics[0]?.message);
      };
      const spent = median(await timed(samples, 25, once));
      rows.push({ what: `compile ${what}, sp=${sp}, warm`, value: ms(spent), wanted: "< 100 ms" });
    }
  return rows;
};

/** The whole process, from dist/. */
const checkProcess: Part = async () => {
  const run = () => node("dist/gyre.js", "check", "stdlib/attention.gyre");
  run();
  const spent = median(await timed(samples, 1, run));
  const bare = median(await timed(samples, 1, () => node("-e", "0")));
  const lines = readFileSync(here("../stdlib/attention.gyre"), "utf8").split("\n").length - 1;
  return [
    {
      what: `\`gyre check\`, ${lines} lines, whole process (Node alone: ${ms(bare)})`,
      value: ms(spent),
      wanted: "< 500 ms",
    },
  ];
};

/** The compiled kernel and the hand-written one in turn, on one device. */
const kernels: Part = async () => {
  const size = { heads: 8, length: 1024, depth: 64 };
  const flops = 4 * size.heads * size.length ** 2 * size.depth;
  const [device] = await openDevices("webgpu", 1);
  if (!device) throw new Error("no device");
  const { subgroups } = device.info.features;
  const arrays = ["q", "k", "v"].map((name) => randomNormal(0, name, size.heads * size.length * size.depth));
  const options = {
    dims: { B: 1, S: size.length, H: size.heads, D: size.depth },
    target: device.info.software ? ("software" as const) : ("gpu" as const),
  };
  const { compiled, diagnostics } = compile(here("programs/full.gyre"), readSource, options);
  if (!compiled) throw new Error(diagnostics[0]?.message);

  const began = performance.now();
  const session = await open({ devices: [device] });
  const program = await session.load(compiled);
  const driver = performance.now() - began;
  const inputs = {
    q: await program.put("q", arrays[0]!),
    k: await program.put("k", arrays[1]!),
    v: await program.put("v", arrays[2]!),
  };
  const ours = async () => {
    const results = await program.run(inputs);
    return results[""]!;
  };
  checkRows(size, arrays, (await (await ours()).read()).data as Float32Array);

  const hand =
    subgroups && subgroups.min === 4 && subgroups.max === 4 ? await handwritten(device, size, arrays) : undefined;
  const times: { ours: number[]; hand: number[] } = { ours: [], hand: [] };
  for (let i = 0; i < samples; i++) {
    times.ours.push(...(await timed(1, 0, async () => (await ours()).free())));
    if (hand) times.hand.push(...(await timed(1, 0, hand)));
  }
  session.close();
  const rate = (spent: number): string => `${ms(spent)} (${(flops / spent / 1e6).toFixed(1)} GFLOP/s)`;
  const our = median(times.ours);
  const title = "attention B=1 H=8 S=1024 D=64 f32, one device";
  const rows: Row[] = [
    { what: `${title}: compiled from Gyre`, value: rate(our) },
    { what: "its kernels through the driver", value: ms(driver) },
  ];
  if (!hand) return rows;
  const by = median(times.hand);
  return [
    ...rows,
    { what: "the best kernel written by hand", value: rate(by) },
    {
      what: "speed of the compiled kernel, of the hand-written one's",
      value: `${((100 * by) / our).toFixed(0)} %`,
      wanted: "≥ 50 %",
    },
  ];
};

async function handwritten(
  device: Device,
  size: Parameters<typeof handwrittenAttention>[0],
  arrays: readonly Float32Array[],
) {
  const bytes = arrays[0]!.byteLength;
  const buffers = arrays.map((data, i) => {
    const buffer = device.alloc(bytes, "qkv"[i]!);
    device.write(buffer, 0, data);
    return buffer;
  });
  const out = device.alloc(bytes, "out");
  const kernel = await device.compile(handwrittenAttention(size));
  const run = async () => {
    device.launch(kernel, [...buffers, out], new Uint32Array(0), handwrittenGroups(size));
    await device.idle();
  };
  await run();
  checkRows(size, arrays, new Float32Array(await device.read(out, 0, bytes)));
  return run;
}

/** A kernel that is fast and wrong is not measured: some rows are held against float64. */
function checkRows(
  size: Parameters<typeof attentionRows>[0],
  [q, k, v]: readonly Float32Array[],
  out: Float32Array,
): void {
  const rows = [0, 33, size.length >> 1, size.length - 1];
  const width = size.heads * size.depth;
  let difference = 0;
  let norm = 0;
  for (const [i, expected] of attentionRows(size, q!, k!, v!, rows).entries())
    for (const [j, y] of expected.entries()) {
      difference += (out[rows[i]! * width + j]! - y) ** 2;
      norm += y * y;
    }
  const error = Math.sqrt(difference / norm);
  if (!(error < 1e-5)) throw new Error(`a kernel is wrong: relative error ${error}`);
}

/** Start to printed result of the example, as a process of its own. */
const demo: Part = async () => {
  const args = [
    "dist/gyre.js",
    "run",
    "examples/05-ring-attention.gyre",
    "--mesh",
    "sp=8",
    "--dims",
    "B=1,S=2048,H=8,D=64",
  ];
  const spent = median(await timed(flags.quick ? 1 : 3, 0, () => node(...args)));
  return [
    {
      what: "`gyre run` ring attention, sp=8, B=1 S=2048 H=8 D=64: start to printed result",
      value: ms(spent),
      wanted: "seconds",
    },
  ];
};

function node(...args: readonly string[]): void {
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });
  if (status !== 0) throw new Error(`node ${args.join(" ")}: ${stderr}`);
}

const parts: Readonly<Record<string, Part>> = { compile: compileTimes, check: checkProcess, kernel: kernels, demo };
const names = [...Object.keys(parts), "accuracy"];
if (flags.only !== undefined && !names.includes(flags.only)) throw new Error(`--only takes ${names.join(", ")}`);
const asked = (name: string): boolean => flags.only === undefined || flags.only === name;

const rows: Row[] = [];
for (const [name, part] of Object.entries(parts)) if (asked(name)) rows.push(...(await part()));
const times = [
  "| what | median | wanted |",
  "| --- | --- | --- |",
  ...rows.map((r) => `| ${r.what} | ${r.value} | ${r.wanted ?? ""} |`),
].join("\n");
const errors = asked("accuracy") ? await accuracy() : "";
const text = `# Measured

Medians of \`npm run bench\`; ratios are taken within one run. ${machine()}; WebGPU on the bundled software adapter
unless the machine has its own.

${times}

## The error and the size of the ring

‖x - exact‖ / ‖exact‖ of causal ring attention and its gradients, f32, B=1 S=512 H=2 D=32, on rings of sp devices; \`exact\` is
the reference interpreter's, in float64.

${errors}
`;
console.log(flags.only === "accuracy" ? errors : text);
if (flags.only === undefined && !flags.quick) writeFileSync(here("RESULTS.md"), text);
process.exit(0);
