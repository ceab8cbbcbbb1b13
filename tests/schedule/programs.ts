/** Small device programs by hand, for the tests of schedule and runtime. */

import type { Kernel as KernelMeta } from "../../compiler/schedule/schedule.ts";
import type { ArrayInfo, DeviceProgram, HostRoute, HostStep, Kernel, Scalar } from "../../compiler/tile/ir.ts";

type DType = ArrayInfo["dtype"];
type Access = "read" | "write" | "update";

/** Collects arrays, kernels and steps. Everything is f32 of the shape given when it was made. */
export function programBuilder(name: string, axes: Record<string, number>) {
  const arrays: ArrayInfo[] = [];
  const kernels: Kernel[] = [];
  const inputs: DeviceProgram["inputs"][number][] = [];
  const outputs: DeviceProgram["outputs"][number][] = [];
  const mesh = { name: "m", axes: Object.entries(axes).map(([axis, size]) => ({ name: axis, size })) };
  const array = (label: string, shape: readonly number[], dtype: DType = "f32"): number => {
    arrays.push({ id: arrays.length, name: label, dtype, shape });
    return arrays.length - 1;
  };
  const port = (id: number, path: string, split: string | null) => {
    const { shape, dtype } = arrays[id]!;
    const n = split === null ? 1 : axes[split]!;
    const global = shape.map((size, dim) => (dim === 0 ? size * n : size));
    const spec = shape.map((_, dim) => ({ axes: dim === 0 && split ? [split] : [], layout: "contiguous" as const }));
    return { port: { path, dtype, shape: global, spec, written: global.map(String) }, array: id };
  };
  return {
    array,
    /** An input whose first dimension is split over `split`. */
    input(label: string, shape: readonly number[], split: string | null, dtype: DType = "f32"): number {
      const id = array(label, shape, dtype);
      inputs.push(port(id, label, split));
      return id;
    },
    output(id: number, path: string, split: string | null) {
      outputs.push(port(id, path, split));
    },
    kernel(
      label: string,
      access: readonly Access[],
      shape: readonly number[],
      scalars: readonly Scalar[] = [],
    ): number {
      const buffers = access.map((a, i) => ({ name: `b${i}`, dtype: "f32" as const, shape, access: a }));
      kernels.push({ name: label, buffers, scalars, grid: [], body: [], stores: [] });
      return kernels.length - 1;
    },
    finish(steps: readonly HostStep[]): DeviceProgram {
      return { name, mesh, arrays, kernels, inputs, outputs, steps };
    },
  };
}

export const launch = (kernel: number, ...buffers: number[]): HostStep => ({
  kind: "launch",
  kernel,
  buffers,
  updates: [],
});
/** `buffer`: the place among `buffers` of the output that starts as `from`. */
export const update = (kernel: number, buffers: number[], buffer: number, from: number): HostStep => ({
  kind: "launch",
  kernel,
  buffers,
  updates: [{ buffer, from }],
});
export const permute = (input: number, output: number, shift: number | HostRoute = 1, axes = ["sp"]): HostStep => ({
  kind: "permute",
  axes,
  route: typeof shift === "number" ? { kind: "shift", offset: shift } : shift,
  input,
  output,
});
type CarrySpec = readonly [init: number, inside: number, next: number, out: number | null];
export const loop = (id: number, count: number, carry: readonly CarrySpec[], body: readonly HostStep[]): HostStep => ({
  kind: "loop",
  id,
  count,
  carry: carry.map(([init, inside, next, out]) => ({ init, inside, next, out })),
  body,
});

/** What the emitter would say of the kernels. */
export const metaOf = (program: DeviceProgram, groups: readonly [number, number, number] = [1, 1, 1]): KernelMeta[] =>
  program.kernels.map((k) => ({ name: k.name, groups, bindings: k.buffers, scalars: k.scalars }));

/** Sum of x over the devices: acc = 0; n times acc += cur, cur = ppermute(cur). The last permute is wasted. */
export function ringSum(n: number, size = 8): DeviceProgram {
  const b = programBuilder("ring_sum", { sp: n });
  const shape = [size];
  const x = b.input("x", shape, "sp");
  const [zero, acc, cur, acc2, cur2, sum] = ["zero", "acc", "cur", "acc'", "cur'", "sum"].map((a) =>
    b.array(a, shape),
  ) as [number, number, number, number, number, number];
  const fill = b.kernel("fill", ["write"], shape);
  const add = b.kernel("add", ["read", "read", "write"], shape);
  b.output(sum, "", "sp");
  return b.finish([
    launch(fill, zero),
    loop(
      0,
      n,
      [
        [zero, acc, acc2, sum],
        [x, cur, cur2, null],
      ],
      [launch(add, acc, cur, acc2), permute(cur, cur2)],
    ),
  ]);
}
