/** Making arrays, and changing their shape. */
import { type Dim, dimAdd, dimDiv, dimProduct, printDim } from "../../base/dim.ts";
import type { Span } from "../../base/span.ts";
import type { Atom, DType } from "../ir.ts";
import { toAtom } from "./arithmetic.ts";
import { arg, arrayArg, type Builtin, type Call, dimArg, intArg, shapeArg, typeArg } from "./builtin.ts";
import { asValue, type Context, checkWhole, emit, fail, known, lit, poison } from "./context.ts";
import { filled } from "./fit.ts";
import { einsum } from "./products.ts";
import {
  type Argument,
  describe,
  errorValue,
  intValue,
  mapLeaves,
  type TypeNode,
  tupleOf,
  type Value,
} from "./value.ts";

/** An array, tuple or record of a type, full of one number. */
function fullOf(c: Context, t: TypeNode, fill: Value, span: Span): Value {
  switch (t.kind) {
    case "array": {
      const a =
        fill.kind === "int" && t.dtype === "bool"
          ? lit(0, "bool")
          : toAtom(c, fill, span, fill.kind === "array" ? undefined : t.dtype, "full");
      if (a !== poison && a.type.dtype !== t.dtype)
        return fail(c, "GY3001", span, { op: "full", a: t.dtype, b: a.type.dtype });
      return a === poison ? errorValue : asValue(filled(c, a, t.shape, span));
    }
    case "tuple":
      return tupleOf(t.items.map((x) => fullOf(c, x, fill, span)));
    case "record":
      return { kind: "record", fields: new Map([...t.fields].map(([name, x]) => [name, fullOf(c, x, fill, span)])) };
    case "error":
      return errorValue;
    default:
      return fail(c, "GY3037", span, { what: "a type of arrays", found: `\`${t.kind}\`` });
  }
}

/** The operands of `concat` and `stack`: given one by one, or as a tuple. */
function several(k: Call): readonly Argument[] {
  const all = [...k.args.slice(0, 1), ...k.rest].flatMap((a) => (a ? [a] : []));
  const only = all.length === 1 ? all[0]! : undefined;
  return only?.value.kind === "tuple" ? only.value.items.map((value) => ({ value, span: only.span })) : all;
}
/** Operands as arrays: plain numbers take the dtype of the others. */
function atomsOf(k: Call, args: readonly Argument[]): readonly Atom[] | undefined {
  const first = args.find((a) => a.value.kind === "array")?.value;
  const dtype: DType | undefined = first?.kind === "array" ? first.atom.type.dtype : undefined;
  const atoms = args.map((a) => toAtom(k.c, a.value, a.span, a.value.kind === "array" ? undefined : dtype, k.name));
  return atoms.includes(poison) ? undefined : atoms;
}
/** Operands stand by position, and `dim` is given by name. */
const joining = (name: string, run: (k: Call, dim: Argument | undefined) => Value): Builtin => ({
  params: ["x"],
  required: 1,
  usage: `${name}((a, b), dim = d)`,
  rest: true,
  named: ["dim"],
  run: (k) => run(k, k.args[1]),
});

