/** Programs, opened from source, on each backend that tests run on. */
import { createHash } from "node:crypto";
import { readSource } from "../../cli/sources.ts";
import { compileProgram } from "../../compiler/compile.ts";
import { elaborateEntry } from "../../compiler/core/elaborate.ts";
import { type EvalOptions, evaluate } from "../../compiler/core/eval.ts";
import { grad } from "../../compiler/core/grad.ts";
import type * as Core from "../../compiler/core/ir.ts";
import { ndarray } from "../../compiler/core/ndarray.ts";
import type { CompileOptions } from "../../compiler/options.ts";
import { open as openSession } from "../../runtime/api.ts";
import { elementCount, type HostArray, hostArray, type Tensor } from "../../runtime/dtype.ts";
import { defaultInput } from "../../runtime/random.ts";
import type { Session } from "../../runtime/session.ts";
import { targetFor } from "../../runtime/target.ts";
import { standIn, useStandIn } from "../cuda/stand-in.ts";
import type { Results } from "./compare.ts";

export type Choices = {
  readonly entry?: string;
  readonly dims?: Readonly<Record<string, number>>;
  readonly mesh?: Readonly<Record<string, number>>;
};
/** Inputs by path, as functions of their indices; those not given are as `gyre run` makes them for seed 0. */
export type Inputs = Readonly<Record<string, ((...index: number[]) => number) | undefined>>;
export type Opened = {
  readonly core: Core.Program;
  readonly ports: readonly Core.Port[];
  readonly inputs: (given: Inputs) => ReadonlyMap<string, Tensor>;
};
export type Backend = {
  readonly name: string;
  /** Whether it is there on this machine. */
  readonly ready: boolean;
  /** Computes in float64. */
  readonly exact: boolean;
  readonly run: (program: Opened, inputs: ReadonlyMap<string, Tensor>) => Promise<Results>;
};

/** Opens an entry of the program `text`, which is at `path`. Throws its diagnostics. */
export async function open(path: string, text: string, choices: Choices): Promise<Opened> {
  const read = (asked: string): string | undefined => (asked === path ? text : readSource(asked));
  const { program, diagnostics } = elaborateEntry(path, read, {
    entry: choices.entry,
    dims: choices.dims,
    meshSizes: choices.mesh,
  });
  if (!program) throw new Error(diagnostics.map(({ code, message }) => `${code}: ${message}`).join("\n"));
  const ports = program.inputs.map(({ port }) => port);
  return {
    core: grad(program),
    ports,
    inputs: (given) => new Map(ports.map((port) => [port.path, inputOf(port, given[port.path])])),
  };
}

function inputOf({ path, dtype, shape }: Core.Port, at: ((...index: number[]) => number) | undefined): Tensor {
  const count = elementCount(shape);
  if (!at) return { dtype, shape, data: defaultInput(0, path, dtype, count) };
  const data: HostArray = hostArray(dtype, count);
  const index = shape.map(() => 0);
  for (let i = 0; i < count; i++) {
    data[i] = at(...index);
    for (let d = shape.length - 1; d >= 0 && ++index[d]! === shape[d]; d--) index[d] = 0;
  }
  return { dtype, shape, data };
}

const onReference = (name: string, options: EvalOptions = {}): Backend => ({
  name,
  ready: true,
  exact: true,
  run: async ({ core, ports }, inputs) => {
    const arrays = ports.map(({ path, dtype, shape }) => ndarray(dtype, shape, inputs.get(path)!.data));
    const results = evaluate(core, arrays, options);
    return new Map(core.outputs.map(({ path }, i) => [path, results[i]!]));
  },
});
export const reference = onReference("reference");
/** Without the rounding of casts to 16 bits, which falls in other places on another mesh. */
export const unrounded = onReference("reference, unrounded", { exact: true });

