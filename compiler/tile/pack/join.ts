/** The kernel that joins arrays: flat, one after the other. */
import { clamp, compare, plus, select } from "../arithmetic.ts";
import { constant, kernelBuilder, load, newAxis, pos } from "../build.ts";
import { uniqueName } from "../fuse/names.ts";
import type { ArrayInfo, BufferParam, Kernel, Value } from "../ir.ts";

export const elementsOf = (shape: readonly number[]): number => shape.reduce((n, m) => n * m, 1);

/** joined[i] = part[i - the elements before the part], for the part that i lies in. The parts have one dtype, and elements. */
export function joinKernel(name: string, parts: readonly ArrayInfo[]): Kernel {
  const { dtype } = parts[0]!;
  const sizes = parts.map((p) => elementsOf(p.shape));
  const total = sizes.reduce((n, m) => n + m, 0);
  const b = kernelBuilder();
  const axis = newAxis(b, { name: "i", role: "grid", extent: total, block: "auto" });
  const here = pos(b, axis);
  const from = (k: number, start: number): Value => {
    const size = sizes[k]!;
    const element = load(b, dtype, k, [clamp(b, plus(b, here, -start), size - 1)]);
    if (k === parts.length - 1) return element;
    const end = start + size;
    return select(b, compare(b, "lt", here, constant(b, end, "i32")), element, from(k + 1, end));
  };
  const value = from(0, 0);
  const taken = new Set<string>();
  const buffer = (hint: string, size: number, access: BufferParam["access"]): BufferParam => ({
    name: uniqueName(taken, hint),
    dtype,
    shape: [size],
    access,
  });
  return {
    name,
    buffers: [...parts.map((p, k) => buffer(p.name, sizes[k]!, "read")), buffer("joined", total, "write")],
    scalars: [],
    grid: [axis],
    body: b.scopes[0]!.stmts,
    stores: [{ buffer: parts.length, index: [here], value }],
  };
}