export const shapeBuiltins: Readonly<Record<string, Builtin>> = {
  zeros: {
    params: ["type"],
    required: 1,
    usage: "zeros(f32[M, N])",
    run: (k) => {
      const t = typeArg(k, arg(k, 0));
      return t ? fullOf(k.c, t, intValue(0), k.span) : errorValue;
    },
  },
  // full(type, c), or full(c) with its type from its use
  full: {
    params: ["type", "value"],
    required: 1,
    usage: "full(f32[M, N], c)",
    run: (k) => {
      if (!k.args[1]) {
        const v = arg(k, 0).value;
        const scalar =
          v.kind === "int" ||
          v.kind === "float" ||
          v.kind === "bool" ||
          (v.kind === "array" && v.atom.type.shape.length === 0);
        return scalar
          ? { kind: "unknown", fill: v, span: k.span }
          : fail(k.c, "GY3037", arg(k, 0).span, { what: "a number, or a type and a number", found: describe(v) });
      }
      const t = typeArg(k, arg(k, 0));
      return t ? fullOf(k.c, t, arg(k, 1).value, k.span) : errorValue;
    },
  },
  iota: {
    params: ["size"],
    required: 1,
    run: (k) => {
      const size = intArg(k, arg(k, 0), "the size of `iota`");
      return size === undefined ? errorValue : asValue(emit(k.c, "iota", { size }, [], k.span, k.name));
    },
  },
  reshape: {
    params: ["x", "shape"],
    required: 2,
    usage: "reshape(x, (M, N))",
    rest: true,
    run: (k) => {
      const x = arrayArg(k, 0);
      const sizes = shapeArg(k, [arg(k, 1), ...k.rest]) as readonly Dim[] | undefined;
      if (x === poison || !sizes) return errorValue;
      const shape = inferOne(k, x, sizes);
      return shape ? checkWhole(k.c, emit(k.c, "reshape", { shape }, [x], k.span, k.name), k.span) : errorValue;
    },
  },
  transpose: {
    params: ["x", "perm"],
    required: 1,
    usage: "transpose(x, (0, 2, 1))",
    run: (k) => {
      const x = arrayArg(k, 0);
      if (x === poison) return errorValue;
      const rank = x.type.shape.length;
      const given = k.args[1];
      if (!given)
        return asValue(
          emit(k.c, "transpose", { perm: Array.from({ length: rank }, (_, i) => rank - 1 - i) }, [x], k.span, k.name),
        );
      const items = given.value.kind === "tuple" ? given.value.items : [given.value];
      const perm = items.map((value) => dimArg(k, { value, span: given.span }, rank, 0));
      return perm.includes(undefined)
        ? errorValue
        : asValue(emit(k.c, "transpose", { perm: perm as number[] }, [x], given.span, k.name));
    },
  },
  broadcast_to: {
    params: ["x", "shape"],
    required: 2,
    rest: true,
    run: (k) => {
      const x = arrayArg(k, 0);
      const shape = shapeArg(k, [arg(k, 1), ...k.rest]) as readonly Dim[] | undefined;
      return x === poison || !shape ? errorValue : asValue(emit(k.c, "broadcast", { shape }, [x], k.span, k.name));
    },
  },
  concat: joining("concat", (k, dimAt) => {
    const atoms = atomsOf(k, several(k));
    if (!atoms) return errorValue;
    const dim = dimArg(k, dimAt, atoms[0]!.type.shape.length, 0);
    return dim === undefined ? errorValue : asValue(emit(k.c, "concat", { dim }, atoms, k.span, k.name));
  }),
  stack: joining("stack", (k, dimAt) => {
    const atoms = atomsOf(k, several(k));
    if (!atoms) return errorValue;
    const dim = dimArg(k, dimAt, atoms[0]!.type.shape.length + 1, 0);
    if (dim === undefined) return errorValue;
    const widened = atoms.map((a) => {
      const selectors = [...a.type.shape.map(() => ({ kind: "all" as const })), { kind: "new" as const }];
      selectors.splice(dim, 0, selectors.pop()!);
      return emit(k.c, "index", { selectors }, [a], k.span, k.name);
    });
    return asValue(emit(k.c, "concat", { dim }, widened, k.span, k.name));
  }),
  // split(x, n, dim = d): n equal parts as a tuple
  split: {
    params: ["x", "parts", "dim"],
    required: 2,
    run: (k) => {
      const x = arrayArg(k, 0);
      if (x === poison) return errorValue;
      const dim = dimArg(k, k.args[2], x.type.shape.length, 0);
      const sizes = dim === undefined ? undefined : partSizes(k, x.type.shape[dim]!);
      if (dim === undefined || !sizes) return errorValue;
      let start: Dim = 0;
      return tupleOf(
        sizes.map((size) => {
          const selectors = x.type.shape.map((_, i) =>
            i === dim ? { kind: "slice" as const, start, size } : { kind: "all" as const },
          );
          start = dimAdd(start, size);
          return checkWhole(k.c, emit(k.c, "index", { selectors }, [x], k.span, k.name), k.span);
        }),
      );
    },
  },
  // one_hot(x, n): 1 at x, 0 elsewhere, along a new last dimension of size n
  one_hot: {
    params: ["x", "size", "dtype"],
    required: 2,
    run: (k) => {
      const x = arrayArg(k, 0),
        size = intArg(k, arg(k, 1), "the size of `one_hot`");
      const t = k.args[2] ? typeArg(k, k.args[2]) : undefined;
      if (x === poison || size === undefined || (k.args[2] && !t)) return errorValue;
      const numbers = emit(k.c, "iota", { size }, [], k.span);
      const places = x.type.dtype === "i32" ? numbers : emit(k.c, "cast", { dtype: x.type.dtype }, [numbers], k.span);
      const column = emit(
        k.c,
        "index",
        { selectors: [...x.type.shape.map(() => ({ kind: "all" as const })), { kind: "new" }] },
        [x],
        k.span,
      );
      const hit = emit(k.c, "eq", {}, [column, places], k.span, k.name);
      return asValue(emit(k.c, "cast", { dtype: t?.kind === "array" ? t.dtype : "f32" }, [hit], k.span, k.name));
    },
  },
  einsum: {
    params: [],
    required: 0,
    rest: true,
    usage: 'einsum("m k, k n -> m n", a, b)',
    run: (k) => einsum(k.c, k.rest, k.span),
  },
  size: {
    params: ["x", "dim"],
    required: 2,
    run: (k) => {
      const x = arrayArg(k, 0);
      if (x === poison) return errorValue;
      const dim = dimArg(k, arg(k, 1), x.type.shape.length, 0);
      return dim === undefined ? errorValue : intValue(x.type.shape[dim]!);
    },
  },
  dynamic_slice: {
    params: ["x", "start", "size", "dim"],
    required: 3,
    run: (k) => {
      const size = intArg(k, arg(k, 2), "the size of `dynamic_slice`");
      const start = toAtom(k.c, arg(k, 1).value, arg(k, 1).span, "i32", k.name);
      if (size === undefined || start === poison) return errorValue;
      return mapLeaves(arg(k, 0).value, (leaf) => {
        const x = toAtom(k.c, leaf, arg(k, 0).span, undefined, k.name);
        const dim = x === poison ? undefined : dimArg(k, k.args[3], x.type.shape.length, 0);
        if (dim === undefined) return errorValue;
        const n = known(k.c, size),
          total = known(k.c, x.type.shape[dim]!);
        if (n !== undefined && total !== undefined && n > total)
          return fail(k.c, "GY3031", arg(k, 2).span, { size: String(total) });
        return asValue(emit(k.c, "dynamic_slice", { dim, size }, [x, start], k.span, k.name));
      });
    },
  },
  dynamic_update: {
    params: ["x", "value", "start", "dim"],
    required: 3,
    run: (k) => {
      const x = arrayArg(k, 0);
      if (x === poison) return errorValue;
      const value = toAtom(
        k.c,
        arg(k, 1).value,
        arg(k, 1).span,
        arg(k, 1).value.kind === "array" ? undefined : x.type.dtype,
        k.name,
      );
      const start = toAtom(k.c, arg(k, 2).value, arg(k, 2).span, "i32", k.name);
      const dim = dimArg(k, k.args[3], x.type.shape.length, 0);
      if (dim === undefined || value === poison) return errorValue;
      const total = known(k.c, x.type.shape[dim]!);
      const rows = value.type.shape.length > dim ? known(k.c, value.type.shape[dim]!) : undefined;
      if (rows !== undefined && total !== undefined && rows > total)
        return fail(k.c, "GY3031", arg(k, 1).span, { size: String(total) });
      return asValue(emit(k.c, "dynamic_update", { dim }, [x, value, start], k.span, k.name));
    },
  },
};

