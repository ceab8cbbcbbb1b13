/** What the kernels know of their masks on blocks, as expressions that survive JSON. */
import { foldsOf, type Mapping } from "../../compiler/lane/map.ts";
import { isWorkOp } from "../../compiler/schedule/work.ts";
import type { Axis, Kernel, Value } from "../../compiler/tile/ir.ts";
import type { Mask, MaskAxis, MaskExpr } from "../data.ts";

/** The masks of a kernel's loops whose bounds depend on at most one grid axis. */
export function masksOf(kernel: Kernel, number: number, mapping: Mapping): readonly Mask[] {
  return foldsOf(kernel.body).flatMap((fold) => {
    const { over, bounds } = fold;
    if (over.kind !== "blocks" || !bounds) return [];
    const conditions = [...(bounds.run ? [bounds.run] : []), ...bounds.full.map((f) => f.when)];
    const edges = conditions.flatMap(edgesOf).filter((a) => a.id !== over.axis.id);
    const rows = edges[0];
    if (!rows || edges.some((a) => a.id !== rows.id)) return [];
    const translate = (v: Value): MaskExpr | undefined => expression(v, kernel, rows, over.axis);
    const run = bounds.run ? translate(bounds.run) : 1;
    const full = bounds.full.map((f) => translate(f.when));
    if (run === undefined || full.some((f) => f === undefined)) return [];
    const size = (a: Axis): MaskAxis => ({
      name: a.name,
      extent: a.extent,
      block: Math.min(a.extent, mapping.axes.get(a.id)?.block ?? a.extent),
    });
    const loops = kernel.scalars.flatMap((s) => (s.kind === "step" ? [s.loop] : []));
    return [
      {
        kernel: number,
        rows: size(rows),
        columns: size(over.axis),
        run,
        full: (full as MaskExpr[]).reduce<MaskExpr>((a, b) => (a === 1 ? b : { op: "and", args: [a, b] }), 1),
        loop: loops[0] ?? null,
        notes: bounds.notes,
      },
    ];
  });
}

function edgesOf(v: Value): readonly Axis[] {
  if (v.def.kind === "edge") return [v.def.axis];
  return v.def.kind === "map" ? v.def.args.flatMap(edgesOf) : [];
}

/** Undefined where it depends on something that only a device knows. */
function expression(v: Value, kernel: Kernel, rows: Axis, columns: Axis): MaskExpr | undefined {
  const d = v.def;
  switch (d.kind) {
    case "const":
      return d.value;
    case "scalar": {
      const scalar = kernel.scalars[d.index]!;
      return scalar.kind === "step" ? { step: scalar.loop } : { place: scalar.axes };
    }
    case "edge":
      if (d.axis.id === rows.id) return { at: "row", end: d.end };
      return d.axis.id === columns.id ? { at: "column", end: d.end } : undefined;
    case "map": {
      const args = d.args.map((a) => expression(a, kernel, rows, columns));
      if (!isWorkOp(d.op) || args.some((a) => a === undefined)) return undefined;
      return { op: d.op, args: args as MaskExpr[] };
    }
    default:
      return undefined;
  }
}
