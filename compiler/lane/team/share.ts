/**
 * Tile -> Tile: a loop whose blocks are free is shared out. Each of several parts of the team goes over its own of every
 * block's elements, with carries of its own, and what they have is merged after the loop, so that inside it no part waits
 * for another.
 *
 *   (m, c) = fold j: 4096 by 128 with (m, c) { … }
 *       ⟶   (m', c')(part) = fold j: 512 by 16 with (m', c')(part) { … }, with element part · 16 + j of each block
 *             m = max part m';  c = sum part exp (m' - m) c'                        (as the loop itself rescales c)
 */
import { operandsOf, unionOf } from "../../tile/build.ts";
import type { Axis, Def, Fold, Kernel, MapOp, Stmt, Value } from "../../tile/ir.ts";
import { type Merge, mergesOf } from "../../tile/reblock.ts";
import { bodyWith, largest, largestAxis, withOperands } from "./rewrite.ts";

/** `parts`: the most parts; `step`: elements of a block that each has. */
export type Sharing = { readonly parts: number; readonly step: number };

export function shareFolds(kernel: Kernel, { parts, step }: Sharing): Kernel {
  const w: Writer = { value: largest(kernel) + 1, axis: largestAxis(kernel) + 1, done: new Map() };
  let body: readonly Stmt[] = kernel.body;
  for (const s of kernel.body) {
    if (s.kind !== "fold" || s.over.kind !== "blocks") continue;
    const merges = mergesOf(s);
    const { extent } = s.over.axis;
    let n = parts;
    while (n > 1 && extent % (n * step) !== 0) n /= 2;
    if (!merges || n === 1) continue;
    const shared = shareFold(w, s, merges, n, step);
    body = body.flatMap((t) => (t === s ? shared : [t]));
  }
  if (w.done.size === 0) return kernel;
  const swap = swapper(w);
  return {
    ...kernel,
    body: bodyWith(body, swap),
    stores: kernel.stores.map((s) => ({ ...s, index: s.index.map(swap), value: swap(s.value) })),
  };
}

type Writer = {
  value: number;
  axis: number;
  /** Results of loops, as they are merged. */
  readonly done: Map<number, Value>;
};

