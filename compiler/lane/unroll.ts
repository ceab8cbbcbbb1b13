/**
 * Lane -> Lane: loops that are to be unrolled are written out, for dialects whose drivers cannot be asked to. What a round
 * indexes by its number is then a constant, so that a thread's arrays are registers to every driver.
 */
import { add, lit, mul } from "./expr.ts";
import type { Expr, LaneProgram, LaneStmt } from "./ir.ts";

/** What stands for a name: the number of a round, or the name that a binding has in this round. */
export type Names = ReadonlyMap<string, Expr | string>;

export function unrollLoops(p: LaneProgram): LaneProgram {
  const taken = new Set<string>([...p.buffers, ...p.scalars].map((b) => b.name));
  const fresh = (name: string): string => {
    let unused = name;
    for (let n = 1; taken.has(unused); n++) unused = `${name}_${n}`;
    taken.add(unused);
    return unused;
  };
  const gather = (stmts: readonly LaneStmt[]): void => {
    for (const s of stmts) {
      if ("name" in s) taken.add(s.name);
      if (s.kind === "if") [s.then, s.else].forEach(gather);
      if (s.kind === "for" || s.kind === "while") gather(s.body);
    }
  };
  gather(p.body);

  const block = (stmts: readonly LaneStmt[], outer: Names, copied: boolean): readonly LaneStmt[] => {
    const names = new Map(outer);
    return stmts.flatMap((s) => statement(s, names, copied));
  };
  /** `copied`: the statement is written more than once, and what it binds needs a name of its own. */
  const statement = (s: LaneStmt, names: Map<string, Expr | string>, copied: boolean): readonly LaneStmt[] => {
    const e = (x: Expr): Expr => replaced(x, names);
    const bound = (name: string): string => {
      if (!copied) return name;
      const own = fresh(name);
      names.set(name, own);
      return own;
    };
    const named = (name: string): string => {
      const own = names.get(name);
      return typeof own === "string" ? own : name;
    };
    switch (s.kind) {
      case "let":
      case "var": {
        const value = e(s.value);
        return [{ ...s, name: bound(s.name), value }];
      }
      case "array":
        return [{ ...s, name: bound(s.name) }];
      case "set":
        return [{ ...s, name: named(s.name), value: e(s.value) }];
      case "setElem":
        return [{ ...s, array: named(s.array), index: e(s.index), value: e(s.value) }];
      case "store":
        return [{ ...s, index: e(s.index), value: e(s.value) }];
      case "for": {
        const [from, below] = [e(s.from), e(s.below)];
        if (s.unroll && from.kind === "lit" && below.kind === "lit") {
          const rounds: LaneStmt[] = [];
          for (let n = from.value; n < below.value; n += s.step)
            rounds.push(...block(s.body, new Map(names).set(s.name, lit(n)), true));
          return rounds;
        }
        const inside = new Map(names);
        const name = copied ? fresh(s.name) : s.name;
        if (copied) inside.set(s.name, name);
        return [{ ...s, name, from, below, body: block(s.body, inside, copied) }];
      }
      case "while":
        return [{ ...s, cond: e(s.cond), body: block(s.body, names, copied) }];
      case "if": {
        const cond = e(s.cond);
        if (cond.kind === "lit") return block(cond.value ? s.then : s.else, names, copied);
        return [{ ...s, cond, then: block(s.then, names, copied), else: block(s.else, names, copied) }];
      }
      case "copy":
        return [{ ...s, at: e(s.at), from: e(s.from), ...(s.valid ? { valid: e(s.valid) } : {}) }];
      case "matrices":
        return [{ ...s, to: named(s.to), at: e(s.at), from: e(s.from) }];
      case "mma":
        return [{ ...s, to: named(s.to), a: named(s.a), b: named(s.b), at: e(s.at), aAt: e(s.aAt), bAt: e(s.bAt) }];
      default:
        return [s];
    }
  };
  return { ...p, body: block(p.body, new Map(), false) };
}

/** An expression with what stands for its names. */
export function replaced(e: Expr, names: Names): Expr {
  switch (e.kind) {
    case "ref": {
      const now = names.get(e.name);
      return now === undefined ? e : typeof now === "string" ? { ...e, name: now } : now;
    }
    case "elem": {
      const now = names.get(e.array);
      return { ...e, array: typeof now === "string" ? now : e.array, index: replaced(e.index, names) };
    }
    case "load":
      return { ...e, index: replaced(e.index, names) };
    case "cast":
      return { ...e, arg: replaced(e.arg, names) };
    case "vec":
      return { ...e, args: e.args.map((a) => replaced(a, names)) };
    case "pack":
      return { ...e, low: replaced(e.low, names), high: replaced(e.high, names) };
    case "component": {
      const at = typeof e.at === "number" ? e.at : replaced(e.at, names);
      return { ...e, arg: replaced(e.arg, names), at: typeof at !== "number" && at.kind === "lit" ? at.value : at };
    }
    case "op":
      return folded({ ...e, args: e.args.map((a) => replaced(a, names)) });
    default:
      return e;
  }
}

type Op = Extract<Expr, { kind: "op" }>;
/** Arithmetic on indices, as far as it is known. */
function folded(e: Op): Expr {
  const [a, b] = e.args;
  if (a?.type !== "i32" || b?.type !== "i32") return e;
  if (e.op === "add" && e.type === "i32") return sumOf(a, b);
  if (e.op === "mul" && e.type === "i32") return mul(a, b);
  if (a.kind !== "lit" || b.kind !== "lit") return e;
  const f = known[e.op];
  return f ? lit(Number(f(a.value, b.value)), e.type) : e;
}
const known: Readonly<Record<string, (a: number, b: number) => number | boolean>> = {
  sub: (a, b) => a - b,
  div: (a, b) => Math.floor(a / b),
  mod: (a, b) => a - b * Math.floor(a / b),
  min: Math.min,
  max: Math.max,
  xor: (a, b) => a ^ b,
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  eq: (a, b) => a === b,
};
/** x + y with the constants of both together, last. */
function sumOf(x: Expr, y: Expr): Expr {
  const [a, m] = parted(x);
  const [b, n] = parted(y);
  return add(add(a, b), lit(m + n));
}
function parted(e: Expr): readonly [Expr, number] {
  if (e.kind === "lit") return [lit(0), e.value];
  if (e.kind === "op" && e.op === "add" && e.args[1]!.kind === "lit") return [e.args[0]!, e.args[1]!.value];
  return [e, 0];
}
