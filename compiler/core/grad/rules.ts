/** The derivative of each op: one rule in one table. */
import { collectiveRules } from "./rules-collective.ts";
import { elementwiseRules } from "./rules-elementwise.ts";
import { indexRules } from "./rules-index.ts";
import { productRules } from "./rules-product.ts";
import { reduceRules } from "./rules-reduce.ts";
import { shapeRules } from "./rules-shape.ts";
import type { Rules } from "./transpose.ts";

export const rules: Rules = {
  ...elementwiseRules,
  ...shapeRules,
  ...indexRules,
  ...reduceRules,
  ...productRules,
  ...collectiveRules,
};
