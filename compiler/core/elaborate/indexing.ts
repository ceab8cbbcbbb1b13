/** `x[i, :, None, a..b]`. */
import { type Dim, dimAdd, dimSub, dimVar, printDim } from "../../base/dim.ts";
import type * as Ast from "../../syntax/ast.ts";
import { dtypesOf, inClass } from "../dtype.ts";
import type { Atom, Index, Selector } from "../ir.ts";
import { operand } from "./arithmetic.ts";
import { asValue, type Context, dimAtom, emit, fail, isShardOf, known, poison, sameDim } from "./context.ts";
import { lookup } from "./scope.ts";
import { dimOf, dtypeOf, isDType } from "./types.ts";
import { describe, errorValue, mapLeaves, printCoreType, type Scope, type Value } from "./value.ts";

/** An entry of an index, its expressions evaluated. */
type Part = { readonly part: Ast.IndexPart; readonly value?: Value; readonly start?: Value; readonly stop?: Value };

export function indexExpr(c: Context, env: Scope, e: Ast.Index): Value {
  const type = arrayTypeExpr(c, env, e);
  if (type) return type;
  const target = c.knot.expr(c, env, e.target);
  const parts = e.indices.map((part): Part => {
    if (part.kind === "at") return { part, value: c.knot.expr(c, env, part.value) };
    if (part.kind === "range")
      return {
        part,
        ...(part.start && { start: c.knot.expr(c, env, part.start) }),
        ...(part.stop && { stop: c.knot.expr(c, env, part.stop) }),
      };
    return { part };
  });
  const open = [target, ...parts.flatMap((p) => [p.value, p.start, p.stop])].find(
    (v) => v?.kind === "error" || v?.kind === "unknown",
  );
  if (open) {
    if (open.kind === "unknown" && open.fill) return fail(c, "GY3019", e.span, {});
    return open.kind === "error" ? errorValue : { kind: "unknown" };
  }
  if (target.kind === "tuple") return tupleItem(c, e, target, parts);
  const word = parts.find((p) => p.value?.kind === "string");
  if (word)
    return fail(c, "GY3037", word.part.span, {
      what: "an index",
      found: "a string",
      help: target.kind === "record" ? "a field is written `r.name`" : "arrays are indexed by numbers",
    });
  if (target.kind === "record")
    return mapLeaves(target, (leaf) =>
      leaf.kind === "array"
        ? indexArray(c, e, leaf.atom, parts)
        : fail(c, "GY3015", e.target.span, { found: describe(leaf) }),
    );
  if (target.kind !== "array") return fail(c, "GY3017", e.target.span, { op: "[…]", found: describe(target) });
  return indexArray(c, e, target.atom, parts);
}

/** `f32[M, N]` where an expression stands: a type. */
function arrayTypeExpr(c: Context, env: Scope, e: Ast.Index): Value | undefined {
  if (e.target.kind !== "name") return undefined;
  const b = lookup(env, e.target.name);
  const isType = b ? b.kind === "unbound" || (b.kind === "value" && b.value.kind === "type") : isDType(e.target.name);
  if (!isType) return undefined;
  const dtype = dtypeOf(c, env, { kind: "ident", name: e.target.name, span: e.target.span });
  const shape = e.indices.map((p) => (p.kind === "at" ? dimOf(c, env, p.value) : Number.NaN));
  const odd = e.indices.find((p) => p.kind !== "at");
  if (odd) return fail(c, "GY3010", odd.span, { what: "a dimension", found: "an index" });
  return dtype ? { kind: "type", type: { kind: "array", dtype, shape } } : errorValue;
}
function tupleItem(c: Context, e: Ast.Index, target: Extract<Value, { kind: "tuple" }>, parts: readonly Part[]): Value {
  const v = parts.length === 1 ? parts[0]!.value : undefined;
  const n = v?.kind === "int" ? known(c, v.dim) : undefined;
  const item = n === undefined ? undefined : target.items[n < 0 ? n + target.items.length : n];
  return item ?? fail(c, "GY3016", e.span, { wants: (n ?? 0) + 1, found: describe(target) });
}

