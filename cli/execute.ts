/** Runs a compiled program: on devices, or on the reference interpreter. */

import type { Compiled } from "../compiler/compile.ts";
import { evaluate } from "../compiler/core/eval.ts";
import { grad } from "../compiler/core/grad.ts";
import type { DType, Port, Program } from "../compiler/core/ir.ts";
import { dtypesBehind } from "../compiler/core/precision.ts";
import { printSpec } from "../compiler/core/print.ts";
import type { DeviceArray } from "../runtime/array.ts";
import { elementCount, roundTo, type Tensor } from "../runtime/dtype.ts";
import type { PartialTensor } from "../runtime/inputs.ts";
import { defaultTensor } from "../runtime/parts.ts";
import { defaultInput } from "../runtime/random.ts";
import type { Session } from "../runtime/session.ts";
import type { TraceEvent } from "../runtime/trace.ts";
import type { Matched } from "./inputs.ts";
import type { Progress } from "./progress.ts";
import type { Held, Result } from "./results.ts";
import { plural } from "./text.ts";

/** Results, the milliseconds of each run, and where it ran: `on 4 devices (SwiftShader)`. */
export type Ran = { readonly outputs: readonly Result[]; readonly times: readonly number[]; readonly where: string };

/** An array for each port: the given one, or random numbers. Floats are what the dtype can hold, on every backend. */
export const allInputs = (
  ports: readonly Port[],
  given: ReadonlyMap<string, Matched>,
  seed: number,
): readonly Tensor[] =>
  ports.map(({ path, dtype, shape }) => {
    const data = given.get(path)?.tensor().data;
    if (data) return { dtype, shape, data: roundTo(data, dtype) };
    return { dtype, shape, data: defaultInput(seed, path, dtype, elementCount(shape)) };
  });

/** The same for a process of several, which makes and reads only what its devices hold. */
export const partialInputs = (
  ports: readonly Port[],
  given: ReadonlyMap<string, Matched>,
  seed: number,
): readonly (Tensor | PartialTensor)[] =>
  ports.map(({ path, dtype, shape }) => {
    const one = given.get(path);
    return one ? (one.parts ?? one.tensor()) : defaultTensor(seed, path, dtype, shape);
  });

/** The meaning of the program, in float64; slow. `dtypes`: of all that a result is computed from. */
export function reference(
  program: Program,
  inputs: readonly Tensor[],
  line: Progress,
): Ran & { readonly dtypes: (result: number) => ReadonlySet<DType> } {
  line.at("reference interpreter");
  const began = performance.now();
  let told = began;
  const plain = grad(program);
  const outputs = evaluate(
    plain,
    inputs.map(({ dtype, shape, data }) => ({ dtype, shape, data: Float64Array.from(data) })),
    {
      // The interpreter does not yield, so the line is drawn from here.
      onStep: (done) => {
        const now = performance.now();
        if (now - told < 250) return;
        told = now;
        line.at(`reference interpreter, ${done} blocks`);
      },
    },
  );
  return {
    outputs: program.outputs.map((port, i) => ({ path: port.path, spec: printSpec(port.spec), tensor: outputs[i]! })),
    times: [performance.now() - began],
    where: "on the reference interpreter",
    dtypes: (result) => dtypesBehind(plain, result),
  };
}

/** The reference as a backend: its results in the arrays that devices give back, and `repeat` times where asked. */
export function onReference(program: Program, inputs: readonly Tensor[], line: Progress, repeat = 1): Ran {
  const runs = Array.from({ length: repeat }, () => reference(program, inputs, line));
  const outputs = runs[0]!.outputs.map((r) => ({
    ...r,
    tensor: { ...r.tensor, data: roundTo(r.tensor.data, r.tensor.dtype) },
  }));
  return { ...runs[0]!, outputs, times: runs.flatMap((r) => r.times) };
}

export type OnDevices = {
  readonly repeat?: number;
  readonly trace?: (event: TraceEvent) => void;
  /** Told what is done now. */
  readonly at?: (what: string) => void;
  /** Whether results are read; they stay on the devices too. */
  readonly read: boolean;
};
/** `held`: the results as they are on the devices. */
export type RanOnDevices = Ran & { readonly held: readonly Held[] };

/** Runs on the devices of a session. The inputs are made when it is known that the devices can hold them. With `repeat`: that many timed runs after one that is not counted. */
export async function onDevices(
  session: Session,
  compiled: Compiled,
  inputs: () => readonly (Tensor | PartialTensor)[],
  line: Progress,
  { repeat, trace, at, read }: OnDevices,
): Promise<RanOnDevices> {
  const { schedule, kernels, program } = compiled;
  const count = schedule.mesh.axes.reduce((n, axis) => n * axis.size, 1);
  line.at(`compiling ${plural(kernels.length, "kernel")} for ${plural(count, "device")}`);
  const loaded = await session.load(compiled);
  line.at("making the inputs");
  const arrays = inputs();
  const held: Record<string, DeviceArray> = {};
  for (const [i, { port }] of program.inputs.entries()) held[port.path] = await loaded.put(port.path, arrays[i]!);
  const runs = repeat === undefined ? 1 : repeat + 1;
  const times: number[] = [];
  let results: Record<string, DeviceArray> = {};
  for (let i = 0; i < runs; i++) {
    const name = runs === 1 ? "running" : i === 0 ? "warming up" : `run ${i} of ${repeat}`;
    for (const old of Object.values(results)) old.free();
    const began = performance.now();
    results = await loaded.run(held, {
      progress: (done, total) => line.at(name, done / total),
      ...(trace && i === runs - 1 ? { trace } : {}),
      ...(at ? { at } : {}),
    });
    if (i > 0 || runs === 1) times.push(performance.now() - began);
  }
  line.at("reading the results");
  at?.("reading the results");
  const all = schedule.outputs.map(({ path, spec }) => ({ path, spec: printSpec(spec), array: results[path]! }));
  const outputs: Result[] = [];
  if (read) for (const { array, ...rest } of all) outputs.push({ ...rest, tensor: await array.read() });
  const adapters = [...new Set(session.devices.map((d) => d.info.adapter))].join(", ");
  return { outputs, held: all, times, where: `on ${plural(count, "device")} (${adapters})` };
}
