/**
 * Building Core: equations are collected one after another, and each is bound at the type that its op gives.
 * For passes and tests; what is ill-typed here is a bug of ours.
 */
import { type Dim, dimEqual, dimMul, dimNumber, dimVar } from "../base/dim.ts";
import { invariant } from "../base/invariant.ts";
import type { Span } from "../base/span.ts";
import type { Atom, DType, Eqn, Index, Lit, Mesh, Op, OpEqn, Ops, Port, Program, Spec, Type, Var } from "./ir.ts";
import { ringSize } from "./mesh-layout.ts";
import { isProblem, type TypingContext, typeOf, unionAxes } from "./typing.ts";

/** Where new ids come from: each is handed out once. */
export type Ids = { next: number };
/** The block under construction. */
export type Builder = {
  readonly context: TypingContext;
  readonly ids: Ids;
  readonly eqns: Eqn[];
  readonly span?: Span;
};

export const builder = (context: TypingContext, ids: Ids = { next: 0 }, span?: Span): Builder => ({
  context,
  ids,
  eqns: [],
  ...(span && { span }),
});
const inner = (b: Builder): Builder => ({ ...b, eqns: [] });

/** A type that varies nowhere. */
export const typed = (dtype: DType, ...shape: Dim[]): Type => ({ dtype, shape, varying: [] });
export const fresh = (ids: Ids, type: Type, name?: string): Var => ({
  kind: "var",
  id: ids.next++,
  type,
  ...(name !== undefined && { name }),
});
export const lit = (value: number, dtype: DType = "f32"): Lit => ({ kind: "lit", value, type: typed(dtype) });
export const i32 = (value: number): Lit => lit(value, "i32");

/** Binds the value of an op. */
export function emit<P extends Op>(b: Builder, op: P, params: Ops[P], ...args: Atom[]): Var {
  const type = typeOf(
    op,
    args.map((a) => a.type),
    params,
    b.context,
  );
  invariant(!isProblem(type), `${op} is ill-typed: ${JSON.stringify(type)}`);
  // Layouts are for the elaborator: behind it a size is a number.
  const out = fresh(b.ids, { ...type, shape: type.shape.map((d) => dimNumber(d) ?? d) });
  b.eqns.push({ kind: "op", op, params, args, out, ...(b.span && { span: b.span }) } as unknown as OpEqn);
  return out;
}

/** The atom, widened where it does not vary over all of `axes` yet. */
function widen(b: Builder, atom: Atom, axes: readonly string[]): Atom {
  const missing = axes.filter((a) => !atom.type.varying.includes(a));
  return missing.length > 0 ? emit(b, "pvary", { axes: missing }, atom) : atom;
}

/**
 * `fold step < count with carry = init`. The body gives the next carry, then what is collected at each step.
 * A carry that comes to vary more than its initial value does widens it.
 */
export function fold(
  b: Builder,
  count: Dim,
  init: readonly Atom[],
  body: (b: Builder, step: Var, carry: readonly Var[]) => readonly Atom[],
): readonly Var[] {
  const step = fresh(b.ids, typed("i32"));
  return loop(b, init, { kind: "steps", count, step }, (inside, carry) => body(inside, step, carry));
}
/** `fold index in extent by block with carry = init`, inside tiles. */
export function foldBlocks(
  b: Builder,
  over: IndexShape,
  init: readonly Atom[],
  body: (b: Builder, index: Index, carry: readonly Var[]) => readonly Atom[],
): readonly Var[] {
  const index = newIndex(b.ids, over);
  return loop(b, init, { kind: "blocks", index }, (inside, carry) => body(inside, index, carry));
}
function loop(
  b: Builder,
  init: readonly Atom[],
  over: Extract<Eqn, { kind: "fold" }>["over"],
  body: (b: Builder, carry: readonly Var[]) => readonly Atom[],
): readonly Var[] {
  const inside = inner(b);
  const carry = init.map((a) => fresh(b.ids, a.type, a.kind === "var" ? a.name : undefined));
  const results = body(inside, carry);
  const wider = init.map((a, i) => unionAxes(b.context, a.type.varying, results[i]!.type.varying));
  if (wider.some((axes, i) => axes.length > init[i]!.type.varying.length))
    return loop(
      b,
      init.map((a, i) => widen(b, a, wider[i]!)),
      over,
      body,
    );
  const next = results.map((r, i) => (i < init.length ? widen(inside, r, wider[i]!) : r));
  const extent = over.kind === "steps" ? over.count : over.index.extent;
  const outs = results.map((r, i) =>
    fresh(b.ids, i < init.length ? carry[i]!.type : { ...r.type, shape: [extent, ...r.type.shape] }),
  );
  b.eqns.push({ kind: "fold", over, carry, init, body: { eqns: inside.eqns, results: next }, outs });
  return outs;
}

