/** What a builtin function is, and what its rows share: reading arguments. */
import type { Dim } from "../../base/dim.ts";
import { q } from "../../base/say.ts";
import type { Span } from "../../base/span.ts";
import type { Atom } from "../ir.ts";
import { operand, toAtom } from "./arithmetic.ts";
import { axesOf } from "./axes.ts";
import { type Context, fail, known } from "./context.ts";
import { type Argument, describe, type TypeNode, type Value } from "./value.ts";

/** A call of a builtin, its arguments in the order of the row's parameters. `rest`: those past them. */
export type Call = {
  readonly c: Context;
  readonly name: string;
  readonly row: Builtin;
  readonly span: Span;
  readonly args: readonly (Argument | undefined)[];
  readonly rest: readonly Argument[];
};
/**
 * `params` names the parameters, the first `required` of them needed. `rest`: takes any number more, by position.
 * `open`: handles arguments of unknown type itself; others give an unknown value for one.
 */
export type Builtin = {
  readonly params: readonly string[];
  readonly required: number;
  readonly rest?: boolean;
  /** Parameters that are given by name only; their arguments follow those of `params`. */
  readonly named?: readonly string[];
  readonly open?: boolean;
  /** How it is called, where its parameters do not say it. */
  readonly usage?: string;
  readonly run: (k: Call) => Value;
};
/** `all_gather(x, axis, dim = …)`: how a builtin is called. */
export function usage(name: string, row: Builtin): string {
  const args = row.params.map((p, i) => (i < row.required ? p : `${p} = …`));
  return row.usage ?? `${name}(${[...args, ...(row.named ?? []).map((p) => `${p} = …`)].join(", ")})`;
}

export const arg = (k: Call, i: number): Argument => k.args[i]!;
/** An argument as an array. */
export const arrayArg = (k: Call, i: number): Atom => toAtom(k.c, arg(k, i).value, arg(k, i).span, undefined, k.name);

/** A static whole number; undefined after an error. */
export function intArg(k: Call, a: Argument, what: string): Dim | undefined {
  const v = operand(k.c, a.value);
  if (v.kind === "int") return v.dim;
  if (v.kind !== "error") fail(k.c, "GY3010", a.span, { what, found: describe(v) });
  return undefined;
}
export function boolArg(k: Call, a: Argument | undefined, otherwise: boolean): boolean {
  if (!a) return otherwise;
  if (a.value.kind === "bool" && a.value.value !== undefined) return a.value.value;
  fail(k.c, "GY3037", a.span, { what: `\`keep\` of \`${k.name}\`: \`true\` or \`false\``, found: describe(a.value) });
  return otherwise;
}
/** A dimension of an array of `rank`, counted from the end where negative; undefined after an error. */
export function dimArg(k: Call, a: Argument | undefined, rank: number, otherwise: number): number | undefined {
  if (!a) return inRange(k, otherwise, rank, k.span);
  const d = intArg(k, a, "a dimension's number");
  if (d === undefined) return undefined;
  const n = known(k.c, d);
  if (n !== undefined) return inRange(k, n, rank, a.span);
  // While a function with an `int` parameter is checked alone, any dimension will do.
  return k.c.compile ? undefined : inRange(k, 0, rank, a.span);
}
function inRange(k: Call, n: number, rank: number, span: Span): number | undefined {
  if (n >= -rank && n < rank) return n < 0 ? n + rank : n;
  fail(k.c, "GY3005", span, { dim: n, rank });
  return undefined;
}
/** One dimension or a tuple of them; all, where it is left out. */
export function dimsArg(k: Call, a: Argument | undefined, rank: number): readonly number[] | undefined {
  if (!a) return Array.from({ length: rank }, (_, i) => i);
  const items = a.value.kind === "tuple" ? a.value.items : [a.value];
  const dims = items.map((value) => dimArg(k, { value, span: a.span }, rank, 0));
  const twice = dims.find((d, i) => d !== undefined && dims.indexOf(d) !== i);
  if (twice !== undefined) {
    fail(k.c, "GY3007", a.span, { what: `dimension ${twice} stands twice in \`dim\`` });
    return undefined;
  }
  return dims.includes(undefined) ? undefined : (dims as number[]);
}
/** A shape: a tuple of static whole numbers, one of them, or a type's. */
export function shapeArg(k: Call, args: readonly Argument[]): readonly (Dim | undefined)[] | undefined {
  const only = args.length === 1 ? args[0]!.value : undefined;
  if (only?.kind === "type" && only.type.kind === "array") return only.type.shape;
  const items = args.flatMap((a) => (a.value.kind === "tuple" ? a.value.items.map((value) => ({ ...a, value })) : [a]));
  const dims = items.map((a) => intArg(k, a, "a size"));
  return dims.includes(undefined) ? undefined : dims;
}
/** Mesh axes; undefined after an error. */
export function axesArg(k: Call, a: Argument): readonly string[] | undefined {
  const v = axesOf(a.value);
  if (v?.kind === "axis") {
    const twice = v.axes.find((x, i) => v.axes.indexOf(x) !== i);
    if (twice === undefined) return v.axes;
    fail(k.c, "GY4003", a.span, { axis: twice, of: "these axes" });
  } else if (v?.kind !== "unknown" && a.value.kind !== "error")
    fail(k.c, "GY4008", a.span, { found: describe(a.value) });
  return undefined;
}
export function typeArg(k: Call, a: Argument): TypeNode | undefined {
  if (a.value.kind === "type") return a.value.type;
  if (a.value.kind !== "error")
    fail(k.c, "GY3037", a.span, { what: "a type", found: describe(a.value), help: `it is ${q(usage(k.name, k.row))}` });
  return undefined;
}
