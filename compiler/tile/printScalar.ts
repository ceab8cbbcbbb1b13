/** Scalars of block edges for people: `i.last + 64*index_sp >= j.first`. */
import { operandsOf } from "./build.ts";
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
/** Beyond this many characters, what stands in a formula twice gets a name. */
const long = 100;

/** A condition on one line: `a <= b`, or `t2 <= t1, with t1 = …, t2 = …`. */
export function printScalar(v: Value, kernel: Kernel): string {
  const whole = text(v, kernel, new Map(), false);
  if (whole.length <= long) return whole;
  const names = new Map<number, string>();
  const parts: string[] = [];
  for (const shared of repeated(v)) {
    const formula = text(shared, kernel, names, false);
    names.set(shared.id, `t${names.size + 1}`);
    parts.push(`${names.get(shared.id)} = ${formula}`);
  }
  const top = text(v, kernel, names, false);
  return parts.length > 0 ? `${top}, with ${parts.join(", ")}` : top;
}

/** Formulas that stand in `v` more than once, inner ones first. */
function repeated(v: Value): readonly Value[] {
  const seen = new Map<number, number>();
  const order: Value[] = [];
  const visit = (x: Value): void => {
    if (x.def.kind !== "map") return;
    const times = (seen.get(x.id) ?? 0) + 1;
    seen.set(x.id, times);
    if (times > 1) return;
    operandsOf(x.def).forEach(visit);
    order.push(x);
  };
  visit(v);
  return order.filter((x) => (seen.get(x.id) ?? 0) > 1);
}

function text(v: Value, kernel: Kernel, names: ReadonlyMap<number, string>, nested: boolean): string {
  const name = names.get(v.id);
  if (name) return name;
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
      const args = d.args.map((a) => text(a, kernel, names, true));
      if (d.op === "select") return `(${args[0]} ? ${args[1]} : ${args[2]})`;
      const symbol = infix[d.op];
      if (!symbol) return `${d.op}(${args.join(", ")})`;
      const formula = args.join(` ${symbol} `);
      return nested ? `(${formula})` : formula;
    }
    default:
      return v.name ?? d.kind;
  }
}
