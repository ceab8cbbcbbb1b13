/**
 * Core made plain before kernels are cut from it: no branches, nothing that only types need, no collected arrays, no
 * literals where an array is asked for, nothing that nobody reads.
 *
 *   if c { a } else { b }          both branches, then select c a b
 *   sum of very many elements      the sum of partial sums (split.ts)
 *   fold … collect { (next, e) }   a carry more: the stacked array, of which each step updates its row
 */
import { type Dim, dimMul } from "../../base/dim.ts";
import { bug, invariant } from "../../base/invariant.ts";
import type { Atom, Block, Eqn, FoldEqn, IfEqn, Op, OpEqn, Program, Type, Var } from "../../core/ir.ts";
import { freeVars, mapEqn, nextId, operandsOf, outsOf } from "../../core/walk.ts";
import { splitReduction } from "./split.ts";

type State = {
  readonly names: Map<number, Atom>;
  /** Values that take arithmetic; all others are arrays, or elements of them picked by index. */
  readonly computed: Set<number>;
  nextId: number;
  inTiles: boolean;
};

/** The same program in the form that kernels are cut from. Throws {@link NotSupported}. */
export function prepare(p: Program): Program {
  const state: State = { names: new Map(), computed: new Set(), nextId: nextId(p), inTiles: false };
  const body = plain(state, p.body);
  const results: Atom[] = [];
  const eqns = [...body.eqns];
  for (const a of body.results) results.push(asVar(state, a, eqns));
  return { ...p, body: living({ eqns, results }, undefined) };
}

const rename = (s: State, a: Atom): Atom => {
  const to = a.kind === "var" ? s.names.get(a.id) : undefined;
  return to ? rename(s, to) : a;
};
const fresh = (s: State, type: Type, name?: string): Var => ({
  kind: "var",
  id: s.nextId++,
  type,
  ...(name !== undefined && { name }),
});
const op = (e: Pick<OpEqn, "op" | "params" | "args" | "out">): OpEqn => ({ kind: "op", ...e }) as OpEqn;

/** A literal as a variable, for those who need an array. */
function asVar(s: State, a: Atom, eqns: Eqn[]): Var {
  if (a.kind === "var") return a;
  const out = fresh(s, a.type, "constant");
  eqns.push(op({ op: "full", params: { shape: a.type.shape }, args: [{ ...a, type: { ...a.type, shape: [] } }], out }));
  return out;
}

function plain(s: State, b: Block): Block {
  const eqns = b.eqns.flatMap((e) => plainEqn(s, e));
  return { eqns, results: b.results.map((a) => rename(s, a)) };
}
function plainEqn(s: State, original: Eqn): readonly Eqn[] {
  const e = mapEqn(
    original,
    (a) => rename(s, a),
    (b) => b,
  );
  switch (e.kind) {
    case "op":
      return plainOp(s, e);
    case "if":
      return plainIf(s, e);
    case "fold":
      return plainFold(s, e);
    case "tiles": {
      s.inTiles = true;
      const body = plain(s, e.body);
      s.inTiles = false;
      return [{ ...e, body }];
    }
    default:
      return bug(`${e.kind} is expanded before kernels are made`);
  }
}
/** Ops that say something of a value and leave it as it is. */
const nameless: ReadonlySet<Op> = new Set<Op>(["pvary", "unvary", "stop_gradient"]);
/** Ops that pick elements. */
const picking: ReadonlySet<Op> = new Set<Op>(["reshape", "transpose", "broadcast", "index", "dynamic_slice"]);
function plainOp(s: State, e: OpEqn): readonly Eqn[] {
  const isComputed = (a: Atom): boolean => a.kind === "var" && s.computed.has(a.id);
  // A barrier keeps kernels on its two sides apart: it stays where there could be one that reaches across.
  const nothingToSay = e.op === "optimization_barrier" && (s.inTiles || !isComputed(e.args[0]!));
  if (nameless.has(e.op) || nothingToSay) {
    s.names.set(e.out.id, e.args[0]!);
    return [];
  }
  if (!picking.has(e.op) || isComputed(e.args[0]!)) s.computed.add(e.out.id);
  if (e.op === "concat") return concat(s, e);
  const split = s.inTiles ? undefined : splitReduction(e, (type, name) => fresh(s, type, name));
  if (split) return split;
  if (e.op !== "ppermute") return [e];
  const eqns: Eqn[] = [];
  const args = [asVar(s, e.args[0]!, eqns)];
  return [...eqns, { ...e, args }];
}
/** Many operands join in groups, so that no kernel reads too many arrays. */
const concatAtOnce = 6;
function concat(s: State, e: Extract<OpEqn, { op: "concat" }>): readonly Eqn[] {
  if (e.args.length <= concatAtOnce) return [e];
  const eqns: Eqn[] = [];
  const args: Atom[] = [];
  const { dim } = e.params;
  const each = Math.ceil(e.args.length / concatAtOnce);
  for (let i = 0; i < e.args.length; i += each) {
    const part = e.args.slice(i, i + each);
    if (part.length === 1) args.push(part[0]!);
    else {
      const size = part.map((a) => a.type.shape[dim]!).every((d) => typeof d === "number")
        ? part.reduce((n, a) => n + (a.type.shape[dim] as number), 0)
        : undefined;
      if (size === undefined) return [e];
      const out = fresh(s, { ...e.out.type, shape: e.out.type.shape.with(dim, size) }, e.out.name);
      eqns.push(...concat(s, { ...e, args: part, out }));
      args.push(out);
    }
  }
  return [...eqns, { ...e, args }];
}

