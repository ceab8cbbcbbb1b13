/** Kernels that were written by hand for the software adapter, on a device of Gyre's runtime. */
import type { Groups, KernelSource } from "../../runtime/device.ts";
import { openDevices } from "../../runtime/open.ts";
import { handwrittenAttention, handwrittenGroups } from "../handwritten/attention.ts";
import { handwrittenProduct, handwrittenProductGroups } from "../handwritten/matmul.ts";
import { count, type Problem } from "../workloads/workload.ts";
import type { Prepare } from "./contender.ts";

export const prepare: Prepare = async ({ problem, inputs: specs }, arrays) => {
  const kernelHere = kernelFor(problem);
  if (!kernelHere) return undefined;
  const [device] = await openDevices("webgpu", 1);
  const { subgroups } = device!.info.features;
  if (subgroups === false || subgroups.min !== 4 || subgroups.max !== 4) return undefined;
  const buffers = specs.map(({ name, shape }) => {
    const buffer = device!.alloc(4 * count(shape), name);
    device!.write(buffer, 0, arrays[name]!);
    return buffer;
  });
  const out = device!.alloc(buffers[0]!.bytes, "out");
  const kernel = await device!.compile(kernelHere.source);
  const run = async (): Promise<undefined> => {
    device!.launch(kernel, [...buffers, out], new Uint32Array(0), kernelHere.groups);
    await device!.idle();
  };
  await run();
  return { run, results: async () => ({ out: new Float32Array(await device!.read(out, 0, out.bytes)) }) };
};

function kernelFor(problem: Problem): { readonly source: KernelSource; readonly groups: Groups } | undefined {
  if (problem.kind === "matmul") {
    const size = { m: problem.size, k: problem.size, n: problem.size };
    return { source: handwrittenProduct(size), groups: handwrittenProductGroups(size) };
  }
  if (problem.kind !== "attention" || problem.mask === "window" || problem.keyHeads !== problem.heads) return undefined;
  const size = { ...problem, causal: problem.mask === "causal" };
  return { source: handwrittenAttention(size), groups: handwrittenGroups(size) };
}