/** `if cond { then } else { otherwise }`. */
export function branch(
  b: Builder,
  cond: Atom,
  then: (b: Builder) => readonly Atom[],
  otherwise: (b: Builder) => readonly Atom[],
): readonly Var[] {
  const yes = inner(b),
    no = inner(b);
  const left = then(yes),
    right = otherwise(no);
  const outs = left.map((a, i) => {
    const varying = unionAxes(b.context, cond.type.varying, a.type.varying, right[i]!.type.varying);
    return fresh(b.ids, { ...a.type, varying });
  });
  b.eqns.push({
    kind: "if",
    cond,
    then: { eqns: yes.eqns, results: left },
    else: { eqns: no.eqns, results: right },
    outs,
  });
  return outs;
}

export type IndexShape = { readonly name: string; readonly extent: Dim; readonly block: Dim | "auto" | null };
/** A new tile index; one without a block comes with the scalar that stands for it. */
function newIndex(ids: Ids, { name, extent, block }: IndexShape): Index {
  const id = ids.next++;
  const element = block === null ? { element: fresh(ids, typed("i32"), name) } : {};
  return { id, name, extent, block, size: block === null ? 1 : dimVar(name, `block ${id}`), ...element };
}

/** `tiles indices into patterns`: in a pattern a number is the index at that place of `indices`, ":" the value's next dimension. */
export function tiles(
  b: Builder,
  shapes: readonly IndexShape[],
  into: readonly (readonly (number | ":")[])[],
  body: (b: Builder, ...indices: readonly Index[]) => readonly Atom[],
): readonly Var[] {
  const indices = shapes.map((s) => newIndex(b.ids, s));
  const inside = inner(b);
  const results = body(inside, ...indices);
  const outs = results.map((r, k) => {
    let next = 0;
    const shape = into[k]!.map((p) => {
      if (p === ":") return r.type.shape[next++]!;
      if (indices[p]!.block !== null) next++;
      return indices[p]!.extent;
    });
    return fresh(b.ids, { ...r.type, shape });
  });
  const patterns = into.map((p) =>
    p.map((e) => (e === ":" ? { kind: "all" as const } : { kind: "index" as const, id: indices[e]!.id })),
  );
  b.eqns.push({ kind: "tiles", indices, body: { eqns: inside.eqns, results }, into: patterns, outs });
  return outs;
}

/** Shorthand for a spec: one entry for each dimension, the axes that split it; contiguous where no layout is named. */
export type SpecEntry = Spec[number] | readonly string[];
export const spec = (...entries: readonly SpecEntry[]): Spec =>
  entries.map((e) => ("axes" in e ? e : { axes: e, layout: "contiguous" }));

export type PortShape = {
  readonly path?: string;
  readonly dtype?: DType;
  readonly shape: readonly number[];
  readonly spec: Spec;
};
const port = ({ path = "", dtype = "f32", shape, spec }: PortShape): Port => ({
  path,
  dtype,
  shape,
  spec,
  written: shape.map(String),
});

/** The type on one device of an array at the edge of a program. */
const localType = (mesh: Mesh, { dtype, shape, spec }: Port): Type => ({
  dtype,
  shape: shape.map((n, d) => n / ringSize(mesh, spec[d]!.axes)),
  varying: mesh.axes.map((a) => a.name).filter((name) => spec.some((e) => e.axes.includes(name))),
});

/** A whole program from its inputs, the specs of its outputs, and what one device does. */
export function program(
  mesh: Mesh,
  inputs: readonly PortShape[],
  outputs: readonly Spec[],
  body: (b: Builder, ...xs: readonly Var[]) => readonly Atom[],
): Program {
  const b = builder({ axes: mesh.axes });
  const ports = inputs.map((p, i) => port({ path: `x${i}`, ...p }));
  const locals = ports.map((p) => fresh(b.ids, localType(mesh, p), p.path));
  const results = body(b, ...locals);
  return {
    name: "main",
    mesh,
    dims: {},
    inputs: ports.map((p, i) => ({ port: p, local: locals[i]! })),
    body: { eqns: b.eqns, results },
    outputs: results.map((r, i) => {
      const shape = r.type.shape.map((d, k) => dimNumber(dimMul(d, ringSize(mesh, outputs[i]![k]!.axes))));
      invariant(
        shape.every((d) => d !== undefined),
        "an output's shape is numbers",
      );
      return port({
        path: results.length > 1 ? String(i) : "",
        dtype: r.type.dtype,
        shape: shape as number[],
        spec: outputs[i]!,
      });
    }),
  };
}

export const sameType = (a: Type, b: Type): boolean =>
  a.dtype === b.dtype && a.shape.length === b.shape.length && a.shape.every((d, i) => dimEqual(d, b.shape[i]!));
export const mesh = (axes: Readonly<Record<string, number>>): Mesh => ({
  name: "pod",
  axes: Object.entries(axes).map(([name, size]) => ({ name, size })),
});
