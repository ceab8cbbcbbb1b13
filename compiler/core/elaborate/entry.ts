/** Entry points: a `shard_map` on its mesh, its ports, and the check that its results are where its specs say. */
import type { Diagnostic, Note } from "../../base/diagnostic.ts";
import { type Dim, dimAtoms, dimVar, evalDim, printDim, splitOf } from "../../base/dim.ts";
import type * as Ast from "../../syntax/ast.ts";
import type { Atom, Block, Var } from "../ir.ts";
import { toAtom } from "./arithmetic.ts";
import { type Choices, type Chosen, splitAxes, withLayouts } from "./choices.ts";
import { type Context, fail, freshVar, type Knot, type MeshAxis, makeContext, poison, widen } from "./context.ts";
import { checkHead, meshAxes } from "./declarations.ts";
import { checkDerivatives } from "./expansion.ts";
import { fitValue, lastExpr } from "./fit.ts";
import { define, frame, lookup, near, visible } from "./scope.ts";
import { localShape, localType, type Placed, placed, portsOf, specAxes } from "./specs.ts";
import { typeNode, whatIs } from "./types.ts";
import {
  arrayOf,
  axisKey,
  errorType,
  errorValue,
  intValue,
  leaves,
  printType,
  refill,
  type Scope,
  type TypeNode,
  type Value,
} from "./value.ts";

/** One array at the edge of an entry; dims are symbolic. */
export type EntryPort = { readonly path: string; readonly type: Placed; readonly decl: Ast.Param | Ast.ShardMapDecl };
export type Head = {
  readonly c: Context;
  readonly decl: Ast.ShardMapDecl;
  readonly scope: Scope;
  readonly mesh: Ast.MeshDecl;
  /** As they are declared, and as the program has them: some in parts. */
  readonly declared: readonly MeshAxis[];
  readonly axes: readonly MeshAxis[];
  readonly params: readonly { readonly param: Ast.Param; readonly type: TypeNode }[];
  readonly result: TypeNode;
  readonly inputs: readonly EntryPort[];
  readonly outputs: readonly EntryPort[];
};

/** What an entry is elaborated at; `chosen` are the choices with their names looked up. */
export type EntrySizes = {
  readonly dims: ReadonlyMap<string, number>;
  readonly mesh: ReadonlyMap<string, number>;
  readonly choices?: Choices | undefined;
  readonly chosen?: Chosen | undefined;
};

