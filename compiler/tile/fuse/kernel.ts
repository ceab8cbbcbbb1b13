/**
 * One kernel from a block of Core: the body of a `tiles`, or equations of array code that were chosen to be together.
 * First dimensions become axes (unify.ts), then what is stored is pulled (pull.ts).
 */
import type { Dim } from "../../base/dim.ts";
import { invariant } from "../../base/invariant.ts";
import type { Span } from "../../base/span.ts";
import type { DType, Eqn, FoldEqn, Var } from "../../core/ir.ts";
import { add, clamp } from "../arithmetic.ts";
import { constant, edge, fold, kernelBuilder, livingStmts, make, newAxis, operandsOf, pos, unionOf } from "../build.ts";
import type { Axis, BufferParam, Kernel, Scalar, Stmt, Store, Value } from "../ir.ts";
import { coordinate, ownIndex, type Place, type Puller, pull, type Source } from "./pull.ts";
import { elementDeps, indexKey, indexOfDim, indicesOf, numericSize, relate } from "./relate.ts";
import type { Captured, KernelSpec, StoreSpec } from "./spec.ts";
import { find, fixedOf, node } from "./unify.ts";

/** `reads[k]`: the array for the kernel's buffer k; what is stored follows, in the order of the spec. */
export type EmittedKernel = { readonly kernel: Kernel; readonly reads: readonly number[] };

/** The kernel of a spec. Throws {@link NotSupported}. */
export function emitKernel(spec: KernelSpec): EmittedKernel {
  const indices = indicesOf(spec);
  const relations = relate(spec, indices);

  const scalars: Scalar[] = [];
  const ranges: (readonly [number, number])[] = [];
  const b = kernelBuilder((k) => ranges[k]);
  const reads: { array: number; param: BufferParam }[] = [];
  const local = new Map<number, Source>();
  const axes = new Map<string, Axis>();
  let inner = 0;
  const size = (d: Dim, span: Span | undefined): number => numericSize(indices, d, span ?? spec.span);
  const bufferOf = (c: Extract<Captured, { kind: "array" }>, dtype: DType): number => {
    const k = reads.findIndex((r) => r.array === c.array && String(r.param.shape) === String(c.shape));
    if (k >= 0) return k;
    reads.push({ array: c.array, param: { name: c.name, dtype, shape: c.shape, access: "read" } });
    return reads.length - 1;
  };
  const scalar = (s: Scalar, count: number): Value => {
    const key = JSON.stringify(s);
    let k = scalars.findIndex((x) => JSON.stringify(x) === key);
    if (k < 0) {
      k = scalars.length;
      scalars.push(s);
      ranges.push([0, Math.max(0, count - 1)]);
    }
    return make(b, "i32", { kind: "scalar", index: k });
  };
  const source = (v: Var): Source => {
    const known = local.get(v.id);
    if (known) return known;
    const c = spec.captured(v);
    if (c.kind === "eqn") return c;
    if (c.kind === "step") return { kind: "scalar", value: () => scalar({ kind: "step", loop: c.loop }, c.count) };
    return { kind: "memory", buffer: () => bufferOf(c, v.type.dtype) };
  };
  const place = (value: number, dim: number | string): Place | undefined => {
    const n = node(value, dim);
    const d = relations.dims.get(n);
    if (d === undefined) return undefined;
    const key = fixedOf(relations.unifier, n) ?? find(relations.unifier, n);
    const index = indexOfDim(indices, d);
    let axis = axes.get(key);
    if (!axis) {
      invariant(!key.startsWith("index "), "a block's axis is used inside its loop");
      axis = newAxis(b, {
        name: innerName(inner++),
        role: "inner",
        extent: size(d, spec.span),
        block: size(d, spec.span),
      });
      axes.set(key, axis);
    }
    return { axis, base: index && axis.role === "inner" ? edge(b, axes.get(indexKey(index))!, "first") : undefined };
  };
  const p: Puller = {
    b,
    source,
    place,
    axisOfIndex: (i) => axes.get(indexKey(i))!,
    indexOf: (d) => indexOfDim(indices, d),
    size,
    scalar: (s) => scalar(s, s.kind === "axis_index" ? spec.ringSize(s.axes) : 1),
    ringSize: spec.ringSize,
    memo: new Map(),
    anchored: new Map(),
  };

  const grid = spec.grid.map(({ key, name, extent, block }) => {
    const axis = newAxis(b, {
      name,
      role: "grid",
      extent,
      block: block === "auto" ? block : Math.min(block, Math.max(1, extent)),
    });
    axes.set(key, axis);
    return axis;
  });
  for (const i of spec.indices)
    if (i.element) local.set(i.element.id, { kind: "scalar", value: () => pos(b, p.axisOfIndex(i)) });
  const deps = elementDeps(spec, axes);
  emitEqns(p, spec.body, { local, axes, deps });

  const drafts = spec.stores.map((s, k) => {
    const coords = s.dims.map((d, dim) =>
      d.size === 1 && !d.grid ? constant(b, 0, "i32") : coordinate(p, place(-1 - k, dim)!),
    );
    const rank = s.value.type.shape.length;
    const valueIndex: Value[] = Array.from({ length: rank }, () => constant(b, 0, "i32"));
    for (const [dim, d] of s.dims.entries()) if (d.value !== undefined) valueIndex[d.value] = coords[dim]!;
    return { index: offsetIndex(p, s, coords), value: pull(p, s.value, valueIndex) };
  });
  const body = livingStmts(
    b.scopes[0]!.stmts,
    drafts.flatMap((d) => [...d.index, d.value]),
  );
  const used = compactBuffers(
    body,
    drafts.flatMap((d) => [...d.index, d.value]),
    reads,
  );
  const stores: Store[] = drafts.map((d, k) => ({ buffer: used.length + k, ...d }));
  const kernel: Kernel = {
    name: spec.name,
    buffers: uniqueNames([
      ...used.map((r) => r.param),
      ...spec.stores.map(
        (s): BufferParam => ({ name: s.name, dtype: s.value.type.dtype, shape: s.shape, access: s.access }),
      ),
    ]),
    scalars,
    grid,
    body,
    stores,
    ...(spec.span && { span: spec.span }),
  };
  return { kernel, reads: used.map((r) => r.array) };
}

