/** What one launch of a kernel does at most: for estimates and listings, masks and caches not counted. */
import { bytesEach, isFloat } from "../core/dtype.ts";
import { operandsOf } from "./build.ts";
import type { Axis, Kernel, Stmt, Value } from "./ir.ts";

/** `flops`: every elementwise or reducing step once (a multiply-add is 2). `bytes`: every buffer once, one that goes on from what it held twice. */
export function costOf(kernel: Kernel): { readonly flops: number; readonly bytes: number } {
  const seen = new Set<number>();
  const read = new Set<number>();
  let flops = 0;
  /** `times`: the steps of the loops around it that are no axes. */
  const count = (v: Value, times: number): void => {
    if (seen.has(v.id)) return;
    seen.add(v.id);
    for (const x of operandsOf(v.def)) count(x, times);
    if (v.def.kind === "load") read.add(v.def.buffer);
    const axes: readonly Axis[] = v.def.kind === "reduce" ? [...v.axes, v.def.axis] : v.axes;
    const float = isFloat(v.dtype);
    if (float && (v.def.kind === "map" || v.def.kind === "reduce" || v.def.kind === "scan"))
      flops += axes.reduce((n, a) => n * a.extent, times);
  };
  const walk = (body: readonly Stmt[], times: number): void => {
    for (const s of body) {
      if (s.kind === "let") count(s.value, times);
      else {
        const inside = s.over.kind === "steps" ? times * s.over.count : times;
        walk(s.body, inside);
        for (const v of s.next) count(v, inside);
      }
    }
  };
  walk(kernel.body, 1);
  for (const s of kernel.stores) count(s.value, 1);
  const bytes = kernel.buffers.reduce((n, b, k) => {
    const times = b.access === "update" && read.has(k) ? 2 : 1;
    return n + times * b.shape.reduce((m, d) => m * d, 1) * bytesEach(b.dtype);
  }, 0);
  return { flops, bytes };
}
