/** `tiles`: one body for each block of its indices, in parallel; `into` says where its values land. */
import { type Dim, dimAtoms } from "../../base/dim.ts";
import type * as Ast from "../../syntax/ast.ts";
import type { Atom, Index, TilesEqn, Type, Var } from "../ir.ts";
import { toAtom } from "./arithmetic.ts";
import { type Context, fail, freshVar, poison, push, sameDim, scalarType } from "./context.ts";
import { blockIndex, staticExtent } from "./folds.ts";
import { define, frame, near } from "./scope.ts";
import { arrayOf, describe, errorValue, printCoreType, type Scope, tupleOf, type Value } from "./value.ts";

type Into = TilesEqn["into"][number];

export function tilesExpr(c: Context, env: Scope, e: Ast.Tiles): Value {
  if (c.outside) return fail(c, "GY5008", e.span, {});
  const scope = frame(env);
  const before = c.diagnostics.length;
  const indices: Index[] = [];
  for (const i of e.indices) {
    const extent = staticExtent(c, env, i.extent, "what a tile index ranges over");
    const index =
      extent === undefined
        ? undefined
        : i.by
          ? blockIndex(c, env, i.name.name, extent, i.by)
          : elementIndex(c, i, extent);
    if (indices.some((x) => x.name === i.name.name)) fail(c, "GY2006", i.name.span, { name: i.name.name });
    if (index) indices.push(index);
    define(scope, i.name.name, index ? { kind: "index", index } : errorValue);
  }
  const whole = indices.length === e.indices.length;
  const patterns = e.into.map((p) => (whole ? intoPattern(c, p, indices) : undefined));
  const inner: Context = { ...c, eqns: [], outside: c.eqns };
  const body = c.knot.expr(inner, scope, e.body);
  if (body.kind === "error" || c.diagnostics.length > before || patterns.includes(undefined)) return errorValue;
  const values = e.into.length === 1 && body.kind !== "tuple" ? [body] : body.kind === "tuple" ? body.items : undefined;
  if (!values || values.length !== e.into.length)
    return fail(c, "GY5006", e.body.result.span, { patterns: e.into.length, found: describe(body) });
  const results: Atom[] = [];
  const outs: Var[] = [];
  for (const [k, v] of values.entries()) {
    const atom = toAtom(inner, v, e.body.result.span, undefined, "tiles");
    if (atom === poison) return errorValue;
    const type = landed(c, atom, patterns[k]!, e.into[k]!, indices, e);
    if (!type) return errorValue;
    results.push(atom);
    outs.push(freshVar(c, type, { from: [atom], span: e.span, why: "these `tiles`" }));
  }
  push(c, {
    kind: "tiles",
    indices,
    body: { eqns: inner.eqns, results },
    into: patterns as Into[],
    outs,
    span: e.span,
  });
  const items = outs.map(arrayOf);
  return body.kind === "tuple" ? tupleOf(items) : items[0]!;
}
function elementIndex(c: Context, i: Ast.TileIndex, extent: Dim): Index {
  const id = c.shared.nextId++;
  const element = freshVar(c, scalarType("i32"), { from: [], span: i.span }, i.name.name);
  return { id, name: i.name.name, extent, block: null, size: 1, element };
}

/** Reads an `into` pattern: every index once, only indices and `:`. */
function intoPattern(c: Context, p: Ast.IntoPattern, indices: readonly Index[]): Into | undefined {
  const before = c.diagnostics.length;
  const seen = new Set<string>();
  const into = p.dims.map((d): Into[number] => {
    if (d.kind === "all") return { kind: "all" };
    const index = indices.find((i) => i.name === d.name);
    if (!index)
      fail(c, "GY5005", d.span, {
        name: d.name,
        ...near(
          d.name,
          indices.map((i) => i.name),
        ),
      });
    if (seen.has(d.name)) fail(c, "GY5004", d.span, { name: d.name });
    seen.add(d.name);
    return { kind: "index", id: index?.id ?? -1 };
  });
  const missing = indices.filter((i) => !seen.has(i.name)).map((i) => i.name);
  if (missing.length > 0 && c.diagnostics.length === before) fail(c, "GY5007", p.span, { missing });
  return c.diagnostics.length === before ? into : undefined;
}

/** The type of a whole result: block dims become the extents of their indices. */
function landed(
  c: Context,
  a: Atom,
  into: Into,
  p: Ast.IntoPattern,
  indices: readonly Index[],
  e: Ast.Tiles,
): Type | undefined {
  const byId = new Map(indices.map((i) => [i.id, i]));
  const dims = into.filter((d) => d.kind === "all" || byId.get(d.id)?.block !== null);
  const wanted = into.map((d) => (d.kind === "all" ? ":" : byId.get(d.id)!.name)).join(", ");
  const wrong = () => {
    const shape = dims.map((d) => (d.kind === "all" ? ":" : byId.get(d.id)!.name)).join(", ");
    fail(c, "GY5013", e.body.result.span, { into: wanted, shape, found: printCoreType(a.type) }, [
      { span: p.span, message: "this is where it should land" },
    ]);
    return undefined;
  };
  if (dims.length !== a.type.shape.length) return wrong();
  let next = 0;
  const shape: Dim[] = [];
  for (const d of into) {
    const index = d.kind === "index" ? byId.get(d.id)! : undefined;
    if (index && index.block === null) shape.push(index.extent);
    else {
      const size = a.type.shape[next++]!;
      if (index && !sameDim(c, size, index.size)) return wrong();
      const leak = index ? undefined : dimAtoms(size).find((x) => x.key.startsWith("%"));
      if (leak) return wrong();
      shape.push(index ? index.extent : size);
    }
  }
  return { dtype: a.type.dtype, shape, varying: a.type.varying };
}
