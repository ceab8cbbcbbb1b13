/** A module of code trees for people: the text format's instructions, as expressions, with names for locals. */
import { type Code, type Func, floatOf, type Immediate, type Module, type OpName, ops } from "./code.ts";

export function print(m: Module): string {
  const out: string[] = [];
  m.funcs.forEach((f, k) => {
    printFunc(out, f, k === m.funcs.length - 1);
  });
  return out.join("\n");
}

function printFunc(out: string[], f: Func, exported: boolean): void {
  const params = f.params.map((type, k) => ` (param $${f.locals[k]!.name} ${type})`).join("");
  out.push(
    `(func $${f.name}${exported ? ` (export "${f.name}")` : ""}${params}${f.result ? ` (result ${f.result})` : ""}`,
  );
  lines(out, f.body, "  ");
  out.push(")");
}

function lines(out: string[], body: readonly Code[], pad: string): void {
  for (const c of body) line(out, c, pad);
}
function line(out: string[], c: Code, pad: string): void {
  switch (c.kind) {
    case "note":
      out.push(`${pad};; ${c.text}`);
      return;
    case "block":
    case "loop":
      out.push(`${pad}${c.kind} $${c.label}`);
      lines(out, c.body, `${pad}  `);
      out.push(`${pad}end`);
      return;
    case "if":
      out.push(`${pad}if ${expression(c.cond)}`);
      lines(out, c.then, `${pad}  `);
      if (c.else.length > 0) out.push(`${pad}else`);
      lines(out, c.else, `${pad}  `);
      out.push(`${pad}end`);
      return;
    case "br":
      out.push(`${pad}${c.cond ? `br_if $${c.label} ${expression(c.cond)}` : `br $${c.label}`}`);
      return;
    case "op":
      out.push(c.op === "local.set" ? `${pad}$${c.name} = ${expression(c.args[0]!)}` : `${pad}${expression(c)}`);
  }
}

/** Instructions that have a place in memory. */
const placed = new Set(
  (Object.keys(ops) as OpName[]).filter((o) => (ops[o] as readonly (number | Immediate)[]).includes("offset")),
);

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
      return `call $${c.name}(${list(c.args)})`;
    default: {
      if (placed.has(c.op)) {
        const lane = c.imm.length > 1 ? ` ${c.imm[1]}` : "";
        return `${c.op} offset=${c.imm[0]}${lane}${c.name ? ` ;${c.name};` : ""}(${list(c.args)})`;
      }
      return c.imm.length > 0 ? `${c.op} ${c.imm.join(" ")}(${list(c.args)})` : `${c.op}(${list(c.args)})`;
    }
  }
}
function list(args: readonly Code[]): string {
  let all = "";
  for (const a of args) all += all ? `, ${expression(a)}` : expression(a);
  return all;
}

const numbers = new Map<number, string>();
/** Bits that could be meant as an integer or as a float: small integers are integers. */
function number(bits: number): string {
  if (Math.abs(bits) < 1 << 20) return String(bits);
  let text = numbers.get(bits);
  if (text === undefined) numbers.set(bits, (text = `${Number(floatOf(bits).toPrecision(9))}`));
  return text;
}
