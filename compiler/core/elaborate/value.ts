/**
 * What an expression stands for while it is elaborated.
 *
 * Only `array` exists at run time. Everything else is known at compile time and leaves no trace in Core:
 * calls are inlined, records and tuples fall apart into their arrays, static numbers become literals where they meet arrays.
 */
import { type Dim, dimAtoms, type Layout, printDim } from "../../base/dim.ts";
import type { Span } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import type { Atom, DType, Index, Policy, Type, Var } from "../ir.ts";

export type Value =
  | ArrayValue
  /** A static whole number. `fraction`: of a quotient that leaves a rest, what it is where a float is asked for. */
  | { readonly kind: "int"; readonly dim: Dim; readonly fraction?: number }
  /** A static fraction; undefined where it hangs on sizes that are not given (while checking). */
  | { readonly kind: "float"; readonly value: number | undefined }
  | { readonly kind: "bool"; readonly value: boolean | undefined }
  | { readonly kind: "string"; readonly value: string }
  | TupleValue
  | RecordValue
  | { readonly kind: "axis"; readonly axes: readonly string[] }
  | { readonly kind: "type"; readonly type: TypeNode }
  | { readonly kind: "index"; readonly index: Index; readonly start?: Atom }
  | FnValue
  /** Bare `zeros`, `full(c)`, or a carry whose type is not found yet: takes its type from where it is used. */
  | UnknownValue
  /** Something that a diagnostic was given for: it fits everywhere. */
  | { readonly kind: "error" };

/** `affine`: an i32 scalar that is `offset + perStep * step` of a fold's step. */
export type ArrayValue = { readonly kind: "array"; readonly atom: Atom; readonly affine?: Affine };
export type Affine = { readonly step: Var; readonly perStep: number; readonly offset: Dim };
export type TupleValue = { readonly kind: "tuple"; readonly items: readonly Value[] };
export type RecordValue = { readonly kind: "record"; readonly fields: ReadonlyMap<string, Value> };
/** `fill`: the number that it is full of, when it is more than a guess. */
export type UnknownValue = { readonly kind: "unknown"; readonly fill?: Value; readonly span?: Span };
export type FnValue =
  | { readonly kind: "fn"; readonly fn: "lambda"; readonly lambda: Ast.Lambda; readonly env: Scope }
  /** `standsFor`: it is called in the place of another, exchangeable one. */
  | {
      readonly kind: "fn";
      readonly fn: "decl";
      readonly decl: Ast.FnDecl;
      readonly env: Scope;
      readonly standsFor?: StandsFor;
      readonly given?: Given;
    }
  | { readonly kind: "fn"; readonly fn: "builtin"; readonly name: string }
  /** A function that came through a parameter of a function type: called with as many arguments as the type says. */
  | {
      readonly kind: "fn";
      readonly fn: "adapted";
      readonly inner: FnValue;
      readonly type: FnNode;
      /** Where it was given: blamed where what it gives is not of the type's result. */
      readonly given: Span;
    }
  /** A function parameter while its function is checked alone: nothing is known but its type. */
  | { readonly kind: "fn"; readonly fn: "opaque"; readonly name: string; readonly type: FnNode }
  /** `grad(of)`, and with its value `value_and_grad(of)`. */
  | { readonly kind: "fn"; readonly fn: "grad"; readonly of: FnValue; readonly withValue: boolean }
  | PullbackFn
  | { readonly kind: "fn"; readonly fn: "checkpoint"; readonly of: FnValue; readonly policy: Policy }
  /** A function that a derivative rule calls: what it gives there may be differentiated once more. */
  | { readonly kind: "fn"; readonly fn: "deeper"; readonly of: FnValue };
/** Dims and dtypes that are given where a function is named, `f<N>`: by the name of the parameter. */
export type Given = ReadonlyMap<string, Value>;
/** A function in the place of another, whose parameters its arguments are for. */
export type StandsFor = {
  readonly decl: Ast.FnDecl;
  readonly axes: readonly string[];
  readonly ownAxes: readonly string[];
};
/** What the equation `id` of a `vjp` gives beside its `value`: a function from its cotangent to those of `args`. */
export type PullbackFn = {
  readonly kind: "fn";
  readonly fn: "pullback";
  readonly id: number;
  readonly inTiles: boolean;
  readonly args: readonly Value[];
  readonly value: Value;
};
/** What a call passes. */
export type Argument = { readonly name?: Ast.Ident | undefined; readonly value: Value; readonly span: Span };

