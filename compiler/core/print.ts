/** Core as text for people: names from the source where there are any, each used once. */
import { type Dim, printDim } from "../base/dim.ts";
import type {
  Atom,
  Block,
  DerivativeEqn,
  Eqn,
  Index,
  Mesh,
  OpEqn,
  Port,
  Program,
  Route,
  Selector,
  Spec,
  Type,
  Var,
} from "./ir.ts";
import { eachEqn } from "./walk.ts";

/** `f32[S/2, 4] varying {sp}`; a scalar is its dtype alone. */
export function printType(t: Type): string {
  const shape = t.shape.length > 0 ? `[${t.shape.map(printDim).join(", ")}]` : "";
  return `${t.dtype}${shape}${t.varying.length > 0 ? ` varying {${t.varying.join(", ")}}` : ""}`;
}
const axesText = (axes: readonly string[]): string => (axes.length === 1 ? axes[0]! : `(${axes.join(", ")})`);
/** `P((dp, fsdp), zigzag(sp), _)` */
export const printSpec = (spec: Spec): string =>
  `P(${spec
    .map(({ axes, layout }) => {
      const names = axes.length === 0 ? "_" : axesText(axes);
      return layout === "contiguous" || axes.length === 0
        ? names
        : `${layout}${axes.length === 1 ? `(${names})` : names}`;
    })
    .join(", ")})`;
const printPort = (p: Port): string =>
  p.shape.length === 0 ? p.dtype : `${p.dtype}[${p.shape.join(", ")}] @ ${printSpec(p.spec)}`;
/** `pod(dp: 1, sp: 4)` */
export const printMesh = (m: Mesh): string => `${m.name}(${m.axes.map((a) => `${a.name}: ${a.size}`).join(", ")})`;

/** A program, its inputs with their specs, and its body. */
export function print(p: Program): string {
  const names = namer(p.body);
  const inputs = p.inputs.map(({ port, local }) => `${names.binder(local)} = ${printPort(port)}`);
  return [
    `${p.name} on ${printMesh(p.mesh)}`,
    `(${inputs.join(", ")}) {`,
    ...blockLines(p.body, names).map(indent),
    `} -> (${p.outputs.map(printPort).join(", ")})`,
  ].join("\n");
}

type Names = {
  readonly name: (a: Atom) => string;
  readonly binder: (v: Var) => string;
  /** The scalar that stands for an index of single elements bears the index's name. */
  readonly index: (i: Index) => void;
};

/** Names for what a block holds; no variable is named like a tile index. */
function namer(b: Block): Names {
  const given = new Map<number, string>();
  const taken = new Set<string>();
  eachEqn(b, (e) => {
    for (const i of indicesOf(e)) taken.add(i.name);
  });
  let letter = 0;
  const choose = (hint: string | undefined): string => {
    if (hint !== undefined) {
      const base = hint.replace(/[^A-Za-z0-9_]+/g, "_") || "x";
      if (!taken.has(base)) return base;
      for (let i = 2; ; i++) if (!taken.has(`${base}_${i}`)) return `${base}_${i}`;
    }
    for (;;) {
      const next = letters(letter++);
      if (!taken.has(next)) return next;
    }
  };
  const name = (a: Atom): string => {
    if (a.kind === "lit") return a.type.dtype === "bool" ? String(a.value !== 0) : numberText(a.value);
    const old = given.get(a.id);
    if (old !== undefined) return old;
    const chosen = choose(a.name);
    given.set(a.id, chosen);
    taken.add(chosen);
    return chosen;
  };
  return {
    name,
    binder: (v) => `${name(v)}: ${printType(v.type)}`,
    index: (i) => {
      if (i.element) given.set(i.element.id, i.name);
    },
  };
}
const indicesOf = (e: Eqn): readonly Index[] =>
  e.kind === "tiles" ? e.indices : e.kind === "fold" && e.over.kind === "blocks" ? [e.over.index] : [];
const letters = (n: number): string =>
  (n >= 26 ? letters(Math.floor(n / 26) - 1) : "") + String.fromCharCode(97 + (n % 26));
const numberText = (n: number): string => (n === Infinity ? "inf" : n === -Infinity ? "-inf" : String(n));
const indent = (line: string): string => `  ${line}`;

