/** Reductions, and what runs along a dimension. */
import { dimProduct } from "../../base/dim.ts";
import { isFloat } from "../dtype.ts";
import type { Binary, ReduceKind } from "../ir.ts";
import { arg, arrayArg, type Builtin, boolArg, type Call, dimArg, dimsArg } from "./builtin.ts";
import { binaryRun } from "./builtins-elementwise.ts";
import { asValue, dimAtom, emit, fail, poison } from "./context.ts";
import { errorValue, type Value } from "./value.ts";

function reduce(k: Call, kind: ReduceKind): Value {
  const x = arrayArg(k, 0);
  if (x === poison) return errorValue;
  const dims = dimsArg(k, k.args[1], x.type.shape.length);
  const keep = boolArg(k, k.args[2], false);
  return dims ? asValue(emit(k.c, "reduce", { kind, dims, keep }, [x], k.span, k.name)) : errorValue;
}
const row = (kind: ReduceKind): Builtin => ({ params: ["x", "dim", "keep"], required: 1, run: (k) => reduce(k, kind) });

/** `max(x, dim = d)` reduces; `max(a, b)` is elementwise. */
function extremum(op: Extract<Binary & ReduceKind, "min" | "max">): Builtin {
  return {
    params: ["x", "y", "dim", "keep"],
    required: 1,
    usage: `${op}(x, dim = d)`,
    open: true,
    run: (k) => {
      const [x, y, dim, keep] = k.args;
      if (y && (dim || keep))
        return fail(k.c, "GY3007", k.span, { what: `\`${op}\` takes two values, or one and \`dim\`` });
      if (y) return binaryRun(k, op, x!, y);
      if (x!.value.kind === "unknown") return x!.value;
      return reduce({ ...k, args: [x, dim, keep] }, op);
    },
  };
}

export const reductions: Readonly<Record<string, Builtin>> = {
  sum: row("sum"),
  prod: row("prod"),
  any: row("any"),
  all: row("all"),
  min: extremum("min"),
  max: extremum("max"),
  // mean(x) = sum(x) / number of elements
  mean: {
    params: ["x", "dim", "keep"],
    required: 1,
    run: (k) => {
      const x = arrayArg(k, 0);
      if (x === poison) return errorValue;
      if (!isFloat(x.type.dtype))
        return fail(k.c, "GY3002", arg(k, 0).span, { op: k.name, dtype: x.type.dtype, wants: "float" });
      const dims = dimsArg(k, k.args[1], x.type.shape.length);
      if (!dims) return errorValue;
      const total = emit(k.c, "reduce", { kind: "sum", dims, keep: boolArg(k, k.args[2], false) }, [x], k.span, k.name);
      const count = dimAtom(k.c, dimProduct(dims.map((d) => x.type.shape[d]!)), x.type.dtype, k.span);
      return asValue(emit(k.c, "div", {}, [total, count], k.span, k.name));
    },
  },
  argmax: {
    params: ["x", "dim", "keep"],
    required: 1,
    run: (k) => {
      const x = arrayArg(k, 0);
      if (x === poison) return errorValue;
      const keep = boolArg(k, k.args[2], false);
      const rank = x.type.shape.length;
      if (!k.args[1] && rank > 1) {
        // Over all dimensions: the place in the array as it lies.
        const flat = emit(k.c, "reshape", { shape: [dimProduct(x.type.shape)] }, [x], k.span, k.name);
        const place = emit(k.c, "argmax", { dim: 0, keep: false }, [flat], k.span, k.name);
        const ones = x.type.shape.map(() => 1);
        return asValue(keep ? emit(k.c, "reshape", { shape: ones }, [place], k.span, k.name) : place);
      }
      const dim = dimArg(k, k.args[1], rank, -1);
      return dim === undefined ? errorValue : asValue(emit(k.c, "argmax", { dim, keep }, [x], k.span, k.name));
    },
  },
  cumsum: {
    params: ["x", "dim"],
    required: 1,
    run: (k) => {
      const x = arrayArg(k, 0);
      if (x === poison) return errorValue;
      const dim = dimArg(k, k.args[1], x.type.shape.length, -1);
      return dim === undefined ? errorValue : asValue(emit(k.c, "cumsum", { dim }, [x], k.span, k.name));
    },
  },
};