function indexArray(c: Context, e: Ast.Index, array: Atom, given: readonly Part[]): Value {
  const rank = array.type.shape.length;
  const used = given.filter((p) => p.part.kind !== "newDim" && p.part.kind !== "rest").length;
  if (used > rank) return fail(c, "GY3020", e.span, { type: printCoreType(array.type), rank, found: used });
  const all = (span: Ast.Expr["span"]): Part[] =>
    Array.from({ length: rank - used }, () => ({ part: { kind: "all", span } }));
  const rest = given.findIndex((p) => p.part.kind === "rest");
  const extra = given.findIndex((p, i) => i > rest && rest >= 0 && p.part.kind === "rest");
  if (extra >= 0) return fail(c, "GY3007", given[extra]!.part.span, { what: "`...` may stand once in an index" });
  const parts =
    rest >= 0 ? [...given.slice(0, rest), ...all(e.span), ...given.slice(rest + 1)] : [...given, ...all(e.span)];
  const selectors: Selector[] = [];
  const args: Atom[] = [array];
  let dim = 0;
  for (const p of parts) {
    if (p.part.kind === "newDim") selectors.push({ kind: "new" });
    else {
      const s = selector(c, p, args, dim);
      if (!s) return errorValue;
      selectors.push(s);
      dim++;
    }
  }
  if (selectors.every((s) => s.kind === "all")) return asValue(args[0]!);
  return asValue(emit(c, "index", { selectors }, args, e.span, "[…]"));
}

/** What one entry does to dimension `dim` of args[0]; pushes its operands, and may replace args[0]. */
function selector(c: Context, p: Part, args: Atom[], dim: number): Selector | undefined {
  const size = args[0]!.type.shape[dim]!;
  if (p.part.kind === "range") return rangeSelector(c, p, size);
  if (p.part.kind !== "at" || !p.value) return { kind: "all" };
  const span = p.part.span;
  if (p.value.kind === "index" && !p.value.index.element) {
    const { index, start } = p.value;
    if (!sameDim(c, index.extent, size)) {
      const [extent, sharded] = [printDim(index.extent), isShardOf(c, size, index.extent)];
      fail(c, "GY5010", span, { index: index.name, extent, size: printDim(size), dim, sharded });
      return undefined;
    }
    if (!start) return { kind: "block", index };
    args[0] = emit(c, "dynamic_slice", { dim, size: index.size }, [args[0]!, start], span);
    return args[0] === poison ? undefined : { kind: "all" };
  }
  const v = operand(c, p.value);
  if (v.kind === "int") {
    const n = known(c, v.dim),
      total = known(c, size);
    const left = known(c, dimSub(size, v.dim));
    const before = n !== undefined && n < 0 && (typeof v.dim !== "number" || (total !== undefined && n < -total));
    if (before || (left !== undefined && left <= 0)) {
      fail(c, "GY3030", span, { index: printDim(n ?? v.dim), size: printDim(total ?? size), dim });
      return undefined;
    }
    const from = typeof v.dim === "number" && v.dim < 0 ? dimAdd(size, v.dim) : v.dim;
    args.push(dimAtom(c, from, "i32", span));
    return { kind: "at", arg: args.length - 1 };
  }
  if (v.kind === "array" && inClass(v.atom.type.dtype, "int")) {
    args.push(v.atom);
    return { kind: v.atom.type.shape.length === 0 ? "at" : "gather", arg: args.length - 1 };
  }
  fail(c, "GY3037", span, { what: `an index (${dtypesOf("int").join(" or ")})`, found: describe(v) });
  return undefined;
}
function rangeSelector(c: Context, p: Part, size: Dim): Selector | undefined {
  if (p.part.kind !== "range") return undefined;
  const bound = (v: Value | undefined, e: Ast.Expr | undefined, otherwise: Dim): Dim | undefined => {
    if (!v || !e) return otherwise;
    const d = operand(c, v);
    if (d.kind !== "int") {
      fail(c, "GY3032", e.span, { found: describe(v) });
      return undefined;
    }
    // Only a number counts from the end: a difference that comes out negative is a mistake.
    return typeof d.dim === "number" && d.dim < 0 ? dimAdd(size, d.dim) : d.dim;
  };
  const start = bound(p.start, p.part.start, 0),
    stop = bound(p.stop, p.part.stop, size);
  if (start === undefined || stop === undefined) return undefined;
  const length = dimSub(stop, start);
  const over = known(c, dimSub(size, stop)),
    n = known(c, length),
    s = known(c, start);
  if ((over !== undefined && over < 0) || (n !== undefined && n < 0) || (s !== undefined && s < 0)) {
    fail(c, "GY3031", p.part.span, { size: printDim(known(c, size) ?? size) });
    return undefined;
  }
  return sameDim(c, length, size) && start === 0 ? { kind: "all" } : { kind: "slice", start, size: length };
}

/** The name of a block's size as a dim. */
export const blockDim = (name: string, id: number): Dim => dimVar(name, `%${name}:${id}`);
/** `pos(i)`: the element numbers that an index covers. */
export function positionsOf(c: Context, index: Index, start: Atom | undefined, span: Ast.Expr["span"]): Atom {
  if (index.element) return index.element;
  if (!start) return emit(c, "pos", { index }, [], span, "pos");
  return emit(c, "add", {}, [emit(c, "iota", { size: index.size }, [], span), start], span, "pos");
}