/** Sessions by backend and number of devices: opening devices and compiling kernels anew for each test would take longest. */
const sessions = new Map<string, Promise<Session>>();
function sessionFor(backend: string, devices: number): Promise<Session> {
  const key = `${backend} ${devices}`;
  const made = sessions.get(key) ?? openSession({ backend, devices });
  sessions.set(key, made);
  return made;
}

type Run = Backend["run"];
/** `before`: what to do before each of several runs, whose results must be the same bits. */
const onDevices =
  (backend: string, options: CompileOptions, before: readonly (() => void)[] = [() => {}]): Run =>
  async ({ core, ports }, inputs) => {
    before[0]!();
    const session = await sessionFor(
      backend,
      core.mesh.axes.reduce((n, axis) => n * axis.size, 1),
    );
    const { compiled, diagnostics } = compileProgram(core, { ...targetFor(session.devices[0]!.info), ...options });
    if (!compiled) throw new Error(diagnostics.map(({ code, message }) => `${code}: ${message}`).join("\n"));
    const loaded = await session.load(compiled);
    const results = new Map<string, Tensor>();
    for (const prepare of before) {
      prepare();
      const arrays = await loaded.run(Object.fromEntries(ports.map(({ path }) => [path, inputs.get(path)!])));
      for (const [path, array] of Object.entries(arrays)) {
        const result = await array.read();
        array.free();
        const known = results.get(path);
        if (known && !result.data.every((x, i) => Object.is(x, known.data[i])))
          throw new Error(`'${path}' depends on the order in which threads and copies come`);
        results.set(path, result);
      }
    }
    return results;
  };

/** Compiled by the whole pipeline, run on the adapter that WebGPU finds: the bundled software one where there is no other. */
export const onWebGPU = (options: CompileOptions = {}): Backend => ({
  name: "webgpu",
  ready: true,
  exact: false,
  run: onDevices("webgpu", options),
});

/** WebAssembly on this machine's own threads. */
export const onCpu = (options: CompileOptions = {}): Backend => ({
  name: "cpu",
  ready: true,
  exact: false,
  run: onDevices("cpu", options),
});

/**
 * CUDA C++ on the stand-in of tests/cuda, two GPUs: with threads in order and late copies, with threads that run ahead and
 * early copies, and at random (stand-in/block.h).
 */
export const onCuda = (options: CompileOptions = {}): Backend => ({
  name: "cuda on a CPU",
  ready: !("why" in standIn),
  exact: false,
  run: onDevices(
    "cuda",
    { ...options, target: "cuda" },
    [0, 1, 2].map((schedule) => () => useStandIn({ schedule })),
  ),
});

export const webgpu = onWebGPU();
export const cpu = onCpu();
/** The GPUs of this machine. */
const onGpu = (options: CompileOptions = {}): Backend => ({
  name: "cuda",
  ready: true,
  exact: false,
  run: onDevices("cuda", { ...options, target: "cuda" }),
});

/** `npm run test:cuda` names the only devices that tests are to run on. */
const only = new Map([
  ["cuda", onGpu],
  ["stand-in", onCuda],
]).get(process.env.GYRE_TEST_DEVICE ?? "");
const cudaOnCpu = onCuda();
export const backends: readonly Backend[] = only ? [only()] : [reference, cpu, webgpu, cudaOnCpu];
/** Those of them that take next to no time to get ready; what is compiled with options of its own. */
export const devicesWith = (options: CompileOptions): readonly Backend[] =>
  only ? [only(options)] : [onCpu(options), onWebGPU(options)];
export const devices: readonly Backend[] = devicesWith({});

/**
 * The backends that a trial runs on. A C++ compiler takes its time over the kernels of the stand-in: every fourth trial runs
 * on it too, the same ones each time, and all of them with `npm run test:cuda -- --stand-in`.
 */
export function backendsFor(title: string): readonly Backend[] {
  const sampled = createHash("sha256").update(title).digest()[0]! % 4 === 0;
  return only || sampled ? backends : backends.filter((b) => b !== cudaOnCpu);
}
