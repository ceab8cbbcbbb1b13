/** The statements of a Lane program, and those in them. */
import type { LaneStmt } from "./ir.ts";

/** The blocks of a statement of a thread. */
export const blocksOf = (s: LaneStmt): readonly (readonly LaneStmt[])[] =>
  s.kind === "if" ? [s.then, s.else] : s.kind === "for" || s.kind === "while" ? [s.body] : [];

/** Visits statements in their order, each before those in it. */
export function walk(body: readonly LaneStmt[], visit: (s: LaneStmt) => void): void {
  for (const s of body) {
    visit(s);
    for (const b of blocksOf(s)) walk(b, visit);
  }
}
