/**
 * What may be chosen about an entry without a change of its text. None of it changes what a program means: an axis in parts is
 * the same devices in the same order, callers see global order in any layout, functions are declared exchangeable because they
 * give the same, and a policy says what is computed again.
 */
import { type Layout, printDim } from "../../base/dim.ts";
import type { Span } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import type { Policy } from "../ir.ts";
import type { FnValue, Scope, TypeNode, Value } from "./value.ts";

export type Choices = {
  /** Axes in parts, major first: with `sp: [2, 8]`, the axes `sp.0` and `sp.1` stand wherever the program says `sp`. */
  readonly splits?: Readonly<Record<string, readonly number[]>>;
  /** How split dimensions of inputs and results lie, by the name of the dimension. */
  readonly layouts?: Readonly<Record<string, Layout>>;
  /** Groups of functions that give the same. */
  readonly exchangeable?: readonly (readonly Exchangeable[])[];
  /** Of exchangeable functions, which one is called in the place of which. */
  readonly exchanges?: Readonly<Record<string, string>>;
  /** The policy of every `checkpoint` that names one. */
  readonly policy?: Policy;
};
/**
 * A function of a module. `axes`: its parameters for mesh axes, major first; of two functions of a group they may be
 * different ones, and stand for the same axes. All other parameters have the same names.
 */
export type Exchangeable = { readonly module: string; readonly name: string; readonly axes: readonly string[] };

/** What an entry has that can be chosen. */
export type Found = {
  /** Calls of exchangeable functions, by the name that is written, and the mesh axes that they get. */
  readonly calls: readonly { readonly name: string; readonly axes: readonly string[]; readonly span: Span }[];
  /** Whether it asks where its rows stand, so that it holds in any layout. */
  readonly positions: boolean;
  /** The policies that a `checkpoint` names, each once. */
  readonly policies: readonly Policy[];
};

type DeclFn = Extract<FnValue, { fn: "decl" }>;
/** Choices with their names looked up, and what is found on the way. */
export type Chosen = {
  readonly splits: ReadonlyMap<string, readonly string[]>;
  readonly policy: Policy | undefined;
  readonly exchanges: ReadonlyMap<Ast.FnDecl, DeclFn>;
  /** The modules that the exchangeable functions are made in: there, a name stands for itself. */
  readonly home: ReadonlySet<Scope>;
  readonly found: { calls: Found["calls"][number][]; positions: boolean; policies: Policy[] };
};

export const partName = (axis: string, part: number): string => `${axis}.${part}`;
/** The names of the parts of each axis that is split. */
export const splitNames = (splits: Choices["splits"] = {}): ReadonlyMap<string, readonly string[]> =>
  new Map(Object.entries(splits).map(([axis, sizes]) => [axis, sizes.map((_, i) => partName(axis, i))]));

/** The mesh with its chosen axes in parts. */
export const splitAxes = (axes: readonly Axis[], splits: Choices["splits"] = {}): readonly Axis[] =>
  axes.flatMap((a): readonly Axis[] => splits[a.name]?.map((size, i) => ({ name: partName(a.name, i), size })) ?? [a]);
type Axis = { readonly name: string; readonly size?: number };

/** A type of an entry with the chosen layouts of its split dimensions. */
export function withLayouts(t: TypeNode, layouts: Choices["layouts"] = {}): TypeNode {
  switch (t.kind) {
    case "array": {
      if (!t.spec) return t;
      const entries = t.spec.entries.map((e, i) => {
        const layout = layouts[printDim(t.shape[i]!)];
        return layout && e.axes.length > 0 ? { ...e, layout } : e;
      });
      return { ...t, spec: { ...t.spec, entries } };
    }
    case "tuple":
      return { ...t, items: t.items.map((x) => withLayouts(x, layouts)) };
    case "record":
      return { ...t, fields: new Map([...t.fields].map(([name, x]) => [name, withLayouts(x, layouts)])) };
    default:
      return t;
  }
}

/** Looks up the choices. `scopeOf` gives a module's scope where there is such a module. */
export function lookUp(choices: Choices, scopeOf: (module: string) => Scope | undefined): Chosen {
  const exchanges = new Map<Ast.FnDecl, DeclFn>();
  const home = new Set<Scope>();
  for (const group of choices.exchangeable ?? []) {
    const members = group.flatMap((member) => {
      const scope = scopeOf(member.module);
      const value = scope && declared(scope, member.name);
      if (scope && value) home.add(scope);
      return value ? [{ member, value }] : [];
    });
    for (const { member, value } of members) {
      const wanted = choices.exchanges?.[member.name] ?? member.name;
      const to = members.find((m) => m.member.name === wanted) ?? { member, value };
      const standsFor = { decl: value.decl, axes: member.axes, ownAxes: to.member.axes };
      exchanges.set(value.decl, { ...to.value, standsFor });
    }
  }
  return {
    splits: splitNames(choices.splits),
    policy: choices.policy,
    exchanges,
    home,
    found: { calls: [], positions: false, policies: [] },
  };
}
function declared(scope: Scope, name: string): DeclFn | undefined {
  const b = scope.names.get(name);
  return b?.kind === "value" && b.value.kind === "fn" && b.value.fn === "decl" ? b.value : undefined;
}

/** What a name in `env` stands for: a function that was exchanged for another, that one. */
export function exchanged(chosen: Chosen | undefined, env: Scope, value: Value): Value {
  if (!chosen || value.kind !== "fn" || value.fn !== "decl") return value;
  const other = chosen.exchanges.get(value.decl);
  return other && !chosen.home.has(moduleOf(env)) ? other : value;
}
function moduleOf(env: Scope): Scope {
  let at = env;
  while (at.parent) at = at.parent;
  return at;
}

/**
 * Mesh axes, all together, as arguments for the axis parameters: one each for the last ones, and the rest for the first.
 * Undefined where there are too few.
 */
export function dealAxes(axes: readonly string[], params: number): readonly (readonly string[])[] | undefined {
  if (axes.length < params) return undefined;
  const first = axes.length - params + 1;
  return [axes.slice(0, first), ...axes.slice(first).map((a) => [a])];
}
