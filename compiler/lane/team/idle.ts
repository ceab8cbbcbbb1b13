/**
 * Lane -> Lane: barriers that nobody needs. Where a tile is written, one stands before, for those who may still read what was
 * there, and one after, for those who will read it. The first of a kernel has nobody before it, the last nobody after.
 */
import type { Kernel } from "../../tile/ir.ts";
import type { Expr, LaneStmt } from "../ir.ts";

/** Without the barriers, outside of loops, before which or after which no thread has to do with what others write. */
export function withoutIdleBarriers(body: readonly LaneStmt[], { buffers }: Kernel): readonly LaneStmt[] {
  const shared = new Set(body.flatMap((s) => (s.kind === "shared" ? [s.name] : [])));
  const isUpdated = (buffer: number): boolean => buffers[buffer]!.access === "update";
  const reads = (e: Expr): boolean => {
    switch (e.kind) {
      case "lit":
      case "ref":
        return false;
      case "elem":
        return shared.has(e.array) || reads(e.index);
      case "load":
        return isUpdated(e.buffer) || reads(e.index);
      case "op":
      case "vec":
        return e.args.some(reads);
      case "component":
        return reads(e.arg) || (typeof e.at !== "number" && reads(e.at));
      case "cast":
        return reads(e.arg);
      case "pack":
        return reads(e.low) || reads(e.high);
    }
  };
  const meets = (s: LaneStmt): boolean => {
    switch (s.kind) {
      case "let":
      case "var":
      case "set":
        return reads(s.value);
      case "setElem":
        return shared.has(s.array) || reads(s.index) || reads(s.value);
      case "store":
        return isUpdated(s.buffer) || reads(s.index) || reads(s.value);
      case "for":
        return reads(s.from) || reads(s.below) || s.body.some(meets);
      case "while":
        return reads(s.cond) || s.body.some(meets);
      case "if":
        return reads(s.cond) || s.then.some(meets) || s.else.some(meets);
      // A copy is there for others when it has been waited for.
      case "copy":
      case "commit":
      case "array":
      case "shared":
      case "barrier":
      case "comment":
      case "continue":
        return false;
      default:
        return true;
    }
  };
  const copies = (s: LaneStmt): boolean =>
    s.kind === "copy" ||
    ((s.kind === "for" || s.kind === "while") && s.body.some(copies)) ||
    (s.kind === "if" && [...s.then, ...s.else].some(copies));
  const first = body.findIndex(meets);
  const last = body.findLastIndex((s) => meets(s) || copies(s));
  return body.filter((s, k) => s.kind !== "barrier" || (k > first && first >= 0 && k < last));
}
