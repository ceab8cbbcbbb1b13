/** Gyre, as a user has it: the built package, on one device where the workload does not say otherwise. */
import { syncBuiltinESMExports } from "node:module";
import os from "node:os";
import { fileURLToPath } from "node:url";
import type { Arrays, Attention, Mask, Problem } from "../workloads/workload.ts";
import type { Prepare } from "./contender.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** A program, its dimensions, and how the paths of its inputs and results are called in workloads. */
type Program = {
  readonly file: string;
  readonly entry: string;
  readonly dims: Readonly<Record<string, number>>;
  /** The mesh axis, and how many positions it has, where that is not one. */
  readonly axis: string;
  readonly positions?: number;
};

export const onBackend =
  (backend: "webgpu" | "cpu", threads?: number): Prepare =>
  async ({ problem }, arrays) => {
    if (threads !== undefined) haveThreads(threads);
    const { compile, open, readSource } = (await import(
      here("../../dist/index.js")
    )) as typeof import("../../index.ts");
    const { file, entry, dims, axis, positions = 1 } = programFor(problem);
    const session = await open({ backend, devices: positions });
    const { software, features } = session.devices[0]!.info;
    const target = backend === "cpu" ? "cpu" : software ? "software" : "gpu";
    const relaxedSimd = features.relaxedSimd === true;
    const options = { entry, dims, meshSizes: { [axis]: positions }, target, relaxedSimd } as const;
    const { compiled, diagnostics } = compile(here(`../programs/${file}.gyre`), readSource, options);
    if (!compiled) throw new Error(diagnostics[0]?.message);
    const program = await session.load(compiled);
    const paths = program.schedule.inputs.map(({ path }) => path);
    const inputs = Object.fromEntries(
      await Promise.all(paths.map(async (path) => [path, await program.put(path, arrays[lastName(path)]!)] as const)),
    );
    let results = await program.run(inputs);
    return {
      run: async () => {
        for (const array of Object.values(results)) array.free();
        results = await program.run(inputs);
        return undefined;
      },
      results: async (): Promise<Arrays> =>
        Object.fromEntries(
          await Promise.all(
            Object.entries(results).map(
              async ([path, array]) => [path || "out", (await array.read()).data as Float32Array] as const,
            ),
          ),
        ),
    };
  };

/** The backend `cpu` has as many threads as Node says there are processors. */
function haveThreads(threads: number): void {
  os.availableParallelism = () => threads;
  syncBuiltinESMExports();
}

/** `layer.wq` is the workload's `wq`. */
const lastName = (path: string): string => path.split(".").at(-1)!;

const entries: Readonly<Record<Mask, string>> = { full: "full", causal: "causally", window: "windowed" };
const gradientEntries: Readonly<Record<string, string>> = { full: "full_gradients", causal: "causal_gradients" };

function programFor(problem: Problem): Program {
  switch (problem.kind) {
    case "attention":
      return { file: "attention", entry: entries[problem.mask], dims: grouped(problem), axis: "x" };
    case "gradients":
      return { file: "attention", entry: gradientEntries[problem.mask]!, dims: grouped(problem), axis: "x" };
    case "sigmoid":
      return { file: "tiles", entry: "sigmoid_window", dims: single(problem), axis: "x" };
    case "retention":
      return { file: "tiles", entry: "retention", dims: single(problem), axis: "x" };
    case "ring":
      return {
        file: problem.gradients ? "ring-gradients" : "ring",
        entry: problem.gradients ? "gradients" : "attention",
        dims: single(problem),
        axis: "sp",
        positions: problem.positions,
      };
    case "matmul":
      return {
        file: "layers",
        entry: "matmul",
        dims: { M: problem.size, K: problem.size, N: problem.size },
        axis: "x",
      };
    case "feedforward":
      return {
        file: "layers",
        entry: "feedforward",
        dims: { B: 1, S: problem.length, E: problem.width, F: problem.hidden },
        axis: "x",
      };
    case "block": {
      const { length, width, hidden, heads, depth } = problem;
      return {
        file: "layers",
        entry: "block",
        dims: { B: 1, S: length, E: width, F: hidden, H: heads, G: heads, D: depth },
        axis: "tp",
      };
    }
  }
}

const grouped = ({ length, heads, keyHeads, depth }: Attention) => ({
  B: 1,
  S: length,
  G: keyHeads,
  R: heads / keyHeads,
  D: depth,
});
const single = ({ length, heads, depth }: Attention) => ({ B: 1, S: length, H: heads, D: depth });