/** A type as the elaborator knows it: names resolved, dims symbolic. */
export type TypeNode =
  | {
      readonly kind: "array";
      readonly dtype: DType;
      readonly shape: readonly Dim[];
      readonly spec?: SpecNode;
      readonly varying?: readonly string[];
    }
  | { readonly kind: "tuple"; readonly items: readonly TypeNode[] }
  | { readonly kind: "record"; readonly fields: ReadonlyMap<string, TypeNode> }
  | FnNode
  | { readonly kind: "int" | "axis" | "dtype" | "error" };
export type FnNode = { readonly kind: "fn"; readonly params: readonly TypeNode[]; readonly result: TypeNode };
/** Where an array lives: the axes of each dimension, and where that is written. */
export type SpecNode = {
  readonly entries: readonly { readonly axes: readonly string[]; readonly layout: Layout; readonly span: Span }[];
  readonly span: Span;
};

/** Names in scope. A scope is a list of frames, innermost first; `parent` of a module's frame is the builtins. */
export type Scope = {
  readonly names: Map<string, Binding>;
  readonly parent: Scope | undefined;
  /** Frames of functions that apply elementwise: an `if` on an array chooses elements. */
  readonly elementwise?: boolean;
  /** Of a module's frame: the derivative rules of its functions, by name. */
  readonly derivatives?: ReadonlyMap<string, Ast.DerivativeDecl>;
  /** Of a module's frame: the axes of its meshes, which its functions see by name. */
  readonly meshAxes?: ReadonlySet<string>;
};
export type Binding =
  | { readonly kind: "value"; readonly value: Value }
  | { readonly kind: "typeDecl"; readonly decl: Ast.TypeDecl; readonly env: Scope }
  | { readonly kind: "constDecl"; readonly decl: Ast.ConstDecl; readonly env: Scope }
  | { readonly kind: "meshDecl"; readonly decl: Ast.MeshDecl; readonly env: Scope }
  | { readonly kind: "meshAxis"; readonly name: string }
  | { readonly kind: "shardMap"; readonly decl: Ast.ShardMapDecl; readonly env: Scope }
  /** A dtype parameter that no argument has fixed yet. */
  | { readonly kind: "unbound"; readonly what: string }
  | { readonly kind: "error" };

export const errorValue: Value = { kind: "error" };
export const errorType: TypeNode = { kind: "error" };
export const intValue = (dim: Dim): Value => ({ kind: "int", dim });
export const arrayOf = (atom: Atom): ArrayValue => ({ kind: "array", atom });
export const tupleOf = (items: readonly Value[]): TupleValue => ({ kind: "tuple", items });

/** `f32[B, S/sp]`, as the user would write it. */
const printShape = (dtype: DType, shape: readonly Dim[]): string =>
  shape.length === 0 ? dtype : `${dtype}[${shape.map(printDim).join(", ")}]`;
export const printCoreType = (t: Type): string => printShape(t.dtype, t.shape);

export function printType(t: TypeNode): string {
  switch (t.kind) {
    case "array":
      return printShape(t.dtype, t.shape);
    case "tuple":
      return `(${t.items.map(printType).join(", ")})`;
    case "record":
      return `{ ${[...t.fields].map(([name, f]) => `${name}: ${printType(f)}`).join(", ")} }`;
    case "fn":
      return `(${t.params.map(printType).join(", ")}) -> ${printType(t.result)}`;
    case "error":
      return "_";
    default:
      return t.kind;
  }
}

