/**
 * In which order a loop's products are started, so that tensor cores have work while threads compute. Rules that look at
 * what a product waits for and who waits for it:
 *
 *   ready   its factors come from memory alone: it starts when its block begins
 *   late    it is only added to a carry, of which nothing else in the loop makes use: it may run while the next block is
 *           computed, so it starts when that block's ready products have been started
 *
 * A loop all of whose products are both is a stream: they follow each other, and nothing waits for any but the last. One
 * with ready products that are used is paired: those of a block start with the late ones of the block before. In others
 * each product is waited for at once.
 */
import type { Fold, Stmt, Value } from "../../../tile/ir.ts";
import type { Context } from "../context.ts";
import { addends, carryOf } from "../fold.ts";
import type { Product } from "../operands.ts";
import { addedTo } from "../roles.ts";

/** `user` adds the product to `other`, and is the next value of carry number `carry`. */
export type Late = { readonly product: Product; readonly user: Value; readonly other: Value; readonly carry: number };
export type Order =
  | { readonly kind: "stream"; readonly late: readonly Late[] }
  | {
      readonly kind: "paired";
      readonly ready: readonly Product[];
      readonly late: readonly Late[];
      /** The loop, with what late products are added to at the end of its body. */
      readonly fold: Fold;
    }
  | { readonly kind: "one by one" };

export function orderOf(ctx: Context, f: Fold): Order {
  const own = f.body.flatMap((s) => (s.kind === "let" ? (ctx.plan.products.get(s.value.id) ?? []) : []));
  const isReady = (p: Product): boolean => p.left.kind === "shared";
  const late = own.flatMap((p) => lateOf(ctx, f, p) ?? []);
  const isLate = (p: Product): boolean => late.some((l) => l.product === p);
  const plainly = (s: Stmt): boolean =>
    s.kind === "let" &&
    (ctx.plan.products.has(s.value.id) ||
      ctx.plan.staged.has(s.value.id) ||
      late.some((l) => l.user === s.value) ||
      !ctx.plan.kept.has(s.value.id));
  const asIs = (l: Late): boolean => l.other.id === f.carry[l.carry]!.id;
  if (own.length > 0 && own.every((p) => isReady(p) && isLate(p)) && late.every(asIs) && f.body.every(plainly))
    return { kind: "stream", late };
  const ready = own.filter((p) => isReady(p) && !isLate(p));
  if (ready.length === 0 || f.body.some((s) => s.kind === "fold")) return { kind: "one by one" };
  const last = new Set(late.map((l) => l.user.id));
  const moved = (s: Stmt): boolean => s.kind === "let" && last.has(s.value.id);
  const body = [...f.body.filter((s) => !moved(s)), ...f.body.filter(moved)];
  return { kind: "paired", ready, late, fold: { ...f, body } };
}

function lateOf(ctx: Context, f: Fold, product: Product): Late | undefined {
  const user = addedTo(product.sum, f.body, ctx.plan.products);
  if (!user || !ctx.plan.kept.has(user.id)) return undefined;
  const place = f.body.findIndex((s) => s.kind === "let" && s.value.id === user.id);
  const sum = addends(ctx, user, f.body);
  const carry = carryOf(ctx, f, user, place);
  return sum?.product === product && carry !== undefined ? { product, user, other: sum.other, carry } : undefined;
}