function blockLines(b: Block, names: Names): string[] {
  return [...b.eqns.flatMap((e) => eqnLines(e, names)), `(${b.results.map(names.name).join(", ")})`];
}
function eqnLines(e: Eqn, names: Names): string[] {
  const region = (head: string, body: Block, end = "}"): string[] => [
    `${head} {`,
    ...blockLines(body, names).map(indent),
    end,
  ];
  indicesOf(e).forEach(names.index);
  switch (e.kind) {
    case "op": {
      const right = opText(e, names);
      return [`${names.binder(e.out)} = ${right}`];
    }
    case "fold": {
      const init = e.init.map(names.name);
      const carry = e.carry.map((v, i) => `${names.name(v)} = ${init[i]}`);
      const over =
        e.over.kind === "steps" ? `${names.name(e.over.step)} < ${printDim(e.over.count)}` : indexText(e.over.index);
      const head = `fold ${over} with (${carry.join(", ")})`;
      const lines = region(head, e.body);
      lines[0] = `(${e.outs.map(names.binder).join(", ")}) = ${lines[0]}`;
      return lines;
    }
    case "if": {
      const yes = region(`if ${names.name(e.cond)}`, e.then, "} else {");
      const no = blockLines(e.else, names).map(indent);
      yes[0] = `(${e.outs.map(names.binder).join(", ")}) = ${yes[0]}`;
      return [...yes, ...no, "}"];
    }
    case "tiles": {
      const byId = new Map(e.indices.map((i) => [i.id, i.name]));
      const into = e.into.map((p) => `[${p.map((x) => (x.kind === "all" ? ":" : byId.get(x.id))).join(", ")}]`);
      const head = `tiles ${e.indices.map(indexText).join(", ")} into ${into.length === 1 ? into[0] : `(${into.join(", ")})`}`;
      const lines = region(head, e.body);
      lines[0] = `(${e.outs.map(names.binder).join(", ")}) = ${lines[0]}`;
      return lines;
    }
    default:
      return derivativeLines(e, names);
  }
}
/**
 * A vjp is printed with its number, by which pullbacks name it; of a rule all three regions:
 *
 *   (y: f32) = vjp 7 (x = w) { … }        (dw: f32) = pullback 7 (g)
 *   (y: f32) = rule f (x) { … } forward { … } pullback (x, g) { … }
 */
function derivativeLines(e: DerivativeEqn, names: Names): string[] {
  const region = (b: Block): string[] => blockLines(b, names).map(indent);
  const list = (atoms: readonly Atom[]): string => `(${atoms.map(names.name).join(", ")})`;
  const left = `(${e.outs.map(names.binder).join(", ")}) =`;
  switch (e.kind) {
    case "vjp": {
      const given = e.args.map(names.name);
      const params = e.params.map((v, i) => `${names.name(v)} = ${given[i]}`).join(", ");
      return [`${left} vjp ${e.id} (${params}) {`, ...region(e.body), "}"];
    }
    case "pullback":
      return [`${left} pullback ${e.of} ${list(e.args)}`];
    case "checkpoint":
      return [`${left} checkpoint ${e.policy} {`, ...region(e.body), "}"];
    case "rule": {
      const { params, body } = e.pullback;
      const head = `${left} rule ${e.name} ${list(e.args)} {`;
      const rule = ["} forward {", ...region(e.forward), `} pullback ${list(params)} {`, ...region(body), "}"];
      return [head, ...region(e.primal), ...rule];
    }
  }
}
const indexText = (i: Index): string =>
  `${i.name} in ${printDim(i.extent)}${i.block === null ? "" : ` by ${i.block === "auto" ? "auto" : printDim(i.block)}`}`;

/** `op [what it is told] operands`; indexing and einsum look as in the source. */
function opText(e: OpEqn, names: Names): string {
  const args = e.args.map(names.name);
  if (e.op === "index") {
    return `${args[0]}[${e.params.selectors.map((s) => selectorText(s, args)).join(", ")}]`;
  }
  if (e.op === "einsum")
    return `einsum "${e.params.ins.map((l) => l.join(" ")).join(", ")} -> ${e.params.out.join(" ")}" ${args.join(" ")}`;
  if (e.op === "pos") return `pos ${e.params.index.name}`;
  const told = Object.entries(e.params).map(([k, v]) => paramText(k, v, names));
  return [e.op, told.length > 0 ? `[${told.join(" ")}]` : "", ...args].filter((x) => x !== "").join(" ");
}
function selectorText(s: Selector, args: readonly string[]): string {
  switch (s.kind) {
    case "all":
      return ":";
    case "new":
      return "None";
    case "at":
      return args[s.arg]!;
    case "gather":
      return `@${args[s.arg]}`;
    case "block":
      return s.index.name;
    case "slice":
      return `${printDim(s.start)}..+${printDim(s.size)}`;
  }
}
function paramText(key: string, value: unknown, names: Names): string {
  if (key === "axes") return `axes=${axesText(value as readonly string[])}`;
  if (key === "route") return routeText(value as Route, names);
  if (key === "keep") return value ? "keep" : "drop";
  if (key === "shape" || key === "dims" || key === "perm")
    return `${key}=(${(value as readonly Dim[]).map(printDim).join(", ")})`;
  if (key === "size") return `size=${printDim(value as Dim)}`;
  return `${key}=${String(value)}`;
}
function routeText(r: Route, names: Names): string {
  if (r.kind === "pairs") return `pairs=(${r.pairs.map(([a, b]) => `${a}→${b}`).join(", ")})`;
  const within = r.within === undefined ? "" : ` within=${r.within}`;
  if (!r.step) return `shift=${r.offset}${within}`;
  const per = r.perStep ?? 1;
  return `shift=${r.offset}+${per === 1 ? "" : `${per}*`}${names.name(r.step)}${within}`;
}