/** What a value is, for "found …": its type in the user's notation, or the kind of static thing. */
export function describe(v: Value): string {
  switch (v.kind) {
    case "array":
      return `\`${printCoreType(v.atom.type)}\``;
    case "int":
      return `the static integer \`${printDim(v.dim)}\``;
    case "float":
      return v.value === undefined ? "a static number" : `the number \`${printNumber(v.value)}\``;
    case "bool":
      return "a static `bool`";
    case "string":
      return "a string";
    case "tuple":
    case "record":
      return `\`${describeInside(v)}\``;
    case "axis":
      return `the mesh axis \`${v.axes.join(", ")}\``;
    case "type":
      return `the type \`${printType(v.type)}\``;
    case "index":
      return `the tile index \`${v.index.name}\``;
    case "fn":
      return "a function";
    case "unknown":
      return "a value whose type is open";
    case "error":
      return "an error";
  }
}
const printNumber = (n: number): string =>
  n === Number.POSITIVE_INFINITY ? "inf" : n === Number.NEGATIVE_INFINITY ? "-inf" : String(n);
function describeInside(v: Value): string {
  switch (v.kind) {
    case "array":
      return printCoreType(v.atom.type);
    case "tuple":
      return `(${v.items.map(describeInside).join(", ")})`;
    case "record":
      return `{ ${[...v.fields].map(([name, f]) => `${name}: ${describeInside(f)}`).join(", ")} }`;
    case "int":
      return "int";
    case "float":
      return "number";
    case "bool":
      return "bool";
    case "fn":
      return "fn";
    case "axis":
      return "axis";
    default:
      return "_";
  }
}

/** The leaves of tuples and records, in order. */
export function leaves(v: Value): readonly Value[] {
  if (v.kind === "tuple") return v.items.flatMap(leaves);
  if (v.kind === "record") return [...v.fields.values()].flatMap(leaves);
  return [v];
}
/** Where each leaf of `name` stands: `params.w.0`. */
export function leafPaths(v: Value, name: string): readonly string[] {
  if (v.kind === "tuple") return v.items.flatMap((x, i) => leafPaths(x, `${name}.${i}`));
  if (v.kind === "record") return [...v.fields].flatMap(([key, x]) => leafPaths(x, `${name}.${key}`));
  return [name];
}
/** The same structure with other leaves. */
export function mapLeaves(v: Value, f: (leaf: Value) => Value): Value {
  if (v.kind === "tuple") return tupleOf(v.items.map((x) => mapLeaves(x, f)));
  if (v.kind === "record")
    return { kind: "record", fields: new Map([...v.fields].map(([k, x]) => [k, mapLeaves(x, f)])) };
  return f(v);
}
/** The type of what is computed in a value; what is known at compile time takes anything. */
export function typeOfValue(v: Value): TypeNode {
  if (v.kind === "tuple") return { kind: "tuple", items: v.items.map(typeOfValue) };
  if (v.kind === "record")
    return { kind: "record", fields: new Map([...v.fields].map(([k, x]) => [k, typeOfValue(x)])) };
  return v.kind === "array" ? { kind: "array", dtype: v.atom.type.dtype, shape: v.atom.type.shape } : errorType;
}
/** Rebuilds a structure with leaves taken in order. */
export function refill(v: Value, values: readonly Value[]): Value {
  let next = 0;
  return mapLeaves(v, () => values[next++] ?? errorValue);
}
/** Whether two values have the same tuples and records around their leaves. */
export function sameStructure(a: Value, b: Value): boolean {
  if (a.kind === "tuple")
    return (
      b.kind === "tuple" && a.items.length === b.items.length && a.items.every((x, i) => sameStructure(x, b.items[i]!))
    );
  if (a.kind === "record")
    return (
      b.kind === "record" &&
      a.fields.size === b.fields.size &&
      [...a.fields].every(([k, x]) => {
        const y = b.fields.get(k);
        return y !== undefined && sameStructure(x, y);
      })
    );
  return b.kind !== "tuple" && b.kind !== "record";
}

/** Keys of dim atoms tell what kind of size they are. */
export const axisKey = (axis: string): string => `@${axis}`;
export const isBlockKey = (key: string): boolean => key.startsWith("%");
export const isIntParamKey = (key: string): boolean => key.startsWith("#");
export const isHoleKey = (key: string): boolean => key.startsWith("?");
/** Whether a dim is known only inside a tile: it contains the size of a block. */
export const hasBlock = (d: Dim): boolean => typeof d !== "number" && dimAtoms(d).some((a) => isBlockKey(a.key));
