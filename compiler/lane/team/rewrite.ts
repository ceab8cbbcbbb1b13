/** What rewriting kernels takes: definitions and loops with other values, and numbers that are not taken yet. */
import { operandsOf } from "../../tile/build.ts";
import type { Def, Fold, Kernel, Stmt, Value } from "../../tile/ir.ts";
import { valuesOf } from "../../tile/values.ts";

/** A definition with other operands; itself where none changes. */
export function withOperands(d: Def, f: (v: Value) => Value): Def {
  const same = (before: readonly Value[], after: readonly Value[]): boolean => before.every((v, k) => v === after[k]);
  switch (d.kind) {
    case "load": {
      const index = d.index.map(f);
      return same(d.index, index) ? d : { ...d, index };
    }
    case "map": {
      const args = d.args.map(f);
      return same(d.args, args) ? d : { ...d, args };
    }
    case "cast":
    case "reduce":
    case "scan": {
      const arg = f(d.arg);
      return arg === d.arg ? d : { ...d, arg };
    }
    case "at": {
      const arg = f(d.arg);
      const bind = d.bind.map((b) => ({ ...b, index: f(b.index) }));
      return arg === d.arg && bind.every((b, k) => b.index === d.bind[k]!.index) ? d : { ...d, arg, bind };
    }
    default:
      return d;
  }
}

type Swap = (v: Value) => Value;

/** Statements whose values are as `swap` has them. */
export const bodyWith = (body: readonly Stmt[], swap: Swap): readonly Stmt[] =>
  body.map((s) => (s.kind === "let" ? { kind: "let", value: swap(s.value) } : foldWith(s, swap)));

/** A loop whose values are as `swap` has them; its statements are as `walk` gives them. */
export function foldWith(
  f: Fold,
  swap: Swap,
  walk: (body: readonly Stmt[]) => readonly Stmt[] = (body) => bodyWith(body, swap),
): Fold {
  const { bounds } = f;
  return {
    ...f,
    carry: f.carry.map(swap),
    init: f.init.map(swap),
    body: walk(f.body),
    next: f.next.map(swap),
    results: f.results.map(swap),
    ...(bounds && {
      bounds: {
        ...bounds,
        prelude: bounds.prelude.map(swap),
        ...(bounds.run && { run: swap(bounds.run) }),
        full: bounds.full.map(({ select, when }) => ({ select: swap(select), when: swap(when) })),
      },
    }),
  };
}

/** The same for values that are equal because they are computed alike, of the same operands. Those of loops are only themselves. */
export function keyOf(v: Value, d: Def): string {
  const loops = d.kind === "carry" || d.kind === "result" || d.kind === "step";
  return JSON.stringify([
    v.dtype,
    d.kind,
    loops ? v.id : 0,
    "op" in d ? d.op : "",
    "buffer" in d ? [d.buffer, d.clamp] : "",
    d.kind === "scalar" ? d.index : 0,
    "axis" in d ? d.axis.id : "",
    d.kind === "edge" ? d.end : "",
    d.kind === "const" ? `${Object.is(d.value, -0) ? "-0" : d.value}` : "",
    operandsOf(d).map((a) => a.id),
    d.kind === "at" ? d.bind.map((b) => b.axis.id) : [],
  ]);
}

/** Above every number of a value or fold. */
export function largest(kernel: Kernel): number {
  let n = 0;
  const walk = (body: readonly Stmt[]): void => {
    for (const s of body)
      if (s.kind === "fold") {
        n = Math.max(n, s.id, ...[...s.carry, ...s.init, ...s.next, ...s.results].map((v) => v.id));
        walk(s.body);
      }
  };
  walk(kernel.body);
  return Math.max(n, ...valuesOf(kernel).map((v) => v.id)) + 1000;
}
/** The largest number of an axis. */
export const largestAxis = (kernel: Kernel): number =>
  Math.max(
    ...kernel.grid.map((a) => a.id),
    ...valuesOf(kernel)
      .flatMap((v) => [...v.axes, ...("axis" in v.def ? [v.def.axis] : [])])
      .map((a) => a.id),
    0,
  );
