/**
 * Kernel → Work: what one launch does, with the blocks that masks leave out left out.
 *
 * Nothing is measured here and no mask is known by name: the conditions are those that `tile/bounds.ts` wrote on the folds,
 * by which the kernel itself skips blocks. They are copied as data, so that a schedule says by itself what a launch costs
 * on each device and in each step.
 */
import { isFloat } from "../core/dtype.ts";
import { operandsOf } from "../tile/build.ts";
import type { Axis, Fold, Kernel, Stmt, Value } from "../tile/ir.ts";
import type { DType, Masked, Ops, Work, WorkNode, WorkOp } from "./schedule.ts";

/** The work of a launch of `kernel`. Operations are counted once for each element; loads and integers are free. */
export function workOf(kernel: Kernel): Work {
  const parts = new Map<string, { ops: Counted; runs: readonly Value[] }>();
  const seen = new Set<number>();
  const part = (runs: readonly Value[]): Counted => {
    const key = runs.map((v) => v.id).join();
    const known = parts.get(key) ?? { ops: { products: {}, other: 0 }, runs };
    parts.set(key, known);
    return known.ops;
  };
  const count = (v: Value, into: Counted, times: number): void => {
    if (seen.has(v.id)) return;
    seen.add(v.id);
    const product = productOf(v);
    if (product) {
      const { mul, dtype } = product;
      seen.add(mul.id);
      for (const a of operandsOf(mul.def)) count(a, into, times);
      into.products[dtype] = (into.products[dtype] ?? 0) + 2 * times * elements(axesOf(v));
      return;
    }
    for (const a of operandsOf(v.def)) count(a, into, times);
    if (isFloat(v.dtype) && (v.def.kind === "map" || v.def.kind === "reduce" || v.def.kind === "scan"))
      into.other += times * elements(axesOf(v));
  };
  const walk = (body: readonly Stmt[], runs: readonly Value[], times: number): void => {
    for (const s of body) {
      if (s.kind === "let") count(s.value, part(runs), times);
      else {
        const inside = s.bounds?.run ? [...runs, s.bounds.run] : runs;
        const rounds = s.over.kind === "steps" ? times * s.over.count : times;
        walk(s.body, inside, rounds);
        for (const v of s.next) count(v, part(inside), rounds);
      }
    }
  };
  walk(withoutFactors(kernel.body), [], 1);
  for (const s of kernel.stores) count(s.value, part([]), 1);
  const all = [...parts.values()];
  return {
    always: all.find((p) => p.runs.length === 0)?.ops ?? { products: {}, other: 0 },
    masked: all.filter((p) => p.runs.length > 0).map((p): Masked => ({ ops: p.ops, ...conditionOf(p.runs) })),
  };
}

/** All that a launch does where no block is left out. */
export const totalOps = (work: Work): Ops => sumOps([work.always, ...work.masked.map((m) => m.ops)]);

export function sumOps(all: readonly Ops[]): Ops {
  const products: { [K in DType]?: number } = {};
  for (const { products: p } of all)
    for (const [dtype, flops] of Object.entries(p) as [DType, number][])
      products[dtype] = (products[dtype] ?? 0) + flops;
  return { products, other: all.reduce((sum, o) => sum + o.other, 0) };
}

type Counted = { products: { [K in DType]?: number }; other: number };

const elements = (axes: readonly Axis[]): number => axes.reduce((n, a) => n * a.extent, 1);
/** The axes whose elements a value is computed for one by one. */
const axesOf = (v: Value): readonly Axis[] => (v.def.kind === "reduce" ? [...v.axes, v.def.axis] : v.axes);

