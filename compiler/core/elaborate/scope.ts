/** Names: frames, look-up, and what the user may have meant. */
import type { Span } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import { type Context, fail } from "./context.ts";
import { type Binding, describe, errorValue, type Scope, type Value } from "./value.ts";

export const frame = (parent: Scope | undefined, elementwise = false): Scope => ({
  names: new Map(),
  parent,
  ...(elementwise && { elementwise }),
});
export const define = (s: Scope, name: string, value: Value): void => {
  s.names.set(name, { kind: "value", value });
};

export function lookup(s: Scope, name: string): Binding | undefined {
  for (let at: Scope | undefined = s; at; at = at.parent) {
    const hit = at.names.get(name);
    if (hit) return hit;
    if (at.meshAxes?.has(name)) return { kind: "meshAxis", name };
  }
  return undefined;
}
/** Every name that can be seen from here. */
export function visible(s: Scope): readonly string[] {
  const names = new Set<string>();
  for (let at: Scope | undefined = s; at; at = at.parent)
    for (const n of [...at.names.keys(), ...(at.meshAxes ?? [])]) names.add(n);
  return [...names];
}
/** Whether an `if` on an array may choose elementwise here. */
export function isElementwise(s: Scope): boolean {
  for (let at: Scope | undefined = s; at; at = at.parent) if (at.elementwise) return true;
  return false;
}

/** The candidate that differs least from `name` (Levenshtein), if it differs little. */
function nearest(name: string, candidates: readonly string[]): string | undefined {
  const limit = name.length <= 2 ? 0 : name.length === 3 ? 1 : name.length <= 7 ? 2 : 3;
  let best: string | undefined;
  let least = limit + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) >= least) continue;
    const d = distance(name.toLowerCase(), candidate.toLowerCase());
    if (d < least && d < Math.max(name.length, candidate.length)) [best, least] = [candidate, d];
  }
  return best;
}
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

export const near = (name: string, candidates: readonly string[]): { readonly near?: string } => {
  const hit = nearest(name, candidates);
  return hit === undefined ? {} : { near: hit };
};
export function unknownName(
  c: Context,
  s: Scope,
  name: string,
  span: Span,
  others: readonly string[],
  dim = false,
): Value {
  const library = c.knot.library(name);
  const meant = near(name, [...visible(s), ...others]);
  return fail(c, "GY2001", span, { name, ...meant, ...(library !== undefined && { library }), ...(dim && { dim }) });
}
export const noField = (c: Context, name: string, fields: readonly string[], span: Span): Value =>
  fail(c, "GY2009", span, { name, fields, ...near(name, fields) });

/**
 * Binds a pattern. A tuple pattern takes a tuple of as many items, a record pattern a record that has the fields.
 * A name that stands twice in one pattern is reported.
 */
export function bindPattern(c: Context, s: Scope, p: Ast.Pattern, v: Value, seen: Set<string> = new Set()): void {
  switch (p.kind) {
    case "namePattern":
      if (seen.has(p.name)) fail(c, "GY2006", p.span, { name: p.name });
      seen.add(p.name);
      define(s, p.name, v);
      return;
    case "tuplePattern":
      if (v.kind === "tuple" && v.items.length === p.items.length) {
        for (const [i, item] of p.items.entries()) bindPattern(c, s, item, v.items[i]!, seen);
        return;
      }
      if (v.kind !== "error" && v.kind !== "unknown")
        fail(c, "GY3016", p.span, { wants: p.items.length, found: describe(v) });
      for (const item of p.items) bindPattern(c, s, item, v.kind === "unknown" ? v : errorValue, seen);
      return;
    case "recordPattern":
      for (const f of p.fields) {
        const field = v.kind === "record" ? v.fields.get(f.name.name) : undefined;
        if (v.kind === "record" && !field) noField(c, f.name.name, [...v.fields.keys()], f.name.span);
        bindPattern(c, s, f.pattern, field ?? (v.kind === "unknown" ? v : errorValue), seen);
      }
      if (v.kind !== "record" && v.kind !== "error" && v.kind !== "unknown")
        fail(c, "GY3015", p.span, { found: describe(v) });
      return;
    default:
      return;
  }
}
