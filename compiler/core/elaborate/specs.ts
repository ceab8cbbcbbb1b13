/** Partition specs: where arrays live, and what a device holds of them. */
import { type Dim, dimDiv, type Layout, withSplit } from "../../base/dim.ts";
import type * as Ast from "../../syntax/ast.ts";
import { axesNamed, axisSize } from "./axes.ts";
import { type Context, fail, union } from "./context.ts";
import { near } from "./scope.ts";
import { errorType, printType, type Scope, type SpecNode, type TypeNode } from "./value.ts";

export type Placed = Extract<TypeNode, { kind: "array" }>;
const layouts: readonly string[] = ["striped", "zigzag"];

/** Reads a spec, the names of which are those of `env`, and puts it on an array type. */
export function placed(c: Context, env: Scope, s: Ast.Spec, t: TypeNode): TypeNode {
  if (t.kind === "error") return t;
  if (t.kind !== "array") {
    fail(c, "GY4016", s.span, { type: printType(t) });
    return errorType;
  }
  if (s.entries.length !== t.shape.length) {
    // Of a spec in the declaration of a type it has been said there.
    if (!c.diagnostics.some((d) => d.code === "GY4001" && d.span === s.span))
      fail(c, "GY4001", s.span, { entries: s.entries.length, rank: t.shape.length, type: printType(t) });
    return errorType;
  }
  const axes = c.typing.axes.map((a) => a.name);
  const used = new Set<string>();
  let wrong = false;
  const entries: SpecNode["entries"][number][] = s.entries.map((e) => {
    const named = e.axes.flatMap((a) => axesNamed(c, env, a).map((name) => ({ name, span: a.span })));
    for (const { name, span } of named) {
      if (!axes.includes(name)) {
        wrong = true;
        fail(c, "GY4002", span, { axis: name, axes, ...near(name, axes) });
      } else if (used.has(name)) {
        wrong = true;
        fail(c, "GY4003", span, { axis: name, of: "this spec" });
      }
      used.add(name);
    }
    if (e.layout && !layouts.includes(e.layout.name)) {
      wrong = true;
      fail(c, "GY4004", e.layout.span, { layout: e.layout.name, ...near(e.layout.name, layouts) });
    }
    return { axes: named.map((a) => a.name), layout: (e.layout?.name ?? "contiguous") as Layout, span: e.span };
  });
  return wrong ? errorType : { ...t, spec: { entries, span: s.span } };
}

/** The part of an array that one device holds: each split dim divided by its axes, and tagged with how. */
export const localShape = (c: Context, t: Placed): readonly Dim[] =>
  t.shape.map((d, i) => {
    const e = t.spec?.entries[i];
    if (!e || e.axes.length === 0) return d;
    return withSplit(dimDiv(d, axisSize(c, e.axes)), { axes: e.axes, layout: e.layout, global: d });
  });
/** The type of what a device holds. */
export function localType(c: Context, t: TypeNode): TypeNode {
  switch (t.kind) {
    case "array":
      return { kind: "array", dtype: t.dtype, shape: localShape(c, t) };
    case "tuple":
      return { kind: "tuple", items: t.items.map((x) => localType(c, x)) };
    case "record":
      return { kind: "record", fields: new Map([...t.fields].map(([k, x]) => [k, localType(c, x)])) };
    default:
      return t;
  }
}
/** The axes over which the shards of an array differ. */
export const specAxes = (c: Context, t: Placed): readonly string[] =>
  union(c, [], t.spec?.entries.flatMap((e) => e.axes) ?? []);

/** The arrays in a type with their paths: `p.w1`, `0`, or the path itself. */
export function portsOf(t: TypeNode, path: string): readonly { readonly path: string; readonly type: Placed }[] {
  const under = (name: string) => (path === "" ? name : `${path}.${name}`);
  if (t.kind === "array") return [{ path, type: t }];
  if (t.kind === "tuple") return t.items.flatMap((x, i) => portsOf(x, under(String(i))));
  if (t.kind === "record") return [...t.fields].flatMap(([k, x]) => portsOf(x, under(k)));
  return [];
}
