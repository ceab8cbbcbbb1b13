/** Which buffers a dialect may declare as arrays of groups of four. */
import type { Expr, LaneStmt } from "./ir.ts";

/** The buffers that are seen as groups of four: something reads them so, and nothing writes them otherwise. */
export function buffersInFours(body: readonly LaneStmt[]): ReadonlySet<number> {
  const fours = new Set<number>();
  const singles = new Set<number>();
  const seeExpr = (e: Expr): void => {
    if (e.kind === "load" && e.width === 4) fours.add(e.buffer);
    if (e.kind === "op" || e.kind === "vec") e.args.forEach(seeExpr);
    if (e.kind === "cast" || e.kind === "component") seeExpr(e.arg);
    if (e.kind === "component" && typeof e.at !== "number") seeExpr(e.at);
    if (e.kind === "load" || e.kind === "elem") seeExpr(e.index);
  };
  const see = (s: LaneStmt): void => {
    if (s.kind === "let" || s.kind === "var" || s.kind === "set") seeExpr(s.value);
    if (s.kind === "setElem" || s.kind === "store") {
      seeExpr(s.index);
      seeExpr(s.value);
    }
    if (s.kind === "copy" && s.count % 4 === 0) fours.add(s.buffer);
    if (s.kind === "store") (s.value.width === 4 ? fours : singles).add(s.buffer);
    if (s.kind === "for" || s.kind === "while") s.body.forEach(see);
    if (s.kind === "if") {
      seeExpr(s.cond);
      s.then.forEach(see);
      s.else.forEach(see);
    }
  };
  body.forEach(see);
  return new Set([...fours].filter((b) => !singles.has(b)));
}
