/** Ratios that are wanted, each from one run: what is divided by what, and the least (or the most) that it should be. */
import type { Contender, Group } from "./contenders/contender.ts";
import { contenders } from "./contenders/table.ts";
import type { Results } from "./race.ts";

export type Target = {
  readonly what: string;
  readonly wanted: { readonly atLeast: number } | { readonly atMost: number };
  /** `undefined` where a part of it was not measured. */
  readonly ratio: (results: Results) => number | undefined;
};

type Time = (results: Results) => number | undefined;

const timeOf =
  (workload: string, contender: string): Time =>
  (results) => {
    const outcome = results.get(workload)?.get(contender);
    return outcome?.is === "measured" ? outcome.ms : undefined;
  };

/** The shortest time of these contenders, of those that are right. */
const fastest =
  (workload: string, of: (contender: Contender) => boolean): Time =>
  (results) => {
    const times = contenders.filter(of).map(({ name }) => timeOf(workload, name)(results));
    const known = times.filter((ms) => ms !== undefined);
    return known.length === 0 ? undefined : Math.min(...known);
  };

const peersIn =
  (group: Group) =>
  (c: Contender): boolean =>
    c.group === group && c.needs !== undefined;
const onnxWeb = (threads: number) => (c: Contender) => c.name.startsWith(`onnx-web-wasm-${threads}`);

const divided =
  (a: Time, b: Time): Target["ratio"] =>
  (results) => {
    const [x, y] = [a(results), b(results)];
    return x === undefined || y === undefined ? undefined : x / y;
  };

const wgsl = (workload: string) => timeOf(workload, "gyre-wgsl");
const ours = [
  ["gyre-wgsl", "WGSL"],
  ["gyre-cpu-1", "CPU, 1 thread"],
  ["gyre-cpu-2", "CPU, 2 threads"],
] as const;

/** Milliseconds of the reference under JAX 0.10.2 on 8 host devices, from another run on another machine of 2 cores. */
export const jaxRing: Readonly<Record<string, number>> = {
  "ring-attention-s512": 15,
  "ring-attention-s1024": 68,
  "ring-attention-s2048": 178,
  "ring-gradients-s512": 51,
  "ring-gradients-s1024": 212,
  "ring-gradients-s2048": 397,
};

export const targets: readonly Target[] = [
  ...(["full", "causal"] as const).flatMap((mask): readonly Target[] => {
    const name = `attention-${mask}-s1024`;
    return [
      {
        what: `WGSL, ${mask} attention S=1024: the fastest right peer's time / Gyre's`,
        wanted: { atLeast: 5 },
        ratio: divided(fastest(name, peersIn("webgpu")), wgsl(name)),
      },
      {
        what: `WGSL, ${mask} attention S=1024: the hand-written kernel's time / Gyre's`,
        wanted: { atLeast: 1 },
        ratio: divided(timeOf(name, "handwritten-wgsl"), wgsl(name)),
      },
    ];
  }),
  {
    what: "WGSL, S=1024: full attention's time / causal attention's (what skipped blocks save)",
    wanted: { atLeast: 1.6 },
    ratio: divided(wgsl("attention-full-s1024"), wgsl("attention-causal-s1024")),
  },
  {
    what: "WGSL, matrix product 1024³: the fastest right peer's time / Gyre's",
    wanted: { atLeast: 3 },
    ratio: divided(fastest("matmul-1024", peersIn("webgpu")), wgsl("matmul-1024")),
  },
  ...[1, 2].flatMap((threads) =>
    (["full", "causal"] as const).map((mask): Target => {
      const name = `attention-${mask}-s1024`;
      return {
        what: `CPU, ${threads} thread${threads > 1 ? "s" : ""}, ${mask} attention S=1024: onnxruntime-web's time / Gyre's`,
        wanted: { atLeast: mask === "full" ? 1.5 : 2.5 },
        ratio: divided(fastest(name, onnxWeb(threads)), timeOf(name, `gyre-cpu-${threads}`)),
      };
    }),
  ),
  {
    what: "CPU, 2 threads, full attention S=1024: numpy's time / Gyre's",
    wanted: { atLeast: 0.6 },
    ratio: divided(timeOf("attention-full-s1024", "numpy-2"), timeOf("attention-full-s1024", "gyre-cpu-2")),
  },
  ...Object.entries(jaxRing).map(
    ([name, ms]): Target => ({
      what: `CPU, ${name.replaceAll("-", " ").replace("s", "S=")}: JAX's time (quoted, see below) / Gyre's`,
      wanted: { atLeast: 1 },
      ratio: divided(() => ms, timeOf(name, "gyre-cpu-2")),
    }),
  ),
  ...ours.map(
    ([name, title]): Target => ({
      what: `${title}, causal S=1024: the backward pass's time / the forward's`,
      wanted: { atMost: 3 },
      ratio: (results) => {
        const both = divided(timeOf("gradients-causal-s1024", name), timeOf("attention-causal-s1024", name))(results);
        return both === undefined ? undefined : both - 1;
      },
    }),
  ),
  ...ours.flatMap(([name, title]): readonly Target[] => [
    {
      what: `${title}: a user's own sigmoid attention's time / windowed attention's`,
      wanted: { atMost: 1.2 },
      ratio: divided(timeOf("sigmoid-window-s2048", name), timeOf("own-attention-window-s2048", name)),
    },
    {
      what: `${title}: a user's own retention's time / causal attention's`,
      wanted: { atMost: 1.2 },
      ratio: divided(timeOf("retention-causal-s2048", name), timeOf("own-attention-causal-s2048", name)),
    },
  ]),
];
