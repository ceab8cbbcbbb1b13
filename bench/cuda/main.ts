/**
 * `npm run bench:cuda`: attention on one GPU in bf16, forward and gradients, against PyTorch's scaled_dot_product_attention
 * (flash and cuDNN), FlexAttention and JAX where a `python3` has them. Contenders run in turns; what is printed are medians by
 * the GPU's clock, as TFLOP/s, and Gyre's ratio to the best. Writes bench/cuda/RESULTS.md. Without a GPU it says so.
 *
 *   --quick              two lengths only
 *   --lengths 2048,8192  others; --tokens and --width: what a batch and all heads have together
 *   --out FILE           writes there
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import type { Device } from "../../runtime/device.ts";
import { listDevices, openDevices } from "../../runtime/open.ts";
import { sessionOn } from "../../runtime/session.ts";
import { targetFor } from "../../runtime/target.ts";
import type { TraceEvent } from "../../runtime/trace.ts";
import { machine, median } from "../machine.ts";
import { type Case, casesOf, entryOf, operations, type Sizes, titleOf, usual } from "./cases.ts";
import { type Peers, peers, startPeers } from "./peers.ts";

const ROUNDS = 5;
const RUNS_IN_A_ROUND = 4;

const { sizes, out } = flags();
const { devices, why } = (await listDevices()).find((b) => b.backend === "cuda")!;
if (devices.length === 0) {
  console.log(`skipped: ${why.join("; ")}`);
  process.exit(0);
}
const name = devices[0]!.name;
console.log(`attention in bf16 on one ${name}; TFLOP/s, medians of ${ROUNDS * RUNS_IN_A_ROUND} runs\n`);
const lines = [`| case | Gyre | ${peers.join(" | ")} | Gyre / best |`, `| --- |${" ---: |".repeat(peers.length + 2)}`];
for (const line of lines) console.log(line);
const others = startPeers();
const [device] = await openDevices("cuda:0", 1);
/** Who did not take part, and why: in how many cases. */
const absent = new Map<string, number>();
for (const c of casesOf(sizes)) {
  const line = await row(c, device!, others);
  lines.push(line);
  console.log(line);
}
others.close();
device!.close();
const notes = [...absent].map(([reason, cases]) => `- ${reason} (${cases === 1 ? "one case" : `${cases} cases`})`);
if (notes.length > 0) console.log(`\nMissing:\n\n${notes.join("\n")}`);
const head = `# Attention on ${name}\n\n${new Date().toISOString().slice(0, 10)}, ${machine()}. bf16, TFLOP/s, medians; by \`npm run bench:cuda\`.\n`;
writeFileSync(out, `${[head, ...lines, ...(notes.length > 0 ? ["\nMissing:\n"] : []), ...notes].join("\n")}\n`);

function flags(): { readonly sizes: Sizes; readonly out: string | URL } {
  try {
    const text = { type: "string" } as const;
    const { values } = parseArgs({
      options: { quick: { type: "boolean" }, lengths: text, tokens: text, width: text, out: text },
    });
    const numbers = (given: string): readonly number[] =>
      given.split(",").map((n) => {
        if (!/^[1-9]\d*$/.test(n)) throw new Error(`'${n}' is no size`);
        return Number(n);
      });
    const one = (given: string | undefined, otherwise: number): number => (given ? numbers(given)[0]! : otherwise);
    const width = one(values.width, usual.width);
    if (width % 128 > 0) throw new Error(`--width ${width} is no multiple of 128, the larger of the heads`);
    const lengths = values.lengths ? numbers(values.lengths) : values.quick ? [2048, 8192] : usual.lengths;
    const sizes = { lengths, tokens: one(values.tokens, usual.tokens), width };
    return { sizes, out: values.out ?? new URL("RESULTS.md", import.meta.url) };
  } catch (error) {
    console.error(`bench:cuda: ${error instanceof Error ? error.message : error}`);
    process.exit(2);
  }
}

/** One case, all contenders in turns. */
async function row(c: Case, on: Device, others: Peers): Promise<string> {
  const spent = new Map<string, number[]>();
  const note = (who: string, times: readonly number[]): void => {
    spent.set(who, [...(spent.get(who) ?? []), ...times]);
  };
  const left = new Map<string, string>();
  const gyre = await gyreOn(c, on).catch((error: Error) => void left.set("Gyre", error.message.split("\n")[0]!));
  for (let round = 0; round < ROUNDS; round++) {
    if (gyre) note("Gyre", await gyre.run(RUNS_IN_A_ROUND));
    for (const peer of peers) {
      if (left.has(peer)) continue;
      const answer = await others.ask(peer, c, RUNS_IN_A_ROUND);
      if ("ms" in answer) note(peer, answer.ms);
      else left.set(peer, answer.why);
    }
  }
  gyre?.free();
  for (const [who, reason] of left) absent.set(`${who}: ${reason}`, (absent.get(`${who}: ${reason}`) ?? 0) + 1);
  const rate = (who: string): number => (spent.has(who) ? operations(c) / (median(spent.get(who)!) * 1e9) : 0);
  const best = Math.max(...peers.map(rate));
  const cells = ["Gyre", ...peers].map((who) => (rate(who) > 0 ? rate(who).toPrecision(3) : "–"));
  const ratio = best > 0 && rate("Gyre") > 0 ? (rate("Gyre") / best).toFixed(2) : "–";
  return `| ${titleOf(c)} | ${cells.join(" | ")} | ${ratio} |`;
}

/** Gyre's program on the device, its inputs there. Times are from the begin of its first kernel to the end of its last, in ms. */
async function gyreOn(c: Case, on: Device) {
  const { B, S, H, G, D } = c;
  const { compiled, diagnostics } = compile(new URL("attention.gyre", import.meta.url).pathname, readSource, {
    entry: entryOf(c),
    dims: { B, S, H, G, D },
    ...targetFor(on.info),
  });
  if (!compiled) throw new Error(diagnostics.map((d) => d.message).join("; "));
  const program = await sessionOn([on]).load(compiled);
  const held: Record<string, Awaited<ReturnType<typeof program.put>>> = {};
  for (const [i, port] of compiled.schedule.inputs.entries()) {
    const count = port.shape.reduce((n, size) => n * size, 1);
    held[port.path] = await program.put(port.path, noise(count, i + 1));
  }
  const once = async (): Promise<number> => {
    const events: TraceEvent[] = [];
    const results = await program.run(held, { trace: (e) => e.stream === "compute" && events.push(e) });
    for (const result of Object.values(results)) result.free();
    return (Math.max(...events.map((e) => e.end)) - Math.min(...events.map((e) => e.start))) / 1000;
  };
  for (let i = 0; i < 3; i++) await once();
  return {
    async run(times: number) {
      const spent: number[] = [];
      for (let i = 0; i < times; i++) spent.push(await once());
      return spent;
    },
    free() {
      for (const array of Object.values(held)) array.free();
    },
  };
}

/** Numbers of mean 0 and deviation 1, cheaply. */
function noise(count: number, seed: number): Float32Array {
  const data = new Float32Array(count);
  let state = seed * 2654435761;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    data[i] = (state / 2 ** 31) * Math.sqrt(3);
  }
  return data;
}