/** A size of -1 is what is left of the number of elements. */
function inferOne(k: Call, x: Atom, sizes: readonly Dim[]): readonly Dim[] | undefined {
  const open = sizes.indexOf(-1);
  if (open < 0) return sizes;
  if (sizes.lastIndexOf(-1) !== open) {
    fail(k.c, "GY3007", k.span, { what: "`-1` may stand once in a shape" });
    return undefined;
  }
  const left = dimDiv(dimProduct(x.type.shape), dimProduct(sizes.filter((_, i) => i !== open)));
  return sizes.map((d, i) => (i === open ? left : d));
}
/** The parts' sizes: a number of equal parts, or a tuple of sizes. */
function partSizes(k: Call, size: Dim): readonly Dim[] | undefined {
  const parts = arg(k, 1);
  if (parts.value.kind === "tuple") return shapeArg(k, [parts]) as readonly Dim[] | undefined;
  const d = intArg(k, parts, "the number of parts");
  const n = d === undefined ? undefined : known(k.c, d);
  if (n === undefined || n < 1 || n > 1024) {
    if (d !== undefined)
      fail(k.c, "GY3010", parts.span, { what: "the number of parts, from 1 to 1024,", found: `\`${printDim(d)}\`` });
    return undefined;
  }
  return Array.from({ length: n }, () => dimDiv(size, n));
}
