/**
 * Tile -> Tile: inner axes of one length that no value has together are one axis, and what is then equal is one value. So
 * a row that is read for its maximum and read again for what comes of it is read once, and stays in registers.
 *
 *   m(i) = max e x(i, e);  y(i, d) = exp (x(i, d) - m(i))   ⟶   m(i) = max d x(i, d);  y(i, d) = exp (x(i, d) - m(i))
 */
import type { Axis, Def, Kernel, Stmt, Value } from "../../tile/ir.ts";
import { valuesOf } from "../../tile/values.ts";
import { axesSeen } from "../map.ts";
import { foldWith, keyOf, withOperands } from "./rewrite.ts";

export function uniteAxes(kernel: Kernel): Kernel {
  const into = united(kernel);
  if (into.size === 0) return kernel;
  const as = (a: Axis): Axis => into.get(a.id) ?? a;
  const known = new Map<string, Value>();
  const done = new Map<number, Value>();
  const swap = (v: Value): Value => {
    const old = done.get(v.id);
    if (old) return old;
    const moved = withOperands(v.def, swap);
    const def: Def =
      moved.kind === "at"
        ? { ...moved, bind: moved.bind.map((b) => ({ ...b, axis: as(b.axis) })) }
        : "axis" in moved
          ? ({ ...moved, axis: as(moved.axis) } as Def)
          : moved;
    const axes = [...new Map(v.axes.map((a) => [as(a).id, as(a)])).values()].sort((x, y) => x.id - y.id);
    const key = keyOf(v, def);
    const value = known.get(key) ?? { ...v, def, axes };
    known.set(key, value);
    done.set(v.id, value);
    return value;
  };
  const seen = new Set<number>();
  const walk = (body: readonly Stmt[]): readonly Stmt[] =>
    body.flatMap((s): readonly Stmt[] => {
      if (s.kind === "fold") return [foldWith(s, swap, walk)];
      const value = swap(s.value);
      if (seen.has(value.id)) return [];
      seen.add(value.id);
      return [{ kind: "let", value }];
    });
  return {
    ...kernel,
    body: walk(kernel.body),
    stores: kernel.stores.map((s) => ({ ...s, index: s.index.map(swap), value: swap(s.value) })),
  };
}

/** The axis that each axis becomes, for those that change. */
function united(kernel: Kernel): ReadonlyMap<number, Axis> {
  const together = new Map<number, Set<number>>();
  const inner = new Map<number, Axis>();
  for (const v of valuesOf(kernel)) {
    const all = axesSeen(v);
    for (const a of all) {
      if (a.role === "inner") inner.set(a.id, a);
      const others = together.get(a.id) ?? new Set();
      for (const b of all) if (b.id !== a.id) others.add(b.id);
      together.set(a.id, others);
    }
  }
  const into = new Map<number, Axis>();
  const kept: Axis[] = [];
  for (const a of [...inner.values()].sort((x, y) => x.id - y.id)) {
    const mine = together.get(a.id)!;
    const same = kept.find((k) => k.extent === a.extent && !mine.has(k.id));
    if (!same) {
      kept.push(a);
      continue;
    }
    into.set(a.id, same);
    // What either meets, both do from now on.
    for (const other of mine) {
      together.get(other)!.add(same.id);
      together.get(same.id)!.add(other);
    }
  }
  return into;
}