/** Reads everything of a `shard_map` but its body. Undefined after an error. */
export function entryHead(
  knot: Knot,
  diagnostics: Diagnostic[],
  decl: Ast.ShardMapDecl,
  env: Scope,
  sizes?: EntrySizes,
  compile = false,
): Head | undefined {
  const before = diagnostics.length;
  const bare = makeContext({ knot, diagnostics, axes: [] });
  const binding = lookup(env, decl.mesh.name);
  if (binding?.kind !== "meshDecl") {
    if (binding && binding.kind !== "error")
      fail(bare, "GY2008", decl.mesh.span, { name: decl.mesh.name, is: whatIs(binding), wants: "a mesh" });
    if (!binding && decl.mesh.name !== "_") {
      const meshes = visible(env).filter((n) => lookup(env, n)?.kind === "meshDecl");
      fail(bare, "GY4005", decl.mesh.span, { name: decl.mesh.name, meshes, ...near(decl.mesh.name, meshes) });
    }
    return undefined;
  }
  const declared = meshAxes(bare, binding.decl, binding.env).map((a) => {
    const size = sizes?.mesh.get(a.name) ?? a.size;
    return size === undefined ? { name: a.name } : { name: a.name, size };
  });
  const { choices, chosen } = sizes ?? {};
  const axes = splitAxes(declared, choices?.splits);
  const c = makeContext({ knot, diagnostics, axes, compile, chosen, ...(sizes && { sizes: sizes.dims }) });
  checkHead(c, decl.generics, decl.params);
  for (const g of decl.generics) if (g.bound) fail(c, "GY4017", g.span, { name: g.name.name });
  const scope = frame(env);
  for (const { name } of declared) define(scope, name, { kind: "axis", axes: chosen?.splits.get(name) ?? [name] });
  for (const g of decl.generics)
    define(scope, g.name.name, g.bound ? { kind: "type", type: errorType } : intValue(dimVar(g.name.name)));
  const read = (t: Ast.Type | undefined, name: string): TypeNode => {
    if (!t) return errorType;
    const type = typeNode(c, scope, t, (s, inner, env) => placed(c, env, s, inner));
    checkPlaced(c, type, t, name);
    return withLayouts(type, choices?.layouts);
  };
  const params = decl.params.map((param) => ({ param, type: read(param.type, `parameter \`${param.name.name}\``) }));
  for (const p of decl.params) if (p.default) fail(c, "GY4018", p.default.span, { name: p.name.name });
  const result = read(decl.result, "the result");
  if (diagnostics.length > before) return undefined;
  const inputs = params.flatMap(({ param, type }) =>
    portsOf(type, param.name.name).map((p) => ({ ...p, decl: param })),
  );
  const outputs = portsOf(result, "").map((p) => ({ ...p, decl }));
  return { c, decl, scope, mesh: binding.decl, declared, axes, params, result, inputs, outputs };
}
/** At the edge of a program there are arrays only, and each says where it lives. */
function checkPlaced(c: Context, t: TypeNode, written: Ast.Type, what: string): void {
  switch (t.kind) {
    case "array":
      if (!t.spec && t.shape.length > 0)
        fail(c, "GY4007", written.span, { what, spec: `P(${t.shape.map(() => "_").join(", ")})`, type: printType(t) });
      return;
    case "tuple":
      for (const x of t.items) checkPlaced(c, x, written, what);
      return;
    case "record":
      for (const [name, x] of t.fields) checkPlaced(c, x, written, `field \`${name}\` of ${what}`);
      return;
    case "error":
      return;
    default:
      fail(c, "GY4019", written.span, { what, type: printType(t) });
  }
}

export type Elaborated = { readonly inputs: readonly Var[]; readonly body: Block };

/** Elaborates the body and checks its value against the result's type, spec and varying axes. Undefined after an error. */
export function entryBody(h: Head): Elaborated | undefined {
  const { c, decl } = h;
  const before = c.diagnostics.length;
  const inputs: Var[] = [];
  const scope = frame(h.scope);
  for (const { param, type } of h.params) {
    const vars = portsOf(type, param.name.name).map((p) => {
      const varying = specAxes(c, p.type);
      const why = `\`${p.path}\` is split over ${varying.map((a) => `\`${a}\``).join(" and ")} here`;
      return freshVar(
        c,
        { dtype: p.type.dtype, shape: localShape(c, p.type), varying },
        { from: [], span: param.span, why },
        p.path,
      );
    });
    inputs.push(...vars);
    define(scope, param.name.name, refill(skeleton(type), vars.map(arrayOf)));
  }
  const value = c.knot.expr(c, scope, decl.body);
  const at = lastExpr(decl.body).span;
  const result = fitValue(c, localType(c, h.result), value, at, `the result of \`${decl.name.name}\``);
  if (result.kind === "error" || c.diagnostics.length > before) return undefined;
  const atoms = leaves(result).map((v, i) => checkOutput(h, toAtom(c, v, at), h.outputs[i]!, at));
  if (atoms.includes(poison) || c.diagnostics.length > before) return undefined;
  const body: Block = { eqns: c.eqns, results: atoms };
  checkDerivatives(c, body);
  return c.diagnostics.length > before ? undefined : { inputs, body };
}
/** The structure of a type, its leaves to be filled. */
function skeleton(t: TypeNode): Value {
  if (t.kind === "tuple") return { kind: "tuple", items: t.items.map(skeleton) };
  if (t.kind === "record") return { kind: "record", fields: new Map([...t.fields].map(([k, x]) => [k, skeleton(x)])) };
  return errorValue;
}