function shareFold(w: Writer, f: Fold, merges: readonly Merge[], parts: number, step: number): readonly Stmt[] {
  if (f.over.kind !== "blocks") return [f];
  const { axis: old } = f.over;
  const axis: Axis = { ...old, id: w.axis++, extent: old.extent / parts, block: step };
  const part: Axis = { id: w.axis++, name: "part", role: "inner", extent: parts, block: parts };
  const body: Stmt[] = [];
  let out = body;
  const value = (like: Value, def: Def, axes: readonly Axis[]): Value => ({ ...like, id: w.value++, def, axes });
  const let_ = (v: Value): Value => {
    out.push({ kind: "let", value: v });
    return v;
  };
  const whole = (def: Def, axes: readonly Axis[] = []): Value => ({ id: w.value++, dtype: "i32", axes, def });
  const number = (n: number): Value => whole({ kind: "const", value: n });
  const map = (op: MapOp, args: readonly Value[], like: Omit<Value, "id" | "def" | "axes">): Value =>
    let_({ ...like, id: w.value++, axes: unionOf(...args.map((a) => a.axes)), def: { kind: "map", op, args } });
  const whole2 = (op: MapOp, a: Value, b: Value): Value => map(op, [a, b], { dtype: "i32" });
  const partNumber = whole({ kind: "pos", axis: part }, [part]);
  const first = whole({ kind: "edge", axis, end: "first" });

  const moved = new Map<number, Value>();
  /** A value of the loop as each part has it. */
  const move = (v: Value): Value => {
    const known = moved.get(v.id);
    if (known) return known;
    const d = v.def;
    let to: Value = v;
    if (d.kind === "pos" && d.axis.id === old.id) {
      const start = whole2("add", whole2("mul", first, number(parts - 1)), whole2("mul", partNumber, number(step)));
      to = whole2("add", whole({ kind: "pos", axis }, [axis]), start);
    } else if (d.kind === "edge" && d.axis.id === old.id) {
      const start = whole2("mul", first, number(parts));
      to = d.end === "first" ? start : whole2("add", start, number(parts * step - 1));
    } else {
      const operands = withOperands(d, move);
      const def: Def = "axis" in operands && operands.axis.id === old.id ? ({ ...operands, axis } as Def) : operands;
      if (def !== d) {
        const axes = unionOf(...operandsOf(def).map((a) => a.axes));
        to = value(v, def, def.kind === "reduce" ? axes.filter((a) => a.id !== def.axis.id) : axes);
        let_(to);
      }
    }
    moved.set(v.id, to);
    return to;
  };
  const before: Stmt[] = [];
  const partsOf = (v: Value): readonly Axis[] => unionOf(v.axes, [part]);
  const isZero = (v: Value): boolean => v.def.kind === "const" && v.def.value === 0;
  const init = f.init.map((v, k) => {
    const m = merges[k]!;
    const once = m.kind === "rescaled" || (m.kind === "joined" && (m.op === "sum" || m.op === "prod"));
    const none = m.kind === "joined" && m.op === "prod" ? 1 : 0;
    if (!once || (none === 0 && isZero(v))) return v;
    // The first part alone begins with it.
    out = before;
    const isFirst = map("eq", [partNumber, number(0)], { dtype: "bool" });
    const begun = map("select", [isFirst, v, { ...number(none), dtype: v.dtype }], { dtype: v.dtype });
    out = body;
    return begun;
  });
  const id = w.value++;
  const carry = f.carry.map((c, place) => {
    const to = value(c, { kind: "carry", fold: id, place }, partsOf(c));
    moved.set(c.id, to);
    return to;
  });
  for (const s of f.body) if (s.kind === "let") move(s.value);
  const next = f.next.map(move);
  const results = f.results.map((r, place) => value(r, { kind: "result", fold: id, place }, partsOf(r)));
  const prelude: Stmt[] = [];
  out = prelude;
  const bounds = f.bounds && {
    notes: f.bounds.notes,
    ...(f.bounds.run ? { run: move(f.bounds.run) } : {}),
    full: f.bounds.full.map(({ select, when }) => ({ select: move(select), when: move(when) })),
    prelude: prelude.flatMap((s) => (s.kind === "let" ? [s.value] : [])),
  };
  const after: Stmt[] = [];
  out = after;
  const merged = new Map<number, Value>();
  merges.forEach((m, k) => {
    const r = results[k]!;
    if (m.kind === "same") merged.set(k, f.init[k]!);
    if (m.kind === "joined")
      merged.set(k, let_(value(f.results[k]!, { kind: "reduce", op: m.op, axis: part, arg: r }, f.results[k]!.axes)));
  });
  merges.forEach((m, k) => {
    if (m.kind !== "rescaled") return;
    const r = results[k]!;
    const known = new Map<number, Value>();
    for (const { carry: c, next: n } of m.running) {
      const at = f.carry.findIndex((x) => x.id === c.id);
      known.set(c.id, results[at]!);
      known.set(n.id, merged.get(at)!);
    }
    const at = (v: Value): Value => {
      const old = known.get(v.id);
      if (old) return old;
      const def = withOperands(v.def, at);
      const to = def === v.def ? v : let_(value(v, def, unionOf(...operandsOf(def).map((a) => a.axes))));
      known.set(v.id, to);
      return to;
    };
    const scaled = m.scale.reduce((x, s) => map("mul", [at(s), x], { dtype: r.dtype }), r);
    merged.set(
      k,
      let_(value(f.results[k]!, { kind: "reduce", op: "sum", axis: part, arg: scaled }, f.results[k]!.axes)),
    );
  });
  f.results.forEach((r, k) => {
    w.done.set(r.id, merged.get(k)!);
  });
  const fold: Fold = {
    kind: "fold",
    id,
    over: { kind: "blocks", axis },
    carry,
    init,
    body,
    next,
    results,
    ...(bounds ? { bounds } : {}),
  };
  return [...before, fold, ...after];
}

function swapper(w: Writer): (v: Value) => Value {
  const local = new Map<number, Value>();
  const swap = (v: Value): Value => {
    const known = local.get(v.id);
    if (known) return known;
    const to = w.done.get(v.id);
    const def = withOperands(v.def, swap);
    const value = to ? swap(to) : def === v.def ? v : { ...v, def };
    local.set(v.id, value);
    return value;
  };
  return swap;
}
