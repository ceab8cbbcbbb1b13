/** Specs of kernels: of the body of a `tiles`, of array code that was chosen to be together, of one number everywhere. */
import type { Atom, Eqn, OpEqn, TilesEqn, Var } from "../../core/ir.ts";
import { type Cluster, spaceOf } from "./cluster.ts";
import { tilesResultName } from "./names.ts";
import { coneOf, type Plan } from "./plan.ts";
import { indexKey } from "./relate.ts";
import type { GridAxis, KernelSpec, StoreDim, StoreSpec } from "./spec.ts";

/** A kernel but for what is around it. */
export type Spec = Omit<KernelSpec, "captured" | "ringSize">;

/** Names of the axes of a grid that array code is given. */
const axisName = (k: number): string => "ijklmnpq"[k] ?? `i${k}`;

/** Writes `value` everywhere in `out`. */
export function fillSpec(name: string, out: Var, value: number): Spec {
  const shape = out.type.shape as readonly number[];
  const number: Atom = { kind: "lit", value, type: { ...out.type, shape: [] } };
  const dims = shape.map((size, d): StoreDim => ({ size, value: d, grid: size === 1 ? undefined : `grid ${d}` }));
  const grid = dims.flatMap(({ grid }, d): readonly GridAxis[] =>
    grid === undefined ? [] : [{ key: grid, name: axisName(d), extent: shape[d]!, block: "auto" }],
  );
  return {
    name,
    grid,
    indices: [],
    wholeGrid: true,
    body: [{ kind: "op", op: "full", params: { shape }, args: [number], out }],
    stores: [{ name, shape, access: "write", value: out, dims }],
    pins: [],
  };
}

/** The body of a `tiles`: its indices are the grid. */
export function tilesSpec(name: string, e: TilesEqn): Spec {
  const stores = e.outs.map((out, k): StoreSpec => {
    const value = e.body.results[k]!;
    let next = 0;
    const dims = e.into[k]!.map((entry, d): StoreDim => {
      const index = entry.kind === "index" ? e.indices.find((i) => i.id === entry.id)! : undefined;
      const grid = index && indexKey(index);
      if (index?.block === null) return { size: out.type.shape[d]!, value: undefined, grid };
      const at = value.type.shape.length === 0 ? undefined : next++;
      return { size: index ? index.size : out.type.shape[d]!, value: at, grid };
    });
    const shape = out.type.shape as readonly number[];
    return { name: tilesResultName(e, k) ?? name, shape, access: "write", value, dims };
  });
  const grid = e.indices.map(
    (i): GridAxis => ({
      key: indexKey(i),
      name: i.name,
      extent: i.extent as number,
      block: i.block === null ? 1 : (i.block as number | "auto"),
    }),
  );
  const span = e.span && { span: e.span };
  return { name, ...span, grid, indices: e.indices, wholeGrid: false, body: e.body.eqns, stores, pins: [] };
}

/** What a cluster computes: all its equations in order, those whose results are stored, and the one that it is named after. */
type Members = {
  readonly members: readonly OpEqn[];
  readonly body: readonly Eqn[];
  readonly roots: readonly OpEqn[];
  readonly main: OpEqn;
};
export function clusterOf(plan: Plan, defs: ReadonlyMap<number, Eqn>, c: Cluster): Members {
  const ids = new Set(c.members);
  const body = coneOf(plan, defs, ids, ids).eqns;
  const members = [...ids].map((id) => defs.get(id) as OpEqn);
  const roots = members.filter((e) => plan.stored.has(e.out.id));
  roots.sort((x, y) => body.indexOf(x) - body.indexOf(y));
  const main = roots.filter((e) => !plan.updates.has(e.out.id)).at(-1) ?? roots.at(-1)!;
  return { members, body, roots, main };
}

/** Array code that was chosen to be together: the grid is what its results have in common. */
export function clusterSpec(name: string, plan: Plan, c: Cluster, { members, body, roots, main }: Members): Spec {
  const onGrid = (axis: string | undefined): axis is string => axis !== undefined && c.grid.has(axis);
  const order = c.axes.get(main.out.id)!.filter(onGrid);
  const grid = order.map(
    (key, k): GridAxis => ({ key, name: axisName(k), extent: c.extents.get(key)!, block: "auto" }),
  );
  const stores = roots.map((e): StoreSpec => {
    const update = plan.updates.has(e.out.id) && e.op === "dynamic_update" ? e : undefined;
    const axes = c.axes.get(e.out.id)!;
    const space = spaceOf(e, plan.updates);
    const dims = space.map((size, d): StoreDim => ({ size, value: d, grid: onGrid(axes[d]) ? axes[d] : undefined }));
    const rows = update && {
      dim: update.params.dim,
      start: update.args[2]!,
      last: (e.out.type.shape[update.params.dim] as number) - space[update.params.dim]!,
    };
    return {
      name: e.out.name ?? name,
      shape: e.out.type.shape as readonly number[],
      access: update ? "update" : "write",
      value: update ? update.args[1]! : e.out,
      dims,
      ...(rows && { offset: rows }),
    };
  });
  const pins = members
    .filter((e) => !plan.updates.has(e.out.id))
    .flatMap(({ out }) =>
      c.axes.get(out.id)!.flatMap((key, dim) => (onGrid(key) ? [{ value: out.id, dim, grid: key }] : [])),
    );
  const eqns = body.filter((e) => e.kind !== "op" || !plan.updates.has(e.out.id));
  const span = main.span && { span: main.span };
  return { name, ...span, grid, indices: [], wholeGrid: true, body: eqns, stores, pins };
}
