/** `a @ b` and `einsum`. */
import { printDim } from "../../base/dim.ts";
import type { Span } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import { isHalf } from "../half.ts";
import type { Atom } from "../ir.ts";
import { toAtom } from "./arithmetic.ts";
import { asValue, type Context, emit, fail, poison } from "./context.ts";
import { type Argument, describe, errorValue, printCoreType, type Value } from "./value.ts";

/** The product over the last dim of `a` and the last but one of `b`; a vector on either side is a row or a column. */
export function matmul(c: Context, a: Value, b: Value, e: Ast.Binary): Value {
  if (a.kind === "error" || b.kind === "error") return errorValue;
  for (const [v, side] of [
    [a, e.left],
    [b, e.right],
  ] as const)
    if (v.kind === "unknown") return v.fill ? fail(c, "GY3019", side.span, {}) : v;
  const x = toAtom(c, a, e.left.span, undefined, "@"),
    y = toAtom(c, b, e.right.span, undefined, "@");
  if (x === poison || y === poison) return errorValue;
  for (const [atom, side] of [
    [x, e.left],
    [y, e.right],
  ] as const)
    if (atom.type.shape.length === 0)
      return fail(c, "GY3004", side.span, {
        op: "@",
        type: `\`${printCoreType(atom.type)}\``,
        wants: "at least 1 dimension",
      });
  const inner = [x.type.shape.at(-1)!, y.type.shape.at(y.type.shape.length === 1 ? -1 : -2)!] as const;
  if (!c.typing.same!(inner[0], inner[1]))
    return fail(c, "GY3033", e.span, { a: printCoreType(x.type), b: printCoreType(y.type), k: inner.map(printDim) });
  const m = x.type.shape.length > 1,
    n = y.type.shape.length > 1;
  const lead = Math.max(x.type.shape.length - 2, y.type.shape.length - 2, 0);
  const [left, leftLabels] = leading(c, x, y, lead, e.left.span);
  const [right, rightLabels] = leading(c, y, x, lead, e.right.span);
  const labels = Array.from({ length: lead }, (_, i) => `b${i}`);
  return asValue(
    emit(
      c,
      "einsum",
      {
        ins: [
          [...leftLabels, ...(m ? ["m"] : []), "k"],
          [...rightLabels, "k", ...(n ? ["n"] : [])],
        ],
        out: [
          ...labels.filter((l) => leftLabels.includes(l) || rightLabels.includes(l)),
          ...(m ? ["m"] : []),
          ...(n ? ["n"] : []),
        ],
      },
      [left, right],
      e.span,
      "@",
    ),
  );
}
/** Labels of the leading dims of `x`, aligned at their ends. One of size 1 is dropped where `other` has a larger one: it broadcasts. */
function leading(c: Context, x: Atom, other: Atom, lead: number, span: Span): readonly [Atom, readonly string[]] {
  const count = Math.max(0, x.type.shape.length - 2);
  const large = (i: number): boolean => i >= 0 && i < other.type.shape.length - 2 && other.type.shape[i] !== 1;
  const drops = x.type.shape
    .slice(0, count)
    .map((d, i) => d === 1 && large(other.type.shape.length - x.type.shape.length + i));
  const labels = drops.flatMap((drop, i) => (drop ? [] : [`b${lead - count + i}`]));
  if (!drops.includes(true)) return [x, labels];
  return [emit(c, "reshape", { shape: x.type.shape.filter((_, i) => !drops[i]) }, [x], span), labels];
}

/** `einsum("b q d, b k d -> b q k", q, k)`: labels are words; one that is missing behind the arrow is summed. */
export function einsum(c: Context, args: readonly Argument[], span: Span): Value {
  const [first, ...rest] = args;
  if (first?.value.kind !== "string")
    return fail(c, "GY3034", first?.span ?? span, { what: 'the first argument is a string such as "m k, k n -> m n"' });
  const halves = first.value.value.split("->");
  if (halves.length !== 2) return fail(c, "GY3034", first.span, { what: "it needs one `->`" });
  const words = (s: string): string[] =>
    s
      .trim()
      .split(/\s+/)
      .filter((w) => w !== "");
  const ins = halves[0]!.split(",").map(words),
    out = words(halves[1]!);
  const odd = [...ins.flat(), ...out].find((w) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(w));
  if (odd !== undefined) return fail(c, "GY3034", first.span, { what: `\`${odd}\` is not a label` });
  if (ins.length !== rest.length)
    return fail(c, "GY3034", first.span, { what: `it names ${ins.length} operands, but ${rest.length} are given` });
  const missing = out.find((w) => !ins.some((l) => l.includes(w)));
  if (missing !== undefined) return fail(c, "GY3034", first.span, { what: `\`${missing}\` stands in no operand` });
  const twice = out.find((w, i) => out.indexOf(w) !== i);
  if (twice !== undefined) return fail(c, "GY3034", first.span, { what: `\`${twice}\` stands twice in the result` });
  const atoms = rest.map((a) => toAtom(c, a.value, a.span, undefined, "einsum"));
  if (atoms.includes(poison)) return errorValue;
  for (const [i, a] of atoms.entries())
    if (a.type.shape.length !== ins[i]!.length)
      return fail(c, "GY3034", rest[i]!.span, {
        what: `\`${ins[i]!.join(" ")}\` has ${ins[i]!.length} labels, but the operand is ${describe(rest[i]!.value)}`,
      });
  // Pairwise from the left: a label is summed as soon as no later operand and not the result has it.
  let acc = atoms[0]!,
    labels = ins[0]!;
  if (atoms.length === 1) return asValue(emit(c, "einsum", { ins: [labels], out }, [acc], span, "einsum"));
  for (let i = 1; i < atoms.length; i++) {
    const later = [...ins.slice(i + 1).flat(), ...out];
    const both = [...new Set([...labels, ...ins[i]!])];
    const kept = i === atoms.length - 1 ? out : both.filter((l) => later.includes(l));
    acc = emit(
      c,
      "einsum",
      { ins: [labels, ins[i]!], out: kept },
      [acc, castLike(c, acc, atoms[i]!, span)],
      span,
      "einsum",
    );
    labels = kept;
  }
  return asValue(acc);
}
/** A partial product of f16 or bf16 is f32: the next operand joins it there. */
const castLike = (c: Context, acc: Atom, next: Atom, span: Span): Atom =>
  acc.type.dtype === "f32" &&
  isHalf(next.type.dtype) &&
  acc.kind === "var" &&
  c.eqns.at(-1)?.kind === "op" &&
  isProduct(c, acc)
    ? emit(c, "cast", { dtype: "f32" }, [next], span)
    : next;
const isProduct = (c: Context, a: Atom): boolean => {
  const last = c.eqns.at(-1);
  return last?.kind === "op" && last.op === "einsum" && last.out === a;
};