/** A result may vary over the axes of its spec only, and its split dims must lie as the spec says. */
function checkOutput(h: Head, a: Atom, port: EntryPort, at: Ast.Expr["span"]): Atom {
  const { c } = h;
  if (a === poison) return a;
  const allowed = specAxes(c, port.type);
  const label = port.path === "" ? "the result" : `result \`${port.path}\``;
  const spec = port.type.spec?.span ?? h.decl.result.span;
  let fine = true;
  for (const axis of a.type.varying.filter((x) => !allowed.includes(x))) {
    fine = false;
    fail(c, "GY4006", at, { what: label, axis }, [
      ...whereFrom(c, a, axis),
      { span: spec, message: `this spec says that it is the same on all devices along \`${axis}\`` },
    ]);
  }
  for (const [i, d] of a.type.shape.entries()) {
    const is = splitOf(d),
      says = port.type.spec?.entries[i];
    if (!is || !says || says.axes.length === 0 || is.layout === says.layout) continue;
    fine = false;
    const text = (layout: string, axes: readonly string[]) =>
      layout === "contiguous" ? axes.join(", ") : `${layout}(${axes.join(", ")})`;
    fail(c, "GY4009", at, { what: label, dim: i, is: text(is.layout, is.axes), says: text(says.layout, says.axes) }, [
      { span: says.span, message: "the spec of the result" },
    ]);
  }
  return fine ? widen(c, a, allowed, at) : poison;
}
/** Walks back to where an axis came into a value. */
function whereFrom(c: Context, a: Atom, axis: string): readonly Note[] {
  const seen = new Set<number>();
  let at = a;
  for (;;) {
    if (at.kind !== "var" || seen.has(at.id)) return [];
    seen.add(at.id);
    const origin = c.shared.origins.get(at.id);
    if (!origin) return [];
    const next = origin.from.find((x) => x.kind === "var" && !seen.has(x.id) && x.type.varying.includes(axis));
    if (!next) {
      const isPort = origin.why?.endsWith(" here");
      return [{ span: origin.span, message: isPort ? origin.why! : `it begins to vary over \`${axis}\` here` }];
    }
    at = next;
  }
}

/** With sizes given: every port has elements, and every split dim divides by its axes (twice over for zigzag). */
export function checkSizes(h: Head): boolean {
  const { c } = h;
  const before = c.diagnostics.length;
  const told = new Set<string>();
  const size = (d: Dim) => {
    const v = evalDim(d, (a) => c.sizes.get(a.key));
    return v.kind === "value" ? v.value : undefined;
  };
  for (const p of [...h.inputs, ...h.outputs])
    for (const [i, e] of (p.type.spec?.entries ?? []).entries()) {
      const n = e.axes.reduce((product, a) => product * (c.sizes.get(axisKey(a)) ?? 1), 1);
      const unit = e.layout === "zigzag" && e.axes.length > 0 ? 2 * n : n;
      const dim = p.type.shape[i]!;
      const total = size(dim);
      if (total === 0)
        fail(c, "GY6014", e.span, {
          what: p.path === "" ? "the result" : `\`${p.path}\``,
          dim: printDim(dim),
          sizes: dimAtoms(dim).map((a) => `${a.name} = ${c.sizes.get(a.key)}`),
        });
      if (total === undefined || unit <= 1 || total % unit === 0) continue;
      const key = `${printDim(dim)} ${unit}`;
      if (told.has(key)) continue;
      told.add(key);
      const lower = Math.floor(total / unit) * unit;
      fail(c, "GY6003", e.span, {
        dim: printDim(dim),
        size: total,
        axes: e.axes,
        unit,
        layout: e.layout,
        near: [lower, lower + unit].filter((x) => x > 0),
      });
    }
  return c.diagnostics.length === before;
}
