/** Which sums are products for a team, which factor has the rows, and how each comes to its product. */
import { operandsOf } from "../../tile/build.ts";
import type { Axis, Value } from "../../tile/ir.ts";
import { type Dealt, layoutOf, leftLayout, shapeOf, wide } from "./dealt.ts";
import { same } from "./layout.ts";
import type { Factors } from "./products.ts";
import { give } from "./rule.ts";

/** How an operand comes to its product. `registers`: packed from where it lies. */
export type Operand =
  | { readonly kind: "registers"; readonly value: Value }
  | { readonly kind: "shared"; readonly value: Value };

export type Product = Factors & {
  readonly m: Axis;
  readonly n: Axis;
  readonly left: Operand;
  readonly right: Operand;
};
/** Made of what is in memory and of positions alone, so that any thread can compute any element. */
export function isLoaded(v: Value): boolean {
  switch (v.def.kind) {
    case "const":
    case "scalar":
    case "step":
    case "pos":
    case "edge":
      return true;
    case "load":
    case "map":
    case "cast":
      return operandsOf(v.def).every(isLoaded);
    default:
      return false;
  }
}

/** Whether computing it again costs a load. */
export const hasLoad = (v: Value): boolean => v.def.kind === "load" || operandsOf(v.def).some(hasLoad);

/** Which side of a product has the rows, and how its factors come to it. */
export function productOf(d: Dealt, f: Factors): Product | undefined {
  const side = (v: Value): readonly Axis[] => wide(d, v.axes).filter((a) => a.id !== f.k.id);
  const [x, y] = [side(f.a), side(f.b)];
  // A vector on one side: as good as any other sum.
  if (x.length === 0 || y.length === 0) return undefined;
  const name = f.sum.name ?? "a product";
  const tensor = f.dtype !== "f32" && d.pattern === "matrices";
  if (x.some((a) => y.some((b) => a.id === b.id)))
    give(`${name} has factors that share ${x.find((a) => y.some((b) => a.id === b.id))!.name}, besides what is summed`);
  if (x.length !== 1 || y.length !== 1) give(`${name} is no product of two matrices: [${names(x)}] and [${names(y)}]`);
  if (d.parts.get(f.k.id)!.cover < 16) give(`${name} sums over single elements`);
  const result = layoutOf(d, [x[0]!, y[0]!]);
  const swap =
    d.pattern === "blocks"
      ? result.registers[0]?.axis === x[0]!.id
      : !result.threads.some((t) => t.axis === x[0]!.id && t.stride === 1);
  const [a, b, m, n] = swap ? [f.b, f.a, y[0]!, x[0]!] : [f.a, f.b, x[0]!, y[0]!];
  if (f.k.id === shapeOf(d).columns?.id) give(`${name} sums over ${f.k.name}, which warps share`);
  const left: Operand = {
    kind: !tensor || isLoaded(a) || !same(layoutOf(d, [m, f.k]), leftLayout(d, m, f.k)) ? "shared" : "registers",
    value: a,
  };
  return { ...f, a, b, m, n, left, right: { kind: "shared", value: b } };
}

export const names = (axes: readonly Axis[]): string => axes.map((a) => a.name).join(", ");