function plainIf(s: State, e: IfEqn): readonly Eqn[] {
  const yes = plain(s, e.then);
  const no = plain(s, e.else);
  const choose = e.outs.map((out, k) =>
    op({ op: "select", params: {}, args: [e.cond, yes.results[k]!, no.results[k]!], out }),
  );
  return [...yes.eqns, ...no.eqns, ...choose];
}

function plainFold(s: State, e: FoldEqn): readonly Eqn[] {
  const before: Eqn[] = [];
  const body = plain(s, e.body);
  const n = e.carry.length;
  const eqns = [...body.eqns];
  const results = body.results.slice(0, n);
  const carry = [...e.carry];
  const init: Atom[] = e.init.map((a, k) => {
    const broadcast = a.kind === "lit" ? { ...a, type: { ...a.type, shape: [] } } : a;
    if (a.kind === "var") return a;
    const out = fresh(s, e.carry[k]!.type, e.carry[k]!.name);
    before.push(op({ op: "full", params: { shape: out.type.shape }, args: [broadcast], out }));
    return out;
  });
  for (let k = n; k < e.outs.length; k++) {
    const out = e.outs[k]!;
    const each = body.results[k]!;
    const step = stepOf(e);
    const zero: Atom = { kind: "lit", value: 0, type: { dtype: out.type.dtype, shape: [], varying: [] } };
    const empty = fresh(s, out.type, out.name);
    before.push(op({ op: "full", params: { shape: out.type.shape }, args: [zero], out: empty }));
    const stack = fresh(s, out.type, out.name);
    const rowType: Type = { ...each.type, shape: [1, ...each.type.shape] };
    const row = fresh(s, rowType);
    const next = fresh(s, out.type, out.name);
    eqns.push(
      op({ op: each.kind === "lit" ? "full" : "reshape", params: { shape: rowType.shape }, args: [each], out: row }),
    );
    eqns.push(op({ op: "dynamic_update", params: { dim: 0 }, args: [stack, row, step], out: next }));
    carry.push(stack);
    init.push(empty);
    results.push(next);
  }
  const bound = results.map((a, k) => nextOf(s, a, carry[k]!, eqns));
  return [...before, { ...e, carry, init, body: { eqns, results: bound }, outs: e.outs }];
}
/** A carry's next value as a variable. */
function nextOf(s: State, a: Atom, carry: Var, eqns: Eqn[]): Atom {
  if (a.kind === "var") return a;
  const out = fresh(s, carry.type, carry.name);
  eqns.push(
    op({ op: "full", params: { shape: carry.type.shape }, args: [{ ...a, type: { ...a.type, shape: [] } }], out }),
  );
  return out;
}
function stepOf(e: FoldEqn): Var {
  if (e.over.kind === "steps") return e.over.step;
  invariant(e.over.index.element, "what collects goes over steps, or over single elements");
  return e.over.index.element;
}

/** The block without what nobody reads: equations, carries, results of tiles. `wanted`: which of its results count. */
function living(b: Block, wanted: readonly boolean[] | undefined): Block {
  const live = new Set<number>();
  const see = (a: Atom): void => {
    if (a.kind === "var") live.add(a.id);
  };
  b.results.forEach((a, k) => {
    if (wanted?.[k] ?? true) see(a);
  });
  const kept: Eqn[] = [];
  for (const e of [...b.eqns].reverse()) {
    if (!outsOf(e).some((v) => live.has(v.id))) continue;
    const lean = leaner(e, live);
    kept.push(lean);
    operandsOf(lean).forEach(see);
    if (lean.kind === "fold" || lean.kind === "tiles") for (const v of freeVars(lean.body)) live.add(v.id);
  }
  return { eqns: kept.reverse(), results: b.results };
}
function leaner(e: Eqn, live: ReadonlySet<number>): Eqn {
  if (e.kind === "tiles") {
    const keep = e.outs.map((v) => live.has(v.id));
    const body = living(e.body, keep);
    const some = <T>(xs: readonly T[]): readonly T[] => xs.filter((_, k) => keep[k]);
    return { ...e, outs: some(e.outs), into: some(e.into), body: { ...body, results: some(body.results) } };
  }
  if (e.kind !== "fold") return e;
  invariant(e.outs.length === e.carry.length, "collected arrays have become carries");
  let keep = e.outs.map((v) => live.has(v.id));
  for (;;) {
    const body = living(e.body, keep);
    const some = <T>(xs: readonly T[]): readonly T[] => xs.filter((_, k) => keep[k]);
    const results = some(body.results);
    const free = freeVars({ eqns: body.eqns, results });
    const ids = new Set([...free].map((v) => v.id));
    const needed = e.carry.map((v, k) => keep[k]! || ids.has(v.id));
    if (needed.every((n, k) => n === keep[k]))
      return { ...e, carry: some(e.carry), init: some(e.init), outs: some(e.outs), body: { eqns: body.eqns, results } };
    keep = needed;
  }
}

/** The number of elements of a shape, where it is known. */
export const sizeOf = (shape: readonly Dim[]): number => {
  const n = shape.reduce(dimMul, 1);
  return typeof n === "number" ? n : Number.POSITIVE_INFINITY;
};
