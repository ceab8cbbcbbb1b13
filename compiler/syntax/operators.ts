import type * as Ast from "./ast.ts";

/** How tightly each operator binds; all bind to the left, comparisons not at all. */
export const precedence: { readonly [Op in Ast.BinaryOp]: number } = {
  "||": 1,
  "&&": 2,
  ...{ "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3 },
  ...{ "+": 4, "-": 4 },
  ...{ "*": 5, "/": 5, "%": 5, "@": 5 },
};
