/** How often each scalar name of a kernel is used as a scalar, and how often four times over. */
import type { Expr, LaneStmt } from "../../lane/ir.ts";

export type Counted = { scalar: number; wide: number };

export function countUses(body: readonly LaneStmt[]): ReadonlyMap<string, Counted> {
  const found = new Map<string, Counted>();
  const count = (name: string, wide: boolean): void => {
    const c = found.get(name) ?? { scalar: 0, wide: 0 };
    found.set(name, wide ? { ...c, wide: c.wide + 1 } : { ...c, scalar: c.scalar + 1 });
  };
  /** `wide`: four values are wanted. */
  const expr = (e: Expr, wide: boolean): void => {
    switch (e.kind) {
      case "lit":
        return;
      case "ref":
        if (e.width === 1) count(e.name, wide);
        return;
      case "elem":
      case "load":
        expr(e.index, false);
        return;
      case "component":
        expr(e.arg, true);
        if (typeof e.at !== "number") expr(e.at, false);
        return;
      case "cast":
        expr(e.arg, wide || e.width === 4);
        return;
      case "vec":
        if (e.args.every((a) => a === e.args[0])) expr(e.args[0]!, true);
        else
          e.args.forEach((a, k) => {
            expr(a, k === 0);
          });
        return;
      case "op":
        for (const a of e.args) expr(a, e.width === 4 || e.op === "dot");
    }
  };
  const see = (s: LaneStmt): void => {
    switch (s.kind) {
      case "let":
      case "var":
      case "set":
        expr(s.value, s.value.width === 4);
        return;
      case "setElem":
      case "store":
        expr(s.index, false);
        expr(s.value, s.value.width === 4);
        return;
      case "for":
        expr(s.from, false);
        expr(s.below, false);
        s.body.forEach(see);
        return;
      case "if":
        expr(s.cond, false);
        s.then.forEach(see);
        s.else.forEach(see);
        return;
      case "array":
      case "continue":
      case "comment":
    }
  };
  body.forEach(see);
  return found;
}