const letters = "defghklmnpqrstuvwxyz";
const innerName = (k: number): string =>
  letters[k % letters.length]! + (k >= letters.length ? Math.floor(k / letters.length) : "");

function offsetIndex(p: Puller, s: StoreSpec, coords: readonly Value[]): readonly Value[] {
  if (!s.offset) return coords;
  const { dim, start, last } = s.offset;
  const from = clamp(p.b, pull(p, start, []), last);
  return coords.with(dim, add(p.b, from, coords[dim]!));
}

/** Binds what a block computes. Folds are emitted where they stand, everything else when it is first pulled. */
function emitEqns(p: Puller, eqns: readonly Eqn[], state: State): void {
  for (const e of eqns) {
    if (e.kind === "op") state.local.set(e.out.id, { kind: "eqn", eqn: e });
    else {
      invariant(e.kind === "fold", `${e.kind} inside a kernel`);
      emitFold(p, e, state);
    }
  }
}
type State = {
  readonly local: Map<number, Source>;
  readonly axes: Map<string, Axis>;
  readonly deps: (v: Var) => readonly Axis[];
};
function emitFold(p: Puller, e: FoldEqn, state: State): void {
  const own = (v: Var): readonly Value[] => ownIndex(p, v)!;
  const init = e.carry.map((v, k) => pull(p, e.init[k]!, own(v)));
  const axes = e.carry.map((v) => {
    const dims = v.type.shape.flatMap((size, d) => (size === 1 ? [] : [p.place(v.id, d)!.axis]));
    return unionOf(dims, state.deps(v));
  });
  const over = overOf(p, e, state);
  const results = fold(p.b, { over, init, axes }, (carry, step) => {
    e.carry.forEach((v, k) => {
      state.local.set(v.id, { kind: "held", value: carry[k]!, of: v });
    });
    const { over } = e;
    if (over.kind === "steps") state.local.set(over.step.id, { kind: "scalar", value: () => step! });
    else if (over.index.element)
      state.local.set(over.index.element.id, { kind: "scalar", value: () => pos(p.b, p.axisOfIndex(over.index)) });
    emitEqns(p, e.body.eqns, state);
    return e.carry.map((v, k) => pull(p, e.body.results[k]!, own(v)));
  });
  e.outs.forEach((v, k) => {
    state.local.set(v.id, { kind: "held", value: results[k]!, of: e.carry[k]! });
  });
}
function overOf(p: Puller, e: FoldEqn, state: State): Axis | number {
  if (e.over.kind === "steps") return p.size(e.over.count, e.span);
  const { index } = e.over;
  const extent = p.size(index.extent, e.span);
  const block =
    index.block === null
      ? 1
      : index.block === "auto"
        ? "auto"
        : Math.min(p.size(index.block, e.span), Math.max(1, extent));
  const axis = newAxis(p.b, { name: index.name, role: "fold", extent, block });
  state.axes.set(indexKey(index), axis);
  return axis;
}

/** Leaves out buffers that nothing reads any more, and numbers the others anew. */
function compactBuffers<R>(body: readonly Stmt[], stored: readonly Value[], reads: readonly R[]): readonly R[] {
  const loads = new Set<{ buffer: number }>();
  const seen = new Set<number>();
  const see = (v: Value): void => {
    if (seen.has(v.id)) return;
    seen.add(v.id);
    operandsOf(v.def).forEach(see);
    if (v.def.kind === "load") loads.add(v.def as { buffer: number });
  };
  const walk = (stmts: readonly Stmt[]): void => {
    for (const s of stmts) {
      if (s.kind === "let") see(s.value);
      else {
        [...s.init, ...s.next].forEach(see);
        walk(s.body);
      }
    }
  };
  walk(body);
  stored.forEach(see);
  const used = new Set([...loads].map((d) => d.buffer));
  const kept = reads.flatMap((_, k) => (used.has(k) ? [k] : []));
  for (const d of loads) d.buffer = kept.indexOf(d.buffer);
  return kept.map((k) => reads[k]!);
}

function uniqueNames(params: readonly BufferParam[]): readonly BufferParam[] {
  const taken = new Set<string>();
  return params.map((param) => {
    let name = param.name;
    for (let k = 1; taken.has(name); k++) name = `${param.name}_${k}`;
    taken.add(name);
    return { ...param, name };
  });
}
