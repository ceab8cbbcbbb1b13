/** Scalars of block edges for people: `i.last + 64*index_sp >= j.first`. */
import type { Kernel, Value } from "./ir.ts";

const infix: Record<string, string> = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "//",
  mod: "%",
  lt: "<",
  le: "<=",
  gt: ">",
  ge: ">=",
  eq: "==",
  ne: "!=",
  and: "and",
  or: "or",
};

export function printScalar(v: Value, kernel: Kernel, nested = false): string {
  const d = v.def;
  switch (d.kind) {
    case "const":
      return v.dtype === "bool" ? (d.value ? "always" : "never") : String(d.value);
    case "edge":
      return `${d.axis.name}.${d.end}`;
    case "scalar": {
      const s = kernel.scalars[d.index];
      return s?.kind === "axis_index" ? `axis_index(${s.axes.join(", ")})` : "step";
    }
    case "map": {
      const args = d.args.map((a) => printScalar(a, kernel, true));
      if (d.op === "select") return `(${args[0]} ? ${args[1]} : ${args[2]})`;
      const symbol = infix[d.op];
      if (!symbol) return `${d.op}(${args.join(", ")})`;
      const text = args.join(` ${symbol} `);
      return nested ? `(${text})` : text;
    }
    default:
      return v.name ?? d.kind;
  }
}
