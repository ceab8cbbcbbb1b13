/**
 * `npm run bench:cuda`: attention on one GPU in bf16, forward and gradients, against PyTorch's scaled_dot_product_attention
 * (flash and cuDNN), FlexAttention and JAX where a `python3` has them. Contenders run in turns in one process of the bench;
 * what is printed are medians by the GPU's clock, as TFLOP/s, and Gyre's ratio to the best. Writes bench/cuda/RESULTS.md.
 * Without a GPU it says so. `-- --quick` takes two lengths only.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import type { Device } from "../../runtime/device.ts";
import { listDevices, openDevices } from "../../runtime/open.ts";
import { sessionOn } from "../../runtime/session.ts";
import { targetFor } from "../../runtime/target.ts";
import type { TraceEvent } from "../../runtime/trace.ts";
import { machine, median } from "../machine.ts";

/** `B · S` is 16384 tokens and `H · D` is 2048, as FlashAttention's own tables have it. */
type Case = {
  readonly B: number;
  readonly S: number;
  readonly H: number;
  readonly G: number;
  readonly D: number;
  readonly causal: boolean;
  readonly gradients: boolean;
  readonly softcap: boolean;
};

const TOKENS = 16384;
const WIDTH = 2048;
const ROUNDS = 5;
const RUNS_IN_A_ROUND = 4;
const peers = ["flash", "cudnn", "flex", "jax"] as const;

const lengths = process.argv.includes("--quick") ? [2048, 8192] : [2048, 4096, 8192, 16384, 32768];
const of = (S: number, D: number, more: Partial<Case> = {}): Case => {
  const H = WIDTH / D;
  return { B: Math.max(1, TOKENS / S), S, H, G: H, D, causal: true, gradients: false, softcap: false, ...more };
};
const cases: readonly Case[] = [64, 128].flatMap((D) => [
  ...[false, true].flatMap((gradients) =>
    [false, true].flatMap((causal) => lengths.map((S) => of(S, D, { causal, gradients }))),
  ),
  ...lengths.map((S) => of(S, D, { G: WIDTH / D / 4 })),
  ...lengths.map((S) => of(S, D, { softcap: true })),
]);

/** Two products of S x S x D forward, five more for gradients; a causal mask leaves half. */
const operations = ({ B, S, H, D, causal, gradients }: Case): number =>
  (gradients ? 3.5 : 1) * 4 * B * H * S * S * D * (causal ? 0.5 : 1);
const entryOf = ({ gradients, causal, softcap }: Case): string =>
  softcap ? "forward_softcap" : `${gradients ? "gradients" : "forward"}${causal ? "_causal" : ""}`;
const titleOf = (c: Case): string =>
  [
    c.gradients ? "gradients" : "forward",
    c.causal ? "causal" : "full",
    `D ${c.D}`,
    `S ${c.S}`,
    ...(c.G < c.H ? [`${c.H} heads on ${c.G}`] : []),
    ...(c.softcap ? ["softcap"] : []),
  ].join(", ");

const { devices, why } = (await listDevices()).find((b) => b.backend === "cuda")!;
if (devices.length === 0) {
  console.log(`skipped: ${why.join("; ")}`);
  process.exit(0);
}
const name = devices[0]!.name;
console.log(`attention in bf16 on one ${name}; TFLOP/s, medians of ${ROUNDS * RUNS_IN_A_ROUND} runs\n`);
const lines = [`| case | Gyre | ${peers.join(" | ")} | Gyre / best |`, `| --- |${" ---: |".repeat(peers.length + 2)}`];
for (const line of lines) console.log(line);
const python = spawn("python3", [new URL("peers.py", import.meta.url).pathname], {
  stdio: ["pipe", "pipe", "inherit"],
});
const ask = asker(python);
const [device] = await openDevices("cuda:0", 1);
const absent = new Map<string, string>();
for (const c of cases) {
  const line = await row(c, device!);
  lines.push(line);
  console.log(line);
}
python.stdin.end();
device!.close();
const notes = [...absent].map(([peer, reason]) => `${peer}: ${reason}`);
for (const note of notes) console.log(note);
const head = `# Attention on ${name}\n\n${new Date().toISOString().slice(0, 10)}, ${machine()}. bf16, TFLOP/s, medians; by \`npm run bench:cuda\`.\n`;
writeFileSync(
  new URL("RESULTS.md", import.meta.url),
  [head, ...lines, "", ...notes.map((n) => `- ${n}`), ""].join("\n"),
);

/** One case, all contenders in turns. */
async function row(c: Case, on: Device): Promise<string> {
  const gyre = await gyreOn(c, on);
  const spent = new Map<string, number[]>();
  for (let round = 0; round < ROUNDS; round++) {
    spent.set("gyre", [...(spent.get("gyre") ?? []), ...(await gyre.run(RUNS_IN_A_ROUND))]);
    for (const peer of peers) {
      const { ms, why: reason } = await ask({ contender: peer, case: c, repeat: RUNS_IN_A_ROUND });
      if (ms) spent.set(peer, [...(spent.get(peer) ?? []), ...ms]);
      else if (reason && !/scores of one's own/.test(reason)) absent.set(peer, reason);
    }
  }
  gyre.free();
  const rate = (who: string): number | undefined => {
    const times = spent.get(who);
    return times && operations(c) / (median(times) * 1e9);
  };
  const best = Math.max(0, ...peers.map((p) => rate(p) ?? 0));
  const cells = ["gyre", ...peers].map((who) => rate(who)?.toFixed(0) ?? "–");
  return `| ${titleOf(c)} | ${cells.join(" | ")} | ${best > 0 ? (rate("gyre")! / best).toFixed(2) : "–"} |`;
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

type Answer = { readonly ms?: readonly number[]; readonly why?: string };
/** Asks the peers' process; where there is none, all are absent. */
function asker(child: ChildProcess): (request: object) => Promise<Answer> {
  const answers = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const gone: Promise<Answer> = new Promise((resolve) => {
    child.on("error", () => resolve({ why: "there is no python3" }));
    child.on("exit", () => resolve({ why: "its process ended" }));
  });
  child.stdin!.on("error", () => {});
  return async (request) => {
    child.stdin!.write(`${JSON.stringify(request)}\n`);
    const answered = answers
      .next()
      .then(({ value, done }): Answer => (done ? { why: "its process ended" } : JSON.parse(value)));
    return Promise.race([answered, gone]);
  };
}