/** The body without the products under sums: the sum counts for both. */
function withoutFactors(body: readonly Stmt[]): readonly Stmt[] {
  const factors = new Set<number>();
  const find = (stmts: readonly Stmt[]): void => {
    for (const s of stmts) {
      if (s.kind === "fold") find(s.body);
      else {
        const product = productOf(s.value);
        if (product) factors.add(product.mul.id);
      }
    }
  };
  const drop = (stmts: readonly Stmt[]): readonly Stmt[] =>
    stmts
      .filter((s) => s.kind === "fold" || !factors.has(s.value.id))
      .map((s): Stmt => (s.kind === "fold" ? ({ ...s, body: drop(s.body) } satisfies Fold) : s));
  find(body);
  return drop(body);
}

/**
 * Σ a·b, where one of the factors serves several elements of the result: what machines have units for. Factors count as
 * what they were before they were widened: the narrowest dtype on the way, and of two the wider.
 */
function productOf(v: Value): { readonly mul: Value; readonly dtype: DType } | undefined {
  if (v.def.kind !== "reduce" || v.def.op !== "sum" || !isFloat(v.dtype)) return undefined;
  const mul = v.def.arg;
  if (mul.def.kind !== "map" || mul.def.op !== "mul") return undefined;
  const [a, b] = mul.def.args as [Value, Value];
  const shared = (x: Value, y: Value) => x.axes.every((p) => y.axes.some((q) => q.id === p.id));
  if (shared(a, b) && shared(b, a)) return undefined;
  const [x, y] = [narrowest(a), narrowest(b)];
  return { mul, dtype: x === y ? x : "f32" };
}
function narrowest(v: Value): DType {
  if (v.def.kind !== "cast") return v.dtype;
  const before = narrowest(v.def.arg);
  return v.dtype === "f32" ? before : v.dtype;
}

/** The conjunction of conditions as nodes, and the axes whose blocks they look at. */
function conditionOf(runs: readonly Value[]): Pick<Masked, "axes" | "nodes"> {
  const axes: Axis[] = [];
  const nodes: WorkNode[] = [];
  const places = new Map<number, number>();
  const put = (node: WorkNode): number => nodes.push(node) - 1;
  const axisAt = (axis: Axis): number => {
    const at = axes.findIndex((a) => a.id === axis.id);
    return at >= 0 ? at : axes.push(axis) - 1;
  };
  const place = (v: Value): number => {
    const known = places.get(v.id);
    if (known !== undefined) return known;
    const at = put(nodeOf(v));
    places.set(v.id, at);
    return at;
  };
  const nodeOf = ({ def: d }: Value): WorkNode => {
    switch (d.kind) {
      case "const":
        return { kind: "number", value: d.value };
      case "scalar":
        return { kind: "scalar", index: d.index };
      case "edge":
        return { kind: "edge", axis: axisAt(d.axis), end: d.end };
      case "cast":
        return isFloat(d.arg.dtype)
          ? { kind: "unknown" }
          : { kind: "op", op: "max", args: [place(d.arg), place(d.arg)] };
      case "map":
        return isWorkOp(d.op) ? { kind: "op", op: d.op, args: d.args.map(place) } : { kind: "unknown" };
      default:
        return { kind: "unknown" };
    }
  };
  const all = runs.map(place);
  const last = all.reduce((a, b) => put({ kind: "op", op: "and", args: [a, b] }));
  if (last !== nodes.length - 1) put({ kind: "op", op: "and", args: [last, last] });
  return { nodes, axes: axes.map((a) => ({ extent: a.extent, block: blockOf(a) })) };
}

const OPS: ReadonlySet<string> = new Set<WorkOp>([
  "add",
  "sub",
  "mul",
  "div",
  "mod",
  "min",
  "max",
  "neg",
  "abs",
  "lt",
  "le",
  "gt",
  "ge",
  "eq",
  "ne",
  "and",
  "or",
  "not",
  "select",
]);
/** Whether an op of a kernel is one that conditions on blocks are told in. */
export const isWorkOp = (op: string): op is WorkOp => OPS.has(op);

/** The program's own blocks; where it leaves them to the mapping, what mappings usually take. */
const blockOf = (a: Axis): number => Math.min(a.extent, a.block === "auto" ? 64 : a.block);
