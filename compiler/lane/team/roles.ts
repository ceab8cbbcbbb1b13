/** Which values are kept in registers where they are let, and which are computed where they are used. */
import { operandsOf } from "../../tile/build.ts";
import type { Fold, Kernel, Stmt, Value } from "../../tile/ir.ts";
import { valuesOf } from "../../tile/values.ts";
import { foldsOf } from "../map.ts";
import { type Dealt, layoutOf, wide } from "./dealt.ts";
import { sizeOf } from "./layout.ts";
import { hasLoad, isLoaded, names, type Product } from "./operands.ts";
import { groupDigit } from "./picked.ts";
import { give } from "./rule.ts";

/** A product that is only added to something has no registers of its own; of two that are added, the second. */
export function addedTo(v: Value, stmts: readonly Stmt[], products: ReadonlyMap<number, Product>): Value | undefined {
  const users = stmts.flatMap((s) => (s.kind === "let" && operandsOf(s.value.def).includes(v) ? [s.value] : []));
  const user = users[0];
  if (users.length !== 1 || user?.def.kind !== "map" || user.def.op !== "add" || user.dtype !== "f32") return undefined;
  const [x, y] = user.def.args as [Value, Value];
  if (x === y || user.axes.length < v.axes.length) return undefined;
  return v === x && products.has(y.id) && addedTo(y, stmts, products) ? undefined : user;
}

/** Uses of values, in statements, stores and what folds go on with. What products look through is no use. */
export function usesOf(kernel: Kernel, products: ReadonlyMap<number, Product>): ReadonlyMap<number, number> {
  const uses = new Map<number, number>();
  const use = (v: Value): void => {
    uses.set(v.id, (uses.get(v.id) ?? 0) + 1);
  };
  const reached = new Set<number>();
  const reach = (v: Value): void => {
    if (reached.has(v.id)) return;
    reached.add(v.id);
    const product = products.get(v.id);
    for (const a of product ? [product.a, product.b] : operandsOf(v.def)) {
      use(a);
      reach(a);
    }
  };
  const walk = (body: readonly Stmt[]): void => {
    for (const s of body)
      if (s.kind === "fold") {
        for (const v of [...s.init, ...s.next]) {
          use(v);
          reach(v);
        }
        walk(s.body);
        for (const { when } of s.bounds?.full ?? []) reach(when);
      }
  };
  for (const s of kernel.stores)
    for (const v of [...s.index, s.value]) {
      use(v);
      reach(v);
    }
  walk(kernel.body);
  return uses;
}

/** The folds around the statement that lets a value. */
export function depths(kernel: Kernel): ReadonlyMap<number, readonly Fold[]> {
  const found = new Map<number, readonly Fold[]>();
  const walk = (body: readonly Stmt[], around: readonly Fold[]): void => {
    for (const s of body)
      if (s.kind === "let") found.set(s.value.id, around);
      else {
        for (const c of s.carry) found.set(c.id, [...around, s]);
        for (const r of s.results) found.set(r.id, around);
        walk(s.body, [...around, s]);
      }
  };
  walk(kernel.body, []);
  return found;
}

/** The carry of the loop around that a loop's carry goes on from, and that becomes what it ends as: one in the same registers. */
export function goesOnFrom(
  around: Fold | undefined,
  f: Fold,
  k: number,
  uses: ReadonlyMap<number, number>,
): Value | undefined {
  const at = around?.carry.findIndex((c) => c.id === f.init[k]!.id) ?? -1;
  const carry = around?.carry[at];
  if (!carry || carry.axes.length !== f.carry[k]!.axes.length || uses.get(carry.id) !== 1) return undefined;
  return around.next[at]!.id === f.results[k]!.id ? carry : undefined;
}

