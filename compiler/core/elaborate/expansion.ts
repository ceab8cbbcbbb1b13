/** What is wrong with a program's derivatives and shows only once they are worked out. */
import type { Span } from "../../base/span.ts";
import { expandDerivatives } from "../grad.ts";
import type { Block, Eqn } from "../ir.ts";
import { isCollective } from "../meaning.ts";
import { regionsOf } from "../walk.ts";
import { type Context, fail } from "./context.ts";

/** Reports what has no derivative, and derivatives that combine devices not all of which compute them. */
export function checkDerivatives(c: Context, body: Block): void {
  if (!body.eqns.some(isDerived)) return;
  const { block, diagnostics } = expandDerivatives(body, c.typing, { next: c.shared.nextId });
  c.diagnostics.push(...diagnostics);
  if (diagnostics.length === 0) findHang(c, block, []);
}
const isDerived = (e: Eqn): boolean => e.kind === "vjp" || regionsOf(e).some((b) => b.eqns.some(isDerived));

type Condition = { readonly axes: readonly string[]; readonly span: Span | undefined };
/** The source's own collectives under conditions are reported where they stand: what is found here was made. */
function findHang(c: Context, b: Block, conditions: readonly Condition[]): boolean {
  return b.eqns.some((e) => {
    if (e.kind === "op" && isCollective(e.op) && "axes" in e.params) {
      const { axes } = e.params;
      const under = conditions.find((x) => x.axes.some((a) => axes.includes(a)));
      const span = e.span ?? under?.span ?? c.calls[0]?.span;
      if (!under || !span) return false;
      fail(c, "GY9010", span, { axes: under.axes.filter((a) => axes.includes(a)) }, [
        ...(under.span ? [{ span: under.span, message: "the condition of this `if` differs between devices" }] : []),
      ]);
      return true;
    }
    const varying = e.kind === "if" ? e.cond.type.varying : [];
    const inside =
      e.kind === "if" && varying.length > 0 ? [...conditions, { axes: varying, span: e.span }] : conditions;
    return regionsOf(e).some((r) => findHang(c, r, inside));
  });
}
