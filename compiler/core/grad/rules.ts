/** The derivative of each op: one rule in one table, its formula above it. */
import type { Op } from "../ir.ts";
import type { OpRule } from "./transpose.ts";

/** null: nothing flows back (whole numbers and booleans, places, and what is a constant by its meaning). */
export const rules = {} as { readonly [P in Op]: OpRule<P> | null };