export const inLoop = (kernel: Kernel, v: Value): boolean => (depths(kernel).get(v.id)?.length ?? 0) > 0;
/** What is kept in registers where it is let, and what is only a factor. */
export function rolesOf(
  kernel: Kernel,
  d: Dealt,
  products: ReadonlyMap<number, Product>,
  uses: ReadonlyMap<number, number>,
): { readonly kept: ReadonlySet<number>; readonly factors: ReadonlySet<number> } {
  const around = depths(kernel);
  const bySlots = "slots" in d.by;
  const kept = new Set<number>();
  const factors = new Set<number>();
  const folds = foldsOf(kernel.body);
  const bounded = new Set(folds.flatMap((f) => (f.bounds?.full ?? []).map((x) => x.select.id)));
  const handed = new Set(folds.flatMap((f) => [...f.next, ...f.init].map((v) => v.id)));
  const asFactor = new Set([...products.values()].flatMap((p) => [p.a.id, p.b.id]));
  const usedDeeper = new Set<number>();
  /** Of rows, say, and used for each element of them: computed once, not for each. */
  const spread = new Set<number>();
  const see = (v: Value, depth: number): void => {
    if ((around.get(v.id)?.length ?? 0) < depth) usedDeeper.add(v.id);
  };
  const walk = (body: readonly Stmt[], depth: number): void => {
    for (const s of body)
      if (s.kind === "let")
        for (const a of operandsOf(s.value.def)) {
          see(a, depth);
          if (wide(d, a.axes).length < wide(d, s.value.axes).length) spread.add(a.id);
        }
      else walk(s.body, depth + 1);
  };
  walk(kernel.body, 0);
  for (const v of valuesOf(kernel, false)) {
    const def = v.def;
    if (["const", "scalar", "step", "pos", "edge", "carry", "result"].includes(def.kind)) continue;
    const used = uses.get(v.id) ?? 0;
    if (used === 0) {
      factors.add(v.id);
      continue;
    }
    if (products.has(v.id)) {
      kept.add(v.id);
      continue;
    }
    const all = def.kind === "reduce" || def.kind === "scan" ? wide(d, def.arg.axes) : [];
    if (!bySlots && def.kind === "reduce" && def.op === "argmax") give("argmax has no rule beside products");
    if (!bySlots && def.kind === "scan") give("a running sum along an axis has no rule beside products");
    // Of a group of neighbours a thread has all.
    if (def.kind === "at" && def.bind.every((b) => groupDigit(layoutOf(d, v.axes), b) >= 0)) continue;
    if (!bySlots && def.kind === "at") give("elements picked by number have no rule beside products");
    if (!bySlots && all.length > 2)
      give(`${v.name ?? "a reduction"} is over all pairs of [${names(all)}], and no product`);
    const long = v.axes.find((a) => d.parts.get(a.id)!.rolled !== undefined);
    if (["reduce", "scan", "at"].includes(def.kind)) {
      if (long) give(`${v.name ?? def.kind} would have to be held for all ${long.extent} elements of ${long.name}`);
      kept.add(v.id);
      if (def.kind === "at" && !isLoaded(def.arg)) kept.add(def.arg.id);
      continue;
    }
    const onlyFactor = asFactor.has(v.id) && used === factorUses(v, products);
    if (onlyFactor) continue;
    // What is overwritten at the end is read before.
    const lost = def.kind === "load" && kernel.buffers[def.buffer]!.access !== "read";
    if (lost) {
      if (long) give(`all ${long.extent} elements of ${long.name} are read before any is written`);
      kept.add(v.id);
      continue;
    }
    // Too many to be held: computed wherever they are used.
    if (long) continue;
    if (isLoaded(v)) {
      const size = sizeOf(layoutOf(d, v.axes).registers);
      if (hasLoad(v) && size <= 32 && (usedDeeper.has(v.id) || used > 1)) kept.add(v.id);
      continue;
    }
    if (used > 1 || usedDeeper.has(v.id) || spread.has(v.id) || bounded.has(v.id) || handed.has(v.id)) kept.add(v.id);
  }
  return { kept, factors };
}

export const factorUses = (v: Value, products: ReadonlyMap<number, Product>): number =>
  [...products.values()].reduce((n, p) => n + (p.a.id === v.id ? 1 : 0) + (p.b.id === v.id ? 1 : 0), 0);
