/** Elementwise functions. */
import type { Binary, Unary } from "../ir.ts";
import { binary, elementwise, operand, toAtom, unary } from "./arithmetic.ts";
import { choose } from "./branches.ts";
import { arg, arrayArg, type Builtin, type Call, typeArg } from "./builtin.ts";
import { asValue, emit, fail, poison } from "./context.ts";
import { type Argument, describe, errorValue, mapLeaves, type Value } from "./value.ts";

const float = (value: number): Value => ({ kind: "float", value });
/** Builds composites from values: each step is an op of its own. */
const step = (k: Call, at: Argument["span"]) => ({
  un: (op: Unary, x: Value) => unary(k.c, op, x, at, k.span, k.name),
  bin: (op: Binary, x: Value, y: Value) => binary(k.c, op, x, y, [at, at], k.span, k.name),
});
const unaryRow = (op: Unary): Builtin => ({
  params: ["x"],
  required: 1,
  open: true,
  run: (k) => unary(k.c, op, arg(k, 0).value, arg(k, 0).span, k.span, k.name),
});
const composite = (f: (x: Value, s: ReturnType<typeof step>) => Value): Builtin => ({
  params: ["x"],
  required: 1,
  open: true,
  run: (k) => f(arg(k, 0).value, step(k, arg(k, 0).span)),
});
export const binaryRun = (k: Call, op: Binary, a: Argument, b: Argument): Value =>
  binary(k.c, op, a.value, b.value, [a.span, b.span], k.span, k.name);
/** where(c, a, b) */
function chosen(k: Call, cond: Argument, a: Argument, b: Argument): Value {
  if (cond.value.kind === "bool") {
    if (cond.value.value === undefined) return a.value;
    return cond.value.value ? a.value : b.value;
  }
  if (cond.value.kind === "unknown") return a.value.kind === "array" ? a.value : b.value;
  const atom = toAtom(k.c, cond.value, cond.span, undefined, "where");
  return atom === poison ? errorValue : choose(k.c, atom, a.value, b.value, [cond.span, a.span, b.span], k.span);
}

export const elementwiseBuiltins: Readonly<Record<string, Builtin>> = {
  exp: unaryRow("exp"),
  exp2: unaryRow("exp2"),
  log: unaryRow("log"),
  log2: unaryRow("log2"),
  sqrt: unaryRow("sqrt"),
  rsqrt: unaryRow("rsqrt"),
  tanh: unaryRow("tanh"),
  sigmoid: unaryRow("sigmoid"),
  sin: unaryRow("sin"),
  cos: unaryRow("cos"),
  abs: unaryRow("abs"),
  floor: unaryRow("floor"),
  sign: unaryRow("sign"),
  // Of an array, or of all arrays in a tuple or record.
  stop_gradient: {
    params: ["x"],
    required: 1,
    open: true,
    run: (k) => mapLeaves(arg(k, 0).value, (x) => step(k, arg(k, 0).span).un("stop_gradient", x)),
  },
  // relu(x) = where(x <= 0, 0, x): NaN stays, and the derivative at 0 is 0
  relu: {
    params: ["x"],
    required: 1,
    open: true,
    run: (k) => {
      const x = arg(k, 0);
      const zero: Argument = { value: { kind: "int", dim: 0 }, span: x.span };
      return chosen(k, { value: binaryRun(k, "le", x, zero), span: x.span }, zero, x);
    },
  },
  // silu(x) = x sigmoid(x)
  silu: composite((x, { un, bin }) => bin("mul", x, un("sigmoid", x))),
  // gelu(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), the approximation that JAX takes by default
  gelu: composite((x, { un, bin }) => {
    const cube = bin("mul", bin("mul", x, x), x);
    const inner = bin("mul", bin("add", x, bin("mul", cube, float(0.044715))), float(Math.sqrt(2 / Math.PI)));
    return bin("mul", bin("mul", x, float(0.5)), bin("add", un("tanh", inner), float(1)));
  }),
  pow: { params: ["x", "y"], required: 2, open: true, run: (k) => binaryRun(k, "pow", arg(k, 0), arg(k, 1)) },
  // clamp(x, low, high) = min(max(x, low), high)
  clamp: {
    params: ["x", "low", "high"],
    required: 3,
    open: true,
    run: (k) =>
      binaryRun(k, "min", { value: binaryRun(k, "max", arg(k, 0), arg(k, 1)), span: arg(k, 0).span }, arg(k, 2)),
  },
  where: {
    params: ["c", "a", "b"],
    required: 3,
    open: true,
    run: (k) => chosen(k, arg(k, 0), arg(k, 1), arg(k, 2)),
  },
  cast: {
    params: ["x", "dtype"],
    required: 2,
    usage: "cast(x, f32)",
    open: true,
    run: (k) => {
      const type = typeArg(k, arg(k, 1));
      if (!type) return errorValue;
      if (type.kind !== "array" || type.shape.length > 0)
        return fail(k.c, "GY3037", arg(k, 1).span, {
          what: "a dtype",
          found: describe(arg(k, 1).value),
          help: "it is `cast(x, f32)`, whatever the shape of `x`",
        });
      const v = operand(k.c, arg(k, 0).value);
      if (v.kind === "unknown") return v;
      // A static number is cast by being written in that dtype; a fraction becomes whole towards zero.
      if (v.kind === "float" && v.value !== undefined && (type.dtype === "i32" || type.dtype === "u32"))
        return asValue(toAtom(k.c, { kind: "int", dim: Math.trunc(v.value) }, arg(k, 0).span, type.dtype));
      if ((v.kind === "int" && type.dtype !== "bool") || v.kind === "float")
        return asValue(toAtom(k.c, v, arg(k, 0).span, type.dtype));
      const atom = arrayArg(k, 0);
      if (atom === poison) return errorValue;
      return atom.type.dtype === type.dtype
        ? asValue(atom)
        : asValue(emit(k.c, "cast", { dtype: type.dtype }, [atom], k.span, k.name));
    },
  },
  // random_uniform(key, i, j, …): a float in [0, 1) that hangs on nothing but the key and the counters
  random_uniform: {
    params: ["key"],
    required: 1,
    rest: true,
    usage: "random_uniform(key, i, j, …)",
    run: (k) =>
      elementwise(
        k.c,
        [arg(k, 0), ...k.rest].map((a) => a.value),
        [arg(k, 0), ...k.rest].map((a) => a.span),
        k.name,
        () => undefined,
        (atoms) => emit(k.c, "random_uniform", {}, atoms, k.span, k.name),
      ),
  },
};
