/** What a kernel under construction takes: buffers and parameters are numbered as they are first read. */
import { type KernelBuilder, kernelBuilder } from "../build.ts";
import { uniqueName } from "../fuse/names.ts";
import type { Axis, BufferParam, Kernel, Scalar, Store } from "../ir.ts";

/** Where a buffer of a new kernel comes from: a buffer of the old one, or what the parts of a result came to. */
export type Source = { readonly kind: "buffer" | "parts"; readonly index: number };
export type Piece = { readonly kernel: Kernel; readonly sources: readonly Source[] };

export type Reads = {
  readonly b: KernelBuilder;
  readonly of: Kernel;
  readonly sources: Source[];
  readonly params: BufferParam[];
  readonly scalars: number[];
};
export const readsOf = (of: Kernel): Reads => ({ b: kernelBuilder(), of, sources: [], params: [], scalars: [] });

/** The number of a buffer that is read. A buffer is seen in one shape, whoever reads it. */
export function readBuffer(r: Reads, source: Source, param: Omit<BufferParam, "access">): number {
  const known = r.sources.findIndex((s) => s.kind === source.kind && s.index === source.index);
  if (known >= 0) return known;
  r.sources.push(source);
  return r.params.push({ ...param, access: "read" }) - 1;
}
export function readScalar(r: Reads, index: number): number {
  const known = r.scalars.indexOf(index);
  return known >= 0 ? known : r.scalars.push(index) - 1;
}

/** The kernel that was built. `stores[k]` goes to the output `outputs[k]`, which is made for `made[k]`. */
export function pieceOf(
  r: Reads,
  name: string,
  grid: readonly Axis[],
  stores: readonly Omit<Store, "buffer">[],
  outputs: readonly BufferParam[],
  made: readonly Source[],
): Piece {
  const names = new Set<string>();
  const scalars = r.scalars.map((k): Scalar => r.of.scalars[k]!);
  const kernel: Kernel = {
    name,
    buffers: [...r.params, ...outputs].map((p) => ({ ...p, name: uniqueName(names, p.name) })),
    scalars,
    grid,
    body: r.b.scopes[0]!.stmts,
    stores: stores.map((s, k) => ({ ...s, buffer: r.params.length + k })),
    ...(r.of.span && { span: r.of.span }),
  };
  return { kernel, sources: [...r.sources, ...made] };
}
