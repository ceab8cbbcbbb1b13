/** A module of code trees for people: the text format's instructions, as expressions, with names for locals. */
import { type Code, type Func, floatOf, type Module } from "./code.ts";

export function print(m: Module): string {
  return m.funcs.map((f, k) => printFunc(f, k === m.funcs.length - 1)).join("\n");
}

function printFunc(f: Func, exported: boolean): string {
  const params = f.params.map((type, k) => ` (param $${f.locals[k]!.name} ${type})`).join("");
  const head = `(func $${f.name}${exported ? ` (export "${f.name}")` : ""}${params}${f.result ? ` (result ${f.result})` : ""}`;
  return [head, ...f.body.flatMap((c) => lines(c, "  ")), ")"].join("\n");
}

function lines(c: Code, pad: string): readonly string[] {
  switch (c.kind) {
    case "note":
      return [`${pad};; ${c.text}`];
    case "block":
    case "loop":
      return [`${pad}${c.kind} $${c.label}`, ...c.body.flatMap((s) => lines(s, `${pad}  `)), `${pad}end`];
    case "if": {
      const otherwise = c.else.length > 0 ? [`${pad}else`, ...c.else.flatMap((s) => lines(s, `${pad}  `))] : [];
      return [
        `${pad}if ${expression(c.cond)}`,
        ...c.then.flatMap((s) => lines(s, `${pad}  `)),
        ...otherwise,
        `${pad}end`,
      ];
    }
    case "br":
      return [`${pad}${c.cond ? `br_if $${c.label} ${expression(c.cond)}` : `br $${c.label}`}`];
    case "op":
      if (c.op === "local.set") return [`${pad}$${c.name} = ${expression(c.args[0]!)}`];
      return [`${pad}${expression(c)}`];
  }
}

function expression(c: Code): string {
  if (c.kind !== "op") return c.kind;
  switch (c.op) {
    case "local.get":
      return `$${c.name}`;
    case "i32.const":
    case "i64.const":
    case "f32.const":
      return String(c.imm[0]);
    case "v128.const":
      return c.imm.length === 1 ? `four(${number(c.imm[0]!)})` : `four(${c.imm.join(" ")})`;
    case "call":
      return `call $${c.name}(${c.args.map(expression).join(", ")})`;
    default: {
      const [offset, ...lane] = c.imm;
      const memory = /load|store/.test(c.op);
      const at = memory
        ? ` offset=${offset}${lane.length > 0 ? ` ${lane[0]}` : ""}`
        : c.imm.length > 0
          ? ` ${c.imm.join(" ")}`
          : "";
      const name = memory && c.name ? ` ;${c.name};` : "";
      return `${c.op}${at}${name}(${c.args.map(expression).join(", ")})`;
    }
  }
}

/** Bits that could be meant as an integer or as a float: small integers are integers. */
function number(bits: number): string {
  if (Math.abs(bits) < 1 << 20) return String(bits);
  const f = floatOf(bits);
  return `${Number(f.toPrecision(9))}`;
}
