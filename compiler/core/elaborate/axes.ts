/** Mesh axes as values. */
import { type Dim, dimProduct, dimVar } from "../../base/dim.ts";
import type { Span } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import { type Context, fail } from "./context.ts";
import { lookup } from "./scope.ts";
import { axisKey, type Scope, type Value } from "./value.ts";

/** The number of devices along axes. */
export const axisSize = (c: Context, axes: readonly string[]): Dim =>
  dimProduct(axes.map((name) => c.typing.axes.find((a) => a.name === name)?.size ?? dimVar(name, axisKey(name))));

/** A mesh axis, or a tuple of them, as one; undefined where the value is neither. */
export function axesOf(v: Value): Value | undefined {
  if (v.kind === "axis" || v.kind === "unknown") return v;
  if (v.kind !== "tuple") return undefined;
  const parts = v.items.map(axesOf);
  return parts.every((p) => p?.kind === "axis")
    ? { kind: "axis", axes: parts.flatMap((p) => (p?.kind === "axis" ? p.axes : [])) }
    : undefined;
}

/** The axes that a name in a spec stands for: an `axis` parameter's, a mesh axis or its parts. */
export function axesNamed(c: Context, env: Scope, a: Ast.Ident): readonly string[] {
  const b = lookup(env, a.name);
  return b?.kind === "value" && b.value.kind === "axis" ? b.value.axes : (c.chosen?.splits.get(a.name) ?? [a.name]);
}

/** An axis that a function names, in a program on a mesh that has it. */
export function meshAxis(c: Context, name: string, span: Span): Value {
  const axes = c.chosen?.splits.get(name) ?? [name];
  const known = c.typing.axes.map((a) => a.name);
  return axes.every((a) => known.includes(a))
    ? { kind: "axis", axes }
    : fail(c, "GY4002", span, { axis: name, axes: known });
}
