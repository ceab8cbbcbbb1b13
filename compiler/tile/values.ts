/** A kernel's values. */
import { operandsOf } from "./build.ts";
import type { Axis, Kernel, Stmt, Value } from "./ir.ts";

/** Every value a kernel computes, in order, those inside folds (and what their bounds are made of) included. */
export function valuesOf(kernel: Kernel, withBounds = true): readonly Value[] {
  const found = new Map<number, Value>();
  const visit = (v: Value): void => {
    if (found.has(v.id)) return;
    for (const a of operandsOf(v.def)) visit(a);
    found.set(v.id, v);
  };
  const walk = (body: readonly Stmt[]): void => {
    for (const s of body) {
      if (s.kind === "let") visit(s.value);
      else {
        s.init.forEach(visit);
        if (s.over.kind === "steps") visit(s.over.step);
        s.carry.forEach(visit);
        walk(s.body);
        s.next.forEach(visit);
        s.results.forEach(visit);
        if (withBounds) s.bounds?.prelude.forEach(visit);
      }
    }
  };
  walk(kernel.body);
  for (const s of kernel.stores) {
    s.index.forEach(visit);
    visit(s.value);
  }
  return [...found.values()];
}

/** Whether a value has an element for each of the axis's. */
export const dependsOn = (v: Pick<Value, "axes">, a: Axis): boolean => v.axes.some((x) => x.id === a.id);

/** What holds where a condition does. */
export const conjuncts = (v: Value): readonly Value[] =>
  v.def.kind === "map" && v.def.op === "and" ? v.def.args.flatMap(conjuncts) : [v];
