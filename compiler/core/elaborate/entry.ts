/** Entry points: a `shard_map` on its mesh, its ports, and the check that its results are where its specs say. */
import type { Diagnostic, Note } from "../../base/diagnostic.ts";
import { type Dim, dimAtoms, dimVar, evalDim, printDim, splitOf } from "../../base/dim.ts";
import type { Span } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import type { Atom, Block, Var } from "../ir.ts";
import { toAtom } from "./arithmetic.ts";
import { type Choices, type Chosen, splitAxes, withLayouts } from "./choices.ts";
import { type Context, fail, freshVar, type Knot, type MeshAxis, makeContext, poison, widen } from "./context.ts";
import { checkHead, meshAxes } from "./declarations.ts";
import { checkDerivatives } from "./expansion.ts";
import { fitValue, lastExpr, partSpan } from "./fit.ts";
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
  const spanOf = (path: string): Span => partSpan(decl.body, path);
  const type = localType(c, h.result);
  const result = fitValue(c, type, value, at, `the result of \`${decl.name.name}\``, new Map(), false, spanOf);
  if (result.kind === "error" || c.diagnostics.length > before) return undefined;
  // Where a part of its type is wrong, that was told.
  if (leaves(result).length !== h.outputs.length) return undefined;
  const outputs = leaves(result).map((v, i) => {
    const port = h.outputs[i]!;
    return { port, atom: toAtom(c, v, at), at: spanOf(port.path) };
  });
  checkVarying(h, outputs);
  const atoms = outputs.map((o) => checkOutput(h, o));
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

type Output = { readonly port: EntryPort; readonly atom: Atom; readonly at: Span };

/** A result may vary over the axes of its spec only. What is wrong with several for one reason is said once. */
function checkVarying(h: Head, outputs: readonly Output[]): void {
  const { c } = h;
  type Wrong = { readonly axes: readonly string[]; readonly from: readonly Note[]; readonly of: Output };
  const wrong = outputs.flatMap((o): Wrong[] => {
    const allowed = specAxes(c, o.port.type);
    const axes = o.atom.type.varying.filter((x) => !allowed.includes(x));
    const from = axes.flatMap((axis) => whereFrom(c, o.atom, axis));
    return axes.length > 0 ? [{ axes, from: from.filter((n, i) => !from.slice(0, i).some(sameNote(n))), of: o }] : [];
  });
  for (const [i, { axes, from, of }] of wrong.entries()) {
    const alike = (x: Wrong): boolean =>
      `${x.axes}` === `${axes}` && x.from.length === from.length && x.from.every((n, k) => sameNote(n)(from[k]!));
    if (wrong.slice(0, i).some(alike)) continue;
    const { port, at } = of;
    const names = wrong.filter(alike).map((x) => x.of.port.path);
    fail(c, "GY4006", at, { names, axes }, [
      ...from,
      {
        span: port.type.spec?.span ?? h.decl.result.span,
        message: `this spec says that it is the same on all devices along ${axes.map((a) => `\`${a}\``).join(" and ")}`,
      },
    ]);
  }
}
const sameNote =
  (a: Note) =>
  (b: Note): boolean =>
    a.span.start === b.span.start && a.span.source === b.span.source && a.message === b.message;
/** The value as the spec has it: its split dims lie as that says, and it varies over its axes. */
function checkOutput(h: Head, { port, atom, at }: Output): Atom {
  const { c } = h;
  if (atom === poison) return atom;
  const label = port.path === "" ? "the result" : `result \`${port.path}\``;
  for (const [i, d] of atom.type.shape.entries()) {
    const is = splitOf(d),
      says = port.type.spec?.entries[i];
    if (!is || !says || says.axes.length === 0 || is.layout === says.layout) continue;
    const text = (layout: string, axes: readonly string[]) =>
      layout === "contiguous" ? axes.join(", ") : `${layout}(${axes.join(", ")})`;
    fail(c, "GY4009", at, { what: label, dim: i, is: text(is.layout, is.axes), says: text(says.layout, says.axes) }, [
      { span: says.span, message: "the spec of the result" },
    ]);
  }
  return widen(c, atom, specAxes(c, port.type), at);
}
/** Walks back to where an axis came into a value: the nearest place where it did not come by widening what meets it later. */
function whereFrom(c: Context, a: Atom, axis: string): readonly Note[] {
  const seen = new Set<number>();
  const queue = [a];
  let widened: readonly Note[] = [];
  for (let at = queue.shift(); at; at = queue.shift()) {
    const origin = at.kind === "var" && !seen.has(at.id) ? c.shared.origins.get(at.id) : undefined;
    if (!origin || at.kind !== "var") continue;
    seen.add(at.id);
    const next = origin.from.filter((x) => x.kind === "var" && x.type.varying.includes(axis));
    queue.push(...next);
    if (next.length > 0) continue;
    const isPort = origin.why?.endsWith(" here");
    const note = [{ span: origin.span, message: isPort ? origin.why! : `it begins to vary over \`${axis}\` here` }];
    if (origin.why !== "`pvary`") return note;
    if (widened.length === 0) widened = note;
  }
  return widened;
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
