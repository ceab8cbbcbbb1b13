/**
 * Lane -> Lane: a variable that changes in the statements of one block only is a new name at each change. Drivers that keep
 * variables in memory then keep them in registers, and need not look which threads take part in a change. For what threads
 * do alone.
 */
import type { LaneProgram, LaneStmt } from "./ir.ts";
import { type Names, replaced } from "./unroll.ts";
import { blocksOf, walk } from "./walk.ts";

export function variablesAsLets(p: LaneProgram): LaneProgram {
  const taken = new Set([...p.buffers, ...p.scalars].map((b) => b.name));
  walk(p.body, (s) => "name" in s && taken.add(s.name));
  const fresh = (name: string): string => {
    for (let n = 1; ; n++) {
      const next = `${name}_v${n}`;
      if (taken.has(next)) continue;
      taken.add(next);
      return next;
    }
  };
  return { ...p, body: block(p.body, new Map(), fresh) };
}

function block(stmts: readonly LaneStmt[], outer: Names, fresh: (name: string) => string): readonly LaneStmt[] {
  const names = new Map(outer);
  const inside = new Set<string>();
  for (const s of stmts) for (const b of blocksOf(s)) walk(b, (t) => t.kind === "set" && inside.add(t.name));
  const lets = new Set(stmts.flatMap((s) => (s.kind === "var" && !inside.has(s.name) ? [s.name] : [])));
  const within = (b: readonly LaneStmt[]): readonly LaneStmt[] => block(b, names, fresh);
  return stmts.map((s): LaneStmt => {
    switch (s.kind) {
      case "let":
        return { ...s, value: replaced(s.value, names) };
      case "var": {
        const value = replaced(s.value, names);
        return lets.has(s.name) ? { kind: "let", name: s.name, value } : { ...s, value };
      }
      case "set": {
        const value = replaced(s.value, names);
        if (!lets.has(s.name)) return { ...s, value };
        const name = fresh(s.name);
        names.set(s.name, name);
        return { kind: "let", name, value };
      }
      case "setElem":
      case "store":
        return { ...s, index: replaced(s.index, names), value: replaced(s.value, names) };
      case "for":
        return { ...s, from: replaced(s.from, names), below: replaced(s.below, names), body: within(s.body) };
      case "while":
        return { ...s, cond: replaced(s.cond, names), body: within(s.body) };
      case "if":
        return { ...s, cond: replaced(s.cond, names), then: within(s.then), else: within(s.else) };
      default:
        return s;
    }
  });
}
