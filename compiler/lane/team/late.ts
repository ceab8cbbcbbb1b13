/**
 * Tile -> Tile: what all elements are multiplied by is multiplied as late as can be: after a maximum, once for a row; and in the
 * argument of an exponential, which multiplies by log2(e) anyway (value.ts). Rounding keeps the order of numbers, so for c > 0
 * max(c x) is c max(x) to the bit, and where(m, c x, -inf) is c where(m, x, -inf).
 *
 *   s = c x;  t = where(m, s, -inf);  top = max j t;  p = exp (t - top)
 *   ⟶  u = where(m, x, -inf);  top = c max j u;  p = exp (c u - top)
 */
import { operandsOf } from "../../tile/build.ts";
import type { Def, Kernel, Stmt, Value } from "../../tile/ir.ts";
import { valuesOf } from "../../tile/values.ts";
import { foldWith, largest, withOperands } from "./rewrite.ts";

export function multiplyLate(kernel: Kernel): Kernel {
  const factors = lateFactors(kernel);
  if (factors.size === 0) return kernel;
  let next = largest(kernel) + 1;
  const done = new Map<number, Value>();
  /** Late values without their factors; those that are new. */
  const bases = new Map<number, Value>();
  const made = new Map<number, Value>();
  const baseOf = (v: Value): Value => {
    const known = bases.get(v.id);
    if (known) return known;
    const { arg, same } = inner(v.def)!;
    const inside = factors.has(arg.id) ? baseOf(arg) : swap(arg);
    const base = same ? inside : { ...v, id: next++, def: withOperands(v.def, (a) => (a === arg ? inside : swap(a))) };
    bases.set(v.id, base);
    if (!same) made.set(v.id, base);
    return base;
  };
  const swap = (v: Value): Value => {
    const known = done.get(v.id);
    if (known) return known;
    const factor = factors.get(v.id);
    const def: Def = factor ? { kind: "map", op: "mul", args: [baseOf(v), factor] } : withOperands(v.def, swap);
    const value = def === v.def ? v : { ...v, def };
    done.set(v.id, value);
    return value;
  };
  const walk = (body: readonly Stmt[]): readonly Stmt[] =>
    body.flatMap((s): readonly Stmt[] => {
      if (s.kind === "let") {
        const value = swap(s.value);
        const base = made.get(value.id);
        return [...(base ? [{ kind: "let" as const, value: base }] : []), { kind: "let", value }];
      }
      const fold = foldWith(s, swap, walk);
      const { bounds } = fold;
      if (!bounds) return [fold];
      const full = bounds.full.map((f) => ({ ...f, select: made.get(f.select.id) ?? f.select }));
      return [{ ...fold, bounds: { ...bounds, full } }];
    });
  return {
    ...kernel,
    body: walk(kernel.body),
    stores: kernel.stores.map((s) => ({ ...s, index: s.index.map(swap), value: swap(s.value) })),
  };
}

/** The operand that a value may get its factor from; `same`: it is that operand, but for the factor. */
function inner(d: Def): { readonly arg: Value; readonly same: boolean } | undefined {
  if (d.kind === "reduce" && (d.op === "max" || d.op === "min")) return { arg: d.arg, same: false };
  if (d.kind !== "map") return undefined;
  const [x, y, z] = d.args as [Value, Value, Value];
  const constant = (v: Value): number | undefined => (v.def.kind === "const" ? v.def.value : undefined);
  if (d.op === "mul" && isFactor(constant(y))) return { arg: x, same: true };
  if (d.op === "add" && constant(y) === 0) return { arg: x, same: true };
  const unbounded = (v: Value): boolean => Math.abs(constant(v) ?? 0) === Number.POSITIVE_INFINITY;
  if (d.op === "select" && unbounded(z)) return { arg: y, same: false };
  return undefined;
}
const isFactor = (n: number | undefined): boolean => n !== undefined && n > 0 && Number.isFinite(n);

/** The values that are multiplied late, and by what: those of whose elements nothing needs the product but an exponential. */
function lateFactors(kernel: Kernel): ReadonlyMap<number, Value> {
  const values = valuesOf(kernel, false);
  const users = usersOf(kernel, values);
  const factors = new Map<number, Value>();
  for (const v of values) {
    const from = v.dtype === "f32" ? inner(v.def) : undefined;
    if (!from) continue;
    const own = v.def.kind === "map" && v.def.op === "mul" ? v.def.args[1]! : undefined;
    const before = factors.get(from.arg.id);
    // Of two factors the second is one of its own.
    if (own ? !before : before) factors.set(v.id, own ?? before!);
  }
  const isLate = (v: Value, user: Value): boolean => factors.has(user.id) && inner(user.def)!.arg === v;
  const isGood = (v: Value): boolean =>
    v.def.kind === "reduce" ||
    (users.get(v.id) ?? [undefined]).every((u) => u && (isLate(v, u) || isPower(v, u, users)));
  const some = (): Value | undefined => values.find((v) => factors.has(v.id) && !isGood(v));
  for (let v = some(); v; v = some()) {
    const gone = new Set([v.id]);
    // What has its factor from it has none.
    for (const u of values) {
      const from = factors.has(u.id) ? inner(u.def) : undefined;
      if (from && gone.has(from.arg.id)) gone.add(u.id);
    }
    for (const id of gone) factors.delete(id);
  }
  const pays = values.some((v) => factors.has(v.id) && users.get(v.id)?.some((u) => u && isPower(v, u, users)));
  return pays ? factors : new Map();
}

/** What uses each value; undefined: a loop goes on with it, or it is stored. */
type Users = ReadonlyMap<number, readonly (Value | undefined)[]>;
function usersOf(kernel: Kernel, values: readonly Value[]): Users {
  const users = new Map<number, (Value | undefined)[]>();
  const use = (v: Value, user?: Value): void => {
    const known = users.get(v.id);
    if (known) known.push(user);
    else users.set(v.id, [user]);
  };
  for (const v of values) for (const a of operandsOf(v.def)) use(a, v);
  const walk = (body: readonly Stmt[]): void => {
    for (const s of body)
      if (s.kind === "fold") {
        for (const v of [...s.init, ...s.next]) use(v);
        walk(s.body);
      }
  };
  walk(kernel.body);
  for (const s of kernel.stores) for (const v of [...s.index, s.value]) use(v);
  return users;
}
/** Whether `user` is v less something, of which only the exponential is taken. */
function isPower(v: Value, user: Value, users: Users): boolean {
  if (user.def.kind !== "map" || user.def.op !== "sub" || user.def.args[0] !== v) return false;
  const all = users.get(user.id) ?? [];
  return all.length === 1 && all[0]?.def.kind === "map" && all[0].def.op === "exp";
}
